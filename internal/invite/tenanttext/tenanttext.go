// Package tenanttext makes text that a tenant wrote fit to be shown to a stranger: in an invitation mail, in its
// subject, on the page behind its link.
//
// Such text is where a mail that the platform sends could be made to carry somebody else's words and links. So it
// loses control and bidirectional characters, is capped, and nothing in it can be clicked: "https://" is dropped
// and the dots of host names become middle dots ("booking.com/x" is shown as "booking·com/x"), which no mail
// program turns into a link, while "Acme S.p.A." and "v1.2" stay as they are. The result is text, not HTML: it
// still needs escaping.
package tenanttext

import (
	"net/mail"
	"regexp"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// Line returns s as one line of at most limit characters; a longer one ends in "…".
func Line(s string, limit int) string {
	return cut(inert(clean(head(s, limit))), limit)
}

// Block returns s as lines, without empty ones at the ends or two in a row, at most limit characters and
// maxLines lines; a longer one ends in "…".
func Block(s string, limit, maxLines int) []string {
	var lines []string
	used := 0
	for raw := range strings.Lines(clean(head(s, limit))) {
		line := inert(raw)
		if line == "" && (len(lines) == 0 || lines[len(lines)-1] == "") {
			continue
		}
		if len(lines) == maxLines {
			return append(lines[:maxLines-1], "…")
		}
		short := cut(line, max(limit-used, 1))
		lines = append(lines, short)
		if short != line {
			return lines
		}
		used += len([]rune(line))
	}
	for len(lines) > 0 && lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	return lines
}

// Person returns who somebody is: a plain mail address as it stands (a link to it writes to that person, which is
// its purpose), anything else as Line does.
func Person(s string, limit int) string {
	if len(s) <= limit && address.MatchString(s) {
		if a, err := mail.ParseAddress(s); err == nil && a.Address == s && a.Name == "" {
			return s
		}
	}
	return Line(s, limit)
}

// Only letters that look like nothing else; no quoted local parts, which may hold anything.
var address = regexp.MustCompile(`^[A-Za-z0-9._%+'-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+$`)

// clean drops what is not for the eye: control characters but line breaks, formatting characters (all
// bidirectional ones, joiners, soft hyphens, byte order marks), private and broken ones.
func clean(s string) string {
	s = strings.ReplaceAll(strings.ToValidUTF8(s, ""), "\r\n", "\n")
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\r' || r == '\u2028' || r == '\u2029' || r == '\v' || r == '\f' || r == '\u0085':
			return '\n'
		case r == '\t' || unicode.Is(unicode.Zs, r):
			return ' '
		case unicode.IsControl(r), unicode.In(r, unicode.Cf, unicode.Co, unicode.Cs):
			return -1
		case unusual(r):
			return -1
		}
		return r
	}, s)
}

// unusual characters are letters or marks by their class, and show as nothing.
func unusual(r rune) bool {
	return unicode.Is(unicode.Variation_Selector, r) || r == '\u034f' || r == '\u115f' || r == '\u1160' ||
		r == '\u17b4' || r == '\u17b5' || r == '\u2800' || r == '\u3164' || r == '\uffa0' || r == '\ufffd'
}

var (
	// scheme:// of any kind.
	scheme = regexp.MustCompile(`(?i)([a-z][a-z0-9+.-]*)?:\s*//+`)
	// The schemes that do without slashes.
	bareScheme = regexp.MustCompile(`(?i)(mailto|tel|sms|data|javascript|vbscript|https?|ftp|file|sips?|xmpp|skype|facetime|whatsapp|webcal|magnet|geo):(\S)`)
	// A dot, or what a mail program or browser may take for one, before what may be a top-level domain.
	hostDot = regexp.MustCompile(`([\p{L}\p{N}\p{M}_-])[.\x{2024}\x{3002}\x{fe52}\x{ff0e}\x{ff61}]([\p{L}\p{M}]{2}|xn--)`)
	// What links by itself, whatever comes after.
	www = regexp.MustCompile(`(?i)(www)\.`)
	// More marks on one letter than any script needs: they would cover the lines around.
	pile = regexp.MustCompile(`(\p{M}{4})\p{M}+`)
	// An IPv4 address.
	quad = regexp.MustCompile(`(\d)\.(\d+)\.(\d+)\.(\d)`)
)

// inert joins s to one line and makes sure that nothing in it is a link. It repeats until nothing changes: matches do not
// overlap, so that a second look may find more, and a third hardly ever.
func inert(s string) string {
	for {
		before := s
		// A space, since what stands on both sides must not join to another one ("hthttp://tp://").
		s = scheme.ReplaceAllString(s, " ")
		s = bareScheme.ReplaceAllString(s, "$1: $2")
		s = hostDot.ReplaceAllString(s, "$1·$2")
		s = www.ReplaceAllString(s, "$1·")
		s = quad.ReplaceAllString(s, "$1·$2·$3·$4")
		// What would be read as an encoded word (RFC 2047) in a header, and hide all of the above.
		s = strings.ReplaceAll(s, "=?", "= ?")
		s = pile.ReplaceAllString(s, "$1")
		if s = norm.NFC.String(strings.Join(strings.Fields(s), " ")); s == before {
			return s
		}
	}
}

// head bounds the work for a text that is far too long anyway: 16 bytes for each character to be shown.
func head(s string, limit int) string { return s[:min(len(s), 16*limit)] }

func cut(s string, limit int) string {
	runes := []rune(s)
	if len(runes) <= limit {
		return s
	}
	return strings.TrimSpace(string(runes[:max(limit-1, 0)])) + "…"
}
