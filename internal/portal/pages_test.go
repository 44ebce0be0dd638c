package portal_test

import (
	"bytes"
	"cmp"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	gocmp "github.com/google/go-cmp/cmp"
	"golang.org/x/net/html"

	"github.com/orgkeeper/orgkeeper/internal/portal"
)

var update = flag.Bool("update", false, "write testdata/*.golden.html anew")

// meeting is a way to meet a page.
type meeting struct {
	page   string
	code   int
	inv    portal.Invitation
	err    error
	do     string // method and what comes after the token
	token  string // in place of the genuine one
	header []string
	body   string
}

var errAway = errors.New("away")

// full is an invitation with all that a page can say.
func full(s portal.Status) portal.Invitation {
	inv := open
	inv.Status, inv.Workspaces, inv.MoreWorkspaces = s, []string{"Web <shop>", "api"}, 7
	return inv
}

// meetings show every page once, and the open one with all it can say and with nothing.
func meetings() []meeting {
	return []meeting{
		{page: "open", code: 200, inv: full(portal.Open), do: "GET "},
		{page: "open", code: 200, inv: portal.Invitation{Status: portal.Open, Organization: "Acme", Role: "Member", Name: "Joe"}, do: "GET "},
		{page: "open", code: 200, inv: portal.Invitation{Status: portal.Open, Organization: "Acme", Inviter: "jane"}, do: "GET "},
		{page: "accepted", code: 200, inv: full(portal.Open), do: "POST /accept"},
		{page: "declined", code: 200, inv: full(portal.Open), do: "POST /decline"},
		{page: "alreadyaccepted", code: 200, inv: full(portal.AlreadyAccepted), do: "POST /accept"},
		{page: "alreadydeclined", code: 200, inv: full(portal.AlreadyDeclined), do: "GET "},
		{page: "expired", code: 410, inv: full(portal.Expired), do: "GET "},
		{page: "superseded", code: 410, inv: full(portal.Superseded), do: "GET "},
		{page: "withdrawn", code: 410, inv: full(portal.Withdrawn), do: "GET "},
		{page: "invalid", code: 404, inv: open, do: "GET ", token: "forged"},
		{page: "notfound", code: 404, inv: open, do: "GET /", token: "x/y"},
		{page: "notallowed", code: 405, inv: open, do: "GET /accept"},
		{page: "forbidden", code: 403, inv: open, do: "POST /accept", header: []string{"Sec-Fetch-Site", "cross-site"}},
		{page: "ratelimited", code: 429, inv: open, do: "GET "},
		{page: "badrequest", code: 413, inv: open, do: "POST /accept", body: strings.Repeat("x", 5000)},
		{page: "unavailable", code: 503, inv: open, err: errAway, do: "POST /accept"},
	}
}

func (m meeting) meet(t *testing.T, language string) *http.Response {
	t.Helper()
	g := newGuarded(t, portal.Limits{PerLink: 1})
	g.store.inv, g.store.err = m.inv, m.err
	token := g.keys.Sign(claims)
	if m.page == "ratelimited" {
		do(g, http.MethodGet, "/i/"+token)
	}
	method, rest, _ := strings.Cut(m.do, " ")
	r := httptest.NewRequest(method, "/i/"+cmp.Or(m.token, token)+rest, strings.NewReader(m.body))
	r.Header.Set("Accept-Language", language)
	for i := 0; i < len(m.header); i += 2 {
		r.Header.Set(m.header[i], m.header[i+1])
	}
	w := httptest.NewRecorder()
	g.ServeHTTP(w, r)
	return w.Result()
}

var styles = regexp.MustCompile(`(?s)<style>.*?</style>`)

// Every page in every language, for whoever reads the language to read through: testdata/it.golden.html and its like.
func TestPagesInAllLanguages(t *testing.T) {
	for _, language := range []string{"en", "it", "pl"} {
		t.Run(language, func(t *testing.T) {
			var all bytes.Buffer
			for _, m := range meetings() {
				got := m.meet(t, language)
				body := text(t, got)
				if got.StatusCode != m.code {
					t.Errorf("%s: status %d, want %d", m.page, got.StatusCode, m.code)
				}
				if got.Header.Get("Content-Language") != language || got.Header.Get("Vary") != "Accept-Language" || !strings.Contains(body, `<html lang="`+language+`">`) {
					t.Errorf("%s does not say that it is in %s: %v", m.page, language, got.Header)
				}
				checkStructure(t, body)
				fmt.Fprintf(&all, "<!-- %s: %s, %d -->\n%s\n", m.page, m.do, m.code, styles.ReplaceAllString(body, "<style></style>"))
			}
			_, token := handler(t, &store{}, logr.Discard())
			page := bytes.ReplaceAll(all.Bytes(), []byte(token), []byte("TOKEN"))
			file := filepath.Join("testdata", language+".golden.html")
			if *update {
				if err := os.WriteFile(file, page, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := gocmp.Diff(string(want), string(page)); diff != "" {
				t.Errorf("pages differ from %s (go test -update writes it anew): -want +got:\n%s", file, diff)
			}
		})
	}
}

// No page is left out above.
func TestEveryPageIsMet(t *testing.T) {
	met := map[string]bool{}
	for _, m := range meetings() {
		met[m.page] = true
	}
	for _, language := range []string{"en", "it", "pl"} {
		files, err := os.ReadDir(filepath.Join("pages", language))
		if err != nil {
			t.Fatal(err)
		}
		if len(files) != len(met) {
			t.Errorf("%d pages in %s, %d are met", len(files), language, len(met))
		}
		for _, f := range files {
			if name, _, _ := strings.Cut(f.Name(), "."); !met[name] {
				t.Errorf("the page %s in %s is met by no test", name, language)
			}
		}
	}
}

// What one language offers, all do: the same elements, addresses and names in the same order.
func TestLanguagesHaveOneStructure(t *testing.T) {
	for _, m := range meetings() {
		english := structure(t, text(t, m.meet(t, "en")))
		for _, language := range []string{"it", "pl"} {
			if diff := gocmp.Diff(english, structure(t, text(t, m.meet(t, language)))); diff != "" {
				t.Errorf("%s in %s: -English +%s:\n%s", m.page, language, language, diff)
			}
		}
	}
}

func structure(t *testing.T, body string) []string {
	t.Helper()
	doc, err := html.Parse(strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	var elements []string
	for n := range doc.Descendants() {
		if n.Type != html.ElementNode || n.Data == "html" {
			continue
		}
		element := n.Data
		for _, a := range n.Attr {
			element += " " + a.Key + "=" + a.Val
		}
		elements = append(elements, element)
	}
	return elements
}

// Dates, roles and greetings as each language writes them.
func TestWords(t *testing.T) {
	for _, tc := range []struct {
		reason, language string
		inv              portal.Invitation
		says             []string
	}{
		{"English", "en", open, []string{"Wednesday, 1 July 2026, 12:00\u00a0UTC", "user admin", "Hello Joe Doe, jane@acme.example invites you"}},
		{"Italian writes days and months in lower case", "it", open, []string{"mercoledì 1 luglio 2026, ore\u00a012:00\u00a0UTC", "responsabile degli utenti", "Buongiorno Joe Doe, jane@acme.example La invita"}},
		{"Polish months are in the genitive", "pl", open, []string{"1 lipca 2026\u00a0r., godz.\u00a012:00\u00a0UTC", "administrator użytkowników", "jane@acme.example zaprasza Cię"}},
		{"a role that is not known is not shown", "it", portal.Invitation{Status: portal.Open, Role: "Czar"}, []string{"Ha ricevuto un invito"}},
	} {
		body := text(t, meeting{inv: tc.inv, do: "GET "}.meet(t, tc.language))
		for _, want := range tc.says {
			if !strings.Contains(body, want) {
				t.Errorf("%s: the page does not say %q:\n%s", tc.reason, want, body)
			}
		}
		if strings.Contains(body, "Czar") {
			t.Errorf("%s:\n%s", tc.reason, body)
		}
	}
}

// Who reads, chooses; else others' knowledge of them; else English.
func TestLanguage(t *testing.T) {
	for _, tc := range []struct {
		reason  string
		header  []string
		locales []string
		want    string
	}{
		{"nobody says", nil, nil, "en"},
		{"the browser says", []string{"it-IT,it;q=0.9,en;q=0.8"}, nil, "it"},
		{"the browser comes before what others say", []string{"pl"}, []string{"it", "it"}, "pl"},
		{"a dialect", []string{"it-CH"}, nil, "it"},
		{"the order counts, not the place", []string{"en;q=0.3, pl;q=0.9"}, nil, "pl"},
		{"one of the lesser wishes", []string{"de-DE,de;q=0.9,it;q=0.2"}, nil, "it"},
		{"two lines are one list", []string{"de", "pl"}, nil, "pl"},
		{"a language that is refused", []string{"it;q=0"}, nil, "en"},
		{"none of ours: the member's", []string{"de,fr"}, []string{"pl", "it"}, "pl"},
		{"anything will do: the member's", []string{"*"}, []string{"pl"}, "pl"},
		{"none of ours, no member's: the organization's", []string{"de"}, []string{"", "it"}, "it"},
		{"a member's that we do not have", nil, []string{"de", "it-IT"}, "it"},
		{"English is a choice too", []string{"en-GB,en;q=0.9"}, []string{"it"}, "en"},
		{"nonsense is no choice", []string{";;;=,\x01"}, []string{"pl"}, "pl"},
		{"nor does nonsense spoil the rest", []string{"qq-QQ;q=1, en;q=junk, it;q=0.4, pl;q=0.5"}, nil, "pl"},
		{"nor are nonsense locales", nil, []string{"!!", "toolonglocale-x", ""}, "en"},
		{"the matcher would say English", []string{"sw, it;q=0.5"}, []string{"pl"}, "it"},
		{"nor is English what the member of another language is written in", nil, []string{"sw", "pl"}, "pl"},
		{"a script that we do not write", []string{"pl-Cyrl"}, []string{"it"}, "it"},
		{"a header made to cost time", []string{strings.Repeat("a-", 8000)}, []string{"it"}, "it"},
		{"more languages than anybody reads", []string{"pl," + strings.Repeat("aa,", 1000)}, []string{"it"}, "it"},
	} {
		inv := open
		inv.Locales = tc.locales
		h, token := handler(t, &store{inv: inv}, logr.Discard())
		r := httptest.NewRequest(http.MethodGet, "/i/"+token, nil)
		r.Header["Accept-Language"] = tc.header
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if got := w.Header().Get("Content-Language"); got != tc.want {
			t.Errorf("%s: the page is in %s, want %s", tc.reason, got, tc.want)
		}
	}
}

// checkStructure: one main heading, buttons with words, nothing that runs or loads.
func checkStructure(t *testing.T, body string) {
	t.Helper()
	elements := structure(t, body)
	for _, one := range []string{"h1", "title", "main", "style"} {
		if n := len(slices.DeleteFunc(slices.Clone(elements), func(e string) bool { return e != one })); n != 1 {
			t.Errorf("%d <%s>, want 1:\n%s", n, one, body)
		}
	}
	for _, e := range elements {
		name, attributes, _ := strings.Cut(e, " ")
		if slices.Contains([]string{"script", "link", "img", "iframe", "object", "svg"}, name) || strings.Contains(attributes, "src=") ||
			strings.Contains(attributes, " on") || strings.Contains(attributes, "style=") {
			t.Errorf("the page has <%s>", e)
		}
	}
	if strings.Contains(body, "ZgotmplZ") || strings.Contains(body, "<no value>") || strings.Contains(body, "<shop>") {
		t.Errorf("page is not in order:\n%s", body)
	}
}
