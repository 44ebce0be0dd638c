package main

import (
	"context"
	"time"

	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
)

// reloadEvery is how often files are looked at. Kubernetes takes up to a minute or two to bring a changed Secret into a pod;
// this adds nothing to speak of.
const reloadEvery = 2 * time.Second

// reloader reads files again while the operator runs, on every replica. It looks instead of waiting for the file system to
// tell: reading a few small files costs less than being wrong about which links Kubernetes turns, and it works everywhere.
type reloader struct {
	name   string
	reload func() (changed bool, err error)
	clock  clock.WithTicker
}

// Start reloads until the context ends. A fault is said when it appears and when it is another, not at each look.
func (r reloader) Start(ctx context.Context) error {
	log := ctrl.LoggerFrom(ctx).WithValues("files", r.name)
	ticker := r.clock.NewTicker(reloadEvery)
	defer ticker.Stop()
	said := ""
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C():
		}
		changed, err := r.reload()
		switch {
		case err == nil:
			said = ""
		case err.Error() != said:
			said = err.Error()
			log.Error(err, "Files cannot be read again; what was read before stays in force")
		}
		if changed {
			log.Info("Files were read again")
		}
	}
}

// NeedLeaderElection says no: every replica verifies links.
func (reloader) NeedLeaderElection() bool { return false }
