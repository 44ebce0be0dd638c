package rules

import (
	"slices"
	"time"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
)

// Assigned is an assignment together with the standing of the member it names.
type Assigned struct {
	Assignment *v1alpha1.WorkspaceAssignment
	Member     Standing
}

// WorkspaceAccess is who may do what in a workspace: usernames by access. Nobody is in it twice: the highest counts.
type WorkspaceAccess struct {
	byUser map[string]v1alpha1.Access
	// Wake is when time alone changes the access; zero for never.
	Wake time.Time
}

// AccessTo decides who may do what in a workspace, from the organization's admins and the assignments that name it.
// Nobody gets anything who is not Active, and nothing is given in a home or workspace that is going, or whose subscription
// has ended.
func AccessTo(h Home, w *v1alpha1.Workspace, admins []Standing, assigned []Assigned) WorkspaceAccess {
	access := WorkspaceAccess{byUser: map[string]v1alpha1.Access{}, Wake: h.subscriptionWake()}
	for _, s := range admins {
		access.Wake = Earliest(access.Wake, s.Wake)
		if s.Active && s.Role == v1alpha1.RoleAdmin {
			access.give(s.Username, v1alpha1.AccessAdmin)
		}
	}
	for _, a := range assigned {
		access.Wake = Earliest(access.Wake, a.Member.Wake)
		if a.Assignment.DeletionTimestamp != nil || ended(a.Assignment, h.Now) {
			continue
		}
		if ends := a.Assignment.Spec.ExpiresAt; ends != nil {
			access.Wake = Earliest(access.Wake, ends.Time)
		}
		if a.Member.Active && slices.Contains(a.Assignment.Spec.Workspaces, v1alpha1.WorkspaceName(w.Name)) {
			access.give(a.Member.Username, a.Assignment.Spec.Access)
		}
	}
	if h.shut() || w.DeletionTimestamp != nil {
		clear(access.byUser)
	}
	return access
}

// Of is the access of one user; empty for none.
func (a WorkspaceAccess) Of(username string) v1alpha1.Access { return a.byUser[username] }

// Users are the users with exactly this access, sorted.
func (a WorkspaceAccess) Users(access v1alpha1.Access) []string {
	var users []string
	for user, has := range a.byUser {
		if has == access {
			users = append(users, user)
		}
	}
	slices.Sort(users)
	return users
}

// Counts is how many have which access.
func (a WorkspaceAccess) Counts() *v1alpha1.WorkspaceMembers {
	var counts v1alpha1.WorkspaceMembers
	for _, has := range a.byUser {
		switch has {
		case v1alpha1.AccessAdmin:
			counts.Admin++
		case v1alpha1.AccessEdit:
			counts.Edit++
		case v1alpha1.AccessView:
			counts.View++
		}
	}
	return &counts
}

func (a WorkspaceAccess) give(username string, access v1alpha1.Access) {
	if rank(access) > rank(a.byUser[username]) {
		a.byUser[username] = access
	}
}

// Exceeds says whether an access is more than another.
func Exceeds(access, other v1alpha1.Access) bool { return rank(access) > rank(other) }

// rank orders accesses; an unknown one ranks as none and gives nothing.
func rank(access v1alpha1.Access) int {
	return slices.Index([]v1alpha1.Access{"", v1alpha1.AccessView, v1alpha1.AccessEdit, v1alpha1.AccessAdmin}, access)
}
