package portal_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/go-logr/logr"

	"github.com/orgkeeper/orgkeeper/internal/portal"
)

// chromium is one browser for all tests, started by the first that needs it.
var chromium struct {
	sync.Once
	ctx  context.Context
	stop []context.CancelFunc
	err  error
}

func TestMain(m *testing.M) {
	m.Run()
	for _, stop := range slices.Backward(chromium.stop) {
		stop()
	}
}

// browser is a tab of Debian's chromium, with nothing of any other session. The tab ends with the test.
func browser(t *testing.T) context.Context {
	t.Helper()
	chromium.Do(func() {
		path, err := exec.LookPath("chromium")
		if err != nil {
			chromium.err = errors.New("chromium is not installed, and this test needs a real browser: apt-get install chromium")
			return
		}
		// chromedp gives each browser a new user-data-dir of its own and removes it. No test's context: it outlives them.
		ctx, stop := chromedp.NewExecAllocator(context.Background(), chromedp.ExecPath(path), chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU,
			chromedp.NoFirstRun, chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
			chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true),
			chromedp.Flag("disable-dev-shm-usage", true), chromedp.WSURLReadTimeout(60*time.Second))
		chromium.stop = append(chromium.stop, stop)
		chromium.ctx, stop = chromedp.NewContext(ctx)
		chromium.stop = append(chromium.stop, stop)
		chromium.err = chromedp.Do(chromium.ctx)
	})
	if chromium.err != nil {
		t.Fatal(chromium.err)
	}
	ctx, cancel := chromedp.NewContext(chromium.ctx)
	t.Cleanup(cancel)
	ctx, cancel = context.WithTimeout(ctx, 90*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// site serves the portal and remembers the header of each POST.
func site(t *testing.T, s portal.Store) (url string, posts func() []http.Header) {
	t.Helper()
	h, token := handler(t, s, logr.Discard())
	var mu sync.Mutex
	var seen []http.Header
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			mu.Lock()
			seen = append(seen, r.Header.Clone())
			mu.Unlock()
		}
		h.ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)
	return srv.URL + "/i/" + token, func() []http.Header {
		mu.Lock()
		defer mu.Unlock()
		return seen
	}
}

// What the browser sends with an answer, and what it thinks of us. The link opens again afterwards.
func TestBrowserAccepts(t *testing.T) {
	s := &store{inv: open}
	url, posts := site(t, s)
	ctx := browser(t)
	var mu sync.Mutex
	var complaints []string
	if err := chromedp.Listen(ctx, func(ev any) {
		if e, ok := ev.(*log.EventEntryAdded); ok {
			mu.Lock()
			defer mu.Unlock()
			complaints = append(complaints, e.Entry.Text)
		}
	}); err != nil {
		t.Fatal(err)
	}

	steps(t, ctx, chromedp.EmulateViewport(1280, 900), chromedp.Navigate(url))
	if heading := value(t, ctx, chromedp.Text(chromedp.CSS("h1"))); heading != "Invitation to Acme S.p.A." {
		t.Errorf("heading %q", heading)
	}
	if value(t, ctx, chromedp.Evaluate[string](`getComputedStyle(document.querySelector("main")).maxWidth`)) == "none" {
		t.Error("the style does not apply: its hash is not the one in the Content-Security-Policy")
	}
	steps(t, ctx, chromedp.KeyEvent(kb.Tab))
	if focused := value(t, ctx, chromedp.Evaluate[string](`document.activeElement.textContent`)); focused != "Accept" {
		t.Fatalf("the first Tab leads to %q, not to Accept", focused)
	}
	steps(t, ctx, chromedp.KeyEvent(kb.Enter), chromedp.WaitVisible(`//h1[contains(., "Welcome to Acme")]`))

	// no-referrer makes the browser say "Origin: null"; what lets the answer through is Sec-Fetch-Site.
	if got := posts(); len(got) != 1 || got[0].Get("Origin") != "null" || got[0].Get("Sec-Fetch-Site") != "same-origin" || got[0].Get("Referer") != "" {
		t.Errorf("the browser posted with %v", got)
	}
	steps(t, ctx, chromedp.Navigate(url), chromedp.WaitVisible(`//h1[contains(., "Already accepted")]`))
	mu.Lock()
	defer mu.Unlock()
	for _, c := range complaints {
		t.Errorf("the browser complains: %s", c)
	}
}

// At the width of a small phone nothing is cut off, whatever people call themselves, and fingers can hit the buttons.
func TestBrowserOnAPhone(t *testing.T) {
	long := open
	long.Organization = strings.Repeat("Donaudampfschifffahrtsgesellschaft", 3)
	long.Inviter = strings.Repeat("jane.", 20) + "jane@a-rather-long-domain-name.example"
	pages := map[string]portal.Invitation{
		"open": open, "open-long": long, "expired": {Status: portal.Expired, Organization: "Acme", Expires: expires},
		"alreadyaccepted": {Status: portal.AlreadyAccepted, Organization: "Acme"}, "superseded": {Status: portal.Superseded},
	}
	ctx := browser(t)
	for name, inv := range pages {
		t.Run(name, func(t *testing.T) {
			url, _ := site(t, &store{inv: inv})
			steps(t, ctx, chromedp.EmulateViewport(320, 640, chromedp.EmulateMobile), chromedp.Navigate(url))
			checkWidth(t, ctx)
			lowest := value(t, ctx, chromedp.Evaluate[float64](`Math.min(99, ...[...document.querySelectorAll("button")].map(b => b.getBoundingClientRect().height))`))
			if lowest < 44 {
				t.Errorf("a button is %v px high, want 44", lowest)
			}
		})
	}
}

func steps(t *testing.T, ctx context.Context, steps ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	if err := chromedp.Do(ctx, steps...); err != nil {
		t.Fatal(err)
	}
}

func value[T any](t *testing.T, ctx context.Context, action chromedp.Action[T]) T {
	t.Helper()
	v, err := chromedp.Run(ctx, action)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// checkWidth: nothing has to be scrolled sideways.
func checkWidth(t *testing.T, ctx context.Context) {
	t.Helper()
	if over := value(t, ctx, chromedp.Evaluate[float64](`document.documentElement.scrollWidth - document.documentElement.clientWidth`)); over > 0 {
		t.Errorf("the page is %v px wider than the screen", over)
	}
}
