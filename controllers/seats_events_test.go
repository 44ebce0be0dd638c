package controllers_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/controllers"
)

// Who waits for a seat waits for an event, not for time: nobody looks again by themselves.
func TestNobodyPollsForSeats(t *testing.T) {
	o := operate(t, idle)
	h := o.home(t)
	acme, mia := h.organization("acme", "jane"), h.member("mia", v1alpha1.RoleMember)
	acme.Spec.Subscription = &v1alpha1.OrganizationSubscription{Seats: 2}
	h.create(mia, acme)
	reconciler := &controllers.OrgMemberReconciler{Deps: o.deps}
	h.eventually("mia is about to be given a seat", func() error {
		h.get(mia)
		result, err := reconciler.Reconcile(t.Context(), mia)
		if h.get(mia); err != nil || reading(mia, "Ready") != "False/Progressing" {
			return fmt.Errorf("Ready is %s: %w", reading(mia, "Ready"), err)
		}
		if result.RequeueAfter != 0 {
			t.Errorf("mia is looked at again in %s", result.RequeueAfter)
		}
		return nil
	})
}

// Seats are given, counted and told of, whatever is wrong with RoleBindings.
func TestSeatsWithoutTheRightToBind(t *testing.T) {
	now := &atomic.Bool{}
	now.Store(true)
	h := operate(t, with(func(d *controllers.Deps) { d.Client = forbidden{d.Client, now} })).home(t)
	acme, mia := h.organization("acme", "jane"), h.member("mia", v1alpha1.RoleMember)
	acme.Spec.Subscription = &v1alpha1.OrganizationSubscription{Seats: 2}
	h.create(h.member("jane", v1alpha1.RoleAdmin, joined), mia, acme)
	h.becomes(mia, "Ready", "True/AwaitingAcceptance")
	h.becomes(acme, "Ready", "False/AccessIncomplete")
	h.seats(acme, 2, 0, "False/SeatsTaken")
	if reading(acme, "SubscriptionActive") != "True/Subscribed" || len(acme.Status.SubscriptionMails) != 1 {
		t.Errorf("%s, mails %+v", reading(acme, "SubscriptionActive"), acme.Status.SubscriptionMails)
	}
}

// Without a limit, too, an invitation that is recorded long after its member came is counted.
func TestSeatsCountedWithoutLimit(t *testing.T) {
	f := meet(t, fault{"greeting", "421 4.3.2 too busy"}, nil)
	acme, mia := f.organization("acme", "jane"), f.member("mia", v1alpha1.RoleMember)
	f.create(mia, f.member("tom", v1alpha1.RoleMember)) // one tries, the other waits for how that ends
	f.becomes(mia, "InvitationSent", "False/MailerUnavailable")
	f.settles()
	f.get(acme)
	f.well()
	f.later(10 * 1e9)
	f.becomes(mia, "Ready", "True/AwaitingAcceptance")
	f.seats(acme, 3, 0, "")
}

// Offers that nobody could take yet end when there are fewer seats; those that are left are taken.
func TestSeatsTakenBackWhileOffered(t *testing.T) {
	f := meet(t, fault{"greeting", "421 4.3.2 too busy"}, nil)
	acme, jane := f.organization("acme", "jane"), f.member("jane", v1alpha1.RoleAdmin)
	f.becomes(jane, "Ready", "True/Active")
	f.book(acme, 5)
	var crowd []*v1alpha1.OrgMember
	for _, name := range []string{"ann", "bob", "cid", "dan"} {
		m := f.member(name, v1alpha1.RoleMember)
		f.create(m)
		f.becomes(m, "Ready", "False/MailerUnavailable")
		crowd = append(crowd, m)
	}
	f.book(acme, 3)
	f.eventually("fewer are in or offered a seat", func() error {
		if f.get(acme); acme.Status.Seats.Taken != 3 || acme.Status.Seats.Waiting != 2 {
			return fmt.Errorf("%+v", acme.Status.Seats)
		}
		return nil
	})
	f.well()
	f.later(10 * 1e9)
	for i, want := range []string{"True/AwaitingAcceptance", "True/AwaitingAcceptance", "False/NoSeat", "False/NoSeat"} {
		f.becomes(crowd[i], "Ready", want)
	}
	f.seats(acme, 3, 2, "False/SeatsTaken")
	f.mailed("cid", 0)
}

// An offer that was taken back, or used before, gives nothing to who sees the Organization as it was.
func TestOldOffer(t *testing.T) {
	o := operate(t)
	h := o.home(t)
	acme, jane, ann, bob := h.organization("acme", "jane"), h.member("jane", v1alpha1.RoleAdmin, joined),
		h.member("ann", v1alpha1.RoleMember, joined), h.member("bob", v1alpha1.RoleMember, joined)
	acme.Spec.Subscription = &v1alpha1.OrganizationSubscription{Seats: 2}
	h.create(jane, acme, ann)
	h.becomes(ann, "Ready", "True/Active")
	edit(h, ann, func(m *v1alpha1.OrgMember) { m.Spec.Suspended = true })
	h.becomes(ann, "Ready", "True/Suspended")
	h.seats(acme, 1, 0, "True/SeatsFree")
	h.create(bob)
	h.becomes(bob, "Ready", "True/Active")
	h.seats(acme, 2, 0, "False/SeatsTaken")
	edit(h, ann, func(m *v1alpha1.OrgMember) { m.Spec.Suspended = false })
	h.becomes(ann, "Ready", "False/NoSeat")

	h.get(acme)
	old := acme.DeepCopy()
	old.Status.Seats = &v1alpha1.SeatUse{Taken: 2, Offered: []string{"ann"}}
	d := o.deps
	d.Facts.Reader = olderOrganization{d.Facts.Reader, old}
	if _, err := (&controllers.OrgMemberReconciler{Deps: d}).Reconcile(t.Context(), ann.DeepCopy()); !apierrors.IsConflict(err) {
		t.Errorf("acted on an old offer: %v", err)
	}
	if h.get(ann); ann.Status.State != v1alpha1.StateSuspended {
		t.Errorf("ann is %s", ann.Status.State)
	}
}

// Whoever wants the seat again that they were offered keeps it, though the one who counts sees them as they were.
func TestOfferToWhoIsBack(t *testing.T) {
	o := operate(t, idle)
	h := o.home(t)
	acme, jane, ann, bob := h.organization("acme", "jane"), h.member("jane", v1alpha1.RoleAdmin, joined),
		h.member("ann", v1alpha1.RoleMember, joined), h.member("bob", v1alpha1.RoleMember, joined)
	acme.Spec.Subscription = &v1alpha1.OrganizationSubscription{Seats: 2}
	h.create(jane, acme, ann, bob)
	editStatus(h, ann, func(m *v1alpha1.OrgMember) { accept(m); m.Status.State = v1alpha1.StateSuspended })
	old := ann.DeepCopy()
	old.Spec.Suspended = true
	editStatus(h, acme, func(a *v1alpha1.Organization) { a.Status.Seats = &v1alpha1.SeatUse{Taken: 2, Offered: []string{"ann"}} })
	d := o.deps
	d.Facts.Reader = earlierMember{d.Facts.Reader, old}
	count := func(want string) {
		t.Helper()
		h.eventually("seats are counted", func() error {
			h.get(acme)
			_, err := (&controllers.OrganizationReconciler{Deps: d}).Reconcile(t.Context(), acme.DeepCopy())
			if h.get(acme); err == nil && reading(acme, "SeatsAvailable") == "" {
				err = errors.New("nothing is said of them")
			}
			return err
		})
		if got := strings.Join(acme.Status.Seats.Offered, " "); got != want {
			t.Errorf("offered to %s, not to %s", got, want)
		}
	}
	count("ann")
	edit(h, ann, func(m *v1alpha1.OrgMember) { m.Spec.Suspended = true }) // as it was seen: now it can be bob's
	count("bob")
}

// earlierMember is a cache that is behind with a member and with nothing else.
type earlierMember struct {
	client.Reader
	old *v1alpha1.OrgMember
}

func (r earlierMember) List(ctx context.Context, list client.ObjectList, options ...client.ListOption) error {
	if err := r.Reader.List(ctx, list, options...); err != nil {
		return err
	}
	if members, ok := list.(*v1alpha1.OrgMemberList); ok {
		for i := range members.Items {
			if members.Items[i].Name == r.old.Name {
				members.Items[i] = *r.old.DeepCopy()
			}
		}
	}
	return nil
}

const seatRounds = 100

// TestSeatRaces has members suspended, restored, removed and added at the same moment. In no moment are there more than seats.
func TestSeatRaces(t *testing.T) {
	o := operate(t)
	for lane := range 5 {
		t.Run(fmt.Sprintf("lane %d", lane), func(t *testing.T) {
			t.Parallel()
			h := o.home(t)
			acme, jane := h.organization("acme", "jane"), h.member("jane", v1alpha1.RoleAdmin, joined)
			acme.Spec.Subscription = &v1alpha1.OrganizationSubscription{Seats: 3}
			overfull := h.countSeats(3)
			h.create(jane, acme)
			h.becomes(jane, "Ready", "True/Active")
			for round := range seatRounds / 5 {
				h.scramble(round)
				h.eventually("nobody waits for a seat that is free", func() error {
					if h.get(acme); len(acme.Status.Seats.Offered) > 0 || (acme.Status.Seats.Taken < 3 && acme.Status.Seats.Waiting > 0) {
						return fmt.Errorf("%+v", acme.Status.Seats)
					}
					return nil
				})
				if err := overfull(); err != nil {
					t.Fatalf("round %d: %v", round, err)
				}
			}
		})
	}
}

// scramble lets six people want two seats, with those in them leaving and coming back at once.
func (h *home) scramble(round int) {
	var all sync.WaitGroup
	for i := range 6 {
		all.Go(func() {
			m := h.member(fmt.Sprintf("m%d", i), v1alpha1.RoleMember, joined)
			deeds := []deed{
				func(ctx context.Context, c client.Client) error { return c.Create(ctx, m.DeepCopy()) },
				change(m, `{"spec":{"suspended":true}}`), change(m, `{"spec":{"suspended":false}}`),
				change(m, `{"spec":{"suspended":true}}`), change(m, `{"spec":{"suspended":false}}`),
			}
			if (i+round)%6 == 0 {
				deeds = append(deeds, remove(m))
			}
			for _, do := range deeds {
				if err := do(h.t.Context(), admin); err != nil && !apierrors.IsNotFound(err) && !apierrors.IsAlreadyExists(err) && !apierrors.IsForbidden(err) && !apierrors.IsConflict(err) {
					h.t.Errorf("m%d: %v", i, err)
				}
			}
		})
	}
	all.Wait()
}

// countSeats watches who is in, from now on. What it returns tells whether somebody ever came in when all seats were taken.
func (h *home) countSeats(seats int) func() error {
	h.t.Helper()
	watcher, err := client.NewWithWatch(plane.Admin, client.Options{Scheme: scheme, Mapper: admin.RESTMapper()})
	if err != nil {
		h.t.Fatal(err)
	}
	var list v1alpha1.OrgMemberList
	if err := admin.List(h.t.Context(), &list, client.InNamespace(h.name)); err != nil {
		h.t.Fatal(err)
	}
	changes, err := watcher.Watch(h.t.Context(), &v1alpha1.OrgMemberList{},
		&client.ListOptions{Namespace: h.name, Raw: &metav1.ListOptions{ResourceVersion: list.ResourceVersion}})
	if err != nil {
		h.t.Fatal(err)
	}
	var mu sync.Mutex
	var fault error
	done := make(chan struct{})
	go func() {
		defer close(done)
		in := map[string]bool{}
		for change := range changes.ResultChan() {
			m, ok := change.Object.(*v1alpha1.OrgMember)
			if !ok {
				continue
			}
			had := in[m.Name]
			delete(in, m.Name)
			if change.Type == watch.Deleted || m.DeletionTimestamp != nil || m.Status.State != v1alpha1.StateActive {
				continue
			}
			in[m.Name] = true
			if !had && len(in) > seats {
				mu.Lock()
				fault = errors.Join(fault, fmt.Errorf("%s came in, and %d have %d seats", m.Name, len(in), seats))
				mu.Unlock()
			}
		}
	}()
	h.t.Cleanup(func() {
		changes.Stop()
		<-done
	})
	return func() error {
		mu.Lock()
		defer mu.Unlock()
		return fault
	}
}
