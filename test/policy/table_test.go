// Copyright The orgkeeper Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/test/config"
)

// The holders of the table, and those who have nothing at all.
const (
	pending   config.Holder = "Pending admin"
	stranger  config.Holder = "Stranger"
	anonymous config.Holder = "Anonymous"
)

// attempt is one request for a right. It is made on objects that nobody else uses.
type attempt struct {
	right string // the row
	what  string
	// privileged: it is about a member who is more than a Member.
	privileged bool
	// prepare is done as cluster-admin before; what it returns is the object that the request is about.
	prepare func(h *home) client.Object
	// request is made by the holder. It is a dry run when told so.
	request func(ctx context.Context, c client.Client, o client.Object) error
	// restore is done as cluster-admin after a request that was granted.
	restore func(h *home)
	// once: what is granted is only tried as a dry run, since the home would not survive it.
	once bool
}

// TestTable goes through every cell: each right, asked for by each holder, under Shared and under OwnerOnly. First while
// the operator runs, as dry runs, then for real after it was stopped.
func TestTable(t *testing.T) {
	stop := operate(t)
	homes := map[v1alpha1.Administration]*home{}
	for _, administration := range []v1alpha1.Administration{v1alpha1.AdministrationShared, v1alpha1.AdministrationOwnerOnly} {
		homes[administration] = newHome(t, administration)
	}
	platform(t, "gitops")
	attempts := attempts()
	for _, right := range config.Rights {
		if !slices.ContainsFunc(attempts, func(a attempt) bool { return a.right == right.Name }) {
			t.Errorf("the right %q is tried by nothing", right.Name)
		}
	}
	for administration, h := range homes {
		t.Run("operator running, "+string(administration), func(t *testing.T) { everyCell(t, h, administration, attempts, true) })
	}
	stop()
	for administration, h := range homes {
		t.Run("operator stopped, "+string(administration), func(t *testing.T) { everyCell(t, h, administration, attempts, false) })
	}
}

// platform makes a user the platform, for the whole cluster.
func platform(t testing.TB, user string) {
	t.Helper()
	check(t, admin.Create(t.Context(), &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: user},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "orgkeeper:platform"},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}},
	}))
	c := as(t, user)
	eventually(t, user+" is the platform", func() error { return c.List(t.Context(), &v1alpha1.OrganizationList{}) })
}

func everyCell(t *testing.T, h *home, administration v1alpha1.Administration, attempts []attempt, dryRun bool) {
	h.t = t
	adam := config.SharedAdmin
	if administration == v1alpha1.AdministrationOwnerOnly {
		adam = config.OwnerOnlyAdmin
	}
	cells := 0
	for _, holder := range []struct {
		is     config.Holder
		client client.WithWatch
	}{
		{config.Owner, as(t, h.user("jane"))},
		{adam, as(t, h.user("adam"))},
		{config.BillingAdmin, as(t, h.user("bill"))},
		{config.UserAdmin, as(t, h.user("uma"))},
		{config.Member, as(t, h.user("mia"))},
		{config.Platform, as(t, "gitops")},
		{pending, as(t, h.user("pia"))},
		{stranger, as(t, "sam@elsewhere.example")},
		{anonymous, nobody(t)},
	} {
		for _, a := range attempts {
			row := config.Rights[slices.IndexFunc(config.Rights, func(r config.Right) bool { return r.Name == a.right })]
			want := row.Has(holder.is, a.privileged)
			got := a.try(t, h, holder.client, dryRun || (a.once && want))
			switch {
			case want && got != nil:
				t.Errorf("%s: %s (%s): refused: %v", holder.is, a.right, a.what, got)
			case !want && got == nil:
				t.Errorf("%s: %s (%s): let in", holder.is, a.right, a.what)
			case !want && !apierrors.IsForbidden(got):
				t.Errorf("%s: %s (%s): refused, but not as forbidden: %v", holder.is, a.right, a.what, got)
			}
			cells++
		}
	}
	t.Logf("%d requests", cells)
}

func (a attempt) try(t *testing.T, h *home, c client.Client, dryRun bool) error {
	t.Helper()
	var o client.Object
	if a.prepare != nil {
		o = a.prepare(h)
	}
	if dryRun {
		c = client.NewDryRunClient(c)
	}
	err := a.request(t.Context(), c, o)
	for a.prepare != nil && apierrors.IsConflict(err) { // the operator counted members meanwhile
		err = a.request(t.Context(), c, a.prepare(h))
	}
	if err == nil && !dryRun && a.restore != nil {
		a.restore(h)
	}
	return err
}

// attempts are what each row comes to in requests. Most rows take several: each way to do it is judged.
func attempts() []attempt {
	all := []attempt{
		editing("edit name, profile, invitation and member settings", `{"displayName":"Acme %s"}`),
		editing("edit name, profile, invitation and member settings", `{"profile":{"description":"We make %s"}}`),
		editing("edit name, profile, invitation and member settings", `{"invitations":{"locale":"it","allowedDomains":["%s.example"]}}`),
		editing("edit name, profile, invitation and member settings", `{"members":{"dormantAfter":"1%[1]s0h"}}`),
		editing("edit billing (contact, company, address, VAT)", `{"billing":{"email":"%s@acme.example"}}`),
		editing("edit billing (contact, company, address, VAT)", `{"billing":{"company":"%s","address":"Rome","vatID":"IT 1"}}`),
		editing("change plan or seats", `{"subscription":{"plan":"%s"}}`),
		editing("change plan or seats", `{"subscription":{"seats":1%[1]s}}`),
		{right: "cancel or resume the subscription", what: "cancel", prepare: organization,
			request: patching(`{"spec":{"subscription":{"cancelled":true}}}`),
			restore: func(h *home) { h.patch(h.organization(), `{"spec":{"subscription":{"cancelled":null}}}`) }},
		{right: "transfer ownership (to a usable admin)", what: "to adam", prepare: organization,
			request: patching(`{"spec":{"owner":"adam"}}`),
			restore: func(h *home) { h.patch(h.organization(), `{"spec":{"owner":"jane"}}`) }},
		{right: "change `administration`", what: "there and back", prepare: func(h *home) client.Object {
			acme := h.organization()
			other := v1alpha1.AdministrationOwnerOnly
			if acme.Spec.Administration == other {
				other = v1alpha1.AdministrationShared
			}
			acme.Spec.Administration = other
			return acme
		}, request: updating, restore: func(h *home) {
			// The operator is stopped: roles stay as they were.
			acme, other := h.organization(), v1alpha1.AdministrationOwnerOnly
			if acme.Spec.Administration == other {
				other = v1alpha1.AdministrationShared
			}
			h.patch(acme, `{"spec":{"administration":"%s"}}`, other)
		}},
		{right: "activate somebody without asking (`invitation.mode: None`)", what: "at once",
			prepare: func(h *home) client.Object { return h.member(h.fresh(), v1alpha1.RoleMember) }, request: creating},
		{right: "activate somebody without asking (`invitation.mode: None`)", what: "later",
			prepare: func(h *home) client.Object { return h.have(h.invited(h.fresh(), v1alpha1.RoleMember)) },
			request: patching(`{"spec":{"invitation":{"mode":"None"}}}`)},
		working("work in every workspace", "api"),
		{right: "work in every workspace", what: "as admins see who else has access", prepare: organization,
			request: func(ctx context.Context, c client.Client, o client.Object) error {
				return c.List(ctx, &rbacv1.RoleBindingList{}, client.InNamespace(o.GetNamespace()+"--api"))
			}},
		working("work in assigned workspaces", "web"),
	}
	all = append(all, reading("see the organization, its billing included", &v1alpha1.OrganizationList{}, &v1alpha1.Organization{ObjectMeta: named("acme")})...)
	all = append(all, reading("see members", &v1alpha1.OrgMemberList{}, &v1alpha1.OrgMember{ObjectMeta: named("mia")})...)
	all = append(all, reading("see workspaces and assignments", &v1alpha1.WorkspaceList{}, &v1alpha1.Workspace{ObjectMeta: named("web")})...)
	all = append(all, reading("see workspaces and assignments", &v1alpha1.WorkspaceAssignmentList{}, &v1alpha1.WorkspaceAssignment{ObjectMeta: named("mia")})...)
	all = append(all, membership("add, edit, remove a Member", v1alpha1.RoleMember)...)
	for row, role := range map[string]v1alpha1.Role{
		"make or unmake a UserAdmin":    v1alpha1.RoleUserAdmin,
		"make or unmake a BillingAdmin": v1alpha1.RoleBillingAdmin,
		"make or unmake an Admin":       v1alpha1.RoleAdmin,
	} {
		all = append(all, membership(row, role)...)
		all = append(all, promotion(row, role)...)
	}
	all = append(all, invitations()...)
	all = append(all, declaring("create, edit, delete workspaces", func(h *home) client.Object {
		return &v1alpha1.Workspace{ObjectMeta: h.meta(h.fresh())}
	}, `{"spec":{"displayName":"Shop"}}`)...)
	all = append(all, declaring("assign any member to workspaces, and unassign", func(h *home) client.Object {
		return &v1alpha1.WorkspaceAssignment{ObjectMeta: h.meta(h.fresh()), Spec: v1alpha1.WorkspaceAssignmentSpec{
			Member: "adam", Workspaces: []v1alpha1.WorkspaceName{"web"},
		}}
	}, `{"spec":{"access":"Admin"}}`)...)
	return append(all, attempt{right: "delete the organization", what: "delete", prepare: organization, request: deleting, once: true})
}

func named(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Name: name} }

func organization(h *home) client.Object { return h.organization() }

// editing changes a part of the Organization's spec, each time differently.
func editing(right, spec string) attempt {
	return attempt{right: right, what: spec, prepare: func(h *home) client.Object {
		acme := h.organization()
		acme.Annotations = map[string]string{"next": strings.TrimPrefix(h.fresh(), "n")}
		return acme
	}, request: func(ctx context.Context, c client.Client, o client.Object) error {
		return c.Patch(ctx, o, mergePatch(`{"spec":`+spec+`}`, o.GetAnnotations()["next"]))
	}}
}

// reading gets one by name, lists and watches.
func reading(right string, list client.ObjectList, one client.Object) []attempt {
	what := fmt.Sprintf("%T", one)
	return []attempt{
		{right: right, what: "get " + what, prepare: organization, request: func(ctx context.Context, c client.Client, o client.Object) error {
			return c.Get(ctx, client.ObjectKey{Namespace: o.GetNamespace(), Name: one.GetName()}, one)
		}},
		{right: right, what: "list " + what, prepare: organization, request: func(ctx context.Context, c client.Client, o client.Object) error {
			return c.List(ctx, list, client.InNamespace(o.GetNamespace()))
		}},
		{right: right, what: "watch " + what, prepare: organization, request: func(ctx context.Context, c client.Client, o client.Object) error {
			watching, ok := c.(client.WithWatch)
			if !ok { // a dry run, of what changes nothing anyway
				return c.List(ctx, list, client.InNamespace(o.GetNamespace()))
			}
			w, err := watching.Watch(ctx, list, client.InNamespace(o.GetNamespace()))
			if err == nil {
				w.Stop()
			}
			return err
		}},
	}
}

// membership adds, edits, suspends and removes a member of a role.
func membership(right string, role v1alpha1.Role) []attempt {
	fresh := func(h *home) client.Object { return h.invited(h.fresh(), role) }
	existing := func(h *home) client.Object { return h.have(h.member(h.fresh(), role)) }
	return []attempt{
		{right: right, what: "add as " + string(role), prepare: fresh, request: creating},
		{right: right, what: "edit", prepare: existing, request: patching(`{"spec":{"displayName":"Somebody"}}`)},
		{right: right, what: "label", prepare: existing, request: patching(`{"metadata":{"labels":{"team":"a"}}}`)},
		{right: right, what: "suspend", prepare: existing, request: patching(`{"spec":{"suspended":true}}`)},
		{right: right, what: "end", prepare: existing, request: patching(`{"spec":{"expiresAt":"2199-01-01T00:00:00Z"}}`)},
		{right: right, what: "remove", prepare: existing, request: deleting},
	}
}

// promotion makes a Member something and back. It takes the rights on both roles, and whoever has the greater one has both.
func promotion(right string, role v1alpha1.Role) []attempt {
	return []attempt{
		{right: right, what: "promote to " + string(role),
			prepare: func(h *home) client.Object { return h.have(h.member(h.fresh(), v1alpha1.RoleMember)) },
			request: patching(fmt.Sprintf(`{"spec":{"role":"%s"}}`, role))},
		{right: right, what: "demote from " + string(role),
			prepare: func(h *home) client.Object { return h.have(h.member(h.fresh(), role)) },
			request: patching(`{"spec":{"role":"Member"}}`)},
	}
}

func invitations() []attempt {
	var all []attempt
	for _, role := range []v1alpha1.Role{v1alpha1.RoleMember, v1alpha1.RoleUserAdmin} {
		invited := func(h *home) client.Object { return h.have(h.invited(h.fresh(), role)) }
		for what, request := range map[string]func(context.Context, client.Client, client.Object) error{
			"resend":   patching(`{"metadata":{"annotations":{"orgkeeper.dev/resend":"again"}}}`),
			"withdraw": deleting,
		} {
			all = append(all, attempt{right: "resend or withdraw an invitation", what: what + " of a " + string(role),
				privileged: role != v1alpha1.RoleMember, prepare: invited, request: request})
		}
	}
	return all
}

// declaring creates, edits and deletes an object.
func declaring(right string, fresh func(*home) client.Object, edit string) []attempt {
	existing := func(h *home) client.Object {
		o := fresh(h)
		h.create(o)
		return o
	}
	return []attempt{
		{right: right, what: "create", prepare: fresh, request: creating},
		{right: right, what: "edit", prepare: existing, request: patching(edit)},
		{right: right, what: "delete", prepare: existing, request: deleting},
	}
}

func working(right, workspace string) attempt {
	return attempt{right: right, what: "a ConfigMap in " + workspace, prepare: func(h *home) client.Object {
		return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: h.name + "--" + workspace, Name: h.fresh()}}
	}, request: creating}
}

func creating(ctx context.Context, c client.Client, o client.Object) error { return c.Create(ctx, o) }
func updating(ctx context.Context, c client.Client, o client.Object) error { return c.Update(ctx, o) }
func deleting(ctx context.Context, c client.Client, o client.Object) error { return c.Delete(ctx, o) }

func patching(patch string) func(context.Context, client.Client, client.Object) error {
	return func(ctx context.Context, c client.Client, o client.Object) error {
		return c.Patch(ctx, o, mergePatch("%s", patch))
	}
}
