package mail

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/textproto"
	"strings"
	"time"

	"github.com/wneessen/go-mail/smtp"
)

// connection is a session with a mail server, signed in where that is wanted. One mail at a time has it.
type connection struct {
	server
	client *smtp.Client
	raw    net.Conn
	budget *bounded
	// stop ends what watch began.
	stop func() bool
	// mails counts those that were tried over it, refused the refusals since one was taken.
	mails, refused int
	// retire ends it when it waits for too long; idle sets it.
	retire *time.Timer
}

const (
	// maxMails is how many mails a connection carries. Many servers have a limit near this, and the server's name is
	// looked up again this way.
	maxMails = 100
	// maxRefused is how many refusals in a row a connection sees. Servers slow down whoever collects more (Postfix: 10).
	maxRefused = 5
	// maxGoodbye bounds the wait for an answer when all that matters is known.
	maxGoodbye = 2 * time.Second
)

// dial opens a session, which ends with ctx: see watch.
func dial(ctx context.Context, d *delivery, with *settings, to server) (*connection, error) {
	raw, err := (&net.Dialer{}).DialContext(ctx, "tcp", to.address)
	if err != nil {
		return nil, err
	}
	c := &connection{server: to, raw: raw, budget: &bounded{Conn: raw}}
	c.watch(ctx)
	if err := c.open(ctx, d, with); err != nil {
		c.hangUp()
		return nil, err
	}
	return c, nil
}

// watch begins a mail: the server may say maxAnswers more, and the connection is closed when ctx ends. That is the one
// limit that a server cannot talk its way around, a byte at a time.
func (c *connection) watch(ctx context.Context) {
	c.budget.left = maxAnswers
	c.stop = context.AfterFunc(ctx, func() { _ = c.raw.Close() })
}

// unwatch says no if the connection is closed already, or about to be.
func (c *connection) unwatch() bool { return c.stop() }

// hangUp ends the connection and all that watches it.
func (c *connection) hangUp() {
	c.unwatch()
	_ = c.raw.Close()
}

// goodbye hangs up politely. Whatever the server replies changes nothing.
func (c *connection) goodbye(ctx context.Context) {
	_ = c.briefly(ctx, c.client.Quit)
	c.hangUp()
}

// briefly says something that the server has maxGoodbye to answer. Without an answer the connection is closed.
func (c *connection) briefly(ctx context.Context, say func() error) error {
	limited, cancel := context.WithTimeout(ctx, maxGoodbye)
	defer cancel()
	stop := context.AfterFunc(limited, func() { _ = c.raw.Close() })
	err := say()
	if !stop() {
		return limited.Err()
	}
	return err
}

// open greets, starts TLS and signs in, as configured.
func (c *connection) open(ctx context.Context, d *delivery, with *settings) error {
	var conn net.Conn = c.budget
	if TLSMode(with.tls) == ImplicitTLS {
		d.doing = "TLS"
		t := tls.Client(conn, with.tlsConfig())
		if err := t.HandshakeContext(ctx); err != nil {
			return err
		}
		conn = t
	}
	d.doing = "greeting"
	client, err := smtp.NewClient(conn, with.host)
	if err != nil {
		return err
	}
	c.client = client
	d.doing = "EHLO"
	if err := client.Hello(c.helo); err != nil {
		return err
	}
	if TLSMode(with.tls) == StartTLS {
		d.doing = "STARTTLS"
		if err := startTLS(client, with.tlsConfig()); err != nil {
			return err
		}
	}
	if with.username == "" {
		return nil
	}
	d.doing = "AUTH"
	return signIn(client, with)
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

// signIn uses the best way that the server offers. That the connection is encrypted or local, the settings' own checks
// and STARTTLS have seen to.
func signIn(client *smtp.Client, with *settings) error {
	_, offered := client.Extension("AUTH")
	user, password := with.username, with.password
	for _, mechanism := range []struct {
		name string
		auth smtp.Auth
	}{
		{"SCRAM-SHA-256", smtp.ScramSHA256Auth(user, password)},
		{"SCRAM-SHA-1", smtp.ScramSHA1Auth(user, password)},
		{"PLAIN", smtp.PlainAuth("", user, password, with.host, true)},
		{"LOGIN", smtp.LoginAuth(user, password, with.host, true)},
	} {
		for name := range strings.FieldsSeq(offered) {
			if strings.EqualFold(name, mechanism.name) {
				return client.Auth(mechanism.auth)
			}
		}
	}
	return errNoAuth
}

// announce begins a mail: the server takes the sender, or not.
func (c *connection) announce(d *delivery, m Message) error {
	// To ask for SMTPUTF8 without need would have the mail refused where a later server lacks it.
	c.client.SkipSMTPUTF8(ascii(m.From) && ascii(m.To))
	if ok, _ := c.client.Extension("SMTPUTF8"); !ok && !ascii(m.To) {
		d.begin(rcptTo, "recipient")
		return errNoUTF8
	}
	d.begin(mailFrom, "MAIL")
	return c.client.Mail("<" + m.From + ">")
}

// handOver is what follows announce.
func (c *connection) handOver(d *delivery, m Message) error {
	d.begin(rcptTo, "RCPT")
	if err := c.client.Rcpt("<" + m.To + ">"); err != nil {
		return err
	}
	d.begin(dataBegin, "DATA")
	w, err := c.client.Data()
	if err != nil {
		return err
	}
	d.begin(dataContent, "sending the content")
	if _, err := io.Copy(w, bytes.NewReader(m.Data)); err != nil {
		return err
	}
	return w.Close() // sends the end and reads the answer
}

// clean makes the connection ready for another mail and tells whether it is. at and err say how the last one went: it was
// taken, or refused for a reason of its own, and the server says that it has forgotten it.
func (c *connection) clean(ctx context.Context, at step, err error) bool {
	c.mails++
	c.refused++
	if err == nil {
		c.refused = 0
	}
	if c.mails >= maxMails || c.refused >= maxRefused {
		return false
	}
	if err != nil && (!refused(at, err) || c.briefly(ctx, c.client.Reset) != nil) {
		return false
	}
	// An answer too many: it hangs up, or we do not understand each other.
	return c.client.Text.R.Buffered() == 0
}

// refused tells a plain no to one mail, as 4xx and 5xx are, from what is about the connection or about us.
func refused(at step, err error) bool {
	var reply *textproto.Error
	if !errors.As(err, &reply) || reply.Code < 400 || reply.Code == 421 {
		return false
	}
	return classify(at, "", err).Kind != Unavailable
}

// maxAnswers bounds what a server may say for one mail, in bytes; it needs a few thousand.
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
