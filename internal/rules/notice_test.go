package rules_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/internal/rules"
)

type (
	notice   = v1alpha1.MembershipNotice
	delivery = v1alpha1.MailDelivery
)

// as is what the status says of a member before they are judged anew.
func as(state v1alpha1.MemberState, r v1alpha1.Role) memberOption {
	return func(m *v1alpha1.OrgMember) { m.Status.State, m.Status.Role = state, r }
}

func noted(n notice) memberOption {
	return func(m *v1alpha1.OrgMember) { m.Status.MembershipNotice = &n }
}

func roleChanged(serial int32, from, to v1alpha1.Role, at time.Time, d ...delivery) notice {
	n := notice{Serial: serial, Change: v1alpha1.MembershipRoleChanged, From: from, To: to, At: *stamp(at)}
	for _, d := range d {
		n.MailDelivery = d
	}
	return n
}

func over(serial int32, r v1alpha1.Role, at time.Time, d ...delivery) notice {
	n := roleChanged(serial, r, r, at, d...)
	n.Change = v1alpha1.MembershipEnded
	return n
}

var (
	aDayAgo   = now.Add(-24 * time.Hour)
	isTold    = delivery{Attempts: 1, SentAt: stamp(aDayAgo)}
	isTried   = delivery{Attempts: 1, NextAttemptAt: stamp(now.Add(time.Minute)), LastError: "450 later"}
	isRefused = delivery{Attempts: 1, RejectedAt: stamp(aDayAgo), LastError: "550 no such user"}
)

func TestMembershipNotice(t *testing.T) {
	const plain, boss, users = v1alpha1.RoleMember, v1alpha1.RoleAdmin, v1alpha1.RoleUserAdmin
	active, suspendedState, expired := v1alpha1.StateActive, v1alpha1.StateSuspended, v1alpha1.StateExpired
	protected := func(m *v1alpha1.OrgMember) {
		m.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionOwnerProtected, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonDemoted}}
	}
	cases := map[string]struct {
		reason string
		home   rules.Home
		member *v1alpha1.OrgMember
		want   notice // zero: none
	}{
		"promoted":                                  {"another role is told", home(), member("joe", accepted, admin, as(active, plain)), roleChanged(1, plain, boss, now)},
		"promoted once more":                        {"serials go on", home(), member("joe", accepted, admin, as(active, plain), noted(roleChanged(4, boss, plain, aDayAgo, isTold))), roleChanged(5, plain, boss, now)},
		"promoted while told":                       {"a mail that may have been taken is not changed: another follows", home(), member("joe", accepted, admin, as(active, users), noted(roleChanged(4, plain, users, aDayAgo, isTried))), roleChanged(5, users, boss, now)},
		"promoted again before they were told":      {"one mail tells all", home(), member("joe", accepted, admin, as(active, users), noted(roleChanged(4, plain, users, aDayAgo))), roleChanged(4, plain, boss, now)},
		"taken back before they were told":          {"there is nothing to tell", home(), member("joe", accepted, as(active, users), noted(roleChanged(4, plain, users, aDayAgo))), roleChanged(4, plain, plain, now)},
		"promoted while suspended":                  {"it is noted, for when it matters again", home(), member("joe", accepted, admin, suspended, as(suspendedState, plain)), roleChanged(1, plain, boss, now)},
		"over":                                      {"the end is told, as of its moment", home(), member("joe", accepted, expires(aDayAgo), as(active, plain)), over(1, plain, aDayAgo)},
		"over while suspended":                      {"as soon as the state says it", home(), member("joe", accepted, expires(aDayAgo), as(suspendedState, plain)), over(1, plain, aDayAgo)},
		"over before another role was told":         {"the end is all that counts", home(), member("joe", accepted, admin, expires(aDayAgo), as(active, users), noted(roleChanged(4, plain, users, aDayAgo))), over2(4, plain, boss, aDayAgo)},
		"over again":                                {"an end after a new beginning is another one", home(), member("joe", accepted, expires(now), as(active, plain), noted(over(1, plain, aDayAgo, isTold))), over(2, plain, now)},
		"goes on before they were told":             {"nobody reads of an end that is none", home(), member("joe", accepted, as(expired, plain), noted(over(1, plain, aDayAgo))), roleChanged(1, plain, plain, now)},
		"goes on as an admin before they were told": {"what they are told is what changed", home(), member("joe", accepted, admin, as(expired, plain), noted(over(1, plain, aDayAgo))), roleChanged(1, plain, boss, now)},
		"renewed as an admin, waits for a seat":     {"another role is told once they are back", home(seats(1, 4)), member("joe", accepted, admin, expires(now.Add(time.Hour)), as(expired, plain)), roleChanged(1, plain, boss, now)},
		"the first owner":                           {"who owns is an admin", home(ownedBy("joe")), member("joe", accepted, as(active, plain)), roleChanged(1, plain, boss, now)},

		"nothing changed":               {"", home(), member("joe", accepted, as(active, plain)), notice{}},
		"nothing changed since":         {"what is on record stays", home(), member("joe", accepted, as(active, plain), noted(roleChanged(1, boss, plain, aDayAgo, isTold))), roleChanged(1, boss, plain, aDayAgo, isTold)},
		"goes on after they were told":  {"the mail is out", home(), member("joe", accepted, as(expired, plain), noted(over(1, plain, aDayAgo, isTold))), over(1, plain, aDayAgo, isTold)},
		"still over":                    {"told once", home(), member("joe", accepted, expires(aDayAgo), as(expired, plain), noted(over(1, plain, aDayAgo, isTold))), over(1, plain, aDayAgo, isTold)},
		"over, suspended and resumed":   {"it is the same end", home(), member("joe", accepted, expires(aDayAgo.Add(time.Millisecond)), as(suspendedState, plain), noted(over(1, plain, aDayAgo, isTold))), over(1, plain, aDayAgo, isTold)},
		"over after the clock was put":  {"it is the same end", home(), member("joe", accepted, expires(aDayAgo), as(active, plain), noted(over(1, plain, aDayAgo, isTried))), over(1, plain, aDayAgo, isTried)},
		"promoted when over":            {"it gives nothing", home(), member("joe", accepted, admin, expires(aDayAgo), as(expired, plain)), notice{}},
		"not joined":                    {"the page and the invitation tell the role", home(), member("joe", invited, admin, as(v1alpha1.StatePending, plain)), notice{}},
		"about to join":                 {"they accepted what the page said", home(), member("joe", accepted, admin, as(v1alpha1.StatePending, plain)), notice{}},
		"never looked at":               {"nothing is known of before", home(), member("joe", accepted, expires(aDayAgo), as("", "")), notice{}},
		"ownership lost":                {"the mail about that tells the role", home(), member("joe", accepted, protected, as(active, boss)), notice{}},
		"owner, demoted":                {"is protected: nothing changes", home(ownedBy("joe")), member("joe", accepted, protected, as(active, boss)), notice{}},
		"leaving":                       {"a farewell follows", home(), member("joe", accepted, leaving, admin, as(active, plain)), notice{}},
		"robot":                         {"service accounts read no mail", home(), member("joe", robot("acme", "ci"), accepted, admin, as(active, plain)), notice{}},
		"the organization goes":         {"nobody is told", home(organizationLeaves), member("joe", accepted, admin, as(active, plain)), notice{}},
		"the organization is not there": {"nobody knows of what", home(noOrganization), member("joe", accepted, admin, as(active, plain)), notice{}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			before := c.member.DeepCopy()
			got := rules.MembershipNotice(c.home, c.member, rules.Judge(c.home, rules.MemberFacts{Member: c.member, RobotAllowed: true}))
			want := &c.want
			if c.want.Serial == 0 {
				want = nil
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s\n-want +got:\n%s", c.reason, diff)
			}
			if diff := cmp.Diff(before, c.member); diff != "" {
				t.Errorf("the member was changed\n-want +got:\n%s", diff)
			}
		})
	}
}

// over2 is the end of a membership whose role had changed meanwhile.
func over2(serial int32, from, to v1alpha1.Role, at time.Time) notice {
	n := over(serial, from, at)
	n.To = to
	return n
}

func TestNextMembershipMail(t *testing.T) {
	const plain, boss = v1alpha1.RoleMember, v1alpha1.RoleAdmin
	active, expired := v1alpha1.StateActive, v1alpha1.StateExpired
	again := isTried
	again.Attempts, again.NextAttemptAt = 2, nil
	ripe := isTried
	ripe.NextAttemptAt = stamp(now)
	cases := map[string]struct {
		reason string
		home   rules.Home
		member *v1alpha1.OrgMember
		want   notice // zero: none
		at     time.Time
	}{
		"another role":          {"due", home(), member("joe", as(active, boss), noted(roleChanged(3, plain, boss, aDayAgo))), roleChanged(3, plain, boss, aDayAgo, delivery{Attempts: 1}), rules.Never},
		"over":                  {"due", home(), member("joe", as(expired, plain), noted(over(3, plain, aDayAgo))), over(3, plain, aDayAgo, delivery{Attempts: 1}), rules.Never},
		"tried":                 {"not before its time", home(), member("joe", as(active, boss), noted(roleChanged(3, plain, boss, aDayAgo, isTried))), notice{}, isTried.NextAttemptAt.Time},
		"tried, and now":        {"the same mail again", home(), member("joe", as(active, boss), noted(roleChanged(3, plain, boss, aDayAgo, ripe))), roleChanged(3, plain, boss, aDayAgo, again), rules.Never},
		"told":                  {"once", home(), member("joe", as(active, boss), noted(roleChanged(3, plain, boss, aDayAgo, isTold))), notice{}, rules.Never},
		"refused for good":      {"no more tries", home(), member("joe", as(active, boss), noted(roleChanged(3, plain, boss, aDayAgo, isRefused))), notice{}, rules.Never},
		"taken back":            {"nothing to tell", home(), member("joe", as(active, plain), noted(roleChanged(3, plain, plain, aDayAgo))), notice{}, rules.Never},
		"suspended":             {"the role gives nothing now", home(), member("joe", as(v1alpha1.StateSuspended, boss), noted(roleChanged(3, plain, boss, aDayAgo))), notice{}, rules.Never},
		"goes on":               {"nobody reads of an end that is none", home(), member("joe", as(active, plain), noted(over(3, plain, aDayAgo, isTried))), notice{}, rules.Never},
		"nothing happened":      {"", home(), member("joe", as(active, plain)), notice{}, rules.Never},
		"leaving":               {"a farewell follows", home(), member("joe", leaving, as(active, boss), noted(roleChanged(3, plain, boss, aDayAgo))), notice{}, rules.Never},
		"the organization goes": {"nobody is told", home(organizationLeaves), member("joe", as(active, boss), noted(roleChanged(3, plain, boss, aDayAgo))), notice{}, rules.Never},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, at := rules.NextMembershipMail(c.home, c.member)
			want := &c.want
			if c.want.Serial == 0 {
				want = nil
			}
			if diff := cmp.Diff(want, got); diff != "" || !at.Equal(c.at) {
				t.Errorf("%s\nat %v, want %v\n-want +got:\n%s", c.reason, at, c.at, diff)
			}
		})
	}
}
