package rules_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/internal/rules"
)

// What asks about all members of an organization is tried with more and more of them: ns/member stays about the same, or
// there is something quadratic in it. Run it with `make bench-go`.

// sizes are of organizations, in members.
var sizes = []int{100, 1_000, 10_000}

// crowd is an organization as they get: one in a hundred is an admin, one in twenty a robot, some have not answered, some
// have declined, left or been suspended; the others are active.
func crowd(n int) []v1alpha1.OrgMember {
	all := make([]v1alpha1.OrgMember, 0, n)
	for i := range n {
		options := []memberOption{accepted, bornAt(now.Add(-time.Duration(n-i) * time.Minute)), described}
		switch {
		case i%100 == 0:
			options = append(options, admin)
		case i%20 == 3:
			options = append(options, robot("acme--web", fmt.Sprintf("ci-%05d", i)))
		case i%20 == 5:
			options[0] = invited
		case i%50 == 7:
			options[0] = declined
		case i%50 == 9:
			options = append(options, suspended)
		case i%50 == 11:
			options = append(options, expires(now.Add(time.Duration(i)*time.Hour)))
		}
		name := fmt.Sprintf("person-%05d", i)
		if i == 0 {
			name = "jane"
		}
		all = append(all, *member(name, options...))
	}
	return all
}

// described has what a member that was reconciled has.
func described(m *v1alpha1.OrgMember) {
	m.Spec.DisplayName, m.Status.State, m.Status.Role = "Mia Rossi", v1alpha1.StateActive, m.Spec.Role
	for _, kind := range []string{v1alpha1.ConditionInvitationSent, v1alpha1.ConditionAccepted, v1alpha1.ConditionReady} {
		m.Status.Conditions = append(m.Status.Conditions, metav1.Condition{
			Type: kind, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonAccepted, Message: m.Name + " is active", LastTransitionTime: *stamp(now),
		})
	}
}

func settled(h *rules.Home) { h.Organization.Status.Owner = "jane" }

// limitedTo lets in people of this many domains, the members' the last of them.
func limitedTo(domains int) homeOption {
	return func(h *rules.Home) {
		h.Organization.Spec.Invitations = &v1alpha1.OrganizationInvitations{}
		for i := range domains - 1 {
			h.Organization.Spec.Invitations.AllowedDomains = append(h.Organization.Spec.Invitations.AllowedDomains, fmt.Sprintf("branch-%d.example", i))
		}
		h.Organization.Spec.Invitations.AllowedDomains = append(h.Organization.Spec.Invitations.AllowedDomains, "acme.example")
	}
}

func booked(seats int) homeOption {
	return func(h *rules.Home) {
		h.Organization.Spec.Subscription = &v1alpha1.OrganizationSubscription{Seats: int32(seats)}
	}
}

// eachSize runs a benchmark for each size, and says what it costs a member.
func eachSize(b *testing.B, run func(b *testing.B, members []v1alpha1.OrgMember)) {
	for _, n := range sizes {
		members := crowd(n)
		b.Run(fmt.Sprintf("members=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			run(b, members)
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/member")
		})
	}
}

// BenchmarkTake calls the roll, as each change of a member makes the Organization's controller do.
func BenchmarkTake(b *testing.B) {
	for _, c := range []struct {
		name string
		home rules.Home
	}{
		{"Plain", home(settled)},
		{"Domains", home(settled, limitedTo(20))},
		{"Seats", home(settled, booked(20_000))},
	} {
		h := c.home
		b.Run(c.name, func(b *testing.B) {
			eachSize(b, func(b *testing.B, members []v1alpha1.OrgMember) {
				for b.Loop() {
					roll := rules.Take(h, members, func(namespace string) bool { return namespace == "acme--web" })
					if int(roll.Counts.Total) != len(members) || roll.Owner == nil {
						b.Fatalf("%+v", roll.Counts)
					}
					roll.Seats(h.Organization)
				}
			})
		})
	}
}

// BenchmarkImport calls the roll while all of the members wait: for an answer, or for a seat.
func BenchmarkImport(b *testing.B) {
	h := home(settled, booked(10))
	eachSize(b, func(b *testing.B, members []v1alpha1.OrgMember) {
		members = slices.Clone(members)
		for i := range members[1:] {
			members[i+1].Status = v1alpha1.OrgMemberStatus{}
		}
		for b.Loop() {
			roll := rules.Take(h, members, func(string) bool { return true })
			if use := roll.Seats(h.Organization); int(use.Waiting) < len(members)/2 {
				b.Fatalf("%+v", use)
			}
		}
	})
}

// BenchmarkFarewells notes those who leave, all at once.
func BenchmarkFarewells(b *testing.B) {
	o := acme()
	eachSize(b, func(b *testing.B, members []v1alpha1.OrgMember) {
		members = slices.Clone(members)
		for i := range members {
			leaving(&members[i])
		}
		for b.Loop() {
			if next, _ := rules.Farewells(o, members, members, now); len(next) == 0 {
				b.Fatal("nobody is told")
			}
		}
	})
}

// BenchmarkAccessTo decides who may work in a workspace that half of the organization is assigned to.
func BenchmarkAccessTo(b *testing.B) {
	h, w := home(settled), workspace("web")
	eachSize(b, func(b *testing.B, members []v1alpha1.OrgMember) {
		var admins []rules.Standing
		var assigned []rules.Assigned
		for i := range members {
			s := rules.Judge(h, rules.MemberFacts{Member: &members[i], RobotAllowed: true})
			if s.Role == v1alpha1.RoleAdmin {
				admins = append(admins, s)
			}
			if i%2 == 0 {
				assigned = append(assigned, rules.Assigned{Assignment: assignment(s.Name, names("web", "api")), Member: s})
			}
		}
		for b.Loop() {
			access := rules.AccessTo(h, w, admins, assigned)
			if edit := access.Users(v1alpha1.AccessEdit); len(edit) < len(members)/3 {
				b.Fatal(len(edit))
			}
		}
	})
}

// BenchmarkAheadInLine asks of one member how many go before them, where all wait.
func BenchmarkAheadInLine(b *testing.B) {
	eachSize(b, func(b *testing.B, members []v1alpha1.OrgMember) {
		last := &members[len(members)-1]
		for b.Loop() {
			if ahead := rules.AheadInLine(last, members); ahead != len(members)-1 {
				b.Fatal(ahead)
			}
		}
	})
}

// BenchmarkTurn asks when a mail goes out that so many are ahead of.
func BenchmarkTurn(b *testing.B) {
	for _, ahead := range sizes {
		b.Run(fmt.Sprintf("ahead=%d", ahead), func(b *testing.B) {
			a := rules.Allowance{Limit: 200, Now: now}
			for hour := range 24 {
				a.Sent = append(a.Sent, v1alpha1.MailCount{Hour: *stamp(now.Add(time.Duration(hour-23) * time.Hour)), Count: 9})
			}
			b.ReportAllocs()
			for b.Loop() {
				if ok, _ := a.Turn(ahead); ok != (ahead == 0) {
					b.Fatal(ok)
				}
			}
		})
	}
}

// BenchmarkJudge says where one membership stands, and what mail is due.
func BenchmarkJudge(b *testing.B) {
	for _, c := range []struct {
		name   string
		member *v1alpha1.OrgMember
	}{
		{"Active", member("mia", accepted, described)},
		{"Pending", member("mia", invited, described)},
		{"Robot", member("ci", robot("acme--web", "ci"))},
	} {
		h := home(settled, limitedTo(20), booked(100))
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			f := rules.MemberFacts{Member: c.member, RobotAllowed: true}
			for b.Loop() {
				s := rules.Judge(h, f)
				rules.NextInvitationMail(h, f)
				rules.JudgeDormancy(h, c.member, s, true)
				if s.State == "" {
					b.Fatal("no state")
				}
			}
		})
	}
}

// BenchmarkEmailKey makes the key that an index is asked with, for each judgement.
func BenchmarkEmailKey(b *testing.B) {
	for _, c := range []struct {
		name  string
		email v1alpha1.EmailAddress
	}{
		{"Lower", "mia.rossi@acme.example"}, {"Upper", "Mia.Rossi@Acme.Example"}, {"Unicode", "Łukasz.Żółć@acme.example"},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if rules.EmailKey(c.email) != strings.ToLower(string(c.email)) {
					b.Fatal("another key")
				}
			}
		})
	}
}
