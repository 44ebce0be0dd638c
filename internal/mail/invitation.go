package mail

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/orgkeeper/orgkeeper/internal/invite/tenanttext"
)

// Invitation is the content of an invitation mail. Organization, Inviter, Message and the recipient's name come
// from tenants and are shown as tenanttext makes them.
type Invitation struct {
	// Organization is the name to show. Cut to 100 characters.
	Organization string
	// Role is one of Admin, BillingAdmin, UserAdmin and Member; the mail says it in words.
	Role string
	// Inviter is a mail address or user name; may be empty, then the mail names nobody. Cut to 254 characters.
	Inviter string
	// Message is the inviter's own text; may be empty. Cut to 1000 characters and 20 lines.
	Message string
	// Expires is when the link ends; shown to the minute, in UTC.
	Expires time.Time
	// AcceptURL is the page behind the link, http or https. It changes nothing when opened.
	AcceptURL string
	// Reminder: it was sent before, and this is a reminder.
	Reminder bool
}

// String names the role alone: the link must get into no log.
func (inv Invitation) String() string { return "invitation as " + inv.Role }

// GoString is String, for %#v.
func (inv Invitation) GoString() string { return inv.String() }

const (
	maxName         = 100
	maxInviter      = 254
	maxMessage      = 1000
	maxMessageLines = 20
	maxURL          = 2000
)

// Compose writes an invitation in English, as text and as HTML. Equal input gives equal bytes. It fails, without
// showing addresses or the link, when an address, the Message-ID, the role or the link is not what the fields
// require; ErrAddress tells a bad recipient or sender.
func Compose(e Envelope, inv Invitation) (Message, error) {
	data, err := inv.data(e.To.Name)
	if err != nil {
		return Message{}, fmt.Errorf("invitation mail: %w", err)
	}
	return compose(e, "invitation", data)
}

var roleInWords = map[string]string{
	"Admin":        "admin",
	"BillingAdmin": "billing admin",
	"UserAdmin":    "user admin",
	"Member":       "member",
}

// invitationData is what the templates see: only text that is fit to be shown.
type invitationData struct {
	Name, Organization, Role, Inviter, Expires string
	Message                                    []string
	// URL is the whole link and Host where it leads, so that the HTML never hides that.
	URL, Host string
	Reminder  bool
}

func (inv Invitation) data(name string) (invitationData, error) {
	role, ok := roleInWords[inv.Role]
	if !ok {
		return invitationData{}, errors.New("unknown role")
	}
	link, err := checkLink(inv.AcceptURL)
	if err != nil {
		return invitationData{}, err
	}
	if inv.Expires.IsZero() {
		return invitationData{}, errors.New("expiry is missing")
	}
	organization := tenanttext.Line(inv.Organization, maxName)
	if organization == "" {
		return invitationData{}, errors.New("organization has no name that can be shown")
	}
	return invitationData{
		Name:         tenanttext.Line(name, maxName),
		Organization: organization,
		Role:         role,
		Inviter:      tenanttext.Person(inv.Inviter, maxInviter),
		Expires:      inWords(inv.Expires),
		Message:      tenanttext.Block(inv.Message, maxMessage, maxMessageLines),
		URL:          inv.AcceptURL,
		Host:         link.Host,
		Reminder:     inv.Reminder,
	}, nil
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
