package rules

import (
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
)

// MembershipNotice is what status.membershipNotice of a member is to say when a standing is written into their status. It is to
// be written together with state and role, so that no change is forgotten and none told twice.
//
// Who was not told yet of one change hears of the latest alone, and of nothing that was taken back meanwhile.
func MembershipNotice(h Home, m *v1alpha1.OrgMember, s Standing) *v1alpha1.MembershipNotice {
	n := m.Status.MembershipNotice
	if m.Status.AcceptedAt == nil || !reachable(m) || !h.Live() {
		return n
	}
	switch change := changeOf(m, s, h.Now); change {
	case v1alpha1.MembershipEnded:
		if ends(n, m) {
			return n // suspended and resumed since, or the clock went back: it is the same end
		}
		return follow(n, change, m.Status.Role, s.Role, *m.Spec.ExpiresAt)
	case v1alpha1.MembershipRoleChanged:
		return follow(n, change, m.Status.Role, s.Role, metav1.NewTime(h.Now.Truncate(time.Second)))
	}
	return n
}

// changeOf is what a person who has joined is to be told when a standing replaces the one in their status; empty for nothing.
func changeOf(m *v1alpha1.OrgMember, s Standing, now time.Time) v1alpha1.MembershipChange {
	was, over := m.Status.State, s.State == v1alpha1.StateExpired && membershipEnded(m, now) // and not for want of a seat
	switch {
	case was == "" || was == v1alpha1.StatePending:
		return "" // they were no member yet
	case over && was != v1alpha1.StateExpired:
		return v1alpha1.MembershipEnded
	case over || fellWithOwnership(m, s):
		return ""
	case m.Status.Role != s.Role, was == v1alpha1.StateExpired && endUntold(m):
		return v1alpha1.MembershipRoleChanged
	}
	return ""
}

// ends says that a notice tells of the end that the spec asks for, to the second as the API stores it.
func ends(n *v1alpha1.MembershipNotice, m *v1alpha1.OrgMember) bool {
	return n != nil && n.Change == v1alpha1.MembershipEnded && n.At.Time.Equal(m.Spec.ExpiresAt.Truncate(time.Second))
}

// endUntold says that a mail about the end of the membership is due that was not tried yet.
func endUntold(m *v1alpha1.OrgMember) bool {
	n := m.Status.MembershipNotice
	return n != nil && n.Change == v1alpha1.MembershipEnded && n.Attempts == 0
}

// follow is the notice of a change that comes after another, if there was one.
func follow(before *v1alpha1.MembershipNotice, change v1alpha1.MembershipChange, from, to v1alpha1.Role, at metav1.Time) *v1alpha1.MembershipNotice {
	n := &v1alpha1.MembershipNotice{Serial: 1, Change: change, From: from, To: to, At: at}
	switch {
	case before == nil:
	case before.Attempts > 0:
		n.Serial = before.Serial + 1
	default:
		// No mail ever had this serial, and the person knows the role before that.
		n.Serial, n.From = before.Serial, before.From
	}
	return n
}

// fellWithOwnership says that a role was in force because its holder owned the organization: the mail about the ownership
// tells what it is now.
func fellWithOwnership(m *v1alpha1.OrgMember, s Standing) bool {
	return s.Protected == "" && meta.IsStatusConditionTrue(m.Status.Conditions, v1alpha1.ConditionOwnerProtected)
}

// NextMembershipMail says whether a mail about a change of their membership is due to a member: the record to write before it
// goes out, or, when at is not zero, the moment to look again. Neither: nothing is due.
func NextMembershipMail(h Home, m *v1alpha1.OrgMember) (record *v1alpha1.MembershipNotice, at time.Time) {
	n := m.Status.MembershipNotice
	if n == nil || !h.Live() || !reachable(m) {
		return nil, Never
	}
	current := n.Change == v1alpha1.MembershipEnded && m.Status.State == v1alpha1.StateExpired ||
		n.Change == v1alpha1.MembershipRoleChanged && n.From != n.To && m.Status.State == v1alpha1.StateActive
	if !current {
		return nil, Never
	}
	next, at := nextTry(n.MailDelivery, h.Now)
	if next == nil {
		return nil, at
	}
	record = n.DeepCopy()
	record.MailDelivery = *next
	return record, Never
}

// GiveUp is until when a mail that tells of something is tried again where the mail server refuses it for now: five days, as mail
// servers do among themselves (RFC 5321, 4.5.4.1). News is old by then. An invitation is wanted until somebody withdraws it.
func GiveUp(of metav1.Time) time.Time { return of.Add(5 * 24 * time.Hour) }

// nextTry is the record of the next try of a mail, or when to look again. Neither: it went out, or was refused for good.
func nextTry(d v1alpha1.MailDelivery, now time.Time) (next *v1alpha1.MailDelivery, at time.Time) {
	switch {
	case d.SentAt != nil || d.RejectedAt != nil:
		return nil, Never
	case deferred(d.NextAttemptAt, now):
		return nil, d.NextAttemptAt.Time
	}
	next = d.DeepCopy()
	next.Attempts++
	next.NextAttemptAt = nil
	return next, Never
}
