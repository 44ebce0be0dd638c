package controllers_test

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/controllers"
)

// Who does nothing for long becomes dormant by itself, at the moment and not at the next change, and is not any more as soon
// as they do something.
func TestDormantAndBack(t *testing.T) {
	o := operate(t, with(func(d *controllers.Deps) { d.ActivityWatched = true }))
	h := o.home(t)
	acme, _ := h.found()
	mia := h.member("mia", v1alpha1.RoleMember, joined)
	h.create(mia)
	h.becomes(mia, "Ready", "True/Active")
	edit(h, acme, func(acme *v1alpha1.Organization) {
		acme.Spec.Members = &v1alpha1.OrganizationMembers{DormantAfter: &metav1.Duration{Duration: 24 * time.Hour}}
	})
	h.becomes(mia, "Dormant", "False/ActiveLately")
	h.clock.Step(24*time.Hour - 3*time.Second)
	h.restart(t) // timers are set from the clock when something is looked at
	h.becomes(mia, "Dormant", "True/Inactive")
	editStatus(h, mia, func(m *v1alpha1.OrgMember) {
		at := metav1.NewTime(h.clock.Now().Truncate(time.Second))
		m.Status.LastActiveTime = &at
	})
	h.becomes(mia, "Dormant", "False/ActiveLately")
}
