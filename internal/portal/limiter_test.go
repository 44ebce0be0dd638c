package portal

import (
	"testing"
	"time"
)

// However many ask, the table stays as large as it may be, and those it forgets are the ones not seen the longest.
func TestLimiterIsBounded(t *testing.T) {
	now := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	l := newLimiter[int](1, 100)
	ask := func(key int) bool { return l.wait(key, now) == 0 }
	if !ask(1) || ask(1) {
		t.Fatal("one a minute is not one")
	}
	for key := range 100000 {
		ask(key + 2)
		if key%50 == 0 && ask(1) {
			t.Fatalf("who asks all the time was forgotten after %d others", key)
		}
	}
	if len(l.buckets) != 100 || l.recent.Len() != 100 {
		t.Errorf("%d and %d buckets, want 100", len(l.buckets), l.recent.Len())
	}
	if !ask(2) {
		t.Error("who was forgotten starts afresh")
	}
}
