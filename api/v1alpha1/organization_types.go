package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Administration says how the admins of an organization share its rights.
// +kubebuilder:validation:Enum=Shared;OwnerOnly
type Administration string

const (
	// AdministrationShared lets admins do everything but transfer the ownership and change the administration itself.
	AdministrationShared Administration = "Shared"
	// AdministrationOwnerOnly keeps to the owner alone: deleting the organization, adding and removing admins and billing
	// admins, editing billing and cancelling the subscription.
	AdministrationOwnerOnly Administration = "OwnerOnly"
)

// OrganizationProfile is how an organization presents itself.
type OrganizationProfile struct {
	// description says in a few sentences what the organization is. At most 1024 characters.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule=`!self.matches('[\\x00-\\x08\\x0b-\\x1f\\x7f\\x{80}-\\x{9f}\\x{2028}-\\x{202e}\\x{2066}-\\x{2069}]')`,message="description must not contain control or text-direction characters"
	Description string `json:"description,omitempty"`

	// website is the organization's web address, with http or https. At most 2048 characters.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:XValidation:rule=`isURL(self) && url(self).getHost() != '' && url(self).getScheme() in ['http', 'https']`,message="website must be an address such as https://acme.example"
	Website string `json:"website,omitempty"`

	// logoURL is the https address of the organization's logo. At most 2048 characters.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:XValidation:rule=`isURL(self) && url(self).getHost() != '' && url(self).getScheme() == 'https'`,message="logoURL must be an address such as https://acme.example/logo.svg"
	LogoURL string `json:"logoURL,omitempty"`
}

// OrganizationBilling says whom invoices go to.
type OrganizationBilling struct {
	// email receives invoices, and mails about the subscription: all seats are taken, it was cancelled, ends within a week, has
	// ended. At most 254 characters.
	// +optional
	Email EmailAddress `json:"email,omitempty"`

	// company is the legal name on invoices. At most 128 characters.
	// +optional
	Company Line `json:"company,omitempty"`

	// address is the postal address on invoices; it may have several lines. At most 512 characters.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule=`!self.matches('[\\x00-\\x09\\x0b-\\x1f\\x7f\\x{80}-\\x{9f}\\x{2028}-\\x{202e}\\x{2066}-\\x{2069}]')`,message="address must not contain control or text-direction characters other than line breaks"
	Address string `json:"address,omitempty"`

	// vatID is the tax number on invoices. 2 to 32 letters, digits, dots, dashes, slashes and blanks.
	// +optional
	// +kubebuilder:validation:MinLength=2
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule=`self.matches('^[A-Za-z0-9./ -]+$')`,message="vatID consists of letters, digits, dots, dashes, slashes and blanks"
	VATID string `json:"vatID,omitempty"`
}

// OrganizationSubscription is what the organization has booked.
type OrganizationSubscription struct {
	// plan is the name of the booked plan. At most 63 characters.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule=`self.matches('^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$')`,message="plan consists of letters, digits, dots, dashes and underscores, and starts and ends with a letter or digit"
	Plan string `json:"plan,omitempty"`

	// seats is how many people may be members, from 1 to 1000000. No limit when left out. Whoever is Pending or Active has a seat,
	// robots have none, and the owner always has one. While all are taken nobody can be added; who was added already waits with
	// reason NoSeat, the oldest OrgMember coming first when seats return. Fewer seats than are taken take none from anybody.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000000
	Seats int32 `json:"seats,omitempty"`

	// cancelled says that the subscription ends when what is paid runs out, at paidThrough; without paidThrough it does not end yet.
	// Until then nobody new is invited, and everything else goes on. From then on nobody has access to workspaces; members keep
	// state and role, and with it the organization's home. Unset it to resume: all access comes back. Default false.
	// +optional
	Cancelled bool `json:"cancelled,omitempty"`

	// paidThrough is the moment until which the subscription is paid, as RFC 3339. It has an effect only when cancelled is true.
	// Changing it takes the right to update organizations/paidthrough, which only the platform has.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=35
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:validation:XValidation:rule=`self.matches('^2[01][0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,9})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$') && timestamp(self) > timestamp('1999-01-01T00:00:00Z')`,message="paidThrough must be a moment with its time zone, such as 2027-01-01T00:00:00Z (RFC 3339, years 2000 to 2199)"
	PaidThrough *metav1.Time `json:"paidThrough,omitempty"`
}

// OrganizationInvitations holds the rules for inviting.
type OrganizationInvitations struct {
	// validFor is how long an invitation can be accepted, such as 168h. From 1h to 720h; default 168h (a week).
	// It counts for invitations sent from now on.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule=`self.matches('^([0-9]{1,6}(\\.[0-9]{1,9})?[hms])+$') && duration(self) >= duration('1h') && duration(self) <= duration('720h')`,message="validFor must be a duration from 1h to 720h, such as 168h"
	ValidFor *metav1.Duration `json:"validFor,omitempty"`

	// remindBefore is how long before its expiry an unanswered invitation is repeated once, such as 24h. From 1h to 360h.
	// The reminder has the same link. None when left out, or when the invitation was sent later than that.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule=`self.matches('^([0-9]{1,6}(\\.[0-9]{1,9})?[hms])+$') && duration(self) >= duration('1h') && duration(self) <= duration('360h')`,message="remindBefore must be a duration from 1h to 360h, such as 24h"
	RemindBefore *metav1.Duration `json:"remindBefore,omitempty"`

	// allowedDomains are the mail domains that new members may have, such as acme.example. Any when left out. At most 64.
	// A domain is compared as a whole, whatever its case, in the form that DNS knows (IDNA); a subdomain is another one.
	// Members who joined before stay, and service accounts have no mail domain.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=253
	// +kubebuilder:validation:items:XValidation:rule=`self.matches('^([\\pL\\pN]([\\pL\\pM\\pN-]{0,61}[\\pL\\pM\\pN])?\\.)+[\\pL\\pN]([\\pL\\pM\\pN-]{0,61}[\\pL\\pM\\pN])?$') && !self.matches('\\.[0-9]+$')`,message="an allowed domain must look like acme.example"
	AllowedDomains []string `json:"allowedDomains,omitempty"`

	// locale is the language of mails to members who have none of their own, such as it. Default en.
	// +optional
	Locale Locale `json:"locale,omitempty"`
}

// OrganizationMembers holds the rules for members.
type OrganizationMembers struct {
	// dormantAfter is how long a member may be inactive before the condition Dormant says so, such as 2160h.
	// From 24h to 43800h. Never when left out. It takes an operator that is sent audit events (docs/activity.md).
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule=`self.matches('^([0-9]{1,6}(\\.[0-9]{1,9})?[hms])+$') && duration(self) >= duration('24h') && duration(self) <= duration('43800h')`,message="dormantAfter must be a duration from 24h to 43800h, such as 2160h"
	DormantAfter *metav1.Duration `json:"dormantAfter,omitempty"`
}

// OrganizationSpec is what an organization is to be.
type OrganizationSpec struct {
	// displayName is the name that people read, in mails and on the invitation page. At most 128 characters.
	// Default: the name of the object.
	// +optional
	DisplayName Line `json:"displayName,omitempty"`

	// owner is the name of the OrgMember who owns the organization, in the same namespace. The owner is an admin, whatever
	// the role of that OrgMember says, and cannot be removed: name another admin here first. The OrgMember may be applied
	// later than the Organization. It is never set by itself.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="!format.dns1123Subdomain().validate(self).hasValue()",message="owner must be the name of an OrgMember in this namespace, such as jane"
	Owner string `json:"owner,omitempty"`

	// administration is Shared (admins share every right but ownership) or OwnerOnly (admins, billing, cancelling and
	// deleting are the owner's alone). Default Shared.
	// +optional
	// +default="Shared"
	Administration Administration `json:"administration,omitempty"`

	// profile is how the organization presents itself.
	// +optional
	Profile *OrganizationProfile `json:"profile,omitempty"`

	// billing says whom invoices go to.
	// +optional
	Billing *OrganizationBilling `json:"billing,omitempty"`

	// subscription is what the organization has booked.
	// +optional
	Subscription *OrganizationSubscription `json:"subscription,omitempty"`

	// invitations holds the rules for inviting.
	// +optional
	Invitations *OrganizationInvitations `json:"invitations,omitempty"`

	// members holds the rules for members.
	// +optional
	Members *OrganizationMembers `json:"members,omitempty"`
}

// MemberCounts is how many OrgMembers an organization has, in all and by state.
type MemberCounts struct {
	// total counts every OrgMember.
	// +required
	Total int32 `json:"total"`
	// pending counts those who have not joined yet: to be asked, asked, waiting for a seat, or refused as duplicates.
	// +required
	Pending int32 `json:"pending"`
	// active counts those who joined, robots included.
	// +required
	Active int32 `json:"active"`
	// suspended counts those who are suspended.
	// +required
	Suspended int32 `json:"suspended"`
	// declined counts those who declined.
	// +required
	Declined int32 `json:"declined"`
	// expired counts those whose invitation or membership expired.
	// +required
	Expired int32 `json:"expired"`
}

// SeatUse is how an organization's seats are used.
type SeatUse struct {
	// taken counts the people who have a seat: those who are Active, those who were invited and have not answered yet, the owner,
	// and those in offered. Where seats have no limit it may be ten seconds late
	// while many are invited.
	// +required
	// +kubebuilder:validation:Minimum=0
	Taken int32 `json:"taken"`

	// waiting counts the people who wait for a seat.
	// +required
	// +kubebuilder:validation:Minimum=0
	Waiting int32 `json:"waiting"`

	// offered names the OrgMembers who are given a seat and are about to take it, sorted. At most 1000.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=1000
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=253
	Offered []string `json:"offered,omitempty"`
}

// OrganizationStatus is what is true of an organization. Only the operator writes it.
type OrganizationStatus struct {
	// observedGeneration is the metadata.generation that this status is about; -1 before the first look.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// conditions are Ready, Reconciling, Stalled, AdminRedundancy, PolicyEnforced, and where a subscription is declared
	// SeatsAvailable and SubscriptionActive.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// owner is the OrgMember who owns the organization now. Absent until somebody does: an owner who has not joined is not
	// one yet. From then on it follows spec.owner once that names a usable admin, so that ownership never falls between
	// two people, and whom it names is protected.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Owner string `json:"owner,omitempty"`

	// transfers are the latest moves of the ownership from one owner to another, oldest first. At most five. Both people are
	// told by mail; see status.ownershipNotice of their OrgMembers.
	// +optional
	// +listType=map
	// +listMapKey=serial
	// +kubebuilder:validation:MaxItems=5
	Transfers []OwnershipTransfer `json:"transfers,omitempty"`

	// admins are the usable admins by name: people who are Active and not leaving, that is neither being deleted nor with
	// spec.expiresAt, which only the owner may have. Others with the role work as admins too, until they leave.
	// At most the first thousand.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=1000
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=253
	Admins []string `json:"admins,omitempty"`

	// members counts the OrgMembers.
	// +optional
	Members *MemberCounts `json:"members,omitempty"`

	// seats is how the seats are used, whether or not spec.subscription.seats limits them.
	// +optional
	Seats *SeatUse `json:"seats,omitempty"`

	// workspaces counts the Workspaces.
	// +optional
	Workspaces *int32 `json:"workspaces,omitempty"`

	// mails counts the mails about invitations, roles and memberships that were sent lately, hour by hour, oldest first. The operator sends no more
	// than its --mail-limit-per-organization in a day. At most 26 hours.
	// +optional
	// +listType=map
	// +listMapKey=hour
	// +kubebuilder:validation:MaxItems=26
	Mails []MailCount `json:"mails,omitempty"`

	// farewells are the mails to those whose OrgMembers were deleted after they had joined, oldest first. Each is gone from here
	// once the mail server took or refused the mail. At most 1000; should more wait, the oldest are not sent, and an Event says so.
	// +optional
	// +listType=map
	// +listMapKey=uid
	// +kubebuilder:validation:MaxItems=1000
	Farewells []Farewell `json:"farewells,omitempty"`

	// subscriptionMails is where the mails to spec.billing.email about the subscription stand, one of each sort.
	// +optional
	// +listType=map
	// +listMapKey=about
	// +kubebuilder:validation:MaxItems=4
	SubscriptionMails []SubscriptionNotice `json:"subscriptionMails,omitempty"`
}

// MailCount is how many mails an organization's members were sent in an hour. What was counted stays counted when they are
// deleted.
type MailCount struct {
	// hour is when the hour begins.
	// +required
	Hour metav1.Time `json:"hour,omitzero"`
	// count is how many mails went out in it.
	// +required
	// +kubebuilder:validation:Minimum=1
	Count int32 `json:"count,omitempty"`
}

// Organization is a group of people and robots who share workspaces. The namespace it is in is its home: members,
// workspaces and assignments belong to it by being there. One per namespace; the oldest wins.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=org,categories=orgkeeper
// +kubebuilder:printcolumn:name="Owner",type=string,JSONPath=`.spec.owner`
// +kubebuilder:printcolumn:name="Members",type=integer,JSONPath=`.status.members.total`
// +kubebuilder:printcolumn:name="Pending",type=integer,JSONPath=`.status.members.pending`
// +kubebuilder:printcolumn:name="Seats",type=integer,JSONPath=`.status.seats.taken`,priority=1
// +kubebuilder:printcolumn:name="Workspaces",type=integer,JSONPath=`.status.workspaces`,priority=1
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`,priority=1
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type Organization struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is the standard metadata of Kubernetes objects.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty,omitzero"`

	// spec is what the organization is to be.
	// +required
	Spec OrganizationSpec `json:"spec,omitzero"`

	// status is what is true of it. Only the operator writes it.
	// +optional
	// +default={"observedGeneration":-1}
	Status OrganizationStatus `json:"status,omitempty,omitzero"`
}

// OrganizationList is a list of Organizations.
//
// +kubebuilder:object:root=true
type OrganizationList struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the standard metadata of lists.
	metav1.ListMeta `json:"metadata,omitempty"`
	// items are the Organizations.
	Items []Organization `json:"items"`
}
