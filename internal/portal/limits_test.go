package portal_test

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/orgkeeper/orgkeeper/internal/invite"
	"github.com/orgkeeper/orgkeeper/internal/portal"
)

// guarded is a portal with limits and a clock that the test moves.
type guarded struct {
	http.Handler
	store *store
	keys  *invite.Keys
	now   time.Time
	lines []string
}

func newGuarded(t *testing.T, limits portal.Limits, change ...func(*portal.Config)) *guarded {
	t.Helper()
	g := &guarded{store: &store{inv: open}, keys: newKeys(t), now: expires.Add(-time.Hour)}
	c := portal.Config{
		Verify: g.keys.Verify, Store: g.store, Now: func() time.Time { return g.now }, Limits: limits,
		Log: funcr.New(func(_, args string) { g.lines = append(g.lines, args) }, funcr.Options{}),
	}
	for _, f := range change {
		f(&c)
	}
	g.Handler = portal.Handler(c)
	return g
}

// ask is one request from a peer.
func (g *guarded) ask(peer, path string, header ...string) *http.Response {
	r := httptest.NewRequest(http.MethodGet, path, nil)
	r.RemoteAddr = peer
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	g.ServeHTTP(w, r)
	return w.Result()
}

// A client that asks too much is told to wait, in its language, and others do not notice.
func TestLimitPerAddress(t *testing.T) {
	g := newGuarded(t, portal.Limits{PerAddress: 6})
	for _, step := range []struct {
		reason string
		wait   time.Duration
		peer   string
		times  int
		code   int
	}{
		{"a minute's worth may come at once", 0, "192.0.2.1:1000", 6, 404},
		{"then it is enough", 0, "192.0.2.1:1001", 3, 429},
		{"the neighbour is another", 0, "192.0.2.2:1000", 6, 404},
		{"refusals do not put off the next: six a minute is one in ten seconds", 10 * time.Second, "192.0.2.1:1000", 1, 404},
		{"and no more", 0, "192.0.2.1:1000", 1, 429},
		{"a minute later all is well", time.Minute, "192.0.2.1:1000", 6, 404},
		{"IPv6: a network of 64 bits", 0, "[2001:db8:0:1::1]:1000", 6, 404},
		{"is one client", 0, "[2001:db8:0:1:ffff::2]:1000", 1, 429},
		{"and the next network another", 0, "[2001:db8:0:2::1]:1000", 6, 404},
		{"IPv4 in IPv6 is IPv4", 0, "[::ffff:192.0.2.1]:1000", 1, 429},
		{"whoever cannot be told apart counts as one", 0, "@", 6, 404},
		{"as one", 0, "somewhere", 1, 429},
	} {
		g.now = g.now.Add(step.wait)
		for range step.times {
			got := g.ask(step.peer, "/", "Accept-Language", "pl")
			if got.StatusCode != step.code {
				t.Fatalf("%s: status %d, want %d", step.reason, got.StatusCode, step.code)
			}
			if got.Header.Get("Content-Security-Policy") == "" || got.Header.Get("Content-Language") != "pl" {
				t.Errorf("%s: %v", step.reason, got.Header)
			}
			if (got.Header.Get("Retry-After") == "10") != (step.code == 429) {
				t.Errorf("%s: Retry-After %q", step.reason, got.Header.Get("Retry-After"))
			}
			if body := text(t, got); strings.Contains(body, "Zbyt wiele żądań") != (step.code == 429) {
				t.Errorf("%s:\n%s", step.reason, body)
			}
		}
	}
}

// A link is answered so often, wherever the requests come from. Made-up links count for nobody's link.
func TestLimitPerLink(t *testing.T) {
	g := newGuarded(t, portal.Limits{PerLink: 3})
	other := claims
	other.Serial++
	one, two := "/i/"+g.keys.Sign(claims), "/i/"+g.keys.Sign(other)
	for i, step := range []struct {
		reason, path string
		code         int
	}{
		{"first", one, 200}, {"second", one, 200}, {"third", one, 200},
		{"enough", one, 429},
		{"answers count as well as looks", one + "/accept", 405},
		{"another link is another", two, 200},
		{"a forged one is none", one + "A", 404}, {"nor this", one + "A", 404}, {"nor this", one + "A", 404}, {"nor this", one + "A", 404},
	} {
		got := g.ask(fmt.Sprintf("192.0.2.%d:1", i), step.path)
		if got.StatusCode != step.code || (got.Header.Get("Retry-After") == "20") != (step.code == 429) {
			t.Errorf("%s: status %d, Retry-After %q; want %d", step.reason, got.StatusCode, got.Header.Get("Retry-After"), step.code)
		}
	}
	if got := do(g, "POST", one+"/accept"); got.StatusCode != 429 {
		t.Errorf("accepting beyond the limit: status %d, want 429", got.StatusCode)
	}
	for _, call := range g.store.calls {
		if call != "show" {
			t.Errorf("a refused answer reached the store: %v", g.store.calls)
		}
	}
	if g.now = g.now.Add(20 * time.Second); do(g, "POST", one+"/accept").StatusCode != 200 {
		t.Error("the answer is refused after the time to wait")
	}
}

// Without limits there is none.
func TestNoLimits(t *testing.T) {
	g := newGuarded(t, portal.Limits{})
	path := "/i/" + g.keys.Sign(claims)
	for range 1000 {
		if got := g.ask("192.0.2.1:1", path); got.StatusCode != 200 {
			t.Fatalf("status %d", got.StatusCode)
		}
	}
}

// X-Forwarded-For counts as far as proxies of ours wrote it, and not a hop further.
func TestClientBehindProxies(t *testing.T) {
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	for _, tc := range []struct {
		reason    string
		peer      string
		forwarded []string
		client    string // who the same bucket must be; the bare peer asks for it
	}{
		{"no proxy", "192.0.2.1:1", nil, "192.0.2.1:2"},
		{"somebody pretends to be a proxy", "192.0.2.1:1", []string{"198.51.100.7"}, "192.0.2.1:2"},
		{"our proxy tells", "10.0.0.1:1", []string{"192.0.2.1"}, "192.0.2.1:2"},
		{"what the client made up stands to the left", "10.0.0.1:1", []string{"198.51.100.7, 192.0.2.1"}, "192.0.2.1:2"},
		{"also in a line of its own", "10.0.0.1:1", []string{"198.51.100.7", "192.0.2.1"}, "192.0.2.1:2"},
		{"proxies in a row", "10.0.0.1:1", []string{"198.51.100.7, 192.0.2.1, 10.2.0.1, fd00::1"}, "192.0.2.1:2"},
		{"with ports, as some write it", "10.0.0.1:1", []string{"192.0.2.1:4711, [fd00::1]:80"}, "192.0.2.1:2"},
		{"IPv6 in brackets", "[fd00::9]:1", []string{"[2001:db8::1]"}, "[2001:db8::2]:2"},
		{"IPv4 in IPv6", "[::ffff:10.0.0.1]:1", []string{"::ffff:192.0.2.1"}, "192.0.2.1:2"},
		{"nothing but proxies: the farthest", "10.0.0.1:1", []string{"10.9.9.9, 10.0.0.2"}, "10.9.9.9:2"},
		{"no address: the proxy that passed it on", "10.0.0.1:1", []string{"198.51.100.7, unknown, 10.0.0.2"}, "10.0.0.2:2"},
		{"empty: the proxy itself", "10.0.0.1:1", []string{""}, "10.0.0.1:2"},
		{"commas alone: the proxy itself", "10.0.0.1:1", []string{",,"}, "10.0.0.1:2"},
	} {
		g := newGuarded(t, portal.Limits{PerAddress: 1}, func(c *portal.Config) { c.TrustedProxies = proxies })
		var header []string
		for _, line := range tc.forwarded {
			header = append(header, "X-Forwarded-For", line)
		}
		if got := g.ask(tc.peer, "/", header...); got.StatusCode != 404 {
			t.Errorf("%s: the first request: status %d", tc.reason, got.StatusCode)
		}
		if got := g.ask(tc.client, "/"); got.StatusCode != 429 {
			t.Errorf("%s: it did not count for %s", tc.reason, tc.client)
		}
		if got := g.ask("203.0.113.9:1", "/"); got.StatusCode != 404 {
			t.Errorf("%s: it counted for somebody else", tc.reason)
		}
	}
}

// A proxy that nobody named makes everybody behind it one client: that is said, once, and without an address.
func TestUnnamedProxyIsSaid(t *testing.T) {
	g := newGuarded(t, portal.Limits{PerAddress: 100})
	for range 3 {
		g.ask("10.0.0.1:1", "/", "X-Forwarded-For", "192.0.2.1")
	}
	all := strings.Join(g.lines, "\n")
	if strings.Count(all, "--portal-trusted-proxies") != 1 || len(g.lines) != 4 {
		t.Errorf("want the hint once and a line for each request:\n%s", all)
	}
	if strings.Contains(all, "192.0.2") || strings.Contains(all, "10.0.0") {
		t.Errorf("the log has an address:\n%s", all)
	}
}

// Answers are counted by page and method, and nothing that a client may choose becomes a label.
func TestMetrics(t *testing.T) {
	registry := prometheus.NewRegistry()
	metrics, err := portal.NewMetrics(registry)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := portal.NewMetrics(registry); err == nil {
		t.Error("registered twice without an error")
	}
	g := newGuarded(t, portal.Limits{PerAddress: 9}, func(c *portal.Config) { c.Metrics = metrics })
	link := "/i/" + g.keys.Sign(claims)
	for _, r := range []struct{ method, path string }{
		{"GET", link}, {"HEAD", link}, {"POST", link + "/accept"}, {"POST", link + "/decline"}, {"PUT", link}, {"BREW-A-POT", link},
		{"GET", "/i/forged"}, {"GET", "/favicon.ico"}, {"GET", "//i/x"}, {"GET", "/"},
	} {
		do(g, r.method, r.path)
	}
	want := map[string]float64{
		"open GET": 1, "open HEAD": 1, "accepted POST": 1, "alreadyaccepted POST": 1, "notallowed other": 2, "invalid GET": 1,
		"notfound GET": 1, "other GET": 1, "ratelimited GET": 1,
	}
	families, err := registry.Gather()
	if err != nil || len(families) != 1 || families[0].GetName() != "orgkeeper_portal_answers_total" {
		t.Fatalf("%v, %v", families, err)
	}
	for _, m := range families[0].GetMetric() {
		labels := m.GetLabel() // sorted: method, outcome
		key := labels[1].GetValue() + " " + labels[0].GetValue()
		if m.GetCounter().GetValue() != want[key] || len(labels) != 2 {
			t.Errorf("%s: %v, want %v", key, m.GetCounter().GetValue(), want[key])
		}
		delete(want, key)
	}
	if len(want) > 0 {
		t.Errorf("not counted: %v", want)
	}
	if problems, err := testutil.GatherAndLint(registry); err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
}

// HSTS is for who serves TLS: over plain HTTP browsers ignore it, and a proxy in front has its own.
func TestStrictTransportSecurity(t *testing.T) {
	h, token := handler(t, &store{inv: open}, logr.Discard())
	for address, want := range map[string]string{"http://orgkeeper.example/i/": "", "https://orgkeeper.example/i/": "max-age=31536000"} {
		// httptest makes a request with TLS of an https address.
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, address+token, nil))
		if got := w.Header().Get("Strict-Transport-Security"); got != want {
			t.Errorf("%s: %q, want %q", address, got, want)
		}
	}
}

// A new key signs, the old one's links stay good until it is removed: the page asks the keys anew each time.
func TestKeysRotateUnderThePage(t *testing.T) {
	before, after := newKeys(t), must(invite.NewKeys(bytes.Repeat([]byte("n"), 32), bytes.Repeat([]byte("k"), 32)))
	without := must(invite.NewKeys(bytes.Repeat([]byte("n"), 32)))
	keys := before
	g := newGuarded(t, portal.Limits{}, func(c *portal.Config) {
		c.Verify = func(token string) (invite.Claims, error) { return keys.Verify(token) }
	})
	old, fresh := "/i/"+before.Sign(claims), "/i/"+after.Sign(claims)
	for _, step := range []struct {
		reason    string
		keys      *invite.Keys
		old, then int
	}{
		{"before", before, 200, 404}, {"both", after, 200, 200}, {"the old one removed", without, 404, 200},
	} {
		keys = step.keys
		if a, b := do(g, "GET", old).StatusCode, do(g, "GET", fresh).StatusCode; a != step.old || b != step.then {
			t.Errorf("%s: old link %d, new link %d; want %d and %d", step.reason, a, b, step.old, step.then)
		}
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
