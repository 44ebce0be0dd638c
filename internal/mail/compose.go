package mail

import (
	"embed"
	"errors"
	"fmt"
	htmltemplate "html/template"
	"strings"
	texttemplate "text/template"
	"time"
)

//go:embed templates
var files embed.FS

// The mails are in English alone for now; a further language is a further folder.
const language = "en"

var (
	texts = texttemplate.Must(texttemplate.ParseFS(files, "templates/en/*.txt.tmpl"))
	htmls = htmltemplate.Must(htmltemplate.ParseFS(files, "templates/en/*.html.tmpl"))
)

// compose makes a mail from the templates of a sort of mails. They see only text that is fit to be shown.
func compose(e Envelope, sort string, data any) (Message, error) {
	var subject, text, html strings.Builder
	if i, ok := data.(invitationData); ok && i.Reminder {
		subject.WriteString("Reminder: ")
	}
	if err := errors.Join(
		texts.ExecuteTemplate(&subject, sort+".subject", data),
		texts.ExecuteTemplate(&text, sort+".txt.tmpl", data),
		htmls.ExecuteTemplate(&html, sort+".html.tmpl", data),
	); err != nil {
		return Message{}, fmt.Errorf("%s mail: %w", sort, err)
	}
	m, err := render(e, language, subject.String(), text.String(), html.String())
	if err != nil {
		return Message{}, fmt.Errorf("%s mail: %w", sort, err)
	}
	return m, nil
}

// inWords is a moment as mails show it: to the minute, in UTC, and saying so.
func inWords(t time.Time) string { return t.UTC().Format("Monday, 2 January 2006, 15:04 MST") }
