package main

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
)

// pipelines is how many organizations are written at a time.
const pipelines = 8

// idle measures the empty installation, and how the API server serves somebody else.
func (b *bench) idle(ctx context.Context, m *measured) error {
	if err := b.home(ctx); err != nil {
		return err
	}
	if err := b.settle(ctx, m, time.Now().Add(-silence), nil); err != nil {
		return err
	}
	return b.unrelated(ctx, m)
}

// unrelated measures the requests of somebody who has nothing to do with organizations.
func (b *bench) unrelated(ctx context.Context, m *measured) error {
	const rounds = 3000
	var reads, writes times
	for i := range rounds {
		began := time.Now()
		c := &corev1.ConfigMap{}
		if err := b.bystander.Get(ctx, client.ObjectKeyFromObject(bystanders()), c); err != nil {
			return err
		}
		reads.add(time.Since(began))
		if i%3 != 0 {
			continue
		}
		c.Data["a"] = strconv.FormatInt(began.UnixNano(), 36)
		began = time.Now()
		if err := b.bystander.Update(ctx, c); err != nil {
			return err
		}
		writes.add(time.Since(began))
	}
	m.Latencies["unrelated get"], m.Latencies["unrelated update"] = quantilesOf(reads.all), quantilesOf(writes.all)
	return nil
}

// onboard declares everything and waits until everybody has their mail.
func (b *bench) onboard(ctx context.Context, m *measured) error {
	m.Unit, m.Units = "members", b.people()
	began := time.Now()
	declared, err := b.declare(ctx, b.pipeline, b.all("o"))
	if err != nil {
		return err
	}
	m.Figures["declared after seconds"] = time.Since(began).Seconds()
	err = b.settle(ctx, m, began, func(gauges) error {
		if got, want := b.mails.recipients(), b.people()-b.organizations; got < want { // owners are not asked
			return fmt.Errorf("%d of %d have their mail", got, want)
		}
		return nil
	})
	if err != nil {
		return err
	}
	var waits times
	for address, at := range declared {
		if mail, found := b.mails.to(address); found {
			waits.add(mail.At.Sub(at))
		}
	}
	m.Latencies["member declared to mail received"] = quantilesOf(waits.all)
	if err := b.allReady(ctx); err != nil {
		return err
	}
	return b.takeTemplate(ctx)
}

// declare writes organizations and returns when each member's creation was asked for, by address: of those who were not there
// already, as after a run that was cut short.
func (b *bench) declare(ctx context.Context, as client.Client, organizations []organization) (map[string]time.Time, error) {
	var mu sync.Mutex
	at := map[string]time.Time{}
	err := parallel(ctx, pipelines, organizations, func(ctx context.Context, o organization) error {
		for _, object := range o.objects() {
			asked := time.Now()
			err := as.Create(ctx, object)
			// A policy may refuse what is there before the API server finds that it is.
			if err != nil && b.admin.Get(ctx, client.ObjectKeyFromObject(object), object) != nil {
				return err
			}
			if m, isMember := object.(*v1alpha1.OrgMember); isMember && err == nil {
				mu.Lock()
				at[string(m.Spec.Email)] = asked
				mu.Unlock()
			}
		}
		return nil
	})
	return at, err
}

// allReady fails when an object of ours is not as it was declared.
func (b *bench) allReady(ctx context.Context) error {
	for _, list := range []client.ObjectList{
		&v1alpha1.OrganizationList{}, &v1alpha1.OrgMemberList{}, &v1alpha1.WorkspaceList{}, &v1alpha1.WorkspaceAssignmentList{},
	} {
		if err := b.admin.List(ctx, list); err != nil {
			return err
		}
		err := meta.EachListItem(list, func(item runtime.Object) error {
			if !meta.IsStatusConditionTrue(conditions(item), v1alpha1.ConditionReady) {
				o := item.(client.Object)
				return fmt.Errorf("%T %s/%s is not Ready: %v", item, o.GetNamespace(), o.GetName(), conditions(item))
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func conditions(o runtime.Object) []metav1.Condition {
	switch o := o.(type) {
	case *v1alpha1.Organization:
		return o.Status.Conditions
	case *v1alpha1.OrgMember:
		return o.Status.Conditions
	case *v1alpha1.Workspace:
		return o.Status.Conditions
	case *v1alpha1.WorkspaceAssignment:
		return o.Status.Conditions
	}
	return nil
}

// accept has everybody open their link, and measures for some how long it takes until they may work.
func (b *bench) accept(ctx context.Context, m *measured) error {
	samples := map[string]person{}
	workers := b.workers()
	step := max(1, len(workers)/500)
	for i := 0; i < len(workers); i += step {
		samples[workers[i].email] = workers[i]
	}
	var addresses []string
	for _, o := range b.all("o") {
		for i := 1; i < o.members; i++ {
			addresses = append(addresses, o.email(i))
		}
	}
	m.Unit, m.Units = "members", len(addresses)
	var answers, access times
	began := time.Now()
	err := parallel(ctx, pipelines, addresses, func(ctx context.Context, address string) error {
		clicked := time.Now()
		if err := b.click(ctx, address); err != nil {
			return err
		}
		answers.add(time.Since(clicked))
		p, sampled := samples[address]
		if !sampled {
			return nil
		}
		err := b.access(ctx, p, true)
		access.add(time.Since(clicked))
		return err
	})
	if err != nil {
		return err
	}
	m.Latencies["click to the page's answer"], m.Latencies["click to access"] = quantilesOf(answers.all), quantilesOf(access.all)
	if err := b.settle(ctx, m, began, b.active(b.people())); err != nil {
		return err
	}
	return b.allReady(ctx)
}

// active waits for a number of active members.
func (b *bench) active(want int) func(gauges) error {
	return func(g gauges) error {
		if got := int(g.sum("orgkeeper_members", "state", "Active")); got != want {
			return fmt.Errorf("%d active members, want %d", got, want)
		}
		return nil
	}
}

// click accepts an invitation on the page.
func (b *bench) click(ctx context.Context, address string) error {
	mail, found := b.mails.to(address)
	if !found {
		return fmt.Errorf("no mail to %s", address)
	}
	_, path, found := strings.Cut(mail.Link, "/i/") // the page may listen elsewhere since
	if !found {
		return fmt.Errorf("the mail to %s has no link", address)
	}
	url := fmt.Sprintf("http://127.0.0.1:%d/i/%s/accept", b.ports.Portal, path)
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, nil)
	if err != nil {
		return err
	}
	answer, err := browser.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("the page answers %s to %s", answer.Status, address)
	}
	return nil
}

// browser keeps as many connections as there are people at a time.
var browser = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: pipelines}}

// steadiness leaves everything alone, then measures somebody else.
func (b *bench) steadiness(ctx context.Context, m *measured) error {
	requests, _, err := b.audit.counted()
	if err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(b.steady):
	}
	after, _, err := b.audit.counted()
	if err != nil {
		return err
	}
	quiet := measured{Requests: minus(after, requests)}
	m.Figures["writes"], m.Figures["reads of single objects"] = float64(quiet.writes()), float64(quiet.reads("get"))
	m.Figures["lists"], m.Figures["watches begun"] = float64(quiet.reads("list")), float64(quiet.reads("watch"))
	m.Figures["leases"] = float64(quiet.Requests["get leases"] + quiet.Requests["update leases"] + quiet.Requests["patch leases"])
	m.Seconds = b.steady.Seconds()
	return b.unrelated(ctx, m)
}
