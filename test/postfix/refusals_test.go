// Copyright The orgkeeper Authors.
// SPDX-License-Identifier: Apache-2.0

package postfix

import (
	"bytes"
	"errors"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/orgkeeper/orgkeeper/internal/mail"
)

const known = "joe@acme.example"

// note is a short mail that can be told from others by its number.
func note(t *testing.T, number int, to string) mail.Message {
	t.Helper()
	m, err := (*mail.Templates)(nil).Compose(mail.Envelope{
		MessageID: "note." + strconv.Itoa(number) + "@" + senderDomain,
		From:      mail.Address{Address: "no-reply@" + senderDomain}, To: mail.Address{Address: to}, Date: sent,
	}, mail.MembershipEnd{Organization: "Acme", Since: due})
	check(t, err)
	return m
}

// refusal is how Send fails.
type refusal struct {
	kind     mail.Kind
	code     int
	enhanced string
	says     string
}

func (r refusal) check(t *testing.T, err error) {
	t.Helper()
	var failure *mail.Error
	if !errors.As(err, &failure) {
		t.Fatalf("got %v, want a mail.Error", err)
	}
	if failure.Kind != r.kind || failure.Code != r.code || failure.Enhanced != r.enhanced || !strings.Contains(failure.Text, r.says) {
		t.Errorf("got %s, %d %s %q; want %+v", failure.Kind, failure.Code, failure.Enhanced, failure.Text, r)
	}
	for _, private := range []string{password, username, "@", "127.0.0.1"} {
		if strings.Contains(failure.Error(), private) {
			t.Errorf("tells %s: %s", private, failure)
		}
	}
}

// What a mail server of others refuses is understood: what is about us, what about this mail or person.
func TestRefusals(t *testing.T) {
	s, key := start(t, known), newSigner(t, "ed25519")
	for name, c := range map[string]struct {
		door   string
		change func(*mail.Config)
		to     string
		size   int // of what is added
		want   refusal
	}{
		"wrong password, SCRAM-SHA-256": {"scram", wrongPassword(t), known, 0, refusal{mail.Unavailable, 535, "5.7.8", "authentication fail"}},
		"wrong password, SCRAM-SHA-1":   {"scram1", wrongPassword(t), known, 0, refusal{mail.Unavailable, 535, "5.7.8", "authentication fail"}},
		"wrong password, PLAIN":         {"plain", wrongPassword(t), known, 0, refusal{mail.Unavailable, 535, "5.7.8", "authentication fail"}},
		"wrong password, LOGIN":         {"login", wrongPassword(t), known, 0, refusal{mail.Unavailable, 535, "5.7.8", "authentication fail"}},
		"unknown to the server, PLAIN": {"plain", func(c *mail.Config) { c.Username = "nobody@" + realm }, known, 0,
			refusal{mail.Unavailable, 535, "5.7.8", "authentication fail"}},
		"no way to sign in that is safe": {"oldest", nil, known, 0, refusal{mail.Unavailable, 0, "", "none of SCRAM-SHA-256"}},
		"no TLS": {"all", func(c *mail.Config) {
			c.TLS, c.CAFile, c.ServerName, c.Username, c.PasswordFile = mail.NoTLS, "", "", "", ""
		}, known, 0, refusal{mail.Unavailable, 530, "5.7.0", "Must issue a STARTTLS"}},
		"a stranger's certificate":          {"all", func(c *mail.Config) { c.CAFile = s.file("stranger.ca.pem") }, known, 0, refusal{mail.Unavailable, 0, "", "certificate"}},
		"the system's certificates":         {"all", func(c *mail.Config) { c.CAFile = "" }, known, 0, refusal{mail.Unavailable, 0, "", "certificate"}},
		"another name in the certificate":   {"all", func(c *mail.Config) { c.ServerName = "mail.example" }, known, 0, refusal{mail.Unavailable, 0, "", "certificate"}},
		"nobody of that name":               {"all", nil, "nobody@acme.example", 0, refusal{mail.Permanent, 550, "5.1.1", "User unknown"}},
		"nobody of that name, beyond ASCII": {"all", nil, "łucja@acme.example", 0, refusal{mail.Permanent, 550, "5.1.1", "User unknown"}},
		"relaying":                          {"all", nil, "joe@elsewhere.example", 0, refusal{mail.Permanent, 554, "5.7.1", "Relay access denied"}},
		"too long":                          {"all", nil, known, maxSize, refusal{mail.Unavailable, 552, "5.3.4", "message file too big"}},
	} {
		t.Run(name, func(t *testing.T) {
			m := note(t, 1, c.to)
			m.Data = append(m.Data, bytes.Repeat([]byte("and so on\r\n"), c.size/10)...)
			if c.change == nil {
				c.change = key.sign
			}
			smtp := s.sender(t, c.door, c.change)
			for range 2 { // the second may go over what the first left open
				c.want.check(t, smtp.Send(t.Context(), m))
			}
		})
	}
	t.Run("nothing of it arrived, and the next mail does", func(t *testing.T) {
		check(t, s.sender(t, "all", key.sign).Send(t.Context(), note(t, 2, known)))
		if got := s.await(t, known, 1, key); got["note.2@"+senderDomain].text == "" {
			t.Errorf("got %v", got)
		}
	})
	t.Run("a person who is not known does not stop the others", func(t *testing.T) {
		smtp := s.sender(t, "all", key.sign)
		for number := 3; number < 6; number++ {
			refusal{mail.Permanent, 550, "5.1.1", "User unknown"}.check(t, smtp.Send(t.Context(), note(t, number, "nobody@acme.example")))
			check(t, smtp.Send(t.Context(), note(t, number, known)))
		}
		s.await(t, known, 4, key)
	})
}

func wrongPassword(t *testing.T) func(*mail.Config) {
	file := secret(t, password+"!")
	return func(c *mail.Config) { c.PasswordFile = file }
}

// Each way to sign in that orgkeeper knows, at a server that has no other.
func TestSignIn(t *testing.T) {
	s, key := start(t, known), newSigner(t, "ed25519")
	used := regexp.MustCompile(`client=\S+, sasl_method=(\S+), sasl_username=(\S+)`)
	for number, c := range []struct{ door, mechanism string }{
		{"scram", "SCRAM-SHA-256"}, {"scram1", "SCRAM-SHA-1"}, {"plain", "PLAIN"}, {"login", "LOGIN"},
		{"all", "SCRAM-SHA-256"}, // the best that there is
	} {
		t.Run(c.door, func(t *testing.T) {
			check(t, s.sender(t, c.door, key.sign).Send(t.Context(), note(t, number, known)))
			eventually(t, soon, "the log", func() error {
				found := used.FindAllStringSubmatch(s.log(), -1)
				if len(found) != number+1 {
					return errors.New("not yet")
				}
				if last := found[number]; last[1] != c.mechanism || last[2] != username {
					t.Errorf("signed in by %v, want %s", last[1:], c.mechanism)
				}
				return nil
			})
		})
	}
	s.await(t, known, 5, key)
}

// A mail server that goes away and comes back is taken up again, whatever was left open to it.
func TestRestart(t *testing.T) {
	s, key := start(t, known), newSigner(t, "ed25519")
	smtp := s.sender(t, "all", key.sign)
	send := func(number int) error { return smtp.Send(t.Context(), note(t, number, known)) }
	check(t, send(1))
	check(t, send(2))
	s.stop(t)
	for range 2 {
		refusal{mail.Unavailable, 0, "", "connection refused"}.check(t, send(3))
	}
	s.begin(t)
	check(t, send(3))
	// Nothing was sent meanwhile, so nobody noticed.
	s.stop(t)
	s.begin(t)
	check(t, send(4))
	s.await(t, known, 4, key)
}
