package portal_test

import (
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
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

// prefers makes the browser light or dark.
func prefers(t *testing.T, ctx context.Context, scheme string) {
	t.Helper()
	features := []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}
	if _, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: features}); err != nil {
		t.Fatal(err)
	}
}

// People answer in their language, with the mouse and with the keyboard, on a phone and on a desk.
func TestBrowserAnswersInEveryLanguage(t *testing.T) {
	ctx := browser(t)
	type answer struct {
		call, button, title string
		tabs                int
		key                 string
	}
	for language, answers := range map[string][]answer{
		"it": {
			{"accept", "Accetta", "Le diamo il benvenuto in Acme S.p.A.", 1, kb.Enter},
			{"decline", "Rifiuta", "Invito rifiutato", 2, " "},
		},
		"pl": {
			{"accept", "Przyjmij", "Witamy w organizacji Acme S.p.A.", 1, kb.Enter},
			{"decline", "Odrzuć", "Zaproszenie odrzucone", 2, " "},
		},
	} {
		asks(t, ctx, language+"-"+strings.ToUpper(language)+","+language+";q=0.9,en;q=0.5")
		for _, a := range answers {
			for _, width := range []int64{360, 1280} {
				for _, by := range []string{"mouse", "keyboard"} {
					t.Run(fmt.Sprintf("%s, %s, %d px, %s", language, a.call, width, by), func(t *testing.T) {
						s := &store{inv: open}
						url, _ := site(t, s)
						steps(t, ctx, chromedp.EmulateViewport(width, 800), chromedp.Navigate(url))
						checkWidth(t, ctx)
						if by == "mouse" {
							steps(t, ctx, chromedp.Click(fmt.Sprintf(`//button[text()=%q]`, a.button)))
						} else {
							press(t, ctx, a.tabs, a.button, a.key)
						}
						steps(t, ctx, chromedp.WaitVisible(fmt.Sprintf(`//h1[text()=%q]`, a.title)))
						checkWidth(t, ctx)
						if got := value(t, ctx, chromedp.Evaluate[string](`document.documentElement.lang`)); got != language {
							t.Errorf("the answer is in %s, want %s", got, language)
						}
						if calls := strings.Join(s.asked(), " "); calls != "show "+a.call {
							t.Errorf("the store was asked to %s, want show and %s", calls, a.call)
						}
					})
				}
			}
		}
	}
}

// press answers with the keyboard: Tab to the button, which must show that it has the focus, and a key.
func press(t *testing.T, ctx context.Context, tabs int, button, key string) {
	t.Helper()
	for range tabs {
		steps(t, ctx, chromedp.KeyEvent(kb.Tab))
	}
	focused := value(t, ctx, chromedp.Evaluate[string](`document.activeElement.textContent + " " + getComputedStyle(document.activeElement).outlineStyle`))
	if focused != button+" solid" {
		t.Errorf("after %d Tabs the focus is on %q, want %q with an outline", tabs, focused, button)
	}
	steps(t, ctx, chromedp.KeyEvent(key))
}

// What a screen reader is told of the invitation, in this order.
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
		if got := strings.Join(told(t, ctx), ", "); got != want {
			t.Errorf("a screen reader is told in %s:\n%s\nwant:\n%s", language, got, want)
		}
	}
}

// Every page, in every language, has a title that its one heading says again, a main part, and a name for each control.
func TestBrowserNamesAllControls(t *testing.T) {
	ctx := browser(t)
	controls := map[string]int{}
	for _, m := range meetings() {
		for _, language := range []string{"en", "it", "pl"} {
			steps(t, ctx, chromedp.Navigate(recorded(t, m.meet(t, language))))
			got := told(t, ctx)
			for _, one := range got {
				role, name, _ := strings.Cut(one, " ")
				controls[role]++
				if name == "" && role != "main" {
					t.Errorf("%s in %s: a %s without a name", m.page, language, role)
				}
			}
			if len(got) < 3 || got[1] != "main " || got[2] != "heading "+strings.TrimPrefix(got[0], "RootWebArea ") {
				t.Errorf("%s in %s: a screen reader is told %s", m.page, language, strings.Join(got, ", "))
			}
		}
	}
	// The open page is met three times and has two buttons, the one without the API server has a link.
	for role, want := range map[string]int{"button": 3 * 2 * 3, "link": 3, "heading": 3 * len(meetings())} {
		if controls[role] != want {
			t.Errorf("%d times %s on all pages, want %d", controls[role], role, want)
		}
	}
}

// recorded serves an answer again, whatever its method was, at the address that is returned.
func recorded(t *testing.T, r *http.Response) string {
	t.Helper()
	body := text(t, r)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		maps.Copy(w.Header(), r.Header)
		w.WriteHeader(r.StatusCode)
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(srv.Close)
	return srv.URL
}

// told is what has a meaning of its own in the accessibility tree: role and name.
func told(t *testing.T, ctx context.Context) []string {
	t.Helper()
	tree, err := chromedp.Call(ctx, accessibility.GetFullAXTree, accessibility.GetFullAXTreeParams{})
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, n := range tree.Nodes {
		switch role := said(t, n.Role); role {
		case "RootWebArea", "main", "heading", "button", "link", "textbox", "checkbox", "combobox", "image", "dialog", "alert":
			all = append(all, role+" "+said(t, n.Name))
		}
	}
	return all
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
		prefers(t, ctx, scheme)
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
