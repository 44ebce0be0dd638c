package rules

import (
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
)

// Dormancy is what the condition Dormant is to say of a member. It changes no access.
type Dormancy struct {
	// Status is empty where there is nothing to say: the condition is absent then.
	Status metav1.ConditionStatus
	// Reason and Message stay the same from one activity to the next, so that being active writes no condition.
	Reason  string
	Message string
	// Wake is when time alone makes the member dormant; zero for never.
	Wake time.Time
}

// JudgeDormancy says whether a member is dormant: who may work, people and robots, the owner as well, and did not for as
// long as the organization says. Who was never seen counts from when they joined. Without anybody who watches, nobody knows.
func JudgeDormancy(h Home, m *v1alpha1.OrgMember, s Standing, watched bool) Dormancy {
	if !h.Live() || s.State != v1alpha1.StateActive {
		return Dormancy{} // who has no access, or is not to have any, is not expected
	}
	settings := h.Organization.Spec.Members
	if settings == nil || settings.DormantAfter == nil {
		return Dormancy{}
	}
	last, seen := lastActive(m)
	wake := last.Add(settings.DormantAfter.Duration)
	switch {
	case !watched:
		return Dormancy{Status: metav1.ConditionUnknown, Reason: v1alpha1.ReasonActivityNotWatched,
			Message: "the operator takes no audit events, so nobody knows when " + m.Name + " was active"}
	case !reached(wake, h.Now):
		return Dormancy{Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonActiveLately,
			Message: m.Name + " was active, or joined, less than members.dormantAfter of " + h.Organization.Name + " ago", Wake: wake}
	case seen:
		return dormant("%s was last active on %s; the next use of the organization heals it", m, last)
	}
	return dormant("%s was not active since joining on %s; the first use of the organization heals it", m, last)
}

func dormant(words string, m *v1alpha1.OrgMember, last time.Time) Dormancy {
	return Dormancy{Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonInactive,
		Message: fmt.Sprintf(words, m.Name, last.UTC().Format(time.DateOnly))}
}

// lastActive is when a member was active, and whether they ever were: else it is when they joined. Who joins again, by a new
// acceptance, is not dormant for what was before it.
func lastActive(m *v1alpha1.OrgMember) (at time.Time, seen bool) {
	joined := m.CreationTimestamp.Time
	if m.Status.AcceptedAt != nil {
		joined = m.Status.AcceptedAt.Time
	}
	if active := m.Status.LastActiveTime; active != nil && !active.Time.Before(joined) {
		return active.Time, true
	}
	return joined, false
}
