package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// phase is a part of a run that is measured by itself. Its run may be called again after it was cut short.
type phase struct {
	name string
	run  func(*bench, context.Context, *measured) error
}

// phases in their order.
var phases = []phase{
	{"idle", (*bench).idle},
	{"onboard", (*bench).onboard},
	{"accept", (*bench).accept},
	{"steady", (*bench).steadiness},
	{"change", (*bench).change},
	{"remove one by one", (*bench).removeOneByOne},
	{"remove at once", (*bench).removeAtOnce},
	{"remove while loading", (*bench).removeWhileLoading},
	{"restart by a crash", (*bench).crash},
	{"restart in order", (*bench).restart},
	{"offboard", (*bench).offboard},
	{"floor", (*bench).floor},
}

// phase runs one and measures it.
func (b *bench) phase(ctx context.Context, limit time.Duration, p phase) (measured, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	m := measured{Name: p.name, Latencies: map[string]quantiles{}, Figures: map[string]float64{}}
	requests, _, err := b.audit.counted()
	if err != nil {
		return m, err
	}
	cpu, process := b.cpu(), b.operator()
	before, err := b.operator().scrape()
	if err != nil {
		return m, err
	}
	sampled := b.sample(&m)
	began := time.Now()
	err = p.run(b, ctx, &m)
	if m.Seconds == 0 {
		m.Seconds = time.Since(began).Seconds()
	}
	sampled()
	if err != nil {
		return m, err
	}
	counted, _, err := b.audit.counted()
	if err != nil {
		return m, err
	}
	m.Requests, m.CPUSeconds = minus(counted, requests), spent(cpu, b.cpu())
	if b.operator().ended() {
		return m, nil
	}
	after, err := b.operator().scrape()
	if err != nil {
		return m, err
	}
	m.Reconciles = after.reconciles()
	if process == b.operator() {
		for key, n := range before.reconciles() {
			m.Reconciles[key] -= n
		}
	}
	m.HeapBytes = after.sum("go_memstats_heap_alloc_bytes")
	return m, nil
}

// sample looks at the operator's memory and queues until the returned function is called.
func (b *bench) sample(m *measured) (stop func()) {
	var group sync.WaitGroup
	done := make(chan struct{})
	group.Go(func() {
		memory, queues := time.NewTicker(100*time.Millisecond), time.NewTicker(time.Second)
		defer memory.Stop()
		defer queues.Stop()
		for {
			select {
			case <-done:
				return
			case <-memory.C:
				if u, ok := b.cpu()["orgkeeper"]; ok {
					m.PeakRSS, m.EndRSS = max(m.PeakRSS, u.rssBytes), u.rssBytes
				}
			case <-queues.C:
				if g, err := b.operator().scrape(); err == nil { // between two operators there is none
					m.QueueDepth = max(m.QueueDepth, g.sum("workqueue_depth"))
				}
			}
		}
	})
	return func() {
		close(done)
		group.Wait()
	}
}

// silence is how long the operator must not have written to be done. What it gathers, it gathers for a tenth of this.
const silence = 1500 * time.Millisecond

// settle waits until the operator has nothing left to do and reached is true, and sets how long it took since: to its last
// write.
func (b *bench) settle(ctx context.Context, m *measured, since time.Time, reached func(gauges) error) error {
	every := 100 * time.Millisecond
	if b.people() > 10000 {
		every = time.Second // each look counts all members
	}
	return eventually(ctx, every, func() error {
		g, err := b.operator().scrape()
		if err != nil {
			return err
		}
		_, last, err := b.audit.counted()
		if err != nil {
			return err
		}
		if last.Before(since) {
			last = since
		}
		if quiet := time.Since(last); g.busy() > 0 || quiet < silence {
			return fmt.Errorf("the operator is at work: %.0f in its queues, its last write %s ago", g.busy(), quiet)
		}
		if reached != nil {
			if err := reached(g); err != nil {
				return err
			}
		}
		m.Seconds = last.Sub(since).Seconds()
		return nil
	})
}

// times gathers durations from several goroutines.
type times struct {
	mu  sync.Mutex
	all []time.Duration
}

func (t *times) add(d time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.all = append(t.all, d)
}

func (t *times) count() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.all)
}

// parallel calls work for each item, from several workers, until one fails.
func parallel[T any](ctx context.Context, workers int, items []T, work func(context.Context, T) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	todo := make(chan T)
	var group sync.WaitGroup
	for range workers {
		group.Go(func() {
			for item := range todo {
				if ctx.Err() != nil {
					continue
				}
				if err := work(ctx, item); err != nil {
					cancel(err)
				}
			}
		})
	}
	for _, item := range items {
		todo <- item
	}
	close(todo)
	group.Wait()
	return context.Cause(ctx)
}

var errStill = errors.New("not yet")
