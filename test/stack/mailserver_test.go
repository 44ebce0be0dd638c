// Copyright The orgkeeper Authors.
// SPDX-License-Identifier: Apache-2.0

package stack

import (
	"fmt"
	"io"
	"log"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
)

// mailServer is a real SMTP server that keeps what it is sent and, when asked, falls silent.
type mailServer struct {
	address string
	// pace is how long the server takes for each thing it says.
	pace time.Duration
	// talk is what it may say something through.
	talk gate
	// refuse is what the server says to every recipient, unless nil.
	refuse atomic.Pointer[smtp.SMTPError]
	// received is called with each mail once it is whole, before the server says that it takes it.
	received func()

	t       testing.TB
	stopped chan struct{}

	mu      sync.Mutex
	letters []letter
}

// serveMail serves on an address until the test ends.
func serveMail(t testing.TB, address string, s *mailServer) *mailServer {
	t.Helper()
	s.t, s.stopped = t, make(chan struct{})
	server := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &mailSession{server: s}, nil }))
	server.Domain = "mail.example"
	server.ErrorLog = log.New(io.Discard, "", 0)
	l, err := net.Listen("tcp", address)
	check(t, err)
	s.address = l.Addr().String()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(slowListener{l, s})
	}()
	t.Cleanup(func() {
		close(s.stopped)
		_ = server.Close()
		<-done
	})
	return s
}

// all are the letters so far, the oldest first.
func (s *mailServer) all() []letter {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]letter(nil), s.letters...)
}

// to are the letters to one address.
func (s *mailServer) to(address string) []letter {
	var found []letter
	for _, l := range s.all() {
		if l.to == address {
			found = append(found, l)
		}
	}
	return found
}

// await is the newest letter to an address, once there are so many.
func (s *mailServer) await(t testing.TB, address string, count int) letter {
	t.Helper()
	eventually(t, long, fmt.Sprintf("letter %d to %s", count, address), func() error {
		if got := len(s.to(address)); got < count {
			return fmt.Errorf("%d letters", got)
		}
		return nil
	})
	letters := s.to(address)
	return letters[len(letters)-1]
}

type mailSession struct{ server *mailServer }

func (*mailSession) Mail(string, *smtp.MailOptions) error { return nil }
func (*mailSession) Reset()                               {}
func (*mailSession) Logout() error                        { return nil }

func (m *mailSession) Rcpt(string, *smtp.RcptOptions) error {
	if refusal := m.server.refuse.Load(); refusal != nil {
		return refusal
	}
	return nil
}

func (m *mailSession) Data(r io.Reader) error {
	content, err := io.ReadAll(r)
	if err != nil {
		return err // cut off: such a mail is nowhere
	}
	got, err := openLetter(string(content))
	if err != nil {
		m.server.t.Errorf("%v in the mail\n%s", err, content)
		return err
	}
	if m.server.received != nil {
		m.server.received()
	}
	m.server.mu.Lock()
	defer m.server.mu.Unlock()
	m.server.letters = append(m.server.letters, got)
	return nil
}

// slowListener makes each connection say nothing before its time.
type slowListener struct {
	net.Listener
	server *mailServer
}

func (l slowListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return slowConn{conn, l.server}, nil
}

type slowConn struct {
	net.Conn
	server *mailServer
}

func (c slowConn) Write(p []byte) (int, error) {
	c.server.talk.pass(c.server.stopped)
	if c.server.pace > 0 {
		select {
		case <-time.After(c.server.pace):
		case <-c.server.stopped:
		}
	}
	return c.Conn.Write(p)
}

// gate lets through or holds up. It begins open.
type gate struct {
	mu      sync.Mutex
	barrier chan struct{}
}

func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.barrier == nil {
		g.barrier = make(chan struct{})
	}
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.barrier != nil {
		close(g.barrier)
		g.barrier = nil
	}
}

func (g *gate) pass(stopped <-chan struct{}) {
	g.mu.Lock()
	barrier := g.barrier
	g.mu.Unlock()
	if barrier != nil {
		select {
		case <-barrier:
		case <-stopped:
		}
	}
}
