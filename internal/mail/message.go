package mail

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode"

	gomail "github.com/wneessen/go-mail"
)

// Envelope is what every mail needs besides its content.
type Envelope struct {
	// MessageID identifies the mail for good, without angle brackets: the same for each copy of one mail, another for
	// any other mail. Its right side is the mail domain, not the name of a host. At most 200 bytes of
	// letters, digits and . _ + - around one @.
	MessageID string
	// From is the sender in the header and in the envelope: bounces go there.
	From Address
	To   Address
	// Date is the moment of the Date header, to the second; shown in UTC. Pass the same for each copy.
	Date time.Time
	// Language is one of Languages, such as Language chooses; empty: en.
	Language string
}

// Message is a composed mail, ready for SMTP.Send. Templates.Compose makes it.
type Message struct {
	// ID is the Message-ID without angle brackets.
	ID string
	// From and To are the envelope's addresses, domains in ASCII.
	From, To string
	// Date is that of the Date header.
	Date time.Time
	// Data is the whole mail, header and body, lines ended by CRLF.
	Data []byte
}

// String names the mail without showing anything of it.
func (m Message) String() string { return fmt.Sprintf("mail %s (%d bytes)", m.ID, len(m.Data)) }

// GoString is String, for %#v.
func (m Message) GoString() string { return m.String() }

var messageID = regexp.MustCompile(`^[A-Za-z0-9_+-]+(\.[A-Za-z0-9_+-]+)*@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*$`)

// render puts a mail together from words that are final.
func render(e Envelope, replyTo string, words body) (Message, error) {
	if len(e.MessageID) > 200 || !messageID.MatchString(e.MessageID) {
		return Message{}, errors.New("message id is not of the form left@right")
	}
	from, err := e.From.parse()
	if err != nil {
		return Message{}, fmt.Errorf("sender: %w", err)
	}
	to, err := e.To.parse()
	if err != nil {
		return Message{}, fmt.Errorf("recipient: %w", err)
	}
	if e.Date.IsZero() {
		return Message{}, errors.New("mail has no date")
	}

	// A random boundary would make each copy another mail. That of the content's hash cannot occur in it.
	sum := sha256.Sum256([]byte(e.MessageID + "\x00" + words.text + "\x00" + words.html))
	m := gomail.NewMsg(
		gomail.WithNoDefaultUserAgent(),
		gomail.WithEncoding(gomail.EncodingQP),
		gomail.WithCharset(gomail.CharsetUTF8),
		gomail.WithBoundary(hex.EncodeToString(sum[:16])),
	)
	m.FromMailAddress(from)
	m.ToMailAddress(to)
	if a := answersTo(replyTo); a != nil {
		m.ReplyToMailAddress(a)
	}
	m.Subject(words.subject)
	m.SetMessageIDWithValue(e.MessageID)
	date := e.Date.UTC()
	m.SetDateWithValue(date)
	// RFC 3834: no vacation notes back. Not Precedence: bulk, which go-mail's SetBulk adds: this is no bulk mail.
	m.SetGenHeader("Auto-Submitted", "auto-generated")
	m.SetGenHeader("X-Auto-Response-Suppress", "All")
	m.SetGenHeader("Content-Language", words.language)
	text, encoding := wire(words.text)
	m.SetBodyString(gomail.TypeTextPlain, text, gomail.WithPartEncoding(encoding))
	html, encoding := wire(words.html)
	m.AddAlternativeString(gomail.TypeTextHTML, html, gomail.WithPartEncoding(encoding))

	var b bytes.Buffer
	if _, err := m.WriteTo(&b); err != nil {
		return Message{}, fmt.Errorf("writing mail: %w", err)
	}
	return Message{ID: e.MessageID, From: from.Address, To: to.Address, Date: date, Data: b.Bytes()}, nil
}

// wire is a body as it is sent, and how it is encoded. Plain ASCII goes as it is, so that the link stays whole also to
// people and programs that read the raw mail; quoted-printable would break it across lines. It is marked 8bit, since go-mail
// encodes what is marked 7bit.
func wire(body string) (string, gomail.Encoding) {
	const maxLine = 998 // RFC 5322, 2.1.1
	for line := range strings.Lines(body) {
		if len(line) > maxLine || strings.ContainsFunc(line, func(r rune) bool { return r > unicode.MaxASCII }) {
			return body, gomail.EncodingQP
		}
	}
	return strings.ReplaceAll(body, "\n", "\r\n"), gomail.NoEncoding
}
