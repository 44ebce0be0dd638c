package controllers_test

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/controllers"
)

// The access of those who leave ends at once. That they are fewer is told when all of them are gone, or after ten seconds.
func TestCountsWait(t *testing.T) {
	var passed atomic.Int64
	h := operate(t, idle, with(func(d *controllers.Deps) { d.Steady = steps{passed: &passed} })).home(t)
	acme, jane := h.found()
	ann, joe := h.member("ann", v1alpha1.RoleUserAdmin, joined), h.member("joe", v1alpha1.RoleUserAdmin, joined)
	h.create(ann, joe)
	organizations := reconcile.AsReconciler(h.deps.Client, &controllers.OrganizationReconciler{Deps: h.deps})
	members := reconcile.AsReconciler(h.deps.Client, &controllers.OrgMemberReconciler{Deps: h.deps})
	turn := func(of reconcile.Reconciler, o client.Object) (reconcile.Result, error) {
		return of.Reconcile(t.Context(), reconcile.Request{NamespacedName: client.ObjectKeyFromObject(o)})
	}
	counted := func() int32 {
		h.get(acme)
		if acme.Status.Members == nil {
			return 0
		}
		return acme.Status.Members.Active
	}
	h.eventually("all are active and counted", func() error {
		_, err1 := turn(members, jane)
		_, err2 := turn(members, ann)
		_, err3 := turn(members, joe)
		_, err4 := turn(organizations, acme)
		if err := errors.Join(err1, err2, err3, err4); err != nil {
			return err
		}
		if n, in := counted(), h.named(h.user("joe")); n != 3 || in == nil || reading(acme, "Ready") != "True/Ready" {
			return fmt.Errorf("%d are counted, joe is named by %v, Ready %s", n, in, reading(acme, "Ready"))
		}
		return nil
	})

	h.delete(ann, joe)
	h.eventually("the cache shows that both leave", func() error {
		for _, m := range []*v1alpha1.OrgMember{ann, joe} {
			seen := &v1alpha1.OrgMember{}
			if err := h.deps.Client.Get(t.Context(), client.ObjectKeyFromObject(m), seen); err != nil || seen.DeletionTimestamp == nil {
				return fmt.Errorf("%s not yet: %w", m.Name, err)
			}
		}
		return nil
	})
	h.eventually("ann goes", func() error {
		_, err1 := turn(organizations, acme)
		_, err2 := turn(members, ann)
		if h.get(ann) {
			return errors.Join(errors.New("she is there"), err1, err2)
		}
		return nil
	})
	h.eventually("the cache shows that she is gone", func() error {
		if err := h.deps.Client.Get(t.Context(), client.ObjectKeyFromObject(ann), &v1alpha1.OrgMember{}); !apierrors.IsNotFound(err) {
			return fmt.Errorf("ann: %w", err)
		}
		return nil
	})
	h.get(joe)
	h.clock.Step(joe.DeletionTimestamp.Add(time.Second).Sub(h.clock.Now()))
	waits := func(when string) {
		t.Helper()
		h.eventually(when+" the count waits", func() error {
			result, err := turn(organizations, acme)
			if err == nil && (result.RequeueAfter <= 0 || result.RequeueAfter > time.Second) {
				err = fmt.Errorf("next look after %s", result.RequeueAfter)
			}
			return err
		})
		if n, in := counted(), h.named(h.user("joe")); n != 3 || in != nil {
			t.Errorf("%s: %d are counted, joe is named by %v", when, n, in)
		}
	}
	waits("at once")
	passed.Add(int64(9 * time.Second))
	waits("after nine seconds")
	passed.Add(int64(2 * time.Second))
	h.eventually("after eleven seconds ann is not counted, although joe is not gone", func() error {
		if _, err := turn(organizations, acme); err != nil {
			return err
		}
		if n := counted(); n != 2 || !h.get(joe) {
			return fmt.Errorf("%d are counted, joe: %v", n, joe.DeletionTimestamp)
		}
		return nil
	})
}

// Each mail that goes out takes a seat. Where seats have no limit nobody waits for the news, and many are told at a time: as long as
// there are more to come.
func TestSeatCountsWaitForMails(t *testing.T) {
	var passed atomic.Int64
	h := operate(t, idle, with(func(d *controllers.Deps) { d.Steady, d.IdleCounts = steps{passed: &passed}, 10*time.Second })).home(t)
	acme, _ := h.found()
	ann, joe, mia := h.member("ann", v1alpha1.RoleMember), h.member("joe", v1alpha1.RoleMember), h.member("mia", v1alpha1.RoleMember)
	h.create(ann, joe, mia)
	organizations := reconcile.AsReconciler(h.deps.Client, &controllers.OrganizationReconciler{Deps: h.deps})
	taken := func(when string, want int32, most time.Duration) {
		t.Helper()
		h.eventually(when, func() error {
			result, err := organizations.Reconcile(t.Context(), reconcile.Request{NamespacedName: client.ObjectKeyFromObject(acme)})
			if err != nil {
				return err
			}
			h.get(acme)
			if use := acme.Status.Seats; use == nil || use.Taken != want || (result.RequeueAfter > 0) != (most > 0) || result.RequeueAfter > most {
				return fmt.Errorf("%+v, next look after %s", use, result.RequeueAfter)
			}
			return nil
		})
	}
	invite := func(m *v1alpha1.OrgMember) {
		editStatus(h, m, func(m *v1alpha1.OrgMember) {
			m.Status.State = v1alpha1.StatePending
			m.Status.Invitation = &v1alpha1.InvitationStatus{Serial: 1, Attempts: 1, ExpiresAt: metav1.NewTime(h.clock.Now().Add(time.Hour))}
		})
	}
	taken("the owner alone has a seat", 1, 0)
	invite(ann)
	taken("ann was invited", 1, 10*time.Second)
	passed.Add(int64(4 * time.Second))
	taken("four seconds later", 1, 6*time.Second)
	invite(joe)
	h.eventually("the cache shows that joe was invited", func() error {
		if err := h.deps.Client.Get(t.Context(), client.ObjectKeyFromObject(joe), joe); err != nil || joe.Status.Invitation == nil {
			return fmt.Errorf("not yet: %w", err)
		}
		return nil
	})
	passed.Add(int64(6 * time.Second))
	taken("after ten seconds both are told", 3, 0)
	invite(mia)
	taken("mia is the last", 4, 0)

	edit(h, acme, func(o *v1alpha1.Organization) { o.Spec.Subscription = &v1alpha1.OrganizationSubscription{Seats: 9} })
	zoe := h.member("zoe", v1alpha1.RoleMember)
	h.create(zoe)
	taken("zoe is offered a seat", 5, 0)
}
