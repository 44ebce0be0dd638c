package rules_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/internal/rules"
)

func remindBefore(d time.Duration) homeOption {
	return func(h *rules.Home) {
		h.Organization.Spec.Invitations = &v1alpha1.OrganizationInvitations{RemindBefore: &metav1.Duration{Duration: d}}
	}
}

// status alters the invitation's status.
func status(change func(i *v1alpha1.InvitationStatus)) memberOption {
	return func(m *v1alpha1.OrgMember) { change(m.Status.Invitation) }
}

func TestReminder(t *testing.T) {
	// invited says: sent almost a week ago, expires in an hour.
	soon, tooFar := now.Add(time.Minute), now.Add(2*time.Hour)
	day := remindBefore(24 * time.Hour)
	reminded := status(func(i *v1alpha1.InvitationStatus) { i.RemindedAt = stamp(now) })
	deferredReminder := func(at time.Time) memberOption {
		return status(func(i *v1alpha1.InvitationStatus) { i.ReminderAttempts, i.NextAttemptAt = 1, stamp(at) })
	}
	sentAt := func(at time.Time) memberOption {
		return status(func(i *v1alpha1.InvitationStatus) { i.SentAt = stamp(at) })
	}
	cases := map[string]struct {
		reason string
		home   rules.Home
		facts  rules.MemberFacts
		want   int32 // the try that is due
		at     time.Time
	}{
		"due":               {"a day before it expires", home(day), rules.MemberFacts{Member: member("mia", invited)}, 1, rules.Never},
		"due exactly now":   {"a moment that has come is due", home(remindBefore(time.Hour)), rules.MemberFacts{Member: member("mia", invited)}, 1, rules.Never},
		"not yet":           {"it is looked at again then", home(day), rules.MemberFacts{Member: member("mia", invited, status(func(i *v1alpha1.InvitationStatus) { i.ExpiresAt = *stamp(now.Add(25 * time.Hour)) }))}, 0, now.Add(time.Hour)},
		"not wanted":        {"nobody is reminded where nobody asked for it", home(), rules.MemberFacts{Member: member("mia", invited)}, 0, rules.Never},
		"reminded":          {"once is enough", home(day), rules.MemberFacts{Member: member("mia", invited, reminded)}, 0, rules.Never},
		"tried":             {"a crash between the record and the mail repeats the mail", home(day), rules.MemberFacts{Member: member("mia", invited, status(func(i *v1alpha1.InvitationStatus) { i.ReminderAttempts = 1 }))}, 2, rules.Never},
		"deferred":          {"the server asked for patience", home(day), rules.MemberFacts{Member: member("mia", invited, deferredReminder(soon))}, 0, soon},
		"deferred till now": {"and has had it", home(day), rules.MemberFacts{Member: member("mia", invited, deferredReminder(now))}, 2, rules.Never},
		"deferred for long": {"no wait is that long: the clock ran ahead then", home(day), rules.MemberFacts{Member: member("mia", invited, deferredReminder(tooFar))}, 2, rules.Never},
		"refused":           {"a refusal for good is not tried again", home(day), rules.MemberFacts{Member: member("mia", invited, status(func(i *v1alpha1.InvitationStatus) { i.RejectedAt = stamp(now) }))}, 0, rules.Never},
		"sent later":        {"the invitation is younger than the reminder would be", home(day), rules.MemberFacts{Member: member("mia", invited, sentAt(now.Add(-22*time.Hour)))}, 0, rules.Never},
		"sent just then":    {"two mails at once say nothing more than one", home(day), rules.MemberFacts{Member: member("mia", invited, sentAt(now.Add(-23*time.Hour)))}, 0, rules.Never},
		"sent by a clock that ran ahead": {"less is known than it takes to remind", home(day),
			rules.MemberFacts{Member: member("mia", invited, sentAt(now.Add(time.Hour)))}, 0, rules.Never},
		"not sent":        {"an invitation that waits is no matter of reminding", home(day), rules.MemberFacts{Member: member("mia", deferredUntil(soon))}, 0, soon},
		"never sent":      {"the invitation comes first", home(day), rules.MemberFacts{Member: member("mia")}, -1, rules.Never},
		"expired":         {"there is nothing left to answer", home(day), rules.MemberFacts{Member: member("mia", invitedUntil(now))}, 0, rules.Never},
		"accepted":        {"who is in is not reminded", home(day), rules.MemberFacts{Member: member("mia", accepted)}, 0, rules.Never},
		"declined":        {"no is an answer", home(day), rules.MemberFacts{Member: member("mia", declined)}, 0, rules.Never},
		"without asking":  {"there is nothing to answer any more", home(day), rules.MemberFacts{Member: member("mia", invited, withoutAsking)}, 0, rules.Never},
		"suspended":       {"a link would open nothing", home(day), rules.MemberFacts{Member: member("mia", invited, suspended)}, 0, rules.Never},
		"membership over": {"a link would open nothing", home(day), rules.MemberFacts{Member: member("mia", invited, expires(now))}, 0, rules.Never},
		"leaving":         {"a link would open nothing", home(day), rules.MemberFacts{Member: member("mia", invited, leaving)}, 0, rules.Never},
		"duplicate":       {"a link would open nothing", home(day), rules.MemberFacts{Member: member("mia", invited), SameEmail: "old"}, 0, rules.Never},
		"another domain": {"a link would open nothing", home(day, func(h *rules.Home) { h.Organization.Spec.Invitations.AllowedDomains = []string{"other.example"} }),
			rules.MemberFacts{Member: member("mia", invited)}, 0, rules.Never},
		"organization leaves": {"there is nothing to join any more", home(day, organizationLeaves), rules.MemberFacts{Member: member("mia", invited)}, 0, rules.Never},
		"resend":              {"the new invitation comes first", home(day), rules.MemberFacts{Member: member("mia", invited, resend("1"))}, -1, rules.Never},
		"resend after one":    {"a new serial is reminded of again, later", home(day), rules.MemberFacts{Member: member("mia", invited, reminded, resend("1"))}, -1, rules.Never},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			before := c.facts.Member.DeepCopy()
			due, at := rules.NextInvitationMail(c.home, c.facts)
			var got int32
			switch {
			case due != nil && due.Reminder:
				got = due.Attempts()
				if due.First != (got == 1) || due.Record.NextAttemptAt != nil || due.Record.Serial != before.Status.Invitation.Serial {
					t.Errorf("%s: %+v", c.reason, due)
				}
			case due != nil:
				got = -1
				if due.Record.RemindedAt != nil || due.Record.ReminderAttempts != 0 {
					t.Errorf("%s: a new invitation begins reminded: %+v", c.reason, due.Record)
				}
			}
			if got != c.want || !at.Equal(c.at) {
				t.Errorf("%s\ntry %d, look again at %v; want %d, %v", c.reason, got, at, c.want, c.at)
			}
			if diff := cmp.Diff(before, c.facts.Member); diff != "" {
				t.Errorf("the member, which may be the cache's, was changed\n%s", diff)
			}
		})
	}
}

// What a resend does in each state that an invitation can be in.
func TestResendInEveryState(t *testing.T) {
	waiting := func(m *v1alpha1.OrgMember) { tried(1, now.Add(time.Hour))(m); m.Status.Invitation.Attempts = 0 }
	for _, c := range []struct {
		reason string
		was    []memberOption
		serial int32 // of the mail that is due; 0: none
	}{
		{"never invited: the first mail answers", nil, 1},
		{"waiting for the organization's turn: the mail that waits is the new one", []memberOption{waiting}, 2},
		{"recorded, outcome unknown", []memberOption{tried(1, now.Add(time.Hour))}, 2},
		{"refused for now", []memberOption{deferredUntil(now.Add(time.Minute))}, 2},
		{"refused for good", []memberOption{rejected}, 2},
		{"sent and unanswered", []memberOption{invited}, 2},
		{"sent by a clock that ran ahead", []memberOption{invited, status(func(i *v1alpha1.InvitationStatus) {
			i.SentAt, i.IssuedAt = stamp(now.Add(time.Hour)), stamp(now.Add(time.Hour))
		})}, 2},
		{"reminded", []memberOption{invited, status(func(i *v1alpha1.InvitationStatus) { i.RemindedAt = stamp(now) })}, 2},
		{"declined", []memberOption{declined}, 2},
		{"declined and expired", []memberOption{declined, invitedUntil(now)}, 2},
		{"expired", []memberOption{invitedUntil(now)}, 2},
		{"never sent and expired", []memberOption{tried(1, now)}, 2},
		{"accepted: nobody is asked twice", []memberOption{accepted}, 0},
		{"brought in without asking", []memberOption{invited, withoutAsking}, 0},
		{"suspended: it waits until that ends", []memberOption{invited, suspended}, 0},
		{"membership over: it waits until that moves", []memberOption{invited, expires(now)}, 0},
		{"being withdrawn", []memberOption{invited, leaving}, 0},
	} {
		f := rules.MemberFacts{Member: member("mia", append(c.was, resend("again"))...)}
		record, at := rules.NextInvitation(home(), f)
		if got := record.DeepCopy(); (got == nil) != (c.serial == 0) || (got != nil && (got.Serial != c.serial || got.Resend != "again" || got.Attempts != 1)) || !at.IsZero() {
			t.Errorf("%s: %+v at %v, want serial %d", c.reason, got, at, c.serial)
		}
		if record == nil {
			continue
		}
		// Once answered, the same value asks for nothing.
		f.Member.Status.Invitation, f.Member.Status.DeclinedAt = record, nil
		record.SentAt = stamp(now)
		if again, at := rules.NextInvitation(home(), f); again != nil || !at.IsZero() {
			t.Errorf("%s: and once more %+v at %v", c.reason, again, at)
		}
	}
}

// An invitation that waited for its turn begins when it goes out: no link of it left before.
func TestTimeBeginsWithTheFirstTry(t *testing.T) {
	waits := rules.InLine(nil, &v1alpha1.InvitationStatus{Serial: 1, IssuedAt: stamp(now.Add(-30 * time.Hour)), ExpiresAt: *stamp(now.Add(-time.Hour)), Attempts: 1}, now.Add(time.Hour))
	m := member("mia")
	m.Status.Invitation = waits
	s := rules.Judge(home(), rules.MemberFacts{Member: m})
	if s.State != v1alpha1.StatePending || says(s.Verdict) != "Reconciling InvitationLimited" {
		t.Errorf("%s, %s", s.State, says(s.Verdict))
	}
	checkVerdict(t, s.Verdict, "mia")
	record, _ := rules.NextInvitation(home(), rules.MemberFacts{Member: m})
	want := &v1alpha1.InvitationStatus{Serial: 1, IssuedAt: stamp(now), ExpiresAt: *stamp(now.Add(rules.DefaultValidFor)), Attempts: 1}
	if diff := cmp.Diff(want, record); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	// A resend that waits leaves the link of the invitation before as it is.
	sent := member("mia", invited).Status.Invitation
	if diff := cmp.Diff(sent.ExpiresAt, rules.InLine(sent, record, now).ExpiresAt); diff != "" || sent.NextAttemptAt != nil {
		t.Errorf("changed: %s", diff)
	}
}

// However the clock jumps, and whatever becomes of each try: serials never fall, no mail is sent twice, nobody is asked or
// reminded once the answer is there or with an expired link, and a wait ends within an hour or at the reminder.
func TestClockJumps(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := home(remindBefore(24 * time.Hour))
		m := member("mia")
		sentOnce := map[string]bool{}
		outage := rules.Outage{}
		for range 40 {
			jump := rapid.SampledFrom([]time.Duration{time.Second, time.Minute, time.Hour, 20 * time.Hour, 6 * 24 * time.Hour, 400 * 24 * time.Hour,
				-time.Second, -time.Hour, -30 * time.Hour, -400 * 24 * time.Hour}).Draw(t, "jump")
			h.Now = h.Now.Add(jump)
			switch rapid.IntRange(0, 12).Draw(t, "event") {
			case 0:
				resend(rapid.SampledFrom([]string{"1", "2"}).Draw(t, "resend"))(m)
			case 1:
				if i := m.Status.Invitation; i != nil && i.SentAt != nil {
					m.Status.DeclinedAt = stamp(h.Now)
				}
			}
			rules.Judge(h, rules.MemberFacts{Member: m})
			if ok, at := outage.Admit(h.Now); !ok && (!at.After(h.Now) || at.After(h.Now.Add(5*time.Minute))) {
				t.Fatalf("an outage ends at %v, and now it is %v", at, h.Now)
			}
			due, at := rules.NextInvitationMail(h, rules.MemberFacts{Member: m})
			if due == nil {
				i := m.Status.Invitation
				if !at.IsZero() && (!at.After(h.Now) || (at.After(h.Now.Add(time.Hour)) && !at.Equal(i.ExpiresAt.Add(-24*time.Hour)))) {
					t.Fatalf("look again at %v, and now it is %v: %+v", at, h.Now, i)
				}
				continue
			}
			old, r := m.Status.Invitation, due.Record
			switch {
			case old != nil && r.Serial < old.Serial:
				t.Fatalf("serial %d after %d", r.Serial, old.Serial)
			case !r.ExpiresAt.After(h.Now):
				t.Fatalf("a link that is over is sent: %+v", r)
			case due.Reminder && m.Status.DeclinedAt != nil:
				t.Fatal("reminded after an answer")
			}
			if old == nil || r.Serial != old.Serial {
				m.Status.DeclinedAt = nil
			}
			m.Status.Invitation = r
			what := fmt.Sprint(r.Serial, due.Reminder)
			if sentOnce[what] {
				t.Fatalf("%s is sent twice", what)
			}
			sentAt := &r.SentAt
			if due.Reminder {
				sentAt = &r.RemindedAt
			}
			switch rapid.SampledFrom([]string{"sent", "sent", "deferred", "unavailable", "crash"}).Draw(t, "outcome") {
			case "sent":
				*sentAt, sentOnce[what], outage = stamp(h.Now), true, rules.Outage{}
			case "deferred":
				r.NextAttemptAt = stamp(h.Now.Add(rules.Retry(due.Attempts(), false, 0)))
			case "unavailable":
				outage = outage.Failed(h.Now, 0)
			}
		}
	})
}
