package portal_test

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/go-logr/logr"
	gocmp "github.com/google/go-cmp/cmp"
	"golang.org/x/net/html"

	"github.com/orgkeeper/orgkeeper/internal/invite"
	"github.com/orgkeeper/orgkeeper/internal/invite/tenanttext"
	"github.com/orgkeeper/orgkeeper/internal/portal"
)

// FuzzHeaders: whatever a client or a proxy says of languages and hops, it gets a page in one of ours.
func FuzzHeaders(f *testing.F) {
	keys := newKeys(f)
	h := portal.Handler(portal.Config{
		Verify: keys.Verify, Store: &store{inv: open}, Now: func() time.Time { return expires },
		Limits:         portal.Limits{PerAddress: 1 << 30, PerLink: 1 << 30},
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")},
	})
	path := "/i/" + keys.Sign(invite.Claims{UID: "u", Serial: 1, Expires: expires})
	f.Add("it-IT,it;q=0.9,en;q=0.8", "192.0.2.1, 10.0.0.2")
	f.Add("*;q=0.5, x-klingon", "[2001:db8::1]:80,unknown,,")
	f.Add("en-u-co-phonebk-x-a-b-c;q=9", "::ffff:10.0.0.1%eth0")
	f.Fuzz(func(t *testing.T, language, forwarded string) {
		r := httptest.NewRequest(http.MethodGet, path, nil)
		r.RemoteAddr = "10.0.0.1:1"
		r.Header["Accept-Language"] = []string{language}
		r.Header["X-Forwarded-For"] = []string{forwarded}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != http.StatusOK {
			t.Fatalf("status %d", w.Code)
		}
		switch got := w.Header().Get("Content-Language"); got {
		case "en", "it", "pl":
		default:
			t.Fatalf("the page is in %q", got)
		}
	})
}

// hostile is an invitation in the words of tenants.
type hostile struct{ organization, person, inviter, workspace string }

func (h hostile) invitation(s portal.Status) portal.Invitation {
	return portal.Invitation{
		Status: s, Organization: h.organization, Role: "Member", Inviter: h.inviter, Name: h.person, Expires: expires,
		Workspaces: []string{h.workspace, "api"}, MoreWorkspaces: 2,
	}
}

// harmless says something where h does.
func (h hostile) harmless() hostile {
	shown := func(s string, limit int) string {
		if tenanttext.Line(s, limit) == "" {
			return ""
		}
		return "x"
	}
	return hostile{shown(h.organization, 100), shown(h.person, 100), shown(h.inviter, 254), shown(h.workspace, 100)}
}

// FuzzPages: whatever tenants write, a page has the headers, elements and attributes that it has for harmless names, and
// nothing in it is hidden or can be clicked.
func FuzzPages(f *testing.F) {
	statuses := []portal.Status{
		portal.Open, portal.AlreadyAccepted, portal.AlreadyDeclined, portal.Expired, portal.Superseded, portal.Withdrawn, portal.Open, portal.Open,
	}
	for _, s := range []string{
		"Acme", "a\r\nSet-Cookie: x=y", "\x00", "\u202e\u2066", "<script>alert(1)</script>", "</title></style></main><h1>", "\" onclick=\"x", "' autofocus '",
		"{{.Path}}", "javascript:alert(1)", "https://evil.example", "www.evil.example", "é\xff", "&lt;b&gt;&#60;", "<!--", "]]>", "jane@acme.example",
	} {
		for which := range 3 * len(statuses) {
			f.Add(which, s, s, s, s)
		}
	}
	f.Fuzz(func(t *testing.T, which int, organization, person, inviter, workspace string) {
		n := hostile{organization, person, inviter, workspace}
		which = max(which, 0) % (3 * len(statuses))
		kind, language := which%len(statuses), []string{"en", "it", "pl"}[which/len(statuses)]
		meet := func(n hostile) (*http.Response, string) {
			h, token := handler(t, &store{inv: n.invitation(statuses[kind])}, logr.Discard())
			method, path := http.MethodGet, "/i/"+token
			switch kind {
			case 6:
				method, path = http.MethodPost, path+"/accept"
			case 7:
				method, path = http.MethodPost, path+"/decline"
			}
			got := do(h, method, path, "Accept-Language", language)
			got.Header.Del("Content-Length")
			return got, text(t, got)
		}
		got, body := meet(n)
		plain, plainBody := meet(n.harmless())
		if diff := gocmp.Diff(plain.Header, got.Header); diff != "" {
			t.Errorf("names change headers:\n%s", diff)
		}
		if diff := gocmp.Diff(structure(t, plainBody), structure(t, body)); diff != "" {
			t.Errorf("names change the page:\n%s", diff)
		}
		checkShown(t, body, inviter)
	})
}

// What programs commonly turn into links.
var clickable = regexp.MustCompile(`(?i)://|www\.[a-z]|mailto:[^\s…]|[a-z0-9-]\.(com|example|[a-z]{2,})|\d+\.\d+\.\d+\.\d+`)

// checkShown looks in the words of a page for what is hidden or can be clicked. An inviter's own address stays.
func checkShown(t *testing.T, body, inviter string) {
	t.Helper()
	doc, err := html.Parse(strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for n := range doc.Descendants() {
		if n.Type == html.CommentNode {
			t.Errorf("a comment: %q", n.Data)
		}
		if n.Type != html.TextNode || n.Parent.Data == "style" {
			continue
		}
		words := n.Data
		if strings.Contains(inviter, "@") && tenanttext.Person(inviter, 254) == inviter {
			words = strings.ReplaceAll(words, inviter, "")
		}
		if found := clickable.FindString(words); found != "" {
			t.Errorf("%q can be clicked in %q", found, words)
		}
		if strings.ContainsFunc(words, func(r rune) bool { return r != '\n' && (unicode.IsControl(r) || unicode.Is(unicode.Cf, r)) }) {
			t.Errorf("hidden character in %q", words)
		}
	}
}
