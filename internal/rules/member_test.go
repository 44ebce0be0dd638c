package rules_test

import (
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/internal/rules"
)

// standing is a rules.Standing as the tables write it.
type standing struct {
	State     v1alpha1.MemberState
	Role      v1alpha1.Role
	Is        string // which of active, owner and usable, in this order
	Protected string
	Accepted  string
	Verdict   string
	Wake      time.Time
}

func inBrief(s rules.Standing) standing {
	var is []string
	for _, flag := range []struct {
		holds bool
		word  string
	}{{s.Active, "active"}, {s.Owner, "owner"}, {s.Usable, "usable"}} {
		if flag.holds {
			is = append(is, flag.word)
		}
	}
	return standing{s.State, s.Role, strings.Join(is, " "), s.Protected, string(s.Accepted) + " " + s.AcceptedReason, says(s.Verdict), s.Wake}
}

func TestJudge(t *testing.T) {
	const (
		pending, active, declinedState = v1alpha1.StatePending, v1alpha1.StateActive, v1alpha1.StateDeclined
		expired, suspendedState        = v1alpha1.StateExpired, v1alpha1.StateSuspended
		asMember, asAdmin              = v1alpha1.RoleMember, v1alpha1.RoleAdmin
	)
	soon := now.Add(time.Hour)
	cases := map[string]struct {
		reason string
		home   rules.Home
		facts  rules.MemberFacts
		want   standing
	}{
		// From invitation to membership.
		"new": {
			reason: "who was not invited yet has no access, and the operator is at work",
			home:   home(), facts: rules.MemberFacts{Member: member("mia")},
			want: standing{State: pending, Role: asMember, Accepted: "Unknown AwaitingAcceptance", Verdict: "Reconciling InvitationQueued"},
		},
		"invited": {
			reason: "Ready does not wait for a person; the expiry of the invitation is looked at again",
			home:   home(), facts: rules.MemberFacts{Member: member("mia", invited)},
			want: standing{State: pending, Role: asMember, Accepted: "Unknown AwaitingAcceptance", Verdict: "Ready AwaitingAcceptance", Wake: soon},
		},
		"tried": {
			reason: "a mail whose outcome is not recorded is on its way",
			home:   home(), facts: rules.MemberFacts{Member: member("mia", tried(1, soon))},
			want: standing{State: pending, Role: asMember, Accepted: "Unknown AwaitingAcceptance", Verdict: "Reconciling InvitationQueued"},
		},
		"deferred": {
			reason: "a server that refuses for now does not stall the member",
			home:   home(), facts: rules.MemberFacts{Member: member("mia", deferredUntil(soon))},
			want: standing{State: pending, Role: asMember, Accepted: "Unknown AwaitingAcceptance", Verdict: "Reconciling InvitationDeferred"},
		},
		"rejected": {
			reason: "a server that refuses for good needs a person",
			home:   home(), facts: rules.MemberFacts{Member: member("mia", rejected)},
			want: standing{State: pending, Role: asMember, Accepted: "Unknown AwaitingAcceptance", Verdict: "Stalled InvitationRejected"},
		},
		"accepted": {
			reason: "who accepted is in, with the role of the spec",
			home:   home(), facts: rules.MemberFacts{Member: member("joe", role(v1alpha1.RoleUserAdmin), accepted)},
			want: standing{State: active, Role: v1alpha1.RoleUserAdmin, Is: "active", Accepted: "True Accepted", Verdict: "Ready Active"},
		},
		"accepted admin": {
			reason: "an admin who joined is usable",
			home:   home(), facts: rules.MemberFacts{Member: member("joe", admin, accepted)},
			want: standing{State: active, Role: asAdmin, Is: "active usable", Accepted: "True Accepted", Verdict: "Ready Active"},
		},
		"declined": {
			reason: "no is an answer: the object is Ready and gives nothing",
			home:   home(), facts: rules.MemberFacts{Member: member("mia", declined)},
			want: standing{State: declinedState, Role: asMember, Accepted: "False Declined", Verdict: "Ready Declined"},
		},
		"declined, then the invitation runs out": {
			reason: "what the person said stays what they said",
			home:   home(), facts: rules.MemberFacts{Member: member("mia", declined, invitedUntil(now))},
			want: standing{State: declinedState, Role: asMember, Accepted: "False Declined", Verdict: "Ready Declined"},
		},
		"invitation runs out exactly now": {
			reason: "the moment of expiry belongs to what is over",
			home:   home(), facts: rules.MemberFacts{Member: member("mia", invitedUntil(now))},
			want: standing{State: expired, Role: asMember, Accepted: "False InvitationExpired", Verdict: "Ready InvitationExpired"},
		},
		"invitation runs out in a nanosecond": {
			reason: "until then it holds",
			home:   home(), facts: rules.MemberFacts{Member: member("mia", invitedUntil(now.Add(1)))},
			want: standing{State: pending, Role: asMember, Accepted: "Unknown AwaitingAcceptance", Verdict: "Ready AwaitingAcceptance", Wake: now.Add(1)},
		},
		"unsent invitation past its expiry": {
			reason: "nobody can have missed a mail that never left: it is made anew, not expired",
			home:   home(), facts: rules.MemberFacts{Member: member("mia", tried(1, now.Add(-time.Hour)))},
			want: standing{State: pending, Role: asMember, Accepted: "Unknown AwaitingAcceptance", Verdict: "Reconciling InvitationQueued"},
		},

		// Without asking.
		"mode None": {
			reason: "active without a mail",
			home:   home(), facts: rules.MemberFacts{Member: member("mia", withoutAsking)},
			want: standing{State: active, Role: asMember, Is: "active", Accepted: "True ActivatedWithoutAsking", Verdict: "Ready Active"},
		},
		"mode None, once declined": {
			reason: "the platform overrules the answer",
			home:   home(), facts: rules.MemberFacts{Member: member("mia", declined, withoutAsking)},
			want: standing{State: active, Role: asMember, Is: "active", Accepted: "True ActivatedWithoutAsking", Verdict: "Ready Active"},
		},
		"mode None, then Email": {
			reason: "who was activated stays active, and is not said to have accepted: there was no invitation",
			home:   home(), facts: rules.MemberFacts{Member: member("mia", byMail, func(m *v1alpha1.OrgMember) { m.Status.AcceptedAt = stamp(now) })},
			want: standing{State: active, Role: asMember, Is: "active", Accepted: "True ActivatedWithoutAsking", Verdict: "Ready Active"},
		},
		"mode None for a moment that nobody recorded": {
			reason: "what never took effect leaves nothing behind",
			home:   home(), facts: rules.MemberFacts{Member: member("mia", byMail)},
			want: standing{State: pending, Role: asMember, Accepted: "Unknown AwaitingAcceptance", Verdict: "Reconciling InvitationQueued"},
		},

		// The end of a membership.
		"suspended": {
			reason: "suspension takes the access and keeps what the person said",
			home:   home(), facts: rules.MemberFacts{Member: member("mia", accepted, suspended)},
			want: standing{State: suspendedState, Role: asMember, Accepted: "True Accepted", Verdict: "Ready Suspended"},
		},
		"suspended before joining": {
			reason: "suspension is told first, whatever else there is",
			home:   home(), facts: rules.MemberFacts{Member: member("mia", suspended)},
			want: standing{State: suspendedState, Role: asMember, Accepted: "Unknown AwaitingAcceptance", Verdict: "Ready Suspended"},
		},
		"suspended while invited": {
			reason: "the invitation runs out all the same, and Accepted says so then",
			home:   home(), facts: rules.MemberFacts{Member: member("mia", invited, suspended)},
			want: standing{State: suspendedState, Role: asMember, Accepted: "Unknown AwaitingAcceptance", Verdict: "Ready Suspended", Wake: soon},
		},
		"membership ends exactly now": {
			reason: "the moment of expiry belongs to what is over",
			home:   home(), facts: rules.MemberFacts{Member: member("mia", accepted, expires(now))},
			want: standing{State: expired, Role: asMember, Accepted: "True Accepted", Verdict: "Ready MembershipExpired"},
		},
		"membership ends in a nanosecond": {
			reason: "until then the access holds, and time is watched",
			home:   home(), facts: rules.MemberFacts{Member: member("mia", accepted, expires(now.Add(1)))},
			want: standing{State: active, Role: asMember, Is: "active", Accepted: "True Accepted", Verdict: "Ready Active", Wake: now.Add(1)},
		},
		"membership and invitation ended": {
			reason: "a resend would not help: the end of the membership is what to mend",
			home:   home(), facts: rules.MemberFacts{Member: member("mia", invitedUntil(now), expires(now))},
			want: standing{State: expired, Role: asMember, Accepted: "False InvitationExpired", Verdict: "Ready MembershipExpired"},
		},
		"the earlier of two ends wakes": {
			reason: "both the invitation and the membership end; the first changes the state",
			home:   home(), facts: rules.MemberFacts{Member: member("mia", invited, expires(now.Add(time.Minute)))},
			want: standing{State: pending, Role: asMember, Accepted: "Unknown AwaitingAcceptance", Verdict: "Ready AwaitingAcceptance", Wake: now.Add(time.Minute)},
		},
		"leaving": {
			reason: "access ends with the deletion, not with the object",
			home:   home(), facts: rules.MemberFacts{Member: member("joe", admin, accepted, leaving)},
			want: standing{State: active, Role: asAdmin, Accepted: "True Accepted", Verdict: "Reconciling Deleting"},
		},

		// Duplicates.
		"same email as an older member": {
			reason: "the older object wins, the later gets nothing until somebody mends it",
			home:   home(), facts: rules.MemberFacts{Member: member("joe2"), SameEmail: "joe"},
			want: standing{State: pending, Role: asMember, Accepted: "Unknown AwaitingAcceptance", Verdict: "Stalled DuplicateEmail"},
		},
		"same username, activated without asking": {
			reason: "mode None is no way around it",
			home:   home(), facts: rules.MemberFacts{Member: member("joe2", admin, withoutAsking), SameUsername: "joe"},
			want: standing{State: pending, Role: asAdmin, Accepted: "True ActivatedWithoutAsking", Verdict: "Stalled DuplicateUsername"},
		},
		"both": {
			reason: "the email is told first: it is what people recognize",
			home:   home(), facts: rules.MemberFacts{Member: member("joe2", accepted), SameEmail: "joe", SameUsername: "joe"},
			want: standing{State: pending, Role: asMember, Accepted: "True Accepted", Verdict: "Stalled DuplicateEmail"},
		},
		"duplicate that leaves": {
			reason: "deleting it is how it is mended",
			home:   home(), facts: rules.MemberFacts{Member: member("joe2", leaving), SameEmail: "joe"},
			want: standing{State: pending, Role: asMember, Accepted: "Unknown AwaitingAcceptance", Verdict: "Reconciling Deleting"},
		},

		// Robots.
		"robot": {
			reason: "a service account of the organization is not asked",
			home:   home(), facts: rules.MemberFacts{Member: member("ci", robot("acme--web", "ci")), RobotAllowed: true},
			want: standing{State: active, Role: asMember, Is: "active", Accepted: "True Robot", Verdict: "Ready Active"},
		},
		"robot admin": {
			reason: "a robot may be an admin and is never a usable one: it cannot be asked to act",
			home:   home(), facts: rules.MemberFacts{Member: member("ci", admin, robot("acme", "ci")), RobotAllowed: true},
			want: standing{State: active, Role: asAdmin, Is: "active", Accepted: "True Robot", Verdict: "Ready Active"},
		},
		"suspended robot": {
			reason: "robots can be set aside like people",
			home:   home(), facts: rules.MemberFacts{Member: member("ci", robot("acme", "ci"), suspended), RobotAllowed: true},
			want: standing{State: suspendedState, Role: asMember, Accepted: "True Robot", Verdict: "Ready Suspended"},
		},
		"robot of a foreign namespace": {
			reason: "somebody else's service account gets nothing, and may become ours when a workspace arrives: not stalled",
			home:   home(), facts: rules.MemberFacts{Member: member("ci", robot("other", "ci"))},
			want: standing{State: pending, Role: asMember, Accepted: "Unknown AwaitingAcceptance", Verdict: "Waiting RobotNotAllowed"},
		},
		"robot of a foreign namespace, activated without asking": {
			reason: "mode None is no way around it",
			home:   home(), facts: rules.MemberFacts{Member: member("ci", robot("other", "ci"), withoutAsking)},
			want: standing{State: pending, Role: asMember, Accepted: "True ActivatedWithoutAsking", Verdict: "Waiting RobotNotAllowed"},
		},

		// The home.
		"no organization": {
			reason: "a member may be applied before the Organization; nothing is granted until it arrives",
			home:   home(noOrganization), facts: rules.MemberFacts{Member: member("joe", admin, accepted)},
			want: standing{State: active, Role: asAdmin, Accepted: "True Accepted", Verdict: "Waiting OrganizationNotFound"},
		},
		"no organization, to be activated without asking": {
			reason: "nobody is there who could let them in, so they are called Active by nobody, and have no seat by that",
			home:   home(noOrganization), facts: rules.MemberFacts{Member: member("joe", withoutAsking)},
			want: standing{State: pending, Role: asMember, Accepted: "True ActivatedWithoutAsking", Verdict: "Waiting OrganizationNotFound"},
		},
		"organization leaves": {
			reason: "all access ends",
			home:   home(organizationLeaves), facts: rules.MemberFacts{Member: member("joe", admin, accepted)},
			want: standing{State: active, Role: asAdmin, Accepted: "True Accepted", Verdict: "Reconciling OrganizationDeleting"},
		},
		"home terminates without an organization": {
			reason: "a namespace that goes waits for no Organization",
			home:   home(noOrganization, terminating), facts: rules.MemberFacts{Member: member("joe", accepted)},
			want: standing{State: active, Role: asMember, Accepted: "True Accepted", Verdict: "Reconciling OrganizationDeleting"},
		},

		// The owner.
		"owner": {
			reason: "the owner is an admin whatever the role says",
			home:   home(), facts: rules.MemberFacts{Member: member("jane", admin, accepted)},
			want: standing{State: active, Role: asAdmin, Is: "active owner usable", Accepted: "True Accepted", Verdict: "Ready Active"},
		},
		"owner to be": {
			reason: "who has not joined owns nothing yet",
			home:   home(), facts: rules.MemberFacts{Member: member("jane", invited)},
			want: standing{State: pending, Role: asAdmin, Is: "owner", Accepted: "Unknown AwaitingAcceptance", Verdict: "Ready AwaitingAcceptance", Wake: soon},
		},
		"owner demoted": {
			reason: "the role stays Admin; since owner implies it, this does not stall",
			home:   home(), facts: rules.MemberFacts{Member: member("jane", accepted)},
			want: standing{State: active, Role: asAdmin, Is: "active owner usable", Protected: "Demoted", Accepted: "True Accepted", Verdict: "Ready Active"},
		},
		"owner suspended": {
			reason: "an organization is never without its owner",
			home:   home(), facts: rules.MemberFacts{Member: member("jane", admin, accepted, suspended)},
			want: standing{State: active, Role: asAdmin, Is: "active owner usable", Protected: "Suspended", Accepted: "True Accepted", Verdict: "Stalled OwnerProtected"},
		},
		"owner expired": {
			reason: "time does not take an organization its owner",
			home:   home(), facts: rules.MemberFacts{Member: member("jane", admin, accepted, expires(now))},
			want: standing{State: active, Role: asAdmin, Is: "active owner usable", Protected: "MembershipExpired", Accepted: "True Accepted", Verdict: "Stalled OwnerProtected"},
		},
		"owner with an end to come": {
			reason: "the owner in force does not expire, so they are there to stay; time is looked at again all the same",
			home:   home(), facts: rules.MemberFacts{Member: member("jane", admin, accepted, expires(soon))},
			want: standing{State: active, Role: asAdmin, Is: "active owner usable", Accepted: "True Accepted", Verdict: "Ready Active", Wake: soon},
		},
		"admin with an end to come": {
			reason: "access lasts until the end; but who leaves is not counted on",
			home:   home(), facts: rules.MemberFacts{Member: member("joe", admin, accepted, expires(soon))},
			want: standing{State: active, Role: asAdmin, Is: "active", Accepted: "True Accepted", Verdict: "Ready Active", Wake: soon},
		},
		"owner before, with an end to come": {
			reason: "the protection ended with the ownership",
			home:   home(ownedBy("joe"), recordedOwner("joe")), facts: rules.MemberFacts{Member: member("jane", admin, accepted, expires(soon))},
			want: standing{State: active, Role: asAdmin, Is: "active", Accepted: "True Accepted", Verdict: "Ready Active", Wake: soon},
		},
		"owner deleted": {
			reason: "access stays until the ownership moves; but who leaves is not usable any more",
			home:   home(), facts: rules.MemberFacts{Member: member("jane", admin, accepted, leaving)},
			want: standing{State: active, Role: asAdmin, Is: "active owner", Protected: "Deleting", Accepted: "True Accepted", Verdict: "Stalled OwnerProtected"},
		},
		"owner who is a duplicate": {
			reason: "an object of the same second with a smaller name does not take the owner's seat",
			home:   home(), facts: rules.MemberFacts{Member: member("jane", admin, accepted), SameEmail: "a", SameUsername: "a"},
			want: standing{State: active, Role: asAdmin, Is: "active owner usable", Accepted: "True Accepted", Verdict: "Ready Active"},
		},
		"owner suspended before they were ever active": {
			reason: "who never had access has nothing to keep: suspension is not a way to be let in",
			home:   home(), facts: rules.MemberFacts{Member: member("jane", admin, withoutAsking, suspended)},
			want: standing{State: suspendedState, Role: asAdmin, Is: "owner", Accepted: "True ActivatedWithoutAsking", Verdict: "Ready Suspended"},
		},
		"owner to be deleted": {
			reason: "who never joined can go",
			home:   home(), facts: rules.MemberFacts{Member: member("jane", invited, leaving)},
			want: standing{State: pending, Role: asAdmin, Is: "owner", Accepted: "Unknown AwaitingAcceptance", Verdict: "Reconciling Deleting", Wake: soon},
		},
		"owner before, leaving": {
			reason: "access ends; the object stays until it is recorded who follows, so that there is somebody to fall back on",
			home:   home(ownedBy("joe"), recordedOwner("jane")), facts: rules.MemberFacts{Member: member("jane", admin, accepted, leaving)},
			want: standing{State: active, Role: asAdmin, Protected: "Deleting", Accepted: "True Accepted", Verdict: "Reconciling Deleting"},
		},
		"owner before, leaving, successor recorded": {
			reason: "nothing keeps them",
			home:   home(ownedBy("joe"), recordedOwner("joe")), facts: rules.MemberFacts{Member: member("jane", admin, accepted, leaving)},
			want: standing{State: active, Role: asAdmin, Accepted: "True Accepted", Verdict: "Reconciling Deleting"},
		},
		"owner before, staying": {
			reason: "an admin like others",
			home:   home(ownedBy("joe"), recordedOwner("jane")), facts: rules.MemberFacts{Member: member("jane", admin, accepted)},
			want: standing{State: active, Role: asAdmin, Is: "active usable", Accepted: "True Accepted", Verdict: "Ready Active"},
		},
		"owner before, in a home that terminates": {
			reason: "nothing of it is protected",
			home:   home(ownedBy("joe"), recordedOwner("jane"), terminating), facts: rules.MemberFacts{Member: member("jane", admin, accepted, leaving)},
			want: standing{State: active, Role: asAdmin, Accepted: "True Accepted", Verdict: "Reconciling Deleting"},
		},
		"owner of an organization that leaves": {
			reason: "a namespace or organization that goes can always go, the owner with it",
			home:   home(organizationLeaves), facts: rules.MemberFacts{Member: member("jane", admin, accepted, leaving)},
			want: standing{State: active, Role: asAdmin, Is: "owner", Accepted: "True Accepted", Verdict: "Reconciling Deleting"},
		},
		"owner in a home that terminates": {
			reason: "nothing of it is protected",
			home:   home(terminating), facts: rules.MemberFacts{Member: member("jane", admin, accepted, suspended)},
			want: standing{State: suspendedState, Role: asAdmin, Is: "owner", Accepted: "True Accepted", Verdict: "Reconciling OrganizationDeleting"},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := rules.Judge(c.home, c.facts)
			if diff := cmp.Diff(c.want, inBrief(s)); diff != "" {
				t.Errorf("%s\n-want +got:\n%s", c.reason, diff)
			}
			object := c.facts.Member.Name
			if !c.home.Live() {
				object = ""
			}
			checkVerdict(t, s.Verdict, object)
			checkReason(t, s.AcceptedReason)
			if s.Protected != "" {
				checkReason(t, s.Protected)
			}
		})
	}
}

func TestUsername(t *testing.T) {
	cases := map[string]struct {
		reason string
		member *v1alpha1.OrgMember
		want   string
	}{
		"default":  {"the prefix and the email, as written", member("Joe"), "oidc:Joe@acme.example"},
		"declared": {"what is declared is taken as it is, without the prefix", member("joe", username("joe")), "joe"},
		"robot":    {"a service account has no prefix", member("ci", robot("acme", "ci")), "system:serviceaccount:acme:ci"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := rules.Username(c.member, "oidc:"); got != c.want {
				t.Errorf("%s\nUsername = %q, want %q", c.reason, got, c.want)
			}
		})
	}
}

func TestEmailKey(t *testing.T) {
	cases := []struct {
		reason string
		a, b   v1alpha1.EmailAddress
		same   bool
	}{
		{"case does not make another person", "Joe@Acme.Example", "joe@acme.example", true},
		{"other letters do", "joe@acme.example", "jo@acme.example", false},
		{"the Kelvin sign is a k", "\u212Aim@acme.example", "kim@acme.example", true},
		{"the long s is an s", "\u017Fam@acme.example", "sam@acme.example", true},
		{"a sigma is the same at the end of a word", "ΝΙΚΟΣ@acme.example", "νικος@acme.example", true},
		{"sharp s in capitals", "STRASSE@acme.example", "straße@acme.example", true},
		{"the dotless i is a letter of its own", "\u0131@acme.example", "i@acme.example", false},
		{"the dotted capital I is a letter of its own", "\u0130@acme.example", "i@acme.example", false},
		{"Cyrillic has case", "ИВАН@acme.example", "иван@acme.example", true},
		{"a Cyrillic a only looks like a Latin one", "\u0430@acme.example", "a@acme.example", false},
	}
	for _, c := range cases {
		t.Run(c.reason, func(t *testing.T) {
			if same := rules.EmailKey(c.a) == rules.EmailKey(c.b); same != c.same {
				t.Errorf("%s\nEmailKey(%q) = %q, EmailKey(%q) = %q: same is %v", c.reason, c.a, rules.EmailKey(c.a), c.b, rules.EmailKey(c.b), same)
			}
		})
	}
	for c := range rune(unicode.MaxASCII) {
		// The same text as a part of one in another script goes the long way.
		short, long := rules.EmailKey(v1alpha1.EmailAddress(c)), rules.EmailKey(v1alpha1.EmailAddress(c)+"\u0430")
		if short+"\u0430" != long {
			t.Errorf("the key of %q is %q alone and %q beside other scripts", c, short, long)
		}
	}
	if key := rules.EmailKey(""); key != "" {
		t.Errorf("no email has the key %q: all members without one would be duplicates", key)
	}
}

func TestRobot(t *testing.T) {
	cases := []struct {
		reason    string
		username  string
		namespace string
		robot     bool
	}{
		{"a person", "joe@acme.example", "", false},
		{"no username", "", "", false},
		{"a service account", "system:serviceaccount:acme--web:ci", "acme--web", true},
		{"no name: a robot of no namespace, so never allowed", "system:serviceaccount:acme", "", true},
		{"an empty name", "system:serviceaccount:acme:", "", true},
		{"an empty namespace", "system:serviceaccount::ci", "", true},
		{"the prefix is exact", "xsystem:serviceaccount:acme:ci", "", false},
	}
	for _, c := range cases {
		t.Run(c.reason, func(t *testing.T) {
			namespace, robot := rules.Robot(member("x", username(c.username)))
			if namespace != c.namespace || robot != c.robot {
				t.Errorf("%s\nRobot(%q) = %q, %v, want %q, %v", c.reason, c.username, namespace, robot, c.namespace, c.robot)
			}
		})
	}
}

func TestOlderClaim(t *testing.T) {
	first, second := now.Add(-time.Hour), now.Add(-time.Minute)
	joe := *member("joe", bornAt(second))
	cases := map[string]struct {
		reason string
		others []v1alpha1.OrgMember
		want   string
	}{
		"alone":          {"nobody else claims it", nil, ""},
		"itself":         {"the list of the cache has the member itself", []v1alpha1.OrgMember{joe}, ""},
		"younger":        {"the older object wins", []v1alpha1.OrgMember{*member("a", bornAt(now)), joe}, ""},
		"older":          {"the older object wins", []v1alpha1.OrgMember{joe, *member("zoe", bornAt(first))}, "zoe"},
		"several older":  {"the oldest is named", []v1alpha1.OrgMember{*member("b", bornAt(first.Add(1))), *member("zoe", bornAt(first)), joe}, "zoe"},
		"same second":    {"the name decides", []v1alpha1.OrgMember{*member("ann", bornAt(second)), joe}, "ann"},
		"same second, z": {"the name decides", []v1alpha1.OrgMember{*member("zoe", bornAt(second)), joe}, ""},
		"older and leaving": {"as long as the older is there it may have access",
			[]v1alpha1.OrgMember{*member("zoe", bornAt(first), leaving), joe}, "zoe"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := rules.OlderClaim(&joe, c.others); got != c.want {
				t.Errorf("%s\nOlderClaim = %q, want %q", c.reason, got, c.want)
			}
		})
	}
}

func TestOwner(t *testing.T) {
	jane := func(options ...memberOption) *rules.MemberFacts {
		return &rules.MemberFacts{Member: member("jane", options...)}
	}
	joe := func(options ...memberOption) *rules.MemberFacts {
		return &rules.MemberFacts{Member: member("joe", options...)}
	}
	ci := &rules.MemberFacts{Member: member("ci", admin, robot("acme", "ci")), RobotAllowed: true}
	duplicate := func(f *rules.MemberFacts) *rules.MemberFacts {
		f.SameEmail = "older"
		return f
	}
	cases := map[string]struct {
		reason     string
		home       rules.Home
		want, have *rules.MemberFacts
		owner      string
	}{
		// The beginning.
		"nobody":                 {"the OrgMember may arrive later", home(), nil, nil, ""},
		"invited":                {"the owner to be gets the role when they join", home(), jane(invited), nil, "jane"},
		"declined":               {"a resend may bring them in", home(), jane(declined), nil, "jane"},
		"active":                 {"the first owner begins at once", home(), jane(admin, accepted), nil, "jane"},
		"active without asking":  {"the first owner begins at once", home(), jane(withoutAsking), nil, "jane"},
		"a robot":                {"a robot is never owner", home(), ci, nil, ""},
		"suspended":              {"who was set aside does not begin as owner", home(), jane(accepted, suspended), nil, ""},
		"suspended None":         {"activation does not overrule suspension", home(), jane(withoutAsking, suspended), nil, ""},
		"expired":                {"whose membership ended does not begin as owner", home(), jane(accepted, expires(now)), nil, ""},
		"expiring":               {"an owner does not expire, so whose membership has an end does not begin as one", home(), jane(accepted, expires(now.Add(time.Hour))), nil, ""},
		"expiring, invited":      {"nor becomes one", home(), jane(invited, expires(now.Add(time.Hour))), nil, ""},
		"leaving":                {"who leaves does not begin as owner", home(), jane(accepted, leaving), nil, ""},
		"leaving before joining": {"nor becomes one", home(), jane(invited, leaving), nil, ""},
		"duplicate":              {"a duplicate has no access to begin with", home(), duplicate(jane(withoutAsking)), nil, ""},
		"duplicate, not joined":  {"a duplicate gets no mail and cannot join", home(), duplicate(jane()), nil, ""},

		// Keeping.
		"still jane":               {"nothing changes", home(), jane(admin, accepted), jane(admin, accepted), "jane"},
		"suspended owner":          {"whatever happens to the object", home(), jane(accepted, suspended), jane(accepted, suspended), "jane"},
		"expired owner":            {"whatever happens to the object", home(), jane(accepted, expires(now)), jane(accepted, expires(now)), "jane"},
		"deleted owner":            {"whatever happens to the object", home(), jane(accepted, leaving), jane(accepted, leaving), "jane"},
		"duplicate owner":          {"whatever happens to the object", home(), duplicate(jane(accepted)), duplicate(jane(accepted)), "jane"},
		"expiring owner":           {"whatever happens to the object", home(), jane(accepted, expires(now.Add(time.Hour))), jane(accepted, expires(now.Add(time.Hour))), "jane"},
		"successor does not exist": {"the owner before stays until another can follow", home(), nil, jane(accepted), "jane"},

		// Moving.
		"to a usable admin": {"ownership moves to a usable admin", home(), joe(admin, accepted), jane(accepted), "joe"},
		"to an admin activated unasked": {"active is active", home(),
			joe(admin, withoutAsking, func(m *v1alpha1.OrgMember) { m.Status.AcceptedAt = stamp(now) }), jane(accepted), "joe"},
		"to an admin not recorded as active": {"a moment later they are, and protected from then on", home(),
			joe(admin, withoutAsking), jane(accepted), "jane"},
		"from who leaves":             {"this is how an owner gets out", home(), joe(admin, accepted), jane(accepted, leaving), "joe"},
		"to a plain member":           {"only admins can follow", home(), joe(accepted), jane(accepted), "jane"},
		"to a billing admin":          {"only admins can follow", home(), joe(role(v1alpha1.RoleBillingAdmin), accepted), jane(accepted), "jane"},
		"to an invited admin":         {"who has not joined cannot follow", home(), joe(admin, invited), jane(accepted), "jane"},
		"to a suspended admin":        {"who is set aside cannot follow", home(), joe(admin, accepted, suspended), jane(accepted), "jane"},
		"to an admin who expires now": {"whose membership ended cannot follow", home(), joe(admin, accepted, expires(now)), jane(accepted), "jane"},
		"to an admin who expires some day": {"who leaves cannot follow, and whose membership has an end is leaving", home(),
			joe(admin, accepted, expires(now.Add(10000*time.Hour))), jane(accepted), "jane"},
		"to an admin who leaves":       {"who leaves cannot follow", home(), joe(admin, accepted, leaving), jane(accepted), "jane"},
		"to a duplicate":               {"who has no access cannot follow", home(), duplicate(joe(admin, accepted)), jane(accepted), "jane"},
		"to a robot":                   {"a robot is never owner", home(), ci, jane(accepted), "jane"},
		"while the organization goes":  {"nothing moves any more", home(organizationLeaves), joe(admin, accepted), jane(accepted), "jane"},
		"though joe is taken as owner": {"a home that knows an owner already makes nobody usable", home(ownedBy("joe")), joe(accepted), jane(accepted), "jane"},

		// While the policies are not as shipped.
		"unguarded: to a usable admin":     {"nobody knows who asked for it", home(unguarded), joe(admin, accepted), jane(accepted), "jane"},
		"unguarded: suspended owner":       {"the owner is protected as ever", home(unguarded), jane(accepted, suspended), jane(accepted, suspended), "jane"},
		"unguarded: the first":             {"ownership is given to nobody new", home(unguarded), jane(admin, accepted), nil, ""},
		"unguarded: the owner to be":       {"who is recorded stays", home(unguarded), jane(invited), jane(invited), "jane"},
		"unguarded: from who never joined": {"ownership does not move, whoever has it", home(unguarded), joe(accepted), jane(invited), "jane"},
		"unguarded: from a robot":          {"a robot never was the owner, and nobody begins", home(unguarded), joe(accepted), ci, ""},

		// From an owner to be.
		"from who never joined":         {"nobody loses anything: the new one begins", home(), joe(invited), jane(invited), "joe"},
		"from who declined":             {"nobody loses anything: the new one begins", home(), joe(accepted), jane(declined), "joe"},
		"from who never joined, to nil": {"an owner to be who is not wanted any more is not the owner", home(), nil, jane(invited), ""},
		"from who never was active": {"activated and suspended in one go is never active, and keeps nothing",
			home(), joe(invited), jane(withoutAsking, suspended), "joe"},
		"from who is active and not recorded so": {"the record is a moment younger than the fact",
			home(), joe(invited), jane(withoutAsking), "jane"},
		"from a robot": {"a robot never was the owner", home(), joe(invited), ci, "joe"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := rules.Owner(c.home, c.want, c.have); got != c.owner {
				t.Errorf("%s\nOwner = %q, want %q", c.reason, got, c.owner)
			}
		})
	}
}
