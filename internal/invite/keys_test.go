package invite_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/orgkeeper/orgkeeper/internal/invite"
)

func TestNewKeysRefuses(t *testing.T) {
	if _, err := invite.NewKeys(); err == nil {
		t.Error("no key at all was accepted")
	}
	if _, err := invite.NewKeys(make([]byte, 32), make([]byte, 31)); err == nil || !strings.Contains(err.Error(), "key 2") {
		t.Errorf("short second key: got %v", err)
	}
}

func TestNewKeysCopies(t *testing.T) {
	secret := bytes.Repeat([]byte{'a'}, 32)
	k, err := invite.NewKeys(secret)
	if err != nil {
		t.Fatal(err)
	}
	before := k.Sign(sample)
	clear(secret)
	if k.Sign(sample) != before {
		t.Error("changing the caller's slice changed the key")
	}
}

func TestLoadKeys(t *testing.T) {
	raw := func(c byte) []byte { return bytes.Repeat([]byte{c}, 32) }
	binary := append(raw(0xff), '\n') // no base64, and the last byte counts
	std := []byte(base64.StdEncoding.EncodeToString(raw('s')) + "\n")
	url := []byte("  " + base64.RawURLEncoding.EncodeToString(raw(0xfb)))
	cases := map[string]struct {
		reason string
		files  map[string][]byte
		want   [][]byte
		err    string
	}{
		"Base64":     {"as kubectl create secret users write it, with a line end", map[string][]byte{"key": std}, [][]byte{raw('s')}, ""},
		"URLBase64":  {"the URL alphabet, unpadded", map[string][]byte{"key": url}, [][]byte{raw(0xfb)}, ""},
		"Raw":        {"random bytes as they are", map[string][]byte{"key": binary}, [][]byte{binary}, ""},
		"Sorted":     {"the first name signs", map[string][]byte{"1": std, "0": url}, [][]byte{raw(0xfb), raw('s')}, ""},
		"DotSkipped": {"Kubernetes' own entries are no keys", map[string][]byte{"key": std, "..data": []byte("x"), ".x": nil}, [][]byte{raw('s')}, ""},
		"None":       {"an empty Secret", nil, nil, "no invitation key"},
		"Empty":      {"an empty file is a mistake, not a key", map[string][]byte{"key": nil}, nil, "key holds 0 bytes"},
		"Short":      {"24 bytes in base64 stay 24 bytes", map[string][]byte{"key": []byte("c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0")}, nil, "key holds 24 bytes after decoding base64"},
		"ShortRaw":   {"raw and short", map[string][]byte{"key": []byte("s e c r e t")}, nil, "key holds 11 bytes"},
		"Large":      {"somebody mounted the wrong file", map[string][]byte{"key": make([]byte, 5000)}, nil, "larger than"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.Mkdir(filepath.Join(dir, "folder"), 0o700); err != nil {
				t.Fatal(err)
			}
			for file, content := range tc.files {
				if err := os.WriteFile(filepath.Join(dir, file), content, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			got, err := invite.LoadKeys(dir)
			if tc.err != "" {
				if err == nil || !strings.Contains(err.Error(), tc.err) {
					t.Fatalf("%s: got error %v, want one with %q", tc.reason, err, tc.err)
				}
				if strings.Contains(err.Error(), "ecret") {
					t.Errorf("%s: the error shows the content: %v", tc.reason, err)
				}
				return
			}
			if err != nil {
				t.Fatalf("%s: %v", tc.reason, err)
			}
			want, err := invite.NewKeys(tc.want...)
			if err != nil {
				t.Fatal(err)
			}
			if got.Sign(sample) != want.Sign(sample) || got.String() != want.String() {
				t.Errorf("%s: loaded other keys than expected", tc.reason)
			}
		})
	}
}

func TestLoadKeysOfASecretMount(t *testing.T) {
	dir := t.TempDir()
	data := filepath.Join(dir, "..2026_01_01")
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(data, "key"), bytes.Repeat([]byte("k"), 43), 0o600); err != nil {
		t.Fatal(err)
	}
	for link, target := range map[string]string{"..data": "..2026_01_01", "key": "..data/key"} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	k, err := invite.LoadKeys(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got := k.String(); got != "invite.Keys(1)" {
		t.Errorf("got %s, want one key", got)
	}
}

// A mounted Secret changes while the operator runs: links signed before keep their meaning for as long as their key is
// there, and a Secret that somebody broke takes nothing away.
func TestReload(t *testing.T) {
	dir := t.TempDir()
	k := func(c byte) []byte { return []byte(base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{c}, 32))) }
	generation := 0
	mount := func(keys map[string][]byte) {
		t.Helper()
		generation++
		data := fmt.Sprintf("..%d", generation)
		if err := os.Mkdir(filepath.Join(dir, data), 0o700); err != nil {
			t.Fatal(err)
		}
		for name, key := range keys {
			if err := os.WriteFile(filepath.Join(dir, data, name), key, 0o600); err != nil {
				t.Fatal(err)
			}
			_ = os.Symlink("..data/"+name, filepath.Join(dir, name)) // it may be there
		}
		// As the kubelet does: a new link takes the old one's name at once.
		if err := os.Symlink(data, filepath.Join(dir, "..new")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, "..new"), filepath.Join(dir, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	mount(map[string][]byte{"1": k('a')})
	loaded, err := invite.LoadKeys(dir)
	if err != nil {
		t.Fatal(err)
	}
	first := loaded.Sign(sample)
	for _, step := range []struct {
		reason  string
		keys    map[string][]byte
		changed bool
		err     string
		signs   byte // the key that signs afterwards
		opens   bool // whether the first link does
	}{
		{"nothing changed", map[string][]byte{"1": k('a')}, false, "", 'a', true},
		{"a second key that only verifies yet", map[string][]byte{"1": k('a'), "2": k('b')}, true, "", 'a', true},
		{"the new key comes first and signs; the old one verifies", map[string][]byte{"0": k('b'), "1": k('a')}, true, "", 'b', true},
		{"an empty Secret is a mistake", nil, false, "no invitation key in " + dir, 'b', true},
		{"so is a short key", map[string][]byte{"0": []byte("short, and shown to nobody")}, false, "at least 32", 'b', true},
		{"the old key is gone, and with it its links", map[string][]byte{"0": k('b')}, true, "", 'b', false},
	} {
		mount(step.keys)
		changed, err := loaded.Reload()
		if changed != step.changed || (err == nil) != (step.err == "") || (err != nil && !strings.Contains(err.Error(), step.err)) {
			t.Errorf("%s: changed %v, error %v; want %v and %q", step.reason, changed, err, step.changed, step.err)
		}
		if err != nil && strings.Contains(err.Error(), "shown") {
			t.Errorf("%s: the error shows the content: %v", step.reason, err)
		}
		if loaded.Sign(sample) != keys(t, step.signs).Sign(sample) {
			t.Errorf("%s: another key signs than %c", step.reason, step.signs)
		}
		if _, err := loaded.Verify(first); (err == nil) != step.opens {
			t.Errorf("%s: the first link: %v", step.reason, err)
		}
	}
	if changed, err := keys(t, 'a').Reload(); changed || err != nil {
		t.Errorf("keys that came from no folder: %v, %v", changed, err)
	}
}

// Links are signed and verified while the keys are replaced; of use with -race.
func TestReloadBesideUse(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, c byte) {
		key := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{c}, 32))
		if err := os.WriteFile(filepath.Join(dir, name), []byte(key), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("1", 'z')
	loaded, err := invite.LoadKeys(dir)
	if err != nil {
		t.Fatal(err)
	}
	token := loaded.Sign(sample)
	var users sync.WaitGroup
	for range 2 {
		users.Go(func() {
			for range 2000 {
				if _, err := loaded.Verify(token); err != nil {
					t.Error("a link did not verify while keys were replaced")
					return
				}
				loaded.Sign(sample)
			}
		})
	}
	for c := range byte(50) {
		write("0", c)
		if _, err := loaded.Reload(); err != nil {
			t.Error(err)
		}
	}
	users.Wait()
}

func TestLoadKeysNamesAMissingFolder(t *testing.T) {
	if _, err := invite.LoadKeys("/nowhere/keys"); err == nil || !strings.Contains(err.Error(), "/nowhere/keys") {
		t.Errorf("got %v, want an error that names the folder", err)
	}
}

func TestKeysNeverPrint(t *testing.T) {
	k, err := invite.NewKeys([]byte("SECRETSECRETSECRETSECRETSECRETSECRET"))
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for _, v := range []any{k, *k, []any{k}, map[string]any{"k": *k}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%o"} {
			fmt.Fprintf(&out, verb, v)
		}
		slog.New(slog.NewTextHandler(&out, nil)).Info("x", "keys", v)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "keys", v)
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		out.Write(b)
	}
	for _, leak := range []string{"SECRET", "534543524554", "83 69 67 82 69 84", "0x53, 0x45"} {
		if strings.Contains(out.String(), leak) {
			t.Errorf("printing shows the key: %s", out.String())
		}
	}
}
