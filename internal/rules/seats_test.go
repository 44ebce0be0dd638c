package rules_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/internal/rules"
)

// seats says how many there are, how many are taken, and whom some are offered.
func seats(limit, taken int32, offered ...string) homeOption {
	return func(h *rules.Home) {
		h.Organization.Spec.Subscription = &v1alpha1.OrganizationSubscription{Seats: limit}
		h.Organization.Status.Seats = &v1alpha1.SeatUse{Taken: taken, Offered: offered}
	}
}

func uncounted(h *rules.Home) { h.Organization.Status.Seats = nil }

func state(s v1alpha1.MemberState) memberOption {
	return func(m *v1alpha1.OrgMember) { m.Status.State = s }
}

func expired(m *v1alpha1.OrgMember) {
	invitedUntil(now.Add(-time.Hour))(m)
	m.Status.State = v1alpha1.StateExpired
}

// Whoever has a seat keeps it, whatever the number; whoever has none waits for one, where they are.
func TestJudgeSeat(t *testing.T) {
	const pending, active, suspendedState, declinedState, expiredState = v1alpha1.StatePending, v1alpha1.StateActive,
		v1alpha1.StateSuspended, v1alpha1.StateDeclined, v1alpha1.StateExpired
	again := []memberOption{resend("1")}
	for _, c := range []struct {
		reason string
		home   rules.Home
		member *v1alpha1.OrgMember
		says   string
		state  v1alpha1.MemberState
		mail   bool
	}{
		{"somebody new", home(seats(3, 3)), member("mia"), "Waiting NoSeat", pending, false},
		{"somebody new without being asked", home(seats(3, 3)), member("mia", withoutAsking), "Waiting NoSeat", pending, false},
		{"without being asked, and there before the Organization", home(seats(3, 3)), member("mia", withoutAsking, state(active)), "Waiting NoSeat", pending, false},
		{"without being asked, and there before the Organization, offered", home(seats(3, 3, "mia")), member("mia", withoutAsking, state(active)), "Ready Active", active, false},
		{"seats are free, none is offered yet", home(seats(3, 2)), member("mia"), "Reconciling Progressing", pending, false},
		{"nobody has counted yet", home(seats(3, 0), uncounted), member("mia"), "Reconciling Progressing", pending, false},
		{"one is offered", home(seats(3, 3, "ann", "mia")), member("mia"), "Reconciling InvitationQueued", pending, true},
		{"one is offered to somebody else", home(seats(3, 3, "ann", "zoe")), member("mia"), "Waiting NoSeat", pending, false},
		{"one is offered", home(seats(3, 3, "mia")), member("mia", withoutAsking), "Ready Active", active, false},
		{"no limit", home(seats(0, 9)), member("mia"), "Reconciling InvitationQueued", pending, true},
		{"the owner", home(seats(1, 4)), member("jane", withoutAsking), "Ready Active", active, false},
		{"the owner to be", home(seats(1, 4), ownedBy("")), member("jane"), "Reconciling InvitationQueued", pending, true},
		{"named as the next owner", home(seats(1, 4), ownedBy("ann"), recordedOwner("ann")), member("jane", admin), "Waiting NoSeat", pending, false},
		{"a robot", home(seats(1, 4)), member("ci", robot("acme", "ci")), "Ready Active", active, false},
		{"seats were taken back", home(seats(1, 4)), member("mia", accepted, state(active)), "Ready Active", active, false},
		{"seats were taken back", home(seats(1, 4)), member("mia", invited, state(pending)), "Ready AwaitingAcceptance", pending, false},
		{"accepted a moment ago", home(seats(1, 4)), member("mia", accepted, state(pending)), "Ready Active", active, false},
		{"in line for a mail", home(seats(1, 4)), member("mia", deferredUntil(now.Add(-1)), state(pending)), "Reconciling InvitationDeferred", pending, true},
		{"refused mail", home(seats(1, 4)), member("mia", rejected, state(pending)), "Stalled InvitationRejected", pending, false},
		{"asked again while asked", home(seats(1, 4)), member("mia", append(again, invited, state(pending))...), "Ready AwaitingAcceptance", pending, true},
		{"declined", home(seats(1, 4)), member("mia", declined, state(declinedState)), "Ready Declined", declinedState, false},
		{"declined, to be asked again", home(seats(1, 4)), member("mia", append(again, declined, state(declinedState))...), "Waiting NoSeat", declinedState, false},
		{"declined, to be asked again, offered", home(seats(4, 4, "mia")), member("mia", append(again, declined, state(declinedState))...), "Ready Declined", declinedState, true},
		{"too late", home(seats(1, 4)), member("mia", expired), "Ready InvitationExpired", expiredState, false},
		{"too late, to be asked again", home(seats(1, 4)), member("mia", append(again, expired)...), "Waiting NoSeat", expiredState, false},
		{"suspended", home(seats(1, 4)), member("mia", accepted, suspended, state(suspendedState)), "Ready Suspended", suspendedState, false},
		{"suspended and back before anybody saw it", home(seats(1, 4)), member("mia", accepted, state(active)), "Ready Active", active, false},
		{"to come back", home(seats(1, 4)), member("mia", accepted, state(suspendedState)), "Waiting NoSeat", suspendedState, false},
		{"to come back, offered", home(seats(4, 4, "mia")), member("mia", accepted, state(suspendedState)), "Ready Active", active, false},
		{"offered, and then there were fewer seats", home(seats(3, 4, "mia")), member("mia", accepted, state(suspendedState)), "Waiting NoSeat", suspendedState, false},
		{"offered, and then there were fewer seats", home(seats(3, 4, "mia")), member("mia"), "Waiting NoSeat", pending, false},
		{"too late, and that is not on record", home(seats(1, 4)), member("mia", append(again, expired, state(pending))...), "Ready InvitationExpired", expiredState, true},
		{"to come back while asked", home(seats(1, 4)), member("mia", invited, state(suspendedState)), "Waiting NoSeat", suspendedState, false},
		{"renewed", home(seats(1, 4)), member("mia", accepted, expires(now.Add(time.Hour)), state(expiredState)), "Waiting NoSeat", expiredState, false},
		{"leaves", home(seats(1, 4)), member("mia", accepted, leaving, state(active)), "Reconciling Deleting", active, false},
		{"another domain as well", home(seats(1, 4), domains("other.example")), member("mia"), "Stalled DomainNotAllowed", pending, false},
	} {
		f := rules.MemberFacts{Member: c.member, RobotAllowed: true}
		s := rules.Judge(c.home, f)
		if got := says(s.Verdict); got != c.says || s.State != c.state {
			t.Errorf("%s: got %s, %s; want %s, %s", c.reason, got, s.State, c.says, c.state)
		}
		checkVerdict(t, s.Verdict, c.member.Name)
		if record, _ := rules.NextInvitation(c.home, f); (record != nil) != c.mail {
			t.Errorf("%s: a mail is due: %t, want %t", c.reason, record != nil, c.mail)
		}
		waits := strings.HasSuffix(c.says, "NoSeat")
		i := c.member.Status.Invitation
		if i == nil || c.member.Status.AcceptedAt != nil {
			continue
		}
		if link := rules.JudgeLink(c.home, f, i.Serial, i.ExpiresAt.Time); waits && link != rules.LinkWithdrawn {
			t.Errorf("%s: the link stands for %d, and accepting gives nothing", c.reason, link)
		}
	}
}

// What is said of somebody who waits is true, and names what helps.
func TestSaysWhatHelps(t *testing.T) {
	cancelled := cancelledUntil(now.Add(time.Hour))
	for _, c := range []struct {
		home            rules.Home
		member          *v1alpha1.OrgMember
		accepted, words string
	}{
		{home(seats(3, 3)), member("mia", withoutAsking), "Unknown NoSeat", "waits for a seat"},
		{home(seats(3, 2)), member("mia", withoutAsking), "Unknown Progressing", "about to be given a seat"},
		{home(cancelled), member("mia", withoutAsking), "Unknown SubscriptionCancelled", "resume it"},
		{home(seats(3, 3, "mia")), member("mia", withoutAsking), "True ActivatedWithoutAsking", "is active"},
		{home(seats(1, 4)), member("mia", accepted, state(v1alpha1.StateSuspended)), "True Accepted", "waits for a seat"},
		{home(), member("mia", rejected, state(v1alpha1.StatePending)), "Unknown AwaitingAcceptance", "or annotate orgkeeper.dev/resend to try again"},
		{home(cancelled), member("mia", rejected, state(v1alpha1.StatePending)), "Unknown AwaitingAcceptance",
			"; resume the subscription (spec.subscription.cancelled of the Organization), then annotate orgkeeper.dev/resend to try again"},
		{home(cancelled), member("mia", rejected, resend("1"), state(v1alpha1.StatePending)), "Unknown AwaitingAcceptance",
			"; resume the subscription (spec.subscription.cancelled of the Organization); then it is tried again"},
	} {
		s := rules.Judge(c.home, rules.MemberFacts{Member: c.member})
		if got := fmt.Sprintf("%s %s", s.Accepted, s.AcceptedReason); got != c.accepted || !strings.Contains(s.Verdict.Message, c.words) {
			t.Errorf("got %s, %s\nwant %s, %s", got, s.Verdict.Message, c.accepted, c.words)
		}
	}
}

// Nobody who is offered a seat has access before it is on record that they took it.
func TestNoAccessBeforeTheRecord(t *testing.T) {
	h := home(seats(3, 3, "mia"))
	for recorded, active := range map[v1alpha1.MemberState]bool{v1alpha1.StatePending: false, v1alpha1.StateActive: true} {
		m := member("mia", withoutAsking, state(recorded))
		if active {
			accepted(m) // which the same write says
		}
		if s := rules.Judge(h, rules.MemberFacts{Member: m}); s.Active != active || s.Takes == active {
			t.Errorf("recorded as %s: active is %t, takes %t", recorded, s.Active, s.Takes)
		}
	}
}

func domains(allowed ...string) homeOption {
	return func(h *rules.Home) {
		h.Organization.Spec.Invitations = &v1alpha1.OrganizationInvitations{AllowedDomains: allowed}
	}
}

// Free seats go to those who were added first; what was offered stays so; nobody is offered one whom something else keeps out.
func TestSeatsOffered(t *testing.T) {
	at := func(hours int) memberOption { return bornAt(now.Add(time.Duration(hours) * time.Hour)) }
	jane := *member("jane", admin, accepted, state(v1alpha1.StateActive))
	crowd := []v1alpha1.OrgMember{jane, *member("cid", at(2)), *member("bob", at(1)), *member("ann", at(1)), *member("dan", at(3))}
	type offers = []string
	for _, c := range []struct {
		reason  string
		home    rules.Home
		members []v1alpha1.OrgMember
		want    v1alpha1.SeatUse
	}{
		{"the first come first, equally old ones by name", home(seats(3, 0)), crowd, v1alpha1.SeatUse{Taken: 3, Waiting: 2, Offered: offers{"ann", "bob"}}},
		{"what was offered stays so", home(seats(3, 0, "dan")), crowd, v1alpha1.SeatUse{Taken: 3, Waiting: 2, Offered: offers{"ann", "dan"}}},
		{"unless there are fewer seats", home(seats(1, 0, "ann", "dan")), crowd, v1alpha1.SeatUse{Taken: 1, Waiting: 4}},
		{"and then to the first come", home(seats(2, 0, "ann", "dan")), crowd, v1alpha1.SeatUse{Taken: 2, Waiting: 3, Offered: offers{"ann"}}},
		{"an answer may be on its way until it is on record that it is too late", home(seats(2, 0)), []v1alpha1.OrgMember{jane,
			*member("ann", invitedUntil(now.Add(-time.Second)), state(v1alpha1.StatePending)), *member("bob")}, v1alpha1.SeatUse{Taken: 2, Waiting: 1}},
		{"not to those who are gone", home(seats(2, 0, "gone")), crowd, v1alpha1.SeatUse{Taken: 2, Waiting: 3, Offered: offers{"ann"}}},
		{"without a limit nobody is offered any", home(seats(0, 0)), crowd, v1alpha1.SeatUse{Taken: 1}},
		{"the owner to be takes one", home(seats(2, 0)), []v1alpha1.OrgMember{*member("jane"), *member("ann"), *member("bob")},
			v1alpha1.SeatUse{Taken: 2, Waiting: 1, Offered: offers{"ann"}}},
		{"whom something else keeps out waits for that", home(seats(9, 0), domains("other.example")), crowd, v1alpha1.SeatUse{Taken: 1}},
		{"neither do duplicates", home(seats(9, 0)), []v1alpha1.OrgMember{jane, *member("ann", at(1)), *member("two", at(2), email("ann@acme.example"))},
			v1alpha1.SeatUse{Taken: 2, Offered: offers{"ann"}}},
		{"robots and those who leave have none", home(seats(9, 0)), []v1alpha1.OrgMember{jane, *member("ci", robot("acme", "ci"), state(v1alpha1.StateActive)),
			*member("ann", accepted, leaving, state(v1alpha1.StateActive))}, v1alpha1.SeatUse{Taken: 1}},
		{"suspended has one until that is on record", home(seats(9, 0)), []v1alpha1.OrgMember{jane, *member("ann", accepted, suspended, state(v1alpha1.StateActive)),
			*member("bob", accepted, suspended, state(v1alpha1.StateSuspended))}, v1alpha1.SeatUse{Taken: 2}},
		{"cancelled: nobody new, but who comes back", home(seats(9, 0), cancelledUntil(now.Add(time.Hour))),
			append(crowd[:3:3], *member("sue", accepted, state(v1alpha1.StateSuspended))), v1alpha1.SeatUse{Taken: 2, Offered: offers{"sue"}}},
	} {
		got := rules.Take(c.home, c.members, robotHomes).Seats(c.home.Organization)
		if diff := cmp.Diff(&c.want, got); diff != "" {
			t.Errorf("%s: -want +got\n%s", c.reason, diff)
		}
	}
}

// Somebody to come is whom nothing keeps from taking a seat, and who has not taken it yet.
func TestSeatsToCome(t *testing.T) {
	pending := state(v1alpha1.StatePending)
	for _, c := range []struct {
		reason string
		home   rules.Home
		member *v1alpha1.OrgMember
		want   bool
	}{
		{"is about to be invited", home(seats(0, 0)), member("ann"), true},
		{"is about to be let in", home(seats(0, 0)), member("ann", withoutAsking), true},
		{"waits for one", home(seats(1, 1)), member("ann", pending), true},
		{"was invited", home(seats(0, 0)), member("ann", invitedUntil(now.Add(time.Hour)), pending), false},
		{"has joined", home(seats(0, 0)), member("ann", accepted, state(v1alpha1.StateActive)), false},
		{"is kept out by something else", home(seats(0, 0), domains("other.example")), member("ann"), false},
		{"leaves", home(seats(0, 0)), member("ann", leaving), false},
	} {
		jane := member("jane", admin, accepted, state(v1alpha1.StateActive))
		if got := rules.Take(c.home, []v1alpha1.OrgMember{*jane, *c.member}, robotHomes).SeatsToCome(); got != c.want {
			t.Errorf("who %s: %t", c.reason, got)
		}
	}
}

// A large crowd is let in part by part.
func TestSeatsOfferedInParts(t *testing.T) {
	h := home(seats(3000, 0))
	var crowd []v1alpha1.OrgMember
	for i := range 2500 {
		crowd = append(crowd, *member(fmt.Sprintf("m%04d", i)))
	}
	use := rules.Take(h, crowd, robotHomes).Seats(h.Organization)
	if len(use.Offered) != 1000 || use.Offered[999] != "m0999" || use.Taken != 1000 || use.Waiting != 1500 {
		t.Errorf("%d are offered, %d taken, %d wait", len(use.Offered), use.Taken, use.Waiting)
	}
}

func TestSeatsAvailable(t *testing.T) {
	for want, use := range map[string]v1alpha1.SeatUse{
		"True SeatsFree 2 of 3 seats are taken":                                                                                                      {Taken: 2},
		"False SeatsTaken all 3 seats are taken; remove somebody, or book more (spec.subscription.seats)":                                            {Taken: 3},
		"False SeatsTaken all 3 seats are taken, and 1 person waits; remove somebody, or book more (spec.subscription.seats)":                        {Taken: 3, Waiting: 1},
		"False SeatsExceeded 5 people have a seat and there are 3, and 2 people wait; nobody is put out, and nobody comes in before there are fewer": {Taken: 5, Waiting: 2},
	} {
		f := rules.JudgeSeats(home(seats(3, 0)).Organization, &use)
		if got := fmt.Sprintf("%s %s %s", f.Status, f.Reason, f.Message); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		checkReason(t, f.Reason)
	}
	if f := rules.JudgeSeats(home().Organization, &v1alpha1.SeatUse{Taken: 5}); f != nil {
		t.Errorf("without a limit: %+v", f)
	}
}
