// Copyright The orgkeeper Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/smtp"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The test binary stands in for two programs: for devcluster, and for the operator that devcluster runs.
func TestMain(m *testing.M) {
	if os.Getenv("DEVCLUSTER_TEST") == "" {
		_ = os.Setenv("DEVCLUSTER_TEST", "child")
		os.Exit(m.Run())
	}
	if command := os.Args[1]; command == "up" || command == "run" {
		main()
		return
	}
	if err := standInOperator(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// standInOperator takes the flags that devcluster and the operator agreed on, no others, sends a mail and is ready.
func standInOperator(args []string) error {
	flags := flag.NewFlagSet("operator", flag.ContinueOnError)
	kubeconfig := flags.String("kubeconfig", "", "")
	_ = flags.Bool("leader-elect", false, "")
	_ = flags.String("leader-elect-namespace", "", "")
	_ = flags.String("portal-bind-address", "", "")
	_ = flags.String("portal-url", "", "")
	metrics := flags.String("metrics-bind-address", "", "")
	keys := flags.String("invitation-keys-dir", "", "")
	from := flags.String("mail-from", "", "")
	server := flags.String("smtp-address", "", "")
	_ = flags.String("smtp-tls", "", "")
	for _, name := range []string{"bind-address", "tls-cert-file", "tls-key-file", "client-ca-file", "client-names", "impersonators"} {
		_ = flags.String("activity-"+name, "", "")
	}
	_ = flags.String("assignable", "", "")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if _, err := os.Stat(*kubeconfig); err != nil {
		return err
	}
	key, err := os.ReadFile(filepath.Join(*keys, "1"))
	if err != nil {
		return err
	}
	if raw, err := base64.StdEncoding.DecodeString(string(key)); err != nil || len(raw) != 32 {
		return fmt.Errorf("the invitation key must be 32 bytes in base64: %d bytes, %w", len(raw), err)
	}
	if err := smtp.SendMail(*server, nil, *from, []string{"mia@acme.example"}, []byte("Subject: hello\r\n\r\n")); err != nil {
		return err
	}
	return http.ListenAndServe(*metrics, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
}

// instance is a devcluster that a test started.
type instance struct {
	t     *testing.T
	dir   string
	cmd   *exec.Cmd
	stdin io.Closer

	mu     sync.Mutex
	output bytes.Buffer
	exited chan struct{}
}

// launch starts devcluster with the binaries of the repository's bin.
func launch(t *testing.T, dir string, args ...string) *instance {
	t.Helper()
	bin, err := filepath.Abs("../../bin")
	if err != nil {
		t.Fatal(err)
	}
	if !isFile(filepath.Join(bin, "kube-controller-manager")) {
		t.Fatal("no control plane in bin: run make devcluster first (make test does)")
	}
	in := &instance{t: t, dir: dir, exited: make(chan struct{})}
	in.cmd = exec.Command(os.Args[0], append(args, "--dir", dir, "--assets", bin)...)
	stdout, err := in.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	in.cmd.Stderr = in.cmd.Stdout
	if in.stdin, err = in.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := in.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(in.exited)
		lines := bufio.NewScanner(stdout)
		for lines.Scan() {
			in.mu.Lock()
			fmt.Fprintln(&in.output, lines.Text())
			in.mu.Unlock()
		}
		_ = in.cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = in.cmd.Process.Kill()
		<-in.exited
		if t.Failed() {
			t.Logf("devcluster in %s said:\n%s", filepath.Base(dir), in.said())
		}
	})
	return in
}

func (in *instance) said() string {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.output.String()
}

// wait fails the test unless try succeeds in time.
func (in *instance) wait(what string, try func() error) {
	in.t.Helper()
	err := eventually(in.t.Context(), 90*time.Second, what, func(context.Context) error { return try() }, func() error {
		select {
		case <-in.exited:
			return fmt.Errorf("wait for %s: devcluster ended", what)
		default:
			return nil
		}
	})
	if err != nil {
		in.t.Fatal(err)
	}
}

func (in *instance) waitForFile(name string) {
	in.t.Helper()
	in.wait(name, func() error {
		_, err := os.Stat(filepath.Join(in.dir, name))
		return err
	})
}

// ended waits for devcluster to end by itself and returns its exit code.
func (in *instance) ended() int {
	in.t.Helper()
	select {
	case <-in.exited:
		return in.cmd.ProcessState.ExitCode()
	case <-time.After(time.Minute):
		in.t.Fatal("devcluster does not end")
		return 0
	}
}

func (in *instance) pid(name string) int {
	in.t.Helper()
	content, err := os.ReadFile(filepath.Join(in.dir, "run", name+".pid"))
	if err != nil {
		in.t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(content)))
	if err != nil {
		in.t.Fatal(err)
	}
	return pid
}

func (in *instance) pids() map[string]int {
	in.t.Helper()
	all := map[string]int{}
	for _, name := range []string{"etcd", "kube-apiserver", "kube-controller-manager"} {
		all[name] = in.pid(name)
	}
	return all
}

// kill ends a component as a crash would and waits until another has taken its place.
func (in *instance) kill(name string) {
	in.t.Helper()
	before := in.pid(name)
	if err := syscall.Kill(before, syscall.SIGKILL); err != nil {
		in.t.Fatal(err)
	}
	in.wait(name+" to come back", func() error {
		content, err := os.ReadFile(filepath.Join(in.dir, "run", name+".pid"))
		if err != nil {
			return err
		}
		if strings.TrimSpace(string(content)) == strconv.Itoa(before) {
			return errors.New("still the same")
		}
		return nil
	})
}

func (in *instance) kubectl(args ...string) (string, error) {
	cmd := exec.Command("../../bin/kubectl", append([]string{
		"--kubeconfig", filepath.Join(in.dir, "kubeconfig"), "--cache-dir", filepath.Join(in.dir, "cache"),
	}, args...)...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// mustBeGone fails the test if a process is still there a moment later: the kernel takes one to end it.
func mustBeGone(t *testing.T, pids map[string]int) {
	t.Helper()
	for name, pid := range pids {
		err := eventually(t.Context(), 10*time.Second, name+" to be gone", func(context.Context) error {
			if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
				return fmt.Errorf("process %d is there: %w", pid, err)
			}
			return nil
		}, func() error { return nil })
		if err != nil {
			t.Error(err)
		}
	}
}

func TestTwoAtOnce(t *testing.T) {
	one := launch(t, t.TempDir(), "up", "--free-ports")
	two := launch(t, t.TempDir(), "up", "--free-ports", "--until-stdin-closes")
	for _, in := range []*instance{one, two} {
		in.waitForFile("cluster-ready")
		out, err := in.kubectl("get", "namespace", "--output", "name")
		if err != nil || !strings.Contains(out, "namespace/kube-system") {
			t.Fatalf("get namespace: %v\n%s", err, out)
		}
	}
	if out, err := one.kubectl("create", "namespace", "mine"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if out, err := two.kubectl("get", "namespace", "mine"); err == nil {
		t.Errorf("two clusters share data:\n%s", out)
	}

	info, err := os.Stat(filepath.Join(one.dir, "kubeconfig"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("a cluster-admin's kubeconfig must be its owner's alone: %v, %v", info.Mode(), err)
	}
	if out, err := launchAndFail(t, one.dir, "up", "--free-ports"); err == nil || !strings.Contains(out, "runs in") {
		t.Errorf("a second devcluster in the same directory must be refused, it said: %s", out)
	}

	t.Run("what crashes comes back", func(t *testing.T) {
		for _, name := range []string{"kube-apiserver", "etcd", "kube-controller-manager"} {
			one.kill(name)
		}
		one.wait("the API", func() error {
			out, err := one.kubectl("get", "namespace", "mine")
			if err != nil {
				return fmt.Errorf("%w: %s", err, out)
			}
			return nil
		})
		// Its controllers too: deleting a namespace takes them.
		if out, err := one.kubectl("delete", "namespace", "mine", "--timeout=60s"); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	})

	t.Run("SIGTERM stops it", func(t *testing.T) {
		pids := one.pids()
		if err := one.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if code := one.ended(); code != 0 {
			t.Errorf("exit code %d", code)
		}
		mustBeGone(t, pids)
		for _, pattern := range []string{"cluster-ready", "run/*.pid"} {
			if left, _ := filepath.Glob(filepath.Join(one.dir, pattern)); len(left) != 0 {
				t.Errorf("left behind: %v", left)
			}
		}
	})

	t.Run("closing standard input stops it", func(t *testing.T) {
		pids := two.pids()
		_ = two.stdin.Close()
		if code := two.ended(); code != 0 {
			t.Errorf("exit code %d", code)
		}
		mustBeGone(t, pids)
	})
}

func TestRun(t *testing.T) {
	dir := t.TempDir()
	args := []string{"run", "--free-ports", "--operator", os.Args[0], "--config", "testdata/config", "--samples", "testdata/samples"}
	in := launch(t, dir, args...)
	in.waitForFile("ready")
	in.wait("its last word", func() error {
		if !strings.Contains(in.said(), "orgkeeper is ready\n") {
			return errors.New("not said")
		}
		return nil
	})
	content, err := os.ReadFile(filepath.Join(dir, "ports.json"))
	if err != nil {
		t.Fatal(err)
	}
	var p ports
	if err := json.Unmarshal(content, &p); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{localURL("http", p.Portal), localURL("http", p.Metrics), localURL("http", p.Inbox), "export KUBECONFIG="} {
		if !strings.Contains(in.said(), want) {
			t.Errorf("it does not tell %s", want)
		}
	}
	if out, err := in.kubectl("get", "thing", "sample", "--namespace", "acme"); err != nil {
		t.Errorf("the samples are not there: %v\n%s", err, out)
	}
	if who := whoIsOperator(t, dir); who != "system:serviceaccount:orgkeeper-system:orgkeeper" {
		t.Errorf("the operator acts as %s", who)
	}
	if mails, _ := filepath.Glob(filepath.Join(dir, "mail", "*.eml")); len(mails) != 1 {
		t.Errorf("the operator sent one mail, there are: %v", mails)
	}
	in.kill("orgkeeper")
	in.wait("the operator to be ready again", func() error {
		resp, err := http.Get(localURL("http", p.Metrics) + "/readyz")
		if err != nil {
			return err
		}
		return resp.Body.Close()
	})

	// The worst end: nothing is stopped in order. The next run must find everything in place.
	if out, err := in.kubectl("create", "namespace", "kept"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	key, err := os.ReadFile(filepath.Join(dir, "keys", "1"))
	if err != nil {
		t.Fatal(err)
	}
	pids := in.pids()
	pids["orgkeeper"] = in.pid("orgkeeper")
	if err := in.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	in.ended()
	mustBeGone(t, pids)
	again := launch(t, dir, args...)
	again.wait("the marks of the killed run to go, and the new one's to come", func() error {
		if !strings.Contains(again.said(), "orgkeeper is ready\n") {
			return errors.New("not said")
		}
		return nil
	})
	if out, err := again.kubectl("get", "namespace", "kept"); err != nil {
		t.Errorf("data must last: %v\n%s", err, out)
	}
	if now, err := os.ReadFile(filepath.Join(dir, "keys", "1")); err != nil || !bytes.Equal(now, key) {
		t.Errorf("invitation links must outlive a restart, the key changed (%v)", err)
	}
	if err := again.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if code := again.ended(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if _, err := os.Stat(filepath.Join(dir, "ready")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the mark stays: %v", err)
	}
}

func TestFailures(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	port := taken.Addr().(*net.TCPAddr).Port
	for name, test := range map[string]struct {
		args []string
		want []string
	}{
		"a taken port is named, with the way out": {
			args: []string{"up", "--port-offset", strconv.Itoa(port - 6443)},
			want: []string{fmt.Sprintf("port %d is taken", port), "PORT_OFFSET"},
		},
		"an operator that is not built": {
			args: []string{"run", "--free-ports", "--operator", "nowhere/orgkeeper"},
			want: []string{"nowhere/orgkeeper is missing", "make build"},
		},
		"an operator that does not stay up": {
			args: []string{"run", "--free-ports", "--operator", "/bin/false", "--config", "testdata/config"},
			want: []string{"orgkeeper ended (exit status 1)", "orgkeeper does not stay up"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := launchAndFail(t, t.TempDir(), test.args...)
			if err == nil {
				t.Error("it must fail")
			}
			for _, want := range test.want {
				if !strings.Contains(out, want) {
					t.Errorf("it must say %q, it said: %s", want, out)
				}
			}
		})
	}
}

func launchAndFail(t *testing.T, dir string, args ...string) (string, error) {
	t.Helper()
	in := launch(t, dir, args...)
	if code := in.ended(); code != 0 {
		return in.said(), fmt.Errorf("exit code %d", code)
	}
	return in.said(), nil
}

// whoIsOperator asks the API server whom it sees behind the operator's kubeconfig.
func whoIsOperator(t *testing.T, dir string) string {
	t.Helper()
	out, err := exec.Command("../../bin/kubectl", "--kubeconfig", filepath.Join(dir, "operator.kubeconfig"),
		"auth", "whoami", "--output", "jsonpath={.status.userInfo.username}").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return string(out)
}
