package mail

import (
	"context"
	"errors"
	"fmt"
	"net/textproto"
	"strings"
	"sync/atomic"
	"time"
)

// SMTP sends mails through one server. It is safe for concurrent use. It keeps some connections for mails to come, see
// Config.MaxIdle; Close ends them.
type SMTP struct {
	config Config
	idle   *idle
	// last are the settings that were read last, so that only a change is parsed.
	last atomic.Pointer[settings]
}

// NewSMTP checks the configuration and the settings that are in files. It does not connect: a mail server that is down at
// start must not keep the operator down.
func NewSMTP(c Config) (*SMTP, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if c.IdleTime <= 0 {
		c.IdleTime = 30 * time.Second
	}
	s := &SMTP{config: c, idle: newIdle(c.MaxIdle, c.IdleTime)}
	if _, err := s.settings(); err != nil {
		return nil, fmt.Errorf("%s: %w", c.where(), err)
	}
	return s, nil
}

// Close ends the connections that are kept and waits for it, seconds at most. Mails can still be sent after that, each by
// its own connection.
func (s *SMTP) Close() { s.idle.close() }

// settings reads the settings, which may have changed since the mail before.
func (s *SMTP) settings() (*settings, error) {
	v, err := s.config.read()
	if err != nil {
		return nil, err
	}
	if last := s.last.Load(); last != nil && last.values == v {
		return last, nil
	}
	now, err := v.parse()
	if err != nil {
		return nil, err
	}
	s.last.Store(now)
	return now, nil
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
	d.doing = s.config.where()
	now, err := s.settings()
	if err != nil {
		return err
	}
	d.secrets = now.secrets()
	d.doing = "signing"
	if m.Data, err = now.sign(m); err != nil {
		return err
	}
	to := now.server
	if to.helo == "" {
		to.helo = m.From[strings.LastIndexByte(m.From, '@')+1:]
	}
	c := s.reuse(ctx, d, m, to)
	if c == nil {
		d.begin(connecting, "connecting")
		if c, err = dial(ctx, d, now, to); err == nil {
			err = c.announce(d, m)
		}
	}
	if err == nil {
		err = c.handOver(d, m)
	}
	if c != nil {
		s.done(ctx, c, d.at, err)
	}
	return err
}

// reuse looks for a connection that is kept and announces m there. Whatever it says in place of yes (that it waited for
// too long, that these were enough mails, nothing at all) need not be about m, and m was not handed over: it gets a new
// connection.
func (s *SMTP) reuse(ctx context.Context, d *delivery, m Message, to server) *connection {
	c := s.idle.take(to)
	if c == nil {
		return nil
	}
	// A connection that was lost without a sign must leave time for another.
	half, cancel := context.WithTimeout(ctx, s.config.Timeout/2)
	defer cancel()
	c.watch(half)
	err := c.announce(d, m)
	if c.unwatch() && err == nil {
		c.watch(ctx)
		return c
	}
	if answered(err) {
		s.idle.leave(c)
	} else {
		c.hangUp()
	}
	return nil
}

// done keeps c for another mail, or ends it. at and err say how the last one went.
func (s *SMTP) done(ctx context.Context, c *connection, at step, err error) {
	if s.config.MaxIdle > 0 && c.clean(ctx, at, err) && c.unwatch() && s.idle.put(c) {
		return
	}
	if err == nil || answered(err) {
		// Never after a broken transfer: the library would first end the content properly, and half a mail would be
		// delivered.
		c.goodbye(ctx)
	}
	c.hangUp()
}

// answered tells whether err is a reply of the server: then the connection is in order.
func answered(err error) bool {
	var reply *textproto.Error
	return errors.As(err, &reply)
}
