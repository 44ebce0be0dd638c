package portal

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"

	"github.com/go-logr/logr"
)

// FuzzClient: whatever stands in X-Forwarded-For, nobody counts as somebody else: not who asks us directly, and not whose
// address a proxy of ours has appended.
func FuzzClient(f *testing.F) {
	p := &portal{Config: Config{Log: logr.Discard(), TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}}}
	for _, forwarded := range []string{
		"", ",", "198.51.100.7", "198.51.100.7, 10.0.0.2", "10.0.0.2,[fd00::1]:80", "unknown", "_hidden, [::ffff:10.0.0.1]", "10.0.0.1%eth0", "[[fd00::1]]",
		"10.0.0.1:port", "\x00", "１０.0.0.1",
	} {
		f.Add(forwarded)
	}
	asks := func(peer string, forwarded ...string) netip.Addr {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr = peer
		r.Header["X-Forwarded-For"] = forwarded
		return p.client(r)
	}
	somebody, proxy := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("10.0.0.1")
	f.Fuzz(func(t *testing.T, forwarded string) {
		for how, got := range map[string]netip.Addr{
			"directly":                  asks("192.0.2.1:4711", forwarded),
			"through a proxy":           asks("10.0.0.1:80", forwarded+", 192.0.2.1"),
			"in a line of its own":      asks("10.0.0.1:80", forwarded, "192.0.2.1"),
			"through proxies in a row":  asks("[fd00::1]:80", forwarded+",192.0.2.1:1, 10.9.9.9"),
			"through proxies in a line": asks("10.0.0.1:80", forwarded, "::ffff:192.0.2.1", "[fd00::2]:80"),
		} {
			if got != somebody {
				t.Errorf("%q %s: counts as %s", forwarded, how, got)
			}
		}
		// A header that is a proxy's alone never leaves us without anybody.
		if got := asks("10.0.0.1:80", forwarded); !got.IsValid() || forwarded == "" && got != proxy {
			t.Errorf("%q: counts as %s", forwarded, got)
		}
	})
}
