// Command orgkeeper is the operator: its controllers, the sender of invitations and the invitation page.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/controllers"
	"github.com/orgkeeper/orgkeeper/internal/facts"
	"github.com/orgkeeper/orgkeeper/internal/invite"
	"github.com/orgkeeper/orgkeeper/internal/mail"
	"github.com/orgkeeper/orgkeeper/internal/portal"
)

// leaseName is that of the lease that replicas take turns by. Events about the operator itself regard it.
const leaseName = "orgkeeper"

func main() {
	var o options
	o.bind(flag.CommandLine)
	flag.Parse()
	ctrl.SetLogger(zap.New(zap.UseFlagOptions(&o.log)))
	if err := run(ctrl.SetupSignalHandler(), o); err != nil {
		fmt.Fprintln(os.Stderr, "orgkeeper:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	if err := o.validate(); err != nil {
		return err
	}
	keys, err := invite.LoadKeys(o.keysDir)
	if err != nil {
		return err
	}
	smtp, err := mail.NewSMTP(o.smtp)
	if err != nil {
		return err
	}
	config, err := ctrl.GetConfig()
	if err != nil {
		return err
	}
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return err
	}
	mgr, err := ctrl.NewManager(config, ctrl.Options{
		Scheme:                        scheme,
		Cache:                         controllers.CacheOptions(),
		Metrics:                       metricsserver.Options{BindAddress: "0"}, // served by opsServer
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
	policies, err := facts.NewPolicies(mgr.GetClient())
	if err != nil {
		return err
	}
	post := controllers.NewPost(controllers.PostConfig{
		Rate: o.mailRate, Workers: o.mailWorkers, LimitPerOrganization: int32(o.mailLimit),
		Clock: clock.RealClock{}, Recorder: mgr.GetEventRecorder("orgkeeper"),
		Subject: &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: o.leaderElectNamespace, Name: leaseName}},
	})
	reader := facts.Reader{Reader: mgr.GetClient(), Clock: clock.RealClock{}, Guard: policies.State, UsernamePrefix: o.usernamePrefix}
	if err := controllers.Setup(ctx, mgr, controllers.Deps{
		Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Facts: reader, Clock: reader.Clock, Post: post, Metrics: counters,
		Recorder:    mgr.GetEventRecorder("orgkeeper"),
		Roles:       o.roles,
		Invitations: controllers.Invitations{SMTP: smtp, Keys: keys, From: o.mailFrom, PortalURL: o.portalURL},
	}); err != nil {
		return err
	}
	metrics.Registry.MustRegister(controllers.MemberCollector{Reader: mgr.GetCache(), Clock: reader.Clock}, controllers.PolicyCollector{State: reader.Guard}, post.Collector())
	page := portal.Handler(portal.Config{
		Verify: keys.Verify,
		Store:  portal.ClusterStore{Facts: reader, Live: mgr.GetAPIReader(), Client: mgr.GetClient()},
		Log:    ctrl.Log.WithName("portal"),
		Now:    reader.Clock.Now,
	})
	for _, server := range []*manager.Server{
		serve("portal", o.portalAddress, page),
		serve("ops", o.metricsAddress, ops(mgr.GetCache(), reader.Guard, post.Outage)),
	} {
		if err := mgr.Add(server); err != nil {
			return err
		}
	}
	return mgr.Start(ctx)
}

// serve is an HTTP server, on every replica, that bounds what a client may take of it.
func serve(name, address string, handler http.Handler) *manager.Server {
	return &manager.Server{Name: name, ShutdownTimeout: ptr.To(10 * time.Second), Server: &http.Server{
		Addr: address, Handler: handler,
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 20 * time.Second,
		IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
	}}
}
