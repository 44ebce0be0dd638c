// Copyright The orgkeeper Authors.
// SPDX-License-Identifier: Apache-2.0

package stack

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
)

var seed = flag.Uint64("seed", 0, "of what TestBadLuck and TestKills leave to chance; 0 takes a new one and tells it")

// TestBadLuck: whatever goes wrong, nothing is lost and nothing given that should not be.
func TestBadLuck(t *testing.T) {
	l := newLab(t)
	t.Run("operator killed at any moment", l.testKilled)
	t.Run("API server killed", l.testAPIServerKilled)
	t.Run("mail server down at the start", l.testMailServerDown)
	t.Run("mail server refuses", l.testMailServerRefuses)
	t.Run("mail server slow", l.testMailServerSlow)
	t.Run("stopped while a mail is on its way", l.testGracefulStop)
	t.Run("two replicas", l.testTwoReplicas)
	t.Run("links", l.testLinks)
	// Last, since it is about all of them.
	t.Run("logs tell nothing", func(t *testing.T) { discreet(t, l.logs, l.secrets) })
}

// Forty people are declared, accept, are removed and come back, while the operator is killed again and again: at any
// moment, and more often when a mail was taken and not yet recorded, an answer written, a removal asked for.
func (l *lab) testKilled(t *testing.T) {
	chosen := *seed
	if chosen == 0 {
		chosen = rand.Uint64()
	}
	t.Logf("again: go test ./test/stack -run 'TestBadLuck/operator_killed' -seed %d", chosen)
	random := rand.New(rand.NewPCG(chosen, 1))
	strike, moment := make(chan struct{}, 1), moments(chosen)
	mails := serveMail(t, "127.0.0.1:0", &mailServer{pace: 15 * time.Millisecond, received: func() { moment(strike) }})
	o := l.organization(t, "kills", mails)
	o.moment = func() { moment(strike) }
	o.guard(t)

	work, finish := context.WithCancel(t.Context())
	killed := make(chan int)
	go func() { killed <- l.killAgainAndAgain(work, t, mails, strike, rand.New(rand.NewPCG(chosen, 2))) }()
	o.declare(t, random, o.add(40)...)
	var void []letter
	for range 4 {
		o.accept(t, o.pick(random, 7, pending)...)
		o.remove(t, false, append(o.pick(random, 3, active), o.pick(random, 2, pending)...)...)
		back := o.pick(random, 3, removed)
		o.remove(t, true, back...)
		for _, p := range back {
			void = append(void, mails.to(p.email)...)
		}
		o.declare(t, random, back...)
		o.accept(t, back[0])
	}
	o.remove(t, false, o.pick(random, 4, active)...)
	finish()
	kills := <-killed

	p := l.start(t, 0, mails.address, "--leader-elect=false")
	eventually(t, long, "everything as declared", func() error { return o.converged(t.Context()) })
	t.Logf("killed %d times; %d letters, of which %d copies", kills, len(mails.all()), o.checkLetters(t))
	for _, letter := range void {
		if letter.link == "" { // that they were removed
			continue
		}
		want(t, http.MethodPost, letter.link+"/accept", http.StatusGone, "withdrawn")
	}
	check(t, l.admin.Delete(t.Context(), namespace(o.home)))
	eventually(t, long, "nothing left", func() error { return o.remains(t.Context()) })
	check(t, p.ask())
	p.gone(t)
}

// moments strikes at one awkward moment of eight.
func moments(seed uint64) func(strike chan<- struct{}) {
	var mu sync.Mutex
	random := rand.New(rand.NewPCG(seed, 3))
	return func(strike chan<- struct{}) {
		mu.Lock()
		defer mu.Unlock()
		if random.IntN(8) == 0 {
			select {
			case strike <- struct{}{}:
			default: // it is dying already
			}
		}
	}
}

// killAgainAndAgain starts an operator and kills it when struck, and otherwise within three seconds, until the work is done.
func (l *lab) killAgainAndAgain(work context.Context, t *testing.T, mails *mailServer, strike <-chan struct{}, random *rand.Rand) (kills int) {
	for work.Err() == nil {
		// Without a lease: a killed operator's would have to run out first, and this is about the moment of death.
		p, err := l.launch(0, mails.address, "--leader-elect=false")
		if err != nil {
			t.Error(err)
			return kills
		}
		select {
		case <-strike:
			kills++
		case <-time.After(time.Duration(random.Int64N(int64(3 * time.Second)))):
			kills++
		case <-work.Done():
		case <-p.exited:
			t.Errorf("the operator ended by itself: %v\n%s", p.exit, p.said())
		}
		p.kill()
	}
	return kills
}

// The API server dies under the operator, twice, while people come, join and leave.
func (l *lab) testAPIServerKilled(t *testing.T) {
	mails := serveMail(t, "127.0.0.1:0", &mailServer{pace: 15 * time.Millisecond})
	o := l.organization(t, "outages", mails)
	operator := l.keep(t, mails.address)
	o.declare(t, nil, o.add(8)...)
	o.accept(t, o.people[:4]...)

	undecided := mails.await(t, o.people[7].email, 1).link
	check(t, l.KillAPIServer())
	// The page knows the invitation and cannot take the answer.
	want(t, http.MethodGet, undecided, http.StatusOK, "Invitation to")
	if page := want(t, http.MethodPost, undecided+"/accept", http.StatusServiceUnavailable, "try again"); page.header.Get("Retry-After") == "" {
		t.Error("the page does not say when to try again")
	}
	o.declare(t, nil, o.add(8)...)
	o.accept(t, o.people[4], o.people[9])
	o.remove(t, false, o.people[0], o.people[5])
	check(t, l.KillAPIServer())
	o.remove(t, false, o.people[1])
	o.accept(t, o.people[6], o.people[10])
	eventually(t, long, "everything as declared", func() error { return o.converged(t.Context()) })
	o.checkLetters(t)
	eventually(t, long, "the operator", func() error { return operator.now.Load().ready() })
	operator.stop()
	t.Logf("the operator ended by itself %d times: %v", len(operator.ended), operator.ended)
}

// A mail server that is down keeps no operator from starting and no mail from going out later.
func (l *lab) testMailServerDown(t *testing.T) {
	address := claimAddress(t)
	p := l.start(t, 0, address, "--leader-elect=false")
	mails := &mailServer{}
	o := l.organization(t, "nomail", mails)
	people := o.add(2)
	o.declare(t, nil, people...)
	for _, person := range people {
		eventually(t, soon, "the failure to show", func() error {
			m, err := o.member(t.Context(), person.name)
			if c := meta.FindStatusCondition(m.Status.Conditions, v1alpha1.ConditionInvitationSent); err != nil || c == nil || c.Reason != v1alpha1.ReasonMailerUnavailable {
				return fmt.Errorf("%+v, %w", m.Status, err)
			}
			return nil
		})
	}
	serveMail(t, address, mails)
	// One is asked for again, which is a new invitation if the first was tried; the other comes by itself.
	m, err := o.member(t.Context(), people[0].name)
	check(t, err)
	serial := 1
	if m.Status.Invitation != nil {
		serial = 2
	}
	before := m.DeepCopy()
	m.Annotations = map[string]string{v1alpha1.AnnotationResend: "now"}
	began := time.Now()
	check(t, l.admin.Patch(t.Context(), m, client.MergeFrom(before)))
	if got := mails.await(t, people[0].email, 1); !strings.Contains(got.id, fmt.Sprintf(".%d.invitation@", serial)) {
		t.Errorf("the letter asked for is %s", got.id)
	}
	t.Logf("resend: letter after %d ms", time.Since(began).Milliseconds())
	mails.await(t, people[1].email, 1)
	t.Logf("by itself: letter after %d ms", time.Since(began).Milliseconds())
	eventually(t, soon, "everything as declared", func() error { return o.converged(t.Context()) })
	check(t, p.ask())
	p.gone(t)
}

// A refusal for now is tried again, one for good is not, and the condition says which in the server's words.
func (l *lab) testMailServerRefuses(t *testing.T) {
	mails := serveMail(t, "127.0.0.1:0", &mailServer{})
	p := l.start(t, 0, mails.address, "--leader-elect=false")
	o := l.organization(t, "refusals", mails)
	for _, test := range []struct {
		answer             *smtp.SMTPError
		condition, ready   string
		stalled, triesMore bool
	}{
		{&smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 7, 1}, Message: "greylisted"}, v1alpha1.ReasonInvitationDeferred, v1alpha1.ReasonInvitationDeferred, false, true},
		{&smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "no such user"}, v1alpha1.ReasonInvitationRejected, v1alpha1.ReasonInvitationRejected, true, false},
	} {
		mails.refuse.Store(test.answer)
		person := o.add(1)[0]
		o.declare(t, nil, person)
		eventually(t, soon, "the refusal to show", func() error {
			m, err := o.member(t.Context(), person.name)
			if err != nil {
				return err
			}
			sent := meta.FindStatusCondition(m.Status.Conditions, v1alpha1.ConditionInvitationSent)
			ready := meta.FindStatusCondition(m.Status.Conditions, v1alpha1.ConditionReady)
			if sent == nil || ready == nil || sent.Reason != test.condition || ready.Reason != test.ready ||
				!strings.Contains(sent.Message, test.answer.Message) ||
				meta.IsStatusConditionTrue(m.Status.Conditions, v1alpha1.ConditionStalled) != test.stalled ||
				(m.Status.Invitation.NextAttemptAt != nil) != test.triesMore {
				return fmt.Errorf("%+v", m.Status)
			}
			return nil
		})
	}
	mails.refuse.Store(nil)
	for _, person := range o.people {
		m, err := o.member(t.Context(), person.name)
		check(t, err)
		before := m.DeepCopy()
		m.Annotations = map[string]string{v1alpha1.AnnotationResend: "again"}
		check(t, l.admin.Patch(t.Context(), m, client.MergeFrom(before)))
	}
	eventually(t, soon, "everybody invited", func() error { return o.converged(t.Context()) })
	check(t, p.ask())
	p.gone(t)
}

// A mail server that greets nobody holds up no removal.
func (l *lab) testMailServerSlow(t *testing.T) {
	mails := serveMail(t, "127.0.0.1:0", &mailServer{})
	p := l.start(t, 0, mails.address, "--leader-elect=false")
	o := l.organization(t, "slowmail", mails)
	leaver := o.add(1)[0]
	o.declare(t, nil, leaver)
	o.accept(t, leaver)
	eventually(t, soon, "access", func() error { return o.converged(t.Context()) })

	mails.talk.shut()
	waiting := o.add(12) // more than there are senders
	o.declare(t, nil, waiting...)
	eventually(t, soon, "mails on their way", func() error {
		tried := 0
		for _, person := range waiting {
			if m, err := o.member(t.Context(), person.name); err == nil && m.Status.Invitation != nil {
				tried++
			}
		}
		if tried < 4 {
			return fmt.Errorf("%d: %w", tried, errNotYet)
		}
		return nil
	})
	began := time.Now()
	o.remove(t, true, leaver)
	took := time.Since(began)
	check(t, o.checkAccess(t.Context()))
	t.Logf("removal took %d ms while the mail server was silent", took.Milliseconds())
	if took > 2*time.Second {
		t.Errorf("removal took %s, want less than 2 s", took)
	}
	if sent := len(mails.all()); sent != 1 {
		t.Errorf("%d mails went out through a silent server", sent)
	}
	mails.talk.open()
	eventually(t, long, "all mails", func() error { return o.converged(t.Context()) })
	o.checkLetters(t)
	check(t, p.ask())
	p.gone(t)
}

// SIGTERM comes when the server has the mail and has not said so yet.
func (l *lab) testGracefulStop(t *testing.T) {
	mails := &mailServer{}
	mails.received = mails.talk.shut
	serveMail(t, "127.0.0.1:0", mails)
	p := l.start(t, 0, mails.address)
	o := l.organization(t, "graceful", mails)
	o.declare(t, nil, o.add(1)...)
	mails.await(t, o.people[0].email, 1)

	began := time.Now()
	check(t, p.ask())
	eventually(t, soon, "the stop to begin", func() error {
		if !strings.Contains(p.said(), "Stopping and waiting for leader election runnables") {
			return errNotYet
		}
		return nil
	})
	mails.talk.open()
	p.gone(t)
	t.Logf("stopped after %d ms", time.Since(began).Milliseconds())
	m, err := o.member(t.Context(), o.people[0].name)
	check(t, err)
	if i := m.Status.Invitation; i == nil || i.SentAt == nil && i.NextAttemptAt == nil {
		t.Errorf("how the mail went is not recorded: %+v", m.Status)
	} else {
		t.Logf("recorded: sent %v, next attempt %v, %q", i.SentAt, i.NextAttemptAt, i.LastError)
	}
	lease := &coordinationv1.Lease{}
	check(t, l.admin.Get(t.Context(), client.ObjectKey{Namespace: "orgkeeper-system", Name: "orgkeeper"}, lease))
	if holder := lease.Spec.HolderIdentity; holder != nil && *holder != "" {
		t.Errorf("the lease is still held by %s", *holder)
	}
}

// Both replicas serve the page, one sends; when that one is stopped, the other takes over at once.
func (l *lab) testTwoReplicas(t *testing.T) {
	mails := serveMail(t, "127.0.0.1:0", &mailServer{})
	first := l.start(t, 0, mails.address)
	o := l.organization(t, "replicas", mails)
	o.declare(t, nil, o.add(1)...)
	mails.await(t, o.people[0].email, 1)
	second := l.start(t, 1, mails.address)
	o.declare(t, nil, o.add(9)...)
	eventually(t, long, "everybody invited", func() error { return o.converged(t.Context()) })
	if copies := o.checkLetters(t); copies != 0 || len(mails.all()) != 10 {
		t.Errorf("%d letters with %d copies to ten people", len(mails.all()), copies)
	}
	for i, portal := range []string{first.portal, second.portal} {
		at := func(p *person) string {
			return strings.Replace(mails.to(p.email)[0].link, l.portals[0], portal, 1)
		}
		want(t, http.MethodGet, at(o.people[i]), http.StatusOK, "Invitation to")
		o.trust(o.people[i].email)
		want(t, http.MethodPost, at(o.people[i])+"/accept", http.StatusOK, "Welcome")
		o.people[i].accepted = true
	}
	eventually(t, soon, "access", func() error { return o.converged(t.Context()) })

	third, err := l.launch(1, mails.address)
	check(t, err)
	<-third.exited
	if said := third.said(); third.cmd.ProcessState.ExitCode() != 1 || !strings.Contains(said, "address already in use") {
		t.Errorf("a replica whose port is taken ended with %v:\n%s", third.exit, said)
	}

	began := time.Now()
	check(t, first.ask())
	first.gone(t)
	newcomer := o.add(1)[0]
	o.declare(t, nil, newcomer)
	mails.await(t, newcomer.email, 1)
	took := time.Since(began)
	t.Logf("SIGTERM to the leader; the other sends after %d ms", took.Milliseconds())
	if took > 10*time.Second { // the lease would last 15
		t.Errorf("take-over took %s", took)
	}
	o.remove(t, true, o.people[0])
	eventually(t, soon, "everything as declared", func() error { return o.converged(t.Context()) })
	if copies := o.checkLetters(t); copies != 0 {
		t.Errorf("%d copies", copies)
	}

	// A leader that dies gives nothing back: the lease has to run out.
	first = l.start(t, 0, mails.address)
	began = time.Now()
	second.kill()
	o.remove(t, true, o.people[1])
	t.Logf("the leader killed; the other removes after %d ms", time.Since(began).Milliseconds())
	check(t, o.checkAccess(t.Context()))
	check(t, first.ask())
	first.gone(t)
}
