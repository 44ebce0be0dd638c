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

	// sentAt is when the mail server took the mail.
	// +optional
	SentAt *metav1.Time `json:"sentAt,omitempty"`

	// attempts counts the tries to hand over the mail.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Attempts int32 `json:"attempts,omitempty"`

	// nextAttemptAt is when the next try is due, after one that failed for now.
	// +optional
	NextAttemptAt *metav1.Time `json:"nextAttemptAt,omitempty"`

	// rejectedAt is when the mail server refused the mail for good. No further try is made.
	// +optional
	RejectedAt *metav1.Time `json:"rejectedAt,omitempty"`

	// lastError is what the last failed try met, in the mail server's words without addresses. At most 256 characters.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	LastError string `json:"lastError,omitempty"`
}
