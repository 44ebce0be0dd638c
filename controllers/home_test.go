package controllers_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
)

// addressDomain is in every email of every test, and thereby in nothing that the operator logs.
const addressDomain = "@people.example"

// home is an organization's home namespace, for one test.
type home struct {
	*operator
	t    *testing.T
	name string
}

var homes atomic.Int32

// home makes a home namespace. It is deleted when the test ends; whichever operator runs then or later sees to it.
func (o *operator) home(t *testing.T) *home {
	t.Helper()
	h := &home{operator: o, t: t, name: fmt.Sprintf("home%d", homes.Add(1))}
	h.create(namespace(h.name))
	h.discard(h.name)
	t.Cleanup(h.nothingTold)
	return h
}

// found opens the organization acme, which jane owns.
func (h *home) found() (acme *v1alpha1.Organization, jane *v1alpha1.OrgMember) {
	h.t.Helper()
	acme, jane = h.organization("acme", "jane"), h.member("jane", v1alpha1.RoleAdmin, joined)
	h.create(acme, jane)
	return acme, jane
}

func (h *home) meta(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: h.name, Name: name}
}

func (h *home) organization(name, owner string) *v1alpha1.Organization {
	return &v1alpha1.Organization{ObjectMeta: h.meta(name), Spec: v1alpha1.OrganizationSpec{Owner: owner}}
}

func (h *home) member(name string, role v1alpha1.Role, change ...func(*v1alpha1.OrgMember)) *v1alpha1.OrgMember {
	m := &v1alpha1.OrgMember{ObjectMeta: h.meta(name), Spec: v1alpha1.OrgMemberSpec{
		Email: v1alpha1.EmailAddress(h.user(name)),
		Role:  role,
	}}
	for _, c := range change {
		c(m)
	}
	return m
}

// joined makes a member active without being asked.
func joined(m *v1alpha1.OrgMember) {
	m.Spec.Invitation = &v1alpha1.MemberInvitation{Mode: v1alpha1.InvitationModeNone}
}

// accept is what a person's yes comes to in the status.
func accept(m *v1alpha1.OrgMember) { m.Status.AcceptedAt = &metav1.Time{Time: time.Now()} }

func until(at time.Time) func(*v1alpha1.OrgMember) {
	return func(m *v1alpha1.OrgMember) { m.Spec.ExpiresAt = &metav1.Time{Time: at} }
}

// over is a member whose end has passed by the operator's clock, which is put ahead: by its own the API server lets none in.
func (h *home) over() func(*v1alpha1.OrgMember) {
	h.clock.Step(2 * time.Hour)
	return until(time.Now().Add(time.Hour))
}

// robot is a member that is the service account ci of a namespace.
func (h *home) robot(name, namespace string) *v1alpha1.OrgMember {
	return h.member(name, v1alpha1.RoleMember, func(m *v1alpha1.OrgMember) {
		m.Spec.Email, m.Spec.Username = "", "system:serviceaccount:"+namespace+":ci"
	})
}

func (h *home) workspace(name string, change ...func(*v1alpha1.Workspace)) *v1alpha1.Workspace {
	w := &v1alpha1.Workspace{ObjectMeta: h.meta(name)}
	for _, c := range change {
		c(w)
	}
	return w
}

func (h *home) assignment(name, member string, access v1alpha1.Access, workspaces ...v1alpha1.WorkspaceName) *v1alpha1.WorkspaceAssignment {
	return &v1alpha1.WorkspaceAssignment{ObjectMeta: h.meta(name), Spec: v1alpha1.WorkspaceAssignmentSpec{
		Member: member, Access: access, Workspaces: workspaces,
	}}
}

// user is the Kubernetes user, and the email, of the member of this name.
func (h *home) user(name string) string { return name + "." + h.name + addressDomain }

// in is the default namespace of a workspace.
func (h *home) in(workspace string) string { return h.name + "--" + workspace }

func (h *home) create(objects ...client.Object) {
	h.t.Helper()
	for _, o := range objects {
		if err := admin.Create(h.t.Context(), o); err != nil {
			h.t.Fatal(err)
		}
	}
}

// get reads an object anew; false when there is none.
func (h *home) get(o client.Object) bool {
	h.t.Helper()
	err := admin.Get(h.t.Context(), client.ObjectKeyFromObject(o), o)
	if err != nil && !apierrors.IsNotFound(err) {
		h.t.Fatal(err)
	}
	return err == nil
}

// edit changes an object as somebody with kubectl would: read, change, write, and again when somebody else wrote.
func edit[T client.Object](h *home, o T, change func(T)) {
	h.t.Helper()
	h.eventually("edit "+o.GetName(), func() error {
		if err := admin.Get(h.t.Context(), client.ObjectKeyFromObject(o), o); err != nil {
			return err
		}
		change(o)
		return admin.Update(h.t.Context(), o)
	})
}

// editStatus is edit of the status, as another part of the operator would.
func editStatus[T client.Object](h *home, o T, change func(T)) {
	h.t.Helper()
	h.eventually("edit the status of "+o.GetName(), func() error {
		if err := admin.Get(h.t.Context(), client.ObjectKeyFromObject(o), o); err != nil {
			return err
		}
		change(o)
		return admin.Status().Update(h.t.Context(), o)
	})
}

func (h *home) delete(objects ...client.Object) {
	h.t.Helper()
	for _, o := range objects {
		if err := admin.Delete(h.t.Context(), o); err != nil {
			h.t.Fatal(err)
		}
	}
}

// later steps the clock, and stirs what there is in the home: timers run on the real clock.
func (h *home) later(d time.Duration) {
	h.t.Helper()
	h.clock.Step(d)
	for _, o := range h.all() {
		h.touch(o)
	}
}

func (h *home) touch(o client.Object) {
	h.t.Helper()
	patch := fmt.Appendf(nil, `{"metadata":{"annotations":{"test/touched":"%d"}}}`, time.Now().UnixNano())
	if err := admin.Patch(h.t.Context(), o, client.RawPatch("application/merge-patch+json", patch)); client.IgnoreNotFound(err) != nil {
		h.t.Fatal(err)
	}
}

// kindsOfHome are lists of what is ours in a home.
func kindsOfHome() []client.ObjectList {
	return []client.ObjectList{&v1alpha1.OrganizationList{}, &v1alpha1.OrgMemberList{}, &v1alpha1.WorkspaceList{}, &v1alpha1.WorkspaceAssignmentList{}}
}

// all is everything of ours in the home.
func (h *home) all() []client.Object {
	h.t.Helper()
	var all []client.Object
	for _, list := range kindsOfHome() {
		if err := admin.List(context.Background(), list, client.InNamespace(h.name)); err != nil {
			h.t.Fatal(err)
		}
		items, err := meta.ExtractList(list)
		if err != nil {
			h.t.Fatal(err)
		}
		for _, item := range items {
			all = append(all, item.(client.Object))
		}
	}
	return all
}
