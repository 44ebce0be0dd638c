package rbac_test

import (
	"fmt"
	"slices"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/internal/rbac"
	"github.com/orgkeeper/orgkeeper/internal/rules"
)

// RoleBindings name everybody, so that rendering and comparing them costs as much as there are people: ns/member stays about
// the same, or there is something quadratic in it. Run it with `make bench-go`.

var sizes = []int{100, 1_000, 5_000, 10_000}

// crowd are so many usernames, one in twenty a service account's.
func crowd(n int) []string {
	all := make([]string, 0, n)
	for i := range n {
		user := fmt.Sprintf("person-%05d@acme.example", i)
		if i%20 == 3 {
			user = fmt.Sprintf("system:serviceaccount:acme--web:ci-%05d", i)
		}
		all = append(all, user)
	}
	slices.Sort(all)
	return all
}

func eachSize(b *testing.B, run func(b *testing.B, users []string)) {
	for _, n := range sizes {
		users := crowd(n)
		b.Run(fmt.Sprintf("members=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			run(b, users)
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/member")
		})
	}
}

// BenchmarkHome renders a home where everybody has a role.
func BenchmarkHome(b *testing.B) {
	acme := &v1alpha1.Organization{ObjectMeta: metav1.ObjectMeta{Namespace: "acme", Name: "acme", UID: "uid-acme"}}
	eachSize(b, func(b *testing.B, users []string) {
		half := len(users) / 2
		access := rules.HomeAccess{Owner: users[:1], Admins: users[1:half], SharedAdmins: users[1:half], BillingAdmins: users[half:]}
		for b.Loop() {
			if bindings := rbac.Home(acme, access); len(bindings) != 4 {
				b.Fatal(len(bindings))
			}
		}
	})
}

// BenchmarkWorkspace renders a workspace.
func BenchmarkWorkspace(b *testing.B) {
	web := &v1alpha1.Workspace{ObjectMeta: metav1.ObjectMeta{Namespace: "acme", Name: "web", UID: "uid-web"}}
	roles := rbac.Roles{View: "view", Edit: "edit", Admin: "admin"}
	eachSize(b, func(b *testing.B, users []string) {
		levels := []v1alpha1.Access{v1alpha1.AccessView, v1alpha1.AccessEdit, v1alpha1.AccessEdit, v1alpha1.AccessAdmin}
		members := map[string]v1alpha1.Access{}
		for i, user := range users {
			members[user] = levels[i%len(levels)]
		}
		access := accessTo(b, web, "", members)
		for b.Loop() {
			if bindings := rbac.Workspace(web, roles, access); len(bindings) != 3 {
				b.Fatal(len(bindings))
			}
		}
	})
}

// stored is a RoleBinding as an API server gives it back.
func stored(users []string) rbacv1.RoleBinding {
	var subjects []rbacv1.Subject
	for _, user := range users {
		subjects = append(subjects, rbac.Subject(user))
	}
	return rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: "acme--web", Name: rbac.BindingEdit, ResourceVersion: "1"},
		RoleRef:    rbacv1.RoleRef{Name: "edit"}, Subjects: subjects,
	}
}

// BenchmarkDiffer finds who is new in a RoleBinding, as each change of one does.
func BenchmarkDiffer(b *testing.B) {
	eachSize(b, func(b *testing.B, users []string) {
		before, after := stored(slices.Delete(slices.Clone(users), 50, 51)), stored(users)
		for b.Loop() {
			if differ := rbac.Differ(before.Subjects, after.Subjects); len(differ) != 1 || differ[0] != users[50] {
				b.Fatal(differ)
			}
		}
	})
}

// BenchmarkHeld asks what one user has, as the reconcile of each assignment does.
func BenchmarkHeld(b *testing.B) {
	eachSize(b, func(b *testing.B, users []string) {
		bindings := []rbacv1.RoleBinding{stored(users)}
		last := users[len(users)-1]
		for b.Loop() {
			if held := rbac.Held(bindings, last); held != v1alpha1.AccessEdit {
				b.Fatal(held)
			}
		}
	})
}

// BenchmarkKept cuts what is wanted down to what is there, as while the admission policies are not as shipped.
func BenchmarkKept(b *testing.B) {
	eachSize(b, func(b *testing.B, users []string) {
		present, wanted := []rbacv1.RoleBinding{stored(users[1:])}, []rbacv1.RoleBinding{stored(users)}
		for b.Loop() {
			if kept, withheld := rbac.Kept(wanted, present); !withheld || len(kept[0].Subjects) != len(users)-1 {
				b.Fatal(withheld)
			}
		}
	})
}
