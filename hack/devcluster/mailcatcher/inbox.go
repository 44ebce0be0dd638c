// Copyright The orgkeeper Authors.
// SPDX-License-Identifier: Apache-2.0

package mailcatcher

import (
	"embed"
	"errors"
	"html/template"
	"io/fs"
	"net/http"
	"regexp"
)

//go:embed page.css *.html
var pages embed.FS

const mailsPerPage = 100

// Mails are other people's HTML. A page's own parts are safe to show as they are escaped; the HTML part gets a document of its
// own, without scripts, origin, forms or remote content, that can do one thing: open a link in a new tab.
const (
	pagePolicy = "default-src 'none'; style-src 'self'; frame-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
	partPolicy = "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; " +
		"form-action 'none'; frame-ancestors 'self'"
)

type inbox struct {
	store *store
	pages *template.Template
}

func newInbox(s *store) http.Handler {
	in := &inbox{store: s, pages: template.Must(template.New("").Funcs(template.FuncMap{"links": splitLinks}).ParseFS(pages, "*.html"))}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", in.list)
	mux.HandleFunc("GET /mail/{name}", in.show)
	mux.HandleFunc("GET /mail/{name}/html", in.html)
	mux.HandleFunc("GET /mail/{name}/source", in.source)
	mux.HandleFunc("GET /page.css", func(w http.ResponseWriter, r *http.Request) { http.ServeFileFS(w, r, pages, "page.css") })
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", pagePolicy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-store")
		mux.ServeHTTP(w, r)
	})
}

func (in *inbox) list(w http.ResponseWriter, r *http.Request) {
	names, more, err := in.store.list(r.URL.Query().Get("before"), mailsPerPage)
	if err != nil {
		fail(w, err)
		return
	}
	page := struct {
		Mails []mail
		Older string // the last name shown, when there are more
		Later bool   // this is not the first page
	}{Later: r.URL.Query().Has("before")}
	for _, name := range names {
		m, err := in.store.read(name)
		if errors.Is(err, fs.ErrNotExist) { // removed a moment ago
			continue
		}
		if err != nil {
			fail(w, err)
			return
		}
		page.Mails = append(page.Mails, m)
	}
	if more {
		page.Older = names[len(names)-1]
	}
	in.render(w, "list.html", page)
}

func (in *inbox) show(w http.ResponseWriter, r *http.Request) {
	if m, err := in.store.read(r.PathValue("name")); err != nil {
		fail(w, err)
	} else {
		in.render(w, "mail.html", m)
	}
}

// html serves a mail's HTML part for the frame in its page, with a base that opens every link outside of it.
func (in *inbox) html(w http.ResponseWriter, r *http.Request) {
	m, err := in.store.read(r.PathValue("name"))
	if err == nil && m.HTML == "" {
		err = fs.ErrNotExist
	}
	if err != nil {
		fail(w, err)
		return
	}
	w.Header().Set("Content-Security-Policy", partPolicy)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write([]byte("<!doctype html><base target=\"_blank\">\n" + m.HTML))
}

func (in *inbox) source(w http.ResponseWriter, r *http.Request) {
	content, err := in.store.raw(r.PathValue("name"))
	if err != nil {
		fail(w, err)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write(content)
}

func (in *inbox) render(w http.ResponseWriter, name string, data any) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	if err := in.pages.ExecuteTemplate(w, name, data); err != nil {
		fail(w, err)
	}
}

func fail(w http.ResponseWriter, err error) {
	if errors.Is(err, fs.ErrNotExist) {
		http.Error(w, "no such mail", http.StatusNotFound)
		return
	}
	http.Error(w, err.Error(), http.StatusInternalServerError)
}

// piece is a stretch of text, with the address it leads to if it is a link.
type piece struct{ Text, URL string }

// link ends before punctuation that closes a sentence rather than an address.
var link = regexp.MustCompile(`https?://[^\s<>"]*[^\s<>".,;:!?)\]']`)

// splitLinks makes the links of a plain text clickable.
func splitLinks(text string) []piece {
	var pieces []piece
	end := 0
	for _, at := range link.FindAllStringIndex(text, -1) {
		pieces = append(pieces, piece{Text: text[end:at[0]]}, piece{Text: text[at[0]:at[1]], URL: text[at[0]:at[1]]})
		end = at[1]
	}
	return append(pieces, piece{Text: text[end:]})
}
