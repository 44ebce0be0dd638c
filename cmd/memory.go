package main

import (
	"context"
	"os"
	"runtime/debug"
	"time"
)

// Nearly all of the memory is the cache, which stays. While it is filled, at the start, Go's default collects more than often
// enough; later half of the garbage saves a quarter of the memory, for CPU that nobody waits for.
const (
	gcPercent    = 50
	startingTime = 2 * time.Minute
)

// saveMemory does so once the operator has started, unless the environment says how garbage is to be collected.
type saveMemory struct{ after time.Duration }

// Start waits and sets it.
func (s saveMemory) Start(ctx context.Context) error {
	if os.Getenv("GOGC") != "" {
		return nil
	}
	select {
	case <-ctx.Done():
	case <-time.After(s.after):
		debug.SetGCPercent(gcPercent)
		debug.FreeOSMemory() // what the start took and does not need any more
	}
	return nil
}

// NeedLeaderElection is false: every replica has the cache.
func (saveMemory) NeedLeaderElection() bool { return false }
