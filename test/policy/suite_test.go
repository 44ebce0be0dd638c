// Copyright The orgkeeper Authors.
// SPDX-License-Identifier: Apache-2.0

// Package policy asks a real API server, as the people themselves, who may do what in an organization: every cell of the
// table (TestTable), every way around it that we know (TestNoWayAround), what nobody may (TestInvariants), what must never
// be held up (TestGoing), and two who act at once (TestRaces). The operator is its real binary with the rights of
// config/rbac, and can be stopped: the rules hold without it.
package policy

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/test/cluster"
)

const (
	binary = "../../bin/orgkeeper"
	soon   = 30 * time.Second
)

// One control plane with config/default for all tests of the package; tests have homes of their own in it.
var (
	plane  *cluster.Cluster
	admin  client.WithWatch // cluster-admin
	scheme = runtime.NewScheme()
)

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	ctrl.SetLogger(logr.Discard())
	if _, err := os.Stat(binary); err != nil {
		return 1, fmt.Errorf("no operator to test: run make build first (make test does): %w", err)
	}
	if plane, err = cluster.Start(); err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, plane.Stop()) }()
	if err := plane.Install(context.Background()); err != nil {
		return 1, err
	}
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return 1, err
	}
	if admin, err = client.NewWithWatch(plane.Admin, client.Options{Scheme: scheme}); err != nil {
		return 1, err
	}
	return m.Run(), nil
}

// as is a client that acts for a person.
func as(t testing.TB, user string, groups ...string) client.WithWatch {
	t.Helper()
	return clientFor(t, plane.As(user, groups...))
}

// nobody is a client without credentials.
func nobody(t testing.TB) client.WithWatch {
	t.Helper()
	return clientFor(t, rest.AnonymousClientConfig(plane.Admin))
}

func clientFor(t testing.TB, config *rest.Config) client.WithWatch {
	t.Helper()
	c, err := client.NewWithWatch(config, client.Options{Scheme: scheme, Mapper: admin.RESTMapper()})
	check(t, err)
	return c
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// eventually fails the test unless try succeeds in time; try's last error says why.
func eventually(t testing.TB, what string, try func() error) {
	t.Helper()
	gomega.NewWithT(t).Eventually(try).WithTimeout(soon).WithPolling(20*time.Millisecond).Should(gomega.Succeed(), what)
}

// operate runs the operator until the test ends or the returned function is called. It has no mail server: people join
// without being asked, or stay Pending.
func operate(t testing.TB) (stop func()) {
	t.Helper()
	dir, opsAddress := t.TempDir(), freeAddress(t)
	check(t, plane.OperatorKubeconfig(t.Context(), filepath.Join(dir, "kubeconfig")))
	check(t, os.Mkdir(filepath.Join(dir, "keys"), 0o700))
	key := make([]byte, 32)
	rand.Read(key) // never fails
	check(t, os.WriteFile(filepath.Join(dir, "keys", "1"), key, 0o600))
	log, err := os.Create(filepath.Join(dir, "orgkeeper.log"))
	check(t, err)
	cmd := exec.Command(binary,
		"--kubeconfig="+filepath.Join(dir, "kubeconfig"), "--leader-elect=false",
		"--portal-bind-address=127.0.0.1:0", "--portal-url=http://127.0.0.1:8080", "--metrics-bind-address="+opsAddress,
		"--invitation-keys-dir="+filepath.Join(dir, "keys"), "--mail-from=invitations@orgkeeper.example",
		"--smtp-address=127.0.0.1:9", "--smtp-tls=none")
	cmd.Stdout, cmd.Stderr = log, log
	check(t, cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	stop = func() {
		if cmd == nil {
			return
		}
		_ = cmd.Process.Signal(os.Interrupt)
		select {
		case err = <-ended:
		case <-time.After(time.Minute):
			_ = cmd.Process.Kill()
			err = <-ended
		}
		cmd = nil
		if said, _ := os.ReadFile(log.Name()); err != nil || t.Failed() {
			t.Logf("the operator ended with %v:\n%s", err, errorsIn(string(said)))
		}
	}
	t.Cleanup(stop)
	eventually(t, "the operator is ready", func() error {
		answer, err := http.Get("http://" + opsAddress + "/readyz")
		if err != nil {
			return err
		}
		defer func() { _ = answer.Body.Close() }()
		if answer.StatusCode != http.StatusOK {
			return errors.New(answer.Status)
		}
		return nil
	})
	return stop
}

// freeAddress is one that nothing listens on.
func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// errorsIn keeps of a log what tells of trouble.
func errorsIn(log string) string {
	var kept strings.Builder
	for line := range strings.Lines(log) {
		if strings.Contains(line, `"error"`) || strings.Contains(line, "Stalled") {
			kept.WriteString(line)
		}
	}
	return kept.String()
}
