package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/orgkeeper/orgkeeper/controllers"
	"github.com/orgkeeper/orgkeeper/internal/facts"
	"github.com/orgkeeper/orgkeeper/internal/guard"
)

// ops serves what those who run the operator look at: /metrics, /healthz (the process serves) and /readyz (the cache is
// filled, so that the page can answer). A mail server that is down makes no replica unready, nor do admission policies that
// are not as shipped: the page goes on, and so must the end of access. Further lines of /readyz tell: of
// the mail server on the replica that sends.
func ops(c cache.Cache, policies func(context.Context) (guard.State, error), outage func() string) http.Handler {
	filled := func(r *http.Request) error {
		ctx, cancel := context.WithTimeout(r.Context(), time.Second)
		defer cancel()
		if !c.WaitForCacheSync(ctx) {
			return errors.New("the cache is being filled")
		}
		return nil
	}
	ready := http.StripPrefix("/readyz", &healthz.Handler{Checks: map[string]healthz.Checker{"cache": filled}})
	mux := http.NewServeMux()
	mux.Handle("/metrics", promhttp.HandlerFor(metrics.Registry, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError}))
	mux.Handle("/healthz", http.StripPrefix("/healthz", &healthz.Handler{}))
	mux.HandleFunc("/readyz", func(w http.ResponseWriter, r *http.Request) {
		ready.ServeHTTP(w, r)
		if filled(r) != nil {
			return
		}
		switch state, err := policies(r.Context()); {
		case err != nil:
			_, _ = fmt.Fprintf(w, "\npolicies: %v\n", err)
		case !state.Enforced():
			_, _ = fmt.Fprintf(w, "\npolicies: %s\n", state.Message())
		}
		if words := outage(); words != "" {
			_, _ = fmt.Fprintf(w, "\nmails: %s\n", words)
		}
	})
	return mux
}

// collect adds to /metrics what is counted when it is asked for: of the cache, the policies and the mails.
func collect(ctx context.Context, c cache.Cache, reader facts.Reader, post *controllers.Post) error {
	members, err := facts.CachedMembers(ctx, c)
	if err != nil {
		return err
	}
	return errors.Join(
		metrics.Registry.Register(controllers.MemberCollector{Members: members, Clock: reader.Clock}),
		metrics.Registry.Register(controllers.OrganizationCollector{Reader: c}),
		metrics.Registry.Register(controllers.PolicyCollector{State: reader.Guard}),
		metrics.Registry.Register(post.Collector()),
	)
}

// lease gives the lease that replicas take turns by, as it is now; by name alone when it cannot be read.
func lease(ctx context.Context, live client.Reader, namespace string) func() runtime.Object {
	return func() runtime.Object {
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		now := &coordinationv1.Lease{}
		if err := live.Get(ctx, client.ObjectKey{Namespace: namespace, Name: leaseName}, now); err != nil {
			now.Namespace, now.Name = namespace, leaseName
		}
		return now
	}
}
