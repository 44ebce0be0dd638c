package controllers

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/internal/facts"
	"github.com/orgkeeper/orgkeeper/internal/rbac"
	"github.com/orgkeeper/orgkeeper/internal/rules"
)

// WorkspaceReconciler keeps the namespaces of workspaces and the access to them.
type WorkspaceReconciler struct {
	Deps
	counts lateCounts
}

// Reconcile makes the namespace be the workspace's and its RoleBindings follow members and assignments.
func (r *WorkspaceReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	w := &v1alpha1.Workspace{}
	if err := r.Client.Get(ctx, req.NamespacedName, w); apierrors.IsNotFound(err) {
		return ctrl.Result{}, r.endLeftovers(ctx, req)
	} else if err != nil {
		return ctrl.Result{}, err
	}
	h, err := r.Facts.Home(ctx, w.Namespace)
	if err != nil {
		return ctrl.Result{}, err
	}
	if w.DeletionTimestamp != nil {
		r.counts.forget(w.UID)
		return r.finalize(ctx, w)
	}
	meta, err := r.Facts.Namespace(ctx, rules.NamespaceName(w))
	if err != nil {
		return ctrl.Result{}, err
	}
	if err := r.claim(ctx, h, w, v1alpha1.FinalizerWorkspace); err != nil {
		return ctrl.Result{}, err
	}
	step, verdict := rules.JudgeNamespace(h, w, factsOf(meta))
	marked := r.applyNamespace(ctx, w, meta, step)
	if marked != nil && step != rules.NamespaceRepair {
		return ctrl.Result{}, marked
	}
	access, err := r.Facts.Access(ctx, h, w)
	if err != nil {
		return ctrl.Result{}, err
	}
	before := w.DeepCopy()
	withheld, err := r.applyAccess(ctx, h, w, step, access)
	if err = cmp.Or(err, marked); err != nil {
		return r.finishIncomplete(ctx, before, w, err, access.Wake)
	}
	return r.counts.finish(ctx, r.Deps, before, w, verdict.Withheld(withheld), access.Wake, newsOfWorkspace(before, w))
}

// newsOfWorkspace says whether nothing changed but the count of people.
func newsOfWorkspace(before, after *v1alpha1.Workspace) news {
	if after.Status.Namespace != before.Status.Namespace || equality.Semantic.DeepEqual(before, after) {
		return anything
	}
	return aCount
}

// applyAccess makes the RoleBindings follow the access, and counts who has it. It says whether it withheld something.
func (r *WorkspaceReconciler) applyAccess(ctx context.Context, h rules.Home, w *v1alpha1.Workspace, step rules.NamespaceStep, access rules.WorkspaceAccess) (withheld bool, err error) {
	if !step.Holds() {
		w.Status.Namespace, w.Status.Members = "", nil
		return false, r.endAccess(ctx, w.Namespace, w.Name)
	}
	w.Status.Namespace = rules.NamespaceName(w)
	withheld, err = r.keepBindings(ctx, h, w.Status.Namespace, rbac.WorkspaceBindings, rbac.Workspace(w, r.Roles, access))
	if err == nil && !withheld { // else what is granted is less than what is declared
		w.Status.Members = access.Counts()
	}
	return withheld, err
}

// applyNamespace takes a step about the namespace.
func (r *WorkspaceReconciler) applyNamespace(ctx context.Context, w *v1alpha1.Workspace, meta *metav1.PartialObjectMetadata, step rules.NamespaceStep) error {
	switch step {
	case rules.NamespaceCreate:
		namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
			Name:        rules.NamespaceName(w),
			Labels:      merged(rules.NamespaceLabels(w), map[string]string{v1alpha1.LabelManagedBy: v1alpha1.ManagedBy}),
			Annotations: map[string]string{v1alpha1.AnnotationWorkspaceUID: string(w.UID)},
		}}
		return wrap(r.Client.Create(ctx, namespace), "create namespace %s", namespace.Name)
	case rules.NamespaceAdopt:
		return r.mark(ctx, w, meta, map[string]string{
			v1alpha1.AnnotationWorkspaceUID: string(w.UID),
			v1alpha1.AnnotationAdopted:      "true",
		})
	case rules.NamespaceRepair:
		return r.mark(ctx, w, meta, nil)
	case rules.NamespaceKeep, rules.NamespaceWait:
	}
	return nil
}

// mark puts our labels and the given annotations on a namespace, as it was read.
func (r *WorkspaceReconciler) mark(ctx context.Context, w *v1alpha1.Workspace, meta *metav1.PartialObjectMetadata, annotations map[string]string) error {
	before, meta := meta, meta.DeepCopy()
	meta.Labels = merged(meta.Labels, rules.NamespaceLabels(w))
	meta.Annotations = merged(meta.Annotations, annotations)
	return r.patchMeta(ctx, before, meta)
}

func merged(into, from map[string]string) map[string]string {
	if into == nil {
		into = map[string]string{}
	}
	maps.Copy(into, from)
	return into
}

// finalize ends all access, then lets the namespace go as its deletion policy says, then the Workspace.
func (r *WorkspaceReconciler) finalize(ctx context.Context, w *v1alpha1.Workspace) (ctrl.Result, error) {
	if !controllerutil.ContainsFinalizer(w, v1alpha1.FinalizerWorkspace) {
		return ctrl.Result{}, nil
	}
	// Read live: a namespace made a moment ago, which the cache does not show yet, must not be left behind.
	meta, err := facts.Reader{Reader: r.Live}.Namespace(ctx, rules.NamespaceName(w))
	if err != nil {
		return ctrl.Result{}, err
	}
	if err := r.endHeld(ctx, w, meta); err != nil {
		return ctrl.Result{}, err
	}
	switch rules.JudgeFarewell(w, factsOf(meta)) {
	case rules.FarewellNone:
		return ctrl.Result{}, r.release(ctx, w, v1alpha1.FinalizerWorkspace)
	case rules.FarewellRelease:
		if err := r.unmark(ctx, meta); err != nil {
			return ctrl.Result{}, err
		}
		return ctrl.Result{}, r.release(ctx, w, v1alpha1.FinalizerWorkspace)
	case rules.FarewellDelete:
		if err := r.Client.Delete(ctx, meta, client.Preconditions{UID: &meta.UID, ResourceVersion: &meta.ResourceVersion}); client.IgnoreNotFound(err) != nil {
			return ctrl.Result{}, fmt.Errorf("delete namespace %s: %w", meta.Name, err)
		}
	case rules.FarewellAwait:
	}
	before := w.DeepCopy()
	return r.finish(ctx, before, w, rules.Verdict{
		Reconciling: true,
		Reason:      v1alpha1.ReasonDeleting,
		Message:     "namespace " + meta.Name + " is being deleted; then the workspace goes",
	}, rules.Never)
}

// endHeld deletes the RoleBindings in the namespace of a workspace, as they are live: those of our names in a namespace that
// it holds; those with its labels in one that it only wanted, or that was taken from it.
func (r *WorkspaceReconciler) endHeld(ctx context.Context, w *v1alpha1.Workspace, meta *metav1.PartialObjectMetadata) error {
	held := rules.Holds(w, factsOf(meta))
	live, err := facts.BindingsFrom(ctx, r.Live, rules.NamespaceName(w), rbac.WorkspaceBindings)
	for i := range live {
		labels := live[i].Labels
		if held || (labels[v1alpha1.LabelOrganization] == w.Namespace && labels[v1alpha1.LabelWorkspace] == w.Name) {
			err = cmp.Or(err, r.deleteBinding(ctx, &live[i]))
		}
	}
	return err
}

// unmark takes what orgkeeper wrote off a namespace that stays.
func (r *WorkspaceReconciler) unmark(ctx context.Context, meta *metav1.PartialObjectMetadata) error {
	before := meta.DeepCopy()
	delete(meta.Labels, v1alpha1.LabelOrganization)
	delete(meta.Labels, v1alpha1.LabelWorkspace)
	if meta.Labels[v1alpha1.LabelManagedBy] == v1alpha1.ManagedBy {
		delete(meta.Labels, v1alpha1.LabelManagedBy)
	}
	delete(meta.Annotations, v1alpha1.AnnotationWorkspaceUID)
	delete(meta.Annotations, v1alpha1.AnnotationAdopted)
	return r.patchMeta(ctx, before, meta)
}

// endLeftovers ends the access of a Workspace that was made to go without its finalizer.
func (r *WorkspaceReconciler) endLeftovers(ctx context.Context, req ctrl.Request) error {
	left, err := r.bindingsOf(ctx, req.Namespace, req.Name)
	if len(left) == 0 || err != nil {
		return err
	}
	if err := r.Live.Get(ctx, req.NamespacedName, &v1alpha1.Workspace{}); !apierrors.IsNotFound(err) {
		return err // it is there: the cache is behind, and wakes us once it is not
	}
	return r.endAccess(ctx, req.Namespace, req.Name)
}

// endAccess deletes the RoleBindings that carry a workspace's labels, wherever they are.
func (r *WorkspaceReconciler) endAccess(ctx context.Context, home, workspace string) error {
	bindings, err := r.bindingsOf(ctx, home, workspace)
	for i := range bindings {
		err = cmp.Or(err, r.deleteBinding(ctx, &bindings[i]))
	}
	return err
}

// bindingsOf reads the RoleBindings that carry a workspace's labels and one of our names.
func (r *WorkspaceReconciler) bindingsOf(ctx context.Context, home, workspace string) ([]rbacv1.RoleBinding, error) {
	var bindings rbacv1.RoleBindingList
	if err := r.Client.List(ctx, &bindings, client.MatchingLabels{
		v1alpha1.LabelOrganization: home,
		v1alpha1.LabelWorkspace:    workspace,
	}); err != nil {
		return nil, fmt.Errorf("list rolebindings of workspace %s/%s: %w", home, workspace, err)
	}
	return slices.DeleteFunc(bindings.Items, func(b rbacv1.RoleBinding) bool {
		return !slices.Contains(rbac.WorkspaceBindings, b.Name)
	}), nil
}

func factsOf(meta *metav1.PartialObjectMetadata) rules.NamespaceFacts {
	if meta == nil {
		return rules.NamespaceFacts{}
	}
	return rules.FactsOf(meta)
}

// SetupWithManager registers the controller and what wakes it.
func (r *WorkspaceReconciler) SetupWithManager(mgr ctrl.Manager) error {
	w := watches{r.Facts}
	policies := &policyWatch{state: r.Facts.Guard}
	return ctrl.NewControllerManagedBy(mgr).
		Named("workspace").
		WithOptions(manyAtOnce).
		For(&v1alpha1.Workspace{}, ignoreClaim).
		Watches(&v1alpha1.Workspace{}, ownRemoval, terminationMatters).
		Watches(&v1alpha1.Organization{}, w.organizationChanged(w.workspaces, w.allWorkspaces)).
		Watches(&v1alpha1.Organization{}, removalsFirst(w.subscriptionChanged(w.workspaces))).
		Watches(&v1alpha1.OrgMember{}, w.eachSoon(w.workspacesOfMember), standingMatters).
		Watches(&v1alpha1.WorkspaceAssignment{}, w.eachSoon(w.workspacesOfAssignment), assignmentMatters).
		Watches(bindingKind, w.each(w.workspaceOfBinding)). // at a start too: they may be left of a workspace that is gone
		Watches(policyKind, policies.wakes(w.everyWorkspace)).
		Watches(policyBindingKind, policies.wakes(w.everyWorkspace)).
		WatchesMetadata(namespaceKind, w.each(w.workspacesOfNamespace), namespaceMatters).
		WatchesRawSource(r.steps.everything(w.everyWorkspace)).
		Complete(reconcile.Func(func(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
			return quiet(r.Reconcile(ctx, req))
		}))
}
