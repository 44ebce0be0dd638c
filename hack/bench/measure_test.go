package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
)

func TestQuantiles(t *testing.T) {
	ms := func(numbers ...int) (all []time.Duration) {
		for _, n := range numbers {
			all = append(all, time.Duration(n)*time.Millisecond)
		}
		return all
	}
	var hundred []int
	for i := range 100 {
		hundred = append(hundred, 100-i) // in no order that helps
	}
	for _, c := range []struct {
		reason string
		times  []time.Duration
		want   quantiles
	}{
		{"nothing was measured", nil, quantiles{}},
		{"one is all", ms(7), quantiles{N: 1, P50: .007, P99: .007, Max: .007}},
		{"of two, the lower is the median", ms(9, 1), quantiles{N: 2, P50: .001, P99: .009, Max: .009}},
		{"one of a hundred may be slower than p99", ms(hundred...), quantiles{N: 100, P50: .050, P99: .099, Max: .1}},
		{"of fifty none may", ms(hundred[50:]...), quantiles{N: 50, P50: .025, P99: .050, Max: .050}},
	} {
		if diff := cmp.Diff(c.want, quantilesOf(c.times)); diff != "" {
			t.Errorf("%s\n-want +got:\n%s", c.reason, diff)
		}
	}
	times := ms(3, 1, 2)
	if quantilesOf(times); !slices.Equal(times, ms(3, 1, 2)) {
		t.Error("the times were sorted in place")
	}
}

// line is an audit event as the API server writes it, but for what is not read.
func line(verb, resource, subresource, stage, at string) string {
	return fmt.Sprintf(`{"kind":"Event","stage":%q,"verb":%q,"requestURI":"/x","objectRef":{"resource":%q,"subresource":%q},"stageTimestamp":%q}`+"\n",
		stage, verb, resource, subresource, at)
}

const done, begun = "ResponseComplete", "ResponseStarted"

func second(n int) string { return fmt.Sprintf("2026-01-01T00:00:%02d.000000Z", n) }

// auditLog is a file to which a test writes as the API server does.
func auditLog(t *testing.T) (a *audit, path string, write func(text string)) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "audit.log")
	write = func(text string) {
		t.Helper()
		file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := file.WriteString(text); err != nil {
			t.Fatal(err)
		}
		if err := file.Close(); err != nil {
			t.Fatal(err)
		}
	}
	write(line("get", "pods", "", done, second(0))) // of a run before
	a, err := followAudit(path)
	if err != nil {
		t.Fatal(err)
	}
	return a, path, write
}

func counts(t *testing.T, a *audit, want map[string]int) time.Time {
	t.Helper()
	got, last, err := a.counted()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	return last
}

func TestAuditCounts(t *testing.T) {
	a, _, write := auditLog(t)
	counts(t, a, map[string]int{})
	write(line("patch", "orgmembers", "status", done, second(1)) +
		line("watch", "orgmembers", "", begun, second(2)) + line("watch", "orgmembers", "", done, second(3)) + // counts once
		line("list", "orgmembers", "", done, second(4)) +
		line("update", "leases", "", done, second(5)) + // is no work
		line("get", "", "", done, second(6)))
	last := counts(t, a, map[string]int{
		"patch orgmembers/status": 1, "watch orgmembers": 1, "list orgmembers": 1, "update leases": 1, "get /x": 1,
	})
	if want := time.Date(2026, 1, 1, 0, 0, 1, 0, time.UTC); !last.Equal(want) {
		t.Errorf("the last write was at %s, not %s", last, want)
	}
	write("not an event\n")
	if _, _, err := a.counted(); err == nil {
		t.Error("what cannot be read is passed over")
	}
}

// Half a line waits for the other half.
func TestAuditHalfALine(t *testing.T) {
	a, _, write := auditLog(t)
	whole := line("create", "events", "", done, second(1))
	write(whole[:20])
	counts(t, a, map[string]int{})
	write(whole[20:] + whole[:9])
	counts(t, a, map[string]int{"create events": 1})
	write(whole[9:])
	counts(t, a, map[string]int{"create events": 2})
}

// The API server moves a full log aside and begins another. What was written to the first at the last moment counts too.
func TestAuditRotation(t *testing.T) {
	a, path, write := auditLog(t)
	write(line("create", "events", "", done, second(1)))
	counts(t, a, map[string]int{"create events": 1})
	a.mu.Lock() // nobody looks while all this happens
	write(line("delete", "pods", "", done, second(2)))
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	a.read() // the moment in which there is none
	write(line("patch", "pods", "", done, second(3)))
	a.mu.Unlock()
	counts(t, a, map[string]int{"create events": 1, "delete pods": 1, "patch pods": 1})
	write(line("patch", "pods", "", done, second(4)))
	counts(t, a, map[string]int{"create events": 1, "delete pods": 1, "patch pods": 2})
}

func TestMinus(t *testing.T) {
	got := minus(map[string]int{"a": 3, "b": 2, "c": 1}, map[string]int{"a": 1, "b": 2})
	if diff := cmp.Diff(map[string]int{"a": 2, "c": 1}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestWritesAndReads(t *testing.T) {
	m := measured{Units: 4, Requests: map[string]int{
		"create events": 8, "patch events": 4, "patch orgmembers/status": 6, "patch orgmembers": 2,
		"update leases": 50, "get leases": 60, "get secrets": 3, "list orgmembers": 5, "watch orgmembers": 7,
	}}
	if m.writes() != 20 || m.writesButEvents() != 8 || m.reads("get") != 3 || m.reads("get", "list") != 8 {
		t.Errorf("writes %d, but Events %d, gets %d, gets and lists %d", m.writes(), m.writesButEvents(), m.reads("get"), m.reads("get", "list"))
	}
	if m.each(10) != 2.5 || (measured{}).each(10) != 0 {
		t.Errorf("each: %g, and of nothing %g", m.each(10), (measured{}).each(10))
	}
}

func TestSpent(t *testing.T) {
	got := spent(
		map[string]usage{"etcd": {pid: 1, cpuSeconds: 5}, "orgkeeper": {pid: 2, cpuSeconds: 7}, "gone": {pid: 3, cpuSeconds: 1}},
		map[string]usage{"etcd": {pid: 1, cpuSeconds: 6.5}, "orgkeeper": {pid: 4, cpuSeconds: 2}, "bench": {pid: 5, cpuSeconds: 3}})
	if diff := cmp.Diff(map[string]float64{"etcd": 1.5, "orgkeeper": 2, "bench": 3}, got); diff != "" {
		t.Errorf("a program that was started anew counts from nothing\n-want +got:\n%s", diff)
	}
}

func TestParallel(t *testing.T) {
	items := make([]int, 100)
	for i := range items {
		items[i] = i
	}
	var sum atomic.Int64
	if err := parallel(t.Context(), 7, items, func(_ context.Context, i int) error { sum.Add(int64(i)); return nil }); err != nil || sum.Load() != 4950 {
		t.Errorf("sum %d, %v", sum.Load(), err)
	}
	broken := errors.New("broken")
	var began atomic.Int64
	err := parallel(t.Context(), 2, items, func(ctx context.Context, i int) error {
		began.Add(1)
		if i == 3 {
			return broken
		}
		return ctx.Err()
	})
	if !errors.Is(err, broken) || began.Load() > 10 {
		t.Errorf("after %d items: %v", began.Load(), err)
	}
	cut, cancel := context.WithCancel(t.Context())
	cancel()
	if err := parallel(cut, 2, items, func(context.Context, int) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("cut short: %v", err)
	}
}

func TestEventually(t *testing.T) {
	tries := 0
	if err := eventually(t.Context(), time.Millisecond, func() error {
		if tries++; tries < 3 {
			return errStill
		}
		return nil
	}); err != nil || tries != 3 {
		t.Errorf("%d tries: %v", tries, err)
	}
	soon, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := eventually(soon, time.Millisecond, func() error { return errStill }); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, errStill) {
		t.Errorf("at the end of the time: %v", err)
	}
	// Nobody waits two hours for an operator that is not there.
	if err := eventually(t.Context(), time.Millisecond, func() error { return fmt.Errorf("look: %w", errEnded) }); !errors.Is(err, errEnded) {
		t.Errorf("the operator ended: %v", err)
	}
}

// Who is asked about is in the namespace where a RoleBinding changed, and the answer counts, once.
func TestLeavers(t *testing.T) {
	var mu sync.Mutex
	asked, gone := map[string]int{}, map[string]bool{}
	l := &leavers{left: map[string]map[person]time.Time{}, allowed: func(_ context.Context, p person) (bool, error) {
		mu.Lock()
		defer mu.Unlock()
		asked[p.name]++
		return !gone[p.name], nil
	}}
	now := time.Now()
	for _, p := range []person{{name: "mia", namespace: "web"}, {name: "tom", namespace: "web"}, {name: "sue", namespace: "api"}} {
		l.expect(p, now)
	}
	gone["tom"] = true
	for range 2 {
		if err := l.ask(t.Context(), "web"); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(map[string]int{"mia": 2, "tom": 1}, asked); diff != "" || l.gone.count() != 1 {
		t.Errorf("%d are gone; asked\n-want +got:\n%s", l.gone.count(), diff)
	}
	gone["mia"], gone["sue"] = true, true
	changes := watch.NewFakeWithChanSize(2, false)
	for _, namespace := range []string{"web", "api"} {
		changes.Modify(&metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Namespace: namespace}})
	}
	if err := l.watch(t.Context(), changes, 3); err != nil || l.gone.count() != 3 {
		t.Errorf("%d are gone: %v", l.gone.count(), err)
	}
	if err := l.watch(t.Context(), watch.NewFakeWithChanSize(0, false), 3); err != nil {
		t.Errorf("nobody is left to wait for: %v", err)
	}
}

// A run that goes on says which phase it began again: its times are of the rest alone.
func TestResumed(t *testing.T) {
	dir, s := t.TempDir(), usual(2, 5, time.Second)
	open := func() *result {
		t.Helper()
		r, err := openResult(dir, s)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	r := open()
	must(r.begin(dir, "idle"))
	must(r.add(dir, measured{Name: "idle", Seconds: 1}))
	must(r.begin(dir, "onboard"))
	// Here it is cut short, and so is the next.
	for range 2 {
		r = open()
		must(r.begin(dir, "onboard"))
	}
	must(r.add(dir, measured{Name: "onboard", Seconds: 2}))
	must(r.begin(dir, "accept"))
	must(r.add(dir, measured{Name: "accept", Seconds: 3}))
	r = open()
	if !r.done("idle") || !r.done("accept") || r.done("steady") || r.complete(s) || r.Begun != "" {
		t.Errorf("%+v", r)
	}
	if text := report([]*result{r}); !slices.Equal(r.CutShort, []string{"onboard"}) || !strings.Contains(text, "the part before is missing: onboard.") {
		t.Errorf("cut short were %v, and the report says:\n%s", r.CutShort, text)
	}
	if err := os.WriteFile(filepath.Join(dir, resultFile), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openResult(dir, s); err == nil || !strings.Contains(err.Error(), "remove the directory") {
		t.Errorf("half a result: %v", err)
	}
}
