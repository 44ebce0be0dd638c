package portal_test

import (
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/orgkeeper/orgkeeper/internal/portal"
)

// asks makes the browser ask for a language, as it does when people set it.
func asks(t *testing.T, ctx context.Context, language string) {
	t.Helper()
	headers := network.Headers{"Accept-Language": language}
	if _, err := chromedp.Call(ctx, network.SetExtraHTTPHeaders, network.SetExtraHTTPHeadersParams{Headers: headers}); err != nil {
		t.Fatal(err)
	}
}

// People answer in their language, with the mouse and with the keyboard, on a phone and on a desk.
func TestBrowserAnswersInEveryLanguage(t *testing.T) {
	ctx := browser(t)
	for _, tc := range []struct {
		language, accept, decline string
		accepted, declined        string
	}{
		{"it", "Accetta", "Rifiuta", "Ti diamo il benvenuto in Acme S.p.A.", "Invito rifiutato"},
		{"pl", "Przyjmij", "Odrzuć", "Witamy w organizacji Acme S.p.A.", "Zaproszenie odrzucone"},
	} {
		asks(t, ctx, tc.language+"-"+strings.ToUpper(tc.language)+","+tc.language+";q=0.9,en;q=0.5")
		// press does it with the keyboard: Tab to the button, which must show that it has the focus, and a key.
		press := func(t *testing.T, tabs int, button, key string) {
			for range tabs {
				steps(t, ctx, chromedp.KeyEvent(kb.Tab))
			}
			focused := value(t, ctx, chromedp.Evaluate[string](`document.activeElement.textContent + " " + getComputedStyle(document.activeElement).outlineStyle`))
			if focused != button+" solid" {
				t.Errorf("after %d Tabs the focus is on %q, want %q with an outline", tabs, focused, button)
			}
			steps(t, ctx, chromedp.KeyEvent(key))
		}
		click := func(t *testing.T, button string) {
			steps(t, ctx, chromedp.Click(fmt.Sprintf(`//button[text()=%q]`, button)))
		}
		for _, width := range []int64{360, 1280} {
			for how, answer := range map[string]func(t *testing.T){
				"accepts by keyboard":  func(t *testing.T) { press(t, 1, tc.accept, kb.Enter) },
				"declines by keyboard": func(t *testing.T) { press(t, 2, tc.decline, " ") },
				"accepts by mouse":     func(t *testing.T) { click(t, tc.accept) },
				"declines by mouse":    func(t *testing.T) { click(t, tc.decline) },
			} {
				t.Run(fmt.Sprintf("%s, %d px, %s", tc.language, width, how), func(t *testing.T) {
					s := &store{inv: open}
					url, _ := site(t, s)
					steps(t, ctx, chromedp.EmulateViewport(width, 800), chromedp.Navigate(url))
					if overflow := value(t, ctx, chromedp.Evaluate[float64](`document.documentElement.scrollWidth - document.documentElement.clientWidth`)); overflow > 0 {
						t.Errorf("the page is %v px wider than the screen", overflow)
					}
					picture(t, ctx, fmt.Sprintf("open-%s-%d", tc.language, width))
					answer(t)
					title, call := tc.accepted, "accept"
					if strings.HasPrefix(how, "declines") {
						title, call = tc.declined, "decline"
					}
					steps(t, ctx, chromedp.WaitVisible(fmt.Sprintf(`//h1[text()=%q]`, title)))
					if language := value(t, ctx, chromedp.Evaluate[string](`document.documentElement.lang`)); language != tc.language {
						t.Errorf("the answer is in %s, want %s", language, tc.language)
					}
					if calls := strings.Join(s.calls, " "); calls != "show "+call {
						t.Errorf("the store was asked to %s, want show and %s", calls, call)
					}
				})
			}
		}
	}
}

// What a screen reader is told: each control has a name, the page has one heading and a main part, and says its title.
func TestBrowserTellsScreenReaders(t *testing.T) {
	ctx := browser(t)
	for language, want := range map[string]string{
		"en": "RootWebArea Invitation to Acme S.p.A., main , heading Invitation to Acme S.p.A., button Accept, button Decline",
		"it": "RootWebArea Invito a far parte di Acme S.p.A., main , heading Invito a far parte di Acme S.p.A., button Accetta, button Rifiuta",
		"pl": "RootWebArea Zaproszenie do organizacji Acme S.p.A., main , heading Zaproszenie do organizacji Acme S.p.A., button Przyjmij, button Odrzuć",
	} {
		url, _ := site(t, &store{inv: open})
		asks(t, ctx, language)
		steps(t, ctx, chromedp.Navigate(url))
		tree, err := chromedp.Call(ctx, accessibility.GetFullAXTree, accessibility.GetFullAXTreeParams{})
		if err != nil {
			t.Fatal(err)
		}
		var told []string
		for _, n := range tree.Nodes {
			role := said(t, n.Role)
			switch role {
			case "RootWebArea", "main", "heading", "button", "link", "textbox", "image", "dialog", "alert":
				told = append(told, role+" "+said(t, n.Name))
			}
		}
		if got := strings.Join(told, ", "); got != want {
			t.Errorf("a screen reader is told in %s:\n%s\nwant:\n%s", language, got, want)
		}
	}
}

func said(t *testing.T, v *accessibility.Value) string {
	t.Helper()
	if v == nil || len(v.Value) == 0 {
		return ""
	}
	var s string
	if err := json.Unmarshal(v.Value, &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// axe-core finds nothing, in any language, light or dark: names, contrast, landmarks, languages, structure. The pages are
// those that have something beside words.
func TestBrowserFindsNoBarrier(t *testing.T) {
	ctx := browser(t)
	axe := axeCore(t)
	for scheme, languages := range map[string][]string{"light": {"en", "it", "pl"}, "dark": {"en"}} {
		features := []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}
		if _, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: features}); err != nil {
			t.Fatal(err)
		}
		for _, language := range languages {
			for _, m := range []meeting{
				{inv: full(portal.Open)}, {inv: full(portal.AlreadyAccepted)}, {inv: full(portal.Expired)}, {inv: open, err: errAway},
			} {
				url, _ := site(t, &store{inv: m.inv, err: m.err})
				asks(t, ctx, language)
				steps(t, ctx, chromedp.EmulateViewport(360, 800), chromedp.Navigate(url))
				value(t, ctx, chromedp.Evaluate[bool](axe+"; true"))
				found := value(t, ctx, chromedp.Evaluate[[]string](`axe.run().then(r => {
					if (r.passes.length < 10) return ["axe looked at next to nothing"];
					return r.violations.concat(r.incomplete).flatMap(v => v.nodes.map(n => v.id + ": " + v.help + ": " + n.html));
				})`, chromedp.EvalAwaitPromise))
				for _, f := range found {
					t.Errorf("%s, %s, %s: %s", m.inv.Status, language, scheme, f)
				}
			}
		}
	}
}

const axeSum = "29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c"

// axeCore is the script, as its makers published it.
func axeCore(t *testing.T) string {
	t.Helper()
	f, err := os.Open("testdata/axe-core/axe.min.js.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	script, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	if sum := sha256.Sum256(script); hex.EncodeToString(sum[:]) != axeSum {
		t.Fatal("axe.min.js is not the file that it should be")
	}
	return string(script)
}
