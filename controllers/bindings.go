package controllers

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/internal/facts"
	"github.com/orgkeeper/orgkeeper/internal/rbac"
	"github.com/orgkeeper/orgkeeper/internal/rules"
)

// presentBindings reads the RoleBindings of these names that there are. Live where the home is not guarded: one that lost
// the label that the cache goes by is to be cut as well.
func (d Deps) presentBindings(ctx context.Context, h rules.Home, namespace string, names []string) ([]rbacv1.RoleBinding, error) {
	if !h.Guarded {
		return facts.BindingsFrom(ctx, d.Live, namespace, names)
	}
	return d.Facts.Bindings(ctx, namespace, names)
}

// keepBindings is keep for what is present in a namespace.
func (d Deps) keepBindings(ctx context.Context, h rules.Home, namespace string, names []string, wanted []rbacv1.RoleBinding) (withheld bool, err error) {
	present, err := d.presentBindings(ctx, h, namespace, names)
	if err != nil {
		return false, err
	}
	return d.keep(ctx, h, names, present, wanted)
}

// keep takes from the present RoleBindings of these names whatever is to go, and gives what is new only while the home is
// guarded. It says whether it withheld something.
func (d Deps) keep(ctx context.Context, h rules.Home, names []string, present, wanted []rbacv1.RoleBinding) (withheld bool, err error) {
	if !h.Guarded {
		wanted, withheld = rbac.Kept(wanted, present)
	}
	return withheld, d.applyTo(ctx, names, present, wanted)
}

// applyBindings makes the RoleBindings of these names in a namespace be as wanted.
func (d Deps) applyBindings(ctx context.Context, namespace string, names []string, wanted []rbacv1.RoleBinding) error {
	existing, err := d.Facts.Bindings(ctx, namespace, names)
	if err != nil {
		return err
	}
	return d.applyTo(ctx, names, existing, wanted)
}

// applyTo makes existing RoleBindings of these names be as wanted. What exists is changed in place and only as it was read:
// whoever acts on old facts meets a conflict instead of giving access back. One that cannot be written does not hold up
// the others.
func (d Deps) applyTo(ctx context.Context, names []string, existing, wanted []rbacv1.RoleBinding) error {
	var lost error
	var faults []error
	for _, name := range names {
		switch err := d.applyBinding(ctx, named(wanted, name), named(existing, name)); {
		case lostRace(err):
			lost = err
		case err != nil:
			faults = append(faults, err)
		}
	}
	if faults != nil {
		return errors.Join(faults...)
	}
	return lost
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
	return d.changeBinding(ctx, want, have)
}

// changeBinding changes a RoleBinding in place.
func (d Deps) changeBinding(ctx context.Context, want, have *rbacv1.RoleBinding) error {
	updated := have.DeepCopy()
	updated.OwnerReferences = want.OwnerReferences
	if updated.Labels == nil {
		updated.Labels = map[string]string{}
	}
	maps.Copy(updated.Labels, want.Labels)
	updated.Subjects = want.Subjects
	if equality.Semantic.DeepEqual(have, updated) {
		return nil
	}
	// One write, so that there is no moment in which those who go are gone and those who come are not there yet.
	err := d.updateBinding(ctx, updated.DeepCopy())
	stay := rbac.Both(have.Subjects, want.Subjects)
	if err == nil || lostRace(err) || len(stay) == len(have.Subjects) {
		return err
	}
	if len(stay) == 0 && want.Name == rbac.BindingOwner {
		return err // whoever owned goes on until the next one can
	}
	if len(stay) < len(want.Subjects) {
		// Those who come may make it too large to be written. Those who go, go all the same.
		updated.Subjects = stay
		if d.updateBinding(ctx, updated) == nil {
			return err
		}
	}
	return d.deleteForbidden(ctx, have, err)
}

// deleteForbidden deletes a RoleBinding out of which somebody had to be taken, when the API server forbids to write it: the
// role behind it is no longer one that the operator may bind. It goes on telling the fault.
func (d Deps) deleteForbidden(ctx context.Context, have *rbacv1.RoleBinding, fault error) error {
	if !apierrors.IsForbidden(fault) || apierrors.HasStatusCause(fault, corev1.NamespaceTerminatingCause) {
		return fault
	}
	return errors.Join(fault, d.deleteBinding(ctx, have))
}

func (d Deps) updateBinding(ctx context.Context, b *rbacv1.RoleBinding) error {
	return wrap(d.Client.Update(ctx, b), "update rolebinding %s/%s", b.Namespace, b.Name)
}

func (d Deps) createBinding(ctx context.Context, want *rbacv1.RoleBinding) error {
	err := d.Client.Create(ctx, want.DeepCopy())
	if !apierrors.IsAlreadyExists(err) {
		return wrap(err, "create rolebinding %s/%s", want.Namespace, want.Name)
	}
	// The cache does not show it: it lost the label that the cache goes by, or is newer than the facts we act on.
	have := &rbacv1.RoleBinding{}
	if err := d.Live.Get(ctx, client.ObjectKeyFromObject(want), have); err != nil {
		return fmt.Errorf("get rolebinding %s/%s: %w", want.Namespace, want.Name, err)
	}
	if have.Labels[v1alpha1.LabelManagedBy] == v1alpha1.ManagedBy {
		return err
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

// fewNamespaces is up to how many namespaces are listed one by one. A list of all makes the API server look through every RoleBinding
// of the cluster: 3 ms at 3,000 of them and 21 ms at 14,000, where one of a namespace stays below 2 ms.
const fewNamespaces = 4

// liveEverywhere is liveBindings for a home and the namespaces of all its workspaces: one list, where a list for each would
// be many. Others may write our labels; only our names in our places count.
func (d Deps) liveEverywhere(ctx context.Context, home string) ([]rbacv1.RoleBinding, error) {
	places, err := d.places(ctx, home)
	if err != nil {
		return nil, err
	}
	namespaces := []string{""} // all
	if len(places) <= fewNamespaces {
		namespaces = slices.Collect(maps.Keys(places))
	}
	var found []rbacv1.RoleBinding
	for _, namespace := range namespaces {
		var bindings rbacv1.RoleBindingList
		if err := d.Live.List(ctx, &bindings, client.InNamespace(namespace), client.MatchingLabels{
			v1alpha1.LabelManagedBy:    v1alpha1.ManagedBy,
			v1alpha1.LabelOrganization: home,
		}); err != nil {
			return nil, fmt.Errorf("list rolebindings of organization %s: %w", home, err)
		}
		found = append(found, bindings.Items...)
	}
	return slices.DeleteFunc(found, func(b rbacv1.RoleBinding) bool {
		return !slices.Contains(places[b.Namespace], b.Name)
	}), nil
}

// cachedEverywhere is what the cache shows of what liveEverywhere reads. They are the cache's own: do not change them.
func (d Deps) cachedEverywhere(ctx context.Context, home string) ([]rbacv1.RoleBinding, error) {
	places, err := d.places(ctx, home)
	if err != nil {
		return nil, err
	}
	var found []rbacv1.RoleBinding
	for namespace, names := range places {
		bindings, err := d.Facts.Bindings(ctx, namespace, names)
		if err != nil {
			return nil, err
		}
		found = append(found, bindings...)
	}
	return slices.DeleteFunc(found, func(b rbacv1.RoleBinding) bool {
		return b.Labels[v1alpha1.LabelOrganization] != home
	}), nil
}

// places are the namespaces of a home and of all its workspaces, with the names that our RoleBindings have there.
func (d Deps) places(ctx context.Context, home string) (map[string][]string, error) {
	workspaces, err := d.Facts.Workspaces(ctx, home)
	if err != nil {
		return nil, err
	}
	places := map[string][]string{home: rbac.HomeBindings}
	for i := range workspaces {
		if namespace := rules.NamespaceName(&workspaces[i]); namespace != home { // which a workspace may want, and never gets
			places[namespace] = rbac.WorkspaceBindings
		}
	}
	return places, nil
}

// namespacesOf are the namespaces that RoleBindings are in, sorted.
func namespacesOf(bindings []rbacv1.RoleBinding) []string {
	var namespaces []string
	for i := range bindings {
		namespaces = append(namespaces, bindings[i].Namespace)
	}
	slices.Sort(namespaces)
	return slices.Compact(namespaces)
}

func wrap(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf(format+": %w", append(args, err)...)
}
