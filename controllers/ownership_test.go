package controllers_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/controllers"
	"github.com/orgkeeper/orgkeeper/internal/guard"
	"github.com/orgkeeper/orgkeeper/internal/rbac"
)

// succession is an organization of jane's in which ann is an admin and could follow.
func (h *home) succession() (acme *v1alpha1.Organization, jane, ann *v1alpha1.OrgMember) {
	h.t.Helper()
	acme, jane = h.found()
	ann = h.admits("ann")
	h.create(h.workspace("web"))
	h.owns(acme, jane)
	h.usable(acme, jane, ann)
	return acme, jane, ann
}

// refusesOwner is an API server that refuses to write the owner's RoleBinding.
type refusesOwner struct {
	client.Client
	armed *atomic.Bool
}

func (c refusesOwner) Update(ctx context.Context, o client.Object, options ...client.UpdateOption) error {
	if b, ok := o.(*rbacv1.RoleBinding); ok && b.Name == rbac.BindingOwner && c.armed.Load() {
		return apierrors.NewForbidden(rbacv1.Resource("rolebindings"), o.GetName(), errors.New("somebody's webhook does not like it"))
	}
	return c.Client.Update(ctx, o, options...)
}

// As long as the new owner cannot be bound, the one before goes on.
func TestOwnerWhoCannotBeBound(t *testing.T) {
	armed := &atomic.Bool{}
	h := operate(t, with(func(d *controllers.Deps) { d.Client = refusesOwner{d.Client, armed} })).home(t)
	acme, jane, ann := h.succession()
	guard := h.guard()
	armed.Store(true)
	h.transfer(acme, "ann")
	h.becomes(acme, "Ready", "False/AccessIncomplete")
	h.eventually("jane goes on", h.allowed(jane, "update", ownerRight, true))
	armed.Store(false)
	h.touch(ann)
	edit(h, acme, func(o *v1alpha1.Organization) { o.Spec.DisplayName = "Acme" })
	h.owns(acme, ann)
	if err := guard(); err != nil {
		t.Error(err)
	}
}

// ownedElsewhere is an API server whose Organization is always ahead of the cache.
type ownedElsewhere struct {
	client.Reader
	armed *atomic.Bool
}

func (r ownedElsewhere) Get(ctx context.Context, key client.ObjectKey, o client.Object, options ...client.GetOption) error {
	err := r.Reader.Get(ctx, key, o, options...)
	if acme, ok := o.(*v1alpha1.Organization); ok && r.armed.Load() {
		acme.Spec.Owner = "somebody"
	}
	return err
}

// Whoever is removed goes, however long it takes until it is clear who owns the organization.
func TestNobodyWaitsForTheOwner(t *testing.T) {
	armed := &atomic.Bool{}
	h := operate(t, with(func(d *controllers.Deps) { d.Live = ownedElsewhere{d.Live, armed} })).home(t)
	acme, jane, ann := h.succession()
	bob := h.admits("bob")
	h.usable(acme, jane, ann, bob)
	armed.Store(true)
	h.transfer(acme, "ann")
	h.delete(bob)
	h.goes(bob)
	if h.get(acme); acme.Status.Owner != "jane" {
		t.Errorf("%q owns before it is clear", acme.Status.Owner)
	}
	armed.Store(false)
	h.owns(acme, ann)
}

// olderMember is a cache that still shows a member who is gone.
type olderMember struct {
	client.Reader
	old *v1alpha1.OrgMember
}

func (r olderMember) Get(ctx context.Context, key client.ObjectKey, o client.Object, options ...client.GetOption) error {
	if m, ok := o.(*v1alpha1.OrgMember); ok && key == client.ObjectKeyFromObject(r.old) {
		r.old.DeepCopyInto(m)
		return nil
	}
	return r.Reader.Get(ctx, key, o, options...)
}

func (r olderMember) List(ctx context.Context, list client.ObjectList, options ...client.ListOption) error {
	err := r.Reader.List(ctx, list, options...)
	var asked client.ListOptions
	asked.ApplyOptions(options)
	if members, ok := list.(*v1alpha1.OrgMemberList); ok && asked.FieldSelector == nil {
		members.Items = append(append([]v1alpha1.OrgMember{}, members.Items...), *r.old.DeepCopy())
	}
	return err
}

// Nobody becomes the owner who is gone, although the cache still shows them.
func TestOldMemberBecomesNoOwner(t *testing.T) {
	unguarded(t)
	o := operate(t, trusting)
	h := o.home(t)
	acme, jane, ann := h.succession()
	h.get(ann)
	old := ann.DeepCopy()
	h.delete(ann)
	h.goes(ann)
	h.transfer(acme, "ann")
	h.becomes(acme, "Ready", "False/OwnerNotFound")
	guard := h.guard()
	d := o.deps
	d.Facts.Reader = olderMember{d.Facts.Reader, old}
	if _, err := (&controllers.OrganizationReconciler{Deps: d}).Reconcile(t.Context(), acme.DeepCopy()); !apierrors.IsConflict(err) {
		t.Errorf("acted on an old OrgMember: %v", err)
	}
	h.owns(acme, jane)
	if err := guard(); err != nil {
		t.Error(err)
	}
}

// olderHome is a cache that is behind with the Organization and the RoleBindings.
type olderHome struct {
	client.Reader
	old      *v1alpha1.Organization
	bindings []rbacv1.RoleBinding
}

func (r olderHome) List(ctx context.Context, list client.ObjectList, options ...client.ListOption) error {
	switch l := list.(type) {
	case *v1alpha1.OrganizationList:
		l.Items = []v1alpha1.Organization{*r.old.DeepCopy()}
	case *rbacv1.RoleBindingList:
		l.Items = append([]rbacv1.RoleBinding{}, r.bindings...)
	default:
		return r.Reader.List(ctx, list, options...)
	}
	return nil
}

// Without the policies an owner who was lost could not be given back. So nobody is taken out for whom nobody comes.
func TestUnguardedOldFactsTakeNoOwner(t *testing.T) {
	o := operate(t)
	h := o.home(t)
	acme, _, ann := h.succession()
	old := acme.DeepCopy()
	var bindings rbacv1.RoleBindingList
	if err := admin.List(t.Context(), &bindings, client.InNamespace(h.name)); err != nil {
		t.Fatal(err)
	}
	h.transfer(acme, "ann")
	h.owns(acme, ann)
	watched := h.guard()
	d := o.deps
	d.Facts.Reader = olderHome{d.Facts.Reader, old, bindings.Items}
	d.Facts.Guard = func(context.Context) (guard.State, error) {
		return guard.State{Differences: []guard.Difference{{Kind: guard.KindPolicy, Name: "orgkeeper-member", Missing: true, What: "is missing"}}}, nil
	}
	if _, err := (&controllers.OrganizationReconciler{Deps: d}).Reconcile(t.Context(), old.DeepCopy()); !apierrors.IsConflict(err) {
		t.Errorf("acted on an old Organization: %v", err)
	}
	h.owns(acme, ann)
	if err := watched(); err != nil {
		t.Error(err)
	}
}
