package v1alpha1

// Labels, annotations and finalizers of orgkeeper. Other tools rely on them; they never change.
const (
	// LabelOrganization is on each workspace namespace and RoleBinding that the operator keeps. Its value is the
	// organization's home namespace. It serves selectors; the operator itself trusts only AnnotationWorkspaceUID.
	LabelOrganization = "orgkeeper.dev/organization"
	// LabelWorkspace is on each workspace namespace and on the RoleBindings in it. Its value is the Workspace's name.
	LabelWorkspace = "orgkeeper.dev/workspace"
	// LabelAssignee is on objects in workspaces that somebody is to see to: contacts, tickets, any kind. Its value is the name of
	// an OrgMember, at most 63 characters. Tenants write it. When that OrgMember is deleted, the operator takes it off the kinds
	// that its flag --assignable names.
	LabelAssignee = "orgkeeper.dev/assignee"
	// LabelManagedBy is the recommended label of Kubernetes for the tool that keeps an object. RoleBindings and the namespaces
	// that orgkeeper created say ManagedBy.
	LabelManagedBy = "app.kubernetes.io/managed-by"
	// ManagedBy is the value of LabelManagedBy.
	ManagedBy = "orgkeeper"

	// AnnotationWorkspaceUID on a namespace is the UID of the Workspace that owns it. Only whoever may edit namespaces
	// can write it, so it is what the operator believes.
	AnnotationWorkspaceUID = "orgkeeper.dev/workspace-uid"
	// AnnotationAdoptableBy on a namespace that exists already is the consent to its use: "<home>/<workspace>".
	AnnotationAdoptableBy = "orgkeeper.dev/adoptable-by"
	// AnnotationAdopted on a namespace says "true" when orgkeeper did not create it. Such a namespace is never deleted.
	AnnotationAdopted = "orgkeeper.dev/adopted"
	// AnnotationResend on an OrgMember asks for a new invitation: any value not seen before sends a new mail with a new
	// link and voids the older links.
	AnnotationResend = "orgkeeper.dev/resend"

	// FinalizerOrganization keeps an Organization until nobody has a role in its home namespace through it.
	FinalizerOrganization = "orgkeeper.dev/organization"
	// FinalizerMember keeps an OrgMember until no RoleBinding of the organization names its user, and what is assigned to them
	// lost LabelAssignee.
	FinalizerMember = "orgkeeper.dev/member"
	// FinalizerWorkspace keeps a Workspace until its namespace is gone or released.
	FinalizerWorkspace = "orgkeeper.dev/workspace"
	// FinalizerAssignment keeps a WorkspaceAssignment until the access that it gave has ended.
	FinalizerAssignment = "orgkeeper.dev/assignment"
)
