package mail

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	gomail "github.com/wneessen/go-mail"
)

// DKIM says how to sign mails (RFC 6376), for a mail server that does not. The zero value: not at all.
type DKIM struct {
	// Domain takes the responsibility (d=). To count for DMARC it must be the sender's domain, or one above or below it.
	Domain string
	// Selector names the public key (s=): it is at <selector>._domainkey.<domain> in DNS.
	Selector string
	// KeyFile holds the private key, PEM: RSA of at least 2048 bits (PKCS #1 or #8), or Ed25519 (PKCS #8). Read for each
	// mail, so that a changed Secret needs no restart. A new key needs a new selector, though: to change both at once, use
	// Config.SettingsDir.
	KeyFile string
}

// dnsName is a name of labels in ASCII, as both the domain and the selector are.
var dnsName = regexp.MustCompile(`^([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*$`)

func dnsNamed(s string) bool { return len(s) <= 253 && dnsName.MatchString(s) }

const minRSA = 2048 // bits; RFC 8301, 3.2 asks for at least 1024, and recommends this

// parseKey reads a private key. Its errors go on from "the file holds".
func parseKey(pem string) (crypto.Signer, error) {
	key, err := gomail.PrivKeyFromPEM([]byte(pem))
	if err != nil {
		return nil, fmt.Errorf("no RSA or Ed25519 private key in PEM: %w", err)
	}
	if r, ok := key.(*rsa.PrivateKey); ok && r.N.BitLen() < minRSA {
		return nil, fmt.Errorf("an RSA key of %d bits: use one of at least %d, or Ed25519", r.N.BitLen(), minRSA)
	}
	return key, nil
}

// All headers that we write are signed. Those that a reader goes by are named once more than they occur, so that none can
// be added on the way (RFC 6376, 8.15).
var (
	signedHeaders = []string{
		"From", "Reply-To", "To", "Subject", "Date", "Message-ID", "MIME-Version", "Content-Type", "Content-Language",
		"Auto-Submitted", "X-Auto-Response-Suppress",
	}
	oversigned = []string{"From", "Reply-To", "To", "Cc", "Subject", "Date", "Message-ID", "MIME-Version", "Content-Type"}
)

// sign gives a mail as it goes out. Its signature is of the date of the mail and has no random part, so that with the same
// key a copy is the same to the byte.
func (s *settings) sign(m Message) ([]byte, error) {
	if s.key == nil {
		return m.Data, nil
	}
	headers, content, found := bytes.Cut(m.Data, []byte("\r\n\r\n"))
	if !found {
		return nil, errors.New("mail has no header")
	}
	signer := gomail.NewDKIMSigner(s.dkimDomain, s.dkimSelector, s.key) // not shared: signing changes it
	signer.NowFunc = func() time.Time { return m.Date }
	signer.SignHeaders(signedHeaders...)
	signer.OversignHeaders(oversigned...)
	signature, err := signer.Sign(headers, content)
	if err != nil {
		return nil, fmt.Errorf("DKIM: %w", err)
	}
	return append([]byte(refold(signature)), m.Data...), nil
}

// refold breaks the lines of a signature between its tags, and within the last one, where white space does not count.
// go-mail 0.8.1 breaks a long h= or d= in the middle of a word: the line break becomes a space when the signature is
// verified, which it was not when it was made.
func refold(signature string) string {
	const width = 70
	tags, b, _ := strings.Cut(strings.ReplaceAll(strings.TrimSpace(signature), "\r\n ", ""), "; b=")
	folded := strings.ReplaceAll(tags, "; ", ";\r\n ") + ";\r\n b="
	for len(b) > width {
		folded, b = folded+b[:width]+"\r\n ", b[width:]
	}
	return folded + b + "\r\n"
}
