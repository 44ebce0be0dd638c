package rules_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/internal/rules"
)

func TestJudgeAssignment(t *testing.T) {
	const (
		web, api    = v1alpha1.WorkspaceName("web"), v1alpha1.WorkspaceName("api")
		view, edit  = v1alpha1.AccessView, v1alpha1.AccessEdit
		inWeb, inAP = "acme--web", "acme--api"
	)
	soon := now.Add(time.Hour)
	type part = v1alpha1.AssignedWorkspace
	judged := func(f rules.MemberFacts) *rules.Standing {
		s := rules.Judge(home(), f)
		return &s
	}
	mia := func(options ...memberOption) *rules.Standing {
		return judged(rules.MemberFacts{Member: member("mia", options...)})
	}
	active := mia(accepted)
	both := []*v1alpha1.Workspace{workspace("web"), workspace("api")}
	webOnly := func(reason string) []part { return []part{{Name: web, Namespace: inWeb, Reason: reason}} }
	cases := map[string]struct {
		reason     string
		home       rules.Home
		assignment *v1alpha1.WorkspaceAssignment
		member     *rules.Standing
		workspaces []*v1alpha1.Workspace
		held       map[string]v1alpha1.Access
		want       string
		parts      []part
		wake       time.Time
	}{
		"granted": {
			reason:     "the access is there",
			assignment: assignment("mia", names(web, api)), member: active, workspaces: both,
			held:  map[string]v1alpha1.Access{inWeb: edit, inAP: v1alpha1.AccessAdmin},
			want:  "Ready Granted",
			parts: []part{{Name: web, Namespace: inWeb, Granted: true, Reason: "Granted"}, {Name: api, Namespace: inAP, Granted: true, Reason: "Granted"}},
		},
		"under way": {
			reason:     "granted is what the RoleBindings say, not what they will say; less than asked for is not granted",
			assignment: assignment("mia", names(api, web)), member: active, workspaces: both,
			held:  map[string]v1alpha1.Access{inWeb: edit, inAP: view},
			want:  "Reconciling Progressing",
			parts: []part{{Name: api, Namespace: inAP, Reason: "Progressing"}, {Name: web, Namespace: inWeb, Granted: true, Reason: "Granted"}},
		},
		"withheld": {
			reason: "while the policies are not as shipped nothing is on its way",
			home:   home(unguarded), assignment: assignment("mia", names(api, web)), member: active, workspaces: both,
			held:  map[string]v1alpha1.Access{inWeb: edit},
			want:  "Reconciling PolicyNotEnforced",
			parts: []part{{Name: api, Namespace: inAP, Reason: "PolicyNotEnforced"}, {Name: web, Namespace: inWeb, Granted: true, Reason: "Granted"}},
		},
		"workspace missing": {
			reason:     "it may still arrive; the others are granted meanwhile",
			assignment: assignment("mia", names(web, api)), member: active, workspaces: both[:1],
			held:  map[string]v1alpha1.Access{inWeb: edit},
			want:  "Waiting WorkspaceNotFound",
			parts: []part{{Name: web, Namespace: inWeb, Granted: true, Reason: "Granted"}, {Name: api, Reason: "WorkspaceNotFound"}},
		},
		"workspace not ready": {
			reason:     "a workspace without a namespace, or one that goes, cannot be worked in",
			assignment: assignment("mia", names(web, api)), member: active,
			workspaces: []*v1alpha1.Workspace{workspace("web", workspaceLeaves), workspace("api", unready)},
			held:       map[string]v1alpha1.Access{inWeb: edit},
			want:       "Waiting WorkspaceNotReady",
			parts:      []part{{Name: web, Namespace: inWeb, Reason: "WorkspaceNotReady"}, {Name: api, Reason: "WorkspaceNotReady"}},
		},
		"member missing": {
			reason:     "it may still arrive: never refused",
			assignment: assignment("mia", names(web)), workspaces: both,
			want: "Waiting MemberNotFound", parts: webOnly("MemberNotFound"),
		},
		"member pending": {
			reason:     "a pipeline does not wait for a person",
			assignment: assignment("mia", names(web)), member: mia(invited), workspaces: both,
			want: "Ready AwaitingAcceptance", parts: webOnly("AwaitingAcceptance"),
		},
		"member not invited yet": {
			reason:     "the mail is the member's matter, not the assignment's",
			assignment: assignment("mia", names(web)), member: mia(), workspaces: both,
			want: "Ready AwaitingAcceptance", parts: webOnly("AwaitingAcceptance"),
		},
		"member's mail was refused": {
			reason:     "the member is stalled, and says so; the assignment waits for the person all the same",
			assignment: assignment("mia", names(web)), member: mia(rejected), workspaces: both,
			want: "Ready AwaitingAcceptance", parts: webOnly("AwaitingAcceptance"),
		},
		"member pending, workspace missing": {
			reason:     "what is missing must be mended whoever accepts",
			assignment: assignment("mia", names(api)), member: mia(invited), workspaces: both[:1],
			want: "Waiting WorkspaceNotFound", parts: []part{{Name: api, Reason: "WorkspaceNotFound"}},
		},
		"member declined": {
			reason:     "no is an answer",
			assignment: assignment("mia", names(web)), member: mia(declined), workspaces: both,
			want: "Ready MemberNotActive", parts: webOnly("MemberNotActive"),
		},
		"member suspended": {
			reason:     "suspension is somebody's will",
			assignment: assignment("mia", names(web)), member: mia(accepted, suspended), workspaces: both,
			held: map[string]v1alpha1.Access{inWeb: edit},
			want: "Ready MemberNotActive", parts: webOnly("MemberNotActive"),
		},
		"member leaves": {
			reason:     "nothing is granted to who goes, though they were active",
			assignment: assignment("mia", names(web)), member: mia(accepted, leaving), workspaces: both,
			held: map[string]v1alpha1.Access{inWeb: edit},
			want: "Ready MemberNotActive", parts: webOnly("MemberNotActive"),
		},
		"pending member leaves": {
			reason:     "who goes will not accept any more",
			assignment: assignment("mia", names(web)), member: mia(invited, leaving), workspaces: both,
			want: "Ready MemberNotActive", parts: webOnly("MemberNotActive"),
		},
		"member is a duplicate": {
			reason:     "that must be mended",
			assignment: assignment("mia", names(web)), member: judged(rules.MemberFacts{Member: member("mia"), SameEmail: "old"}), workspaces: both,
			want: "Waiting MemberNotActive", parts: webOnly("MemberNotActive"),
		},
		"member is a foreign robot": {
			reason:     "that must be mended, or heals when the workspace arrives",
			assignment: assignment("mia", names(web)), member: judged(rules.MemberFacts{Member: member("mia", robot("other", "ci"))}), workspaces: both,
			want: "Waiting MemberNotActive", parts: webOnly("MemberNotActive"),
		},
		"ends exactly now": {
			reason:     "the moment of expiry belongs to what is over",
			assignment: assignment("mia", names(web), until(now)), member: active, workspaces: both,
			held: map[string]v1alpha1.Access{inWeb: edit},
			want: "Ready AssignmentExpired", parts: webOnly("AssignmentExpired"),
		},
		"ends later": {
			reason:     "time is watched",
			assignment: assignment("mia", names(web), until(soon)), member: active, workspaces: both,
			held: map[string]v1alpha1.Access{inWeb: edit},
			want: "Ready Granted", parts: []part{{Name: web, Namespace: inWeb, Granted: true, Reason: "Granted"}}, wake: soon,
		},
		"ended, and all that it named is gone": {
			reason:     "what has ended waits for nothing: a pipeline is not held up by an old assignment",
			assignment: assignment("mia", names(web), until(now.Add(-time.Hour))),
			want:       "Ready AssignmentExpired", parts: []part{{Name: web, Reason: "WorkspaceNotFound"}},
		},
		"leaves": {
			reason:     "its own end comes first",
			assignment: assignment("mia", names(web), assignmentLeaves), member: active, workspaces: both,
			held: map[string]v1alpha1.Access{inWeb: edit},
			want: "Reconciling Deleting", parts: webOnly("Deleting"),
		},
		"no organization": {
			reason:     "nothing is granted until it arrives",
			home:       home(noOrganization),
			assignment: assignment("mia", names(web)), member: active, workspaces: both,
			held: map[string]v1alpha1.Access{inWeb: edit},
			want: "Waiting OrganizationNotFound", parts: webOnly("OrganizationNotFound"),
		},
		"organization leaves": {
			reason:     "all access ends",
			home:       home(organizationLeaves),
			assignment: assignment("mia", names(web)), member: active, workspaces: both,
			held: map[string]v1alpha1.Access{inWeb: edit},
			want: "Reconciling OrganizationDeleting", parts: webOnly("OrganizationDeleting"),
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			h := c.home
			if h.Namespace == "" {
				h = home()
			}
			f := rules.AssignmentFacts{
				Assignment: c.assignment, Member: c.member, Workspaces: map[v1alpha1.WorkspaceName]*v1alpha1.Workspace{},
				Held: func(namespace string) v1alpha1.Access { return c.held[namespace] },
			}
			for _, w := range c.workspaces {
				f.Workspaces[v1alpha1.WorkspaceName(w.Name)] = w
			}
			s := rules.JudgeAssignment(h, f)
			if says(s.Verdict) != c.want {
				t.Errorf("%s\nverdict = %q (%s), want %q", c.reason, says(s.Verdict), s.Verdict.Message, c.want)
			}
			if diff := cmp.Diff(c.parts, s.Workspaces); diff != "" {
				t.Errorf("%s\n-want +got:\n%s", c.reason, diff)
			}
			if !s.Wake.Equal(c.wake) {
				t.Errorf("%s\nWake = %v, want %v", c.reason, s.Wake, c.wake)
			}
			checkVerdict(t, s.Verdict, map[string]string{
				"Granted": "mia", "MemberNotFound": "mia", "MemberNotActive": "mia", "AwaitingAcceptance": "mia", "Deleting": "mia",
				"WorkspaceNotFound": "api", "WorkspaceNotReady": "web, api", "Progressing": "api", "PolicyNotEnforced": "api",
				"OrganizationNotFound": "acme", "OrganizationDeleting": "acme", "AssignmentExpired": "the assignment",
			}[s.Verdict.Reason])
			for _, p := range s.Workspaces {
				checkReason(t, p.Reason)
			}
		})
	}
}

func TestCountWorkspaces(t *testing.T) {
	workspaces := []v1alpha1.Workspace{*workspace("web"), *workspace("api"), *workspace("db")}
	cases := map[string]struct {
		reason      string
		assignments []v1alpha1.WorkspaceAssignment
		want        int32
		wake        time.Time
	}{
		"none":     {"no assignment, no workspace", nil, 0, rules.Never},
		"two":      {"each counts once, however often it is assigned", []v1alpha1.WorkspaceAssignment{*assignment("mia", names("web", "api")), *assignment("mia", names("web"))}, 2, rules.Never},
		"dangling": {"what does not exist does not count", []v1alpha1.WorkspaceAssignment{*assignment("mia", names("web", "gone"))}, 1, rules.Never},
		"over":     {"ended exactly now, or leaving: over", []v1alpha1.WorkspaceAssignment{*assignment("mia", names("web"), until(now)), *assignment("mia", names("api"), assignmentLeaves)}, 0, rules.Never},
		"one over": {"another still leads there", []v1alpha1.WorkspaceAssignment{*assignment("mia", names("web"), until(now)), *assignment("mia", names("web"), until(now.Add(1)))}, 1, now.Add(1)},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got, wake := rules.CountWorkspaces(home(), workspaces, c.assignments); got != c.want || !wake.Equal(c.wake) {
				t.Errorf("%s\nCountWorkspaces = %d until %v, want %d until %v", c.reason, got, wake, c.want, c.wake)
			}
		})
	}
}
