package controllers

import (
	"maps"
	"slices"
	"strings"
	"unique"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
)

// slim is what the cache keeps of an object: not the record of who wrote what, nor annotations but ours. Only for RoleBindings these
// stay: they are written whole, all else by patches of what changed. Texts that many objects have in common are kept once.
func slim(o any) (any, error) {
	object, err := meta.Accessor(o)
	if err != nil {
		return o, nil //nolint:nilerr // a mark of the informer's own, which stays as it is
	}
	object.SetManagedFields(nil)
	if _, whole := o.(*rbacv1.RoleBinding); !whole {
		annotations := object.GetAnnotations()
		maps.DeleteFunc(annotations, func(key, _ string) bool { return !strings.HasPrefix(key, v1alpha1.GroupVersion.Group+"/") })
		object.SetAnnotations(annotations)
	}
	switch o := o.(type) {
	case *v1alpha1.OrgMember:
		shareMeta(&o.ObjectMeta)
		shareMember(o)
	case *v1alpha1.WorkspaceAssignment:
		shareMeta(&o.ObjectMeta)
		shareAssignment(o)
	case *rbacv1.RoleBinding:
		shareMeta(&o.ObjectMeta)
		for i := range o.Subjects {
			share(&o.Subjects[i].Kind)
			share(&o.Subjects[i].APIGroup)
			share(&o.Subjects[i].Namespace)
		}
	}
	return o, nil
}

// share keeps one copy of a text, for as long as somebody has it. It costs more than it saves for a text that only one object has.
func share[S ~string](s *S) { *s = S(unique.Make(string(*s)).Value()) }

func shareMeta(m *metav1.ObjectMeta) {
	share(&m.Namespace)
	for i := range m.Finalizers {
		share(&m.Finalizers[i])
	}
	for i := range m.OwnerReferences {
		owner := &m.OwnerReferences[i]
		share(&owner.APIVersion)
		share(&owner.Kind)
		share(&owner.Name)
		share(&owner.UID)
	}
}

func shareMember(m *v1alpha1.OrgMember) {
	share(&m.Spec.Role)
	share(&m.Spec.Locale)
	share(&m.Spec.InvitedBy)
	share(&m.Status.State)
	share(&m.Status.Role)
	for _, same := range []string{m.Spec.Username, string(m.Spec.Email)} {
		if m.Status.Username == same {
			m.Status.Username = same
		}
	}
	shareConditions(m.Name, &m.Status.Conditions)
}

func shareAssignment(a *v1alpha1.WorkspaceAssignment) {
	share(&a.Spec.Access)
	for i := range a.Spec.Workspaces {
		share(&a.Spec.Workspaces[i])
	}
	for i := range a.Status.Workspaces {
		w := &a.Status.Workspaces[i]
		share(&w.Name)
		share(&w.Namespace)
		share(&w.Reason)
	}
	shareConditions(a.Spec.Member, &a.Status.Conditions)
}

// shareConditions leaves messages alone that tell of one person. What was decoded has room for more, which nobody needs.
func shareConditions(person string, conditions *[]metav1.Condition) {
	if len(*conditions) < cap(*conditions) {
		*conditions = slices.Clone(*conditions)
	}
	for i := range *conditions {
		c := &(*conditions)[i]
		share(&c.Type)
		share(&c.Status)
		share(&c.Reason)
		if !strings.Contains(c.Message, person) {
			share(&c.Message)
		}
	}
}
