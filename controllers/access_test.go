package controllers_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/internal/rbac"
)

func TestAccess(t *testing.T) {
	together(t, map[string]func(*home){
		"levels, and the highest wins":               levels,
		"suspension and back":                        suspension,
		"expiry of membership and assignment":        expiries,
		"expiry moved while it runs":                 movedExpiry,
		"an assignment to many workspaces shrinks":   shrinkingAssignment,
		"nobody is asked: pending gives nothing":     pendingMember,
		"hand-edited bindings in a workspace":        workspaceDrift,
		"finalizers and owner references taken away": strippedMetadata,
		"tenants cannot hand access on":              handingOn,
	})
}

// staffed is a home with the workspace web and the active member mia, who is assigned to it.
func (h *home) staffed(access v1alpha1.Access) (web *v1alpha1.Workspace, mia *v1alpha1.OrgMember, a *v1alpha1.WorkspaceAssignment) {
	h.t.Helper()
	h.found()
	web, mia = h.workspace("web"), h.member("mia", v1alpha1.RoleMember, joined)
	a = h.assignment("mia", "mia", access, "web")
	h.create(web, mia, a)
	h.becomes(a, "Ready", "True/Granted")
	h.has(h.user("mia"), h.in("web"), access)
	return web, mia, a
}

// Of several assignments the highest counts; when it goes, the next does, without a moment of more or of nothing.
func levels(h *home) {
	web, mia, view := h.staffed(v1alpha1.AccessView)
	edits, admins := h.assignment("edit", "mia", v1alpha1.AccessEdit, "web"), h.assignment("admin", "mia", v1alpha1.AccessAdmin, "web")
	user, in := h.user("mia"), h.in("web")
	counts := func(admin, edit, view int32) {
		h.t.Helper()
		h.eventually("the counts of the workspace", func() error {
			h.get(web)
			if diff := cmp.Diff(&v1alpha1.WorkspaceMembers{Admin: admin, Edit: edit, View: view}, web.Status.Members); diff != "" {
				return errors.New(diff)
			}
			return nil
		})
	}
	counts(1, 0, 1)
	h.create(admins)
	h.has(user, in, v1alpha1.AccessAdmin)
	counts(2, 0, 0)
	h.create(edits)
	h.becomes(edits, "Ready", "True/Granted")
	if got := h.access(user, in); got != v1alpha1.AccessAdmin {
		h.t.Errorf("a lower assignment lowers the access to %s", got)
	}
	if got := h.named(user); !cmp.Equal(got, []string{in + "/orgkeeper:admin"}) {
		h.t.Errorf("the user is named by %v", got)
	}
	h.delete(admins)
	h.goes(admins)
	h.has(user, in, v1alpha1.AccessEdit)
	counts(1, 1, 0)
	h.delete(edits)
	h.goes(edits)
	h.has(user, in, v1alpha1.AccessView)
	edit(h, view, func(a *v1alpha1.WorkspaceAssignment) { a.Spec.Access = v1alpha1.AccessEdit })
	h.has(user, in, v1alpha1.AccessEdit)
	h.becomes(view, "Ready", "True/Granted")
	h.delete(view)
	h.goes(view)
	if got := h.named(user); got != nil {
		h.t.Errorf("without assignment the user is named by %v", got)
	}
	counts(1, 0, 0)
	h.becomes(web, "Ready", "True/Ready")
	h.becomes(mia, "Ready", "True/Active")
	h.eventually("the count", func() error {
		if h.get(mia); mia.Status.Workspaces == nil || *mia.Status.Workspaces != 0 {
			return fmt.Errorf("workspaces: %v", mia.Status.Workspaces)
		}
		return nil
	})
}

// Suspension takes the access and keeps what was assigned.
func suspension(h *home) {
	_, mia, a := h.staffed(v1alpha1.AccessEdit)
	edit(h, mia, func(m *v1alpha1.OrgMember) { m.Spec.Suspended = true })
	h.becomes(mia, "Ready", "True/Suspended")
	h.becomes(a, "Ready", "True/MemberNotActive")
	h.has(h.user("mia"), h.in("web"), "")
	if in := h.named(h.user("mia")); in != nil {
		h.t.Errorf("a suspended user is named by %v", in)
	}
	edit(h, mia, func(m *v1alpha1.OrgMember) { m.Spec.Suspended = false })
	h.has(h.user("mia"), h.in("web"), v1alpha1.AccessEdit)
	h.becomes(a, "Ready", "True/Granted")
}

// Nobody touches anything and the access ends: a wake-up is set for the moment.
func expiries(h *home) {
	h.found()
	tom, ann := h.member("tom", v1alpha1.RoleMember, joined), h.member("ann", v1alpha1.RoleMember, joined)
	a, b := h.assignment("tom", "tom", v1alpha1.AccessEdit, "web"), h.assignment("ann", "ann", v1alpha1.AccessView, "web")
	h.create(h.workspace("web"), tom, ann, a, b)
	h.has(h.user("tom"), h.in("web"), v1alpha1.AccessEdit)
	h.has(h.user("ann"), h.in("web"), v1alpha1.AccessView)
	soon := time.Now().Add(3 * time.Second)
	edit(h, a, func(a *v1alpha1.WorkspaceAssignment) { a.Spec.ExpiresAt = &metav1.Time{Time: soon} })
	edit(h, ann, until(soon))
	h.becomes(a, "Ready", "True/AssignmentExpired")
	h.becomes(ann, "Ready", "True/MembershipExpired")
	h.becomes(b, "Ready", "True/MemberNotActive")
	h.has(h.user("tom"), h.in("web"), "")
	h.has(h.user("ann"), h.in("web"), "")
	if time.Now().Before(soon.Truncate(time.Second)) {
		h.t.Error("the access ended early")
	}
	h.becomes(tom, "Ready", "True/Active")
}

// An expiry that is moved away counts no more, though a wake-up was set for it; one that is set later counts.
func movedExpiry(h *home) {
	_, mia, _ := h.staffed(v1alpha1.AccessEdit)
	edit(h, mia, func(m *v1alpha1.OrgMember) { until(time.Now().Add(2 * time.Second))(m) })
	edit(h, mia, func(m *v1alpha1.OrgMember) { until(time.Now().Add(time.Hour))(m) })
	other := h.member("kim", v1alpha1.RoleMember, joined, until(time.Now().Add(3*time.Second)))
	h.create(other)
	h.becomes(other, "Ready", "True/MembershipExpired") // later than mia's first moment
	h.becomes(mia, "Ready", "True/Active")
	if got := h.access(h.user("mia"), h.in("web")); got != v1alpha1.AccessEdit {
		h.t.Errorf("access %q after the expiry that no longer counts", got)
	}
}

// A workspace taken out of an assignment is an access that ends, though no object was deleted.
func shrinkingAssignment(h *home) {
	_, mia, a := h.staffed(v1alpha1.AccessEdit)
	h.create(h.workspace("api"))
	edit(h, a, func(a *v1alpha1.WorkspaceAssignment) { a.Spec.Workspaces = []v1alpha1.WorkspaceName{"web", "api"} })
	h.has(h.user("mia"), h.in("api"), v1alpha1.AccessEdit)
	h.becomes(a, "Ready", "True/Granted")
	edit(h, a, func(a *v1alpha1.WorkspaceAssignment) { a.Spec.Workspaces = []v1alpha1.WorkspaceName{"api"} })
	h.has(h.user("mia"), h.in("web"), "")
	h.has(h.user("mia"), h.in("api"), v1alpha1.AccessEdit)
	h.becomes(a, "Ready", "True/Granted")
	if len(a.Status.Workspaces) != 1 || a.Status.Workspaces[0].Name != "api" {
		h.t.Errorf("status.workspaces: %v", a.Status.Workspaces)
	}
	h.becomes(mia, "Ready", "True/Active")
}

// A pending member's assignment is ready and gives nothing.
func pendingMember(h *home) {
	h.found()
	mia, a := h.member("mia", v1alpha1.RoleMember), h.assignment("mia", "mia", v1alpha1.AccessEdit, "web")
	h.create(h.workspace("web"), mia, a)
	h.becomes(mia, "Ready", "True/AwaitingAcceptance")
	h.becomes(a, "Ready", "True/AwaitingAcceptance")
	if in := h.named(h.user("mia")); in != nil {
		h.t.Errorf("a pending user is named by %v", in)
	}
	// What acceptance is: status, nothing else.
	editStatus(h, mia, accept)
	h.has(h.user("mia"), h.in("web"), v1alpha1.AccessEdit)
	h.becomes(a, "Ready", "True/Granted")
}

// The RoleBindings and labels of a workspace's namespace are put right, however they were changed.
func workspaceDrift(h *home) {
	h.staffed(v1alpha1.AccessEdit)
	in := h.in("web")
	binding := &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Namespace: in, Name: rbac.BindingEdit}}
	h.get(binding)
	good := binding.DeepCopy()
	replaced := func(role string) func() {
		return func() {
			h.delete(binding)
			other := good.DeepCopy()
			other.ObjectMeta = metav1.ObjectMeta{Namespace: in, Name: good.Name, Labels: good.Labels}
			other.RoleRef.Name = role
			// The operator may be quicker; then there is nothing to put right.
			_ = client.IgnoreAlreadyExists(admin.Create(h.t.Context(), other))
		}
	}
	change := func(do func(*rbacv1.RoleBinding)) func() { return func() { edit(h, binding, do) } }
	for _, harm := range []struct {
		what string
		do   func()
	}{
		{"somebody added", change(func(b *rbacv1.RoleBinding) { b.Subjects = append(b.Subjects, rbac.Subject("mallory")) })},
		{"a group added", change(func(b *rbacv1.RoleBinding) {
			b.Subjects = append(b.Subjects, rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: "system:authenticated"})
		})},
		{"somebody removed", change(func(b *rbacv1.RoleBinding) { b.Subjects = nil })},
		{"labels removed", change(func(b *rbacv1.RoleBinding) { b.Labels = nil })},
		{"labels of another organization", change(func(b *rbacv1.RoleBinding) { b.Labels[v1alpha1.LabelOrganization] = "elsewhere" })},
		{"deleted", func() { h.delete(binding) }},
		{"another role", replaced("cluster-admin")},
		{"a binding for nobody", func() {
			extra := good.DeepCopy()
			extra.ObjectMeta = metav1.ObjectMeta{Namespace: in, Name: rbac.BindingView, Labels: good.Labels}
			extra.RoleRef.Name = "view"
			h.create(extra)
		}},
		{"labels of the namespace removed", func() {
			ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: in}}
			edit(h, ns, func(ns *corev1.Namespace) {
				delete(ns.Labels, v1alpha1.LabelOrganization)
				ns.Labels[v1alpha1.LabelWorkspace] = "other"
			})
		}},
	} {
		harm.do()
		h.eventually(harm.what+" is put right", func() error {
			b, ns := &rbacv1.RoleBinding{}, &corev1.Namespace{}
			if err := admin.Get(h.t.Context(), client.ObjectKeyFromObject(binding), b); err != nil {
				return err
			}
			if diff := cmp.Diff([]any{good.RoleRef, good.Subjects, good.Labels}, []any{b.RoleRef, b.Subjects, b.Labels}); diff != "" {
				return fmt.Errorf("the binding: %s", diff)
			}
			if h.get(&rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Namespace: in, Name: rbac.BindingView}}) {
				return fmt.Errorf("there is a binding for nobody")
			}
			if err := admin.Get(h.t.Context(), client.ObjectKey{Name: in}, ns); err != nil {
				return err
			}
			if ns.Labels[v1alpha1.LabelOrganization] != h.name || ns.Labels[v1alpha1.LabelWorkspace] != "web" {
				return fmt.Errorf("labels of the namespace: %v", ns.Labels)
			}
			return nil
		})
	}
	if in := h.named("mallory"); in != nil {
		h.t.Errorf("mallory is named by %v", in)
	}
}

// Finalizer and owner reference, taken away by hand, come back: they are what makes things end.
func strippedMetadata(h *home) {
	web, mia, a := h.staffed(v1alpha1.AccessEdit)
	acme := h.organization("acme", "")
	for _, o := range []client.Object{acme, web, mia, a} {
		h.eventually("claimed", func() error {
			if h.get(o); len(o.GetFinalizers()) != 1 {
				return fmt.Errorf("finalizers %v", o.GetFinalizers())
			}
			return nil
		})
		finalizers, owners := o.GetFinalizers(), len(o.GetOwnerReferences())
		if _, organization := o.(*v1alpha1.Organization); !organization && owners != 1 {
			h.t.Errorf("%T has %d owners", o, owners)
		}
		edit(h, o, func(o client.Object) {
			o.SetFinalizers(nil)
			o.SetOwnerReferences(nil)
		})
		h.eventually("claimed again", func() error {
			h.get(o)
			if !cmp.Equal(o.GetFinalizers(), finalizers) || len(o.GetOwnerReferences()) != owners {
				return fmt.Errorf("%T: finalizers %v, owners %v", o, o.GetFinalizers(), o.GetOwnerReferences())
			}
			return nil
		})
	}
}

// Admin access in a workspace is no right to give access: what is handed on would survive the removal.
func handingOn(h *home) {
	h.staffed(v1alpha1.AccessAdmin)
	for _, verb := range []string{"create", "update", "patch", "delete", "bind", "escalate"} {
		for _, resource := range []string{"rolebindings.rbac.authorization.k8s.io", "roles.rbac.authorization.k8s.io"} {
			if h.may(h.user("mia"), verb, resource, h.in("web")) {
				h.t.Errorf("Admin access: may %s %s", verb, resource)
			}
		}
	}
	// The robots' side of the same: a workspace's service accounts are not users of that name.
	if h.may("system:serviceaccount:"+h.in("web")+":mia", "list", "pods", h.in("web")) {
		h.t.Error("a service account has a person's access")
	}
}
