package rules

import (
	"fmt"

	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
)

// memberVerdict is what Ready says of a member: first what stands against any membership, then the state.
func memberVerdict(h Home, f MemberFacts, b bearing, s Standing) Verdict {
	m := f.Member
	switch {
	case b.handsOver:
		return reconciling(v1alpha1.ReasonDeleting, fmt.Sprintf("ownership passes from %s to %s; then the member goes", m.Name, h.Owner))
	case s.Protected != "" && s.Protected != v1alpha1.ReasonDemoted:
		return stalled(v1alpha1.ReasonOwnerProtected,
			fmt.Sprintf("%s owns %s; transfer ownership first", m.Name, h.Organization.Name))
	case b.leaving:
		return reconciling(v1alpha1.ReasonDeleting, "the access of "+m.Name+" ends; then the member goes")
	case !h.Live():
		return h.verdict()
	case b.duplicate:
		return duplicateVerdict(f)
	case !b.allowed:
		namespace, _ := Robot(m)
		return waiting(v1alpha1.ReasonRobotNotAllowed,
			fmt.Sprintf("%s is a service account of namespace %s, which is neither %s nor a workspace's; use a service account of one of these", m.Name, namespace, h.Namespace))
	case b.domain != "":
		return domainVerdict(h, m, b.domain)
	case b.awaits != "":
		return awaitsVerdict(h, m, b.awaits)
	}
	return stateVerdict(h, s, m)
}

func duplicateVerdict(f MemberFacts) Verdict {
	if f.SameEmail != "" {
		return stalled(v1alpha1.ReasonDuplicateEmail,
			fmt.Sprintf("%s has the same email as the older member %s; delete one of the two", f.Member.Name, f.SameEmail))
	}
	return stalled(v1alpha1.ReasonDuplicateUsername,
		fmt.Sprintf("%s has the same username as the older member %s; delete one of the two", f.Member.Name, f.SameUsername))
}

func stateVerdict(h Home, s Standing, m *v1alpha1.OrgMember) Verdict {
	switch s.State {
	case v1alpha1.StateActive:
		return ready(v1alpha1.ReasonActive, m.Name+" is active")
	case v1alpha1.StateSuspended:
		return ready(v1alpha1.ReasonSuspended, m.Name+" is suspended; unset spec.suspended to give the access back")
	case v1alpha1.StateDeclined:
		return ready(v1alpha1.ReasonDeclined, m.Name+" declined; annotate "+v1alpha1.AnnotationResend+" to ask again")
	case v1alpha1.StateExpired:
		// A new invitation helps only while the membership lasts.
		if membershipEnded(m, h.Now) {
			return ready(v1alpha1.ReasonMembershipExpired, "the membership of "+m.Name+" has ended; move spec.expiresAt to renew it")
		}
		return ready(v1alpha1.ReasonInvitationExpired, m.Name+" did not answer in time; annotate "+v1alpha1.AnnotationResend+" to ask again")
	case v1alpha1.StatePending:
		return invitationVerdict(h, m)
	}
	return waiting(v1alpha1.ReasonProgressing, "")
}

// invitationVerdict is what Ready says of a member who is to be asked: the operator's part is the mail.
func invitationVerdict(h Home, m *v1alpha1.OrgMember) Verdict {
	i := m.Status.Invitation
	switch {
	case unavailable(m):
		return reconciling(v1alpha1.ReasonMailerUnavailable, "the invitation of "+m.Name+" goes out when the mail server can be used again; that is the platform's to mend")
	case i == nil:
		return reconciling(v1alpha1.ReasonInvitationQueued, "the invitation of "+m.Name+" is about to be sent")
	case i.SentAt != nil:
		return ready(v1alpha1.ReasonAwaitingAcceptance, m.Name+" was invited and has not answered yet")
	case i.RejectedAt != nil:
		return stalled(v1alpha1.ReasonInvitationRejected, "the invitation of "+m.Name+" cannot be delivered: "+i.LastError+"; "+afterRejection(h, m))
	case i.Attempts == 0:
		return reconciling(v1alpha1.ReasonInvitationLimited, "the invitation of "+m.Name+" waits: the organization has sent as many mails as it may in a day")
	case i.LastError != "":
		return reconciling(v1alpha1.ReasonInvitationDeferred, "the invitation of "+m.Name+" could not be sent yet: "+i.LastError)
	}
	return reconciling(v1alpha1.ReasonInvitationQueued, "the invitation of "+m.Name+" is about to be sent")
}

// afterRejection is what helps somebody whose invitation was refused for good.
func afterRejection(h Home, m *v1alpha1.OrgMember) string {
	again := "annotate " + v1alpha1.AnnotationResend + " to try again"
	switch resume := "resume the subscription (spec.subscription.cancelled of the Organization)"; {
	case h.invites(m):
		return "add a new OrgMember with another email, or " + again
	case resendDue(m):
		return resume + "; then it is tried again"
	default:
		return resume + ", then " + again
	}
}

// unavailable says that an invitation waits for the end of an outage, as its sender noted.
func unavailable(m *v1alpha1.OrgMember) bool {
	c := meta.FindStatusCondition(m.Status.Conditions, v1alpha1.ConditionInvitationSent)
	return c != nil && c.Reason == v1alpha1.ReasonMailerUnavailable
}
