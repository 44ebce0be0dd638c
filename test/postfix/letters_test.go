// Copyright The orgkeeper Authors.
// SPDX-License-Identifier: Apache-2.0

package postfix

import (
	"errors"
	"fmt"
	"net/mail"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/jhillyerd/enmime/v2"
)

// letter is a mail as its recipient reads it.
type letter struct {
	raw        string // as it lies in the mailbox, lines ended by CRLF
	id         string
	subject    string
	text, html string
	header     func(name string) string // decoded
	count      func(name string) int
	people     func(header string) ([]*mail.Address, error)
}

// read opens a mail as a mail program does, and fails on anything that such a program could stumble over.
func read(raw string) (letter, error) {
	raw = strings.ReplaceAll(strings.ReplaceAll(raw, "\r\n", "\n"), "\n", "\r\n") // a mailbox has the line ends of the system
	// What they would guess from rare letters is no fault of a mail that says UTF-8 and is.
	env, err := enmime.NewParser(enmime.DisableCharacterDetection(true)).ReadEnvelope(strings.NewReader(raw))
	if err != nil {
		return letter{}, err
	}
	var faults []error
	for _, fault := range env.Errors {
		faults = append(faults, fault)
	}
	for line := range strings.Lines(raw) {
		if len(line) > 1000 { // with its end
			faults = append(faults, fmt.Errorf("a line has %d bytes", len(line)))
		}
	}
	parts := []string{env.Root.ContentType}
	for part := env.Root.FirstChild; part != nil; part = part.NextSibling {
		parts = append(parts, part.ContentType)
	}
	if want := []string{"multipart/alternative", "text/plain", "text/html"}; !slices.Equal(parts, want) {
		faults = append(faults, fmt.Errorf("parts are %v, want %v", parts, want))
	}
	return letter{
		raw: raw, id: strings.Trim(env.GetHeader("Message-ID"), "<>"), subject: env.GetHeader("Subject"),
		text: unix(env.Text), html: unix(env.HTML),
		header: env.GetHeader, count: func(name string) int { return len(env.GetHeaderValues(name)) },
		people: env.AddressList,
	}, errors.Join(faults...)
}

func unix(s string) string { return strings.ReplaceAll(s, "\r\n", "\n") }

var anyLink = regexp.MustCompile(`[a-z]+://[^\s<>"]+`)

// links are all different ones of a part.
func links(part string) []string {
	return slices.Compact(slices.Sorted(slices.Values(anyLink.FindAllString(part, -1))))
}

// says tells whether the text has these words, wherever its lines are broken.
func (l letter) says(words string) bool {
	return strings.Contains(strings.Join(strings.Fields(l.text), " "), strings.Join(strings.Fields(words), " "))
}

// await gives the mails of a mailbox by Message-ID, once there are so many; each as orgkeeper signed it.
func (s *server) await(t *testing.T, address string, count int, key signer) map[string]letter {
	t.Helper()
	var raw []string
	eventually(t, long, fmt.Sprintf("%d mails in a mailbox", count), func() (err error) {
		if raw, err = s.delivered(address); err == nil && len(raw) < count {
			err = fmt.Errorf("%d mails", len(raw))
		}
		return err
	})
	if len(raw) != count {
		t.Errorf("%d mails, want %d", len(raw), count)
	}
	letters := map[string]letter{}
	for _, content := range raw {
		l, err := read(content)
		if err != nil {
			t.Errorf("%v in the mail\n%s", err, content)
		}
		if err := key.verify(l.raw); err != nil {
			t.Errorf("not signed: %v\n%s", err, content)
		}
		if l.header("Delivered-To") != address || l.count("Received") == 0 {
			t.Errorf("did not come through postfix:\n%s", content)
		}
		if _, again := letters[l.id]; again {
			t.Errorf("twice the same mail: %s", l.id)
		}
		letters[l.id] = l
	}
	return letters
}

// headers fails unless these are in the mail once, decoded, and what marks mails that go to many is not.
func (l letter) headers(t *testing.T, want map[string]string) {
	t.Helper()
	want["Auto-Submitted"], want["X-Auto-Response-Suppress"] = "auto-generated", "All"
	for name, value := range want {
		count := 1
		if value == "" {
			count = 0
		}
		if got := l.header(name); got != value || l.count(name) != count {
			t.Errorf("%s: got %q, %d times, want %q", name, got, l.count(name), value)
		}
	}
	for _, name := range []string{"Precedence", "List-Unsubscribe", "Bcc", "Sender", "User-Agent", "X-Mailer"} {
		if l.count(name) != 0 {
			t.Errorf("%s: %q", name, l.header(name))
		}
	}
}

// person reads a header with one address.
func (l letter) person(t *testing.T, name string) mail.Address {
	t.Helper()
	people, err := l.people(name)
	if err != nil || len(people) != 1 {
		t.Errorf("%s: want one address, got %v, %v", name, people, err)
		return mail.Address{}
	}
	return *people[0]
}
