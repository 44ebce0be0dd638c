package controllers_test

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/internal/portal"
)

// cancel cancels the subscription; paid until a moment, or nobody knows.
func (h *home) cancel(acme *v1alpha1.Organization, paidFor time.Duration) {
	h.t.Helper()
	edit(h, acme, func(o *v1alpha1.Organization) {
		o.Spec.Subscription = &v1alpha1.OrganizationSubscription{Cancelled: true}
		if paidFor != 0 {
			o.Spec.Subscription.PaidThrough = &metav1.Time{Time: h.clock.Now().Add(paidFor)}
		}
	})
}

func (h *home) resume(acme *v1alpha1.Organization) {
	h.t.Helper()
	edit(h, acme, func(o *v1alpha1.Organization) { o.Spec.Subscription.Cancelled = false })
}

const day = 24 * time.Hour

// Cancelled: nobody new is invited, all else goes on until what is paid runs out. Then nobody works in workspaces, and state,
// roles and the home stay. Resumed, all is back.
func TestSubscription(t *testing.T) {
	h := operate(t).home(t)
	acme, jane := h.found()
	adam := h.member("adam", v1alpha1.RoleAdmin, joined)
	bill := h.member("bill", v1alpha1.RoleBillingAdmin, joined)
	mia := h.member("mia", v1alpha1.RoleMember, joined)
	ci := h.robot("ci", h.name)
	web := h.workspace("web")
	works := h.assignment("mia", "mia", v1alpha1.AccessEdit, "web")
	h.create(adam, bill, mia, ci, web, works, h.assignment("ci", "ci", v1alpha1.AccessView, "web"))
	pat, link := h.invited("pat")
	_, late := h.invited("late")
	access := func(mia, admin, robot v1alpha1.Access) {
		t.Helper()
		h.has(h.user("mia"), h.in("web"), mia)
		h.has(h.user("jane"), h.in("web"), admin)
		h.has(h.user("adam"), h.in("web"), admin)
		h.has("system:serviceaccount:"+h.name+":ci", h.in("web"), robot)
	}
	access(v1alpha1.AccessEdit, v1alpha1.AccessAdmin, v1alpha1.AccessView)

	h.cancel(acme, 10*day)
	h.becomes(acme, "SubscriptionActive", "True/SubscriptionCancelled")
	ned := h.member("ned", v1alpha1.RoleMember)
	zoe := h.member("zoe", v1alpha1.RoleMember, joined)
	h.create(ned, zoe)
	h.becomes(ned, "Ready", "False/SubscriptionCancelled")
	h.becomes(zoe, "Ready", "False/SubscriptionCancelled")
	resend(h, pat, "again")
	h.becomes(pat, "Ready", "True/AwaitingAcceptance")
	h.answers(h.store().Accept, link, portal.Accepted)
	h.becomes(pat, "Ready", "True/Active")
	edit(h, mia, func(m *v1alpha1.OrgMember) { m.Spec.Suspended = true })
	h.has(h.user("mia"), h.in("web"), "")
	edit(h, mia, func(m *v1alpha1.OrgMember) { m.Spec.Suspended = false })
	h.later(9 * day)
	access(v1alpha1.AccessEdit, v1alpha1.AccessAdmin, v1alpha1.AccessView)

	h.later(day)
	h.becomes(acme, "SubscriptionActive", "False/SubscriptionEnded")
	h.becomes(web, "Ready", "True/SubscriptionEnded")
	h.becomes(works, "Ready", "True/SubscriptionEnded")
	if part := works.Status.Workspaces[0]; part.Granted || part.Reason != "SubscriptionEnded" {
		t.Errorf("the assignment says %+v", part)
	}
	access("", "", "")
	for _, m := range []*v1alpha1.OrgMember{jane, adam, bill, mia} {
		h.becomes(m, "Ready", "True/Active")
		if m.Status.Role != m.Spec.Role {
			t.Errorf("%s has the role %s", m.Name, m.Status.Role)
		}
	}
	for _, m := range []*v1alpha1.OrgMember{jane, adam, bill} {
		h.eventually(m.Name+" keeps the home", h.allowed(m, "update", "organizations/subscription.orgkeeper.dev", true))
	}
	h.shows(late, portal.Withdrawn)
	h.answers(h.store().Accept, late, portal.Withdrawn)
	h.mailed("ned", 0)
	h.mailed("pat", 1)

	h.resume(acme)
	h.becomes(acme, "SubscriptionActive", "True/Subscribed")
	access(v1alpha1.AccessEdit, v1alpha1.AccessAdmin, v1alpha1.AccessView)
	h.becomes(works, "Ready", "True/Granted")
	h.becomes(web, "Ready", "True/Ready")
	h.becomes(ned, "Ready", "True/AwaitingAcceptance")
	h.becomes(zoe, "Ready", "True/Active")
	h.mailed("ned", 1)
}

// What was paid runs out while nobody touches anything: a timer ends the access. A moment in the past ends it at once; no
// moment at all, never.
func TestSubscriptionRunsOut(t *testing.T) {
	h := operate(t).home(t)
	acme, _ := h.found()
	web := h.workspace("web")
	h.create(web)
	h.has(h.user("jane"), h.in("web"), v1alpha1.AccessAdmin)
	h.cancel(acme, 0)
	h.becomes(acme, "SubscriptionActive", "True/SubscriptionCancelled")
	h.later(1000 * day)
	h.becomes(web, "Ready", "True/Ready")
	h.has(h.user("jane"), h.in("web"), v1alpha1.AccessAdmin)

	h.cancel(acme, 2*time.Second)
	h.becomes(web, "Ready", "True/SubscriptionEnded")
	h.has(h.user("jane"), h.in("web"), "")
	h.becomes(acme, "SubscriptionActive", "False/SubscriptionEnded")
	h.cancel(acme, day)
	h.has(h.user("jane"), h.in("web"), v1alpha1.AccessAdmin)
	h.cancel(acme, -day)
	h.has(h.user("jane"), h.in("web"), "")
	// Not cancelled, the moment means nothing.
	h.resume(acme)
	h.has(h.user("jane"), h.in("web"), v1alpha1.AccessAdmin)
}
