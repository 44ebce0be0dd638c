package facts_test

import (
	"fmt"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"
	source "k8s.io/client-go/tools/cache/testing"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/config/policy"
	"github.com/orgkeeper/orgkeeper/internal/facts"
	"github.com/orgkeeper/orgkeeper/internal/rbac"
)

// What is asked for one member costs the same however many there are; what is asked for all costs each of them the same
// (ns/member). The cache and its indexes are the real ones, filled without an API server. Run it with `make bench-go`.

var sizes = []int{100, 1_000, 10_000}

// crowd is a home with so many members, one in a hundred of them an admin, and one in ten in line for an invitation; half of
// them work in the workspace web, and each in a team's with twenty to a team.
func crowd(members int) []client.Object {
	acme := organization("acme", "person-00000")
	acme.Status.Owner, acme.Status.Members = "person-00000", &v1alpha1.MemberCounts{Total: int32(members)}
	all := []client.Object{&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "acme"}}, acme, workspace("acme", "web")}
	teams := members / 20
	for i := range teams {
		all = append(all, workspace("acme", fmt.Sprintf("team-%d", i)))
	}
	edit := &rbacv1.RoleBinding{ObjectMeta: meta("acme--web", rbac.BindingEdit)}
	for i := range members {
		m := member("acme", fmt.Sprintf("person-%05d", i), described)
		switch {
		case i%100 == 0:
			admin(m)
		case i%10 == 1:
			waits(m)
		}
		a := assignment("acme", m.Name, v1alpha1.WorkspaceName(fmt.Sprintf("team-%d", i%teams)))
		if i%2 == 0 {
			a.Spec.Workspaces = append(a.Spec.Workspaces, "web")
			edit.Subjects = append(edit.Subjects, rbac.Subject(string(m.Spec.Email)))
		}
		all = append(all, m, a)
	}
	return append(all, edit)
}

// described has what a member that was reconciled has.
func described(m *v1alpha1.OrgMember) {
	m.UID, m.Spec.DisplayName = types.UID("uid-"+m.Name), "Mia Rossi"
	m.Status.State, m.Status.Role = v1alpha1.StateActive, m.Spec.Role
	for _, kind := range []string{v1alpha1.ConditionInvitationSent, v1alpha1.ConditionAccepted, v1alpha1.ConditionReady} {
		m.Status.Conditions = append(m.Status.Conditions, metav1.Condition{
			Type: kind, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonAccepted, Message: m.Name + " is active", LastTransitionTime: metav1.NewTime(now),
		})
	}
}

// waits is in line for an invitation.
func waits(m *v1alpha1.OrgMember) {
	m.Status.AcceptedAt, m.Status.State = nil, v1alpha1.StatePending
	m.Status.Conditions[0].Status, m.Status.Conditions[0].Reason = metav1.ConditionFalse, v1alpha1.ReasonInvitationLimited
}

// cached is a Reader of a real cache, as the operator has it, with what is shipped and these objects in it.
func cached(b *testing.B, objects []client.Object) facts.Reader {
	b.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{v1alpha1.AddToScheme, corev1.AddToScheme, rbacv1.AddToScheme, admissionregistrationv1.AddToScheme} {
		if err := add(scheme); err != nil {
			b.Fatal(err)
		}
	}
	shipped, err := policy.Shipped()
	if err != nil {
		b.Fatal(err)
	}
	for i := range shipped.Policies {
		objects = append(objects, &shipped.Policies[i])
	}
	for i := range shipped.Bindings {
		objects = append(objects, &shipped.Bindings[i])
	}
	servers, mapper := map[string]*source.FakeControllerSource{}, apimeta.NewDefaultRESTMapper(nil)
	for _, o := range objects {
		gvk, err := apiutil.GVKForObject(o, scheme)
		if err != nil {
			b.Fatal(err)
		}
		if gvk.Kind == "Namespace" {
			o = &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Name: o.GetName()}} // read as metadata alone
		}
		if servers[gvk.Kind] == nil {
			scope := apimeta.RESTScopeNamespace
			if o.GetNamespace() == "" {
				scope = apimeta.RESTScopeRoot
			}
			mapper.Add(gvk, scope)
			servers[gvk.Kind] = source.NewFakeControllerSource()
		}
		servers[gvk.Kind].Add(o)
	}
	all, err := cache.New(&rest.Config{Host: "127.0.0.1:1"}, cache.Options{
		Scheme: scheme, Mapper: mapper, ReaderFailOnMissingInformer: true,
		NewInformer: func(_ toolscache.ListerWatcher, kind runtime.Object, resync time.Duration, indexers toolscache.Indexers) toolscache.SharedIndexInformer {
			name := "Namespace"
			if gvk, err := apiutil.GVKForObject(kind, scheme); err == nil {
				name = gvk.Kind
			}
			return toolscache.NewSharedIndexInformer(servers[name], kind, resync, indexers)
		},
	})
	if err != nil {
		b.Fatal(err)
	}
	if err := facts.AddIndexes(b.Context(), facts.Lean{Cache: all}); err != nil {
		b.Fatal(err)
	}
	namespaces := &metav1.PartialObjectMetadata{}
	namespaces.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	policies, err := facts.CachedPolicies(b.Context(), all)
	if err != nil {
		b.Fatal(err)
	}
	for _, kind := range []client.Object{namespaces, &v1alpha1.Organization{}, &rbacv1.RoleBinding{}} {
		if _, err := all.GetInformer(b.Context(), kind, cache.BlockUntilSynced(false)); err != nil {
			b.Fatal(err)
		}
	}
	go func() { _ = all.Start(b.Context()) }()
	if !all.WaitForCacheSync(b.Context()) {
		b.Fatal("the cache was not filled")
	}
	return facts.Reader{Reader: all, Clock: clocktesting.NewFakePassiveClock(now), Guard: policies.State}
}

// BenchmarkFacts reads for one member or workspace what a reconcile of it reads.
func BenchmarkFacts(b *testing.B) {
	for _, n := range sizes {
		r := cached(b, crowd(n))
		h, err := r.Home(b.Context(), "acme")
		if err != nil || !h.Guarded || h.Owner == "" {
			b.Fatal(h, err)
		}
		last := &v1alpha1.OrgMember{}
		web := &v1alpha1.Workspace{}
		for name, o := range map[string]client.Object{fmt.Sprintf("person-%05d", n-2): last, "web": web} {
			if err := r.Get(b.Context(), client.ObjectKey{Namespace: "acme", Name: name}, o); err != nil {
				b.Fatal(err)
			}
		}
		s, err := r.Standing(b.Context(), h, last.Name)
		if err != nil || !s.Active {
			b.Fatal(s, err)
		}
		for _, c := range []struct {
			name string
			all  bool // of all members, so that the cost of one is told
			read func() (int, error)
			want int
		}{
			{"Policies", false, func() (int, error) { _, err := r.Guard(b.Context()); return 0, err }, 0},
			{"Home", false, func() (int, error) { _, err := r.Home(b.Context(), "acme"); return 0, err }, 0},
			{"Member", false, func() (int, error) { _, err := r.Member(b.Context(), h, last); return 0, err }, 0},
			{"Standing", false, func() (int, error) { _, err := r.Standing(b.Context(), h, last.Name); return 0, err }, 0},
			{"WorkspaceCount", false, func() (int, error) { count, _, err := r.WorkspaceCount(b.Context(), h, *s); return int(count), err }, 2},
			{"AssignedWorkspaces", false, func() (int, error) { w, err := r.AssignedWorkspaces(b.Context(), h, last); return len(w), err }, 2},
			{"Bindings", false, func() (int, error) {
				found, err := r.Bindings(b.Context(), "acme--web", rbac.WorkspaceBindings)
				return len(found), err
			}, 1},
			{"Members", true, func() (int, error) { members, err := r.Members(b.Context(), "acme"); return len(members), err }, n},
			{"Admins", true, func() (int, error) {
				admins, err := r.MembersBy(b.Context(), "acme", facts.IndexRole, string(v1alpha1.RoleAdmin))
				return len(admins), err
			}, n / 100},
			{"Access", true, func() (int, error) {
				access, err := r.Access(b.Context(), h, web)
				return int(access.Counts().View), err
			}, n/2 - n/100},
		} {
			b.Run(fmt.Sprintf("%s/members=%d", c.name, n), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if got, err := c.read(); err != nil || got != c.want {
						b.Fatalf("%d, want %d: %v", got, c.want, err)
					}
				}
				if c.all {
					b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/member")
				}
			})
		}
	}
}

// BenchmarkIndex is what each write of a member costs the cache, before and after.
func BenchmarkIndex(b *testing.B) {
	all := indexes{}
	if err := facts.AddIndexes(b.Context(), all); err != nil {
		b.Fatal(err)
	}
	m := member("acme", "mia", described)
	b.ReportAllocs()
	for b.Loop() {
		for _, i := range all {
			if _, ok := i.kind.(*v1alpha1.OrgMember); ok {
				i.keys(m)
			}
		}
	}
}
