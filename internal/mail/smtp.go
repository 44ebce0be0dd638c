package mail

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"os"
	"strings"
	"time"

	"github.com/wneessen/go-mail/smtp"
)

// SMTP sends mails through one server. It is safe for concurrent use; each Send opens its own connection.
type SMTP struct {
	config Config
	host   string
}

// NewSMTP checks the configuration and that the password, CA and DKIM key files can be read. It does not connect: a mail
// server that is down at start must not keep the operator down.
func NewSMTP(c Config) (*SMTP, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	host, _, err := net.SplitHostPort(c.Address)
	if err != nil {
		return nil, fmt.Errorf("mail server: %w", err)
	}
	if c.ServerName == "" {
		c.ServerName = host
	}
	s := &SMTP{config: c, host: host}
	if _, err := s.password(); err != nil {
		return nil, err
	}
	if _, err := s.tlsConfig(); err != nil {
		return nil, err
	}
	if c.DKIM.used() {
		if _, err := c.DKIM.key(); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// Send hands m over to the server and returns nil once the server has taken it, whatever happens to the connection
// after that. It ends when ctx does and after Config.Timeout at the latest. All its errors are of type *Error; when
// ctx itself ended, errors.Is tells context.Canceled or context.DeadlineExceeded, and the kind is Temporary, or
// Ambiguous if the content was on its way.
func (s *SMTP) Send(ctx context.Context, m Message) error {
	limited, cancel := context.WithTimeout(ctx, s.config.Timeout)
	defer cancel()
	d := &delivery{}
	err := s.deliver(limited, d, m)
	if err == nil {
		return nil
	}
	if ended := limited.Err(); ended != nil && !answered(err) {
		// What the connection says of it ("use of closed network connection") explains nothing.
		err = ended
	}
	failure := classify(d.at, d.doing, err, d.secrets...)
	if ctx.Err() != nil && failure.Kind == Unavailable {
		failure.Kind = Temporary // stopped by us: the server is not to blame
	}
	return failure
}

// delivery is one mail on its way, and how far it came.
type delivery struct {
	at      step
	doing   string
	secrets []string
}

func (d *delivery) begin(at step, doing string) { d.at, d.doing = at, doing }

func (s *SMTP) deliver(ctx context.Context, d *delivery, m Message) error {
	d.doing = "signing"
	data, err := s.config.DKIM.sign(m)
	if err != nil {
		return err
	}
	m.Data = data
	d.doing = "connecting"
	client, hangUp, err := s.connect(ctx, d, m.From)
	if err != nil {
		return err
	}
	defer hangUp()
	err = transfer(client, d, m)
	if err == nil || answered(err) {
		// Whatever they reply changes nothing. Never after a broken transfer: the library would first end the
		// content properly, and half a mail would be delivered.
		bye, cancel := context.WithTimeout(ctx, maxGoodbye)
		defer cancel()
		defer context.AfterFunc(bye, hangUp)()
		_ = client.Quit()
	}
	return err
}

// maxGoodbye bounds the wait for the answer to QUIT, when all that matters is known.
const maxGoodbye = 2 * time.Second

// transfer hands one mail over.
func transfer(client *smtp.Client, d *delivery, m Message) error {
	// To ask for SMTPUTF8 without need would have the mail refused where a later server lacks it.
	client.SkipSMTPUTF8(ascii(m.From) && ascii(m.To))
	if ok, _ := client.Extension("SMTPUTF8"); !ok && !ascii(m.To) {
		d.begin(rcptTo, "recipient")
		return errNoUTF8
	}
	d.begin(mailFrom, "MAIL")
	if err := client.Mail("<" + m.From + ">"); err != nil {
		return err
	}
	d.begin(rcptTo, "RCPT")
	if err := client.Rcpt("<" + m.To + ">"); err != nil {
		return err
	}
	d.begin(dataBegin, "DATA")
	w, err := client.Data()
	if err != nil {
		return err
	}
	d.begin(dataContent, "sending the content")
	if _, err := io.Copy(w, bytes.NewReader(m.Data)); err != nil {
		return err
	}
	return w.Close() // sends the end and reads the answer
}

// answered tells whether err is a reply of the server: then the connection is in order.
func answered(err error) bool {
	var reply *textproto.Error
	return errors.As(err, &reply)
}

// connect dials and opens a session. hangUp ends the connection and all that watches it.
func (s *SMTP) connect(ctx context.Context, d *delivery, from string) (_ *smtp.Client, hangUp func(), _ error) {
	password, err := s.password()
	if err != nil {
		return nil, nil, err
	}
	// What a server may repeat in its answer, encoded or not.
	d.secrets = []string{password, base64.StdEncoding.EncodeToString([]byte("\x00" + s.config.Username + "\x00" + password))}
	raw, err := (&net.Dialer{}).DialContext(ctx, "tcp", s.config.Address)
	if err != nil {
		return nil, nil, err
	}
	// The one limit that a server cannot talk its way around, a byte at a time.
	unwatch := context.AfterFunc(ctx, func() { _ = raw.Close() })
	hangUp = func() { unwatch(); _ = raw.Close() }
	client, err := s.open(ctx, d, &bounded{Conn: raw, left: maxAnswers}, from, password)
	if err != nil {
		hangUp()
		return nil, nil, err
	}
	return client, hangUp, nil
}

// open greets, starts TLS and signs in, as configured.
func (s *SMTP) open(ctx context.Context, d *delivery, conn net.Conn, from, password string) (*smtp.Client, error) {
	d.doing = "TLS"
	tlsConfig, err := s.tlsConfig()
	if err != nil {
		return nil, err
	}
	if s.config.TLS == ImplicitTLS {
		t := tls.Client(conn, tlsConfig)
		if err := t.HandshakeContext(ctx); err != nil {
			return nil, err
		}
		conn = t
	}
	d.doing = "greeting"
	client, err := smtp.NewClient(conn, s.host)
	if err != nil {
		return nil, err
	}
	d.doing = "EHLO"
	helo := s.config.HELO
	if helo == "" {
		helo = from[strings.LastIndexByte(from, '@')+1:]
	}
	if err := client.Hello(helo); err != nil {
		return nil, err
	}
	if s.config.TLS == StartTLS {
		d.doing = "STARTTLS"
		if err := startTLS(client, tlsConfig); err != nil {
			return nil, err
		}
	}
	if s.config.Username == "" {
		return client, nil
	}
	d.doing = "AUTH"
	return client, s.signIn(client, password)
}

func startTLS(client *smtp.Client, c *tls.Config) error {
	if offered, _ := client.Extension("STARTTLS"); !offered {
		return errNoStartTLS
	}
	return client.StartTLS(c)
}

var (
	errNoStartTLS = errors.New("not offered by the mail server, and nothing is sent without")
	errNoAuth     = errors.New("the mail server offers none of SCRAM-SHA-256, SCRAM-SHA-1, PLAIN and LOGIN")
	errNoUTF8     = errors.New("the mail server takes no addresses with letters beyond ASCII (SMTPUTF8)")
	errTooLong    = errors.New("the mail server talks without end")
)

// signIn uses the best way that the server offers. That the connection is encrypted or local, Validate and
// STARTTLS have seen to.
func (s *SMTP) signIn(client *smtp.Client, password string) error {
	_, offered := client.Extension("AUTH")
	user := s.config.Username
	for _, mechanism := range []struct {
		name string
		auth smtp.Auth
	}{
		{"SCRAM-SHA-256", smtp.ScramSHA256Auth(user, password)},
		{"SCRAM-SHA-1", smtp.ScramSHA1Auth(user, password)},
		{"PLAIN", smtp.PlainAuth("", user, password, s.host, true)},
		{"LOGIN", smtp.LoginAuth(user, password, s.host, true)},
	} {
		for name := range strings.FieldsSeq(offered) {
			if strings.EqualFold(name, mechanism.name) {
				return client.Auth(mechanism.auth)
			}
		}
	}
	return errNoAuth
}

func (s *SMTP) password() (string, error) {
	if s.config.PasswordFile == "" {
		return "", nil
	}
	content, err := os.ReadFile(s.config.PasswordFile)
	if err != nil {
		return "", fmt.Errorf("reading the mail server's password: %w", err)
	}
	password := strings.TrimSuffix(strings.TrimSuffix(string(content), "\n"), "\r")
	if password == "" {
		return "", fmt.Errorf("the mail server's password file %s is empty", s.config.PasswordFile)
	}
	return password, nil
}

func (s *SMTP) tlsConfig() (*tls.Config, error) {
	c := &tls.Config{ServerName: s.config.ServerName, MinVersion: tls.VersionTLS12}
	if s.config.CAFile == "" {
		return c, nil
	}
	pem, err := os.ReadFile(s.config.CAFile)
	if err != nil {
		return nil, fmt.Errorf("reading the mail server's CA: %w", err)
	}
	c.RootCAs = x509.NewCertPool()
	if !c.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("the mail server's CA file %s holds no PEM certificate", s.config.CAFile)
	}
	return c, nil
}

// maxAnswers bounds what a server may say in one connection, in bytes; it needs a few thousand.
const maxAnswers = 1 << 20

// bounded is a connection that gives up on a server which would fill our memory.
type bounded struct {
	net.Conn
	left int
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errTooLong
	}
	n, err := b.Conn.Read(p)
	b.left -= n
	return n, err
}

func ascii(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r >= 0x80 })
}
