// Package controllers reconciles the four kinds, sends mails and watches over the admission policies. Each controller
// gathers facts (internal/facts), asks what should be (internal/rules, internal/rbac), writes what differs, and reports in
// one status patch.
//
//	controller           watches                                writes                                     conditions
//	organization         Organization, OrgMember, Workspace,    RoleBindings in home, finalizer,           Ready Reconciling Stalled
//	                     RoleBinding, home Namespace, policies  status                                     AdminRedundancy PolicyEnforced
//	orgmember            OrgMember, Organization, Workspace,    finalizer, owner reference,                Ready Reconciling Stalled
//	                     WorkspaceAssignment, RoleBinding,      status but what the senders of mails       Accepted OwnerProtected
//	                     home Namespace                         write
//	invitation           OrgMember, Organization                mail, status.invitation                    InvitationSent
//	ownershipmail        OrgMember, Organization                mail, status.ownershipNotice
//	workspace            Workspace, Organization, OrgMember,    Namespace, RoleBindings in it, finalizer,  Ready Reconciling Stalled
//	                     WorkspaceAssignment, RoleBinding,      owner reference, status
//	                     Namespace, policies
//	workspaceassignment  WorkspaceAssignment, Organization,     finalizer, owner reference, status         Ready Reconciling Stalled
//	                     OrgMember, Workspace, RoleBinding,
//	                     home Namespace
//	unassign             those whom orgmember hands over        labels of what is assigned to who leaves;
//	                                                            Events
//	policy               policies                               Events about them
//
// Policies are the ValidatingAdmissionPolicies and bindings of config/policy. While one is not installed as shipped
// (internal/guard), RoleBindings only shrink and ownership stays where it is: rules.Home.Guarded.
//
// Only the organization and workspace controllers write RoleBindings, each in its own namespaces, always from the whole
// set of facts: access ends where nothing gives it any more, and nothing has to remember to take it away.
package controllers
