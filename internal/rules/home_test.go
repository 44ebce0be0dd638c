package rules_test

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/internal/rules"
)

func TestInForce(t *testing.T) {
	organization := func(name string, born time.Time) v1alpha1.Organization {
		return v1alpha1.Organization{ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: *stamp(born)}}
	}
	goes := organization("goes", now.Add(-time.Hour))
	goes.DeletionTimestamp = stamp(now)
	cases := map[string]struct {
		reason        string
		organizations []v1alpha1.Organization
		want          string
	}{
		"none":        {"an empty namespace has no organization", nil, ""},
		"one":         {"the only one", []v1alpha1.Organization{organization("acme", now)}, "acme"},
		"two":         {"the oldest wins", []v1alpha1.Organization{organization("a", now), organization("z", now.Add(-time.Second))}, "z"},
		"same second": {"the first by name wins, in whatever order they are listed", []v1alpha1.Organization{organization("z", now), organization("a", now)}, "a"},
		"oldest goes": {"access ends before another organization begins", []v1alpha1.Organization{organization("a", now), goes}, "goes"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got := ""
			if o := rules.InForce(c.organizations); o != nil {
				got = o.Name
			}
			if got != c.want {
				t.Errorf("%s\nInForce = %q, want %q", c.reason, got, c.want)
			}
		})
	}
}

func TestJudgeOrganization(t *testing.T) {
	judged := func(h rules.Home, options ...memberOption) *rules.Standing {
		s := rules.Judge(h, rules.MemberFacts{Member: member("jane", options...)})
		return &s
	}
	other := acme()
	other.Name, other.UID = "second", types.UID("uid-second")
	cases := map[string]struct {
		reason string
		home   rules.Home
		object *v1alpha1.Organization
		owner  *rules.Standing
		wanted bool
		want   string
	}{
		"in force": {"all is well", home(), acme(), judged(home(), accepted), true, "Ready Ready"},
		"owner not there yet": {"the OrgMember may still arrive: nothing is stalled",
			home(ownedBy("")), acme(), nil, false, "Waiting OwnerNotFound"},
		"owner gone, another in force": {"the owner before stays",
			home(ownedBy("joe")), acme(), judged(home(), accepted), false, "Waiting OwnerNotFound"},
		"owner invited": {"Ready does not wait for a person",
			home(), acme(), judged(home(), invited), true, "Ready OwnerNotActive"},
		"owner declined": {"Ready does not wait for a person, and says what they said",
			home(), acme(), judged(home(), declined), true, "Ready OwnerNotActive"},
		"owner not usable, another in force": {"a transfer that cannot be says so, and may heal by itself",
			home(ownedBy("joe")), acme(), judged(home(), accepted), true, "Waiting OwnerNotUsable"},
		"transfer while the policies are not as shipped": {"nobody knows who asked for it; it is honoured by itself later",
			home(ownedBy("joe"), unguarded), acme(), judged(home(), accepted), true, "Reconciling PolicyNotEnforced"},
		"beginning while the policies are not as shipped": {"the owner to be waits as well",
			home(ownedBy(""), unguarded), acme(), nil, true, "Reconciling PolicyNotEnforced"},
		"owner gone while the policies are not as shipped": {"what is missing must be mended anyway",
			home(ownedBy("joe"), unguarded), acme(), judged(home(), accepted), false, "Waiting OwnerNotFound"},
		"in force while the policies are not as shipped": {"what is there stays",
			home(unguarded), acme(), judged(home(), accepted), true, "Ready Ready"},
		"owner not usable, nobody in force": {"a robot, or somebody suspended from the start",
			home(ownedBy("")), acme(), nil, true, "Waiting OwnerNotUsable"},
		"owner protected": {"the organization has its owner: the member's object says what is wrong",
			home(), acme(), judged(home(), accepted, suspended), true, "Ready Ready"},
		"second organization": {"one per namespace; only an edit helps",
			home(), other, nil, false, "Stalled DuplicateOrganization"},
		"second while the first goes": {"it waits its turn like any second one",
			home(organizationLeaves), other, nil, false, "Stalled DuplicateOrganization"},
		"organization leaves": {"nothing is wrong: access ends, then it goes",
			home(organizationLeaves), acme(), judged(home(), accepted), true, "Reconciling Deleting"},
		"home terminates": {"the organization goes with its home",
			home(terminating), acme(), nil, false, "Reconciling Deleting"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			v := rules.JudgeOrganization(c.home, c.object, c.owner, c.wanted)
			if says(v) != c.want {
				t.Errorf("%s\nJudgeOrganization = %q (%s), want %q", c.reason, says(v), v.Message, c.want)
			}
			object := "jane"
			if v.Reason == v1alpha1.ReasonDuplicateOrganization || v.Reason == v1alpha1.ReasonDeleting {
				object = "acme"
			}
			if v.Reason != v1alpha1.ReasonReady {
				checkVerdict(t, v, object)
			} else {
				checkVerdict(t, v, "")
			}
		})
	}
}

// A transfer to somebody who cannot own leaves everything as it is, and the condition says who owns and why not.
func TestTransferToNobodyUsable(t *testing.T) {
	joe := func(options ...memberOption) *v1alpha1.OrgMember {
		return member("joe", append([]memberOption{admin, accepted}, options...)...)
	}
	cases := map[string]struct {
		reason string
		target rules.MemberFacts
		want   string
	}{
		"unknown":          {"the OrgMember may still arrive", rules.MemberFacts{}, "Waiting OwnerNotFound"},
		"pending":          {"who has not joined cannot act", rules.MemberFacts{Member: member("joe", admin, invited)}, "Waiting OwnerNotUsable"},
		"declined":         {"who said no cannot act", rules.MemberFacts{Member: member("joe", admin, declined)}, "Waiting OwnerNotUsable"},
		"suspended":        {"who is set aside cannot act", rules.MemberFacts{Member: joe(suspended)}, "Waiting OwnerNotUsable"},
		"expired":          {"whose membership is over cannot act", rules.MemberFacts{Member: joe(expires(now))}, "Waiting OwnerNotUsable"},
		"expiring":         {"whose membership has an end is leaving", rules.MemberFacts{Member: joe(expires(now.Add(1000 * time.Hour)))}, "Waiting OwnerNotUsable"},
		"robot":            {"a robot is never owner", rules.MemberFacts{Member: joe(robot("acme", "ci")), RobotAllowed: true}, "Waiting OwnerNotUsable"},
		"terminating":      {"who is being deleted is leaving", rules.MemberFacts{Member: joe(leaving)}, "Waiting OwnerNotUsable"},
		"duplicate email":  {"a duplicate has no access", rules.MemberFacts{Member: joe(), SameEmail: "old"}, "Waiting OwnerNotUsable"},
		"duplicate user":   {"a duplicate has no access", rules.MemberFacts{Member: joe(), SameUsername: "old"}, "Waiting OwnerNotUsable"},
		"member":           {"only an admin can follow", rules.MemberFacts{Member: joe(role(v1alpha1.RoleMember))}, "Waiting OwnerNotUsable"},
		"user admin":       {"only an admin can follow", rules.MemberFacts{Member: joe(role(v1alpha1.RoleUserAdmin))}, "Waiting OwnerNotUsable"},
		"unheld":           {"without our finalizer they could go in a moment", rules.MemberFacts{Member: joe(unheld)}, "Waiting OwnerNotUsable"},
		"the owner, again": {"naming who owns already is no transfer", rules.MemberFacts{Member: member("jane", admin, accepted)}, "Ready Ready"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			jane := rules.MemberFacts{Member: member("jane", admin, accepted)}
			h := home(recordedOwner("jane"))
			target, wanted := "joe", &c.target
			if c.target.Member == nil {
				wanted = nil
			} else {
				target = c.target.Member.Name
			}
			h.Organization.Spec.Owner = target
			h.Owner = rules.Owner(h, wanted, &jane)
			s := rules.Judge(h, jane)
			if h.Owner != "jane" || !s.Owner || !s.Active || !s.Usable {
				t.Errorf("%s\nthe owner in force is %q; jane: %+v", c.reason, h.Owner, s)
			}
			v := rules.JudgeOrganization(h, h.Organization, &s, wanted != nil)
			if says(v) != c.want {
				t.Errorf("%s\nJudgeOrganization = %q (%s), want %q", c.reason, says(v), v.Message, c.want)
			}
			if !v.Ready && !strings.Contains(v.Message, "jane remains the owner") {
				t.Errorf("%s\nthe message does not say who owns: %s", c.reason, v.Message)
			}
			checkVerdict(t, v, "")
			members := []v1alpha1.OrgMember{*jane.Member}
			if wanted != nil && target != "jane" {
				members = append(members, *wanted.Member)
			}
			if roll := rules.Take(h, members, robotHomes); roll.Recorded != "jane" {
				t.Errorf("%s\nstatus.owner is to be %q", c.reason, roll.Recorded)
			}
		})
	}
}

func TestWithheld(t *testing.T) {
	good := rules.Verdict{Ready: true, Reason: v1alpha1.ReasonReady}
	bad := rules.Verdict{Stalled: true, Reason: v1alpha1.ReasonNamespaceConflict}
	for _, c := range []struct {
		reason  string
		verdict rules.Verdict
		some    bool
		want    string
	}{
		{"nothing is withheld", good, false, "Ready Ready"},
		{"somebody waits for access", good, true, "Reconciling PolicyNotEnforced"},
		{"what stands against the object anyway comes first", bad, true, "Stalled NamespaceConflict"},
	} {
		if got := says(c.verdict.Withheld(c.some)); got != c.want {
			t.Errorf("%s: %s, want %s", c.reason, got, c.want)
		}
	}
}

func TestInviter(t *testing.T) {
	by := func(user string) memberOption { return func(m *v1alpha1.OrgMember) { m.Spec.InvitedBy = user } }
	oidc := func(h *rules.Home) { h.UsernamePrefix = "oidc:" }
	for _, c := range []struct {
		reason string
		home   rules.Home
		user   string
		want   string
	}{
		{"a person", home(), "jane@acme.example", "jane@acme.example"},
		{"nobody is recorded where members are not stamped", home(), "", ""},
		{"without the policies it is a claim", home(unguarded), "jane@acme.example", ""},
		{"a pipeline is no person", home(), "system:serviceaccount:flux:flux", ""},
		{"nor is Kubernetes", home(), "system:admin", ""},
		{"people know each other by email", home(oidc), "oidc:jane@acme.example", "jane@acme.example"},
		{"who has no prefix is not the authenticator's", home(oidc), "jane@acme.example", ""},
		{"nobody is recorded, with a prefix", home(oidc), "", ""},
	} {
		if got := rules.Inviter(c.home, member("mia", by(c.user))); got != c.want {
			t.Errorf("%s: Inviter(%q) = %q, want %q", c.reason, c.user, got, c.want)
		}
	}
}

func TestName(t *testing.T) {
	o := acme()
	if got := rules.Name(o); got != "acme" {
		t.Errorf("without a display name the object's name serves: got %q", got)
	}
	o.Spec.DisplayName = "Acme S.p.A."
	if got := rules.Name(o); got != "Acme S.p.A." {
		t.Errorf("people read the display name: got %q", got)
	}
}

func TestEarliest(t *testing.T) {
	sooner, later := now, now.Add(time.Second)
	for _, c := range []struct {
		reason     string
		a, b, want time.Time
	}{
		{"the earlier first", sooner, later, sooner},
		{"the earlier second", later, sooner, sooner},
		{"never and a moment", rules.Never, later, later},
		{"a moment and never", later, rules.Never, later},
		{"never twice", rules.Never, rules.Never, rules.Never},
	} {
		if got := rules.Earliest(c.a, c.b); !got.Equal(c.want) {
			t.Errorf("%s: Earliest(%v, %v) = %v", c.reason, c.a, c.b, got)
		}
	}
}
