package rules_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/internal/rules"
)

func allowing(domains ...string) homeOption {
	return func(h *rules.Home) {
		h.Organization.Spec.Invitations = &v1alpha1.OrganizationInvitations{AllowedDomains: domains}
	}
}

func TestAllowedDomains(t *testing.T) {
	const no = "Stalled DomainNotAllowed"
	cases := map[string]struct {
		reason string
		home   rules.Home
		member *v1alpha1.OrgMember
		state  v1alpha1.MemberState
		want   string
		mail   bool
	}{
		"no list":       {"any domain will do", home(), member("mia"), v1alpha1.StatePending, "Reconciling InvitationQueued", true},
		"on the list":   {"one of several", home(allowing("other.example", "acme.example")), member("mia"), v1alpha1.StatePending, "Reconciling InvitationQueued", true},
		"another case":  {"DNS knows no case", home(allowing("ACME.example")), member("mia", email("mia@acme.EXAMPLE")), v1alpha1.StatePending, "Reconciling InvitationQueued", true},
		"letters":       {"a domain and its ASCII form are one", home(allowing("żółw.example")), member("mia", email("mia@xn--w-uga1v8h.example")), v1alpha1.StatePending, "Reconciling InvitationQueued", true},
		"ASCII form":    {"in either place, and in capitals", home(allowing("XN--W-UGA1V8H.example")), member("mia", email("mia@ŻÓŁW.example")), v1alpha1.StatePending, "Reconciling InvitationQueued", true},
		"not listed":    {"what the list is for", home(allowing("other.example")), member("mia"), v1alpha1.StatePending, no, false},
		"subdomain":     {"somebody else may run it", home(allowing("acme.example")), member("mia", email("mia@mail.acme.example")), v1alpha1.StatePending, no, false},
		"longer":        {"the whole domain is compared", home(allowing("acme.example")), member("mia", email("mia@notacme.example")), v1alpha1.StatePending, no, false},
		"look-alike":    {"a Cyrillic а is another letter", home(allowing("acme.example")), member("mia", email("mia@аcme.example")), v1alpha1.StatePending, no, false},
		"full width":    {"DNS maps it to the plain letters, and so would the mail", home(allowing("acme.example")), member("mia", email("mia@ａcme.example")), v1alpha1.StatePending, "Reconciling InvitationQueued", true},
		"refused":       {"what IDNA refuses matches nothing, itself neither", home(allowing("a--b-.example", "ab--c.example")), member("mia", email("mia@ab--c.example")), v1alpha1.StatePending, no, false},
		"not asked":     {"the list says who may come in, however they do", home(allowing("other.example")), member("mia", withoutAsking), v1alpha1.StatePending, no, false},
		"invited":       {"the list counts until somebody has joined", home(allowing("other.example")), member("mia", invited), v1alpha1.StatePending, no, false},
		"resend":        {"asking again does not help", home(allowing("other.example")), member("mia", declined, resend("1")), v1alpha1.StateDeclined, no, false},
		"joined before": {"who is in stays", home(allowing("other.example")), member("mia", accepted), v1alpha1.StateActive, "Ready Active", false},
		"the owner":     {"who is in stays", home(allowing("other.example")), member("jane", accepted), v1alpha1.StateActive, "Ready Active", false},
		"robot":         {"a service account has no mail domain", home(allowing("other.example")), member("ci", robot("acme", "ci")), v1alpha1.StateActive, "Ready Active", false},
		"no home":       {"the list is gone with the organization", home(allowing("other.example"), organizationLeaves), member("mia"), v1alpha1.StatePending, "Reconciling OrganizationDeleting", false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			f := rules.MemberFacts{Member: c.member, RobotAllowed: true}
			s := rules.Judge(c.home, f)
			if got := says(s.Verdict); got != c.want || s.State != c.state {
				t.Errorf("%s\n%s, %s; want %s, %s: %s", c.reason, s.State, got, c.state, c.want, s.Verdict.Message)
			}
			if s.Verdict.Reason == v1alpha1.ReasonDomainNotAllowed {
				checkVerdict(t, s.Verdict, c.member.Name)
				if s.Active || s.Usable {
					t.Errorf("%s\nhas access: %+v", c.reason, s)
				}
				if link := rules.JudgeLink(c.home, f, 1, c.home.Now); c.member.Status.Invitation != nil && link != rules.LinkWithdrawn {
					t.Errorf("%s\nthe link stands for %d", c.reason, link)
				}
				if strings.Contains(s.Verdict.Message, string(c.member.Spec.Email)) {
					t.Errorf("the message has the address: %s", s.Verdict.Message)
				}
			}
			if record, _ := rules.NextInvitation(c.home, f); (record != nil) != c.mail {
				t.Errorf("%s\na mail is due: %v", c.reason, record)
			}
		})
	}
}

func TestDomainMessageIsBounded(t *testing.T) {
	var domains []string
	for i := range 64 {
		domains = append(domains, fmt.Sprintf("%s%d.example", strings.Repeat("long.", 40), i))
	}
	v := rules.Judge(home(allowing(domains...)), rules.MemberFacts{Member: member("mia")}).Verdict
	if len(v.Message) > 1000 || !strings.Contains(v.Message, "and 61 more") || !strings.Contains(v.Message, "; add it to") {
		t.Errorf("%d bytes: %s", len(v.Message), v.Message)
	}
}

// Nobody becomes the first owner by a membership that the organization does not let in.
func TestOwnerToBeOfAnotherDomain(t *testing.T) {
	h := home(allowing("other.example"), ownedBy(""))
	if got := rules.Owner(h, &rules.MemberFacts{Member: member("jane", admin)}, nil); got != "" {
		t.Errorf("%s is the owner to be", got)
	}
	if got := rules.Owner(h, &rules.MemberFacts{Member: member("jane", admin, withoutAsking)}, nil); got != "" {
		t.Errorf("%s is the owner", got)
	}
	if got := rules.Owner(h, &rules.MemberFacts{Member: member("jane", admin, accepted)}, nil); got != "jane" {
		t.Errorf("who is in cannot own: %q", got)
	}
}
