package controllers_test

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/controllers"
)

// tally counts the writes of the status of Organizations, by who asked for them, and those that met a conflict apart.
type tally struct {
	mu     sync.Mutex
	counts map[string]int
}

func (y *tally) begin() {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.counts = map[string]int{}
}

func (y *tally) of(who string) int {
	y.mu.Lock()
	defer y.mu.Unlock()
	return y.counts[who]
}

func (y *tally) note(err error) {
	who, lost := writer(), ""
	if apierrors.IsConflict(err) {
		lost = ", lost"
	}
	y.mu.Lock()
	defer y.mu.Unlock()
	y.counts[who+lost]++
}

// writer is the reconciler that writes, and what it writes.
func writer() string {
	var callers [64]uintptr
	frames := runtime.CallersFrames(callers[:runtime.Callers(3, callers[:])])
	note := ""
	for {
		frame, more := frames.Next()
		switch {
		case strings.Contains(frame.Function, ".noteFarewells"):
			note = ", notes"
		case strings.Contains(frame.Function, ".persist"):
			note = ", outcomes"
		case strings.Contains(frame.Function, "(*FarewellReconciler)"):
			return "sender" + note
		case strings.Contains(frame.Function, "(*OrganizationReconciler)"):
			return "roll" + note
		}
		if !more {
			return "others"
		}
	}
}

type tallied struct {
	client.Client
	*tally
}

func (c tallied) Status() client.SubResourceWriter { return talliedStatus{c.Client.Status(), c.tally} }

type talliedStatus struct {
	client.SubResourceWriter
	*tally
}

func (w talliedStatus) Patch(ctx context.Context, o client.Object, patch client.Patch, options ...client.SubResourcePatchOption) error {
	err := w.SubResourceWriter.Patch(ctx, o, patch, options...)
	if _, organization := o.(*v1alpha1.Organization); organization {
		w.note(err)
	}
	return err
}

// Twenty leave at once: the mails about it take a few writes of the Organization, not two for each, and not one for each lost race.
func TestFewWritesAboutFarewells(t *testing.T) {
	const many = 20
	writes := &tally{counts: map[string]int{}}
	h := operate(t, with(func(d *controllers.Deps) { d.Client = tallied{d.Client, writes} })).home(t)
	acme, _ := h.found()
	var leavers []client.Object
	for n := range many {
		m := h.member(fmt.Sprintf("m%02d", n), v1alpha1.RoleMember, joined)
		h.create(m)
		leavers = append(leavers, m)
	}
	for _, m := range leavers {
		h.becomes(m, "Ready", "True/Active")
	}
	h.settles()
	writes.begin()
	var deleting sync.WaitGroup
	for _, m := range leavers {
		deleting.Go(func() {
			if err := admin.Delete(context.Background(), m); err != nil {
				t.Error(err)
			}
		})
	}
	deleting.Wait()
	h.goes(leavers...)
	for _, m := range leavers {
		h.mailed(m.GetName(), 1)
	}
	h.bidsFarewellTo(acme)
	h.settles()
	h.mailsCounted("membership-ended", map[string]float64{"sent": many})
	t.Logf("writes of the status of the Organization: %v", writes.counts)
	if n := writes.of("sender") + writes.of("sender, outcomes"); n < 2 || n >= many {
		t.Errorf("%d writes for %d mails", n, many)
	}
	if n := writes.of("sender, lost") + writes.of("sender, outcomes, lost"); n >= many/2 {
		t.Errorf("%d lost races for %d mails", n, many)
	}
}
