package portal

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/orgkeeper/orgkeeper/internal/invite/tenanttext"
)

// Each page is a file that fills the blocks "title" and "main" of layout.html.tmpl, in a folder for each language.
//
//go:embed pages
var files embed.FS

//go:embed pages/style.css
var style string

// names are the pages: one for each status, in lower case, and those for what is no invitation. They are also what
// metrics and log call an answer.
var names = []string{
	"open", "accepted", "declined", "alreadyaccepted", "alreadydeclined", "expired", "superseded", "withdrawn",
	"invalid", "ratelimited", "notfound", "notallowed", "forbidden", "badrequest", "unavailable",
}

// pages are by language and name.
var pages = parse()

func parse() map[string]*template.Template {
	layout := template.Must(template.ParseFS(files, "pages/layout.html.tmpl"))
	all := map[string]*template.Template{}
	for _, t := range tongues {
		for _, name := range names {
			file := t.code + "/" + name
			all[file] = template.Must(template.Must(layout.Clone()).ParseFS(files, "pages/"+file+".html.tmpl"))
		}
	}
	return all
}

// styleHash lets the one style element through the Content-Security-Policy.
var styleHash = func() string {
	sum := sha256.Sum256([]byte(style))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}()

// page is what the templates see.
type page struct {
	// Name is one of names.
	Name string
	// Organization, Role, Inviter, Person and Expires are fit to be shown, and may be empty.
	Organization, Role, Inviter, Person, Expires string
	// ExpiresISO is Expires for programs.
	ExpiresISO string
	// Workspaces are fit to be shown; MoreWorkspaces is how many there are beside them.
	Workspaces     []string
	MoreWorkspaces int
	// Path leads to the invitation's page, from this one.
	Path string

	tongue *tongue
}

// Language is the page's.
func (p page) Language() string { return p.tongue.code }

// Style is the content of the style element, as hashed.
func (page) Style() template.CSS {
	return template.CSS(style) //nolint:gosec // our own file, which no input reaches
}

var statusPages = map[Status]struct {
	name string
	code int
}{
	Open:            {"open", http.StatusOK},
	Accepted:        {"accepted", http.StatusOK},
	Declined:        {"declined", http.StatusOK},
	AlreadyAccepted: {"alreadyaccepted", http.StatusOK},
	AlreadyDeclined: {"alreadydeclined", http.StatusOK},
	Expired:         {"expired", http.StatusGone},
	Superseded:      {"superseded", http.StatusGone},
	Withdrawn:       {"withdrawn", http.StatusGone},
}

const (
	maxName    = 100
	maxInviter = 254
)

func invitationPage(t *tongue, name string, inv Invitation, path string) page {
	p := page{
		Name:           name,
		Organization:   tenanttext.Line(inv.Organization, maxName),
		Role:           t.roles[inv.Role],
		Inviter:        tenanttext.Person(inv.Inviter, maxInviter),
		Person:         tenanttext.Line(inv.Name, maxName),
		MoreWorkspaces: inv.MoreWorkspaces,
		Path:           path,
		tongue:         t,
	}
	for _, w := range inv.Workspaces {
		p.Workspaces = append(p.Workspaces, tenanttext.Line(w, maxName))
	}
	if !inv.Expires.IsZero() {
		p.Expires = t.moment(inv.Expires.UTC())
		p.ExpiresISO = inv.Expires.UTC().Format(time.RFC3339)
	}
	return p
}

// plain answers with a page that says nothing of an invitation.
func plain(w http.ResponseWriter, r *http.Request, code int, name string) {
	render(w, code, page{Name: name, tongue: speak(r)})
}

// render writes a page whole or not at all.
func render(w http.ResponseWriter, code int, p page) {
	var b bytes.Buffer
	if err := pages[p.Language()+"/"+p.Name].ExecuteTemplate(&b, "layout.html.tmpl", p); err != nil {
		// Templates are checked by tests with every page; this is for what tests do not foresee.
		http.Error(w, fmt.Sprintf("page %s cannot be shown", p.Name), http.StatusInternalServerError)
		return
	}
	if rec, ok := w.(*recorder); ok {
		rec.outcome = p.Name
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Language", p.Language())
	h.Set("Vary", "Accept-Language")
	h.Set("Content-Length", strconv.Itoa(b.Len()))
	w.WriteHeader(code)
	_, _ = w.Write(b.Bytes())
}

// policy is the Content-Security-Policy: no script, no request, no frame, one style, and forms to ourselves.
var policy = strings.Join([]string{
	"default-src 'none'", "style-src " + styleHash, "form-action 'self'", "frame-ancestors 'none'", "base-uri 'none'",
}, "; ")
