// Package facts reads what internal/rules is asked about. Controllers and the invitation page read through it, so that
// all of them judge from the same facts. It only reads, by index, and never lists what it does not need.
package facts

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/internal/guard"
	"github.com/orgkeeper/orgkeeper/internal/rules"
)

// Reader reads facts. All fields are required, but for UsernamePrefix.
type Reader struct {
	// Reader is the cache with the indexes of AddIndexes.
	client.Reader
	// Clock tells the moment that facts are about.
	Clock clock.PassiveClock
	// Guard says whether the admission policies are as shipped: Policies.State, but in tests.
	Guard func(ctx context.Context) (guard.State, error)
	// UsernamePrefix comes before an email to make the default username.
	UsernamePrefix string
}

// shared lets a list hand out the cache's own objects. Whoever uses it must not change them.
var shared = client.UnsafeDisableDeepCopy

// by asks for what an index finds under a key.
func by(index, key string) client.ListOption {
	return client.MatchingFieldsSelector{Selector: fields.OneTermEqualSelector(index, key)}
}

// Home reads what there is to know of a home namespace. Its Organization is the cache's own: do not change it.
func (r Reader) Home(ctx context.Context, namespace string) (rules.Home, error) {
	h := rules.Home{Namespace: namespace, UsernamePrefix: r.UsernamePrefix, Now: r.Clock.Now()}
	state, err := r.Guard(ctx)
	if err != nil {
		return h, err
	}
	h.Guarded = state.Enforced()
	meta, err := r.Namespace(ctx, namespace)
	if err != nil {
		return h, err
	}
	// A home that the cache does not show yet is new, not going.
	h.Terminating = meta != nil && meta.DeletionTimestamp != nil

	var organizations v1alpha1.OrganizationList
	if err := r.List(ctx, &organizations, client.InNamespace(namespace), shared); err != nil {
		return h, fmt.Errorf("list organizations of %s: %w", namespace, err)
	}
	h.Organization = rules.InForce(organizations.Items)
	if h.Organization == nil {
		return h, nil
	}
	want, err := r.memberNamed(ctx, h, h.Organization.Spec.Owner)
	if err != nil {
		return h, err
	}
	have := want // most of the time
	if h.Organization.Status.Owner != h.Organization.Spec.Owner {
		if have, err = r.memberNamed(ctx, h, h.Organization.Status.Owner); err != nil {
			return h, err
		}
	}
	h.Owner = rules.Owner(h, want, have)
	return h, nil
}

// Namespace reads the metadata of a namespace; nil when it does not exist. It is the cache's own: do not change it.
func (r Reader) Namespace(ctx context.Context, name string) (*metav1.PartialObjectMetadata, error) {
	meta := &metav1.PartialObjectMetadata{}
	meta.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	err := r.Get(ctx, client.ObjectKey{Name: name}, meta, shared)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("get namespace %s: %w", name, err)
	}
	return meta, nil
}

// Member reads what must be known of others to judge a member.
func (r Reader) Member(ctx context.Context, h rules.Home, m *v1alpha1.OrgMember) (rules.MemberFacts, error) {
	f := rules.MemberFacts{Member: m}
	sameEmail, err := r.SameEmail(ctx, m)
	if err != nil {
		return f, err
	}
	f.SameEmail = rules.OlderClaim(m, sameEmail)
	sameUsername, err := r.SameUsername(ctx, m, sameEmail)
	if err != nil {
		return f, err
	}
	f.SameUsername = rules.OlderClaim(m, sameUsername)
	if namespace, robot := rules.Robot(m); robot {
		if f.RobotAllowed, err = r.robotHome(ctx, h.Namespace, namespace); err != nil {
			return f, err
		}
	}
	return f, nil
}

// Standing judges the member of this name; nil when there is none.
func (r Reader) Standing(ctx context.Context, h rules.Home, name string) (*rules.Standing, error) {
	f, err := r.memberNamed(ctx, h, name)
	if f == nil || err != nil {
		return nil, err
	}
	s := rules.Judge(h, *f)
	return &s, nil
}

// MembersBy lists the members of a home that an index finds under a key. They are the cache's own: do not change them.
func (r Reader) MembersBy(ctx context.Context, namespace, index, key string) ([]v1alpha1.OrgMember, error) {
	var members v1alpha1.OrgMemberList
	if err := r.List(ctx, &members, client.InNamespace(namespace), by(index, key), shared); err != nil {
		return nil, fmt.Errorf("list members of %s by %s: %w", namespace, index, err)
	}
	return members.Items, nil
}

// MembersByUsername lists the members of a home with a username as of rules.Username. They are the cache's own: do not change them.
func (r Reader) MembersByUsername(ctx context.Context, namespace, username string) ([]v1alpha1.OrgMember, error) {
	members, err := r.MembersBy(ctx, namespace, IndexUsername, username)
	if err != nil {
		return nil, err
	}
	email, maybe := strings.CutPrefix(username, r.UsernamePrefix)
	if key := rules.EmailKey(v1alpha1.EmailAddress(email)); maybe && key != "" {
		others, err := r.MembersBy(ctx, namespace, IndexEmail, key)
		if err != nil {
			return nil, err
		}
		members = append(members, r.defaulted(others, username)...)
	}
	return members, nil
}

// MemberByUID finds a member in all homes; nil when there is none. It is the cache's own: do not change it.
func (r Reader) MemberByUID(ctx context.Context, uid string) (*v1alpha1.OrgMember, error) {
	var members v1alpha1.OrgMemberList
	if err := r.List(ctx, &members, by(IndexUID, uidKey(uid)), shared); err != nil {
		return nil, fmt.Errorf("find a member by UID: %w", err)
	}
	for i := range members.Items {
		if string(members.Items[i].UID) == uid {
			return &members.Items[i], nil
		}
	}
	return nil, nil
}

// Members lists all members of a home. They are the cache's own: do not change them.
func (r Reader) Members(ctx context.Context, namespace string) ([]v1alpha1.OrgMember, error) {
	var members v1alpha1.OrgMemberList
	if err := r.List(ctx, &members, client.InNamespace(namespace), shared); err != nil {
		return nil, fmt.Errorf("list members of %s: %w", namespace, err)
	}
	return members.Items, nil
}

// Workspaces lists the workspaces of a home. They are the cache's own: do not change them.
func (r Reader) Workspaces(ctx context.Context, namespace string) ([]v1alpha1.Workspace, error) {
	var workspaces v1alpha1.WorkspaceList
	if err := r.List(ctx, &workspaces, client.InNamespace(namespace), shared); err != nil {
		return nil, fmt.Errorf("list workspaces of %s: %w", namespace, err)
	}
	return workspaces.Items, nil
}

// Assignments lists the assignments of a home that an index finds under a key. They are the cache's own.
func (r Reader) Assignments(ctx context.Context, namespace, index, key string) ([]v1alpha1.WorkspaceAssignment, error) {
	var assignments v1alpha1.WorkspaceAssignmentList
	if err := r.List(ctx, &assignments, client.InNamespace(namespace), by(index, key), shared); err != nil {
		return nil, fmt.Errorf("list assignments of %s by %s: %w", namespace, index, err)
	}
	return assignments.Items, nil
}

// Bindings reads those RoleBindings of a namespace that orgkeeper may keep under these names. They are the cache's own:
// do not change them.
func (r Reader) Bindings(ctx context.Context, namespace string, names []string) ([]rbacv1.RoleBinding, error) {
	return BindingsFrom(ctx, r, namespace, names)
}

// BindingsFrom is Bindings from another reader, such as one that reads live.
func BindingsFrom(ctx context.Context, from client.Reader, namespace string, names []string) ([]rbacv1.RoleBinding, error) {
	var bindings rbacv1.RoleBindingList
	if err := from.List(ctx, &bindings, client.InNamespace(namespace), shared); err != nil {
		return nil, fmt.Errorf("list rolebindings of %s: %w", namespace, err)
	}
	return slices.DeleteFunc(bindings.Items, func(b rbacv1.RoleBinding) bool { return !slices.Contains(names, b.Name) }), nil
}

// WorkspaceCount is how many workspaces a member works in, and when time alone changes that. Without being active, in none.
func (r Reader) WorkspaceCount(ctx context.Context, h rules.Home, s rules.Standing) (int32, time.Time, error) {
	if !s.Active {
		return 0, rules.Never, nil
	}
	if s.Role == v1alpha1.RoleAdmin {
		workspaces, err := r.Workspaces(ctx, h.Namespace)
		return int32(len(workspaces)), rules.Never, err
	}
	assignments, err := r.Assignments(ctx, h.Namespace, IndexMember, s.Name)
	if err != nil {
		return 0, rules.Never, err
	}
	workspaces, err := r.workspacesNamed(ctx, h.Namespace, assignments)
	if err != nil {
		return 0, rules.Never, err
	}
	count, wake := rules.CountWorkspaces(h, workspaces, assignments)
	return count, wake, nil
}

// AssignedWorkspaces are the names, as people read them, of the workspaces that a member is to work in by assignment, in the order
// of the Workspaces' own names. An admin works in all, which the role says: none are named.
func (r Reader) AssignedWorkspaces(ctx context.Context, h rules.Home, m *v1alpha1.OrgMember) ([]string, error) {
	if m.Spec.Role == v1alpha1.RoleAdmin {
		return nil, nil
	}
	assignments, err := r.Assignments(ctx, m.Namespace, IndexMember, m.Name)
	if err != nil {
		return nil, err
	}
	workspaces, err := r.workspacesNamed(ctx, m.Namespace, assignments)
	if err != nil {
		return nil, err
	}
	var names []string
	for i := range workspaces {
		w := &workspaces[i]
		// Asked for one at a time, so that which assignments count is said in one place.
		if count, _ := rules.CountWorkspaces(h, workspaces[i:i+1], assignments); count > 0 {
			names = append(names, cmp.Or(string(w.Spec.DisplayName), w.Name))
		}
	}
	return names, nil
}

// workspacesNamed are the workspaces that assignments name, by name, but for those that do not exist: few of a home's, which may
// have many. They are the cache's own.
func (r Reader) workspacesNamed(ctx context.Context, namespace string, assignments []v1alpha1.WorkspaceAssignment) ([]v1alpha1.Workspace, error) {
	var names []v1alpha1.WorkspaceName
	for i := range assignments {
		names = append(names, assignments[i].Spec.Workspaces...)
	}
	slices.Sort(names)
	var workspaces []v1alpha1.Workspace
	for _, name := range slices.Compact(names) {
		w := v1alpha1.Workspace{}
		err := r.Get(ctx, client.ObjectKey{Namespace: namespace, Name: string(name)}, &w, shared)
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("get workspace %s/%s: %w", namespace, name, err)
		}
		workspaces = append(workspaces, w)
	}
	return workspaces, nil
}

func (r Reader) memberNamed(ctx context.Context, h rules.Home, name string) (*rules.MemberFacts, error) {
	if name == "" {
		return nil, nil
	}
	m := &v1alpha1.OrgMember{}
	err := r.Get(ctx, client.ObjectKey{Namespace: h.Namespace, Name: name}, m, shared)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("get member %s/%s: %w", h.Namespace, name, err)
	}
	f, err := r.Member(ctx, h, m)
	return &f, err
}

// robotHome says whether service accounts of a namespace may be members of a home.
func (r Reader) robotHome(ctx context.Context, home, namespace string) (bool, error) {
	if namespace == home {
		return true, nil
	}
	var workspaces v1alpha1.WorkspaceList
	if err := r.List(ctx, &workspaces, client.InNamespace(home), by(IndexNamespaceName, namespace), shared); err != nil {
		return false, fmt.Errorf("list workspaces of %s by namespace: %w", home, err)
	}
	return RobotHomes(home, workspaces.Items)(namespace), nil
}

// RobotHomes says of a namespace whether its service accounts may be members of a home with these workspaces: the home
// itself and the namespaces that its workspaces hold.
func RobotHomes(home string, workspaces []v1alpha1.Workspace) func(namespace string) bool {
	homes := map[string]bool{home: true}
	for i := range workspaces {
		homes[workspaces[i].Status.Namespace] = true
	}
	return func(namespace string) bool { return namespace != "" && homes[namespace] }
}

// SameEmail lists the members of the home with a member's email, itself included.
func (r Reader) SameEmail(ctx context.Context, m *v1alpha1.OrgMember) ([]v1alpha1.OrgMember, error) {
	key := rules.EmailKey(m.Spec.Email)
	if key == "" {
		return nil, nil
	}
	return r.MembersBy(ctx, m.Namespace, IndexEmail, key)
}

// SameUsername lists the members of the home with a member's username, itself included. sameEmail are those with its email, of
// SameEmail: where usernames follow from emails, no others can have it.
func (r Reader) SameUsername(ctx context.Context, m *v1alpha1.OrgMember, sameEmail []v1alpha1.OrgMember) ([]v1alpha1.OrgMember, error) {
	username := rules.Username(m, r.UsernamePrefix)
	if m.Spec.Username != "" {
		return r.MembersByUsername(ctx, m.Namespace, username)
	}
	declared, err := r.MembersBy(ctx, m.Namespace, IndexUsername, username)
	return append(declared, r.defaulted(sameEmail, username)...), err
}

// defaulted are those who declare no username and have this one by their email.
func (r Reader) defaulted(members []v1alpha1.OrgMember, username string) []v1alpha1.OrgMember {
	var found []v1alpha1.OrgMember
	for i := range members {
		if m := &members[i]; m.Spec.Username == "" && rules.Username(m, r.UsernamePrefix) == username {
			found = append(found, *m)
		}
	}
	return found
}
