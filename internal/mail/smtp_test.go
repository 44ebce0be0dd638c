package mail_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/google/go-cmp/cmp"

	om "github.com/orgkeeper/orgkeeper/internal/mail"
)

func TestSend(t *testing.T) {
	tlsConfig, caFile := certificate(t)
	cases := map[string]struct {
		reason string
		mode   om.TLSMode
		auth   bool
	}{
		"StartTLS":     {"port 587", om.StartTLS, false},
		"StartTLSAuth": {"port 587 with a password", om.StartTLS, true},
		"TLS":          {"port 465", om.ImplicitTLS, false},
		"TLSAuth":      {"port 465 with a password", om.ImplicitTLS, true},
		"None":         {"a relay on the same machine", om.NoTLS, false},
		"NoneAuth":     {"the same with a password, which leaves the machine not", om.NoTLS, true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var srv server
			c := om.Config{TLS: tc.mode}
			if tc.auth {
				srv.password = "s3cret"
				c.Username, c.PasswordFile = user, passwordFile(t, "s3cret\n")
			}
			if tc.mode != om.NoTLS {
				c.CAFile = caFile
			}
			srv.start(t, func(s *smtp.Server) {
				if tc.mode == om.StartTLS {
					s.TLSConfig = tlsConfig
					s.AllowInsecureAuth = false
				}
			})
			if tc.mode == om.ImplicitTLS {
				srv.address = tlsProxy(t, srv.address, tlsConfig)
			}
			c.Address = srv.address
			m := composed(t)
			if err := sender(t, c).Send(t.Context(), m); err != nil {
				t.Fatalf("%s: %v", tc.reason, err)
			}
			if diff := cmp.Diff([]string{string(m.Data)}, srv.got()); diff != "" {
				t.Errorf("%s: received another mail: -want +got:\n%s", tc.reason, diff)
			}
		})
	}
}

// tlsProxy puts TLS before a server in the clear.
func tlsProxy(t *testing.T, backend string, c *tls.Config) string {
	var clients sync.WaitGroup
	t.Cleanup(clients.Wait)
	l := serve(t, func(l net.Listener) error {
		for {
			conn, err := l.Accept()
			if err != nil {
				return err
			}
			clients.Go(func() {
				front := tls.Server(conn, c)
				defer func() { _ = front.Close() }()
				back, err := net.Dial("tcp", backend)
				if err != nil {
					t.Error(err)
					return
				}
				defer func() { _ = back.Close() }()
				clients.Go(func() { pipe(back, front) })
				pipe(front, back)
			})
		}
	}, func() {})
	return l.Addr().String()
}

func pipe(to, from net.Conn) {
	b := make([]byte, 4096)
	for {
		n, err := from.Read(b)
		if err != nil {
			_ = to.Close()
			return
		}
		if _, err := to.Write(b[:n]); err != nil {
			return
		}
	}
}

func reply(code int, enhanced smtp.EnhancedCode, text string) *smtp.SMTPError {
	return &smtp.SMTPError{Code: code, EnhancedCode: enhanced, Message: text}
}

// Each fault and the class that the classifier names for it.
func TestSendClassifies(t *testing.T) {
	tlsConfig, caFile := certificate(t)
	until := func(turns ...string) []string { return append(append([]string{}, hello...), turns...) }
	data := until("< MAIL", "> 250 ok", "< RCPT", "> 250 ok", "< DATA", "> 354 go on", "< .")
	after := func(turns ...string) []string { return append(append([]string{}, data...), turns...) }
	refused := func(t *testing.T) string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		_ = l.Close()
		return l.Addr().String()
	}
	noMore := 300 * time.Millisecond

	cases := map[string]struct {
		reason string
		server *server
		script []string
		config om.Config
		want   om.Error // without Err
	}{
		"421AtGreeting": {"too busy for anybody", nil, []string{"> 421 4.3.2 too busy"}, om.Config{}, om.Error{Kind: om.Unavailable, Code: 421, Enhanced: "4.3.2", Text: "too busy"}},
		"554AtGreeting": {"does not want to talk to us", nil, []string{"> 554 5.7.1 go away"}, om.Config{}, om.Error{Kind: om.Unavailable, Code: 554, Enhanced: "5.7.1", Text: "go away"}},
		"421AtMail":     {"closing down", nil, until("< MAIL", "> 421 4.3.2 shutting down"), om.Config{}, om.Error{Kind: om.Temporary, Code: 421, Enhanced: "4.3.2", Text: "shutting down"}},
		"451AtMail":     {"4xx is for now", &server{mail: reply(451, smtp.EnhancedCode{4, 3, 0}, "try later")}, nil, om.Config{}, om.Error{Kind: om.Temporary, Code: 451, Enhanced: "4.3.0", Text: "try later"}},
		"450AtRcpt":     {"greylisting", &server{rcpt: reply(450, smtp.EnhancedCode{4, 2, 0}, "greylisted")}, nil, om.Config{}, om.Error{Kind: om.Temporary, Code: 450, Enhanced: "4.2.0", Text: "greylisted"}},
		"452AtRcpt":     {"mailbox full for now", &server{rcpt: reply(452, smtp.EnhancedCode{4, 2, 2}, "full")}, nil, om.Config{}, om.Error{Kind: om.Temporary, Code: 452, Enhanced: "4.2.2", Text: "full"}},
		"451AfterData":  {"a filter is out of order", &server{data: reply(451, smtp.EnhancedCode{4, 7, 1}, "filter down")}, nil, om.Config{}, om.Error{Kind: om.Temporary, Code: 451, Enhanced: "4.7.1", Text: "filter down"}},
		"550AtRcpt":     {"no such person", &server{rcpt: reply(550, smtp.EnhancedCode{5, 1, 1}, "<joe@acme.example> unknown")}, nil, om.Config{}, om.Error{Kind: om.Permanent, Code: 550, Enhanced: "5.1.1", Text: "<(address)> unknown"}},
		"550Bare":       {"without enhanced code", nil, until("< MAIL", "> 250 ok", "< RCPT", "> 550 unknown"), om.Config{}, om.Error{Kind: om.Permanent, Code: 550, Text: "unknown"}},
		"554AfterData":  {"taken for spam", &server{data: reply(554, smtp.EnhancedCode{5, 7, 1}, "spam")}, nil, om.Config{}, om.Error{Kind: om.Permanent, Code: 554, Enhanced: "5.7.1", Text: "spam"}},
		"554AtData":     {"no valid recipients", nil, until("< MAIL", "> 250 ok", "< RCPT", "> 250 ok", "< DATA", "> 554 5.5.1 no valid recipients"), om.Config{}, om.Error{Kind: om.Permanent, Code: 554, Enhanced: "5.5.1", Text: "no valid recipients"}},
		"553AtMail":     {"our own sender is refused: not the recipient's fault", &server{mail: reply(553, smtp.EnhancedCode{5, 7, 1}, "not your sender")}, nil, om.Config{}, om.Error{Kind: om.Unavailable, Code: 553, Enhanced: "5.7.1", Text: "not your sender"}},
		"552TooBig":     {"our mails are too big", &server{data: reply(552, smtp.EnhancedCode{5, 3, 4}, "too big")}, nil, om.Config{}, om.Error{Kind: om.Unavailable, Code: 552, Enhanced: "5.3.4", Text: "too big"}},
		"552Content":    {"what one tenant writes must not stop all mail", &server{data: reply(552, smtp.EnhancedCode{5, 7, 0}, "blocked")}, nil, om.Config{}, om.Error{Kind: om.Permanent, Code: 552, Enhanced: "5.7.0", Text: "blocked"}},
		"552Bare":       {"the same without enhanced code", nil, until("< MAIL", "> 552 too big"), om.Config{}, om.Error{Kind: om.Unavailable, Code: 552, Text: "too big"}},
		"552Full":       {"one full mailbox must not stop all mail", &server{rcpt: reply(552, smtp.EnhancedCode{5, 2, 2}, "mailbox full")}, nil, om.Config{}, om.Error{Kind: om.Permanent, Code: 552, Enhanced: "5.2.2", Text: "mailbox full"}},
		"530NoAuth":     {"wants a password that we were not given", &server{password: "s3cret"}, nil, om.Config{}, om.Error{Kind: om.Unavailable, Code: 530, Enhanced: "5.7.0", Text: "Authentication required"}},
		"535BadAuth":    {"wrong password", &server{password: "s3cret"}, nil, om.Config{Username: "operator@mail.example", PasswordFile: passwordFile(t, "wrong")}, om.Error{Kind: om.Unavailable, Code: 535, Enhanced: "5.7.8", Text: "Authentication failed"}},
		"535Echo":       {"a server that repeats the password", nil, []string{"> 220 x", "< EHLO", "> 250-x", "> 250 AUTH PLAIN", "< AUTH", "> 535 5.7.8 wrong: hunter2 is not for joe@mail.example AGpvZUBtYWlsLmV4YW1wbGUAaHVudGVyMg==", "< *", "> 501 no", "< QUIT"}, om.Config{Username: "joe@mail.example", PasswordFile: passwordFile(t, "hunter2")}, om.Error{Kind: om.Unavailable, Code: 535, Enhanced: "5.7.8", Text: "wrong: (removed) is not for (address) (removed)"}},
		"NoAuthOffered": {"AUTH is not to be had", &server{}, nil, om.Config{Username: "u", PasswordFile: passwordFile(t, "p")}, om.Error{Kind: om.Unavailable, Text: "AUTH: the mail server offers none of SCRAM-SHA-256, SCRAM-SHA-1, PLAIN and LOGIN"}},
		"NoStartTLS":    {"never in the clear instead", &server{}, nil, om.Config{TLS: om.StartTLS}, om.Error{Kind: om.Unavailable, Text: "STARTTLS: not offered by the mail server, and nothing is sent without"}},
		"Untrusted":     {"a certificate of nobody we know", &server{}, nil, om.Config{TLS: om.StartTLS, ServerName: "example.com"}, om.Error{Kind: om.Unavailable, Text: "STARTTLS: tls: failed to verify certificate: x509: certificate signed by unknown authority"}},
		"WrongName":     {"a certificate for somebody else", &server{}, nil, om.Config{TLS: om.StartTLS, CAFile: caFile, ServerName: "bank.test"}, om.Error{Kind: om.Unavailable, Text: "STARTTLS: tls: failed to verify certificate: x509: certificate is valid for example.com, *.example.com, not bank.test"}},
		"NoTLSThere":    {"TLS to a server in the clear", &server{}, nil, om.Config{TLS: om.ImplicitTLS}, om.Error{Kind: om.Unavailable, Text: "TLS: tls: first record does not look like a TLS handshake"}},
		"DropAtOnce":    {"hangs up without a word", nil, []string{"drop"}, om.Config{}, om.Error{Kind: om.Unavailable}},
		"DropAfterRcpt": {"not handed over, for sure", nil, until("< MAIL", "> 250 ok", "< RCPT", "> 250 ok", "drop"), om.Config{}, om.Error{Kind: om.Temporary}},
		"DropAtRcpt":    {"the same a step before", nil, until("< MAIL", "> 250 ok", "< RCPT", "drop"), om.Config{}, om.Error{Kind: om.Temporary}},
		"DropAfterData": {"may have been delivered", nil, after("drop"), om.Config{}, om.Error{Kind: om.Ambiguous}},
		"HangUpAfter":   {"the same, politely", nil, after(), om.Config{}, om.Error{Kind: om.Ambiguous, Text: "sending the content: connection closed by the mail server"}},
		"SilentAfter":   {"the same, by saying nothing", nil, after("silent"), om.Config{Timeout: noMore}, om.Error{Kind: om.Ambiguous, Text: "sending the content: no answer in time"}},
		"SilentAtOnce":  {"accepts and says nothing", nil, []string{"silent"}, om.Config{Timeout: noMore}, om.Error{Kind: om.Unavailable, Text: "greeting: no answer in time"}},
		"SilentTLS":     {"the same before a handshake", nil, []string{"silent"}, om.Config{Timeout: noMore, TLS: om.ImplicitTLS}, om.Error{Kind: om.Unavailable, Text: "TLS: no answer in time"}},
		"SilentAtRcpt":  {"stops in the middle", nil, until("< MAIL", "> 250 ok", "< RCPT", "silent"), om.Config{Timeout: noMore}, om.Error{Kind: om.Temporary, Text: "RCPT: no answer in time"}},
		"Drip":          {"a byte now and then is no life sign", nil, []string{"drip"}, om.Config{Timeout: noMore}, om.Error{Kind: om.Unavailable, Text: "greeting: no answer in time"}},
		"DripAfterData": {"also at the end", nil, after("drip"), om.Config{Timeout: noMore}, om.Error{Kind: om.Ambiguous, Text: "sending the content: no answer in time"}},
		"Flood":         {"must not fill our memory", nil, []string{"> 220 x", "< EHLO", "flood"}, om.Config{}, om.Error{Kind: om.Unavailable}},
		"NoSMTP":        {"something else listens there", nil, []string{"> HTTP/1.1 400 Bad Request"}, om.Config{}, om.Error{Kind: om.Unavailable}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			c := tc.config
			if tc.server != nil {
				tc.server.start(t, func(s *smtp.Server) {
					if c.ServerName != "" {
						s.TLSConfig = tlsConfig
					}
				})
				c.Address = tc.server.address
			} else {
				c.Address = scripted(t, tc.script...)
			}
			checkError(t, tc.reason, sender(t, c).Send(t.Context(), composed(t)), tc.want)
			if tc.server != nil && len(tc.server.got()) != 0 {
				t.Errorf("%s: the mail was taken all the same", tc.reason)
			}
		})
	}
	t.Run("RefusedConnection", func(t *testing.T) {
		err := sender(t, om.Config{Address: refused(t)}).Send(t.Context(), composed(t))
		checkError(t, "nothing listens there", err, om.Error{Kind: om.Unavailable, Text: "connecting: connection refused"})
	})
	t.Run("UnknownHost", func(t *testing.T) {
		err := sender(t, om.Config{Address: "no-such-host.invalid:25"}).Send(t.Context(), composed(t))
		checkError(t, "the name is not known", err, om.Error{Kind: om.Unavailable})
	})
}

// checkError compares all but the cause, and the text only where one is wanted (the system's own words vary).
func checkError(t *testing.T, reason string, err error, want om.Error) {
	t.Helper()
	var got *om.Error
	if !errors.As(err, &got) {
		t.Fatalf("%s: got %v, want *mail.Error", reason, err)
	}
	if got.Err == nil || got.Text == "" {
		t.Errorf("%s: without cause or text: %+v", reason, got)
	}
	actual := *got
	actual.Err = nil
	if want.Text == "" {
		actual.Text = ""
	}
	if diff := cmp.Diff(want, actual); diff != "" {
		t.Errorf("%s: %v: -want +got:\n%s", reason, err, diff)
	}
	for _, secret := range []string{"joe@", "/i/", "hunter2", "s3cret"} {
		if strings.Contains(err.Error(), secret) {
			t.Errorf("%s: the error shows %q: %v", reason, secret, err)
		}
	}
}

// What happens after the server took the mail is no failure.
func TestSendSucceedsOnceTaken(t *testing.T) {
	taken := turns(hello, taken)
	cases := map[string][]string{
		"QuitAnswered":   {"< QUIT", "> 221 bye"},
		"QuitRefused":    {"< QUIT", "> 451 not now"},
		"DropAtQuit":     {"< QUIT", "drop"},
		"DropAfterTaken": {"drop"},
		"ClosedAt421":    {"> 421 closing"},
	}
	for name, after := range cases {
		t.Run(name, func(t *testing.T) {
			address := scripted(t, append(append([]string{}, taken...), after...)...)
			if err := sender(t, om.Config{Address: address}).Send(t.Context(), composed(t)); err != nil {
				t.Errorf("got %v, want success", err)
			}
		})
	}
	t.Run("SilentAtQuit", func(t *testing.T) {
		address := scripted(t, append(append([]string{}, taken...), "< QUIT", "silent")...)
		if err := sender(t, om.Config{Address: address, Timeout: 300 * time.Millisecond}).Send(t.Context(), composed(t)); err != nil {
			t.Errorf("got %v, want success", err)
		}
	})
}

func TestSendEndsWithItsContext(t *testing.T) {
	steps := map[string]struct {
		script []string
		want   om.Kind
	}{
		"Greeting": {[]string{"silent"}, om.Temporary},
		"AtRcpt":   {[]string{"> 220 x", "< EHLO", "> 250 x", "< MAIL", "> 250 ok", "< RCPT", "silent"}, om.Temporary},
		"Content":  {[]string{"> 220 x", "< EHLO", "> 250 x", "< MAIL", "> 250 ok", "< RCPT", "> 250 ok", "< DATA", "> 354 go", "< .", "silent"}, om.Ambiguous},
	}
	for name, tc := range steps {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer cancel()
			err := sender(t, om.Config{Address: scripted(t, tc.script...)}).Send(ctx, composed(t))
			var got *om.Error
			if !errors.As(err, &got) || got.Kind != tc.want || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v, want %s for a deadline", err, tc.want)
			}
		})
	}
	t.Run("Before", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		err := sender(t, om.Config{Address: "127.0.0.1:1"}).Send(ctx, composed(t))
		var got *om.Error
		if !errors.As(err, &got) || got.Kind != om.Temporary || !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want Temporary for a cancellation", err)
		}
	})
}

func TestSendReadsThePasswordEachTime(t *testing.T) {
	srv := server{password: "new"}
	srv.start(t, nil)
	file := passwordFile(t, "old")
	s := sender(t, om.Config{Address: srv.address, Username: "operator@mail.example", PasswordFile: file})
	var got *om.Error
	if err := s.Send(t.Context(), composed(t)); !errors.As(err, &got) || got.Code != 535 {
		t.Fatalf("old password: got %v, want 535", err)
	}
	if err := os.WriteFile(file, []byte("new"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Send(t.Context(), composed(t)); err != nil {
		t.Errorf("new password: %v", err)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := s.Send(t.Context(), composed(t)); !errors.As(err, &got) || got.Kind != om.Unavailable {
		t.Errorf("file gone: got %v, want Unavailable", err)
	}
}

func TestSendTellsAnUntrustedCertificate(t *testing.T) {
	tlsConfig, _ := certificate(t)
	var srv server
	srv.start(t, func(s *smtp.Server) { s.TLSConfig = tlsConfig })
	err := sender(t, om.Config{Address: srv.address, TLS: om.StartTLS}).Send(t.Context(), composed(t))
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); !ok {
		t.Errorf("got %v, want the cause within reach of errors.As", err)
	}
}

func TestSendNeedsSMTPUTF8ForLettersBeyondASCII(t *testing.T) {
	e := envelope
	e.To.Address = "jörg@bücher.example"
	m, err := words.Compose(e, invitation)
	if err != nil {
		t.Fatal(err)
	}
	var without server
	without.start(t, nil)
	err = sender(t, om.Config{Address: without.address}).Send(t.Context(), m)
	var got *om.Error
	if !errors.As(err, &got) || got.Kind != om.Permanent {
		t.Errorf("server without SMTPUTF8: got %v, want Permanent", err)
	}
	var with server
	with.start(t, func(s *smtp.Server) { s.EnableSMTPUTF8 = true })
	if err := sender(t, om.Config{Address: with.address}).Send(t.Context(), m); err != nil {
		t.Errorf("server with SMTPUTF8: %v", err)
	}
}

func TestSendConcurrently(t *testing.T) {
	var srv server
	srv.start(t, nil)
	s, m := sender(t, om.Config{Address: srv.address}), composed(t)
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if err := s.Send(t.Context(), m); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := len(srv.got()); n != 20 {
		t.Errorf("%d of 20 mails arrived", n)
	}
}
