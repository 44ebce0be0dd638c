package rules

import (
	"slices"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
)

// maxOffered is how many seats are offered at a time. Those who take theirs make room for the next.
const maxOffered = 1000

// count counts a person for the seats.
func (r *Roll) count(h Home, f MemberFacts) {
	m := f.Member
	if _, robot := Robot(m); robot {
		return
	}
	had := h.Organization != nil && hasOffer(h.Organization, m.Name)
	switch {
	case seated(h, m):
		r.seated++
		if had {
			r.settled = append(r.settled, m.Name)
		}
	case f.needsSeat(h):
		r.seatless = append(r.seatless, m)
	case had && asksIn(h, m):
		// Kept out by something else than their own OrgMember, which does not change when that does.
		r.settled = append(r.settled, m.Name)
	}
}

// hasOffer says that a member is named by status.seats.offered, whether or not the offer stands.
func hasOffer(o *v1alpha1.Organization, member string) bool {
	if o.Status.Seats == nil {
		return false
	}
	_, found := slices.BinarySearch(o.Status.Seats.Offered, member)
	return found
}

// Seats is what status.seats of an Organization is to say: seats that were offered stay so until they are taken, are wanted no
// more, or there are fewer; free ones are offered to those who were added first. Kept are members whose offer stays whatever
// the roll knows of them.
func (r Roll) Seats(o *v1alpha1.Organization, kept ...string) *v1alpha1.SeatUse {
	use := &v1alpha1.SeatUse{Taken: r.seated}
	limit := SeatLimit(o)
	if limit == 0 {
		return use
	}
	var had, others []*v1alpha1.OrgMember
	for _, m := range r.seatless {
		switch {
		case slices.Contains(kept, m.Name):
		case hasOffer(o, m.Name):
			had = append(had, m)
		default:
			others = append(others, m)
		}
	}
	room := min(limit-int(r.seated), maxOffered) - len(kept)
	use.Offered = slices.Clone(kept)
	for _, group := range [][]*v1alpha1.OrgMember{had, others} {
		eldest := oldest(group, room)
		for _, m := range eldest {
			use.Offered = append(use.Offered, m.Name)
		}
		room -= len(eldest)
	}
	slices.Sort(use.Offered)
	use.Taken += int32(len(use.Offered))
	use.Waiting = int32(len(had) + len(others) + len(kept) - len(use.Offered))
	return use
}

// oldest are the first n of members by age. They are sorted only when some are left out, and there is room for any.
func oldest(members []*v1alpha1.OrgMember, n int) []*v1alpha1.OrgMember {
	switch {
	case n <= 0:
		return nil
	case n >= len(members):
		return members
	}
	slices.SortFunc(members, func(a, b *v1alpha1.OrgMember) int {
		if older(a, b, 0, 0) {
			return -1
		}
		return 1
	})
	return members[:n]
}

// SeatsToCome says that somebody is about to take a seat where they have no limit, or waits for one.
func (r Roll) SeatsToCome() bool { return len(r.seatless) > 0 }

// Lapsed are those whose offer is to go to somebody else although it is not on record that they took it: by their own
// OrgMember, as the roll knows it, they do not want it any more. Nil when it goes to nobody.
func (r Roll) Lapsed(o *v1alpha1.Organization, use *v1alpha1.SeatUse) []string {
	if o.Status.Seats == nil || len(Withdrawn(o, use).Offered) == len(use.Offered) {
		return nil
	}
	var lapsed []string
	for _, name := range o.Status.Seats.Offered {
		_, kept := slices.BinarySearch(use.Offered, name)
		if !kept && !slices.Contains(r.settled, name) {
			lapsed = append(lapsed, name)
		}
	}
	return lapsed
}

// Withdrawn is what status.seats is to say before anybody else is offered what was offered to those who do not want it.
func Withdrawn(o *v1alpha1.Organization, use *v1alpha1.SeatUse) *v1alpha1.SeatUse {
	without := use.DeepCopy()
	without.Offered = slices.DeleteFunc(without.Offered, func(name string) bool { return !hasOffer(o, name) })
	return without
}

// HoldsOffer says that a member, as the API server knows them once their offer is withdrawn, took it before, or wants it again
// and may be about to take it.
func HoldsOffer(h Home, m *v1alpha1.OrgMember) bool { return seated(h, m) || asksIn(h, m) }

// Claim is what of a member's invitation a seat hangs on, beside what their standing hangs on.
type Claim struct {
	serial    int32
	out       bool
	expires   int64
	resendDue bool
}

// SeatClaim is the claim of a member. Where it changes, the seats are to be counted again.
func SeatClaim(m *v1alpha1.OrgMember) Claim {
	c := Claim{resendDue: resendDue(m)}
	if i := m.Status.Invitation; i != nil {
		c.serial, c.out, c.expires = i.Serial, i.SentAt != nil, i.ExpiresAt.Unix()
	}
	return c
}
