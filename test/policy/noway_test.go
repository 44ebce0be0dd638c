// Copyright The orgkeeper Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"context"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
)

// TestNoWayAround tries to get more than one has, in every way that the API server offers. The operator stays away, so that
// nothing is put right behind our back.
func TestNoWayAround(t *testing.T) {
	stop := operate(t)
	h, strict := newHome(t, v1alpha1.AdministrationShared), newHome(t, v1alpha1.AdministrationOwnerOnly)
	demoted := newHome(t, v1alpha1.AdministrationShared)
	stop()
	platform(t, "pipeline")
	t.Run("edits", func(t *testing.T) { escalations(t, h, strict) })
	t.Run("creations", func(t *testing.T) { forgedMembers(t, h) })
	t.Run("each part needs its own right", func(t *testing.T) { partByPart(t, h) })
	t.Run("all refusals are named", func(t *testing.T) { everyRefusal(t, h) })
	t.Run("deletecollection", func(t *testing.T) { deleteCollection(t, h) })
	t.Run("the record of who declared what", func(t *testing.T) { forgedRecord(t, h) })
	t.Run("copies from elsewhere", func(t *testing.T) { restored(t, h) })
	t.Run("the garbage collector as accomplice", func(t *testing.T) { accomplice(t, h) })
	t.Run("an owner who is no admin by their object", func(t *testing.T) { demotedOwner(t, demoted) })
	t.Run("to become the owner that is waited for", func(t *testing.T) { awaitedOwner(t) })
	t.Run("RoleBindings", func(t *testing.T) { roleBindings(t, h) })
	t.Run("namespaces", func(t *testing.T) { namespaces(t, h) })
	t.Run("the inviter, stamped or not", func(t *testing.T) { inviter(t, h) })
}

// escalations are changes that somebody who may write the object must not make, and must not make in any way.
func escalations(t *testing.T, h, strict *home) {
	robot, resident := h.member("rob", v1alpha1.RoleMember), h.member("rita", v1alpha1.RoleMember)
	robot.Spec.Email, robot.Spec.Username = "", "system:serviceaccount:"+h.name+":rob"
	resident.Spec.Email, resident.Spec.Username = "", "system:serviceaccount:"+h.name+"--web:rita"
	h.create(robot, resident)
	member := func(name string) client.Object { return h.invited(name, "") }
	for _, try := range []struct {
		who    string
		object client.Object
		fields string
	}{
		{h.user("uma"), member("mia"), `{"spec":{"role":"Admin"}}`},
		{h.user("uma"), member("mia"), `{"spec":{"role":"UserAdmin"}}`},
		{h.user("uma"), member("uma"), `{"spec":{"role":"Admin"}}`},
		{h.user("uma"), member("adam"), `{"spec":{"role":"Member"}}`},
		{h.user("uma"), member("adam"), `{"spec":{"suspended":true}}`},
		{h.user("uma"), member("rob"), `{"spec":{"role":"Admin"}}`},
		{h.user("jane"), member("rita"), `{"spec":{"role":"Admin"}}`}, // whoever works in web may act as rita
		{h.user("uma"), member("pia"), `{"spec":{"invitation":{"mode":"None"}}}`},
		{h.user("jane"), member("pia"), `{"spec":{"invitation":{"mode":"None"}}}`},
		{h.user("uma"), member("pia"), `{"metadata":{"annotations":{"orgkeeper.dev/resend":"1"}}}`},
		{h.user("uma"), member("adam"), `{"metadata":{"annotations":{"a":"b"}}}`},
		{h.user("uma"), member("adam"), `{"metadata":{"finalizers":["orgkeeper.dev/member","evil.example/stay"]}}`},
		{h.user("uma"), member("mia"), `{"metadata":{"finalizers":["orgkeeper.dev/member","evil.example/stay"]}}`},
		{h.user("bill"), h.organization(), `{"metadata":{"finalizers":["orgkeeper.dev/organization","orphan"]}}`},
		{h.user("bill"), h.organization(), `{"metadata":{"annotations":{"kubectl.kubernetes.io/last-applied-configuration":"{}"}}}`},
		{h.user("bill"), h.organization(), `{"metadata":{"labels":{"argocd.argoproj.io/instance":"other"}}}`},
		{h.user("uma"), &v1alpha1.Workspace{ObjectMeta: h.meta("web")}, `{"metadata":{"finalizers":["orgkeeper.dev/workspace","evil.example/stay"]}}`},
		{h.user("uma"), &v1alpha1.WorkspaceAssignment{ObjectMeta: h.meta("mia")}, `{"metadata":{"finalizers":["orgkeeper.dev/assignment","evil.example/stay"]}}`},
		{h.user("uma"), member("mia"), `{"metadata":{"finalizers":null}}`},
		{h.user("jane"), member("mia"), `{"metadata":{"finalizers":["example.com/other"]}}`},
		{h.user("jane"), member("mia"), `{"metadata":{"finalizers":["orgkeeper.dev/member","orgkeeper.dev/workspace"]}}`},
		{h.user("jane"), h.organization(), `{"metadata":{"finalizers":null}}`},
		{h.user("uma"), &v1alpha1.Workspace{ObjectMeta: h.meta("web")}, `{"metadata":{"finalizers":null}}`},
		{h.user("uma"), &v1alpha1.WorkspaceAssignment{ObjectMeta: h.meta("mia")}, `{"metadata":{"finalizers":null}}`},
		{h.user("jane"), member("mia"), `{"metadata":{"ownerReferences":null}}`},
		{h.user("uma"), &v1alpha1.Workspace{ObjectMeta: h.meta("web")}, `{"metadata":{"ownerReferences":null}}`},
		{h.user("adam"), h.organization(), `{"spec":{"owner":"adam"}}`},
		{h.user("adam"), h.organization(), `{"spec":{"administration":"OwnerOnly"}}`},
		{h.user("bill"), h.organization(), `{"spec":{"displayName":"Bill's"}}`},
		{h.user("bill"), h.organization(), `{"spec":{"subscription":{"cancelled":true}}}`},
		{h.user("bill"), h.organization(), `{"spec":{"billing":{"company":"Bill's"},"owner":"adam"}}`},
		{strict.user("adam"), strict.organization(), `{"spec":{"billing":{"company":"Adam's"}}}`},
		{strict.user("adam"), strict.invited("bill", ""), `{"spec":{"role":"Admin"}}`},
	} {
		c := as(t, try.who)
		inEveryWay(t, c, try.object, try.fields, func(t *testing.T, way string, err error) {
			if way == applying.name && strings.Contains(try.fields, "null") {
				return // apply takes nothing away that others set
			}
			refused(t, try.who+" "+try.object.GetName()+" "+try.fields+" by "+way, err)
		})
	}
	// What status says is nobody's to write.
	for _, who := range []string{h.user("jane"), h.user("uma"), "pipeline"} {
		c := as(t, who)
		for _, w := range ways[4:] {
			m := h.invited("pia", v1alpha1.RoleAdmin)
			check(t, admin.Get(t.Context(), client.ObjectKeyFromObject(m), m))
			refused(t, who+" writes status by "+w.name, w.send(t.Context(), c, m, `{"status":{"acceptedAt":"2026-01-01T00:00:00Z","state":"Active"}}`))
		}
		if err := c.Patch(t.Context(), h.invited("pia", ""), mergePatch(`{"status":{"acceptedAt":"2026-01-01T00:00:00Z"}}`)); err != nil && !apierrors.IsForbidden(err) {
			t.Error(err)
		}
	}
	pia := h.invited("pia", "")
	check(t, admin.Get(t.Context(), client.ObjectKeyFromObject(pia), pia))
	if pia.Status.AcceptedAt != nil {
		t.Error("pia was made to accept")
	}
}

// forgedMembers are OrgMembers that somebody must not create, however they send them.
func forgedMembers(t *testing.T, h *home) {
	uma := as(t, h.user("uma"))
	for what, forge := range map[string]func(*v1alpha1.OrgMember){
		"an admin":                func(m *v1alpha1.OrgMember) { m.Spec.Role = v1alpha1.RoleAdmin },
		"a billing admin":         func(m *v1alpha1.OrgMember) { m.Spec.Role = v1alpha1.RoleBillingAdmin },
		"a user admin":            func(m *v1alpha1.OrgMember) { m.Spec.Role = v1alpha1.RoleUserAdmin },
		"somebody without asking": func(m *v1alpha1.OrgMember) { m.Spec.Invitation = &v1alpha1.MemberInvitation{Mode: "None"} },
		"a robot without asking": func(m *v1alpha1.OrgMember) {
			m.Spec.Email, m.Spec.Username = "", "system:serviceaccount:"+h.name+":bot"
			m.Spec.Role = v1alpha1.RoleAdmin
		},
		"somebody by the mailbox of another": func(m *v1alpha1.OrgMember) { m.Spec.Username = "victim@" + h.name + ".example" },
		"with a finalizer of somebody's":     func(m *v1alpha1.OrgMember) { m.Finalizers = []string{"evil.example/stay"} },
		"with a finalizer of the operator's": func(m *v1alpha1.OrgMember) { m.Finalizers = []string{v1alpha1.FinalizerWorkspace} },
		"with an owner": func(m *v1alpha1.OrgMember) {
			m.OwnerReferences = []metav1.OwnerReference{{APIVersion: "orgkeeper.dev/v1alpha1", Kind: "Workspace", Name: "web", UID: "1"}}
		},
	} {
		forged := func() *v1alpha1.OrgMember {
			m := h.invited(h.fresh(), v1alpha1.RoleMember)
			forge(m)
			return m
		}
		generated := forged()
		generated.Name, generated.GenerateName = "", "generated-"
		m := forged()
		for way, err := range map[string]error{
			"creation":                     uma.Create(t.Context(), m),
			"creation, dry run":            uma.Create(t.Context(), forged(), client.DryRunAll),
			"generateName":                 uma.Create(t.Context(), generated),
			"server-side apply":            applying.send(t.Context(), uma, forged(), `{}`),
			"replacement of what is not":   ignoreNotFound(uma.Update(t.Context(), forged())),
			"a patch of what is not there": ignoreNotFound(uma.Patch(t.Context(), forged(), mergePatch(`{"spec":{"role":"Admin"}}`))),
		} {
			refused(t, "uma adds "+what+" by "+way, err)
		}
		if err := admin.Get(t.Context(), client.ObjectKeyFromObject(m), m); !apierrors.IsNotFound(err) {
			t.Errorf("%s: refused, and still there: %v", what, err)
		}
	}
	// A status that is sent along is nobody's word.
	m := h.invited(h.fresh(), v1alpha1.RoleMember)
	m.Status.State, m.Status.AcceptedAt = v1alpha1.StateActive, &metav1.Time{Time: metav1.Now().Time}
	check(t, uma.Create(t.Context(), m))
	if m.Status.State != "" || m.Status.AcceptedAt != nil || m.Status.ObservedGeneration != -1 {
		t.Errorf("a status was created: %+v", m.Status)
	}
}

// parts are the parts of an Organization, by the permission that each takes.
var parts = map[string]string{
	"update organizations/profile":        `{"displayName":"%s","profile":{"description":"%[1]s"},"invitations":{"validFor":"1%[1]sh"},"members":{"dormantAfter":"1%[1]s0h"}}`,
	"update organizations/billing":        `{"billing":{"company":"%s"}}`,
	"update organizations/subscription":   `{"subscription":{"plan":"%s","seats":7}}`,
	"update organizations/paidthrough":    `{"subscription":{"paidThrough":"2030-01-01T00:00:00Z"}}`,
	"cancel organizations/subscription":   `{"subscription":{"cancelled":true}}`,
	"update organizations/owner":          `{"owner":"adam"}`,
	"update organizations/administration": `{"administration":"OwnerOnly"}`,
}

// partByPart gives a user one part after the other: it takes that permission, and no other helps.
func partByPart(t *testing.T, h *home) {
	for right, fields := range parts {
		verb, resource, _ := strings.Cut(right, " ")
		one, others := h.granted("just-"+h.fresh(), right), []string{}
		for other := range parts {
			if other != right {
				others = append(others, other)
			}
		}
		allBut := h.granted("allbut-"+h.fresh(), others...)
		spec := `{"spec":` + fields + `}`
		if strings.Contains(spec, "%") {
			spec = fmt.Sprintf(spec, strings.TrimPrefix(h.fresh(), "n"))
		}
		acme := h.organization()
		refused(t, "all rights but to "+right, allBut.Patch(t.Context(), acme.DeepCopy(), mergePatch("%s", spec), client.DryRunAll), verb, resource)
		if err := one.Patch(t.Context(), acme.DeepCopy(), mergePatch("%s", spec), client.DryRunAll); err != nil {
			t.Errorf("the right to %s: refused: %v", right, err)
		}
	}
}

// granted is a client for a new user who may update organizations, and has more permissions such as "update
// organizations/billing".
func (h *home) granted(user string, permissions ...string) client.Client {
	h.t.Helper()
	user += "-of-" + h.name
	role := &rbacv1.Role{ObjectMeta: h.meta(user), Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{"orgkeeper.dev"}, Resources: []string{"organizations"}, Verbs: []string{"get", "update", "patch"}},
	}}
	for _, p := range permissions {
		verb, resource, _ := strings.Cut(p, " ")
		role.Rules = append(role.Rules, rbacv1.PolicyRule{APIGroups: []string{"orgkeeper.dev"}, Resources: []string{resource}, Verbs: []string{verb}})
	}
	h.create(role, &rbacv1.RoleBinding{
		ObjectMeta: h.meta(user),
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: user},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}},
	})
	c := as(h.t, user)
	eventually(h.t, user+" has rights", func() error {
		return c.Get(context.Background(), client.ObjectKey{Namespace: h.name, Name: "acme"}, &v1alpha1.Organization{})
	})
	return c
}

// everyRefusal moves several parts of which one is allowed. It is refused whole, and each refusal is named.
func everyRefusal(t *testing.T, h *home) {
	config := plane.As(h.user("bill"))
	warnings := &heard{}
	config.WarningHandlerWithContext = warnings
	acme := h.organization()
	err := clientFor(t, config).Patch(t.Context(), acme.DeepCopy(), mergePatch(
		`{"spec":{"billing":{"company":"Bill's"},"owner":"adam","administration":"OwnerOnly","displayName":"Bill's","subscription":{"cancelled":true}}}`))
	refused(t, "bill moves everything", err)
	unchanged(t, "bill moves everything", acme)
	said := strings.Join(*warnings, "\n")
	for _, words := range []string{"organizations/owner", "organizations/administration", "organizations/profile", "cancel or resume"} {
		if !strings.Contains(said, words) {
			t.Errorf("no refusal names %s:\n%s", words, said)
		}
	}
	if strings.Contains(said, "organizations/billing") {
		t.Errorf("what bill may is refused:\n%s", said)
	}
}

type heard []string

func (h *heard) HandleWarningHeaderWithContext(_ context.Context, _ int, _, text string) {
	*h = append(*h, text)
}

// deleteCollection comes without a name. Nobody is given the verb; with it, the same rules hold for each object.
func deleteCollection(t *testing.T, h *home) {
	for _, who := range []string{h.user("jane"), h.user("adam"), h.user("uma"), "pipeline"} {
		refused(t, who, as(t, who).DeleteAllOf(t.Context(), &v1alpha1.OrgMember{}, client.InNamespace(h.name)))
		refused(t, who, as(t, who).DeleteAllOf(t.Context(), &v1alpha1.Organization{}, client.InNamespace(h.name)))
	}
	collector := h.granted("collector", "deletecollection orgmembers", "list orgmembers", "revoke orgmembers/member", "deletecollection organizations")
	err := collector.DeleteAllOf(t.Context(), &v1alpha1.OrgMember{}, client.InNamespace(h.name), client.MatchingFields{"spec.role": "Admin"})
	refused(t, "who may revoke members alone removes all admins at once", err, "who is Admin")
}

// forgedRecord has a pipeline take away what jane set: the record of who declared what says that it had been the pipeline.
func forgedRecord(t *testing.T, h *home) {
	pipeline := as(t, "pipeline")
	declared := fmt.Sprintf(`{"apiVersion":"orgkeeper.dev/v1alpha1","kind":"Organization","metadata":{"name":"acme","namespace":"%s"},"spec":{"owner":"jane"}}`, h.name)
	sync := func() {
		t.Helper()
		check(t, pipeline.Patch(t.Context(), h.organization(), client.RawPatch(types.ApplyPatchType, []byte(declared)), client.ForceOwnership, client.FieldOwner("argocd")))
	}
	sync()
	check(t, as(t, h.user("jane")).Patch(t.Context(), h.organization(), mergePatch(`{"spec":{"administration":"OwnerOnly"}}`)))
	forged := `"metadata":{"managedFields":[{"manager":"argocd","operation":"Apply","apiVersion":"orgkeeper.dev/v1alpha1","time":"2026-01-01T00:00:00Z",` +
		`"fieldsType":"FieldsV1","fieldsV1":{"f:spec":{"f:owner":{},"f:administration":{}}}}]}`
	for what, attempt := range map[string]struct{ user, patch string }{
		"alone":                    {"bill", `{` + forged + `}`},
		"beside an allowed change": {"bill", `{` + forged + `,"spec":{"billing":{"company":"Bill's"}}}`},
		"by an admin":              {"adam", `{` + forged + `,"spec":{"displayName":"Adam's"}}`},
		"emptied":                  {"bill", `{"metadata":{"managedFields":[{}]}}`},
	} {
		refused(t, "the record is forged "+what, as(t, h.user(attempt.user)).Patch(t.Context(), h.organization(), mergePatch("%s", attempt.patch)), "managedFields")
	}
	sync()
	if got := h.organization().Spec.Administration; got != v1alpha1.AdministrationOwnerOnly {
		t.Errorf("the pipeline set the administration back to %s", got)
	}
	// What is honest goes on: an edit, an apply beside others, a replacement, and the part given up again.
	jane := as(t, h.user("jane"))
	check(t, jane.Patch(t.Context(), h.organization(), mergePatch(`{"spec":{"administration":"Shared"}}`)))
	check(t, applying.send(t.Context(), jane, h.organization(), `{"spec":{"owner":"jane","displayName":"Jane's"}}`))
	check(t, applying.send(t.Context(), jane, h.organization(), `{"spec":{"owner":"jane"}}`))
	acme := h.organization()
	acme.Spec.DisplayName = "Acme"
	check(t, jane.Update(t.Context(), acme))
	_, err := plane.Run(t.Context(), "-n", h.name, "--as", h.user("jane"), "annotate", "org", "acme", "note=1")
	check(t, err)
}

// restored are objects as they were exported: they name the Organization of another time as their owner. Created like this
// they would be deleted at once, a workspace's namespace included.
func restored(t *testing.T, h *home) {
	for _, object := range []client.Object{
		h.invited(h.fresh(), v1alpha1.RoleMember), &v1alpha1.Workspace{ObjectMeta: h.meta(h.fresh())},
		&v1alpha1.WorkspaceAssignment{ObjectMeta: h.meta(h.fresh()), Spec: v1alpha1.WorkspaceAssignmentSpec{Member: "mia", Workspaces: []v1alpha1.WorkspaceName{"web"}}},
	} {
		object.SetOwnerReferences([]metav1.OwnerReference{{APIVersion: "orgkeeper.dev/v1alpha1", Kind: "Organization", Name: "acme", UID: "1"}})
		for who, c := range map[string]client.Client{"cluster-admin": admin, "the platform": as(t, "pipeline")} {
			refused(t, who+" restores", c.Create(t.Context(), object.DeepCopyObject().(client.Object)), "leave metadata.ownerReferences out")
		}
	}
	// A manifest that names an inviter can be applied again and again.
	manifest := h.invited(h.fresh(), v1alpha1.RoleMember)
	manifest.Spec.InvitedBy = "somebody@elsewhere.example"
	for range 2 {
		check(t, applying.send(t.Context(), as(t, "pipeline"), manifest, `{}`))
	}
}

// accomplice names an owner that can be deleted later, so that the garbage collector removes whom one could not.
func accomplice(t *testing.T, h *home) {
	web := &v1alpha1.Workspace{ObjectMeta: h.meta("web")}
	check(t, admin.Get(t.Context(), client.ObjectKeyFromObject(web), web))
	fields := fmt.Sprintf(`{"metadata":{"ownerReferences":[{"apiVersion":"orgkeeper.dev/v1alpha1","kind":"Workspace","name":"web","uid":"%s"}]}}`, web.UID)
	for _, object := range []client.Object{h.invited("adam", ""), h.invited("mia", ""), h.organization()} {
		for _, w := range ways[:4] {
			check(t, admin.Get(t.Context(), client.ObjectKeyFromObject(object), object))
			before := object.DeepCopyObject().(client.Object)
			refused(t, "jane has "+object.GetName()+" go with web by "+w.name,
				w.send(t.Context(), as(t, h.user("jane")), object.DeepCopyObject().(client.Object), fields), "owner references")
			unchanged(t, w.name, before)
		}
	}
}

// demotedOwner owns the organization although the object says Member. Editing it is editing an admin.
func demotedOwner(t *testing.T, h *home) {
	acme := h.organization()
	mia := h.invited("mia", "")
	// As it is found when the object was changed while no policy held: the record says that mia owns.
	check(t, retry.RetryOnConflict(retry.DefaultRetry, func() error {
		acme = h.organization()
		acme.Status.Owner = "mia"
		return admin.Status().Update(t.Context(), acme)
	}))
	uma := as(t, h.user("uma"))
	eventually(t, "mia is the owner to the policies", func() error {
		if err := uma.Patch(t.Context(), mia, mergePatch(`{"spec":{"displayName":"Uma's"}}`), client.DryRunAll); err == nil {
			return fmt.Errorf("uma may edit the owner")
		}
		return nil
	})
	refused(t, "uma edits the owner", uma.Patch(t.Context(), mia, mergePatch(`{"spec":{"displayName":"Uma's"}}`)), "mia", "who owns acme")
	refused(t, "uma removes the owner", uma.Delete(t.Context(), mia), "mia owns acme")
}

// awaitedOwner is a name that spec.owner waits for. Whoever adds that member decides who owns the organization.
func awaitedOwner(t *testing.T) {
	h := &home{t: t, name: "awaiting"}
	h.create(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: h.name}},
		&v1alpha1.Organization{ObjectMeta: h.meta("acme"), Spec: v1alpha1.OrganizationSpec{Owner: "olga"}},
		&rbacv1.RoleBinding{ObjectMeta: h.meta("uma"), RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "orgkeeper:user-admin"},
			Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: "uma"}}})
	uma := as(t, "uma")
	eventually(t, "uma is user admin", func() error { return uma.Create(t.Context(), h.invited("mia", v1alpha1.RoleMember), client.DryRunAll) })
	eventually(t, "the policies know acme", func() error {
		if err := uma.Create(t.Context(), h.invited("olga", v1alpha1.RoleMember), client.DryRunAll); err == nil {
			return fmt.Errorf("let in")
		}
		return nil
	})
	refused(t, "uma adds olga", uma.Create(t.Context(), h.invited("olga", v1alpha1.RoleMember)), "acme waits for an owner of this name")
	refused(t, "uma applies olga", applying.send(t.Context(), uma, h.invited("olga", v1alpha1.RoleMember), `{}`), "acme waits for an owner of this name")
	// As long as nobody owns it, another name will do, and be waited for.
	h.patch(&v1alpha1.Organization{ObjectMeta: h.meta("acme")}, `{"spec":{"owner":"oscar"}}`)
	check(t, admin.Create(t.Context(), h.member("oscar", v1alpha1.RoleMember)))
}

// roleBindings of the operator's are out of reach of whoever may write RoleBindings there for other reasons.
func roleBindings(t *testing.T, h *home) {
	for _, who := range []string{h.user("jane"), h.user("adam"), h.user("uma"), h.user("mia"), "pipeline"} {
		for _, namespace := range []string{h.name, h.name + "--web"} {
			b := binding(namespace, "mine", who)
			refused(t, who+" binds a role in "+namespace, as(t, who).Create(t.Context(), b))
		}
	}
	// The stock role admin, given by the platform for whatever reason.
	const guest = "guest"
	for _, namespace := range []string{h.name, h.name + "--web"} {
		b := binding(namespace, "guests", guest)
		b.RoleRef.Name = "admin"
		h.create(b)
	}
	c := as(t, guest)
	eventually(t, "guest has the role admin", func() error {
		return c.List(t.Context(), &rbacv1.RoleBindingList{}, client.InNamespace(h.name+"--web"))
	})
	for _, name := range []client.ObjectKey{{Namespace: h.name, Name: "orgkeeper:admins"}, {Namespace: h.name + "--web", Name: "orgkeeper:edit"}} {
		ours := &rbacv1.RoleBinding{}
		check(t, admin.Get(t.Context(), name, ours))
		for what, err := range map[string]error{
			"deletes":             c.Delete(t.Context(), ours.DeepCopy()),
			"empties":             c.Patch(t.Context(), ours.DeepCopy(), mergePatch(`{"subjects":null}`)),
			"empties, strategic,": c.Patch(t.Context(), ours.DeepCopy(), client.RawPatch(types.StrategicMergePatchType, []byte(`{"subjects":null}`))),
			"disowns":             c.Patch(t.Context(), ours.DeepCopy(), mergePatch(`{"metadata":{"labels":null}}`)),
			"gets into":           c.Patch(t.Context(), ours.DeepCopy(), mergePatch(`{"subjects":[{"kind":"User","apiGroup":"rbac.authorization.k8s.io","name":"guest"}]}`)),
		} {
			refused(t, "guest "+what+" "+name.String(), err)
		}
		refused(t, "guest deletes all in "+name.Namespace, c.DeleteAllOf(t.Context(), &rbacv1.RoleBinding{}, client.InNamespace(name.Namespace),
			client.MatchingLabels{v1alpha1.LabelManagedBy: v1alpha1.ManagedBy}), "kept by orgkeeper")
	}
	posing := binding(h.name+"--web", "posing", guest)
	posing.RoleRef.Name, posing.Labels = "view", map[string]string{v1alpha1.LabelManagedBy: v1alpha1.ManagedBy}
	refused(t, "guest passes off a binding", c.Create(t.Context(), posing), "kept by orgkeeper")
	posing.Labels = nil
	if err := c.Create(t.Context(), posing); err != nil {
		t.Errorf("a binding that is none of ours: %v", err)
	}
}

func binding(namespace, name, user string) *rbacv1.RoleBinding {
	return &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "view"},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}},
	}
}

// namespaces may be created and edited by a user in this test, as by a platform's self-service. The marks are not theirs.
func namespaces(t *testing.T, h *home) {
	const user = "landlord"
	h.create(&rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: user}, Rules: []rbacv1.PolicyRule{{
		APIGroups: []string{""}, Resources: []string{"namespaces", "namespaces/status", "namespaces/finalize"},
		Verbs: []string{"get", "create", "update", "patch"},
	}}}, &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: user},
		RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: user},
		Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}}})
	c := as(t, user)
	web := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: h.name + "--web"}}
	eventually(t, "landlord may edit namespaces", func() error { return c.Get(t.Context(), client.ObjectKeyFromObject(web), web) })

	own := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "own", Annotations: map[string]string{v1alpha1.AnnotationAdoptableBy: h.name + "/own"}}}
	if err := c.Create(t.Context(), own); err != nil {
		t.Errorf("consent is the word of whoever may create the namespace: %v", err)
	}
	for what, marks := range map[string]metav1.ObjectMeta{
		"an organization": {Labels: map[string]string{v1alpha1.LabelOrganization: h.name}},
		"a workspace":     {Labels: map[string]string{v1alpha1.LabelWorkspace: "web"}},
		"a UID":           {Annotations: map[string]string{v1alpha1.AnnotationWorkspaceUID: "1"}},
		"adoption":        {Annotations: map[string]string{v1alpha1.AnnotationAdopted: "true"}},
	} {
		spoofed := &corev1.Namespace{ObjectMeta: marks}
		spoofed.Name = "spoofed"
		refused(t, "landlord creates a namespace marked with "+what, c.Create(t.Context(), spoofed), "only the operator marks namespaces")
		marked := own.DeepCopy()
		marked.Labels, marked.Annotations = marks.Labels, marks.Annotations
		refused(t, "landlord marks a namespace with "+what, c.Update(t.Context(), marked), "only the operator marks namespaces")
		refused(t, "landlord marks a namespace with "+what+" by its status", c.Status().Update(t.Context(), marked), "only the operator marks namespaces")
		_, err := kubernetes.NewForConfigOrDie(plane.As(user)).CoreV1().Namespaces().Finalize(t.Context(), marked, metav1.UpdateOptions{})
		refused(t, "landlord marks a namespace with "+what+" by finalize", err, "only the operator marks namespaces")
	}
	for _, fields := range []string{
		`{"metadata":{"labels":{"orgkeeper.dev/organization":null}}}`, `{"metadata":{"labels":{"orgkeeper.dev/workspace":"api"}}}`,
		`{"metadata":{"annotations":{"orgkeeper.dev/workspace-uid":null}}}`, `{"metadata":{"annotations":{"orgkeeper.dev/workspace-uid":"1"}}}`,
	} {
		refused(t, "landlord "+fields, c.Patch(t.Context(), web.DeepCopy(), mergePatch("%s", fields)), "only the operator marks namespaces")
		refused(t, "landlord "+fields, c.Patch(t.Context(), web.DeepCopy(), client.RawPatch(types.StrategicMergePatchType, []byte(fields))))
		refused(t, "landlord "+fields, c.Status().Patch(t.Context(), web.DeepCopy(), mergePatch("%s", fields)))
	}
	if err := c.Patch(t.Context(), web.DeepCopy(), mergePatch(`{"metadata":{"labels":{"team":"a"}}}`)); err != nil {
		t.Errorf("a label that is none of ours: %v", err)
	}
	for _, who := range []string{h.user("jane"), h.user("uma"), h.user("mia")} {
		refused(t, who+" consents for a namespace", as(t, who).Patch(t.Context(), web.DeepCopy(), mergePatch(`{"metadata":{"annotations":{"orgkeeper.dev/adoptable-by":"a/b"}}}`)))
	}
}

// inviter is whoever adds a member. Where the stamp is installed it overwrites what is claimed; else a false claim is refused.
func inviter(t *testing.T, h *home) {
	jane := as(t, h.user("jane"))
	m := h.invited(h.fresh(), v1alpha1.RoleMember)
	m.Spec.InvitedBy = h.user("adam")
	check(t, jane.Create(t.Context(), m))
	if m.Spec.InvitedBy != h.user("jane") || len(m.Finalizers) != 1 || m.Finalizers[0] != v1alpha1.FinalizerMember {
		t.Errorf("stamped with %q and %v", m.Spec.InvitedBy, m.Finalizers)
	}
	withoutStamp(t, jane, func() *v1alpha1.OrgMember { return h.invited(h.fresh(), v1alpha1.RoleMember) })
	forged := h.invited(h.fresh(), v1alpha1.RoleMember)
	forged.Spec.InvitedBy = h.user("adam")
	refused(t, "jane says that adam invited", jane.Create(t.Context(), forged), "spec.invitedBy", "names somebody else than "+h.user("jane"))
	forged.Spec.InvitedBy = h.user("jane")
	if err := jane.Create(t.Context(), forged); err != nil {
		t.Errorf("jane says that she invited: %v", err)
	}
	plain := h.invited(h.fresh(), v1alpha1.RoleMember)
	check(t, jane.Create(t.Context(), plain))
	if plain.Spec.InvitedBy != "" || plain.Finalizers != nil {
		t.Errorf("stamped by nobody with %q and %v", plain.Spec.InvitedBy, plain.Finalizers)
	}
}

// withoutStamp takes the stamp out of the control plane until the test ends.
func withoutStamp(t *testing.T, c client.Client, fresh func() *v1alpha1.OrgMember) {
	t.Helper()
	stamped := func(want bool) func() error {
		return func() error {
			m := fresh()
			if err := c.Create(context.WithoutCancel(t.Context()), m, client.DryRunAll); err != nil {
				return err
			}
			if (m.Spec.InvitedBy != "") != want {
				return fmt.Errorf("invited by %q", m.Spec.InvitedBy)
			}
			return nil
		}
	}
	_, err := plane.Run(t.Context(), "delete", "mutatingadmissionpolicybinding", "orgkeeper-stamp")
	check(t, err)
	t.Cleanup(func() {
		check(t, plane.Kustomize(context.WithoutCancel(t.Context()), "config/default"))
		eventually(t, "the stamp is back", stamped(true))
	})
	eventually(t, "the stamp is gone", stamped(false))
}
