package controllers_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/controllers"
	"github.com/orgkeeper/orgkeeper/internal/rbac"
)

const (
	rounds = 500
	lanes  = 10 // homes in which rounds go on side by side
)

// TestRaces has admins and owners removed, demoted and relieved at the same moment, hundreds of times. Whatever comes of it,
// the organization has an admin in force at every moment, and nothing is stuck once ownership moved on.
func TestRaces(t *testing.T) {
	t.Run("policies installed", func(t *testing.T) { race(t, operate(t)) })
	t.Run("policies removed", func(t *testing.T) {
		unguarded(t)
		race(t, operate(t, trusting))
	})
}

func race(t *testing.T, o *operator) {
	for lane := range lanes {
		t.Run(fmt.Sprintf("lane %d", lane), func(t *testing.T) {
			t.Parallel()
			h := o.home(t)
			acme, owner := h.found()
			h.create(h.workspace("web"))
			h.owns(acme, owner)
			guard := h.guard()
			for round := range rounds / lanes {
				owner = h.round(acme, owner, collisions[(lane+round)%len(collisions)], round)
				if err := guard(); err != nil {
					t.Fatalf("round %d: %v", round, err)
				}
			}
		})
	}
}

// deed is what one person does to an object, in the moment in which others do theirs.
type deed func(ctx context.Context, c client.Client) error

// collision is a way to get in each other's way: a owns the organization, b and c are admins.
type collision struct {
	name  string
	deeds func(h *home, acme *v1alpha1.Organization, a, b, c *v1alpha1.OrgMember) map[*v1alpha1.OrgMember][]deed
}

// The keys say who does it.
var collisions = []collision{
	{"two admins remove each other", func(_ *home, _ *v1alpha1.Organization, a, b, _ *v1alpha1.OrgMember) map[*v1alpha1.OrgMember][]deed {
		return map[*v1alpha1.OrgMember][]deed{a: {remove(b)}, b: {remove(a)}}
	}},
	{"all admins remove each other", func(_ *home, _ *v1alpha1.Organization, a, b, c *v1alpha1.OrgMember) map[*v1alpha1.OrgMember][]deed {
		return map[*v1alpha1.OrgMember][]deed{a: {remove(b), remove(c)}, b: {remove(a), remove(c)}, c: {remove(a), remove(b)}}
	}},
	{"the owner is deleted while ownership passes to somebody who is being deleted",
		func(_ *home, acme *v1alpha1.Organization, a, b, c *v1alpha1.OrgMember) map[*v1alpha1.OrgMember][]deed {
			return map[*v1alpha1.OrgMember][]deed{a: {handOver(acme, b)}, b: {remove(a)}, c: {remove(b), remove(a)}}
		}},
	{"demoted and suspended while ownership passes",
		func(_ *home, acme *v1alpha1.Organization, a, b, c *v1alpha1.OrgMember) map[*v1alpha1.OrgMember][]deed {
			return map[*v1alpha1.OrgMember][]deed{
				a: {handOver(acme, b)}, b: {change(a, `{"spec":{"suspended":true}}`)},
				c: {change(b, `{"spec":{"role":"Member"}}`), end(a)},
			}
		}},
	{"ownership passes to two at once, who remove each other",
		func(_ *home, acme *v1alpha1.Organization, a, b, c *v1alpha1.OrgMember) map[*v1alpha1.OrgMember][]deed {
			return map[*v1alpha1.OrgMember][]deed{a: {handOver(acme, b), handOver(acme, c)}, b: {remove(c)}, c: {remove(b)}}
		}},
	{"ownership passes on and back while the new owner is ended",
		func(_ *home, acme *v1alpha1.Organization, a, b, c *v1alpha1.OrgMember) map[*v1alpha1.OrgMember][]deed {
			return map[*v1alpha1.OrgMember][]deed{
				a: {handOver(acme, b), handOver(acme, a)}, b: {handOver(acme, c)},
				c: {end(b), remove(a)},
			}
		}},
}

func remove(m *v1alpha1.OrgMember) deed {
	return func(ctx context.Context, c client.Client) error { return c.Delete(ctx, m.DeepCopy()) }
}

func change(m *v1alpha1.OrgMember, fields string) deed {
	return func(ctx context.Context, c client.Client) error {
		return c.Patch(ctx, m.DeepCopy(), client.RawPatch("application/merge-patch+json", []byte(fields)))
	}
}

// end ends a membership at once or, where the policies refuse what has passed, within seconds.
func end(m *v1alpha1.OrgMember) deed {
	return func(ctx context.Context, c client.Client) error {
		err := change(m, `{"spec":{"expiresAt":"2020-01-01T00:00:00Z"}}`)(ctx, c)
		if !apierrors.IsInvalid(err) {
			return err
		}
		return change(m, fmt.Sprintf(`{"spec":{"expiresAt":%q}}`, time.Now().Add(5*time.Second).UTC().Format(time.RFC3339)))(ctx, c)
	}
}

func handOver(acme *v1alpha1.Organization, to *v1alpha1.OrgMember) deed {
	fields := fmt.Appendf(nil, `{"spec":{"owner":"%s"}}`, to.Name)
	return func(ctx context.Context, c client.Client) error {
		return c.Patch(ctx, acme.DeepCopy(), client.RawPatch("application/merge-patch+json", fields))
	}
}

// round lets people collide, and then moves ownership on to somebody new. All others have to go, or are gone.
func (h *home) round(acme *v1alpha1.Organization, owner *v1alpha1.OrgMember, c collision, number int) (next *v1alpha1.OrgMember) {
	h.t.Helper()
	fresh := func(letter string) *v1alpha1.OrgMember {
		return h.member(fmt.Sprintf("%s%d", letter, number), v1alpha1.RoleAdmin, joined)
	}
	b, third := fresh("b"), fresh("c")
	h.create(b, third)
	h.usable(acme, owner, b, third)
	for _, m := range []*v1alpha1.OrgMember{b, third} {
		h.eventually(m.Name+" is an admin", h.allowed(m, "revoke", "orgmembers/admin.orgkeeper.dev", true))
	}
	if err := h.collide(c.deeds(h, acme, owner, b, third)); err != nil {
		h.t.Fatalf("round %d, %s: %v", number, c.name, err)
	}
	next = fresh("n")
	h.create(next)
	h.becomes(next, "Ready", "True/Active")
	// A transfer may be refused until the operator has said that the new one can own.
	h.eventually("transfer to "+next.Name+" after "+c.name, func() error {
		if err := handOver(acme, next)(h.t.Context(), admin); err != nil {
			return err
		}
		return nil
	})
	h.owns(acme, next)
	for _, m := range []*v1alpha1.OrgMember{owner, b, third} {
		h.eventually("remove "+m.Name+" after "+c.name, func() error {
			return client.IgnoreNotFound(admin.Delete(h.t.Context(), m.DeepCopy()))
		})
	}
	h.goes(owner, b, third)
	return next
}

// usable waits until the Organization says that these can own it.
func (h *home) usable(acme *v1alpha1.Organization, members ...*v1alpha1.OrgMember) {
	h.t.Helper()
	h.eventually("all can own", func() error {
		if h.get(acme); len(acme.Status.Admins) != len(members) {
			return fmt.Errorf("admins are %v", acme.Status.Admins)
		}
		return nil
	})
}

// collide lets everybody act at the same moment, under their own identity. That somebody may not, or comes too late, is fine.
func (h *home) collide(deeds map[*v1alpha1.OrgMember][]deed) error {
	var all sync.WaitGroup
	start, faults := make(chan struct{}), make(chan error, 10)
	for m, does := range deeds {
		c, err := client.New(plane.As(h.userOf(m)), client.Options{Scheme: scheme, Mapper: admin.RESTMapper()})
		if err != nil {
			return err
		}
		all.Go(func() {
			<-start
			for _, do := range does {
				if err := do(h.t.Context(), c); err != nil && !apierrors.IsForbidden(err) && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
					faults <- err
				}
			}
		})
	}
	close(start)
	all.Wait()
	close(faults)
	var err error
	for fault := range faults {
		err = errors.Join(err, fault)
	}
	return err
}

// guard watches who is the owner in force, from now on. What it returns tells whether there ever was a moment without one.
func (h *home) guard() func() error {
	h.t.Helper()
	var list rbacv1.RoleBindingList
	if err := admin.List(h.t.Context(), &list, client.InNamespace(h.name)); err != nil {
		h.t.Fatal(err)
	}
	watcher, err := client.NewWithWatch(plane.Admin, client.Options{Scheme: scheme, Mapper: admin.RESTMapper()})
	if err != nil {
		h.t.Fatal(err)
	}
	changes, err := watcher.Watch(h.t.Context(), &rbacv1.RoleBindingList{},
		&client.ListOptions{Namespace: h.name, Raw: &metav1.ListOptions{ResourceVersion: list.ResourceVersion}})
	if err != nil {
		h.t.Fatal(err)
	}
	var mu sync.Mutex
	var fault error
	ended := false
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			change, open := <-changes.ResultChan()
			if !open {
				mu.Lock()
				defer mu.Unlock()
				if !ended {
					fault = errors.Join(fault, errors.New("the watch ended"))
				}
				return
			}
			binding, ok := change.Object.(*rbacv1.RoleBinding)
			if !ok || binding.Name != rbac.BindingOwner || (change.Type != watch.Deleted && len(binding.Subjects) == 1) {
				continue
			}
			mu.Lock()
			fault = errors.Join(fault, fmt.Errorf("nobody owned %s: %s with %v", h.name, change.Type, binding.Subjects))
			mu.Unlock()
		}
	}()
	h.t.Cleanup(func() {
		mu.Lock()
		ended = true
		mu.Unlock()
		changes.Stop()
		<-done
	})
	return func() error {
		mu.Lock()
		defer mu.Unlock()
		return fault
	}
}

// The caches of Organizations and OrgMembers are not of one moment. An Organization as it was before ownership moved, beside
// members as they are since the owner before went, must not make the organization nobody's.
func TestOldOrganizationBesideNewMembers(t *testing.T) {
	o := operate(t)
	h := o.home(t)
	acme, jane := h.found()
	ann := h.member("ann", v1alpha1.RoleAdmin, joined)
	h.create(h.workspace("web"), ann)
	h.owns(acme, jane)
	h.usable(acme, jane, ann)
	old := acme.DeepCopy()
	h.transfer(acme, "ann")
	h.owns(acme, ann)
	h.delete(jane)
	h.goes(jane)
	guard := h.guard()
	d := o.deps
	d.Facts.Reader = olderOrganization{d.Facts.Reader, old}
	for range 3 {
		if _, err := (&controllers.OrganizationReconciler{Deps: d}).Reconcile(t.Context(), old.DeepCopy()); !apierrors.IsConflict(err) {
			t.Errorf("acted on an old Organization: %v", err)
		}
	}
	h.owns(acme, ann)
	if err := guard(); err != nil {
		t.Error(err)
	}
}

// olderOrganization is a cache that is behind with an Organization and with nothing else.
type olderOrganization struct {
	client.Reader
	old *v1alpha1.Organization
}

func (r olderOrganization) List(ctx context.Context, list client.ObjectList, options ...client.ListOption) error {
	if organizations, ok := list.(*v1alpha1.OrganizationList); ok {
		organizations.Items = []v1alpha1.Organization{*r.old.DeepCopy()}
		return nil
	}
	return r.Reader.List(ctx, list, options...)
}
