package mail

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/orgkeeper/orgkeeper/internal/invite/tenanttext"
)

// Content is what a mail tells: an Invitation, a RoleChange, a MembershipEnd, an Ownership or a Subscription.
type Content interface {
	// sort names the templates, and the mail in errors.
	sort() string
	// view is what the templates see besides the page: only text that is fit to be shown.
	view(p *page, date func(time.Time) string) (any, error)
	// replyTo is who an answer should reach; empty: the sender.
	replyTo() string
}

// page is what the templates of all mails see. Views embed it.
type page struct {
	// Language is the tag of the language, such as pl. Name is the recipient's and may be empty.
	Language, Name, Organization string
	// Subject is that of the mail, for the HTML alone.
	Subject string
}

// Compose writes a mail, as text and as HTML, in the language of the envelope. Equal input gives equal bytes. It fails,
// without showing addresses or a link, when the envelope or the content are not what their fields require; ErrAddress
// tells a bad recipient or sender.
//
// Templates may be nil: then the words are orgkeeper's own.
func (t *Templates) Compose(e Envelope, c Content) (Message, error) {
	if t == nil {
		t = builtIn()
	}
	m, err := t.compose(e, c)
	if err != nil {
		return Message{}, fmt.Errorf("%s mail: %w", c.sort(), err)
	}
	return m, nil
}

func (t *Templates) compose(e Envelope, c Content) (Message, error) {
	b, err := t.write(e, c)
	if err != nil {
		return Message{}, err
	}
	return render(e, c.replyTo(), b)
}

// write finds the words.
func (t *Templates) write(e Envelope, c Content) (body, error) {
	tongue, err := tongueOf(e.Language)
	if err != nil {
		return body{}, err
	}
	p := &page{Language: tongue.tag.String(), Name: tenanttext.Line(e.To.Name, maxName)}
	view, err := c.view(p, tongue.date)
	if err != nil {
		return body{}, err
	}
	return t.fill(p, c.sort(), view)
}

// named sets the organization's name, and fails without one.
func (p *page) named(organization string) error {
	if p.Organization = tenanttext.Line(organization, maxName); p.Organization == "" {
		return errors.New("organization has no name that can be shown")
	}
	return nil
}

const (
	maxName         = 100
	maxPerson       = 254
	maxMessage      = 1000
	maxMessageLines = 20
	maxWorkspaces   = 10
	maxURL          = 2000
)

// roles are what the templates have words for.
var roles = []string{"Admin", "BillingAdmin", "UserAdmin", "Member"}

func checkRole(role string) error {
	if !slices.Contains(roles, role) {
		return errors.New("unknown role")
	}
	return nil
}

func checkMoment(t time.Time, missing string) error {
	if t.IsZero() {
		return errors.New(missing)
	}
	return nil
}

// maxColumns is how wide a text is, in characters (RFC 5322, 2.1.1, less room for the marks of an answer).
const maxColumns = 72

// wrap breaks the lines of a text between words. A word that is longer, such as a link, stays whole on a line of its own;
// what goes on after a quotation's "> " has it, too.
func wrap(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, " \n")
		if len([]rune(line)) <= maxColumns || strings.Contains(line, "://") {
			b.WriteString(line + "\n")
			continue
		}
		prefix := ""
		if rest, quoted := strings.CutPrefix(line, "> "); quoted {
			prefix, line = "> ", rest
		}
		b.WriteString(prefix)
		column := len(prefix)
		for i, word := range strings.Split(line, " ") { // not Fields: labels are padded
			length := len([]rune(word))
			switch {
			case i == 0:
			case column+1+length > maxColumns:
				b.WriteString("\n" + prefix)
				column = len(prefix)
			default:
				b.WriteString(" ")
				column++
			}
			b.WriteString(word)
			column += length
		}
		b.WriteString("\n")
	}
	return b.String()
}
