package mail_test

import (
	"bytes"
	"errors"
	"mime"
	"net/mail"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"golang.org/x/net/html"
	"pgregory.net/rapid"

	"github.com/orgkeeper/orgkeeper/internal/invite/tenanttext"
	om "github.com/orgkeeper/orgkeeper/internal/mail"
)

// hostileNames are what tenants write. Each kind of mail shows some of it.
type hostileNames struct{ organization, person, inviter, message string }

func (n hostileNames) contents() []om.Content {
	inv, ownership := invitation, gained
	inv.Organization, inv.Inviter, inv.Message, inv.Workspaces = n.organization, n.inviter, n.message, []string{n.person, n.message}
	reminder := inv
	reminder.Reminder = true
	ownership.Organization, ownership.Other = n.organization, n.person
	before := ownership
	before.Gained = false
	change, end := roleChange, membershipEnd
	change.Organization, end.Organization = n.organization, n.organization
	return []om.Content{inv, reminder, change, end, ownership, before}
}

// check holds a mail with these names to what tenants must not change: our headers and no others, our link or none, one
// recipient, nothing hidden, no markup. which chooses the kind and the language.
func (n hostileNames) check(t fataler, which int) {
	e := envelope
	contents, languages := n.contents(), om.Languages()
	c := contents[which%len(contents)]
	// The sender's name is the operator's, and goes the same way.
	e.From.Name, e.To.Name, e.Language = n.organization, n.person, languages[which/len(contents)%len(languages)]
	m, err := words.Compose(e, c)
	if err != nil {
		if !strings.Contains(err.Error(), "no name that can be shown") {
			t.Fatalf("not composed: %v", err)
		}
		return
	}
	_, invites := c.(om.Invitation)
	inviter := ""
	if invites {
		inviter = n.inviter
	}
	env := read(t, m)
	checkHeader(t, m, e.Language, inviter)
	if invites != (strings.Count(env.Text, invitation.AcceptURL) == 1) {
		t.Fatalf("our link is not in the text once, or it is where there is none:\n%s", env.Text)
	}
	for line := range strings.SplitSeq(env.Text, "\r\n") {
		if words := strings.Fields(strings.TrimPrefix(line, ">")); len([]rune(line)) > 72 && len(words) > 1 {
			t.Fatalf("a line could be broken: %q", line)
		}
	}
	checkShown(t, env.Text, inviter)
	checkMarkup(t, env.HTML, inviter)
}

const mails = 18 // six kinds in three languages

var ours = []string{
	"Auto-Submitted", "Content-Language", "Content-Type", "Date", "From", "Message-Id", "Mime-Version", "Subject", "To",
	"X-Auto-Response-Suppress",
}

func checkHeader(t fataler, m om.Message, language, inviter string) {
	for line := range strings.SplitSeq(string(m.Data), "\r\n") {
		if len(line) > 998 || strings.ContainsAny(line, "\r\n\x00") {
			t.Fatalf("line of %d bytes: %q", len(line), line)
		}
	}
	raw, err := mail.ReadMessage(bytes.NewReader(m.Data))
	if err != nil {
		t.Fatalf("header: %v", err)
	}
	for key, values := range raw.Header {
		decoded, err := new(mime.WordDecoder).DecodeHeader(values[0])
		if len(values) != 1 || err != nil || strings.ContainsFunc(decoded, hidden) {
			t.Fatalf("header %s: %q: %v", key, values, err)
		}
		if !slices.Contains(ours, key) && key != "Reply-To" {
			t.Fatalf("header %s: %q is not ours", key, values)
		}
	}
	if len(raw.Header) < len(ours) || raw.Header.Get("Content-Language") != language {
		t.Fatalf("headers: %v", raw.Header)
	}
	list, err := raw.Header.AddressList("To")
	if err != nil || len(list) != 1 || list[0].Address != "joe@acme.example" {
		t.Fatalf("recipients %v: %v", list, err)
	}
	if answers := raw.Header.Get("Reply-To"); answers != "" {
		list, err := raw.Header.AddressList("Reply-To")
		if err != nil || len(list) != 1 || list[0].Name != "" || (om.Address{Address: inviter}).Validate() != nil {
			t.Fatalf("answers go to %q for the inviter %q: %v", answers, inviter, err)
		}
	}
}

func hidden(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) }

// What mail programs commonly turn into links.
var clickable = regexp.MustCompile(`(?i)://|www\.[a-z]|mailto:[^\s…]|[a-z0-9-]\.(com|example|[a-z]{2,})|\d+\.\d+\.\d+\.\d+`)

// checkShown looks for what is hidden or can be clicked, but for our link and the inviter's address.
func checkShown(t fataler, text, inviter string) {
	text = strings.NewReplacer(invitation.AcceptURL, "", "orgs.mail.example", "").Replace(text)
	if strings.Contains(inviter, "@") && tenanttext.Person(inviter, 254) == inviter {
		text = strings.ReplaceAll(text, inviter, "")
	}
	if found := clickable.FindString(text); found != "" {
		t.Fatalf("%q can be clicked in %q", found, text)
	}
	if i := strings.IndexFunc(text, func(r rune) bool { return hidden(r) && r != '\n' && r != '\r' }); i >= 0 {
		t.Fatalf("hidden character in %q", text)
	}
}

// markup is how often the HTML of a mail may have each tag that a name might bring along, and what is free.
var (
	rare     = map[string]int{"a": 1, "b": 1, "html": 1, "head": 1, "title": 1, "body": 1, "h1": 1, "blockquote": 1, "span": 1, "meta": 4}
	usual    = []string{"table", "tr", "td", "p", "br"}
	harmless = []string{"style", "lang", "charset", "name", "content", "role", "width", "cellpadding", "cellspacing", "align", "href"}
)

func checkMarkup(t fataler, source, inviter string) {
	seen := map[string]int{}
	for z := html.NewTokenizer(strings.NewReader(source)); ; {
		switch z.Next() {
		case html.ErrorToken:
			return
		case html.CommentToken:
			t.Fatalf("a comment in\n%s", source)
		case html.TextToken:
			checkShown(t, string(z.Text()), inviter)
		case html.StartTagToken, html.SelfClosingTagToken:
			tag := z.Token()
			seen[tag.Data]++
			if most, ok := rare[tag.Data]; !ok && !slices.Contains(usual, tag.Data) || ok && seen[tag.Data] > most {
				t.Fatalf("tag %s in\n%s", tag, source)
			}
			for _, a := range tag.Attr {
				if !slices.Contains(harmless, a.Key) || a.Key == "href" && a.Val != invitation.AcceptURL {
					t.Fatalf("attribute %s=%q of %s", a.Key, a.Val, tag.Data)
				}
			}
		default:
		}
	}
}

var hostileText = rapid.Custom(func(t *rapid.T) string {
	return strings.Join(rapid.SliceOfN(rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{
		"\r\n", "\n", "\r", "\x00", ":", "Bcc: x@y.example", "=?utf-8?q?", "?=", "http://", "evil.example", "<a href=", "\"", "'", "-->", "<!--", "</blockquote>", "--", "\u202e", "> ", "{{.URL}}",
	})), 0, 10).Draw(t, "parts"), "")
})

func TestHostileNames(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := hostileNames{
			organization: hostileText.Draw(t, "organization"),
			person:       hostileText.Draw(t, "person"),
			inviter:      hostileText.Draw(t, "inviter"),
			message:      hostileText.Draw(t, "message"),
		}
		n.check(t, rapid.IntRange(0, mails-1).Draw(t, "which"))
	})
}

// FuzzNames: whatever tenants write, no mail has other headers, links or markup than ours.
func FuzzNames(f *testing.F) {
	for _, s := range []string{
		"Acme", "a\r\nBcc: b@c.example", "\x00", "=?utf-8?q?=0D=0ABcc:x?=", "\u202e", "<b>", "{{.URL}}", "é\xff",
		strings.Repeat("漢", 300), "a\n.\n", "<script>x</script>", "--><a href=\"https://evil.example\">", "jane@acme.example",
	} {
		for which := range mails {
			f.Add(which, s, s, s, s)
		}
	}
	f.Fuzz(func(t *testing.T, which int, organization, person, inviter, message string) {
		hostileNames{organization, person, inviter, message}.check(t, max(which, 0))
	})
}

// FuzzAddress: what passes for an address is one, stands in the header as what it is, and has a domain in ASCII.
func FuzzAddress(f *testing.F) {
	for _, s := range []string{
		"joe@acme.example", "joe@bücher.example", "\"a b\"@acme.example", "a@[192.0.2.1]", "a@x.example>\r\nRCPT TO:<b@x.example", "a@b@c.example",
		"a@x.example, b@x.example", "A <a@x.example>", "a@\r\n x.example", "jörg@acme.example", "a@xn--bcher-kva.example", "(c)a@x.example", "a@x.example.",
		"a@xn--", "a@x.xn--.example", "a@" + strings.Repeat("x", 64) + ".example",
	} {
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, to, inviter string) {
		e, inv := envelope, invitation
		e.To.Address, inv.Inviter = to, inviter
		m, err := words.Compose(e, inv)
		if valid := e.To.Validate(); (err == nil) != (valid == nil) || err != nil && !errors.Is(err, om.ErrAddress) {
			t.Fatalf("%q: %v, composed: %v", to, valid, err)
		}
		if err != nil {
			return
		}
		if strings.ContainsFunc(m.To, hidden) || strings.ContainsAny(e.To.Domain(), " <>,;:\"()") || strings.ContainsFunc(e.To.Domain(), func(r rune) bool { return r > unicode.MaxASCII }) {
			t.Fatalf("%q became %q", to, m.To)
		}
		got, err := mail.ReadMessage(bytes.NewReader(m.Data))
		if err != nil {
			t.Fatal(err)
		}
		list, err := got.Header.AddressList("To")
		if err != nil || len(list) != 1 || list[0].Address != m.To {
			t.Fatalf("%q: the header says %q: %v", m.To, got.Header.Get("To"), err)
		}
		list, err = got.Header.AddressList("Reply-To")
		if got.Header.Get("Reply-To") != "" && (err != nil || len(list) != 1 || !strings.HasPrefix(inviter, list[0].Address[:strings.LastIndexByte(list[0].Address, '@')+1])) {
			t.Fatalf("answers of %q go to %q: %v", inviter, got.Header.Get("Reply-To"), err)
		}
		if len(got.Header) > len(ours)+1 {
			t.Fatalf("headers: %v", got.Header)
		}
	})
}
