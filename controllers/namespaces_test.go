package controllers_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
)

func TestNamespaces(t *testing.T) {
	together(t, map[string]func(*home){
		"one that did not consent":             conflict,
		"one that consents":                    adoption,
		"consent to somebody else":             foreignConsent,
		"names that are nobody's to claim":     forbiddenNames,
		"names that are somebody else's":       unclaimedNames,
		"one of another organization":          foreignWorkspace,
		"one that is being deleted":            terminating,
		"one that is deleted under us":         deletedUnderUs,
		"retained, and taken back":             retained,
		"one whose mark is taken away by hand": unmarked,
	})
}

func namespace(name string) *corev1.Namespace {
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
}

// discard deletes a namespace when the test is over.
func (h *home) discard(name string) {
	h.t.Cleanup(func() { _ = client.IgnoreNotFound(admin.Delete(context.Background(), namespace(name))) })
}

func wants(name string) func(*v1alpha1.Workspace) {
	return func(w *v1alpha1.Workspace) { w.Spec.Namespace = name }
}

// existing makes a namespace that orgkeeper does not know.
func (h *home) existing(name string, annotations map[string]string) *corev1.Namespace {
	h.t.Helper()
	ns := namespace(name)
	// Labels like ours prove nothing: a tenant of the namespace may be able to write them.
	ns.Labels = map[string]string{"team": "blue", v1alpha1.LabelOrganization: h.name, v1alpha1.LabelWorkspace: "web"}
	ns.Annotations = annotations
	h.create(ns)
	h.discard(name)
	return ns
}

// bindings are the RoleBindings of a namespace.
func (h *home) bindings(namespace string) []string {
	h.t.Helper()
	var list rbacv1.RoleBindingList
	if err := admin.List(h.t.Context(), &list, client.InNamespace(namespace)); err != nil {
		h.t.Fatal(err)
	}
	var names []string
	for _, b := range list.Items {
		names = append(names, b.Name)
	}
	return names
}

// Nothing in somebody's namespace is touched, not even a label. Consent heals, and what was adopted is never deleted.
func conflict(h *home) {
	h.found()
	ns := h.existing(h.name+"-legacy", nil)
	untouched := ns.DeepCopy()
	w := h.workspace("web", wants(ns.Name))
	h.create(w)
	h.becomes(w, "Ready", "False/NamespaceConflict")
	h.becomes(w, "Stalled", "True/NamespaceConflict")
	h.get(ns)
	if diff := cmp.Diff([]any{untouched.Labels, untouched.Annotations}, []any{ns.Labels, ns.Annotations}); diff != "" {
		h.t.Errorf("the namespace was touched: %s", diff)
	}
	if got := h.bindings(ns.Name); got != nil || w.Status.Namespace != "" {
		h.t.Errorf("bindings %v, status.namespace %q", got, w.Status.Namespace)
	}
	edit(h, ns, func(ns *corev1.Namespace) {
		ns.Annotations = map[string]string{v1alpha1.AnnotationAdoptableBy: h.name + "/web"}
	})
	h.becomes(w, "Ready", "True/NamespaceAdopted")
	h.has(h.user("jane"), ns.Name, v1alpha1.AccessAdmin)
	h.leavesBehind(w, ns)
}

// leavesBehind deletes a workspace and checks that its namespace stays, without access and marks.
func (h *home) leavesBehind(w *v1alpha1.Workspace, ns *corev1.Namespace) {
	h.t.Helper()
	h.delete(w)
	h.goes(w)
	if !h.get(ns) || ns.DeletionTimestamp != nil {
		h.t.Fatal("the namespace went with the workspace")
	}
	for key := range ns.Annotations {
		if key == v1alpha1.AnnotationWorkspaceUID || key == v1alpha1.AnnotationAdopted {
			h.t.Errorf("annotation %s is left", key)
		}
	}
	for key := range ns.Labels {
		if strings.HasPrefix(key, "orgkeeper.dev/") {
			h.t.Errorf("label %s is left", key)
		}
	}
	if got := h.bindings(ns.Name); got != nil {
		h.t.Errorf("bindings %v are left", got)
	}
	h.has(h.user("jane"), ns.Name, "")
}

// A consent that was there before the workspace.
func adoption(h *home) {
	h.found()
	const note = "team.example/note"
	ns := h.existing(h.name+"-legacy", map[string]string{v1alpha1.AnnotationAdoptableBy: h.name + "/web", note: "ours"})
	w := h.workspace("web", wants(ns.Name), func(w *v1alpha1.Workspace) { w.Spec.DeletionPolicy = v1alpha1.DeletionPolicyDelete })
	h.create(w)
	h.becomes(w, "Ready", "True/NamespaceAdopted")
	h.get(ns)
	if ns.Labels["team"] != "blue" || ns.Annotations[v1alpha1.AnnotationWorkspaceUID] != string(w.UID) {
		h.t.Errorf("labels %v, annotations %v", ns.Labels, ns.Annotations)
	}
	h.leavesBehind(w, ns)
	// The cache does not keep what is not ours; the object must.
	if ns.Annotations[note] != "ours" {
		h.t.Errorf("a foreign annotation went: %v", ns.Annotations)
	}
}

// Consent names one workspace of one home.
func foreignConsent(h *home) {
	h.found()
	for i, consent := range []string{"elsewhere/web", h.name + "/api", h.name, "*"} {
		ns := h.existing(fmt.Sprintf("%s-legacy-%d", h.name, i), map[string]string{v1alpha1.AnnotationAdoptableBy: consent})
		w := h.workspace("web"+strings.Repeat("x", i+1), wants(ns.Name))
		h.create(w)
		h.becomes(w, "Ready", "False/NamespaceConflict")
	}
}

// Kubernetes' own names and the home.
func forbiddenNames(h *home) {
	h.found()
	for i, name := range []string{"kube-public", "kube-mine", h.name} {
		w := h.workspace(fmt.Sprintf("w%d", i), wants(name))
		h.create(w)
		h.becomes(w, "Ready", "False/NamespaceInvalid")
		h.becomes(w, "Stalled", "True/NamespaceInvalid")
	}
	if h.get(namespace("kube-mine")) {
		h.t.Error("a namespace was made")
	}
}

// A free name may be what somebody else is about to use, such as another organization's default or home. Whoever made the
// namespace would have all that is put into it, and could delete it.
func unclaimedNames(h *home) {
	h.found()
	for i, name := range []string{h.name + "-elsewhere--web", h.name + "-newcorp", h.name + "--a--b"} {
		w := h.workspace(fmt.Sprintf("w%d", i), wants(name))
		h.create(w)
		h.becomes(w, "Ready", "False/NamespaceNotFound")
		if h.get(namespace(name)) {
			h.t.Errorf("namespace %s was made", name)
		}
		h.existing(name, map[string]string{v1alpha1.AnnotationAdoptableBy: h.name + "/" + w.Name})
		h.becomes(w, "Ready", "True/NamespaceAdopted")
	}
}

// The namespace of another organization's workspace is somebody's, whoever names it.
func foreignWorkspace(h *home) {
	acme, _ := h.found()
	h.becomes(acme, "Ready", "True/Ready")
	other := h.home(h.t)
	other.found()
	shared := other.name + "--web"
	theirs := other.workspace("web")
	h.create(theirs)
	h.becomes(theirs, "Ready", "True/Ready")
	h.has(other.user("jane"), shared, v1alpha1.AccessAdmin)
	ours := h.workspace("web", wants(shared))
	h.create(ours)
	h.becomes(ours, "Ready", "False/NamespaceConflict")
	h.delete(ours)
	h.goes(ours)
	if got := h.access(other.user("jane"), shared); got != v1alpha1.AccessAdmin {
		h.t.Errorf("the deletion of a workspace that never held the namespace left its holder %q", got)
	}
	if in := h.named(h.user("jane")); len(in) != 1 {
		h.t.Errorf("jane of the other home is named by %v", in)
	}
	h.becomes(theirs, "Ready", "True/Ready")
}

// An older namespace of the name that still goes is waited for.
func terminating(h *home) {
	h.found()
	ns := namespace(h.in("web"))
	ns.Finalizers = []string{"test.example/wait"}
	h.create(ns)
	h.delete(ns)
	w := h.workspace("web")
	h.create(w)
	h.becomes(w, "Ready", "False/NamespaceTerminating")
	edit(h, ns, func(ns *corev1.Namespace) { ns.Finalizers = nil })
	h.becomes(w, "Ready", "True/Ready")
	h.has(h.user("jane"), h.in("web"), v1alpha1.AccessAdmin)
}

// A workspace's namespace that somebody deletes is made anew.
func deletedUnderUs(h *home) {
	w, _, a := h.staffed(v1alpha1.AccessEdit)
	h.delete(namespace(h.in("web")))
	h.becomes(w, "Ready", "False/NamespaceTerminating")
	h.becomes(a, "Ready", "False/WorkspaceNotReady")
	h.becomes(w, "Ready", "True/Ready")
	h.has(h.user("mia"), h.in("web"), v1alpha1.AccessEdit)
	h.becomes(a, "Ready", "True/Granted")
}

// Retain keeps the namespace and what is in it, and a new Workspace does not get it without consent.
func retained(h *home) {
	h.found()
	retain := func(w *v1alpha1.Workspace) { w.Spec.DeletionPolicy = v1alpha1.DeletionPolicyRetain }
	w := h.workspace("web", retain)
	h.create(w)
	h.becomes(w, "Ready", "True/Ready")
	h.create(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: h.in("web"), Name: "work"}})
	h.has(h.user("jane"), h.in("web"), v1alpha1.AccessAdmin)
	ns := namespace(h.in("web"))
	h.leavesBehind(w, ns)
	if !h.get(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: h.in("web"), Name: "work"}}) {
		h.t.Error("the work is gone")
	}
	again := h.workspace("web", retain)
	h.create(again)
	h.becomes(again, "Ready", "False/NamespaceConflict")
	edit(h, ns, func(ns *corev1.Namespace) {
		ns.Annotations = map[string]string{v1alpha1.AnnotationAdoptableBy: h.name + "/web"}
	})
	h.becomes(again, "Ready", "True/NamespaceAdopted")
	h.discard(h.in("web"))
}

// Without our mark a namespace is somebody else's: access through us ends, and it is not deleted with the workspace.
func unmarked(h *home) {
	w, mia, a := h.staffed(v1alpha1.AccessEdit)
	ns := namespace(h.in("web"))
	edit(h, ns, func(ns *corev1.Namespace) { delete(ns.Annotations, v1alpha1.AnnotationWorkspaceUID) })
	h.becomes(w, "Ready", "False/NamespaceConflict")
	h.has(h.user("mia"), ns.Name, "")
	if in := h.named(h.user("mia")); in != nil {
		h.t.Errorf("mia is named by %v", in)
	}
	h.becomes(a, "Ready", "False/WorkspaceNotReady")
	h.delete(mia, w)
	h.goes(mia, w)
	if !h.get(ns) || ns.DeletionTimestamp != nil {
		h.t.Error("a namespace that is not ours was deleted")
	}
	h.discard(h.in("web"))
}
