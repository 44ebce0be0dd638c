package main

import (
	"crypto/tls"
	"flag"
	"fmt"
	"net"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/certwatcher"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/orgkeeper/orgkeeper/internal/activity"
	"github.com/orgkeeper/orgkeeper/internal/facts"
)

// bindActivity defines the flags of the endpoint that takes audit events.
func bindActivity(fs *flag.FlagSet, c *activity.Config) {
	*c = activity.Defaults()
	fs.StringVar(&c.Address, "activity-bind-address", "", "host:port that takes audit events of kube-apiserver, which tell when members were last active; empty: none are taken")
	fs.StringVar(&c.CertFile, "activity-tls-cert-file", "", "file with the certificate for audit events and its chain, PEM; read again when it changes. Empty: plain HTTP, on a loopback address alone")
	fs.StringVar(&c.KeyFile, "activity-tls-key-file", "", "file with the certificate's key, PEM")
	fs.StringVar(&c.TokenFile, "activity-token-file", "", "file with the bearer tokens of those who send audit events, one a line, of at least 16 bytes; read at each request")
	fs.StringVar(&c.ClientCAFile, "activity-client-ca-file", "", "file with the authorities of the client certificates of those who send audit events, PEM; read at each connection")
	fs.Func("activity-client-names", "names, one of which such a certificate must have, such as kube-apiserver,logs.example; any when left out", listed(&c.ClientNames))
	fs.Func("activity-impersonators", "users who sign people in and act as them by impersonation, such as system:serviceaccount:teleport:agent", listed(&c.Impersonators))
	fs.DurationVar(&c.Interval, "activity-interval", c.Interval, "how exact the time of a member's last activity is, and how long no second write is made for a member")
	fs.Int64Var(&c.MaxBody, "activity-max-body", c.MaxBody, "bytes that a batch of audit events may have")
	fs.IntVar(&c.Rate, "activity-rate", c.Rate, "how many members' last activity to write in a second, at most")
}

// listed adds the parts of a list to what was given before.
func listed(to *[]string) func(string) error {
	return func(list string) error {
		for entry := range strings.SplitSeq(list, ",") {
			*to = append(*to, strings.TrimSpace(entry))
		}
		return nil
	}
}

// auditEvents is what takes audit events and writes what they tell, on every replica; nothing when it is off.
func auditEvents(mgr manager.Manager, c activity.Config, reader facts.Reader, registry prometheus.Registerer) ([]manager.Runnable, error) {
	if !c.Enabled() {
		return nil, nil
	}
	if err := c.Check(); err != nil {
		return nil, err
	}
	counters, err := activity.NewMetrics(registry)
	if err != nil {
		return nil, err
	}
	tracker := activity.NewTracker(activity.TrackerConfig{
		Members: activity.Members(reader), Client: mgr.GetClient(), Clock: clock.RealClock{},
		Interval: c.Interval, Rate: c.Rate, Metrics: counters,
	})
	server := serve("activity", c.Address, activity.Handler(c, tracker, ctrl.Log.WithName("activity")))
	if c.CertFile == "" {
		return []manager.Runnable{tracker, server}, nil
	}
	certificate, err := certwatcher.New(c.CertFile, c.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("--activity-tls-cert-file and --activity-tls-key-file: %w", err)
	}
	listener, err := net.Listen("tcp", c.Address)
	if err != nil {
		return nil, err
	}
	server.Listener = tls.NewListener(listener, c.TLS(certificate.GetCertificate))
	return []manager.Runnable{tracker, server, certificate}, nil
}
