package controllers

import (
	"context"
	"slices"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/internal/rbac"
)

// each wakes what an object concerns, before and after a change.
func (w watches) each(of ofObject) handler.EventHandler {
	return removalsFirst(handler.EnqueueRequestsFromMapFunc(of))
}

// eachSoon is each that gathers what brings access for a while, and lets what takes it away overtake.
func (w watches) eachSoon(of ofObject) handler.EventHandler {
	return overtaking{handler.EnqueueRequestsFromMapFunc(of), takesAway, gathering}
}

// eachFirst is each for what goes: before all others.
func (w watches) eachFirst(of ofObject) handler.EventHandler {
	return alwaysFirst(handler.EnqueueRequestsFromMapFunc(of))
}

// eachIn wakes what is in the object's namespace.
func (w watches) eachIn(in inNamespace) handler.EventHandler {
	return w.each(func(ctx context.Context, o client.Object) requests { return in(ctx, o.GetNamespace()) })
}

// eachHome wakes what is in a namespace that changed.
func (w watches) eachHome(in inNamespace) handler.EventHandler {
	return w.each(func(ctx context.Context, o client.Object) requests { return in(ctx, o.GetName()) })
}

// organizationChanged wakes all that is in a home when its Organization comes or goes, and what concerns the owners
// when the ownership moves.
func (w watches) organizationChanged(all inNamespace, owner ofMember) handler.EventHandler {
	wake := func(q queue, reqs requests) {
		for _, req := range reqs {
			q.Add(req)
		}
	}
	return handler.Funcs{
		CreateFunc: func(ctx context.Context, e event.CreateEvent, q queue) {
			if e.Object.GetDeletionTimestamp() != nil {
				q = first(q)
			}
			if isNew(e) {
				wake(q, all(ctx, e.Object.GetNamespace()))
			}
		},
		DeleteFunc: func(ctx context.Context, e event.DeleteEvent, q queue) { wake(q, all(ctx, e.Object.GetNamespace())) },
		UpdateFunc: func(ctx context.Context, e event.UpdateEvent, q queue) {
			before, after := e.ObjectOld.(*v1alpha1.Organization), e.ObjectNew.(*v1alpha1.Organization)
			if (before.DeletionTimestamp == nil) != (after.DeletionTimestamp == nil) {
				wake(first(q), all(ctx, after.Namespace))
				return
			}
			if before.Spec.Owner == after.Spec.Owner && before.Status.Owner == after.Status.Owner {
				return
			}
			for _, name := range []string{before.Spec.Owner, after.Spec.Owner, before.Status.Owner, after.Status.Owner} {
				if name != "" {
					wake(q, owner(ctx, after.Namespace, name))
				}
			}
		},
	}
}

// rulesChanged wakes the members of a home when rules that concern them changed, which are given as parts of the spec: whoever
// has not joined may be let in, left out or reminded by the new ones, and whoever has may be dormant or not.
func (w watches) rulesChanged(parts ...func(v1alpha1.OrganizationSpec) any) handler.EventHandler {
	return handler.Funcs{UpdateFunc: func(ctx context.Context, e event.UpdateEvent, q queue) {
		before, after := e.ObjectOld.(*v1alpha1.Organization), e.ObjectNew.(*v1alpha1.Organization)
		if !slices.ContainsFunc(parts, func(of func(v1alpha1.OrganizationSpec) any) bool {
			return !equality.Semantic.DeepEqual(of(before.Spec), of(after.Spec))
		}) {
			return
		}
		for _, req := range w.members(ctx, after.Namespace) {
			q.Add(req)
		}
	}}
}

func invitationRules(s v1alpha1.OrganizationSpec) any { return s.Invitations }
func dormancyRules(s v1alpha1.OrganizationSpec) any   { return s.Members }

type queue = workqueue.TypedRateLimitingInterface[ctrl.Request]

// countDelay gathers changes that only move the counts: taking the roll reads every member.
const countDelay = 500 * time.Millisecond

// rollChanged wakes the Organization when a member changed: at once when a role hangs on it, else a little later.
func (w watches) rollChanged() handler.EventHandler {
	wake := func(ctx context.Context, q queue, members ...client.Object) {
		for _, o := range members {
			m := o.(*v1alpha1.OrgMember)
			var organizations v1alpha1.OrganizationList
			if w.facts.List(ctx, &organizations, client.InNamespace(m.Namespace), client.UnsafeDisableDeepCopy) != nil {
				return
			}
			for _, org := range organizations.Items {
				delay := countDelay
				if m.DeletionTimestamp != nil {
					delay = gathering // they stay until their farewell is noted
				}
				inForce := m.Status.State == v1alpha1.StateActive && m.Spec.Role != v1alpha1.RoleMember
				if inForce || org.Spec.Owner == m.Name || org.Status.Owner == m.Name {
					delay = 0
				}
				q.AddAfter(request(org.Namespace, org.Name), delay)
			}
		}
	}
	return removalsFirst(handler.Funcs{
		CreateFunc: func(ctx context.Context, e event.CreateEvent, q queue) { wake(ctx, q, e.Object) },
		DeleteFunc: func(ctx context.Context, e event.DeleteEvent, q queue) { wake(ctx, q, e.Object) },
		UpdateFunc: func(ctx context.Context, e event.UpdateEvent, q queue) { wake(ctx, q, e.ObjectOld, e.ObjectNew) },
	})
}

// subjectsChanged wakes the assignments of those users alone whom a RoleBinding gained or lost.
func (w watches) subjectsChanged() handler.EventHandler {
	wake := func(ctx context.Context, q queue, o client.Object, before, after []rbacv1.Subject) {
		home := o.GetLabels()[v1alpha1.LabelOrganization]
		if home == "" {
			return
		}
		for _, user := range rbac.Differ(before, after) {
			members, err := w.facts.MembersByUsername(ctx, home, user)
			if err != nil {
				return
			}
			for i := range members {
				for _, req := range w.assignmentsOf(ctx, home, members[i].Name) {
					q.Add(req)
				}
			}
		}
	}
	return handler.Funcs{
		CreateFunc: func(ctx context.Context, e event.CreateEvent, q queue) {
			wake(ctx, q, e.Object, nil, e.Object.(*rbacv1.RoleBinding).Subjects)
		},
		DeleteFunc: func(ctx context.Context, e event.DeleteEvent, q queue) {
			wake(ctx, q, e.Object, e.Object.(*rbacv1.RoleBinding).Subjects, nil)
		},
		UpdateFunc: func(ctx context.Context, e event.UpdateEvent, q queue) {
			wake(ctx, q, e.ObjectNew, e.ObjectOld.(*rbacv1.RoleBinding).Subjects, e.ObjectNew.(*rbacv1.RoleBinding).Subjects)
		},
	}
}

// removalPriority is above what everything else has (0), and what a start finds (handler.LowPriority).
const removalPriority = 100

// gathering is how long what brings access waits for more of it: when hundreds come in at once, a workspace is worked on
// some times and not some hundred times.
const gathering = 100 * time.Millisecond

// overtaking is a handler whose requests go before all that waits when an object goes, or is such that they should. All
// others wait a while.
type overtaking struct {
	handler.EventHandler
	when  func(before, after client.Object) bool
	delay time.Duration
}

// removalsFirst lets what takes access away overtake: whoever is removed while hundreds are brought in must not keep the
// access until the last of them is in.
func removalsFirst(h handler.EventHandler) handler.EventHandler { return overtaking{h, takesAway, 0} }

// alwaysFirst is for handlers that wake nothing but what goes.
func alwaysFirst(h handler.EventHandler) handler.EventHandler {
	return overtaking{h, func(_, _ client.Object) bool { return true }, 0}
}

// unhurried wakes an object a while after it changed: when many leave at the same time, the end of their access is written first, then
// the mails about it.
var unhurried = overtaking{&handler.EnqueueRequestForObject{}, func(_, _ client.Object) bool { return false }, time.Second}

// Create is the handler's, perhaps first in the queue: a start finds what was to go.
func (o overtaking) Create(ctx context.Context, e event.CreateEvent, q queue) {
	o.EventHandler.Create(ctx, e, o.into(q, e.Object, e.Object))
}

// Update is the handler's, perhaps first in the queue.
func (o overtaking) Update(ctx context.Context, e event.UpdateEvent, q queue) {
	o.EventHandler.Update(ctx, e, o.into(q, e.ObjectOld, e.ObjectNew))
}

func (o overtaking) into(q queue, before, after client.Object) queue {
	if o.when(before, after) {
		return first(q)
	}
	return by(q, 0, o.delay)
}

// Delete is the handler's, first in the queue.
func (o overtaking) Delete(ctx context.Context, e event.DeleteEvent, q queue) {
	o.EventHandler.Delete(ctx, e, first(q))
}

// ownRemoval wakes an object that takes access away, before all others of its kind.
var ownRemoval = removalsFirst(&handler.EnqueueRequestForObject{})

// takesAway says that a change may end access. An edit of the spec may; few come at once.
func takesAway(before, after client.Object) bool {
	return after.GetDeletionTimestamp() != nil || before.GetGeneration() != after.GetGeneration()
}

// first is a way into the queue that leads to its head.
func first(q queue) queue { return by(q, removalPriority, 0) }

// by is a way into the queue that leads to a priority, after a delay.
func by(q queue, priority int, delay time.Duration) queue {
	p, ok := q.(priorityqueue.PriorityQueue[ctrl.Request])
	if !ok || (priority == 0 && delay == 0) {
		return q
	}
	return way{p, priority, delay}
}

type way struct {
	priorityqueue.PriorityQueue[ctrl.Request]
	priority int
	delay    time.Duration
}

func (w way) Add(r ctrl.Request) { w.AddWithOpts(priorityqueue.AddOpts{}, r) }

func (w way) AddAfter(r ctrl.Request, after time.Duration) {
	w.AddWithOpts(priorityqueue.AddOpts{After: after}, r)
}

func (w way) AddWithOpts(o priorityqueue.AddOpts, reqs ...ctrl.Request) {
	if w.priority != 0 {
		o.Priority = &w.priority
	}
	o.After = max(o.After, w.delay)
	w.PriorityQueue.AddWithOpts(o, reqs...)
}
