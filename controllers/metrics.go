package controllers

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/internal/guard"
	"github.com/orgkeeper/orgkeeper/internal/mail"
)

// Metrics are orgkeeper's own, beside those of controller-runtime. None has a label for an organization or a person.
type Metrics struct {
	mails    *prometheus.CounterVec
	duration *prometheus.HistogramVec
}

// Sorts of mails, as Message-IDs and the label kind of metrics call them.
const (
	sortInvitation = "invitation"
	sortReminder   = "reminder"
	sortOwnership  = "ownership"
	sortRoleChange = "role-changed"
	sortEnd        = "membership-ended"

	sortSubscription = "subscription" // in Message-IDs followed by what it is about
)

// NewMetrics makes the metrics and registers them.
func NewMetrics(registry prometheus.Registerer) (*Metrics, error) {
	m := &Metrics{
		mails: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "orgkeeper_mails_total",
			Help: "Tries to send a mail, by kind of mail and result: sent (the mail server took it), temporary, permanent, ambiguous or unavailable.",
		}, []string{"kind", "result"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "orgkeeper_mail_send_duration_seconds",
			Help:    "How long it took to hand a mail over to the mail server, or to fail, by kind of mail.",
			Buckets: []float64{.025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
		}, []string{"kind"}),
	}
	for _, kind := range []string{sortInvitation, sortReminder, sortOwnership, sortRoleChange, sortEnd, sortSubscription} {
		m.duration.WithLabelValues(kind)
		for _, result := range results {
			m.mails.WithLabelValues(kind, result)
		}
	}
	for _, c := range []prometheus.Collector{m.mails, m.duration} {
		if err := registry.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

var results = map[mail.Kind]string{
	sent:             "sent",
	mail.Temporary:   "temporary",
	mail.Permanent:   "permanent",
	mail.Ambiguous:   "ambiguous",
	mail.Unavailable: "unavailable",
}

func (m *Metrics) count(kind string, result mail.Kind) {
	m.mails.WithLabelValues(kind, results[result]).Inc()
}

func (m *Metrics) took(kind string, d time.Duration) {
	m.duration.WithLabelValues(kind).Observe(d.Seconds())
}

// Collector tells whether the mail server can be used. The replica that sends alone knows; the others say 1.
func (p *Post) Collector() prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "orgkeeper_mailer_ready",
		Help: "1 unless this replica found that no mail can be sent, whoever it is for; then 0 until one is.",
	}, func() float64 {
		if p.Outage() != "" {
			return 0
		}
		return 1
	})
}

// MemberCollector tells, when asked, how many members there are by state and how old the oldest unsent invitation is.
// It reads from the cache, so every replica tells the same.
type MemberCollector struct {
	// Members lists all that the cache knows, by facts.CachedMembers but in tests.
	Members func(ctx context.Context) ([]*v1alpha1.OrgMember, error)
	Clock   clock.PassiveClock
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
	members, err := c.Members(ctx)
	if err != nil {
		metrics <- prometheus.NewInvalidMetric(membersMetric, err)
		return
	}
	states := map[v1alpha1.MemberState]int{
		v1alpha1.StatePending: 0, v1alpha1.StateActive: 0, v1alpha1.StateDeclined: 0, v1alpha1.StateExpired: 0, v1alpha1.StateSuspended: 0,
	}
	var oldest time.Duration
	for _, m := range members {
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

// OrganizationCollector tells, when asked, how many organizations hang on one admin. Every replica tells the same.
type OrganizationCollector struct{ Reader client.Reader }

var redundancyMetric = prometheus.NewDesc("orgkeeper_organizations_without_redundancy",
	"Organizations with less than two usable admins: their condition AdminRedundancy is False.", nil, nil)

// Describe names the metric.
func (c OrganizationCollector) Describe(descriptions chan<- *prometheus.Desc) {
	descriptions <- redundancyMetric
}

// Collect counts.
func (c OrganizationCollector) Collect(metrics chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	var organizations v1alpha1.OrganizationList
	if err := c.Reader.List(ctx, &organizations, client.UnsafeDisableDeepCopy); err != nil {
		metrics <- prometheus.NewInvalidMetric(redundancyMetric, err)
		return
	}
	count := 0
	for i := range organizations.Items {
		if meta.IsStatusConditionFalse(organizations.Items[i].Status.Conditions, v1alpha1.ConditionAdminRedundancy) {
			count++
		}
	}
	metrics <- prometheus.MustNewConstMetric(redundancyMetric, prometheus.GaugeValue, float64(count))
}

// unsentSince is since when an invitation waits to be sent. One that waits for its organization's turn is not late.
func unsentSince(m *v1alpha1.OrgMember) (time.Time, bool) {
	i := m.Status.Invitation
	if i == nil || i.IssuedAt == nil || i.Attempts == 0 || i.SentAt != nil || i.RejectedAt != nil || m.Status.State != v1alpha1.StatePending {
		return time.Time{}, false
	}
	return i.IssuedAt.Time, true
}
