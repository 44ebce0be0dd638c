package rules_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/internal/rules"
)

func TestTake(t *testing.T) {
	billing, users := role(v1alpha1.RoleBillingAdmin), role(v1alpha1.RoleUserAdmin)
	roster := func(members ...*v1alpha1.OrgMember) (all []v1alpha1.OrgMember) {
		for _, m := range members {
			all = append(all, *m)
		}
		return all
	}
	type answer struct {
		Counts v1alpha1.MemberCounts
		Admins []string
		Owner  string
		// Recorded is what status.owner is to say.
		Recorded string
		Access   rules.HomeAccess
		Wake     time.Time
	}
	everybody := roster(
		member("zoe", admin, accepted), member("jane", admin, accepted), member("adam", admin, withoutAsking),
		member("bill", billing, accepted), member("una", users, accepted), member("mia", accepted),
		member("pia", admin, invited), member("sue", billing, accepted, suspended), member("dan", users, declined),
		member("eve", admin, accepted, expires(now)), member("lea", admin, accepted, leaving),
		member("ci", admin, robot("acme--web", "ci")), member("bot", admin, robot("other", "ci")),
	)
	cases := map[string]struct {
		reason  string
		home    rules.Home
		members []v1alpha1.OrgMember
		want    answer
	}{
		"nobody": {
			reason: "an empty organization is an organization",
			home:   home(ownedBy("")),
		},
		"everybody": {
			reason: "everyone counts in one state; access goes to those alone who are active and stay",
			home:   home(), members: everybody,
			want: answer{
				Counts: v1alpha1.MemberCounts{Total: 13, Active: 8, Pending: 2, Suspended: 1, Declined: 1, Expired: 1},
				Admins: []string{"adam", "jane", "zoe"},
				Owner:  "jane", Recorded: "jane",
				Access: rules.HomeAccess{
					Owner:         []string{"jane@acme.example"},
					Admins:        []string{"adam@acme.example", "system:serviceaccount:acme--web:ci", "zoe@acme.example"},
					SharedAdmins:  []string{"adam@acme.example", "system:serviceaccount:acme--web:ci", "zoe@acme.example"},
					BillingAdmins: []string{"bill@acme.example"},
					UserAdmins:    []string{"una@acme.example"},
				},
				Wake: now.Add(time.Hour),
			},
		},
		"OwnerOnly": {
			reason: "admins keep what admins always have, and lose what the owner keeps to themselves",
			home:   home(ownerOnly), members: roster(member("jane", accepted), member("zoe", admin, accepted)),
			want: answer{
				Counts: v1alpha1.MemberCounts{Total: 2, Active: 2},
				Admins: []string{"jane", "zoe"},
				Owner:  "jane", Recorded: "jane",
				Access: rules.HomeAccess{Owner: []string{"jane@acme.example"}, Admins: []string{"zoe@acme.example"}},
			},
		},
		"owner to be": {
			reason: "who has not joined has nothing, the owner neither",
			home:   home(), members: roster(member("jane", admin, invited)),
			want: answer{
				Counts: v1alpha1.MemberCounts{Total: 1, Pending: 1},
				Owner:  "jane",
				Wake:   now.Add(time.Hour),
			},
		},
		"owner active without asking": {
			reason: "not recorded as active, they could still fall out: status.owner waits a moment",
			home:   home(), members: roster(member("jane", admin, withoutAsking)),
			want: answer{
				Counts: v1alpha1.MemberCounts{Total: 1, Active: 1},
				Admins: []string{"jane"},
				Owner:  "jane",
				Access: rules.HomeAccess{Owner: []string{"jane@acme.example"}},
			},
		},
		"owner who was active": {
			reason: "recorded is recorded, whatever happens to the object",
			home:   home(), members: roster(member("jane", accepted, suspended)),
			want: answer{
				Counts: v1alpha1.MemberCounts{Total: 1, Active: 1},
				Admins: []string{"jane"},
				Owner:  "jane", Recorded: "jane",
				Access: rules.HomeAccess{Owner: []string{"jane@acme.example"}},
			},
		},
		"ends to come": {
			reason: "an admin with an end has access and is not counted on; the owner does not expire",
			home:   home(), members: roster(member("jane", admin, accepted, expires(now.Add(2*time.Hour))), member("tim", admin, accepted, expires(now.Add(time.Hour)))),
			want: answer{
				Counts: v1alpha1.MemberCounts{Total: 2, Active: 2},
				Admins: []string{"jane"},
				Owner:  "jane", Recorded: "jane",
				Access: rules.HomeAccess{Owner: []string{"jane@acme.example"}, Admins: []string{"tim@acme.example"}, SharedAdmins: []string{"tim@acme.example"}},
				Wake:   now.Add(time.Hour),
			},
		},
		"owner who leaves": {
			reason: "the owner keeps access and is no usable admin",
			home:   home(), members: roster(member("jane", admin, accepted, leaving)),
			want: answer{
				Counts: v1alpha1.MemberCounts{Total: 1, Active: 1},
				Owner:  "jane", Recorded: "jane",
				Access: rules.HomeAccess{Owner: []string{"jane@acme.example"}},
			},
		},
		"same email": {
			reason: "the oldest has it; case and the order of the list do not matter",
			home:   home(), members: roster(
				member("late", admin, email("JOE@acme.example"), username("late"), withoutAsking, bornAt(now)),
				member("joe", admin, accepted)),
			want: answer{
				Counts: v1alpha1.MemberCounts{Total: 2, Active: 1, Pending: 1},
				Admins: []string{"joe"},
				Access: rules.HomeAccess{Admins: []string{"joe@acme.example"}, SharedAdmins: []string{"joe@acme.example"}},
			},
		},
		"same username": {
			reason: "the oldest has it: the younger does not lend its role to the older's user",
			home:   home(), members: roster(
				member("joe", accepted),
				member("late", admin, username("joe@acme.example"), withoutAsking, bornAt(now))),
			want: answer{Counts: v1alpha1.MemberCounts{Total: 2, Active: 1, Pending: 1}},
		},
		"owner's username taken by an older object": {
			reason: "both stand for one user, who is in each list once",
			home:   home(), members: roster(
				member("jane", accepted, bornAt(now)),
				member("old", admin, username("jane@acme.example"), withoutAsking),
				member("twin", admin, username("twin"), withoutAsking)),
			want: answer{
				Counts: v1alpha1.MemberCounts{Total: 3, Active: 3},
				Admins: []string{"jane", "old", "twin"},
				Owner:  "jane", Recorded: "jane",
				Access: rules.HomeAccess{
					Owner:        []string{"jane@acme.example"},
					Admins:       []string{"jane@acme.example", "twin"},
					SharedAdmins: []string{"jane@acme.example", "twin"},
				},
			},
		},
		"organization leaves": {
			reason: "nobody has access any more, the owner neither",
			home:   home(organizationLeaves), members: roster(member("jane", accepted), member("joe", admin, accepted)),
			want: answer{Counts: v1alpha1.MemberCounts{Total: 2, Active: 2}, Owner: "jane", Recorded: "jane"},
		},
		"home terminates": {
			reason: "nobody has access any more, the owner neither",
			home:   home(terminating), members: roster(member("jane", accepted), member("joe", admin, accepted)),
			want: answer{Counts: v1alpha1.MemberCounts{Total: 2, Active: 2}, Owner: "jane", Recorded: "jane"},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			roll := rules.Take(c.home, c.members, func(namespace string) bool { return namespace == "acme" || namespace == "acme--web" })
			got := answer{Counts: roll.Counts, Admins: roll.Admins, Recorded: roll.Recorded, Access: roll.Access, Wake: roll.Wake}
			if roll.Owner != nil {
				got.Owner = roll.Owner.Name
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("%s\n-want +got:\n%s", c.reason, diff)
			}
		})
	}
}
