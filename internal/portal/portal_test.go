package portal_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/html"
	"pgregory.net/rapid"

	"github.com/orgkeeper/orgkeeper/internal/invite"
	"github.com/orgkeeper/orgkeeper/internal/portal"
)

var (
	expires = time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	claims  = invite.Claims{UID: "0c9f4f0e-6d3b-4b8e-9a53-0a4a5f6f7e11", Serial: 3, Expires: expires}
	open    = portal.Invitation{
		Status: portal.Open, Organization: "Acme S.p.A.", Role: "UserAdmin",
		Inviter: "jane@acme.example", Name: "Joe Doe", Expires: expires,
	}
)

// store answers as it stands and counts what it was asked.
type store struct {
	mu     sync.Mutex
	inv    portal.Invitation
	err    error
	calls  []string
	claims []invite.Claims
}

func (s *store) Invitation(_ context.Context, c invite.Claims) (portal.Invitation, error) {
	return s.called("show", c, "")
}

func (s *store) Accept(_ context.Context, c invite.Claims) (portal.Invitation, error) {
	return s.called("accept", c, portal.Accepted)
}

func (s *store) Decline(_ context.Context, c invite.Claims) (portal.Invitation, error) {
	return s.called("decline", c, portal.Declined)
}

func (s *store) called(what string, c invite.Claims, to portal.Status) (portal.Invitation, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls, s.claims = append(s.calls, what), append(s.claims, c)
	if s.err != nil {
		return portal.Invitation{}, s.err
	}
	inv := s.inv
	if to != "" && inv.Status == portal.Open {
		inv.Status = to
		s.inv.Status = "Already" + to
	}
	return inv, nil
}

// asked is what the store was asked so far.
func (s *store) asked() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.calls)
}

type fataler interface{ Fatal(...any) }

func newKeys(t fataler) *invite.Keys {
	keys, err := invite.NewKeys(bytes.Repeat([]byte("k"), 32))
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func handler(t fataler, s portal.Store, log logr.Logger) (http.Handler, string) {
	keys := newKeys(t)
	return portal.Handler(portal.Config{
		Verify: keys.Verify, Store: s, Log: log, Now: func() time.Time { return expires },
	}), keys.Sign(claims)
}

func do(h http.Handler, method, path string, header ...string) *http.Response {
	r := httptest.NewRequest(method, path, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func text(t *testing.T, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestOutcomes(t *testing.T) {
	with := func(s portal.Status) portal.Invitation {
		inv := open
		inv.Status = s
		return inv
	}
	gone := func(s portal.Status) portal.Invitation { return portal.Invitation{Status: s} }
	cases := map[string]struct {
		reason string
		inv    portal.Invitation
		err    error
		do     string // method and what comes after the token
		code   int
		says   []string
		calls  []string
	}{
		"Open":                   {"what is offered, by whom, until when", open, nil, "GET ", 200, []string{"<h1>Invitation to Acme S.p.A.</h1>", "Hello Joe Doe, jane@acme.example invites you", "<dd>user admin</dd>", "Wednesday, 1 July 2026, 12:00\u00a0UTC", "/accept\"", "/decline\""}, []string{"show"}},
		"OpenNameless":           {"names are optional", portal.Invitation{Status: portal.Open, Organization: "Acme", Role: "Member"}, nil, "GET ", 200, []string{"You are invited to join"}, []string{"show"}},
		"Accept":                 {"the answer yes", open, nil, "POST /accept", 200, []string{"Welcome to Acme S.p.A.", "your role is <b>user admin</b>"}, []string{"accept"}},
		"Decline":                {"the answer no", open, nil, "POST /decline", 200, []string{"Invitation declined"}, []string{"decline"}},
		"ShowAccepted":           {"opened again", with(portal.AlreadyAccepted), nil, "GET ", 200, []string{"Already accepted"}, []string{"show"}},
		"AcceptAccepted":         {"a second click", with(portal.AlreadyAccepted), nil, "POST /accept", 200, []string{"Already accepted"}, []string{"accept"}},
		"DeclineAccepted":        {"too late", with(portal.AlreadyAccepted), nil, "POST /decline", 200, []string{"Already accepted"}, []string{"decline"}},
		"ShowDeclined":           {"opened again", with(portal.AlreadyDeclined), nil, "GET ", 200, []string{"Already declined"}, []string{"show"}},
		"AcceptDeclined":         {"changed their mind", with(portal.AlreadyDeclined), nil, "POST /accept", 200, []string{"ask for a new invitation"}, []string{"accept"}},
		"ShowExpired":            {"too late", with(portal.Expired), nil, "GET ", 410, []string{"has expired", "1 July 2026"}, []string{"show"}},
		"AcceptExpired":          {"too late", with(portal.Expired), nil, "POST /accept", 410, []string{"has expired"}, []string{"accept"}},
		"ShowSuperseded":         {"an older mail", gone(portal.Superseded), nil, "GET ", 410, []string{"newer invitation"}, []string{"show"}},
		"AcceptSuperseded":       {"an older mail", gone(portal.Superseded), nil, "POST /accept", 410, []string{"newer invitation"}, []string{"accept"}},
		"ShowWithdrawn":          {"deleted between mail and click", gone(portal.Withdrawn), nil, "GET ", 410, []string{"was withdrawn"}, []string{"show"}},
		"AcceptWithdrawn":        {"deleted between page and click", gone(portal.Withdrawn), nil, "POST /accept", 410, []string{"was withdrawn"}, []string{"accept"}},
		"DeclineWithdrawn":       {"deleted between page and click", gone(portal.Withdrawn), nil, "POST /decline", 410, []string{"was withdrawn"}, []string{"decline"}},
		"ShowBroken":             {"the API server is away", open, errors.New("away"), "GET ", 503, []string{"try again", "Nothing is lost"}, []string{"show"}},
		"AcceptBroken":           {"the API server is away", open, errors.New("away"), "POST /accept", 503, []string{"try again", `href="../`}, []string{"accept"}},
		"UnknownStatus":          {"claim nothing", with("New"), nil, "GET ", 503, []string{"try again"}, []string{"show"}},
		"ShowByPost":             {"only the buttons' addresses take answers", open, nil, "POST ", 405, nil, nil},
		"AcceptByGet":            {"a link cannot accept", open, nil, "GET /accept", 405, nil, nil},
		"DeclineByGet":           {"a link cannot decline", open, nil, "GET /decline", 405, nil, nil},
		"AcceptByHead":           {"a scanner cannot accept", open, nil, "HEAD /accept", 405, nil, nil},
		"AcceptByPut":            {"no other method can", open, nil, "PUT /accept", 405, nil, nil},
		"Options":                {"nothing for other sites", open, nil, "OPTIONS ", 405, nil, nil},
		"OtherAnswer":            {"no such answer", open, nil, "POST /maybe", 404, []string{"Page not found"}, nil},
		"TrailingSlash":          {"no such page", open, nil, "GET /", 404, []string{"Page not found"}, nil},
		"Head":                   {"as GET, without the page", open, nil, "HEAD ", 200, nil, []string{"show"}},
		"AlreadyAcceptedHostile": {"names are text", portal.Invitation{Status: portal.AlreadyAccepted, Organization: "<script>alert(1)</script>\u202e https://evil.example"}, nil, "GET ", 200, []string{"&lt;script&gt;alert(1)&lt;/script&gt; evil·example"}, []string{"show"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := &store{inv: tc.inv, err: tc.err}
			h, token := handler(t, s, logr.Discard())
			method, rest, _ := strings.Cut(tc.do, " ")
			got := do(h, method, "/i/"+token+rest)
			if got.StatusCode != tc.code {
				t.Errorf("%s: status %d, want %d", tc.reason, got.StatusCode, tc.code)
			}
			body := text(t, got)
			for _, want := range tc.says {
				if !strings.Contains(body, want) {
					t.Errorf("%s: page does not say %q:\n%s", tc.reason, want, body)
				}
			}
			if diff := cmp.Diff(tc.calls, s.calls); diff != "" {
				t.Errorf("%s: calls: -want +got:\n%s", tc.reason, diff)
			}
			for _, c := range s.claims {
				if c != claims {
					t.Errorf("%s: store got the claims %+v", tc.reason, c)
				}
			}
			if strings.Contains(body, "/accept") != ((tc.do == "GET " || tc.do == "HEAD ") && tc.inv.Status == portal.Open && tc.err == nil) {
				t.Errorf("%s: buttons belong on the open invitation's page, and there only", tc.reason)
			}
			if (got.Header.Get("Retry-After") != "") != (tc.code == 503) {
				t.Errorf("%s: Retry-After %q", tc.reason, got.Header.Get("Retry-After"))
			}
			if (got.Header.Get("Allow") != "") != (tc.code == 405) {
				t.Errorf("%s: Allow %q", tc.reason, got.Header.Get("Allow"))
			}
			checkHeaders(t, got)
			checkPage(t, body)
		})
	}
}

func checkHeaders(t *testing.T, r *http.Response) {
	t.Helper()
	want := map[string]string{
		"Referrer-Policy":              "no-referrer",
		"Cache-Control":                "no-store",
		"X-Content-Type-Options":       "nosniff",
		"X-Frame-Options":              "DENY",
		"X-Robots-Tag":                 "noindex, nofollow",
		"Cross-Origin-Opener-Policy":   "same-origin",
		"Cross-Origin-Resource-Policy": "same-origin",
		"Permissions-Policy":           "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
		"Content-Type":                 "text/html; charset=utf-8",
		"Content-Language":             "en",
		"Vary":                         "Accept-Language",
	}
	for key, value := range want {
		if diff := cmp.Diff([]string{value}, r.Header[http.CanonicalHeaderKey(key)]); diff != "" {
			t.Errorf("header %s: -want +got:\n%s", key, diff)
		}
	}
	csp := r.Header.Get("Content-Security-Policy")
	for _, want := range []string{"default-src 'none'", "style-src 'sha256-", "form-action 'self'", "frame-ancestors 'none'", "base-uri 'none'"} {
		if !strings.Contains(csp, want) {
			t.Errorf("Content-Security-Policy lacks %s: %s", want, csp)
		}
	}
	if strings.Contains(csp, "unsafe") || strings.Contains(csp, "script") {
		t.Errorf("Content-Security-Policy lets too much through: %s", csp)
	}
}

// checkPage: well-formed, one main heading, a language, nothing that runs or loads.
func checkPage(t *testing.T, body string) {
	t.Helper()
	if body == "" {
		return // HEAD, as the recorder has it
	}
	doc, err := html.Parse(strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	count := map[string]int{}
	for n := range doc.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		count[n.Data]++
		for _, a := range n.Attr {
			if strings.HasPrefix(a.Key, "on") || a.Key == "src" || a.Key == "style" || a.Key == "href" && strings.Contains(a.Val, ":") {
				t.Errorf("<%s> has %s=%q", n.Data, a.Key, a.Val)
			}
		}
	}
	for _, one := range []string{"h1", "title", "main", "style"} {
		if count[one] != 1 {
			t.Errorf("%d <%s>, want 1", count[one], one)
		}
	}
	for _, none := range []string{"script", "link", "img", "iframe", "object", "svg"} {
		if count[none] != 0 {
			t.Errorf("%d <%s>, want none", count[none], none)
		}
	}
	if !strings.Contains(body, `<html lang="en">`) || strings.Contains(body, "ZgotmplZ") || strings.Contains(body, "<no value>") {
		t.Errorf("page is not in order:\n%s", body)
	}
}

// A bad link gets the same answer whatever is wrong with it, and nobody is asked.
func TestInvalidLinks(t *testing.T) {
	s := &store{inv: open}
	h, token := handler(t, s, logr.Discard())
	foreign, err := invite.NewKeys(bytes.Repeat([]byte("f"), 32))
	if err != nil {
		t.Fatal(err)
	}
	cases := map[string]string{
		"Cut":     token[:60],
		"Longer":  token + "A",
		"Foreign": foreign.Sign(claims),
		"Words":   "hello",
		"Escaped": "%00%0d%0a%3cscript%3e",
		"Slash":   "a%2fb",
		"Long":    strings.Repeat("A", 4000),
	}
	var first string
	for name, bad := range cases {
		t.Run(name, func(t *testing.T) {
			for _, what := range []string{"GET ", "HEAD ", "POST /accept", "POST /decline"} {
				method, rest, _ := strings.Cut(what, " ")
				got := do(h, method, "/i/"+bad+rest)
				if got.StatusCode != http.StatusNotFound {
					t.Errorf("%s: status %d, want 404", what, got.StatusCode)
				}
				body := text(t, got)
				checkHeaders(t, got)
				checkPage(t, body)
				if first == "" {
					first = body
				}
				if body != first && method != "HEAD" {
					t.Errorf("%s: another page than for other bad links", what)
				}
			}
		})
	}
	if len(s.calls) != 0 {
		t.Errorf("the store was asked: %v", s.calls)
	}
}

func TestOtherPaths(t *testing.T) {
	s := &store{inv: open}
	h, _ := handler(t, s, logr.Discard())
	for _, path := range []string{"/", "/i", "/i/", "/favicon.ico", "/robots.txt", "/healthz", "/I/x"} {
		for _, method := range []string{"GET", "POST", "DELETE"} {
			got := do(h, method, path)
			if got.StatusCode != http.StatusNotFound {
				t.Errorf("%s %s: status %d, want 404", method, path, got.StatusCode)
			}
			checkHeaders(t, got)
			checkPage(t, text(t, got))
		}
	}
}

// A mail scanner opens the link in all its ways, twice, and then the person accepts.
func TestScannerThenPerson(t *testing.T) {
	s := &store{inv: open}
	h, token := handler(t, s, logr.Discard())
	for range 2 {
		for _, method := range []string{"GET", "HEAD", "OPTIONS", "PROPFIND"} {
			for _, rest := range []string{"", "/accept", "/decline"} {
				do(h, method, "/i/"+token+rest)
			}
		}
	}
	if s.inv.Status != portal.Open {
		t.Fatalf("opening the link changed it to %s", s.inv.Status)
	}
	if body := text(t, do(h, "POST", "/i/"+token+"/accept")); !strings.Contains(body, "Welcome to") {
		t.Errorf("first answer: %s", body)
	}
	if body := text(t, do(h, "POST", "/i/"+token+"/accept")); !strings.Contains(body, "Already accepted") {
		t.Errorf("second answer: %s", body)
	}
}

func TestCrossOrigin(t *testing.T) {
	cases := map[string]struct {
		reason string
		header []string
		code   int
	}{
		"Curl":       {"no browser, no headers", nil, 200},
		"Browser":    {"our own page; no-referrer makes the origin null", []string{"Sec-Fetch-Site", "same-origin", "Origin", "null"}, 200},
		"SameHost":   {"an older browser", []string{"Origin", "https://example.com"}, 200},
		"OtherSite":  {"somebody else's form", []string{"Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"}, 403},
		"SameSite":   {"a neighbour under the same domain", []string{"Sec-Fetch-Site", "same-site"}, 403},
		"OldForeign": {"an older browser, somebody else's form", []string{"Origin", "https://evil.example"}, 403},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := &store{inv: open}
			h, token := handler(t, s, logr.Discard())
			got := do(h, "POST", "/i/"+token+"/accept", tc.header...)
			if got.StatusCode != tc.code || (len(s.calls) == 1) != (tc.code == 200) {
				t.Errorf("%s: status %d and calls %v, want %d", tc.reason, got.StatusCode, s.calls, tc.code)
			}
			checkHeaders(t, got)
			checkPage(t, text(t, got))
		})
	}
}

func TestLogHoldsNoToken(t *testing.T) {
	var lines []string
	log := funcr.New(func(prefix, args string) { lines = append(lines, prefix+args) }, funcr.Options{Verbosity: 9})
	s := &store{inv: open}
	h, token := handler(t, s, log)
	do(h, "GET", "/i/"+token)
	do(h, "POST", "/i/"+token+"/accept")
	do(h, "POST", "/i/"+token+"/accept", "Sec-Fetch-Site", "cross-site")
	do(h, "GET", "/i/"+token[:50])
	do(h, "GET", "/i/"+token+"/x/"+token)
	do(h, "GET", "//i/"+token)
	s.err = errors.New("away")
	do(h, "GET", "/i/"+token)
	if len(lines) != 8 {
		t.Errorf("%d lines, want one for each of 7 requests and one for the error:\n%s", len(lines), strings.Join(lines, "\n"))
	}
	for _, line := range lines {
		if strings.Contains(line, token[:20]) || strings.Contains(line, "joe") || strings.Contains(line, "Acme") {
			t.Errorf("log line tells too much: %s", line)
		}
	}
	if want := `"method"="GET" "route"="/i/{token}" "status"=200 "outcome"="open" "duration"="0s"`; !strings.Contains(lines[0], want) {
		t.Errorf("log line %s, want %s", lines[0], want)
	}
}

// Whatever a client asks for, the handler answers with a page or a redirect to a cleaned path, and the store
// hears of nothing but genuine links; a GET never accepts.
func TestAnyRequest(t *testing.T) {
	s := &store{inv: open}
	h, token := handler(t, s, logr.Discard())
	part := rapid.OneOf(rapid.SampledFrom([]string{"i", token, token[:30], "accept", "decline", "", ".", "..", "%2f", "%00", "a b", "é"}), rapid.StringN(0, 8, 40))
	rapid.Check(t, func(rt *rapid.T) {
		path := "/" + strings.Join(rapid.SliceOfN(part, 0, 5).Draw(rt, "path"), "/")
		method := rapid.SampledFrom([]string{"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE"}).Draw(rt, "method")
		check(rt, s, h, token, method, path)
	})
}

// FuzzPath is TestAnyRequest for the fuzzer.
func FuzzPath(f *testing.F) {
	s := &store{inv: open}
	h, token := handler(f, s, logr.Discard())
	for _, path := range []string{"/i/" + token, "/i/" + token + "/accept", "//i//" + token, "/i/../i/" + token, "/i/%2e%2e/", "/i/a\x00b", "*", "", "//evil.example/..", `//\evil.example`, "///evil.example", "/./%2f/evil.example/"} {
		f.Add("GET", path)
		f.Add("POST", path)
	}
	f.Fuzz(func(t *testing.T, method, path string) { check(t, s, h, token, method, path) })
}

func check(t interface{ Fatalf(string, ...any) }, s *store, h http.Handler, token, method, path string) {
	r := httptest.NewRequest("GET", "/", nil)
	r.Method, r.URL.Path, r.RequestURI = method, path, path
	s.mu.Lock()
	s.inv, s.calls = open, nil
	s.mu.Unlock()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	switch w.Code {
	case 200, 301, 307, 308, 400, 404, 405:
	default:
		t.Fatalf("%s %q: status %d", method, path, w.Code)
	}
	if csp := w.Header().Get("Content-Security-Policy"); csp == "" {
		t.Fatalf("%s %q: no Content-Security-Policy", method, path)
	}
	// A second slash, or a backslash, would lead to another host.
	if to := w.Header().Get("Location"); w.Code/100 == 3 && (!strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//") || strings.HasPrefix(to, `/\`)) {
		t.Fatalf("%s %q: redirected to %q", method, path, to)
	}
	want := fmt.Sprint([]string(nil))
	switch {
	case path == "/i/"+token && (method == "GET" || method == "HEAD"):
		want = "[show]"
	case path == "/i/"+token+"/accept" && method == "POST":
		want = "[accept]"
	case path == "/i/"+token+"/decline" && method == "POST":
		want = "[decline]"
	}
	if got := fmt.Sprint(s.calls); got != want {
		t.Fatalf("%s %q: calls %s, want %s", method, path, got, want)
	}
}
