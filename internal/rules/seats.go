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
// member need not look at the others.
//
// Who has a seat keeps it while they are Pending or Active, also when there are fewer seats than people: an edit of the billing
// throws nobody out. Somebody suspended has none, or members who take turns would be more than the seats. So they wait, like
// somebody new, to come back.

// maxOffered is how many seats are offered at a time. Those who take theirs make room for the next.
const maxOffered = 1000

// seatLimit is how many seats there are; 0 for no limit.
func seatLimit(o *v1alpha1.Organization) int {
	if o == nil || o.Spec.Subscription == nil {
		return 0
	}
	return int(o.Spec.Subscription.Seats)
}

// seatsTaken says that, as far as is recorded, no seat is free.
func seatsTaken(o *v1alpha1.Organization) bool {
	return o.Status.Seats != nil && int(o.Status.Seats.Taken) >= seatLimit(o)
}

// offered says that a member is offered a seat.
func offered(o *v1alpha1.Organization, member string) bool {
	if o.Status.Seats == nil {
		return false
	}
	_, found := slices.BinarySearch(o.Status.Seats.Offered, member)
	return found
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
		return true
	case v1alpha1.StatePending, "":
		return m.Status.AcceptedAt != nil || underInvitation(h, m)
	case v1alpha1.StateSuspended, v1alpha1.StateDeclined, v1alpha1.StateExpired:
	}
	return false
}

// underInvitation says that an invitation went out, or is about to, and can still be accepted.
func underInvitation(h Home, m *v1alpha1.OrgMember) bool {
	i := m.Status.Invitation
	return i != nil && m.Status.DeclinedAt == nil && (i.SentAt == nil || !reached(i.ExpiresAt.Time, h.Now))
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
	return !seated(h, m) && (joined(m) || i == nil || resendDue(m) || underInvitation(h, m))
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
	case seatLimit(h.Organization) == 0 || offered(h.Organization, m.Name):
		return ""
	case seatsTaken(h.Organization):
		return v1alpha1.ReasonNoSeat
	}
	return v1alpha1.ReasonProgressing
}

// stranded says that the invitation of somebody who is to come in was put off, and is not sent any more now that nobody is invited.
func stranded(h Home, m *v1alpha1.OrgMember) bool {
	i := m.Status.Invitation
	if i == nil || joined(m) || m.Spec.Suspended || membershipEnded(m, h.Now) || m.Status.DeclinedAt != nil {
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
			m.Name, o.Name, seatLimit(o)))
	case v1alpha1.ReasonSubscriptionCancelled:
		return waiting(reason, fmt.Sprintf("%s waits: the subscription of %s is cancelled; resume it (spec.subscription.cancelled of the Organization)", m.Name, o.Name))
	}
	return reconciling(reason, m.Name+" is about to be given a seat")
}

// count counts a person for the seats.
func (r *Roll) count(h Home, f MemberFacts) {
	if _, robot := Robot(f.Member); robot {
		return
	}
	if seated(h, f.Member) {
		r.seated++
	} else if f.needsSeat(h) {
		r.seatless = append(r.seatless, f.Member)
	}
}

// Seats is what status.seats of an Organization is to say: seats that were offered stay so until they are taken, or are wanted
// no more; free ones are offered to those who were added first.
func (r Roll) Seats(o *v1alpha1.Organization) *v1alpha1.SeatUse {
	use := &v1alpha1.SeatUse{Taken: r.seated}
	limit := seatLimit(o)
	if limit == 0 {
		return use
	}
	waiting := slices.SortedFunc(slices.Values(r.seatless), func(a, b *v1alpha1.OrgMember) int {
		if older(a, b, 0, 0) {
			return -1
		}
		return 1
	})
	kept, rest := use.Offered, waiting[:0:0]
	for _, m := range waiting {
		if offered(o, m.Name) {
			kept = append(kept, m.Name)
		} else {
			rest = append(rest, m)
		}
	}
	free := max(0, min(limit-int(r.seated), maxOffered)-len(kept))
	for _, m := range rest[:min(free, len(rest))] {
		kept = append(kept, m.Name)
	}
	slices.Sort(kept)
	use.Offered = kept
	use.Taken += int32(len(kept))
	use.Waiting = int32(len(waiting) - len(kept))
	return use
}

// Finding is what a condition other than Ready is to say.
type Finding struct {
	Status          metav1.ConditionStatus
	Reason, Message string
}

// JudgeSeats says whether seats are free; nil where they have no limit.
func JudgeSeats(o *v1alpha1.Organization, use *v1alpha1.SeatUse) *Finding {
	limit := int32(seatLimit(o))
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
