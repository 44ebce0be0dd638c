// Copyright The orgkeeper Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const installTimeout = time.Minute

// Objects that only installed policies judge: the first is let in once the API server knows the schema of our kinds (it
// looks every five seconds), the second is then one Organization too many.
const (
	probes       = "orgkeeper-probes"
	probeMember  = `{apiVersion: orgkeeper.dev/v1alpha1, kind: OrgMember, metadata: {name: probe}, spec: {email: probe@acme.example}}`
	probeFirst   = `{apiVersion: orgkeeper.dev/v1alpha1, kind: Organization, metadata: {name: first, namespace: ` + probes + `}, spec: {owner: nobody}}`
	probeSecond  = `{apiVersion: orgkeeper.dev/v1alpha1, kind: Organization, metadata: {name: second, namespace: ` + probes + `}, spec: {owner: nobody}}`
	policyDenied = "ValidatingAdmissionPolicy"
)

// Install applies config/default and returns when its admission policies hold: the API server takes them up some seconds
// after they are stored. Call it before an operator runs.
func (c *Cluster) Install(ctx context.Context) error {
	if err := c.Kustomize(ctx, "config/default"); err != nil {
		return err
	}
	return c.AwaitPolicies(ctx)
}

// AwaitPolicies returns when the admission policies of config/default hold.
func (c *Cluster) AwaitPolicies(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, installTimeout)
	defer cancel()
	if _, err := c.Run(ctx, "create", "namespace", probes); err != nil {
		return err
	}
	if err := c.AwaitMembers(ctx, probes); err != nil {
		return err
	}
	if _, err := c.Create(ctx, probeFirst); err != nil {
		return err
	}
	err := c.poll(ctx, func() error {
		_, err := c.Create(ctx, probeSecond, "--dry-run=server")
		if err != nil && strings.Contains(err.Error(), policyDenied) {
			return nil
		}
		return fmt.Errorf("want a refusal by a policy, got: %w", err)
	})
	if err != nil {
		return fmt.Errorf("a second Organization is not refused: %w", err)
	}
	_, err = c.Run(ctx, "delete", "namespace", probes, "--wait=false")
	return err
}

// AwaitMembers returns when members are let into a namespace. A kube-apiserver that was just started, with our policies in
// its store, refuses every write they judge until it has found the kind of their parameters: it looks every 30 seconds.
func (c *Cluster) AwaitMembers(ctx context.Context, namespace string) error {
	ctx, cancel := context.WithTimeout(ctx, installTimeout)
	defer cancel()
	err := c.poll(ctx, func() error {
		_, err := c.Create(ctx, probeMember, "--namespace", namespace, "--dry-run=server")
		return err
	})
	if err != nil {
		return fmt.Errorf("members are not let in: %w", err)
	}
	return nil
}

// Create creates an object given as YAML, as cluster-admin unless flags say otherwise.
func (c *Cluster) Create(ctx context.Context, object string, flags ...string) (string, error) {
	file := filepath.Join(c.Dir, "probe.yaml")
	if err := os.WriteFile(file, []byte(object), 0o600); err != nil {
		return "", err
	}
	return c.Run(ctx, append([]string{"create", "-f", file}, flags...)...)
}
