package controllers_test

import (
	"testing"
	"time"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
)

// Each in line is told the moment when as many as are ahead could have gone, and goes then: also when the operator that put them
// in line is not the one that lets them out. A mail about a change of role goes behind all who are older.
func TestMailLimitKeepsTheLine(t *testing.T) {
	o := operate(t, func(o *operator) { o.mailLimit = 1 })
	h := o.home(t)
	h.found()
	h.create(h.member("ann", v1alpha1.RoleMember))
	h.mailed("ann", 1)
	bob, cat, dan := h.member("bob", v1alpha1.RoleMember), h.member("cat", v1alpha1.RoleMember), h.member("dan", v1alpha1.RoleMember)
	for i, m := range []*v1alpha1.OrgMember{bob, cat, dan} { // in order of creation, or of name
		h.create(m)
		h.becomes(m, "InvitationSent", "False/InvitationLimited")
		rounds := time.Duration(i+1) * 25 * time.Hour // from the beginning of the hour of the mail before
		if wait := m.Status.Invitation.NextAttemptAt.Sub(h.clock.Now()); wait < rounds-61*time.Minute || wait > rounds {
			t.Errorf("%s waits for %s", m.Name, wait)
		}
	}
	tom := h.joins("tom")
	h.restart(t)
	promote(h, tom, v1alpha1.RoleUserAdmin)
	h.toldOfMembership(tom, func(n *v1alpha1.MembershipNotice) bool {
		return n.Attempts == 0 && n.NextAttemptAt != nil && n.NextAttemptAt.After(h.clock.Now().Add(3*25*time.Hour))
	})
	for _, next := range []*v1alpha1.OrgMember{bob, cat, dan} {
		h.later(26 * time.Hour)
		h.becomes(next, "InvitationSent", "True/InvitationSent")
	}
}
