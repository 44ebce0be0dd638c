package activity

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
)

// TrackerConfig is what NewTracker needs. All but Metrics is required.
type TrackerConfig struct {
	// Members finds those whom the use of a namespace by a user counts for; see Members.
	Members func(ctx context.Context, namespace, username string) ([]*v1alpha1.OrgMember, error)
	// Client reads members from the cache and writes their status.
	Client client.Client
	Clock  clock.WithTicker
	// Interval and Rate are as in Config.
	Interval time.Duration
	Rate     int
	// Metrics count nothing when nil.
	Metrics *Metrics
}

// Tracker knows of each member the latest activity that is news: newer by an interval than what is written. So it keeps
// nobody who is no member, and a member for as long as it takes to write, and to know that it was written not long ago.
type Tracker struct {
	TrackerConfig
	// write is writeStatus, but in tests of what the tracker makes of its outcome.
	write func(context.Context, news) (outcome, error)

	mu      sync.Mutex
	members map[client.ObjectKey]*tracked
}

// tracked is what is known of a member.
type tracked struct {
	uid types.UID
	// latest is the activity to write; zero for none.
	latest time.Time
	// since is when latest became news: whoever waits longest is written first.
	since time.Time
	// written is when this replica last wrote.
	written time.Time
	// failures counts the writes in a row that failed; none is tried before retry.
	failures int
	retry    time.Time
}

// news is a member's activity to write.
type news struct {
	member client.ObjectKey
	uid    types.UID
	at     time.Time
}

// NewTracker makes a Tracker that knows nothing yet. It writes while Start runs.
func NewTracker(c TrackerConfig) *Tracker {
	t := &Tracker{TrackerConfig: c, members: map[client.ObjectKey]*tracked{}}
	t.write = t.writeStatus
	return t
}

// take counts a batch once all its members are found, and else nothing of it.
func (t *Tracker) take(ctx context.Context, b batch) error {
	type hit struct {
		member *v1alpha1.OrgMember
		latest time.Time
	}
	var hits []hit
	counted, ignored := 0, b.ignored
	for u, s := range b.uses {
		members, err := t.Members(ctx, u.namespace, u.username)
		if err != nil {
			return err
		}
		if len(members) == 0 {
			ignored += s.events
			continue
		}
		counted += s.events
		for _, m := range members {
			hits = append(hits, hit{m, s.latest})
		}
	}
	now := t.Clock.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, h := range hits {
		t.note(h.member, h.latest, now)
	}
	t.Metrics.tracks(len(t.members))
	t.Metrics.took(counted, ignored, now)
	return nil
}

// note remembers what a member did, if it is news.
func (t *Tracker) note(m *v1alpha1.OrgMember, at, now time.Time) {
	if at.After(now) {
		at = now // a clock that runs ahead shall not keep anybody active for ever
	}
	at = at.Truncate(time.Second) // as the API keeps it
	// Before there was this member, somebody else had the name.
	if at.Before(m.CreationTimestamp.Time) || !isNews(m, at, t.Interval) {
		return
	}
	key := client.ObjectKeyFromObject(m)
	known := t.members[key]
	if known == nil || known.uid != m.UID {
		known = &tracked{uid: m.UID}
		t.members[key] = known
	}
	if known.latest.IsZero() {
		known.since = now
	}
	if at.After(known.latest) {
		known.latest = at
	}
}

// isNews says whether an activity is to be written: never an older one than is written, and none that says little more.
func isNews(m *v1alpha1.OrgMember, at time.Time, interval time.Duration) bool {
	last := m.Status.LastActiveTime
	return last == nil || at.Sub(last.Time) >= interval
}

// due are the members to write now, who waits longest first, and no more than may be written in a second. Who was written
// an interval ago and did nothing since is forgotten.
func (t *Tracker) due(now time.Time) []news {
	t.mu.Lock()
	defer t.mu.Unlock()
	type waiting struct {
		news
		since time.Time
	}
	var all []waiting
	for key, m := range t.members {
		switch quiet := m.rests(now, t.Interval); {
		case m.latest.IsZero() && !quiet:
			delete(t.members, key)
		case m.latest.IsZero() || quiet || m.waits(now):
		default:
			all = append(all, waiting{news{key, m.uid, m.latest}, m.since})
		}
	}
	t.Metrics.tracks(len(t.members))
	slices.SortFunc(all, func(a, b waiting) int {
		return cmp.Or(a.since.Compare(b.since), cmp.Compare(a.member.String(), b.member.String()))
	})
	due := make([]news, 0, min(len(all), t.Rate))
	for _, w := range all[:cap(due)] {
		due = append(due, w.news)
	}
	return due
}

// rests says that a member was written less than an interval ago. The status does not tell it: activity of an hour ago,
// which a log shipper brings late, is written now.
func (m *tracked) rests(now time.Time, interval time.Duration) bool {
	return !m.written.IsZero() && ahead(m.written.Add(interval), now, interval)
}

// maxWait is the longest wait before a retry.
const maxWait = 2 * time.Minute

// waits says that a write failed and is not to be tried again yet.
func (m *tracked) waits(now time.Time) bool { return ahead(m.retry, now, maxWait) }

// ahead says that a moment is to come, in no more time than can be: else it was set by a clock that was put right since.
func ahead(at, now time.Time, most time.Duration) bool {
	return at.After(now) && at.Sub(now) <= most
}

// settle records what came of a write.
func (t *Tracker) settle(n news, o outcome, now time.Time) {
	t.Metrics.wrote(o)
	t.mu.Lock()
	defer t.mu.Unlock()
	m := t.members[n.member]
	if m == nil || m.uid != n.uid {
		return
	}
	switch o {
	case failed:
		m.failures++
		m.retry = now.Add(min(time.Second<<min(m.failures, 10), maxWait))
		return
	case conflict:
		m.retry = now.Add(time.Second) // the cache shows by then what the other wrote
		return
	case written:
		m.written = now
	case current:
	}
	m.failures, m.retry = 0, time.Time{}
	if !m.latest.After(n.at) {
		m.latest = time.Time{}
	}
}
