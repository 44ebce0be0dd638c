// Copyright The orgkeeper Authors.
// SPDX-License-Identifier: Apache-2.0

// Command devcluster runs a Kubernetes control plane on 127.0.0.1 for development, tests and benchmarks: etcd,
// kube-apiserver and kube-controller-manager, without nodes. With "run" it adds the operator itself and a mail server that
// keeps what it is sent.
//
// It only starts and watches programs and speaks HTTP to them; it is a module apart from the Kubernetes it starts
// (./kube), so that it builds in seconds and its dependencies never rebuild Kubernetes.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // under nohup a closed terminal must not stop us
		signals = append(signals, syscall.SIGHUP)
	}
	ctx, restore := signal.NotifyContext(context.Background(), signals...)
	// Whoever read our output may be gone before us ("make run | tee", then Ctrl-C): that must not cut the stopping short.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	context.AfterFunc(ctx, restore) // a second signal ends devcluster at once, and its children with it

	if err := newCommand().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "devcluster:", err)
		os.Exit(1)
	}
}

func newCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "devcluster",
		Short:         "A Kubernetes control plane on 127.0.0.1, for development and tests",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(newUpCommand(), newRunCommand())
	return root
}

func newUpCommand() *cobra.Command {
	var o clusterOptions
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Start etcd, kube-apiserver and kube-controller-manager; stop them on SIGTERM or Ctrl-C",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withCluster(cmd, o, func(ctx context.Context, c *cluster) error {
				c.say("control plane is ready: export KUBECONFIG=%s", c.path("kubeconfig"))
				<-ctx.Done()
				return nil
			})
		},
	}
	o.addFlags(cmd)
	cmd.Flags().BoolVar(&o.mail, "mail", false, "also start the mail catcher and its inbox page")
	return cmd
}

func newRunCommand() *cobra.Command {
	o := clusterOptions{mail: true, operator: true}
	var r runOptions
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Start the control plane, the mail catcher and the operator; stop them on SIGTERM or Ctrl-C",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !isFile(r.operator) {
				return fmt.Errorf("%s is missing: build it with make build", r.operator)
			}
			return withCluster(cmd, o, func(ctx context.Context, c *cluster) error {
				return c.runOperator(ctx, r)
			})
		},
	}
	o.addFlags(cmd)
	cmd.Flags().StringVar(&r.operator, "operator", "bin/orgkeeper", "the operator's binary")
	cmd.Flags().StringVar(&r.config, "config", "config/default", "kustomization that installs the operator's resources")
	cmd.Flags().StringVar(&r.samples, "samples", "", "directory of resources to apply once the operator is up; empty for none")
	return cmd
}

// withCluster starts a control plane, calls work when it is ready, and stops it when work returns.
func withCluster(cmd *cobra.Command, o clusterOptions, work func(context.Context, *cluster) error) error {
	ctx, cancel := context.WithCancel(cmd.Context())
	defer cancel()
	if o.untilStdinCloses {
		go func() {
			_, _ = io.Copy(io.Discard, cmd.InOrStdin())
			cancel()
		}()
	}
	c, err := newCluster(o, cmd.OutOrStdout())
	if err != nil {
		return err
	}
	defer c.close()
	err = c.start(ctx)
	if err == nil {
		err = work(ctx, c)
	}
	if ctx.Err() != nil {
		return nil // asked to stop, so whatever was cut short is no failure
	}
	return err
}
