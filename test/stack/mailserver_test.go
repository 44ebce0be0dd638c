// Copyright The orgkeeper Authors.
// SPDX-License-Identifier: Apache-2.0

package stack

import (
	"errors"
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
	// named is called when the server knows whom a mail is for; received once the mail is whole, before the server says that
	// it takes it; answered when it has said so.
	named, received, answered func()

	t       testing.TB
	stopped chan struct{}
	server  *smtp.Server
	serving sync.WaitGroup

	mu         sync.Mutex
	listener   net.Listener           // nil while it is down
	conns      map[*slowConn]struct{} // those that are open
	deliveries []*delivery
}

// delivery is a letter and how it came.
type delivery struct {
	letter
	begun time.Time // when its sender began with it
	lost  bool      // the server went down before it could say that it has it
}

// serveMail serves on an address until the test ends.
func serveMail(t testing.TB, address string, s *mailServer) *mailServer {
	t.Helper()
	s.t, s.stopped = t, make(chan struct{})
	s.server = smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) {
		return &mailSession{server: s, conn: c.Conn().(*slowConn)}, nil
	}))
	s.server.Domain = "mail.example"
	s.server.ErrorLog = log.New(io.Discard, "", 0)
	s.address = address
	check(t, s.comeUp())
	t.Cleanup(func() {
		close(s.stopped)
		_ = s.server.Close()
		s.serving.Wait()
	})
	return s
}

// comeUp begins to listen, again where it did before.
func (s *mailServer) comeUp() error {
	l, err := net.Listen("tcp", s.address)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.address, s.listener, s.conns = l.Addr().String(), l, map[*slowConn]struct{}{}
	s.serving.Go(func() { _ = s.server.Serve(slowListener{l, s}) })
	return nil
}

// goDown stops listening and cuts every connection, wherever it is.
func (s *mailServer) goDown() {
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = s.listener.Close()
	for c := range s.conns {
		_ = c.Conn.Close()
	}
	s.listener, s.conns = nil, nil
}

// all are the letters so far, the oldest first.
func (s *mailServer) all() []letter {
	s.mu.Lock()
	defer s.mu.Unlock()
	letters := make([]letter, len(s.deliveries))
	for i, d := range s.deliveries {
		letters[i] = d.letter
	}
	return letters
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

type mailSession struct {
	server *mailServer
	conn   *slowConn
	begun  time.Time
}

func (*mailSession) Reset()        {}
func (*mailSession) Logout() error { return nil }

func (m *mailSession) Mail(string, *smtp.MailOptions) error {
	m.begun = time.Now()
	return nil
}

func (m *mailSession) Rcpt(string, *smtp.RcptOptions) error {
	if refusal := m.server.refuse.Load(); refusal != nil {
		return refusal
	}
	if m.server.named != nil {
		m.server.named()
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
	m.conn.unanswered = &delivery{letter: got, begun: m.begun}
	m.server.deliveries = append(m.server.deliveries, m.conn.unanswered)
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
	c := &slowConn{Conn: conn, server: l.server}
	l.server.mu.Lock()
	defer l.server.mu.Unlock()
	if l.server.listener != l.Listener {
		_ = conn.Close() // it came as the server went
	} else {
		l.server.conns[c] = struct{}{}
	}
	return c, nil
}

type slowConn struct {
	net.Conn
	server *mailServer
	// unanswered is the letter that the server has and has not said so.
	unanswered *delivery
}

func (c *slowConn) Write(p []byte) (int, error) {
	c.server.talk.pass(c.server.stopped)
	if c.server.pace > 0 {
		select {
		case <-time.After(c.server.pace):
		case <-c.server.stopped:
		}
	}
	n, err := c.Conn.Write(p)
	if d := c.unanswered; d != nil {
		c.unanswered = nil
		c.answered(d, err)
	}
	return n, err
}

// answered notes how the answer to a letter went.
func (c *slowConn) answered(d *delivery, err error) {
	c.server.mu.Lock()
	d.lost = errors.Is(err, net.ErrClosed) // by us; where the sender is gone, it is another error, or none
	c.server.mu.Unlock()
	if err == nil && c.server.answered != nil {
		c.server.answered()
	}
}

func (c *slowConn) Close() error {
	c.server.mu.Lock()
	delete(c.server.conns, c)
	c.server.mu.Unlock()
	return c.Conn.Close()
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
