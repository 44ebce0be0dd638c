package rules

import (
	"time"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
)

// InvitationMail is a mail about an invitation that is due: the invitation itself or its reminder.
type InvitationMail struct {
	// Record is the status to record before the mail goes out.
	Record *v1alpha1.InvitationStatus
	// Reminder: it reminds of an invitation that was sent before; else it is the invitation.
	Reminder bool
	// First: it was never tried before. A mail counts for the organization's share once, however often it takes to hand it over.
	First bool
}

// Attempts is how often the mail was tried, this try included.
func (i InvitationMail) Attempts() int32 {
	if i.Reminder {
		return i.Record.ReminderAttempts
	}
	return i.Record.Attempts
}

// NextInvitationMail says which mail about an invitation is due to a member, as NextInvitation does, reminders included.
func NextInvitationMail(h Home, f MemberFacts) (due *InvitationMail, at time.Time) {
	record, at := NextInvitation(h, f)
	switch {
	case record != nil:
		return &InvitationMail{Record: record, First: record.Attempts == 1}, at
	case !at.IsZero():
		return nil, at
	}
	record, at = nextReminder(h, f)
	if record == nil {
		return nil, at
	}
	return &InvitationMail{Record: record, Reminder: true, First: record.ReminderAttempts == 1}, Never
}

// nextReminder says whether somebody is to be reminded: once for each invitation, that long before it expires, while it is
// unanswered. An invitation that was sent later than that is reminder enough.
func nextReminder(h Home, f MemberFacts) (record *v1alpha1.InvitationStatus, at time.Time) {
	i := f.Member.Status.Invitation
	if i == nil || i.SentAt == nil || i.RemindedAt != nil || i.RejectedAt != nil || Answered(f.Member) || !invitable(h, f) {
		return nil, Never
	}
	due := remindAt(h, i)
	switch {
	case due.IsZero() || !due.After(i.SentAt.Time) || reached(i.ExpiresAt.Time, h.Now):
		return nil, Never
	case !reached(due, h.Now):
		return nil, due
	case deferred(i.NextAttemptAt, h.Now):
		return nil, i.NextAttemptAt.Time
	}
	again := i.DeepCopy()
	again.ReminderAttempts++
	again.NextAttemptAt = nil
	return again, Never
}

// remindAt is when to remind of an invitation; zero for never.
func remindAt(h Home, i *v1alpha1.InvitationStatus) time.Time {
	if s := h.Organization.Spec.Invitations; s != nil && s.RemindBefore != nil {
		return i.ExpiresAt.Add(-s.RemindBefore.Duration).Truncate(time.Second)
	}
	return Never
}

// RemindedOf is the moment that the reminder of an invitation is dated, the same for each copy of it.
func RemindedOf(h Home, i *v1alpha1.InvitationStatus) time.Time {
	if at := remindAt(h, i); !at.IsZero() {
		return at
	}
	return i.ExpiresAt.Time
}
