// Copyright The orgkeeper Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// One cluster for everything that the package promises: a start takes seconds.
func TestCluster(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	c, err := Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Stop(); err != nil {
			t.Error(err)
		}
		if exists(c.Dir) {
			t.Errorf("%s is left behind", c.Dir)
		}
	})

	t.Run("kubectl", func(t *testing.T) {
		out, err := c.Run(ctx, "get", "namespace", "default", "--output", "name")
		if err != nil || out != "namespace/default\n" {
			t.Errorf("Run: %q, %v", out, err)
		}
		if _, err := c.Run(ctx, "get", "namespace", "nowhere"); err == nil || !strings.Contains(err.Error(), `"nowhere" not found`) {
			t.Errorf("Run of a failing command must say what kubectl said, got: %v", err)
		}
	})

	t.Run("As", func(t *testing.T) {
		who := whoAmI(ctx, t, c.As("jane@acme.example", "staff"))
		if got := who.Username; got != "jane@acme.example" {
			t.Errorf("user: %s", got)
		}
		if got := strings.Join(who.Groups, " "); got != "system:authenticated staff" {
			t.Errorf("groups: %s", got)
		}
		if mayReadSecrets(ctx, t, c.As("jane@acme.example")) || !mayReadSecrets(ctx, t, c.Admin) {
			t.Error("a person must have no right of their own, and the admin every right")
		}
	})

	t.Run("Operator", func(t *testing.T) {
		if err := c.Apply(ctx, "test/cluster/testdata/operator.yaml"); err != nil {
			t.Fatal(err)
		}
		const want = "system:serviceaccount:orgkeeper-system:orgkeeper"
		operator, err := c.Operator(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if got := whoAmI(ctx, t, operator).Username; got != want {
			t.Errorf("user: %s", got)
		}
		if mayReadSecrets(ctx, t, operator) {
			t.Error("the operator must have its own rights only")
		}
		file := filepath.Join(t.TempDir(), "kubeconfig")
		if err := c.OperatorKubeconfig(ctx, file); err != nil {
			t.Fatal(err)
		}
		config, err := clientcmd.BuildConfigFromFlags("", file)
		if err != nil {
			t.Fatal(err)
		}
		if got := whoAmI(ctx, t, config).Username; got != want {
			t.Errorf("user of the kubeconfig: %s", got)
		}
		if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("a kubeconfig with a token must be its owner's alone: %v, %v", info.Mode(), err)
		}
	})

	t.Run("Kustomize waits for definitions", func(t *testing.T) {
		if err := c.Kustomize(ctx, "test/cluster/testdata/kustomize"); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Run(ctx, "get", "things"); err != nil {
			t.Errorf("a kind must be served when Kustomize returns: %v", err)
		}
	})

	t.Run("KillAPIServer", func(t *testing.T) {
		if err := c.KillAPIServer(); err != nil {
			t.Fatal(err)
		}
		if err := c.WaitReady(ctx); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Run(ctx, "get", "serviceaccount", "orgkeeper", "--namespace", "orgkeeper-system"); err != nil {
			t.Errorf("what was written before the crash must be there: %v", err)
		}
	})

	t.Run("two at once", func(t *testing.T) {
		other, err := Start()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := other.Run(ctx, "get", "namespace", "orgkeeper-system"); err == nil {
			t.Error("clusters must not share data")
		}
		if err := other.Stop(); err != nil {
			t.Error(err)
		}
	})
}

type user struct {
	Username string
	Groups   []string
}

func whoAmI(ctx context.Context, t *testing.T, config *rest.Config) user {
	t.Helper()
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	review, err := client.AuthenticationV1().SelfSubjectReviews().Create(ctx, &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return user{Username: review.Status.UserInfo.Username, Groups: review.Status.UserInfo.Groups}
}

func mayReadSecrets(ctx context.Context, t *testing.T, config *rest.Config) bool {
	t.Helper()
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
		ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: "get", Resource: "secrets", Namespace: "default"},
	}}
	review, err = client.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, review, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return review.Status.Allowed
}
