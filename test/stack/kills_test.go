// Copyright The orgkeeper Authors.
// SPDX-License-Identifier: Apache-2.0

package stack

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
)

// TestKills: nobody goes without a mail, and no mail comes twice but for a reason that can be named.
func TestKills(t *testing.T) {
	l := newLab(t)
	t.Run("operator killed and mail server restarted", l.testKillsAndRestarts)
	t.Run("old leader paused", l.testPausedLeader)
	t.Run("dry runs", l.testDryRuns)
	// Last, since it is about all of them.
	t.Run("logs tell nothing", func(t *testing.T) { discreet(t, l.logs, l.secrets) })
}

// Two hundred people are invited, some of them twice, while the operator is killed twenty times and the mail server goes
// down five times. Each gets every mail that is due; a copy is the same to the last byte, and comes of a kill between
// handing the mail over and recording that, or of an acknowledgement that was lost.
//
// The operator has one mail in hand at a time: so a kill makes one copy at most.
func (l *lab) testKillsAndRestarts(t *testing.T) {
	const people, kills, restarts, again, limit = 200, 20, 5, 10, 1000
	random := chance(t, "TestKills/operator_killed")
	mails := &mailServer{pace: 2 * time.Millisecond}
	f := &fate{t: t, lab: l, mails: mails, random: random, flags: []string{
		"--leader-elect=false", "--mail-workers=1", "--mail-rate=20", fmt.Sprintf("--mail-limit-per-organization=%d", limit),
	}}
	mails.named, mails.received, mails.answered = f.moment(named), f.moment(received), f.moment(answered)
	serveMail(t, claimAddress(t), mails) // not one that somebody else's connection may take while the server is down
	o := l.organization(t, "masses", mails)
	records := o.watchRecords(t)

	began := time.Now()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f.run(people+again, kills, restarts)
	}()
	o.declare(t, nil, o.add(people)...)
	eventually(t, long, "more than half of the letters", func() error { return atLeast(people*3/5, len(mails.distinct())) })
	twice := o.resend(t, again)
	<-done
	f.born()
	p := l.start(t, 0, mails.address, f.flags...)
	eventually(t, long, "everybody invited", func() error {
		return errors.Join(o.converged(t.Context()), o.checkSerials(t, twice), records.complete(t, o), f.checkRestarts(restarts))
	})
	took := time.Since(began)

	copies := f.checkCopies(records)
	lost := 0
	for _, d := range mails.delivered() {
		if d.lost {
			lost++
		}
	}
	t.Logf("%d kills (%v) and %d restarts; %d letters, of which %d copies (%d of a kill, %d of a lost acknowledgement); %d acknowledgements lost; %.0f s",
		kills, f.counts, restarts, len(mails.all()), copies.kills+copies.lost, copies.kills, copies.lost, lost, took.Seconds())
	if copies.kills+copies.lost > kills+lost {
		t.Errorf("more copies than kills and lost acknowledgements")
	}
	if copies.kills == 0 || copies.lost == 0 {
		t.Error("the test was too gentle: nothing was sent twice for a kill, or no acknowledgement lost")
	}
	o.checkDue(t, records, twice)
	o.checkCount(t, len(mails.distinct()), kills, limit)

	// The links in them work, and those that were replaced do not.
	for _, person := range twice[:2] {
		want(t, http.MethodPost, mails.to(person.email)[0].link+"/accept", http.StatusGone, "newer")
	}
	o.accept(t, twice[:2]...)
	o.accept(t, o.pick(random, 3, pending)...)
	eventually(t, long, "access", func() error { return o.converged(t.Context()) })
	check(t, p.ask())
	p.gone(t)
}

// chance is what a test leaves to it; it tells how to have the same again.
func chance(t *testing.T, run string) *rand.Rand {
	t.Helper()
	chosen := *seed
	if chosen == 0 {
		chosen = rand.Uint64()
	}
	t.Logf("again: go test ./test/stack -run '%s' -seed %d", run, chosen)
	return rand.New(rand.NewPCG(chosen, 4))
}

// atLeast fails while there are fewer.
func atLeast(wanted, got int) error {
	if got < wanted {
		return fmt.Errorf("%d of %d: %w", got, wanted, errNotYet)
	}
	return nil
}

// delivered are the letters so far and how they came, the oldest first.
func (s *mailServer) delivered() []delivery {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]delivery, len(s.deliveries))
	for i, d := range s.deliveries {
		all[i] = *d
	}
	return all
}

// distinct are the letters by Message-ID, the first of each.
func (s *mailServer) distinct() map[string]letter {
	first := map[string]letter{}
	for _, l := range s.all() {
		if _, seen := first[l.id]; !seen {
			first[l.id] = l
		}
	}
	return first
}

// resend asks for another mail to so many people whose first is recorded as sent.
func (o *organization) resend(t *testing.T, count int) []*person {
	t.Helper()
	var chosen []*person
	for _, p := range o.people {
		m, err := o.member(t.Context(), p.name)
		check(t, err)
		if len(chosen) == count || m.Status.Invitation == nil || m.Status.Invitation.SentAt == nil {
			continue
		}
		chosen = append(chosen, p)
		check(t, o.lab.admin.Patch(t.Context(), m, client.RawPatch("application/merge-patch+json", resendPatch)))
	}
	if len(chosen) < count {
		t.Fatalf("only %d people have their mail", len(chosen))
	}
	return chosen
}

var resendPatch = fmt.Appendf(nil, `{"metadata":{"annotations":{%q:"again"}}}`, v1alpha1.AnnotationResend)

// checkSerials fails until each member's newest mail is recorded as sent, and is the second for those who were asked twice.
func (o *organization) checkSerials(t *testing.T, twice []*person) error {
	t.Helper()
	wanted := map[*person]int32{}
	for _, p := range twice {
		wanted[p] = 2
	}
	for _, p := range o.people {
		m, err := o.member(t.Context(), p.name)
		if err != nil {
			return err
		}
		i := m.Status.Invitation
		if i == nil || i.Serial != max(1, wanted[p]) || i.SentAt == nil || !meta.IsStatusConditionTrue(m.Status.Conditions, v1alpha1.ConditionInvitationSent) {
			return fmt.Errorf("%s: %+v: %w", p.name, i, errNotYet)
		}
	}
	return nil
}

// checkDue: each person got the mails that were due, and no other.
func (o *organization) checkDue(t *testing.T, records *records, twice []*person) {
	t.Helper()
	due := map[string]int{}
	for _, p := range o.people {
		due[p.email] = 1
	}
	for _, p := range twice {
		due[p.email] = 2
	}
	got, letters := map[string]int{}, o.mails.distinct()
	for _, l := range letters {
		got[l.to]++
	}
	if diff := cmp.Diff(due, got); diff != "" {
		t.Errorf("different mails to each (-want +got):\n%s", diff)
	}
	for id := range records.all() {
		if _, came := letters[id]; !came {
			t.Errorf("%s is recorded as sent and never came", id)
		}
	}
}

// checkCount: the organization's share counts every mail, and no more than one for each kill beside.
func (o *organization) checkCount(t *testing.T, letters, kills, limit int) {
	t.Helper()
	org := &v1alpha1.Organization{}
	check(t, o.lab.admin.Get(t.Context(), client.ObjectKey{Namespace: o.home, Name: o.home}, org))
	counted := 0
	for _, c := range org.Status.Mails {
		counted += int(c.Count)
	}
	t.Logf("%d mails counted of %d that the organization may send", counted, limit)
	if counted < letters || counted > letters+kills {
		t.Errorf("%d mails counted, %d were sent", counted, letters)
	}
}

// records are when each mail was seen to be recorded as sent, by Message-ID.
type records struct {
	mu   sync.Mutex
	seen map[string]time.Time
}

// watchRecords follows them until the test ends.
func (o *organization) watchRecords(t *testing.T) *records {
	t.Helper()
	r, done := &records{seen: map[string]time.Time{}}, make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(func() {
		cancel()
		<-done
	})
	go func() {
		defer close(done)
		for ctx.Err() == nil { // the API server may end a watch; another begins with what is there
			w, err := o.lab.admin.Watch(ctx, &v1alpha1.OrgMemberList{}, client.InNamespace(o.home))
			if err != nil {
				continue
			}
			for event := range w.ResultChan() {
				if m, ok := event.Object.(*v1alpha1.OrgMember); ok {
					r.note(m)
				}
			}
		}
	}()
	return r
}

func (r *records) note(m *v1alpha1.OrgMember) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if i := m.Status.Invitation; i != nil && i.SentAt != nil {
		if id := messageID(m); r.seen[id].IsZero() {
			r.seen[id] = time.Now()
		}
	}
}

func messageID(m *v1alpha1.OrgMember) string {
	return fmt.Sprintf("<%s.%d.invitation@orgkeeper.example>", m.UID, m.Status.Invitation.Serial)
}

func (r *records) all() map[string]time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.seen)
}

// complete fails until the newest mail of each was seen.
func (r *records) complete(t *testing.T, o *organization) error {
	t.Helper()
	seen := r.all()
	for _, p := range o.people {
		if m, err := o.member(t.Context(), p.name); err != nil || m.Status.Invitation == nil || seen[messageID(m)].IsZero() {
			return fmt.Errorf("the record of %s was not seen, %w", p.name, errors.Join(err, errNotYet))
		}
	}
	return nil
}

// copied is how many copies came of what.
type copied struct{ kills, lost int }

// checkCopies finds the reason of each copy, which is what became of the one before it.
func (f *fate) checkCopies(records *records) (found copied) {
	f.t.Helper()
	recorded, before, blamed := records.all(), map[string]delivery{}, map[int]string{}
	for _, d := range f.mails.delivered() {
		if !strings.HasSuffix(d.id, ".invitation@orgkeeper.example>") {
			f.t.Errorf("what mail is %s?", d.id)
		}
		last, copied := before[d.id]
		before[d.id] = d
		if !copied {
			continue
		}
		if last.date != d.date || last.link != d.link || last.raw != d.raw {
			f.t.Errorf("two copies of %s differ:\n%s", d.id, cmp.Diff(last.raw, d.raw))
		}
		by, at := f.sender(last), recorded[d.id]
		switch {
		case at.Before(d.begun):
			f.t.Errorf("%s was sent again %s after it was recorded as sent", d.id, d.begun.Sub(at))
		case last.lost:
			found.lost++
		case by == f.sender(d):
			f.t.Errorf("%s was sent twice by an operator that was told the first time that it was taken", d.id)
		case blamed[by] != "":
			f.t.Errorf("one kill had two mails sent again: %s and %s", blamed[by], d.id)
		default:
			found.kills++
			blamed[by] = d.id
		}
	}
	return found
}

// sender is which operator sent a letter: the youngest when it began, since one is dead before the next is born.
func (f *fate) sender(d delivery) int {
	by := -1
	for i, began := range f.lives {
		if !began.After(d.begun) {
			by = i
		}
	}
	if by < 0 {
		f.t.Fatalf("%s is of no operator", d.id)
	}
	return by
}
