package rules_test

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/internal/rules"
)

// Creation times are whole seconds: in one second, whoever has won goes on winning, whatever comes beside them.
func TestEquallyOldClaims(t *testing.T) {
	second := metav1.NewTime(time.Date(2026, 7, 1, 10, 0, 0, 0, time.UTC))
	organization := func(name string, inForce bool) v1alpha1.Organization {
		o := v1alpha1.Organization{ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: second}}
		if inForce {
			o.Status.Members = &v1alpha1.MemberCounts{}
		}
		return o
	}
	if got := rules.InForce([]v1alpha1.Organization{organization("zz", true), organization("aa", false)}); got.Name != "zz" {
		t.Errorf("in force: %s, want zz, which was in force before aa came", got.Name)
	}
	if got := rules.InForce([]v1alpha1.Organization{organization("zz", false), organization("aa", false)}); got.Name != "aa" {
		t.Errorf("in force: %s, want aa, the first by name of two that nobody looked at", got.Name)
	}

	claim := func(name string, status v1alpha1.OrgMemberStatus) v1alpha1.OrgMember {
		return v1alpha1.OrgMember{ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: second}, Status: status}
	}
	invited := v1alpha1.OrgMemberStatus{Invitation: &v1alpha1.InvitationStatus{Serial: 1}}
	joined := v1alpha1.OrgMemberStatus{AcceptedAt: &second, Invitation: invited.Invitation}
	for reason, c := range map[string]struct {
		first, second v1alpha1.OrgMember
	}{
		"who was invited goes before who was not":     {claim("zoe", invited), claim("amy", v1alpha1.OrgMemberStatus{})},
		"who joined goes before who was only invited": {claim("zoe", joined), claim("amy", invited)},
		"else the name decides":                       {claim("amy", invited), claim("zoe", invited)},
	} {
		both := []v1alpha1.OrgMember{c.first, c.second}
		if got := rules.OlderClaim(&c.first, both); got != "" {
			t.Errorf("%s: %s has an older claim than %s", reason, got, c.first.Name)
		}
		if got := rules.OlderClaim(&c.second, both); got != c.first.Name {
			t.Errorf("%s: older than %s is %q, want %s", reason, c.second.Name, got, c.first.Name)
		}
	}
}
