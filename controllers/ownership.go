package controllers

import (
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

// moveOwnership makes sure before somebody loses the owner's role. The caches of Organizations and OrgMembers are not of one
// moment: the Organization of a moment ago and the members of now may make it nobody's. So the API server is asked, as seldom
// as ownership moves; and who owns is recorded before the role changes hands, so that nothing that happens in between leaves
// it with nobody.
func (r *OrganizationReconciler) moveOwnership(ctx context.Context, h rules.Home, o *v1alpha1.Organization, roll rules.Roll, members []v1alpha1.OrgMember) error {
	bindings, err := r.Facts.Bindings(ctx, o.Namespace, []string{rbac.BindingOwner})
	if err != nil {
		return err
	}
	if len(bindings) == 0 || !slices.ContainsFunc(bindings[0].Subjects, func(s rbacv1.Subject) bool {
		return !slices.Contains(roll.Access.Owner, rbac.Username(s))
	}) {
		return nil
	}
	if err := r.confirm(ctx, &v1alpha1.Organization{}, client.ObjectKeyFromObject(o), o.ResourceVersion); err != nil {
		return err
	}
	if was := o.Status.Owner; was != "" && was != roll.Recorded {
		version := ""
		if i := slices.IndexFunc(members, func(m v1alpha1.OrgMember) bool { return m.Name == was }); i >= 0 {
			version = members[i].ResourceVersion
		}
		if err := r.confirm(ctx, &v1alpha1.OrgMember{}, client.ObjectKey{Namespace: o.Namespace, Name: was}, version); err != nil {
			return err
		}
	}
	if roll.Recorded == "" || roll.Recorded == o.Status.Owner {
		return nil
	}
	before := o.DeepCopy()
	o.Status.Owner, o.Status.Transfers = roll.Recorded, rules.Transfers(o, roll.Recorded, members, h.Now)
	return r.patchStatus(ctx, before, o)
}

// confirm fails as a lost race does unless an object is live in the version that we know; empty for none.
func (r *OrganizationReconciler) confirm(ctx context.Context, obj client.Object, key client.ObjectKey, version string) error {
	if err := r.Live.Get(ctx, key, obj); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("get %s: %w", key, err)
	}
	if obj.GetResourceVersion() != version {
		return apierrors.NewConflict(v1alpha1.GroupVersion.WithResource("").GroupResource(), key.Name, errors.New("the cache is behind"))
	}
	return nil
}
