package controllers

import (
	"context"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/internal/facts"
	"github.com/orgkeeper/orgkeeper/internal/rules"
)

// leavingTime is how long somebody who is being deleted mostly takes to go, also when hundreds do at a time. What only tells of them
// waits for that: it would stand beside the writes that end their access.
const leavingTime = 10 * time.Second

// lateCounts are the counts that wait, and since when: none for longer than leavingTime or Deps.IdleCounts. The zero value is ready.
type lateCounts struct {
	mu    sync.Mutex
	since map[types.UID]time.Time
}

// news is what a status has to tell that is not on record.
type news int

const (
	// anything else than counts.
	anything news = iota
	// aCount of people alone. It waits while somebody leaves.
	aCount
	// anIdleCount is one on which nothing hangs, and which is about to change again, with each mail that goes out. It waits for
	// Deps.IdleCounts as well.
	anIdleCount
)

// finish is Deps.finish where nothing but a count may have changed: that waits while all else is on record.
func (c *lateCounts) finish(ctx context.Context, d Deps, before, obj client.Object, v rules.Verdict, wake time.Time, n news) (ctrl.Result, error) {
	if n != anything && told(before, v) {
		left, err := c.left(ctx, d, obj, n)
		if err != nil {
			return ctrl.Result{}, err
		}
		if left > 0 {
			return d.wakeAt(rules.Earliest(wake, d.Clock.Now().Add(left))), nil
		}
	}
	result, err := d.finish(ctx, before, obj, v, wake)
	if err == nil { // after a lost race it has waited already
		c.forget(obj.GetUID())
	}
	return result, err
}

// left is how long a count is to wait yet.
func (c *lateCounts) left(ctx context.Context, d Deps, obj client.Object, n news) (time.Duration, error) {
	waited := c.waited(obj.GetUID(), d.Steady.Now())
	if n == anIdleCount && waited < d.IdleCounts {
		return d.IdleCounts - waited, nil
	}
	if waited >= leavingTime {
		return 0, nil
	}
	if leaves, err := d.somebodyLeaves(ctx, obj.GetNamespace()); err != nil || !leaves {
		return 0, err
	}
	return min(leavingTime-waited, time.Second), nil // they may be gone by then
}

// waited is how long a count has waited, which begins to now if it has not.
func (c *lateCounts) waited(of types.UID, now time.Time) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.since == nil {
		c.since = map[types.UID]time.Time{}
	}
	if _, waits := c.since[of]; !waits {
		c.since[of] = now
	}
	return now.Sub(c.since[of])
}

func (c *lateCounts) forget(of types.UID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.since, of)
}

// somebodyLeaves says that somebody of a home is about to be gone.
func (d Deps) somebodyLeaves(ctx context.Context, home string) (bool, error) {
	leaving, err := d.Facts.MembersBy(ctx, home, facts.IndexLeaving, facts.Leaving)
	now := d.Clock.Now()
	return slices.ContainsFunc(leaving, func(m v1alpha1.OrgMember) bool {
		since := now.Sub(m.DeletionTimestamp.Time)
		return since >= 0 && since < leavingTime // an owner may be leaving for ever
	}), err
}

// told says that a verdict is on record.
func told(obj client.Object, v rules.Verdict) bool {
	conditions, observed := statusOf(obj)
	ready := meta.FindStatusCondition(*conditions, v1alpha1.ConditionReady)
	return ready != nil && *observed == obj.GetGeneration() && ready.Reason == v.Reason && ready.Message == cut(v.Message, maxMessage) && (ready.Status == metav1.ConditionTrue) == v.Ready
}
