package config_test

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/orgkeeper/orgkeeper/config/policy"
	"github.com/orgkeeper/orgkeeper/internal/guard"
)

// kubectl and the API server add to what the files say: labels, defaults, a status. None of that is a difference.
func testPolicies(t *testing.T, admin kubernetes.Interface) {
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
	if state := guard.Compare(shipped, guard.Set{Policies: policies.Items, Bindings: bindings.Items}); !state.Enforced() {
		t.Error(state.Message())
	}
	if len(policies.Items) != len(shipped.Policies) || len(bindings.Items) != len(shipped.Bindings) {
		t.Errorf("installed %d policies and %d bindings, the operator knows %d and %d",
			len(policies.Items), len(bindings.Items), len(shipped.Policies), len(shipped.Bindings))
	}
}
