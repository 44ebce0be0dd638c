package controllers_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/internal/portal"
)

// The clock runs ahead by days and is put right again, again and again, between issue, tries, reminder and expiry, and is
// once behind. No mail is lost, none is sent twice, and nobody is left in a state that does not heal.
func TestClockJumps(t *testing.T) {
	h := operate(t, func(o *operator) { o.mailLimit = 4 }).home(t)
	acme, _ := h.found()
	h.remind(acme, 24*time.Hour)
	sue, link := h.invited("sue")
	ann, _ := h.invited("ann")
	editStatus(h, ann, accept)
	h.mail.say(refusedForNow)
	dan, eve, lim := h.member("dan", v1alpha1.RoleMember), h.member("eve", v1alpha1.RoleMember), h.member("lim", v1alpha1.RoleMember)
	for _, m := range []*v1alpha1.OrgMember{dan, eve} {
		h.create(m)
		h.becomes(m, "InvitationSent", "False/InvitationDeferred")
	}
	h.create(lim)
	h.becomes(lim, "InvitationSent", "False/InvitationLimited")
	const day = 24 * time.Hour

	// Ahead, where the server refuses as well, and back: nobody waits until that day comes.
	h.during(3*day, func() {
		h.becomes(lim, "InvitationSent", "False/InvitationDeferred")
		h.settles()
		h.mail.say(nil)
	})
	for _, m := range []*v1alpha1.OrgMember{dan, eve, lim} {
		h.becomes(m, "Ready", "True/AwaitingAcceptance")
	}
	h.got(map[string]int{"sue": 1, "ann": 1, "dan": 1, "eve": 1, "lim": 1})

	// Ahead of every expiry, and back: who had time to answer has it again, with the link that they got.
	h.during(30*day, func() {
		for _, m := range []*v1alpha1.OrgMember{sue, dan, eve, lim} {
			h.becomes(m, "Ready", "True/InvitationExpired")
		}
	})
	for _, m := range []*v1alpha1.OrgMember{sue, dan, eve, lim} {
		h.becomes(m, "Ready", "True/AwaitingAcceptance")
		h.shows(h.link(m), portal.Open)
	}
	h.becomes(ann, "Ready", "True/Active")
	if now := h.link(sue); now != link {
		t.Errorf("sue's link is %+v, and was %+v", now, link)
	}

	// Ahead to the day of the reminders, twice: one each.
	for range 2 {
		h.during(6*day+12*time.Hour, func() {
			for _, name := range []string{"sue", "dan", "eve"} {
				h.mailed(name, 2)
			}
		})
	}
	h.got(map[string]int{"sue": 2, "ann": 1, "dan": 2, "eve": 2, "lim": 1})

	// The server lets nobody in ahead: when the clock is right it is not waited for that day.
	out := h.member("out", v1alpha1.RoleMember)
	h.during(3*day, func() {
		h.mail.say(closedToUs)
		h.create(out)
		h.becomes(out, "InvitationSent", "False/MailerUnavailable")
		h.mail.say(nil)
	})
	h.becomes(out, "Ready", "True/AwaitingAcceptance")
	h.mailed("out", 1)

	// Behind: a link of that time is over when the clock is right, and a resend makes good for it. All others stay as they are.
	old := h.member("old", v1alpha1.RoleMember)
	h.during(-10*day, func() {
		h.create(old)
		h.becomes(old, "Ready", "True/AwaitingAcceptance")
	})
	h.becomes(old, "Ready", "True/InvitationExpired")
	resend(h, old, "now that the clock is right")
	h.becomes(old, "Ready", "True/AwaitingAcceptance")
	h.got(map[string]int{"sue": 2, "ann": 1, "dan": 2, "eve": 2, "lim": 1, "out": 1, "old": 2})
	for _, m := range []*v1alpha1.OrgMember{sue, dan, eve, lim, out, old} {
		h.becomes(m, "InvitationSent", "True/InvitationSent")
		h.shows(h.link(m), portal.Open)
	}
}

// during is what happens while the clock is wrong. It is right again when everything was looked at.
func (h *home) during(wrong time.Duration, happens func()) {
	h.t.Helper()
	h.later(wrong)
	happens()
	h.settles()
	h.later(-wrong)
}

// got fails the test unless each got so many mails, and gets no more.
func (h *home) got(want map[string]int) {
	h.t.Helper()
	h.settles()
	got := map[string]int{}
	for name := range want {
		got[name] = len(h.mail.to(h.user(name)))
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		h.t.Errorf("mails: %v, not %v", got, want)
	}
}
