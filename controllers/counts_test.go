package controllers_test

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
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
