package v1alpha1

// Conditions that every kind has. They follow kstatus: Ready is always there; Reconciling and Stalled are there, with
// status True, only while they apply.
const (
	// ConditionReady says whether the operator did all it can for the object as it is declared. It never waits for a
	// person: a member whose invitation was handed to the mail server is Ready while Pending.
	ConditionReady = "Ready"
	// ConditionReconciling says that work is under way and will go on by itself.
	ConditionReconciling = "Reconciling"
	// ConditionStalled says that only an edit of the object, or of the object it collides with, can help.
	ConditionStalled = "Stalled"
)

// Conditions of an Organization.
const (
	// ConditionAdminRedundancy is False while there are less than two usable admins (see status.admins): should that person be
	// away, nobody might be there to act. Who is leaving is not counted on, though they are an admin until then.
	ConditionAdminRedundancy = "AdminRedundancy"
	// ConditionPolicyEnforced says whether the admission policies that uphold the role rules are installed as shipped. While
	// it is False nothing new is granted: no role, no access and no ownership. What people have stays, and what ends, ends.
	// All that was declared meanwhile comes into force when it is True again, so look through it before.
	ConditionPolicyEnforced = "PolicyEnforced"
	// ConditionSeatsAvailable is False while all seats of spec.subscription.seats are taken, or more. It is absent where the
	// seats have no limit.
	ConditionSeatsAvailable = "SeatsAvailable"
	// ConditionSubscriptionActive is False once a cancelled subscription has run out: nobody has access to workspaces. It is
	// absent where spec.subscription is.
	ConditionSubscriptionActive = "SubscriptionActive"
)

// Conditions of an OrgMember.
const (
	// ConditionInvitationSent says whether the mail of the present invitation was handed over to the mail server.
	// It is absent where no mail is due: for robots, members activated without asking or suspended before it was sent, and
	// after an answer that came before the mail was known to be sent.
	ConditionInvitationSent = "InvitationSent"
	// ConditionAccepted says what the person did with the invitation: True after accepting, False after declining or
	// expiry, Unknown while undecided, and with the reason why somebody waits who is to be activated without asking.
	ConditionAccepted = "Accepted"
	// ConditionDormant says that the member was not active for the organization's spec.members.dormantAfter.
	ConditionDormant = "Dormant"
	// ConditionOwnerProtected is True while the owner's membership ought to end or shrink (deleted, demoted, suspended,
	// expired) and does not, because an organization is never without its owner. Transfer the ownership first.
	ConditionOwnerProtected = "OwnerProtected"
)

// Reasons that every kind uses.
const (
	// ReasonReady: everything declared is in place.
	ReasonReady = "Ready"
	// ReasonProgressing: the operator is at work and comes back by itself.
	ReasonProgressing = "Progressing"
	// ReasonAccessIncomplete: some RoleBindings could not be written; what could be was, removals first. It is tried again.
	ReasonAccessIncomplete = "AccessIncomplete"
	// ReasonDeleting: the object is being deleted and waits until what it gave has ended.
	ReasonDeleting = "Deleting"
	// ReasonOrganizationNotFound: the namespace has no Organization (yet). Nothing is granted; it heals when one arrives.
	ReasonOrganizationNotFound = "OrganizationNotFound"
	// ReasonPolicyNotEnforced: something declared is withheld until the admission policies are as shipped; the condition
	// PolicyEnforced of the Organization says what is wrong with them. It is granted by itself then. An OrgMember that is
	// Active meanwhile may lack the access of the role that it shows.
	ReasonPolicyNotEnforced = "PolicyNotEnforced"
	// ReasonOrganizationDeleting: the Organization, or its home namespace, is being deleted; access has ended.
	ReasonOrganizationDeleting = "OrganizationDeleting"
)

// Reasons of an Organization.
const (
	// ReasonOwnerNotFound: the OrgMember named by spec.owner does not exist (yet).
	ReasonOwnerNotFound = "OwnerNotFound"
	// ReasonOwnerNotActive: the owner exists and has not accepted yet, so nobody acts as the owner.
	ReasonOwnerNotActive = "OwnerNotActive"
	// ReasonOwnerNotUsable: spec.owner names somebody who cannot be owner (a robot, a duplicate, somebody leaving or
	// with spec.expiresAt, not active or not an admin); the owner before stays in force.
	ReasonOwnerNotUsable = "OwnerNotUsable"
	// ReasonDuplicateOrganization: the namespace has an older Organization, which wins.
	ReasonDuplicateOrganization = "DuplicateOrganization"
	// ReasonPoliciesInstalled: all admission policies and their bindings are installed as shipped.
	ReasonPoliciesInstalled = "PoliciesInstalled"
	// ReasonPolicyMissing: an admission policy or binding is not installed, or is being deleted.
	ReasonPolicyMissing = "PolicyMissing"
	// ReasonPolicyAltered: an admission policy or binding says something else than the one that is shipped.
	ReasonPolicyAltered = "PolicyAltered"
	// ReasonSeveralAdmins: two or more usable admins.
	ReasonSeveralAdmins = "SeveralAdmins"
	// ReasonOneAdmin: one usable admin only.
	ReasonOneAdmin = "OneAdmin"
	// ReasonNoAdmin: no usable admin.
	ReasonNoAdmin = "NoAdmin"
	// ReasonSeatsFree: some seats are free.
	ReasonSeatsFree = "SeatsFree"
	// ReasonSeatsTaken: as many people have a seat as there are seats.
	ReasonSeatsTaken = "SeatsTaken"
	// ReasonSeatsExceeded: more people have a seat than there are, since seats were taken back. They keep it; nobody comes in
	// before there are fewer.
	ReasonSeatsExceeded = "SeatsExceeded"
	// ReasonSubscribed: the subscription is not cancelled.
	ReasonSubscribed = "Subscribed"
	// ReasonSubscriptionCancelled: the subscription is cancelled. Nobody new is invited; who was invited may still accept, and
	// everybody works until spec.subscription.paidThrough. Also of an OrgMember who waits for it to be resumed.
	ReasonSubscriptionCancelled = "SubscriptionCancelled"
	// ReasonSubscriptionEnded: the subscription is cancelled, and spec.subscription.paidThrough has passed. Nobody has access to
	// workspaces, until it is resumed. Also of a Workspace, and of a WorkspaceAssignment and its parts.
	ReasonSubscriptionEnded = "SubscriptionEnded"
	// ReasonSubscriptionMailSent: the mail server took a mail to the billing contact. Of Events alone, as are the next three;
	// status.subscriptionMails has the rest.
	ReasonSubscriptionMailSent = "SubscriptionMailSent"
	// ReasonSubscriptionMailDeferred: the mail server refused that mail for now; the operator tries again by itself.
	ReasonSubscriptionMailDeferred = "SubscriptionMailDeferred"
	// ReasonSubscriptionMailRejected: the mail server refused that mail for good; no further try is made.
	ReasonSubscriptionMailRejected = "SubscriptionMailRejected"
	// ReasonSubscriptionMailDropped: the mail server refused that mail for now for five days; no further try is made.
	ReasonSubscriptionMailDropped = "SubscriptionMailDropped"
)

// Reasons of an OrgMember.
const (
	// ReasonActive: the member has joined and has the access of their role and assignments.
	ReasonActive = "Active"
	// ReasonRobot: a service account, active without being asked.
	ReasonRobot = "Robot"
	// ReasonActivatedWithoutAsking: spec.invitation.mode None made the member active without a mail.
	ReasonActivatedWithoutAsking = "ActivatedWithoutAsking"
	// ReasonAwaitingAcceptance: invited, undecided.
	ReasonAwaitingAcceptance = "AwaitingAcceptance"
	// ReasonAccepted: the person accepted.
	ReasonAccepted = "Accepted"
	// ReasonDeclined: the person declined. A resend asks again.
	ReasonDeclined = "Declined"
	// ReasonInvitationExpired: nobody answered in time. A resend asks again.
	ReasonInvitationExpired = "InvitationExpired"
	// ReasonMembershipExpired: spec.expiresAt has passed.
	ReasonMembershipExpired = "MembershipExpired"
	// ReasonSuspended: spec.suspended is set.
	ReasonSuspended = "Suspended"
	// ReasonDemoted: spec.role of the owner is not Admin.
	ReasonDemoted = "Demoted"
	// ReasonDuplicateEmail: an older member of the organization has the same email, whatever its case.
	ReasonDuplicateEmail = "DuplicateEmail"
	// ReasonDuplicateUsername: an older member of the organization has the same username.
	ReasonDuplicateUsername = "DuplicateUsername"
	// ReasonDomainNotAllowed: the organization's spec.invitations.allowedDomains does not have the mail domain of a member who
	// has not joined yet, or that domain is none that DNS can know. No mail, no access, however the member is brought in; it
	// heals when the list changes. Who joined before stays.
	ReasonDomainNotAllowed = "DomainNotAllowed"
	// ReasonRobotNotAllowed: the service account is neither of the home namespace nor of one of the workspaces.
	ReasonRobotNotAllowed = "RobotNotAllowed"
	// ReasonNoSeat: all seats of the organization are taken. Whoever is added waits Pending, without an invitation; whoever is to
	// come back, or to be asked again, stays as they are. They come in by themselves when seats return, the oldest OrgMember first.
	ReasonNoSeat = "NoSeat"
	// ReasonOwnerProtected: see ConditionOwnerProtected.
	ReasonOwnerProtected = "OwnerProtected"
	// ReasonInvitationQueued: the mail was not tried yet.
	ReasonInvitationQueued = "InvitationQueued"
	// ReasonInvitationSent: the mail server took the mail.
	ReasonInvitationSent = "InvitationSent"
	// ReasonInvitationDeferred: the mail server refused for now; the operator tries again by itself.
	ReasonInvitationDeferred = "InvitationDeferred"
	// ReasonInvitationLimited: the organization has sent as many mails as it may in a day. The mail goes out by itself, in order
	// of creation, when status.invitation.nextAttemptAt says; the link of an earlier invitation is good until then.
	ReasonInvitationLimited = "InvitationLimited"
	// ReasonInvitationResent: a new invitation takes the place of an earlier one, whose link is void; it is about to be sent. Of
	// Events alone.
	ReasonInvitationResent = "InvitationResent"
	// ReasonInvitationRejected: the mail server refused for good; mend the address or ask for a resend.
	ReasonInvitationRejected = "InvitationRejected"
	// ReasonMailerUnavailable: no mail server can be used. This is the platform's trouble, not the member's. All that waits goes
	// out as soon as one can; until then a single mail is tried now and then. Also of Events about the operator's Lease.
	ReasonMailerUnavailable = "MailerUnavailable"
	// ReasonMailerReady: the mail server can be used again. Of Events about the operator's Lease alone.
	ReasonMailerReady = "MailerReady"
	// ReasonReminderSent: the mail server took the reminder of an invitation. Of Events alone, as are the next two;
	// status.invitation has the rest, and the condition InvitationSent stays True.
	ReasonReminderSent = "ReminderSent"
	// ReasonReminderDeferred: the mail server refused the reminder for now; the operator tries again by itself.
	ReasonReminderDeferred = "ReminderDeferred"
	// ReasonReminderRejected: the mail server refused the reminder for good; no further try is made.
	ReasonReminderRejected = "ReminderRejected"
	// ReasonOwnershipMailSent: the mail server took the mail that tells a member of a move of the ownership. Of Events alone,
	// as are the next two; status.ownershipNotice has the rest.
	ReasonOwnershipMailSent = "OwnershipMailSent"
	// ReasonOwnershipMailDeferred: the mail server refused that mail for now; the operator tries again by itself.
	ReasonOwnershipMailDeferred = "OwnershipMailDeferred"
	// ReasonOwnershipMailRejected: the mail server refused that mail for good; no further try is made.
	ReasonOwnershipMailRejected = "OwnershipMailRejected"
	// ReasonMembershipMailSent: the mail server took the mail that tells a person of another role, or of the end of their
	// membership. Of Events alone, as are the next three; about the OrgMember, or about the Organization where the OrgMember was
	// deleted. status.membershipNotice of the one and status.farewells of the other have the rest.
	ReasonMembershipMailSent = "MembershipMailSent"
	// ReasonMembershipMailDeferred: the mail server refused that mail for now; the operator tries again by itself.
	ReasonMembershipMailDeferred = "MembershipMailDeferred"
	// ReasonMembershipMailRejected: the mail server refused that mail for good; no further try is made.
	ReasonMembershipMailRejected = "MembershipMailRejected"
	// ReasonMembershipMailDropped: too many such mails waited for the mail server; the oldest are not sent.
	ReasonMembershipMailDropped = "MembershipMailDropped"
	// ReasonInactive: not active for spec.members.dormantAfter of the organization. The next use heals it.
	ReasonInactive = "Inactive"
	// ReasonActiveLately: active, or joined, less than that ago.
	ReasonActiveLately = "ActiveLately"
	// ReasonActivityNotWatched: the operator takes no audit events, so nobody knows when the member was active.
	ReasonActivityNotWatched = "ActivityNotWatched"
)

// Reasons of a Workspace.
const (
	// ReasonNamespaceConflict: the namespace exists already, is somebody else's and did not consent to be used.
	ReasonNamespaceConflict = "NamespaceConflict"
	// ReasonNamespaceInvalid: the namespace's name is too long, the organization's home, or starts with kube-.
	ReasonNamespaceInvalid = "NamespaceInvalid"
	// ReasonNamespaceNotFound: the namespace does not exist, and is not called <home>-- and a name without --, so that only
	// a platform admin may create it.
	ReasonNamespaceNotFound = "NamespaceNotFound"
	// ReasonNamespaceTerminating: the namespace is being deleted by somebody else; it is looked at again once gone.
	ReasonNamespaceTerminating = "NamespaceTerminating"
	// ReasonNamespaceAdopted: the namespace existed already and consented.
	ReasonNamespaceAdopted = "NamespaceAdopted"
	// ReasonUnassigned: objects in the workspace lost their assignee (LabelAssignee), who left. Of Events alone, as are the next
	// two.
	ReasonUnassigned = "Unassigned"
	// ReasonUnassignForbidden: the platform named kinds by --assignable that the operator may not list and patch in the
	// workspace. Their objects keep their assignees.
	ReasonUnassignForbidden = "UnassignForbidden"
	// ReasonUnassignFailed: objects keep an assignee who left, since their kind could not be listed or patched for an hour, or for a
	// day in which other objects could.
	ReasonUnassignFailed = "UnassignFailed"
)

// Reasons of a WorkspaceAssignment and of its parts in status.workspaces.
const (
	// ReasonGranted: the access is in place.
	ReasonGranted = "Granted"
	// ReasonMemberNotFound: the OrgMember named by spec.member does not exist (yet).
	ReasonMemberNotFound = "MemberNotFound"
	// ReasonMemberNotActive: the member is suspended, expired, declined, a duplicate, a robot of elsewhere, or leaving.
	ReasonMemberNotActive = "MemberNotActive"
	// ReasonWorkspaceNotFound: a Workspace named by spec.workspaces does not exist (yet).
	ReasonWorkspaceNotFound = "WorkspaceNotFound"
	// ReasonWorkspaceNotReady: the Workspace has no namespace to work in (yet).
	ReasonWorkspaceNotReady = "WorkspaceNotReady"
	// ReasonAssignmentExpired: spec.expiresAt has passed.
	ReasonAssignmentExpired = "AssignmentExpired"
)
