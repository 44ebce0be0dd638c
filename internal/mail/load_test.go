package mail_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	om "github.com/orgkeeper/orgkeeper/internal/mail"
)

// folder writes files as a mounted ConfigMap has them: links into a folder that begins with two dots.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		file := filepath.Join(dir, "..2026_11_22", name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		top, _, _ := strings.Cut(name, "/")
		if err := os.Symlink(filepath.Join("..2026_11_22", top), filepath.Join(dir, top)); err != nil && !os.IsExist(err) {
			t.Fatal(err)
		}
	}
	return dir
}

func TestLoadTemplates(t *testing.T) {
	dir := folder(t, map[string]string{
		"it/membership-ended.txt.tmpl":  "{{define \"subject\"}}Ciao\r\nBcc: x@y.example{{end}}Ciao {{.Organization}}, dal {{.Since}}\r\n",
		"it/membership-ended.html.tmpl": "{{template \"begin\" .}}<p>Ciao {{.Organization}}</p>{{template \"end\" .}}",
		"frame.html.tmpl":               "{{define \"begin\"}}<html lang=\"{{.Language}}\"><title>{{.Subject}}</title>{{end}}{{define \"end\"}}</html>{{end}}",
	})
	templates, err := om.LoadTemplates(dir)
	if err != nil {
		t.Fatal(err)
	}
	compose := func(language string) (html, text string, m om.Message) {
		e, c := envelope, membershipEnd
		e.Language, c.Organization = language, "<b>"
		m, err := templates.Compose(e, c)
		if err != nil {
			t.Fatal(err)
		}
		env := read(t, m)
		return env.HTML, env.Text, m
	}
	html, text, m := compose("it")
	if html != "<html lang=\"it\"><title>Ciao Bcc: x@y.example</title><p>Ciao &lt;b&gt;</p></html>" || text != "Ciao <b>, dal mercoledì 24 giugno 2026, ore 09:30 UTC\r\n" {
		t.Errorf("not the words from the folder:\n%q\n%q", html, text)
	}
	checkHeader(t, m, "it", "")
	html, text, _ = compose("pl")
	if !strings.HasPrefix(html, "<html lang=\"pl\">") || !strings.HasPrefix(text, "Dzień dobry, Joe Doe!") {
		t.Errorf("want the folder's frame with the words of orgkeeper:\n%s\n%s", html, text)
	}
	if empty, err := om.LoadTemplates(""); err != nil {
		t.Error(err)
	} else if m, err := empty.Compose(envelope, invitation); err != nil || string(m.Data) != string(composed(t).Data) {
		t.Errorf("without a folder the mails are orgkeeper's own: %v", err)
	}
}

func TestLoadTemplatesRefuses(t *testing.T) {
	const subject = "{{define \"subject\"}}Hi{{end}}\n"
	for name, c := range map[string]struct {
		reason        string
		file, content string
		err           []string
	}{
		"Name":         {"a typing error must not go unnoticed", "en/invite.txt.tmpl", subject, []string{"en/invite.txt.tmpl: no template has this name"}},
		"Language":     {"a language that we do not have", "de/invitation.txt.tmpl", subject, []string{"de: no template has this name"}},
		"Flat":         {"the language is a folder", "invitation.txt.tmpl", subject, []string{"invitation.txt.tmpl: no template has this name"}},
		"Syntax":       {"with the line", "it/ownership.txt.tmpl", subject + "\n{{.Other", []string{"it/ownership.txt.tmpl:3"}},
		"SyntaxHTML":   {"with the line", "it/ownership.html.tmpl", "\n\n{{end}}", []string{"it/ownership.html.tmpl:3"}},
		"Field":        {"found before a mail is due", "pl/role-changed.txt.tmpl", subject + "{{.From}}\n{{.By}}", []string{"pl/role-changed.txt.tmpl:3", "By"}},
		"FieldHTML":    {"also in the HTML", "pl/role-changed.html.tmpl", "<p>\n{{.By}}", []string{"pl/role-changed.html.tmpl:2", "By"}},
		"Branch":       {"also where a mail seldom goes", "en/invitation.txt.tmpl", subject + "{{.URL}}\n{{if .More}}{{.Nothing}}{{end}}", []string{"en/invitation.txt.tmpl:3", "Nothing"}},
		"Parts":        {"a part that is missing", "en/parts.tmpl", "{{define \"hello\"}}{{end}}", []string{"en/", "no such template", "role"}},
		"Context":      {"what cannot be escaped", "en/ownership.html.tmpl", "<a href=\"\n{{if .Gained}}x\">{{end}}", []string{"en/ownership.html.tmpl:2"}},
		"Plural":       {"Polish has three forms", "pl/parts.tmpl", "\n{{define \"hello\"}}{{plural 2 \"a\" \"b\"}}{{end}}{{define \"role\"}}{{end}}{{define \"note\"}}{{end}}{{define \"workspaces\"}}{{end}}", []string{"pl/parts.tmpl:2", "pl has 3"}},
		"NoSubject":    {"each mail has one", "en/invitation.txt.tmpl", "{{.URL}}", []string{"en/invitation.txt.tmpl:1", "subject"}},
		"EmptySubject": {"with something in it", "en/ownership.txt.tmpl", "{{define \"subject\"}} {{end}}x", []string{"en/ownership.txt.tmpl:1", "subject"}},
		"NoLink":       {"an invitation that nobody can accept", "it/invitation.html.tmpl", "<p>{{.Organization}}</p>", []string{"it/invitation.html.tmpl:1", "{{.URL}}"}},
		"Big":          {"bounded", "en/invitation.html.tmpl", strings.Repeat("x", 65<<10), []string{"en/invitation.html.tmpl", "65536"}},
		"Endless":      {"a mail is bounded, too", "en/ownership.txt.tmpl", subject + "{{range 100000000}}xxxxxxxx{{end}}", []string{"en/ownership.txt.tmpl: it makes more than 262144 bytes"}},
		"Bytes":        {"no text", "en/ownership.txt.tmpl", "\xff", []string{"en/ownership.txt.tmpl: not UTF-8"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := om.LoadTemplates(folder(t, map[string]string{c.file: c.content}))
			for _, want := range c.err {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("%s: got %v, want %q", c.reason, err, want)
				}
			}
		})
	}
	if _, err := om.LoadTemplates(filepath.Join(t.TempDir(), "gone")); err == nil {
		t.Error("a folder that is not there was taken")
	}
}

// The guide names each file that can be replaced.
func TestGuideNamesTemplates(t *testing.T) {
	guide, err := os.ReadFile(filepath.Join("..", "..", "docs", "mail.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, language := range om.Languages() {
		files, err := os.ReadDir(filepath.Join("templates", language))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if !strings.Contains(string(guide), "`<language>/"+file.Name()+"`") {
				t.Errorf("docs/mail.md does not name %s", file.Name())
			}
		}
	}
}
