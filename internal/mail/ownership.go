package mail

import (
	"cmp"
	"errors"
	"time"

	"github.com/orgkeeper/orgkeeper/internal/invite/tenanttext"
)

// Ownership is the content of a mail that tells one of two people that the ownership of an organization passed between
// them. Its words are about that moment, so that they stay true when it arrives late and the ownership has moved on.
// Organization, Other and the recipient's name come from tenants and are shown as tenanttext makes them. It has no link.
type Ownership struct {
	// Organization is the name to show. Cut to 100 characters.
	Organization string
	// Gained: the recipient is the new owner; else the owner before.
	Gained bool
	// Other is who of the two the recipient is not, by name. Cut to 100 characters.
	Other string
	// Role is what the owner before has now: one of Admin, BillingAdmin, UserAdmin and Member, or empty for no access. The
	// new owner has every right whatever it says.
	Role string
	// At is when it happened; shown to the minute, in UTC.
	At time.Time
}

func (Ownership) sort() string    { return "ownership" }
func (Ownership) replyTo() string { return "" }

type ownershipView struct {
	*page
	Gained          bool
	Other, Role, At string
}

func (o Ownership) view(p *page, date func(time.Time) string) (any, error) {
	v := ownershipView{page: p, Gained: o.Gained, Other: tenanttext.Line(o.Other, maxName), Role: o.Role, At: date(o.At)}
	var other, role error
	if v.Other == "" {
		other = errors.New("the other one has no name that can be shown")
	}
	if o.Role != "" {
		role = checkRole(o.Role)
	}
	return v, cmp.Or(p.named(o.Organization), other, role, checkMoment(o.At, "the moment is missing"))
}
