package rules_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/internal/rules"
)

func TestAccessTo(t *testing.T) {
	const (
		view, edit, full = v1alpha1.AccessView, v1alpha1.AccessEdit, v1alpha1.AccessAdmin
		jane, joe, mia   = "jane@acme.example", "joe@acme.example", "mia@acme.example"
	)
	soon, later := now.Add(time.Minute), now.Add(time.Hour)
	judge := func(h rules.Home, name string, options ...memberOption) rules.Standing {
		return rules.Judge(h, rules.MemberFacts{Member: member(name, options...), RobotAllowed: true})
	}
	assigned := func(s rules.Standing, options ...assignmentOption) rules.Assigned {
		return rules.Assigned{Assignment: assignment(s.Name, names("web"), options...), Member: s}
	}
	elsewhere := func(a *v1alpha1.WorkspaceAssignment) { a.Spec.Workspaces = names("api", "web2") }
	h := home()
	miaActive := judge(h, "mia", accepted)
	cases := map[string]struct {
		reason    string
		home      rules.Home
		workspace *v1alpha1.Workspace
		admins    []rules.Standing
		assigned  []rules.Assigned
		want      map[string]v1alpha1.Access
		wake      time.Time
	}{
		"owner and admins": {
			reason: "they work everywhere",
			admins: []rules.Standing{judge(h, "jane", accepted), judge(h, "joe", admin, accepted)},
			want:   map[string]v1alpha1.Access{jane: full, joe: full},
		},
		"admin who is not active": {
			reason: "a role is nothing without the membership",
			admins: []rules.Standing{judge(h, "joe", admin, accepted, suspended), judge(h, "una", admin, declined)},
		},
		"somebody among the admins who is none": {
			reason: "the role in force counts, not the list",
			admins: []rules.Standing{miaActive},
		},
		"assigned": {
			reason:   "the assignment's access",
			assigned: []rules.Assigned{assigned(miaActive)},
			want:     map[string]v1alpha1.Access{mia: edit},
		},
		"robot": {
			reason:   "robots are assigned like people",
			assigned: []rules.Assigned{assigned(judge(h, "ci", robot("acme--web", "ci")), access(view))},
			want:     map[string]v1alpha1.Access{"system:serviceaccount:acme--web:ci": view},
		},
		"assigned elsewhere": {
			reason:   "a name that only starts alike is another workspace",
			assigned: []rules.Assigned{assigned(miaActive, elsewhere)},
		},
		"assigned and pending": {
			reason:   "nothing before the person accepts; their invitation's end is watched",
			assigned: []rules.Assigned{assigned(judge(h, "mia", invited))},
			wake:     later,
		},
		"assigned and leaving": {
			reason:   "removal ends it",
			assigned: []rules.Assigned{assigned(judge(h, "mia", accepted, leaving))},
		},
		"assigned several times": {
			reason: "the highest counts, and nobody is in two lists",
			assigned: []rules.Assigned{
				assigned(miaActive, access(view)), assigned(miaActive, access(full)), assigned(miaActive, access(edit)),
			},
			want: map[string]v1alpha1.Access{mia: full},
		},
		"admin assigned less": {
			reason:   "an assignment takes nothing from an admin",
			admins:   []rules.Standing{judge(h, "joe", admin, accepted)},
			assigned: []rules.Assigned{assigned(judge(h, "joe", admin, accepted), access(view))},
			want:     map[string]v1alpha1.Access{joe: full},
		},
		"assignment ends exactly now": {
			reason:   "the moment of expiry belongs to what is over",
			assigned: []rules.Assigned{assigned(miaActive, until(now))},
		},
		"assignment ends soon": {
			reason:   "until then it holds, and time is watched",
			assigned: []rules.Assigned{assigned(miaActive, until(soon))},
			want:     map[string]v1alpha1.Access{mia: edit}, wake: soon,
		},
		"the higher ends": {
			reason:   "the lower remains",
			assigned: []rules.Assigned{assigned(miaActive, access(full), until(now)), assigned(miaActive, access(view))},
			want:     map[string]v1alpha1.Access{mia: view},
		},
		"membership ends soon": {
			reason:   "the workspace looks again by itself when a member's time is up",
			admins:   []rules.Standing{judge(h, "joe", admin, accepted, expires(soon))},
			assigned: []rules.Assigned{assigned(miaActive, until(later))},
			want:     map[string]v1alpha1.Access{joe: full, mia: edit}, wake: soon,
		},
		"assignment leaves": {
			reason:   "removal of the assignment ends it",
			assigned: []rules.Assigned{assigned(miaActive, assignmentLeaves)},
		},
		"unknown access": {
			reason:   "what the rules do not know gives nothing",
			assigned: []rules.Assigned{assigned(miaActive, access("Root")), assigned(judge(h, "joe", accepted), access(""))},
		},
		"workspace leaves": {
			reason:    "nobody works there any more",
			workspace: workspace("web", workspaceLeaves),
			admins:    []rules.Standing{judge(h, "jane", accepted)}, assigned: []rules.Assigned{assigned(miaActive)},
		},
		"organization leaves": {
			reason: "nobody works anywhere any more, even if a standing is of a moment ago",
			home:   home(organizationLeaves),
			admins: []rules.Standing{judge(h, "jane", accepted)}, assigned: []rules.Assigned{assigned(miaActive)},
		},
		"no organization": {
			reason: "without an organization there is no access",
			home:   home(noOrganization),
			admins: []rules.Standing{judge(h, "jane", accepted)}, assigned: []rules.Assigned{assigned(miaActive)},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if c.home.Namespace == "" {
				c.home = h
			}
			if c.workspace == nil {
				c.workspace = workspace("web")
			}
			to := rules.AccessTo(c.home, c.workspace, c.admins, c.assigned)
			counts := v1alpha1.WorkspaceMembers{Admin: int32(len(to.Users(full))), Edit: int32(len(to.Users(edit))), View: int32(len(to.Users(view)))}
			if diff := cmp.Diff(&counts, to.Counts()); diff != "" {
				t.Errorf("the counts, -want +got:\n%s", diff)
			}
			got := map[string]v1alpha1.Access{}
			for _, level := range []v1alpha1.Access{view, edit, full} {
				for _, user := range to.Users(level) {
					if twice, ok := got[user]; ok {
						t.Errorf("%s has both %s and %s", user, twice, level)
					}
					got[user] = level
					if to.Of(user) != level {
						t.Errorf("Of(%s) = %s, and Users says %s", user, to.Of(user), level)
					}
				}
			}
			if c.want == nil {
				c.want = map[string]v1alpha1.Access{}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("%s\n-want +got:\n%s", c.reason, diff)
			}
			if !to.Wake.Equal(c.wake) {
				t.Errorf("%s\nWake = %v, want %v", c.reason, to.Wake, c.wake)
			}
		})
	}
}

func TestExceeds(t *testing.T) {
	rising := []v1alpha1.Access{"", v1alpha1.AccessView, v1alpha1.AccessEdit, v1alpha1.AccessAdmin}
	for i, a := range rising {
		for j, b := range rising {
			if got := rules.Exceeds(a, b); got != (i > j) {
				t.Errorf("Exceeds(%q, %q) = %v", a, b, got)
			}
		}
	}
}
