package rules

import (
	"math"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
)

// Times of invitations.
const (
	// DefaultValidFor is how long an invitation is valid where the organization does not say.
	DefaultValidFor = 7 * 24 * time.Hour
	// firstBackoff and maxBackoff bound the wait between two tries of a mail that was refused for now.
	firstBackoff, maxBackoff = 30 * time.Second, time.Hour
	// firstOutage and maxOutage bound the wait while no mail server can be used at all: shorter, so that mail flows
	// soon after it is back.
	firstOutage, maxOutage = 10 * time.Second, 5 * time.Minute
	// maxResend is how much of the annotation's value is kept.
	maxResend = 256
)

// NextInvitation says what is due to a member's invitation: the status to record before the mail goes out, or, when at
// is not zero, the moment to look again. Neither: nothing is due.
//
// The record comes before the mail, so that a crash between the two repeats the same mail and never forgets one.
func NextInvitation(h Home, f MemberFacts) (record *v1alpha1.InvitationStatus, at time.Time) {
	if !invitable(h, f) {
		return nil, time.Time{}
	}
	m := f.Member
	i := m.Status.Invitation
	switch invites := h.invites(m); {
	case !invites && !underWay(h, i):
		return nil, time.Time{}
	case i == nil:
		return issue(h, m, 1), time.Time{}
	case invites && resendDue(m):
		return issue(h, m, i.Serial+1), time.Time{}
	case i.SentAt != nil || i.RejectedAt != nil || m.Status.DeclinedAt != nil:
		return nil, time.Time{}
	}
	return tryAgain(h, m, i)
}

// tryAgain is NextInvitation for one that is not out yet.
func tryAgain(h Home, m *v1alpha1.OrgMember, i *v1alpha1.InvitationStatus) (record *v1alpha1.InvitationStatus, at time.Time) {
	switch {
	case i.Attempts == 0:
		// It waited for its turn, and no link of it ever left: its time begins now.
		return issue(h, m, i.Serial), time.Time{}
	case reached(i.ExpiresAt.Time, h.Now):
		return issue(h, m, i.Serial+1), time.Time{}
	case deferred(i.NextAttemptAt, h.Now):
		return nil, i.NextAttemptAt.Time
	}
	again := i.DeepCopy()
	again.Attempts++
	again.NextAttemptAt = nil
	return again, time.Time{}
}

// deferred says whether the next try of a mail is yet to wait. No wait is longer than maxBackoff: what is further ahead was
// set by a clock that ran ahead and was put right since.
func deferred(next *metav1.Time, now time.Time) bool {
	return next != nil && !reached(next.Time, now) && !next.After(now.Add(maxBackoff))
}

// invitable says whether the member is somebody to ask.
func invitable(h Home, f MemberFacts) bool {
	m := f.Member
	_, robot := Robot(m)
	asked := !robot && !Joined(m)
	stays := h.Live() && m.DeletionTimestamp == nil && !m.Spec.Suspended && !membershipEnded(m, h.Now)
	return asked && stays && !f.outside(h)
}

// outside says that somebody could not come in by accepting.
func (f MemberFacts) outside(h Home) bool { return f.keptOut(h) || !h.letsIn(f.Member) }

// underWay says that an invitation was tried and goes on being so.
func underWay(h Home, i *v1alpha1.InvitationStatus) bool {
	return i != nil && i.Attempts > 0 && i.SentAt == nil && !reached(i.ExpiresAt.Time, h.Now)
}

// Answered says that the person has answered the present invitation, or joined without one.
func Answered(m *v1alpha1.OrgMember) bool { return Joined(m) || m.Status.DeclinedAt != nil }

// issue is the record of a new invitation and its first try. Its moments are whole seconds, as the API stores them.
func issue(h Home, m *v1alpha1.OrgMember, serial int32) *v1alpha1.InvitationStatus {
	validFor := DefaultValidFor
	if i := h.Organization.Spec.Invitations; i != nil && i.ValidFor != nil {
		validFor = i.ValidFor.Duration
	}
	now := metav1.NewTime(h.Now.Truncate(time.Second))
	return &v1alpha1.InvitationStatus{
		Serial:    serial,
		IssuedAt:  &now,
		ExpiresAt: metav1.NewTime(now.Add(validFor).Truncate(time.Second)),
		Attempts:  1,
		Resend:    resend(m),
	}
}

// resendDue says that somebody asked for a resend that was not made yet.
func resendDue(m *v1alpha1.OrgMember) bool {
	return resend(m) != "" && (m.Status.Invitation == nil || resend(m) != m.Status.Invitation.Resend)
}

// resend is the value of the annotation, as far as it is kept.
func resend(m *v1alpha1.OrgMember) string {
	value := m.Annotations[v1alpha1.AnnotationResend]
	return strings.ToValidUTF8(value[:min(len(value), maxResend)], "")
}

// Retry is the wait before the next try of a mail, after so many attempts. outage says that no mail server could be
// used at all. jitter, from 0 to 1, shortens the wait by up to a half so that many members do not try at once.
func Retry(attempts int32, outage bool, jitter float64) time.Duration {
	first, longest := firstBackoff, maxBackoff
	if outage {
		first, longest = firstOutage, maxOutage
	}
	wait := min(float64(first)*math.Exp2(float64(max(attempts, 1)-1)), float64(longest))
	return time.Duration(wait * (1 - jitter/2))
}

// LinkState is what an invitation link stands for.
type LinkState int

// The states of a link.
const (
	// LinkWithdrawn: the member or organization is gone or going, or the membership is suspended, over, a duplicate, of a mail
	// domain that is not allowed, or has no seat, or the subscription has ended: accepting would give nothing.
	LinkWithdrawn LinkState = iota
	// LinkSuperseded: a newer invitation was sent.
	LinkSuperseded
	// LinkAccepted: the person has accepted already.
	LinkAccepted
	// LinkDeclined: the person has declined already.
	LinkDeclined
	// LinkExpired: too late.
	LinkExpired
	// LinkOpen: it can be accepted or declined.
	LinkOpen
)

// JudgeLink says what the link of a serial and expiry stands for now.
func JudgeLink(h Home, f MemberFacts, serial int32, expires time.Time) LinkState {
	m := f.Member
	i := m.Status.Invitation
	switch {
	case !h.Live() || i == nil || m.DeletionTimestamp != nil || m.Spec.Suspended || membershipEnded(m, h.Now):
		return LinkWithdrawn
	case Joined(m):
		return LinkAccepted
	case f.outside(h):
		return LinkWithdrawn
	case serial != i.Serial || !expires.Equal(i.ExpiresAt.Time):
		return LinkSuperseded
	case m.Status.DeclinedAt != nil:
		return LinkDeclined
	case reached(expires, h.Now):
		return LinkExpired
	}
	return LinkOpen
}
