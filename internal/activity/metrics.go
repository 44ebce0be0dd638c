package activity

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics count what comes in and what is written. No label tells of an organization, a person or an address. Nil Metrics
// count nothing.
type Metrics struct {
	batches *prometheus.CounterVec
	events  *prometheus.CounterVec
	writes  *prometheus.CounterVec
	tracked prometheus.Gauge
	latest  prometheus.Gauge
}

// NewMetrics makes the metrics and registers them.
func NewMetrics(registry prometheus.Registerer) (*Metrics, error) {
	m := &Metrics{
		batches: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "orgkeeper_activity_batches_total",
			Help: "Batches of audit events that were sent, by HTTP status: 204 for those that were taken.",
		}, []string{"code"}),
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "orgkeeper_activity_events_total",
			Help: "Audit events of batches that were taken: counted as a member's activity, or ignored.",
		}, []string{"result"}),
		writes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "orgkeeper_activity_writes_total",
			Help: "Members whose activity was due to be written: written, current (somebody else wrote it, or the member is gone), conflict or failed (tried again).",
		}, []string{"result"}),
		tracked: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "orgkeeper_activity_tracked_members",
			Help: "Members who are kept in memory: with activity to write, or written not long ago.",
		}),
		latest: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "orgkeeper_activity_last_batch_timestamp_seconds",
			Help: "When this replica last took a batch of audit events; 0 for not since its start.",
		}),
	}
	// What there can be is there from the start, so that a rate has something to begin with.
	m.batches.WithLabelValues("204")
	m.events.WithLabelValues("counted")
	m.events.WithLabelValues("ignored")
	for _, o := range []outcome{written, current, conflict, failed} {
		m.writes.WithLabelValues(string(o))
	}
	for _, c := range []prometheus.Collector{m.batches, m.events, m.writes, m.tracked, m.latest} {
		if err := registry.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *Metrics) answered(code int) {
	if m != nil {
		m.batches.WithLabelValues(strconv.Itoa(code)).Inc()
	}
}

func (m *Metrics) took(counted, ignored int, at time.Time) {
	if m != nil {
		m.events.WithLabelValues("counted").Add(float64(counted))
		m.events.WithLabelValues("ignored").Add(float64(ignored))
		m.latest.Set(float64(at.Unix()))
	}
}

func (m *Metrics) wrote(o outcome) {
	if m != nil {
		m.writes.WithLabelValues(string(o)).Inc()
	}
}

func (m *Metrics) tracks(members int) {
	if m != nil {
		m.tracked.Set(float64(members))
	}
}
