package guard

import (
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// What the API server fills in where a file leaves it out. It keeps these defaults to itself
// (k8s.io/kubernetes/pkg/apis/admissionregistration/v1/defaults.go), and they cannot change within v1.

func withDefaults(p *Policy) *Policy {
	p = p.DeepCopy()
	setDefault(&p.Spec.FailurePolicy, admissionregistrationv1.Fail)
	matchDefaults(p.Spec.MatchConstraints)
	return p
}

func bindingWithDefaults(b *Binding) *Binding {
	b = b.DeepCopy()
	matchDefaults(b.Spec.MatchResources)
	return b
}

func matchDefaults(m *admissionregistrationv1.MatchResources) {
	if m == nil {
		return
	}
	setDefault(&m.MatchPolicy, admissionregistrationv1.Equivalent)
	setDefault(&m.NamespaceSelector, metav1.LabelSelector{})
	setDefault(&m.ObjectSelector, metav1.LabelSelector{})
	for _, rules := range [][]admissionregistrationv1.NamedRuleWithOperations{m.ResourceRules, m.ExcludeResourceRules} {
		for i := range rules {
			setDefault(&rules[i].Scope, admissionregistrationv1.AllScopes)
		}
	}
}

func setDefault[T any](field **T, value T) {
	if *field == nil {
		*field = &value
	}
}
