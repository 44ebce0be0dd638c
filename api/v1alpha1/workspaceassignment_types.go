package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Access is what a member may do in a workspace. Which ClusterRole stands behind each is the platform's choice.
// +kubebuilder:validation:Enum=View;Edit;Admin
type Access string

const (
	// AccessView reads most things; no Secrets. ClusterRole view by default.
	AccessView Access = "View"
	// AccessEdit works: deployments, services, secrets and so on. ClusterRole edit by default.
	AccessEdit Access = "Edit"
	// AccessAdmin is Edit and reads roles and bindings. ClusterRole orgkeeper:workspace-admin by default; it cannot hand
	// on access.
	AccessAdmin Access = "Admin"
)

// WorkspaceAssignmentSpec says who works where.
type WorkspaceAssignmentSpec struct {
	// member is the name of the OrgMember in this namespace. It never changes. The OrgMember may be applied later.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="!format.dns1123Subdomain().validate(self).hasValue()",message="member must be the name of an OrgMember in this namespace, such as mia"
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="member never changes; add a new WorkspaceAssignment for the other member, then delete this one",reason=FieldValueForbidden
	Member string `json:"member,omitempty"`

	// workspaces are the names of 1 to 10 Workspaces in this namespace, each once. They may be applied later. More than
	// ten take a second WorkspaceAssignment.
	// +required
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:XValidation:rule="size(self) <= 10",message="at most 10 workspaces; put the others into a second WorkspaceAssignment for the same member"
	Workspaces []WorkspaceName `json:"workspaces,omitempty"`

	// access is View, Edit or Admin. Default Edit. Of several assignments to one workspace, the highest counts.
	// +optional
	// +default="Edit"
	Access Access `json:"access,omitempty"`

	// expiresAt is the moment at which the access ends by itself, as RFC 3339 with a time zone, such as
	// 2027-01-01T00:00:00Z. Never when left out.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=35
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:validation:XValidation:rule=`self.matches('^2[01][0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,9})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$') && timestamp(self) > timestamp('1999-01-01T00:00:00Z')`,message="expiresAt must be a moment with its time zone, such as 2027-01-01T00:00:00Z (RFC 3339, years 2000 to 2199)"
	ExpiresAt *metav1.Time `json:"expiresAt,omitempty"`
}

// AssignedWorkspace is what an assignment comes to in one workspace.
type AssignedWorkspace struct {
	// name is the name of the Workspace.
	// +required
	Name WorkspaceName `json:"name,omitempty"`

	// namespace is the workspace's namespace. Absent while there is none.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace,omitempty"`

	// granted says whether the member has the access there now.
	// +required
	Granted bool `json:"granted"`

	// reason says why: Granted, AwaitingAcceptance, MemberNotFound, MemberNotActive, WorkspaceNotFound, WorkspaceNotReady,
	// AssignmentExpired, OrganizationNotFound, OrganizationDeleting or Progressing.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	Reason string `json:"reason,omitempty"`
}

// WorkspaceAssignmentStatus is what an assignment comes to. Only the operator writes it.
type WorkspaceAssignmentStatus struct {
	// observedGeneration is the metadata.generation that this status is about; -1 before the first look.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// conditions are Ready, Reconciling and Stalled.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// workspaces tells of each workspace whether the access is in place, and why not.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=10
	Workspaces []AssignedWorkspace `json:"workspaces,omitempty"`
}

// WorkspaceAssignment gives one member access to up to ten workspaces.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=wsa,categories=orgkeeper
// +kubebuilder:selectablefield:JSONPath=`.spec.member`
// +kubebuilder:selectablefield:JSONPath=`.spec.access`
// +kubebuilder:printcolumn:name="Member",type=string,JSONPath=`.spec.member`
// +kubebuilder:printcolumn:name="Workspaces",type=string,JSONPath=`.spec.workspaces`,priority=1
// +kubebuilder:printcolumn:name="Access",type=string,JSONPath=`.spec.access`
// +kubebuilder:printcolumn:name="Granted",type=string,JSONPath=`.status.workspaces[*].granted`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`,priority=1
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type WorkspaceAssignment struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is the standard metadata of Kubernetes objects.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty,omitzero"`

	// spec says who works where.
	// +required
	Spec WorkspaceAssignmentSpec `json:"spec,omitzero"`

	// status is what it comes to. Only the operator writes it.
	// +optional
	// +default={"observedGeneration":-1}
	Status WorkspaceAssignmentStatus `json:"status,omitempty,omitzero"`
}

// WorkspaceAssignmentList is a list of WorkspaceAssignments.
//
// +kubebuilder:object:root=true
type WorkspaceAssignmentList struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the standard metadata of lists.
	metav1.ListMeta `json:"metadata,omitempty"`
	// items are the WorkspaceAssignments.
	Items []WorkspaceAssignment `json:"items"`
}
