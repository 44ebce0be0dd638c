package controllers_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/onsi/gomega"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/internal/rbac"
)

// addressDomain is in every email of every test, and thereby in nothing that the operator logs.
const addressDomain = "@people.example"

// patience is how long a test waits for what takes the operator milliseconds. The machine may be busy, and the garbage
// collector learns of new kinds only each 30 seconds.
const patience = 75 * time.Second

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

// all is everything of ours in the home.
func (h *home) all() []client.Object {
	h.t.Helper()
	var all []client.Object
	for _, list := range []client.ObjectList{
		&v1alpha1.OrganizationList{}, &v1alpha1.OrgMemberList{}, &v1alpha1.WorkspaceList{}, &v1alpha1.WorkspaceAssignmentList{},
	} {
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

// eventually waits until a check succeeds, and says why it did not.
func (h *home) eventually(what string, check func() error) {
	h.t.Helper()
	gomega.NewWithT(h.t).Eventually(check).WithTimeout(patience).WithPolling(20*time.Millisecond).Should(gomega.Succeed(), what)
}

// becomes waits until a condition reads status/reason.
func (h *home) becomes(o client.Object, condition, want string) {
	h.t.Helper()
	h.eventually(fmt.Sprintf("%T %s", o, o.GetName()), func() error {
		if !h.get(o) {
			return errors.New("it does not exist")
		}
		if got := reading(o, condition); got != want || observed(o) != o.GetGeneration() {
			return fmt.Errorf("%s is %s, not %s (generation %d, observed %d)", condition, got, want, o.GetGeneration(), observed(o))
		}
		return nil
	})
}

// goes waits until objects are gone.
func (h *home) goes(objects ...client.Object) {
	h.t.Helper()
	for _, o := range objects {
		h.eventually(fmt.Sprintf("%T %s goes", o, o.GetName()), func() error {
			if h.get(o) {
				return fmt.Errorf("it is there, with finalizers %v, Ready %s", o.GetFinalizers(), reading(o, "Ready"))
			}
			return nil
		})
	}
}

// reading is a condition as status/reason; empty when there is none.
func reading(o client.Object, condition string) string {
	conditions, _ := statusOf(o)
	c := meta.FindStatusCondition(conditions, condition)
	if c == nil {
		return ""
	}
	return string(c.Status) + "/" + c.Reason
}

func observed(o client.Object) int64 {
	_, generation := statusOf(o)
	return generation
}

func statusOf(o client.Object) ([]metav1.Condition, int64) {
	switch o := o.(type) {
	case *v1alpha1.Organization:
		return o.Status.Conditions, o.Status.ObservedGeneration
	case *v1alpha1.OrgMember:
		return o.Status.Conditions, o.Status.ObservedGeneration
	case *v1alpha1.Workspace:
		return o.Status.Conditions, o.Status.ObservedGeneration
	case *v1alpha1.WorkspaceAssignment:
		return o.Status.Conditions, o.Status.ObservedGeneration
	}
	return nil, 0
}

// may asks the API server, which is what counts. A resource is written like orgmembers/admin.orgkeeper.dev.
func (h *home) may(user, verb, resource, namespace string) bool {
	h.t.Helper()
	resource, group, _ := strings.Cut(resource, ".")
	resource, sub, _ := strings.Cut(resource, "/")
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User: user,
		ResourceAttributes: &authorizationv1.ResourceAttributes{
			Namespace: namespace, Verb: verb, Group: group, Resource: resource, Subresource: sub,
		},
	}}
	if err := admin.Create(h.t.Context(), review); err != nil {
		h.t.Fatal(err)
	}
	return review.Status.Allowed
}

// allowed checks whether a member may do something in the home.
func (h *home) allowed(m *v1alpha1.OrgMember, verb, resource string, want bool) func() error {
	return func() error {
		if h.may(h.userOf(m), verb, resource, h.name) != want {
			return fmt.Errorf("%s may %s %s: %t, not %t", m.Name, verb, resource, !want, want)
		}
		return nil
	}
}

func (h *home) userOf(m *v1alpha1.OrgMember) string {
	if m.Spec.Username != "" {
		return m.Spec.Username
	}
	return string(m.Spec.Email)
}

// access is what a user may do in a namespace, as the API server sees it.
func (h *home) access(user, namespace string) v1alpha1.Access {
	h.t.Helper()
	switch {
	case h.may(user, "create", "localsubjectaccessreviews.authorization.k8s.io", namespace):
		return v1alpha1.AccessAdmin
	case h.may(user, "create", "deployments.apps", namespace):
		return v1alpha1.AccessEdit
	case h.may(user, "list", "pods", namespace):
		return v1alpha1.AccessView
	}
	return ""
}

// has waits until a user has exactly this access in a workspace's namespace.
func (h *home) has(user, namespace string, want v1alpha1.Access) {
	h.t.Helper()
	h.eventually("the access of "+user+" in "+namespace, func() error {
		if got := h.access(user, namespace); got != want {
			return fmt.Errorf("it is %q, not %q", got, want)
		}
		return nil
	})
}

// named are the RoleBindings of the whole cluster that name a user, read live.
func (h *home) named(user string) []string {
	h.t.Helper()
	var bindings rbacv1.RoleBindingList
	if err := admin.List(context.Background(), &bindings); err != nil {
		h.t.Fatal(err)
	}
	var in []string
	for i := range bindings.Items {
		if b := &bindings.Items[i]; rbac.Names(b, user) {
			in = append(in, b.Namespace+"/"+b.Name)
		}
	}
	slices.Sort(in)
	return in
}

// nothingTold fails the test when a condition or an Event tells somebody's address.
func (h *home) nothingTold() {
	h.t.Helper()
	for _, o := range h.all() {
		conditions, _ := statusOf(o)
		for _, c := range conditions {
			if strings.Contains(c.Message, addressDomain) {
				h.t.Errorf("condition %s of %s tells an address: %s", c.Type, o.GetName(), c.Message)
			}
		}
	}
	var events corev1.EventList
	if err := admin.List(context.Background(), &events, client.InNamespace(h.name)); err != nil {
		h.t.Error(err)
	}
	for _, e := range events.Items {
		if strings.Contains(e.Message, addressDomain) {
			h.t.Errorf("an Event of %s tells an address: %s", e.InvolvedObject.Name, e.Message)
		}
	}
}
