package invite

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
)

// MinKeyLength is the least that a key must hold, in bytes: as much as the signature.
const MinKeyLength = 32

// maxKeyFile bounds what is read of one key file, in bytes. A Secret's value is never near it by intent.
const maxKeyFile = 4096

// Keys sign and verify tokens: the first signs, all verify. They are safe for concurrent use, copies share the keys, and
// they print as their number only.
//
// To rotate, first add a new key that sorts last, so that every replica can verify its links before any signs with it;
// then give it the first name; and remove the old one when the last link made with it has expired.
type Keys struct {
	// set is replaced whole by Reload and never changed, so that a reader needs no lock.
	set *atomic.Pointer[[][]byte]
	// dir is where the keys came from; empty for those of NewKeys.
	dir string
}

// NewKeys makes Keys of the given secrets, which it copies. It refuses an empty list and keys of fewer than
// MinKeyLength bytes.
func NewKeys(keys ...[]byte) (*Keys, error) {
	if len(keys) == 0 {
		return nil, errors.New("no invitation key given: at least one is needed to sign links")
	}
	set := make([][]byte, len(keys))
	for i, key := range keys {
		if len(key) < MinKeyLength {
			return nil, fmt.Errorf("invitation key %d has %d bytes: at least %d are needed", i+1, len(key), MinKeyLength)
		}
		set[i] = bytes.Clone(key)
	}
	k := &Keys{set: &atomic.Pointer[[][]byte]{}}
	k.set.Store(&set)
	return k, nil
}

// all are the keys in force, the signing one first.
func (k Keys) all() [][]byte { return *k.set.Load() }

// LoadKeys reads one key from each file in dir, as a Secret mounted as a volume has them. Files are taken in the
// order of their names, and the first signs: name them so that a new key sorts before an old one ("0", "1").
// Names that begin with a dot (Kubernetes keeps its own links there) and folders are skipped.
//
// A file holds standard or URL base64, with white space around it if you like, or else raw bytes. What can be
// read as base64 is, and its length counts after decoding: at least MinKeyLength bytes, and the file at most
// 4 KiB. Errors name the file and never its content.
func LoadKeys(dir string) (*Keys, error) {
	set, err := readKeys(dir)
	if err != nil {
		return nil, err
	}
	k, err := NewKeys(set...)
	if err != nil {
		return nil, err
	}
	k.dir = dir
	return k, nil
}

// Reload reads the folder of LoadKeys again and says whether the keys are others now. After an error they are as before.
func (k *Keys) Reload() (changed bool, err error) {
	if k.dir == "" {
		return false, nil
	}
	set, err := readKeys(k.dir)
	if err != nil {
		return false, err
	}
	if slices.EqualFunc(set, k.all(), bytes.Equal) {
		return false, nil
	}
	k.set.Store(&set)
	return true, nil
}

func readKeys(dir string) ([][]byte, error) {
	from := snapshot(dir)
	entries, err := os.ReadDir(from) // sorted by name
	if err != nil {
		return nil, fmt.Errorf("reading invitation keys: %w", err)
	}
	var keys [][]byte
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), ".") {
			continue
		}
		name := filepath.Join(from, entry.Name())
		// Not entry.Type: in a Secret's mount each file is a link.
		info, err := os.Stat(name)
		if err != nil {
			return nil, fmt.Errorf("reading invitation key: %w", err)
		}
		if !info.Mode().IsRegular() {
			continue
		}
		key, err := loadKey(name)
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("no invitation key in %s: at least one file with %d random bytes is needed", dir, MinKeyLength)
	}
	return keys, nil
}

// snapshot is the folder that never changes behind a Secret's mount: Kubernetes writes a new one and turns the link
// ..data to it, so reading through the link could take some keys from before and some from after. Other folders are
// read as they are.
func snapshot(dir string) string {
	data, err := filepath.EvalSymlinks(filepath.Join(dir, "..data"))
	if err != nil {
		return dir
	}
	if info, err := os.Stat(data); err != nil || !info.IsDir() {
		return dir
	}
	return data
}

func loadKey(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("reading invitation key: %w", err)
	}
	defer func() { _ = f.Close() }()
	content, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err != nil {
		return nil, fmt.Errorf("reading invitation key: %w", err)
	}
	if len(content) > maxKeyFile {
		return nil, fmt.Errorf("invitation key file %s is larger than %d bytes", name, maxKeyFile)
	}
	key := content
	how := ""
	if decoded, ok := decodeBase64(content); ok {
		key, how = decoded, " after decoding base64"
	}
	if len(key) < MinKeyLength {
		return nil, fmt.Errorf("invitation key file %s holds %d bytes%s: at least %d are needed", name, len(key), how, MinKeyLength)
	}
	return key, nil
}

func decodeBase64(content []byte) ([]byte, bool) {
	text := strings.TrimRight(strings.TrimSpace(string(content)), "=")
	for _, enc := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		if key, err := enc.DecodeString(text); err == nil {
			return key, true
		}
	}
	return nil, false
}

// String tells how many keys there are, and nothing of them.
func (k Keys) String() string { return fmt.Sprintf("invite.Keys(%d)", len(k.all())) }

// Format prints String for every verb, so that %d and %#v do not get at the bytes either.
func (k Keys) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, k.String()) }

// LogValue logs String.
func (k Keys) LogValue() slog.Value { return slog.StringValue(k.String()) }
