package controllers_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/controllers"
)

// A year of a member: invited, too late, asked again, joined, promoted, idle, suspended, at the end, renewed, without a paid
// subscription, and removed. What the state is, whether she counts as dormant, what she may do in the workspace, and what she reads.
// Of a year of the organization itself see TestSubscriptionYear.
func TestMemberYear(t *testing.T) {
	h := operate(t, with(func(d *controllers.Deps) { d.ActivityWatched = true })).home(t)
	begin := h.clock.Now().Truncate(time.Second)
	on := func(days int) *metav1.Time { return &metav1.Time{Time: begin.Add(time.Duration(days) * day)} }
	acme := h.organization("acme", "jane")
	acme.Spec.Members = &v1alpha1.OrganizationMembers{DormantAfter: &metav1.Duration{Duration: 30 * day}}
	acme.Spec.Invitations = &v1alpha1.OrganizationInvitations{RemindBefore: &metav1.Duration{Duration: day}}
	acme.Spec.Subscription = &v1alpha1.OrganizationSubscription{Seats: 2}
	h.create(acme, h.member("jane", v1alpha1.RoleAdmin, joined), h.workspace("web"), h.assignment("mia", "mia", v1alpha1.AccessEdit, "web"))
	mia, bob := h.member("mia", v1alpha1.RoleMember), h.member("bob", v1alpha1.RoleMember, joined)
	change := func(change func(*v1alpha1.OrgMember)) func() { return func() { edit(h, mia, change) } }
	subscription := func(change func(*v1alpha1.OrganizationSubscription)) func() {
		return func() { edit(h, acme, func(o *v1alpha1.Organization) { change(o.Spec.Subscription) }) }
	}
	const (
		pending, active, expired, suspended = v1alpha1.StatePending, v1alpha1.StateActive, v1alpha1.StateExpired, v1alpha1.StateSuspended
		nobody, lately, dormant             = "", "False/ActiveLately", "True/Inactive"
		none, edits                         = v1alpha1.Access(""), v1alpha1.AccessEdit
		invitation, reminder                = "Invitation to join acme", "Reminder: invitation to join acme"
		role, end                           = "Your role in acme has changed", "Your membership in acme has ended"
	)
	var mails []string
	at := 0
	for _, step := range []struct {
		day     int
		what    string
		do      func()
		state   v1alpha1.MemberState
		dormant string
		access  v1alpha1.Access
		mails   []string
	}{
		{0, "invited", func() { h.create(mia) }, pending, nobody, none, []string{invitation}},
		{5, "silence", nil, pending, nobody, none, nil},
		{6, "a day before the end", nil, pending, nobody, none, []string{reminder}},
		{8, "too late", nil, expired, nobody, none, nil},
		{9, "asked again", change(func(m *v1alpha1.OrgMember) { m.Annotations = map[string]string{v1alpha1.AnnotationResend: "1"} }), pending, nobody, none, []string{invitation}},
		{10, "accepts", func() {
			editStatus(h, mia, func(m *v1alpha1.OrgMember) { m.Status.AcceptedAt, m.Status.LastActiveTime = on(10), on(10) })
		}, active, lately, edits, nil},
		{11, "another role", change(func(m *v1alpha1.OrgMember) { m.Spec.Role = v1alpha1.RoleUserAdmin }), active, lately, edits, []string{role}},
		{39, "a quiet month", nil, active, lately, edits, nil},
		{41, "more than a month", nil, active, dormant, edits, nil},
		{42, "back at work", func() { editStatus(h, mia, func(m *v1alpha1.OrgMember) { m.Status.LastActiveTime = on(42) }) }, active, lately, edits, nil},
		{60, "suspended", change(func(m *v1alpha1.OrgMember) { m.Spec.Suspended = true }), suspended, nobody, none, nil},
		{61, "bob takes the seat", func() { h.create(bob); h.becomes(bob, "Ready", "True/Active") }, suspended, nobody, none, nil},
		{62, "resumed, and no seat is free", change(func(m *v1alpha1.OrgMember) { m.Spec.Suspended = false }), suspended, nobody, none, nil},
		{63, "bob leaves", func() { h.delete(bob); h.goes(bob) }, active, lately, edits, nil},
		{100, "is to end", change(func(m *v1alpha1.OrgMember) { m.Spec.ExpiresAt = on(120) }), active, dormant, edits, nil},
		{121, "the end", nil, expired, nobody, none, []string{end}},
		{130, "renewed", change(func(m *v1alpha1.OrgMember) { m.Spec.ExpiresAt = nil }), active, dormant, edits, nil},
		{150, "cancelled", subscription(func(s *v1alpha1.OrganizationSubscription) { s.Cancelled, s.PaidThrough = true, on(160) }), active, dormant, edits, nil},
		{161, "nothing is paid any more", nil, active, dormant, none, nil},
		{170, "paid again", subscription(func(s *v1alpha1.OrganizationSubscription) { s.Cancelled = false }), active, dormant, edits, nil},
		{365, "a last day", func() { editStatus(h, mia, func(m *v1alpha1.OrgMember) { m.Status.LastActiveTime = on(365) }) }, active, lately, edits, nil},
	} {
		t.Logf("day %d: %s", step.day, step.what)
		if step.day > at {
			h.later(time.Duration(step.day-at) * day)
			at = step.day
		}
		if step.do != nil {
			step.do()
		}
		h.eventually("her state", func() error {
			if h.get(mia); mia.Status.State != step.state {
				return errors.New(string(mia.Status.State))
			}
			return nil
		})
		h.becomes(mia, "Dormant", step.dormant)
		h.has(h.user("mia"), h.in("web"), step.access)
		mails = append(mails, step.mails...)
		h.received("mia", mails)
	}
	h.delete(mia)
	h.goes(mia)
	h.has(h.user("mia"), h.in("web"), none)
	h.received("mia", append(mails, end))
	h.settles()
	h.received("mia", append(mails, end))
}

// received waits until the mails to a person have these subjects, in order.
func (h *home) received(name string, subjects []string) {
	h.t.Helper()
	h.eventually("mails to "+name, func() error {
		var got []string
		for _, l := range h.mail.to(h.user(name)) {
			got = append(got, l.subject)
		}
		if diff := cmp.Diff(subjects, got); diff != "" {
			return fmt.Errorf("-want +got:\n%s", diff)
		}
		return nil
	})
}
