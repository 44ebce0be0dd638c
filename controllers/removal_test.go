package controllers_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
)

func TestRemoval(t *testing.T) {
	together(t, map[string]func(*home){
		"member":                            removeMember,
		"member and workspace at once":      removeTogether,
		"workspace with content":            removeWorkspace,
		"organization":                      removeOrganization,
		"whole home":                        removeHome,
		"whole home, of retained work":      removeHomeRetained,
		"home that opens and closes again":  removeAtOnce,
		"member without an organization":    removeOrphan,
		"everything with kubectl delete -f": removeAll,
	})
}

// working is a home in full swing: people in each role, two workspaces, access in both.
func (h *home) working() (everybody []string, everything []client.Object) {
	h.t.Helper()
	acme, jane := h.found()
	adam, uma, mia := h.member("adam", v1alpha1.RoleAdmin, joined), h.member("uma", v1alpha1.RoleUserAdmin, joined), h.member("mia", v1alpha1.RoleMember, joined)
	pia := h.member("pia", v1alpha1.RoleMember)
	ci := h.robot("ci", h.in("web"))
	web, api := h.workspace("web"), h.workspace("api")
	a, b := h.assignment("mia", "mia", v1alpha1.AccessEdit, "web", "api"), h.assignment("ci", "ci", v1alpha1.AccessView, "web")
	h.create(adam, uma, mia, pia, ci, web, api, a, b)
	h.becomes(a, "Ready", "True/Granted")
	h.becomes(b, "Ready", "True/Granted")
	h.becomes(acme, "Ready", "True/Ready")
	h.becomes(pia, "Ready", "True/AwaitingAcceptance")
	for _, name := range []string{"jane", "adam", "uma", "mia"} {
		everybody = append(everybody, h.user(name))
	}
	return append(everybody, ci.Spec.Username), []client.Object{acme, jane, adam, uma, mia, pia, ci, web, api, a, b}
}

// nobodyNamed fails the test when a RoleBinding of the cluster names one of the users.
func (h *home) nobodyNamed(users []string) {
	h.t.Helper()
	for _, user := range users {
		if in := h.named(user); in != nil {
			h.t.Errorf("%s is named by %v", user, in)
		}
	}
}

// The moment a member is gone, nothing names them; the assignment waits for another member of that name.
func removeMember(h *home) {
	_, mia, a := h.staffed(v1alpha1.AccessEdit)
	h.create(h.workspace("api"), h.assignment("more", "mia", v1alpha1.AccessAdmin, "api"))
	h.has(h.user("mia"), h.in("api"), v1alpha1.AccessAdmin)
	h.delete(mia)
	h.goes(mia)
	h.nobodyNamed([]string{h.user("mia")})
	h.has(h.user("mia"), h.in("web"), "")
	h.becomes(a, "Ready", "False/MemberNotFound")

	// A new object of that name is another member: what the old one accepted does not count.
	again := h.member("mia", v1alpha1.RoleMember)
	h.create(again)
	h.becomes(again, "Ready", "True/AwaitingAcceptance")
	h.becomes(a, "Ready", "True/AwaitingAcceptance")
	h.nobodyNamed([]string{h.user("mia")})
}

// A member, their workspace and the assignment between them, deleted at once, wait for each other and go.
func removeTogether(h *home) {
	web, mia, a := h.staffed(v1alpha1.AccessEdit)
	h.delete(web, mia, a)
	h.goes(mia, a)
	h.nobodyNamed([]string{h.user("mia")})
	h.goes(web, namespace(h.in("web")))
}

// Deletion policy Delete: the Workspace is there until its namespace is gone with all that is in it, and nobody works in
// it from the first moment.
func removeWorkspace(h *home) {
	web, _, a := h.staffed(v1alpha1.AccessEdit)
	h.create(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: h.in("web"), Name: "work", Finalizers: []string{"test.example/wait"}}})
	h.delete(web)
	h.becomes(web, "Ready", "False/Deleting")
	h.has(h.user("mia"), h.in("web"), "")
	h.becomes(a, "Ready", "False/WorkspaceNotReady")
	if !h.get(namespace(h.in("web"))) {
		h.t.Error("the namespace went while something in it waits")
	}
	edit(h, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: h.in("web"), Name: "work"}}, func(o *corev1.ConfigMap) { o.Finalizers = nil })
	h.goes(web)
	if h.get(namespace(h.in("web"))) {
		h.t.Error("the workspace went before its namespace")
	}
}

// Deleting the Organization ends all access first, then takes all that belongs to it.
func removeOrganization(h *home) {
	everybody, everything := h.working()
	acme := everything[0]
	h.delete(acme)
	h.goes(acme)
	h.nobodyNamed(everybody)
	h.goes(everything[1:]...)
	h.goes(namespace(h.in("web")), namespace(h.in("api")))
}

// kubectl delete namespace of the home ends, although everything in it has a finalizer and an order to go in.
func removeHome(h *home) {
	everybody, everything := h.working()
	h.delete(namespace(h.name))
	h.goes(everything...)
	h.goes(namespace(h.name))
	h.nobodyNamed(everybody)
	h.goes(namespace(h.in("web")), namespace(h.in("api")))
}

// What is retained stays when the home goes, and nobody has access to it any more.
func removeHomeRetained(h *home) {
	h.found()
	w := h.workspace("web", func(w *v1alpha1.Workspace) { w.Spec.DeletionPolicy = v1alpha1.DeletionPolicyRetain })
	h.create(w)
	h.has(h.user("jane"), h.in("web"), v1alpha1.AccessAdmin)
	h.discard(h.in("web"))
	h.delete(namespace(h.name))
	h.goes(w, namespace(h.name))
	ns := namespace(h.in("web"))
	if !h.get(ns) || ns.DeletionTimestamp != nil {
		h.t.Error("the retained namespace went")
	}
	h.nobodyNamed([]string{h.user("jane")})
}

// Objects that go while they are still being brought in leave nothing.
func removeAtOnce(h *home) {
	h.found()
	h.create(h.workspace("web"), h.member("mia", v1alpha1.RoleMember, joined), h.assignment("mia", "mia", v1alpha1.AccessEdit, "web"))
	h.delete(namespace(h.name))
	h.goes(namespace(h.name))
	h.nobodyNamed([]string{h.user("jane"), h.user("mia")})
	h.goes(namespace(h.in("web")))
}

// Members, workspaces and assignments go where there is no Organization to ask.
func removeOrphan(h *home) {
	mia, web, a := h.member("mia", v1alpha1.RoleMember), h.workspace("web"), h.assignment("mia", "mia", v1alpha1.AccessEdit, "web")
	h.create(mia, web, a)
	for _, o := range []client.Object{mia, web, a} {
		h.becomes(o, "Ready", "False/OrganizationNotFound")
	}
	h.delete(mia, web, a)
	h.goes(mia, web, a)
}

// A second Organization takes nothing with it.
func removeDuplicate(h *home) {
	everybody, everything := h.working()
	h.younger()
	second := h.organization("second", "mia")
	h.create(second)
	h.becomes(second, "Ready", "False/DuplicateOrganization")
	h.delete(second)
	h.goes(second)
	h.becomes(everything[0], "Ready", "True/Ready")
	for _, user := range everybody[:2] {
		if got := h.access(user, h.in("web")); got != v1alpha1.AccessAdmin {
			h.t.Errorf("%s lost the access: %q", user, got)
		}
	}
}

// kubectl delete -f: all at once, the owner included. Nothing waits for ever.
func removeAll(h *home) {
	everybody, everything := h.working()
	for _, o := range everything {
		if err := client.IgnoreNotFound(admin.Delete(h.t.Context(), o)); err != nil {
			h.t.Fatal(err)
		}
	}
	h.goes(everything...)
	h.nobodyNamed(everybody)
}

// Removal overtakes everything else that waits: whoever is removed while hundreds are brought in does not keep the access
// until the last of them is in.
func TestRemovalOvertakesABurst(t *testing.T) {
	h := operate(t).home(t)
	_, mia, _ := h.staffed(v1alpha1.AccessEdit)
	const burst = 80
	names := make(chan string)
	var creators sync.WaitGroup
	for range 10 {
		creators.Go(func() {
			for name := range names {
				for _, err := range []error{
					admin.Create(context.Background(), h.member(name, v1alpha1.RoleMember, joined)),
					admin.Create(context.Background(), h.assignment(name, name, v1alpha1.AccessEdit, "web")),
				} {
					if err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	for i := range burst {
		names <- fmt.Sprintf("m%d", i)
	}
	close(names)
	creators.Wait()
	began := time.Now()
	h.delete(mia)
	h.goes(mia)
	removal := time.Since(began)
	if in := h.named(h.user("mia")); in != nil {
		t.Errorf("mia is named by %v", in)
	}
	h.eventually("the burst is in", func() error {
		for _, o := range h.all() {
			if got := reading(o, "Ready"); got != "True/Active" && got != "True/Granted" && got != "True/Ready" && got != "False/MemberNotFound" {
				return fmt.Errorf("%T %s: %s", o, o.GetName(), got)
			}
		}
		return nil
	})
	if all := time.Since(began); removal > 2*time.Second && removal > all/2 {
		t.Errorf("removed after %s; the burst was in after %s", removal, all)
	}
	// The tests to come shall not wait for these removals.
	h.delete(namespace(h.name))
	h.goes(namespace(h.name))
}
