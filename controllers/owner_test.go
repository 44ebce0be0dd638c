package controllers_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
)

func TestOwner(t *testing.T) {
	together(t, map[string]func(*home){
		"arrives late and not as an admin": lateOwner,
		"pending at the beginning":         pendingOwner,
	})
}

// The policies refuse all of this, but for what slips through while they are milliseconds behind.
func TestOwnerBehindThePolicies(t *testing.T) {
	unguarded(t)
	together(t, map[string]func(*home){
		"suspended, demoted and expired":          harmedOwner,
		"deleted, then relieved":                  deletedOwner,
		"deleted by force of kubectl, unrelieved": undeletableOwner,
		"named who cannot own":                    unusableSuccessors,
		"two admins remove each other":            mutualRemoval,
	}, trusting)
}

const ownerRight = "organizations/owner.orgkeeper.dev"

// owns waits until a member is owner in every respect: role, access and status.
func (h *home) owns(acme *v1alpha1.Organization, m *v1alpha1.OrgMember) {
	h.t.Helper()
	h.eventually(m.Name+" owns", func() error {
		if h.get(acme); acme.Status.Owner != m.Name {
			return fmt.Errorf("status.owner is %q", acme.Status.Owner)
		}
		return h.allowed(m, "update", ownerRight, true)()
	})
	h.has(h.userOf(m), h.in("web"), v1alpha1.AccessAdmin)
}

func (h *home) transfer(acme *v1alpha1.Organization, to string) {
	h.t.Helper()
	edit(h, acme, func(o *v1alpha1.Organization) { o.Spec.Owner = to })
}

// The owner may come last, and is an admin whatever their role says.
func lateOwner(h *home) {
	acme := h.organization("acme", "jane")
	h.create(acme, h.workspace("web"))
	h.becomes(acme, "Ready", "False/OwnerNotFound")
	if got := reading(acme, "Stalled"); got != "" {
		h.t.Errorf("Stalled %q: the owner may still arrive", got)
	}
	jane := h.member("jane", v1alpha1.RoleMember, joined)
	h.create(jane)
	h.becomes(acme, "Ready", "True/Ready")
	h.owns(acme, jane)
	h.becomes(jane, "Ready", "True/Active")
	if jane.Status.Role != v1alpha1.RoleAdmin || jane.Spec.Role != v1alpha1.RoleMember {
		h.t.Errorf("role in force %s, declared %s", jane.Status.Role, jane.Spec.Role)
	}
}

// Whatever is done to the owner's object, role and access stay, and conditions say so; it resolves when undone.
func harmedOwner(h *home) {
	acme, jane := h.found()
	h.create(h.workspace("web"))
	h.owns(acme, jane)
	for _, harm := range []struct {
		reason   string
		do, undo func(*v1alpha1.OrgMember)
		ready    string
	}{
		{"Suspended", func(m *v1alpha1.OrgMember) { m.Spec.Suspended = true }, func(m *v1alpha1.OrgMember) { m.Spec.Suspended = false }, "False/OwnerProtected"},
		{"MembershipExpired", until(time.Now().Add(-time.Hour)), func(m *v1alpha1.OrgMember) { m.Spec.ExpiresAt = nil }, "False/OwnerProtected"},
		{"Demoted", func(m *v1alpha1.OrgMember) { m.Spec.Role = v1alpha1.RoleMember }, func(m *v1alpha1.OrgMember) { m.Spec.Role = v1alpha1.RoleAdmin }, "True/Active"},
	} {
		edit(h, jane, harm.do)
		h.becomes(jane, "OwnerProtected", "True/"+harm.reason)
		h.becomes(jane, "Ready", harm.ready)
		if jane.Status.State != v1alpha1.StateActive || jane.Status.Role != v1alpha1.RoleAdmin {
			h.t.Errorf("%s: state %s, role %s", harm.reason, jane.Status.State, jane.Status.Role)
		}
		h.owns(acme, jane)
		h.becomes(acme, "Ready", "True/Ready")
		edit(h, jane, harm.undo)
		h.becomes(jane, "OwnerProtected", "")
		h.becomes(jane, "Ready", "True/Active")
	}
}

// An owner who was deleted stays until ownership moves, and then goes by themselves.
func deletedOwner(h *home) {
	acme, jane := h.found()
	adam := h.member("adam", v1alpha1.RoleAdmin, joined)
	h.create(adam, h.workspace("web"))
	h.owns(acme, jane)
	h.becomes(acme, "AdminRedundancy", "True/SeveralAdmins")
	h.delete(jane)
	h.becomes(jane, "OwnerProtected", "True/Deleting")
	h.owns(acme, jane)
	h.becomes(acme, "AdminRedundancy", "False/OneAdmin") // who leaves is not counted on
	h.transfer(acme, "adam")
	h.goes(jane)
	if in := h.named(h.user("jane")); in != nil {
		h.t.Errorf("jane is named by %v", in)
	}
	h.owns(acme, adam)
	h.becomes(acme, "Ready", "True/Ready")
}

// Where nobody is there to take over, the owner stays, and the organization can still be closed.
func undeletableOwner(h *home) {
	acme, jane := h.found()
	h.create(h.workspace("web"))
	h.owns(acme, jane)
	h.delete(jane)
	h.becomes(jane, "OwnerProtected", "True/Deleting")
	h.becomes(jane, "Stalled", "True/OwnerProtected")
	h.delete(acme)
	h.goes(acme, jane)
	if in := h.named(h.user("jane")); in != nil {
		h.t.Errorf("jane is named by %v", in)
	}
}

// A transfer to somebody who cannot own is not honoured, and is as soon as they can.
func unusableSuccessors(h *home) {
	acme, jane := h.found()
	pia, robot, mia := h.member("pia", v1alpha1.RoleAdmin), h.robot("ci", h.name), h.member("mia", v1alpha1.RoleMember, joined)
	robot.Spec.Role = v1alpha1.RoleAdmin
	away := h.member("away", v1alpha1.RoleAdmin, joined, func(m *v1alpha1.OrgMember) { m.Spec.Suspended = true })
	temp := h.member("temp", v1alpha1.RoleAdmin, joined, until(time.Now().Add(time.Hour)))
	h.create(pia, robot, mia, away, temp, h.workspace("web"))
	h.owns(acme, jane)
	// Who works here for a time has an admin's access, and is not counted on.
	h.has(h.user("temp"), h.in("web"), v1alpha1.AccessAdmin)
	h.becomes(acme, "AdminRedundancy", "False/OneAdmin")
	if !slices.Equal(acme.Status.Admins, []string{"jane"}) {
		h.t.Errorf("status.admins %v", acme.Status.Admins)
	}
	for name, reason := range map[string]string{
		"pia": "OwnerNotUsable", "ci": "OwnerNotUsable", "mia": "OwnerNotUsable", "away": "OwnerNotUsable", "temp": "OwnerNotUsable",
		"nobody": "OwnerNotFound",
	} {
		h.transfer(acme, name)
		h.becomes(acme, "Ready", "False/"+reason)
		h.owns(acme, jane)
		if h.may(h.user(name), "update", ownerRight, h.name) {
			h.t.Errorf("%s has the owner's right", name)
		}
	}
	h.transfer(acme, "pia")
	editStatus(h, pia, accept)
	h.owns(acme, pia)
	h.becomes(acme, "Ready", "True/Ready")
	h.eventually("jane is an admin and no owner", h.allowed(jane, "update", ownerRight, false))
	h.has(h.user("jane"), h.in("web"), v1alpha1.AccessAdmin)
	h.becomes(jane, "Ready", "True/Active")
}

// A first owner who has not accepted has nothing yet, and everything from then on.
func pendingOwner(h *home) {
	acme, jane := h.organization("acme", "jane"), h.member("jane", v1alpha1.RoleAdmin)
	h.create(acme, jane, h.workspace("web"))
	h.becomes(acme, "Ready", "True/OwnerNotActive")
	h.becomes(acme, "AdminRedundancy", "False/NoAdmin")
	h.becomes(jane, "Ready", "True/AwaitingAcceptance")
	if in := h.named(h.user("jane")); in != nil {
		h.t.Errorf("a pending owner is named by %v", in)
	}
	if h.get(acme); acme.Status.Owner != "" {
		h.t.Errorf("status.owner is %q, who owns nothing yet", acme.Status.Owner)
	}
	editStatus(h, jane, accept)
	h.owns(acme, jane)
	h.becomes(acme, "Ready", "True/Ready")
}

// Admins who remove each other at once never leave the organization without one: the owner is always there.
func mutualRemoval(h *home) {
	acme, jane := h.found()
	adam := h.member("adam", v1alpha1.RoleAdmin, joined)
	h.create(adam, h.workspace("web"))
	h.owns(acme, jane)
	h.has(h.user("adam"), h.in("web"), v1alpha1.AccessAdmin)
	h.delete(adam, jane)
	h.goes(adam)
	h.becomes(jane, "OwnerProtected", "True/Deleting")
	h.owns(acme, jane)

	// Also when the transfer crosses the removal of the one it goes to.
	eve := h.member("eve", v1alpha1.RoleAdmin, joined)
	h.create(eve)
	h.becomes(eve, "Ready", "True/Active")
	h.delete(eve)
	h.transfer(acme, "eve")
	h.eventually("one of the two owns", func() error {
		h.get(acme)
		if owner := acme.Status.Owner; owner != "jane" && owner != "eve" {
			return fmt.Errorf("status.owner is %q", owner)
		}
		return nil
	})
	h.eventually("exactly one has the right", func() error {
		a, b := h.may(h.user("jane"), "update", ownerRight, h.name), h.may(h.user("eve"), "update", ownerRight, h.name)
		if a == b {
			return fmt.Errorf("jane %t, eve %t", a, b)
		}
		return nil
	})
}
