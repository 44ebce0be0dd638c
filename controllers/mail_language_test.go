package controllers_test

import (
	"testing"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
)

func speaks(l v1alpha1.Locale) func(*v1alpha1.OrgMember) {
	return func(m *v1alpha1.OrgMember) { m.Spec.Locale = l }
}

// All mails are in the member's language, else in the organization's.
func TestMailLanguage(t *testing.T) {
	h := operate(t).home(t)
	acme, jane := h.organization("acme", "jane"), h.member("jane", v1alpha1.RoleAdmin, joined)
	acme.Spec.Invitations = &v1alpha1.OrganizationInvitations{Locale: "it-CH"}
	h.create(acme, jane)
	h.create(
		h.member("mia", v1alpha1.RoleMember),
		h.member("jan", v1alpha1.RoleMember, speaks("pl-PL")),
		h.member("udo", v1alpha1.RoleMember, speaks("de")),
	)
	h.create(h.workspace("web"))
	h.admits("ann", speaks("en"))
	h.owns(acme, jane)
	h.transfer(acme, "ann")
	for name, want := range map[string]string{"mia": "it", "jan": "pl", "udo": "it", "ann": "en", "jane": "it"} {
		l := h.mailed(name, 1)[0]
		if invited := name != "ann" && name != "jane"; l.language != want || (l.token != "") != invited {
			t.Errorf("the mail to %s is in %s, want %s; it has a link: %v", name, l.language, want, l.token != "")
		}
	}
}
