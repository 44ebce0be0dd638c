package activity

import (
	"context"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
)

// outcome is what came of writing a member's activity.
type outcome string

const (
	// written: it is in the status.
	written outcome = "written"
	// current: there is nothing to write any more. Another replica wrote, or the member is gone.
	current outcome = "current"
	// conflict: somebody wrote to the member in between. Who it was, and whether there is still news, the cache will tell.
	conflict outcome = "conflict"
	// failed: the API server could not be asked, or said no.
	failed outcome = "failed"
)

const (
	// every is how often what is due is written. After a long silence a member's activity shows within it.
	every = time.Second
	// enough is how many failures in a row end a round: the API server has other worries than this.
	enough = 3
	// farewell is how long the last round may take.
	farewell = 5 * time.Second
)

// Start writes what is due until the context ends, and then once more.
func (t *Tracker) Start(ctx context.Context) error {
	ticker := t.Clock.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C():
			t.flush(ctx)
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), farewell)
			defer cancel()
			t.flush(last)
			return nil
		}
	}
}

// NeedLeaderElection says no: each replica writes what it was told.
func (*Tracker) NeedLeaderElection() bool { return false }

// flush writes the members that are due, one after the other: an API server that is slow is asked less.
func (t *Tracker) flush(ctx context.Context) {
	log := ctrl.LoggerFrom(ctx)
	failures := 0
	for _, n := range t.due(t.Clock.Now()) {
		o, err := t.write(ctx, n)
		t.settle(n, o, t.Clock.Now())
		if o != failed {
			failures = 0
			continue
		}
		log.Info("Activity could not be written; it is tried again", "OrgMember", n.member, "error", err.Error())
		if failures++; failures == enough {
			return
		}
	}
}

// writeStatus writes a member's activity unless it is no news any more. The API server takes it only on top of what the
// cache shows, so that of two replicas one writes, and nothing is ever put back.
func (t *Tracker) writeStatus(ctx context.Context, n news) (outcome, error) {
	m := &v1alpha1.OrgMember{}
	err := t.Client.Get(ctx, n.member, m)
	if apierrors.IsNotFound(err) || err == nil && (m.UID != n.uid || !isNews(m, n.at, t.Interval)) {
		return current, nil
	}
	if err != nil {
		return failed, err
	}
	before := m.DeepCopy()
	m.Status.LastActiveTime = &metav1.Time{Time: n.at}
	err = t.Client.Status().Patch(ctx, m, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
	switch {
	case err == nil:
		return written, nil
	case apierrors.IsNotFound(err):
		return current, nil
	case apierrors.IsConflict(err):
		return conflict, err
	}
	return failed, err
}
