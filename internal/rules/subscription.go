package rules

import (
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
)

// subscription is what is booked; all zero where nothing is.
func (h Home) subscription() v1alpha1.OrganizationSubscription {
	if h.Organization == nil || h.Organization.Spec.Subscription == nil {
		return v1alpha1.OrganizationSubscription{}
	}
	return *h.Organization.Spec.Subscription
}

// cancelled says that nobody new is invited.
func (h Home) cancelled() bool { return h.subscription().Cancelled }

// runsOut is when a cancelled subscription ends; never where nobody said until when it is paid: access must not be lost by
// something left out.
func (h Home) runsOut() time.Time {
	if s := h.subscription(); s.Cancelled && s.PaidThrough != nil {
		return s.PaidThrough.Time
	}
	return Never
}

// ended says that a cancelled subscription has run out: nobody works in workspaces.
func (h Home) ended() bool {
	at := h.runsOut()
	return !at.IsZero() && reached(at, h.Now)
}

// shut says that nobody works in workspaces.
func (h Home) shut() bool { return !h.Live() || h.ended() }

// invites says that a member may be sent a new invitation. An owner must come in, or nobody could resume the subscription.
func (h Home) invites(m *v1alpha1.OrgMember) bool { return !h.cancelled() || h.first(m) }

// letsIn says that nothing of the subscription is in the way of somebody who accepts.
func (h Home) letsIn(m *v1alpha1.OrgMember) bool {
	return awaits(h, m) == "" && (!h.ended() || h.first(m))
}

// subscriptionWake is when time alone ends the subscription; zero for never.
func (h Home) subscriptionWake() time.Time {
	if h.ended() {
		return Never
	}
	return h.runsOut()
}

// JudgeSubscription says whether the subscription is active; nil where none is declared.
func JudgeSubscription(h Home) *Finding {
	if h.Organization == nil || h.Organization.Spec.Subscription == nil {
		return nil
	}
	at := h.runsOut()
	switch {
	case !h.cancelled():
		return &Finding{metav1.ConditionTrue, v1alpha1.ReasonSubscribed, "the subscription is not cancelled"}
	case at.IsZero():
		return &Finding{metav1.ConditionTrue, v1alpha1.ReasonSubscriptionCancelled,
			"cancelled: nobody new is invited; it ends when spec.subscription.paidThrough says"}
	case !h.ended():
		return &Finding{metav1.ConditionTrue, v1alpha1.ReasonSubscriptionCancelled,
			fmt.Sprintf("cancelled: nobody new is invited, and access to workspaces ends at %s", at.UTC().Format(time.RFC3339))}
	}
	return &Finding{metav1.ConditionFalse, v1alpha1.ReasonSubscriptionEnded,
		fmt.Sprintf("ended at %s: nobody has access to workspaces; unset spec.subscription.cancelled to resume", at.UTC().Format(time.RFC3339))}
}
