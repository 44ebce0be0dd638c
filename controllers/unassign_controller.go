package controllers

import (
	"context"
	"math/rand/v2"
	"strings"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/internal/facts"
	"github.com/orgkeeper/orgkeeper/internal/rules"
)

// UnassignReconciler takes the assignee off what is assigned to those who leave a home: see unassign.go.
type UnassignReconciler struct{ Deps }

// severalHomes is how many homes are gone through at once. One with a million objects is not to keep all others waiting.
var severalHomes = controller.Options{MaxConcurrentReconciles: 4}

// Reconcile goes through a home once for all whose time it is. What concerns a kind is tried again for those concerned; any other
// error ends the round, and counts for nobody.
func (r *UnassignReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	home := req.Namespace
	leaving, err := r.Facts.MembersBy(ctx, home, facts.IndexLeaving, facts.Leaving)
	if err != nil {
		return ctrl.Result{}, err
	}
	batch, wake := r.Unassigner.due(home, leaving, r.Clock.Now())
	if len(batch) == 0 {
		return r.wakeAt(wake), nil
	}
	names := make([]string, 0, len(batch))
	for _, l := range batch {
		names = append(names, l.name)
	}
	d, err := r.Unassigner.newRound(ctx, names)
	if err != nil {
		return ctrl.Result{}, err
	}
	workspaces, err := r.goThrough(ctx, home, d)
	for _, l := range batch {
		r.Unassigner.count(l, d)
	}
	if err != nil {
		return ctrl.Result{}, err
	}
	for _, l := range batch {
		if r.Unassigner.settle(l, d, r.Clock.Now()) {
			r.tellLeft(ctx, l, d, workspaces)
		} else {
			wake = rules.Earliest(wake, l.next)
		}
	}
	return r.wakeAt(rules.Earliest(wake, r.Clock.Now().Add(unassignMaxDelay))), nil
}

// goThrough takes a round through the namespaces that are the workspaces' own at this moment, whatever their status says.
func (r *UnassignReconciler) goThrough(ctx context.Context, home string, d *round) ([]v1alpha1.Workspace, error) {
	workspaces, err := r.Facts.Workspaces(ctx, home)
	if err != nil {
		return nil, err
	}
	for _, i := range rand.Perm(len(workspaces)) { //nolint:gosec // no secret: only so that none is always behind one that fails
		w := &workspaces[i]
		namespace, err := facts.Reader{Reader: r.Live}.Namespace(ctx, rules.NamespaceName(w))
		if err != nil {
			return nil, err
		}
		if f := factsOf(namespace); !rules.Holds(w, f) || f.Terminating {
			continue
		}
		forbidden, err := d.workspace(ctx, w, namespace.Name)
		if err != nil {
			return nil, err
		}
		if kinds := strings.Join(forbidden, ", "); r.Unassigner.forbidden.News(w.UID, kinds) {
			r.Recorder.Eventf(w, nil, corev1.EventTypeWarning, v1alpha1.ReasonUnassignForbidden, "Unassign",
				"objects of these kinds keep the assignee when a member leaves, since orgkeeper may not list and patch them here: %s", kinds)
		}
	}
	return workspaces, nil
}

// tellLeft emits an Event about each workspace where somebody who left was assigned something. The member is related to it: of
// Events that differ in their words alone, only the first would be kept.
func (r *UnassignReconciler) tellLeft(ctx context.Context, l *leaver, d *round, workspaces []v1alpha1.Workspace) {
	member := &v1alpha1.OrgMember{ObjectMeta: metav1.ObjectMeta{Namespace: l.home, Name: l.name, UID: l.uid}}
	troubles := d.troubles(l.name)
	for i := range workspaces {
		w := &workspaces[i]
		if counts := l.found[w.Name]; counts.Total() > 0 {
			ctrl.LoggerFrom(ctx).Info("Objects lost their assignee", "member", l.name, "workspace", w.Name, "objects", counts.Total())
			r.Recorder.Eventf(w, member, corev1.EventTypeNormal, v1alpha1.ReasonUnassigned, "Unassign", "%s",
				cut(counts.String()+" of "+l.name+", who left, lost their assignee", maxMessage))
		}
		if trouble := troubles[w.Name]; trouble != "" {
			r.Recorder.Eventf(w, member, corev1.EventTypeWarning, v1alpha1.ReasonUnassignFailed, "Unassign", "%s",
				cut("some objects still name "+l.name+", who left, as their assignee: "+trouble, maxMessage))
		}
	}
}

// survey logs once which of the kinds named there are not. They may come later, or be misspelled.
func (r *UnassignReconciler) survey(ctx context.Context, log logr.Logger) error {
	kinds, _, err := r.Unassigner.served(ctx)
	if err != nil {
		log.Info("Kinds to unassign are not known yet", "reason", err.Error())
		return nil
	}
	if missing := r.Unassigner.Kinds.Missing(kinds); missing != nil {
		log.Info("Some kinds to unassign are not there yet, or are none that can be listed and patched in a namespace", "kinds", missing)
	}
	return nil
}

// SetupWithManager registers the controller and what wakes it.
func (r *UnassignReconciler) SetupWithManager(mgr ctrl.Manager) error {
	if r.Unassigner == nil {
		return nil
	}
	if err := mgr.Add(manager.RunnableFunc(func(ctx context.Context) error { return r.survey(ctx, mgr.GetLogger()) })); err != nil {
		return err
	}
	return ctrl.NewControllerManagedBy(mgr).
		Named("unassign").
		WithOptions(severalHomes).
		WatchesRawSource(r.Unassigner.comings()).
		Complete(reconcile.Func(func(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
			return quiet(r.Reconcile(ctx, req))
		}))
}
