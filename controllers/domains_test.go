package controllers_test

import (
	"strings"
	"testing"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
)

// allow says which mail domains new members may have.
func (h *home) allow(acme *v1alpha1.Organization, domains ...string) {
	h.t.Helper()
	edit(h, acme, func(o *v1alpha1.Organization) {
		o.Spec.Invitations = &v1alpha1.OrganizationInvitations{AllowedDomains: domains}
	})
}

// The list of domains counts for whoever has not joined, asked by mail or not, and heals when it changes. Who is in stays.
func TestAllowedDomains(t *testing.T) {
	h := operate(t).home(t)
	acme, jane := h.found()
	h.becomes(jane, "Ready", "True/Active")
	old, _ := h.invited("old")
	h.allow(acme, "other.example")
	h.becomes(old, "Ready", "False/DomainNotAllowed")
	mia, tom := h.member("mia", v1alpha1.RoleMember), h.member("tom", v1alpha1.RoleMember, joined)
	web := h.workspace("web")
	h.create(mia, tom, web, h.assignment("tom", "tom", v1alpha1.AccessEdit, "web"))
	for _, m := range []*v1alpha1.OrgMember{mia, tom} {
		h.becomes(m, "Ready", "False/DomainNotAllowed")
		h.becomes(m, "Stalled", "True/DomainNotAllowed")
		if m.Status.State != v1alpha1.StatePending || m.Status.Invitation != nil || reading(m, "InvitationSent") != "" {
			t.Errorf("%s: state %s, invitation %+v", m.Name, m.Status.State, m.Status.Invitation)
		}
		for _, c := range m.Status.Conditions {
			if strings.Contains(c.Message, addressDomain) {
				t.Errorf("%s shows an address: %s", c.Type, c.Message)
			}
		}
	}
	h.becomes(web, "Ready", "True/Ready")
	if in := h.named(h.user("tom")); in != nil {
		t.Errorf("tom, whom the organization does not let in, is named by %v", in)
	}
	h.becomes(jane, "Ready", "True/Active")

	h.allow(acme, "other.example", "PEOPLE.example")
	h.becomes(mia, "Ready", "True/AwaitingAcceptance")
	h.becomes(tom, "Ready", "True/Active")
	h.becomes(old, "Ready", "True/AwaitingAcceptance")
	h.mailed("mia", 1)
	h.mailed("old", 1)
	h.has(h.user("tom"), h.in("web"), v1alpha1.AccessEdit)
	h.allow(acme, "other.example")
	h.becomes(mia, "Ready", "False/DomainNotAllowed")
	h.becomes(tom, "Ready", "True/Active")
}
