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
	"strings"
)

// MinKeyLength is the least that a key must hold, in bytes: as much as the signature.
const MinKeyLength = 32

// maxKeyFile bounds what is read of one key file, in bytes. A Secret's value is never near it by intent.
const maxKeyFile = 4096

// Keys sign and verify tokens: the first signs, all verify. To rotate, put a new key first and remove the old one
// when the last link made with it has expired. Keys never change once made, are safe for concurrent use, and
// print as their number only.
type Keys struct {
	keys [][]byte
}

// NewKeys makes Keys of the given secrets, which it copies. It refuses an empty list and keys of fewer than
// MinKeyLength bytes.
func NewKeys(keys ...[]byte) (*Keys, error) {
	if len(keys) == 0 {
		return nil, errors.New("no invitation key given: at least one is needed to sign links")
	}
	k := &Keys{}
	for i, key := range keys {
		if len(key) < MinKeyLength {
			return nil, fmt.Errorf("invitation key %d has %d bytes: at least %d are needed", i+1, len(key), MinKeyLength)
		}
		k.keys = append(k.keys, bytes.Clone(key))
	}
	return k, nil
}

// LoadKeys reads one key from each file in dir, as a Secret mounted as a volume has them. Files are taken in the
// order of their names, and the first signs: name them so that a new key sorts before an old one ("0", "1").
// Names that begin with a dot (Kubernetes keeps its own links there) and folders are skipped.
//
// A file holds standard or URL base64, with white space around it if you like, or else raw bytes. What can be
// read as base64 is, and its length counts after decoding: at least MinKeyLength bytes, and the file at most
// 4 KiB. Errors name the file and never its content.
func LoadKeys(dir string) (*Keys, error) {
	entries, err := os.ReadDir(dir) // sorted by name
	if err != nil {
		return nil, fmt.Errorf("reading invitation keys: %w", err)
	}
	var keys [][]byte
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), ".") {
			continue
		}
		name := filepath.Join(dir, entry.Name())
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
	return NewKeys(keys...)
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
func (k Keys) String() string { return fmt.Sprintf("invite.Keys(%d)", len(k.keys)) }

// Format prints String for every verb, so that %d and %#v do not get at the bytes either.
func (k Keys) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, k.String()) }

// LogValue logs String.
func (k Keys) LogValue() slog.Value { return slog.StringValue(k.String()) }
