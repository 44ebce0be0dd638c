package controllers_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
)

// Workspaces come and go under assignments, which stay as they were declared.
func TestAssignmentsOutliveWorkspaces(t *testing.T) {
	together(t, map[string]func(*home){
		"one of three goes and comes back": oneOfThree,
		"all go":                           noneLeft,
		"an eleventh workspace":            eleventh,
		"one workspace through two":        throughTwo,
	})
}

// three is mia with Edit in web, api and lab by one assignment.
func (h *home) three() (mia *v1alpha1.OrgMember, a *v1alpha1.WorkspaceAssignment) {
	h.t.Helper()
	h.found()
	mia, a = h.member("mia", v1alpha1.RoleMember, joined), h.assignment("mia", "mia", v1alpha1.AccessEdit, "web", "api", "lab")
	h.create(h.workspace("web"), h.workspace("api"), h.workspace("lab"), mia, a)
	h.comesTo(a, "True/Granted", map[string]string{"web": "Granted", "api": "Granted", "lab": "Granted"})
	h.worksIn(mia, "web", "api", "lab")
	return mia, a
}

// comesTo waits until an assignment has come to this: what Ready reads, and for each of its workspaces the reason. It is the same
// object all the time, and its spec stays as it was.
func (h *home) comesTo(a *v1alpha1.WorkspaceAssignment, ready string, want map[string]string) {
	h.t.Helper()
	declared, uid := a.Spec.DeepCopy(), a.UID
	h.becomes(a, "Ready", ready)
	h.eventually("what it comes to", func() error {
		if !h.get(a) {
			return errors.New("the assignment is gone")
		}
		got := map[string]string{}
		for _, w := range a.Status.Workspaces {
			got[string(w.Name)] = w.Reason
			if w.Granted != (w.Reason == v1alpha1.ReasonGranted) {
				return fmt.Errorf("%s is granted: %t, and the reason %s", w.Name, w.Granted, w.Reason)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			return errors.New(diff)
		}
		return nil
	})
	if diff := cmp.Diff(declared, &a.Spec); diff != "" || a.UID != uid || a.DeletionTimestamp != nil {
		h.t.Errorf("the assignment is not what was declared any more (it was %s, is %s, being deleted: %t):\n%s", uid, a.UID, a.DeletionTimestamp != nil, diff)
	}
}

// worksIn waits until a member has Edit in exactly these workspaces, and says how many.
func (h *home) worksIn(m *v1alpha1.OrgMember, workspaces ...string) {
	h.t.Helper()
	want := map[string]bool{}
	for _, w := range workspaces {
		want[h.in(w)+"/orgkeeper:edit"] = true
	}
	h.eventually(fmt.Sprintf("%s works in %v", m.Name, workspaces), func() error {
		got := map[string]bool{}
		for _, b := range h.named(h.user(m.Name)) {
			got[b] = true
		}
		if diff := cmp.Diff(want, got); diff != "" {
			return errors.New(diff)
		}
		if h.get(m); m.Status.Workspaces == nil || int(*m.Status.Workspaces) != len(workspaces) {
			return fmt.Errorf("status.workspaces: %v", m.Status.Workspaces)
		}
		return nil
	})
}

// The access to a workspace that goes ends at once, however long its namespace takes; that to the others does not. A new one of that
// name is taken up.
func oneOfThree(h *home) {
	mia, a := h.three()
	work := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: h.in("lab"), Name: "work", Finalizers: []string{"test.example/wait"}}}
	h.create(work)
	lab := h.workspace("lab")
	h.delete(lab)
	h.becomes(lab, "Ready", "False/Deleting")
	h.has(h.user("mia"), h.in("lab"), "")
	h.comesTo(a, "False/WorkspaceNotReady", map[string]string{"web": "Granted", "api": "Granted", "lab": "WorkspaceNotReady"})
	edit(h, work, func(o *corev1.ConfigMap) { o.Finalizers = nil })
	h.goes(lab, namespace(h.in("lab")))
	h.comesTo(a, "False/WorkspaceNotFound", map[string]string{"web": "Granted", "api": "Granted", "lab": "WorkspaceNotFound"})
	h.worksIn(mia, "web", "api")

	h.create(h.workspace("lab"))
	h.comesTo(a, "True/Granted", map[string]string{"web": "Granted", "api": "Granted", "lab": "Granted"})
	h.worksIn(mia, "web", "api", "lab")
	h.becomes(mia, "Ready", "True/Active")
}

// An assignment to nothing that is there gives nothing, and waits.
func noneLeft(h *home) {
	mia, a := h.three()
	web, api, lab := h.workspace("web"), h.workspace("api"), h.workspace("lab")
	h.delete(web, api, lab)
	h.goes(web, api, lab)
	h.comesTo(a, "False/WorkspaceNotFound", map[string]string{"web": "WorkspaceNotFound", "api": "WorkspaceNotFound", "lab": "WorkspaceNotFound"})
	h.worksIn(mia)
	h.nobodyNamed([]string{h.user("mia")})

	h.create(h.workspace("api"))
	h.comesTo(a, "False/WorkspaceNotFound", map[string]string{"web": "WorkspaceNotFound", "api": "Granted", "lab": "WorkspaceNotFound"})
	h.worksIn(mia, "api")
}

// ten are the workspaces w0 to w9, and mia's assignment to them all.
func (h *home) ten(access v1alpha1.Access) (mia *v1alpha1.OrgMember, a *v1alpha1.WorkspaceAssignment) {
	h.t.Helper()
	h.found()
	mia = h.member("mia", v1alpha1.RoleMember, joined)
	h.create(mia)
	var names []v1alpha1.WorkspaceName
	for i := range 10 {
		w := h.workspace(fmt.Sprintf("w%d", i))
		h.create(w)
		names = append(names, v1alpha1.WorkspaceName(w.Name))
	}
	a = h.assignment("mia", "mia", access, names...)
	h.create(a)
	h.becomes(a, "Ready", "True/Granted")
	return mia, a
}

// No assignment takes an eleventh workspace, and it says what to do; the second assignment gives what the first cannot.
func eleventh(h *home) {
	mia, a := h.ten(v1alpha1.AccessEdit)
	h.create(h.workspace("w10"))
	const words = "at most 10 workspaces; put the others into a second WorkspaceAssignment for the same member"
	refused := func(what string, err error) {
		h.t.Helper()
		if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), words) {
			h.t.Errorf("%s: %v, not invalid with %q", what, err, words)
		}
	}
	more := a.DeepCopy()
	more.Spec.Workspaces = append(more.Spec.Workspaces, "w10")
	refused("one more", admin.Update(h.t.Context(), more))
	refused("eleven at once", admin.Create(h.t.Context(), h.assignment("all", "mia", v1alpha1.AccessEdit, more.Spec.Workspaces...)))
	h.has(h.user("mia"), h.in("w10"), "")

	second := h.assignment("second", "mia", v1alpha1.AccessEdit, "w10")
	h.create(second)
	h.comesTo(second, "True/Granted", map[string]string{"w10": "Granted"})
	h.worksIn(mia, "w0", "w1", "w2", "w3", "w4", "w5", "w6", "w7", "w8", "w9", "w10")
}

// Of two assignments that name one workspace the higher counts there, and there alone. When it ends the lower is left, without a
// moment of nothing; a workspace that both name counts once.
func throughTwo(h *home) {
	mia, a := h.ten(v1alpha1.AccessView)
	h.create(h.workspace("w10"))
	second := h.assignment("second", "mia", v1alpha1.AccessAdmin, "w3", "w4", "w10")
	h.create(second)
	h.becomes(second, "Ready", "True/Granted")
	are := func(workspaces int32, want map[string]v1alpha1.Access) {
		h.t.Helper()
		for w, access := range want {
			h.has(h.user("mia"), h.in(w), access)
		}
		h.eventually("the count", func() error {
			if h.get(mia); mia.Status.Workspaces == nil || *mia.Status.Workspaces != workspaces {
				return fmt.Errorf("workspaces: %v", mia.Status.Workspaces)
			}
			return nil
		})
		h.becomes(a, "Ready", "True/Granted")
	}
	are(11, map[string]v1alpha1.Access{"w2": v1alpha1.AccessView, "w3": v1alpha1.AccessAdmin, "w4": v1alpha1.AccessAdmin, "w10": v1alpha1.AccessAdmin})
	edit(h, second, func(a *v1alpha1.WorkspaceAssignment) { a.Spec.Workspaces = []v1alpha1.WorkspaceName{"w4", "w10"} })
	are(11, map[string]v1alpha1.Access{"w2": v1alpha1.AccessView, "w3": v1alpha1.AccessView, "w4": v1alpha1.AccessAdmin, "w10": v1alpha1.AccessAdmin})
	h.delete(second)
	h.goes(second)
	// It went when the access that it gave had ended: no waiting here.
	for w, want := range map[string]v1alpha1.Access{"w3": v1alpha1.AccessView, "w4": v1alpha1.AccessView, "w10": ""} {
		if got := h.access(h.user("mia"), h.in(w)); got != want {
			h.t.Errorf("in %s the access is %q, not %q", w, got, want)
		}
	}
	are(10, map[string]v1alpha1.Access{"w2": v1alpha1.AccessView})
}

// What happens to workspaces while the operator is down it finds when it is back: one that was deleted, one that was made to go by
// force, and one that was made to go and declared anew.
func TestWorkspacesGoWhileDown(t *testing.T) {
	o := operate(t)
	h := o.home(t)
	mia, a := h.three()
	o.stop()
	web, lab := h.workspace("web"), h.workspace("lab")
	h.delete(web, lab)
	edit(h, lab, func(w *v1alpha1.Workspace) { w.Finalizers = nil })
	h.discard(h.in("lab")) // nobody else deletes it
	if !h.get(web) || h.get(lab) {
		t.Fatal("that is not what was meant")
	}
	if got := h.access(h.user("mia"), h.in("lab")); got != v1alpha1.AccessEdit {
		t.Fatalf("with nobody to end it the access is %q", got)
	}
	o.start(t)
	h.goes(web, namespace(h.in("web")))
	h.comesTo(a, "False/WorkspaceNotFound", map[string]string{"web": "WorkspaceNotFound", "api": "Granted", "lab": "WorkspaceNotFound"})
	h.worksIn(mia, "api")

	// Deleted and declared anew while nobody looks: another object, in a new namespace.
	o.stop()
	api := h.workspace("api")
	h.delete(api)
	edit(h, api, func(w *v1alpha1.Workspace) { w.Finalizers = nil })
	h.delete(namespace(h.in("api")))
	h.goes(namespace(h.in("api")))
	h.create(h.workspace("api"), h.workspace("web"))
	o.start(t)
	h.comesTo(a, "False/WorkspaceNotFound", map[string]string{"web": "Granted", "api": "Granted", "lab": "WorkspaceNotFound"})
	h.worksIn(mia, "web", "api")
}
