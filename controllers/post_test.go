package controllers_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/controllers"
)

// ownEvent waits for an Event about the operator itself.
func (h *home) ownEvent(t *testing.T, reason string) {
	t.Helper()
	h.eventually("an Event "+reason, func() error {
		var events corev1.EventList
		if err := admin.List(t.Context(), &events, client.InNamespace("default")); err != nil {
			return err
		}
		for _, e := range events.Items {
			if e.InvolvedObject.Kind == "Lease" && e.InvolvedObject.Name == "orgkeeper-"+strings.ToLower(t.Name()) && e.Reason == reason {
				return nil
			}
		}
		return errors.New("none")
	})
}

// The mail server lets nobody in: that is found once, not by each member, and probed by one mail at a time. When it is back
// all go out, whoever found it, and nobody is stalled meanwhile.
func TestMailServerLetsNobodyIn(t *testing.T) {
	h := operate(t).home(t)
	h.found()
	h.mail.say(closedToUs)
	var members []*v1alpha1.OrgMember
	for i := range 8 {
		members = append(members, h.member(fmt.Sprintf("m%d", i), v1alpha1.RoleMember))
		h.create(members[i])
	}
	for _, m := range members {
		h.becomes(m, "InvitationSent", "False/MailerUnavailable")
		if got := reading(m, "Stalled"); got != "" {
			t.Errorf("%s is stalled: %s", m.Name, got)
		}
	}
	h.ownEvent(t, "MailerUnavailable")
	ready := func(value int) {
		t.Helper()
		h.metricsCome(fmt.Sprintf(`
# HELP orgkeeper_mailer_ready 1 unless this replica found that no mail can be sent, whoever it is for; then 0 until one is.
# TYPE orgkeeper_mailer_ready gauge
orgkeeper_mailer_ready %d
`, value), "orgkeeper_mailer_ready")
	}
	ready(0)
	if got := h.deps.Post.Outage(); !strings.Contains(got, "authentication failed") {
		t.Errorf("/readyz says %q", got)
	}
	tries := h.mail.refusals()
	if tries > 4 {
		t.Errorf("%d tries: more than were on their way at once", tries)
	}
	h.later(time.Minute)
	h.eventually("a probe", func() error {
		if h.mail.refusals() == tries {
			return errors.New("no")
		}
		return nil
	})
	h.settles()
	if got := h.mail.refusals(); got != tries+1 {
		t.Errorf("%d tries after a minute, not one", got-tries)
	}

	h.mail.say(nil)
	h.clock.Step(time.Hour)
	h.touch(members[3])
	for _, m := range members {
		h.becomes(m, "Ready", "True/AwaitingAcceptance")
		h.mailed(m.Name, 1)
	}
	ready(1)
	h.ownEvent(t, "MailerReady")

	// The next outage has words of its own.
	h.mail.say(&smtp.SMTPError{Code: 530, EnhancedCode: smtp.EnhancedCode{5, 7, 0}, Message: "TLS is wanted here"})
	h.create(h.member("zoe", v1alpha1.RoleMember))
	h.eventually("an Event in other words", func() error {
		var events corev1.EventList
		if err := admin.List(t.Context(), &events, client.InNamespace("default")); err != nil {
			return err
		}
		for _, e := range events.Items {
			if e.Reason == "MailerUnavailable" && strings.Contains(e.Message, "TLS is wanted here") {
				return nil
			}
		}
		return errors.New("none")
	})
}

// An organization causes no more mails in a day than it may, whatever its people do. Those who wait go out by themselves, in
// order of creation.
func TestMailLimit(t *testing.T) {
	o := operate(t, func(o *operator) { o.mailLimit = 3 })
	h := o.home(t)
	acme, _ := h.found()
	zoe, _ := h.invited("zoe")
	bob, link := h.invited("bob")
	h.invited("cat")
	dan, eve := h.member("dan", v1alpha1.RoleMember), h.member("eve", v1alpha1.RoleMember)
	h.create(dan, eve)
	for _, m := range []*v1alpha1.OrgMember{dan, eve} {
		h.becomes(m, "InvitationSent", "False/InvitationLimited")
		h.becomes(m, "Ready", "False/InvitationLimited")
		i := m.Status.Invitation
		if i.Attempts != 0 || i.NextAttemptAt == nil || i.NextAttemptAt.Before(zoe.Status.Invitation.SentAt) || reading(m, "Stalled") != "" {
			t.Errorf("%s: %+v", m.Name, i)
		}
		if wait := i.NextAttemptAt.Sub(h.clock.Now()); wait < 23*time.Hour || wait > 25*time.Hour {
			t.Errorf("%s waits for %s", m.Name, wait)
		}
	}
	// To delete somebody and to add them again brings no further mail, nor does asking again.
	h.delete(zoe)
	h.goes(zoe)
	zoe = h.member("zoe", v1alpha1.RoleMember)
	h.create(zoe)
	h.becomes(zoe, "Ready", "False/InvitationLimited")
	resend(h, bob, "again")
	h.becomes(bob, "InvitationSent", "False/InvitationLimited")
	h.becomes(bob, "Ready", "True/AwaitingAcceptance")
	if i := bob.Status.Invitation; i.Serial != 1 || !i.ExpiresAt.Time.Equal(link.Expires) {
		t.Errorf("the link that bob has is void, and no other was sent: %+v", i)
	}
	h.settles()
	before := h.versions()
	h.restart(t)
	h.settles()
	if after := h.versions(); fmt.Sprint(before) != fmt.Sprint(after) {
		t.Errorf("a restart wrote: %v, then %v", before, after)
	}
	for name, want := range map[string]int{"zoe": 1, "bob": 1, "cat": 1, "dan": 0, "eve": 0} {
		if got := len(h.mail.to(h.user(name))); got != want {
			t.Errorf("%s got %d mails", name, got)
		}
	}
	// Bob is the oldest in line, zoe by now the youngest, or the last by name of the youngest.
	h.later(26 * time.Hour)
	for _, m := range []*v1alpha1.OrgMember{bob, dan, eve} {
		h.becomes(m, "InvitationSent", "True/InvitationSent")
	}
	h.mailed("bob", 2)
	if left := dan.Status.Invitation.ExpiresAt.Sub(h.clock.Now()); left < 7*24*time.Hour-time.Hour {
		t.Errorf("of dan's time %s are left when he is asked", left)
	}
	h.becomes(zoe, "InvitationSent", "False/InvitationLimited")
	h.get(acme)
	if len(acme.Status.Mails) != 1 || acme.Status.Mails[0].Count != 3 {
		t.Errorf("status.mails: %+v", acme.Status.Mails)
	}
	h.mailed("zoe", 1)
	// A resend that is taken back while it waits leaves everything as it was.
	resend(h, eve, "me too")
	h.becomes(eve, "InvitationSent", "False/InvitationLimited")
	edit(h, eve, func(m *v1alpha1.OrgMember) { m.Annotations = nil })
	h.becomes(eve, "InvitationSent", "True/InvitationSent")
	h.mailed("eve", 1)
}

// Members who come in at once race for the last mails of the day: no more go out than may.
func TestMailLimitInACrowd(t *testing.T) {
	h := operate(t, func(o *operator) { o.mailLimit = 5 }).home(t)
	h.found()
	var members []*v1alpha1.OrgMember
	var adding sync.WaitGroup
	for i := range 20 {
		m := h.member(fmt.Sprintf("m%02d", i), v1alpha1.RoleMember)
		members = append(members, m)
		adding.Go(func() {
			if err := admin.Create(context.Background(), m); err != nil {
				t.Error(err)
			}
		})
	}
	adding.Wait()
	h.eventually("each was sent a mail or waits", func() error {
		sent, waiting := 0, 0
		for _, m := range members {
			switch h.get(m); reading(m, "InvitationSent") {
			case "True/InvitationSent":
				sent++
			case "False/InvitationLimited":
				waiting++
			}
		}
		if sent+waiting != 20 {
			return fmt.Errorf("%d sent, %d wait", sent, waiting)
		}
		if sent != 5 {
			h.t.Errorf("%d sent", sent)
		}
		return nil
	})
	h.settles()
	got := 0
	for _, m := range members {
		got += len(h.mail.to(h.userOf(m)))
	}
	if got > 5 {
		t.Errorf("%d mails", got)
	}
}

// A mail server that is slow holds up as many mails as may go out at once, and nothing else. What waits for the rate waits in
// the same way.
func TestMailServerIsSlow(t *testing.T) {
	const perSecond = 5
	h := operate(t, with(func(d *controllers.Deps) {
		c := d.Post.PostConfig
		c.Workers, c.Rate = 2, perSecond
		d.Post = controllers.NewPost(c)
	})).home(t)
	h.found()
	open := h.mail.stall()
	defer open()
	for i := range 5 {
		h.create(h.member(fmt.Sprintf("m%d", i), v1alpha1.RoleMember))
	}
	h.eventually("two mails are on their way", func() error {
		if n := h.mail.waiting(); n != 2 {
			return fmt.Errorf("%d", n)
		}
		return nil
	})
	web, tom := h.workspace("web"), h.member("tom", v1alpha1.RoleMember, joined)
	h.create(web, tom, h.assignment("tom", "tom", v1alpha1.AccessView, "web"))
	h.has(h.user("tom"), h.in("web"), v1alpha1.AccessView)
	if n := h.mail.waiting(); n != 2 {
		t.Errorf("%d mails at once", n)
	}
	since := time.Now()
	open()
	for i := range 5 {
		h.mailed(fmt.Sprintf("m%d", i), 1)
	}
	// The third may have waited for a worker alone; the two after it wait for the rate.
	if took := time.Since(since); took < 2*time.Second/perSecond {
		t.Errorf("three mails in %s, at %d a second", took, perSecond)
	}
}
