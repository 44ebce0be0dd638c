package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/go-logr/logr"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/test/cluster"
)

// bench is a control plane, the operator and everybody around it.
type bench struct {
	shape
	dir     string
	options options
	plane   *cluster.Cluster
	ports   ports
	running atomic.Pointer[operator]
	mails   *mails
	audit   *audit

	admin     client.WithWatch // asks about access, and looks
	pipeline  client.Client    // declares, with the rights of orgkeeper:platform and on namespaces
	asItself  client.Client    // the operator's own rights, for the floor
	bystander client.Client    // has nothing to do with organizations
}

// ports are those of ports.json that devcluster holds for us.
type ports struct{ SMTP, Portal, Metrics int }

// Only what the operator does, all of it: leases and Events too.
const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
  users: ["system:serviceaccount:orgkeeper-system:orgkeeper"]
- level: None
`

// setup is whom the benchmark acts as.
const setup = `
apiVersion: v1
kind: Namespace
metadata: {name: bench}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: pipeline, namespace: bench}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: bystander, namespace: bench}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: "bench:namespaces"}
rules:
- {apiGroups: [""], resources: [namespaces], verbs: [get, create, delete]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: "bench:namespaces"}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: "bench:namespaces"}
subjects: [{kind: ServiceAccount, name: pipeline, namespace: bench}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: "bench:platform"}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: "orgkeeper:platform"}
subjects: [{kind: ServiceAccount, name: pipeline, namespace: bench}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: bystander, namespace: bench}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: edit}
subjects: [{kind: ServiceAccount, name: bystander, namespace: bench}]
`

// start brings everything up, or back up.
func start(ctx context.Context, o options, s shape, dir string) (*bench, error) {
	ctrl.SetLogger(logr.Discard())
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	policy := filepath.Join(dir, "audit-policy.yaml")
	if err := os.WriteFile(policy, []byte(auditPolicy), 0o600); err != nil {
		return nil, err
	}
	plane, err := cluster.Start(cluster.InDir(dir), cluster.AuditPolicy(policy))
	if err != nil {
		return nil, err
	}
	b := &bench{shape: s, dir: dir, options: o, plane: plane}
	err = b.install(ctx)
	if err == nil {
		err = b.connect(ctx)
	}
	if err != nil {
		b.stop()
		return nil, err
	}
	return b, nil
}

// install installs orgkeeper once, and waits for a control plane that is started again.
func (b *bench) install(ctx context.Context) error {
	mark := filepath.Join(b.dir, "installed")
	if _, err := os.Stat(mark); err == nil {
		return b.plane.AwaitMembers(ctx, "bench")
	}
	if err := b.plane.Install(ctx); err != nil {
		return err
	}
	file := filepath.Join(b.dir, "setup.yaml")
	if err := os.WriteFile(file, []byte(setup), 0o600); err != nil {
		return err
	}
	if err := b.plane.Apply(ctx, file); err != nil {
		return err
	}
	key := make([]byte, 32)
	rand.Read(key) // never fails
	if err := os.MkdirAll(filepath.Join(b.dir, "keys"), 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(b.dir, "keys", "1"), []byte(base64.StdEncoding.EncodeToString(key)), 0o600); err != nil {
		return err
	}
	return os.WriteFile(mark, nil, 0o600)
}

// connect makes the clients and starts the operator.
func (b *bench) connect(ctx context.Context) (err error) {
	content, err := os.ReadFile(filepath.Join(b.dir, "ports.json"))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(content, &b.ports); err != nil {
		return err
	}
	if b.mails, err = catchMails(b.dir, b.ports.SMTP); err != nil {
		return err
	}
	if b.audit, err = followAudit(filepath.Join(b.dir, "log", "audit.log")); err != nil {
		return err
	}
	own, err := b.plane.Operator(ctx)
	if err != nil {
		return err
	}
	pipeline, err1 := b.account(ctx, "pipeline")
	bystander, err2 := b.account(ctx, "bystander")
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	if b.admin, err = newClient(b.plane.Admin); err != nil {
		return err
	}
	for _, c := range []struct {
		config *rest.Config
		client *client.Client
	}{{pipeline, &b.pipeline}, {own, &b.asItself}, {bystander, &b.bystander}} {
		if *c.client, err = newClient(c.config); err != nil {
			return err
		}
	}
	if err := b.plane.OperatorKubeconfig(ctx, filepath.Join(b.dir, "operator.kubeconfig")); err != nil {
		return err
	}
	return b.startOperator(ctx)
}

// account acts as a service account of namespace bench.
func (b *bench) account(ctx context.Context, name string) (*rest.Config, error) {
	token, err := b.plane.Run(ctx, "create", "token", name, "--namespace", "bench", "--duration", "24h")
	if err != nil {
		return nil, err
	}
	config := rest.AnonymousClientConfig(b.plane.Admin)
	config.BearerToken, config.QPS = strings.TrimSpace(token), -1
	return config, nil
}

func newClient(config *rest.Config) (client.WithWatch, error) {
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return nil, err
	}
	return client.NewWithWatch(config, client.Options{Scheme: scheme})
}

// stop ends everything. Data and results stay.
func (b *bench) stop() {
	if b.operator() != nil {
		b.operator().end()
	}
	if b.mails != nil {
		b.mails.close()
	}
	if b.audit != nil {
		b.audit.close()
	}
	if err := b.plane.Stop(); err != nil {
		say("%v", err)
	}
}

// home makes sure that the bystander's object is there.
func (b *bench) home(ctx context.Context) error {
	return client.IgnoreAlreadyExists(b.bystander.Create(ctx, bystanders()))
}

// eventually tries until there is no error; the last try's is told when ctx ends. Nothing is waited for that only the operator
// could do once that has ended.
func eventually(ctx context.Context, every time.Duration, try func() error) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		err := try()
		if err == nil || errors.Is(err, errEnded) {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		case <-tick.C:
		}
	}
}

// bystanders is the object that the bystander works with.
func bystanders() *corev1.ConfigMap {
	c := &corev1.ConfigMap{Data: map[string]string{"a": "b"}}
	c.Namespace, c.Name = "bench", "bystander"
	return c
}
