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

// Somebody is told and goes between the roll, on which they are leaving, and the record of who leaves. They are not noted anew.
func TestNobodyIsNotedAnew(t *testing.T) {
	var before func()
	h := operate(t, idle, with(func(d *controllers.Deps) { d.Live = interposed{d.Live, &before} })).home(t)
	acme, _ := h.found()
	held := func(m *v1alpha1.OrgMember) { m.Finalizers = []string{v1alpha1.FinalizerMember} }
	joe, sue := h.member("joe", v1alpha1.RoleMember, joined, held), h.member("sue", v1alpha1.RoleMember, joined, held)
	h.create(joe, sue)
	ctx := t.Context()
	cached := func(o client.Object) error { return h.deps.Client.Get(ctx, client.ObjectKeyFromObject(o), o) }
	roll := func() {
		h.eventually("the roll is taken", func() error { // the cache may be behind
			seen := acme.DeepCopy()
			if err := cached(seen); err != nil {
				return err
			}
			_, err := (&controllers.OrganizationReconciler{Deps: h.deps}).Reconcile(ctx, seen)
			return err
		})
	}
	leaves := func(m *v1alpha1.OrgMember) {
		editStatus(h, m, accept)
		h.delete(m)
		h.eventually("the cache shows it", func() error {
			if seen := m.DeepCopy(); cached(seen) != nil || seen.DeletionTimestamp == nil {
				return fmt.Errorf("%s stays", m.Name)
			}
			return nil
		})
	}
	leaves(joe)
	roll()
	h.bidsFarewellTo(acme, "joe")
	h.eventually("the cache shows it", func() error {
		if seen := acme.DeepCopy(); cached(seen) != nil || seen.ResourceVersion != acme.ResourceVersion {
			return fmt.Errorf("version %s", seen.ResourceVersion)
		}
		return nil
	})
	leaves(sue)
	before = func() {
		edit(h, joe, func(m *v1alpha1.OrgMember) { m.Finalizers = nil })
		h.eventually("the cache shows it", func() error {
			if err := cached(joe.DeepCopy()); !apierrors.IsNotFound(err) {
				return fmt.Errorf("joe stays: %w", err)
			}
			return nil
		})
		if _, err := (&controllers.FarewellReconciler{Deps: h.deps}).Reconcile(ctx, acme); err != nil {
			t.Error(err)
		}
		h.reads("joe", endNews)
		h.bidsFarewellTo(acme)
	}
	roll()
	if before != nil {
		t.Fatal("the test met no live read")
	}
	h.bidsFarewellTo(acme, "sue")
}
