// Copyright The orgkeeper Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"fmt"
	"sync/atomic"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
)

// home is an organization's home namespace with somebody in each role: jane owns it, adam is another admin, bill a billing
// admin, uma a user admin, mia a member, and pia was made an admin and has not accepted. There are the workspaces web and
// api; bill, uma and mia are assigned to web.
type home struct {
	t       testing.TB
	name    string
	created atomic.Int32
}

var homes atomic.Int32

// newHome makes a home in which all are in place. It takes a running operator.
func newHome(t testing.TB, administration v1alpha1.Administration) *home {
	t.Helper()
	h := &home{t: t, name: fmt.Sprintf("home%d", homes.Add(1))}
	h.create(
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: h.name}},
		&v1alpha1.Organization{ObjectMeta: h.meta("acme"), Spec: v1alpha1.OrganizationSpec{Owner: "jane", Administration: administration}},
		h.member("jane", v1alpha1.RoleAdmin), h.member("adam", v1alpha1.RoleAdmin), h.member("bill", v1alpha1.RoleBillingAdmin),
		h.member("uma", v1alpha1.RoleUserAdmin), h.member("mia", v1alpha1.RoleMember),
		h.invited("pia", v1alpha1.RoleAdmin),
		&v1alpha1.Workspace{ObjectMeta: h.meta("web")}, &v1alpha1.Workspace{ObjectMeta: h.meta("api")},
	)
	for _, member := range []string{"bill", "uma", "mia"} {
		h.create(&v1alpha1.WorkspaceAssignment{ObjectMeta: h.meta(member), Spec: v1alpha1.WorkspaceAssignmentSpec{
			Member: member, Workspaces: []v1alpha1.WorkspaceName{"web"}, Access: v1alpha1.AccessEdit,
		}})
	}
	h.settles()
	return h
}

// settles waits until all are in place, and the API server knows.
func (h *home) settles() {
	h.t.Helper()
	eventually(h.t, h.name+" is in place", func() error {
		acme := h.organization()
		if len(acme.Status.Admins) != 2 || acme.Status.Owner != "jane" || acme.Status.Members == nil || acme.Status.Members.Pending != 1 {
			return fmt.Errorf("owner %q, admins %v, members %v", acme.Status.Owner, acme.Status.Admins, acme.Status.Members)
		}
		for _, may := range []struct{ user, verb, resource, namespace string }{
			{"jane", "update", "organizations.orgkeeper.dev/owner", h.name}, {"adam", "update", "organizations.orgkeeper.dev/profile", h.name},
			{"bill", "list", "organizations.orgkeeper.dev", h.name}, {"uma", "list", "organizations.orgkeeper.dev", h.name},
			{"adam", "create", "configmaps", h.name + "--api"}, {"adam", "create", "configmaps", h.name + "--web"},
			{"mia", "create", "configmaps", h.name + "--web"}, {"uma", "create", "configmaps", h.name + "--web"},
			{"bill", "create", "configmaps", h.name + "--web"}, {"jane", "create", "configmaps", h.name + "--api"},
		} {
			if out, err := plane.Run(h.t.Context(), "auth", "can-i", may.verb, may.resource, "-n", may.namespace, "--as", h.user(may.user)); err != nil {
				return fmt.Errorf("%v: %s", may, out)
			}
		}
		return nil
	})
}

func (h *home) meta(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: h.name, Name: name}
}

// user is the Kubernetes user, and the email, of the member of this name.
func (h *home) user(member string) string { return member + "@" + h.name + ".example" }

// member is one who joins without being asked.
func (h *home) member(name string, role v1alpha1.Role) *v1alpha1.OrgMember {
	m := h.invited(name, role)
	m.Spec.Invitation = &v1alpha1.MemberInvitation{Mode: v1alpha1.InvitationModeNone}
	return m
}

func (h *home) invited(name string, role v1alpha1.Role) *v1alpha1.OrgMember {
	return &v1alpha1.OrgMember{ObjectMeta: h.meta(name), Spec: v1alpha1.OrgMemberSpec{
		Email: v1alpha1.EmailAddress(h.user(name)), Role: role,
	}}
}

// fresh is a name that was not used in this home.
func (h *home) fresh() string { return fmt.Sprintf("n%d", h.created.Add(1)) }

// create creates objects as cluster-admin.
func (h *home) create(objects ...client.Object) {
	h.t.Helper()
	for _, o := range objects {
		check(h.t, admin.Create(h.t.Context(), o))
	}
}

// have creates a member as cluster-admin and returns it.
func (h *home) have(m *v1alpha1.OrgMember) *v1alpha1.OrgMember {
	h.t.Helper()
	h.create(m)
	return m
}

func (h *home) organization() *v1alpha1.Organization {
	h.t.Helper()
	acme := &v1alpha1.Organization{}
	check(h.t, admin.Get(h.t.Context(), client.ObjectKey{Namespace: h.name, Name: "acme"}, acme))
	return acme
}

// mergePatch is a patch as kubectl patch --type merge sends it.
func mergePatch(format string, args ...any) client.Patch {
	return client.RawPatch(types.MergePatchType, fmt.Appendf(nil, format, args...))
}

// patch changes an object as cluster-admin.
func (h *home) patch(o client.Object, format string, args ...any) {
	h.t.Helper()
	check(h.t, admin.Patch(h.t.Context(), o, mergePatch(format, args...)))
}
