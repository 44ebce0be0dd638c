package activity

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
)

// start is when the tests below begin.
var start = time.Date(2027, time.March, 1, 12, 0, 0, 0, time.UTC)

const interval = 10 * time.Minute

// office is a Tracker whose members are objects in memory: what is tested here is when it writes and what it makes of the
// outcome. Writing itself is tested against an API server.
type office struct {
	*Tracker
	clock   *clocktesting.FakeClock
	members map[string]*v1alpha1.OrgMember
	// writes are those that were made, as "name time".
	writes []string
	// answer is the outcome of the next writes; written when empty.
	answer func(news) (outcome, error)
}

func newOffice(t *testing.T, names ...string) *office {
	t.Helper()
	o := &office{clock: clocktesting.NewFakeClock(start), members: map[string]*v1alpha1.OrgMember{}}
	for _, name := range names {
		o.members[name] = &v1alpha1.OrgMember{ObjectMeta: metav1.ObjectMeta{
			Namespace: "acme", Name: name, UID: types.UID("uid-" + name), CreationTimestamp: metav1.NewTime(start.AddDate(-1, 0, 0)),
		}}
	}
	o.Tracker = NewTracker(TrackerConfig{
		Members: func(_ context.Context, namespace, username string) ([]*v1alpha1.OrgMember, error) {
			if m := o.members[username]; m != nil && namespace == "acme" {
				return []*v1alpha1.OrgMember{m}, nil
			}
			return nil, nil
		},
		Clock: o.clock, Interval: interval, Rate: 50,
	})
	o.write = func(_ context.Context, n news) (outcome, error) {
		if o.answer != nil {
			if out, err := o.answer(n); out != written {
				return out, err
			}
		}
		m := o.members[n.member.Name]
		if m == nil || m.UID != n.uid || !isNews(m, n.at, interval) {
			return current, nil
		}
		if last := m.Status.LastActiveTime; last != nil && n.at.Before(last.Time) {
			t.Errorf("%s was put back from %s to %s", m.Name, last, n.at)
		}
		m = m.DeepCopy() // as a cache does
		m.Status.LastActiveTime = &metav1.Time{Time: n.at}
		o.members[m.Name] = m
		o.writes = append(o.writes, m.Name+" "+n.at.Format(time.TimeOnly))
		return written, nil
	}
	return o
}

// acts tells the tracker of one event.
func (o *office) acts(t *testing.T, name string, at time.Time) {
	t.Helper()
	if err := o.take(t.Context(), batch{uses: map[use]seen{{"acme", name}: {1, at}}}); err != nil {
		t.Fatal(err)
	}
}

// passes lets time go by, with a round of writing each second.
func (o *office) passes(t *testing.T, d time.Duration) {
	t.Helper()
	for range d / time.Second {
		o.clock.Step(time.Second)
		o.flush(t.Context())
	}
}

func (o *office) wrote(t *testing.T, reason string, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, o.writes); diff != "" {
		t.Errorf("%s (-want +got):\n%s", reason, diff)
	}
}

func TestWrittenOncePerInterval(t *testing.T) {
	o := newOffice(t, "jane")
	for range 60 * 25 { // something every second for 25 minutes
		o.acts(t, "jane", o.clock.Now())
		o.passes(t, time.Second)
	}
	o.wrote(t, "at once, then once in ten minutes", "jane 12:00:00", "jane 12:10:00", "jane 12:20:00")
	o.passes(t, 2*interval)
	o.wrote(t, "nothing more comes of silence", "jane 12:00:00", "jane 12:10:00", "jane 12:20:00")
	o.acts(t, "jane", o.clock.Now())
	o.passes(t, time.Second)
	if got := o.writes[len(o.writes)-1]; got != "jane 12:45:00" {
		t.Errorf("after silence the first activity is written within a second, got %s", got)
	}
}

func TestOnlyMembersAreKept(t *testing.T) {
	o := newOffice(t, "jane")
	for i := range 1000 {
		o.acts(t, fmt.Sprintf("stranger-%d", i), start)
	}
	if len(o.Tracker.members) != 0 {
		t.Errorf("%d strangers are kept", len(o.Tracker.members))
	}
	o.acts(t, "jane", start)
	if len(o.Tracker.members) != 1 {
		t.Errorf("%d members are kept, want jane", len(o.Tracker.members))
	}
	o.passes(t, interval+2*time.Second)
	if len(o.Tracker.members) != 0 {
		t.Errorf("%d members are kept an interval after the write", len(o.Tracker.members))
	}
}

func TestTimesOfEvents(t *testing.T) {
	cases := map[string]struct {
		reason  string
		written *time.Time // before
		at      time.Time
		want    []string
	}{
		"now":             {"the first is news", nil, start, []string{"jane 12:00:00"}},
		"part of seconds": {"the API keeps seconds", nil, start.Add(-time.Millisecond), []string{"jane 11:59:59"}},
		"tomorrow":        {"a clock that runs ahead is not believed", nil, start.AddDate(0, 0, 1), []string{"jane 12:00:00"}},
		"year 9999":       {"nor one that is out of its mind", nil, time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC), []string{"jane 12:00:00"}},
		"an hour ago":     {"log shippers are late", nil, start.Add(-time.Hour), []string{"jane 11:00:00"}},
		"before there was this member": {"somebody else had the name then", nil,
			start.AddDate(-1, 0, 0).Add(-time.Second), nil},
		"no time":                 {"year 1 is before there were members", nil, time.Time{}, nil},
		"an interval after":       {"it is news", new(start.Add(-interval)), start, []string{"jane 12:00:00"}},
		"just before an interval": {"it says little more than what is written", new(start.Add(time.Second - interval)), start, nil},
		"earlier than written":    {"nothing is put back", new(start), start.Add(-time.Hour), nil},
		"written in the future": {"nothing is put back, whatever it says", new(start.AddDate(0, 0, 1)),
			start, nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			o := newOffice(t, "jane")
			if c.written != nil {
				o.members["jane"].Status.LastActiveTime = &metav1.Time{Time: *c.written}
			}
			o.acts(t, "jane", c.at)
			o.passes(t, time.Second)
			o.wrote(t, c.reason, c.want...)
		})
	}
}

// A log shipper that was away brings hours at once. Times move, by one write in an interval.
func TestBacklog(t *testing.T) {
	o := newOffice(t, "jane")
	for i := range 120 {
		o.acts(t, "jane", start.Add(time.Duration(i-120)*time.Minute))
		o.passes(t, 4*time.Second)
	}
	o.wrote(t, "eight minutes, one write", "jane 10:00:00")
	o.passes(t, 3*time.Minute)
	o.wrote(t, "an interval later, the latest", "jane 10:00:00", "jane 11:59:00")
}

func TestOutcomes(t *testing.T) {
	t.Run("another replica wrote", func(t *testing.T) {
		o := newOffice(t, "jane")
		o.acts(t, "jane", start)
		o.answer = func(news) (outcome, error) {
			o.answer = nil
			m := o.members["jane"].DeepCopy()
			m.Status.LastActiveTime = &metav1.Time{Time: start.Add(-time.Minute)}
			o.members["jane"] = m
			return conflict, errors.New("conflict")
		}
		o.passes(t, 3*time.Second)
		o.wrote(t, "nine minutes of news are none")
		if o.Tracker.members[client.ObjectKey{Namespace: "acme", Name: "jane"}] != nil {
			t.Error("jane is kept, with nothing to write")
		}
	})
	t.Run("somebody wrote something else", func(t *testing.T) {
		o := newOffice(t, "jane")
		o.acts(t, "jane", start)
		o.answer = func(news) (outcome, error) { o.answer = nil; return conflict, errors.New("conflict") }
		o.passes(t, 3*time.Second)
		o.wrote(t, "the next round writes", "jane 12:00:00")
	})
	t.Run("member is another by now", func(t *testing.T) {
		o := newOffice(t, "jane")
		o.acts(t, "jane", start)
		o.members["jane"] = &v1alpha1.OrgMember{ObjectMeta: metav1.ObjectMeta{Namespace: "acme", Name: "jane", UID: "new", CreationTimestamp: metav1.NewTime(start.Add(time.Second))}}
		o.passes(t, time.Minute)
		o.wrote(t, "what the one did is not written of the other")
		o.acts(t, "jane", start.Add(30*time.Second))
		o.passes(t, time.Second)
		o.wrote(t, "the other's deeds are", "jane 12:00:30")
	})
	t.Run("member is another, with news of both", func(t *testing.T) {
		o := newOffice(t, "jane")
		o.acts(t, "jane", start)
		o.members["jane"] = &v1alpha1.OrgMember{ObjectMeta: metav1.ObjectMeta{Namespace: "acme", Name: "jane", UID: "new", CreationTimestamp: metav1.NewTime(start.Add(-time.Minute))}}
		o.acts(t, "jane", start.Add(-30*time.Second))
		o.passes(t, time.Second)
		o.wrote(t, "what the one did is forgotten, what the other did is written", "jane 11:59:30")
	})
	t.Run("news while writing", func(t *testing.T) {
		o := newOffice(t, "jane")
		o.acts(t, "jane", start.Add(-time.Hour))
		o.answer = func(news) (outcome, error) { o.answer = nil; o.acts(t, "jane", start); return written, nil }
		o.passes(t, interval+2*time.Second)
		o.wrote(t, "the later one waits for its turn", "jane 11:00:00", "jane 12:00:00")
	})
}

// An API server that is away is not asked in vain by everybody, and one member who cannot be written is in nobody's way.
func TestFailures(t *testing.T) {
	var names []string
	for i := range 20 {
		names = append(names, fmt.Sprintf("m%02d", i))
	}
	o := newOffice(t, names...)
	for _, name := range names {
		o.acts(t, name, start)
	}
	tries := 0
	o.answer = func(news) (outcome, error) { tries++; return failed, errors.New("connection refused") }
	o.passes(t, time.Second)
	if tries != enough {
		t.Errorf("%d tries in a round that fails, want %d", tries, enough)
	}
	o.passes(t, 10*time.Minute)
	if most := 20 * (10 + 6); tries > most { // for each the growing waits, then one every two minutes
		t.Errorf("%d tries in ten minutes for 20 members, want at most %d", tries, most)
	}
	before := tries
	o.answer = func(n news) (outcome, error) {
		if n.member.Name == "m00" {
			tries++
			return failed, errors.New("no")
		}
		return written, nil
	}
	o.passes(t, maxWait+time.Second)
	if len(o.writes) != 19 {
		t.Errorf("%d of 19 are written when the API server is back: %v", len(o.writes), o.writes)
	}
	if tries == before {
		t.Error("the one who fails is not tried again")
	}
}

func TestRate(t *testing.T) {
	var names []string
	for i := range 120 {
		names = append(names, fmt.Sprintf("m%03d", i))
	}
	o := newOffice(t, names...)
	late := slices.Clone(names[100:])
	for _, name := range names[:100] {
		o.acts(t, name, start)
	}
	o.clock.Step(100 * time.Millisecond)
	for _, name := range late {
		o.acts(t, name, start)
	}
	for _, want := range []int{50, 100, 120, 120} {
		o.passes(t, time.Second)
		if len(o.writes) != want {
			t.Errorf("%d are written, want %d", len(o.writes), want)
		}
	}
	for _, name := range late {
		if i := slices.Index(o.writes, name+" 12:00:00"); i < 100 {
			t.Errorf("%s came last and is written as number %d", name, i)
		}
	}
}

// The operator's clock goes a day ahead and comes back: nothing is put back, and soon all goes on.
func TestClockJumps(t *testing.T) {
	o := newOffice(t, "jane", "joe")
	o.acts(t, "jane", start)
	o.passes(t, time.Second)
	o.clock.SetTime(start.AddDate(0, 0, 1))
	o.acts(t, "jane", start.Add(interval)) // the API server's clock is right
	o.acts(t, "joe", start)
	o.answer = func(news) (outcome, error) { return failed, errors.New("no") }
	o.passes(t, time.Second)
	o.answer = nil
	o.clock.SetTime(start.Add(interval))
	o.passes(t, time.Second)
	o.wrote(t, "no wait was set for tomorrow", "jane 12:00:00", "jane 12:10:00", "joe 12:00:00")
	o.clock.SetTime(start.Add(-time.Hour))
	o.acts(t, "jane", start.Add(2*interval))
	o.passes(t, time.Second)
	o.wrote(t, "nothing is put back", "jane 12:00:00", "jane 12:10:00", "joe 12:00:00")
}

// A batch of which one member cannot be looked up counts for nobody.
func TestBatchIsWhole(t *testing.T) {
	o := newOffice(t, "jane")
	found := o.Members
	o.Members = func(ctx context.Context, namespace, username string) ([]*v1alpha1.OrgMember, error) {
		if username == "joe" {
			return nil, errors.New("the cache is not there yet")
		}
		return found(ctx, namespace, username)
	}
	for range 20 { // maps have no order
		if err := o.take(t.Context(), batch{uses: map[use]seen{{"acme", "jane"}: {1, start}, {"acme", "joe"}: {1, start}}}); err == nil {
			t.Fatal("want an error")
		}
	}
	if len(o.Tracker.members) != 0 {
		t.Errorf("%d members are kept of a batch that was refused", len(o.Tracker.members))
	}
}

// Whatever comes in whichever order, a day of it: at most one write per member and interval, and never backwards (which
// write checks), and in the end each member is as late as the events said, to an interval.
func TestDayOfEvents(t *testing.T) {
	names := []string{"jane", "joe", "kim", "mia"}
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 1))
		o := newOffice(t, names...)
		last, latest, written := map[string]time.Time{}, map[string]time.Time{}, 0
		for o.clock.Now().Before(start.Add(6 * time.Hour)) {
			name := names[random.IntN(len(names))]
			when := o.clock.Now().Add(-time.Duration(random.ExpFloat64() * float64(5*time.Minute)))
			o.acts(t, name, when)
			if when.After(latest[name]) {
				latest[name] = when
			}
			o.clock.Step(time.Duration(random.Int64N(int64(3 * time.Minute))))
			o.flush(t.Context())
			for _, w := range o.writes[written:] {
				name, _, _ := strings.Cut(w, " ")
				if before, ok := last[name]; ok && o.clock.Since(before) < interval {
					t.Fatalf("seed %d: %s is written twice within %s", seed, name, o.clock.Since(before))
				}
				last[name] = o.clock.Now()
			}
			written = len(o.writes)
		}
		o.passes(t, interval+time.Second)
		for _, name := range names {
			if behind := latest[name].Sub(o.members[name].Status.LastActiveTime.Time); behind > interval {
				t.Errorf("seed %d: %s is %s behind", seed, name, behind)
			}
		}
	}
}
