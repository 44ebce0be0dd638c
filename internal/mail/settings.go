package mail

import (
	"cmp"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"strings"
)

// server is all that a connection depends on, as text: two connections with the same can take each other's mails.
type server struct {
	address, tls, username, password, ca, serverName, helo string
}

// values are all settings of one moment, as text. They hold secrets: never print them.
type values struct {
	server
	dkimDomain, dkimSelector, dkimKey string
	// caFile and keyFile say in errors where those two are from.
	caFile, keyFile string
}

// named are the settings by the names that their files have in a settings folder: those of the flags, without prefix.
func (v *values) named() map[string]*string {
	return map[string]*string{
		"address": &v.address, "tls": &v.tls, "username": &v.username, "password": &v.password, "ca.crt": &v.ca,
		"server-name": &v.serverName, "helo": &v.helo,
		"dkim-domain": &v.dkimDomain, "dkim-selector": &v.dkimSelector, "dkim.key": &v.dkimKey,
	}
}

// malformed tells what is wrong with a setting by itself, and shows its value only if it comes from a flag: whoever mixes
// up two files should not read the password in an event.
func (v *values) malformed(show bool) []error {
	var faults []error
	for _, check := range []struct {
		name, value string
		good        func(string) bool
		fault       string
	}{
		{"address", v.address, hostPort, "is not of the form host:port"},
		{"tls", v.tls, func(s string) bool { return TLSMode(s).known() }, "is an unknown TLS mode: use starttls, tls or none"},
		{"username", v.username, func(s string) bool { return !strings.ContainsFunc(s, control) }, "has a control character"},
		{"server-name", v.serverName, word, "is not a host name"},
		{"helo: HELO name", v.helo, word, "is not a host name"},
		{"dkim-domain: DKIM domain", v.dkimDomain, dnsNamed, "is not a domain in ASCII such as example.com"},
		{"dkim-selector: DKIM selector", v.dkimSelector, dnsNamed, "is not a name such as mail2026"},
	} {
		switch {
		case check.value == "" || check.good(check.value):
		case show:
			faults = append(faults, fmt.Errorf("%s %q %s", check.name, check.value, check.fault))
		default:
			faults = append(faults, fmt.Errorf("%s %s", check.name, check.fault))
		}
	}
	return faults
}

// incoherent tells what is missing, or wrong beside another setting.
func (v *values) incoherent() []error {
	host, _, _ := net.SplitHostPort(v.address)
	clear := TLSMode(v.tls) == NoTLS
	signs := v.dkimDomain != "" || v.dkimSelector != "" || v.dkimKey != ""
	var faults []error
	for _, check := range []struct {
		faulty bool
		fault  string
	}{
		{v.address == "", "address is missing: host:port of the mail server"},
		{v.tls == "", "tls is missing, so it is an unknown TLS mode: use starttls, tls or none"},
		{(v.username == "") != (v.password == ""), "user name and password file belong together"},
		{v.username != "" && clear && !loopback(host), "a password is not sent in the clear: use TLS mode starttls or tls"},
		{clear && (v.ca != "" || v.serverName != ""), "a CA file or server name has no effect with TLS mode none"},
		{signs && (v.dkimDomain == "" || v.dkimSelector == "" || v.dkimKey == ""), "DKIM needs all of domain, selector and key file"},
	} {
		if check.faulty {
			faults = append(faults, errors.New(check.fault))
		}
	}
	return faults
}

func control(r rune) bool { return r < ' ' || r == 0x7f }

// word tells names in ASCII from what would be a second word, or a second line.
func word(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f })
}

func hostPort(s string) bool {
	host, port, err := net.SplitHostPort(s)
	return err == nil && host != "" && port != "" && !strings.ContainsFunc(s, func(r rune) bool { return r == ' ' || control(r) })
}

// loopback takes "localhost" at its word, as RFC 6761 allows.
func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// settings are values that were found to be in order, ready for use. They never change.
type settings struct {
	values
	host string
	// roots are the certificates to trust; nil: the system's.
	roots *x509.CertPool
	// key signs mails; nil: they are not signed.
	key crypto.Signer
}

// parse checks all that can be checked without the server.
func (v values) parse() (*settings, error) {
	if err := errors.Join(append(v.malformed(false), v.incoherent()...)...); err != nil {
		return nil, err
	}
	now := &settings{values: v}
	now.host, _, _ = net.SplitHostPort(v.address) // malformed has seen to that
	if v.ca != "" {
		now.roots = x509.NewCertPool()
		if !now.roots.AppendCertsFromPEM([]byte(v.ca)) {
			return nil, fmt.Errorf("the mail server's CA file %s holds no PEM certificate", v.caFile)
		}
	}
	if v.dkimKey != "" {
		key, err := parseKey(v.dkimKey)
		if err != nil {
			return nil, fmt.Errorf("the DKIM key file %s holds %w", v.keyFile, err)
		}
		now.key = key
	}
	return now, nil
}

func (s *settings) tlsConfig() *tls.Config {
	return &tls.Config{ServerName: cmp.Or(s.serverName, s.host), MinVersion: tls.VersionTLS12, RootCAs: s.roots}
}

// secrets are what a server may repeat in its answer, encoded or not.
func (s *settings) secrets() []string {
	if s.password == "" {
		return nil
	}
	encoded := base64.StdEncoding.EncodeToString
	return []string{encoded([]byte("\x00" + s.username + "\x00" + s.password)), encoded([]byte(s.password)), s.password}
}
