package controllers

import (
	"context"
	"sync"
	"time"

	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
)

const (
	// lookAtClock is how often the clock is compared with the time that has passed.
	lookAtClock = 10 * time.Second
	// clockStep is how far the two may part before everything is looked at. A clock that is put right little by little takes the
	// measure of time along, and two readings are a moment apart: both stay far below. A pause between the readings may look like a
	// step; then everything is looked at for nothing.
	clockStep = 5 * time.Second
)

// clockSteps notices that the clock was set, and wakes everything. Whoever waits for a moment has a timer, and timers measure the
// time that passes: after a step ahead they are late by as much, a machine that slept included, and what ended by a clock that ran
// ahead has none that would bring it back.
//
// Everything is woken, and not what has to do with time alone: a step is rare, most of what there is has a moment that it waits
// for or had one, and a list of those would have to be kept right. It costs as much as a start, at the same low priority. What waits
// for a timer has the ordinary one, and so comes before all else.
type clockSteps struct {
	clock  clock.PassiveClock
	steady clock.WithTicker

	mu   sync.Mutex
	wake []func(ctx context.Context)
}

// everything is a source of requests for a controller after each step: all of its kind.
func (s *clockSteps) everything(all func(ctx context.Context) requests) source.Source {
	return source.Func(func(_ context.Context, q queue) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.wake = append(s.wake, func(ctx context.Context) {
			for _, req := range all(ctx) {
				by(q, handler.LowPriority, 0).Add(req)
			}
		})
		return nil
	})
}

// Start looks at the clock until the operator is stopped.
func (s *clockSteps) Start(ctx context.Context) error {
	ticker := s.steady.NewTicker(lookAtClock)
	defer ticker.Stop()
	// Without the measure of time that Go keeps in it: else the difference of two readings is what passed, whatever the clock says.
	shown, begin := s.clock.Now().Round(0), s.steady.Now()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C():
		}
		step := s.clock.Now().Round(0).Sub(shown) - s.steady.Since(begin)
		if step.Abs() < clockStep {
			continue
		}
		shown = shown.Add(step)
		ctrl.LoggerFrom(ctx).WithName("clock").Info("The clock was set; everything is looked at", "by", step.Round(time.Second).String())
		s.wakeAll(ctx)
	}
}

// NeedLeaderElection says that those alone look who have something to wake.
func (s *clockSteps) NeedLeaderElection() bool { return true }

func (s *clockSteps) wakeAll(ctx context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, wake := range s.wake {
		wake(ctx)
	}
}

func (w watches) everyMember(ctx context.Context) requests {
	var members v1alpha1.OrgMemberList
	err := w.facts.List(ctx, &members, client.UnsafeDisableDeepCopy)
	return requestsFor(members.Items, err)
}

func (w watches) everyAssignment(ctx context.Context) requests {
	var assignments v1alpha1.WorkspaceAssignmentList
	err := w.facts.List(ctx, &assignments, client.UnsafeDisableDeepCopy)
	return requestsFor(assignments.Items, err)
}
