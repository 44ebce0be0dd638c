package controllers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/internal/rbac"
	"github.com/orgkeeper/orgkeeper/internal/rules"
)

// applyRoles makes the home's RoleBindings follow the roll. It says whether it withheld something.
func (r *OrganizationReconciler) applyRoles(ctx context.Context, h rules.Home, o *v1alpha1.Organization, roll rules.Roll, members []v1alpha1.OrgMember) (withheld bool, err error) {
	present, err := r.presentBindings(ctx, h, o.Namespace, rbac.HomeBindings)
	if err != nil {
		return false, err
	}
	wanted := rbac.Home(o, roll.Access)
	if err := r.settleOwner(ctx, h, o, roll, members, present); err != nil {
		// Nobody else who goes waits for it.
		others := slices.DeleteFunc(slices.Clone(rbac.HomeBindings), func(name string) bool { return name == rbac.BindingOwner })
		withheld, fault := r.keep(ctx, h, others, present, wanted)
		if lostRace(fault) {
			fault = nil
		}
		return withheld, cmp.Or(fault, err)
	}
	return r.keep(ctx, h, rbac.HomeBindings, present, wanted)
}

// settleOwner makes sure before somebody loses the owner's role. The caches of Organizations and OrgMembers are not of one
// moment: the Organization of a moment ago and the members of now may make it nobody's. So the API server is asked, as seldom
// as ownership moves; and who owns is recorded before the role changes hands. Where the caches are behind it fails as a lost
// race does.
func (r *OrganizationReconciler) settleOwner(ctx context.Context, h rules.Home, o *v1alpha1.Organization, roll rules.Roll, members []v1alpha1.OrgMember, present []rbacv1.RoleBinding) error {
	if !losesOwner(o, roll, named(present, rbac.BindingOwner)) {
		return nil
	}
	live := &v1alpha1.Organization{}
	if err := r.Live.Get(ctx, client.ObjectKeyFromObject(o), live); err != nil {
		return fmt.Errorf("get organization %s/%s: %w", o.Namespace, o.Name, err)
	}
	if !sameOwnership(live, o) {
		return behind("organizations", o.Name)
	}
	for _, name := range []string{o.Status.Owner, h.Owner} {
		if err := r.confirmMember(ctx, o.Namespace, name, members); err != nil {
			return err
		}
	}
	if roll.Recorded != "" && roll.Recorded != o.Status.Owner {
		before := live.DeepCopy()
		live.Status.Owner, live.Status.Transfers = roll.Recorded, rules.Transfers(live, roll.Recorded, members, h.Now)
		if err := r.patchStatus(ctx, before, live); err != nil {
			return err
		}
	}
	// The rest of o stays as it was judged: observedGeneration is to tell of that one.
	o.ResourceVersion, o.Status.Owner, o.Status.Transfers = live.ResourceVersion, live.Status.Owner, live.Status.Transfers
	return nil
}

// sameOwnership says that two versions of an Organization say the same about who owns it. All else may differ: whoever goes on
// writing it holds up nothing.
func sameOwnership(a, b *v1alpha1.Organization) bool {
	return a.UID == b.UID && a.Spec.Owner == b.Spec.Owner && a.Status.Owner == b.Status.Owner && (a.DeletionTimestamp == nil) == (b.DeletionTimestamp == nil)
}

// losesOwner says that somebody is to lose the owner's role, or that there was an owner whose RoleBinding is not seen.
func losesOwner(o *v1alpha1.Organization, roll rules.Roll, binding *rbacv1.RoleBinding) bool {
	if binding == nil {
		return o.Status.Owner != ""
	}
	return slices.ContainsFunc(binding.Subjects, func(s rbacv1.Subject) bool {
		return !slices.Contains(roll.Access.Owner, rbac.Username(s))
	})
}

// confirmMember fails as a lost race does unless the member of a name is as we know it.
func (r *OrganizationReconciler) confirmMember(ctx context.Context, namespace, name string, members []v1alpha1.OrgMember) error {
	if name == "" {
		return nil
	}
	live, known := &v1alpha1.OrgMember{}, &v1alpha1.OrgMember{}
	if err := r.Live.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, live); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("get member %s/%s: %w", namespace, name, err)
	}
	if i := slices.IndexFunc(members, func(m v1alpha1.OrgMember) bool { return m.Name == name }); i >= 0 {
		known = &members[i]
	}
	if live.UID != known.UID || live.Generation != known.Generation || (live.DeletionTimestamp == nil) != (known.DeletionTimestamp == nil) ||
		(live.Status.AcceptedAt == nil) != (known.Status.AcceptedAt == nil) {
		return behind("orgmembers", name)
	}
	return nil
}

// behind is a lost race: the cache does not show yet what somebody wrote.
func behind(resource, name string) error {
	return apierrors.NewConflict(v1alpha1.GroupVersion.WithResource(resource).GroupResource(), name, errors.New("the cache is behind"))
}
