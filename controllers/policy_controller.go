package controllers

import (
	"context"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/internal/guard"
)

var (
	policyKind        = &guard.Policy{}
	policyBindingKind = &guard.Binding{}
)

// PolicyReconciler tells when the admission policies stop being as shipped, and when they are again. What comes of it is
// decided where something is granted, from the same facts: rules.Home.Guarded.
type PolicyReconciler struct {
	Deps
	// told is what was told last. At the start nothing: that all is well is no news then.
	told guard.State
}

// Reconcile tells a change.
func (r *PolicyReconciler) Reconcile(ctx context.Context, _ ctrl.Request) (ctrl.Result, error) {
	state, err := r.Facts.Guard(ctx)
	if err != nil || state.Enforced() == r.told.Enforced() {
		return ctrl.Result{}, err
	}
	log := ctrl.LoggerFrom(ctx)
	if state.Enforced() {
		log.Info("Admission policies are as shipped")
		r.Recorder.Eventf(subject(r.told), nil, corev1.EventTypeNormal, v1alpha1.ConditionPolicyEnforced, "Compare", "%s", state.Message())
	} else {
		log.Info("Admission policies are not as shipped", "reason", state.Message())
		r.Recorder.Eventf(subject(state), nil, corev1.EventTypeWarning, v1alpha1.ReasonPolicyNotEnforced, "Compare", "%s", state.Message())
	}
	r.told = state
	return ctrl.Result{}, nil
}

// subject is the first policy or binding that is not as shipped, by its name: it may not exist.
func subject(state guard.State) runtime.Object {
	first := state.Differences[0]
	meta := metav1.ObjectMeta{Name: first.Name}
	if first.Kind == guard.KindBinding {
		return &guard.Binding{ObjectMeta: meta}
	}
	return &guard.Policy{ObjectMeta: meta}
}

// SetupWithManager registers the controller, what wakes it, and a first look: where no policy is, nothing else would.
func (r *PolicyReconciler) SetupWithManager(mgr ctrl.Manager) error {
	look := request("", "policies")
	soon := handler.Funcs{
		CreateFunc: func(_ context.Context, _ event.CreateEvent, q queue) { q.AddAfter(look, policyDelay) },
		UpdateFunc: func(_ context.Context, _ event.UpdateEvent, q queue) { q.AddAfter(look, policyDelay) },
		DeleteFunc: func(_ context.Context, _ event.DeleteEvent, q queue) { q.AddAfter(look, policyDelay) },
	}
	return ctrl.NewControllerManagedBy(mgr).
		Named("policy").
		Watches(policyKind, soon).
		Watches(policyBindingKind, soon).
		WatchesRawSource(source.Func(func(_ context.Context, q queue) error {
			q.Add(look)
			return nil
		})).
		Complete(r)
}

// policyDelay gathers changes of policies: whoever applies or deletes them does so with all at once.
const policyDelay = 300 * time.Millisecond

// policyWatch wakes what depends on the policies when they come to another state than before. Most events of policies, and
// all of those that are not ours, change nothing.
type policyWatch struct {
	state func(ctx context.Context) (guard.State, error)

	mu   sync.Mutex
	last string
}

// wakes is a handler of events of policies and bindings.
func (p *policyWatch) wakes(all func(ctx context.Context) requests) handler.EventHandler {
	wake := func(ctx context.Context, q queue, initial bool) {
		if !p.changed(ctx, initial) {
			return
		}
		for _, req := range all(ctx) {
			q.AddAfter(req, policyDelay)
		}
	}
	return handler.Funcs{
		CreateFunc: func(ctx context.Context, e event.CreateEvent, q queue) { wake(ctx, q, e.IsInInitialList) },
		UpdateFunc: func(ctx context.Context, _ event.UpdateEvent, q queue) { wake(ctx, q, false) },
		DeleteFunc: func(ctx context.Context, _ event.DeleteEvent, q queue) { wake(ctx, q, false) },
	}
}

// changed says whether the state is another than at the last look. What a start finds is no change: a start looks at
// everything, and only after these events.
func (p *policyWatch) changed(ctx context.Context, initial bool) bool {
	// Policies and bindings have a watch each. Asked outside, an older answer could come in after a newer one.
	p.mu.Lock()
	defer p.mu.Unlock()
	state, err := p.state(ctx)
	if err != nil {
		return false // the cache is being stopped
	}
	before := p.last
	p.last = state.Message()
	return !initial && p.last != before
}

func (w watches) everyOrganization(ctx context.Context) requests {
	var organizations v1alpha1.OrganizationList
	err := w.facts.List(ctx, &organizations, client.UnsafeDisableDeepCopy)
	return requestsFor(organizations.Items, err)
}

func (w watches) everyWorkspace(ctx context.Context) requests {
	var workspaces v1alpha1.WorkspaceList
	err := w.facts.List(ctx, &workspaces, client.UnsafeDisableDeepCopy)
	return requestsFor(workspaces.Items, err)
}
