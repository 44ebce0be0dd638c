package controllers_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/controllers"
)

// parting is an organization that some have left (m0, m1 and so on), as a sender that is called by the test sees it.
type parting struct {
	*home
	acme   *v1alpha1.Organization
	writes atomic.Int32            // of a status
	fail   func(write int32) error // what becomes of the write of that number
	passed atomic.Int64            // how much time passes for the sender

	mu    sync.Mutex
	asked []string // to whom a mail was on its way, in order
	// when is what happens while a mail to somebody is on its way, and what is said to it; nil: yes.
	when map[string]func() *smtp.SMTPError
}

// steps is a measure of time in which only that passes which the test says.
type steps struct {
	clock.RealClock
	passed *atomic.Int64
}

func (s steps) Now() time.Time                  { return time.Unix(0, s.passed.Load()) }
func (s steps) Since(t time.Time) time.Duration { return s.Now().Sub(t) }

func parted(t *testing.T, leavers int, change ...func(*controllers.Deps)) *parting {
	t.Helper()
	p := &parting{when: map[string]func() *smtp.SMTPError{}}
	p.home = operate(t, idle, patient, func(o *operator) {
		before := o.change
		o.change = func(d *controllers.Deps) {
			before(d)
			d.Steady = steps{passed: &p.passed}
			d.Client = unsteady{d.Client, func() error {
				if n := p.writes.Add(1); p.fail != nil {
					return p.fail(n)
				}
				return nil
			}}
			for _, change := range change {
				change(d)
			}
		}
	}).home(t)
	p.mail.ask(func(to string) *smtp.SMTPError {
		name, _, _ := strings.Cut(to, ".")
		p.mu.Lock()
		p.asked = append(p.asked, name)
		happens := p.when[name]
		p.mu.Unlock()
		if happens == nil {
			return nil
		}
		return happens()
	})
	p.acme, _ = p.found()
	editStatus(p.home, p.acme, func(o *v1alpha1.Organization) {
		for n := range leavers {
			name := fmt.Sprintf("m%d", n)
			o.Status.Farewells = append(o.Status.Farewells, v1alpha1.Farewell{
				UID: "uid-" + name, Member: name, Email: v1alpha1.EmailAddress(p.user(name)), Serial: 3, At: metav1.NewTime(time.Now().Truncate(time.Second)),
			})
		}
	})
	p.shown()
	return p
}

// shown waits until the cache shows the organization as it is.
func (p *parting) shown() {
	p.t.Helper()
	p.eventually("the cache shows it", func() error {
		p.get(p.acme)
		seen, err := p.deps.Facts.Home(p.t.Context(), p.name)
		if err != nil || seen.Organization == nil || seen.Organization.ResourceVersion != p.acme.ResourceVersion {
			return fmt.Errorf("not yet: %w", err)
		}
		return nil
	})
}

// turn lets the sender send once.
func (p *parting) turn(ctx context.Context) {
	p.t.Helper()
	p.shown()
	if _, err := (&controllers.FarewellReconciler{Deps: p.deps}).Reconcile(ctx, p.acme.DeepCopy()); err != nil {
		p.t.Fatal(err)
	}
}

// on says what happens while the mail to somebody is on its way.
func (p *parting) on(name string, happens func() *smtp.SMTPError) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.when[name] = happens
}

func says(answer *smtp.SMTPError) func() *smtp.SMTPError {
	return func() *smtp.SMTPError { return answer }
}

// left checks who is still to be told, and after how many tries, and how many statuses were written in all.
func (p *parting) left(writes int32, want ...string) {
	p.t.Helper()
	p.get(p.acme)
	var got []string
	for _, f := range p.acme.Status.Farewells {
		is := fmt.Sprintf("%s tried %d", f.Member, f.Attempts)
		if f.NextAttemptAt != nil {
			is += ", again later"
		}
		if f.LastError != "" {
			is += ", for a reason"
		}
		got = append(got, is)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		p.t.Errorf("still to be told (-want +got):\n%s", diff)
	}
	if n := p.writes.Load(); n != writes {
		p.t.Errorf("%d writes, not %d", n, writes)
	}
}

// got checks how many mails each got, and that those to one are all alike.
func (p *parting) got(want ...int) {
	p.t.Helper()
	var got []int
	for n := range want {
		letters := p.mail.to(p.user(fmt.Sprintf("m%d", n)))
		got = append(got, len(letters))
		for _, l := range letters {
			if diff := cmp.Diff(letters[0], l, cmp.AllowUnexported(letter{})); diff != "" {
				p.t.Errorf("the second mail to m%d is another one: %s", n, diff)
			}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		p.t.Errorf("mails (-want +got):\n%s", diff)
	}
}

// announced waits until an Event of a reason names each of these.
func (p *parting) announced(reason string, names ...string) {
	p.t.Helper()
	p.eventually("Events "+reason, func() error {
		var events corev1.EventList
		if err := admin.List(p.t.Context(), &events, client.InNamespace(p.name)); err != nil {
			return err
		}
		got := map[string]int{}
		for _, e := range events.Items {
			if name, _, _ := strings.Cut(e.Message, ":"); e.InvolvedObject.UID == p.acme.UID && e.Reason == reason {
				got[name]++
			}
		}
		want := map[string]int{}
		for _, name := range names {
			want[name] = 1
		}
		if diff := cmp.Diff(want, got); diff != "" {
			return errors.New(diff)
		}
		return nil
	})
}

// Ten at a time: one write of the tries, the mails one after the other, one write of the outcomes. Each is told of by itself.
func TestFarewellsTogether(t *testing.T) {
	p := parted(t, 12)
	p.on("m0", func() *smtp.SMTPError {
		p.left(1, "m0 tried 1", "m1 tried 1", "m2 tried 1", "m3 tried 1", "m4 tried 1", "m5 tried 1", "m6 tried 1", "m7 tried 1", "m8 tried 1", "m9 tried 1",
			"m10 tried 0", "m11 tried 0")
		return nil
	})
	p.turn(t.Context())
	p.left(2, "m10 tried 0", "m11 tried 0")
	p.got(1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0)
	p.turn(t.Context())
	p.left(4)
	p.got(1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1)
	p.announced("MembershipMailSent", "m0", "m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8", "m9", "m10", "m11")
	p.mailsCounted("membership-ended", map[string]float64{"sent": 12})
	p.turn(t.Context())
	p.left(4)
}

// Who is refused is refused alone.
func TestRefusedAmongFarewells(t *testing.T) {
	p := parted(t, 5)
	p.on("m1", says(refusedForGood))
	p.on("m2", says(refusedForNow))
	p.on("m3", says(refusedForGood))
	p.turn(t.Context())
	p.left(2, "m2 tried 1, again later, for a reason")
	p.got(1, 0, 0, 0, 1)
	p.announced("MembershipMailRejected", "m1", "m3")
	p.announced("MembershipMailDeferred", "m2")
	p.mailsCounted("membership-ended", map[string]float64{"sent": 2, "permanent": 2, "temporary": 1})
}

// The mail server goes away in the middle: nobody is tried after that, and nobody counted as tried who was not. One mail alone
// finds that it is back, then all go on.
func TestMailServerGoesAmongFarewells(t *testing.T) {
	p := parted(t, 5)
	p.on("m2", says(closedToUs))
	p.turn(t.Context())
	p.left(2, "m2 tried 1, for a reason", "m3 tried 0", "m4 tried 0")
	p.got(1, 1, 0, 0, 0)
	p.turn(t.Context())
	p.left(2, "m2 tried 1, for a reason", "m3 tried 0", "m4 tried 0")

	p.clock.Step(time.Minute)
	p.turn(t.Context())
	p.left(4, "m2 tried 2, for a reason", "m3 tried 0", "m4 tried 0")
	if diff := cmp.Diff([]string{"m0", "m1", "m2", "m2"}, p.asked); diff != "" {
		t.Errorf("the mails that were tried (-want +got):\n%s", diff)
	}

	p.clock.Step(time.Hour)
	p.on("m2", nil)
	p.turn(t.Context())
	p.left(6, "m3 tried 0", "m4 tried 0")
	p.turn(t.Context())
	p.left(8)
	p.got(1, 1, 1, 1, 1)
}

// The operator is stopped in the middle: the mail in hand goes out, what came of the mails is on record, and the others wait for
// the next operator.
func TestStopAmongFarewells(t *testing.T) {
	p := parted(t, 5)
	ctx, stop := context.WithCancel(t.Context())
	p.on("m2", func() *smtp.SMTPError { stop(); return nil })
	p.turn(ctx)
	p.left(2, "m3 tried 0", "m4 tried 0")
	p.got(1, 1, 1, 0, 0)
	p.turn(t.Context())
	p.left(4)
	p.got(1, 1, 1, 1, 1)
}

// A mail server that takes its time: after a while what is done is recorded, and the rest is begun anew.
func TestSlowMailServerAmongFarewells(t *testing.T) {
	p := parted(t, 5)
	p.on("m2", func() *smtp.SMTPError { p.passed.Add(int64(10 * time.Second)); return nil })
	p.turn(t.Context())
	p.left(2, "m3 tried 0", "m4 tried 0")
	p.got(1, 1, 1, 0, 0)
	p.turn(t.Context())
	p.left(4)
	p.got(1, 1, 1, 1, 1)
}

// The operator dies in the middle, and nothing is heard of it again. The next one sends all of them: those that had gone out are
// the very same mails again.
func TestCrashAmongFarewells(t *testing.T) {
	p := parted(t, 5)
	p.fail = func(write int32) error {
		if write == 2 {
			return errGone
		}
		return nil
	}
	ctx, die := context.WithCancel(t.Context())
	p.on("m2", func() *smtp.SMTPError { die(); return nil })
	p.turn(ctx)
	p.left(2, "m0 tried 1", "m1 tried 1", "m2 tried 1", "m3 tried 1", "m4 tried 1")
	p.got(1, 1, 1, 0, 0)
	p.on("m2", nil)
	p.clock.Step(3 * time.Hour)
	p.turn(t.Context())
	p.left(4)
	p.got(2, 2, 2, 1, 1)
}

// An operator is paused with a mail in hand, and its successor sends all that is not on record. When the first one goes on, it sends
// none of the others, and takes nothing back of what the successor wrote.
func TestPausedAmongFarewells(t *testing.T) {
	p := parted(t, 5)
	paused, goOn, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	p.on("m1", func() *smtp.SMTPError { close(paused); <-goOn; return nil })
	go func() {
		_, err := (&controllers.FarewellReconciler{Deps: p.deps}).Reconcile(context.WithoutCancel(t.Context()), p.acme.DeepCopy())
		ended <- err
	}()
	<-paused
	p.on("m1", nil)
	p.on("m0", says(refusedForNow))
	p.on("m3", says(refusedForNow))
	p.passed.Add(int64(15 * time.Second)) // as long as a lease
	p.turn(t.Context())
	p.left(3, "m0 tried 2, again later, for a reason", "m3 tried 2, again later, for a reason")
	p.on("m3", nil)
	close(goOn)
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	p.left(5, "m3 tried 2, again later, for a reason") // the fourth met a conflict; m0 was told by the first operator
	p.got(1, 2, 1, 0, 1)
	p.announced("MembershipMailSent", "m0", "m1", "m2", "m4")
}

// While somebody is leaving the mails to the others wait, for some seconds: some leave for ever.
func TestFarewellsYield(t *testing.T) {
	p := parted(t, 2)
	mia := p.member("mia", v1alpha1.RoleMember, joined, func(m *v1alpha1.OrgMember) { m.Finalizers = []string{v1alpha1.FinalizerMember} })
	p.create(mia)
	p.delete(mia)
	p.eventually("the cache shows that she leaves", func() error {
		if err := p.deps.Client.Get(t.Context(), client.ObjectKeyFromObject(mia), mia); err != nil || mia.DeletionTimestamp == nil {
			return fmt.Errorf("not yet: %w", err)
		}
		return nil
	})
	p.turn(t.Context())
	p.left(0, "m0 tried 0", "m1 tried 0")
	p.clock.Step(-time.Hour) // a clock that was put right makes nobody wait for an hour
	p.turn(t.Context())
	p.left(2)
	p.got(1, 1)
}

// The rate is of mails, and no more of them are on record as tried than may go out in a second.
func TestRateOfFarewells(t *testing.T) {
	const perSecond = 3
	p := parted(t, 5, func(d *controllers.Deps) {
		c := d.Post.PostConfig
		c.Rate = perSecond
		d.Post = controllers.NewPost(c)
	})
	since := time.Now()
	p.turn(t.Context())
	p.left(2, "m3 tried 0", "m4 tried 0")
	p.got(1, 1, 1, 0, 0)
	// The first waits for nobody.
	if took := time.Since(since); took < 2*time.Second/perSecond {
		t.Errorf("three mails in %s, at %d a second", took, perSecond)
	}
}
