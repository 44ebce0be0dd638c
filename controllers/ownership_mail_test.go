package controllers_test

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/controllers"
	"github.com/orgkeeper/orgkeeper/internal/mail"
)

const gained, lost = "You now own acme:", "You no longer own acme:"

// reads wants a member to have got one mail in all, which says so.
func (h *home) reads(name string, says ...string) letter {
	h.t.Helper()
	l := h.mailed(name, 1)[0]
	for _, words := range says {
		if !strings.Contains(l.body, words) {
			h.t.Errorf("the mail to %s does not say %q:\n%s", name, words, l.body)
		}
	}
	if strings.Contains(l.body, addressDomain) || l.token != "" {
		h.t.Errorf("the mail to %s shows an address or a link:\n%s", name, l.body)
	}
	return l
}

// admits adds an admin and waits until they can take over.
func (h *home) admits(name string, change ...func(*v1alpha1.OrgMember)) *v1alpha1.OrgMember {
	h.t.Helper()
	m := h.member(name, v1alpha1.RoleAdmin, append(change, joined)...)
	h.create(m)
	h.becomes(m, "Ready", "True/Active")
	return m
}

func called(name v1alpha1.Line) func(*v1alpha1.OrgMember) {
	return func(m *v1alpha1.OrgMember) { m.Spec.DisplayName = name }
}

// notified waits until the try of a mail about a transfer is recorded as the check wants it.
func (h *home) notified(m *v1alpha1.OrgMember, serial int32, check func(*v1alpha1.OwnershipNotice) bool) {
	h.t.Helper()
	h.eventually("the notice of "+m.Name, func() error {
		if h.get(m); m.Status.OwnershipNotice == nil || m.Status.OwnershipNotice.Serial != serial || !check(m.Status.OwnershipNotice) {
			return fmt.Errorf("%+v", m.Status.OwnershipNotice)
		}
		return nil
	})
}

func isSent(n *v1alpha1.OwnershipNotice) bool     { return n.SentAt != nil }
func isDeferred(n *v1alpha1.OwnershipNotice) bool { return n.NextAttemptAt != nil && n.LastError != "" }

// Ownership moves: the one and the other are told once, the owner before stays an admin, and a new operator has nothing to
// add.
func TestOwnershipMails(t *testing.T) {
	h := operate(t).home(t)
	acme, jane := h.found()
	ann := h.admits("ann", called("Ann Doe"))
	h.create(h.workspace("web"))
	h.owns(acme, jane)
	if acme.Status.Transfers != nil {
		t.Errorf("the first owner is a transfer: %+v", acme.Status.Transfers)
	}
	h.transfer(acme, "ann")
	h.owns(acme, ann)
	toAnn, toJane := h.reads("ann", gained, "from jane to you"), h.reads("jane", lost, "from you to Ann Doe", "You remain an admin.", " UTC\r\n")
	h.notified(ann, 1, isSent)
	h.notified(jane, 1, isSent)
	h.has(h.user("jane"), h.in("web"), v1alpha1.AccessAdmin)
	h.eventually("jane is no owner", h.allowed(jane, "update", ownerRight, false))
	h.eventually("jane is an admin", h.allowed(jane, "update", "organizations/profile.orgkeeper.dev", true))
	h.get(acme)
	want := []v1alpha1.OwnershipTransfer{{Serial: 1, From: "jane", FromUID: string(jane.UID), To: "ann", ToUID: string(ann.UID)}}
	if len(acme.Status.Transfers) == 1 {
		want[0].At = acme.Status.Transfers[0].At
	}
	if diff := cmp.Diff(want, acme.Status.Transfers); diff != "" {
		t.Fatalf("status.transfers: %s", diff)
	}
	for _, l := range []letter{toAnn, toJane} {
		if date, err := time.Parse(time.RFC1123Z, l.date); err != nil || !date.Equal(want[0].At.Time) {
			t.Errorf("the mail is of %s, the transfer of %s: %v", l.date, want[0].At, err)
		}
	}
	if toAnn.messageID != fmt.Sprintf("<%s.1.ownership@orgkeeper.example>", ann.UID) {
		t.Errorf("Message-ID %s", toAnn.messageID)
	}
	h.mailsCounted("ownership", map[string]float64{"sent": 2})
	h.eventually("an Event tells of it", func() error { return h.toldOf(ann, "OwnershipMailSent") })

	h.settles()
	before := h.versions()
	h.restart(t)
	h.settles()
	if diff := cmp.Diff(before, h.versions()); diff != "" {
		t.Errorf("a restart wrote: %s", diff)
	}
	h.mailed("ann", 1)
	h.mailed("jane", 1)
}

// toldOf wants an Event of a reason about an object.
func (h *home) toldOf(o client.Object, reason string) error {
	var events corev1.EventList
	if err := admin.List(h.t.Context(), &events, client.InNamespace(h.name)); err != nil {
		return err
	}
	for _, e := range events.Items {
		if e.InvolvedObject.UID == o.GetUID() && e.Reason == reason {
			return nil
		}
	}
	return errors.New("no Event " + reason)
}

// Nothing listens for hours: both are told when the server is back, by an operator that was not there when it happened.
func TestOwnershipMailsAfterAnOutage(t *testing.T) {
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
	acme, jane := h.found()
	ann := h.admits("ann")
	h.recorded(acme, jane)
	h.transfer(acme, "ann")
	tries := func() (n int32) {
		for _, m := range []*v1alpha1.OrgMember{ann, jane} {
			if h.get(m); m.Status.OwnershipNotice != nil && m.Status.OwnershipNotice.LastError != "" {
				n += m.Status.OwnershipNotice.Attempts
			}
		}
		return n
	}
	h.eventually("the first of them was tried", func() error {
		if tries() == 0 {
			return errors.New("no")
		}
		return nil
	})
	h.ownEvent(t, "MailerUnavailable")
	h.becomes(jane, "Ready", "True/Active") // the mail is not what membership is about
	before := tries()
	h.later(time.Hour)
	h.eventually("another try", func() error {
		if tries() <= before {
			return errors.New("no")
		}
		return nil
	})
	o.change = nil // the server is back
	h.restart(t)
	h.later(5 * time.Hour)
	h.reads("ann", gained)
	h.reads("jane", lost)
}

// recorded waits until the ownership is on record.
func (h *home) recorded(acme *v1alpha1.Organization, m *v1alpha1.OrgMember) {
	h.t.Helper()
	h.eventually(m.Name+" owns", func() error {
		if h.get(acme); acme.Status.Owner != m.Name {
			return fmt.Errorf("status.owner is %q", acme.Status.Owner)
		}
		return nil
	})
}

// The ownership moves on while no mail gets through: everybody reads what is true of them in the end.
func TestOwnershipMovesOnDuringAnOutage(t *testing.T) {
	h := operate(t).home(t)
	acme, jane := h.found()
	ann, bob := h.admits("ann"), h.admits("bob")
	h.recorded(acme, jane)
	h.mail.say(refusedForNow)
	h.transfer(acme, "ann")
	h.notified(jane, 1, isDeferred)
	h.notified(ann, 1, isDeferred)
	h.transfer(acme, "bob")
	h.notified(ann, 2, isDeferred)
	h.notified(bob, 2, isDeferred)
	h.mail.say(nil)
	h.later(3 * time.Hour)
	h.reads("jane", lost, "from you to ann")
	h.reads("ann", lost, "from you to bob")
	h.reads("bob", gained, "from ann to you")
	h.notified(ann, 2, isSent)
	h.settles()
	for _, name := range []string{"jane", "ann", "bob"} {
		h.mailed(name, 1)
	}
}

// Refused for good: said in the status and by an Event, and not tried again. The next move is told as if nothing had been.
func TestOwnershipMailRefusedForGood(t *testing.T) {
	h := operate(t).home(t)
	acme, jane := h.found()
	ann := h.admits("ann")
	h.recorded(acme, jane)
	h.mail.say(refusedForGood)
	h.transfer(acme, "ann")
	for _, m := range []*v1alpha1.OrgMember{ann, jane} {
		h.notified(m, 1, func(n *v1alpha1.OwnershipNotice) bool {
			return n.RejectedAt != nil && strings.Contains(n.LastError, "no such user here")
		})
		h.eventually("an Event tells of it", func() error { return h.toldOf(m, "OwnershipMailRejected") })
	}
	h.mail.say(nil)
	h.later(24 * time.Hour)
	h.restart(t)
	h.settles()
	if n := h.mail.refusals(); n != 2 {
		t.Errorf("%d tries", n)
	}
	h.transfer(acme, "jane")
	h.reads("jane", gained)
	h.reads("ann", lost)
}
