// Command orgkeeper is the operator: its controllers, the sender of invitations and the invitation page.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/controllers"
	"github.com/orgkeeper/orgkeeper/internal/facts"
	"github.com/orgkeeper/orgkeeper/internal/portal"
)

// leaseName is that of the lease that replicas take turns by. Events about the operator itself regard it.
const leaseName = "orgkeeper"

func main() {
	var o options
	o.bind(flag.CommandLine)
	flag.Parse()
	o.rest = flag.Args()
	ctrl.SetLogger(lazily(zap.New(zap.UseFlagOptions(&o.log))))
	if err := run(ctrl.SetupSignalHandler(), o); err != nil {
		fmt.Fprintln(os.Stderr, "orgkeeper:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	if err := o.validate(); err != nil {
		return err
	}
	invitations, err := o.invitations()
	if err != nil {
		return err
	}
	defer invitations.SMTP.Close()
	config, err := ctrl.GetConfig()
	if err != nil {
		return err
	}
	scheme := runtime.NewScheme()
	utilruntime.Must(errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)))
	mgr, err := ctrl.NewManager(config, ctrl.Options{
		Scheme:                        scheme,
		Cache:                         controllers.CacheOptions(),
		Metrics:                       metricsserver.Options{BindAddress: "0"}, // served by opsServer
		PprofBindAddress:              o.pprofAddress,
		LeaderElection:                o.leaderElect,
		LeaderElectionID:              leaseName,
		LeaderElectionNamespace:       o.leaderElectNamespace,
		LeaderElectionReleaseOnCancel: true,
		GracefulShutdownTimeout:       ptr.To(55 * time.Second), // longer than a mail in hand takes to be sent and recorded
	})
	if err != nil {
		return err
	}
	counters, err := controllers.NewMetrics(metrics.Registry)
	if err != nil {
		return err
	}
	policies, err := facts.CachedPolicies(ctx, mgr.GetCache())
	if err != nil {
		return err
	}
	recorder := mgr.GetEventRecorder("orgkeeper")
	post := controllers.NewPost(controllers.PostConfig{
		Rate: o.mailRate, Workers: o.mailWorkers, LimitPerOrganization: int32(o.mailLimit),
		Clock: clock.RealClock{}, Recorder: recorder,
		Subject: lease(ctx, mgr.GetAPIReader(), o.leaderElectNamespace),
	})
	unassigner, err := controllers.NewUnassigner(config, controllers.UnassignConfig{Kinds: o.assignable, Page: 500, Timeout: 30 * time.Second})
	if err != nil {
		return err
	}
	reader := facts.Reader{Reader: mgr.GetClient(), Clock: clock.RealClock{}, Guard: policies.State, UsernamePrefix: o.usernamePrefix}
	deps := controllers.Deps{
		Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Facts: reader, Clock: reader.Clock, Steady: clock.RealClock{}, Post: post, Metrics: counters,
		Recorder: recorder, Roles: o.roles, Invitations: invitations, ActivityWatched: o.activity.Enabled(), Unassigner: unassigner, IdleCounts: 10 * time.Second,
	}
	if err := controllers.Setup(ctx, mgr, deps); err != nil {
		return err
	}
	if err := collect(ctx, mgr.GetCache(), reader, post); err != nil {
		return err
	}
	events, err := auditEvents(mgr, o.activity, reader, metrics.Registry)
	if err != nil {
		return err
	}
	if err := addServers(mgr, o, portal.Config{
		Verify: invitations.Keys.Verify,
		Store:  portal.ClusterStore{Facts: reader, Live: mgr.GetAPIReader(), Client: mgr.GetClient(), Describe: deps.Describe, Recorder: recorder},
		Now:    reader.Clock.Now,
	},
		append(events,
			reloader{name: "invitation keys", reload: invitations.Keys.Reload, clock: clock.RealClock{}},
			serve("ops", o.metricsAddress, ops(mgr.GetCache(), reader.Guard, post.Outage)), saveMemory{after: startingTime})...,
	); err != nil {
		return err
	}
	return mgr.Start(ctx)
}
