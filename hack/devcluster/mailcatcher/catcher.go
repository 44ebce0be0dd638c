// Copyright The orgkeeper Authors.
// SPDX-License-Identifier: Apache-2.0

// Package mailcatcher is the mail server of a development cluster: it takes any mail for anybody, delivers none, keeps each
// as a file, and shows them on a web page, so that a newcomer can click the link in an invitation.
//
// It knows nothing of orgkeeper: what it shows is what any recipient's mail reader would have received.
package mailcatcher

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/emersion/go-smtp"
)

// Catcher is a running SMTP server and its inbox page.
type Catcher struct {
	store *store
	smtp  *smtp.Server
	inbox *http.Server

	// SMTPAddress and InboxAddress are where it listens, host:port.
	SMTPAddress, InboxAddress string
}

// Start listens for mail and for browsers, and writes each mail to dir.
func Start(dir, smtpAddress, inboxAddress string) (*Catcher, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	store := &store{root: root}
	mail, err := net.Listen("tcp", smtpAddress)
	if err != nil {
		return nil, errors.Join(err, root.Close())
	}
	web, err := net.Listen("tcp", inboxAddress)
	if err != nil {
		return nil, errors.Join(err, mail.Close(), root.Close())
	}
	c := &Catcher{
		store:        store,
		smtp:         newServer(store),
		inbox:        &http.Server{Handler: newInbox(store), ReadHeaderTimeout: 10 * time.Second},
		SMTPAddress:  mail.Addr().String(),
		InboxAddress: web.Addr().String(),
	}
	go report("mail catcher", func() error { return c.smtp.Serve(mail) })
	go report("inbox page", func() error { return c.inbox.Serve(web) })
	return c, nil
}

// Stop ends both servers. A mail that is being received is lost: its sender was told nothing yet, and will try again.
func (c *Catcher) Stop() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	_ = c.inbox.Shutdown(ctx)
	_ = c.smtp.Close()
	_ = c.store.root.Close()
}

func report(name string, serve func() error) {
	if err := serve(); err != nil && !errors.Is(err, smtp.ErrServerClosed) && !errors.Is(err, http.ErrServerClosed) {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
	}
}
