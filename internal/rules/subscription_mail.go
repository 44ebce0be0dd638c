package rules

import (
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
)

const (
	// endingSoon is how long before the end of a cancelled subscription the billing contact is told.
	endingSoon = 7 * 24 * time.Hour
	// betweenNotices is how long the billing contact hears nothing more of a matter. Whom spec.billing.email names never agreed to
	// get mails, and who edits the subscription to and fro must not be able to send them many.
	betweenNotices = 24 * time.Hour
)

// matters are what the billing contact is told of, in the order in which mails go out.
var matters = []v1alpha1.SubscriptionChange{
	v1alpha1.SubscriptionSeatsTaken, v1alpha1.SubscriptionCancelled, v1alpha1.SubscriptionEnding, v1alpha1.SubscriptionEnded,
}

// SubscriptionNotices is what status.subscriptionMails of an Organization is to say, given how its seats are used: what became so is
// noted, what is so no more is over. It is to be written together with what it is about, so that nothing is forgotten and
// nothing told twice.
func SubscriptionNotices(h Home, use *v1alpha1.SeatUse) []v1alpha1.SubscriptionNotice {
	notices := make([]v1alpha1.SubscriptionNotice, 0, len(matters))
	for i := range h.Organization.Status.SubscriptionMails {
		notices = append(notices, *h.Organization.Status.SubscriptionMails[i].DeepCopy())
	}
	for _, about := range matters {
		i := noticeOf(notices, about)
		switch is := h.matter(about, use, notices); {
		case is && i < 0:
			notices = append(notices, v1alpha1.SubscriptionNotice{About: about, Serial: 1, At: h.second()})
		case is:
			notices[i] = h.isSo(notices[i])
		case i >= 0:
			notices[i] = h.isOver(notices[i])
		}
	}
	return notices
}

// isSo is the notice of something that is so, perhaps again, or with another end than the contact was told of.
func (h Home) isSo(n v1alpha1.SubscriptionNotice) v1alpha1.SubscriptionNotice {
	switch {
	case n.Until != nil && n.PaidThrough != nil && h.named(n):
		n.Until = nil // the clock was wrong, or the end was moved to and fro: it is the same news
	case n.Until != nil:
		return anew(n, h.second())
	case n.Attempts == 0 || h.named(n):
		// The mail that is to go out names the end that holds then, or did.
	case n.About == v1alpha1.SubscriptionEnding || !told(n.MailDelivery):
		return anew(n, h.second())
	}
	return n
}

// isOver is the notice of something that is so no more. An end that was taken back is news when it is declared again.
func (h Home) isOver(n v1alpha1.SubscriptionNotice) v1alpha1.SubscriptionNotice {
	if n.Until == nil {
		n.Until = new(h.second())
	}
	if !h.cancelled() || (n.About == v1alpha1.SubscriptionEnded && !h.named(n)) {
		n.PaidThrough = nil
	}
	return n
}

// named says that a notice has the end of the subscription as it is now.
func (h Home) named(n v1alpha1.SubscriptionNotice) bool {
	return n.PaidThrough.Equal(h.namable(n.About))
}

// namable is the end that a mail about a matter names, to the second, as the API server stores it; nil for none.
func (h Home) namable(about v1alpha1.SubscriptionChange) *metav1.Time {
	if at := h.runsOut(); about != v1alpha1.SubscriptionSeatsTaken && !at.IsZero() {
		return new(metav1.NewTime(at.Truncate(time.Second)))
	}
	return nil
}

func noticeOf(notices []v1alpha1.SubscriptionNotice, about v1alpha1.SubscriptionChange) int {
	return slices.IndexFunc(notices, func(n v1alpha1.SubscriptionNotice) bool { return n.About == about })
}

// matter says whether it is so now.
func (h Home) matter(about v1alpha1.SubscriptionChange, use *v1alpha1.SeatUse, notices []v1alpha1.SubscriptionNotice) bool {
	switch about {
	case v1alpha1.SubscriptionSeatsTaken:
		limit := SeatLimit(h.Organization)
		return limit > 0 && int(use.Taken) >= limit
	case v1alpha1.SubscriptionCancelled:
		return h.cancelled()
	case v1alpha1.SubscriptionEnding:
		return h.ending() && !h.endTold(notices)
	case v1alpha1.SubscriptionEnded:
		return h.ended()
	}
	return false
}

// ending says that it ends within a week.
func (h Home) ending() bool {
	soon := h.endsSoon()
	return !soon.IsZero() && reached(soon, h.Now) && !h.ended()
}

// endTold says that the mail about the cancelling tells of the end that is near: who cancels that late needs no second one, unless
// they were told of another end since.
func (h Home) endTold(notices []v1alpha1.SubscriptionNotice) bool {
	i := noticeOf(notices, v1alpha1.SubscriptionCancelled)
	if i < 0 {
		return true
	}
	if ending := noticeOf(notices, v1alpha1.SubscriptionEnding); ending >= 0 && notices[ending].PaidThrough != nil {
		return false
	}
	n := notices[i]
	return !n.At.Time.Before(h.endsSoon()) && (n.Attempts == 0 || h.named(n))
}

// endsSoon is when the billing contact is to be told of the end.
func (h Home) endsSoon() time.Time {
	if at := h.runsOut(); !at.IsZero() {
		return at.Add(-endingSoon)
	}
	return Never
}

// noticeWake is when time alone makes a mail due; zero for never.
func (h Home) noticeWake() time.Time {
	if at := h.endsSoon(); !at.IsZero() && !reached(at, h.Now) {
		return at
	}
	return Never
}

func (h Home) second() metav1.Time { return metav1.NewTime(h.Now.Truncate(time.Second)) }

// anew is the notice of something that becomes so again.
func anew(before v1alpha1.SubscriptionNotice, at metav1.Time) v1alpha1.SubscriptionNotice {
	n := v1alpha1.SubscriptionNotice{About: before.About, Serial: before.Serial, At: at, NotBefore: before.NotBefore}
	if before.Attempts == 0 || before.SentAt != nil {
		n.PaidThrough = before.PaidThrough // which the contact knows of
	}
	if before.Attempts == 0 {
		return n // no mail ever had this serial
	}
	last := before.At
	for _, end := range []*metav1.Time{before.SentAt, before.RejectedAt} {
		if end != nil {
			last = *end
		}
	}
	n.Serial, n.NotBefore = before.Serial+1, new(metav1.NewTime(last.Add(betweenNotices)))
	return n
}

// NextSubscriptionMail says which mail to the billing contact is due: the record to write before it goes out, or, when at is not
// zero, the moment to look again. Neither: nothing is due.
func NextSubscriptionMail(h Home) (record *v1alpha1.SubscriptionNotice, at time.Time) {
	if !h.Live() || h.Organization.Spec.Billing == nil || h.Organization.Spec.Billing.Email == "" {
		return nil, Never
	}
	for i := range h.Organization.Status.SubscriptionMails {
		n := &h.Organization.Status.SubscriptionMails[i]
		if n.Until != nil || !h.stillSo(n) {
			continue
		}
		next, later := nextTry(n.MailDelivery, h.Now)
		switch {
		case next != nil && h.tooSoon(n):
			later = n.NotBefore.Time
		case next != nil:
			record = n.DeepCopy()
			record.MailDelivery, record.PaidThrough = *next, h.namable(n.About)
			if record.FirstAttemptAt == nil {
				record.FirstAttemptAt = new(h.second())
			}
			return record, Never
		}
		at = Earliest(at, later)
	}
	return nil, at
}

// stillSo says that a mail about something noted would be true, and news. What changed may not be noted yet: then a mail without
// its moment or number would count as refused for good, and a mail that was tried would go out again with another end.
func (h Home) stillSo(n *v1alpha1.SubscriptionNotice) bool {
	untried := n.Attempts == 0
	switch n.About {
	case v1alpha1.SubscriptionSeatsTaken:
		return SeatLimit(h.Organization) > 0
	case v1alpha1.SubscriptionEnding:
		return h.ending() && untried != h.named(*n)
	case v1alpha1.SubscriptionEnded:
		return h.ended() && (untried || h.named(*n))
	case v1alpha1.SubscriptionCancelled:
	}
	return h.cancelled() && !h.ended() && (untried || h.named(*n))
}

// tooSoon says that a mail waits for its day. What is further ahead was set by a clock that ran ahead.
func (h Home) tooSoon(n *v1alpha1.SubscriptionNotice) bool {
	return n.NotBefore != nil && !reached(n.NotBefore.Time, h.Now) && !n.NotBefore.After(h.Now.Add(betweenNotices))
}
