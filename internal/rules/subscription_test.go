package rules_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/internal/rules"
)

func subscribed(change func(*v1alpha1.OrganizationSubscription)) homeOption {
	return func(h *rules.Home) {
		if h.Organization.Spec.Subscription == nil {
			h.Organization.Spec.Subscription = &v1alpha1.OrganizationSubscription{}
		}
		change(h.Organization.Spec.Subscription)
	}
}

var cancelledOpen = subscribed(func(s *v1alpha1.OrganizationSubscription) { s.Cancelled = true })

func cancelledUntil(t time.Time) homeOption {
	return subscribed(func(s *v1alpha1.OrganizationSubscription) { s.Cancelled, s.PaidThrough = true, stamp(t) })
}

func paidUntil(t time.Time) homeOption {
	return subscribed(func(s *v1alpha1.OrganizationSubscription) { s.PaidThrough = stamp(t) })
}

// What a subscription means: for the condition, for access to workspaces, for somebody new, for an open link, and when time
// changes it.
func TestSubscription(t *testing.T) {
	in := func(d time.Duration) time.Time { return now.Add(d) }
	const week = 7 * 24 * time.Hour
	for _, c := range []struct {
		reason       string
		subscription homeOption
		says         string
		access       v1alpha1.Access
		somebodyNew  string
		link         rules.LinkState
		wake         time.Time
	}{
		{"none", func(*rules.Home) {}, "", "Edit", "Reconciling InvitationQueued", rules.LinkOpen, rules.Never},
		{"paid", paidUntil(in(week)), "True Subscribed", "Edit", "Reconciling InvitationQueued", rules.LinkOpen, rules.Never},
		{"not paid any more, and not cancelled", paidUntil(in(-week)), "True Subscribed", "Edit", "Reconciling InvitationQueued", rules.LinkOpen, rules.Never},
		{"cancelled, nobody says until when", cancelledOpen, "True SubscriptionCancelled", "Edit", "Waiting SubscriptionCancelled", rules.LinkOpen, rules.Never},
		{"cancelled", cancelledUntil(in(week)), "True SubscriptionCancelled", "Edit", "Waiting SubscriptionCancelled", rules.LinkOpen, in(week)},
		{"a moment before the end", cancelledUntil(in(1)), "True SubscriptionCancelled", "Edit", "Waiting SubscriptionCancelled", rules.LinkOpen, in(1)},
		{"the end", cancelledUntil(in(0)), "False SubscriptionEnded", "", "Waiting SubscriptionCancelled", rules.LinkWithdrawn, rules.Never},
		{"long ago", cancelledUntil(in(-week)), "False SubscriptionEnded", "", "Waiting SubscriptionCancelled", rules.LinkWithdrawn, rules.Never},
	} {
		t.Run(c.reason, func(t *testing.T) {
			h := home(c.subscription)
			got := ""
			if f := rules.JudgeSubscription(h); f != nil {
				got = string(f.Status) + " " + f.Reason
				checkReason(t, f.Reason)
			}
			if got != c.says {
				t.Errorf("the condition says %q, want %q", got, c.says)
			}
			mia := rules.Judge(h, rules.MemberFacts{Member: member("mia", accepted, state(v1alpha1.StateActive))})
			if !mia.Active || says(mia.Verdict) != "Ready Active" {
				t.Errorf("state and role of who is in: %+v", mia)
			}
			assigned := []rules.Assigned{{Assignment: assignment("mia", names("web")), Member: mia}}
			access := rules.AccessTo(h, workspace("web"), nil, assigned)
			if access.Of(mia.Username) != c.access || !access.Wake.Equal(c.wake) {
				t.Errorf("access %q until %v, want %q until %v", access.Of(mia.Username), access.Wake, c.access, c.wake)
			}
			ned := rules.Judge(h, rules.MemberFacts{Member: member("ned")})
			if says(ned.Verdict) != c.somebodyNew {
				t.Errorf("somebody new: %s, want %s", says(ned.Verdict), c.somebodyNew)
			}
			checkVerdict(t, ned.Verdict, "ned")
			if link := rules.JudgeLink(h, rules.MemberFacts{Member: member("pat", invited)}, 1, now.Add(time.Hour)); link != c.link {
				t.Errorf("an open link stands for %d, want %d", link, c.link)
			}
		})
	}
}

// The owner to be is invited into a cancelled subscription: nobody else could resume it. Others are not, and not again.
func TestInvitationsWhileCancelled(t *testing.T) {
	h := home(cancelledUntil(now.Add(time.Hour)), ownedBy(""))
	for _, c := range []struct {
		reason string
		member *v1alpha1.OrgMember
		want   bool
	}{
		{"the owner to be", member("jane"), true},
		{"somebody new", member("mia"), false},
		{"a resend", member("mia", invited, resend("1"), state(v1alpha1.StatePending)), false},
		{"in line, and nothing ever went out", member("mia", func(m *v1alpha1.OrgMember) {
			tried(1, now.Add(time.Hour))(m)
			m.Status.Invitation.Attempts = 0
		}), false},
		{"a mail under way", member("mia", deferredUntil(now.Add(-1))), true},
		{"a mail under way that would be made anew", member("mia", tried(1, now)), false},
	} {
		if record, _ := rules.NextInvitation(h, rules.MemberFacts{Member: c.member}); (record != nil) != c.want {
			t.Errorf("%s: a mail is due: %t", c.reason, record != nil)
		}
	}
}

// What the billing contact is told, step by step.
func TestSubscriptionNotices(t *testing.T) {
	const hours = time.Hour
	days := func(d int) time.Duration { return time.Duration(d) * 24 * hours }
	h := home(seats(2, 0))
	h.Organization.Spec.Billing = &v1alpha1.OrganizationBilling{Email: "billing@acme.example"}
	s := h.Organization.Spec.Subscription
	taken := int32(0)
	cancel := func(until time.Duration) { s.Cancelled, s.PaidThrough = true, stamp(now.Add(until)) }
	for _, step := range []struct {
		after  time.Duration // since the beginning
		reason string
		do     func()
		want   []v1alpha1.SubscriptionChange
	}{
		{0, "seats are free", nil, nil},
		{hours, "all are taken", func() { taken = 2 }, []v1alpha1.SubscriptionChange{"SeatsTaken"}},
		{2 * hours, "and go on being so", func() { taken = 3 }, nil},
		{3 * hours, "free, and taken again within the day", func() { taken = 1 }, nil},
		{4 * hours, "it has to wait", func() { taken = 2 }, nil},
		{24 * hours, "a day after the noting, and not yet after the mail", nil, nil},
		{25 * hours, "now", nil, []v1alpha1.SubscriptionChange{"SeatsTaken"}},
		{days(10), "cancelled", func() { cancel(days(30)) }, []v1alpha1.SubscriptionChange{"Cancelled"}},
		{days(23) - 1, "more than a week to go", nil, nil},
		{days(23), "a week to go", nil, []v1alpha1.SubscriptionChange{"Ending"}},
		{days(24), "paid for longer", func() { cancel(days(60)) }, nil},
		{days(53), "a week to go again", nil, []v1alpha1.SubscriptionChange{"Ending"}},
		{days(60), "the end", nil, []v1alpha1.SubscriptionChange{"Ended"}},
		{days(70), "resumed", func() { s.Cancelled = false }, nil},
		{days(80), "cancelled within the week", func() { cancel(days(82)) }, []v1alpha1.SubscriptionChange{"Cancelled"}},
		{days(82), "the end", nil, []v1alpha1.SubscriptionChange{"Ended"}},
		{days(90), "resumed", func() { s.Cancelled = false }, nil},
		{days(91), "cancelled too late", func() { cancel(days(82)) }, []v1alpha1.SubscriptionChange{"Ended"}},
	} {
		h.Now = now.Add(step.after)
		if step.do != nil {
			step.do()
		}
		o := &h.Organization.Status
		o.SubscriptionMails = rules.SubscriptionNotices(h, &v1alpha1.SeatUse{Taken: taken})
		if diff := cmp.Diff(o.SubscriptionMails, rules.SubscriptionNotices(h, &v1alpha1.SeatUse{Taken: taken})); diff != "" {
			t.Errorf("%s: noted twice\n%s", step.reason, diff)
		}
		var got []v1alpha1.SubscriptionChange
		for record, _ := rules.NextSubscriptionMail(h); record != nil; record, _ = rules.NextSubscriptionMail(h) {
			record.SentAt = stamp(h.Now)
			got = append(got, record.About)
			i := slices.IndexFunc(o.SubscriptionMails, func(n v1alpha1.SubscriptionNotice) bool { return n.About == record.About })
			o.SubscriptionMails[i] = *record
		}
		if !slices.Equal(got, step.want) {
			t.Errorf("%v, %s: got %v, want %v\n%+v", step.after, step.reason, got, step.want, o.SubscriptionMails)
		}
	}
	serials := map[v1alpha1.SubscriptionChange]int32{}
	for _, n := range h.Organization.Status.SubscriptionMails {
		serials[n.About] = n.Serial
	}
	// The third time it was cancelled was not told: a later one takes its serial.
	if diff := cmp.Diff(map[v1alpha1.SubscriptionChange]int32{"SeatsTaken": 2, "Cancelled": 3, "Ending": 2, "Ended": 3}, serials); diff != "" {
		t.Errorf("serials -want +got\n%s", diff)
	}
}

// No mail goes anywhere without a contact, for what is over, or for an organization that goes; a clock that ran ahead holds none
// up for ever.
func TestNextSubscriptionMail(t *testing.T) {
	notice := func(change func(*v1alpha1.SubscriptionNotice)) homeOption {
		return func(h *rules.Home) {
			h.Organization.Spec.Billing = &v1alpha1.OrganizationBilling{Email: "billing@acme.example"}
			n := v1alpha1.SubscriptionNotice{About: "Cancelled", Serial: 1, At: *stamp(now)}
			change(&n)
			h.Organization.Status.SubscriptionMails = []v1alpha1.SubscriptionNotice{n}
		}
	}
	due := notice(func(*v1alpha1.SubscriptionNotice) {})
	later := func(d time.Duration) homeOption {
		return notice(func(n *v1alpha1.SubscriptionNotice) { n.NotBefore = stamp(now.Add(d)) })
	}
	for _, c := range []struct {
		reason  string
		options []homeOption
		due     bool
		at      time.Time
	}{
		{"due", []homeOption{cancelledOpen, due}, true, rules.Never},
		{"nobody to tell", []homeOption{cancelledOpen, due, func(h *rules.Home) { h.Organization.Spec.Billing.Email = "" }}, false, rules.Never},
		{"nobody to tell", []homeOption{cancelledOpen, due, func(h *rules.Home) { h.Organization.Spec.Billing = nil }}, false, rules.Never},
		{"over", []homeOption{cancelledOpen, notice(func(n *v1alpha1.SubscriptionNotice) { n.Until = stamp(now) })}, false, rules.Never},
		{"ended before it was told", []homeOption{cancelledUntil(now), due}, false, rules.Never},
		{"the organization goes", []homeOption{cancelledOpen, due, organizationLeaves}, false, rules.Never},
		{"sent", []homeOption{cancelledOpen, notice(func(n *v1alpha1.SubscriptionNotice) { n.SentAt = stamp(now) })}, false, rules.Never},
		{"refused for now", []homeOption{cancelledOpen, notice(func(n *v1alpha1.SubscriptionNotice) {
			n.Attempts, n.NextAttemptAt = 1, stamp(now.Add(time.Minute))
		})}, false, now.Add(time.Minute)},
		{"a day has not passed", []homeOption{cancelledOpen, later(time.Hour)}, false, now.Add(time.Hour)},
		{"by a clock that ran ahead", []homeOption{cancelledOpen, later(1000 * time.Hour)}, true, rules.Never},
	} {
		record, at := rules.NextSubscriptionMail(home(c.options...))
		if (record != nil) != c.due || !at.Equal(c.at) {
			t.Errorf("%s: got %+v, %v", c.reason, record, at)
		}
	}
}

// The sender may see an edit before it is noted: nothing is told that the edit made untrue.
func TestNoSubscriptionMailOfWhatIsOver(t *testing.T) {
	noted := func(about v1alpha1.SubscriptionChange) homeOption {
		return func(h *rules.Home) {
			h.Organization.Spec.Billing = &v1alpha1.OrganizationBilling{Email: "billing@acme.example"}
			h.Organization.Status.SubscriptionMails = []v1alpha1.SubscriptionNotice{{About: about, Serial: 1, At: *stamp(now.Add(-time.Hour))}}
		}
	}
	resumed := paidUntil(now.Add(-1))
	for _, c := range []struct {
		about  v1alpha1.SubscriptionChange
		reason string
		home   homeOption
		due    bool
	}{
		{v1alpha1.SubscriptionSeatsTaken, "still", seats(3, 3), true},
		{v1alpha1.SubscriptionSeatsTaken, "no limit", seats(0, 3), false},
		{v1alpha1.SubscriptionCancelled, "still", cancelledOpen, true},
		{v1alpha1.SubscriptionCancelled, "resumed", resumed, false},
		{v1alpha1.SubscriptionEnding, "still", cancelledUntil(now.Add(time.Hour)), true},
		{v1alpha1.SubscriptionEnding, "nobody says until when", cancelledOpen, false},
		{v1alpha1.SubscriptionEnding, "ended", cancelledUntil(now), false},
		{v1alpha1.SubscriptionEnding, "resumed", resumed, false},
		{v1alpha1.SubscriptionEnded, "still", cancelledUntil(now), true},
		{v1alpha1.SubscriptionEnded, "paid for longer", cancelledUntil(now.Add(time.Hour)), false},
		{v1alpha1.SubscriptionEnded, "nobody says until when", cancelledOpen, false},
		{v1alpha1.SubscriptionEnded, "resumed", resumed, false},
	} {
		if record, _ := rules.NextSubscriptionMail(home(c.home, noted(c.about))); (record != nil) != c.due {
			t.Errorf("%s, %s: a mail is due: %t", c.about, c.reason, record != nil)
		}
	}
}

// Whose invitation was put off waits for the subscription and not for what it was put off by; an invitation under way goes on.
func TestPutOffWhileCancelled(t *testing.T) {
	inLine := func(m *v1alpha1.OrgMember) {
		tried(1, now.Add(time.Hour))(m)
		m.Status.Invitation.Attempts = 0
	}
	pending := state(v1alpha1.StatePending)
	for _, c := range []struct {
		reason string
		member *v1alpha1.OrgMember
		says   string
	}{
		{"in line", member("mia", inLine, pending), "Waiting SubscriptionCancelled"},
		{"refused until it expired", member("mia", deferredUntil(now.Add(-1)), pending, func(m *v1alpha1.OrgMember) { m.Status.Invitation.ExpiresAt = *stamp(now) }), "Waiting SubscriptionCancelled"},
		{"under way", member("mia", deferredUntil(now.Add(time.Minute)), pending), "Reconciling InvitationDeferred"},
		{"refused for good", member("mia", rejected, pending), "Stalled InvitationRejected"},
		{"invited", member("mia", invited, pending), "Ready AwaitingAcceptance"},
		{"suspended", member("mia", inLine, suspended, state(v1alpha1.StateSuspended)), "Ready Suspended"},
		{"the owner", member("jane", inLine, pending), "Reconciling InvitationLimited"},
	} {
		s := rules.Judge(home(cancelledUntil(now.Add(time.Hour))), rules.MemberFacts{Member: c.member})
		if says(s.Verdict) != c.says || s.State != c.member.Status.State {
			t.Errorf("%s: got %s, %s; want %s", c.reason, says(s.Verdict), s.State, c.says)
		}
	}
}
