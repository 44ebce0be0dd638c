package controllers

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/internal/guard"
	"github.com/orgkeeper/orgkeeper/internal/mail"
)

// Metrics are orgkeeper's own, beside those of controller-runtime. None has a label for an organization or a person.
type Metrics struct {
	invitations, ownership tally
}

// tally counts the mails of one sort.
type tally struct {
	sent   prometheus.Counter
	failed *prometheus.CounterVec
}

// NewMetrics makes the metrics and registers them.
func NewMetrics(registry prometheus.Registerer) (*Metrics, error) {
	m := &Metrics{
		invitations: newTally(prometheus.CounterOpts{
			Name: "orgkeeper_invitations_sent_total",
			Help: "Invitations that the mail server took.",
		}, prometheus.CounterOpts{
			Name: "orgkeeper_invitation_failures_total",
			Help: "Tries to send an invitation that failed, by what the failure means: temporary, permanent, ambiguous or unavailable.",
		}),
		ownership: newTally(prometheus.CounterOpts{
			Name: "orgkeeper_ownership_mails_sent_total",
			Help: "Mails about a move of the ownership that the mail server took.",
		}, prometheus.CounterOpts{
			Name: "orgkeeper_ownership_mail_failures_total",
			Help: "Tries to send a mail about a move of the ownership that failed, by what the failure means, as for invitations.",
		}),
	}
	for _, c := range []prometheus.Collector{m.invitations.sent, m.invitations.failed, m.ownership.sent, m.ownership.failed} {
		if err := registry.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func newTally(sent, failed prometheus.CounterOpts) tally {
	t := tally{prometheus.NewCounter(sent), prometheus.NewCounterVec(failed, []string{"kind"})}
	for _, kind := range kinds {
		t.failed.WithLabelValues(kind)
	}
	return t
}

var kinds = map[mail.Kind]string{
	mail.Temporary:   "temporary",
	mail.Permanent:   "permanent",
	mail.Ambiguous:   "ambiguous",
	mail.Unavailable: "unavailable",
}

func (t tally) count(kind mail.Kind) {
	if kind == sent {
		t.sent.Inc()
		return
	}
	t.failed.WithLabelValues(kinds[kind]).Inc()
}

// MemberCollector tells, when asked, how many members there are by state and how old the oldest unsent invitation is.
// It reads from the cache, so every replica tells the same.
type MemberCollector struct {
	Reader client.Reader
	Clock  clock.PassiveClock
}

var (
	membersMetric = prometheus.NewDesc("orgkeeper_members", "OrgMembers by state.", []string{"state"}, nil)
	unsentMetric  = prometheus.NewDesc("orgkeeper_oldest_unsent_invitation_seconds",
		"Age of the oldest invitation that is due and was not taken by the mail server, in seconds; 0 when there is none.", nil, nil)
)

// Describe names the metrics.
func (c MemberCollector) Describe(descriptions chan<- *prometheus.Desc) {
	descriptions <- membersMetric
	descriptions <- unsentMetric
}

// scrapeTimeout bounds the wait for a cache that is not there yet.
const scrapeTimeout = 5 * time.Second

// Collect counts.
func (c MemberCollector) Collect(metrics chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	var members v1alpha1.OrgMemberList
	if err := c.Reader.List(ctx, &members, client.UnsafeDisableDeepCopy); err != nil {
		metrics <- prometheus.NewInvalidMetric(membersMetric, err)
		return
	}
	states := map[v1alpha1.MemberState]int{
		v1alpha1.StatePending: 0, v1alpha1.StateActive: 0, v1alpha1.StateDeclined: 0, v1alpha1.StateExpired: 0, v1alpha1.StateSuspended: 0,
	}
	var oldest time.Duration
	for i := range members.Items {
		m := &members.Items[i]
		if _, known := states[m.Status.State]; known {
			states[m.Status.State]++
		}
		if since, unsent := unsentSince(m); unsent {
			oldest = max(oldest, c.Clock.Now().Sub(since))
		}
	}
	for state, count := range states {
		metrics <- prometheus.MustNewConstMetric(membersMetric, prometheus.GaugeValue, float64(count), string(state))
	}
	metrics <- prometheus.MustNewConstMetric(unsentMetric, prometheus.GaugeValue, oldest.Seconds())
}

// PolicyCollector tells, when asked, whether the admission policies are as shipped. Every replica tells the same.
type PolicyCollector struct {
	State func(ctx context.Context) (guard.State, error)
}

var enforcedMetric = prometheus.NewDesc("orgkeeper_policy_enforced",
	"1 while the admission policies are installed as shipped; 0 while they are not, and nothing new is granted.", nil, nil)

// Describe names the metric.
func (c PolicyCollector) Describe(descriptions chan<- *prometheus.Desc) {
	descriptions <- enforcedMetric
}

// Collect asks.
func (c PolicyCollector) Collect(metrics chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	state, err := c.State(ctx)
	if err != nil {
		metrics <- prometheus.NewInvalidMetric(enforcedMetric, err)
		return
	}
	enforced := 0.0
	if state.Enforced() {
		enforced = 1
	}
	metrics <- prometheus.MustNewConstMetric(enforcedMetric, prometheus.GaugeValue, enforced)
}

// unsentSince is since when an invitation waits to be sent.
func unsentSince(m *v1alpha1.OrgMember) (time.Time, bool) {
	i := m.Status.Invitation
	if i == nil || i.IssuedAt == nil || i.SentAt != nil || i.RejectedAt != nil || m.Status.State != v1alpha1.StatePending {
		return time.Time{}, false
	}
	return i.IssuedAt.Time, true
}
