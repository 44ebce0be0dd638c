// Copyright The orgkeeper Authors.
// SPDX-License-Identifier: Apache-2.0

package stack

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/orgkeeper/orgkeeper/internal/invite"
	"github.com/orgkeeper/orgkeeper/test/cluster"
)

// lab is a control plane on which operators start, die and come back. Each runs with the rights of config/rbac alone.
type lab struct {
	*cluster.Cluster
	admin    client.WithWatch // cluster-admin
	operator client.Client    // what the operator itself may do
	keys     *invite.Keys     // of the links

	dir     string
	portals [2]string // addresses of the invitation pages; mails lead to the first
	ops     [2]string // addresses of metrics and health

	mu      sync.Mutex
	logs    []string // of all operators so far
	secrets []string // what none of them must hold
}

func newLab(t *testing.T) *lab {
	t.Helper()
	c, err := cluster.Start()
	check(t, err)
	t.Cleanup(func() { check(t, c.Stop()) })
	check(t, c.Install(t.Context()))
	l := &lab{
		Cluster: c, admin: newClient(t, c.Admin), dir: t.TempDir(),
		portals: [2]string{claimAddress(t), claimAddress(t)},
		ops:     [2]string{claimAddress(t), claimAddress(t)},
	}
	check(t, c.OperatorKubeconfig(t.Context(), l.file("kubeconfig")))
	config, err := c.Operator(t.Context())
	check(t, err)
	l.operator = newClient(t, config)

	check(t, os.Mkdir(l.file("keys"), 0o700))
	key := make([]byte, 32)
	_, err = rand.Read(key)
	check(t, err)
	check(t, os.WriteFile(l.file("keys/1"), key, 0o600))
	l.keys, err = invite.LoadKeys(l.file("keys"))
	check(t, err)
	return l
}

func (l *lab) file(name string) string { return filepath.Join(l.dir, name) }

// process is a running operator.
type process struct {
	portal, ops string // addresses
	log         string
	cmd         *exec.Cmd
	exited      chan struct{} // closed when it ended; exit is then its error
	exit        error
}

// launch starts an operator, in the first or second place, and does not wait for it.
func (l *lab) launch(place int, mails string, flags ...string) (*process, error) {
	l.mu.Lock()
	p := &process{
		portal: l.portals[place], ops: l.ops[place],
		log:    l.file(fmt.Sprintf("orgkeeper-%d.log", len(l.logs))),
		exited: make(chan struct{}),
	}
	l.logs = append(l.logs, p.log)
	l.mu.Unlock()
	log, err := os.Create(p.log)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	p.cmd = exec.Command(binary, append([]string{
		"--kubeconfig=" + l.file("kubeconfig"),
		"--leader-elect-namespace=orgkeeper-system",
		"--portal-bind-address=" + p.portal, "--portal-url=http://" + l.portals[0],
		"--portal-rate-limit=0", "--portal-link-rate-limit=0", // a whole organization answers from one address
		"--metrics-bind-address=" + p.ops,
		"--invitation-keys-dir=" + l.file("keys"),
		"--mail-from=invitations@orgkeeper.example",
		"--smtp-address=" + mails, "--smtp-tls=none",
	}, flags...)...)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.SysProcAttr = endWithTest()
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		p.exit = p.cmd.Wait()
		close(p.exited)
	}()
	return p, nil
}

// start starts an operator, waits until it is ready, and ends it with the test at the latest.
func (l *lab) start(t *testing.T, place int, mails string, flags ...string) *process {
	t.Helper()
	p, err := l.launch(place, mails, flags...)
	check(t, err)
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("%s:\n%s", filepath.Base(p.log), p.said())
		}
	})
	eventually(t, long, "the operator", p.ready)
	return p
}

// ready fails until the operator serves with a full cache.
func (p *process) ready() error {
	select {
	case <-p.exited:
		return fmt.Errorf("the operator ended: %w\n%s", p.exit, p.said())
	default:
	}
	a, err := visit(http.MethodGet, "http://"+p.ops+"/readyz")
	if err == nil && a.code != http.StatusOK {
		err = fmt.Errorf("readyz: %d", a.code)
	}
	return err
}

// said is the log without the many lines of every start.
func (p *process) said() string {
	content, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	var kept strings.Builder
	for line := range strings.Lines(string(content)) {
		if !strings.Contains(line, `"msg":"Starting `) {
			kept.WriteString(line)
		}
	}
	return kept.String()
}

// kill ends an operator as a crash would and returns when it is gone.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may be gone already
	<-p.exited
}

// ask asks an operator to stop.
func (p *process) ask() error { return p.cmd.Process.Signal(syscall.SIGTERM) }

// gone waits until an operator that was asked has stopped, without a complaint.
func (p *process) gone(t *testing.T) {
	t.Helper()
	select {
	case <-p.exited:
	case <-time.After(long):
		t.Fatalf("the operator goes on after SIGTERM:\n%s", p.said())
	}
	if p.exit != nil {
		t.Fatalf("the operator ended with %v:\n%s", p.exit, p.said())
	}
}

// kept is an operator that is started again whenever it ends, as a kubelet does.
type kept struct {
	now   atomic.Pointer[process]
	stop  func()  // asks the operator to stop and waits
	ended []error // how it ended when nobody asked; of use after stop
}

// keep keeps an operator running until the test ends or stop is called.
func (l *lab) keep(t *testing.T, mails string, flags ...string) *kept {
	ctx, cancel := context.WithCancel(t.Context())
	k, done := &kept{}, make(chan struct{})
	k.stop = func() {
		cancel()
		<-done
	}
	t.Cleanup(k.stop)
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			p, err := l.launch(0, mails, flags...)
			if err != nil {
				t.Error(err)
				return
			}
			k.now.Store(p)
			select {
			case <-p.exited:
				k.ended = append(k.ended, p.exit)
			case <-ctx.Done():
				p.end()
			}
		}
	}()
	return k
}

// end asks an operator to stop, and insists.
func (p *process) end() {
	_ = p.ask()
	select {
	case <-p.exited:
	case <-time.After(long):
		p.kill()
	}
}

// noteSecrets keeps what the operators' logs must not hold.
func (l *lab) noteSecrets(o *organization) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.secrets = append(l.secrets, "@"+o.home+".example") // of everybody's address
	for _, m := range o.mails.all() {
		if m.link != "" {
			l.secrets = append(l.secrets, token(m.link))
		}
	}
}

// create makes objects, however often the API server has to be asked.
func (l *lab) create(t testing.TB, objects ...client.Object) {
	t.Helper()
	for _, obj := range objects {
		eventually(t, long, fmt.Sprintf("create %T %s", obj, obj.GetName()), func() error {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			return client.IgnoreAlreadyExists(l.admin.Create(ctx, obj.DeepCopyObject().(client.Object)))
		})
	}
}

// errNotYet is for what is merely late.
var errNotYet = errors.New("not yet")
