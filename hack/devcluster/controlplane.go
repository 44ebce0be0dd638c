// Copyright The orgkeeper Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"time"
)

//go:embed audit-policy.yaml
var auditPolicy []byte

// A cold start takes some four seconds on two idle cores, many times that beside a compiler.
const controlPlaneTimeout = 2 * time.Minute

// controlPlane has the three processes, ready to start.
type controlPlane struct{ etcd, apiServer, controllerManager *process }

// prepareControlPlane writes keys, certificates and kubeconfigs. Every listener asks for a client certificate of this
// cluster's own authority, so another user of the machine gains nothing from the open ports, etcd's included.
func (c *cluster) prepareControlPlane() (*controlPlane, error) {
	if err := c.checkBinaries("etcd", "kube-apiserver", "kube-controller-manager", "kubectl"); err != nil {
		return nil, err
	}
	var err error
	if c.authority, err = openAuthority(c.path("pki")); err != nil {
		return nil, err
	}
	etcd, err1 := c.authority.issue("etcd", "etcd")
	apiServer, err2 := c.authority.issue("apiserver", "kube-apiserver")
	manager, err3 := c.authority.issue("controller-manager", "system:kube-controller-manager")
	admin, err4 := c.authority.issue("admin", "devcluster:admin", "system:masters")
	if err := errors.Join(err1, err2, err3, err4, ensureSigningKey(c.path("pki", "sa.key"))); err != nil {
		return nil, err
	}
	policy := auditPolicy
	if file := c.options.auditPolicy; file != "" {
		if policy, err = os.ReadFile(file); err != nil {
			return nil, fmt.Errorf("--audit-policy-file: %w", err)
		}
	}
	if err := writeFile(c.path("pki", "audit-policy.yaml"), policy); err != nil {
		return nil, err
	}
	if err := c.prepareActivity(); err != nil {
		return nil, err
	}
	for file, id := range map[string]identity{"kubeconfig": admin, "pki/controller-manager.kubeconfig": manager} {
		user, err := id.credentials()
		if err != nil {
			return nil, err
		}
		if err := c.authority.writeKubeconfig(c.path(file), c.serverURL(), user); err != nil {
			return nil, err
		}
	}
	if c.api, err = newAPI(c.serverURL(), c.authority.files(), admin); err != nil {
		return nil, err
	}
	return &controlPlane{
		etcd:              c.etcd(etcd),
		apiServer:         c.kubeAPIServer(apiServer),
		controllerManager: c.kubeControllerManager(manager),
	}, nil
}

func (c *cluster) serverURL() string { return localURL("https", c.ports.APIServer) }

// startControlPlane starts the processes and waits until there is what any user of a cluster takes for granted.
func (c *cluster) startControlPlane(ctx context.Context, plane *controlPlane) error {
	if err := errors.Join(c.keep(plane.etcd), c.keep(plane.apiServer)); err != nil {
		return err
	}
	err := eventually(ctx, controlPlaneTimeout, "kube-apiserver", func(ctx context.Context) error {
		return c.api.get(ctx, "/readyz", nil)
	}, c.alive)
	if err != nil {
		return err
	}
	if err := c.keep(plane.controllerManager); err != nil {
		return err
	}
	return eventually(ctx, controlPlaneTimeout, "kube-controller-manager", c.checkControllers, c.alive)
}

// checkControllers fails until the controllers have done what others wait for: the first service account, and the rules of
// the roles that are put together from others.
func (c *cluster) checkControllers(ctx context.Context) error {
	if err := c.api.get(ctx, localURL("https", c.ports.ControllerManager)+"/healthz", nil); err != nil {
		return err
	}
	for _, path := range []string{"/api/v1/namespaces/kube-system", "/api/v1/namespaces/default/serviceaccounts/default"} {
		if err := c.api.get(ctx, path, nil); err != nil {
			return err
		}
	}
	for _, name := range []string{"admin", "edit", "view"} {
		var role struct{ Rules []any }
		if err := c.api.get(ctx, "/apis/rbac.authorization.k8s.io/v1/clusterroles/"+name, &role); err != nil {
			return err
		}
		if len(role.Rules) == 0 {
			return fmt.Errorf("ClusterRole %s has no rules yet", name)
		}
	}
	return nil
}

func (c *cluster) etcd(id identity) *process {
	client, peer := localURL("https", c.ports.Etcd), localURL("https", c.ports.EtcdPeer)
	ca := c.authority.files().cert
	return &process{
		name: "etcd", path: c.binary("etcd"), grace: 10 * time.Second,
		args: []string{
			"--data-dir=" + c.path("etcd"),
			"--listen-client-urls=" + client, "--advertise-client-urls=" + client,
			"--listen-peer-urls=" + peer, "--initial-advertise-peer-urls=" + peer, "--initial-cluster=default=" + peer,
			"--client-cert-auth", "--trusted-ca-file=" + ca, "--cert-file=" + id.cert, "--key-file=" + id.key,
			"--peer-client-cert-auth", "--peer-trusted-ca-file=" + ca, "--peer-cert-file=" + id.cert, "--peer-key-file=" + id.key,
			// What was written survives the end of etcd, however it ends, since the kernel has it. Only when the machine
			// itself goes down may it be lost: worth a development cluster's speed.
			"--unsafe-no-fsync",
			"--quota-backend-bytes=4294967296",
			"--log-level=warn",
		},
	}
}

func (c *cluster) kubeAPIServer(id identity) *process {
	ca := c.authority.files().cert
	return &process{
		name: "kube-apiserver", path: c.binary("kube-apiserver"), grace: 15 * time.Second,
		args: append([]string{
			"--bind-address=127.0.0.1", fmt.Sprintf("--secure-port=%d", c.ports.APIServer),
			"--advertise-address=127.0.0.1", "--endpoint-reconciler-type=none", // Endpoints refuse a loopback address
			"--tls-cert-file=" + id.cert, "--tls-private-key-file=" + id.key,
			"--etcd-servers=" + localURL("https", c.ports.Etcd),
			"--etcd-cafile=" + ca, "--etcd-certfile=" + id.cert, "--etcd-keyfile=" + id.key,
			"--client-ca-file=" + ca,
			"--authorization-mode=Node,RBAC",
			"--enable-admission-plugins=NodeRestriction,OwnerReferencesPermissionEnforcement", // beside the default ones
			"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
			"--service-account-key-file=" + c.path("pki", "sa.key"),
			"--service-account-signing-key-file=" + c.path("pki", "sa.key"),
			"--service-cluster-ip-range=10.96.0.0/16",
			"--audit-policy-file=" + c.path("pki", "audit-policy.yaml"),
			"--audit-log-path=" + c.path("log", "audit.log"),
			"--audit-log-maxsize=64", "--audit-log-maxbackup=1", // in MiB: 128 in all
		}, c.auditWebhook()...),
	}
}

// auditWebhook has kube-apiserver send its audit events to an endpoint, sooner than by default: whoever develops waits for
// them.
func (c *cluster) auditWebhook() []string {
	if c.options.auditWebhook == "" {
		return nil
	}
	return []string{
		"--audit-webhook-config-file=" + c.options.auditWebhook,
		"--audit-webhook-batch-max-wait=1s",
		"--audit-webhook-initial-backoff=1s",
	}
}

func (c *cluster) kubeControllerManager(id identity) *process {
	ca, kubeconfig := c.authority.files(), c.path("pki", "controller-manager.kubeconfig")
	return &process{
		name: "kube-controller-manager", path: c.binary("kube-controller-manager"), grace: 10 * time.Second,
		args: []string{
			"--bind-address=127.0.0.1", fmt.Sprintf("--secure-port=%d", c.ports.ControllerManager),
			"--tls-cert-file=" + id.cert, "--tls-private-key-file=" + id.key,
			"--kubeconfig=" + kubeconfig, "--authentication-kubeconfig=" + kubeconfig, "--authorization-kubeconfig=" + kubeconfig,
			"--authentication-skip-lookup", "--client-ca-file=" + ca.cert,
			"--use-service-account-credentials",
			"--service-account-private-key-file=" + c.path("pki", "sa.key"),
			"--root-ca-file=" + ca.cert,
			"--cluster-signing-cert-file=" + ca.cert, "--cluster-signing-key-file=" + ca.key,
			"--leader-elect=false",                             // there is one
			"--flex-volume-plugin-dir=" + c.path("flexvolume"), // which it creates, by default under /usr
			// The defaults, 20 and 30, would make deleting namespaces by the dozen measure this limit instead of the operator.
			"--kube-api-qps=200", "--kube-api-burst=400",
		},
	}
}
