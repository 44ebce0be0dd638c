package controllers_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// fault is what a doorman does at a step of SMTP, in place of the server behind:
//
//	greeting, EHLO, STARTTLS, AUTH, MAIL, RCPT, DATA
//	          the first word of what the client says
//	offer     what the answer to EHLO offers: nothing, whatever the fault does
//	handshake after the yes to STARTTLS
//	reading   after the yes to DATA, before the content
//	content   after the content, which the server behind has not
//	taken     after the content, which the server behind has taken
//	next      the first word after a mail was taken, in the same connection
//
// It does one of these, or else says the text, {address} in it being whom the client named last:
//
//	drop      ends the connection
//	silence   says nothing, until told to behave; then it ends the connection
//	pause     the same, but goes on then
//	drip      says a byte now and then
//	sip       takes a byte now and then
type fault struct{ at, does string }

// doorman stands before a real SMTP server and passes on what is said, but for a fault: real servers are too well-behaved
// for most of them.
type doorman struct {
	address, behind string
	tls             *tls.Config // for STARTTLS, which is offered with it
	auth            bool        // AUTH is offered; every password is right

	mu    sync.Mutex
	fault *fault
	met   int // how often a client met the fault
	kept  chan struct{}
}

// guard puts a doorman before a mail server until the test ends.
func (m *mailServer) guard(t *testing.T, f fault) *doorman {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d := &doorman{address: l.Addr().String(), behind: m.address, fault: &f, kept: make(chan struct{})}
	ctx, stop := context.WithCancel(context.Background())
	var guests sync.WaitGroup
	guests.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			guests.Go(func() {
				defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
				d.attend(ctx, conn)
			})
		}
	})
	t.Cleanup(func() {
		stop()
		_ = l.Close()
		guests.Wait()
	})
	return d
}

// behave ends the fault.
func (d *doorman) behave() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fault != nil {
		d.fault = nil
		close(d.kept)
	}
}

// tries is how often a client met the fault.
func (d *doorman) tries() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.met
}

func (d *doorman) meets(step string) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fault == nil || d.fault.at != step {
		return ""
	}
	d.met++
	return d.fault.does
}

// guest is a client at the door, and the server behind it.
type guest struct {
	*doorman
	raw, conn, back  net.Conn
	client, server   *bufio.Reader
	address          string // named last
	content, handled bool   // what comes next is content; a mail was taken just now
}

// errOver ends a connection.
var errOver = errors.New("over")

func (d *doorman) attend(ctx context.Context, conn net.Conn) {
	defer func() { _ = conn.Close() }()
	back, err := net.Dial("tcp", d.behind)
	if err != nil {
		return
	}
	defer func() { _ = back.Close() }()
	g := &guest{doorman: d, raw: conn, conn: conn, back: back, client: bufio.NewReader(conn), server: bufio.NewReader(back)}
	for step, said := "greeting", ""; err == nil; {
		if err = g.turn(ctx, step, said); err == nil {
			step, said, err = g.listen(ctx)
		}
	}
}

var bracketed = regexp.MustCompile(`<([^>]*)>`)

// listen waits for what the client says next.
func (g *guest) listen(ctx context.Context) (step, said string, err error) {
	if !g.content {
		said, err = g.client.ReadString('\n')
		if found := bracketed.FindStringSubmatch(said); found != nil {
			g.address = found[1]
		}
		step, _, _ = strings.Cut(strings.ToUpper(strings.TrimSpace(said)), " ")
		return step, said, err
	}
	g.content = false
	if _, err := g.act(ctx, "reading"); err != nil {
		return "", "", err
	}
	for !strings.HasSuffix(said, "\r\n.\r\n") {
		line, err := g.client.ReadString('\n')
		if err != nil {
			return "", "", err
		}
		said += line
	}
	return "content", said, nil
}

// turn answers what the client said.
func (g *guest) turn(ctx context.Context, step, said string) error {
	steps := []string{step}
	if g.handled {
		steps = append(steps, "next")
		g.handled = false
	}
	for _, step := range steps {
		if answered, err := g.act(ctx, step); answered || err != nil {
			return err
		}
	}
	answer, err := g.ask(step, said)
	if err != nil {
		return err
	}
	if step == "content" && answer[0] == '2' {
		g.handled = true
		if answered, err := g.act(ctx, "taken"); answered || err != nil {
			return err
		}
	}
	if _, err := io.WriteString(g.conn, answer); err != nil {
		return err
	}
	g.content = step == "DATA"
	if step == "STARTTLS" {
		return g.encrypt(ctx)
	}
	return nil
}

// ask has the server behind answer. It hears of DATA when the content is there, and nothing of TLS and passwords.
func (g *guest) ask(step, said string) (answer string, err error) {
	switch step {
	case "STARTTLS":
		return "220 2.0.0 go on\r\n", nil
	case "AUTH":
		return "235 2.7.0 welcome\r\n", nil
	case "DATA":
		return "354 go on\r\n", nil
	case "content":
		if goOn, err := g.ask("", "DATA\r\n"); err != nil || !strings.HasPrefix(goOn, "354") {
			return goOn, err
		}
	}
	if _, err := io.WriteString(g.back, said); err != nil {
		return "", err
	}
	for line := "250-"; line[3] == '-'; answer += line {
		if line, err = g.server.ReadString('\n'); err != nil || len(line) < 4 {
			return "", fmt.Errorf("the server behind said %q: %w", line, err)
		}
	}
	if step == "EHLO" {
		answer = g.offer(answer)
	}
	return answer, nil
}

func (g *guest) offer(answer string) string {
	if g.meets("offer") != "" {
		return answer
	}
	if g.auth {
		answer = "250-AUTH PLAIN\r\n" + answer
	}
	if g.tls != nil && g.conn == g.raw {
		answer = "250-STARTTLS\r\n" + answer
	}
	return "250-mail.example\r\n" + answer // whose first line counts as an offer that nobody knows
}

func (g *guest) encrypt(ctx context.Context) error {
	if _, err := g.act(ctx, "handshake"); err != nil {
		return err
	}
	secure := tls.Server(g.raw, g.tls)
	g.conn, g.client = secure, bufio.NewReader(secure)
	return secure.HandshakeContext(ctx)
}

// nowAndThen is often enough for a test not to wait for, and too seldom for any mail.
const nowAndThen = 50 * time.Millisecond

// act does what there is to do at a step, and says whether that answered the client.
func (g *guest) act(ctx context.Context, step string) (answered bool, err error) {
	does := g.meets(step)
	slowly := func(do func() error) error {
		for {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(nowAndThen):
			}
			if err := do(); err != nil {
				return err
			}
		}
	}
	switch does {
	case "":
		return false, nil
	case "drop":
		return true, errOver
	case "silence", "pause":
		select {
		case <-ctx.Done():
		case <-g.kept:
		}
		if does == "pause" {
			return false, nil
		}
		return true, errOver
	case "drip":
		return true, slowly(func() error { _, err := io.WriteString(g.conn, "2"); return err })
	case "sip":
		return true, slowly(func() error { _, err := g.client.ReadByte(); return err })
	}
	_, err = io.WriteString(g.conn, strings.ReplaceAll(does, "{address}", g.address)+"\r\n")
	if strings.HasPrefix(does, "421") {
		return true, errOver
	}
	return true, err
}
