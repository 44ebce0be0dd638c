package controllers_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/controllers"
)

// remind has people reminded so long before their invitation expires.
func (h *home) remind(acme *v1alpha1.Organization, before time.Duration) {
	h.t.Helper()
	edit(h, acme, func(o *v1alpha1.Organization) {
		o.Spec.Invitations = &v1alpha1.OrganizationInvitations{RemindBefore: &metav1.Duration{Duration: before}}
	})
}

// Whoever has not answered is reminded once, by itself at its moment, with the same link; not again by a restart, and not
// who has answered.
func TestReminder(t *testing.T) {
	o := operate(t)
	h := o.home(t)
	acme, _ := h.found()
	h.remind(acme, 24*time.Hour)
	mia, _ := h.invited("mia")
	tom, _ := h.invited("tom")
	editStatus(h, tom, func(m *v1alpha1.OrgMember) { m.Status.DeclinedAt = m.Status.Invitation.SentAt })
	h.clock.Step(mia.Status.Invitation.ExpiresAt.Add(-24*time.Hour).Sub(h.clock.Now()) - 2*time.Second)
	h.restart(t) // timers are set from the clock when something is looked at
	letters := h.mailed("mia", 2)
	h.eventually("the reminder is on record", func() error {
		if h.get(mia); mia.Status.Invitation.RemindedAt == nil {
			return fmt.Errorf("%+v", mia.Status.Invitation)
		}
		return nil
	})
	if i := mia.Status.Invitation; i.Serial != 1 || i.Attempts != 1 || i.ReminderAttempts != 1 || reading(mia, "InvitationSent") != "True/InvitationSent" {
		t.Errorf("status.invitation: %+v", i)
	}
	if letters[1].token != letters[0].token || !strings.HasPrefix(letters[1].subject, "Reminder: ") ||
		letters[1].messageID != fmt.Sprintf("<%s.1.reminder@orgkeeper.example>", mia.UID) {
		t.Errorf("the reminder: %q, Message-ID %s, same link: %v", letters[1].subject, letters[1].messageID, letters[1].token == letters[0].token)
	}
	h.eventually("an Event tells of it", func() error { return h.toldOf(mia, "ReminderSent") })
	h.mailsCounted("reminder", map[string]float64{"sent": 1})
	h.settles()
	before := h.versions()
	h.restart(t)
	h.settles()
	if diff := cmp.Diff(before, h.versions()); diff != "" {
		t.Errorf("a restart wrote: %s", diff)
	}
	h.mailed("mia", 2)
	h.mailed("tom", 1)
	// A new invitation is reminded of anew.
	resend(h, mia, "1")
	h.mailed("mia", 3)
	h.later(6*24*time.Hour + time.Minute)
	h.mailed("mia", 4)
}

// A reminder that is refused for now is tried again, and takes nothing back from the invitation. One that is wanted only
// later goes out then.
func TestReminderRefusedForNow(t *testing.T) {
	h := operate(t).home(t)
	acme, _ := h.found()
	mia, _ := h.invited("mia")
	h.later(6*24*time.Hour + time.Hour)
	h.mail.say(refusedForNow)
	h.remind(acme, 24*time.Hour)
	h.eventually("a try", func() error {
		if h.get(mia); mia.Status.Invitation.NextAttemptAt == nil {
			return fmt.Errorf("%+v", mia.Status.Invitation)
		}
		return nil
	})
	if i := mia.Status.Invitation; i.ReminderAttempts != 1 || i.LastError == "" || reading(mia, "InvitationSent") != "True/InvitationSent" || reading(mia, "Ready") != "True/AwaitingAcceptance" {
		t.Errorf("status.invitation: %+v", i)
	}
	h.mail.say(nil)
	h.later(2 * time.Minute)
	h.mailed("mia", 2)
	h.eventually("it is on record", func() error {
		if h.get(mia); mia.Status.Invitation.RemindedAt == nil || mia.Status.Invitation.LastError != "" {
			return fmt.Errorf("%+v", mia.Status.Invitation)
		}
		return nil
	})
}

// The operator dies between sending a reminder and recording that: the next one sends the very same mail.
func TestCrashRepeatsTheSameReminder(t *testing.T) {
	var writes atomic.Int32
	h, mia := candidate(t, func(d *controllers.Deps) {
		d.Client = unsteady{d.Client, func() error {
			if writes.Add(1) == 4 {
				return errGone
			}
			return nil
		}}
	})
	acme := h.organization("acme", "")
	h.remind(acme, 24*time.Hour)
	h.eventually("the cache shows it", func() error {
		if err := h.deps.Client.Get(t.Context(), client.ObjectKeyFromObject(acme), acme); err != nil || acme.Spec.Invitations == nil {
			return fmt.Errorf("not yet: %w", err)
		}
		return nil
	})
	sender := &controllers.InvitationReconciler{Deps: h.deps}
	turn := func() {
		t.Helper()
		if _, err := sender.Reconcile(t.Context(), mia); err != nil {
			t.Fatal(err)
		}
		h.get(mia)
	}
	turn()
	h.clock.Step(6*24*time.Hour + time.Hour)
	turn()
	if mia.Status.Invitation.RemindedAt != nil || mia.Status.Invitation.ReminderAttempts != 1 {
		t.Fatalf("the test lost no write: %+v", mia.Status.Invitation)
	}
	h.clock.Step(time.Hour)
	turn()
	turn()
	letters := h.mailed("mia", 3)
	if diff := cmp.Diff(letters[1], letters[2], cmp.AllowUnexported(letter{})); diff != "" {
		t.Errorf("the reminder repeated after a crash is another one: %s", diff)
	}
	if mia.Status.Invitation.RemindedAt == nil || mia.Status.Invitation.ReminderAttempts != 2 {
		t.Errorf("status.invitation: %+v", mia.Status.Invitation)
	}
}
