package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
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

// watchers asks in turn about people who are about to lose their access, with a few questions at a time: one for each would
// keep the API server busy with nothing else. What it finds is late by a round at most.
type watchers struct {
	bench *bench
	gone  times

	mu    sync.Mutex
	left  map[person]time.Time // since when
	round []person
}

func (w *watchers) expect(p person, since time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.left[p] = since
}

// next is whom to ask about, and how many are left.
func (w *watchers) next() (p person, since time.Time, left int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for {
		if len(w.round) == 0 {
			for p := range w.left {
				w.round = append(w.round, p)
			}
		}
		if len(w.round) == 0 {
			return person{}, time.Time{}, 0
		}
		p, w.round = w.round[0], w.round[1:]
		if since, waiting := w.left[p]; waiting {
			return p, since, len(w.left)
		}
	}
}

func (w *watchers) found(p person, took time.Duration) {
	w.mu.Lock()
	_, waiting := w.left[p]
	delete(w.left, p)
	w.mu.Unlock()
	if waiting {
		w.gone.add(took)
	}
}

// watch asks until nobody is left and expected is closed.
func (w *watchers) watch(ctx context.Context, expected <-chan struct{}) error {
	for ctx.Err() == nil {
		p, since, left := w.next()
		if left == 0 {
			select {
			case <-expected:
				if _, _, left := w.next(); left == 0 {
					return nil
				}
			case <-time.After(time.Millisecond):
			}
			continue
		}
		allowed, err := w.bench.allowed(ctx, p)
		if err != nil {
			return err
		}
		if !allowed {
			w.found(p, time.Since(since))
		}
	}
	return ctx.Err()
}
