package mail

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"os"
	"regexp"
	"strings"
	"syscall"
	"unicode"
	"unicode/utf8"
)

// Kind is what a failed Send means for the one who has to decide what next.
type Kind string

const (
	// Temporary: this mail was not taken now; try it again later. A 4xx answer, or the connection ended before the
	// content was handed over.
	Temporary Kind = "Temporary"
	// Permanent: this mail will never be taken; trying again is of no use. A 5xx answer about this recipient or mail.
	Permanent Kind = "Permanent"
	// Ambiguous: the content was sent and no answer came, so it may have been delivered. Send the very same mail
	// again; a copy has the same Message-ID.
	Ambiguous Kind = "Ambiguous"
	// Unavailable: the mail server cannot be used, whoever the mail is for (name, network, certificate, password, a
	// limit that our mails exceed). The operator's to mend; try again slowly.
	Unavailable Kind = "Unavailable"
)

// Error is what Send fails with. Its text can be shown to anybody.
type Error struct {
	Kind Kind
	// Code is the server's answer (RFC 5321), 0 without one. 421 says that it closes the connection.
	Code int
	// Enhanced is the server's enhanced status code (RFC 3463), such as "5.1.1", or empty.
	Enhanced string
	// Text is what the server said, or what went wrong before it could: without addresses, links, tokens, passwords
	// and control characters, at most 200 bytes.
	Text string
	// Err is the cause, for errors.Is and errors.As. Do not print it: unlike Error, it may hold addresses.
	Err error
}

// Error says in words what Kind means, then the code and Text.
func (e *Error) Error() string {
	parts := make([]string, 0, 3)
	if e.Code != 0 {
		parts = append(parts, fmt.Sprint(e.Code))
	}
	for _, s := range []string{e.Enhanced, e.Text} {
		if s != "" {
			parts = append(parts, s)
		}
	}
	return e.words() + ": " + strings.Join(parts, " ")
}

func (e *Error) words() string {
	switch e.Kind {
	case Temporary:
		return "mail not taken for now"
	case Permanent:
		return "mail refused for good"
	case Ambiguous:
		return "mail sent but not confirmed"
	case Unavailable:
		return "mail server unavailable"
	}
	return "mail failed"
}

// GoString keeps Err out of %#v.
func (e *Error) GoString() string { return fmt.Sprintf("mail.Error(%s)", e.Error()) }

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// step is how far a Send had come when it failed; what an answer means depends on it.
type step int

const (
	connecting step = iota // dial, greeting, EHLO, TLS, AUTH: nothing was said about any mail yet
	mailFrom               // the sender only: the server has not heard of the recipient
	rcptTo
	dataBegin   // DATA, not yet answered by 354
	dataContent // from then on the server may have the mail
)

// classify turns what failed at a step into an Error. secrets are removed from its text.
func classify(at step, doing string, cause error, secrets ...string) *Error {
	e := &Error{Err: cause}
	if answer := (*textproto.Error)(nil); errors.As(cause, &answer) {
		e.Code = answer.Code
		e.Enhanced = enhanced.FindString(answer.Msg)
		e.Text = safe(strings.TrimPrefix(answer.Msg, e.Enhanced), secrets)
		e.Kind = kindOfAnswer(at, e.Code, e.Enhanced)
		return e
	}
	e.Text = safe(doing+": "+reason(cause), secrets)
	switch {
	case errors.Is(cause, errNoUTF8):
		e.Kind = Permanent
	case at == connecting:
		e.Kind = Unavailable
	case at == dataContent:
		e.Kind = Ambiguous
	default:
		e.Kind = Temporary
	}
	return e
}

var enhanced = regexp.MustCompile(`^[245]\.\d{1,3}\.\d{1,3}\b`)

func kindOfAnswer(at step, code int, enhanced string) Kind {
	switch {
	case at == connecting || ours(at, code, enhanced):
		return Unavailable
	case code/100 == 4:
		return Temporary
	case code/100 == 5 && at == mailFrom: // it cannot be about a recipient that was not yet named
		return Unavailable
	case code/100 == 5:
		return Permanent
	case at == dataContent: // no answer that SMTP knows
		return Ambiguous
	default:
		return Temporary
	}
}

// ofOneMail are the enhanced codes that are about one mailbox, or about what one mail holds.
var ofOneMail = regexp.MustCompile(`^5\.[267]\.`)

// ours tells the refusals that are about us and not about a recipient.
func ours(at step, code int, enhanced string) bool {
	switch code {
	case 530, 534, 535, 538: // all of AUTH and TLS
		return true
	case 552:
		// Our mails are too big for it. But 5.2.x is about one mailbox (RFC 3463), 5.6.x and 5.7.x are about what one mail says, as
		// Gmail's "552 5.7.0 blocked because its content presents a potential security issue": tenants write some of that. And
		// so is what is said of a recipient without more words (RFC 5321, 4.2.3). None of these stops anybody else's mail.
		return !ofOneMail.MatchString(enhanced) && (at != rcptTo || enhanced != "")
	}
	return false
}

// reason says in plain words what the usual causes are, and else what the cause says itself.
func reason(err error) string {
	var timeout net.Error
	var lookup *net.DNSError
	switch {
	case errors.As(err, &lookup) && lookup.IsNotFound:
		return "the mail server's name is not known"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return "no answer in time"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF),
		errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "connection closed by the mail server"
	}
	return err.Error()
}

// maxText bounds Error.Text, in bytes.
const maxText = 200

var (
	anyURL     = regexp.MustCompile(`(?i)[a-z][a-z0-9+.-]*://[^\s<>"]*|www\.[^\s<>"]*`)
	anyAddress = regexp.MustCompile(`("[^"]*"|[^\s<>()"',;:]+)@[^\s<>()"',;]+`)
	// A token, an encoded password, a message's hash: long and without a break. Queue ids are shorter.
	anyToken = regexp.MustCompile(`[A-Za-z0-9+/_=-]{32,}`)
)

// safe makes s fit to be shown to anybody.
func safe(s string, secrets []string) string {
	for _, secret := range secrets {
		if secret != "" {
			s = strings.ReplaceAll(s, secret, "(removed)")
		}
	}
	s = strings.ToValidUTF8(s, "")
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Co):
			return -1
		}
		return r
	}, s)
	s = anyURL.ReplaceAllString(s, "(link)")
	s = anyAddress.ReplaceAllString(s, "(address)")
	s = anyToken.ReplaceAllString(s, "(removed)")
	s = strings.Join(strings.Fields(s), " ")
	if len(s) <= maxText {
		return s
	}
	end := maxText - len("…")
	for !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + "…"
}
