// Copyright The orgkeeper Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/orgkeeper/orgkeeper/hack/devcluster/mailcatcher"
)

// clusterOptions say which cluster to start.
type clusterOptions struct {
	dir              string
	portOffset       int
	freePorts        bool
	assets           string
	untilStdinCloses bool
	auditWebhook     string // kubeconfig of where kube-apiserver sends audit events to; empty for nowhere
	auditPolicy      string // file that says which events there are; empty for our own
	mail             bool   // start the mail catcher
	operator         bool   // the operator will be started too, so its ports must be free
}

func (o *clusterOptions) addFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.dir, "dir", ".dev", "directory of the cluster's data, keys, logs and kubeconfig; a later start continues with it")
	f.IntVar(&o.portOffset, "port-offset", 0, "added to every port, for a second cluster beside the first")
	f.BoolVar(&o.freePorts, "free-ports", false, "choose ports that nothing uses; ports.json in the directory tells them")
	f.StringVar(&o.assets, "assets", os.Getenv("KUBEBUILDER_ASSETS"),
		"directory to take etcd, kube-apiserver and kubectl from; what it lacks is taken from beside devcluster "+
			"(default: KUBEBUILDER_ASSETS)")
	f.BoolVar(&o.untilStdinCloses, "until-stdin-closes", false,
		"also stop when standard input closes: a test that dies, however it does, leaves no cluster behind")
	f.StringVar(&o.auditWebhook, "audit-webhook-config-file", "",
		"kubeconfig of an endpoint that kube-apiserver sends its audit events to, beside the audit log")
	f.StringVar(&o.auditPolicy, "audit-policy-file", "", "policy of the audit log and webhook, instead of devcluster's own")
	cmd.MarkFlagsMutuallyExclusive("port-offset", "free-ports")
}

// cluster is one control plane with everything that belongs to it, in one directory.
type cluster struct {
	dir       string
	out       io.Writer
	options   clusterOptions
	ports     ports
	claims    []net.PacketConn
	lock      *os.File
	api       *api
	authority *authority
	processes []*process // in the order of starting
	mail      *mailcatcher.Catcher
}

// newCluster takes hold of a directory and of ports. Nothing is started yet.
func newCluster(o clusterOptions, out io.Writer) (*cluster, error) {
	dir, err := filepath.Abs(o.dir)
	if err != nil {
		return nil, err
	}
	c := &cluster{dir: dir, out: out, options: o}
	for _, sub := range []string{"log", "run"} {
		if err := os.MkdirAll(c.path(sub), 0o755); err != nil {
			return nil, fmt.Errorf("prepare --dir: %w", err)
		}
	}
	if c.lock, err = lockDir(dir); err != nil {
		return nil, err
	}
	if err := c.clearMarks(); err != nil { // a run that was killed left them
		return nil, err
	}
	if o.freePorts {
		c.ports, c.claims, err = freePorts()
	} else {
		c.ports = fixedPorts(o.portOffset)
		err = c.ports.checkFree(o)
	}
	if err != nil {
		return nil, err
	}
	list, err := json.MarshalIndent(c.ports, "", "  ")
	if err != nil {
		return nil, err
	}
	return c, writeFile(c.path("ports.json"), list)
}

// lockDir lets one devcluster at a time use a directory. The lock goes with the process, however that ends.
func lockDir(dir string) (*os.File, error) {
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, fmt.Errorf("a cluster runs in %s already: stop it first, or start this one in another directory "+
			"(make run DEV_DIR=.dev2 PORT_OFFSET=1000)", dir)
	}
	return lock, nil
}

// start returns when the control plane is of use, or with the reason why it will not be.
func (c *cluster) start(ctx context.Context) error {
	began := time.Now()
	if c.options.mail {
		var err error
		c.mail, err = mailcatcher.Start(c.path("mail"), localAddress(c.ports.SMTP), localAddress(c.ports.Inbox))
		if err != nil {
			return fmt.Errorf("start the mail catcher: %w", err)
		}
	}
	plane, err := c.prepareControlPlane()
	if err != nil {
		return err
	}
	c.say("starting etcd, kube-apiserver and kube-controller-manager; logs in %s", c.path("log"))
	if err := c.startControlPlane(ctx, plane); err != nil {
		return err
	}
	c.say("control plane is up after %.1fs", time.Since(began).Seconds())
	return writeFile(c.path("cluster-ready"), nil)
}

// keep starts a process and keeps it running until the cluster stops.
func (c *cluster) keep(p *process) error {
	p.say = c.say
	p.logFile = c.path("log", p.name+".log")
	p.pidFile = c.path("run", p.name+".pid")
	if err := p.start(); err != nil {
		return err
	}
	c.processes = append(c.processes, p)
	return nil
}

// alive fails when one of the processes does not stay up.
func (c *cluster) alive() error {
	for _, p := range c.processes {
		if err := p.failedToStart(); err != nil {
			return err
		}
	}
	return nil
}

// close stops everything in the reverse order of starting.
func (c *cluster) close() {
	if len(c.processes) > 0 {
		c.say("stopping")
	}
	for _, p := range slices.Backward(c.processes) {
		p.stop()
	}
	if c.mail != nil {
		c.mail.Stop()
	}
	if err := errors.Join(c.clearMarks(), closeAll(c.claims), c.lock.Close()); err != nil {
		c.say("%v", err)
	}
}

// clearMarks removes the files that tell others that the cluster and the operator are up.
func (c *cluster) clearMarks() error {
	for _, mark := range []string{"cluster-ready", "ready"} {
		if err := os.Remove(c.path(mark)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

// kubectl runs as cluster-admin; its error holds what kubectl wrote to standard error.
func (c *cluster) kubectl(ctx context.Context, args ...string) error {
	// A cache of its own: the one in the home directory may know another cluster by the same port.
	cmd := exec.CommandContext(ctx, c.binary("kubectl"),
		append([]string{"--kubeconfig", c.path("kubeconfig"), "--cache-dir", c.path("cache")}, args...)...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("kubectl %s: %w\n%s", strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return nil
}

// binary finds a program in --assets, or else beside devcluster.
func (c *cluster) binary(name string) string {
	if c.options.assets != "" {
		if file := filepath.Join(c.options.assets, name); isFile(file) {
			return file
		}
	}
	self, err := os.Executable()
	if err != nil {
		return name
	}
	return filepath.Join(filepath.Dir(self), name)
}

// checkBinaries fails when a program is missing, before anything has started.
func (c *cluster) checkBinaries(names ...string) error {
	if c.options.assets != "" {
		if _, err := os.Stat(c.options.assets); err != nil {
			return fmt.Errorf("--assets (or KUBEBUILDER_ASSETS): %w", err)
		}
	}
	for _, name := range names {
		if file := c.binary(name); !isFile(file) {
			return fmt.Errorf("%s is missing: build it with make bin/%s", file, name)
		}
	}
	return nil
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

func (c *cluster) path(elem ...string) string {
	return filepath.Join(append([]string{c.dir}, elem...)...)
}

func (c *cluster) say(format string, args ...any) {
	_, _ = fmt.Fprintf(c.out, format+"\n", args...) // nobody may be reading any more
}
