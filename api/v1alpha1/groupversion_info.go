package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

var (
	// GroupVersion is orgkeeper.dev/v1alpha1.
	GroupVersion = schema.GroupVersion{Group: "orgkeeper.dev", Version: "v1alpha1"}

	// SchemeGroupVersion is GroupVersion under the name that generated code looks for.
	SchemeGroupVersion = GroupVersion

	schemeBuilder = runtime.NewSchemeBuilder(addKnownTypes)

	// AddToScheme adds the four kinds and their lists to a scheme.
	AddToScheme = schemeBuilder.AddToScheme
)

func addKnownTypes(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion,
		&Organization{}, &OrganizationList{},
		&OrgMember{}, &OrgMemberList{},
		&Workspace{}, &WorkspaceList{},
		&WorkspaceAssignment{}, &WorkspaceAssignmentList{},
	)
	metav1.AddToGroupVersion(scheme, GroupVersion)
	return nil
}
