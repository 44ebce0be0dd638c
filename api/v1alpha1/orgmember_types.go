package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Role is what a member may do in the organization.
// +kubebuilder:validation:Enum=Admin;BillingAdmin;UserAdmin;Member
type Role string

const (
	// RoleAdmin manages the organization, its members and workspaces, and works in every workspace.
	RoleAdmin Role = "Admin"
	// RoleBillingAdmin sees everything and edits billing, plan and seats.
	RoleBillingAdmin Role = "BillingAdmin"
	// RoleUserAdmin manages plain members, workspaces and assignments.
	RoleUserAdmin Role = "UserAdmin"
	// RoleMember works in the workspaces they are assigned to.
	RoleMember Role = "Member"
)

// InvitationMode says how a member is brought in.
// +kubebuilder:validation:Enum=Email;None
type InvitationMode string

const (
	// InvitationModeEmail asks the person by mail. They are Pending until they accept.
	InvitationModeEmail InvitationMode = "Email"
	// InvitationModeNone activates the member without asking.
	InvitationModeNone InvitationMode = "None"
)

// MemberState is where a membership stands.
// +kubebuilder:validation:Enum=Pending;Active;Declined;Expired;Suspended
type MemberState string

const (
	// StatePending: not joined yet; no access.
	StatePending MemberState = "Pending"
	// StateActive: joined; has the access of the role and the assignments.
	StateActive MemberState = "Active"
	// StateDeclined: the person said no; no access.
	StateDeclined MemberState = "Declined"
	// StateExpired: the invitation or the membership has run out; no access.
	StateExpired MemberState = "Expired"
	// StateSuspended: set aside by spec.suspended, or not yet back for want of a seat; no access.
	StateSuspended MemberState = "Suspended"
)

// MemberInvitation says how a member is brought in.
type MemberInvitation struct {
	// mode is Email (a mail asks the person) or None (active without being asked). Default Email.
	// +optional
	// +default="Email"
	Mode InvitationMode `json:"mode,omitempty"`

	// message is shown in the mail as the inviter's words. At most 500 characters, no markup; links are taken out.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=500
	// +kubebuilder:validation:XValidation:rule=`!self.matches('[\\x00-\\x09\\x0b-\\x1f\\x7f\\x{80}-\\x{9f}\\x{2028}-\\x{202e}\\x{2066}-\\x{2069}]')`,message="message must not contain control or text-direction characters other than line breaks"
	Message string `json:"message,omitempty"`
}

// OrgMemberSpec is who a member is and what they are to be.
// +kubebuilder:validation:XValidation:rule="has(self.email) == has(oldSelf.email) && (!has(self.email) || self.email == oldSelf.email)",message="email never changes; add a new OrgMember with the new email, then delete this one",fieldPath=".email",reason=FieldValueForbidden
// +kubebuilder:validation:XValidation:rule="has(self.username) == has(oldSelf.username) && (!has(self.username) || self.username == oldSelf.username)",message="username never changes; add a new OrgMember with the new username, then delete this one",fieldPath=".username",reason=FieldValueForbidden
// +kubebuilder:validation:XValidation:rule="has(self.invitedBy) == has(oldSelf.invitedBy) && (!has(self.invitedBy) || self.invitedBy == oldSelf.invitedBy)",message="invitedBy is stamped at creation and never changes",fieldPath=".invitedBy",reason=FieldValueForbidden
// +kubebuilder:validation:XValidation:rule="has(self.email) || (has(self.username) && self.username.startsWith('system:serviceaccount:'))",message="email is required, unless username is a service account (system:serviceaccount:<namespace>:<name>)",fieldPath=".email",reason=FieldValueRequired
type OrgMemberSpec struct {
	// email is where the invitation goes, and by default also the username. Required unless username is a service account.
	// It never changes: add a new OrgMember for a new email. At most 254 characters. Unique in the organization whatever
	// the case; the oldest OrgMember wins.
	// +optional
	Email EmailAddress `json:"email,omitempty"`

	// username is the name by which the Kubernetes API server knows the member. Default: the operator's prefix and the
	// email. A service account (system:serviceaccount:<namespace>:<name>) of the home namespace or of a workspace makes
	// a robot, which is active without being asked. It never changes. At most 320 characters. Unique in the organization;
	// the oldest OrgMember wins. A person's username that is not the email takes the right to update orgmembers/username,
	// since whoever has the mailbox answers for the user.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=320
	// +kubebuilder:validation:XValidation:rule=`!self.matches('[\\s\\pZ\\pC]')`,message="username must not contain blanks or control characters"
	// +kubebuilder:validation:XValidation:rule=`!self.startsWith('system:') || self.matches('^system:serviceaccount:[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?:[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$')`,message="a username that starts with system: must be a service account, such as system:serviceaccount:acme--web:ci"
	Username string `json:"username,omitempty"`

	// displayName is the name that people read. At most 128 characters. Default: the email.
	// +optional
	DisplayName Line `json:"displayName,omitempty"`

	// avatarURL is the https address of a picture. At most 2048 characters.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:XValidation:rule=`isURL(self) && url(self).getHost() != '' && url(self).getScheme() == 'https'`,message="avatarURL must be an address such as https://acme.example/joe.png"
	AvatarURL string `json:"avatarURL,omitempty"`

	// locale is the language of mails to this member, such as pl. Default: the organization's.
	// +optional
	Locale Locale `json:"locale,omitempty"`

	// role is Admin, BillingAdmin, UserAdmin or Member. Default Member.
	// +optional
	// +default="Member"
	Role Role `json:"role,omitempty"`

	// expiresAt is the moment at which the membership ends by itself, as RFC 3339 with a time zone, such as
	// 2027-01-01T00:00:00Z. Never when left out.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=35
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:validation:XValidation:rule=`self.matches('^2[01][0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,9})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$') && timestamp(self) > timestamp('1999-01-01T00:00:00Z')`,message="expiresAt must be a moment with its time zone, such as 2027-01-01T00:00:00Z (RFC 3339, years 2000 to 2199)"
	ExpiresAt *metav1.Time `json:"expiresAt,omitempty"`

	// suspended takes the access away and keeps the membership. Default false. It frees the seat: where seats are limited, whoever is
	// to come back waits until one is free.
	// +optional
	Suspended bool `json:"suspended,omitempty"`

	// invitation says how the member is brought in. By mail when left out.
	// +optional
	Invitation *MemberInvitation `json:"invitation,omitempty"`

	// invitedBy is the Kubernetes user who created this OrgMember. It never changes. Leave it out: the API server stamps it
	// where config/policy/stamp is installed, and refuses any other name than the creator's where it is not.
	// At most 1024 characters.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	InvitedBy string `json:"invitedBy,omitempty"`
}

// InvitationStatus is where the present invitation stands.
type InvitationStatus struct {
	// serial numbers the invitations of this member from 1. Links of earlier serials are void.
	// +required
	// +kubebuilder:validation:Minimum=1
	Serial int32 `json:"serial,omitempty"`

	// issuedAt is when this invitation was made.
	// +optional
	IssuedAt *metav1.Time `json:"issuedAt,omitempty"`

	// expiresAt is until when it can be accepted.
	// +required
	ExpiresAt metav1.Time `json:"expiresAt,omitzero"`

	// sentAt is when the mail server took the mail.
	// +optional
	SentAt *metav1.Time `json:"sentAt,omitempty"`

	// remindedAt is when the mail server took the reminder.
	// +optional
	RemindedAt *metav1.Time `json:"remindedAt,omitempty"`

	// attempts counts the tries to hand over the mail of this invitation; 0 while it waits for the organization's turn.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Attempts int32 `json:"attempts,omitempty"`

	// reminderAttempts counts the tries to hand over the reminder.
	// +optional
	// +kubebuilder:validation:Minimum=0
	ReminderAttempts int32 `json:"reminderAttempts,omitempty"`

	// nextAttemptAt is when the next try is due, of the invitation or, once sentAt is set, of the reminder: after one that
	// failed for now, or when the organization has sent as many mails as it may in a day.
	// +optional
	NextAttemptAt *metav1.Time `json:"nextAttemptAt,omitempty"`

	// rejectedAt is when the mail server refused the mail, or, once sentAt is set, the reminder, for good. No further try is
	// made before a resend.
	// +optional
	RejectedAt *metav1.Time `json:"rejectedAt,omitempty"`

	// lastError is what the last failed try met, in the mail server's words without addresses. At most 256 characters.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	LastError string `json:"lastError,omitempty"`

	// resend is the value of the annotation orgkeeper.dev/resend that this invitation answers. At most 256 characters;
	// a longer value is cut.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	Resend string `json:"resend,omitempty"`
}

// OrgMemberStatus is what is true of a member. Only the operator writes it.
type OrgMemberStatus struct {
	// observedGeneration is the metadata.generation that this status is about; -1 before the first look.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// conditions are Ready, Reconciling, Stalled, InvitationSent, Accepted, Dormant and OwnerProtected.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// state is Pending, Active, Declined, Expired or Suspended. Only Active has access.
	// +optional
	State MemberState `json:"state,omitempty"`

	// stateSince is when the present state began, as far as the operator saw it.
	// +optional
	StateSince *metav1.Time `json:"stateSince,omitempty"`

	// role is the role in force: spec.role, or Admin for the owner. While the Organization's condition PolicyEnforced is False,
	// a new role gives nothing yet.
	// +optional
	Role Role `json:"role,omitempty"`

	// username is the Kubernetes user whom access is given to.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=640
	Username string `json:"username,omitempty"`

	// invitation is where the present invitation stands. Absent where none is due.
	// +optional
	Invitation *InvitationStatus `json:"invitation,omitempty"`

	// ownershipNotice is where the mail about the latest move of the ownership to or from this member stands. Absent where
	// there was none.
	// +optional
	OwnershipNotice *OwnershipNotice `json:"ownershipNotice,omitempty"`

	// membershipNotice is where the mail about the latest change of this membership stands: another role, or its end by
	// spec.expiresAt. Absent where there was none since the person joined. For the end by deletion see status.farewells of the
	// Organization.
	// +optional
	MembershipNotice *MembershipNotice `json:"membershipNotice,omitempty"`

	// acceptedAt is when the person accepted, or when the member was activated without asking.
	// +optional
	AcceptedAt *metav1.Time `json:"acceptedAt,omitempty"`

	// declinedAt is when the person declined.
	// +optional
	DeclinedAt *metav1.Time `json:"declinedAt,omitempty"`

	// lastActiveTime is about when the member last used the organization; exact to ten minutes.
	// +optional
	LastActiveTime *metav1.Time `json:"lastActiveTime,omitempty"`

	// workspaces counts the workspaces that the member works in: none unless active.
	// +optional
	Workspaces *int32 `json:"workspaces,omitempty"`
}

// OrgMember is a person or robot of the organization whose home the namespace is.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=om,categories=orgkeeper
// +kubebuilder:selectablefield:JSONPath=`.spec.email`
// +kubebuilder:selectablefield:JSONPath=`.spec.role`
// +kubebuilder:selectablefield:JSONPath=`.status.state`
// +kubebuilder:printcolumn:name="Email",type=string,JSONPath=`.spec.email`
// +kubebuilder:printcolumn:name="Role",type=string,JSONPath=`.status.role`
// +kubebuilder:printcolumn:name="State",type=string,JSONPath=`.status.state`
// +kubebuilder:printcolumn:name="Last Active",type=date,JSONPath=`.status.lastActiveTime`
// +kubebuilder:printcolumn:name="Workspaces",type=integer,JSONPath=`.status.workspaces`,priority=1
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`,priority=1
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type OrgMember struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is the standard metadata of Kubernetes objects.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty,omitzero"`

	// spec is who the member is and what they are to be.
	// +required
	Spec OrgMemberSpec `json:"spec,omitzero"`

	// status is what is true of the member. Only the operator writes it.
	// +optional
	// +default={"observedGeneration":-1}
	Status OrgMemberStatus `json:"status,omitempty,omitzero"`
}

// OrgMemberList is a list of OrgMembers.
//
// +kubebuilder:object:root=true
type OrgMemberList struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the standard metadata of lists.
	metav1.ListMeta `json:"metadata,omitempty"`
	// items are the OrgMembers.
	Items []OrgMember `json:"items"`
}
