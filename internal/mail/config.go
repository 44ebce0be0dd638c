package mail

import (
	"errors"
	"fmt"
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

func (m TLSMode) known() bool { return m == StartTLS || m == ImplicitTLS || m == NoTLS }

// ParseTLSMode reads what String gives.
func ParseTLSMode(s string) (TLSMode, error) {
	if m := TLSMode(s); m.known() {
		return m, nil
	}
	return "", fmt.Errorf("unknown TLS mode %q: use %s, %s or %s", s, StartTLS, ImplicitTLS, NoTLS)
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
	// PasswordFile holds the password for Username. Read for each mail, so that a changed Secret needs no restart; one
	// line end after the password is ignored.
	PasswordFile string
	// CAFile holds PEM certificates to trust in place of the system's. Read for each mail.
	CAFile string
	// ServerName is the name to expect in the server's certificate; empty: the host of Address.
	ServerName string
	// HELO is the name that we introduce ourselves by; empty: the sender's mail domain. A Pod's
	// own name would be refused where a full host name is wanted.
	HELO string
	// DKIM signs the mails, if set.
	DKIM DKIM
	// SettingsDir is a folder with a file for each of the settings above that shall not be taken from here; see
	// folder.go for their names. Read for each mail. Empty: none.
	SettingsDir string

	// Timeout ends one Send as a whole, from the dial to the server's last word: at least a second is sensible, 30
	// seconds usual. Required.
	Timeout time.Duration
	// MaxIdle is how many connections are kept for mails to come, at most: as many as mails are sent at once is
	// sensible. 0: none, each mail has its own.
	MaxIdle int
	// IdleTime is how long a connection is kept without a mail; 0: 30 seconds. Some servers hang up after ten
	// seconds, most after minutes; both are fine.
	IdleTime time.Duration
}

// Validate tells every fault that can be seen without opening a file or a connection. With SettingsDir, what is missing
// may yet come from there.
func (c Config) Validate() error {
	v := c.given()
	// What a file holds does not matter here.
	v.password, v.ca, v.dkimKey = c.PasswordFile, c.CAFile, c.DKIM.KeyFile
	faults := v.malformed(true)
	if c.SettingsDir == "" {
		faults = append(faults, v.incoherent()...)
	}
	if c.Timeout <= 0 {
		faults = append(faults, errors.New("timeout must be more than zero"))
	}
	if err := errors.Join(faults...); err != nil {
		return fmt.Errorf("mail server: %w", err)
	}
	return nil
}

// given are the settings as they stand here, without what is in files.
func (c Config) given() values {
	return values{
		server: server{
			address: c.Address, tls: c.TLS.String(), username: c.Username, serverName: c.ServerName, helo: c.HELO,
		},
		dkimDomain: c.DKIM.Domain, dkimSelector: c.DKIM.Selector,
	}
}

// read gives all settings of this moment: those of the folder, and else what is given here.
func (c Config) read() (values, error) {
	v := c.given()
	v.caFile, v.keyFile = "ca.crt", "dkim.key"
	if c.SettingsDir != "" {
		files, err := readFolder(c.SettingsDir)
		if err != nil {
			return values{}, err
		}
		for name, content := range files {
			*v.named()[name] = content
		}
	}
	err := errors.Join(
		fill(&v.password, new(string), c.PasswordFile, "the mail server's password"),
		fill(&v.ca, &v.caFile, c.CAFile, "the mail server's CA"),
		fill(&v.dkimKey, &v.keyFile, c.DKIM.KeyFile, "the DKIM key"),
	)
	return v, err
}

// where says in an error which settings are meant.
func (c Config) where() string {
	if c.SettingsDir == "" {
		return "the mail settings"
	}
	return "the mail settings in " + c.SettingsDir
}
