package facts_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/internal/facts"
	"github.com/orgkeeper/orgkeeper/internal/guard"
	"github.com/orgkeeper/orgkeeper/internal/rules"
)

// The tests of the controllers read facts from a real API server. Here it is about what belongs to what.

var now = time.Date(2027, time.March, 1, 12, 0, 0, 0, time.UTC)

func reader(t *testing.T, objects ...client.Object) facts.Reader {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{v1alpha1.AddToScheme, corev1.AddToScheme, rbacv1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	all := indexes{}
	if err := facts.AddIndexes(t.Context(), all); err != nil {
		t.Fatal(err)
	}
	b := fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...)
	for _, i := range all {
		b = b.WithIndex(i.kind, i.name, i.keys)
	}
	return facts.Reader{Reader: b.Build(), Clock: clocktesting.NewFakePassiveClock(now), Guard: enforced}
}

func enforced(context.Context) (guard.State, error) { return guard.State{}, nil }

func meta(namespace, name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: namespace, Name: name, CreationTimestamp: metav1.NewTime(now.Add(-time.Hour))}
}

func organization(namespace, owner string) *v1alpha1.Organization {
	return &v1alpha1.Organization{ObjectMeta: meta(namespace, namespace), Spec: v1alpha1.OrganizationSpec{Owner: owner}}
}

// member is active.
func member(namespace, name string, change ...func(*v1alpha1.OrgMember)) *v1alpha1.OrgMember {
	m := &v1alpha1.OrgMember{
		ObjectMeta: meta(namespace, name),
		Spec:       v1alpha1.OrgMemberSpec{Email: v1alpha1.EmailAddress(name + "@acme.example"), Role: v1alpha1.RoleMember},
		Status:     v1alpha1.OrgMemberStatus{AcceptedAt: &metav1.Time{Time: now}},
	}
	m.Finalizers = []string{v1alpha1.FinalizerMember}
	for _, c := range change {
		c(m)
	}
	return m
}

func admin(m *v1alpha1.OrgMember)   { m.Spec.Role = v1alpha1.RoleAdmin }
func younger(m *v1alpha1.OrgMember) { m.CreationTimestamp = metav1.NewTime(now) }

func workspace(namespace, name string) *v1alpha1.Workspace {
	return &v1alpha1.Workspace{ObjectMeta: meta(namespace, name), Status: v1alpha1.WorkspaceStatus{Namespace: namespace + "--" + name}}
}

func assignment(namespace, member string, workspaces ...v1alpha1.WorkspaceName) *v1alpha1.WorkspaceAssignment {
	return &v1alpha1.WorkspaceAssignment{
		ObjectMeta: meta(namespace, member),
		Spec:       v1alpha1.WorkspaceAssignmentSpec{Member: member, Workspaces: workspaces, Access: v1alpha1.AccessView},
	}
}

func TestHome(t *testing.T) {
	goes := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "acme", DeletionTimestamp: &metav1.Time{Time: now}, Finalizers: []string{"x/y"}}}
	second := organization("acme", "mallory")
	second.Name, second.CreationTimestamp = "a-second", metav1.NewTime(now)
	moving := organization("acme", "joe")
	moving.Status.Owner = "jane"
	jane, joe := member("acme", "jane", admin), member("acme", "joe")
	cases := map[string]struct {
		reason  string
		objects []client.Object
		// The Organization in force, the owner, and whether the home goes.
		organization, owner string
		terminating         bool
	}{
		"nothing":              {"a home that the cache does not show yet is new, not going", nil, "", "", false},
		"another organization": {"homes do not mix", []client.Object{organization("other", "jane"), member("other", "jane")}, "", "", false},
		"owner elsewhere":      {"homes do not mix", []client.Object{organization("acme", "jane"), member("other", "jane")}, "acme", "", false},
		"in force":             {"spec.owner names the member", []client.Object{organization("acme", "jane"), jane}, "acme", "jane", false},
		"two":                  {"the oldest counts", []client.Object{second, organization("acme", "jane"), jane}, "acme", "jane", false},
		"moving":               {"status.owner keeps it until spec.owner names a usable admin", []client.Object{moving, jane, joe}, "acme", "jane", false},
		"going":                {"the namespace is being deleted", []client.Object{goes, organization("acme", "jane")}, "acme", "", true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			h, err := reader(t, c.objects...).Home(t.Context(), "acme")
			if err != nil {
				t.Fatal(err)
			}
			var organization string
			if h.Organization != nil {
				organization = h.Organization.Name
			}
			if organization != c.organization || h.Owner != c.owner || h.Terminating != c.terminating || !h.Now.Equal(now) {
				t.Errorf("%s\ngot organization %q, owner %q, terminating %v, now %v", c.reason, organization, h.Owner, h.Terminating, h.Now)
			}
		})
	}
}

func TestMember(t *testing.T) {
	robot := func(namespace string) func(m *v1alpha1.OrgMember) {
		return func(m *v1alpha1.OrgMember) {
			m.Spec.Email, m.Spec.Username = "", "system:serviceaccount:"+namespace+":ci"
		}
	}
	upper := func(m *v1alpha1.OrgMember) { m.Spec.Email = "JOE@acme.example" }
	same := func(m *v1alpha1.OrgMember) { m.Spec.Username = "joe@acme.example" }
	r := reader(t, organization("acme", "jane"), workspace("acme", "web"), workspace("other", "api"),
		member("acme", "joe"), member("other", "joe"))
	cases := map[string]struct {
		reason string
		member *v1alpha1.OrgMember
		want   rules.MemberFacts
	}{
		"alone":           {"nobody claims the same", member("acme", "mia"), rules.MemberFacts{}},
		"itself":          {"nobody is their own duplicate, nor another organization's", member("acme", "joe"), rules.MemberFacts{}},
		"same email":      {"whatever the case", member("acme", "late", younger, upper), rules.MemberFacts{SameEmail: "joe"}},
		"same username":   {"by whatever it comes about", member("acme", "late", younger, same), rules.MemberFacts{SameUsername: "joe"}},
		"robot at home":   {"the home's service accounts", member("acme", "ci", robot("acme")), rules.MemberFacts{RobotAllowed: true}},
		"robot at work":   {"a workspace's service accounts", member("acme", "ci", robot("acme--web")), rules.MemberFacts{RobotAllowed: true}},
		"robot of others": {"another organization's workspace is not ours", member("acme", "ci", robot("other--api")), rules.MemberFacts{}},
	}
	h := rules.Home{Namespace: "acme"}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := r.Member(t.Context(), h, c.member)
			if err != nil {
				t.Fatal(err)
			}
			c.want.Member = c.member
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("%s\n-want +got:\n%s", c.reason, diff)
			}
		})
	}
}

func TestAccess(t *testing.T) {
	web := workspace("acme", "web")
	r := reader(t, organization("acme", "jane"), web, workspace("acme", "api"),
		member("acme", "jane"), member("acme", "joe", admin), member("acme", "mia"), member("acme", "ann"), member("other", "eve", admin),
		assignment("acme", "mia", "api", "web"), assignment("acme", "ann", "api"), assignment("acme", "nobody", "web"),
		assignment("other", "eve", "web"))
	h, err := r.Home(t.Context(), "acme")
	if err != nil {
		t.Fatal(err)
	}
	access, err := r.Access(t.Context(), h, web)
	if err != nil {
		t.Fatal(err)
	}
	got := map[v1alpha1.Access][]string{}
	for _, level := range []v1alpha1.Access{v1alpha1.AccessView, v1alpha1.AccessEdit, v1alpha1.AccessAdmin} {
		got[level] = access.Users(level)
	}
	want := map[v1alpha1.Access][]string{
		// The owner, whose object says Member, and the admin.
		v1alpha1.AccessAdmin: {"jane@acme.example", "joe@acme.example"},
		v1alpha1.AccessEdit:  nil,
		v1alpha1.AccessView:  {"mia@acme.example"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	for name, count := range map[string]int32{"jane": 2, "joe": 2, "mia": 2, "ann": 1} {
		s, err := r.Standing(t.Context(), h, name)
		if err != nil || s == nil {
			t.Fatalf("standing of %s: %v, %v", name, s, err)
		}
		if got, _, err := r.WorkspaceCount(t.Context(), h, *s); err != nil || got != count {
			t.Errorf("%s works in %d workspaces, want %d: %v", name, got, count, err)
		}
	}
	if s, err := r.Standing(t.Context(), h, "nobody"); s != nil || err != nil {
		t.Errorf("standing of nobody: %v, %v", s, err)
	}
}

// Whether members are asked for one by one, all at once or one alone, is a matter of cost.
func TestAccessIsTheSameByAllWays(t *testing.T) {
	web := workspace("acme", "web")
	is := func(username string) func(*v1alpha1.OrgMember) {
		return func(m *v1alpha1.OrgMember) { m.Spec.Username = username }
	}
	robot := func(namespace string) func(*v1alpha1.OrgMember) {
		return func(m *v1alpha1.OrgMember) {
			m.Spec.Email, m.Spec.Username = "", "system:serviceaccount:"+namespace+":ci"
		}
	}
	shouted := func(m *v1alpha1.OrgMember) { m.Spec.Email = "MIA@acme.example" }
	pending := func(m *v1alpha1.OrgMember) { m.Status.AcceptedAt = nil }
	goes := func(m *v1alpha1.OrgMember) { m.DeletionTimestamp = &metav1.Time{Time: now} }
	members := []*v1alpha1.OrgMember{
		member("acme", "jane"), member("acme", "joe", admin), member("acme", "lea", admin, goes), member("acme", "pia", admin, pending),
		member("acme", "mia"), member("acme", "mia2", younger, shouted), member("acme", "mia3", younger, admin, is("mia@acme.example")),
		member("acme", "ann", is("oidc:ann")), member("acme", "tom", goes), member("acme", "sue", pending),
		member("acme", "ci", robot("acme")), member("acme", "build", robot("acme--web")), member("acme", "spy", robot("other--web")),
	}
	acme := organization("acme", "jane")
	objects := []client.Object{acme, web, workspace("acme", "api"), workspace("other", "web"), member("other", "eve"),
		assignment("acme", "eve", "web"), assignment("acme", "nobody", "web")}
	for i, m := range members {
		a := assignment("acme", m.Name, "web", "api")
		a.Spec.Access = []v1alpha1.Access{v1alpha1.AccessView, v1alpha1.AccessEdit, v1alpha1.AccessAdmin}[i%3]
		objects = append(objects, m, a)
	}
	elsewhere := assignment("acme", "sue", "api")
	elsewhere.Name = "elsewhere"
	r := reader(t, append(objects, elsewhere)...)
	h, err := r.Home(t.Context(), "acme")
	if err != nil {
		t.Fatal(err)
	}
	access := map[string]map[string]v1alpha1.Access{"one by one": {}, "at once": {}, "alone": {}}
	for way, total := range map[string]int32{"one by one": 1 << 30, "at once": int32(len(members))} {
		h.Organization.Status.Members = &v1alpha1.MemberCounts{Total: total}
		got, err := r.Access(t.Context(), h, web)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range members {
			username := rules.Username(m, "")
			access[way][username] = got.Of(username)
			if access["alone"][username], err = r.AccessOf(t.Context(), h, web, username); err != nil {
				t.Fatal(err)
			}
		}
	}
	for way, got := range access {
		if diff := cmp.Diff(access["one by one"], got); diff != "" {
			t.Errorf("asked %s\n-one by one +%s:\n%s", way, way, diff)
		}
	}
	want := map[string]v1alpha1.Access{
		"jane@acme.example": v1alpha1.AccessAdmin, "joe@acme.example": v1alpha1.AccessAdmin, "lea@acme.example": "", "pia@acme.example": "",
		"mia@acme.example": v1alpha1.AccessEdit, "MIA@acme.example": "", "oidc:ann": v1alpha1.AccessEdit, "tom@acme.example": "", "sue@acme.example": "",
		"system:serviceaccount:acme:ci": v1alpha1.AccessEdit, "system:serviceaccount:acme--web:ci": v1alpha1.AccessAdmin, "system:serviceaccount:other--web:ci": "",
	}
	if diff := cmp.Diff(want, access["one by one"]); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestBindings(t *testing.T) {
	bind := func(namespace, name string) *rbacv1.RoleBinding {
		return &rbacv1.RoleBinding{ObjectMeta: meta(namespace, name)}
	}
	r := reader(t, bind("acme", "orgkeeper:edit"), bind("acme", "somebody-elses"), bind("other", "orgkeeper:edit"))
	got, err := r.Bindings(t.Context(), "acme", []string{"orgkeeper:edit", "orgkeeper:view"})
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 1 || got[0].Namespace != "acme" || got[0].Name != "orgkeeper:edit" {
		t.Errorf("bindings of others are none of ours: got %+v", got)
	}
}
