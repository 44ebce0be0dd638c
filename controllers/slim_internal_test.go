package controllers

import (
	"fmt"
	"testing"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
)

// decoded is a text of its own, as each is that comes from the API server.
func decoded[S ~string](s S) S { return S(fmt.Sprint(s)) }

func someMember(name string) *v1alpha1.OrgMember {
	m := &v1alpha1.OrgMember{
		ObjectMeta: metav1.ObjectMeta{
			Name: name, Namespace: decoded("acme"), Finalizers: []string{decoded(v1alpha1.FinalizerMember)},
			OwnerReferences: []metav1.OwnerReference{{Kind: decoded("Organization"), Name: decoded("acme"), UID: "1"}},
			ManagedFields:   []metav1.ManagedFieldsEntry{{Manager: "kubectl"}},
			Annotations:     map[string]string{v1alpha1.AnnotationResend: "again", "tool.example/notes": "many"},
		},
		Spec: v1alpha1.OrgMemberSpec{Email: v1alpha1.EmailAddress(name + "@acme.example"), Role: decoded(v1alpha1.RoleMember)},
	}
	m.Status.Username = string(decoded(m.Spec.Email))
	m.Status.Conditions = make([]metav1.Condition, 0, 4)
	for _, message := range []string{"the person accepted", name + " is active"} {
		m.Status.Conditions = append(m.Status.Conditions, metav1.Condition{Type: v1alpha1.ConditionReady, Reason: decoded(v1alpha1.ReasonActive), Message: decoded(message)})
	}
	return m
}

// What the cache keeps says the same as what came, but for what nobody reads; and says it once for all.
func TestSlim(t *testing.T) {
	joe, mia := someMember("joe"), someMember("mia")
	want := joe.DeepCopy()
	want.ManagedFields = nil
	delete(want.Annotations, "tool.example/notes")
	for _, m := range []*v1alpha1.OrgMember{joe, mia} {
		if _, err := slim(m); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(want, joe); diff != "" {
		t.Errorf("a member in the cache\n-want +got:\n%s", diff)
	}
	same := map[string][2]string{
		"namespace":          {joe.Namespace, mia.Namespace},
		"finalizer":          {joe.Finalizers[0], mia.Finalizers[0]},
		"kind of the owner":  {joe.OwnerReferences[0].Kind, mia.OwnerReferences[0].Kind},
		"name of the owner":  {joe.OwnerReferences[0].Name, mia.OwnerReferences[0].Name},
		"role":               {string(joe.Spec.Role), string(mia.Spec.Role)},
		"email and username": {string(joe.Spec.Email), joe.Status.Username},
		"reason":             {joe.Status.Conditions[0].Reason, mia.Status.Conditions[0].Reason},
		"message":            {joe.Status.Conditions[0].Message, mia.Status.Conditions[0].Message},
	}
	for what, two := range same {
		if unsafe.StringData(two[0]) != unsafe.StringData(two[1]) {
			t.Errorf("%s: kept twice", what)
		}
	}
	if got := cap(joe.Status.Conditions); got != 2 {
		t.Errorf("room for %d conditions, of 2", got)
	}
}

func TestSlimOfOthers(t *testing.T) {
	assignment := &v1alpha1.WorkspaceAssignment{
		Spec: v1alpha1.WorkspaceAssignmentSpec{Member: "joe", Access: v1alpha1.AccessView, Workspaces: []v1alpha1.WorkspaceName{"web"}},
		Status: v1alpha1.WorkspaceAssignmentStatus{
			Conditions: []metav1.Condition{{Type: v1alpha1.ConditionReady, Message: "granted once joe accepts"}},
			Workspaces: []v1alpha1.AssignedWorkspace{{Name: "web", Namespace: "acme--web", Reason: v1alpha1.ReasonActive}},
		},
	}
	// A RoleBinding is written whole, so that it keeps what others noted on it.
	binding := &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{"tool.example/notes": "many"}},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: "joe"}},
	}
	for _, o := range []client.Object{assignment, binding} {
		want := o.DeepCopyObject()
		got, err := slim(o)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%T\n-want +got:\n%s", o, diff)
		}
	}
}
