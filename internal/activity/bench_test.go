package activity

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
)

// What a busy cluster sends: a fifth of the events are members', the rest are strangers' and the system's.
const (
	benchMembers  = 300
	benchRate     = 10000 // events a second
	benchBatch    = 400   // as kube-apiserver's
	benchDuration = 10 * time.Second
)

// BenchmarkEvents takes 10,000 audit events a second for ten seconds over mTLS, on one core together with the sender of
// them, and writes what they tell to a real API server. It prints events/s, the processor time that one core spent, the
// bytes of live memory before and at most, and how many writes there were. Run it with -benchtime 1x.
func BenchmarkEvents(b *testing.B) {
	l := openLab(b)
	l.organization(b, "acme")
	for i := range benchMembers {
		l.member(b, "acme", fmt.Sprintf("m%d", i), fmt.Sprintf("m%d@acme.example", i))
	}
	tracker := l.replica(b, 10*time.Minute)
	l.open(b, tracker)
	eventually(b, "the cache has all members", func() error {
		_, err := tracker.Members(b.Context(), "acme", "m0@acme.example")
		return err
	})
	bodies := benchBodies()
	post := l.sender(b)

	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	for b.Loop() {
		before, most := liveBytes(), uint64(0)
		spent, began := processorTime(), time.Now()
		tick := time.NewTicker(time.Second * benchBatch / benchRate)
		sent, bytes := 0, 0
		for next := began; time.Since(began) < benchDuration; {
			for float64(sent) > time.Since(began).Seconds()*benchRate {
				<-tick.C
			}
			body := bodies[sent/benchBatch%len(bodies)]
			body = strings.ReplaceAll(body, done, time.Now().UTC().Format("2006-01-02T15:04:05.000000Z"))
			post(body)
			sent, bytes = sent+benchBatch, bytes+len(body)
			if time.Since(next) > time.Second {
				most, next = max(most, liveBytes()), time.Now()
			}
		}
		tick.Stop()
		elapsed, spent := time.Since(began), processorTime()-spent
		eventually(b, "all members are written", func() error {
			if got := testutil.ToFloat64(tracker.Metrics.writes.WithLabelValues("written")); got < benchMembers {
				return fmt.Errorf("%v are", got)
			}
			return nil
		})
		b.ReportMetric(float64(sent)/elapsed.Seconds(), "events/s")
		b.ReportMetric(float64(bytes)/elapsed.Seconds()/1e6, "MB/s")
		b.ReportMetric(100*spent.Seconds()/elapsed.Seconds(), "%core")
		b.ReportMetric(float64(before), "bytes-before")
		b.ReportMetric(float64(most), "bytes-most")
		b.ReportMetric(testutil.ToFloat64(tracker.Metrics.writes.WithLabelValues("written")), "writes")
		b.ReportMetric(benchMembers, "members")
		if got := testutil.ToFloat64(tracker.Metrics.writes.WithLabelValues("written")); got != benchMembers {
			b.Errorf("%v writes for %d members within an interval", got, benchMembers)
		}
		if grown := int64(most) - int64(before); grown > 16<<20 {
			b.Errorf("live memory has grown by %d bytes", grown)
		}
	}
	b.ReportMetric(0, "ns/op") // it is the duration
}

// BenchmarkDecode reads one batch as kube-apiserver sends it.
func BenchmarkDecode(b *testing.B) {
	body := benchBodies()[0]
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := decode(strings.NewReader(body), nil); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*benchBatch/b.Elapsed().Seconds(), "events/s")
}

// BenchmarkFind looks a member up in a real cache.
func BenchmarkFind(b *testing.B) {
	l := openLab(b)
	l.organization(b, "acme")
	m := l.member(b, "acme", "jane", "jane@acme.example")
	tracker := l.replica(b, 10*time.Minute)
	eventually(b, "the cache", func() error {
		found, err := tracker.Members(b.Context(), "acme--web", "jane@acme.example")
		if err == nil && (len(found) != 1 || client.ObjectKeyFromObject(found[0]) != client.ObjectKeyFromObject(m)) {
			err = fmt.Errorf("found %d", len(found))
		}
		return err
	})
	for name, username := range map[string]string{"member": "jane@acme.example", "stranger": "nobody@acme.example"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			var found []*v1alpha1.OrgMember
			for b.Loop() {
				found, _ = tracker.Members(b.Context(), "acme--web", username)
			}
			if (len(found) == 1) != (name == "member") {
				b.Fatalf("found %d", len(found))
			}
		})
	}
}

// benchBodies are batches in which every member occurs.
func benchBodies() []string {
	random := rand.New(rand.NewPCG(1, 2))
	var bodies []string
	for range 25 {
		var events []string
		for range benchBatch {
			who, where := fmt.Sprintf("stranger-%d", random.IntN(100000)), fmt.Sprintf("elsewhere-%d", random.IntN(1000))
			switch random.IntN(5) {
			case 0:
				who, where = fmt.Sprintf("m%d@acme.example", random.IntN(benchMembers)), "acme--web"
			case 1:
				who = fmt.Sprintf("system:serviceaccount:ns-%d:controller", random.IntN(1000))
			case 2:
				who = fmt.Sprintf("system:node:node-%d", random.IntN(1000))
			}
			events = append(events, auditEvent("user.username", `"`+who+`"`, "objectRef.namespace", `"`+where+`"`))
		}
		bodies = append(bodies, eventList(events...))
	}
	return bodies
}

// sender posts batches as kube-apiserver does.
func (l *lab) sender(b *testing.B) func(body string) {
	b.Helper()
	transport := l.authority.transport(l.friends.issue(b, sender))
	b.Cleanup(transport.CloseIdleConnections)
	c := &http.Client{Transport: transport}
	return func(body string) {
		answer, err := c.Post(l.url, "application/json", strings.NewReader(body))
		if err != nil {
			b.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, answer.Body)
		answer.Body.Close()
		if answer.StatusCode != http.StatusNoContent {
			b.Fatal(answer.Status)
		}
	}
}

func liveBytes() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// processorTime is what this process has used of the processor.
func processorTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
