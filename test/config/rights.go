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

// Right is a row of the table: what a person wants to do, the permissions it takes, and who has it.
type Right struct {
	// Name and Rule are the row's first two cells, the rule as people read it.
	Name, Rule string
	// Takes are the permissions. None where the row follows from others, or is about other namespaces.
	Takes []Permission
	// Cells are the row's others in the order Owner, Admin, BillingAdmin, UserAdmin, Member: + has it, - has it not,
	// o has it unless the administration is OwnerOnly, m for plain members only, p not even they but the platform.
	Cells string
}

// Rights is the table "Who may do what in an organization", row by row.
var Rights = []Right{
	{"see the organization, its billing included", "organizations: get, list, watch",
		on("organizations", "get", "list", "watch"), "++++-"},
	{"edit name, profile, invitation and member settings", "organizations: update, patch; organizations/profile: update",
		editing("profile"), "++---"},
	{"edit billing (contact, company, address, VAT)", "organizations: update, patch; organizations/billing: update",
		editing("billing"), "+o+--"},
	{"change plan or seats", "organizations: update, patch; organizations/subscription: update",
		editing("subscription"), "+++--"},
	{"cancel or resume the subscription", "organizations: update, patch; organizations/subscription: cancel",
		append(on("organizations", "update", "patch"), on("organizations/subscription", "cancel")...), "+o---"},
	{"delete the organization", "organizations: delete", on("organizations", "delete"), "+o---"},
	{"transfer ownership (to a usable admin)", "organizations: update, patch; organizations/owner: update", editing("owner"), "+----"},
	{"change `administration`", "organizations: update, patch; organizations/administration: update", editing("administration"), "+----"},
	{"see members", "orgmembers: get, list, watch", on("orgmembers", "get", "list", "watch"), "++++-"},
	{"add, edit, remove a Member", "orgmembers: create, update, patch, delete; orgmembers/member: grant, revoke",
		append(on("orgmembers", "create", "update", "patch", "delete"), giving("member")...), "++-+-"},
	{"make or unmake a UserAdmin", "orgmembers/useradmin: grant, revoke", giving("useradmin"), "++---"},
	{"make or unmake a BillingAdmin", "orgmembers/billingadmin: grant, revoke", giving("billingadmin"), "+o---"},
	{"make or unmake an Admin", "orgmembers/admin: grant, revoke", giving("admin"), "+o---"},
	{"resend or withdraw an invitation", "as adding and removing that member", nil, "++-m-"},
	{"activate somebody without asking (`invitation.mode: None`)", "orgmembers/acceptance: update",
		on("orgmembers/acceptance", "update"), "pp---"},
	{"see workspaces and assignments", "workspaces, workspaceassignments: get, list, watch",
		append(on("workspaces", "get", "list", "watch"), on("workspaceassignments", "get", "list", "watch")...), "++++-"},
	{"create, edit, delete workspaces", "workspaces: *", on("workspaces", everyVerb...), "++-+-"},
	{"assign any member to workspaces, and unassign", "workspaceassignments: *", on("workspaceassignments", everyVerb...), "++-+-"},
	{"work in every workspace", "Admin access in each", nil, "++---"},
	{"work in assigned workspaces", "the assignment's access", nil, "+++++"},
}

// Others are permissions beside the table that follow from it.
var Others = []struct {
	Name  string
	Takes []Permission
	Has   []Holder
}{
	// Somebody has to open organizations.
	{"open an organization", on("organizations", "create"), []Holder{Platform}},
	// Whoever has the mailbox answers for the user: the same person only where the username is the email.
	{"invite one user by the mailbox of another", on("orgmembers/username", "update"), []Holder{Platform}},
	// A tenant who could say so would have paid.
	{"say until when the subscription is paid", on("organizations/paidthrough", "update"), []Holder{Platform}},
	// Nobody's. Status and finalizers are the operator's; a deletecollection would empty an organization at once.
	{"empty an organization at once", on("orgmembers", "deletecollection"), nil},
	{"delete all organizations at once", on("organizations", "deletecollection"), nil},
	{"write an organization's status", operatorOnly("organizations"), nil},
	{"write a member's status", operatorOnly("orgmembers"), nil},
	{"write a workspace's status", operatorOnly("workspaces"), nil},
	{"write an assignment's status", operatorOnly("workspaceassignments"), nil},
}

// Has says whether the row gives the right to a holder. privileged: it is about a member who is more than a Member.
func (r Right) Has(holder Holder, privileged bool) bool {
	if holder == Platform {
		// Its rights end where orgkeeper's kinds do: work in workspaces comes from a membership.
		return !strings.HasPrefix(r.Name, "work in ")
	}
	column := slices.Index([]Holder{Owner, SharedAdmin, BillingAdmin, UserAdmin, Member}, holder)
	if holder == OwnerOnlyAdmin {
		column = 1
	}
	if column < 0 {
		return false
	}
	switch r.Cells[column] {
	case '+':
		return true
	case 'o':
		return holder != OwnerOnlyAdmin
	case 'm':
		return !privileged
	}
	return false
}

// Table is the table as Markdown, as docs/roles.md shows it.
func Table() string {
	says := map[byte]string{'+': "+", '-': "-", 'o': "o", 'm': "Members only", 'p': "platform"}
	var table strings.Builder
	table.WriteString("| right | RBAC rule | Owner | Admin | BillingAdmin | UserAdmin | Member |\n|---|---|---|---|---|---|---|\n")
	for _, r := range Rights {
		rule := r.Rule
		if strings.Contains(rule, ":") {
			rule = "`" + strings.ReplaceAll(rule, "; ", "`<br>`") + "`"
		}
		table.WriteString("| " + r.Name + " | " + rule + " |")
		for column := range r.Cells {
			table.WriteString(" " + says[r.Cells[column]] + " |")
		}
		table.WriteString("\n")
	}
	return table.String()
}

// everyVerb is what the table's star stands for.
var everyVerb = []string{"get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"}

// May says whether the table gives a permission to a holder, by whatever right.
func May(holder Holder, permission Permission) bool {
	for _, right := range Rights {
		if right.Has(holder, false) && slices.Contains(right.Takes, permission) {
			return true
		}
	}
	for _, other := range Others {
		if slices.Contains(other.Has, holder) && slices.Contains(other.Takes, permission) {
			return true
		}
	}
	return false
}

// Permissions are all that the table mentions, each once.
func Permissions() []Permission {
	all := []Permission{}
	add := func(permissions []Permission) {
		for _, permission := range permissions {
			if !slices.Contains(all, permission) {
				all = append(all, permission)
			}
		}
	}
	for _, right := range Rights {
		add(right.Takes)
	}
	for _, other := range Others {
		add(other.Takes)
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
