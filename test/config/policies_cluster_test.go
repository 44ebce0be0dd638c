package config_test

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/orgkeeper/orgkeeper/config/policy"
	"github.com/orgkeeper/orgkeeper/internal/guard"
	"github.com/orgkeeper/orgkeeper/test/cluster"
)

// kubectl and the API server add to what the files say: labels, defaults, a status. None of that is a difference. What
// somebody adds is one, and goes by the remedy that the operator names.
func testPolicies(t *testing.T, c *cluster.Cluster, admin kubernetes.Interface) {
	if state := installed(t, admin); !state.Enforced() {
		t.Error(state.Message())
	}
	policies, bindings := admin.AdmissionregistrationV1().ValidatingAdmissionPolicies(), admin.AdmissionregistrationV1().ValidatingAdmissionPolicyBindings()
	for name, weaken := range map[string]func() error{
		"a condition": func() error {
			_, err := policies.Patch(t.Context(), "orgkeeper-member", types.MergePatchType, []byte(`{"spec":{"matchConditions":[{"name":"never","expression":"false"}]}}`), metav1.PatchOptions{})
			return err
		},
		"no denial": func() error {
			_, err := bindings.Patch(t.Context(), "orgkeeper-owner", types.MergePatchType, []byte(`{"spec":{"validationActions":["Warn"]}}`), metav1.PatchOptions{})
			return err
		},
		"elsewhere": func() error {
			_, err := bindings.Patch(t.Context(), "orgkeeper-member", types.MergePatchType, []byte(`{"spec":{"matchResources":{"namespaceSelector":{"matchLabels":{"a":"b"}}}}}`), metav1.PatchOptions{})
			return err
		},
		"gone": func() error { return policies.Delete(t.Context(), "orgkeeper-singleton", metav1.DeleteOptions{}) },
	} {
		if err := weaken(); err != nil {
			t.Fatal(err)
		}
		if installed(t, admin).Enforced() {
			t.Errorf("%s: taken for what is shipped", name)
		}
	}
	for _, command := range strings.Split(guard.Remedy, "kubectl ")[1:] {
		if _, err := c.Run(t.Context(), strings.Fields(strings.TrimSuffix(command, "; "))...); err != nil {
			t.Fatal(err)
		}
	}
	if state := installed(t, admin); !state.Enforced() {
		t.Errorf("after the remedy: %s", state.Message())
	}
	if err := c.Kustomize(t.Context(), "config/default"); err != nil {
		t.Errorf("the next installation: %v", err)
	}
}

// installed compares what the API server has with what is shipped.
func installed(t *testing.T, admin kubernetes.Interface) guard.State {
	t.Helper()
	shipped, err := policy.Shipped()
	if err != nil {
		t.Fatal(err)
	}
	policies, err := admin.AdmissionregistrationV1().ValidatingAdmissionPolicies().List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	bindings, err := admin.AdmissionregistrationV1().ValidatingAdmissionPolicyBindings().List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return guard.Compare(shipped, guard.Set{Policies: policies.Items, Bindings: bindings.Items})
}
