package controllers_test

import (
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/controllers"
)

// Who writes a try, an outcome or an answer says with it where the membership stands, as far as they tell an Event of that. All
// else is left to the member's own controller, which tells it: nothing comes over a member without an Event.
func TestDescribe(t *testing.T) {
	h, mia := candidate(t, func(*controllers.Deps) {})
	now := metav1.Now()
	invited := v1alpha1.InvitationStatus{Serial: 1, IssuedAt: &now, ExpiresAt: metav1.NewTime(now.Add(time.Hour)), Attempts: 1}
	for _, c := range []struct {
		reason string
		change func(*v1alpha1.OrgMember)
		want   string // Ready; empty when it is left
	}{
		{"a try", func(*v1alpha1.OrgMember) {}, "False/InvitationQueued"},
		{"it is out", func(m *v1alpha1.OrgMember) { m.Status.Invitation.SentAt = &now }, "True/AwaitingAcceptance"},
		{"it was deferred", func(m *v1alpha1.OrgMember) { m.Status.Invitation.LastError = "450 busy" }, "False/InvitationDeferred"},
		{"it was refused", func(m *v1alpha1.OrgMember) { m.Status.Invitation.RejectedAt = &now }, "False/InvitationRejected"},
		{"yes", func(m *v1alpha1.OrgMember) { m.Status.AcceptedAt = &now }, "True/Active"},
		{"no", func(m *v1alpha1.OrgMember) { m.Status.DeclinedAt = &now }, "True/Declined"},
		{"suspended meanwhile", func(m *v1alpha1.OrgMember) { m.Spec.Suspended = true }, ""},
		{"their end came meanwhile", func(m *v1alpha1.OrgMember) { m.Spec.ExpiresAt = &metav1.Time{Time: now.Add(-time.Hour)} }, ""},
		{"being deleted meanwhile", func(m *v1alpha1.OrgMember) { m.DeletionTimestamp = &now }, ""},
	} {
		m := mia.DeepCopy()
		m.Finalizers = []string{v1alpha1.FinalizerMember}
		m.Status.State, m.Status.Invitation = v1alpha1.StatePending, invited.DeepCopy()
		c.change(m)
		before := m.DeepCopy()
		h.deps.Describe(t.Context(), m)
		if got := reading(m, "Ready"); got != c.want {
			t.Errorf("%s: Ready is %q, want %q", c.reason, got, c.want)
		}
		if c.want == "" && !equality.Semantic.DeepEqual(before, m) {
			t.Errorf("%s: the status is half of the one and half of the other: %+v", c.reason, m.Status)
		}
	}
}
