package activity

import (
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
)

const (
	// minToken keeps out tokens that could be guessed, in bytes.
	minToken = 16
	// maxTokens bounds the file with tokens, in bytes.
	maxTokens = 64 << 10
)

// errStranger is all that a stranger is told.
var errStranger = errors.New("not allowed to send audit events")

// Check reads the files, so that what is wrong with them stops the start.
func (c Config) Check() error {
	var errs []error
	if c.Enabled() && c.TokenFile != "" {
		_, err := tokens(c.TokenFile)
		errs = append(errs, err)
	}
	if c.Enabled() && c.ClientCAFile != "" {
		_, err := authorities(c.ClientCAFile)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// TLS is what the server speaks. A client certificate is verified wherever one is given, and asked for before anything is
// said where nothing else lets a client in.
func (c Config) TLS(certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)) *tls.Config {
	server := &tls.Config{
		GetCertificate: certificate,
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{"http/1.1"}, // one batch after another needs no HTTP/2
		// A resumed session would let in who was verified by an authority that is trusted no more.
		SessionTicketsDisabled: true,
	}
	if c.ClientCAFile == "" {
		return server
	}
	fresh := server.Clone()
	server.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		trusted, err := authorities(c.ClientCAFile)
		if err != nil {
			return nil, err
		}
		asking := fresh.Clone()
		asking.ClientCAs, asking.ClientAuth = trusted, tls.RequireAndVerifyClientCert
		if c.TokenFile != "" {
			asking.ClientAuth = tls.VerifyClientCertIfGiven
		}
		return asking, nil
	}
	return server
}

// admit fails with errStranger for who may not send events, and with another error when that cannot be told.
func (c Config) admit(r *http.Request) error {
	if c.ClientCAFile != "" && r.TLS != nil && c.named(r.TLS) {
		return nil
	}
	if c.TokenFile == "" {
		return errStranger
	}
	known, err := tokens(c.TokenFile)
	if err != nil {
		return err
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	given, found := sha256.Sum256([]byte(token)), 0
	for _, t := range known {
		found |= subtle.ConstantTimeCompare(t[:], given[:])
	}
	if found == 0 || !strings.EqualFold(scheme, "Bearer") {
		return errStranger
	}
	return nil
}

// named says whether the client has shown a good certificate of a name that is wanted.
func (c Config) named(state *tls.ConnectionState) bool {
	if len(state.VerifiedChains) == 0 {
		return false
	}
	client := state.VerifiedChains[0][0]
	return len(c.ClientNames) == 0 || slices.Contains(c.ClientNames, client.Subject.CommonName) ||
		slices.ContainsFunc(client.DNSNames, func(name string) bool { return slices.Contains(c.ClientNames, name) })
}

// tokens reads the tokens that are good, as hashes.
func tokens(file string) ([][sha256.Size]byte, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read tokens: %w", err)
	}
	if len(content) > maxTokens {
		return nil, fmt.Errorf("read tokens: %s has more than %d bytes", file, maxTokens)
	}
	var known [][sha256.Size]byte
	for line := range strings.Lines(string(content)) {
		switch token := strings.TrimSpace(line); {
		case token == "":
		case len(token) < minToken:
			return nil, fmt.Errorf("read tokens: a token of %s has less than %d bytes", file, minToken)
		default:
			known = append(known, sha256.Sum256([]byte(token)))
		}
	}
	if len(known) == 0 {
		return nil, fmt.Errorf("read tokens: %s has none", file)
	}
	return known, nil
}

// authorities reads the certificates to trust.
func authorities(file string) (*x509.CertPool, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read client authorities: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(content) {
		return nil, fmt.Errorf("read client authorities: %s has no certificate", file)
	}
	return pool, nil
}
