package rules

import (
	"cmp"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
)

// Of several claims to the same thing the oldest wins. Ages are whole seconds; among equally old ones the one that has
// won already goes on winning, else the first by name.

func olderOrganization(a, b *v1alpha1.Organization) bool {
	won := func(o *v1alpha1.Organization) int {
		if o.Status.Members != nil {
			return 1
		}
		return 0
	}
	return older(a, b, won(a), won(b))
}

func olderMember(a, b *v1alpha1.OrgMember) bool {
	won := func(m *v1alpha1.OrgMember) int {
		switch {
		case m.Status.AcceptedAt != nil:
			return 2
		case m.Status.Invitation != nil:
			return 1
		}
		return 0
	}
	return older(a, b, won(a), won(b))
}

func older(a, b metav1.Object, wonA, wonB int) bool {
	return cmp.Or(
		a.GetCreationTimestamp().Compare(b.GetCreationTimestamp().Time),
		cmp.Compare(wonB, wonA),
		cmp.Compare(a.GetName(), b.GetName()),
	) < 0
}

// OlderClaim names the oldest of the others that is older than m; empty when m is the oldest. The others are the
// OrgMembers that claim the same email or username; m may be among them.
func OlderClaim(m *v1alpha1.OrgMember, others []v1alpha1.OrgMember) string {
	first := m
	for i := range others {
		if others[i].Name != m.Name && olderMember(&others[i], first) {
			first = &others[i]
		}
	}
	if first == m {
		return ""
	}
	return first.Name
}
