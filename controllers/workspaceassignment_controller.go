package controllers

import (
	"context"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/internal/rbac"
	"github.com/orgkeeper/orgkeeper/internal/rules"
)

// WorkspaceAssignmentReconciler reports what assignments come to, and lets one go only once the access it gave has ended.
// The access itself is the workspace controller's.
type WorkspaceAssignmentReconciler struct{ Deps }

// Reconcile judges one assignment and reports it.
func (r *WorkspaceAssignmentReconciler) Reconcile(ctx context.Context, a *v1alpha1.WorkspaceAssignment) (ctrl.Result, error) {
	h, err := r.Facts.Home(ctx, a.Namespace)
	if err != nil {
		return ctrl.Result{}, err
	}
	f, err := r.gather(ctx, h, a)
	if err != nil {
		return ctrl.Result{}, err
	}
	if a.DeletionTimestamp != nil {
		return r.finalize(ctx, h, f)
	}
	if err := r.claim(ctx, h, a, v1alpha1.FinalizerAssignment); err != nil {
		return ctrl.Result{}, err
	}
	held := map[string]v1alpha1.Access{}
	for _, w := range f.Workspaces {
		if f.Member == nil || w.Status.Namespace == "" {
			continue
		}
		bindings, err := r.Facts.Bindings(ctx, w.Status.Namespace, rbac.WorkspaceBindings)
		if err != nil {
			return ctrl.Result{}, err
		}
		held[w.Status.Namespace] = rbac.Held(bindings, f.Member.Username)
	}
	f.Held = func(namespace string) v1alpha1.Access { return held[namespace] }
	s := rules.JudgeAssignment(h, f)
	if passing(a, s.Verdict, f.Workspaces) {
		return r.wakeAt(s.Wake), nil // what comes next wakes us, and one write tells it
	}
	if at := untilGone(h, f.Member); !at.IsZero() && a.Status.ObservedGeneration == a.Generation {
		return r.wakeAt(rules.Earliest(s.Wake, at)), nil
	}
	before := a.DeepCopy()
	a.Status.Workspaces = s.Workspaces
	return r.finish(ctx, before, a, s.Verdict, s.Wake)
}

// passing says of a verdict that it is over in a moment: the RoleBinding is about to be written, or the namespace of a
// Workspace that was declared together with the assignment about to be there. A Workspace in trouble makes it worth telling.
func passing(a *v1alpha1.WorkspaceAssignment, v rules.Verdict, workspaces map[v1alpha1.WorkspaceName]*v1alpha1.Workspace) bool {
	toldBefore := a.Status.ObservedGeneration == a.Generation
	switch v.Reason {
	case v1alpha1.ReasonProgressing:
		return toldBefore && !anyOf(workspaces, troubled)
	case v1alpha1.ReasonWorkspaceNotReady:
		return !toldBefore && !anyOf(workspaces, troubled)
	}
	return false
}

// untilGone is when a member who is being deleted should be gone; zero when that is over, or they stay. What is said of their
// assignments waits for that.
func untilGone(h rules.Home, member *rules.Standing) time.Time {
	if member == nil || member.Leaving == nil {
		return rules.Never
	}
	at := member.Leaving.Add(leavingTime)
	if left := at.Sub(h.Now); left <= 0 || left > leavingTime { // later than that by a clock that is not the API server's
		return rules.Never
	}
	return at
}

// troubled says that a Workspace was judged, and cannot give what it is to give.
func troubled(w *v1alpha1.Workspace) bool {
	return w.DeletionTimestamp != nil || meta.IsStatusConditionFalse(w.Status.Conditions, v1alpha1.ConditionReady)
}

func anyOf[K comparable, V any](m map[K]V, has func(V) bool) bool {
	for _, v := range m {
		if has(v) {
			return true
		}
	}
	return false
}

func (r *WorkspaceAssignmentReconciler) gather(ctx context.Context, h rules.Home, a *v1alpha1.WorkspaceAssignment) (rules.AssignmentFacts, error) {
	f := rules.AssignmentFacts{Assignment: a, Workspaces: map[v1alpha1.WorkspaceName]*v1alpha1.Workspace{}}
	var err error
	if f.Member, err = r.Facts.Standing(ctx, h, a.Spec.Member); err != nil {
		return f, err
	}
	for _, name := range a.Spec.Workspaces {
		w := &v1alpha1.Workspace{}
		err := r.Facts.Get(ctx, client.ObjectKey{Namespace: a.Namespace, Name: string(name)}, w, client.UnsafeDisableDeepCopy) // to be read alone
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return f, err
		}
		f.Workspaces[name] = w
	}
	return f, nil
}

// finalize lets an assignment go once live RoleBindings give the member no more than what remains without it.
func (r *WorkspaceAssignmentReconciler) finalize(ctx context.Context, h rules.Home, f rules.AssignmentFacts) (ctrl.Result, error) {
	a := f.Assignment
	if !controllerutil.ContainsFinalizer(a, v1alpha1.FinalizerAssignment) {
		return ctrl.Result{}, nil
	}
	for _, w := range f.Workspaces {
		// Without a member, the member's own finalizer has seen to it.
		if f.Member == nil {
			continue
		}
		access, err := r.Facts.AccessOf(ctx, h, w, f.Member.Username)
		if err != nil {
			return ctrl.Result{}, err
		}
		live, err := r.liveBindings(ctx, w.Namespace, rules.NamespaceName(w), rbac.WorkspaceBindings)
		if err != nil {
			return ctrl.Result{}, err
		}
		if rules.Exceeds(rbac.Held(live, f.Member.Username), access) {
			before := a.DeepCopy()
			v := rules.JudgeAssignment(h, f).Verdict
			return r.finish(ctx, before, a, v, h.Now.Add(lookAgain))
		}
	}
	return ctrl.Result{}, r.release(ctx, a, v1alpha1.FinalizerAssignment)
}

// SetupWithManager registers the controller and what wakes it.
func (r *WorkspaceAssignmentReconciler) SetupWithManager(mgr ctrl.Manager) error {
	w := watches{r.Facts}
	return ctrl.NewControllerManagedBy(mgr).
		Named("workspaceassignment").
		WithOptions(severalAtOnce).
		For(&v1alpha1.WorkspaceAssignment{}, ignoreClaim).
		Watches(&v1alpha1.WorkspaceAssignment{}, ownRemoval, terminationMatters).
		Watches(&v1alpha1.Organization{}, w.organizationChanged(w.assignments, w.assignmentsOf)).
		Watches(&v1alpha1.Organization{}, removalsFirst(w.subscriptionChanged(w.assignments))).
		Watches(&v1alpha1.OrgMember{}, w.each(w.assignmentsOfMember), verdictMatters).
		Watches(&v1alpha1.Workspace{}, w.each(w.assignmentsOfWorkspace), offerMatters).
		Watches(bindingKind, w.subjectsChanged(), anythingNew).
		WatchesMetadata(namespaceKind, w.eachHome(w.assignments), terminationMatters).
		WatchesRawSource(r.steps.everything(w.everyAssignment)).
		Complete(reconciler(r.Client, r))
}
