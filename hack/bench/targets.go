package main

import "fmt"

// claim is a target of the project, and how a result is held against it.
type claim struct {
	name  string
	limit float64
	show  func(float64) string
	// measure says what a result has of it; false when that shape or phase says nothing about it.
	measure func(*result) (value float64, known bool)
}

var claims = []claim{
	{"writes for each member, from creation to active with access", 3, plain, func(r *result) (float64, bool) {
		return each(r, measured.writesButEvents)
	}},
	{"Events for each member, the same way", 3, plain, func(r *result) (float64, bool) {
		return each(r, func(m measured) int { return m.writes() - m.writesButEvents() })
	}},
	{"reads of single objects until everybody is active", 0, plain, func(r *result) (float64, bool) {
		onboard, accept := r.whole("onboard"), r.whole("accept")
		if onboard == nil || accept == nil {
			return 0, false
		}
		return float64(onboard.reads("get") + accept.reads("get")), true
	}},
	{"writes in steady state", 0, plain, figure("steady", "writes")},
	{"reads in steady state but for watches", 0, plain, func(r *result) (float64, bool) {
		gets, known := figure("steady", "reads of single objects")(r)
		lists, _ := figure("steady", "lists")(r)
		return gets + lists, known
	}},
	{"onboarding, as a multiple of the floor (end state written by a plain client)", 1.5, times2, func(r *result) (float64, bool) {
		return ratio(r, func(floor *measured) float64 { return floor.each(floor.Seconds) })
	}},
	{"the same, of what the pipeline alone writes", 1.5, times2, func(r *result) (float64, bool) {
		return ratio(r, func(floor *measured) float64 { return floor.each(floor.Figures["declared after seconds"]) })
	}},
	{"100 organizations of 10 members with a workspace each, ready", 5, duration, func(r *result) (float64, bool) {
		m := r.whole("onboard")
		if m == nil || r.Shape != "100x10" {
			return 0, false
		}
		return m.Seconds, true
	}},
	{"500 removals at once: access gone, p99", 2, duration, func(r *result) (float64, bool) {
		q, known := quantile(r, "remove at once", "removed to no access")
		return q.P99, known && q.N == removedAll
	}},
	{"removals one by one: access gone, p50", 0.050, duration, func(r *result) (float64, bool) {
		q, known := quantile(r, "remove one by one", "removed to no access")
		return q.P50, known
	}},
	{"removals one by one: access gone, p99", 0.250, duration, func(r *result) (float64, bool) {
		q, known := quantile(r, "remove one by one", "removed to no access")
		return q.P99, known
	}},
	{"removals while 300 organizations are being created: access gone, p99", 1, duration, func(r *result) (float64, bool) {
		q, known := quantile(r, "remove while loading", "removed to no access")
		return q.P99, known && r.phase("remove while loading").Figures["organizations loaded"] == loaded
	}},
	{"memory with everything in place", 500e6, func(v float64) string { return megabytes(int64(v)) }, func(r *result) (float64, bool) {
		m := r.phase("steady")
		if m == nil {
			return 0, false
		}
		return float64(m.EndRSS), true
	}},
	{"memory for each member beyond the base", 4096, func(v float64) string { return fmt.Sprintf("%.0f B", v) }, func(r *result) (float64, bool) {
		base, m := r.phase("idle"), r.phase("steady")
		if base == nil || m == nil || r.Members < 10000 { // below, it is noise
			return 0, false
		}
		return float64(m.EndRSS-base.EndRSS) / float64(r.Members), true
	}},
	{"restart after a crash, to caught up", 30, duration, figure("restart by a crash", "caught up after seconds")},
	{"restart in order, to caught up", 30, duration, figure("restart in order", "caught up after seconds")},
	{"writes of a restart", 0, plain, func(r *result) (float64, bool) {
		crash, order := r.phase("restart by a crash"), r.phase("restart in order")
		if crash == nil || order == nil {
			return 0, false
		}
		return float64(crash.writesButEvents() + order.writesButEvents()), true
	}},
	{"an unrelated user's reads with everything in place, as a multiple of without", 1.15, times2, unrelatedRatio("unrelated get")},
	{"an unrelated user's writes, likewise", 1.15, times2, unrelatedRatio("unrelated update")},
}

func plain(v float64) string { return fmt.Sprintf("%.4g", v) }

func times2(v float64) string { return fmt.Sprintf("%.2f x", v) }

// writesButEvents are the writes of objects.
func (m measured) writesButEvents() int {
	return m.writes() - m.Requests["create events"] - m.Requests["patch events"]
}

// each is a count for each member, until everybody is active.
func each(r *result, count func(measured) int) (float64, bool) {
	onboard, accept := r.whole("onboard"), r.whole("accept")
	if onboard == nil || accept == nil {
		return 0, false
	}
	return float64(count(*onboard)+count(*accept)) / float64(r.Members), true
}

func figure(phase, name string) func(*result) (float64, bool) {
	return func(r *result) (float64, bool) {
		m := r.phase(phase)
		if m == nil {
			return 0, false
		}
		v, known := m.Figures[name]
		return v, known
	}
}

func quantile(r *result, phase, what string) (quantiles, bool) {
	m := r.phase(phase)
	if m == nil {
		return quantiles{}, false
	}
	q, known := m.Latencies[what]
	return q, known && q.N > 0
}

// ratio holds the time for a member against the floor's.
func ratio(r *result, floor func(*measured) float64) (float64, bool) {
	onboard, plain := r.whole("onboard"), r.whole("floor")
	if onboard == nil || plain == nil || floor(plain) == 0 {
		return 0, false
	}
	return onboard.each(onboard.Seconds) / floor(plain), true
}

func unrelatedRatio(what string) func(*result) (float64, bool) {
	return func(r *result) (float64, bool) {
		without, known1 := quantile(r, "idle", what)
		with, known2 := quantile(r, "steady", what)
		return with.P50 / without.P50, known1 && known2
	}
}
