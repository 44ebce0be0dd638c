package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// DeletionPolicy says what becomes of a workspace's namespace when the Workspace is deleted.
// +kubebuilder:validation:Enum=Delete;Retain
type DeletionPolicy string

const (
	// DeletionPolicyDelete deletes the namespace with all that is in it, if orgkeeper created it.
	DeletionPolicyDelete DeletionPolicy = "Delete"
	// DeletionPolicyRetain keeps the namespace and what is in it, and ends all access through orgkeeper.
	DeletionPolicyRetain DeletionPolicy = "Retain"
)

// WorkspaceSpec is what a workspace is to be.
// +kubebuilder:validation:XValidation:rule="has(self.__namespace__) == has(oldSelf.__namespace__) && (!has(self.__namespace__) || self.__namespace__ == oldSelf.__namespace__)",message="namespace never changes; add a new Workspace for the other namespace",fieldPath=".namespace",reason=FieldValueForbidden
type WorkspaceSpec struct {
	// displayName is the name that people read. At most 128 characters. Default: the name of the object.
	// +optional
	DisplayName Line `json:"displayName,omitempty"`

	// description says in a few sentences what the workspace is for. At most 1024 characters.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule=`!self.matches('[\\x00-\\x08\\x0b-\\x1f\\x7f\\x{80}-\\x{9f}\\x{2028}-\\x{202e}\\x{2066}-\\x{2069}]')`,message="description must not contain control or text-direction characters"
	Description string `json:"description,omitempty"`

	// namespace is the name of the workspace's namespace. Default: <home namespace>--<name>. It never changes. A namespace
	// is created only if it is called <home namespace>-- and a name without --. One that exists, or has another name, is used
	// only if its annotation orgkeeper.dev/adoptable-by is <home namespace>/<name>.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="!format.dns1123Label().validate(self).hasValue()",message="namespace must be the name of a namespace, such as acme--web"
	Namespace string `json:"namespace,omitempty"`

	// deletionPolicy says what becomes of the namespace when the Workspace is deleted: Delete (with all that is in it) or
	// Retain. Default Delete. A namespace that orgkeeper did not create is always retained.
	// +optional
	// +default="Delete"
	DeletionPolicy DeletionPolicy `json:"deletionPolicy,omitempty"`
}

// WorkspaceStatus is what is true of a workspace. Only the operator writes it.
type WorkspaceStatus struct {
	// observedGeneration is the metadata.generation that this status is about; -1 before the first look.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// conditions are Ready, Reconciling and Stalled.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// namespace is the namespace in use. Absent while there is none.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace,omitempty"`

	// members counts who works in the workspace, robots included, by access. Absent while there is no namespace.
	// +optional
	Members *WorkspaceMembers `json:"members,omitempty"`
}

// WorkspaceMembers is how many have access to a workspace. Each is counted once, with the highest access they have.
type WorkspaceMembers struct {
	// admin counts those with access Admin, the organization's admins among them.
	// +required
	Admin int32 `json:"admin"`
	// edit counts those with access Edit.
	// +required
	Edit int32 `json:"edit"`
	// view counts those with access View.
	// +required
	View int32 `json:"view"`
}

// Workspace is a namespace that members of the organization work in.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=ws,categories=orgkeeper
// +kubebuilder:printcolumn:name="Namespace",type=string,JSONPath=`.status.namespace`,priority=1
// +kubebuilder:printcolumn:name="Admin",type=integer,JSONPath=`.status.members.admin`
// +kubebuilder:printcolumn:name="Edit",type=integer,JSONPath=`.status.members.edit`
// +kubebuilder:printcolumn:name="View",type=integer,JSONPath=`.status.members.view`
// +kubebuilder:printcolumn:name="Deletion",type=string,JSONPath=`.spec.deletionPolicy`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`,priority=1
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="!self.metadata.name.contains('--')",message="a workspace name must not contain --, which separates it from the organization in the namespace's name; use single dashes"
// +kubebuilder:validation:XValidation:rule="!self.metadata.name.contains('.') && size(self.metadata.name) <= 63",message="a workspace name becomes part of a namespace's name: use a-z, 0-9 and single dashes, no dots, at most 63 characters"
type Workspace struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is the standard metadata of Kubernetes objects.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty,omitzero"`

	// spec is what the workspace is to be.
	// +required
	Spec WorkspaceSpec `json:"spec"`

	// status is what is true of it. Only the operator writes it.
	// +optional
	// +default={"observedGeneration":-1}
	Status WorkspaceStatus `json:"status,omitempty,omitzero"`
}

// WorkspaceList is a list of Workspaces.
//
// +kubebuilder:object:root=true
type WorkspaceList struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the standard metadata of lists.
	metav1.ListMeta `json:"metadata,omitempty"`
	// items are the Workspaces.
	Items []Workspace `json:"items"`
}
