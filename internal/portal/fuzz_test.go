package portal_test

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"

	"github.com/orgkeeper/orgkeeper/internal/invite"
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
