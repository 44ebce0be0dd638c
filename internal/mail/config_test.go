package mail_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	om "github.com/orgkeeper/orgkeeper/internal/mail"
)

func TestConfigValidate(t *testing.T) {
	cases := map[string]struct {
		reason string
		config om.Config
		err    string
	}{
		"Relay":        {"the usual", om.Config{Address: "relay.example:587", TLS: om.StartTLS, Username: "u", PasswordFile: "f", Timeout: time.Second}, ""},
		"Local":        {"a password may stay on this machine", om.Config{Address: "[::1]:25", TLS: om.NoTLS, Username: "u", PasswordFile: "f", Timeout: time.Second}, ""},
		"InTheClear":   {"a password must not cross a network in the clear", om.Config{Address: "relay.example:25", TLS: om.NoTLS, Username: "u", PasswordFile: "f", Timeout: time.Second}, "in the clear"},
		"NotLoopback":  {"a name that only begins so", om.Config{Address: "localhost.evil.example:25", TLS: om.NoTLS, Username: "u", PasswordFile: "f", Timeout: time.Second}, "in the clear"},
		"NoPort":       {"the port has no default", om.Config{Address: "relay.example", TLS: om.StartTLS, Timeout: time.Second}, "host:port"},
		"NoHost":       {"nor the host", om.Config{Address: ":25", TLS: om.StartTLS, Timeout: time.Second}, "host:port"},
		"NoMode":       {"nor the mode", om.Config{Address: "relay.example:25", Timeout: time.Second}, "unknown TLS mode"},
		"NoPassword":   {"a user alone is of no use", om.Config{Address: "relay.example:25", TLS: om.StartTLS, Username: "u", Timeout: time.Second}, "belong together"},
		"NoUser":       {"nor a password alone", om.Config{Address: "relay.example:25", TLS: om.StartTLS, PasswordFile: "f", Timeout: time.Second}, "belong together"},
		"NoTimeout":    {"without it a dead server holds a worker for ever", om.Config{Address: "relay.example:25", TLS: om.StartTLS}, "timeout"},
		"BadHELO":      {"would be a second command", om.Config{Address: "relay.example:25", TLS: om.StartTLS, Timeout: time.Second, HELO: "x\r\nMAIL"}, "HELO"},
		"CAWithoutTLS": {"somebody believes to be protected", om.Config{Address: "relay.example:25", TLS: om.NoTLS, CAFile: "f", Timeout: time.Second}, "no effect"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			err := tc.config.Validate()
			if tc.err == "" && err != nil || tc.err != "" && (err == nil || !strings.Contains(err.Error(), tc.err)) {
				t.Errorf("%s: got %v, want %q", tc.reason, err, tc.err)
			}
		})
	}
	if err := (om.Config{}).Validate(); strings.Count(err.Error(), "\n") < 2 {
		t.Errorf("all faults at once, not the first alone: %v", err)
	}
}

func TestTLSMode(t *testing.T) {
	for _, want := range []om.TLSMode{om.StartTLS, om.ImplicitTLS, om.NoTLS} {
		var got om.TLSMode
		if err := got.Set(want.String()); err != nil || got != want {
			t.Errorf("%s: got %s, %v", want, got, err)
		}
	}
	for _, s := range []string{"", "STARTTLS", "ssl"} {
		if got, err := om.ParseTLSMode(s); err == nil {
			t.Errorf("%q was taken as %s", s, got)
		}
	}
}

func TestNewSMTPReadsItsFiles(t *testing.T) {
	dir := t.TempDir()
	empty, gone := filepath.Join(dir, "empty"), filepath.Join(dir, "gone")
	if err := os.WriteFile(empty, []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	base := om.Config{Address: "relay.example:587", TLS: om.StartTLS, Timeout: time.Second}
	for _, file := range []string{empty, gone} {
		c := base
		c.Username, c.PasswordFile = "u", file
		if _, err := om.NewSMTP(c); err == nil || !strings.Contains(err.Error(), file) {
			t.Errorf("password file: got %v, want an error that names %s", err, file)
		}
		c = base
		c.CAFile = file
		if _, err := om.NewSMTP(c); err == nil || !strings.Contains(err.Error(), file) {
			t.Errorf("CA file: got %v, want an error that names %s", err, file)
		}
	}
	if _, err := om.NewSMTP(om.Config{}); err == nil {
		t.Error("an empty configuration was taken")
	}
}
