package controllers_test

import (
	"bytes"
	"context"
	"maps"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"github.com/prometheus/client_golang/prometheus"
	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/orgkeeper/orgkeeper/controllers"
	"github.com/orgkeeper/orgkeeper/internal/facts"
	"github.com/orgkeeper/orgkeeper/internal/invite"
	"github.com/orgkeeper/orgkeeper/internal/mail"
	"github.com/orgkeeper/orgkeeper/internal/rbac"
)

// operator is the whole operator in the test's process, with a mail server and a clock of its own.
type operator struct {
	clock    *stepClock
	mail     *mailServer
	keys     *invite.Keys
	registry *prometheus.Registry
	deps     controllers.Deps
	log      *logbook

	// change alters what the controllers work with; idle leaves the controllers out: the test calls them itself.
	change func(*controllers.Deps)
	idle   bool
	// mailLimit is how many mails an organization may cause in a day.
	mailLimit int32
	halt      func()
}

// operate starts an operator that runs until the test ends.
func operate(t *testing.T, options ...func(*operator)) *operator {
	t.Helper()
	keys, err := invite.NewKeys(bytes.Repeat([]byte("k"), invite.MinKeyLength))
	if err != nil {
		t.Fatal(err)
	}
	o := &operator{clock: &stepClock{}, mail: serveMail(t), keys: keys, log: present}
	for _, option := range options {
		option(o)
	}
	o.log.open()
	o.start(t)
	t.Cleanup(func() {
		o.stop()
		o.log.check(t)
	})
	return o
}

// together runs tests at once, each in a home of its own, with one operator. Most of their time they wait: a namespace
// takes kube-controller-manager five seconds to delete.
func together(t *testing.T, tests map[string]func(*home), options ...func(*operator)) {
	t.Helper()
	o := operate(t, options...)
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(o.home(t))
		})
	}
}

func idle(o *operator) { o.idle = true }

// with alters what the controllers work with.
func with(change func(*controllers.Deps)) func(*operator) {
	return func(o *operator) { o.change = change }
}

func (o *operator) start(t *testing.T) {
	t.Helper()
	mgr, err := ctrl.NewManager(rights, ctrl.Options{
		Scheme:                  scheme,
		Cache:                   controllers.CacheOptions(),
		Logger:                  o.log.logger(),
		Metrics:                 metricsserver.Options{BindAddress: "0"},
		Controller:              config.Controller{SkipNameValidation: new(true)}, // one operator after the other
		GracefulShutdownTimeout: new(10 * time.Second),
	})
	if err != nil {
		t.Fatal(err)
	}
	o.registry = prometheus.NewRegistry()
	o.deps = o.dependencies(t, mgr)
	ctx, cancel := context.WithCancel(context.Background())
	if o.idle {
		err = facts.AddIndexes(ctx, facts.Lean{Cache: mgr.GetCache()})
	} else {
		err = controllers.Setup(ctx, mgr, o.deps)
	}
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- mgr.Start(ctx) }()
	if !mgr.GetCache().WaitForCacheSync(ctx) {
		t.Fatal("the cache does not fill")
	}
	o.halt = func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the operator ended with: %v", err)
		}
	}
}

func (o *operator) stop() {
	if o.halt != nil {
		o.halt()
	}
	o.halt = nil
}

// restart is what a new version does, or a node that goes: a new operator finds what the old one left.
func (o *operator) restart(t *testing.T) {
	t.Helper()
	o.stop()
	o.start(t)
}

func (o *operator) dependencies(t *testing.T, mgr manager.Manager) controllers.Deps {
	t.Helper()
	metrics, err := controllers.NewMetrics(o.registry)
	if err != nil {
		t.Fatal(err)
	}
	policies, err := facts.CachedPolicies(t.Context(), mgr.GetCache())
	if err != nil {
		t.Fatal(err)
	}
	o.registry.MustRegister(controllers.PolicyCollector{State: policies.State})
	d := controllers.Deps{
		Client:   mgr.GetClient(),
		Live:     mgr.GetAPIReader(),
		Facts:    facts.Reader{Reader: mgr.GetClient(), Clock: o.clock, Guard: policies.State},
		Recorder: mgr.GetEventRecorder("orgkeeper"),
		Clock:    o.clock,
		Steady:   hasty{},
		Roles:    rbac.Roles{View: "view", Edit: "edit", Admin: "orgkeeper:workspace-admin"},
		Invitations: controllers.Invitations{
			SMTP:      o.mail.client(t),
			Keys:      o.keys,
			From:      mail.Address{Name: "orgkeeper", Address: "invitations@orgkeeper.example"},
			PortalURL: "https://orgkeeper.example",
		},
		Post: controllers.NewPost(controllers.PostConfig{
			Workers: 4, LimitPerOrganization: o.mailLimit,
			Clock: o.clock, Recorder: mgr.GetEventRecorder("orgkeeper"),
			Subject: lease("orgkeeper-" + strings.ToLower(t.Name())),
		}),
		Metrics: metrics,
	}
	o.registry.MustRegister(d.Post.Collector())
	if o.change != nil {
		o.change(&d)
	}
	return d
}

// stepClock tells the real time, and later by what the test stepped.
type stepClock struct{ ahead atomic.Int64 }

func (c *stepClock) Now() time.Time                  { return time.Now().Add(time.Duration(c.ahead.Load())) }
func (c *stepClock) Since(t time.Time) time.Duration { return c.Now().Sub(t) }
func (c *stepClock) Step(d time.Duration)            { c.ahead.Add(int64(d)) }

// hasty measures the time that passes, and ticks a hundred times as often as it is asked to.
type hasty struct{ clock.RealClock }

func (h hasty) NewTicker(d time.Duration) clock.Ticker { return h.RealClock.NewTicker(d / 100) }

// logbook keeps what operators log, and what Kubernetes' libraries log for them.
type logbook struct {
	mu         sync.Mutex
	lines      []string
	reconciles map[string]map[string]int // by namespace and controller
}

// present is what the operator of the present test logs. Tests with operators run one after the other.
var present = &logbook{reconciles: map[string]map[string]int{}}

func (l *logbook) logger() logr.Logger {
	return funcr.New(func(prefix, args string) {
		l.mu.Lock()
		defer l.mu.Unlock()
		if found := reconciling.FindStringSubmatch(args); found != nil {
			controller, namespace := found[1], found[2]
			if l.reconciles[namespace] == nil {
				l.reconciles[namespace] = map[string]int{}
			}
			l.reconciles[namespace][controller]++
			return
		}
		if !machinery.MatchString(args) {
			l.lines = append(l.lines, prefix+" "+noise.ReplaceAllString(args, ""))
		}
	}, funcr.Options{Verbosity: 5}) // controller-runtime tells of each reconcile at 5
}

var reconciling = regexp.MustCompile(`"msg"="Reconciling" "controller"="(\w+)".* "namespace"="([^"]+)"`)

// reconciled counts, by controller, the reconciles of objects in the home.
func (h *home) reconciled() map[string]int {
	h.log.mu.Lock()
	defer h.log.mu.Unlock()
	return maps.Clone(h.log.reconciles[h.name])
}

// harmless are errors that concern nobody: a home goes before the operator knows, and refuses its Event; the operator is
// stopped while client-go reads or while it starts; a binding cannot be written in the tests that make it so.
var harmless = regexp.MustCompile(`Server rejected event.*because it is being terminated|did not sync|failed waiting for .* Informer to sync|request is too large|bind was taken away|somebody's webhook does not like it|"error"="[^"]*(\\"[^"]*)*context canceled"`)

// machinery are the lines that say nothing but that the manager starts and stops.
var machinery = regexp.MustCompile(`"msg"="(Starting|Stopping|Shutdown|All workers|Wait completed|Reconcile )|"level"=[1-9]`)

// noise are the values that help nobody to read a failed test.
var noise = regexp.MustCompile(` ?"(level|controllerGroup|controllerKind|reconcileID|Org\w+|Work\w+)"=(0|"orgkeeper.dev"|"[A-Z][A-Za-z]+"|"[0-9a-f-]{36}"|{"name"=[^}]*})`)

func (l *logbook) open() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines, l.reconciles = nil, map[string]map[string]int{}
}

// check fails the test when an error was logged, or a line tells who was invited.
func (l *logbook) check(t *testing.T) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.lines {
		if strings.Contains(line, `"error"=`) && !harmless.MatchString(line) {
			t.Errorf("the operator logged an error: %s", line)
		}
		if strings.Contains(line, addressDomain) || strings.Contains(line, "/i/") {
			t.Errorf("the operator logged an address or a link: %s", line)
		}
	}
	if t.Failed() {
		t.Logf("the operator's log:\n%s", strings.Join(l.lines[max(0, len(l.lines)-60):], "\n"))
	}
}

// lease stands for the operator, of another version each time it is asked for.
func lease(name string) func() runtime.Object {
	var version atomic.Int64
	return func() runtime.Object {
		return &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, ResourceVersion: strconv.FormatInt(version.Add(1), 10)}}
	}
}
