package rules

import (
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
)

// Seats limit how many people are members. Whether somebody has one is read off what is recorded of them; whoever has none
// comes in only once they are offered one, by name, in the status of the Organization. One controller offers, counting what
// is recorded and what it offered before, so that no seat is given twice, however late the others are; and whoever judges one
// member need not look at the others. An offer gives nothing by itself: whoever puts on record that it is taken asks the API
// server first whether it still stands (TakesSeat, ComesIn), and all others go by the record.
//
// Who has a seat keeps it while they are Pending or Active, also when there are fewer seats than people: an edit of the billing
// throws nobody out. Somebody suspended has none, or members who take turns would be more than the seats. So they wait, like
// somebody new, to come back.

// SeatLimit is how many seats there are; 0 for no limit.
func SeatLimit(o *v1alpha1.Organization) int {
	if o == nil || o.Spec.Subscription == nil {
		return 0
	}
	return int(o.Spec.Subscription.Seats)
}

// seatsTaken says that, as far as is recorded, no seat is free.
func seatsTaken(o *v1alpha1.Organization) bool {
	return o.Status.Seats != nil && int(o.Status.Seats.Taken) >= SeatLimit(o)
}

// offered says that a member is offered a seat.
func offered(o *v1alpha1.Organization, member string) bool {
	_, found := slices.BinarySearch(Offers(o), member)
	return found
}

// Offers are the members who are offered a seat, sorted. Once there are fewer seats than were counted on, no offer stands until
// they are counted again.
func Offers(o *v1alpha1.Organization) []string {
	if o.Status.Seats == nil || int(o.Status.Seats.Taken) > SeatLimit(o) {
		return nil
	}
	return o.Status.Seats.Offered
}

// SeatOutlook is the reason why those wait who are offered no seat; empty where seats have no limit.
func SeatOutlook(o *v1alpha1.Organization) string {
	switch {
	case SeatLimit(o) == 0:
		return ""
	case seatsTaken(o):
		return v1alpha1.ReasonNoSeat
	}
	return v1alpha1.ReasonProgressing
}

// seated says that a person has a seat, as far as is recorded. A seat is free only once the end of what it was for is on record.
func seated(h Home, m *v1alpha1.OrgMember) bool {
	switch {
	case h.first(m):
		return true
	case m.DeletionTimestamp != nil:
		return false
	}
	switch m.Status.State {
	case v1alpha1.StateActive:
		return m.Status.AcceptedAt != nil // both are one record: who was called Active without it was let in by nobody
	case v1alpha1.StatePending, "":
		return m.Status.AcceptedAt != nil || underInvitation(h, m) || mayAnswer(m)
	case v1alpha1.StateSuspended, v1alpha1.StateDeclined, v1alpha1.StateExpired:
	}
	return false
}

// underInvitation says that an invitation went out, or is about to, and can still be accepted.
func underInvitation(h Home, m *v1alpha1.OrgMember) bool {
	i := m.Status.Invitation
	return i != nil && m.Status.DeclinedAt == nil && (i.SentAt == nil || !reached(i.ExpiresAt.Time, h.Now))
}

// mayAnswer says that somebody was invited and it is not on record that they were too late: an answer may be on its way.
func mayAnswer(m *v1alpha1.OrgMember) bool {
	return m.Status.Invitation != nil && m.Status.DeclinedAt == nil && !activatedWithoutAsking(m)
}

// first says that a member owns the organization, or is to be the first to: whom no seat is denied.
func (h Home) first(m *v1alpha1.OrgMember) bool {
	if h.Owner == m.Name {
		return true
	}
	o := h.Organization
	return o != nil && o.Spec.Owner == m.Name && (o.Status.Owner == "" || o.Status.Owner == m.Name)
}

// asksIn says that a person without a seat is to come in, or to come back, or to be asked again.
func asksIn(h Home, m *v1alpha1.OrgMember) bool {
	if _, robot := Robot(m); robot || !h.Live() || m.DeletionTimestamp != nil || m.Spec.Suspended || membershipEnded(m, h.Now) {
		return false
	}
	i := m.Status.Invitation
	return !seated(h, m) && (Joined(m) || i == nil || resendDue(m) || underInvitation(h, m))
}

// awaits is the reason why somebody who is to come in waits; empty when nothing of the subscription is in their way.
func awaits(h Home, m *v1alpha1.OrgMember) string {
	switch {
	case stranded(h, m):
		return v1alpha1.ReasonSubscriptionCancelled
	case !asksIn(h, m):
		return ""
	case !h.invites(m) && m.Status.AcceptedAt == nil:
		return v1alpha1.ReasonSubscriptionCancelled
	case offered(h.Organization, m.Name):
		return ""
	}
	return SeatOutlook(h.Organization)
}

// TakesSeat says that what is to be recorded of a member next may take a seat that they are offered.
func TakesSeat(h Home, m *v1alpha1.OrgMember) bool {
	return asksIn(h, m) && SeatLimit(h.Organization) > 0 && offered(h.Organization, m.Name)
}

// Seated says that a member has a seat by what is recorded of them, or is about to be.
func Seated(h Home, m *v1alpha1.OrgMember) bool { return seated(h, m) }

// ComesIn says that nothing of the subscription of an Organization keeps a member out. It is asked about the Organization of
// this very moment by whoever is about to record that somebody takes a seat.
func ComesIn(h Home, o *v1alpha1.Organization, m *v1alpha1.OrgMember) bool {
	h.Organization = o
	return awaits(h, m) == ""
}

// stranded says that the invitation of somebody who is to come in was put off, and is not sent any more now that nobody is invited.
func stranded(h Home, m *v1alpha1.OrgMember) bool {
	i := m.Status.Invitation
	if i == nil || Joined(m) || m.Spec.Suspended || membershipEnded(m, h.Now) || m.Status.DeclinedAt != nil {
		return false
	}
	return !h.invites(m) && i.SentAt == nil && i.RejectedAt == nil && !underWay(h, i)
}

// needsSeat says that somebody waits for nothing but a seat, or was offered one and has not taken it yet.
func (f MemberFacts) needsSeat(h Home) bool {
	barred := !h.invites(f.Member) && f.Member.Status.AcceptedAt == nil
	return asksIn(h, f.Member) && !barred && !f.keptOut(h)
}

func awaitsVerdict(h Home, m *v1alpha1.OrgMember, reason string) Verdict {
	o := h.Organization
	switch reason {
	case v1alpha1.ReasonNoSeat:
		return waiting(reason, fmt.Sprintf("%s waits for a seat: %s has %d and all are taken; remove somebody, or book more (spec.subscription.seats of the Organization)",
			m.Name, o.Name, SeatLimit(o)))
	case v1alpha1.ReasonSubscriptionCancelled:
		return waiting(reason, fmt.Sprintf("%s waits: the subscription of %s is cancelled; resume it (spec.subscription.cancelled of the Organization)", m.Name, o.Name))
	}
	return reconciling(reason, m.Name+" is about to be given a seat")
}

// Finding is what a condition other than Ready is to say.
type Finding struct {
	Status          metav1.ConditionStatus
	Reason, Message string
}

// JudgeSeats says whether seats are free; nil where they have no limit.
func JudgeSeats(o *v1alpha1.Organization, use *v1alpha1.SeatUse) *Finding {
	limit := int32(SeatLimit(o))
	switch {
	case limit == 0:
		return nil
	case use.Taken < limit:
		return &Finding{metav1.ConditionTrue, v1alpha1.ReasonSeatsFree, fmt.Sprintf("%d of %d seats are taken", use.Taken, limit)}
	case use.Taken == limit:
		return &Finding{metav1.ConditionFalse, v1alpha1.ReasonSeatsTaken,
			fmt.Sprintf("all %d seats are taken%s; remove somebody, or book more (spec.subscription.seats)", limit, whoWaits(use))}
	}
	return &Finding{metav1.ConditionFalse, v1alpha1.ReasonSeatsExceeded,
		fmt.Sprintf("%d people have a seat and there are %d%s; nobody is put out, and nobody comes in before there are fewer", use.Taken, limit, whoWaits(use))}
}

func whoWaits(use *v1alpha1.SeatUse) string {
	switch use.Waiting {
	case 0:
		return ""
	case 1:
		return ", and 1 person waits"
	}
	return fmt.Sprintf(", and %d people wait", use.Waiting)
}
