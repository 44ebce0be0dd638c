// Copyright The orgkeeper Authors.
// SPDX-License-Identifier: Apache-2.0

// Package cluster gives Go tests and benchmarks a real Kubernetes control plane of their own: etcd, kube-apiserver and
// kube-controller-manager, started by bin/devcluster in a temporary directory on ports that nothing else uses.
//
// It knows nothing of organizations. Tests say what to install (Kustomize, Apply) and as whom to act: Admin is
// cluster-admin, As is a person, Operator is the operator with exactly the rights that config/rbac gives it.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

const (
	module = "module github.com/orgkeeper/orgkeeper\n"

	operatorNamespace = "orgkeeper-system"
	operatorAccount   = "orgkeeper"

	// A start takes some four seconds alone on two cores; beside compilers and other clusters many times that.
	startTimeout = 3 * time.Minute
	// devcluster kills what does not stop within its own, shorter, limits.
	stopTimeout = time.Minute
)

// Cluster is a running control plane.
type Cluster struct {
	Dir        string       // holds its data, keys and logs (log/<component>.log, log/audit.log); removed by Stop, unless InDir named it
	Kubeconfig string       // a file, for cluster-admin
	Kubectl    string       // the binary
	Admin      *rest.Config // cluster-admin

	root   string // of the repository
	keep   bool   // the directory, at the end
	stdin  io.Closer
	exited chan struct{} // closed when devcluster ended; exit is then its error
	exit   error
}

// settings say how a control plane is started.
type settings struct {
	dir  string // empty for a temporary one
	args []string
}

// Option alters how a control plane is started.
type Option func(*settings)

// AuditWebhook has kube-apiserver send its audit events to the endpoint that a kubeconfig names, from its first request on.
func AuditWebhook(kubeconfig string) Option {
	return func(s *settings) { s.args = append(s.args, "--audit-webhook-config-file", kubeconfig) }
}

// AuditPolicy says which requests are in the audit log, by a file, instead of devcluster's own policy.
func AuditPolicy(file string) Option {
	return func(s *settings) { s.args = append(s.args, "--audit-policy-file", file) }
}

// InDir keeps the control plane in a directory that stays, so that a later start goes on with it.
func InDir(dir string) Option {
	return func(s *settings) { s.dir = dir }
}

// Start starts a control plane and returns when it can be used. It goes when Stop is called or when the test's process
// ends, however it ends. KUBEBUILDER_ASSETS is honoured: etcd, kube-apiserver and kubectl are taken from there.
func Start(options ...Option) (*Cluster, error) {
	root, err := repositoryRoot()
	if err != nil {
		return nil, err
	}
	bin := filepath.Join(root, "bin")
	for _, name := range []string{"devcluster", "kube-controller-manager", "kubectl"} {
		if _, err := os.Stat(filepath.Join(bin, name)); err != nil {
			return nil, fmt.Errorf("no control plane to test with: run make devcluster first (make test does): %w", err)
		}
	}
	var s settings
	for _, option := range options {
		option(&s)
	}
	dir := s.dir
	if dir == "" {
		if dir, err = os.MkdirTemp("", "orgkeeper-cluster-"); err != nil {
			return nil, err
		}
	}
	c := &Cluster{
		Dir:        dir,
		Kubeconfig: filepath.Join(dir, "kubeconfig"),
		Kubectl:    kubectl(bin),
		root:       root,
		keep:       s.dir != "",
		exited:     make(chan struct{}),
	}
	if err := c.start(filepath.Join(bin, "devcluster"), s.args); err != nil {
		return nil, errors.Join(err, c.Stop())
	}
	return c, nil
}

func (c *Cluster) start(devcluster string, extra []string) error {
	// A file and not a pipe: devcluster shall be able to write while it stops after our death.
	output, err := os.Create(filepath.Join(c.Dir, "devcluster.log"))
	if err != nil {
		return err
	}
	defer func() { _ = output.Close() }() // devcluster has its own handle
	cmd := exec.Command(devcluster, append([]string{"up", "--dir", c.Dir, "--free-ports", "--until-stdin-closes"}, extra...)...)
	cmd.Stdout, cmd.Stderr = output, output
	if c.stdin, err = cmd.StdinPipe(); err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		c.stdin = nil
		return fmt.Errorf("start devcluster: %w", err)
	}
	go func() {
		c.exit = cmd.Wait()
		close(c.exited)
	}()
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	err = c.poll(ctx, func() error {
		_, err := os.Stat(filepath.Join(c.Dir, "cluster-ready"))
		return err
	})
	if err != nil {
		said, _ := os.ReadFile(output.Name())
		return fmt.Errorf("start a control plane: %w\n%s", err, said)
	}
	c.Admin, err = clientcmd.BuildConfigFromFlags("", c.Kubeconfig)
	if err != nil {
		return err
	}
	c.Admin.QPS = -1 // no limit: a test that waits for its own client measures nothing
	return nil
}

// Stop ends the control plane and removes its directory, unless InDir named it. A test that needs the logs afterwards copies them before.
func (c *Cluster) Stop() error {
	var err error
	if c.stdin != nil {
		_ = c.stdin.Close()
		select {
		case <-c.exited:
			err = c.exit
		case <-time.After(stopTimeout):
			err = fmt.Errorf("devcluster did not stop within %s", stopTimeout)
		}
	}
	if c.keep {
		return err
	}
	return errors.Join(err, os.RemoveAll(c.Dir))
}

// As acts for a person: a user of the given name who belongs to the groups and, like everybody, to system:authenticated.
func (c *Cluster) As(user string, groups ...string) *rest.Config {
	config := rest.CopyConfig(c.Admin)
	config.Impersonate = rest.ImpersonationConfig{
		UserName: user,
		Groups:   append([]string{"system:authenticated"}, groups...),
	}
	return config
}

// Operator acts with the rights of the operator's service account, orgkeeper-system/orgkeeper, and no others. The account
// must exist: install config/default or config/rbac first.
func (c *Cluster) Operator(ctx context.Context) (*rest.Config, error) {
	token, err := c.Run(ctx, "create", "token", operatorAccount, "--namespace", operatorNamespace, "--duration", "24h")
	if err != nil {
		return nil, err
	}
	config := rest.AnonymousClientConfig(c.Admin)
	config.BearerToken = strings.TrimSpace(token)
	config.QPS = -1
	return config, nil
}

// OperatorKubeconfig writes a kubeconfig with the rights of Operator to path, for running the operator's binary.
func (c *Cluster) OperatorKubeconfig(ctx context.Context, path string) error {
	config, err := c.Operator(ctx)
	if err != nil {
		return err
	}
	const name = "operator"
	return clientcmd.WriteToFile(clientcmdapi.Config{
		Clusters: map[string]*clientcmdapi.Cluster{
			name: {Server: config.Host, CertificateAuthorityData: config.CAData},
		},
		AuthInfos:      map[string]*clientcmdapi.AuthInfo{name: {Token: config.BearerToken}},
		Contexts:       map[string]*clientcmdapi.Context{name: {Cluster: name, AuthInfo: name}},
		CurrentContext: name,
	}, path)
}

// Run runs kubectl as cluster-admin, in the repository's root, and returns what it prints. Its error has what it complains.
func (c *Cluster) Run(ctx context.Context, args ...string) (string, error) {
	// A cache of its own: the one in the home directory may know another cluster by the same port.
	all := append([]string{"--kubeconfig", c.Kubeconfig, "--cache-dir", filepath.Join(c.Dir, "cache")}, args...)
	cmd := exec.CommandContext(ctx, c.Kubectl, all...)
	cmd.Dir = c.root
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return stdout.String(), nil
}

// Apply applies files or directories of YAML, relative to the repository's root unless absolute, server-side, and waits
// until every CustomResourceDefinition can be used.
func (c *Cluster) Apply(ctx context.Context, paths ...string) error {
	args := []string{"apply", "--server-side"}
	for _, path := range paths {
		args = append(args, "-f", path)
	}
	return c.apply(ctx, args)
}

// Kustomize applies a kustomization, otherwise like Apply.
func (c *Cluster) Kustomize(ctx context.Context, dir string) error {
	return c.apply(ctx, []string{"apply", "--server-side", "-k", dir})
}

func (c *Cluster) apply(ctx context.Context, args []string) error {
	if _, err := c.Run(ctx, args...); err != nil {
		return err
	}
	crds, err := c.Run(ctx, "get", "crd", "--output", "name")
	if err != nil || crds == "" {
		return err
	}
	_, err = c.Run(ctx, "wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
	return err
}

// KillAPIServer ends kube-apiserver as a crash would and returns when it is dead. It is then started again: WaitReady waits
// for that.
func (c *Cluster) KillAPIServer() error {
	file := filepath.Join(c.Dir, "run", "kube-apiserver.pid")
	content, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("kill kube-apiserver: %w", err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(content)))
	if err != nil {
		return fmt.Errorf("kill kube-apiserver: %s: %w", file, err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		return fmt.Errorf("kill kube-apiserver: %w", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return c.poll(ctx, func() error {
		if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("kube-apiserver (%d) is still there after SIGKILL", pid)
		}
		return nil
	})
}

// WaitReady returns when kube-apiserver says that it is ready.
func (c *Cluster) WaitReady(ctx context.Context) error {
	config := rest.CopyConfig(c.Admin)
	config.Timeout = 5 * time.Second
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return err
	}
	return c.poll(ctx, func() error {
		answer, err := client.Get(config.Host + "/readyz")
		if err != nil {
			return err
		}
		_ = answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			return fmt.Errorf("kube-apiserver is not ready: %s", answer.Status)
		}
		return nil
	})
}

// poll tries until there is no error, ctx ends or devcluster does. For what offers nothing to wait on: files, processes.
func (c *Cluster) poll(ctx context.Context, try func() error) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		case <-c.exited:
			return errors.Join(errors.New("devcluster ended"), c.exit)
		case <-tick.C:
		}
	}
}

// repositoryRoot walks up from the test's working directory, which is that of its package.
func repositoryRoot() (string, error) {
	start, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		content, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && strings.HasPrefix(string(content), module) {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("%s is not inside the orgkeeper repository", start)
		}
	}
}

// kubectl prefers the one that KUBEBUILDER_ASSETS brings.
func kubectl(bin string) string {
	if assets := os.Getenv("KUBEBUILDER_ASSETS"); assets != "" {
		if file := filepath.Join(assets, "kubectl"); exists(file) {
			return file
		}
	}
	return filepath.Join(bin, "kubectl")
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}
