package mail_test

import (
	"bufio"
	"crypto/tls"
	"encoding/pem"
	"io"
	"log"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	om "github.com/orgkeeper/orgkeeper/internal/mail"
)

// server is a real SMTP server that keeps what it takes and fails where it is told to.
type server struct {
	address string

	mail, rcpt, data *smtp.SMTPError // answered in place of yes
	password         string          // when set, AUTH is wanted
	onData           func()          // called when a content has come

	accepted, left atomic.Int64 // connections, and sessions that ended

	mu       sync.Mutex
	received []string
}

// start serves until the test ends; change alters go-smtp's settings.
func (s *server) start(t testing.TB, change func(*smtp.Server)) {
	t.Helper()
	srv := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &session{server: s}, nil }))
	srv.Domain = "mail.example"
	srv.ErrorLog = log.New(io.Discard, "", 0)
	srv.AllowInsecureAuth = true
	if change != nil {
		change(srv)
	}
	accept := func(l net.Listener) error { return srv.Serve(counted{l, &s.accepted}) }
	s.address = serve(t, accept, func() { _ = srv.Close() }).Addr().String()
}

// counted counts the connections that a listener accepts.
type counted struct {
	net.Listener
	accepted *atomic.Int64
}

func (c counted) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	if err == nil {
		c.accepted.Add(1)
	}
	return conn, err
}

func serve(t testing.TB, accept func(net.Listener) error, stop func()) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = accept(l)
	}()
	t.Cleanup(func() {
		stop()
		_ = l.Close()
		<-done
	})
	return l
}

func (s *server) got() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.received
}

type session struct {
	server *server
	signed bool
}

func (s *session) AuthMechanisms() []string {
	if s.server.password == "" {
		return nil
	}
	return []string{sasl.Plain}
}

func (s *session) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if user != "operator@mail.example" || password != s.server.password {
			return smtp.ErrAuthFailed
		}
		s.signed = true
		return nil
	}), nil
}

func (s *session) Mail(string, *smtp.MailOptions) error {
	if s.server.password != "" && !s.signed {
		return &smtp.SMTPError{Code: 530, EnhancedCode: smtp.EnhancedCode{5, 7, 0}, Message: "Authentication required"}
	}
	return answer(s.server.mail)
}

func (s *session) Rcpt(string, *smtp.RcptOptions) error { return answer(s.server.rcpt) }

func (s *session) Data(r io.Reader) error {
	content, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	if s.server.onData != nil {
		s.server.onData()
	}
	if err := answer(s.server.data); err != nil {
		return err
	}
	s.server.mu.Lock()
	defer s.server.mu.Unlock()
	s.server.received = append(s.server.received, string(content))
	return nil
}

func (s *session) Reset() {}

func (s *session) Logout() error {
	s.server.left.Add(1)
	return nil
}

// answer makes a nil *SMTPError a nil error.
func answer(e *smtp.SMTPError) error {
	if e == nil {
		return nil
	}
	return e
}

// scripted answers each connection by a list of turns, for what go-smtp is too well-behaved for:
//
//	"> text"   says a line
//	"< WORD"   waits for a line that begins with WORD ("< ." waits for the end of the content)
//	"drip"     says a byte each 10 ms without end
//	"flood"    talks without end
//	"silent"   says nothing more, until the client goes
//	"drop"     resets the connection
func scripted(t *testing.T, turns ...string) string {
	t.Helper()
	return scriptedEach(t, func(int) []string { return turns }).address
}

// actor answers by scripts.
type actor struct {
	address string
	// accepted connections, and those whose script is over.
	accepted, over atomic.Int64
}

// scriptedEach has a script for each connection, from 0 on.
func scriptedEach(t *testing.T, script func(connection int) []string) *actor {
	t.Helper()
	var clients sync.WaitGroup
	t.Cleanup(clients.Wait) // runs after serve's own
	stop := make(chan struct{})
	a := &actor{}
	l := serve(t, func(l net.Listener) error {
		for {
			conn, err := l.Accept()
			if err != nil {
				return err
			}
			turns := script(int(a.accepted.Add(1)) - 1)
			clients.Go(func() {
				defer a.over.Add(1)
				defer func() { _ = conn.Close() }()
				play(t, conn, turns, stop)
			})
		}
	}, func() { close(stop) })
	a.address = l.Addr().String()
	return a
}

func play(t *testing.T, conn net.Conn, turns []string, stop <-chan struct{}) {
	lines := bufio.NewReader(conn)
	for _, turn := range turns {
		switch verb, text, _ := strings.Cut(turn, " "); verb {
		case ">":
			if _, err := io.WriteString(conn, text+"\r\n"); err != nil {
				return
			}
		case "<":
			for {
				line, err := lines.ReadString('\n')
				if err != nil {
					t.Errorf("waiting for %s: %v", text, err)
					return
				}
				if text != "." && strings.HasPrefix(line, text) || line == ".\r\n" {
					break
				}
				if text != "." {
					t.Errorf("got %q, want %s", line, text)
					return
				}
			}
		case "drip":
			tick := time.NewTicker(10 * time.Millisecond)
			defer tick.Stop()
			for {
				select {
				case <-stop:
					return
				case <-tick.C:
					if _, err := io.WriteString(conn, "2"); err != nil {
						return
					}
				}
			}
		case "flood":
			for {
				if _, err := io.WriteString(conn, strings.Repeat("250-and another thing\r\n", 100)); err != nil {
					return
				}
			}
		case "silent":
			_, _ = io.Copy(io.Discard, lines)
		case "drop":
			if err := conn.(*net.TCPConn).SetLinger(0); err != nil {
				t.Error(err)
			}
			return
		}
	}
}

// certificate gives a server's TLS settings for 127.0.0.1 and the file of the CA to trust for it.
func certificate(t testing.TB) (*tls.Config, string) {
	t.Helper()
	ts := httptest.NewTLSServer(nil) // for its certificate, which is valid until 2084
	defer ts.Close()
	file := filepath.Join(t.TempDir(), "ca.pem")
	block := &pem.Block{Type: "CERTIFICATE", Bytes: ts.Certificate().Raw}
	if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: ts.TLS.Certificates}, file
}

func passwordFile(t testing.TB, password string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte(password), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// sender is closed when the test ends, before the servers that were started earlier.
func sender(t testing.TB, c om.Config) *om.SMTP {
	t.Helper()
	if c.TLS == "" {
		c.TLS = om.NoTLS
	}
	if c.Timeout == 0 {
		c.Timeout = 20 * time.Second
	}
	s, err := om.NewSMTP(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func composed(t testing.TB) om.Message {
	t.Helper()
	m, err := words.Compose(envelope, invitation)
	if err != nil {
		t.Fatal(err)
	}
	return m
}
