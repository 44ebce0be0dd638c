package mail_test

import (
	"bytes"
	"errors"
	"fmt"
	"mime"
	"net/mail"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jhillyerd/enmime/v2"

	om "github.com/orgkeeper/orgkeeper/internal/mail"
)

// words are orgkeeper's own.
var words *om.Templates

var (
	envelope = om.Envelope{
		MessageID: "0c9f4f0e-6d3b-4b8e-9a53-0a4a5f6f7e11.3.invitation@mail.example",
		From:      om.Address{Name: "orgkeeper", Address: "no-reply@mail.example"},
		To:        om.Address{Name: "Joe Doe", Address: "joe@acme.example"},
		Date:      time.Date(2026, 6, 24, 9, 30, 0, 0, time.UTC),
	}
	invitation = om.Invitation{
		Organization: "Acme S.p.A.",
		Role:         "UserAdmin",
		Inviter:      "jane@acme.example",
		Message:      "Welcome!\n\nWe meet on Monday.",
		Expires:      time.Date(2026, 7, 1, 12, 0, 0, 0, time.FixedZone("CEST", 2*60*60)),
		AcceptURL:    "https://orgs.mail.example/i/AAAAAwAAAABqRQPAMGM5ZjRmMGUtNmQz",
	}
)

// read parses a mail as a foreign program does, and fails on anything that it objects to.
func read(t fataler, m om.Message) *enmime.Envelope {
	// What they would guess from rare letters is no fault of a mail that says UTF-8 and is.
	env, err := enmime.NewParser(enmime.DisableCharacterDetection(true)).ReadEnvelope(bytes.NewReader(m.Data))
	if err != nil {
		t.Fatalf("mail cannot be parsed: %v", err)
	}
	for _, e := range env.Errors {
		t.Fatalf("mail has a fault: %v", e)
	}
	return env
}

type fataler interface{ Fatalf(string, ...any) }

func TestComposeHeaders(t *testing.T) {
	m, err := words.Compose(envelope, invitation)
	if err != nil {
		t.Fatal(err)
	}
	got, err := mail.ReadMessage(bytes.NewReader(m.Data))
	if err != nil {
		t.Fatal(err)
	}
	contentType, params, err := mime.ParseMediaType(got.Header.Get("Content-Type"))
	if err != nil || contentType != "multipart/alternative" || params["boundary"] == "" {
		t.Errorf("content type %s %v: %v", contentType, params, err)
	}
	got.Header["Content-Type"] = nil
	want := mail.Header{
		"From":                     {`"orgkeeper" <no-reply@mail.example>`},
		"To":                       {`"Joe Doe" <joe@acme.example>`},
		"Reply-To":                 {"<jane@acme.example>"},
		"Subject":                  {"Invitation to join Acme S.p.A."},
		"Date":                     {"Wed, 24 Jun 2026 09:30:00 +0000"},
		"Message-Id":               {"<" + envelope.MessageID + ">"},
		"Mime-Version":             {"1.0"},
		"Auto-Submitted":           {"auto-generated"},
		"X-Auto-Response-Suppress": {"All"},
		"Content-Language":         {"en"},
		"Content-Type":             nil,
	}
	if diff := cmp.Diff(want, got.Header); diff != "" {
		t.Errorf("headers, and no others: -want +got:\n%s", diff)
	}
	env := read(t, m)
	first, second := env.Root.FirstChild, env.Root.FirstChild.NextSibling
	if first.ContentType != "text/plain" || second.ContentType != "text/html" || second.NextSibling != nil {
		t.Errorf("parts: want text first, then HTML, then nothing")
	}
	for _, p := range []*enmime.Part{first, second} {
		if enc := p.Header.Get("Content-Transfer-Encoding"); enc != "8bit" || p.Charset != "UTF-8" {
			t.Errorf("%s: encoding %q, charset %q", p.ContentType, enc, p.Charset)
		}
	}
	if m.ID != envelope.MessageID || m.From != "no-reply@mail.example" || m.To != "joe@acme.example" {
		t.Errorf("envelope: %q %q %q", m.ID, m.From, m.To)
	}
}

func TestComposeIsDeterministic(t *testing.T) {
	first, err := words.Compose(envelope, invitation)
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		again, err := words.Compose(envelope, invitation)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(first.Data), string(again.Data)); diff != "" {
			t.Fatalf("a repeated mail must be the same mail:\n%s", diff)
		}
	}
}

func TestComposeShowsTheLinkWhole(t *testing.T) {
	m, err := words.Compose(envelope, invitation)
	if err != nil {
		t.Fatal(err)
	}
	env := read(t, m)
	if !strings.Contains(env.Text, "\r\n"+invitation.AcceptURL+"\r\n") {
		t.Error("the text has no line with the link alone")
	}
	if !strings.Contains(string(m.Data), "\r\n"+invitation.AcceptURL+"\r\n") {
		t.Error("the raw mail breaks the link: whoever copies it from the file gets a part of it")
	}
	if !strings.Contains(env.HTML, `href="`+invitation.AcceptURL+`"`) || !strings.Contains(env.HTML, "on orgs.mail.example</a>") {
		t.Error("the HTML hides the link or where it leads")
	}
	for _, remote := range []string{"<img", "src=", "url(", "<link", "@import"} {
		if strings.Contains(env.HTML, remote) {
			t.Errorf("the HTML loads something: %s", remote)
		}
	}
}

func TestComposeRefuses(t *testing.T) {
	cases := map[string]struct {
		reason  string
		change  func(*om.Envelope, *om.Invitation)
		address bool
	}{
		"NoRecipient":    {"empty", func(e *om.Envelope, _ *om.Invitation) { e.To.Address = "" }, true},
		"Injection":      {"a second command", func(e *om.Envelope, _ *om.Invitation) { e.To.Address = "a@x.example>\r\nRCPT TO:<b@x.example" }, true},
		"LineBreak":      {"a second header", func(e *om.Envelope, _ *om.Invitation) { e.To.Address = "a@x.example\r\nBcc: b@x.example" }, true},
		"Folded":         {"folded white space is legal in a header, not in an address", func(e *om.Envelope, _ *om.Invitation) { e.To.Address = "a@\r\n x.example" }, true},
		"Null":           {"NUL", func(e *om.Envelope, _ *om.Invitation) { e.To.Address = "a\x00@x.example" }, true},
		"QuotedNewline":  {"in a quoted local part", func(e *om.Envelope, _ *om.Invitation) { e.To.Address = "\"a\r\nb\"@x.example" }, true},
		"Two":            {"one recipient", func(e *om.Envelope, _ *om.Invitation) { e.To.Address = "a@x.example, b@x.example" }, true},
		"WithName":       {"the name has its own field", func(e *om.Envelope, _ *om.Invitation) { e.To.Address = "A <a@x.example>" }, true},
		"Long":           {"longer than SMTP takes", func(e *om.Envelope, _ *om.Invitation) { e.To.Address = strings.Repeat("a", 250) + "@x.example" }, true},
		"BadDomain":      {"idna refuses", func(e *om.Envelope, _ *om.Invitation) { e.To.Address = "a@xn--a.example" }, true},
		"Sender":         {"the operator's own", func(e *om.Envelope, _ *om.Invitation) { e.From.Address = "nobody" }, true},
		"MessageID":      {"a line break there", func(e *om.Envelope, _ *om.Invitation) { e.MessageID = "a@b>\r\nBcc: <c@d" }, false},
		"NoMessageID":    {"go-mail would make a random one", func(e *om.Envelope, _ *om.Invitation) { e.MessageID = "" }, false},
		"NoDate":         {"go-mail would take the present", func(e *om.Envelope, _ *om.Invitation) { e.Date = time.Time{} }, false},
		"Role":           {"unknown", func(_ *om.Envelope, i *om.Invitation) { i.Role = "Owner" }, false},
		"NoOrganization": {"nothing to show", func(_ *om.Envelope, i *om.Invitation) { i.Organization = "\u202e" }, false},
		"NoExpiry":       {"would say year 1", func(_ *om.Envelope, i *om.Invitation) { i.Expires = time.Time{} }, false},
		"Script":         {"no http", func(_ *om.Envelope, i *om.Invitation) { i.AcceptURL = "javascript:alert(1)" }, false},
		"Relative":       {"no host", func(_ *om.Envelope, i *om.Invitation) { i.AcceptURL = "/i/x" }, false},
		"User":           {"looks like another host", func(_ *om.Envelope, i *om.Invitation) { i.AcceptURL = "https://bank.example@evil.example/" }, false},
		"Space":          {"would end the link", func(_ *om.Envelope, i *om.Invitation) { i.AcceptURL = "https://x.example/i/a b" }, false},
		"LinkLineBreak":  {"would start a line", func(_ *om.Envelope, i *om.Invitation) { i.AcceptURL = "https://x.example/i/a\r\nx" }, false},
		"Quote":          {"would end the attribute", func(_ *om.Envelope, i *om.Invitation) { i.AcceptURL = `https://x.example/"onclick=` }, false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			e, i := envelope, invitation
			tc.change(&e, &i)
			m, err := words.Compose(e, i)
			if err == nil {
				t.Fatalf("%s: was composed:\n%s", tc.reason, m.Data)
			}
			if errors.Is(err, om.ErrAddress) != tc.address {
				t.Errorf("%s: %v: is ErrAddress: %v, want %v", tc.reason, err, !tc.address, tc.address)
			}
			for _, secret := range []string{"x.example", "evil", "alert", "\r", "\n"} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("%s: the error shows its input: %q", tc.reason, err)
				}
			}
		})
	}
}

func TestNothingPrintsAddressesOrLinks(t *testing.T) {
	m, err := words.Compose(envelope, invitation)
	if err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if got := fmt.Sprintf(verb, m) + fmt.Sprintf(verb, envelope) + fmt.Sprintf(verb, invitation); strings.Contains(got, "joe@") || strings.Contains(got, "/i/") {
			t.Errorf("%s prints %s", verb, got)
		}
	}
}

func TestDomain(t *testing.T) {
	for address, want := range map[string]string{
		"x@mail.example":    "mail.example",
		"x@münchen.example": "xn--mnchen-3ya.example",
		"nobody":            "",
	} {
		if got := (om.Address{Address: address}).Domain(); got != want {
			t.Errorf("domain of %s: %q, want %q: a Message-ID takes ASCII only", address, got, want)
		}
	}
}

func TestReplyTo(t *testing.T) {
	for _, c := range []struct{ reason, inviter, want string }{
		{"a plain address", "jane+orgs@acme.example", "<jane+orgs@acme.example>"},
		{"the domain in its ASCII form", "jane@bücher.example", "<jane@xn--bcher-kva.example>"},
		{"which stays if it is that already", "jane@xn--bcher-kva.example", "<jane@xn--bcher-kva.example>"},
		{"nobody", "", ""},
		{"a user name", "jane", ""},
		{"a user name with a prefix", "oidc:jane@acme.example", ""},
		{"a second header", "jane@acme.example\r\nBcc: x@evil.example", ""},
		{"a second address", "jane@acme.example, x@evil.example", ""},
		{"a name beside it", "Bank <x@evil.example>", ""},
		{"a quoted local part may hold anything", `"a b"@acme.example`, ""},
		{"would need SMTPUTF8, which the recipient's address does not", "jörg@acme.example", ""},
		{"no name of a domain", "jane@[192.0.2.1]", ""},
		{"no domain", "jane@", ""},
		{"hidden characters", "jane\u202e@acme.example", ""},
	} {
		inv := invitation
		inv.Inviter = c.inviter
		m, err := words.Compose(envelope, inv)
		if err != nil {
			t.Fatalf("%s: %v", c.reason, err)
		}
		got, err := mail.ReadMessage(bytes.NewReader(m.Data))
		if err != nil {
			t.Fatal(err)
		}
		if answers := got.Header.Get("Reply-To"); answers != c.want {
			t.Errorf("%s: %q: answers go to %q, want %q", c.reason, c.inviter, answers, c.want)
		}
	}
}
