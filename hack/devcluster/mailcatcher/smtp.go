// Copyright The orgkeeper Authors.
// SPDX-License-Identifier: Apache-2.0

package mailcatcher

import (
	"io"
	"time"

	"github.com/emersion/go-smtp"
)

// maxMessageBytes bounds one mail. Ours have a few kilobytes; a public server refuses from 10 MiB or more.
const maxMessageBytes = 1 << 20

func newServer(s *store) *smtp.Server {
	server := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) {
		return &session{store: s}, nil
	}))
	server.Domain = "localhost"
	server.MaxMessageBytes = maxMessageBytes
	server.MaxRecipients = 100
	server.EnableSMTPUTF8 = true
	server.ReadTimeout = time.Minute
	server.WriteTimeout = time.Minute
	return server
}

// session is one connection. Everybody may send, to anybody.
type session struct{ store *store }

func (*session) Mail(string, *smtp.MailOptions) error { return nil }

func (*session) Rcpt(string, *smtp.RcptOptions) error { return nil }

// Data keeps a mail. The sender hears 250 only when the file is there.
func (s *session) Data(r io.Reader) error {
	content, err := io.ReadAll(r)
	if err != nil {
		return err // ErrDataTooLarge past maxMessageBytes, with the right answer for the sender
	}
	return s.store.add(content, time.Now())
}

func (*session) Reset() {}

func (*session) Logout() error { return nil }
