// Package rbac renders what the rules decided as RoleBindings, and says who a subject is. It is pure: the controllers
// compare and write.
package rbac

import (
	"cmp"
	"slices"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/internal/rules"
)

// RoleBindings in an organization's home, each to the ClusterRole beside it (in config/rbac).
const (
	BindingOwner         = "orgkeeper:owner"
	BindingAdmins        = "orgkeeper:admins"
	BindingSharedAdmins  = "orgkeeper:shared-admins"
	BindingBillingAdmins = "orgkeeper:billing-admins"
	BindingUserAdmins    = "orgkeeper:user-admins"

	roleOwner        = "orgkeeper:owner"
	roleAdmin        = "orgkeeper:admin"
	roleSharedAdmin  = "orgkeeper:shared-admin"
	roleBillingAdmin = "orgkeeper:billing-admin"
	roleUserAdmin    = "orgkeeper:user-admin"
)

// RoleBindings in a workspace's namespace.
const (
	BindingAdmin = "orgkeeper:admin"
	BindingEdit  = "orgkeeper:edit"
	BindingView  = "orgkeeper:view"
)

// HomeBindings and WorkspaceBindings are the names of all RoleBindings that orgkeeper may keep in a namespace.
var (
	HomeBindings      = []string{BindingOwner, BindingAdmins, BindingSharedAdmins, BindingBillingAdmins, BindingUserAdmins}
	WorkspaceBindings = []string{BindingAdmin, BindingEdit, BindingView}
)

// Roles are the ClusterRoles behind the accesses to a workspace. Only the platform chooses them.
type Roles struct {
	View, Edit, Admin string
}

// Home renders the RoleBindings of an organization's home. Those without subjects are left out.
func Home(o *v1alpha1.Organization, access rules.HomeAccess) []rbacv1.RoleBinding {
	var bindings []rbacv1.RoleBinding
	add := func(name, role string, users []string) {
		if len(users) == 0 {
			return
		}
		b := binding(o.Namespace, name, role, users)
		b.Labels = map[string]string{
			v1alpha1.LabelManagedBy:    v1alpha1.ManagedBy,
			v1alpha1.LabelOrganization: o.Namespace,
		}
		b.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(o, v1alpha1.GroupVersion.WithKind("Organization"))}
		bindings = append(bindings, b)
	}
	add(BindingOwner, roleOwner, access.Owner)
	add(BindingAdmins, roleAdmin, access.Admins)
	add(BindingSharedAdmins, roleSharedAdmin, access.SharedAdmins)
	add(BindingBillingAdmins, roleBillingAdmin, access.BillingAdmins)
	add(BindingUserAdmins, roleUserAdmin, access.UserAdmins)
	return bindings
}

// Workspace renders the RoleBindings of a workspace's namespace. Those without subjects are left out.
func Workspace(w *v1alpha1.Workspace, roles Roles, access rules.WorkspaceAccess) []rbacv1.RoleBinding {
	var bindings []rbacv1.RoleBinding
	for _, level := range []struct {
		name, role string
		access     v1alpha1.Access
	}{
		{BindingAdmin, roles.Admin, v1alpha1.AccessAdmin},
		{BindingEdit, roles.Edit, v1alpha1.AccessEdit},
		{BindingView, roles.View, v1alpha1.AccessView},
	} {
		if users := access.Users(level.access); len(users) > 0 {
			b := binding(rules.NamespaceName(w), level.name, level.role, users)
			b.Labels = rules.NamespaceLabels(w)
			b.Labels[v1alpha1.LabelManagedBy] = v1alpha1.ManagedBy
			bindings = append(bindings, b)
		}
	}
	return bindings
}

func binding(namespace, name, clusterRole string, users []string) rbacv1.RoleBinding {
	b := rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: clusterRole},
		Subjects:   make([]rbacv1.Subject, 0, len(users)),
	}
	for _, user := range users {
		b.Subjects = append(b.Subjects, Subject(user))
	}
	return b
}

// Subject is the one form in which a user is bound: a ServiceAccount with its namespace, or a User.
func Subject(username string) rbacv1.Subject {
	if namespace, name, ok := rules.ServiceAccount(username); ok {
		return rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: name}
	}
	return rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: username}
}

// Username is the user that a subject binds, the inverse of Subject; empty for groups.
func Username(s rbacv1.Subject) string {
	switch s.Kind {
	case rbacv1.ServiceAccountKind:
		return rules.ServiceAccountPrefix + s.Namespace + ":" + s.Name
	case rbacv1.UserKind:
		return s.Name
	}
	return ""
}

// Held is the highest access that the RoleBindings of a workspace's namespace give a user; empty for none.
func Held(bindings []rbacv1.RoleBinding, username string) v1alpha1.Access {
	var held v1alpha1.Access
	for i := range bindings {
		access := accessOf[bindings[i].Name]
		if rules.Exceeds(access, held) && Names(&bindings[i], username) {
			held = access
		}
	}
	return held
}

var accessOf = map[string]v1alpha1.Access{
	BindingAdmin: v1alpha1.AccessAdmin,
	BindingEdit:  v1alpha1.AccessEdit,
	BindingView:  v1alpha1.AccessView,
}

// Names says whether a RoleBinding names the user, in whatever form. RBAC takes a ServiceAccount without a namespace, which
// only a hand can have put there, to be of the binding's own.
func Names(b *rbacv1.RoleBinding, username string) bool {
	namespace, name, account := rules.ServiceAccount(username)
	for i := range b.Subjects { // there are thousands: neither copied nor put together
		switch s := &b.Subjects[i]; {
		case s.Kind == rbacv1.UserKind && s.Name == username && username != "":
			return true
		case account && s.Kind == rbacv1.ServiceAccountKind && s.Name == name && cmp.Or(s.Namespace, b.Namespace) == namespace:
			return true
		}
	}
	return false
}

// Both are those subjects of a that are in b too.
func Both(a, b []rbacv1.Subject) []rbacv1.Subject {
	in := sets.New(b...)
	return slices.DeleteFunc(slices.Clone(a), func(s rbacv1.Subject) bool { return !in.Has(s) })
}

// Kept is what of the wanted RoleBindings gives nobody anything that they do not have: of each, the subjects whom the
// present one of that name and role names. It says whether anything was left out. Whoever is bound as the owner stays until
// another one can be: an organization is not left without one.
func Kept(wanted, present []rbacv1.RoleBinding) (kept []rbacv1.RoleBinding, withheld bool) {
	for i := range wanted {
		want := *wanted[i].DeepCopy()
		same := func(b rbacv1.RoleBinding) bool { return b.Name == want.Name && b.RoleRef == want.RoleRef }
		all := len(want.Subjects)
		at := slices.IndexFunc(present, same)
		if at >= 0 {
			want.Subjects = Both(want.Subjects, present[at].Subjects)
		} else {
			want.Subjects = nil
		}
		withheld = withheld || len(want.Subjects) < all
		switch {
		case len(want.Subjects) > 0:
			kept = append(kept, want)
		case want.Name == BindingOwner && all > 0 && at >= 0:
			kept = append(kept, *present[at].DeepCopy())
		}
	}
	return kept, withheld
}

// Differ names the users that are in one of two lists of subjects and not in the other, sorted.
func Differ(a, b []rbacv1.Subject) []string {
	in := make(map[string]int, max(len(a), len(b)))
	for list, subjects := range [][]rbacv1.Subject{a, b} {
		for i := range subjects {
			in[Username(subjects[i])] |= 1 << list
		}
	}
	delete(in, "")
	differ := []string{}
	for user, lists := range in {
		if lists != 3 {
			differ = append(differ, user)
		}
	}
	slices.Sort(differ)
	return differ
}
