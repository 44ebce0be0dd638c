package facts

import (
	"context"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/internal/rules"
)

// Access reads what decides about a workspace and asks the rules who may do what in it.
func (r Reader) Access(ctx context.Context, h rules.Home, w *v1alpha1.Workspace) (rules.WorkspaceAccess, error) {
	var none rules.WorkspaceAccess
	admins, err := r.admins(ctx, h)
	if err != nil {
		return none, err
	}
	assignments, err := r.Assignments(ctx, w.Namespace, IndexWorkspace, w.Name)
	if err != nil {
		return none, err
	}
	standing, err := r.standings(ctx, h, len(assignments))
	if err != nil {
		return none, err
	}
	var assigned []rules.Assigned
	for i := range assignments {
		member, err := standing(assignments[i].Spec.Member)
		if err != nil {
			return none, err
		}
		if member != nil {
			assigned = append(assigned, rules.Assigned{Assignment: &assignments[i], Member: *member})
		}
	}
	return rules.AccessTo(h, w, admins, assigned), nil
}

// oneByOne is how many members can be listed in the time that it takes to look up one alone.
const oneByOne = 8

// standings is Standing for so many members of a home. When they are a good part of all, as in a workspace for everybody, it
// looks at all of them once.
func (r Reader) standings(ctx context.Context, h rules.Home, asked int) (func(name string) (*rules.Standing, error), error) {
	if h.Organization == nil || h.Organization.Status.Members == nil || asked*oneByOne < int(h.Organization.Status.Members.Total) {
		return func(name string) (*rules.Standing, error) { return r.Standing(ctx, h, name) }, nil
	}
	members, err := r.Members(ctx, h.Namespace)
	if err != nil {
		return nil, err
	}
	workspaces, err := r.Workspaces(ctx, h.Namespace)
	if err != nil {
		return nil, err
	}
	claims, robots := rules.ClaimsOf(members, r.UsernamePrefix), RobotHomes(h.Namespace, workspaces)
	named := make(map[string]*v1alpha1.OrgMember, len(members))
	for i := range members {
		named[members[i].Name] = &members[i]
	}
	return func(name string) (*rules.Standing, error) {
		m := named[name]
		if m == nil {
			return nil, nil
		}
		s := rules.Judge(h, claims.Facts(m, robots))
		return &s, nil
	}, nil
}

// AccessOf is what Access says of one user. It looks at nobody else, and so costs the same however many work there.
func (r Reader) AccessOf(ctx context.Context, h rules.Home, w *v1alpha1.Workspace, username string) (v1alpha1.Access, error) {
	members, err := r.MembersByUsername(ctx, h.Namespace, username)
	if err != nil {
		return "", err
	}
	var all []rules.Standing
	var assigned []rules.Assigned
	for i := range members {
		f, err := r.Member(ctx, h, &members[i])
		if err != nil {
			return "", err
		}
		s := rules.Judge(h, f)
		all = append(all, s)
		assignments, err := r.Assignments(ctx, h.Namespace, IndexMember, s.Name)
		if err != nil {
			return "", err
		}
		for j := range assignments {
			assigned = append(assigned, rules.Assigned{Assignment: &assignments[j], Member: s})
		}
	}
	return rules.AccessTo(h, w, all, assigned).Of(username), nil
}

// admins are the standings of those with role Admin and of the owner.
func (r Reader) admins(ctx context.Context, h rules.Home) ([]rules.Standing, error) {
	members, err := r.MembersBy(ctx, h.Namespace, IndexRole, string(v1alpha1.RoleAdmin))
	if err != nil {
		return nil, err
	}
	var admins []rules.Standing
	for i := range members {
		if members[i].Name == h.Owner {
			continue
		}
		f, err := r.Member(ctx, h, &members[i])
		if err != nil {
			return nil, err
		}
		admins = append(admins, rules.Judge(h, f))
	}
	owner, err := r.Standing(ctx, h, h.Owner)
	if owner == nil || err != nil {
		return admins, err
	}
	return append(admins, *owner), nil
}
