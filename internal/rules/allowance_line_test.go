package rules_test

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/internal/rules"
)

// A line that people join and leave in any order, some twice, says of each what counting all who wait says.
func TestLineIsAheadInLine(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var all []*v1alpha1.OrgMember
		for i := range 12 { // four at a time are as old as each other, and go by name
			all = append(all, member(fmt.Sprintf("m%02d", (i*7)%12), bornAt(now.Add(time.Duration(i%3)*time.Second))))
		}
		var line rules.Line
		waits := map[string]*v1alpha1.OrgMember{}
		for range rapid.IntRange(0, 40).Draw(t, "changes") {
			m := rapid.SampledFrom(all).Draw(t, "who")
			if rapid.Bool().Draw(t, "joins") {
				line.Join(m)
				waits[m.Name] = m
			} else {
				line.Leave(m)
				delete(waits, m.Name)
			}
		}
		var waiting []v1alpha1.OrgMember
		for _, m := range waits {
			waiting = append(waiting, *m)
		}
		if len(line) != len(waiting) {
			t.Fatalf("%d in line, and %d wait", len(line), len(waiting))
		}
		for _, m := range all {
			if got, want := line.Ahead(m), rules.AheadInLine(m, waiting); got != want {
				t.Fatalf("%d ahead of %s, not %d", got, m.Name, want)
			}
		}
	})
}

// A member that was deleted and made again, perhaps in the same second, is another one, and has one place.
func TestLineWithTheSameNameAgain(t *testing.T) {
	first, again, twin := member("mia", bornAt(now)), member("mia", bornAt(now.Add(time.Second))), member("mia", bornAt(now))
	var line rules.Line
	line.Join(first)
	line.Leave(again)
	if len(line) != 1 {
		t.Error("one who is not in line took the place of another")
	}
	line.Leave(first)
	line.Join(twin)
	line.Join(twin)
	if len(line) != 1 || line.Ahead(twin) != 0 || line.Ahead(again) != 1 {
		t.Errorf("%d in line, %d ahead of the one in it", len(line), line.Ahead(twin))
	}
}

// BenchmarkLine asks of one member how many go before them, and lets one come and one go, where all wait.
func BenchmarkLine(b *testing.B) {
	for _, n := range sizes {
		members := crowd(n)
		var line rules.Line
		for i := range members {
			line.Join(&members[i])
		}
		last := &members[n-1]
		b.Run(fmt.Sprintf("Ahead/members=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if ahead := line.Ahead(last); ahead != n-1 {
					b.Fatal(ahead)
				}
			}
		})
		b.Run(fmt.Sprintf("Change/members=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() { // the first is the one with the most behind them
				line.Leave(&members[0])
				line.Join(&members[0])
			}
		})
	}
}
