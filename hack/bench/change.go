package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
)

// How many people each phase is about, at most. They are others in each phase.
const (
	moved      = 60
	removedOne = 60
	removedAll = 500
	loaded     = 300 // organizations beside which people are removed
)

// part is a phase's share of the people with an assignment: from the end for changes, from the start for removals.
func (b *bench) part(skip, n int) []person {
	all := b.workers()
	skip = min(skip, len(all))
	return all[skip:min(skip+n, len(all))]
}

// change gives people other roles, and moves others to another workspace and back, one after the other.
func (b *bench) change(ctx context.Context, m *measured) error {
	all := b.workers()
	people := all[max(0, len(all)-2*moved):]
	m.Unit, m.Units = "changes", len(people)/2*3
	var moves times
	began := time.Now()
	for i, p := range people {
		if i%2 == 0 {
			if err := b.promote(ctx, p); err != nil {
				return err
			}
			continue
		}
		took, err := b.moveThereAndBack(ctx, p)
		if err != nil {
			return err
		}
		for _, t := range took {
			moves.add(t)
		}
	}
	m.Latencies["moved to access in the other workspace"] = quantilesOf(moves.all)
	return b.settle(ctx, m, began, nil)
}

// removeOneByOne removes people one after the other.
func (b *bench) removeOneByOne(ctx context.Context, m *measured) error {
	people := b.part(0, removedOne)
	m.Unit, m.Units = "removals", len(people)
	var gone times
	began := time.Now()
	for _, p := range people {
		took, err := b.remove(ctx, p)
		if err != nil {
			return err
		}
		gone.add(took)
	}
	m.Latencies["removed to no access"] = quantilesOf(gone.all)
	return b.settle(ctx, m, began, nil)
}

// remove deletes somebody and waits until they have no access.
func (b *bench) remove(ctx context.Context, p person) (time.Duration, error) {
	began := time.Now()
	if err := b.deletes(ctx, p); err != nil {
		return 0, err
	}
	err := b.access(ctx, p, false)
	return time.Since(began), err
}

func (b *bench) deletes(ctx context.Context, p person) error {
	m := &v1alpha1.OrgMember{ObjectMeta: metav1.ObjectMeta{Namespace: p.home, Name: p.name}}
	return client.IgnoreNotFound(b.pipeline.Delete(ctx, m))
}

// removeAtOnce removes many at the same time.
func (b *bench) removeAtOnce(ctx context.Context, m *measured) error {
	people := b.part(removedOne, removedAll)
	m.Unit, m.Units = "removals", len(people)
	l := &leavers{allowed: b.allowed, left: map[string]map[person]time.Time{}}
	bindings := &metav1.PartialObjectMetadataList{}
	bindings.SetGroupVersionKind(rbacv1.SchemeGroupVersion.WithKind("RoleBindingList"))
	seeing, blind := context.WithCancel(ctx)
	defer blind()
	changes, err := b.admin.Watch(seeing, bindings)
	if err != nil {
		return err
	}
	watched := make(chan error, 1)
	began := time.Now()
	go func() { watched <- l.watch(seeing, changes, len(people)) }()
	err = parallel(ctx, 50, people, func(ctx context.Context, p person) error {
		l.expect(p, time.Now())
		return b.deletes(ctx, p)
	})
	m.Figures["asked after seconds"] = time.Since(began).Seconds()
	if err != nil {
		blind() // who was not removed keeps their access
	}
	if err := errors.Join(err, <-watched); err != nil {
		return err
	}
	m.Latencies["removed to no access"] = quantilesOf(l.gone.all)
	return b.settle(ctx, m, began, nil)
}

// removeWhileLoading removes one every half second while many organizations are being created.
func (b *bench) removeWhileLoading(ctx context.Context, m *measured) error {
	others := usual(min(loaded, 3*b.organizations), 10, 0)
	people := b.part(removedOne+removedAll, 200)
	m.Unit = "removals"
	done := make(chan error, 1)
	began := time.Now()
	go func() {
		_, err := b.declare(ctx, b.pipeline, others.all("x"))
		done <- err
	}()
	var gone times
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err := <-done:
			m.Units = len(gone.all)
			m.Figures["organizations loaded"] = float64(others.organizations)
			m.Figures["loaded after seconds"] = time.Since(began).Seconds()
			m.Latencies["removed to no access"] = quantilesOf(gone.all)
			return errors.Join(err, b.settle(ctx, m, began, nil))
		case <-tick.C:
		}
		if len(people) == 0 {
			continue
		}
		took, err := b.remove(ctx, people[0])
		if err != nil {
			return err
		}
		people = people[1:]
		gone.add(took)
	}
}

// crash kills the operator and starts another, which waits for the dead one's lease.
func (b *bench) crash(ctx context.Context, m *measured) error {
	return b.restarted(ctx, m, b.operator().kill)
}

// restart stops the operator as a rollout does.
func (b *bench) restart(ctx context.Context, m *measured) error {
	return b.restarted(ctx, m, b.operator().end)
}

func (b *bench) restarted(ctx context.Context, m *measured, stop func()) error {
	objects, err := b.declaredObjects(ctx)
	if err != nil {
		return err
	}
	m.Unit, m.Units = "objects", objects
	began := time.Now()
	stop()
	if err := b.startOperator(ctx); err != nil {
		return err
	}
	m.Figures["leads after seconds"] = time.Since(began).Seconds()
	err = eventually(ctx, 100*time.Millisecond, func() error {
		g, err := b.operator().scrape()
		if err != nil {
			return err
		}
		var seen float64
		for key, n := range g.reconciles() {
			if ours[key] {
				seen += n
			}
		}
		if int(seen) < objects || g.busy() > 0 {
			return fmt.Errorf("%.0f of %d objects looked at, %.0f at work", seen, objects, g.busy())
		}
		return nil
	})
	m.Figures["caught up after seconds"] = time.Since(began).Seconds()
	if err != nil {
		return err
	}
	seconds := time.Since(began).Seconds()
	err = b.settle(ctx, m, began, nil)
	m.Seconds = seconds
	return err
}

// ours are the controllers that look at each object once, with their usual results.
var ours = map[string]bool{}

func init() {
	for _, controller := range []string{"organization", "orgmember", "workspace", "workspaceassignment"} {
		for _, result := range []string{"success", "requeue_after"} {
			ours[controller+" "+result] = true
		}
	}
}

// declaredObjects counts what controllers look at after a start.
func (b *bench) declaredObjects(ctx context.Context) (int, error) {
	count := 0
	for _, kind := range []string{"OrganizationList", "OrgMemberList", "WorkspaceList", "WorkspaceAssignmentList"} {
		list := &metav1.PartialObjectMetadataList{}
		list.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(kind))
		if err := b.admin.List(ctx, list); err != nil {
			return 0, err
		}
		count += len(list.Items)
	}
	return count, nil
}

// offboard deletes some homes, and waits until nothing of them is left.
func (b *bench) offboard(ctx context.Context, m *measured) error {
	all := b.all("o")
	all = all[:min(20, len(all))]
	m.Unit, m.Units = "organizations", len(all)
	began := time.Now()
	err := parallel(ctx, pipelines, all, func(ctx context.Context, o organization) error {
		return client.IgnoreNotFound(b.pipeline.Delete(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: o.home}}))
	})
	if err != nil {
		return err
	}
	err = parallel(ctx, 1, all, func(ctx context.Context, o organization) error {
		return eventually(ctx, 100*time.Millisecond, func() error { return b.left(ctx, o) })
	})
	if err != nil {
		return err
	}
	m.Figures["nothing left after seconds"] = time.Since(began).Seconds()
	return b.settle(ctx, m, began, nil)
}

// left fails while one of an organization's namespaces is there.
func (b *bench) left(ctx context.Context, o organization) error {
	names := []string{o.home}
	for i := range o.workspaces {
		names = append(names, o.namespace(o.workspace(i)))
	}
	for _, name := range names {
		err := b.pipeline.Get(ctx, client.ObjectKey{Name: name}, &corev1.Namespace{})
		if err == nil {
			return fmt.Errorf("namespace %s: %w", name, errStill)
		}
		if !apierrors.IsNotFound(err) {
			return err
		}
	}
	return nil
}
