package controllers

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"golang.org/x/time/rate"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/internal/facts"
	"github.com/orgkeeper/orgkeeper/internal/mail"
	"github.com/orgkeeper/orgkeeper/internal/rules"
)

// PostConfig bounds what goes out.
type PostConfig struct {
	// Rate is how many mails are tried in a second; 0 for no limit.
	Rate float64
	// Workers is how many mails are tried at once. At least 1.
	Workers int
	// LimitPerOrganization is how many mails about invitations, roles and ends of memberships an organization's members are sent in a day; 0 for no limit.
	LimitPerOrganization int32
	// Clock tells the time.
	Clock clock.PassiveClock
	// Recorder emits Events about Subject, which stands for the operator. Asked for anew each time: Events about the same version
	// of an object are counted as one, and have the words of the first.
	Recorder events.EventRecorder
	Subject  func() runtime.Object
}

// Post is what all senders share: the rate, the number of connections, and what is known of the mail server. When no mail
// can be handed over, whoever it is for, the senders wait for one of them to find that the server is back, in place of
// each trying. The knowledge is of this process: a new one finds out by its first mails.
type Post struct {
	PostConfig
	rate  *rate.Limiter
	slots chan struct{}
	// stamps are of mails that were counted and are yet to go out.
	stamps stamps
	// lines are who waits for the turn of their organization.
	lines facts.Lines
	// aloft are the mails about memberships that are being handed over.
	aloft aloft

	mu     sync.Mutex
	outage rules.Outage
	// words is what the last try met, while there is an outage.
	words string
	// queues are those of the senders by name; waiting is who is to be woken in which when the outage is over.
	queues  map[string]queue
	waiting map[waiter]struct{}
}

type waiter struct {
	sender string
	member ctrl.Request
}

// NewPost opens the post.
func NewPost(c PostConfig) *Post {
	limit := rate.Inf
	if c.Rate > 0 {
		limit = rate.Limit(c.Rate)
	}
	return &Post{
		PostConfig: c,
		rate:       rate.NewLimiter(limit, 1),
		slots:      make(chan struct{}, max(c.Workers, 1)),
		queues:     map[string]queue{},
		waiting:    map[waiter]struct{}{},
	}
}

// Outage says what is wrong with the mail server, for those who run the operator; empty while nothing is known to be.
func (p *Post) Outage() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.outage.Failures == 0 {
		return ""
	}
	return p.words
}

// pass lets one mail be tried, or some one after the other. It is to be left.
type pass struct {
	post  *Post
	probe bool
}

// enter waits for a mail's turn by rate and number. No pass: the mail server cannot be used now, and at is when to ask again;
// the member is woken before if it comes back before.
func (p *Post) enter(ctx context.Context, who waiter) (_ *pass, at time.Time, _ error) {
	if at := p.held(who); !at.IsZero() {
		return nil, at, nil
	}
	select {
	case p.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, rules.Never, ctx.Err()
	}
	leave := func() { <-p.slots }
	if err := p.rate.Wait(ctx); err != nil {
		leave()
		return nil, rules.Never, fmt.Errorf("wait for the turn of a mail: %w", err)
	}
	// The outage may have begun meanwhile.
	probe, at := p.admit(who)
	if !at.IsZero() {
		leave()
		return nil, at, nil
	}
	return &pass{p, probe}, rules.Never, nil
}

// held is when a mail may ask again that cannot be tried now; zero when it can.
func (p *Post) held(who waiter) time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	ok, at := p.outage.Admit(p.Clock.Now())
	if !ok {
		p.waiting[who] = struct{}{}
	}
	return at
}

func (p *Post) admit(who waiter) (probe bool, at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	ok, at := p.outage.Admit(p.Clock.Now())
	if !ok {
		p.waiting[who] = struct{}{}
		return false, at
	}
	delete(p.waiting, who)
	p.outage.Probing = p.outage.Failures > 0
	return p.outage.Probing, rules.Never
}

// together is how many mails may be recorded as tried at once, so many at most: those alone whose turn comes within a second, and one
// where the try is to show whether the mail server is back.
func (a *pass) together(most int) int {
	if a.probe {
		return 1
	}
	return int(max(1, min(a.post.rate.Limit(), rate.Limit(most))))
}

// next waits for the turn of one more mail on the same pass. No: it is not to be tried now, since the operator is being stopped, or
// another mail found that the mail server cannot be used.
func (a *pass) next(ctx context.Context) bool {
	return a.post.rate.Wait(ctx) == nil && a.post.Outage() == ""
}

// leave ends a try that came to nothing, or was told of before.
func (a *pass) leave() {
	<-a.post.slots
	a.post.mu.Lock()
	defer a.post.mu.Unlock()
	if a.probe {
		a.post.outage.Probing = false
	}
}

// tell learns from how a try ended, and says when the next one may be made after an outage.
func (a *pass) tell(err *mail.Error) {
	p := a.post
	p.mu.Lock()
	before := p.outage
	switch {
	case err == nil || err.Kind != mail.Unavailable:
		p.outage = rules.Outage{}
	default:
		p.outage, p.words = p.outage.Failed(p.Clock.Now(), rand.Float64()), err.Error() //nolint:gosec // jitter needs no secret
	}
	a.probe = false
	after, words := p.outage, p.words
	var woken map[waiter]struct{}
	if after.Failures == 0 && len(p.waiting) > 0 {
		woken, p.waiting = p.waiting, map[waiter]struct{}{}
	}
	for w := range woken {
		if q := p.queues[w.sender]; q != nil {
			q.Add(w.member)
		}
	}
	p.mu.Unlock()

	switch {
	case before.Failures == 0 && after.Failures > 0:
		p.Recorder.Eventf(p.Subject(), nil, corev1.EventTypeWarning, v1alpha1.ReasonMailerUnavailable, "Send", "no mail can be sent: %s", words)
	case before.Failures > 0 && after.Failures == 0:
		p.Recorder.Eventf(p.Subject(), nil, corev1.EventTypeNormal, v1alpha1.ReasonMailerReady, "Send", "mails are being sent again")
	}
}

// workers is for the controllers that send: as many at once as there may be mails at once, and some that find none due.
func (p *Post) workers() controller.Options {
	return controller.Options{MaxConcurrentReconciles: max(cap(p.slots), severalAtOnce.MaxConcurrentReconciles)}
}

// ends is a source of requests for a sender: those who waited for the end of an outage.
func (p *Post) ends(sender string) source.Source {
	return source.Func(func(_ context.Context, q queue) error {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.queues[sender] = q
		return nil
	})
}
