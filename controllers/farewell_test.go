package controllers_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/controllers"
	om "github.com/orgkeeper/orgkeeper/internal/mail"
)

// patient waits for a mail server that takes its time.
func patient(o *operator) {
	o.change = func(d *controllers.Deps) {
		smtp, err := om.NewSMTP(om.Config{Address: o.mail.address, TLS: om.NoTLS, Timeout: time.Minute})
		if err != nil {
			panic(err)
		}
		d.Invitations.SMTP = smtp
	}
}

// The OrgMember is deleted while the mail about the end by spec.expiresAt is on its way: they are told once. Others who leave
// do not wait for that mail.
func TestRemovedWhileTheEndIsTold(t *testing.T) {
	h := operate(t, patient).home(t)
	acme, _ := h.found()
	joe, sue := h.joins("joe", until(h.clock.Now().Add(time.Hour))), h.joins("sue")
	open := h.mail.stall()
	defer open()
	h.later(2 * time.Hour)
	h.eventually("the mail is on its way", func() error {
		if n := h.mail.waiting(); n != 1 {
			return fmt.Errorf("%d", n)
		}
		return nil
	})
	h.delete(joe, sue)
	h.goes(sue) // so whoever leaves was looked at
	open()
	h.goes(joe)
	h.bidsFarewellTo(acme)
	h.reads("sue", endNews)
	h.settles()
	h.reads("joe", endNews)
}

// The server says no for now to the mail that was on its way: it is sent as a farewell, and says the same.
func TestRemovedWhileTheEndIsDeferred(t *testing.T) {
	h := operate(t, patient).home(t)
	acme, _ := h.found()
	joe, sue := h.joins("joe", until(h.clock.Now().Add(time.Hour))), h.joins("sue")
	open := h.mail.stall()
	defer open()
	h.later(2 * time.Hour)
	h.eventually("the mail is on its way", func() error {
		if n := h.mail.waiting(); n != 1 {
			return fmt.Errorf("%d", n)
		}
		return nil
	})
	h.delete(joe, sue)
	h.goes(sue)
	h.mail.say(refusedForNow)
	open()
	h.goes(joe)
	h.bidsFarewellTo(acme, "sue", "joe")
	h.mail.say(nil)
	h.later(2 * time.Hour)
	h.bidsFarewellTo(acme)
	l := h.reads("joe", endNews)
	if l.messageID != fmt.Sprintf("<%s.1.membership-ended@orgkeeper.example>", joe.UID) {
		t.Errorf("Message-ID %s", l.messageID)
	}
}

// interposed lets something happen before an Organization is read live.
type interposed struct {
	client.Reader
	before *func()
}

func (i interposed) Get(ctx context.Context, key client.ObjectKey, o client.Object, options ...client.GetOption) error {
	if _, ok := o.(*v1alpha1.Organization); ok && *i.before != nil {
		before := *i.before
		*i.before = nil
		before()
	}
	return i.Reader.Get(ctx, key, o, options...)
}

// roller is a home whose roll the test takes. What before says happens once, between the roll and the record of who leaves.
type roller struct {
	*home
	acme   *v1alpha1.Organization
	before func()
}

func newRoller(t *testing.T) *roller {
	r := &roller{}
	r.home = operate(t, idle, with(func(d *controllers.Deps) { d.Live = interposed{d.Live, &r.before} })).home(t)
	r.acme, _ = r.found()
	return r
}

func (r *roller) cached(o client.Object) error {
	return r.deps.Client.Get(r.t.Context(), client.ObjectKeyFromObject(o), o)
}

func (r *roller) roll() {
	r.t.Helper()
	r.eventually("the roll is taken", func() error { // the cache may be behind
		seen := r.acme.DeepCopy()
		if err := r.cached(seen); err != nil {
			return err
		}
		_, err := (&controllers.OrganizationReconciler{Deps: r.deps}).Reconcile(r.t.Context(), seen)
		return err
	})
	if r.before != nil {
		r.t.Fatal("the test met no live read")
	}
}

// left adds somebody who has joined and is being removed.
func (r *roller) left(name string, role v1alpha1.Role) *v1alpha1.OrgMember {
	r.t.Helper()
	m := r.member(name, role, joined, func(m *v1alpha1.OrgMember) { m.Finalizers = []string{v1alpha1.FinalizerMember} })
	r.create(m)
	editStatus(r.home, m, accept)
	r.delete(m)
	r.eventually("the cache shows it", func() error {
		if seen := m.DeepCopy(); r.cached(seen) != nil || seen.DeletionTimestamp == nil {
			return fmt.Errorf("%s stays", m.Name)
		}
		return nil
	})
	return m
}

// Somebody is told and goes between the roll, on which they are leaving, and the record of who leaves. They are not noted anew.
func TestNobodyIsNotedAnew(t *testing.T) {
	h := newRoller(t)
	joe := h.left("joe", v1alpha1.RoleMember)
	h.roll()
	h.bidsFarewellTo(h.acme, "joe")
	h.eventually("the cache shows it", func() error {
		if seen := h.acme.DeepCopy(); h.cached(seen) != nil || seen.ResourceVersion != h.acme.ResourceVersion {
			return fmt.Errorf("version %s", seen.ResourceVersion)
		}
		return nil
	})
	h.left("sue", v1alpha1.RoleMember)
	h.before = func() {
		edit(h.home, joe, func(m *v1alpha1.OrgMember) { m.Finalizers = nil })
		h.eventually("the cache shows it", func() error {
			if err := h.cached(joe.DeepCopy()); !apierrors.IsNotFound(err) {
				return fmt.Errorf("joe stays: %w", err)
			}
			return nil
		})
		h.clock.Step(10 * time.Second) // as long as the mail waits for sue to go
		if _, err := (&controllers.FarewellReconciler{Deps: h.deps}).Reconcile(t.Context(), h.acme); err != nil {
			t.Error(err)
		}
		h.reads("joe", endNews)
		h.bidsFarewellTo(h.acme)
	}
	h.roll()
	h.bidsFarewellTo(h.acme, "sue")
}

// Somebody who is being removed is recorded as the owner, which the cache does not show yet. They are protected, and nobody tells
// them that they are no member any more.
func TestOwnerOfNowIsNotBiddenFarewell(t *testing.T) {
	h := newRoller(t)
	h.left("joe", v1alpha1.RoleAdmin)
	h.before = func() { editStatus(h.home, h.acme, func(o *v1alpha1.Organization) { o.Status.Owner = "joe" }) }
	h.roll()
	h.bidsFarewellTo(h.acme)
}
