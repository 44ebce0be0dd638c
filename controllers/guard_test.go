package controllers_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/internal/guard"
)

// memberBinding is the binding that these tests weaken.
func memberBinding() *guard.Binding {
	return &guard.Binding{ObjectMeta: metav1.ObjectMeta{Name: "orgkeeper-member"}}
}

// While the policies are not as shipped nothing new is granted, and everything that ends ends; when they are again, what
// was declared meanwhile comes by itself.
func TestNothingNewWithoutThePolicies(t *testing.T) {
	h := operate(t).home(t)
	before := h.told()
	web, mia, a := h.staffed(v1alpha1.AccessEdit)
	acme, jane := h.organization("acme", ""), h.member("jane", v1alpha1.RoleAdmin)
	adam, uma, tom := h.member("adam", v1alpha1.RoleAdmin, joined), h.member("uma", v1alpha1.RoleUserAdmin, joined), h.member("tom", v1alpha1.RoleMember, joined)
	tomsWork := h.assignment("tom", "tom", v1alpha1.AccessEdit, "web")
	h.create(adam, uma, tom, tomsWork)
	h.becomes(tomsWork, "Ready", "True/Granted")
	h.becomes(acme, "AdminRedundancy", "True/SeveralAdmins")
	h.eventually("uma's role", h.allowed(uma, "grant", "orgmembers/member.orgkeeper.dev", true))
	h.owns(acme, jane)
	h.enforced(acme, "True/PoliciesInstalled", "1")

	installed := memberBinding()
	h.get(installed)
	weakened := installed.DeepCopy()
	weakened.Spec.ValidationActions = []admissionregistrationv1.ValidationAction{admissionregistrationv1.Audit}
	t.Cleanup(func() { reinstall(t, installed) })
	if err := admin.Update(t.Context(), weakened); err != nil {
		t.Fatal(err)
	}
	h.enforced(acme, "False/PolicyAltered", "0")
	told := "ValidatingAdmissionPolicyBinding orgkeeper-member differs from what this operator ships: spec.validationActions"
	if c := meta.FindStatusCondition(acme.Status.Conditions, "PolicyEnforced"); !strings.Contains(c.Message, told) || !strings.Contains(c.Message, guard.Remedy) {
		t.Errorf("the condition says %q", c.Message)
	}
	h.becomes(acme, "Ready", "True/Ready") // what is there stays, and is all there is to be
	h.becomes(web, "Ready", "True/Ready")
	h.becomes(a, "Ready", "True/Granted")

	// A new member joins, and gets nothing.
	kim, kims := h.member("kim", v1alpha1.RoleMember, joined), h.assignment("kim", "kim", v1alpha1.AccessView, "web")
	h.create(kim, kims)
	h.becomes(kim, "Ready", "True/Active")
	h.becomes(kims, "Ready", "False/PolicyNotEnforced")
	h.becomes(kims, "Reconciling", "True/PolicyNotEnforced")
	if part := kims.Status.Workspaces[0]; part.Granted || part.Reason != "PolicyNotEnforced" {
		t.Errorf("kim's access: %+v", part)
	}
	h.becomes(web, "Ready", "False/PolicyNotEnforced")
	// Nor does who is promoted; who changes roles leaves the old one.
	edit(h, mia, func(m *v1alpha1.OrgMember) { m.Spec.Role = v1alpha1.RoleAdmin })
	edit(h, uma, func(m *v1alpha1.OrgMember) { m.Spec.Role = v1alpha1.RoleBillingAdmin })
	h.becomes(acme, "Ready", "False/PolicyNotEnforced")
	h.namedBy("uma")
	h.namedBy("mia")
	// Nor is ownership transferred.
	h.transfer(acme, "adam")
	h.becomes(acme, "Ready", "False/PolicyNotEnforced")
	h.owns(acme, jane)
	if h.may(h.user("adam"), "update", ownerRight, h.name) {
		t.Error("adam has the owner's right")
	}

	// Removal goes on.
	h.delete(tom)
	h.goes(tom)
	h.namedBy("tom")
	edit(h, kims, func(a *v1alpha1.WorkspaceAssignment) { a.Spec.Access = v1alpha1.AccessEdit })
	h.becomes(kims, "Ready", "False/PolicyNotEnforced")
	h.namedBy("kim")
	if in := h.named(h.user("jane")); !cmp.Equal(in, []string{h.in("web") + "/orgkeeper:admin", h.name + "/orgkeeper:owner"}) {
		t.Errorf("jane is named by %v", in)
	}

	// From bad to worse is no news, and said.
	if err := admin.Delete(t.Context(), weakened); err != nil {
		t.Fatal(err)
	}
	h.enforced(acme, "False/PolicyMissing", "0")

	h.settles()
	reinstall(t, installed) // and nothing else happens
	h.enforced(acme, "True/PoliciesInstalled", "1")
	h.owns(acme, adam)
	h.becomes(acme, "Ready", "True/Ready")
	h.becomes(web, "Ready", "True/Ready")
	h.becomes(kims, "Ready", "True/Granted")
	h.has(h.user("kim"), h.in("web"), v1alpha1.AccessEdit)
	h.has(h.user("mia"), h.in("web"), v1alpha1.AccessAdmin)
	h.eventually("uma's new role", h.allowed(uma, "update", "organizations/billing.orgkeeper.dev", true))
	h.eventually("two Events", func() error {
		if diff := cmp.Diff([]string{"Normal PolicyEnforced", "Warning PolicyNotEnforced"}, slices.Sorted(slices.Values(h.told()[len(before):]))); diff != "" {
			return fmt.Errorf("Events: %s", diff)
		}
		return nil
	})
}

// Where the policies are missing from the start, the first look knows.
func TestStartWithoutThePolicies(t *testing.T) {
	installed := memberBinding()
	if err := admin.Get(t.Context(), client.ObjectKeyFromObject(installed), installed); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { reinstall(t, installed) })
	o := operate(t, idle)
	h := o.home(t)
	acme, jane := h.found()
	web := h.workspace("web")
	h.create(web)
	removed(t, installed)
	o.idle = false
	h.restart(t)
	h.enforced(acme, "False/PolicyMissing", "0")
	h.becomes(acme, "Ready", "False/PolicyNotEnforced")
	h.becomes(web, "Ready", "False/PolicyNotEnforced")
	h.becomes(jane, "Ready", "True/Active")
	h.namedBy("jane")
	if acme.Status.Owner != "" {
		t.Errorf("%s owns", acme.Status.Owner)
	}
	h.settles()
	before := h.versions()
	h.restart(t)
	h.settles()
	if diff := cmp.Diff(before, h.versions()); diff != "" {
		t.Errorf("a restart wrote: %s", diff)
	}
	reinstall(t, installed) // and nothing else happens
	h.owns(acme, jane)
	h.becomes(acme, "Ready", "True/Ready")
	h.becomes(web, "Ready", "True/Ready")
}

// Policies of others, and what the API server notes about ours, wake nobody.
func TestOtherPoliciesWakeNobody(t *testing.T) {
	h := operate(t).home(t)
	h.found()
	h.create(h.workspace("web"))
	h.settles()
	before := h.reconciled()
	theirs := &guard.Binding{
		ObjectMeta: metav1.ObjectMeta{Name: "theirs"},
		Spec: admissionregistrationv1.ValidatingAdmissionPolicyBindingSpec{
			PolicyName: "theirs", ValidationActions: []admissionregistrationv1.ValidationAction{admissionregistrationv1.Warn},
		},
	}
	h.create(theirs)
	t.Cleanup(func() { _ = admin.Delete(context.Background(), theirs) })
	ours := memberBinding()
	h.get(ours)
	h.touch(ours)
	h.settles()
	if diff := cmp.Diff(before, h.reconciled()); diff != "" {
		t.Errorf("reconciles: %s", diff)
	}
}

// Without config/policy/stamp the operator puts its finalizer on new members itself, and mails name nobody.
func TestWithoutTheStamp(t *testing.T) {
	unstamped(t)
	h := operate(t).home(t)
	h.found()
	mia, claims := h.invited("mia")
	if !slices.Equal(mia.Finalizers, []string{v1alpha1.FinalizerMember}) || mia.Spec.InvitedBy != "" {
		t.Errorf("finalizers %v, invited by %q", mia.Finalizers, mia.Spec.InvitedBy)
	}
	if body := h.mail.to(h.user("mia"))[0].body; strings.Contains(body, "Invited by") {
		t.Errorf("the mail names an inviter:\n%s", body)
	}
	if page, err := h.store().Accept(t.Context(), claims); err != nil || page.Inviter != "" {
		t.Errorf("%v: the page names %q", err, page.Inviter)
	}
	h.becomes(mia, "Ready", "True/Active")
}

// Whoever adds a member is named in the mail and on the page, by the API server's word.
func TestInviter(t *testing.T) {
	h := operate(t).home(t)
	acme, jane := h.found()
	h.create(h.workspace("web"))
	h.owns(acme, jane)
	asJane, err := client.New(plane.As(h.user("jane")), client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	mia := h.member("mia", v1alpha1.RoleMember)
	if err := asJane.Create(t.Context(), mia); err != nil {
		t.Fatal(err)
	}
	h.becomes(mia, "Ready", "True/AwaitingAcceptance")
	if body := h.mail.to(h.user("mia"))[0].body; !strings.Contains(body, h.user("jane")+" invites you") {
		t.Errorf("the mail does not name jane:\n%s", body)
	}
	if page, err := h.store().Invitation(t.Context(), h.link(mia)); err != nil || page.Inviter != h.user("jane") {
		t.Errorf("%v: the page names %q", err, page.Inviter)
	}
}

// enforced waits until condition and metric say whether the policies are as shipped.
func (h *home) enforced(acme *v1alpha1.Organization, condition, metric string) {
	h.t.Helper()
	h.becomes(acme, "PolicyEnforced", condition)
	h.metricsCome(`
# HELP orgkeeper_policy_enforced 1 while the admission policies are installed as shipped; 0 while they are not, and nothing new is granted.
# TYPE orgkeeper_policy_enforced gauge
orgkeeper_policy_enforced `+metric+"\n", "orgkeeper_policy_enforced")
}

// namedBy waits until exactly these RoleBindings name a member.
func (h *home) namedBy(member string, bindings ...string) {
	h.t.Helper()
	h.eventually(member+"'s RoleBindings", func() error {
		if in := h.named(h.user(member)); !slices.Equal(in, bindings) {
			return fmt.Errorf("named by %v, not %v", in, bindings)
		}
		return nil
	})
}

// reinstall puts a binding back as it was, whatever became of it.
func reinstall(t *testing.T, installed *guard.Binding) {
	t.Helper()
	now := installed.DeepCopy()
	err := admin.Get(context.Background(), client.ObjectKeyFromObject(now), now)
	switch {
	case client.IgnoreNotFound(err) != nil:
		t.Error(err)
	case err != nil:
		restore(t, installed)
	default:
		now.Spec = installed.Spec
		if err := admin.Update(context.Background(), now); err != nil {
			t.Error(err)
		}
	}
}

// told are the Events about the policies, as type and reason. They are in the namespace default, the policies being in none.
func (h *home) told() []string {
	h.t.Helper()
	var list eventsv1.EventList
	if err := admin.List(h.t.Context(), &list, client.InNamespace("default")); err != nil {
		h.t.Fatal(err)
	}
	var told []string
	for _, e := range list.Items {
		if e.Regarding.Name == "orgkeeper-member" && e.Regarding.Kind == guard.KindBinding {
			told = append(told, e.Type+" "+e.Reason)
		}
	}
	return told
}
