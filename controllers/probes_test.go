package controllers_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/onsi/gomega"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/internal/rbac"
)

// patience is how long a test waits for what takes the operator milliseconds. The machine may be busy, and the garbage
// collector learns of new kinds only each 30 seconds.
const patience = 75 * time.Second

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
