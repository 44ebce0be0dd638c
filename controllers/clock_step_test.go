package controllers_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/internal/portal"
)

// The clock is set far ahead and back, twice, while nobody touches anything: what is to end by time ends when the clock says so,
// and not when the timers do that were set before. What has not ended after all is back, and nobody is told twice.
func TestClockIsSet(t *testing.T) {
	o := operate(t)
	in := func(d time.Duration) time.Time { return o.clock.Now().Add(d) }
	h, leased := o.home(t), o.home(t)

	h.found()
	mia := h.joins("mia", until(in(6*time.Hour)))
	h.joins("tom")
	a, b := h.assignment("mia", "mia", v1alpha1.AccessEdit, "web"), h.assignment("tom", "tom", v1alpha1.AccessView, "web")
	b.Spec.ExpiresAt = &metav1.Time{Time: in(6 * time.Hour)}
	h.create(h.workspace("web"), a, b)
	sue, link := h.invited("sue")

	acme, _ := leased.found()
	edit(leased, acme, func(o *v1alpha1.Organization) {
		o.Spec.Billing = &v1alpha1.OrganizationBilling{Email: v1alpha1.EmailAddress(leased.user("billing"))}
	})
	web := leased.workspace("web")
	leased.create(web)
	leased.cancel(acme, 6*time.Hour)
	leased.billed(cancelled)

	right := func() {
		t.Helper()
		h.becomes(mia, "Ready", "True/Active")
		h.becomes(a, "Ready", "True/Granted")
		h.becomes(b, "Ready", "True/Granted")
		h.has(h.user("mia"), h.in("web"), v1alpha1.AccessEdit)
		h.has(h.user("tom"), h.in("web"), v1alpha1.AccessView)
		h.becomes(sue, "Ready", "True/AwaitingAcceptance")
		h.shows(link, portal.Open)
		leased.becomes(acme, "SubscriptionActive", "True/SubscriptionCancelled")
		leased.becomes(web, "Ready", "True/Ready")
		leased.has(leased.user("jane"), leased.in("web"), v1alpha1.AccessAdmin)
	}
	right()
	for _, wrong := range []time.Duration{10 * day, 20 * day} {
		h.settles()
		leased.settles()
		o.clock.Step(wrong)
		h.becomes(mia, "Ready", "True/MembershipExpired")
		h.becomes(a, "Ready", "True/MemberNotActive")
		h.becomes(b, "Ready", "True/AssignmentExpired")
		h.has(h.user("mia"), h.in("web"), "")
		h.has(h.user("tom"), h.in("web"), "")
		h.becomes(sue, "Ready", "True/InvitationExpired")
		leased.becomes(acme, "SubscriptionActive", "False/SubscriptionEnded")
		leased.becomes(web, "Ready", "True/SubscriptionEnded")
		leased.has(leased.user("jane"), leased.in("web"), "")
		h.mailed("mia", 1)
		leased.billed(cancelled, ended)
		h.settles()
		leased.settles()
		o.clock.Step(-wrong)
		right()
	}
	h.got(map[string]int{"mia": 1, "tom": 0, "sue": 1})
	leased.settles()
	leased.billed(cancelled, ended)
}

// A step at which nothing ends wakes everything once, and writes nothing. A clock that is off by little is not set.
func TestClockIsSetToNoEffect(t *testing.T) {
	h := operate(t).home(t)
	h.create(h.samples()...)
	h.settles()
	objects := map[string]int{}
	for _, o := range h.all() {
		objects[fmt.Sprintf("%T", o)]++
	}
	members, organizations := objects["*v1alpha1.OrgMember"], objects["*v1alpha1.Organization"]
	all := map[string]int{
		"organization": organizations, "farewell": organizations, "subscriptionmail": organizations,
		"orgmember": members, "invitation": members, "ownershipmail": members, "membershipmail": members,
		"workspace": objects["*v1alpha1.Workspace"], "workspaceassignment": objects["*v1alpha1.WorkspaceAssignment"],
	}
	before, mails := h.versions(), len(h.mail.to(h.user("mia")))
	for _, step := range []time.Duration{time.Minute, -time.Minute} {
		seen := h.reconciled()
		h.clock.Step(step)
		h.eventually("everything was looked at", func() error {
			for controller, n := range all {
				if got := h.reconciled()[controller] - seen[controller]; got < n {
					return fmt.Errorf("%s: %d of %d", controller, got, n)
				}
			}
			return nil
		})
		h.settles()
		if diff := cmp.Diff(before, h.versions()); diff != "" {
			t.Errorf("a step by %v wrote: %s", step, diff)
		}
	}
	if got := len(h.mail.to(h.user("mia"))); got != mails {
		t.Errorf("%d mails more", got-mails)
	}
	seen := h.reconciled()
	h.clock.Step(3 * time.Second)
	gomega.NewWithT(t).Consistently(h.reconciled).WithTimeout(time.Second).Should(gomega.Equal(seen), "reconciles")
}
