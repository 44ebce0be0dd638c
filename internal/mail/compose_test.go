package mail_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"mime"
	"net/mail"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"
	"github.com/jhillyerd/enmime/v2"
	"pgregory.net/rapid"

	om "github.com/orgkeeper/orgkeeper/internal/mail"
)

var update = flag.Bool("update", false, "write testdata/*.golden anew")

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

func TestComposeGolden(t *testing.T) {
	bare := invitation
	bare.Role, bare.Inviter, bare.Message = "Member", "", ""
	anonymous := envelope
	anonymous.To.Name = ""

	international := invitation
	international.Organization = "Žluťoučký kůň – 株式会社, spol. s r.o. and a name that does not fit in one line of a header"
	international.Role = "BillingAdmin"
	abroad := envelope
	abroad.To = om.Address{Name: "Łukasz Żółć", Address: "lukasz@bücher.example"}

	hostile := invitation
	hostile.Organization = "Acme\r\nBcc: all@evil.example\r\n\r\n<script>alert(1)</script> https://evil.example/login"
	hostile.Inviter = "The Bank <a href=\"http://evil.example\">www.evil.example</a>\u202e"
	hostile.Message = "Your account is locked.\r\n.\r\nQUIT\r\nLog in at https://evil.example/login or evil.example\x00\u2066\n" + strings.Repeat("spam ", 400)
	target := envelope
	target.To.Name = "Joe\r\nSubject: =?utf-8?q?hi?= \"<x@evil.example>"

	cases := map[string]struct {
		envelope   om.Envelope
		invitation om.Invitation
	}{
		"invitation":               {envelope, invitation},
		"invitation-bare":          {anonymous, bare},
		"invitation-international": {abroad, international},
		"invitation-hostile":       {target, hostile},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			m, err := om.Compose(tc.envelope, tc.invitation)
			if err != nil {
				t.Fatal(err)
			}
			goldenMail(t, name, m)
		})
	}
}

// goldenMail compares a mail as it goes out (eml), and what a reader sees of it (txt, html).
func goldenMail(t *testing.T, name string, m om.Message) {
	t.Helper()
	env := read(t, m)
	golden(t, name+".eml", strings.ReplaceAll(string(m.Data), "\r\n", "\n"))
	golden(t, name+".txt", strings.ReplaceAll(env.Text, "\r\n", "\n"))
	golden(t, name+".html", strings.ReplaceAll(env.HTML, "\r\n", "\n"))
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (write it anew with -update) -want +got:\n%s", file, diff)
	}
}

// read parses a mail as a foreign program does, and fails on anything that it objects to.
func read(t fataler, m om.Message) *enmime.Envelope {
	env, err := enmime.ReadEnvelope(bytes.NewReader(m.Data))
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
	m, err := om.Compose(envelope, invitation)
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
	first, err := om.Compose(envelope, invitation)
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		again, err := om.Compose(envelope, invitation)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(first.Data), string(again.Data)); diff != "" {
			t.Fatalf("a repeated mail must be the same mail:\n%s", diff)
		}
	}
}

func TestComposeShowsTheLinkWhole(t *testing.T) {
	m, err := om.Compose(envelope, invitation)
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
			m, err := om.Compose(e, i)
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

// FuzzCompose: whatever tenants write, the mail has the headers that we gave it and no others, one link, and
// nothing that a mail program objects to.
func FuzzCompose(f *testing.F) {
	for _, s := range []string{"Acme", "a\r\nBcc: b@c.example", "\x00", "=?utf-8?q?=0D=0ABcc:x?=", "\u202e", "<b>", "{{.URL}}", "é\xff", strings.Repeat("漢", 300), "a\n.\n"} {
		f.Add(s, s, s, s)
	}
	f.Fuzz(func(t *testing.T, organization, inviter, message, name string) {
		check(t, organization, inviter, message, name)
	})
}

var hostileText = rapid.Custom(func(t *rapid.T) string {
	return strings.Join(rapid.SliceOfN(rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{
		"\r\n", "\n", "\r", "\x00", ":", "Bcc: x@y.example", "=?utf-8?q?", "?=", "http://", "evil.example", "<a href=", "\"", "'", "-->", "</blockquote>", "--", "\u202e",
	})), 0, 10).Draw(t, "parts"), "")
})

func TestComposeHostile(t *testing.T) {
	text := hostileText
	rapid.Check(t, func(t *rapid.T) {
		check(t, text.Draw(t, "organization"), text.Draw(t, "inviter"), text.Draw(t, "message"), text.Draw(t, "name"))
	})
}

func check(t fataler, organization, inviter, message, name string) {
	e, i := envelope, invitation
	e.To.Name, i.Organization, i.Inviter, i.Message = name, organization, inviter, message
	m, err := om.Compose(e, i)
	if err != nil {
		if !strings.Contains(err.Error(), "no name that can be shown") {
			t.Fatalf("not composed: %v", err)
		}
		return
	}
	checkMail(t, m, 1)
}

// checkMail holds a mail to what tenants must not change: our headers and no others, so many links, one recipient.
func checkMail(t fataler, m om.Message, links int) {
	env := read(t, m)
	if len(env.Root.Header) != 10 {
		t.Fatalf("headers: %v", env.Root.Header)
	}
	for key, values := range env.Root.Header {
		decoded, err := new(mime.WordDecoder).DecodeHeader(values[0])
		if len(values) != 1 || err != nil || strings.ContainsFunc(decoded, func(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) }) {
			t.Fatalf("header %s: %q: %v", key, values, err)
		}
	}
	for line := range strings.SplitSeq(string(m.Data), "\r\n") {
		if len(line) > 998 || strings.ContainsAny(line, "\r\n\x00") {
			t.Fatalf("line of %d bytes: %q", len(line), line)
		}
	}
	if n := strings.Count(env.HTML, "<a "); n != links {
		t.Fatalf("%d links in the HTML", n)
	}
	if n := strings.Count(env.Text, "://"); n != links {
		t.Fatalf("%d links in the text:\n%s", n, env.Text)
	}
	raw, err := mail.ReadMessage(bytes.NewReader(m.Data))
	if err != nil {
		t.Fatalf("header: %v", err)
	}
	list, err := raw.Header.AddressList("To")
	if err != nil || len(list) != 1 || list[0].Address != "joe@acme.example" {
		t.Fatalf("recipients %v: %v", list, err)
	}
}

func TestNothingPrintsAddressesOrLinks(t *testing.T) {
	m, err := om.Compose(envelope, invitation)
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
