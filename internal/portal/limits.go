package portal

import (
	"container/list"
	"math"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Limits bound how much is answered. They guard the API server and our own time, not the tokens: those are signed with
// 256 bits, and nobody guesses one however often they may try. Each replica counts for itself.
type Limits struct {
	// PerAddress is how many requests a minute one client may make: an IPv4 address or an IPv6 network of 64 bits, which
	// is what one customer of a provider has. 0: no limit.
	PerAddress int
	// PerLink is how many requests a minute are answered with one genuine link. 0: no limit.
	PerLink int
}

// maxBuckets bounds how many clients, and how many links, are told apart at a time: some megabytes. Whoever was not seen
// the longest is forgotten first, and starts afresh.
const maxBuckets = 16384

// limiter counts the requests of each key. The nil limiter lets all through.
type limiter[K comparable] struct {
	perMinute int
	max       int

	mu      sync.Mutex
	buckets map[K]*list.Element
	recent  *list.List // of *bucket[K], the one just used first
}

type bucket[K comparable] struct {
	key  K
	rate *rate.Limiter
}

func newLimiter[K comparable](perMinute, limit int) *limiter[K] {
	if perMinute <= 0 {
		return nil
	}
	return &limiter[K]{perMinute: perMinute, max: limit, buckets: map[K]*list.Element{}, recent: list.New()}
}

// wait is zero for a request that may go on, which then counts, and else how long to wait before the next.
func (l *limiter[K]) wait(key K, now time.Time) time.Duration {
	if l == nil {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.bucket(key).rate.ReserveN(now, 1)
	delay := r.DelayFrom(now)
	if delay > 0 {
		r.CancelAt(now) // refused requests do not put off the next
	}
	return delay
}

func (l *limiter[K]) bucket(key K) *bucket[K] {
	if e, ok := l.buckets[key]; ok {
		l.recent.MoveToFront(e)
		return e.Value.(*bucket[K])
	}
	if l.recent.Len() >= l.max {
		oldest := l.recent.Back()
		delete(l.buckets, l.recent.Remove(oldest).(*bucket[K]).key)
	}
	// A minute's worth may come at once: a person clicks in bursts, and so do mail scanners.
	b := &bucket[K]{key, rate.NewLimiter(rate.Limit(float64(l.perMinute)/60), l.perMinute)}
	l.buckets[key] = l.recent.PushFront(b)
	return b
}

// network is what counts as one client.
func network(a netip.Addr) netip.Prefix {
	bits := a.BitLen()
	if a.Is6() {
		bits = 64
	}
	p, _ := a.Prefix(bits) // the zero Prefix for the zero Addr
	return p
}

// limited refuses clients that ask too much, before anything is looked at.
func (p *portal) limited(next http.Handler) http.Handler {
	if p.clients == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if delay := p.clients.wait(network(p.client(r)), p.Now()); delay > 0 {
			tooMany(w, r, delay)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func tooMany(w http.ResponseWriter, r *http.Request, delay time.Duration) {
	w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(delay.Seconds()))))
	plain(w, r, http.StatusTooManyRequests, "ratelimited")
}
