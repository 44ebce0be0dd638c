package portal

import (
	"net/http"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics count answers. No label tells of an organization, a person, an address or a link.
type Metrics struct {
	answers *prometheus.CounterVec
}

// NewMetrics makes the metrics and registers them.
func NewMetrics(registry prometheus.Registerer) (*Metrics, error) {
	m := &Metrics{answers: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "orgkeeper_portal_answers_total",
		Help: "Answers of the invitation page, by outcome (the page that was shown, or other) and method.",
	}, []string{"outcome", "method"})}
	// What people can meet is there from the start, so that a rate has something to begin with.
	for _, name := range names {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			m.answers.WithLabelValues(name, method)
		}
	}
	return m, registry.Register(m.answers)
}

func (m *Metrics) count(outcome, method string) {
	if m != nil {
		m.answers.WithLabelValues(outcome, method).Inc()
	}
}

// other stands for what clients may choose freely, and for answers that are no page.
const other = "other"

// methodOf is the method, if it is one of those that we know: clients may send any word.
func methodOf(r *http.Request) string {
	if slices.Contains([]string{http.MethodGet, http.MethodHead, http.MethodPost}, r.Method) {
		return r.Method
	}
	return other
}
