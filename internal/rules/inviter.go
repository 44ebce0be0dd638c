package rules

import (
	"strings"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
)

// Inviter is the person who added a member, as mails and the page name them: a username without the prefix that makes one of
// an email. Empty for nobody that may be named: whom the admission policies do not vouch for, and who is no person of the
// cluster's authenticator, such as a pipeline.
//
// A member's displayName would read better. But people change it, and copies of one mail must be equal.
func Inviter(h Home, m *v1alpha1.OrgMember) string {
	person, ok := strings.CutPrefix(m.Spec.InvitedBy, h.UsernamePrefix)
	if !h.Guarded || !ok || strings.HasPrefix(m.Spec.InvitedBy, systemPrefix) {
		return ""
	}
	return person
}

// systemPrefix begins the usernames that Kubernetes keeps to itself, those of service accounts among them.
const systemPrefix = "system:"
