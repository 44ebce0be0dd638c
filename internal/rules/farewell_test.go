package rules_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/internal/rules"
)

func farewell(name string, serial int32, at time.Time, d ...delivery) v1alpha1.Farewell {
	f := v1alpha1.Farewell{UID: "uid-" + name, Member: name, Email: v1alpha1.EmailAddress(name + "@acme.example"), Serial: serial, At: *stamp(at)}
	for _, d := range d {
		f.MailDelivery = d
	}
	return f
}

func people(members ...*v1alpha1.OrgMember) (all []v1alpha1.OrgMember) {
	for _, m := range members {
		all = append(all, *m)
	}
	return all
}

func TestFarewells(t *testing.T) {
	const plain = v1alpha1.RoleMember
	joe := member("joe", accepted, leaving)
	named := member("ann", accepted, leaving, func(m *v1alpha1.OrgMember) { m.Spec.DisplayName, m.Spec.Locale = "Ann", "pl" })
	ann := farewell("ann", 1, now)
	ann.DisplayName, ann.Locale = "Ann", "pl"
	cases := map[string]struct {
		reason           string
		present          []v1alpha1.Farewell
		leaving, members []v1alpha1.OrgMember
		want             []v1alpha1.Farewell
	}{
		"nobody":     {"", nil, nil, people(joe), nil},
		"somebody":   {"all that the mail needs is kept", nil, people(joe, named), people(joe, named), []v1alpha1.Farewell{farewell("joe", 1, now), ann}},
		"noted":      {"once", []v1alpha1.Farewell{farewell("joe", 1, aDayAgo)}, people(joe), people(joe), []v1alpha1.Farewell{farewell("joe", 1, aDayAgo)}},
		"told, here": {"would be noted anew otherwise", []v1alpha1.Farewell{farewell("joe", 1, aDayAgo, isTold)}, people(joe), people(joe), []v1alpha1.Farewell{farewell("joe", 1, aDayAgo, isTold)}},
		"told, gone": {"done", []v1alpha1.Farewell{farewell("joe", 1, aDayAgo, isTold), farewell("ann", 1, aDayAgo)}, nil, nil, []v1alpha1.Farewell{farewell("ann", 1, aDayAgo)}},
		"refused":    {"done", []v1alpha1.Farewell{farewell("joe", 1, aDayAgo, isRefused)}, nil, nil, []v1alpha1.Farewell{}},
		"waits":      {"their OrgMember is not needed", []v1alpha1.Farewell{farewell("joe", 1, aDayAgo, isTried)}, nil, nil, []v1alpha1.Farewell{farewell("joe", 1, aDayAgo, isTried)}},
		"another of the same name": {"has a farewell of their own", []v1alpha1.Farewell{farewell("joe", 1, aDayAgo, isTold)}, nil,
			people(member("joe", func(m *v1alpha1.OrgMember) { m.UID = "uid-other" })), []v1alpha1.Farewell{}},
		"after another mail": {"serials go on", nil, people(member("joe", accepted, leaving, as(v1alpha1.StateActive, plain), noted(roleChanged(3, plain, v1alpha1.RoleAdmin, aDayAgo)))), nil,
			[]v1alpha1.Farewell{farewell("joe", 4, now)}},
		"after an end that was told, and a new beginning": {"another end", nil, people(member("joe", accepted, leaving, as(v1alpha1.StateActive, plain), noted(over(3, plain, aDayAgo, isTold)))), nil,
			[]v1alpha1.Farewell{farewell("joe", 4, now)}},
		"told, and let go": {"what else holds the object is no matter", []v1alpha1.Farewell{farewell("joe", 1, aDayAgo, isTold)}, nil, people(member("joe", accepted, leaving, unheld)), []v1alpha1.Farewell{}},
		"over and not told yet": {"the same mail", nil, people(member("joe", accepted, leaving, as(v1alpha1.StateExpired, plain), noted(over(3, plain, aDayAgo, isTried)))), nil,
			[]v1alpha1.Farewell{farewell("joe", 3, aDayAgo, isTried)}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			o := acme()
			o.Status.Farewells = c.present
			kept := o.DeepCopy()
			// What is stored has whole seconds, and must not change when it is.
			got, dropped := rules.Farewells(o, c.leaving, c.members, now.Add(900*time.Millisecond))
			if diff := cmp.Diff(c.want, got); diff != "" || dropped != 0 {
				t.Errorf("%s\n%d dropped\n-want +got:\n%s", c.reason, dropped, diff)
			}
			if diff := cmp.Diff(kept, o); diff != "" {
				t.Errorf("the organization was changed\n-want +got:\n%s", diff)
			}
		})
	}
}

// No mail gets out while more leave than can be kept: all go, and the last of them are told.
func TestTooManyFarewells(t *testing.T) {
	const many, limit = 2500, 1000
	o := acme()
	var here []v1alpha1.OrgMember
	for i := range many {
		here = append(here, *member(fmt.Sprintf("m%04d", i), accepted, leaving))
	}
	lost := 0
	for rounds := 0; len(here) > 0; rounds++ {
		if rounds == 4 {
			t.Fatalf("%d still wait", len(here))
		}
		var dropped int
		o.Status.Farewells, dropped = rules.Farewells(o, here, here, now)
		lost += dropped
		if len(o.Status.Farewells) > limit {
			t.Fatalf("%d farewells", len(o.Status.Farewells))
		}
		var stay []v1alpha1.OrgMember
		for i := range here {
			if !rules.Noted(o, &here[i]) {
				stay = append(stay, here[i])
			}
		}
		here = stay
	}
	if first, last := o.Status.Farewells[0].Member, o.Status.Farewells[limit-1].Member; lost != many-limit || first != "m1500" || last != "m2499" {
		t.Errorf("%d lost, %s to %s kept", lost, first, last)
	}
}

// The longest that the API takes, a thousand at once: all go, in as many rounds as it takes, and the Organization never grows
// over what can be stored.
func TestLongFarewells(t *testing.T) {
	o := acme()
	var here []v1alpha1.OrgMember
	for i := range 1000 {
		m := member(fmt.Sprintf("%0253d", i), accepted, leaving)
		m.Spec.Email = v1alpha1.EmailAddress(fmt.Sprintf("%s%d@%s.%s.com", strings.Repeat("ł", 50), i, strings.Repeat("ж", 60), strings.Repeat("漢", 60)))
		m.Spec.DisplayName = v1alpha1.Line(strings.Repeat("😀", 128))
		here = append(here, *m)
	}
	for rounds := 0; len(here) > 0; rounds++ {
		if rounds == 10 {
			t.Fatalf("%d still wait", len(here))
		}
		o.Status.Farewells, _ = rules.Farewells(o, here, here, now)
		for i := range o.Status.Farewells {
			o.Status.Farewells[i].LastError = strings.Repeat("e", 256)
		}
		if stored, err := json.Marshal(o); err != nil || len(stored) > 1<<20 {
			t.Fatalf("round %d: %d bytes, %v", rounds, len(stored), err)
		}
		here = slices.DeleteFunc(here, func(m v1alpha1.OrgMember) bool { return rules.Noted(o, &m) })
	}
}

func TestDueFarewell(t *testing.T) {
	const plain = v1alpha1.RoleMember
	gone := as(v1alpha1.StateExpired, plain)
	cases := map[string]struct {
		reason string
		home   rules.Home
		member *v1alpha1.OrgMember
		want   bool
	}{
		"active":                   {"they lose what they had", home(), member("joe", accepted, leaving), true},
		"suspended":                {"they were a member", home(), member("joe", accepted, suspended, leaving), true},
		"over, not told":           {"the mail is still owed", home(), member("joe", accepted, expires(aDayAgo), leaving, gone, noted(over(1, plain, aDayAgo, isTried))), true},
		"over long before":         {"what is not on record was not told", home(), member("joe", accepted, expires(aDayAgo), leaving, gone), true},
		"let go":                   {"they were seen to; somebody else holds the object", home(), member("joe", accepted, leaving, unheld), false},
		"over, told":               {"once", home(), member("joe", accepted, expires(aDayAgo), leaving, gone, noted(over(1, plain, aDayAgo, isTold))), false},
		"staying":                  {"", home(), member("joe", accepted), false},
		"pending":                  {"the page says that the invitation was withdrawn", home(), member("joe", invited, leaving), false},
		"declined":                 {"they did not want to", home(), member("joe", declined, leaving), false},
		"robot":                    {"service accounts read no mail", home(), member("joe", robot("acme", "ci"), accepted, leaving), false},
		"owner":                    {"stays", home(ownedBy("joe")), member("joe", admin, accepted, leaving), false},
		"the organization goes":    {"nobody is told", home(organizationLeaves), member("joe", accepted, leaving), false},
		"the whole home goes":      {"nobody is told", home(terminating), member("joe", accepted, leaving), false},
		"there is no organization": {"of what", home(noOrganization), member("joe", accepted, leaving), false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := rules.Judge(c.home, rules.MemberFacts{Member: c.member, RobotAllowed: true})
			if got := rules.DueFarewell(c.home, c.member, s); got != c.want {
				t.Errorf("%s: %v", c.reason, got)
			}
			roll := rules.Take(c.home, people(c.member), func(string) bool { return true })
			if got := len(roll.Leaving) == 1; got != c.want {
				t.Errorf("%s: on the roll %v", c.reason, got)
			}
		})
	}
}

func TestNextFarewells(t *testing.T) {
	having := func(fs ...v1alpha1.Farewell) homeOption {
		return func(h *rules.Home) { h.Organization.Status.Farewells = fs }
	}
	later := isTried
	later.NextAttemptAt = stamp(now.Add(time.Hour))
	again, first, tried := farewell("ann", 2, aDayAgo, isTried), farewell("eve", 1, now), delivery{Attempts: 1}
	again.NextAttemptAt = stamp(now)
	due := []v1alpha1.Farewell{
		farewell("ann", 2, aDayAgo, delivery{Attempts: isTried.Attempts + 1, LastError: isTried.LastError}), farewell("eve", 1, now, tried), farewell("kim", 1, now, tried),
	}
	told, waits := farewell("joe", 1, now, isTold), farewell("bob", 1, now, isTried)
	cases := map[string]struct {
		reason string
		home   rules.Home
		most   int
		want   []v1alpha1.Farewell
		at     time.Time
	}{
		"none":                  {"", home(), 10, nil, rules.Never},
		"some":                  {"those that are due, in order", home(having(told, waits, again, first, farewell("kim", 1, now))), 10, due, rules.Never},
		"too many at once":      {"the first of them", home(having(told, waits, again, first, farewell("kim", 1, now))), 2, due[:2], rules.Never},
		"one":                   {"the first of them", home(having(told, waits, again, first, farewell("kim", 1, now))), 1, due[:1], rules.Never},
		"waiting":               {"the first to be due", home(having(farewell("joe", 1, now, isRefused), farewell("ann", 1, now, later), waits)), 10, nil, isTried.NextAttemptAt.Time},
		"all told":              {"", home(having(told)), 10, nil, rules.Never},
		"the organization goes": {"nobody is told", home(having(first), organizationLeaves), 10, nil, rules.Never},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			kept := c.home.Organization.DeepCopy()
			got, at := rules.NextFarewells(c.home, c.most)
			if diff := cmp.Diff(c.want, got); diff != "" || !at.Equal(c.at) {
				t.Errorf("%s\nat %v, want %v\n-want +got:\n%s", c.reason, at, c.at, diff)
			}
			if diff := cmp.Diff(kept, c.home.Organization); diff != "" {
				t.Errorf("the organization was changed\n-want +got:\n%s", diff)
			}
		})
	}
}
