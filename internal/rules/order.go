package rules

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
)

// older is the order in which claims to the same thing win: by age, then by name.
func older(a, b metav1.Object) bool {
	at, bt := a.GetCreationTimestamp(), b.GetCreationTimestamp()
	if !at.Equal(&bt) {
		return at.Before(&bt)
	}
	return a.GetName() < b.GetName()
}

// OlderClaim names the oldest of the others that is older than m; empty when m is the oldest. The others are the
// OrgMembers that claim the same email or username; m may be among them.
func OlderClaim(m *v1alpha1.OrgMember, others []v1alpha1.OrgMember) string {
	first := m
	for i := range others {
		if older(&others[i], first) {
			first = &others[i]
		}
	}
	if first == m || first.Name == m.Name {
		return ""
	}
	return first.Name
}
