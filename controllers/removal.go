package controllers

import (
	"context"
	"time"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
)

// removalPriority is above what everything else has (0), and what a start finds (handler.LowPriority).
const removalPriority = 100

// removalsFirst lets what takes access away overtake all that waits: whoever is removed while hundreds are brought in
// must not keep the access until the last of them is in.
type removalsFirst struct{ handler.EventHandler }

// Update is the handler's, first in the queue when access ends with the object.
func (r removalsFirst) Update(ctx context.Context, e event.UpdateEvent, q queue) {
	if takesAway(e.ObjectNew) {
		q = first(q)
	}
	r.EventHandler.Update(ctx, e, q)
}

// Delete is the handler's, first in the queue.
func (r removalsFirst) Delete(ctx context.Context, e event.DeleteEvent, q queue) {
	r.EventHandler.Delete(ctx, e, first(q))
}

// alwaysFirst is for handlers that wake nothing but what goes.
type alwaysFirst struct{ removalsFirst }

// Update is the handler's, first in the queue.
func (a alwaysFirst) Update(ctx context.Context, e event.UpdateEvent, q queue) {
	a.EventHandler.Update(ctx, e, first(q))
}

// ownRemoval wakes an object that takes access away, before all others of its kind.
var ownRemoval = removalsFirst{&handler.EnqueueRequestForObject{}}

func takesAway(o client.Object) bool {
	m, member := o.(*v1alpha1.OrgMember)
	return o.GetDeletionTimestamp() != nil || (member && m.Spec.Suspended)
}

// first is a way into the queue that leads to its head.
func first(q queue) queue {
	if p, ok := q.(priorityqueue.PriorityQueue[ctrl.Request]); ok {
		return head{p}
	}
	return q
}

type head struct {
	priorityqueue.PriorityQueue[ctrl.Request]
}

func (h head) Add(r ctrl.Request) { h.AddWithOpts(priorityqueue.AddOpts{}, r) }

func (h head) AddAfter(r ctrl.Request, after time.Duration) {
	h.AddWithOpts(priorityqueue.AddOpts{After: after}, r)
}

func (h head) AddWithOpts(o priorityqueue.AddOpts, reqs ...ctrl.Request) {
	o.Priority = new(removalPriority)
	h.PriorityQueue.AddWithOpts(o, reqs...)
}
