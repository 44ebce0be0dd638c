package mail

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
)

// TLSMode is how the connection to the mail server is protected.
type TLSMode string

const (
	// StartTLS begins in the clear and must be upgraded before anything else is said; usual on port 587.
	StartTLS TLSMode = "starttls"
	// ImplicitTLS is TLS from the first byte; usual on port 465 (RFC 8314 prefers it).
	ImplicitTLS TLSMode = "tls"
	// NoTLS sends everything in the clear. For a server on the same machine.
	NoTLS TLSMode = "none"
)

// String gives the mode as it is written in a flag.
func (m TLSMode) String() string { return string(m) }

// ParseTLSMode reads what String gives.
func ParseTLSMode(s string) (TLSMode, error) {
	switch m := TLSMode(s); m {
	case StartTLS, ImplicitTLS, NoTLS:
		return m, nil
	default:
		return "", fmt.Errorf("unknown TLS mode %q: use %s, %s or %s", s, StartTLS, ImplicitTLS, NoTLS)
	}
}

// Set is ParseTLSMode for a flag (pflag.Value).
func (m *TLSMode) Set(s string) error {
	mode, err := ParseTLSMode(s)
	if err == nil {
		*m = mode
	}
	return err
}

// Type names the value in a flag's help (pflag.Value).
func (m *TLSMode) Type() string { return "mode" }

// Config says which mail server to use and how. Validate checks it.
type Config struct {
	// Address is the server's host:port.
	Address string
	// TLS has no default: use StartTLS or ImplicitTLS but for a server on the same machine.
	TLS TLSMode
	// Username for AUTH; empty: no AUTH. With it, AUTH is mandatory.
	Username string
	// PasswordFile holds the password for Username. Read for each new connection, so that a changed Secret needs no
	// restart; one line end after the password is ignored.
	PasswordFile string
	// CAFile holds PEM certificates to trust in place of the system's. Read for each new connection.
	CAFile string
	// ServerName is the name to expect in the server's certificate; empty: the host of Address.
	ServerName string
	// Timeout ends one Send as a whole, from the dial to the server's last word: at least a second is sensible, 30
	// seconds usual. Required.
	Timeout time.Duration
	// HELO is the name that we introduce ourselves by; empty: the sender's mail domain. A Pod's
	// own name would be refused where a full host name is wanted.
	HELO string
	// DKIM signs the mails, if set.
	DKIM DKIM
}

// Validate tells every fault of the configuration. It opens no file and no connection.
func (c Config) Validate() error {
	host, port, err := net.SplitHostPort(c.Address)
	badHELO := strings.ContainsFunc(c.HELO, func(r rune) bool { return r <= ' ' || r >= 0x7f })
	_, unknownMode := ParseTLSMode(c.TLS.String())
	faults := []error{unknownMode, c.DKIM.validate()}
	for _, check := range []struct {
		faulty bool
		fault  string
	}{
		{err != nil || host == "" || port == "", fmt.Sprintf("address %q is not of the form host:port", c.Address)},
		{(c.Username == "") != (c.PasswordFile == ""), "user name and password file belong together"},
		{c.Username != "" && c.TLS == NoTLS && !loopback(host), "a password is not sent in the clear: use TLS mode starttls or tls"},
		{c.TLS == NoTLS && (c.CAFile != "" || c.ServerName != ""), "a CA file or server name has no effect with TLS mode none"},
		{c.Timeout <= 0, "timeout must be more than zero"},
		{badHELO, fmt.Sprintf("HELO name %q is not a host name", c.HELO)},
	} {
		if check.faulty {
			faults = append(faults, errors.New(check.fault))
		}
	}
	if err := errors.Join(faults...); err != nil {
		return fmt.Errorf("mail server: %w", err)
	}
	return nil
}

// loopback takes "localhost" at its word, as RFC 6761 allows.
func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
