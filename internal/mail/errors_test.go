package mail

import (
	"errors"
	"fmt"
	"net/textproto"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestSafe(t *testing.T) {
	cases := map[string]struct{ in, want string }{
		"Address":   {"<joe@acme.example>: unknown", "<(address)>: unknown"},
		"Quoted":    {`550 "joe doe"@acme.example no`, `550 (address) no`},
		"Bare":      {"joe+x@acme no", "(address) no"},
		"Link":      {"see https://help.example/?t=x and www.help.example.", "see (link) and (link)"},
		"Token":     {"got /i/AAAAAwAAAABqRQPAMGM5ZjRmMGUtNmQz here", "got (removed) here"},
		"QueueID":   {"queued as 4bKz3Q1xYzz2Nd", "queued as 4bKz3Q1xYzz2Nd"},
		"Control":   {"a\x1b[31m\x00\u202eb\r\nc\td", "a[31mb c d"},
		"NoUTF8":    {"caf\xe9", "caf"},
		"Secret":    {"user u, password hunter2.", "user u, password (removed)."},
		"Long":      {strings.Repeat("no ", 100), strings.Repeat("no ", 65) + "no…"},
		"LongRunes": {strings.Repeat("né ", 100), strings.Repeat("né ", 49) + "n…"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := safe(tc.in, []string{"", "hunter2"}); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

// Whatever a server says, what we show of it is short, clean and names nobody.
func TestErrorsAreSafe(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		said := strings.Join(rapid.SliceOf(rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{
			"joe@acme.example", "<joe@acme.example>", "https://orgs.example/i/AAAAAwAAAABqRQPAMGM5ZjRmMGUtNmQz", "hunter2", " ", "\n", "5.1.1 ", "\u202e",
		}))).Draw(t, "said"), "")
		at := step(rapid.IntRange(int(connecting), int(dataContent)).Draw(t, "at"))
		var cause error = &textproto.Error{Code: rapid.IntRange(100, 999).Draw(t, "code"), Msg: said}
		if rapid.Bool().Draw(t, "other") {
			cause = errors.New(said)
		}
		e := classify(at, "RCPT", fmt.Errorf("wrapped: %w", cause), "hunter2")
		if e.Kind == "" || !errors.Is(e, cause) {
			t.Fatalf("kind %q", e.Kind)
		}
		if len(e.Text) > maxText || !utf8.ValidString(e.Text) {
			t.Fatalf("%d bytes: %q", len(e.Text), e.Text)
		}
		for _, shown := range []string{e.Error(), fmt.Sprintf("%v %+v %#v", e, e, e)} {
			if strings.Contains(shown, "acme.example") || strings.Contains(shown, "AAAAAw") || strings.Contains(shown, "hunter2") {
				t.Fatalf("shows a secret: %q", shown)
			}
			if strings.ContainsFunc(shown, func(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) }) {
				t.Fatalf("shows control characters: %q", shown)
			}
		}
	})
}
