package controllers_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
)

func TestRivals(t *testing.T) {
	together(t, map[string]func(*home){
		"one email in two cases":          sameEmail,
		"one username twice":              sameUsername,
		"robots of here and of elsewhere": robots,
	})
}

// A second Organization gets past the policies only when both are created at once.
func TestRivalOrganizations(t *testing.T) {
	unguarded(t)
	together(t, map[string]func(*home){
		"two organizations in one namespace": twoOrganizations,
		"the owner of the second":            rivalsOwner,
		"the second is removed":              removeDuplicate,
	}, trusting)
}

// younger waits until a new object gets a later creation time than any before: the API server counts in whole seconds,
// and among equals the name decides.
func (h *home) younger() {
	h.t.Helper()
	created := time.Now().Truncate(time.Second)
	h.eventually("a second passes", func() error {
		if time.Now().Truncate(time.Second).After(created) {
			return nil
		}
		return errors.New("not yet")
	})
}

// The oldest Organization counts. When it goes, the other comes in, and what belonged to the first goes with the first.
func twoOrganizations(h *home) {
	first, jane := h.found()
	h.becomes(first, "Ready", "True/Ready")
	h.younger()
	second := h.organization("aaa-sorts-first", "rex")
	h.create(second)
	h.becomes(second, "Ready", "False/DuplicateOrganization")
	h.becomes(second, "Stalled", "True/DuplicateOrganization")
	h.becomes(first, "Ready", "True/Ready")

	h.delete(first)
	h.goes(first, jane)
	h.becomes(second, "Ready", "False/OwnerNotFound")
	h.becomes(second, "Stalled", "")
	rex := h.member("rex", v1alpha1.RoleMember, joined)
	h.create(rex)
	h.becomes(second, "Ready", "True/Ready")
	h.eventually("rex owns", h.allowed(rex, "update", ownerRight, true))
	if in := h.named(h.user("jane")); in != nil {
		h.t.Errorf("jane went and is named by %v", in)
	}
}

// A second Organization names a member of the first as its owner. It gives nothing while the first is there. When the
// first goes, its members go with it. Whether that one became the owner first is a race; either way a transfer to somebody
// new mends it.
func rivalsOwner(h *home) {
	first, jane := h.found()
	rex := h.member("rex", v1alpha1.RoleMember, joined)
	h.create(rex, h.workspace("web"))
	h.becomes(rex, "Ready", "True/Active")
	h.younger()
	second := h.organization("second", "rex")
	h.create(second)
	h.becomes(second, "Ready", "False/DuplicateOrganization")
	if in := h.named(h.user("rex")); in != nil || second.Status.Owner != "" {
		h.t.Errorf("the second Organization gives rex %v", in)
	}
	h.delete(first)
	h.goes(first, jane)
	max := h.member("max", v1alpha1.RoleAdmin, joined)
	h.create(max)
	h.becomes(max, "Ready", "True/Active")
	h.transfer(second, "max")
	h.goes(rex)
	h.eventually("max owns", h.allowed(max, "update", ownerRight, true))
	if in := h.named(h.user("rex")); in != nil {
		h.t.Errorf("rex went and is named by %v", in)
	}
}

// The older of two members with one email counts. The younger gets no mail and no access until the older one goes.
func sameEmail(h *home) {
	h.found()
	older := h.member("zoe", v1alpha1.RoleMember)
	h.create(older)
	h.becomes(older, "Ready", "True/AwaitingAcceptance")
	h.younger()
	shout := v1alpha1.EmailAddress(strings.ToUpper(string(older.Spec.Email)))
	younger := h.member("ann", v1alpha1.RoleAdmin, func(m *v1alpha1.OrgMember) { m.Spec.Email = shout })
	h.create(younger)
	h.becomes(younger, "Ready", "False/DuplicateEmail")
	h.becomes(younger, "Stalled", "True/DuplicateEmail")
	h.becomes(older, "Ready", "True/AwaitingAcceptance")
	if mails := h.mail.to(string(shout)); mails != nil {
		h.t.Error("the duplicate got a mail")
	}
	h.delete(older)
	h.goes(older)
	h.becomes(younger, "Ready", "True/AwaitingAcceptance")
	h.becomes(younger, "Stalled", "")
}

// The older of two members with one username counts. When it goes, the younger one's access is the user's.
func sameUsername(h *home) {
	h.found()
	as := func(m *v1alpha1.OrgMember) { m.Spec.Username = h.user("kim") }
	older := h.member("zoe", v1alpha1.RoleUserAdmin, joined, as)
	h.create(older)
	h.becomes(older, "Ready", "True/Active")
	h.younger()
	younger := h.member("ann", v1alpha1.RoleAdmin, joined, as)
	w := h.workspace("web")
	h.create(younger, w)
	h.becomes(younger, "Ready", "False/DuplicateUsername")
	h.becomes(w, "Ready", "True/Ready")
	h.eventually("kim is user admin", h.allowed(older, "grant", "orgmembers/member.orgkeeper.dev", true))
	if got := h.access(h.user("kim"), h.in("web")); got != "" {
		h.t.Errorf("kim has %s access through the duplicate", got)
	}
	if acme := h.organization("acme", ""); !h.get(acme) || len(acme.Status.Admins) != 1 {
		h.t.Errorf("the duplicate counts as an admin: %v", acme.Status.Admins)
	}
	// The older one goes although the user keeps being named: that is the younger one's access by then.
	h.delete(older)
	h.goes(older)
	h.becomes(younger, "Ready", "True/Active")
	h.has(h.user("kim"), h.in("web"), v1alpha1.AccessAdmin)
}

// Only service accounts of the home and of its workspaces are let in. What makes a namespace the organization's own is
// that a Workspace holds it, not what it is called.
func robots(h *home) {
	acme, _ := h.found()
	own, resident, foreign := h.robot("own", h.name), h.robot("resident", h.in("web")), h.robot("foreign", "kube-system")
	admins := h.robot("boss", h.name)
	admins.Spec.Role, admins.Spec.Username = v1alpha1.RoleAdmin, "system:serviceaccount:"+h.name+":boss"
	h.create(own, resident, foreign, admins, h.assignment("all", "resident", v1alpha1.AccessView, "web"))
	h.becomes(own, "Ready", "True/Active")
	h.becomes(resident, "Ready", "False/RobotNotAllowed")
	h.becomes(foreign, "Ready", "False/RobotNotAllowed")
	for _, m := range []*v1alpha1.OrgMember{resident, foreign} {
		if m.Status.State == v1alpha1.StateActive || reading(m, "Stalled") != "" {
			h.t.Errorf("%s: state %s, Stalled %q; it may still heal", m.Name, m.Status.State, reading(m, "Stalled"))
		}
	}
	h.create(h.workspace("web"))
	h.becomes(resident, "Ready", "True/Active")
	h.has(resident.Spec.Username, h.in("web"), v1alpha1.AccessView)
	h.becomes(foreign, "Ready", "False/RobotNotAllowed")

	// A robot may have the role Admin and never counts as one: nobody could call it when the others are gone.
	h.becomes(admins, "Ready", "True/Active")
	h.has(admins.Spec.Username, h.in("web"), v1alpha1.AccessAdmin)
	h.becomes(acme, "AdminRedundancy", "False/OneAdmin")

	// The workspace goes, and its service accounts with it.
	h.delete(&v1alpha1.Workspace{ObjectMeta: h.meta("web")})
	h.becomes(resident, "Ready", "False/RobotNotAllowed")
	if in := h.named(resident.Spec.Username); in != nil {
		h.t.Errorf("the robot without a home is named by %v", in)
	}
}
