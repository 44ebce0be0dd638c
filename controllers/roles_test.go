package controllers_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/internal/rbac"
)

func TestRolesInForce(t *testing.T) {
	together(t, map[string]func(*home){
		"each role, Shared and OwnerOnly":       presets,
		"change of role":                        promotions,
		"suspended, expired and removed admins": unmadeAdmins,
		"pending admins have nothing":           pendingAdmin,
		"hand-edited bindings in the home":      homeDrift,
	})
}

// right is a right that tells roles apart (permissions.md), with who has it under Shared and under OwnerOnly.
type right struct {
	verb, resource    string
	shared, ownerOnly string // o(wner) a(dmin) b(illing) u(ser admin) m(ember)
}

var table = []right{
	{"get", "organizations.orgkeeper.dev", "oabu", "oabu"},
	{"update", "organizations/profile.orgkeeper.dev", "oa", "oa"},
	{"update", "organizations/billing.orgkeeper.dev", "oab", "ob"},
	{"update", "organizations/subscription.orgkeeper.dev", "oab", "oab"},
	{"cancel", "organizations/subscription.orgkeeper.dev", "oa", "o"},
	{"delete", "organizations.orgkeeper.dev", "oa", "o"},
	{"update", "organizations/owner.orgkeeper.dev", "o", "o"},
	{"update", "organizations/administration.orgkeeper.dev", "o", "o"},
	{"list", "orgmembers.orgkeeper.dev", "oabu", "oabu"},
	{"grant", "orgmembers/member.orgkeeper.dev", "oau", "oau"},
	{"revoke", "orgmembers/useradmin.orgkeeper.dev", "oa", "oa"},
	{"grant", "orgmembers/billingadmin.orgkeeper.dev", "oa", "o"},
	{"revoke", "orgmembers/admin.orgkeeper.dev", "oa", "o"},
	{"update", "orgmembers/acceptance.orgkeeper.dev", "", ""},
	{"update", "orgmembers/status.orgkeeper.dev", "", ""},
	{"update", "orgmembers/finalizers.orgkeeper.dev", "", ""},
	{"list", "workspaces.orgkeeper.dev", "oabu", "oabu"},
	{"create", "workspaceassignments.orgkeeper.dev", "oau", "oau"},
	{"create", "rolebindings.rbac.authorization.k8s.io", "", ""},
	{"get", "secrets", "", ""},
}

// One organization with somebody in each role: what the API server allows them is the table in permissions.md, and it
// follows spec.administration there and back.
func presets(h *home) {
	acme, _ := h.found()
	for name, role := range map[string]v1alpha1.Role{
		"adam": v1alpha1.RoleAdmin, "bill": v1alpha1.RoleBillingAdmin, "uma": v1alpha1.RoleUserAdmin, "mia": v1alpha1.RoleMember,
	} {
		h.create(h.member(name, role, joined))
	}
	people := []struct{ letter, user string }{
		{"o", "jane"}, {"a", "adam"}, {"b", "bill"}, {"u", "uma"}, {"m", "mia"},
	}
	columns := func(of func(right) string) map[string]string {
		want := map[string]string{}
		for _, r := range table {
			want[r.verb+" "+r.resource] = of(r)
		}
		return want
	}
	allowed := func() map[string]string {
		got := map[string]string{}
		for _, r := range table {
			who := ""
			for _, p := range people {
				if h.may(h.user(p.user), r.verb, r.resource, h.name) {
					who += p.letter
				}
			}
			got[r.verb+" "+r.resource] = who
		}
		return got
	}
	shared := columns(func(r right) string { return r.shared })
	ownerOnly := columns(func(r right) string { return r.ownerOnly })
	comes := func(what string, want map[string]string) {
		h.t.Helper()
		h.eventually(what, func() error {
			if diff := cmp.Diff(want, allowed()); diff != "" {
				return fmt.Errorf("who may do what: %s", diff)
			}
			return nil
		})
	}
	comes("Shared", shared)
	edit(h, acme, func(o *v1alpha1.Organization) { o.Spec.Administration = v1alpha1.AdministrationOwnerOnly })
	comes("OwnerOnly", ownerOnly)
	edit(h, acme, func(o *v1alpha1.Organization) { o.Spec.Administration = v1alpha1.AdministrationShared })
	comes("Shared again", shared)
}

// A role that changes takes the old rights away and gives the new ones.
func promotions(h *home) {
	h.found()
	w := h.workspace("web")
	kim := h.member("kim", v1alpha1.RoleMember, joined)
	h.create(w, kim)
	h.becomes(w, "Ready", "True/Ready")
	for _, step := range []struct {
		role    v1alpha1.Role
		binding string
		access  v1alpha1.Access
	}{
		{v1alpha1.RoleUserAdmin, "orgkeeper:user-admins", ""},
		{v1alpha1.RoleAdmin, "orgkeeper:admins", v1alpha1.AccessAdmin},
		{v1alpha1.RoleBillingAdmin, "orgkeeper:billing-admins", ""},
		{v1alpha1.RoleMember, "", ""},
	} {
		edit(h, kim, func(m *v1alpha1.OrgMember) { m.Spec.Role = step.role })
		want := []string{}
		if step.binding != "" {
			want = append(want, h.name+"/"+step.binding)
		}
		if step.role == v1alpha1.RoleAdmin {
			want = []string{h.in("web") + "/orgkeeper:admin", h.name + "/orgkeeper:admins", h.name + "/orgkeeper:shared-admins"}
			// Sorted as named sorts: '-' comes before '/'.
		}
		h.eventually("as "+string(step.role), func() error {
			if got := h.named(h.user("kim")); !cmp.Equal(append([]string{}, got...), want) {
				return fmt.Errorf("kim is named by %v, not %v", got, want)
			}
			return nil
		})
		h.has(h.user("kim"), h.in("web"), step.access)
		h.becomes(kim, "Ready", "True/Active")
		if kim.Status.Role != step.role {
			h.t.Errorf("status.role %s, not %s", kim.Status.Role, step.role)
		}
	}
}

// Whatever ends an admin's membership ends role and access, and the organization says that one admin is left.
func unmadeAdmins(h *home) {
	acme, _ := h.found()
	w := h.workspace("web")
	admins := []*v1alpha1.OrgMember{
		h.member("suspended", v1alpha1.RoleAdmin, joined),
		h.member("expired", v1alpha1.RoleAdmin, joined),
		h.member("removed", v1alpha1.RoleAdmin, joined),
	}
	h.create(w, admins[0], admins[1], admins[2])
	h.becomes(acme, "AdminRedundancy", "True/SeveralAdmins")
	for _, m := range admins {
		h.has(h.userOf(m), h.in("web"), v1alpha1.AccessAdmin)
	}
	edit(h, admins[0], func(m *v1alpha1.OrgMember) { m.Spec.Suspended = true })
	edit(h, admins[1], until(time.Now().Add(2*time.Second))) // by time alone
	h.delete(admins[2])
	h.goes(admins[2])
	if in := h.named(h.user("removed")); in != nil {
		h.t.Errorf("when the member is gone, %v name them", in)
	}
	h.becomes(admins[0], "Ready", "True/Suspended")
	h.becomes(admins[1], "Ready", "True/MembershipExpired")
	h.becomes(acme, "AdminRedundancy", "False/OneAdmin")
	for _, m := range admins {
		h.has(h.userOf(m), h.in("web"), "")
		h.eventually(m.Name+" has no role", h.allowed(m, "list", "orgmembers.orgkeeper.dev", false))
	}
	// And back: an end of the membership keeps what was accepted.
	edit(h, admins[0], func(m *v1alpha1.OrgMember) { m.Spec.Suspended = false })
	edit(h, admins[1], func(m *v1alpha1.OrgMember) { m.Spec.ExpiresAt = nil })
	for _, m := range admins[:2] {
		h.has(h.userOf(m), h.in("web"), v1alpha1.AccessAdmin)
		h.becomes(m, "Ready", "True/Active")
	}
}

// Whoever was made an admin and did not accept has nothing.
func pendingAdmin(h *home) {
	acme, _ := h.found()
	pia := h.member("pia", v1alpha1.RoleAdmin)
	w := h.workspace("web")
	h.create(pia, w)
	h.becomes(pia, "Ready", "True/AwaitingAcceptance")
	h.becomes(w, "Ready", "True/Ready")
	h.becomes(acme, "AdminRedundancy", "False/OneAdmin")
	if in := h.named(h.user("pia")); in != nil {
		h.t.Errorf("a pending admin is named by %v", in)
	}
}

// The RoleBindings in the home are put right, however they were changed.
func homeDrift(h *home) {
	acme, _ := h.found()
	h.create(h.member("uma", v1alpha1.RoleUserAdmin, joined))
	h.becomes(acme, "Ready", "True/Ready")
	binding := &rbacv1.RoleBinding{ObjectMeta: h.meta(rbac.BindingUserAdmins)}
	h.eventually("the binding", func() error { return admin.Get(h.t.Context(), client.ObjectKeyFromObject(binding), binding) })
	good := binding.DeepCopy()
	for _, harm := range []struct {
		what string
		harm func()
	}{
		{"somebody added", func() {
			edit(h, binding, func(b *rbacv1.RoleBinding) { b.Subjects = append(b.Subjects, rbac.Subject("mallory")) })
		}},
		{"somebody removed", func() { edit(h, binding, func(b *rbacv1.RoleBinding) { b.Subjects = nil }) }},
		{"labels removed", func() { edit(h, binding, func(b *rbacv1.RoleBinding) { b.Labels = nil }) }},
		{"owner removed", func() { edit(h, binding, func(b *rbacv1.RoleBinding) { b.OwnerReferences = nil }) }},
		{"deleted", func() { h.delete(binding) }},
		{"another role", func() {
			h.delete(binding)
			other := good.DeepCopy()
			other.ObjectMeta = metav1.ObjectMeta{Namespace: h.name, Name: good.Name}
			other.RoleRef.Name = rbac.BindingOwner
			// The operator may be quicker; then there is nothing to put right.
			_ = client.IgnoreAlreadyExists(admin.Create(h.t.Context(), other))
		}},
		{"a role for nobody", func() {
			extra := good.DeepCopy()
			extra.ObjectMeta = metav1.ObjectMeta{Namespace: h.name, Name: rbac.BindingBillingAdmins, Labels: good.Labels}
			extra.RoleRef.Name = "orgkeeper:billing-admin"
			h.create(extra)
		}},
	} {
		harm.harm()
		h.eventually(harm.what+" is put right", func() error {
			b := &rbacv1.RoleBinding{}
			if err := admin.Get(h.t.Context(), client.ObjectKeyFromObject(binding), b); err != nil {
				return err
			}
			if diff := cmp.Diff([]any{good.RoleRef, good.Subjects, good.Labels, good.OwnerReferences},
				[]any{b.RoleRef, b.Subjects, b.Labels, b.OwnerReferences}); diff != "" {
				return fmt.Errorf("the binding: %s", diff)
			}
			if h.get(&rbacv1.RoleBinding{ObjectMeta: h.meta(rbac.BindingBillingAdmins)}) {
				return fmt.Errorf("there is a binding for nobody")
			}
			return nil
		})
	}
	if in := h.named("mallory"); in != nil {
		h.t.Errorf("mallory is named by %v", in)
	}
}
