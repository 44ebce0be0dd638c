package mail

import (
	"cmp"
	"errors"
	"net/url"
	"strings"
	"time"

	"github.com/orgkeeper/orgkeeper/internal/invite/tenanttext"
)

// Invitation is the content of an invitation mail, and of the reminder of one. Organization, Inviter, Message, Workspaces
// and the recipient's name come from tenants and are shown as tenanttext makes them.
type Invitation struct {
	// Reminder: the recipient has had this invitation before.
	Reminder bool
	// Organization is the name to show. Cut to 100 characters.
	Organization string
	// Role is one of Admin, BillingAdmin, UserAdmin and Member; the mail says it in words.
	Role string
	// Inviter is a mail address or user name; may be empty, then the mail names nobody. Cut to 254 characters. Answers go
	// to it when it is a plain address (Reply-To).
	Inviter string
	// Message is the inviter's own text; may be empty. Cut to 1000 characters and 20 lines.
	Message string
	// Workspaces are names of those that the recipient will have access to; the mail lists 10, and counts the rest. Pass
	// them in a fixed order: it is that of the mail.
	Workspaces []string
	// Expires is when the link ends; shown to the minute, in UTC.
	Expires time.Time
	// AcceptURL is the page behind the link, http or https. It changes nothing when opened.
	AcceptURL string
}

// String names the role alone: the link must get into no log.
func (inv Invitation) String() string { return "invitation as " + inv.Role }

// GoString is String, for %#v.
func (inv Invitation) GoString() string { return inv.String() }

func (Invitation) sort() string { return sortInvitation }

func (inv Invitation) replyTo() string { return inv.Inviter }

// invitationView is for the templates of invitations and reminders.
type invitationView struct {
	*page
	Reminder               bool
	Role, Inviter, Expires string
	Message, Workspaces    []string
	// More counts the workspaces that are not listed.
	More int
	// URL is the whole link and Host where it leads, so that the HTML never hides that.
	URL, Host string
}

func (inv Invitation) view(p *page, date func(time.Time) string) (any, error) {
	link, linkErr := checkLink(inv.AcceptURL)
	if err := cmp.Or(checkRole(inv.Role), linkErr, checkMoment(inv.Expires, "expiry is missing"), p.named(inv.Organization)); err != nil {
		return nil, err
	}
	v := invitationView{
		page:     p,
		Reminder: inv.Reminder,
		Role:     inv.Role,
		Inviter:  tenanttext.Person(inv.Inviter, maxPerson),
		Expires:  date(inv.Expires),
		Message:  tenanttext.Block(inv.Message, maxMessage, maxMessageLines),
		URL:      inv.AcceptURL,
		Host:     link.Host,
	}
	for _, name := range inv.Workspaces {
		switch name = tenanttext.Line(name, maxName); {
		case name == "":
		case len(v.Workspaces) == maxWorkspaces:
			v.More++
		default:
			v.Workspaces = append(v.Workspaces, name)
		}
	}
	return v, nil
}

// checkLink takes only what stands in a text as it is: no space, quote or control character, nothing to unescape.
func checkLink(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	switch {
	case err != nil || len(s) > maxURL:
		return nil, errors.New("link is not a URL") // url.Error would show it
	case u.Scheme != "https" && u.Scheme != "http", u.Host == "", u.User != nil, u.Opaque != "", u.Fragment != "":
		return nil, errors.New("link is not an http or https URL of a host and a path")
	case u.String() != s, strings.ContainsAny(s, `<>"'`+"`"), strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f }):
		return nil, errors.New("link holds characters that must be escaped")
	}
	return u, nil
}
