package portal_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/internal/facts"
	"github.com/orgkeeper/orgkeeper/internal/guard"
	"github.com/orgkeeper/orgkeeper/internal/invite"
	"github.com/orgkeeper/orgkeeper/internal/portal"
)

// The tests of the controllers answer beside a real operator and a real API server. Here it is about what the page is told.

// builder takes the indexes of facts.
type builder struct{ *fake.ClientBuilder }

func (b builder) IndexField(_ context.Context, kind client.Object, name string, keys client.IndexerFunc) error {
	b.WithIndex(kind, name, keys)
	return nil
}

func clusterStore(t *testing.T, objects ...client.Object) (portal.ClusterStore, *events.FakeRecorder) {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{v1alpha1.AddToScheme, corev1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	b := builder{fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).WithStatusSubresource(&v1alpha1.OrgMember{})}
	if err := facts.AddIndexes(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	c := b.Build()
	recorder := events.NewFakeRecorder(10)
	return portal.ClusterStore{
		Facts: facts.Reader{
			Reader: c, Clock: clocktesting.NewFakePassiveClock(expires.Add(-time.Hour)),
			Guard: func(context.Context) (guard.State, error) { return guard.State{}, nil },
		},
		Live: c, Client: c, Recorder: recorder,
	}, recorder
}

func acme(locale v1alpha1.Locale) *v1alpha1.Organization {
	o := &v1alpha1.Organization{ObjectMeta: metav1.ObjectMeta{Namespace: "acme", Name: "acme"}, Spec: v1alpha1.OrganizationSpec{Owner: "jane", DisplayName: "Acme S.p.A."}}
	if locale != "" {
		o.Spec.Invitations = &v1alpha1.OrganizationInvitations{Locale: locale}
	}
	return o
}

func invited(change ...func(*v1alpha1.OrgMember)) *v1alpha1.OrgMember {
	m := &v1alpha1.OrgMember{
		ObjectMeta: metav1.ObjectMeta{Namespace: "acme", Name: "joe", UID: types.UID(claims.UID)},
		Spec:       v1alpha1.OrgMemberSpec{Email: "joe@acme.example", Role: v1alpha1.RoleMember, InvitedBy: "jane@acme.example"},
		Status:     v1alpha1.OrgMemberStatus{Invitation: &v1alpha1.InvitationStatus{Serial: claims.Serial, ExpiresAt: metav1.NewTime(claims.Expires)}},
	}
	for _, c := range change {
		c(m)
	}
	return m
}

func workspaces(displayNames map[string]v1alpha1.Line) []client.Object {
	var all []client.Object
	for name, display := range displayNames {
		all = append(all, &v1alpha1.Workspace{ObjectMeta: metav1.ObjectMeta{Namespace: "acme", Name: name}, Spec: v1alpha1.WorkspaceSpec{DisplayName: display}})
	}
	return all
}

func assigned(name string, ends *metav1.Time, names ...v1alpha1.WorkspaceName) *v1alpha1.WorkspaceAssignment {
	return &v1alpha1.WorkspaceAssignment{
		ObjectMeta: metav1.ObjectMeta{Namespace: "acme", Name: name},
		Spec:       v1alpha1.WorkspaceAssignmentSpec{Member: "joe", Workspaces: names, Access: v1alpha1.AccessEdit, ExpiresAt: ends},
	}
}

func TestStoreTells(t *testing.T) {
	many, manyNames := map[string]v1alpha1.Line{}, []v1alpha1.WorkspaceName{}
	for i := range 13 {
		name := fmt.Sprintf("w%02d", i)
		many[name], manyNames = "", append(manyNames, v1alpha1.WorkspaceName(name))
	}
	over := metav1.NewTime(expires.Add(-2 * time.Hour))
	base := portal.Invitation{Status: portal.Open, Organization: "Acme S.p.A.", Role: "Member", Inviter: "jane@acme.example", Expires: expires}
	for _, tc := range []struct {
		reason  string
		objects []client.Object
		want    func(i *portal.Invitation)
	}{
		{
			"the organization says nothing of invitations", []client.Object{acme(""), invited()},
			func(i *portal.Invitation) { i.Locales = []string{""} },
		},
		{
			"the member's language comes before the organization's", []client.Object{acme("it"), invited(func(m *v1alpha1.OrgMember) { m.Spec.Locale = "pl" })},
			func(i *portal.Invitation) { i.Locales = []string{"pl", "it"} },
		},
		{
			"workspaces that exist, once each, by the name that people gave them",
			append(workspaces(map[string]v1alpha1.Line{"web": "Web shop", "api": "", "other": ""}), acme(""), invited(),
				assigned("a", nil, "web", "missing"), assigned("b", nil, "web", "api"), assigned("c", &over, "other")),
			func(i *portal.Invitation) { i.Locales, i.Workspaces = []string{""}, []string{"api", "Web shop"} },
		},
		{
			"no more than ten, and how many more",
			append(workspaces(many), acme(""), invited(), assigned("a", nil, manyNames[:10]...), assigned("b", nil, manyNames[10:]...)),
			func(i *portal.Invitation) {
				i.Locales, i.MoreWorkspaces = []string{""}, 3
				for _, name := range manyNames[:10] {
					i.Workspaces = append(i.Workspaces, string(name))
				}
			},
		},
		{
			"an admin works in all, as the role says",
			append(workspaces(many), acme(""), invited(func(m *v1alpha1.OrgMember) { m.Spec.Role = v1alpha1.RoleAdmin }), assigned("a", nil, manyNames[:2]...)),
			func(i *portal.Invitation) { i.Role, i.Locales = "Admin", []string{""} },
		},
		{
			"what is over tells of no workspace",
			append(workspaces(many), acme(""), invited(func(m *v1alpha1.OrgMember) { m.Status.Invitation.Serial++ }), assigned("a", nil, manyNames[:2]...)),
			func(i *portal.Invitation) { i.Status, i.Locales = portal.Superseded, []string{""} },
		},
		{
			"the role was changed after the mail: the present one", []client.Object{acme(""), invited(func(m *v1alpha1.OrgMember) { m.Spec.Role = v1alpha1.RoleBillingAdmin })},
			func(i *portal.Invitation) { i.Role, i.Locales = "BillingAdmin", []string{""} },
		},
		{
			"the member is going", []client.Object{acme(""), invited(func(m *v1alpha1.OrgMember) {
				m.DeletionTimestamp, m.Finalizers = &over, []string{"orgkeeper.dev/access"}
			})},
			func(i *portal.Invitation) { i.Status, i.Locales = portal.Withdrawn, []string{""} },
		},
		{
			"the member is gone", []client.Object{acme("")},
			func(i *portal.Invitation) { *i = portal.Invitation{Status: portal.Withdrawn} },
		},
	} {
		s, _ := clusterStore(t, tc.objects...)
		want := base
		tc.want(&want)
		got, err := s.Invitation(t.Context(), claims)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: -want +got:\n%s", tc.reason, diff)
		}
	}
}

// An answer is told once, when it is written, and by an Event that names nobody.
func TestStoreTellsEvents(t *testing.T) {
	for _, tc := range []struct {
		reason string
		answer func(portal.ClusterStore) func(context.Context, invite.Claims) (portal.Invitation, error)
		event  string
	}{
		{"yes", func(s portal.ClusterStore) func(context.Context, invite.Claims) (portal.Invitation, error) {
			return s.Accept
		}, "Normal Accepted the person accepted the invitation"},
		{"no", func(s portal.ClusterStore) func(context.Context, invite.Claims) (portal.Invitation, error) {
			return s.Decline
		}, "Normal Declined the person declined the invitation"},
	} {
		s, recorder := clusterStore(t, acme(""), invited())
		for range 2 {
			if _, err := tc.answer(s)(t.Context(), claims); err != nil {
				t.Fatal(err)
			}
		}
		close(recorder.Events)
		if got := slices.Collect(received(recorder.Events)); len(got) != 1 || !strings.HasPrefix(got[0], tc.event) {
			t.Errorf("%s: events %q, want %q once", tc.reason, got, tc.event)
		}
		s.Recorder = nil // nobody is told, and nothing breaks
		if _, err := s.Invitation(t.Context(), claims); err != nil {
			t.Error(err)
		}
	}
}

// To accept is a use of the organization; but what is known of a later one stays.
func TestAcceptingIsActivity(t *testing.T) {
	now := metav1.NewTime(expires.Add(-time.Hour))
	later := metav1.NewTime(now.Add(time.Minute))
	for _, tc := range []struct {
		reason       string
		before, want *metav1.Time
	}{
		{"never seen", nil, &now},
		{"seen long ago", &metav1.Time{Time: now.Add(-24 * time.Hour)}, &now},
		{"seen by somebody whose clock is ahead", &later, &later},
	} {
		s, _ := clusterStore(t, acme(""), invited(func(m *v1alpha1.OrgMember) { m.Status.LastActiveTime = tc.before }))
		if got, err := s.Accept(t.Context(), claims); err != nil || got.Status != portal.Accepted {
			t.Fatalf("%s: %v, %v", tc.reason, got.Status, err)
		}
		var members v1alpha1.OrgMemberList
		if err := s.Facts.List(t.Context(), &members); err != nil {
			t.Fatal(err)
		}
		if got := members.Items[0].Status.LastActiveTime; !got.Equal(tc.want) {
			t.Errorf("%s: last active %v, want %v", tc.reason, got, tc.want)
		}
	}
}

// From page to click: the role that is accepted is the one of the moment, and who is being removed cannot accept.
func TestAnswersFollowTheMember(t *testing.T) {
	page := func(t *testing.T, s portal.Store, method, rest string) string {
		t.Helper()
		h, token := handler(t, s, logr.Discard())
		return text(t, do(h, method, "/i/"+token+rest))
	}
	s, _ := clusterStore(t, acme(""), invited(func(m *v1alpha1.OrgMember) { m.Finalizers = []string{"orgkeeper.dev/access"} }))
	says := func(method, rest, want string) {
		t.Helper()
		if got := page(t, s, method, rest); !strings.Contains(got, want) {
			t.Errorf("%s %s: the page does not say %q:\n%s", method, rest, want, got)
		}
	}
	says("GET", "", "<dd>member</dd>")
	m := invited()
	for _, step := range []func() error{
		func() error { return s.Client.Get(t.Context(), client.ObjectKeyFromObject(m), m) },
		func() error { m.Spec.Role = v1alpha1.RoleUserAdmin; return s.Client.Update(t.Context(), m) },
	} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	says("GET", "", "<dd>user admin</dd>")
	says("POST", "/accept", "your role is <b>user admin</b>")
	says("GET", "", "Already accepted")
	if err := s.Client.Delete(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	for _, what := range []string{"GET ", "POST /accept", "POST /decline"} {
		method, rest, _ := strings.Cut(what, " ")
		says(method, rest, "was withdrawn")
	}
}

// The log names the member who answered, once, and not the person.
func TestLogTellsAnswers(t *testing.T) {
	var lines []string
	log := funcr.New(func(_, args string) { lines = append(lines, args) }, funcr.Options{})
	s, _ := clusterStore(t, acme(""), invited())
	h, token := handler(t, s, log)
	for range 2 {
		do(h, "POST", "/i/"+token+"/accept")
	}
	all := strings.Join(lines, "\n")
	want := `"msg"="Invitation answered" "OrgMember"={"name"="joe" "namespace"="acme"} "answer"="Accepted"`
	if strings.Count(all, want) != 1 || len(lines) != 3 {
		t.Errorf("want %s once, and a line for each request:\n%s", want, all)
	}
	if strings.Contains(all, "@") || strings.Contains(all, token[:20]) {
		t.Errorf("the log tells too much:\n%s", all)
	}
}

func received[T any](c <-chan T) func(yield func(T) bool) {
	return func(yield func(T) bool) {
		for v := range c {
			if !yield(v) {
				return
			}
		}
	}
}
