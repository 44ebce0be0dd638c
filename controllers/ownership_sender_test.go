package controllers_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/controllers"
)

// heir is a member to whom the ownership moved, as a sender that is called by the test sees them: cache and all.
func heir(t *testing.T, change func(*controllers.Deps)) (*home, *v1alpha1.OrgMember) {
	t.Helper()
	h := operate(t, idle, with(change)).home(t)
	acme, jane := h.found()
	ann := h.member("ann", v1alpha1.RoleAdmin, joined)
	h.create(ann)
	editStatus(h, jane, accept)
	editStatus(h, ann, accept)
	h.transfer(acme, "ann")
	editStatus(h, acme, func(o *v1alpha1.Organization) {
		o.Status.Owner = "ann"
		o.Status.Transfers = []v1alpha1.OwnershipTransfer{{
			Serial: 1, From: "jane", FromUID: string(jane.UID), To: "ann", ToUID: string(ann.UID), At: metav1.NewTime(time.Now().Truncate(time.Second)),
		}}
	})
	h.eventually("the cache shows it", func() error {
		seen, err := h.deps.Facts.Home(t.Context(), h.name)
		if err != nil || seen.Organization == nil || seen.Organization.Status.Transfers == nil {
			return fmt.Errorf("no transfer: %w", err)
		}
		return errors.Join(h.deps.Client.Get(t.Context(), client.ObjectKeyFromObject(jane), &v1alpha1.OrgMember{}),
			h.deps.Client.Get(t.Context(), client.ObjectKeyFromObject(ann), &v1alpha1.OrgMember{}))
	})
	return h, ann
}

// The operator dies when the move is on record and nobody was told. The next one finds what is due.
func TestOwnershipMailsOfADeadOperator(t *testing.T) {
	h, _ := heir(t, func(*controllers.Deps) {})
	h.idle = false
	h.restart(t)
	h.reads("ann", gained)
	h.reads("jane", lost)
}

// Several senders act on the same state of a member, as a paused leader and its successor would: one mail goes out.
func TestOnlyOneSenderTells(t *testing.T) {
	h, ann := heir(t, func(*controllers.Deps) {})
	var senders sync.WaitGroup
	var conflicts atomic.Int32
	for range 4 {
		sender := &controllers.OwnershipMailReconciler{Deps: h.deps}
		senders.Go(func() {
			if _, err := sender.Reconcile(context.Background(), ann.DeepCopy()); apierrors.IsConflict(err) {
				conflicts.Add(1)
			} else if err != nil {
				t.Error(err)
			}
		})
	}
	senders.Wait()
	if got := len(h.mail.to(h.user("ann"))); got != 1 || conflicts.Load() != 3 {
		t.Errorf("%d mails, %d senders met a conflict", got, conflicts.Load())
	}
}

// The operator dies between sending and recording. The next one sends the very same mail again: Message-ID, date and words.
func TestCrashRepeatsTheSameOwnershipMail(t *testing.T) {
	var writes atomic.Int32
	h, ann := heir(t, func(d *controllers.Deps) {
		d.Client = unsteady{d.Client, func() error {
			if writes.Add(1) == 2 {
				return errGone // which ends the tries: nothing of this sender is heard of again
			}
			return nil
		}}
	})
	sender := &controllers.OwnershipMailReconciler{Deps: h.deps}
	if _, err := sender.Reconcile(t.Context(), ann); err != nil {
		t.Fatal(err)
	}
	if h.get(ann); ann.Status.OwnershipNotice == nil || ann.Status.OwnershipNotice.SentAt != nil {
		t.Fatalf("the test lost no write: %+v", ann.Status.OwnershipNotice)
	}
	h.clock.Step(3 * time.Hour)
	if _, err := sender.Reconcile(t.Context(), ann); err != nil {
		t.Fatal(err)
	}
	letters := h.mail.to(h.user("ann"))
	if len(letters) != 2 {
		t.Fatalf("%d mails", len(letters))
	}
	if diff := cmp.Diff(letters[0], letters[1], cmp.AllowUnexported(letter{})); diff != "" {
		t.Errorf("the mail repeated after a crash is another one: %s", diff)
	}
	h.notified(ann, 1, func(n *v1alpha1.OwnershipNotice) bool { return isSent(n) && n.Attempts == 2 })
	if _, err := sender.Reconcile(t.Context(), ann); err != nil || len(h.mail.to(h.user("ann"))) != 2 {
		t.Errorf("sent once more: %v", err)
	}
}

// A sender that was paused meets a failure after its successor had the mail out: that it is out stays said.
func TestLateFailureTakesNothingBack(t *testing.T) {
	var h *home
	var ann *v1alpha1.OrgMember
	var writes atomic.Int32
	h, ann = heir(t, func(d *controllers.Deps) {
		d.Client = unsteady{d.Client, func() error {
			if writes.Add(1) == 2 {
				editStatus(h, ann.DeepCopy(), func(m *v1alpha1.OrgMember) { m.Status.OwnershipNotice.SentAt = &metav1.Time{Time: time.Now()} })
				return errLost
			}
			return nil
		}}
	})
	h.mail.say(refusedForNow)
	sender := &controllers.OwnershipMailReconciler{Deps: h.deps}
	if _, err := sender.Reconcile(t.Context(), ann.DeepCopy()); err != nil {
		t.Fatal(err)
	}
	h.notified(ann, 1, func(n *v1alpha1.OwnershipNotice) bool {
		return isSent(n) && n.NextAttemptAt == nil && n.LastError == ""
	})
}
