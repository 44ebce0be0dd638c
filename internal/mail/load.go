package mail

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// maxTemplate bounds a file of templates, in bytes.
const maxTemplate = 64 << 10

// LoadTemplates reads the files of a folder over those that orgkeeper comes with, which have the same names. A file of
// another name is an error, as is a template with which a mail could not be written: each sort of mails is written in each
// language first. Errors name the file and, where there is one, the line.
//
// An empty dir gives orgkeeper's own.
func LoadTemplates(dir string) (*Templates, error) {
	if dir == "" {
		return builtIn(), nil
	}
	sources := shipped()
	if err := overlay(sources, os.DirFS(dir), "."); err != nil {
		return nil, fmt.Errorf("mail templates in %s: %w", dir, err)
	}
	t, err := parse(sources)
	if err == nil {
		err = t.try()
	}
	if err != nil {
		return nil, fmt.Errorf("mail templates in %s: %w", dir, err)
	}
	return t, nil
}

// overlay replaces sources by the files of a folder. It follows links, of which a mounted ConfigMap consists; what begins
// with a dot is the kubelet's or an editor's.
func overlay(sources map[string]string, dir fs.FS, folder string) error {
	entries, err := fs.ReadDir(dir, folder)
	if err != nil {
		return err
	}
	var faults []error
	for _, entry := range entries {
		name := path.Join(folder, entry.Name())
		if strings.HasPrefix(entry.Name(), ".") {
			continue
		}
		info, err := fs.Stat(dir, name)
		switch {
		case err != nil:
			faults = append(faults, err)
		case info.IsDir() && slices.Contains(Languages(), name):
			faults = append(faults, overlay(sources, dir, name))
		default:
			faults = append(faults, replace(sources, dir, name, info))
		}
	}
	return errors.Join(faults...)
}

func replace(sources map[string]string, dir fs.FS, name string, info fs.FileInfo) error {
	if _, known := sources[name]; !known {
		return fmt.Errorf("%s: no template has this name; see docs/mail.md for those that do", name)
	}
	if !info.Mode().IsRegular() || info.Size() > maxTemplate {
		return fmt.Errorf("%s: not a file of at most %d bytes", name, maxTemplate)
	}
	content, err := fs.ReadFile(dir, name)
	if err != nil {
		return err
	}
	if !utf8.Valid(content) {
		return fmt.Errorf("%s: not UTF-8", name)
	}
	sources[name] = strings.ReplaceAll(string(content), "\r\n", "\n")
	return nil
}

// try writes each sort of mails in each language, with all that can be in them and with as little as there can be.
func (t *Templates) try() error {
	var faults []error
	told := map[string]bool{}
	for _, language := range Languages() {
		e := sampleEnvelope
		e.Language = language
		bare := e
		bare.To.Name = ""
		for _, c := range samples() {
			// Many samples meet the same fault.
			if err := cmp.Or(t.tryOne(e, c), t.tryOne(bare, c)); err != nil && !told[err.Error()] {
				told[err.Error()] = true
				faults = append(faults, err)
			}
		}
	}
	return errors.Join(faults...)
}

func (t *Templates) tryOne(e Envelope, c Content) error {
	b, err := t.write(e, c)
	if err != nil {
		return err
	}
	if inv, ok := c.(Invitation); ok {
		for kind, part := range map[string]string{"txt": b.text, "html": b.html} {
			if !strings.Contains(part, inv.AcceptURL) {
				return fmt.Errorf("template: %s/%s.%s.tmpl:1: it does not show the link, {{.URL}}", e.Language, c.sort(), kind)
			}
		}
	}
	_, err = render(e, c.replyTo(), b)
	return err
}

var sampleEnvelope = Envelope{
	MessageID: "sample@mail.example",
	From:      Address{Name: "orgkeeper", Address: "no-reply@mail.example"},
	To:        Address{Name: "Joe Doe", Address: "joe@acme.example"},
	Date:      time.Date(2026, 6, 24, 9, 30, 0, 0, time.UTC),
}

// samples are contents that take every way through a template.
func samples() []Content {
	const organization = "Acme"
	at := sampleEnvelope.Date
	full := Invitation{
		Organization: organization, Role: "Admin", Inviter: "jane@acme.example", Message: "Welcome!\n\nSee you on Monday.",
		Expires: at.AddDate(0, 0, 7), AcceptURL: "https://orgs.mail.example/i/AAAAAwAAAABqRQPAMGM5ZjRmMGUtNmQz",
	}
	bare := full
	bare.Inviter, bare.Message = "", ""
	ownership := Ownership{Organization: organization, Other: "Jane Roe", At: at}
	gained := ownership
	gained.Gained = true
	all := []Content{MembershipEnd{organization, at}, ownership, gained}
	for _, invitation := range []Invitation{bare, full} {
		for n := range maxWorkspaces + 3 { // none to two more than are listed
			invitation.Workspaces = slices.Repeat([]string{"web"}, n)
			reminder := invitation
			reminder.Reminder = true
			all = append(all, invitation, reminder)
		}
	}
	for _, about := range matters {
		all = append(all, Subscription{organization, about, 5, at})
	}
	all = append(all, Subscription{organization, "Cancelled", 0, time.Time{}})
	for _, role := range roles {
		bare.Role = role
		ownership.Role = role
		all = append(all, bare, RoleChange{organization, role, roles[0], at}, ownership)
	}
	return all
}
