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

// Each page is a file that fills the blocks "title" and "main" of layout.html.tmpl. They are in English alone for
// now; a further language is a further folder.
//
//go:embed pages
var files embed.FS

//go:embed pages/style.css
var style string

const language = "en"

// names are the pages: one for each status, in lower case, and those for what is no invitation.
var names = []string{
	"open", "accepted", "declined", "alreadyaccepted", "alreadydeclined", "expired", "superseded", "withdrawn",
	"invalid", "notfound", "notallowed", "forbidden", "badrequest", "unavailable",
}

var pages = parse()

func parse() map[string]*template.Template {
	layout := template.Must(template.ParseFS(files, "pages/layout.html.tmpl"))
	all := map[string]*template.Template{}
	for _, name := range names {
		all[name] = template.Must(template.Must(layout.Clone()).ParseFS(files, "pages/"+language+"/"+name+".html.tmpl"))
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
	// Path leads to the invitation's page, from this one.
	Path string
}

// Language is the page's.
func (page) Language() string { return language }

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

var roleInWords = map[string]string{
	"Admin":        "admin",
	"BillingAdmin": "billing admin",
	"UserAdmin":    "user admin",
	"Member":       "member",
}

const (
	maxName    = 100
	maxInviter = 254
)

func invitationPage(name string, inv Invitation, path string) page {
	p := page{
		Name:         name,
		Organization: tenanttext.Line(inv.Organization, maxName),
		Role:         roleInWords[inv.Role],
		Inviter:      tenanttext.Person(inv.Inviter, maxInviter),
		Person:       tenanttext.Line(inv.Name, maxName),
		Path:         path,
	}
	if !inv.Expires.IsZero() {
		p.Expires = inv.Expires.UTC().Format("Monday, 2 January 2006, 15:04 MST")
		p.ExpiresISO = inv.Expires.UTC().Format(time.RFC3339)
	}
	return p
}

// render writes a page whole or not at all.
func render(w http.ResponseWriter, code int, p page) {
	var b bytes.Buffer
	if err := pages[p.Name].ExecuteTemplate(&b, "layout.html.tmpl", p); err != nil {
		// Templates are checked by tests with every page; this is for what tests do not foresee.
		http.Error(w, fmt.Sprintf("page %s cannot be shown", p.Name), http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Language", language)
	h.Set("Content-Length", strconv.Itoa(b.Len()))
	w.WriteHeader(code)
	_, _ = w.Write(b.Bytes())
}

// policy is the Content-Security-Policy: no script, no request, no frame, one style, and forms to ourselves.
var policy = strings.Join([]string{
	"default-src 'none'", "style-src " + styleHash, "form-action 'self'", "frame-ancestors 'none'", "base-uri 'none'",
}, "; ")
