package controllers_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/internal/portal"
)

// book sets how many seats an organization has.
func (h *home) book(acme *v1alpha1.Organization, seats int32) {
	h.t.Helper()
	edit(h, acme, func(o *v1alpha1.Organization) { o.Spec.Subscription = &v1alpha1.OrganizationSubscription{Seats: seats} })
}

// seats waits until status.seats says so, and the condition.
func (h *home) seats(acme *v1alpha1.Organization, taken, waiting int32, condition string) {
	h.t.Helper()
	h.eventually("the seats", func() error {
		h.get(acme)
		use := acme.Status.Seats
		if use == nil || use.Taken != taken || use.Waiting != waiting || reading(acme, "SeatsAvailable") != condition {
			return fmt.Errorf("%+v, %s", use, reading(acme, "SeatsAvailable"))
		}
		return nil
	})
}

// refused wants an object to be refused at once, a dry run too, with words.
func (h *home) refused(o client.Object, words string) {
	h.t.Helper()
	for _, c := range []client.Client{client.NewDryRunClient(admin), admin} {
		err := c.Create(h.t.Context(), o.DeepCopyObject().(client.Object))
		if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), words) {
			h.t.Errorf("%s: %v, not forbidden with %q", o.GetName(), err, words)
		}
	}
}

// Two members more than there are seats wait in order, without a mail; seats that return are given to them.
func TestSeats(t *testing.T) {
	h := operate(t).home(t)
	members := map[string]*v1alpha1.OrgMember{}
	for _, name := range []string{"ann", "bob", "cid", "dan"} {
		members[name] = h.member(name, v1alpha1.RoleMember)
		h.create(members[name]) // before there is an Organization: no policy counts yet
	}
	ann, bob, cid, dan := members["ann"], members["bob"], members["cid"], members["dan"]
	acme, jane := h.organization("acme", "jane"), h.member("jane", v1alpha1.RoleAdmin, joined)
	acme.Spec.Subscription = &v1alpha1.OrganizationSubscription{Seats: 3}
	h.create(jane, acme) // else a seat may be given before it is known that the owner takes one
	h.becomes(ann, "Ready", "True/AwaitingAcceptance")
	h.becomes(bob, "Ready", "True/AwaitingAcceptance")
	h.becomes(cid, "Ready", "False/NoSeat")
	h.becomes(dan, "Ready", "False/NoSeat")
	h.seats(acme, 3, 2, "False/SeatsTaken")
	if cid.Status.State != v1alpha1.StatePending || cid.Status.Invitation != nil || reading(cid, "Stalled") != "" {
		t.Errorf("cid: %+v", cid.Status)
	}

	words := "acme has 3 seats and all are taken; remove somebody or book more (spec.subscription.seats)"
	h.refused(h.member("eve", v1alpha1.RoleMember), words)
	h.create(h.robot("ci", h.name), h.member("sue", v1alpha1.RoleMember, func(m *v1alpha1.OrgMember) { m.Spec.Suspended = true }))
	edit(h, cid, func(m *v1alpha1.OrgMember) { m.Spec.DisplayName = "Cid" })

	h.answers(h.store().Decline, h.link(ann), portal.Declined)
	h.becomes(cid, "Ready", "True/AwaitingAcceptance")
	h.becomes(dan, "Ready", "False/NoSeat")
	resend(h, ann, "1")
	h.becomes(ann, "Ready", "False/NoSeat")
	if ann.Status.State != v1alpha1.StateDeclined {
		t.Errorf("ann, who declined and is to be asked again, is %s", ann.Status.State)
	}
	h.shows(h.link(ann), portal.Withdrawn)
	h.mailed("ann", 1)
	h.mailed("dan", 0)

	h.book(acme, 5)
	h.becomes(dan, "Ready", "True/AwaitingAcceptance")
	h.becomes(ann, "Ready", "True/AwaitingAcceptance")
	h.mailed("ann", 2)
	h.seats(acme, 5, 0, "False/SeatsTaken")
}

// Fewer seats than are taken put nobody out, and an invitation that went out can be accepted. Whoever was suspended waits to
// come back.
func TestSeatsTakenBack(t *testing.T) {
	h := operate(t).home(t)
	acme, jane := h.found()
	ann, claims := h.invited("ann")
	bob := h.member("bob", v1alpha1.RoleMember, joined)
	web := h.workspace("web")
	h.create(bob, web, h.assignment("bob", "bob", v1alpha1.AccessEdit, "web"))
	h.becomes(bob, "Ready", "True/Active")
	h.becomes(jane, "Ready", "True/Active")
	h.has(h.user("bob"), h.in("web"), v1alpha1.AccessEdit)

	h.book(acme, 1)
	h.seats(acme, 3, 0, "False/SeatsExceeded")
	h.refused(h.member("eve", v1alpha1.RoleMember), "acme has 1 seat and it is taken")
	h.answers(h.store().Accept, claims, portal.Accepted)
	h.becomes(ann, "Ready", "True/Active")
	h.becomes(bob, "Ready", "True/Active")

	edit(h, bob, func(m *v1alpha1.OrgMember) { m.Spec.Suspended = true })
	h.becomes(bob, "Ready", "True/Suspended")
	h.seats(acme, 2, 0, "False/SeatsExceeded")
	edit(h, bob, func(m *v1alpha1.OrgMember) { m.Spec.Suspended = false })
	h.becomes(bob, "Ready", "False/NoSeat")
	if bob.Status.State != v1alpha1.StateSuspended || h.access(h.user("bob"), h.in("web")) != "" {
		t.Errorf("bob, who has no seat to come back to, is %s and has %q", bob.Status.State, h.access(h.user("bob"), h.in("web")))
	}
	h.book(acme, 2)
	h.seats(acme, 2, 1, "False/SeatsTaken")
	h.delete(ann)
	h.becomes(bob, "Ready", "True/Active")
	h.has(h.user("bob"), h.in("web"), v1alpha1.AccessEdit)

	// No limit any more: who waits comes in.
	edit(h, bob, func(m *v1alpha1.OrgMember) { m.Spec.Suspended = true })
	h.becomes(bob, "Ready", "True/Suspended")
	h.book(acme, 1)
	h.seats(acme, 1, 0, "False/SeatsTaken") // until then the seat that he was offered before is still his
	edit(h, bob, func(m *v1alpha1.OrgMember) { m.Spec.Suspended = false })
	h.becomes(bob, "Ready", "False/NoSeat")
	edit(h, acme, func(o *v1alpha1.Organization) { o.Spec.Subscription = nil })
	h.becomes(bob, "Ready", "True/Active")
	h.seats(acme, 2, 0, "")
}

// A crowd wants four seats, while people come, go, and the operator is started anew: never more than four are in, and in the
// end four are.
func TestSeatsCrowd(t *testing.T) {
	h := operate(t).home(t)
	var crowd []*v1alpha1.OrgMember
	for i := range 12 {
		crowd = append(crowd, h.member(fmt.Sprintf("m%02d", i), v1alpha1.RoleMember, joined))
		h.create(crowd[i])
	}
	for _, m := range crowd {
		h.becomes(m, "Ready", "False/OrganizationNotFound") // what is recorded of them by then gives them no seat
	}
	acme, jane := h.organization("acme", "jane"), h.member("jane", v1alpha1.RoleAdmin, joined)
	acme.Spec.Subscription = &v1alpha1.OrganizationSubscription{Seats: 5}
	h.create(jane, acme) // else a seat may be given before it is known that the owner takes one
	in := func() (names []string) {
		var members v1alpha1.OrgMemberList
		if err := admin.List(t.Context(), &members, client.InNamespace(h.name)); err != nil {
			t.Fatal(err)
		}
		for i := range members.Items {
			m := &members.Items[i]
			if m.Status.State == v1alpha1.StateActive && m.DeletionTimestamp == nil {
				names = append(names, m.Name)
			}
		}
		if len(names) > 5 {
			t.Fatalf("%v are in five seats", names)
		}
		return names
	}
	full := func(want ...string) {
		t.Helper()
		h.eventually("five are in", func() error {
			if got := in(); !slices.Equal(got, append([]string{"jane"}, want...)) && !slices.Equal(got, append(want, "jane")) {
				return fmt.Errorf("%v, not %v", got, want)
			}
			return nil
		})
	}
	full("m00", "m01", "m02", "m03")
	for i := range 4 {
		h.delete(crowd[i])
		if i == 2 {
			h.restart(t)
		}
		in()
	}
	full("m04", "m05", "m06", "m07")
	h.seats(acme, 5, 4, "False/SeatsTaken")
	h.eventually("the offers are taken", func() error {
		if h.get(acme); len(acme.Status.Seats.Offered) > 0 {
			return errors.New(strings.Join(acme.Status.Seats.Offered, ", "))
		}
		return nil
	})
}
