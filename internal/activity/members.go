package activity

import (
	"context"
	"fmt"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/internal/facts"
)

// Members finds, in the cache, those whom the use of a namespace by a user counts for: the active members with this
// username of the organization whose home it is, and of the one that has a workspace in it. Who is not active has no access
// as a member, and is there by another right. The members are the cache's own.
func Members(from facts.Reader) func(ctx context.Context, namespace, username string) ([]*v1alpha1.OrgMember, error) {
	return func(ctx context.Context, namespace, username string) ([]*v1alpha1.OrgMember, error) {
		homes, err := homesOf(ctx, from, namespace)
		if err != nil {
			return nil, err
		}
		var found []*v1alpha1.OrgMember
		for _, home := range homes {
			members, err := from.MembersByUsername(ctx, home, username)
			if err != nil {
				return nil, err
			}
			for i := range members {
				if members[i].Status.State == v1alpha1.StateActive {
					found = append(found, &members[i])
				}
			}
		}
		return found, nil
	}
}

// homesOf are the homes of the organizations that a namespace belongs to: itself, if it is one, and that of its workspace.
func homesOf(ctx context.Context, from facts.Reader, namespace string) ([]string, error) {
	var workspaces v1alpha1.WorkspaceList
	if err := from.List(ctx, &workspaces, client.MatchingFields{facts.IndexNamespaceName: namespace}, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("list workspaces by namespace %s: %w", namespace, err)
	}
	homes := []string{namespace}
	for i := range workspaces.Items {
		// Many may declare a namespace; one holds it.
		if w := &workspaces.Items[i]; w.Status.Namespace == namespace && w.Namespace != namespace {
			homes = append(homes, w.Namespace)
		}
	}
	return homes, nil
}
