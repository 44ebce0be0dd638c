package controllers_test

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/controllers"
	"github.com/orgkeeper/orgkeeper/internal/mail"
)

// resend asks for a new invitation.
func resend(h *home, m *v1alpha1.OrgMember, value string) {
	h.t.Helper()
	edit(h, m, func(m *v1alpha1.OrgMember) { m.Annotations = map[string]string{v1alpha1.AnnotationResend: value} })
}

// mailed waits until a member got so many mails in all.
func (h *home) mailed(name string, want int) []letter {
	h.t.Helper()
	h.eventually("mails to "+name, func() error {
		if got := len(h.mail.to(h.user(name))); got != want {
			return fmt.Errorf("%d, not %d", got, want)
		}
		return nil
	})
	return h.mail.to(h.user(name))
}

// The server refuses for now: the member reconciles, says when the next try is, and nothing is stalled.
func TestMailRefusedForNow(t *testing.T) {
	h := operate(t).home(t)
	h.mail.say(refusedForNow)
	h.found()
	mia := h.member("mia", v1alpha1.RoleMember)
	h.create(mia)
	h.becomes(mia, "InvitationSent", "False/InvitationDeferred")
	h.becomes(mia, "Ready", "False/InvitationDeferred")
	if got := reading(mia, "Stalled"); got != "" {
		t.Errorf("Stalled %q: only time is needed", got)
	}
	first := mia.Status.Invitation
	if first.NextAttemptAt == nil || first.LastError == "" || first.SentAt != nil || first.RejectedAt != nil || first.Attempts != 1 {
		t.Errorf("status.invitation: %+v", first)
	}
	// Each touch before the time changes nothing: no try, no write.
	h.touch(mia)
	h.later(0)
	if n := h.mail.refusals(); n != 1 {
		t.Errorf("%d tries before the time", n)
	}
	h.later(time.Minute)
	h.eventually("a second try", func() error {
		if h.get(mia); mia.Status.Invitation.Attempts != 2 || mia.Status.Invitation.NextAttemptAt == nil {
			return fmt.Errorf("attempts %d", mia.Status.Invitation.Attempts)
		}
		return nil
	})
	if wait := mia.Status.Invitation.NextAttemptAt.Sub(h.clock.Now()); wait <= 25*time.Second || wait > time.Minute {
		t.Errorf("the second wait is %s", wait)
	}
	h.mail.say(nil)
	h.later(2 * time.Minute)
	h.becomes(mia, "InvitationSent", "True/InvitationSent")
	h.becomes(mia, "Ready", "True/AwaitingAcceptance")
	if i := mia.Status.Invitation; i.LastError != "" || i.NextAttemptAt != nil || i.Attempts != 3 || i.Serial != 1 {
		t.Errorf("status.invitation: %+v", i)
	}
	h.mailed("mia", 1)
}

// The server refuses for good: stalled with its words, no further try, until somebody asks for a resend.
func TestMailRefusedForGood(t *testing.T) {
	h := operate(t).home(t)
	h.mail.say(refusedForGood)
	h.found()
	mia := h.member("mia", v1alpha1.RoleMember)
	h.create(mia)
	h.becomes(mia, "InvitationSent", "False/InvitationRejected")
	h.becomes(mia, "Stalled", "True/InvitationRejected")
	if !strings.Contains(mia.Status.Invitation.LastError, "no such user here") {
		t.Errorf("lastError %q has not the server's words", mia.Status.Invitation.LastError)
	}
	h.mail.say(nil)
	h.later(30 * 24 * time.Hour)
	h.restart(t)
	h.becomes(mia, "Ready", "False/InvitationRejected")
	if n := h.mail.refusals(); n != 1 {
		t.Errorf("%d tries", n)
	}
	resend(h, mia, "1")
	h.becomes(mia, "Ready", "True/AwaitingAcceptance")
	h.becomes(mia, "Stalled", "")
	h.mailed("mia", 1)
	if i := mia.Status.Invitation; i.Serial != 2 || i.RejectedAt != nil {
		t.Errorf("status.invitation: %+v", i)
	}
}

// A mail that failed and is due no more is not held against a member who is in by the platform's word.
func TestFailedMailThenNoMailNeeded(t *testing.T) {
	h := operate(t).home(t)
	h.mail.say(refusedForGood)
	h.found()
	mia := h.member("mia", v1alpha1.RoleMember)
	h.create(mia)
	h.becomes(mia, "Stalled", "True/InvitationRejected")
	edit(h, mia, joined)
	h.becomes(mia, "Ready", "True/Active")
	h.becomes(mia, "Stalled", "")
	h.becomes(mia, "InvitationSent", "")
}

// Nothing listens: the platform's trouble. All goes out when the server is back; an invitation that never left does not
// expire meanwhile.
func TestMailServerDown(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := listener.Addr().String()
	_ = listener.Close()
	down, err := mail.NewSMTP(mail.Config{Address: nobody, TLS: mail.NoTLS, Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	o := operate(t, with(func(d *controllers.Deps) { d.Invitations.SMTP = down }))
	h := o.home(t)
	h.found()
	mia := h.member("mia", v1alpha1.RoleMember)
	h.create(mia)
	h.becomes(mia, "InvitationSent", "False/MailerUnavailable")
	h.becomes(mia, "Ready", "False/MailerUnavailable")
	if got := reading(mia, "Stalled"); got != "" {
		t.Errorf("Stalled %q: the member is not to blame", got)
	}
	h.later(8 * 24 * time.Hour) // longer than it would be valid
	h.eventually("a new record", func() error {
		if h.get(mia); mia.Status.Invitation.Serial != 2 {
			return fmt.Errorf("serial %d", mia.Status.Invitation.Serial)
		}
		return nil
	})
	if mia.Status.State != v1alpha1.StatePending {
		t.Errorf("state %s of who was never asked", mia.Status.State)
	}
	o.change = nil // the server is back
	h.restart(t)
	h.later(10 * time.Minute)
	h.becomes(mia, "Ready", "True/AwaitingAcceptance")
	letters := h.mailed("mia", 1)
	if claims, err := h.keys.Verify(letters[0].token); err != nil || claims.Expires.Before(h.clock.Now().Add(6*24*time.Hour)) {
		t.Errorf("the link that went out is valid until %s: %v", claims.Expires, err)
	}
}

// Each new value of the annotation makes one new mail with a new link; the same value makes none.
func TestResend(t *testing.T) {
	h := operate(t).home(t)
	h.found()
	mia := h.member("mia", v1alpha1.RoleMember)
	h.create(mia)
	h.mailed("mia", 1)
	h.becomes(mia, "Ready", "True/AwaitingAcceptance")
	resend(h, mia, "once more")
	letters := h.mailed("mia", 2)
	h.becomes(mia, "InvitationSent", "True/InvitationSent")
	if mia.Status.Invitation.Serial != 2 || letters[0].token == letters[1].token || letters[0].messageID == letters[1].messageID {
		t.Errorf("serial %d, the second mail is the first again", mia.Status.Invitation.Serial)
	}
	resend(h, mia, "once more")
	h.restart(t)

	// It asks again after a no, and after silence.
	editStatus(h, mia, func(m *v1alpha1.OrgMember) { m.Status.DeclinedAt = m.Status.Invitation.SentAt })
	h.becomes(mia, "Ready", "True/Declined")
	h.becomes(mia, "Accepted", "False/Declined")
	resend(h, mia, "please")
	h.becomes(mia, "Ready", "True/AwaitingAcceptance")
	h.mailed("mia", 3)
	h.later(7*24*time.Hour + time.Second)
	h.becomes(mia, "Ready", "True/InvitationExpired")
	h.becomes(mia, "Accepted", "False/InvitationExpired")
	for _, reason := range []string{"InvitationSent", "InvitationResent", "Declined", "InvitationExpired"} {
		h.eventually("an Event tells of it", func() error { return h.toldOf(mia, reason) })
	}
	if mia.Status.State != v1alpha1.StateExpired {
		t.Errorf("state %s", mia.Status.State)
	}
	resend(h, mia, "last time")
	h.becomes(mia, "Accepted", "Unknown/AwaitingAcceptance")
	h.becomes(mia, "Ready", "True/AwaitingAcceptance")
	h.mailed("mia", 4)
	if mia.Status.Invitation.Serial != 4 || mia.Status.DeclinedAt != nil {
		t.Errorf("serial %d, declinedAt %v", mia.Status.Invitation.Serial, mia.Status.DeclinedAt)
	}
	// Whoever accepted is not asked again.
	since := mia.Status.StateSince
	h.clock.Step(2 * time.Second) // moments have whole seconds
	editStatus(h, mia, accept)
	h.becomes(mia, "Ready", "True/Active")
	if !since.Before(mia.Status.StateSince) {
		t.Errorf("Pending since %v, Active since %v", since, mia.Status.StateSince)
	}
	edit(h, mia, joined) // which changes nothing about how they joined
	h.settles()
	h.becomes(mia, "Accepted", "True/Accepted")
	resend(h, mia, "and again")
	h.restart(t)
	h.becomes(mia, "Ready", "True/Active")
	h.mailed("mia", 4)
}

// What must not make a mail: a dry run, the same manifest again, robots, suspension, an end in the past, mode None.
func TestNoMail(t *testing.T) {
	o := operate(t)
	h := o.home(t)
	h.found()
	if err := admin.Create(t.Context(), h.member("dry", v1alpha1.RoleMember), client.DryRunAll); err != nil {
		t.Fatal(err)
	}
	mia := h.member("mia", v1alpha1.RoleMember)
	suspended := h.member("sue", v1alpha1.RoleMember, func(m *v1alpha1.OrgMember) { m.Spec.Suspended = true })
	h.create(mia, h.robot("ci", h.name), suspended,
		h.member("late", v1alpha1.RoleMember, h.over()), h.member("none", v1alpha1.RoleMember, joined))
	h.becomes(mia, "Ready", "True/AwaitingAcceptance")
	for range 3 {
		apply := fmt.Appendf(nil, `{"apiVersion":"orgkeeper.dev/v1alpha1","kind":"OrgMember","metadata":{"name":"mia"},"spec":{"email":%q,"role":"Member"}}`, h.user("mia"))
		if err := admin.Patch(t.Context(), mia, client.RawPatch("application/apply-patch+yaml", apply), client.FieldOwner("flux"), client.ForceOwnership); err != nil {
			t.Fatal(err)
		}
	}
	edit(h, mia, func(m *v1alpha1.OrgMember) { m.Spec.DisplayName = "Mia" })
	h.restart(t)
	h.becomes(mia, "Ready", "True/AwaitingAcceptance")
	h.becomes(suspended, "Ready", "True/Suspended")
	h.mailed("mia", 1)
	for _, name := range []string{"dry", "sue", "late", "none"} {
		if got := h.mail.to(h.user(name)); got != nil {
			t.Errorf("%s got a mail", name)
		}
	}
	// The suspended one is asked once that ends.
	edit(h, suspended, func(m *v1alpha1.OrgMember) { m.Spec.Suspended = false })
	h.becomes(suspended, "Ready", "True/AwaitingAcceptance")
	h.mailed("sue", 1)
}
