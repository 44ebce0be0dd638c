package controllers

import (
	"context"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/api/equality"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/internal/rules"
)

// subscriptionChanged wakes what is in a home when its subscription changed: access to workspaces ends or comes back, and
// whoever waits may come in.
func (w watches) subscriptionChanged(all inNamespace) handler.EventHandler {
	return handler.Funcs{UpdateFunc: func(ctx context.Context, e event.UpdateEvent, q queue) {
		before, after := e.ObjectOld.(*v1alpha1.Organization), e.ObjectNew.(*v1alpha1.Organization)
		if equality.Semantic.DeepEqual(before.Spec.Subscription, after.Spec.Subscription) {
			return
		}
		for _, req := range all(ctx, after.Namespace) {
			q.Add(req)
		}
	}}
}

// seatOffered wakes those who are offered a seat.
func seatOffered() handler.EventHandler {
	return handler.Funcs{UpdateFunc: func(_ context.Context, e event.UpdateEvent, q queue) {
		before, after := e.ObjectOld.(*v1alpha1.Organization), e.ObjectNew.(*v1alpha1.Organization)
		for _, member := range without(rules.Offers(after), rules.Offers(before)) {
			q.Add(request(after.Namespace, member))
		}
	}}
}

// seatLost wakes those whose offer stands no more and who have not taken it; and those who wait without one when what they wait
// for becomes another: who is about to be given a seat may have to wait for one, and the other way round. What they wait for is
// read off their record. A record that is still on its way wakes them by itself, and they find the Organization as it is by then.
func (w watches) seatLost() handler.EventHandler {
	return handler.Funcs{UpdateFunc: func(ctx context.Context, e event.UpdateEvent, q queue) {
		before, after := e.ObjectOld.(*v1alpha1.Organization), e.ObjectNew.(*v1alpha1.Organization)
		for _, member := range without(rules.Offers(before), rules.Offers(after)) {
			m := &v1alpha1.OrgMember{}
			if err := w.facts.Get(ctx, client.ObjectKey{Namespace: after.Namespace, Name: member}, m); err == nil && m.Status.State != v1alpha1.StateActive {
				q.Add(request(after.Namespace, member))
			}
		}
		outlook := rules.SeatOutlook(after)
		if outlook == "" || outlook == rules.SeatOutlook(before) {
			return
		}
		members, err := w.facts.Members(ctx, after.Namespace)
		if err != nil {
			return
		}
		for i := range members {
			if is := readyReason(&members[i]); is != outlook && (is == v1alpha1.ReasonNoSeat || is == v1alpha1.ReasonProgressing) {
				q.Add(request(after.Namespace, members[i].Name))
			}
		}
	}}
}

// without are those of some names, sorted, that are not among others.
func without(names, others []string) []string {
	var left []string
	for _, name := range names {
		if _, found := slices.BinarySearch(others, name); !found {
			left = append(left, name)
		}
	}
	return left
}

// confirmSeat fails as a lost race does when somebody is about to take a seat that is offered to them no more, as the API
// server knows. It is asked after the member was read and before the record is written, which fails when the member changed
// meanwhile: see allot.
func (d Deps) confirmSeat(ctx context.Context, h rules.Home, m *v1alpha1.OrgMember) error {
	if !rules.TakesSeat(h, m) {
		return nil
	}
	live := &v1alpha1.Organization{}
	if err := d.Live.Get(ctx, client.ObjectKeyFromObject(h.Organization), live); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("get organization %s/%s: %w", h.Namespace, h.Organization.Name, err)
	}
	if live.UID != h.Organization.UID || live.DeletionTimestamp != nil || !rules.ComesIn(h, live, m) {
		return behind("organizations", h.Organization.Name)
	}
	return nil
}

// allot says how the seats are used, and whom the free ones are offered.
//
// A seat that was offered to somebody who does not want it any more goes to somebody else only once they cannot take it: the
// withdrawal is written first, then they are looked at. If they do not want it by then, then whatever lets them want it again comes
// after the withdrawal, and so does their look at the offer. If they do, it stays theirs. So no seat is taken twice, also while
// the caches of Organizations and OrgMembers are of different moments.
func (r *OrganizationReconciler) allot(ctx context.Context, h rules.Home, o *v1alpha1.Organization, roll rules.Roll) (*v1alpha1.SeatUse, error) {
	use := roll.Seats(o)
	lapsed := roll.Lapsed(o, use)
	if lapsed == nil {
		return use, nil
	}
	before := o.DeepCopy()
	o.Status.Seats = rules.Withdrawn(o, use)
	if err := r.patchStatus(ctx, before, o); err != nil {
		return nil, err
	}
	var kept []string
	for _, name := range lapsed {
		m := &v1alpha1.OrgMember{}
		err := r.Live.Get(ctx, client.ObjectKey{Namespace: o.Namespace, Name: name}, m)
		if client.IgnoreNotFound(err) != nil || (err == nil && rules.HoldsOffer(h, m)) {
			kept = append(kept, name) // whom nobody can see keeps it, too
		}
	}
	return roll.Seats(o, kept...), nil
}

// seatWanted wakes the Organization when a member wants a seat or has taken theirs.
func (w watches) seatWanted() handler.EventHandler {
	return handler.Funcs{UpdateFunc: func(ctx context.Context, e event.UpdateEvent, q queue) {
		var organizations v1alpha1.OrganizationList
		if w.facts.List(ctx, &organizations, client.InNamespace(e.ObjectNew.GetNamespace()), client.UnsafeDisableDeepCopy) != nil {
			return
		}
		for i := range organizations.Items {
			q.AddAfter(request(organizations.Items[i].Namespace, organizations.Items[i].Name), countDelay)
		}
	}}
}

// seatMatters: what a member has of an invitation, or asks for. All else that a seat hangs on is in standingMatters.
var seatMatters = ofOthers(func(before, after *v1alpha1.OrgMember) bool {
	return rules.SeatClaim(before) != rules.SeatClaim(after)
})
