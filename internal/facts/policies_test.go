package facts_test

import (
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/orgkeeper/orgkeeper/config/policy"
	"github.com/orgkeeper/orgkeeper/internal/facts"
)

// Each answer is about what the cache shows at that moment, although it is worked out only when something changed.
func TestPolicies(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := admissionregistrationv1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	cache := fake.NewClientBuilder().WithScheme(scheme).Build()
	policies, err := facts.NewPolicies(cache)
	if err != nil {
		t.Fatal(err)
	}
	comes := func(when string, want bool) {
		t.Helper()
		for range 2 {
			state, err := policies.State(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if state.Enforced() != want {
				t.Errorf("%s: enforced %t: %s", when, state.Enforced(), state.Message())
			}
		}
	}
	comes("nothing is installed", false)
	shipped, err := policy.Shipped()
	if err != nil {
		t.Fatal(err)
	}
	var all []client.Object
	for i := range shipped.Policies {
		all = append(all, &shipped.Policies[i])
	}
	for i := range shipped.Bindings {
		all = append(all, &shipped.Bindings[i])
	}
	for i, o := range all {
		if err := cache.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		comes("after "+o.GetName(), i == len(all)-1)
	}
	altered := shipped.Bindings[0].DeepCopy()
	altered.Spec.ValidationActions = []admissionregistrationv1.ValidationAction{admissionregistrationv1.Warn}
	if err := cache.Update(t.Context(), altered); err != nil {
		t.Fatal(err)
	}
	comes("a binding is altered", false)
	altered.Spec = shipped.Bindings[0].Spec
	if err := cache.Update(t.Context(), altered); err != nil {
		t.Fatal(err)
	}
	comes("and as before", true)
	if err := cache.Delete(t.Context(), &shipped.Policies[0]); err != nil {
		t.Fatal(err)
	}
	comes("a policy is gone", false)
}
