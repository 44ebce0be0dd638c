// Copyright The orgkeeper Authors.
// SPDX-License-Identifier: Apache-2.0

package mailcatcher

import (
	"fmt"
	"io"
	"net/http"
	"net/smtp"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

const invitation = "From: \"orgkeeper\" <invitations@orgkeeper.example>\r\n" +
	"To: =?utf-8?q?Zo=C3=AB?= <zoe@acme.example>\r\n" +
	"Subject: =?utf-8?q?Join_Acme_=3Cnow=3E?=\r\n" +
	"MIME-Version: 1.0\r\n" +
	"Content-Type: multipart/alternative; boundary=b\r\n\r\n" +
	"--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n" +
	"<b>Open</b> http://127.0.0.1:8080/i/abc.def, please.\r\n.. two dots\r\n" +
	"--b\r\nContent-Type: text/html; charset=utf-8\r\n\r\n" +
	"<p><a href=\"http://127.0.0.1:8080/i/abc.def\">Open</a></p><script>alert(1)</script>\r\n" +
	"--b--\r\n"

func start(t *testing.T) (*Catcher, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "mail")
	c, err := Start(dir, "127.0.0.1:0", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Stop)
	return c, dir
}

func send(t *testing.T, c *Catcher, content string) error {
	t.Helper()
	return smtp.SendMail(c.SMTPAddress, nil, "invitations@orgkeeper.example", []string{"zoe@acme.example"}, []byte(content))
}

func mails(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.eml"))
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// get returns an answer of the inbox page, whatever its status.
func get(t *testing.T, c *Catcher, path string) (int, string, http.Header) {
	t.Helper()
	resp, err := http.Get("http://" + c.InboxAddress + path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body), resp.Header
}

func mustContain(t *testing.T, where, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%s lacks %q:\n%s", where, part, text)
		}
	}
}

func TestMailIsKeptAsItCame(t *testing.T) {
	c, dir := start(t)
	before := time.Now().UTC().Truncate(time.Millisecond)
	if err := send(t, c, invitation); err != nil {
		t.Fatal(err)
	}
	files := mails(t, dir)
	if len(files) != 1 {
		t.Fatalf("one mail was sent, there are: %v", files)
	}
	content, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	if string(content) != invitation {
		t.Errorf("the file differs from the mail:\n%q", content)
	}
	stamp, _, _ := strings.Cut(filepath.Base(files[0]), "-")
	received, err := time.Parse("20060102T150405.000Z", stamp)
	if err != nil || received.Before(before) || received.After(time.Now().UTC()) {
		t.Errorf("the name must tell when it came, in UTC: %s (%v)", files[0], err)
	}
}

func TestMailsAtOnce(t *testing.T) {
	c, dir := start(t)
	const senders = 20
	results := make(chan error)
	for range senders {
		go func() { results <- send(t, c, invitation) }()
	}
	for range senders {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	if files := mails(t, dir); len(files) != senders {
		t.Errorf("%d mails were sent, %d are kept", senders, len(files))
	}
	if leftover, _ := filepath.Glob(filepath.Join(dir, ".*")); len(leftover) != 0 {
		t.Errorf("half-written files stay: %v", leftover)
	}
}

func TestTooLargeMailIsRefused(t *testing.T) {
	c, dir := start(t)
	err := send(t, c, "Subject: large\r\n\r\n"+strings.Repeat("0123456789abcdef\r\n", maxMessageBytes/16))
	if err == nil || !strings.HasPrefix(err.Error(), "552") {
		t.Errorf("want a permanent refusal for its size (552), got: %v", err)
	}
	if files := mails(t, dir); len(files) != 0 {
		t.Errorf("a refused mail must not be kept: %v", files)
	}
	if err := send(t, c, invitation); err != nil {
		t.Errorf("the next mail must not suffer: %v", err)
	}
}

func TestEmptyInbox(t *testing.T) {
	c, _ := start(t)
	status, body, _ := get(t, c, "/")
	if status != http.StatusOK {
		t.Errorf("status %d", status)
	}
	mustContain(t, "the page", body, "No mail yet", `lang="en"`)
}

func TestInboxListsNewestFirst(t *testing.T) {
	c, _ := start(t)
	for i, at := range []time.Time{time.Unix(3000, 0), time.Unix(1000, 0), time.Unix(2000, 0)} {
		if err := c.store.add(fmt.Appendf(nil, "From: a@b\r\nSubject: mail-%d\r\n\r\nhello\r\n", i), at); err != nil {
			t.Fatal(err)
		}
	}
	_, body, _ := get(t, c, "/")
	order := []int{strings.Index(body, "mail-0"), strings.Index(body, "mail-2"), strings.Index(body, "mail-1")}
	if slices.Contains(order, -1) || !slices.IsSorted(order) {
		t.Errorf("want mail-0, mail-2, mail-1; they are at %v in:\n%s", order, body)
	}
}

func TestInboxPages(t *testing.T) {
	c, _ := start(t)
	for i := range mailsPerPage + 1 {
		if err := c.store.add(fmt.Appendf(nil, "Subject: mail-%d.\r\n\r\n", i), time.Unix(int64(i), 0)); err != nil {
			t.Fatal(err)
		}
	}
	_, first, _ := get(t, c, "/")
	if strings.Contains(first, "mail-0.") {
		t.Error("the oldest of one mail too many is on the first page")
	}
	_, link, found := strings.Cut(first, `href="/?before=`)
	if !found {
		t.Fatalf("no link to older mails:\n%s", first)
	}
	name, _, _ := strings.Cut(link, `"`)
	_, second, _ := get(t, c, "/?before="+name)
	mustContain(t, "the second page", second, "mail-0.")
	if strings.Contains(second, "mail-1.") {
		t.Error("a mail of the first page is on the second too")
	}
}

func TestMailPage(t *testing.T) {
	c, dir := start(t)
	if err := send(t, c, invitation); err != nil {
		t.Fatal(err)
	}
	name := filepath.Base(mails(t, dir)[0])

	_, list, _ := get(t, c, "/")
	mustContain(t, "the list", list, "Join Acme &lt;now&gt;", "Zoë", "invitations@orgkeeper.example", `href="/mail/`+name+`"`)

	status, page, header := get(t, c, "/mail/"+name)
	if status != http.StatusOK {
		t.Fatalf("status %d: %s", status, page)
	}
	mustContain(t, "the mail's page", page,
		"Join Acme &lt;now&gt;", "Zoë",
		"&lt;b&gt;Open&lt;/b&gt;",                    // what a mail says is text, never markup
		`<a href="http://127.0.0.1:8080/i/abc.def" `, // without the comma
		`sandbox="allow-popups allow-popups-to-escape-sandbox"`, `src="/mail/`+name+`/html"`)
	mustContain(t, "the page's policy", header.Get("Content-Security-Policy"), "default-src 'none'", "frame-src 'self'")

	_, part, header := get(t, c, "/mail/"+name+"/html")
	mustContain(t, "the HTML part", part, `<base target="_blank">`, `<a href="http://127.0.0.1:8080/i/abc.def">`)
	policy := header.Get("Content-Security-Policy")
	mustContain(t, "the HTML part's policy", policy, "sandbox allow-popups allow-popups-to-escape-sandbox;", "default-src 'none'")
	if strings.Contains(policy, "allow-scripts") || strings.Contains(policy, "script-src") {
		t.Errorf("a mail must not run scripts: %s", policy)
	}

	_, source, header := get(t, c, "/mail/"+name+"/source")
	if source != invitation || !strings.HasPrefix(header.Get("Content-Type"), "text/plain") {
		t.Errorf("the source must be the mail as it came, as text: %s\n%s", header.Get("Content-Type"), source)
	}
}

func TestMalformedMailIsShown(t *testing.T) {
	c, dir := start(t)
	if err := c.store.add([]byte("\x00\xff no header at all"), time.Now()); err != nil {
		t.Fatal(err)
	}
	if status, body, _ := get(t, c, "/"); status != http.StatusOK {
		t.Errorf("one bad mail must not hide the others: %d %s", status, body)
	}
	name := filepath.Base(mails(t, dir)[0])
	status, body, _ := get(t, c, "/mail/"+name)
	if status != http.StatusOK {
		t.Errorf("status %d", status)
	}
	mustContain(t, "the page", body, "malformed", "/source")
}

func TestOnlyMailsAreServed(t *testing.T) {
	c, dir := start(t)
	if err := os.WriteFile(filepath.Join(filepath.Dir(dir), "secret.eml"), []byte("Subject: secret\r\n\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "20260101T000000.000Z-0001.eml") // a good name that leads out of the directory
	if err := os.Symlink("../secret.eml", link); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{
		"..%2fsecret.eml", "../secret.eml", "secret.eml", "%2e%2e%2fsecret.eml", "..%5csecret.eml", ".", "", "x",
		"99999999T999999.999Z-0001.eml", "20260101T000000.000Z-0001.eml%00", "20260101T000000.000Z-0001.eml",
	} {
		for _, suffix := range []string{"", "/html", "/source"} {
			status, body, _ := get(t, c, "/mail/"+name+suffix)
			if status < 400 || strings.Contains(body, "secret\r\n") || strings.Contains(body, "Subject:") {
				t.Errorf("/mail/%s%s: %d %s", name, suffix, status, body)
			}
		}
	}
	for _, path := range []string{"/list.html", "/lock", "/mail/"} {
		if status, _, _ := get(t, c, path); status != http.StatusNotFound {
			t.Errorf("%s: %d", path, status)
		}
	}
	resp, err := http.Post("http://"+c.InboxAddress+"/", "text/plain", nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", resp.StatusCode)
	}
}

func TestSplitLinks(t *testing.T) {
	for text, want := range map[string]string{
		"none":                               "none",
		"see https://a.example/x?y=1&z=2.":   "see [https://a.example/x?y=1&z=2].",
		"(http://127.0.0.1:8080/i/a-b_c.d)":  "([http://127.0.0.1:8080/i/a-b_c.d])",
		"http://a.example\nhttp://b.example": "[http://a.example]\n[http://b.example]",
		"javascript:alert(1)":                "javascript:alert(1)",
	} {
		var got strings.Builder
		for _, p := range splitLinks(text) {
			if p.URL != "" {
				p.Text = "[" + p.Text + "]"
			}
			got.WriteString(p.Text)
		}
		if got.String() != want {
			t.Errorf("splitLinks(%q): %q, want %q", text, got.String(), want)
		}
	}
}
