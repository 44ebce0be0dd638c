package controllers

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/internal/facts"
)

var (
	bindingKind   = &rbacv1.RoleBinding{}
	namespaceKind = &corev1.Namespace{}
)

// severalAtOnce is for controllers of kinds that come in numbers. Each object is worked on by one worker at a time.
var severalAtOnce = controller.Options{MaxConcurrentReconciles: 4}

// manyAtOnce is for what ends access. When hundreds leave at the same time all controllers want to write, and an API server at its
// limit serves each request alike: who asks more at a time is served more.
var manyAtOnce = controller.Options{MaxConcurrentReconciles: 16}

// watches finds what a change concerns. It reads from the cache, by index. An error there means that the cache is being
// stopped; nothing is to be woken then.
type watches struct{ facts facts.Reader }

type (
	requests = []ctrl.Request
	// ofObject is what a change of an object concerns.
	ofObject = func(ctx context.Context, o client.Object) requests
	// inNamespace is what there is in a home namespace.
	inNamespace = func(ctx context.Context, namespace string) requests
	// ofMember is what concerns one member of a home.
	ofMember = func(ctx context.Context, namespace, member string) requests
)

func request(namespace, name string) ctrl.Request {
	return ctrl.Request{NamespacedName: types.NamespacedName{Namespace: namespace, Name: name}}
}

func requestsFor[T any, P interface {
	*T
	client.Object
}](items []T, err error) requests {
	if err != nil {
		return nil
	}
	reqs := make(requests, 0, len(items))
	for i := range items {
		o := P(&items[i])
		reqs = append(reqs, request(o.GetNamespace(), o.GetName()))
	}
	return reqs
}

func (w watches) organizations(ctx context.Context, namespace string) requests {
	var organizations v1alpha1.OrganizationList
	err := w.facts.List(ctx, &organizations, client.InNamespace(namespace), client.UnsafeDisableDeepCopy)
	return requestsFor(organizations.Items, err)
}

// organizationOfBinding: its own home's binding, or any of its workspaces' while the Organization waits for their end.
func (w watches) organizationOfBinding(ctx context.Context, o client.Object) requests {
	home := o.GetLabels()[v1alpha1.LabelOrganization]
	if home == "" {
		return nil
	}
	var organizations v1alpha1.OrganizationList
	if err := w.facts.List(ctx, &organizations, client.InNamespace(home), client.UnsafeDisableDeepCopy); err != nil {
		return nil
	}
	var reqs requests
	for _, org := range organizations.Items {
		if home == o.GetNamespace() || org.DeletionTimestamp != nil {
			reqs = append(reqs, request(org.Namespace, org.Name))
		}
	}
	return reqs
}

func (w watches) members(ctx context.Context, namespace string) requests {
	members, err := w.facts.Members(ctx, namespace)
	return requestsFor(members, err)
}

func (w watches) memberNamed(_ context.Context, namespace, member string) requests {
	return requests{request(namespace, member)}
}

// duplicates are the members with the same email or username.
func (w watches) duplicates(ctx context.Context, o client.Object) requests {
	m := o.(*v1alpha1.OrgMember)
	byEmail, err := w.facts.SameEmail(ctx, m)
	reqs := requestsFor(byEmail, err)
	byUsername, err := w.facts.SameUsername(ctx, m, byEmail)
	return append(reqs, requestsFor(byUsername, err)...)
}

// leavingMembers are the members of a binding's organization that wait for their access to end.
func (w watches) leavingMembers(ctx context.Context, o client.Object) requests {
	home := o.GetLabels()[v1alpha1.LabelOrganization]
	if home == "" {
		return nil
	}
	members, err := w.facts.MembersBy(ctx, home, facts.IndexLeaving, facts.Leaving)
	return requestsFor(members, err)
}

// membersOfWorkspace are those who work in a workspace, and the robots that live in it.
func (w watches) membersOfWorkspace(ctx context.Context, o client.Object) requests {
	ws := o.(*v1alpha1.Workspace)
	admins, err := w.facts.MembersBy(ctx, ws.Namespace, facts.IndexRole, string(v1alpha1.RoleAdmin))
	reqs := requestsFor(admins, err)
	var organizations v1alpha1.OrganizationList
	if err := w.facts.List(ctx, &organizations, client.InNamespace(ws.Namespace), client.UnsafeDisableDeepCopy); err == nil {
		for _, org := range organizations.Items {
			for _, owner := range []string{org.Spec.Owner, org.Status.Owner} {
				if owner != "" {
					reqs = append(reqs, request(org.Namespace, owner))
				}
			}
		}
	}
	if ws.Status.Namespace != "" {
		robots, err := w.facts.MembersBy(ctx, ws.Namespace, facts.IndexRobot, ws.Status.Namespace)
		reqs = append(reqs, requestsFor(robots, err)...)
	}
	assignments, err := w.facts.Assignments(ctx, ws.Namespace, facts.IndexWorkspace, ws.Name)
	if err != nil {
		return reqs
	}
	for i := range assignments {
		reqs = append(reqs, request(ws.Namespace, assignments[i].Spec.Member))
	}
	return reqs
}

func (w watches) memberOfAssignment(_ context.Context, o client.Object) requests {
	return requests{request(o.GetNamespace(), o.(*v1alpha1.WorkspaceAssignment).Spec.Member)}
}

func (w watches) workspaces(ctx context.Context, namespace string) requests {
	workspaces, err := w.facts.Workspaces(ctx, namespace)
	return requestsFor(workspaces, err)
}

func (w watches) allWorkspaces(ctx context.Context, namespace, _ string) requests {
	return w.workspaces(ctx, namespace)
}

// workspacesOfMember are all workspaces for an admin or owner, else those assigned.
func (w watches) workspacesOfMember(ctx context.Context, o client.Object) requests {
	m := o.(*v1alpha1.OrgMember)
	// status.role is what was in force, and says Admin of an owner as well.
	if m.Spec.Role == v1alpha1.RoleAdmin || m.Status.Role == v1alpha1.RoleAdmin {
		return w.workspaces(ctx, m.Namespace)
	}
	assignments, err := w.facts.Assignments(ctx, m.Namespace, facts.IndexMember, m.Name)
	if err != nil {
		return nil
	}
	var reqs requests
	for i := range assignments {
		reqs = append(reqs, w.workspacesOfAssignment(ctx, &assignments[i])...)
	}
	return reqs
}

func (w watches) workspacesOfAssignment(_ context.Context, o client.Object) requests {
	var reqs requests
	for _, name := range o.(*v1alpha1.WorkspaceAssignment).Spec.Workspaces {
		reqs = append(reqs, request(o.GetNamespace(), string(name)))
	}
	return reqs
}

// workspacesOfNamespace are the workspaces that use or want a namespace, and those whose home it is.
func (w watches) workspacesOfNamespace(ctx context.Context, o client.Object) requests {
	return append(w.workspacesUsing(ctx, o.GetName()), w.workspaces(ctx, o.GetName())...)
}

func (w watches) workspacesUsing(ctx context.Context, namespace string) requests {
	var workspaces v1alpha1.WorkspaceList
	err := w.facts.List(ctx, &workspaces, client.MatchingFields{facts.IndexNamespaceName: namespace}, client.UnsafeDisableDeepCopy)
	return requestsFor(workspaces.Items, err)
}

// workspaceOfBinding is the workspace in whose namespace a binding is, and the one that its labels name: that one may be
// gone, and the binding be left over.
func (w watches) workspaceOfBinding(ctx context.Context, o client.Object) requests {
	reqs := w.workspacesUsing(ctx, o.GetNamespace())
	home, name := o.GetLabels()[v1alpha1.LabelOrganization], o.GetLabels()[v1alpha1.LabelWorkspace]
	if home != "" && name != "" {
		reqs = append(reqs, request(home, name))
	}
	return reqs
}

func (w watches) assignments(ctx context.Context, namespace string) requests {
	var assignments v1alpha1.WorkspaceAssignmentList
	err := w.facts.List(ctx, &assignments, client.InNamespace(namespace), client.UnsafeDisableDeepCopy)
	return requestsFor(assignments.Items, err)
}

func (w watches) assignmentsOf(ctx context.Context, namespace, member string) requests {
	assignments, err := w.facts.Assignments(ctx, namespace, facts.IndexMember, member)
	return requestsFor(assignments, err)
}

func (w watches) assignmentsOfMember(ctx context.Context, o client.Object) requests {
	return w.assignmentsOf(ctx, o.GetNamespace(), o.GetName())
}

func (w watches) assignmentsOfWorkspace(ctx context.Context, o client.Object) requests {
	assignments, err := w.facts.Assignments(ctx, o.GetNamespace(), facts.IndexWorkspace, o.GetName())
	return requestsFor(assignments, err)
}
