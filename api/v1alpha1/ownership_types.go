package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// OwnershipTransfer is one move of an organization's ownership.
type OwnershipTransfer struct {
	// serial numbers the transfers of this organization from 1.
	// +required
	// +kubebuilder:validation:Minimum=1
	Serial int32 `json:"serial,omitempty"`

	// from is the name of the OrgMember who was the owner.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	From string `json:"from,omitempty"`

	// fromUID tells that OrgMember from a later one of the same name. Absent if it was gone already.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	FromUID string `json:"fromUID,omitempty"`

	// to is the name of the OrgMember who became the owner.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	To string `json:"to,omitempty"`

	// toUID tells that OrgMember from a later one of the same name.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	ToUID string `json:"toUID,omitempty"`

	// at is when the ownership moved.
	// +required
	At metav1.Time `json:"at,omitzero"`
}

// OwnershipNotice is where the mail to a member about a move of the ownership stands.
type OwnershipNotice struct {
	// serial is the transfer that the mail is about: one of the organization's status.transfers.
	// +required
	// +kubebuilder:validation:Minimum=1
	Serial int32 `json:"serial,omitempty"`

	MailDelivery `json:",inline"`
}
