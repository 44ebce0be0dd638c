package rules_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/internal/rules"
)

// BenchmarkSeats is what one change of one member costs the Organization: the roll and the seats. Half of the members are in, half
// wait. It grows as the number of members does.
func BenchmarkSeats(b *testing.B) {
	for _, n := range []int{1_000, 10_000, 100_000} {
		b.Run(fmt.Sprintf("%d members", n), func(b *testing.B) {
			h := home(seats(int32(n/2), 0))
			crowd := make([]v1alpha1.OrgMember, n)
			for i := range crowd {
				crowd[i] = *member(fmt.Sprintf("m%06d", (i*7919)%n), bornAt(now.Add(time.Duration(i%977)*time.Second)))
				if i%2 == 0 {
					accepted(&crowd[i])
					state(v1alpha1.StateActive)(&crowd[i])
				}
			}
			h.Organization.Status.Seats = rules.Take(h, crowd, robotHomes).Seats(h.Organization)
			for b.Loop() {
				roll := rules.Take(h, crowd, robotHomes)
				use := roll.Seats(h.Organization)
				roll.Lapsed(h.Organization, use)
			}
		})
	}
}
