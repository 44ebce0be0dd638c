package controllers

import (
	"context"
	"slices"

	"k8s.io/apimachinery/pkg/api/equality"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
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
	offered := func(o *v1alpha1.Organization) []string {
		if o.Status.Seats == nil {
			return nil
		}
		return o.Status.Seats.Offered
	}
	return handler.Funcs{UpdateFunc: func(_ context.Context, e event.UpdateEvent, q queue) {
		before, after := e.ObjectOld.(*v1alpha1.Organization), e.ObjectNew.(*v1alpha1.Organization)
		for _, member := range offered(after) {
			if _, had := slices.BinarySearch(offered(before), member); !had {
				q.Add(request(after.Namespace, member))
			}
		}
	}}
}

// seatWanted wakes the Organization, where seats are limited, when a member wants a seat or has taken theirs.
func (w watches) seatWanted() handler.EventHandler {
	return handler.Funcs{UpdateFunc: func(ctx context.Context, e event.UpdateEvent, q queue) {
		var organizations v1alpha1.OrganizationList
		if w.client.List(ctx, &organizations, client.InNamespace(e.ObjectNew.GetNamespace())) != nil {
			return
		}
		for i := range organizations.Items {
			o := &organizations.Items[i]
			if o.Spec.Subscription != nil && o.Spec.Subscription.Seats > 0 {
				q.AddAfter(request(o.Namespace, o.Name), countDelay)
			}
		}
	}}
}

// seatMatters: what a member has of an invitation, or asks for. All else that a seat hangs on is in standingMatters.
var seatMatters = onUpdate(func(before, after *v1alpha1.OrgMember) bool {
	serial := func(m *v1alpha1.OrgMember) int32 {
		if m.Status.Invitation == nil {
			return 0
		}
		return m.Status.Invitation.Serial
	}
	return serial(before) != serial(after) || before.Annotations[v1alpha1.AnnotationResend] != after.Annotations[v1alpha1.AnnotationResend]
})
