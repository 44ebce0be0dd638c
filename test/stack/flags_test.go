// Copyright The orgkeeper Authors.
// SPDX-License-Identifier: Apache-2.0

package stack

import (
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestFlags: whoever starts the operator wrongly reads what to mend, all of it at once.
func TestFlags(t *testing.T) {
	dir := t.TempDir()
	keys, short, empty := filepath.Join(dir, "keys"), filepath.Join(dir, "short"), filepath.Join(dir, "empty")
	for _, d := range []string{keys, short, empty} {
		check(t, os.Mkdir(d, 0o700))
	}
	check(t, os.WriteFile(filepath.Join(keys, "1"), []byte(strings.Repeat("key ", 8)), 0o600))
	check(t, os.WriteFile(filepath.Join(short, "1"), []byte("too short"), 0o600))
	missing := filepath.Join(dir, "missing")
	good := map[string]string{
		"--kubeconfig": missing, "--leader-elect-namespace": "orgkeeper-system",
		"--portal-bind-address": "127.0.0.1:0", "--metrics-bind-address": "127.0.0.1:0",
		"--portal-url": "https://orgkeeper.example", "--mail-from": "invitations@orgkeeper.example",
		"--invitation-keys-dir": keys, "--smtp-address": "127.0.0.1:25", "--smtp-tls": "none",
	}
	for _, test := range []struct {
		why    string
		change map[string]string // "" leaves the flag out
		code   int
		says   []string
	}{
		{"nothing but the kubeconfig is wrong", nil, 1, []string{missing}},
		{
			"all that is required is missing",
			map[string]string{"--portal-url": "", "--mail-from": "", "--invitation-keys-dir": "", "--smtp-address": "", "--leader-elect-namespace": ""},
			1,
			[]string{"--portal-url", "--mail-from", "--invitation-keys-dir", "--smtp-", "--leader-elect-namespace", "POD_NAMESPACE"},
		},
		{
			"many are wrong at once",
			map[string]string{
				"--portal-url": "orgkeeper.example", "--mail-from": "nobody", "--smtp-address": "mail.example", "--portal-bind-address": "8080",
				"--metrics-bind-address": "8081",
			},
			1,
			[]string{`--portal-url`, `"orgkeeper.example"`, "--mail-from", `"mail.example" is not of the form host:port`, `--portal-bind-address`, `"8080"`, "--metrics-bind-address"},
		},
		{"a portal address with a query", map[string]string{"--portal-url": "https://orgkeeper.example/?a=b"}, 1, []string{"--portal-url"}},
		{"no folder with keys", map[string]string{"--invitation-keys-dir": missing}, 1, []string{"invitation keys", missing, "no such file"}},
		{"a folder without a key", map[string]string{"--invitation-keys-dir": empty}, 1, []string{"no invitation key in " + empty}},
		{"a key that is too short", map[string]string{"--invitation-keys-dir": short}, 1, []string{short, "at least 32"}},
		{
			"a password file that cannot be read",
			map[string]string{"--smtp-username": "orgkeeper", "--smtp-password-file": missing},
			1, []string{"password", missing},
		},
		{"a user without a password", map[string]string{"--smtp-username": "orgkeeper"}, 1, []string{"password file"}},
		{
			"a password in the clear to another machine",
			map[string]string{"--smtp-username": "orgkeeper", "--smtp-password-file": missing, "--smtp-address": "mail.example:25"},
			1, []string{"in the clear"},
		},
		{"a CA that is none", map[string]string{"--smtp-tls": "tls", "--smtp-ca-file": filepath.Join(keys, "1")}, 1, []string{"CA file", "no PEM certificate"}},
		{"no time to send", map[string]string{"--smtp-timeout": "0s"}, 1, []string{"timeout"}},
		{"a certificate without its key", map[string]string{"--portal-tls-cert-file": missing}, 1, []string{"--portal-tls-key-file", "both"}},
		{
			"limits below zero",
			map[string]string{"--portal-rate-limit": "-1", "--portal-link-rate-limit": "-1"}, 1, []string{"--portal-rate-limit", "--portal-link-rate-limit"},
		},
		// What the flags' syntax refuses ends with 2, as everywhere.
		{"an unknown TLS mode", map[string]string{"--smtp-tls": "ssl"}, 2, []string{"-smtp-tls", "starttls, tls or none"}},
		{"a timeout without unit", map[string]string{"--smtp-timeout": "30"}, 2, []string{"-smtp-timeout"}},
		{"a proxy by its name", map[string]string{"--portal-trusted-proxies": "10.0.0.0/8,ingress.example"}, 2, []string{"-portal-trusted-proxies", `"ingress.example"`}},
		{"an unknown flag", map[string]string{"--owner": "jane"}, 2, []string{"-owner"}},
		{"help", map[string]string{"--help": "true"}, 0, []string{"-portal-url", "-smtp-address", "-leader-elect", "(required)"}},
	} {
		t.Run(test.why, func(t *testing.T) {
			flags := maps.Clone(good)
			maps.Copy(flags, test.change)
			var args []string
			for name, value := range flags {
				if value != "" {
					args = append(args, name+"="+value)
				}
			}
			cmd := exec.CommandContext(t.Context(), binary, args...)
			cmd.Env = []string{"HOME=" + dir} // no cluster to be found there
			cmd.SysProcAttr = endWithTest()
			out, err := cmd.CombinedOutput()
			said := string(out)
			var exit *exec.ExitError
			if err != nil && !errors.As(err, &exit) {
				t.Fatal(err)
			}
			if code := cmd.ProcessState.ExitCode(); code != test.code {
				t.Errorf("exit code %d, want %d:\n%s", code, test.code, said)
			}
			for _, text := range test.says {
				if !strings.Contains(said, text) {
					t.Errorf("it does not say %s:\n%s", text, said)
				}
			}
			for _, sign := range []string{"goroutine ", "panic: ", ".go:"} {
				if strings.Contains(said, sign) {
					t.Errorf("it shows a stack:\n%s", said)
				}
			}
			t.Log(said[:min(len(said), 1500)])
		})
	}
}
