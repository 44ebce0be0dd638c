package rules

import (
	"fmt"
	"strings"
	"time"

	"golang.org/x/text/cases"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
)

// MemberFacts is one OrgMember and what must be known of others to judge it.
type MemberFacts struct {
	// Member is the OrgMember.
	Member *v1alpha1.OrgMember
	// SameEmail names the older OrgMember of the organization with the same email; empty when there is none.
	SameEmail string
	// SameUsername names the older OrgMember of the organization with the same username; empty when there is none.
	SameUsername string
	// RobotAllowed: the member's service account is of the home namespace or of a workspace's namespace.
	RobotAllowed bool
}

// Standing is where a membership stands.
type Standing struct {
	// Name is the OrgMember's name.
	Name string
	// Username is the Kubernetes user that access is given to.
	Username string
	// State and Role are what the status says: the role in force is the owner's Admin or spec.role.
	State v1alpha1.MemberState
	Role  v1alpha1.Role
	// Active: has access now. Narrower than State Active only while the object or the organization goes.
	Active bool
	// Owner: owns the organization now.
	Owner bool
	// Usable: a usable admin, that is a person with role Admin, Active, not leaving.
	Usable bool
	// Protected is the reason why the owner's membership would have ended or shrunk, were it not the owner's; else empty.
	// The object stays as long as there is one: for an owner before, until it is recorded who follows.
	Protected string
	// Accepted is the status and reason of the condition Accepted.
	Accepted       metav1.ConditionStatus
	AcceptedReason string
	// Verdict is what Ready is to say.
	Verdict Verdict
	// Wake is when time alone changes this standing; zero for never.
	Wake time.Time
}

// Username is the Kubernetes user of a member: as declared, or the prefix and the email.
func Username(m *v1alpha1.OrgMember, prefix string) string {
	if m.Spec.Username != "" {
		return m.Spec.Username
	}
	return prefix + string(m.Spec.Email)
}

// EmailKey is the form in which two emails are compared: without regard to case, in any script. Empty for none.
func EmailKey(email v1alpha1.EmailAddress) string { return foldCase.String(string(email)) }

// foldCase knows more than lower case does: that K (the Kelvin sign) is a k and the two small sigmas are one, and that
// the Turkish dotted I is not a plain one.
var foldCase = cases.Fold()

const serviceAccountPrefix = "system:serviceaccount:"

// Robot says whether the member is a service account, and of which namespace: empty when the username does not tell.
func Robot(m *v1alpha1.OrgMember) (namespace string, robot bool) {
	account, robot := strings.CutPrefix(m.Spec.Username, serviceAccountPrefix)
	if !robot {
		return "", false
	}
	namespace, name, _ := strings.Cut(account, ":")
	if name == "" {
		return "", true
	}
	return namespace, true
}

// Owner names the OrgMember who owns the organization now; empty when nobody does. want is the one that spec.owner
// names, have the one that status.owner names; nil when they do not exist.
//
// Ownership moves only to a usable admin. As long as want is not one, have keeps it, whatever happens to their object,
// if they ever were active. Where nobody was yet, want begins as the owner, or is the owner to be until they join.
func Owner(h Home, want, have *MemberFacts) string {
	h.Owner = "" // nobody is protected while the question is who is
	want, have = person(want), person(have)
	switch {
	case have != nil && wasActive(h, *have):
		// Recorded as active, so that from the first moment they are protected as the one before was.
		if want != nil && want.Member.Status.AcceptedAt != nil && Judge(h, *want).Usable {
			return want.Member.Name
		}
		return have.Member.Name
	case want != nil && mayBegin(h, *want):
		return want.Member.Name
	}
	return ""
}

// person is f unless it is nobody or a robot.
func person(f *MemberFacts) *MemberFacts {
	if f == nil {
		return nil
	}
	if _, robot := Robot(f.Member); robot {
		return nil
	}
	return f
}

// wasActive says that the member is or once was active. The record of it is a moment younger than the fact.
func wasActive(h Home, f MemberFacts) bool {
	return f.Member.Status.AcceptedAt != nil || Judge(h, f).Active
}

// mayBegin says that a person may be the first owner: one who is active, or who can still join. Their role is no matter,
// since the owner is an admin.
func mayBegin(h Home, f MemberFacts) bool {
	canJoin := !joined(f.Member) && !f.duplicate() && f.Member.DeletionTimestamp == nil
	return canJoin || Judge(h, f).Active
}

// duplicate says that an older member has the same email or username.
func (f MemberFacts) duplicate() bool { return f.SameEmail != "" || f.SameUsername != "" }

// joined says whether the person accepted, or was activated without asking.
func joined(m *v1alpha1.OrgMember) bool {
	return m.Status.AcceptedAt != nil || activatedWithoutAsking(m)
}

func activatedWithoutAsking(m *v1alpha1.OrgMember) bool {
	return m.Spec.Invitation != nil && m.Spec.Invitation.Mode == v1alpha1.InvitationModeNone
}

// membershipEnded says that spec.expiresAt has come.
func membershipEnded(m *v1alpha1.OrgMember, now time.Time) bool {
	return m.Spec.ExpiresAt != nil && reached(m.Spec.ExpiresAt.Time, now)
}

// Judge says where a membership stands.
func Judge(h Home, f MemberFacts) Standing {
	m := f.Member
	namespace, robot := Robot(m)
	s := Standing{
		Name:     m.Name,
		Username: Username(m, h.UsernamePrefix),
		Role:     m.Spec.Role,
		Owner:    h.Owner == m.Name,
	}
	leaving := m.DeletionTimestamp != nil
	// Who was never active has nothing to keep.
	protected := s.Owner && h.Live() && !robot && m.Status.AcceptedAt != nil
	if s.Owner {
		s.Role = v1alpha1.RoleAdmin
	}
	duplicate := !protected && f.duplicate()
	allowed := !robot || f.RobotAllowed

	s.State, s.Accepted, s.AcceptedReason, s.Wake = stateOf(m, h.Now, robot && allowed)
	if protected {
		s.Protected = protection(m, s.State)
		s.State, s.Accepted, s.AcceptedReason = v1alpha1.StateActive, metav1.ConditionTrue, acceptedReason(m)
	}
	handsOver := leaving && !robot && m.Status.AcceptedAt != nil && h.handsOver(m.Name)
	if handsOver {
		s.Protected = v1alpha1.ReasonDeleting
	}
	if s.State == v1alpha1.StateActive && (duplicate || !allowed) {
		s.State = v1alpha1.StatePending
	}
	s.Active = s.State == v1alpha1.StateActive && h.Live() && (!leaving || protected)
	s.Usable = s.Active && s.Role == v1alpha1.RoleAdmin && !robot && !leaving

	switch {
	case handsOver:
		s.Verdict = reconciling(v1alpha1.ReasonDeleting, fmt.Sprintf("ownership passes from %s to %s; then the member goes", m.Name, h.Owner))
	case s.Protected != "" && s.Protected != v1alpha1.ReasonDemoted:
		s.Verdict = stalled(v1alpha1.ReasonOwnerProtected,
			fmt.Sprintf("%s owns %s; transfer ownership first", m.Name, h.Organization.Name))
	case leaving:
		s.Verdict = reconciling(v1alpha1.ReasonDeleting, "the access of "+m.Name+" ends; then the member goes")
	case !h.Live():
		s.Verdict = h.verdict()
	case duplicate:
		s.Verdict = duplicateVerdict(f)
	case !allowed:
		s.Verdict = waiting(v1alpha1.ReasonRobotNotAllowed,
			fmt.Sprintf("%s is a service account of namespace %s, which is neither %s nor a workspace's; use a service account of one of these", m.Name, namespace, h.Namespace))
	default:
		s.Verdict = stateVerdict(s, m, h.Now)
	}
	return s
}

// stateOf is the state of a membership as far as its own object tells, with the moment at which time changes it.
func stateOf(m *v1alpha1.OrgMember, now time.Time, robot bool) (v1alpha1.MemberState, metav1.ConditionStatus, string, time.Time) {
	accepted, acceptedReason := acceptance(m, now, robot)
	var wake time.Time
	if m.Spec.ExpiresAt != nil && !membershipEnded(m, now) {
		wake = m.Spec.ExpiresAt.Time
	}
	switch {
	case m.Spec.Suspended:
		return v1alpha1.StateSuspended, accepted, acceptedReason, wake
	case membershipEnded(m, now):
		return v1alpha1.StateExpired, accepted, acceptedReason, wake
	case accepted == metav1.ConditionTrue:
		return v1alpha1.StateActive, accepted, acceptedReason, wake
	case acceptedReason == v1alpha1.ReasonDeclined:
		return v1alpha1.StateDeclined, accepted, acceptedReason, wake
	case acceptedReason == v1alpha1.ReasonInvitationExpired:
		return v1alpha1.StateExpired, accepted, acceptedReason, wake
	}
	if i := m.Status.Invitation; i != nil && i.SentAt != nil {
		wake = Earliest(wake, i.ExpiresAt.Time)
	}
	return v1alpha1.StatePending, accepted, acceptedReason, wake
}

// acceptance is what the person did with the invitation.
func acceptance(m *v1alpha1.OrgMember, now time.Time, robot bool) (metav1.ConditionStatus, string) {
	i := m.Status.Invitation
	switch {
	case robot:
		return metav1.ConditionTrue, v1alpha1.ReasonRobot
	case joined(m):
		return metav1.ConditionTrue, acceptedReason(m)
	case m.Status.DeclinedAt != nil:
		return metav1.ConditionFalse, v1alpha1.ReasonDeclined
	// An invitation that never left does not expire: it is made anew.
	case i != nil && i.SentAt != nil && reached(i.ExpiresAt.Time, now):
		return metav1.ConditionFalse, v1alpha1.ReasonInvitationExpired
	}
	return metav1.ConditionUnknown, v1alpha1.ReasonAwaitingAcceptance
}

// acceptedReason says how a member joined. Nobody accepts who was not invited, whatever the mode says by now.
func acceptedReason(m *v1alpha1.OrgMember) string {
	if activatedWithoutAsking(m) || m.Status.Invitation == nil {
		return v1alpha1.ReasonActivatedWithoutAsking
	}
	return v1alpha1.ReasonAccepted
}

// protection is what would have happened to the owner's membership; empty when nothing.
func protection(m *v1alpha1.OrgMember, state v1alpha1.MemberState) string {
	switch {
	case m.DeletionTimestamp != nil:
		return v1alpha1.ReasonDeleting
	case state == v1alpha1.StateSuspended:
		return v1alpha1.ReasonSuspended
	case state == v1alpha1.StateExpired:
		return v1alpha1.ReasonMembershipExpired
	case m.Spec.Role != v1alpha1.RoleAdmin:
		return v1alpha1.ReasonDemoted
	}
	return ""
}

func duplicateVerdict(f MemberFacts) Verdict {
	if f.SameEmail != "" {
		return stalled(v1alpha1.ReasonDuplicateEmail,
			fmt.Sprintf("%s has the same email as the older member %s; delete one of the two", f.Member.Name, f.SameEmail))
	}
	return stalled(v1alpha1.ReasonDuplicateUsername,
		fmt.Sprintf("%s has the same username as the older member %s; delete one of the two", f.Member.Name, f.SameUsername))
}

func stateVerdict(s Standing, m *v1alpha1.OrgMember, now time.Time) Verdict {
	switch s.State {
	case v1alpha1.StateActive:
		return ready(v1alpha1.ReasonActive, m.Name+" is active")
	case v1alpha1.StateSuspended:
		return ready(v1alpha1.ReasonSuspended, m.Name+" is suspended; unset spec.suspended to give the access back")
	case v1alpha1.StateDeclined:
		return ready(v1alpha1.ReasonDeclined, m.Name+" declined; annotate "+v1alpha1.AnnotationResend+" to ask again")
	case v1alpha1.StateExpired:
		// A new invitation helps only while the membership lasts.
		if membershipEnded(m, now) {
			return ready(v1alpha1.ReasonMembershipExpired, "the membership of "+m.Name+" has ended; move spec.expiresAt to renew it")
		}
		return ready(v1alpha1.ReasonInvitationExpired, m.Name+" did not answer in time; annotate "+v1alpha1.AnnotationResend+" to ask again")
	case v1alpha1.StatePending:
		return invitationVerdict(m)
	}
	return waiting(v1alpha1.ReasonProgressing, "")
}

// invitationVerdict is what Ready says of a member who is to be asked: the operator's part is the mail.
func invitationVerdict(m *v1alpha1.OrgMember) Verdict {
	i := m.Status.Invitation
	switch {
	case i == nil:
		return reconciling(v1alpha1.ReasonInvitationQueued, "the invitation of "+m.Name+" is about to be sent")
	case i.SentAt != nil:
		return ready(v1alpha1.ReasonAwaitingAcceptance, m.Name+" was invited and has not answered yet")
	case i.RejectedAt != nil:
		return stalled(v1alpha1.ReasonInvitationRejected,
			"the mail server refused the invitation of "+m.Name+" for good: "+i.LastError+"; add a new OrgMember with another email, or annotate "+v1alpha1.AnnotationResend+" to try again")
	case i.LastError != "":
		return reconciling(v1alpha1.ReasonInvitationDeferred, "the invitation of "+m.Name+" could not be sent yet: "+i.LastError)
	}
	return reconciling(v1alpha1.ReasonInvitationQueued, "the invitation of "+m.Name+" is about to be sent")
}
