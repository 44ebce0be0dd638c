package rules

import (
	"fmt"
	"slices"
	"strings"

	"golang.org/x/net/idna"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
)

// shownDomains is how many of the allowed domains a message names.
const shownDomains = 3

// domainFault says what is wrong with the mail domain of somebody who is yet to join; empty when they may. It counts for
// those who are activated without asking as well: the list says who may come in, however they do. Who joined before the
// list was made stays, and service accounts have no mail domain.
func domainFault(h Home, m *v1alpha1.OrgMember) string {
	if !h.Live() || h.Organization.Spec.Invitations == nil || m.Status.AcceptedAt != nil {
		return ""
	}
	allowed := h.Organization.Spec.Invitations.AllowedDomains
	if _, robot := Robot(m); robot || len(allowed) == 0 {
		return ""
	}
	written := string(m.Spec.Email)[strings.LastIndexByte(string(m.Spec.Email), '@')+1:]
	domain, valid := mailDomain(written)
	if !valid {
		return "is not a name that DNS can know (IDNA)"
	}
	// Most are written as in the list; to compare otherwise takes a while.
	if slices.Contains(allowed, written) ||
		slices.ContainsFunc(allowed, func(entry string) bool { a, ok := mailDomain(entry); return ok && a == domain }) {
		return ""
	}
	return "is not one of " + someOf(allowed)
}

// keptOut says that somebody who is yet to join cannot: an older member is the same, or the organization wants other domains.
func (f MemberFacts) keptOut(h Home) bool { return f.duplicate() || domainFault(h, f.Member) != "" }

// mailDomain is the form in which two domains are compared: as DNS is asked for them, in lower case. Not valid is what a mail
// could not be sent to either.
func mailDomain(domain string) (ascii string, valid bool) {
	ascii, err := idna.Lookup.ToASCII(domain)
	return ascii, err == nil
}

func someOf(domains []string) string {
	if len(domains) <= shownDomains {
		return strings.Join(domains, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(domains[:shownDomains], ", "), len(domains)-shownDomains)
}

func domainVerdict(h Home, m *v1alpha1.OrgMember, fault string) Verdict {
	return stalled(v1alpha1.ReasonDomainNotAllowed,
		fmt.Sprintf("the domain of %s's email %s; add it to spec.invitations.allowedDomains of %s, or add a new OrgMember with another email", m.Name, fault, h.Organization.Name))
}
