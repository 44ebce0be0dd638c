// Package config holds the table of rights of an organization as data, and proves config/ on a real API server. Tests
// of the ClusterRoles and of the admission policies compare with this one table.
package config

import (
	"slices"
	"strings"
)

// Holder is who a right is judged for.
type Holder string

// The holders. An admin counts twice: what they may do depends on spec.administration.
const (
	Owner          Holder = "Owner"
	SharedAdmin    Holder = "Admin under Shared"
	OwnerOnlyAdmin Holder = "Admin under OwnerOnly"
	BillingAdmin   Holder = "BillingAdmin"
	UserAdmin      Holder = "UserAdmin"
	Member         Holder = "Member"
	Platform       Holder = "Platform"
)

// Holders are all holders, in the table's order.
var Holders = []Holder{Owner, SharedAdmin, OwnerOnlyAdmin, BillingAdmin, UserAdmin, Member, Platform}

// ClusterRoles says which ClusterRoles a holder has in the organization's home namespace. A Member has none.
var ClusterRoles = map[Holder][]string{
	Owner:          {"orgkeeper:owner"},
	SharedAdmin:    {"orgkeeper:admin", "orgkeeper:shared-admin"},
	OwnerOnlyAdmin: {"orgkeeper:admin"},
	BillingAdmin:   {"orgkeeper:billing-admin"},
	UserAdmin:      {"orgkeeper:user-admin"},
	Member:         {},
	Platform:       {"orgkeeper:platform"},
}

// Permission is one verb on one resource of orgkeeper.dev. Subresource may be empty.
type Permission struct{ Verb, Resource, Subresource string }

func (p Permission) String() string {
	if p.Subresource == "" {
		return p.Verb + " " + p.Resource
	}
	return p.Verb + " " + p.Resource + "/" + p.Subresource
}

// Right is a row of the table: what a person wants to do, the permissions it takes, and who has it. Whoever is not
// named does not have it.
type Right struct {
	Name  string
	Takes []Permission
	Has   []Holder
}

// Rights is the table "Who may do what in an organization", row by row. Two rows are not here because they take no
// permission of their own: resending an invitation is editing the member, and work in workspaces is access to other
// namespaces.
var Rights = []Right{
	{"see the organization, its billing included", on("organizations", "get", "list", "watch"),
		[]Holder{Owner, SharedAdmin, OwnerOnlyAdmin, BillingAdmin, UserAdmin, Platform}},
	{"edit name, profile, invitation and member settings", editing("profile"),
		[]Holder{Owner, SharedAdmin, OwnerOnlyAdmin, Platform}},
	{"edit billing", editing("billing"), []Holder{Owner, SharedAdmin, BillingAdmin, Platform}},
	{"change plan or seats", editing("subscription"),
		[]Holder{Owner, SharedAdmin, OwnerOnlyAdmin, BillingAdmin, Platform}},
	{"cancel or resume the subscription", on("organizations/subscription", "cancel"),
		[]Holder{Owner, SharedAdmin, Platform}},
	{"delete the organization", on("organizations", "delete"), []Holder{Owner, SharedAdmin, Platform}},
	{"transfer ownership", on("organizations/owner", "update"), []Holder{Owner, Platform}},
	{"change administration", on("organizations/administration", "update"), []Holder{Owner, Platform}},
	{"see members", on("orgmembers", "get", "list", "watch"),
		[]Holder{Owner, SharedAdmin, OwnerOnlyAdmin, BillingAdmin, UserAdmin, Platform}},
	{"add, edit, remove a Member", append(on("orgmembers", "create", "update", "patch", "delete"), giving("member")...),
		[]Holder{Owner, SharedAdmin, OwnerOnlyAdmin, UserAdmin, Platform}},
	{"make or unmake a UserAdmin", giving("useradmin"), []Holder{Owner, SharedAdmin, OwnerOnlyAdmin, Platform}},
	{"make or unmake a BillingAdmin", giving("billingadmin"), []Holder{Owner, SharedAdmin, Platform}},
	{"make or unmake an Admin", giving("admin"), []Holder{Owner, SharedAdmin, Platform}},
	{"activate somebody without asking", on("orgmembers/acceptance", "update"), []Holder{Platform}},
	{"see workspaces", on("workspaces", "get", "list", "watch"),
		[]Holder{Owner, SharedAdmin, OwnerOnlyAdmin, BillingAdmin, UserAdmin, Platform}},
	{"see assignments", on("workspaceassignments", "get", "list", "watch"),
		[]Holder{Owner, SharedAdmin, OwnerOnlyAdmin, BillingAdmin, UserAdmin, Platform}},
	{"create, edit, delete workspaces", on("workspaces", everyVerb...),
		[]Holder{Owner, SharedAdmin, OwnerOnlyAdmin, UserAdmin, Platform}},
	{"assign any member to workspaces, and unassign", on("workspaceassignments", everyVerb...),
		[]Holder{Owner, SharedAdmin, OwnerOnlyAdmin, UserAdmin, Platform}},

	// Not in the table, and following from it: somebody has to open organizations.
	{"open an organization", on("organizations", "create"), []Holder{Platform}},
	// Nobody's. Status and finalizers are the operator's; a deletecollection would empty an organization at once.
	{"empty an organization at once", on("orgmembers", "deletecollection"), nil},
	{"delete all organizations at once", on("organizations", "deletecollection"), nil},
	{"write an organization's status", operatorOnly("organizations"), nil},
	{"write a member's status", operatorOnly("orgmembers"), nil},
	{"write a workspace's status", operatorOnly("workspaces"), nil},
	{"write an assignment's status", operatorOnly("workspaceassignments"), nil},
}

// everyVerb is what the table's star stands for.
var everyVerb = []string{"get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"}

// May says whether the table gives a permission to a holder, by whatever right.
func May(holder Holder, permission Permission) bool {
	return slices.ContainsFunc(Rights, func(right Right) bool {
		return slices.Contains(right.Has, holder) && slices.Contains(right.Takes, permission)
	})
}

// Permissions are all that the table mentions, each once.
func Permissions() []Permission {
	var all []Permission
	for _, right := range Rights {
		for _, permission := range right.Takes {
			if !slices.Contains(all, permission) {
				all = append(all, permission)
			}
		}
	}
	return all
}

func on(resource string, verbs ...string) []Permission {
	resource, subresource, _ := strings.Cut(resource, "/")
	var permissions []Permission
	for _, verb := range verbs {
		permissions = append(permissions, Permission{verb, resource, subresource})
	}
	return permissions
}

func editing(part string) []Permission {
	return append(on("organizations", "update", "patch"), on("organizations/"+part, "update")...)
}

func giving(role string) []Permission { return on("orgmembers/"+role, "grant", "revoke") }

func operatorOnly(resource string) []Permission {
	return append(on(resource+"/status", "update", "patch"), on(resource+"/finalizers", "update")...)
}
