package tenanttext_test

import (
	"regexp"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/orgkeeper/orgkeeper/internal/invite/tenanttext"
)

func TestLine(t *testing.T) {
	cases := map[string]struct {
		reason, in, want string
	}{
		"Plain":        {"ordinary names stay", "Acme S.p.A.", "Acme S.p.A."},
		"Scripts":      {"names of all languages stay", "Žofia 株式会社 Ωmega", "Žofia 株式会社 Ωmega"},
		"Versions":     {"numbers with dots stay", "Plan 2.0, v1.2.3", "Plan 2.0, v1.2.3"},
		"Lines":        {"one line", "Acme\r\nBcc: x\u2028y\tz", "Acme Bcc: x y z"},
		"Null":         {"no control characters", "Ac\x00me\x1b[31m\x7f", "Acme[31m"},
		"Bidi":         {"no bidirectional characters", "Acme \u202egnp.exe\u2066\u200f", "Acme gnp·exe"},
		"Invisible":    {"nothing that shows as nothing", "Ac\u200b\u00ad\ufeff\u3164me", "Acme"},
		"NoUTF8":       {"broken bytes", "Ac\xff\xfeme", "Acme"},
		"URL":          {"no scheme, no host name", "see https://evil.example/x?y", "see evil·example/x?y"},
		"WWW":          {"www. links by itself", "www.evil.example", "www·evil·example"},
		"Bare":         {"so does a known ending", "Booking.com", "Booking·com"},
		"Address":      {"and an address", "joe@evil.example", "joe@evil·example"},
		"IDN":          {"other alphabets have domains, too", "пример.рф 例え。テスト", "пример·рф 例え·テスト"},
		"Punycode":     {"in its ASCII form", "a.xn--p1ai", "a·xn--p1ai"},
		"IPv4":         {"addresses without names", "http://127.0.0.1/x", "127·0·0·1/x"},
		"Mailto":       {"schemes without slashes", "mailto:x, our data: y", "mailto: x, our data: y"},
		"Call":         {"nor does what starts another program", "skype:evil?call geo:1,2", "skype: evil?call geo: 1,2"},
		"Pile":         {"marks stay on their letter", "Z" + strings.Repeat("\u0335", 20) + "algo", "Z\u0335\u0335\u0335\u0335algo"},
		"Marks":        {"names of scripts with many marks stay", "ภู่ทอง विद्यार्थी Việt", "ภู่ทอง विद्यार्थी Việt"},
		"Nested":       {"taking one away must not make one", "hthttp://tp://evil", "evil"},
		"HiddenDot":    {"an invisible character must not hide one", "evil\u200b.com", "evil·com"},
		"EncodedWord":  {"would be decoded in a header", "=?utf-8?q?a?=", "= ?utf-8?q?a?="},
		"Pathological": {"in linear time", strings.Repeat("ht", 1<<20) + strings.Repeat("tp://", 1<<20), strings.Repeat("ht", 19) + "h…"},
		"Long":         {"capped by characters", strings.Repeat("é", 50), strings.Repeat("é", 39) + "…"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := tenanttext.Line(tc.in, 40); got != tc.want {
				t.Errorf("%s: got %q, want %q", tc.reason, got, tc.want)
			}
		})
	}
}

func TestPerson(t *testing.T) {
	cases := map[string]struct{ in, want string }{
		"Address":  {"jane@acme.example", "jane@acme.example"},
		"User":     {"oidc:jane", "oidc:jane"},
		"Robot":    {"system:serviceaccount:flux:apply", "system:serviceaccount:flux:apply"},
		"Host":     {"evil.example", "evil·example"},
		"NotPlain": {"Jane <jane@evil.example>", "Jane <jane@evil·example>"},
		"Quoted":   {`"https://evil.example"@x.example`, `" evil·example"@x·example`},
		"TooLong":  {strings.Repeat("a", 60) + "@acme.example", strings.Repeat("a", 39) + "…"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := tenanttext.Person(tc.in, 40); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestBlock(t *testing.T) {
	cases := map[string]struct {
		reason, in string
		want       []string
	}{
		"Empty":      {"nothing is no line", " \n\t\n", nil},
		"Paragraphs": {"one empty line between", "\n\nHello\r\n\r\n\r\n  Joe  \n", []string{"Hello", "", "Joe"}},
		"Links":      {"each line loses its links", "see\nhttps://evil.example", []string{"see", "evil·example"}},
		"Lines":      {"too many lines", "1\n2\n3\n4\n5", []string{"1", "2", "3", "…"}},
		"Characters": {"too many characters", strings.Repeat("x", 25) + "\n" + strings.Repeat("y", 25), []string{strings.Repeat("x", 25), strings.Repeat("y", 14) + "…"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, tenanttext.Block(tc.in, 40, 4)); diff != "" {
				t.Errorf("%s: -want +got:\n%s", tc.reason, diff)
			}
		})
	}
}

// What mail programs commonly turn into links.
var clickable = regexp.MustCompile(`(?i)://|www\.[a-z]|mailto:[^\s…]|[a-z0-9-]\.(com|example|[a-z]{2,})|\d+\.\d+\.\d+\.\d+`)

func hostile(t *rapid.T) string {
	part := rapid.OneOf(
		rapid.SampledFrom([]string{
			"http://", "https:", "//", "www", ".", "com", "evil", "\r\n", "\x00", "\u202e", "\u200b", "=?", "?=", "mailto:",
			"@", "127.0.0.1", "。", " ", "xn--", "<", ">", "\"", "_", "\u0301",
		}),
		rapid.String(),
	)
	return strings.Join(rapid.SliceOfN(part, 0, 12).Draw(t, "parts"), "")
}

func TestNothingToClickAndNothingHidden(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { check(t, hostile(t)) })
}

func FuzzLine(f *testing.F) {
	for _, s := range []string{
		"Acme S.p.A.", "hthttp://tp://evil", "evil\u200b.com", "=?utf-8?q?a?=", "\u202egnp.exe", "пример.рф", "例え。テスト", "mailto:x", "1.2.3.4",
		"Ac\xff\xfeme", "e\u0301\u0302\u0303\u0304\u0305", "\u0f73\u0f73\u0f73\u0f73", "http\n://x", strings.Repeat("é", 70) + ".com",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) { check(t, s) })
}

func check(t interface{ Fatalf(string, ...any) }, s string) {
	line := tenanttext.Line(s, 60)
	block := tenanttext.Block(s, 60, 5)
	if n := len([]rune(line)); n > 60 {
		t.Fatalf("%d characters: %q", n, line)
	}
	if len(block) > 5 {
		t.Fatalf("%d lines: %q", len(block), block)
	}
	for _, out := range append(block, line) {
		if m := clickable.FindString(out); m != "" {
			t.Fatalf("%q can be clicked in %q", m, out)
		}
		if i := strings.IndexFunc(out, func(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) }); i >= 0 {
			t.Fatalf("hidden character in %q", out)
		}
		if strings.Contains(out, "=?") {
			t.Fatalf("encoded word in %q", out)
		}
	}
	if again := tenanttext.Line(line, 60); again != line && !strings.HasSuffix(line, "…") {
		t.Fatalf("done twice differs: %q and %q", line, again)
	}
}
