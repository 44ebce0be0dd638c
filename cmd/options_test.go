package main

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// parsed gives the options for flags, beside those that must be there.
func parsed(t *testing.T, dir string, args ...string) (*options, error) {
	t.Helper()
	keys := filepath.Join(dir, "keys")
	if err := os.MkdirAll(keys, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(keys, "1"), []byte(strings.Repeat("key!", 8)), 0o600); err != nil {
		t.Fatal(err)
	}
	var o options
	fs := flag.NewFlagSet("orgkeeper", flag.ContinueOnError)
	o.bind(fs)
	if err := fs.Parse(append([]string{
		"--leader-elect=false", "--portal-url=https://orgkeeper.example", "--mail-from=invitations@orgkeeper.example",
		"--smtp-address=smtp.orgkeeper.example:587", "--invitation-keys-dir=" + keys,
	}, args...)); err != nil {
		t.Fatal(err)
	}
	o.rest = fs.Args()
	return &o, o.validate()
}

// What is wrong with the settings of mails stops the start, and says what to mend.
func TestMailOptions(t *testing.T) {
	for name, c := range map[string]struct {
		reason string
		files  map[string]string
		args   []string
		want   []string // empty: it starts
	}{
		"None":      {"nothing of this is needed", nil, nil, nil},
		"Half":      {"all flags of DKIM or none", nil, []string{"--dkim-domain=orgkeeper.example"}, []string{"--dkim-domain", "all of domain, selector and key file"}},
		"BadKey":    {"a file that is no key", map[string]string{"dkim.pem": "hunter2"}, []string{"--dkim-domain=orgkeeper.example", "--dkim-selector=a", "--dkim-key-file=DIR/dkim.pem"}, []string{"DIR/dkim.pem", "RSA or Ed25519"}},
		"Templates": {"words from a folder", map[string]string{"t/en/parts.tmpl": `{{define "hello"}}Dear {{.Name}},{{end}}{{define "role"}}{{.}}{{end}}{{define "workspaces"}}{{end}}{{define "note"}}{{end}}`}, []string{"--mail-templates-dir=DIR/t"}, nil},
		"Template":  {"the file and the line", map[string]string{"t/it/ownership.txt.tmpl": "{{define \"subject\"}}x{{end}}\n{{.Oter}}"}, []string{"--mail-templates-dir=DIR/t"}, []string{"DIR/t", "it/ownership.txt.tmpl:2"}},
		"Folder":    {"the mail server from a folder", map[string]string{"s/username": "u\n", "s/password": "hunter2\n"}, []string{"--smtp-settings-dir=DIR/s"}, nil},
		"Wins":      {"a file, not the flag", map[string]string{"s/address": "mail.example:465", "s/tls": "tls"}, []string{"--smtp-settings-dir=DIR/s", "--smtp-address="}, nil},
		"NoAddress": {"needed in one of the two", map[string]string{"s/tls": "tls"}, []string{"--smtp-settings-dir=DIR/s", "--smtp-address="}, []string{"the mail settings in DIR/s", "address is missing"}},
		"NoFolder":  {"a folder that was named", nil, []string{"--smtp-settings-dir=DIR/s"}, []string{"the mail settings in DIR/s", "no such file"}},
		"Unknown":   {"a name misspelled", map[string]string{"s/passwd": "hunter2"}, []string{"--smtp-settings-dir=DIR/s"}, []string{`"passwd"`, "password"}},
		"Swapped":   {"the file's fault, not its content", map[string]string{"s/tls": "hunter2"}, []string{"--smtp-settings-dir=DIR/s"}, []string{"DIR/s: tls"}},
		"FlagToo":   {"a flag is wrong by itself", map[string]string{"s/address": "mail.example:465"}, []string{"--smtp-settings-dir=DIR/s", "--smtp-address=mail.example"}, []string{"--smtp-address", `"mail.example"`}},
		"Halves":    {"a user by flag, the password by file", map[string]string{"s/password": "hunter2"}, []string{"--smtp-settings-dir=DIR/s", "--smtp-username=u"}, nil},
		"Word":      {"a flag behind a word would be ignored", nil, []string{"--leader-elect", "false", "--mail-rate=-1"}, []string{`"false"`, "--leader-elect=false"}},
		"Several":   {"all at once", map[string]string{"t/x": ""}, []string{"--mail-templates-dir=DIR/t", "--smtp-ca-file=DIR/gone"}, []string{"no template has this name", "DIR/gone"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			here := strings.NewReplacer("DIR", dir)
			for file, content := range c.files {
				file = filepath.Join(dir, file)
				if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			args := make([]string, 0, len(c.args))
			for _, arg := range c.args {
				args = append(args, here.Replace(arg))
			}
			o, err := parsed(t, dir, args...)
			if err == nil {
				_, err = o.invitations()
			}
			if (err == nil) != (len(c.want) == 0) {
				t.Fatalf("%s: %v", c.reason, err)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), here.Replace(want)) || strings.Contains(err.Error(), "hunter2") {
					t.Errorf("%s: got %v, want %q", c.reason, err, want)
				}
			}
		})
	}
}
