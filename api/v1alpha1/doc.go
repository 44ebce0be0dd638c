// Package v1alpha1 holds the kinds of the API group orgkeeper.dev: Organization, OrgMember, Workspace and
// WorkspaceAssignment. All four are namespaced and live in the organization's home namespace.
//
// The package knows shape only: fields, limits, what never changes. Who may do what is decided by RBAC and admission
// policies, and what follows from it by the controllers.
//
// Moments in a spec have no format date-time in the schema (they are marked Schemaless and given type and rule by hand).
// The API server's date-time takes what Go does not, such as the zone +25:00: one stored object of that kind would break
// every typed list and watch of its kind. A CEL rule on a plain string refuses it, and says what to write instead; its
// comparison is there to make CEL read the moment, which finds the 30th of February.
//
// +kubebuilder:object:generate=true
// +kubebuilder:ac:generate=true
// +kubebuilder:ac:output:package="applyconfiguration"
// +groupName=orgkeeper.dev
package v1alpha1
