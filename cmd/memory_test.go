package main

import (
	"context"
	"runtime/debug"
	"testing"
	"time"
)

// After the start less garbage is kept, unless the environment says how much.
func TestSaveMemory(t *testing.T) {
	before := debug.SetGCPercent(100)
	t.Cleanup(func() { debug.SetGCPercent(before) })
	for _, c := range []struct {
		name, gogc string
		after      time.Duration
		want       int
	}{
		{"after the start", "", 0, gcPercent},
		{"still starting", "", time.Hour, 100},
		{"the environment decides", "100", 0, 100},
	} {
		t.Run(c.name, func(t *testing.T) {
			debug.SetGCPercent(100)
			t.Setenv("GOGC", c.gogc)
			ctx := t.Context()
			if c.after > 0 {
				cancelled, cancel := context.WithCancel(ctx)
				cancel()
				ctx = cancelled
			}
			if err := (saveMemory{after: c.after}).Start(ctx); err != nil {
				t.Fatal(err)
			}
			if got := debug.SetGCPercent(100); got != c.want {
				t.Errorf("garbage is collected at %d %%, want %d %%", got, c.want)
			}
		})
	}
}
