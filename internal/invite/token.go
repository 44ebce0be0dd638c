package invite

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"time"
)

// ErrInvalid is the only error of Verify. It does not say what is wrong: whoever forges a token learns nothing.
var ErrInvalid = errors.New("invitation token is invalid")

// MaxTokenLength bounds what Verify looks at, in bytes. Tokens for Kubernetes UIDs have 107.
const MaxTokenLength = 256

// Claims are the facts that a token proves.
type Claims struct {
	// UID of the invited member's object. 1 to 128 bytes; Verify refuses the token of any other.
	UID string
	// Serial counts the sendings that void older links, from status.invitation.serial.
	Serial int32
	// Expires is when the link ends, to the second; Sign drops fractions. Verify gives it in UTC and does
	// not compare it with any clock.
	Expires time.Time
}

// domain keeps these signatures apart from anything else that might ever be signed with the same key. A change
// of the encoding takes a new one.
const domain = "orgkeeper.dev/invite/v1\x00"

const (
	serialLen = 4
	expiryLen = 8
	fixedLen  = serialLen + expiryLen
	macLen    = sha256.Size
	maxUIDLen = 128
)

// Strict, so that a token has one spelling only: else the unused bits of the last character could be changed
// and two different links would count as one in logs and limits.
var encoding = base64.RawURLEncoding.Strict()

// Sign returns the token for c, made with the first key. Equal claims and keys give equal tokens. The token is
// safe in a URL path as it is.
func (k *Keys) Sign(c Claims) string {
	payload := encode(c)
	return encoding.EncodeToString(append(payload, mac(k.all()[0], payload)...))
}

// Verify returns the claims of a token that any of the keys signed, and otherwise ErrInvalid. It does not judge
// the expiry.
func (k *Keys) Verify(token string) (Claims, error) {
	if len(token) > MaxTokenLength {
		return Claims{}, ErrInvalid
	}
	raw, err := encoding.DecodeString(token)
	if err != nil || len(raw) <= fixedLen+macLen || len(raw) > fixedLen+maxUIDLen+macLen {
		return Claims{}, ErrInvalid
	}
	payload, sum := raw[:len(raw)-macLen], raw[len(raw)-macLen:]
	if !k.signed(payload, sum) || !canonical(token) {
		return Claims{}, ErrInvalid
	}
	return decode(payload), nil
}

// signed tries every key, also after one matched, so that the time does not tell which key it was.
func (k *Keys) signed(payload, sum []byte) bool {
	ok := false
	for _, key := range k.all() {
		if hmac.Equal(mac(key, payload), sum) {
			ok = true
		}
	}
	return ok
}

// canonical refuses the line breaks that encoding/base64 skips even when strict.
func canonical(token string) bool {
	for i := range len(token) {
		if token[i] == '\n' || token[i] == '\r' {
			return false
		}
	}
	return true
}

// encode is unambiguous: two fields of fixed width, and the UID is all the rest.
func encode(c Claims) []byte {
	b := make([]byte, 0, fixedLen+len(c.UID)+macLen)
	b = binary.BigEndian.AppendUint32(b, uint32(c.Serial))
	b = binary.BigEndian.AppendUint64(b, uint64(c.Expires.Unix()))
	return append(b, c.UID...)
}

// decode reads what encode wrote; the caller has checked the length.
func decode(b []byte) Claims {
	return Claims{
		Serial:  int32(binary.BigEndian.Uint32(b)),
		Expires: time.Unix(int64(binary.BigEndian.Uint64(b[serialLen:])), 0).UTC(),
		UID:     string(b[fixedLen:]),
	}
}

func mac(key, payload []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(domain))
	h.Write(payload)
	return h.Sum(nil)
}
