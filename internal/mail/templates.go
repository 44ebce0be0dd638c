package mail

import (
	"embed"
	"errors"
	"fmt"
	htmltemplate "html/template"
	"io/fs"
	"strings"
	"sync"
	texttemplate "text/template"
)

// Files of templates, by their names relative to the folder:
//
//	frame.html.tmpl         what the HTML of all mails has around it, in any language
//	en/parts.tmpl           words that several mails have, for text and HTML alike
//	en/<sort>.txt.tmpl      the text, and "subject"
//	en/<sort>.html.tmpl     the HTML
//
//go:embed templates
var files embed.FS

const (
	frameFile      = "frame.html.tmpl"
	partsFile      = "parts.tmpl"
	sortInvitation = "invitation"
)

var sorts = []string{sortInvitation, RoleChange{}.sort(), MembershipEnd{}.sort(), Ownership{}.sort(), Subscription{}.sort()}

// Templates are the words of all mails, in each language. They are safe for concurrent use.
type Templates struct {
	words map[string]words // by language and sort
}

// words are one sort of mails in one language.
type words struct {
	text *texttemplate.Template
	html *htmltemplate.Template
}

// body is what a mail says, final but for the encoding.
type body struct{ language, subject, text, html string }

// builtIn are the templates that orgkeeper comes with. Parsed once, they are the same for all.
var builtIn = sync.OnceValue(func() *Templates {
	t, err := parse(shipped())
	if err != nil {
		panic(err) // a test parses them
	}
	return t
})

// shipped are the files that orgkeeper comes with, by name.
func shipped() map[string]string {
	sources := map[string]string{}
	sub, err := fs.Sub(files, "templates")
	if err == nil {
		err = fs.WalkDir(sub, ".", func(name string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			content, err := fs.ReadFile(sub, name)
			sources[name] = string(content)
			return err
		})
	}
	if err != nil {
		panic(err) // they are in the program
	}
	return sources
}

// parse reads the files of all languages. Its errors name file and line.
func parse(sources map[string]string) (*Templates, error) {
	t := &Templates{words: map[string]words{}}
	var faults []error
	for _, tongue := range tongues {
		faults = append(faults, t.parse(sources, tongue))
	}
	return t, errors.Join(faults...)
}

func (t *Templates) parse(sources map[string]string, tongue tongue) error {
	language := tongue.tag.String()
	parts := language + "/" + partsFile
	functions := map[string]any{"plural": tongue.plural}
	// A template's name is what its errors begin with.
	text, err := texttemplate.New(parts).Funcs(functions).Parse(sources[parts])
	if err != nil {
		return err
	}
	html := htmltemplate.New("").Funcs(functions)
	for _, name := range []string{frameFile, parts} {
		if _, err := html.New(name).Parse(sources[name]); err != nil {
			return err
		}
	}
	var faults []error
	for _, sort := range sorts {
		w, err := parseSort(sources, language+"/"+sort, text, html)
		t.words[language+"/"+sort] = w
		faults = append(faults, err)
	}
	return errors.Join(faults...)
}

// parseSort adds a sort's own two files to what all sorts have.
func parseSort(sources map[string]string, name string, text *texttemplate.Template, html *htmltemplate.Template) (w words, err error) {
	textFile, htmlFile := name+".txt.tmpl", name+".html.tmpl"
	if text, err = text.Clone(); err == nil {
		w.text, err = text.New(textFile).Parse(sources[textFile])
	}
	if err == nil && w.text.Lookup("subject") == nil {
		err = fmt.Errorf("template: %s:1: it does not define \"subject\"", textFile)
	}
	if err != nil {
		return w, err
	}
	if html, err = html.Clone(); err == nil {
		w.html, err = html.New(htmlFile).Parse(sources[htmlFile])
	}
	return w, err
}

// fill writes a mail's words. They can have no line break in the subject, and no end that is far away.
func (t *Templates) fill(p *page, sort string, view any) (body, error) {
	w := t.words[p.Language+"/"+sort]
	subject, text, html := capped{name: w.text.Name()}, capped{name: w.text.Name()}, capped{name: w.html.Name()}
	if err := w.text.ExecuteTemplate(&subject, "subject", view); err != nil {
		return body{}, err
	}
	p.Subject = strings.Join(strings.Fields(subject.String()), " ")
	if p.Subject == "" {
		return body{}, fmt.Errorf("template: %s:1: its subject is empty", w.text.Name())
	}
	if err := errors.Join(w.text.Execute(&text, view), w.html.Execute(&html, view)); err != nil {
		return body{}, err
	}
	return body{language: p.Language, subject: p.Subject, text: wrap(text.String()), html: html.String()}, nil
}

// maxBody bounds a mail's text and its HTML, in bytes: those of templates from elsewhere need not end.
const maxBody = 256 << 10

// capped is a text that may not become too long.
type capped struct {
	name string // of its template
	b    strings.Builder
}

func (c *capped) Write(p []byte) (int, error) {
	if c.b.Len()+len(p) > maxBody {
		return 0, fmt.Errorf("template: %s: it makes more than %d bytes", c.name, maxBody)
	}
	return c.b.Write(p)
}

func (c *capped) String() string { return c.b.String() }
