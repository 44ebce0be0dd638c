package rbac_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"
	"sigs.k8s.io/yaml"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/internal/rbac"
	"github.com/orgkeeper/orgkeeper/internal/rules"
)

var update = flag.Bool("update", false, "write the golden files anew")

const robot = "system:serviceaccount:acme--web:ci"

func TestHome(t *testing.T) {
	acme := &v1alpha1.Organization{ObjectMeta: metav1.ObjectMeta{Namespace: "acme", Name: "acme-inc", UID: "uid-acme"}}
	cases := map[string]struct {
		reason string
		access rules.HomeAccess
	}{
		"home-shared": {
			reason: "every role has its binding, and belongs to the Organization",
			access: rules.HomeAccess{
				Owner:         []string{"jane@acme.example"},
				Admins:        []string{"joe@acme.example", robot},
				SharedAdmins:  []string{"joe@acme.example", robot},
				BillingAdmins: []string{"bill@acme.example"},
				UserAdmins:    []string{"oidc:una@acme.example", "vera@acme.example"},
			},
		},
		"home-owner-only": {
			reason: "roles that nobody has get no binding: an empty one would be read on every request",
			access: rules.HomeAccess{Owner: []string{"jane@acme.example"}, Admins: []string{"joe@acme.example"}},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			bindings := rbac.Home(acme, c.access)
			golden(t, name, c.reason, bindings)
			checkNames(t, bindings, rbac.HomeBindings)
		})
	}
}

func TestWorkspace(t *testing.T) {
	roles := rbac.Roles{View: "view", Edit: "edit", Admin: "orgkeeper:workspace-admin"}
	web := &v1alpha1.Workspace{ObjectMeta: metav1.ObjectMeta{Namespace: "acme", Name: "web", UID: "uid-web"}}
	elsewhere := web.DeepCopy()
	elsewhere.Spec.Namespace = "shop"
	cases := map[string]struct {
		reason    string
		workspace *v1alpha1.Workspace
		roles     rbac.Roles
		access    rules.WorkspaceAccess
	}{
		"workspace": {
			reason:    "one binding for each access, everybody in one of them; no owner reference across namespaces",
			workspace: web, roles: roles,
			access: accessTo(t, web, "jane@acme.example", map[string]v1alpha1.Access{
				"mia@acme.example": v1alpha1.AccessEdit, "ann@acme.example": v1alpha1.AccessEdit, robot: v1alpha1.AccessView,
				"lead@acme.example": v1alpha1.AccessAdmin,
			}),
		},
		"workspace-own-namespace-and-roles": {
			reason:    "the platform chooses the ClusterRoles, the workspace its namespace",
			workspace: elsewhere, roles: rbac.Roles{View: "v", Edit: "e", Admin: "a"},
			access: accessTo(t, elsewhere, "", map[string]v1alpha1.Access{"mia@acme.example": v1alpha1.AccessView}),
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			bindings := rbac.Workspace(c.workspace, c.roles, c.access)
			golden(t, name, c.reason, bindings)
			checkNames(t, bindings, rbac.WorkspaceBindings)
			for _, b := range bindings {
				if !slices.Contains(rbac.WorkspaceBindings, b.Name) {
					t.Errorf("%s is rendered and gives no access that is known", b.Name)
				}
			}
		})
	}
}

// What a home without its policies gets: everything that takes, nothing that gives.
func TestKept(t *testing.T) {
	subjects := func(users string) (of []rbacv1.Subject) {
		for user := range strings.FieldsSeq(users) {
			of = append(of, rbac.Subject(user))
		}
		return of
	}
	binding := func(name, role, users string) rbacv1.RoleBinding {
		return rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Name: name}, RoleRef: rbacv1.RoleRef{Name: role}, Subjects: subjects(users)}
	}
	type bindings = []rbacv1.RoleBinding
	for name, c := range map[string]struct {
		reason                string
		wanted, present, kept bindings
		withheld              bool
	}{
		"as it is":    {"nothing is new", bindings{binding("edit", "e", "mia ann")}, bindings{binding("edit", "e", "ann mia")}, bindings{binding("edit", "e", "mia ann")}, false},
		"one more":    {"who is there stays", bindings{binding("edit", "e", "mia ann")}, bindings{binding("edit", "e", "mia")}, bindings{binding("edit", "e", "mia")}, true},
		"one less":    {"who goes, goes", bindings{binding("edit", "e", "mia")}, bindings{binding("edit", "e", "mia ann")}, bindings{binding("edit", "e", "mia")}, false},
		"the last":    {"a binding for nobody is none", nil, bindings{binding("edit", "e", "mia")}, nil, false},
		"one another": {"who goes does not wait for who comes", bindings{binding("edit", "e", "ann")}, bindings{binding("edit", "e", "mia")}, nil, true},
		"the first":   {"no binding comes", bindings{binding("edit", "e", "mia")}, nil, nil, true},
		"a move": {"out of the one, not into the other", bindings{binding("admins", "a", "mia"), binding("edit", "e", "ann")},
			bindings{binding("admins", "a", ""), binding("edit", "e", "mia ann")}, bindings{binding("edit", "e", "ann")}, true},
		"another role": {"what another role gave is not what is wanted", bindings{binding("edit", "e", "mia")}, bindings{binding("edit", "cluster-admin", "mia")}, nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			kept, withheld := rbac.Kept(c.wanted, c.present)
			if diff := cmp.Diff(c.kept, kept); diff != "" || withheld != c.withheld {
				t.Errorf("%s: withheld %t (- want + got)\n%s", c.reason, withheld, diff)
			}
		})
	}
}

func TestNobodyIsBoundToNothing(t *testing.T) {
	if got := rbac.Home(&v1alpha1.Organization{}, rules.HomeAccess{}); len(got) > 0 {
		t.Errorf("home: %+v", got)
	}
	if got := rbac.Workspace(&v1alpha1.Workspace{}, rbac.Roles{}, rules.WorkspaceAccess{}); len(got) > 0 {
		t.Errorf("workspace: %+v", got)
	}
}

// accessTo asks the rules for an access with one admin and some assigned.
func accessTo(t testing.TB, w *v1alpha1.Workspace, admin string, assigned map[string]v1alpha1.Access) rules.WorkspaceAccess {
	t.Helper()
	h := rules.Home{Namespace: "acme", Organization: &v1alpha1.Organization{}, Now: time.Unix(0, 0)}
	active := func(user string) rules.Standing { return rules.Standing{Username: user, Active: true} }
	var admins []rules.Standing
	if admin != "" {
		s := active(admin)
		s.Role = v1alpha1.RoleAdmin
		admins = append(admins, s)
	}
	var all []rules.Assigned
	for user, access := range assigned {
		a := &v1alpha1.WorkspaceAssignment{Spec: v1alpha1.WorkspaceAssignmentSpec{
			Workspaces: []v1alpha1.WorkspaceName{v1alpha1.WorkspaceName(w.Name)}, Access: access,
		}}
		all = append(all, rules.Assigned{Assignment: a, Member: active(user)})
	}
	return rules.AccessTo(h, w, admins, all)
}

// golden compares what is rendered with a file. go test ./internal/rbac -update writes the files anew.
func golden(t *testing.T, name, reason string, bindings []rbacv1.RoleBinding) {
	t.Helper()
	var got bytes.Buffer
	for i := range bindings {
		document, err := yaml.Marshal(&bindings[i])
		if err != nil {
			t.Fatal(err)
		}
		got.WriteString("---\n")
		got.Write(document)
	}
	file := filepath.Join("testdata", name+".golden.yaml")
	if *update {
		if err := os.WriteFile(file, got.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("%s\n-want +got:\n%s", reason, diff)
	}
}

// checkNames wants the bindings to be among those that the controllers know to take away.
func checkNames(t *testing.T, bindings []rbacv1.RoleBinding, known []string) {
	t.Helper()
	for _, b := range bindings {
		if !slices.Contains(known, b.Name) {
			t.Errorf("%s is rendered, and nobody would take it away", b.Name)
		}
	}
}

func TestSubject(t *testing.T) {
	cases := []struct {
		reason   string
		username string
		want     rbacv1.Subject
	}{
		{"a person", "joe@acme.example", rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: "User", Name: "joe@acme.example"}},
		{"a prefix belongs to the name", "oidc:joe@acme.example", rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: "User", Name: "oidc:joe@acme.example"}},
		{"a service account has a namespace", robot, rbacv1.Subject{Kind: "ServiceAccount", Namespace: "acme--web", Name: "ci"}},
		{"what the API server would refuse as a service account does not spoil the binding for all", "system:serviceaccount:acme",
			rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: "User", Name: "system:serviceaccount:acme"}},
		{"nor without a name", "system:serviceaccount:acme:",
			rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: "User", Name: "system:serviceaccount:acme:"}},
		{"only the very prefix makes one", "serviceaccount:acme:ci",
			rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: "User", Name: "serviceaccount:acme:ci"}},
	}
	for _, c := range cases {
		if diff := cmp.Diff(c.want, rbac.Subject(c.username)); diff != "" {
			t.Errorf("%s\n-want +got:\n%s", c.reason, diff)
		}
	}
	if got := rbac.Username(rbacv1.Subject{Kind: "Group", Name: "joe"}); got != "" {
		t.Errorf("a group is not the user of the same name: got %q", got)
	}
}

func TestUsernameIsTheInverseOfSubject(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		user := rapid.OneOf(
			rapid.StringMatching(`(system:)?(serviceaccount)?(:?[a-z]{0,3}){0,4}`),
			rapid.StringMatching(`system:serviceaccount:[a-z]{1,3}:[a-z.]{1,3}`),
			rapid.String(),
		).Draw(t, "user")
		other := rapid.StringMatching(`(system:serviceaccount:)?[a-b]{1,2}:[a-b]{1,2}`).Draw(t, "other")
		s := rbac.Subject(user)
		if got := rbac.Username(s); got != user {
			t.Fatalf("%q is bound as %+v, which is %q", user, s, got)
		}
		if (user == other) != (s == rbac.Subject(other)) {
			t.Fatalf("%q and %q are bound as %+v and %+v", user, other, s, rbac.Subject(other))
		}
	})
}

// binding is one in the namespace acme--web that names users.
func binding(name string, users ...string) rbacv1.RoleBinding {
	b := rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Namespace: "acme--web", Name: name}}
	for _, user := range users {
		b.Subjects = append(b.Subjects, rbac.Subject(user))
	}
	return b
}

func TestHeld(t *testing.T) {
	bindings := []rbacv1.RoleBinding{
		binding(rbac.BindingView, "joe", "mia"), binding(rbac.BindingAdmin, "jane"), binding(rbac.BindingEdit, "mia", robot),
		binding("orgkeeper:owner", "eve"), binding("somebody-elses", "eve"),
	}
	cases := []struct {
		reason string
		user   string
		want   v1alpha1.Access
	}{
		{"one binding", "joe", v1alpha1.AccessView},
		{"the highest of two, in whatever order", "mia", v1alpha1.AccessEdit},
		{"an admin", "jane", v1alpha1.AccessAdmin},
		{"a robot", robot, v1alpha1.AccessEdit},
		{"a service account of the same name in another namespace is another", "system:serviceaccount:other:ci", ""},
		{"a person with the name of a service account is another", "ci", ""},
		{"bindings that are not ours give nothing that is ours", "eve", ""},
		{"nobody", "zoe", ""},
	}
	for _, c := range cases {
		if got := rbac.Held(bindings, c.user); got != c.want {
			t.Errorf("%s: Held(%s) = %q, want %q", c.reason, c.user, got, c.want)
		}
	}
}

func TestNames(t *testing.T) {
	b := binding(rbac.BindingEdit)
	b.Subjects = []rbacv1.Subject{
		{Kind: "ServiceAccount", Name: "ci"},
		{Kind: "User", Name: "system:serviceaccount:acme:bot"},
		{Kind: "Group", Name: "joe"},
	}
	cases := []struct {
		reason string
		user   string
		want   bool
	}{
		{"RBAC takes a service account without a namespace to be of the binding's own", robot, true},
		{"and of no other", "system:serviceaccount:acme:ci", false},
		{"a service account may be written as a user", "system:serviceaccount:acme:bot", true},
		{"a group is not the user of the same name", "joe", false},
		{"nobody is not a group", "", false},
	}
	for _, c := range cases {
		if got := rbac.Names(&b, c.user); got != c.want {
			t.Errorf("%s: Names(%q) = %v", c.reason, c.user, got)
		}
	}
}

func TestDiffer(t *testing.T) {
	subjects := func(users ...string) []rbacv1.Subject { return binding("", users...).Subjects }
	cases := []struct {
		reason string
		a, b   []rbacv1.Subject
		want   []string
	}{
		{"nothing changed", subjects("joe", "mia"), subjects("mia", "joe"), []string{}},
		{"one came, one went, sorted", subjects("mia", "joe"), subjects("joe", "ann"), []string{"ann", "mia"}},
		{"a new binding", nil, subjects("joe"), []string{"joe"}},
		{"service accounts of one name in two namespaces are two", subjects("system:serviceaccount:a:ci"), subjects("system:serviceaccount:b:ci"),
			[]string{"system:serviceaccount:a:ci", "system:serviceaccount:b:ci"}},
		{"groups are nobody", []rbacv1.Subject{{Kind: "Group", Name: "joe"}}, nil, []string{}},
	}
	for _, c := range cases {
		if diff := cmp.Diff(c.want, rbac.Differ(c.a, c.b)); diff != "" {
			t.Errorf("%s\n-want +got:\n%s", c.reason, diff)
		}
	}
}
