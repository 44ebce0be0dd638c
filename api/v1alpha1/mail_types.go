package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// MailDelivery is how far the delivery of a mail is.
type MailDelivery struct {
	// sentAt is when the mail server took the mail.
	// +optional
	SentAt *metav1.Time `json:"sentAt,omitempty"`

	// attempts counts the tries to hand over the mail; 0 while it waits for its turn.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Attempts int32 `json:"attempts,omitempty"`

	// nextAttemptAt is when the next try is due, after one that failed for now, or when the organization has sent as many mails
	// as it may in a day.
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

// MembershipChange is what a mail tells a member of their membership.
// +kubebuilder:validation:Enum=RoleChanged;Ended
type MembershipChange string

const (
	// MembershipRoleChanged: the member has another role.
	MembershipRoleChanged MembershipChange = "RoleChanged"
	// MembershipEnded: spec.expiresAt has passed.
	MembershipEnded MembershipChange = "Ended"
)

// MembershipNotice is where the mail to a member about the latest change of their membership stands.
type MembershipNotice struct {
	// serial numbers the changes of this membership from 1.
	// +required
	// +kubebuilder:validation:Minimum=1
	Serial int32 `json:"serial,omitempty"`

	// change is RoleChanged, or Ended when spec.expiresAt has passed.
	// +required
	Change MembershipChange `json:"change,omitempty"`

	// from is the role before. Where it is the same as to, the change was taken back before the person was told of it, and no
	// mail is due.
	// +required
	From Role `json:"from,omitempty"`

	// to is the role after.
	// +required
	To Role `json:"to,omitempty"`

	// at is when it happened.
	// +required
	At metav1.Time `json:"at,omitzero"`

	MailDelivery `json:",inline"`
}

// Farewell is where the mail to somebody stands whose OrgMember was deleted after they had joined.
type Farewell struct {
	// uid is that of the OrgMember.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	UID string `json:"uid,omitempty"`

	// member is the name of the OrgMember.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Member string `json:"member,omitempty"`

	// email is where the mail goes. At most 254 characters.
	// +required
	Email EmailAddress `json:"email,omitempty"`

	// displayName is the name that people read. At most 128 characters.
	// +optional
	DisplayName Line `json:"displayName,omitempty"`

	// locale is the language of mails to the member. Default: the organization's.
	// +optional
	Locale Locale `json:"locale,omitempty"`

	// serial numbers the changes of the membership, this one the last.
	// +required
	// +kubebuilder:validation:Minimum=1
	Serial int32 `json:"serial,omitempty"`

	// at is when the membership ended.
	// +required
	At metav1.Time `json:"at,omitzero"`

	MailDelivery `json:",inline"`
}

// SubscriptionChange is what a mail tells the billing contact.
// +kubebuilder:validation:Enum=SeatsTaken;Cancelled;Ending;Ended
type SubscriptionChange string

const (
	// SubscriptionSeatsTaken: all seats are taken.
	SubscriptionSeatsTaken SubscriptionChange = "SeatsTaken"
	// SubscriptionCancelled: it was cancelled.
	SubscriptionCancelled SubscriptionChange = "Cancelled"
	// SubscriptionEnding: it was cancelled, and ends within a week.
	SubscriptionEnding SubscriptionChange = "Ending"
	// SubscriptionEnded: it was cancelled, and what was paid has run out.
	SubscriptionEnded SubscriptionChange = "Ended"
)

// SubscriptionNotice is where the mail to the billing contact about one matter of the subscription stands.
type SubscriptionNotice struct {
	// about is SeatsTaken, Cancelled, Ending or Ended.
	// +required
	About SubscriptionChange `json:"about,omitempty"`

	// serial numbers the times that it became so, from 1.
	// +required
	// +kubebuilder:validation:Minimum=1
	Serial int32 `json:"serial,omitempty"`

	// at is when it became so.
	// +required
	At metav1.Time `json:"at,omitzero"`

	// until is when it was so no more. No mail is due then.
	// +optional
	Until *metav1.Time `json:"until,omitempty"`

	// notBefore is when the mail may go out at the earliest: a day after the one before about the same matter.
	// +optional
	NotBefore *metav1.Time `json:"notBefore,omitempty"`

	// paidThrough is the end of the subscription that the last try of the mail named. A mail that was not tried yet keeps the end
	// that the contact was told of before; it is not sent about that one again.
	// +optional
	PaidThrough *metav1.Time `json:"paidThrough,omitempty"`

	// firstAttemptAt is when the mail was tried for the first time. It is given up when the mail server still refuses it for now
	// five days later; rejectedAt says when that was.
	// +optional
	FirstAttemptAt *metav1.Time `json:"firstAttemptAt,omitempty"`

	MailDelivery `json:",inline"`
}
