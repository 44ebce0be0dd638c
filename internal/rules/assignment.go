package rules

import (
	"fmt"
	"strings"
	"time"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
)

// AssignmentFacts is one WorkspaceAssignment and what must be known of others to judge it.
type AssignmentFacts struct {
	Assignment *v1alpha1.WorkspaceAssignment
	// Member is the standing of the member it names; nil when there is no such OrgMember.
	Member *Standing
	// Workspaces are the workspaces it names, by name; those that do not exist are not in it.
	Workspaces map[v1alpha1.WorkspaceName]*v1alpha1.Workspace
	// Held is the access that the RoleBindings of a namespace give the member now.
	Held func(namespace string) v1alpha1.Access
}

// AssignmentStanding is what an assignment comes to.
type AssignmentStanding struct {
	// Workspaces is the result in each workspace, in the order of the spec.
	Workspaces []v1alpha1.AssignedWorkspace
	// Verdict is what Ready is to say.
	Verdict Verdict
	// Wake is when time alone changes this; zero for never.
	Wake time.Time
}

// JudgeAssignment says what an assignment comes to, in each workspace and in all. References may dangle; they heal.
func JudgeAssignment(h Home, f AssignmentFacts) AssignmentStanding {
	a := f.Assignment
	s := AssignmentStanding{Wake: h.subscriptionWake()}
	if a.Spec.ExpiresAt != nil && !ended(a, h.Now) {
		s.Wake = Earliest(s.Wake, a.Spec.ExpiresAt.Time)
	}
	whole := wholeVerdict(h, f)
	var missing, unready, underWay []string
	for _, name := range a.Spec.Workspaces {
		part := v1alpha1.AssignedWorkspace{Name: name, Reason: whole.Reason}
		w := f.Workspaces[name]
		if w != nil {
			part.Namespace = w.Status.Namespace
		}
		switch {
		case w == nil:
			part.Reason = v1alpha1.ReasonWorkspaceNotFound
			missing = append(missing, string(name))
		case part.Namespace == "" || w.DeletionTimestamp != nil:
			part.Reason = v1alpha1.ReasonWorkspaceNotReady
			unready = append(unready, string(name))
		case whole.Reason == v1alpha1.ReasonGranted:
			part.Granted = rank(f.Held(part.Namespace)) >= rank(a.Spec.Access)
			if !part.Granted {
				part.Reason = underWayVerdict(h, []string{string(name)}).Reason
				underWay = append(underWay, string(name))
			}
		}
		s.Workspaces = append(s.Workspaces, part)
	}
	s.Verdict = whole
	// What has ended waits for nothing any more.
	if whole.Ready && whole.Reason != v1alpha1.ReasonAssignmentExpired {
		s.Verdict = partsVerdict(h, whole, missing, unready, underWay)
	}
	return s
}

// partsVerdict is the whole verdict unless some workspaces, by name, stand against it.
func partsVerdict(h Home, whole Verdict, missing, unready, underWay []string) Verdict {
	switch {
	case missing != nil:
		return waiting(v1alpha1.ReasonWorkspaceNotFound,
			fmt.Sprintf("no Workspace %s in namespace %s; add it, or take it out of spec.workspaces", strings.Join(missing, ", "), h.Namespace))
	case unready != nil:
		return waiting(v1alpha1.ReasonWorkspaceNotReady,
			fmt.Sprintf("Workspace %s has no namespace to work in; see its conditions", strings.Join(unready, ", ")))
	case underWay != nil:
		return underWayVerdict(h, underWay)
	}
	return whole
}

// underWayVerdict is what can be said of access to workspaces that is to be given and is not there.
func underWayVerdict(h Home, workspaces []string) Verdict {
	access := "access to " + strings.Join(workspaces, ", ")
	if !h.Guarded {
		return reconciling(v1alpha1.ReasonPolicyNotEnforced, access+" is withheld "+untilGuarded)
	}
	return reconciling(v1alpha1.ReasonProgressing, access+" is being given")
}

// wholeVerdict is what can be said without looking at the workspaces. Its reason Granted stands for "may be granted".
func wholeVerdict(h Home, f AssignmentFacts) Verdict {
	a := f.Assignment
	name := a.Spec.Member
	switch {
	case a.DeletionTimestamp != nil:
		return reconciling(v1alpha1.ReasonDeleting, "the access of "+name+" ends; then the assignment goes")
	case !h.Live():
		return h.verdict()
	case ended(a, h.Now):
		return ready(v1alpha1.ReasonAssignmentExpired, "the assignment has ended; move spec.expiresAt to renew it")
	case f.Member == nil:
		return waiting(v1alpha1.ReasonMemberNotFound, fmt.Sprintf("no OrgMember %s in namespace %s; add it, or delete the assignment", name, h.Namespace))
	case h.ended():
		return ready(v1alpha1.ReasonSubscriptionEnded, "no access of "+name+": the subscription of "+h.Organization.Name+" has ended; it comes back when that is resumed")
	case f.Member.Active:
		return ready(v1alpha1.ReasonGranted, name+" has the access")
	}
	return inactiveVerdict(name, *f.Member)
}

// inactiveVerdict is what can be said of an assignment to a member without access. It waits only for what somebody must
// mend: not for a person's answer, and not for a membership that is over or set aside.
func inactiveVerdict(name string, m Standing) Verdict {
	switch m.Verdict.Reason {
	case v1alpha1.ReasonDuplicateEmail, v1alpha1.ReasonDuplicateUsername, v1alpha1.ReasonRobotNotAllowed:
		return waiting(v1alpha1.ReasonMemberNotActive, fmt.Sprintf("%s cannot have access: %s", name, m.Verdict.Message))
	case v1alpha1.ReasonDeleting:
		return ready(v1alpha1.ReasonMemberNotActive, name+" is being deleted; no access any more")
	case v1alpha1.ReasonNoSeat, v1alpha1.ReasonSubscriptionCancelled:
		return ready(v1alpha1.ReasonMemberNotActive, "no access until active: "+m.Verdict.Message)
	}
	if m.State == v1alpha1.StatePending {
		return ready(v1alpha1.ReasonAwaitingAcceptance, "granted once "+name+" accepts")
	}
	return ready(v1alpha1.ReasonMemberNotActive, fmt.Sprintf("%s is %s; no access until active", name, strings.ToLower(string(m.State))))
}

// ended says that the assignment's spec.expiresAt has come.
func ended(a *v1alpha1.WorkspaceAssignment, now time.Time) bool {
	return a.Spec.ExpiresAt != nil && reached(a.Spec.ExpiresAt.Time, now)
}

// CountWorkspaces is how many of the workspaces a member's assignments lead to, and when time alone changes that.
func CountWorkspaces(h Home, workspaces []v1alpha1.Workspace, assignments []v1alpha1.WorkspaceAssignment) (int32, time.Time) {
	assigned := map[v1alpha1.WorkspaceName]bool{}
	var wake time.Time
	for i := range assignments {
		a := &assignments[i]
		if a.DeletionTimestamp != nil || ended(a, h.Now) {
			continue
		}
		if a.Spec.ExpiresAt != nil {
			wake = Earliest(wake, a.Spec.ExpiresAt.Time)
		}
		for _, name := range a.Spec.Workspaces {
			assigned[name] = true
		}
	}
	var count int32
	for i := range workspaces {
		if assigned[v1alpha1.WorkspaceName(workspaces[i].Name)] {
			count++
		}
	}
	return count, wake
}
