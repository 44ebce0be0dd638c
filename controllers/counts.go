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

// lateCounts are the counts of people that wait while somebody leaves, and since when. Where somebody always leaves, none waits for
// longer than leavingTime. The zero value is ready.
type lateCounts struct {
	mu    sync.Mutex
	since map[types.UID]time.Time
}

// finish is Deps.finish where nothing but a count of people may have changed, as the last argument says: that waits while somebody
// leaves and all else is on record.
func (c *lateCounts) finish(ctx context.Context, d Deps, before, obj client.Object, v rules.Verdict, wake time.Time, onlyCount bool) (ctrl.Result, error) {
	if onlyCount && told(before, v) && c.mayWait(obj.GetUID(), d.Steady.Now()) {
		leaves, err := d.somebodyLeaves(ctx, obj.GetNamespace())
		if err != nil {
			return ctrl.Result{}, err
		}
		if leaves {
			return d.wakeAt(rules.Earliest(wake, d.Clock.Now().Add(time.Second))), nil
		}
	}
	c.forget(obj.GetUID())
	return d.finish(ctx, before, obj, v, wake)
}

func (c *lateCounts) mayWait(of types.UID, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.since == nil {
		c.since = map[types.UID]time.Time{}
	}
	if _, waits := c.since[of]; !waits {
		c.since[of] = now
	}
	return now.Sub(c.since[of]) < leavingTime
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
	return ready != nil && *observed == obj.GetGeneration() && ready.Reason == v.Reason && (ready.Status == metav1.ConditionTrue) == v.Ready
}
