package controllers_test

import (
	"cmp"
	"io"
	"log"
	"net"
	"net/mail"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	om "github.com/orgkeeper/orgkeeper/internal/mail"
)

// mailServer is a real SMTP server that keeps what it takes and refuses what it is told to.
type mailServer struct {
	address string

	mu      sync.Mutex
	answer  *smtp.SMTPError // in place of yes
	asked   func(to string) *smtp.SMTPError
	taken   []letter
	refused int
	gate    chan struct{} // closed: recipients are answered
	inside  int           // how many wait at the gate
}

// letter is a mail as the server took it.
type letter struct {
	to, messageID, date, language, subject, body, token string
}

var (
	refusedForNow  = &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 3, 0}, Message: "try again later"}
	closedToUs     = &smtp.SMTPError{Code: 535, EnhancedCode: smtp.EnhancedCode{5, 7, 8}, Message: "authentication failed"}
	refusedForGood = &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "no such user here"}
)

func serveMail(t *testing.T) *mailServer {
	t.Helper()
	m := &mailServer{}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m.address = l.Addr().String()
	server := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &session{server: m}, nil }))
	server.Domain = "mail.example"
	server.ErrorLog = log.New(io.Discard, "", 0)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(l)
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-done
	})
	return m
}

func (m *mailServer) client(t *testing.T) *om.SMTP {
	t.Helper()
	c, err := om.NewSMTP(om.Config{Address: m.address, TLS: om.NoTLS, Timeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// say makes the server answer every recipient so; nil: take the mail.
func (m *mailServer) say(answer *smtp.SMTPError) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.answer = answer
}

// ask makes the server ask for its answer to each recipient first; nil: as it would.
func (m *mailServer) ask(asked func(to string) *smtp.SMTPError) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.asked = asked
}

// stall keeps every mail waiting for an answer until the gate is opened.
func (m *mailServer) stall() (open func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.gate = make(chan struct{})
	return sync.OnceFunc(func() { close(m.gate) })
}

// waiting is how many mails wait at the gate.
func (m *mailServer) waiting() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.inside
}

// to are the mails taken for an address, in order.
func (m *mailServer) to(address string) []letter {
	m.mu.Lock()
	defer m.mu.Unlock()
	var letters []letter
	for _, l := range m.taken {
		if l.to == address {
			letters = append(letters, l)
		}
	}
	return letters
}

func (m *mailServer) refusals() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.refused
}

type session struct {
	server *mailServer
	to     string
}

func (s *session) Mail(string, *smtp.MailOptions) error { return nil }

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.server.mu.Lock()
	if gate := s.server.gate; gate != nil {
		s.server.inside++
		s.server.mu.Unlock()
		<-gate
		s.server.mu.Lock()
		s.server.inside--
	}
	answer := s.server.answer
	if asked := s.server.asked; asked != nil {
		s.server.mu.Unlock()
		said := asked(to)
		s.server.mu.Lock()
		answer = cmp.Or(said, answer)
	}
	defer s.server.mu.Unlock()
	s.to = to
	if answer != nil {
		s.server.refused++
		return answer
	}
	return nil
}

var tokenInLink = regexp.MustCompile(`https://orgkeeper\.example/i/([A-Za-z0-9_-]+)`)

func (s *session) Data(r io.Reader) error {
	m, err := mail.ReadMessage(r)
	if err != nil {
		return err
	}
	body, err := io.ReadAll(m.Body)
	if err != nil {
		return err
	}
	l := letter{
		to: s.to, messageID: m.Header.Get("Message-ID"), date: m.Header.Get("Date"), subject: m.Header.Get("Subject"),
		language: m.Header.Get("Content-Language"), body: string(body),
	}
	// Quoted-printable breaks lines; the link has no other character to unescape.
	if found := tokenInLink.FindStringSubmatch(strings.ReplaceAll(l.body, "=\r\n", "")); found != nil {
		l.token = found[1]
	}
	s.server.mu.Lock()
	defer s.server.mu.Unlock()
	s.server.taken = append(s.server.taken, l)
	return nil
}

func (s *session) Reset()        {}
func (s *session) Logout() error { return nil }
