package controllers

import (
	"context"
	"fmt"
	"slices"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/internal/facts"
	"github.com/orgkeeper/orgkeeper/internal/rbac"
	"github.com/orgkeeper/orgkeeper/internal/rules"
)

// applyBindings makes the RoleBindings of these names in a namespace be as wanted. What exists is changed in place and
// only as it was read: whoever acts on old facts meets a conflict instead of giving access back.
func (d Deps) applyBindings(ctx context.Context, namespace string, names []string, wanted []rbacv1.RoleBinding) error {
	existing, err := d.Facts.Bindings(ctx, namespace, names)
	if err != nil {
		return err
	}
	for _, name := range names {
		want, have := named(wanted, name), named(existing, name)
		if err := d.applyBinding(ctx, want, have); err != nil {
			return err
		}
	}
	return nil
}

func named(bindings []rbacv1.RoleBinding, name string) *rbacv1.RoleBinding {
	if i := slices.IndexFunc(bindings, func(b rbacv1.RoleBinding) bool { return b.Name == name }); i >= 0 {
		return &bindings[i]
	}
	return nil
}

func (d Deps) applyBinding(ctx context.Context, want, have *rbacv1.RoleBinding) error {
	switch {
	case want == nil && have == nil:
		return nil
	case want == nil:
		return d.deleteBinding(ctx, have)
	case have == nil:
		return d.createBinding(ctx, want)
	case have.RoleRef != want.RoleRef:
		// The role of a binding cannot be changed. It differs only after the platform chose other roles by flag, or
		// somebody put their own binding in place of ours.
		if err := d.deleteBinding(ctx, have); err != nil {
			return err
		}
		return d.createBinding(ctx, want)
	}
	updated := have.DeepCopy()
	updated.Subjects = want.Subjects
	updated.OwnerReferences = want.OwnerReferences
	for key, value := range want.Labels {
		if updated.Labels == nil {
			updated.Labels = map[string]string{}
		}
		updated.Labels[key] = value
	}
	if equality.Semantic.DeepEqual(have, updated) {
		return nil
	}
	if err := d.Client.Update(ctx, updated); err != nil {
		return fmt.Errorf("update rolebinding %s/%s: %w", want.Namespace, want.Name, err)
	}
	return nil
}

func (d Deps) createBinding(ctx context.Context, want *rbacv1.RoleBinding) error {
	err := d.Client.Create(ctx, want.DeepCopy())
	if !apierrors.IsAlreadyExists(err) {
		return wrap(err, "create rolebinding %s/%s", want.Namespace, want.Name)
	}
	// The cache does not show it: it is too new, or it lost the label that the cache goes by.
	have := &rbacv1.RoleBinding{}
	if err := d.Live.Get(ctx, client.ObjectKeyFromObject(want), have); err != nil {
		return fmt.Errorf("get rolebinding %s/%s: %w", want.Namespace, want.Name, err)
	}
	return d.applyBinding(ctx, want, have)
}

func (d Deps) deleteBinding(ctx context.Context, have *rbacv1.RoleBinding) error {
	err := d.Client.Delete(ctx, have, client.Preconditions{UID: &have.UID, ResourceVersion: &have.ResourceVersion})
	return wrap(client.IgnoreNotFound(err), "delete rolebinding %s/%s", have.Namespace, have.Name)
}

// liveBindings reads a home's RoleBindings in a namespace from the API server: the end of an access counts only once it
// shows there. Those of another organization, which may hold a namespace that one of ours wants, are left out.
func (d Deps) liveBindings(ctx context.Context, home, namespace string, names []string) ([]rbacv1.RoleBinding, error) {
	bindings, err := facts.BindingsFrom(ctx, d.Live, namespace, names)
	return slices.DeleteFunc(bindings, func(b rbacv1.RoleBinding) bool {
		return b.Labels[v1alpha1.LabelOrganization] != home
	}), err
}

// stillNamed names the namespaces, of the home and its workspaces, in which a live RoleBinding of ours names a user.
func (d Deps) stillNamed(ctx context.Context, home, username string) ([]string, error) {
	places := map[string][]string{home: rbac.HomeBindings}
	workspaces, err := d.Facts.Workspaces(ctx, home)
	if err != nil {
		return nil, err
	}
	for i := range workspaces {
		places[rules.NamespaceName(&workspaces[i])] = rbac.WorkspaceBindings
	}
	var still []string
	for namespace, names := range places {
		bindings, err := d.liveBindings(ctx, home, namespace, names)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(bindings, func(b rbacv1.RoleBinding) bool { return rbac.Names(&b, username) }) {
			still = append(still, namespace)
		}
	}
	slices.Sort(still)
	return still, nil
}

func wrap(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf(format+": %w", append(args, err)...)
}
