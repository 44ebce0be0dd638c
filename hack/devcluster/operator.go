// Copyright The orgkeeper Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// runOptions say which operator to run in a cluster.
type runOptions struct{ operator, config, samples string }

const (
	operatorNamespace      = "orgkeeper-system"
	operatorServiceAccount = "orgkeeper"
	tokenLifetime          = 24 * time.Hour
	operatorTimeout        = time.Minute
	// Long enough for mails to go out and for a leader that was killed to lose its lease (15 s).
	samplesTimeout = 30 * time.Second
)

// runOperator installs the operator's resources, runs its binary with the rights of its own service account, as in a real
// installation, and applies the samples. It returns when ctx ends.
func (c *cluster) runOperator(ctx context.Context, r runOptions) error {
	// A later run of the same directory must win over what somebody edited by hand: this is what the operator ships with.
	if err := c.kubectl(ctx, "apply", "--server-side", "--force-conflicts", "-k", r.config); err != nil {
		return fmt.Errorf("install the operator's resources: %w", err)
	}
	if err := c.kubectl(ctx, "wait", "--for=condition=Established", "crd", "--all", "--timeout=60s"); err != nil {
		return err
	}
	if err := c.startOperator(ctx, r.operator); err != nil {
		return err
	}
	if err := c.awaitAdmission(ctx); err != nil {
		return err
	}
	if r.samples != "" {
		if err := c.applySamples(ctx, r.samples); err != nil {
			return err
		}
	}
	if err := writeFile(c.path("ready"), nil); err != nil {
		return err
	}
	c.tell()
	c.renewToken(ctx)
	return nil
}

// auditUser is who kube-apiserver sends audit events as.
const auditUser = "devcluster:audit"

// prepareActivity has kube-apiserver send its audit events to the operator that will run.
func (c *cluster) prepareActivity() error {
	if !c.options.operator || c.options.auditWebhook != "" {
		return nil
	}
	_, err1 := c.authority.issue("activity", "orgkeeper")
	sender, err2 := c.authority.issue("audit", auditUser)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	user, err := sender.credentials()
	if err != nil {
		return err
	}
	c.options.auditWebhook = c.path("pki", "audit-webhook.kubeconfig")
	return c.authority.writeKubeconfig(c.options.auditWebhook, localURL("https", c.ports.Activity)+"/v1/audit", user)
}

func (c *cluster) startOperator(ctx context.Context, binary string) error {
	binary, err := filepath.Abs(binary)
	if err != nil {
		return err
	}
	if err := ensureInvitationKey(c.path("keys")); err != nil {
		return err
	}
	user := "    tokenFile: " + c.path("operator.token") + "\n" // read again and again, so a renewed token is taken up
	if err := c.authority.writeKubeconfig(c.path("operator.kubeconfig"), c.serverURL(), user); err != nil {
		return err
	}
	err = c.keep(&process{
		name: "orgkeeper", path: binary, grace: 20 * time.Second,
		prepare: c.writeToken,
		args: []string{
			"--kubeconfig=" + c.path("operator.kubeconfig"),
			"--leader-elect=true", "--leader-elect-namespace=" + operatorNamespace,
			"--portal-bind-address=" + localAddress(c.ports.Portal), "--portal-url=" + localURL("http", c.ports.Portal),
			"--metrics-bind-address=" + localAddress(c.ports.Metrics),
			"--invitation-keys-dir=" + c.path("keys"),
			"--mail-from=invitations@orgkeeper.example",
			"--smtp-address=" + localAddress(c.ports.SMTP), "--smtp-tls=none",
			"--activity-bind-address=" + localAddress(c.ports.Activity),
			"--activity-tls-cert-file=" + c.authority.identity("activity").cert,
			"--activity-tls-key-file=" + c.authority.identity("activity").key,
			"--activity-client-ca-file=" + c.authority.files().cert, "--activity-client-names=" + auditUser,
			// The admin's kubeconfig is all there is to try people with: kubectl --as jane@acme.example is jane here.
			"--activity-impersonators=devcluster:admin",
			"--assignable=*",
		},
	})
	if err != nil {
		return err
	}
	return eventually(ctx, operatorTimeout, "the operator ("+c.path("log", "orgkeeper.log")+")", func(ctx context.Context) error {
		return c.api.get(ctx, localURL("http", c.ports.Metrics)+"/readyz", nil)
	}, c.alive)
}

// probe is an object of the kind that a MutatingAdmissionPolicy of the installation is about. It is never stored.
const probe = `{apiVersion: orgkeeper.dev/v1alpha1, kind: OrgMember, metadata: {name: probe, namespace: default}, spec: {email: probe@acme.example}}`

// awaitAdmission waits until the API server can evaluate the installation's admission policies. It reads the schema of new
// kinds every five seconds, and before that answers 503 to whatever a MutatingAdmissionPolicy matches.
func (c *cluster) awaitAdmission(ctx context.Context) error {
	file := c.path("run", "probe.yaml")
	if err := writeFile(file, []byte(probe)); err != nil {
		return err
	}
	return eventually(ctx, operatorTimeout, "the admission policies", func(ctx context.Context) error {
		err := c.kubectl(ctx, "create", "--dry-run=server", "-f", file)
		if err != nil && strings.Contains(err.Error(), "(ServiceUnavailable)") {
			return err
		}
		return nil // any other answer is the policies', or there is no such kind
	}, c.alive)
}

// writeToken gives the operator a fresh token of its service account.
func (c *cluster) writeToken(ctx context.Context) error {
	token, err := c.api.token(ctx, operatorNamespace, operatorServiceAccount, tokenLifetime)
	if err != nil {
		return fmt.Errorf("get a token for the operator: %w", err)
	}
	return writeFile(c.path("operator.token"), []byte(token))
}

// renewToken keeps the operator's token valid until ctx ends. A failed try costs nothing: two more come before it expires.
func (c *cluster) renewToken(ctx context.Context) {
	tick := time.NewTicker(tokenLifetime / 4)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if err := c.writeToken(ctx); err != nil {
				c.say("%v", err)
			}
		}
	}
}

// ensureInvitationKey makes the key that signs invitation links, unless there is one: links outlive a restart.
func ensureInvitationKey(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	file := filepath.Join(dir, "1")
	if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	key := make([]byte, 32)
	rand.Read(key) // never fails
	return writeFile(file, []byte(base64.StdEncoding.EncodeToString(key)))
}

// applySamples applies a directory of plain YAML, or a kustomization, and waits a while for it to be in force.
func (c *cluster) applySamples(ctx context.Context, dir string) error {
	how := "-f"
	if isFile(filepath.Join(dir, "kustomization.yaml")) {
		how = "-k"
	}
	err := c.kubectl(ctx, "apply", "--server-side", how, dir)
	if err != nil && strings.Contains(err.Error(), "conflict") {
		c.say("the samples were edited since an earlier run; the edits stay:\n%v", err)
	} else if err != nil {
		return fmt.Errorf("apply the samples (start without them: make run SAMPLES=): %w", err)
	}
	err = c.kubectl(ctx, "wait", "organizations,orgmembers,workspaces,workspaceassignments", "--all", "--all-namespaces",
		"--for=condition=Ready", "--timeout="+samplesTimeout.String())
	if err != nil && ctx.Err() == nil {
		c.say("not everything is Ready yet:\n%v", err)
	}
	return nil
}

// tell prints where things are.
func (c *cluster) tell() {
	self, err := os.Executable()
	if err != nil {
		self = "bin/devcluster"
	}
	metrics := localURL("http", c.ports.Metrics)
	c.say(`
  kubeconfig          %s  (cluster-admin; --as jane@acme.example tries a tenant)
  portal              %s
  metrics and health  %s/metrics, /healthz, /readyz
  inbox               %s
  mails               %s
  logs                %s

  export KUBECONFIG=%s PATH=%s:$PATH

orgkeeper is ready`,
		c.path("kubeconfig"), localURL("http", c.ports.Portal), metrics, localURL("http", c.ports.Inbox),
		c.path("mail", "*.eml"), c.path("log"), c.path("kubeconfig"), filepath.Dir(self))
}
