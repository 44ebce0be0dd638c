package rules

import (
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"k8s.io/apimachinery/pkg/api/meta"
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
	// Active: has access now. Narrower than State Active only while the object or the organization goes, and while Takes.
	Active bool
	// Leaving is since when the OrgMember is being deleted; nil while it stays.
	Leaving *metav1.Time
	// Takes: State rests on a seat that is offered, and it is not on record yet that they took it. Access follows the record.
	Takes bool
	// Owner: owns the organization now.
	Owner bool
	// Usable: a usable admin, that is a person with role Admin, Active, not leaving. Whose membership has an end is leaving;
	// but the owner in force is protected, and their membership does not end. Access does not ask for it: who leaves works
	// as an admin until then.
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
func EmailKey(email v1alpha1.EmailAddress) string {
	for i := range len(email) {
		if email[i] >= utf8.RuneSelf {
			return foldCase.String(string(email))
		}
	}
	return strings.ToLower(string(email)) // in ASCII they are the same, and this is free where there is nothing to do
}

// foldCase knows more than lower case does: that K (the Kelvin sign) is a k and the two small sigmas are one, and that
// the Turkish dotted I is not a plain one.
var foldCase = cases.Fold()

// ServiceAccountPrefix begins the usernames of service accounts: system:serviceaccount:<namespace>:<name>.
const ServiceAccountPrefix = "system:serviceaccount:"

// ServiceAccount takes the username of a service account apart; false for any other username.
func ServiceAccount(username string) (namespace, name string, ok bool) {
	account, ok := strings.CutPrefix(username, ServiceAccountPrefix)
	if !ok {
		return "", "", false
	}
	namespace, name, _ = strings.Cut(account, ":")
	return namespace, name, namespace != "" && name != ""
}

// Robot says whether the member is a service account, and of which namespace: empty when the username does not tell.
func Robot(m *v1alpha1.OrgMember) (namespace string, robot bool) {
	namespace, _, ok := ServiceAccount(m.Spec.Username)
	if !ok {
		return "", strings.HasPrefix(m.Spec.Username, ServiceAccountPrefix)
	}
	return namespace, true
}

// duplicate says that an older member has the same email or username.
func (f MemberFacts) duplicate() bool { return f.SameEmail != "" || f.SameUsername != "" }

// Joined says whether the person accepted, or was activated without asking.
func Joined(m *v1alpha1.OrgMember) bool {
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
	b := bearingOf(h, f)
	s := Standing{
		Name:     m.Name,
		Username: Username(m, h.UsernamePrefix),
		Role:     m.Spec.Role,
		Owner:    h.Owner == m.Name,
		Leaving:  m.DeletionTimestamp,
	}
	if s.Owner {
		s.Role = v1alpha1.RoleAdmin
	}
	s.State, s.Accepted, s.AcceptedReason, s.Wake = stateOf(m, h.Now, b.robot && b.allowed)
	b.postpone(m, &s)
	switch {
	case b.protected:
		s.Protected = protection(m, s.State)
		s.State, s.Accepted, s.AcceptedReason = v1alpha1.StateActive, metav1.ConditionTrue, acceptedReason(m)
	case b.handsOver:
		s.Protected = v1alpha1.ReasonDeleting
	}
	s.State = b.kept(s.State, m.Status.State)
	s.Takes = TakesSeat(h, m)
	s.Active = s.State == v1alpha1.StateActive && h.Live() && b.stays() && !s.Takes
	s.Usable = s.Active && s.Role == v1alpha1.RoleAdmin && b.reliable()
	s.Verdict = memberVerdict(h, f, b, s)
	return s
}

// postpone takes back that somebody was activated without asking while the subscription does not let them in.
func (b bearing) postpone(m *v1alpha1.OrgMember, s *Standing) {
	if b.awaits != "" && m.Status.AcceptedAt == nil && s.AcceptedReason == v1alpha1.ReasonActivatedWithoutAsking {
		s.Accepted, s.AcceptedReason = metav1.ConditionUnknown, b.awaits
	}
}

// bearing is what decides about a membership beside its state.
type bearing struct {
	robot bool
	// allowed: not a robot of a foreign namespace.
	allowed bool
	// leaving: the object is being deleted.
	leaving bool
	// ending: spec.expiresAt says when the membership ends, and nothing keeps it from ending.
	ending bool
	// held: our finalizer is on the object. Without it the member could go in a moment and leave access behind, so none is
	// given before.
	held bool
	// protected: the owner, who keeps role and access whatever happens to the object. Who was never active has nothing
	// to keep.
	protected bool
	// handsOver: an owner before, who goes as soon as it is recorded who follows.
	handsOver bool
	// duplicate: an older member has the same email or username.
	duplicate bool
	// domain is what is wrong with the mail domain of a new member; else empty.
	domain string
	// early: a person who is to be activated without asking, and no Organization is there that could let them in.
	early bool
	// awaits is the reason why somebody waits for the subscription to let them in; else empty.
	awaits string
}

// stays says that the membership goes on and cannot end unseen.
func (b bearing) stays() bool { return b.protected || (b.held && !b.leaving) }

// reliable says that somebody can be counted on: a person, and here to stay.
func (b bearing) reliable() bool { return !b.robot && !b.leaving && !b.ending }

// held says that our finalizer is on the object.
func held(m *v1alpha1.OrgMember) bool { return slices.Contains(m.Finalizers, v1alpha1.FinalizerMember) }

// refused says that the member cannot be let in.
func (b bearing) refused() bool { return b.duplicate || !b.allowed || b.domain != "" }

// kept is the state of somebody, given their own and the recorded one: whoever waits to come back stays where they are.
func (b bearing) kept(state, recorded v1alpha1.MemberState) v1alpha1.MemberState {
	comesIn := state == v1alpha1.StateActive || state == v1alpha1.StatePending
	out := recorded == v1alpha1.StateSuspended || recorded == v1alpha1.StateDeclined || recorded == v1alpha1.StateExpired
	switch {
	case comesIn && b.awaits != "" && out:
		return recorded
	case state == v1alpha1.StateActive && (b.refused() || b.early || b.awaits != ""):
		return v1alpha1.StatePending
	}
	return state
}

func bearingOf(h Home, f MemberFacts) bearing {
	m := f.Member
	_, robot := Robot(m)
	b := bearing{robot: robot, allowed: !robot || f.RobotAllowed, leaving: m.DeletionTimestamp != nil}
	b.held = held(m)
	wasActive := !robot && m.Status.AcceptedAt != nil
	b.protected = wasActive && h.Live() && h.Owner == m.Name
	b.ending = !b.protected && m.Spec.ExpiresAt != nil
	b.handsOver = wasActive && b.leaving && h.handsOver(m.Name)
	b.duplicate = !b.protected && f.duplicate()
	b.domain = domainFault(h, m)
	b.early = !robot && !h.Live() && m.Status.AcceptedAt == nil
	b.awaits = awaits(h, m)
	return b
}

// stateOf is the state of a membership as far as its own object tells, with the moment at which time changes it.
func stateOf(m *v1alpha1.OrgMember, now time.Time, robot bool) (v1alpha1.MemberState, metav1.ConditionStatus, string, time.Time) {
	accepted, acceptedReason := acceptance(m, now, robot)
	wake := stateWake(m, now)
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
	return v1alpha1.StatePending, accepted, acceptedReason, wake
}

// stateWake is when time alone changes the state of a membership; zero for never.
func stateWake(m *v1alpha1.OrgMember, now time.Time) (wake time.Time) {
	if m.Spec.ExpiresAt != nil && !membershipEnded(m, now) {
		wake = m.Spec.ExpiresAt.Time
	}
	// Also of one activated without asking, as long as that is not on record: it is what gives them a seat.
	open := m.Status.AcceptedAt == nil && m.Status.DeclinedAt == nil
	if i := m.Status.Invitation; open && i != nil && i.SentAt != nil && !reached(i.ExpiresAt.Time, now) {
		wake = Earliest(wake, i.ExpiresAt.Time)
	}
	return wake
}

// acceptance is what the person did with the invitation.
func acceptance(m *v1alpha1.OrgMember, now time.Time, robot bool) (metav1.ConditionStatus, string) {
	i := m.Status.Invitation
	switch {
	case robot:
		return metav1.ConditionTrue, v1alpha1.ReasonRobot
	case Joined(m):
		return metav1.ConditionTrue, acceptedReason(m)
	case m.Status.DeclinedAt != nil:
		return metav1.ConditionFalse, v1alpha1.ReasonDeclined
	// An invitation that never left does not expire: it is made anew.
	case i != nil && i.SentAt != nil && reached(i.ExpiresAt.Time, now):
		return metav1.ConditionFalse, v1alpha1.ReasonInvitationExpired
	}
	return metav1.ConditionUnknown, v1alpha1.ReasonAwaitingAcceptance
}

// acceptedReason says how a member joined, which stays so whatever the mode says later. Nobody accepts who was not invited.
func acceptedReason(m *v1alpha1.OrgMember) string {
	if c := meta.FindStatusCondition(m.Status.Conditions, v1alpha1.ConditionAccepted); c != nil && c.Status == metav1.ConditionTrue {
		return c.Reason
	}
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
