package controllers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/internal/rules"
)

// afterConflict is how soon to look again after somebody else wrote first. The cache has the newer object by then.
const afterConflict = 50 * time.Millisecond

// quiet makes a lost race an ordinary matter (somebody wrote, created or deleted first): no error, and another look soon.
func quiet(result ctrl.Result, err error) (ctrl.Result, error) {
	if lostRace(err) {
		return ctrl.Result{RequeueAfter: afterConflict}, nil
	}
	if errors.Is(err, context.Canceled) {
		// The operator is being stopped. Whoever starts next looks at everything.
		return ctrl.Result{}, nil
	}
	if err != nil {
		return ctrl.Result{}, err // after an error the queue says when to look again
	}
	return result, nil
}

func lostRace(err error) bool {
	return apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) || (apierrors.IsNotFound(err) && !roleMissing(err)) ||
		apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause)
}

// roleMissing says that a RoleBinding names a ClusterRole that does not exist: nobody else's doing, and no race.
func roleMissing(err error) bool {
	var status apierrors.APIStatus
	return errors.As(err, &status) && status.Status().Details != nil && status.Status().Details.Kind == "clusterroles"
}

// afterFault is how soon to try again what could not be written.
const afterFault = 30 * time.Second

// finishIncomplete is finish after namespaces or RoleBindings could not be written: it says so, and tries again, at the
// latest when time changes the access. What hangs on neither is written all the same, also after a lost race, which is tried
// again at once and says nothing of Ready.
func (d Deps) finishIncomplete(ctx context.Context, before, obj client.Object, err error, wake time.Time) (ctrl.Result, error) {
	if errors.Is(err, context.Canceled) {
		return ctrl.Result{}, err
	}
	if lostRace(err) {
		if !equality.Semantic.DeepEqual(before, obj) {
			err = errors.Join(err, d.patchStatus(ctx, before, obj))
		}
		return ctrl.Result{}, err
	}
	ctrl.LoggerFrom(ctx).Error(err, "Some access could not be written")
	return d.finish(ctx, before, obj, rules.Verdict{
		Reconciling: true,
		Reason:      v1alpha1.ReasonAccessIncomplete,
		Message:     "not all access is as it should be, and is tried again: " + err.Error(),
	}, rules.Earliest(wake, d.Clock.Now().Add(afterFault)))
}

// reconciler fetches the object, hands it over, and keeps lost races quiet. It stands where ctrl wants a Reconciler.
func reconciler[T client.Object](c client.Client, r reconcile.ObjectReconciler[T]) reconcile.Reconciler {
	inner := reconcile.AsReconciler(c, r)
	return reconcile.Func(func(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
		return quiet(inner.Reconcile(ctx, req))
	})
}

// finish is the one way out of a reconcile: it writes the verdict into the conditions, patches the status if anything
// in it changed, tells an Event when Ready changed, and comes back when time alone changes the verdict.
func (d Deps) finish(ctx context.Context, before, obj client.Object, v rules.Verdict, wake time.Time) (ctrl.Result, error) {
	told := d.report(obj, v)
	if !equality.Semantic.DeepEqual(before, obj) {
		if err := d.patchStatus(ctx, before, obj); err != nil {
			return ctrl.Result{}, err
		}
		if told {
			d.tell(ctx, obj, v)
		}
	}
	return d.wakeAt(wake), nil
}

// untold are the reasons that no Event tells: a namespace that goes takes no more Events, what is under way is over in a
// moment, and an invitation that was sent has told so itself.
var untold = sets.New(v1alpha1.ReasonDeleting, v1alpha1.ReasonOrganizationDeleting,
	v1alpha1.ReasonProgressing, v1alpha1.ReasonInvitationQueued, v1alpha1.ReasonAwaitingAcceptance)

// tell logs a change of Ready and emits an Event.
func (d Deps) tell(ctx context.Context, obj client.Object, v rules.Verdict) {
	ctrl.LoggerFrom(ctx).Info("Ready changed", "ready", v.Ready, "reason", v.Reason)
	if obj.GetDeletionTimestamp() != nil || untold.Has(v.Reason) {
		return
	}
	kind := corev1.EventTypeNormal
	if v.Stalled {
		kind = corev1.EventTypeWarning
	}
	d.Recorder.Eventf(obj, nil, kind, v.Reason, "Reconcile", "%s", v.Message)
}

// patchStatus writes what changed in the status, unless somebody wrote the object since it was read.
func (d Deps) patchStatus(ctx context.Context, before, obj client.Object) error {
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	if err := d.Client.Status().Patch(ctx, obj, patch); err != nil {
		return fmt.Errorf("write status: %w", err)
	}
	return nil
}

// report sets Ready, Reconciling and Stalled, and says whether Ready changed.
func (d Deps) report(obj client.Object, v rules.Verdict) bool {
	conditions, observed := statusOf(obj)
	*observed = obj.GetGeneration()
	flag := func(kind string, on bool) {
		if on {
			d.condition(obj, kind, metav1.ConditionTrue, v.Reason, v.Message)
		} else {
			meta.RemoveStatusCondition(conditions, kind)
		}
	}
	flag(v1alpha1.ConditionReconciling, v.Reconciling)
	flag(v1alpha1.ConditionStalled, v.Stalled)

	status := metav1.ConditionFalse
	if v.Ready {
		status = metav1.ConditionTrue
	}
	old := meta.FindStatusCondition(*conditions, v1alpha1.ConditionReady)
	told := old == nil || old.Status != status || old.Reason != v.Reason
	d.condition(obj, v1alpha1.ConditionReady, status, v.Reason, v.Message)
	return told
}

// maxMessage is how long the message of a condition gets, in bytes. The API allows 32768; nobody reads that.
const maxMessage = 1024

// condition sets one condition about the present generation.
func (d Deps) condition(obj client.Object, kind string, status metav1.ConditionStatus, reason, message string) {
	conditions, _ := statusOf(obj)
	meta.SetStatusCondition(conditions, metav1.Condition{
		Type:               kind,
		Status:             status,
		Reason:             reason,
		Message:            cut(message, maxMessage),
		ObservedGeneration: obj.GetGeneration(),
		LastTransitionTime: metav1.NewTime(d.Clock.Now()),
	})
}

// cut shortens a text to so many bytes, between characters.
func cut(s string, bytes int) string { return strings.ToValidUTF8(s[:min(len(s), bytes)], "") }

// lookAgain is how long a farewell waits at most for what wakes it. What it waits for wakes it at once; this is for the
// rare case that the cause went by while nobody looked.
const lookAgain = 5 * time.Second

// wakeAt comes back at a moment; the zero time means never.
func (d Deps) wakeAt(at time.Time) ctrl.Result {
	if at.IsZero() {
		return ctrl.Result{}
	}
	// At the ordinary priority, whatever woke the object this time.
	return ctrl.Result{RequeueAfter: max(at.Sub(d.Clock.Now()), time.Millisecond), Priority: new(0)}
}

// claim makes an object ours before anything is done for it: the finalizer, so that nothing it gave is left behind, and
// the Organization as its owner, so that it goes with the organization.
func (d Deps) claim(ctx context.Context, h rules.Home, obj client.Object, finalizer string) error {
	if controllerutil.ContainsFinalizer(obj, finalizer) && owned(obj) {
		return nil // nearly always
	}
	before := obj.DeepCopyObject().(client.Object)
	controllerutil.AddFinalizer(obj, finalizer)
	if h.Live() && h.Organization.UID != obj.GetUID() && !owned(obj) {
		if err := controllerutil.SetOwnerReference(h.Organization, obj, d.Client.Scheme(), controllerutil.WithBlockOwnerDeletion(true)); err != nil {
			return fmt.Errorf("set the owner reference: %w", err)
		}
	}
	return d.patchMeta(ctx, before, obj)
}

// owned says whether an Organization owns the object already. It stays with that one: when an Organization is deleted and
// a second one comes into force, what belonged to the first goes, always.
func owned(obj client.Object) bool {
	return slices.ContainsFunc(obj.GetOwnerReferences(), func(owner metav1.OwnerReference) bool {
		return owner.Kind == "Organization" && strings.HasPrefix(owner.APIVersion, v1alpha1.GroupVersion.Group+"/")
	})
}

// release lets an object go.
func (d Deps) release(ctx context.Context, obj client.Object, finalizer string) error {
	before := obj.DeepCopyObject().(client.Object)
	controllerutil.RemoveFinalizer(obj, finalizer)
	return d.patchMeta(ctx, before, obj)
}

// patchMeta writes what changed outside the status, unless somebody wrote the object since it was read.
func (d Deps) patchMeta(ctx context.Context, before, obj client.Object) error {
	if equality.Semantic.DeepEqual(before, obj) {
		return nil
	}
	if err := d.Client.Patch(ctx, obj, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})); err != nil {
		return fmt.Errorf("write metadata: %w", err)
	}
	return nil
}

// statusOf is where a kind keeps its conditions and observed generation.
func statusOf(obj client.Object) (*[]metav1.Condition, *int64) {
	switch o := obj.(type) {
	case *v1alpha1.Organization:
		return &o.Status.Conditions, &o.Status.ObservedGeneration
	case *v1alpha1.OrgMember:
		return &o.Status.Conditions, &o.Status.ObservedGeneration
	case *v1alpha1.Workspace:
		return &o.Status.Conditions, &o.Status.ObservedGeneration
	case *v1alpha1.WorkspaceAssignment:
		return &o.Status.Conditions, &o.Status.ObservedGeneration
	}
	panic(fmt.Sprintf("%T is not one of our kinds", obj))
}
