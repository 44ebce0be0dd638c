package facts

import (
	"context"
	"fmt"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/internal/rules"
)

// Indexes of the cache.
const (
	// IndexEmail finds OrgMembers by rules.EmailKey.
	IndexEmail = "emailKey"
	// IndexUsername finds OrgMembers by spec.username, as far as it is declared: Reader.MembersByUsername finds all.
	IndexUsername = "username"
	// IndexRole finds OrgMembers by spec.role.
	IndexRole = "spec.role"
	// IndexUID finds OrgMembers in all namespaces by the beginning of their UID, for Reader.MemberByUID.
	IndexUID = "metadata.uid"
	// IndexLeaving finds OrgMembers that are being deleted, under the key Leaving.
	IndexLeaving = "leaving"
	// IndexRobot finds OrgMembers that are service accounts, by the service account's namespace.
	IndexRobot = "robot"
	// IndexMember finds WorkspaceAssignments by the member they name.
	IndexMember = "spec.member"
	// IndexWorkspace finds WorkspaceAssignments by each workspace they name.
	IndexWorkspace = "spec.workspaces"
	// IndexNamespaceName finds Workspaces by rules.NamespaceName.
	IndexNamespaceName = "namespaceName"
)

// Leaving is the one key of IndexLeaving.
const Leaving = "true"

// AddIndexes adds the indexes to a cache: Lean, but in tests.
func AddIndexes(ctx context.Context, indexer client.FieldIndexer) error {
	member := func(key func(m *v1alpha1.OrgMember) string) client.IndexerFunc {
		return func(o client.Object) []string {
			if k := key(o.(*v1alpha1.OrgMember)); k != "" {
				return []string{k}
			}
			return nil
		}
	}
	for _, index := range []struct {
		kind client.Object
		name string
		keys client.IndexerFunc
	}{
		{&v1alpha1.OrgMember{}, IndexEmail, member(func(m *v1alpha1.OrgMember) string { return rules.EmailKey(m.Spec.Email) })},
		{&v1alpha1.OrgMember{}, IndexUsername, member(func(m *v1alpha1.OrgMember) string { return m.Spec.Username })},
		{&v1alpha1.OrgMember{}, IndexRole, member(func(m *v1alpha1.OrgMember) string { return string(m.Spec.Role) })},
		{&v1alpha1.OrgMember{}, IndexUID, member(func(m *v1alpha1.OrgMember) string { return uidKey(string(m.UID)) })},
		{&v1alpha1.OrgMember{}, IndexLeaving, member(leaving)},
		{&v1alpha1.OrgMember{}, IndexRobot, member(func(m *v1alpha1.OrgMember) string { namespace, _ := rules.Robot(m); return namespace })},
		{&v1alpha1.WorkspaceAssignment{}, IndexMember, func(o client.Object) []string {
			return []string{o.(*v1alpha1.WorkspaceAssignment).Spec.Member}
		}},
		{&v1alpha1.WorkspaceAssignment{}, IndexWorkspace, func(o client.Object) []string {
			var names []string
			for _, name := range o.(*v1alpha1.WorkspaceAssignment).Spec.Workspaces {
				names = append(names, string(name))
			}
			return names
		}},
		{&v1alpha1.Workspace{}, IndexNamespaceName, func(o client.Object) []string {
			return []string{rules.NamespaceName(o.(*v1alpha1.Workspace))}
		}},
	} {
		if err := indexer.IndexField(ctx, index.kind, index.name, index.keys); err != nil {
			return fmt.Errorf("index %T by %s: %w", index.kind, index.name, err)
		}
	}
	return nil
}

// uidKey is that of IndexUID: with 4,096 of them, a hundred thousand members share each by twenty-four. A key for each member
// takes some 300 bytes.
func uidKey(uid string) string { return uid[:min(len(uid), 3)] }

func leaving(m *v1alpha1.OrgMember) string {
	if m.DeletionTimestamp != nil {
		return Leaving
	}
	return ""
}
