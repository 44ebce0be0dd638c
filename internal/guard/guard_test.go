package guard_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/orgkeeper/orgkeeper/config/policy"
	"github.com/orgkeeper/orgkeeper/internal/guard"
)

func shipped(t *testing.T) guard.Set {
	t.Helper()
	set, err := policy.Shipped()
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// copied is a set that a test may change.
func copied(set guard.Set) guard.Set {
	var fresh guard.Set
	for i := range set.Policies {
		fresh.Policies = append(fresh.Policies, *set.Policies[i].DeepCopy())
	}
	for i := range set.Bindings {
		fresh.Bindings = append(fresh.Bindings, *set.Bindings[i].DeepCopy())
	}
	return fresh
}

func policyOf(t *testing.T, set guard.Set, name string) *guard.Policy {
	t.Helper()
	for i := range set.Policies {
		if set.Policies[i].Name == name {
			return &set.Policies[i]
		}
	}
	t.Fatalf("no policy %s", name)
	return nil
}

func bindingOf(t *testing.T, set guard.Set, name string) *guard.Binding {
	t.Helper()
	for i := range set.Bindings {
		if set.Bindings[i].Name == name {
			return &set.Bindings[i]
		}
	}
	t.Fatalf("no binding %s", name)
	return nil
}

// What weakens a policy, and what is nobody's concern. That the files as applied equal the files as shipped is tested on
// a real control plane, in test/config.
func TestCompare(t *testing.T) {
	const member, owner = "orgkeeper-member", "orgkeeper-owner"
	elsewhere := &metav1.LabelSelector{MatchLabels: map[string]string{"only": "here"}}
	in := func(name string, change func(*admissionregistrationv1.ValidatingAdmissionPolicySpec)) func(*testing.T, *guard.Set) {
		return func(t *testing.T, set *guard.Set) { change(&policyOf(t, *set, name).Spec) }
	}
	inBinding := func(name string, change func(*admissionregistrationv1.ValidatingAdmissionPolicyBindingSpec)) func(*testing.T, *guard.Set) {
		return func(t *testing.T, set *guard.Set) { change(&bindingOf(t, *set, name).Spec) }
	}
	type (
		spec        = *admissionregistrationv1.ValidatingAdmissionPolicySpec
		bindingSpec = *admissionregistrationv1.ValidatingAdmissionPolicyBindingSpec
	)
	altered := func(kind, name, field string) string {
		return kind + " " + name + " differs from what this operator ships: " + field
	}
	cases := map[string]struct {
		reason string
		change func(*testing.T, *guard.Set)
		want   string
	}{
		"as shipped": {"all is well", func(*testing.T, *guard.Set) {}, ""},
		"defaults written out": {"the API server fills them in",
			in(member, func(s spec) {
				s.FailurePolicy, s.MatchConstraints.MatchPolicy = new(admissionregistrationv1.Fail), new(admissionregistrationv1.Equivalent)
				s.MatchConstraints.NamespaceSelector, s.MatchConstraints.ObjectSelector = &metav1.LabelSelector{}, &metav1.LabelSelector{}
				s.MatchConstraints.ResourceRules[0].Scope = new(admissionregistrationv1.AllScopes)
			}), ""},
		"empty lists": {"are no lists to the API server", in(member, func(s spec) {
			s.AuditAnnotations = []admissionregistrationv1.AuditAnnotation{}
		}), ""},
		"labels and annotations": {"are whoever installs'", func(t *testing.T, set *guard.Set) {
			policyOf(t, *set, member).Labels = map[string]string{"team": "blue"}
			bindingOf(t, *set, member).Annotations = map[string]string{"note": "ours"}
		}, ""},
		"a status": {"is the API server's", func(t *testing.T, set *guard.Set) {
			policyOf(t, *set, member).Status.ObservedGeneration = 3
		}, ""},
		"policies of others": {"only refuse", func(_ *testing.T, set *guard.Set) {
			set.Policies = append(set.Policies, guard.Policy{ObjectMeta: metav1.ObjectMeta{Name: "theirs"}})
			set.Bindings = append(set.Bindings, guard.Binding{ObjectMeta: metav1.ObjectMeta{Name: "theirs"}})
		}, ""},

		"failures let pass": {"an error in an expression would admit", in(member, func(s spec) {
			s.FailurePolicy = new(admissionregistrationv1.Ignore)
		}), altered(guard.KindPolicy, member, "spec.failurePolicy")},
		"a validation removed": {"a rule is gone", in(member, func(s spec) {
			s.Validations = s.Validations[1:]
		}), altered(guard.KindPolicy, member, "spec.validations")},
		"no validation": {"all rules are gone", in(member, func(s spec) { s.Validations = nil }),
			altered(guard.KindPolicy, member, "spec.validations")},
		"a validation changed": {"a rule says yes", in(member, func(s spec) {
			s.Validations[0].Expression = "true"
		}), altered(guard.KindPolicy, member, "spec.validations")},
		"a variable changed": {"rules are built on it", in(member, func(s spec) {
			s.Variables[0].Expression = "null"
		}), altered(guard.KindPolicy, member, "spec.variables")},
		"some namespaces only": {"the others are without", in(member, func(s spec) {
			s.MatchConstraints.NamespaceSelector = elsewhere
		}), altered(guard.KindPolicy, member, "spec.matchConstraints")},
		"some objects only": {"the others are without", in(member, func(s spec) {
			s.MatchConstraints.ObjectSelector = elsewhere
		}), altered(guard.KindPolicy, member, "spec.matchConstraints")},
		"some excluded": {"they are without", in(member, func(s spec) {
			s.MatchConstraints.ExcludeResourceRules = s.MatchConstraints.ResourceRules
		}), altered(guard.KindPolicy, member, "spec.matchConstraints")},
		"fewer operations": {"deletions are let pass", in(member, func(s spec) {
			s.MatchConstraints.ResourceRules[0].Operations = []admissionregistrationv1.OperationType{admissionregistrationv1.Create}
		}), altered(guard.KindPolicy, member, "spec.matchConstraints")},
		"another version is no match": {"a way around by another version of the API", in(member, func(s spec) {
			s.MatchConstraints.MatchPolicy = new(admissionregistrationv1.Exact)
		}), altered(guard.KindPolicy, member, "spec.matchConstraints")},
		"a condition more": {"requests are skipped by it", in(member, func(s spec) {
			s.MatchConditions = append(s.MatchConditions, admissionregistrationv1.MatchCondition{Name: "never", Expression: "false"})
		}), altered(guard.KindPolicy, member, "spec.matchConditions")},
		"a condition where none is": {"requests are skipped by it", in("orgkeeper-singleton", func(s spec) {
			s.MatchConditions = []admissionregistrationv1.MatchCondition{{Name: "never", Expression: "false"}}
		}), altered(guard.KindPolicy, "orgkeeper-singleton", "spec.matchConditions")},
		"parameters of another kind": {"the rules see something else", in(owner, func(s spec) {
			s.ParamKind.Kind = "Workspace"
		}), altered(guard.KindPolicy, owner, "spec.paramKind")},
		"several at once": {"each is named", in(member, func(s spec) {
			s.FailurePolicy, s.Validations = new(admissionregistrationv1.Ignore), nil
		}), altered(guard.KindPolicy, member, "spec.failurePolicy, spec.validations")},

		"a binding that only notes": {"nothing is refused", inBinding(member, func(s bindingSpec) {
			s.ValidationActions = []admissionregistrationv1.ValidationAction{admissionregistrationv1.Audit}
		}), altered(guard.KindBinding, member, "spec.validationActions")},
		"a binding in some namespaces": {"the others are without", inBinding(member, func(s bindingSpec) {
			s.MatchResources = &admissionregistrationv1.MatchResources{NamespaceSelector: elsewhere}
		}), altered(guard.KindBinding, member, "spec.matchResources")},
		"a binding to other parameters": {"the rules see something else", inBinding(owner, func(s bindingSpec) {
			s.ParamRef.Selector = elsewhere
		}), altered(guard.KindBinding, owner, "spec.paramRef")},
		"a binding to another namespace's parameters": {"the rules see something else", inBinding(owner, func(s bindingSpec) {
			s.ParamRef.Namespace = "elsewhere"
		}), altered(guard.KindBinding, owner, "spec.paramRef")},
		"a binding to another policy": {"this one is not bound", inBinding(member, func(s bindingSpec) {
			s.PolicyName = "theirs"
		}), altered(guard.KindBinding, member, "spec.policyName")},

		"a policy that goes": {"it may be gone the next moment", func(t *testing.T, set *guard.Set) {
			policyOf(t, *set, member).DeletionTimestamp = &metav1.Time{}
		}, "ValidatingAdmissionPolicy orgkeeper-member is being deleted"},
		"a policy that is missing": {"nothing is bound by its binding", func(t *testing.T, set *guard.Set) {
			*policyOf(t, *set, member) = guard.Policy{}
		}, "ValidatingAdmissionPolicy orgkeeper-member is missing"},
		"a binding that is missing": {"the policy counts for nothing", func(t *testing.T, set *guard.Set) {
			*bindingOf(t, *set, member) = guard.Binding{}
		}, "ValidatingAdmissionPolicyBinding orgkeeper-member is missing"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			installed := copied(shipped(t))
			c.change(t, &installed)
			state := guard.Compare(shipped(t), installed)
			var got []string
			for _, d := range state.Differences {
				got = append(got, d.String())
			}
			if diff := cmp.Diff(c.want, strings.Join(got, "\n")); diff != "" {
				t.Errorf("%s (- want + got):\n%s", c.reason, diff)
			}
			if state.Enforced() != (c.want == "") {
				t.Errorf("%s: enforced %t", c.reason, state.Enforced())
			}
			if missing := strings.Contains(c.want, "missing") || strings.Contains(c.want, "deleted"); state.Missing() != missing {
				t.Errorf("%s: missing %t, want %t", c.reason, state.Missing(), missing)
			}
		})
	}
}

// Nothing installed, the worst case, makes a message that people can read to its end.
func TestMessage(t *testing.T) {
	set := shipped(t)
	if len(set.Policies) < 8 || len(set.Bindings) < len(set.Policies) {
		t.Fatalf("%d policies and %d bindings are shipped", len(set.Policies), len(set.Bindings))
	}
	installed := copied(set)
	policyOf(t, installed, "orgkeeper-member").Spec.Validations = nil
	*policyOf(t, installed, "orgkeeper-owner") = guard.Policy{}
	message := guard.Compare(set, installed).Message()
	want := "ValidatingAdmissionPolicy orgkeeper-owner is missing; " +
		"ValidatingAdmissionPolicy orgkeeper-member differs from what this operator ships: spec.validations. " +
		"Nothing new is granted until they are as shipped; " + guard.Remedy
	if diff := cmp.Diff(want, message); diff != "" {
		t.Errorf("what is missing comes first (- want + got):\n%s", diff)
	}
	if none := guard.Compare(set, guard.Set{}).Message(); len(none) > 500 || !strings.Contains(none, "more") {
		t.Errorf("%d characters: %s", len(none), none)
	}
}
