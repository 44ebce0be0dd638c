package mail_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	om "github.com/orgkeeper/orgkeeper/internal/mail"
)

// Scripts are put together from these.
var (
	hello  = []string{"> 220 mail.example", "< EHLO", "> 250 mail.example"}
	toRCPT = []string{"< MAIL", "> 250 ok", "< RCPT"}
	toData = slices.Concat(toRCPT, []string{"> 250 ok", "< DATA", "> 354 go on", "< ."})
	taken  = slices.Concat(toData, []string{"> 250 2.0.0 queued"})
	quit   = []string{"< QUIT", "> 221 bye"}
	reset  = []string{"< RSET", "> 250 ok"}
)

func turns(parts ...any) []string {
	var all []string
	for _, part := range parts {
		switch p := part.(type) {
		case string:
			all = append(all, p)
		case []string:
			all = append(all, p...)
		}
	}
	return all
}

// Each case is what the server hears and says, connection by connection, and how the mails went: "" is success. A mail
// that went out twice, or on another connection, would be off the script.
func TestSendReusesConnections(t *testing.T) {
	for name, c := range map[string]struct {
		reason  string
		scripts [][]string
		want    []om.Kind
		timeout time.Duration
	}{
		"Taken":         {"one connection for all", [][]string{turns(hello, taken, taken, taken, quit)}, []om.Kind{"", "", ""}, 0},
		"RefusedAtMail": {"a no for now ends no connection", [][]string{turns(hello, "< MAIL", "> 451 later", reset, taken, quit)}, []om.Kind{om.Temporary, ""}, 0},
		"RefusedAtRcpt": {"a no for good neither", [][]string{turns(hello, toRCPT, "> 550 5.1.1 unknown", reset, taken, quit)}, []om.Kind{om.Permanent, ""}, 0},
		"RefusedAtEnd":  {"nor one about the content", [][]string{turns(hello, toData, "> 554 5.7.1 spam", reset, taken, quit)}, []om.Kind{om.Permanent, ""}, 0},
		"ResetRefused":  {"who does not forget a mail gets no other", [][]string{turns(hello, toRCPT, "> 550 no", "< RSET", "> 500 what", quit), turns(hello, taken, quit)}, []om.Kind{om.Permanent, ""}, 0},
		"ResetDropped":  {"and the answer before it counts", [][]string{turns(hello, toRCPT, "> 450 no", "< RSET", "drop"), turns(hello, taken, quit)}, []om.Kind{om.Temporary, ""}, 0},
		"ResetSilent":   {"nobody waits for it", [][]string{turns(hello, toRCPT, "> 450 no", "< RSET", "silent"), turns(hello, taken, quit)}, []om.Kind{om.Temporary, ""}, 0},
		"Unavailable":   {"when something is wrong with us, begin anew", [][]string{turns(hello, "< MAIL", "> 553 not your sender", quit), turns(hello, taken, quit)}, []om.Kind{om.Unavailable, ""}, 0},
		"421AtRcpt":     {"it said that it hangs up", [][]string{turns(hello, toRCPT, "> 421 4.3.2 shutting down", quit), turns(hello, taken, quit)}, []om.Kind{om.Temporary, ""}, 0},
		"ManyRefused": {"many a no in a row make a server suspicious", [][]string{turns(hello,
			toRCPT, "> 550 no", reset, toRCPT, "> 550 no", reset, toRCPT, "> 550 no", reset, toRCPT, "> 550 no", reset, toRCPT, "> 550 no", quit), turns(hello, taken, quit)},
			[]om.Kind{om.Permanent, om.Permanent, om.Permanent, om.Permanent, om.Permanent, ""}, 0},
		"HungUp":        {"it did not want to wait", [][]string{turns(hello, taken), turns(hello, taken, quit)}, []om.Kind{"", ""}, 0},
		"Said421":       {"the same, with a word", [][]string{turns(hello, taken, "> 421 4.4.2 idle for too long"), turns(hello, taken, quit)}, []om.Kind{"", ""}, 0},
		"421AtReuse":    {"the same, when asked", [][]string{turns(hello, taken, "< MAIL", "> 421 4.7.0 enough", quit), turns(hello, taken, quit)}, []om.Kind{"", ""}, 0},
		"452AtReuse":    {"enough mails for one connection", [][]string{turns(hello, taken, "< MAIL", "> 452 4.7.0 too many messages in this session", quit), turns(hello, taken, quit)}, []om.Kind{"", ""}, 0},
		"530AtReuse":    {"it forgot who we are", [][]string{turns(hello, taken, "< MAIL", "> 530 5.7.0 sign in first", quit), turns(hello, taken, quit)}, []om.Kind{"", ""}, 0},
		"DropAtReuse":   {"reset when asked", [][]string{turns(hello, taken, "< MAIL", "drop"), turns(hello, taken, quit)}, []om.Kind{"", ""}, 0},
		"SilentAtReuse": {"lost without a sign", [][]string{turns(hello, taken, "< MAIL", "silent"), turns(hello, taken, quit)}, []om.Kind{"", ""}, 6 * time.Second},
		"NoAtBoth":      {"a new connection says what is meant", [][]string{turns(hello, taken, "< MAIL", "> 451 later", quit), turns(hello, "< MAIL", "> 451 later", reset, quit)}, []om.Kind{"", om.Temporary}, 0},
		"DropAtRcpt":    {"a lost mail, and surely not handed over", [][]string{turns(hello, taken, toRCPT, "drop"), turns(hello, taken, quit)}, []om.Kind{"", om.Temporary, ""}, 0},
		"FloodAtRcpt":   {"must not fill our memory later either", [][]string{turns(hello, taken, toRCPT, "flood"), turns(hello, taken, quit)}, []om.Kind{"", om.Temporary, ""}, 0},
		"DropAfterData": {"may have been delivered: no second copy from here", [][]string{turns(hello, taken, toData, "drop"), turns(hello, taken, quit)}, []om.Kind{"", om.Ambiguous, ""}, 0},
		"HangUpAfter":   {"the same, politely", [][]string{turns(hello, taken, toData), turns(hello, taken, quit)}, []om.Kind{"", om.Ambiguous, ""}, 0},
		"SilentAfter":   {"the same, without a word", [][]string{turns(hello, taken, toData, "silent"), turns(hello, taken, quit)}, []om.Kind{"", om.Ambiguous, ""}, 2 * time.Second},
		"AnswerTooMany": {"we do not understand each other", [][]string{turns(hello, toData, "> 250 queued\r\n250 queued", quit), turns(hello, taken, quit)}, []om.Kind{"", ""}, 0},
		"NoDataMode":    {"nor here", [][]string{turns(hello, toRCPT, "> 250 ok", "< DATA", "> 250 what?", quit), turns(hello, taken, quit)}, []om.Kind{om.Temporary, ""}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := scriptedEach(t, func(n int) []string {
				if n >= len(c.scripts) {
					t.Errorf("%s: a connection too many", c.reason)
					return nil
				}
				return c.scripts[n]
			})
			s := sender(t, om.Config{Address: srv.address, MaxIdle: 1, Timeout: c.timeout})
			for n, want := range c.want {
				err := s.Send(t.Context(), composed(t))
				var failure *om.Error
				if want == "" && err != nil || want != "" && (!errors.As(err, &failure) || failure.Kind != want) {
					t.Errorf("%s: mail %d: got %v, want %q", c.reason, n, err, want)
				}
			}
			if n := srv.accepted.Load(); n != int64(len(c.scripts)) {
				t.Errorf("%s: %d connections, want %d", c.reason, n, len(c.scripts))
			}
		})
	}
}

func TestSendWithoutIdleConnections(t *testing.T) {
	var srv server
	srv.start(t, nil)
	send(t, sender(t, om.Config{Address: srv.address}), 2)
	if n := srv.accepted.Load(); n != 2 {
		t.Errorf("%d connections for 2 mails, want one each", n)
	}
}

func send(t *testing.T, s *om.SMTP, mails int) {
	t.Helper()
	m := composed(t)
	for range mails {
		if err := s.Send(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
}

func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(20 * time.Second); !done(); {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("never: %s", what)
		}
	}
}

func TestConnectionsCarryAHundredMails(t *testing.T) {
	var srv server
	srv.start(t, nil)
	send(t, sender(t, om.Config{Address: srv.address, MaxIdle: 1}), 201)
	if n := srv.accepted.Load(); n != 3 || len(srv.got()) != 201 {
		t.Errorf("%d connections for %d mails, want 3 for 201", n, len(srv.got()))
	}
}

// A server that hangs up after a short while is a server like any other.
func TestSendAfterTheServerHungUp(t *testing.T) {
	t.Parallel()
	var srv server
	srv.start(t, func(s *smtp.Server) { s.ReadTimeout = 500 * time.Millisecond })
	s := sender(t, om.Config{Address: srv.address, MaxIdle: 4})
	for n := range int64(3) {
		send(t, s, 1)
		eventually(t, "the server hangs up", func() bool { return srv.left.Load() > n })
	}
	if n := srv.accepted.Load(); n != 3 || len(srv.got()) != 3 {
		t.Errorf("%d connections, %d mails; want 3 of each", n, len(srv.got()))
	}
}

func TestIdleConnectionsEnd(t *testing.T) {
	srv := scriptedEach(t, func(int) []string { return turns(hello, taken, quit) })
	s := sender(t, om.Config{Address: srv.address, MaxIdle: 1, IdleTime: 50 * time.Millisecond})
	for n := range int64(2) {
		send(t, s, 1)
		eventually(t, "a connection without mails ends with QUIT", func() bool { return srv.over.Load() > n })
	}
}

// The mails of several workers go out once each, over as many connections as there are workers.
func TestReuseConcurrently(t *testing.T) {
	const workers, mails = 4, 60
	var srv server
	srv.start(t, nil)
	s := sender(t, om.Config{Address: srv.address, MaxIdle: workers})
	var all sync.WaitGroup
	for worker := range workers {
		all.Go(func() {
			for n := range mails {
				e := envelope
				e.MessageID = fmt.Sprintf("%d.%d@mail.example", worker, n)
				m, err := words.Compose(e, invitation)
				if err == nil {
					err = s.Send(t.Context(), m)
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	ids := map[string]int{}
	for _, content := range srv.got() {
		_, id, _ := strings.Cut(content, "Message-ID: ")
		id, _, _ = strings.Cut(id, "\r\n")
		ids[id]++
	}
	if len(ids) != workers*mails || len(srv.got()) != workers*mails {
		t.Errorf("%d mails arrived, %d different ones; want %d", len(srv.got()), len(ids), workers*mails)
	}
	if n := srv.accepted.Load(); n > workers+workers*mails/100 {
		t.Errorf("%d connections for %d workers", n, workers)
	}
}

// MaxIdle bounds what waits, not what works.
func TestIdleConnectionsAreFew(t *testing.T) {
	var working sync.WaitGroup
	working.Add(3)
	var met atomic.Int64
	srv := server{onData: func() {
		if met.Add(1) <= 3 { // the first three are sent at the same time
			working.Done()
			working.Wait()
		}
	}}
	srv.start(t, nil)
	s, m := sender(t, om.Config{Address: srv.address, MaxIdle: 2}), composed(t)
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() {
			if err := s.Send(t.Context(), m); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	eventually(t, "one of three connections ends", func() bool { return srv.left.Load() == 1 })
	send(t, s, 5)
	if n := srv.accepted.Load(); n != 3 || srv.left.Load() != 1 {
		t.Errorf("%d connections and %d ended, want 3 and 1", n, srv.left.Load())
	}
}

func TestReuseEndsWithItsContext(t *testing.T) {
	for name, c := range map[string]struct {
		script []string
		want   om.Kind
	}{
		"Mail":    {turns(hello, taken, "< MAIL", "silent"), om.Temporary},
		"Rcpt":    {turns(hello, taken, toRCPT, "silent"), om.Temporary},
		"Content": {turns(hello, taken, toData, "silent"), om.Ambiguous},
		"Drip":    {turns(hello, taken, toRCPT, "drip"), om.Temporary},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := scriptedEach(t, func(n int) []string { return [][]string{c.script, turns(hello, taken, quit)}[n] })
			s := sender(t, om.Config{Address: srv.address, MaxIdle: 1})
			send(t, s, 1)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			err := s.Send(ctx, composed(t))
			var failure *om.Error
			if !errors.As(err, &failure) || failure.Kind != c.want || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v, want %s for a deadline", err, c.want)
			}
			if n := srv.accepted.Load(); n != 1 {
				t.Errorf("%d connections: none is opened for a mail that nobody waits for", n)
			}
			send(t, s, 1)
		})
	}
	t.Run("After", func(t *testing.T) {
		var srv server
		srv.start(t, nil)
		s := sender(t, om.Config{Address: srv.address, MaxIdle: 1})
		for range 3 {
			ctx, cancel := context.WithCancel(t.Context())
			if err := s.Send(ctx, composed(t)); err != nil {
				t.Fatal(err)
			}
			cancel()
		}
		if n := srv.accepted.Load(); n != 1 {
			t.Errorf("%d connections: the end of a mail's context is not that of the connection", n)
		}
	})
}

// What a server may say is counted anew for each mail.
func TestReuseBoundsAnswersByMail(t *testing.T) {
	long := "> " + strings.Repeat("250-and another thing\r\n", 20_000) + "250 ok" // 460 kB
	chatty := turns("< MAIL", "> 250 ok", "< RCPT", long, "< DATA", "> 354 go on", "< .", "> 250 queued")
	srv := scriptedEach(t, func(int) []string { return turns(hello, chatty, chatty, chatty, chatty, quit) })
	send(t, sender(t, om.Config{Address: srv.address, MaxIdle: 1}), 4)
	if n := srv.accepted.Load(); n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
}

func TestClose(t *testing.T) {
	t.Run("Polite", func(t *testing.T) {
		srv := scriptedEach(t, func(int) []string { return turns(hello, taken, quit) })
		s := sender(t, om.Config{Address: srv.address, MaxIdle: 1})
		send(t, s, 1)
		s.Close()
		eventually(t, "the connection ends with QUIT", func() bool { return srv.over.Load() == 1 })
		send(t, s, 1) // a mail in hand still goes out
		eventually(t, "nothing is kept from now on", func() bool { return srv.over.Load() == 2 })
		s.Close()
	})
	t.Run("Silent", func(t *testing.T) {
		srv := scriptedEach(t, func(int) []string { return turns(hello, taken, "< QUIT", "silent") })
		s := sender(t, om.Config{Address: srv.address, MaxIdle: 1})
		send(t, s, 1)
		begun := time.Now()
		s.Close()
		if took := time.Since(begun); took < time.Second {
			t.Errorf("Close waited %s for the answer to QUIT, want two seconds", took)
		}
		eventually(t, "who does not answer is left all the same", func() bool { return srv.over.Load() == 1 })
	})
	t.Run("Meanwhile", func(t *testing.T) {
		var srv server
		srv.start(t, nil)
		s, m := sender(t, om.Config{Address: srv.address, MaxIdle: 4, IdleTime: time.Millisecond}), composed(t)
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				for range 20 {
					if err := s.Send(t.Context(), m); err != nil {
						t.Error(err)
					}
				}
			})
		}
		all.Go(s.Close)
		all.Wait()
		eventually(t, "all connections are gone", func() bool { return srv.left.Load() == srv.accepted.Load() })
		if n := len(srv.got()); n != 80 {
			t.Errorf("%d of 80 mails arrived", n)
		}
	})
}

// Mails a second, one after the other.
func BenchmarkSend(b *testing.B) {
	tlsConfig, caFile := certificate(b)
	for name, most := range map[string]int{"Reused": 1, "Alone": 0} {
		b.Run(name, func(b *testing.B) {
			srv := server{password: "s3cret"}
			srv.start(b, func(s *smtp.Server) { s.TLSConfig = tlsConfig })
			s := sender(b, om.Config{
				Address: srv.address, TLS: om.StartTLS, CAFile: caFile, MaxIdle: most,
				Username: "operator@mail.example", PasswordFile: passwordFile(b, "s3cret"),
			})
			m := composed(b)
			for b.Loop() {
				if err := s.Send(b.Context(), m); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "mails/s")
		})
	}
}
