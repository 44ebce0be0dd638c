package facts_test

import (
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/orgkeeper/orgkeeper/config/policy"
	"github.com/orgkeeper/orgkeeper/internal/facts"
)

// Each answer is about what the cache shows at that moment, although it is worked out only when something changed.
func TestPolicies(t *testing.T) {
	heldPolicies, heldBindings := toolscache.NewStore(toolscache.MetaNamespaceKeyFunc), toolscache.NewStore(toolscache.MetaNamespaceKeyFunc)
	policies, err := facts.NewPolicies(heldPolicies, heldBindings)
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
	count, all := 0, len(shipped.Policies)+len(shipped.Bindings)
	add := func(to toolscache.Store, o client.Object) {
		t.Helper()
		if err := to.Add(o); err != nil {
			t.Fatal(err)
		}
		count++
		comes("after "+o.GetName(), count == all)
	}
	for i := range shipped.Policies {
		add(heldPolicies, &shipped.Policies[i])
	}
	for i := range shipped.Bindings {
		add(heldBindings, &shipped.Bindings[i])
	}
	altered := shipped.Bindings[0].DeepCopy()
	altered.Spec.ValidationActions = []admissionregistrationv1.ValidationAction{admissionregistrationv1.Warn}
	if err := heldBindings.Update(altered); err != nil {
		t.Fatal(err)
	}
	comes("a binding is altered", false)
	if err := heldBindings.Update(shipped.Bindings[0].DeepCopy()); err != nil {
		t.Fatal(err)
	}
	comes("and as before", true)
	if err := heldPolicies.Delete(&shipped.Policies[0]); err != nil {
		t.Fatal(err)
	}
	comes("a policy is gone", false)
}
