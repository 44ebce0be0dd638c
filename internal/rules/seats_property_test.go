package rules_test

import (
	"slices"
	"time"

	"pgregory.net/rapid"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/internal/rules"
)

// book sets how many seats there are.
func (w *world) book(t *rapid.T) {
	w.subscription().Seats = rapid.SampledFrom([]int32{0, 1, 2, 2, 3, 3, 4}).Draw(t, "seats")
}

// cancel cancels the subscription, or resumes it.
func (w *world) cancel(t *rapid.T) {
	s := w.subscription()
	s.Cancelled, s.PaidThrough = rapid.Bool().Draw(t, "cancelled"), nil
	if rapid.Bool().Draw(t, "paid") {
		s.PaidThrough = stamp(w.now.Add(rapid.SampledFrom([]time.Duration{-time.Hour, time.Hour, 48 * time.Hour}).Draw(t, "until")))
	}
}

func (w *world) subscription() *v1alpha1.OrganizationSubscription {
	if w.organization.Spec.Subscription == nil {
		w.organization.Spec.Subscription = &v1alpha1.OrganizationSubscription{}
	}
	return w.organization.Spec.Subscription
}

// ended says that what was paid of a cancelled subscription has run out.
func (w *world) ended() bool {
	s := w.subscription()
	return s.Cancelled && s.PaidThrough != nil && !w.now.Before(s.PaidThrough.Time)
}

// mayWait says that the subscription may keep out somebody who is in by all other laws: a person who is not in yet, or not any
// more, while it is cancelled, or seats are limited and none is offered.
func (w *world) mayWait(m *v1alpha1.OrgMember) bool {
	s, use := w.subscription(), w.organization.Status.Seats
	_, robot := rules.Robot(m)
	justIn := m.Status.AcceptedAt != nil && (m.Status.State == "" || m.Status.State == v1alpha1.StatePending)
	if robot || m.Status.State == v1alpha1.StateActive || justIn || w.owns(m) {
		return false
	}
	return s.Cancelled && m.Status.AcceptedAt == nil || s.Seats > 0 && (use.Taken > s.Seats || !slices.Contains(use.Offered, m.Name))
}

// mayTake says that a member may be about to take a seat: one who is offered one and is not in yet.
func (w *world) mayTake(m *v1alpha1.OrgMember) bool {
	s, use := w.subscription(), w.organization.Status.Seats
	return s.Seats > 0 && use.Taken <= s.Seats && slices.Contains(use.Offered, m.Name) && m.Status.State != v1alpha1.StateActive
}

// owns says that a member owns the organization, or is to.
func (w *world) owns(m *v1alpha1.OrgMember) bool {
	o := w.organization
	return m.Name == w.home().Owner || m.Name == o.Spec.Owner && (o.Status.Owner == "" || o.Status.Owner == m.Name)
}

// checkSeats wants nobody but the owner to come in when there is no seat for them, and nobody to be put out for want of one. Whose
// invitation ran out holds the seat until that is on record, and may be asked again until then.
func (w *world) checkSeats(t *rapid.T, h rules.Home) {
	seated := map[string]bool{}
	if use := w.organization.Status.Seats; use != nil {
		for _, name := range use.Offered {
			seated[name] = true // promised to whoever has the name
		}
	}
	var came []string
	held := map[string]bool{}
	for i := range w.members {
		m := &w.members[i]
		held[m.Name] = m.Status.State == v1alpha1.StatePending && m.Status.Invitation != nil && m.Status.DeclinedAt == nil
		if !w.hasSeat(h, m) {
			continue
		}
		seated[m.Name] = true
		if !w.seated[m.Name] && !w.held[m.Name] && !w.owns(m) {
			came = append(came, m.Name)
		}
	}
	limit := int(w.subscription().Seats)
	if use := w.organization.Status.Seats; limit > 0 && use != nil {
		limit = max(limit, int(use.Taken)) // whoever was counted when there were more stays
	}
	if limit > 0 && w.seated != nil && len(came) > 0 && len(seated) > limit {
		t.Fatalf("%v came in, and %d have %d seats: %+v", came, len(seated), limit, w.organization.Status.Seats)
	}
	w.seated, w.held = seated, held
}

// hasSeat is the law: Active, or Pending with an invitation that can be accepted.
func (w *world) hasSeat(h rules.Home, m *v1alpha1.OrgMember) bool {
	if _, robot := rules.Robot(m); robot || m.DeletionTimestamp != nil {
		return false
	}
	f, i := w.facts(m), m.Status.Invitation
	if m.Status.State == v1alpha1.StateActive || rules.Judge(h, f).Active {
		return true
	}
	asked := i != nil && m.Status.DeclinedAt == nil && (i.SentAt == nil || w.now.Before(i.ExpiresAt.Time))
	if m.Status.State == v1alpha1.StatePending || m.Status.State == "" {
		return asked || m.Status.AcceptedAt != nil
	}
	return i != nil && rules.JudgeLink(h, f, i.Serial, i.ExpiresAt.Time) == rules.LinkOpen
}
