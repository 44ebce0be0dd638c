package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
)

// allowed asks the API server whether somebody may look at pods in their workspace.
func (b *bench) allowed(ctx context.Context, p person) (bool, error) {
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User: p.email, Groups: []string{"system:authenticated"},
		ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: "list", Resource: "pods", Namespace: p.namespace},
	}}
	err := b.admin.Create(ctx, review)
	return review.Status.Allowed, err
}

// access waits until the answer is the wanted one. Asked again and again, an answer takes about a millisecond.
func (b *bench) access(ctx context.Context, p person, wanted bool) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	err := eventually(ctx, time.Millisecond, func() error {
		allowed, err := b.allowed(ctx, p)
		if err == nil && allowed != wanted {
			err = errStill
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("access of %s to %s is to be %t: %w", p.name, p.namespace, wanted, err)
	}
	return nil
}

// leavers are people who are about to lose their access. Nobody is asked about again and again: that would keep the API server busy
// with nothing else. A change of a RoleBinding in their workspace is when to ask, and the answer is what counts.
type leavers struct {
	allowed func(context.Context, person) (bool, error)
	gone    times

	mu   sync.Mutex
	left map[string]map[person]time.Time // since when, by namespace
}

func (l *leavers) expect(p person, since time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.left[p.namespace] == nil {
		l.left[p.namespace] = map[person]time.Time{}
	}
	l.left[p.namespace][p] = since
}

// in are those who are left in a namespace.
func (l *leavers) in(namespace string) map[person]time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.left[namespace])
}

// ask asks about everybody who is left in a namespace.
func (l *leavers) ask(ctx context.Context, namespace string) error {
	for p, since := range l.in(namespace) {
		allowed, err := l.allowed(ctx, p)
		if err != nil {
			return err
		}
		if allowed {
			continue
		}
		l.gone.add(time.Since(since))
		l.mu.Lock()
		delete(l.left[namespace], p)
		l.mu.Unlock()
	}
	return nil
}

// watch asks until as many have lost their access as are to.
func (l *leavers) watch(ctx context.Context, changes watch.Interface, all int) error {
	defer changes.Stop()
	sweep := time.NewTicker(time.Second) // for what came between a change and the API server's own knowledge of it
	defer sweep.Stop()
	for l.gone.count() < all {
		var namespaces []string
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %d of %d have lost their access", ctx.Err(), l.gone.count(), all)
		case <-sweep.C:
			l.mu.Lock()
			namespaces = slices.Collect(maps.Keys(l.left))
			l.mu.Unlock()
		case e, open := <-changes.ResultChan():
			if !open {
				return errors.New("the watch of RoleBindings ended")
			}
			if binding, ok := e.Object.(*metav1.PartialObjectMetadata); ok {
				namespaces = []string{binding.Namespace}
			}
		}
		for _, namespace := range namespaces {
			if err := l.ask(ctx, namespace); err != nil {
				return err
			}
		}
	}
	return nil
}
