// Package guard says whether the admission policies that uphold the role rules are installed as this operator ships them,
// and what is to be done where they are not. It compares plain data and knows no client.
package guard

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

type (
	// Policy says what is refused.
	Policy = admissionregistrationv1.ValidatingAdmissionPolicy
	// Binding puts a policy into force.
	Binding = admissionregistrationv1.ValidatingAdmissionPolicyBinding
)

// Kinds of what is compared.
const (
	KindPolicy  = "ValidatingAdmissionPolicy"
	KindBinding = "ValidatingAdmissionPolicyBinding"
)

// Set is policies and their bindings.
type Set struct {
	Policies []Policy
	Bindings []Binding
}

// Difference is one object that is not installed as shipped.
type Difference struct {
	// Kind and Name are the object's.
	Kind, Name string
	// Missing: it is not there, or about to go. Otherwise it says something else than what is shipped.
	Missing bool
	// What is wrong with it.
	What string
}

func (d Difference) String() string { return d.Kind + " " + d.Name + " " + d.What }

// State is what a comparison comes to. The zero State is that all is as shipped.
type State struct {
	// Differences are sorted: what is missing first, then by name, a policy before its binding.
	Differences []Difference
}

// Enforced says that all policies and bindings are installed as shipped.
func (s State) Enforced() bool { return len(s.Differences) == 0 }

// Missing says that some are not there at all.
func (s State) Missing() bool { return !s.Enforced() && s.Differences[0].Missing }

// maxTold is how many differences a message names. Whoever mends one mends all, by the same command.
const maxTold = 3

// Remedy is what to do about every difference. An apply alone would leave what others added.
const Remedy = "install config/policy of this version of orgkeeper anew: " +
	"kubectl delete -k config/policy --ignore-not-found; kubectl apply --server-side -k config/policy"

// Message says in a line what is wrong and what to do.
func (s State) Message() string {
	if s.Enforced() {
		return "the admission policies are installed as this operator ships them"
	}
	var told []string
	for _, d := range s.Differences[:min(len(s.Differences), maxTold)] {
		told = append(told, d.String())
	}
	if more := len(s.Differences) - maxTold; more > 0 {
		told = append(told, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(told, "; ") + ". Nothing new is granted until they are as shipped; " + Remedy
}

// Compare finds what of the shipped set is not installed as shipped. Only the spec counts: labels, annotations and status
// are whoever installs' and the API server's. Of what is installed beyond it nothing can weaken it: policies only refuse.
func Compare(shipped, installed Set) State {
	var s State
	for i := range shipped.Policies {
		want := withDefaults(&shipped.Policies[i])
		j := slices.IndexFunc(installed.Policies, func(p Policy) bool { return p.Name == want.Name })
		if j < 0 {
			s.add(Difference{KindPolicy, want.Name, true, missing})
			continue
		}
		s.compare(KindPolicy, &installed.Policies[j].ObjectMeta, want.Spec, withDefaults(&installed.Policies[j]).Spec)
	}
	for i := range shipped.Bindings {
		want := bindingWithDefaults(&shipped.Bindings[i])
		j := slices.IndexFunc(installed.Bindings, func(b Binding) bool { return b.Name == want.Name })
		if j < 0 {
			s.add(Difference{KindBinding, want.Name, true, missing})
			continue
		}
		s.compare(KindBinding, &installed.Bindings[j].ObjectMeta, want.Spec, bindingWithDefaults(&installed.Bindings[j]).Spec)
	}
	slices.SortFunc(s.Differences, func(a, b Difference) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Kind, b.Kind))
	})
	return s
}

func rank(d Difference) int {
	if d.Missing {
		return 0
	}
	return 1
}

const (
	missing = "is missing"
	goes    = "is being deleted"
	altered = "differs from what this operator ships: "
)

func (s *State) add(d Difference) { s.Differences = append(s.Differences, d) }

func (s *State) compare(kind string, have *metav1.ObjectMeta, wantSpec, haveSpec any) {
	if have.DeletionTimestamp != nil {
		s.add(Difference{kind, have.Name, true, goes})
	} else if fields := differing(wantSpec, haveSpec); len(fields) > 0 {
		s.add(Difference{kind, have.Name, false, altered + strings.Join(fields, ", ")})
	}
}

// differing names the fields of two specs that differ. As JSON, since an empty list and none are the same to the API server.
func differing(want, have any) []string {
	a, b := fieldsOf(want), fieldsOf(have)
	var names []string
	for _, name := range slices.Sorted(maps.Keys(a)) {
		if !reflect.DeepEqual(a[name], b[name]) {
			names = append(names, "spec."+name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(b)) {
		if _, both := a[name]; !both {
			names = append(names, "spec."+name)
		}
	}
	return names
}

func fieldsOf(spec any) map[string]any {
	fields := map[string]any{}
	content, err := json.Marshal(spec)
	if err == nil {
		err = json.Unmarshal(content, &fields)
	}
	if err != nil {
		panic(err) // types of Kubernetes' API are JSON
	}
	return fields
}
