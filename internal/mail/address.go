package mail

import (
	"errors"
	"fmt"
	"net/mail"
	"regexp"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"

	"github.com/orgkeeper/orgkeeper/internal/invite/tenanttext"
)

// Address is a mailbox with the name to show for it.
type Address struct {
	// Name may be empty. It may come from a tenant; it is cleaned and cut to 100 characters.
	Name string
	// Address is local@domain, at most 254 bytes. The local part is sent as written, the domain in its ASCII form.
	Address string
}

// String hides the address, which belongs in no log.
func (Address) String() string { return "mail address" }

// GoString is String, for %#v.
func (a Address) GoString() string { return a.String() }

// ErrAddress is returned for what is not one plain mail address. Its text never holds the address.
var ErrAddress = errors.New("not a mail address")

// lookup is idna.Lookup that also refuses labels without a letter, which "xn--" is in ASCII, and those that no DNS can hold.
var lookup = idna.New(idna.MapForLookup(), idna.BidiRule(), idna.VerifyDNSLength(true))

const maxAddress = 254 // RFC 5321, 4.5.3.1.3, less the angle brackets

// Validate returns ErrAddress unless a is one plain mail address.
func (a Address) Validate() error {
	_, err := a.parse()
	return err
}

// Domain is the mail domain in its ASCII form; empty unless Validate passes.
func (a Address) Domain() string {
	parsed, err := a.parse()
	if err != nil {
		return ""
	}
	return parsed.Address[strings.LastIndexByte(parsed.Address, '@')+1:]
}

// parse checks a and returns it with the domain in ASCII and the name made harmless.
func (a Address) parse() (*mail.Address, error) {
	if len(a.Address) > maxAddress {
		return nil, fmt.Errorf("%w: longer than %d bytes", ErrAddress, maxAddress)
	}
	// net/mail also takes names, comments and folded lines: none of that is an address alone.
	parsed, err := mail.ParseAddress(a.Address)
	if err != nil || parsed.Name != "" || parsed.Address != a.Address {
		return nil, ErrAddress
	}
	if !utf8.ValidString(a.Address) || strings.ContainsFunc(a.Address, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return nil, ErrAddress
	}
	at := strings.LastIndexByte(a.Address, '@')
	domain := a.Address[at+1:]
	if !strings.HasPrefix(domain, "[") { // an address literal is no name
		if domain, err = lookup.ToASCII(domain); err != nil {
			return nil, fmt.Errorf("%w: its domain is not valid", ErrAddress)
		}
	}
	// net/mail leaves a backslash in an encoded word, where RFC 2047 (5, rule 3) does not allow it.
	name := strings.ReplaceAll(tenanttext.Line(a.Name, maxName), `\`, "/")
	return &mail.Address{Name: name, Address: a.Address[:at+1] + domain}, nil
}

// answersTo is the address for Reply-To, or nil if s is not a plain one: a user name, or what only a server with SMTPUTF8
// would take, is no reason to send no mail. It never has a name beside it.
func answersTo(s string) *mail.Address {
	if !dotAtom.MatchString(s) {
		return nil
	}
	a, err := Address{Address: s}.parse()
	if err != nil || !ascii(a.Address) {
		return nil
	}
	return a
}

// dotAtom is a local part that needs no quotes (RFC 5322, 3.2.3), and the domain, which parse checks.
var dotAtom = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*@[^@\\[\\]]+$")
