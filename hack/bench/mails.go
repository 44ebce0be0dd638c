package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"time"

	"github.com/emersion/go-smtp"
)

// mails takes every mail and keeps what the benchmark needs of it: when the first came to whom, and its link. It is kept in a
// file as well, for a run that goes on later.
type mails struct {
	server *smtp.Server
	file   *os.File

	mu     sync.Mutex
	first  map[string]mail // by address
	total  int
	writer *json.Encoder
}

type mail struct {
	To   string    `json:"to"`
	Link string    `json:"link,omitempty"`
	At   time.Time `json:"at"`
}

func catchMails(dir string, port int) (*mails, error) {
	file, err := os.OpenFile(filepath.Join(dir, "mails.jsonl"), os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	m := &mails{file: file, first: map[string]mail{}, writer: json.NewEncoder(file)}
	for lines := bufio.NewScanner(file); lines.Scan(); {
		var known mail
		if json.Unmarshal(lines.Bytes(), &known) == nil { // the last line may be half, of a run that was cut short
			m.keep(known)
		}
	}
	listener, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("take mails: %w", err), file.Close())
	}
	m.server = smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &session{mails: m}, nil }))
	m.server.EnableSMTPUTF8 = true
	go func() { _ = m.server.Serve(listener) }()
	return m, nil
}

func (m *mails) close() {
	_ = m.server.Close()
	_ = m.file.Close()
}

func (m *mails) keep(one mail) {
	m.total++
	if _, known := m.first[one.To]; !known {
		m.first[one.To] = one
	}
}

func (m *mails) add(one mail) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.keep(one)
	return m.writer.Encode(one)
}

// to is the first mail to an address.
func (m *mails) to(address string) (mail, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	one, found := m.first[address]
	return one, found
}

// recipients is how many people have got a mail.
func (m *mails) recipients() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.first)
}

// session is one connection.
type session struct {
	mails *mails
	to    string
}

func (*session) Mail(string, *smtp.MailOptions) error { return nil }

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.to = to
	return nil
}

var link = regexp.MustCompile(`http://127\.0\.0\.1:\d+/i/[\w.-]+[\w-]`)

func (s *session) Data(r io.Reader) error {
	content, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	return s.mails.add(mail{To: s.to, Link: string(link.Find(content)), At: time.Now()})
}

func (*session) Reset() {}

func (*session) Logout() error { return nil }
