package controllers_test

import (
	"crypto/rand"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/controllers"
	"github.com/orgkeeper/orgkeeper/internal/mail"
)

// faulty is a home with a mail server that has a fault.
type faulty struct {
	*home
	doorman *doorman
	config  mail.Config
	lease   string
	ca      []byte // of the doorman's certificate
	result  string // of the fault, as the metric calls it
	copies  bool   // the mail is taken all the same
}

// meet starts an operator that sends its mails through a doorman.
func meet(t *testing.T, is fault, change func(*testing.T, *faulty)) *faulty {
	t.Helper()
	f := &faulty{lease: "orgkeeper-" + strings.ToLower(rand.Text())}
	o := operate(t, func(o *operator) {
		f.doorman = o.mail.guard(t, is)
		f.config = mail.Config{Address: f.doorman.address, TLS: mail.NoTLS, Timeout: 20 * time.Second}
		if change != nil {
			change(t, f)
		}
		o.change = func(d *controllers.Deps) {
			smtp, err := mail.NewSMTP(f.config)
			if err != nil {
				t.Fatal(err)
			}
			d.Invitations.SMTP = smtp
			d.Post.Subject = lease(f.lease)
		}
	})
	f.home = o.home(t)
	f.found()
	return f
}

// impatient is for servers that do not come to an end.
func impatient(_ *testing.T, f *faulty) { f.config.Timeout = 3 * time.Second }

// encrypted has the doorman offer STARTTLS, and the operator insist on it.
func encrypted(t *testing.T, f *faulty) {
	t.Helper()
	server := httptest.NewTLSServer(nil) // for its certificate, which is valid until 2084
	defer server.Close()
	f.doorman.tls = &tls.Config{Certificates: server.TLS.Certificates}
	f.ca = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	f.config.TLS, f.config.CAFile = mail.StartTLS, filepath.Join(t.TempDir(), "ca.pem")
	f.trust(f.ca)
}

// trust changes the CA that the operator trusts.
func (f *faulty) trust(ca []byte) {
	if err := os.WriteFile(f.config.CAFile, ca, 0o600); err != nil {
		panic(err)
	}
}

// signedIn has the doorman ask for a password, and the operator have one.
func signedIn(t *testing.T, f *faulty) {
	t.Helper()
	f.doorman.auth = true
	f.config.Username, f.config.PasswordFile = "orgkeeper", filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(f.config.PasswordFile, []byte("hunter2"), 0o600); err != nil {
		t.Fatal(err)
	}
}

// well ends the fault, whoever is to mend it.
func (f *faulty) well() {
	f.doorman.behave()
	if f.ca != nil {
		f.trust(f.ca)
	}
}

// waits fails the test unless the next try of a mail is within the bounds of the backoff, which jitter halves at most.
func (f *faulty) waits(m *v1alpha1.OrgMember, since time.Time, longest time.Duration) {
	f.t.Helper()
	if m.Status.Invitation.NextAttemptAt == nil {
		f.t.Fatal("nothing says when the next try is")
	}
	next := m.Status.Invitation.NextAttemptAt.Time // in whole seconds
	if earliest, latest := since.Add(longest/2-time.Second), f.clock.Now().Add(longest); next.Before(earliest) || next.After(latest) {
		f.t.Errorf("the next try is at %s, not between %s and %s", next, earliest, latest)
	}
}

// reachable waits until the operator's own signals say that mails can be sent, or why not.
func (f *faulty) reachable(yes bool, says string) {
	f.t.Helper()
	value, reasons := 1, []string(nil)
	if !yes {
		value, reasons = 0, []string{v1alpha1.ReasonMailerUnavailable}
	}
	f.metricsCome(fmt.Sprintf(`
# HELP orgkeeper_mailer_ready 1 unless this replica found that no mail can be sent, whoever it is for; then 0 until one is.
# TYPE orgkeeper_mailer_ready gauge
orgkeeper_mailer_ready %d
`, value), "orgkeeper_mailer_ready")
	if got := f.deps.Post.Outage(); yes && got != "" || !yes && got != "mail server unavailable: "+says {
		f.t.Errorf("/readyz says %q of the mails, not %q", got, says)
	}
	for _, reason := range reasons {
		f.eventually("an Event about the operator", func() error { return f.toldOfLease(reason) })
	}
}

func (f *faulty) toldOfLease(reason string) error {
	var events corev1.EventList
	if err := admin.List(f.t.Context(), &events, client.InNamespace("default")); err != nil {
		return err
	}
	for _, e := range events.Items {
		if e.InvolvedObject.Name == f.lease && e.Reason == reason {
			return nil
		}
	}
	return errors.New("no Event " + reason)
}

// Mails hang at each step at which a server can let them hang, as many as may go out at once. Nobody keeps access because of
// that, and when the server lets go each mail goes out once.
func TestRemovalWhileMailsHang(t *testing.T) {
	for _, step := range []string{"greeting", "EHLO", "RCPT", "reading", "content", "taken"} {
		t.Run(step, func(t *testing.T) {
			f := meet(t, fault{step, "pause"}, func(_ *testing.T, f *faulty) { f.config.Timeout = time.Hour })
			defer f.well()
			web, tom := f.workspace("web"), f.member("tom", v1alpha1.RoleMember, joined)
			f.create(web, tom, f.assignment("tom", "tom", v1alpha1.AccessEdit, "web"))
			f.has(f.user("tom"), f.in("web"), v1alpha1.AccessEdit)
			var hanging []*v1alpha1.OrgMember
			for i := range f.deps.Post.Workers {
				hanging = append(hanging, f.member(fmt.Sprintf("m%d", i), v1alpha1.RoleMember))
				f.create(hanging[i])
			}
			f.eventually("all senders hang", func() error {
				if n := f.doorman.tries(); n != len(hanging) {
					return fmt.Errorf("%d", n)
				}
				return nil
			})
			f.delete(tom)
			f.goes(tom)
			f.has(f.user("tom"), f.in("web"), "")
			if in := f.named(f.user("tom")); in != nil {
				t.Errorf("tom is named by %v", in)
			}
			for _, m := range hanging {
				if f.becomes(m, "InvitationSent", "False/InvitationQueued"); m.Status.Invitation.SentAt != nil {
					t.Errorf("the mail to %s did not hang", m.Name)
				}
			}
			f.well()
			for _, m := range hanging {
				f.goesOut(m, 1, 1)
				f.mailed(m.Name, 1)
			}
		})
	}
}

// What a server says of a connection after it took a mail (to RSET, NOOP, QUIT or the next mail) changes nothing of that mail,
// and costs the next one nothing.
func TestFaultAfterTheYes(t *testing.T) {
	for _, does := range []string{"421 4.4.2 idle for too long", "451 4.3.0 not now", "554 5.5.1 no", "drop"} {
		t.Run(does, func(t *testing.T) {
			f := meet(t, fault{"next", does}, nil)
			for _, name := range []string{"mia", "tom", "zoe"} {
				m, _ := f.invited(name)
				f.goesOut(m, 1, 1)
				f.mailed(name, 1)
			}
			f.mailsCounted("invitation", map[string]float64{"sent": 3})
			f.reachable(true, "")
		})
	}
}

// The wait between two tries is on record: an operator that starts anew tries when it is over, by itself, and not at once.
// Nor does it forget how often was tried.
func TestBackoffSurvivesARestart(t *testing.T) {
	f := meet(t, fault{"RCPT", "450 4.2.0 greylisted"}, nil)
	mia := f.member("mia", v1alpha1.RoleMember)
	longest, since := 30*time.Second, f.clock.Now()
	f.create(mia)
	for try := range int32(3) {
		f.eventually("a try is on record", func() error {
			if f.get(mia); mia.Status.Invitation == nil || mia.Status.Invitation.Attempts != try+1 || mia.Status.Invitation.NextAttemptAt == nil {
				return fmt.Errorf("%+v", mia.Status.Invitation)
			}
			return nil
		})
		f.waits(mia, since, longest)
		longest, since = 2*longest, mia.Status.Invitation.NextAttemptAt.Time
		f.clock.Step(since.Sub(f.clock.Now()) - 2*time.Second)
		if try == 2 {
			f.well()
		}
		f.restart(t)
	}
	f.goesOut(mia, 4, 1)
	if at := mia.Status.Invitation.SentAt.Time; at.Before(since) {
		t.Errorf("the try at %s did not wait until %s", at, since)
	}
	f.mailed("mia", 1)
}
