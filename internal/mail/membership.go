package mail

import (
	"cmp"
	"time"
)

// RoleChange is the content of a mail that tells a member of another role. It does not say who gave it.
type RoleChange struct {
	// Organization is the name to show. Cut to 100 characters.
	Organization string
	// From and To are each one of Admin, BillingAdmin, UserAdmin and Member.
	From, To string
	// At is when it happened; shown to the minute, in UTC.
	At time.Time
}

func (RoleChange) sort() string    { return "role-changed" }
func (RoleChange) replyTo() string { return "" }

type roleChangeView struct {
	*page
	From, To, At string
}

func (c RoleChange) view(p *page, date func(time.Time) string) (any, error) {
	v := roleChangeView{page: p, From: c.From, To: c.To, At: date(c.At)}
	return v, cmp.Or(p.named(c.Organization), checkRole(c.From), checkRole(c.To), checkMoment(c.At, "the moment is missing"))
}

// MembershipEnd is the content of a mail that tells somebody that they are no member any more. It has no link.
type MembershipEnd struct {
	// Organization is the name to show. Cut to 100 characters.
	Organization string
	// Since is when the membership ended; shown to the minute, in UTC.
	Since time.Time
}

func (MembershipEnd) sort() string    { return "membership-ended" }
func (MembershipEnd) replyTo() string { return "" }

type membershipEndView struct {
	*page
	Since string
}

func (e MembershipEnd) view(p *page, date func(time.Time) string) (any, error) {
	return membershipEndView{p, date(e.Since)}, cmp.Or(p.named(e.Organization), checkMoment(e.Since, "the moment is missing"))
}
