package mail_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	om "github.com/orgkeeper/orgkeeper/internal/mail"
)

const user = "operator@mail.example"

// write puts files into a folder; without a content a file is removed.
func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		file := filepath.Join(dir, name)
		err := os.Remove(file)
		if content != "" {
			err = os.WriteFile(file, []byte(content), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func plainFolder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// mount is a folder as Kubernetes mounts a Secret.
type mount struct {
	dir     string
	version int
}

// turn does what the kubelet does for a changed Secret.
func (m *mount) turn(t *testing.T, files map[string]string) {
	t.Helper()
	m.version++
	before, _ := os.Readlink(filepath.Join(m.dir, "..data"))
	now := fmt.Sprintf("..%d", m.version)
	steps := []error{os.Mkdir(filepath.Join(m.dir, now), 0o755)}
	for name, content := range files {
		steps = append(steps, os.WriteFile(filepath.Join(m.dir, now, name), []byte(content), 0o600))
	}
	steps = append(steps,
		os.Symlink(now, filepath.Join(m.dir, "..data_tmp")),
		os.Rename(filepath.Join(m.dir, "..data_tmp"), filepath.Join(m.dir, "..data")))
	for name := range files {
		if err := os.Symlink(filepath.Join("..data", name), filepath.Join(m.dir, name)); err != nil && !errors.Is(err, os.ErrExist) {
			steps = append(steps, err)
		}
	}
	if before != "" {
		steps = append(steps, os.RemoveAll(filepath.Join(m.dir, before)))
	}
	if err := errors.Join(steps...); err != nil {
		t.Error(err)
	}
}

func TestSettingsFolderWins(t *testing.T) {
	for name, c := range map[string]struct {
		reason string
		files  map[string]string
		flags  om.Config
		helo   string
	}{
		"FilesAlone":   {"no flag but the mode is needed", map[string]string{"address": "ADDRESS", "helo": "files.example"}, om.Config{}, "files.example"},
		"OverFlags":    {"the file, not the flag", map[string]string{"address": "ADDRESS\n", "helo": "files.example\r\n"}, om.Config{Address: "127.0.0.1:1", HELO: "flags.example"}, "files.example"},
		"Empty":        {"an empty file counts as none", map[string]string{"helo": "\n", "username": "", "address": "ADDRESS"}, om.Config{HELO: "flags.example"}, "flags.example"},
		"NoFile":       {"what is not there comes from the flag", map[string]string{"address": "ADDRESS"}, om.Config{HELO: "flags.example"}, "flags.example"},
		"Mode":         {"the mode, too", map[string]string{"address": "ADDRESS", "tls": "none\n", "helo": "x"}, om.Config{TLS: om.StartTLS}, "x"},
		"KubeletFiles": {"Kubernetes' own names are no settings", map[string]string{"address": "ADDRESS", "..file": "x", "helo": "x"}, om.Config{}, "x"},
	} {
		t.Run(name, func(t *testing.T) {
			address := scripted(t, turns("> 220 x", "< EHLO "+c.helo, "> 250 x", taken, quit)...)
			for file, content := range c.files {
				c.files[file] = strings.ReplaceAll(content, "ADDRESS", address)
			}
			c.flags.SettingsDir = plainFolder(t, c.files)
			send(t, sender(t, c.flags), 1)
		})
	}
}

func TestSettingsFolderFaultsStopTheStart(t *testing.T) {
	secret := "hunter2 \x01"
	many := map[string]string{}
	for n := range 101 {
		many[fmt.Sprint(n)] = "x"
	}
	flags := om.Config{Address: "relay.example:587", TLS: om.StartTLS, Timeout: time.Second}
	for name, c := range map[string]struct {
		reason string
		files  map[string]string
		want   []string
	}{
		"Unknown":     {"a name misspelled would be ignored", map[string]string{"user": "u"}, []string{`"user"`, "address, ca.crt, dkim-domain, dkim-selector, dkim.key, helo, password, server-name, tls, username"}},
		"Hidden":      {"one dot is not Kubernetes'", map[string]string{".password": "u"}, []string{`".password"`}},
		"Address":     {"names file and fault", map[string]string{"address": secret}, []string{"address is not of the form host:port"}},
		"TwoLines":    {"one line end is one", map[string]string{"address": "relay.example:587\n\n"}, []string{"address"}},
		"TLS":         {"the same", map[string]string{"tls": secret}, []string{"tls is", "starttls, tls or none"}},
		"Username":    {"the same", map[string]string{"username": secret, "password": "x"}, []string{"username has a control character"}},
		"ServerName":  {"the same", map[string]string{"server-name": secret}, []string{"server-name"}},
		"HELO":        {"the same", map[string]string{"helo": secret}, []string{"helo"}},
		"CA":          {"the same", map[string]string{"ca.crt": secret}, []string{"ca.crt", "no PEM certificate"}},
		"DKIM":        {"the same", map[string]string{"dkim-domain": secret, "dkim-selector": secret}, []string{"dkim-domain", "dkim-selector"}},
		"DKIMKey":     {"the same", map[string]string{"dkim-domain": "a.example", "dkim-selector": "a", "dkim.key": secret}, []string{"dkim.key", "no RSA or Ed25519"}},
		"DKIMHalf":    {"all or nothing", map[string]string{"dkim-domain": "a.example"}, []string{"DKIM needs all"}},
		"NoUser":      {"a password alone", map[string]string{"password": secret}, []string{"belong together"}},
		"InTheClear":  {"also when the mode is a file", map[string]string{"password": secret, "username": "u", "tls": "none"}, []string{"in the clear"}},
		"Large":       {"must not fill our memory", map[string]string{"password": strings.Repeat(secret, 200_000)}, []string{"password: larger than 1048576 bytes"}},
		"Many":        {"neither by number", many, []string{"more than 100 files"}},
		"AllAtOnce":   {"each fault is told", map[string]string{"helo": secret, "tls": secret}, []string{"helo", "tls"}},
		"SecretAsTLS": {"two files mixed up", map[string]string{"username": user, "password": "starttls", "tls": secret}, []string{"tls is"}},
	} {
		t.Run(name, func(t *testing.T) {
			c1 := flags
			c1.SettingsDir = plainFolder(t, c.files)
			_, err := om.NewSMTP(c1)
			if err == nil {
				t.Fatalf("%s: it starts", c.reason)
			}
			for _, want := range append(c.want, "the mail settings in "+c1.SettingsDir) {
				if !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
					t.Errorf("%s: got %v, want %q", c.reason, err, want)
				}
			}
		})
	}
	refuses := func(reason, dir string, address string, want string) {
		t.Helper()
		c := flags
		c.SettingsDir, c.Address = dir, address
		if _, err := om.NewSMTP(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", reason, err, want)
		}
	}
	refuses("no folder", filepath.Join(t.TempDir(), "gone"), flags.Address, "no such file")
	refuses("no address in either", t.TempDir(), "", "address is missing")
	refuses("a wrong flag is named though a file may win", plainFolder(t, map[string]string{"address": "relay.example:587"}), "relay.example", `"relay.example" is not of the form`)
	dir := t.TempDir()
	if err := errors.Join(os.Mkdir(filepath.Join(dir, "helo"), 0o755), syscall.Mkfifo(filepath.Join(dir, "tls"), 0o600)); err != nil {
		t.Fatal(err)
	}
	refuses("a folder", dir, flags.Address, "helo: not a file")
	refuses("a pipe that nobody writes to", dir, flags.Address, "tls: not a file")
}

// Password, user and address change together, while the operator runs.
func TestSettingsChangeWithoutARestart(t *testing.T) {
	first, second := server{password: "one"}, server{password: "two"}
	first.start(t, nil)
	second.start(t, nil)
	m := mount{dir: t.TempDir()}
	m.turn(t, map[string]string{"address": first.address, "username": user, "password": "one"})
	s := sender(t, om.Config{SettingsDir: m.dir, MaxIdle: 2})
	send(t, s, 3)

	first.password = "rotated"
	m.turn(t, map[string]string{"address": first.address, "username": user, "password": "rotated"})
	send(t, s, 3)
	eventually(t, "the connection with the old password ends", func() bool { return first.left.Load() == 1 })
	m.turn(t, map[string]string{"address": first.address, "username": user, "password": "rotated"})
	send(t, s, 1)
	if n := first.accepted.Load(); n != 2 || len(first.got()) != 7 {
		t.Errorf("%d connections, %d mails: want 7 mails over one before and one after the password changed", n, len(first.got()))
	}

	m.turn(t, map[string]string{"address": second.address, "username": user, "password": "two"})
	send(t, s, 2)
	eventually(t, "the connection to the old address ends", func() bool { return first.left.Load() == 2 })
	if n := second.accepted.Load(); n != 1 || len(second.got()) != 2 {
		t.Errorf("%d connections, %d mails at the new address: want 1 and 2", n, len(second.got()))
	}
}

// The CA is part of the connection: who is not trusted any more gets no mail over an old one.
func TestSettingsOfTLSAndDKIMChange(t *testing.T) {
	tlsConfig, ca := certificate(t)
	good, err := os.ReadFile(ca)
	if err != nil {
		t.Fatal(err)
	}
	other, err := os.ReadFile(otherCA(t))
	if err != nil {
		t.Fatal(err)
	}
	var srv server
	srv.start(t, func(s *smtp.Server) { s.TLSConfig = tlsConfig })
	dir := plainFolder(t, map[string]string{"address": srv.address, "tls": "starttls", "ca.crt": string(good), "server-name": "example.com"})
	s := sender(t, om.Config{SettingsDir: dir, MaxIdle: 1})
	send(t, s, 1)
	write(t, dir, map[string]string{"ca.crt": string(other)})
	var failure *om.Error
	if err := s.Send(t.Context(), composed(t)); !errors.As(err, &failure) || failure.Kind != om.Unavailable || !strings.Contains(failure.Text, "unknown authority") {
		t.Errorf("another CA: got %v, want Unavailable", err)
	}
	write(t, dir, map[string]string{"ca.crt": string(good)})
	send(t, s, 1)

	before, key := srv.accepted.Load(), edKey(t)
	pem, err := os.ReadFile(keyFile(t, key, false))
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"dkim.key": string(pem), "dkim-domain": "mail.example\n", "dkim-selector": "mail2026\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	send(t, s, 1)
	got := srv.got()
	if err := verify(t, got[len(got)-1], key.Public()); err != nil {
		t.Errorf("signed from now on: %v", err)
	}
	if srv.accepted.Load() != before {
		t.Error("a signature is nothing to the connection")
	}
}

// While the settings are wrong no mail goes out, not even over a connection that is there, and it mends by itself.
func TestSettingsBrokenAndMended(t *testing.T) {
	srv := server{password: "hunter2"}
	srv.start(t, nil)
	good := map[string]string{"address": srv.address, "username": user, "password": "hunter2"}
	m := mount{dir: t.TempDir()}
	m.turn(t, good)
	s := sender(t, om.Config{SettingsDir: m.dir, MaxIdle: 1})
	sent := 0
	for name, c := range map[string]struct{ change, want string }{
		"tls":      {"hunter2", "tls is an unknown TLS mode"},
		"address":  {"hunter2", "address is not of the form"},
		"ca.crt":   {"hunter2", "no effect"},
		"passwort": {"hunter2", `no setting is named "passwort"`},
		"username": {"", "belong together"},
	} {
		send(t, s, 1)
		sent++
		bad := map[string]string{name: c.change}
		for file, content := range good {
			if _, changed := bad[file]; !changed {
				bad[file] = content
			}
		}
		m.turn(t, bad)
		err := s.Send(t.Context(), composed(t))
		checkError(t, name, err, om.Error{Kind: om.Unavailable})
		if !strings.Contains(err.Error(), "the mail settings in ") || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
		if len(srv.got()) != sent {
			t.Errorf("%s: a mail went out", name)
		}
		m.turn(t, good)
	}
	send(t, s, 1)
}

// Each server takes its own user's password alone, so old and new settings mixed would show. Nobody waits for anybody
// here: the Secret changes as fast as it can.
func TestSettingsAreNeverMixed(t *testing.T) {
	one, two := server{password: "one"}, server{password: "two"}
	one.start(t, nil)
	two.start(t, nil)
	versions := []map[string]string{
		{"address": one.address, "username": user, "password": "one", "helo": "one.example"},
		{"address": two.address, "username": user, "password": "two", "server-name": "", "helo": "two.example"},
	}
	m := mount{dir: t.TempDir()}
	m.turn(t, versions[0])
	s, mail := sender(t, om.Config{SettingsDir: m.dir, MaxIdle: 2}), composed(t)
	over := make(chan struct{})
	var turning sync.WaitGroup
	turning.Go(func() {
		for n := 1; ; n++ {
			select {
			case <-over:
				return
			default:
				m.turn(t, versions[n%2])
			}
		}
	})
	for range 300 {
		if err := s.Send(t.Context(), mail); err != nil {
			t.Error(err)
			break
		}
	}
	close(over)
	turning.Wait()
	if len(one.got()) == 0 || len(two.got()) == 0 {
		t.Errorf("%d and %d mails: the settings did not change meanwhile", len(one.got()), len(two.got()))
	}
}
