package mail

import (
	"cmp"
	"errors"
	"slices"
	"time"
)

// Subscription is the content of a mail that tells the billing contact how the subscription stands. The contact is whoever
// somebody named, and may not know the organization. It has no link.
type Subscription struct {
	// Organization is the name to show. Cut to 100 characters.
	Organization string
	// About is one of SeatsTaken, Cancelled, Ending and Ended.
	About string
	// Seats is how many there are. Required for SeatsTaken.
	Seats int
	// PaidThrough is when the subscription ends; shown to the minute, in UTC. Required for Ending and Ended; zero where nobody
	// said.
	PaidThrough time.Time
}

func (Subscription) sort() string    { return "subscription" }
func (Subscription) replyTo() string { return "" }

type subscriptionView struct {
	*page
	About, PaidThrough string
	Seats              int
}

// matters are what the templates have words for.
var matters = []string{"SeatsTaken", "Cancelled", "Ending", "Ended"}

func (s Subscription) view(p *page, date func(time.Time) string) (any, error) {
	v := subscriptionView{page: p, About: s.About, Seats: s.Seats}
	if !s.PaidThrough.IsZero() {
		v.PaidThrough = date(s.PaidThrough)
	}
	return v, cmp.Or(p.named(s.Organization), s.check())
}

func (s Subscription) check() error {
	switch {
	case !slices.Contains(matters, s.About):
		return errors.New("unknown matter of a subscription")
	case s.About == "SeatsTaken" && s.Seats <= 0:
		return errors.New("the number of seats is missing")
	case s.About == "Ending" || s.About == "Ended":
		return checkMoment(s.PaidThrough, "the moment is missing")
	}
	return nil
}
