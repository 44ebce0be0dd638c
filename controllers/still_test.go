package controllers_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/controllers"
)

// Where nothing changed nothing is written: a new operator that looks at everything changes no resourceVersion and sends
// no mail.
func TestRestartWritesNothing(t *testing.T) {
	h := operate(t).home(t)
	h.create(h.samples()...)
	restartWritesNothing(h)
}

// What the tests take for rest is rest, also when the API server takes its time.
func TestRestOnASlowPlane(t *testing.T) {
	h := operate(t, with(func(d *controllers.Deps) { d.Client = tardy{d.Client} })).home(t)
	acme, _ := h.found()
	h.settles()
	h.create(h.member("late", v1alpha1.RoleMember, joined))
	h.settles()
	if h.get(acme); acme.Status.Members == nil || acme.Status.Members.Total != 2 {
		t.Errorf("at rest, two members are counted as %+v", acme.Status.Members)
	}
}

// tardy writes what is said of an Organization long after it was asked to.
type tardy struct{ client.Client }

func (c tardy) Status() client.SubResourceWriter { return tardyStatus{c.Client.Status()} }

type tardyStatus struct{ client.SubResourceWriter }

func (w tardyStatus) Patch(ctx context.Context, o client.Object, patch client.Patch, options ...client.SubResourcePatchOption) error {
	if _, organization := o.(*v1alpha1.Organization); organization {
		select {
		case <-time.After(3 * time.Second):
		case <-ctx.Done():
		}
	}
	return w.SubResourceWriter.Patch(ctx, o, patch, options...)
}

// The same of a second Organization.
func TestRestartAmongRivalsWritesNothing(t *testing.T) {
	unguarded(t)
	h := operate(t, trusting).home(t)
	h.create(h.samples()...)
	h.create(h.organization("second", "joe"))
	restartWritesNothing(h)
}

func restartWritesNothing(h *home) {
	t := h.t
	h.create(h.workspace("taken", wants("default")), h.assignment("nobody", "nobody", v1alpha1.AccessEdit, "web"))
	h.settles()
	organizations := 0
	for _, o := range h.all() {
		if _, ok := o.(*v1alpha1.Organization); ok {
			organizations++
		}
	}
	before := h.versions()
	mails := len(h.mail.to(h.user("mia")))
	for range 2 {
		seen := h.reconciled()
		h.restart(t)
		h.eventually("the new operator looked at everything", func() error {
			for controller, objects := range map[string]int{"organization": organizations, "orgmember": 5, "invitation": 5, "workspace": 3, "workspaceassignment": 3} {
				if got := h.reconciled()[controller] - seen[controller]; got < objects {
					return fmt.Errorf("%s: %v of %d", controller, got, objects)
				}
			}
			return nil
		})
		h.settles()
		if diff := cmp.Diff(before, h.versions()); diff != "" {
			t.Errorf("a restart wrote: %s", diff)
		}
	}
	if got := len(h.mail.to(h.user("mia"))); got != mails {
		t.Errorf("%d mails more", got-mails)
	}
}

// versions are the resourceVersions of all there is of the home, what the operator made for it included.
func (h *home) versions() map[string]string {
	h.t.Helper()
	versions := map[string]string{}
	note := func(o client.Object) {
		versions[fmt.Sprintf("%T %s/%s", o, o.GetNamespace(), o.GetName())] = o.GetResourceVersion()
	}
	for _, o := range h.all() {
		note(o)
	}
	var bindings rbacv1.RoleBindingList
	var namespaces corev1.NamespaceList
	for _, list := range []client.ObjectList{&bindings, &namespaces} {
		if err := admin.List(h.t.Context(), list, client.MatchingLabels{v1alpha1.LabelOrganization: h.name}); err != nil {
			h.t.Fatal(err)
		}
	}
	for i := range bindings.Items {
		note(&bindings.Items[i])
	}
	for i := range namespaces.Items {
		note(&namespaces.Items[i])
	}
	return versions
}

// settles waits until no controller has had anything to do for a while. An operator that never comes to rest never
// settles.
func (h *home) settles() {
	h.t.Helper()
	h.eventually("everything was looked at", func() error {
		for _, o := range h.all() {
			if observed(o) != o.GetGeneration() {
				return fmt.Errorf("%T %s was not", o, o.GetName())
			}
		}
		return nil
	})
	last, since, seen := h.reconciled(), time.Now(), false
	h.eventually("the operator comes to rest", func() error {
		if now := h.reconciled(); !cmp.Equal(now, last) {
			last, since, seen = now, time.Now(), false
		}
		quiet := time.Since(since)
		if quiet > 300*time.Millisecond && !seen {
			if err := h.unseen(); err != nil {
				return err
			}
			since, seen = time.Now(), true
		}
		if !seen || quiet < 1200*time.Millisecond {
			return fmt.Errorf("reconciles: %v", last)
		}
		return h.atWork()
	})
}

// unseen says what of the home the operator does not know yet: on a busy machine that may take longer than any while.
func (h *home) unseen() error {
	known := map[string]string{}
	for _, list := range kindsOfHome() {
		if err := h.deps.Client.List(h.t.Context(), list, client.InNamespace(h.name)); err != nil {
			return err
		}
		_ = meta.EachListItem(list, func(o runtime.Object) error {
			known[fmt.Sprintf("%T %s", o, o.(client.Object).GetName())] = o.(client.Object).GetResourceVersion()
			return nil
		})
	}
	there := map[string]string{}
	for _, o := range h.all() {
		there[fmt.Sprintf("%T %s", o, o.GetName())] = o.GetResourceVersion()
	}
	if diff := cmp.Diff(there, known); diff != "" {
		return errors.New("the operator does not know: " + diff)
	}
	return nil
}

// atWork says which controllers are at something in this moment, that may have begun long ago.
func (h *home) atWork() error {
	families, err := metrics.Registry.Gather()
	if err != nil {
		return err
	}
	for _, family := range families {
		if family.GetName() != "controller_runtime_active_workers" {
			continue
		}
		for _, m := range family.GetMetric() {
			if n := m.GetGauge().GetValue(); n > 0 {
				return fmt.Errorf("%v workers of %v", n, m.GetLabel())
			}
		}
	}
	return nil
}

// lastActiveTime changes every few minutes for everybody who works. No controller has anything to do with it.
func TestActivityWakesNobody(t *testing.T) {
	h := operate(t).home(t)
	_, jane := h.found()
	h.create(h.workspace("web"), h.member("mia", v1alpha1.RoleMember), h.assignment("mia", "mia", v1alpha1.AccessEdit, "web"))
	h.settles()
	before := h.reconciled()
	for i := range 5 {
		at := metav1.NewTime(time.Now().Add(time.Duration(i) * time.Minute).Truncate(time.Second))
		for _, m := range []*v1alpha1.OrgMember{jane, h.member("mia", v1alpha1.RoleMember)} {
			editStatus(h, m, func(m *v1alpha1.OrgMember) { m.Status.LastActiveTime = &at })
			h.eventually("the cache shows it", func() error {
				seen := &v1alpha1.OrgMember{}
				err := h.deps.Client.Get(t.Context(), client.ObjectKeyFromObject(m), seen)
				if err == nil && !seen.Status.LastActiveTime.Equal(&at) {
					err = errors.New("not yet")
				}
				return err
			})
		}
	}
	gomega.NewWithT(t).Consistently(h.reconciled).WithTimeout(time.Second).Should(gomega.Equal(before), "reconciles")
}

// An invitation expires by itself, at the moment and not at the next change.
func TestInvitationExpiresByItself(t *testing.T) {
	o := operate(t)
	h := o.home(t)
	acme, _ := h.found()
	mia, _ := h.invited("mia")
	h.clock.Step(mia.Status.Invitation.ExpiresAt.Sub(h.clock.Now()) - 2*time.Second)
	h.restart(t) // timers are set from the clock when something is looked at
	h.becomes(mia, "Ready", "True/InvitationExpired")
	h.eventually("the count", func() error {
		if h.get(acme); acme.Status.Members == nil || acme.Status.Members.Expired != 1 {
			return fmt.Errorf("members: %+v", acme.Status.Members)
		}
		return nil
	})
}

// What changed while no operator ran, finalizers taken away by force included, has come to its end when one has started.
func TestWhileNoOperatorRan(t *testing.T) {
	o := operate(t)
	h := o.home(t)
	web, mia, _ := h.staffed(v1alpha1.AccessEdit)
	api, kim := h.workspace("api"), h.member("kim", v1alpha1.RoleMember, joined)
	a := h.assignment("kim", "kim", v1alpha1.AccessView, "api")
	h.create(api, kim, a)
	h.has(h.user("kim"), h.in("api"), v1alpha1.AccessView)
	closed := o.home(t)
	theirs, _, _ := closed.staffed(v1alpha1.AccessAdmin)
	for _, name := range []string{h.in("web"), closed.in("web")} {
		h.discard(name) // without its Workspace nobody deletes it
	}

	h.stop()
	byForce := func(objects ...client.Object) {
		t.Helper()
		for _, object := range objects {
			h.delete(object)
			edit(h, object, func(o client.Object) { o.SetFinalizers(nil) })
		}
	}
	byForce(web, kim)
	byForce(closed.organization("acme", ""), theirs)
	edit(h, mia, func(m *v1alpha1.OrgMember) { m.Spec.Suspended = true })
	if got := h.access(h.user("kim"), h.in("api")); got != v1alpha1.AccessView {
		t.Fatalf("kim's access is %q while no operator runs", got)
	}
	h.start(t)

	for _, user := range []string{h.user("mia"), h.user("kim"), closed.user("jane"), closed.user("mia")} {
		h.eventually("nothing names "+user, func() error {
			if in := h.named(user); in != nil {
				return fmt.Errorf("%v", in)
			}
			return nil
		})
	}
	h.becomes(a, "Ready", "False/MemberNotFound")
	if bindings := h.bindings(h.in("web")); bindings != nil {
		t.Errorf("of the workspace that went without its finalizer, %v are left", bindings)
	}
	h.has(h.user("jane"), h.in("api"), v1alpha1.AccessAdmin)
	if !h.get(namespace(h.in("web"))) {
		t.Error("the namespace of a Workspace that was torn away is deleted without being asked for")
	}
	_ = client.IgnoreNotFound(admin.Delete(context.Background(), namespace(closed.name)))
}

// A platform that chooses other ClusterRoles gets them in every workspace, and the old ones are gone.
func TestOtherRolesByFlag(t *testing.T) {
	o := operate(t)
	h := o.home(t)
	_, _, a := h.staffed(v1alpha1.AccessEdit)
	o.change = func(d *controllers.Deps) { d.Roles.Edit = "view" }
	h.restart(t)
	h.has(h.user("mia"), h.in("web"), v1alpha1.AccessView)
	h.becomes(a, "Ready", "True/Granted")
	o.change = nil
	h.restart(t)
	h.has(h.user("mia"), h.in("web"), v1alpha1.AccessEdit)
}
