package controllers

import (
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
)

// onUpdate lets every creation and deletion through, and those updates that matter: for objects that are looked at themselves.
func onUpdate[T client.Object](matters func(before, after T) bool) builder.Predicates {
	return builder.WithPredicates(predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		return matters(e.ObjectOld.(T), e.ObjectNew.(T))
	}})
}

// ofOthers is onUpdate for objects that others are looked at for. It leaves out what there was when the operator started, unless it
// goes: at a start everything is looked at, and once is enough.
func ofOthers[T client.Object](matters func(before, after T) bool) builder.Predicates {
	return builder.WithPredicates(predicate.Funcs{
		CreateFunc: isNew,
		UpdateFunc: func(e event.UpdateEvent) bool { return matters(e.ObjectOld.(T), e.ObjectNew.(T)) },
	})
}

func isNew(e event.CreateEvent) bool {
	return !e.IsInInitialList || e.Object.GetDeletionTimestamp() != nil
}

// anythingNew is ofOthers with every update.
var anythingNew = builder.WithPredicates(predicate.Funcs{CreateFunc: isNew})

var (
	// existenceMatters: whether the object is there.
	existenceMatters = ofOthers(func(_, _ client.Object) bool { return false })

	// terminationMatters: whether the object stays.
	terminationMatters = ofOthers(terminates)

	// ignoreClaim: everything but our own claim on an object, which the same reconcile goes on from.
	ignoreClaim = onUpdate(func(before, after client.Object) bool { return !claims(before, after) })

	// ignoreActivity: ignoreClaim, and not the note of a member's last activity, which changes often and alone. It matters to who
	// was dormant: they are not any more.
	ignoreActivity = onUpdate(func(before, after *v1alpha1.OrgMember) bool {
		if claims(before, after) {
			return false
		}
		if before.Status.LastActiveTime.Equal(after.Status.LastActiveTime) ||
			meta.IsStatusConditionTrue(before.Status.Conditions, v1alpha1.ConditionDormant) {
			return true
		}
		active := before.DeepCopy()
		active.Status.LastActiveTime, active.ResourceVersion = after.Status.LastActiveTime, after.ResourceVersion
		return !equality.Semantic.DeepEqual(active, after)
	})

	// ignoreMails: everything but the count of mails, the farewells and the mails about the subscription, which the senders keep
	// there and which change with each mail.
	ignoreMails = onUpdate(func(before, after *v1alpha1.Organization) bool {
		if equality.Semantic.DeepEqual(before.Status.Mails, after.Status.Mails) &&
			equality.Semantic.DeepEqual(before.Status.Farewells, after.Status.Farewells) &&
			equality.Semantic.DeepEqual(before.Status.SubscriptionMails, after.Status.SubscriptionMails) {
			return true
		}
		same := before.DeepCopy()
		same.Status.Mails, same.Status.Farewells = after.Status.Mails, after.Status.Farewells
		same.Status.SubscriptionMails, same.ResourceVersion = after.Status.SubscriptionMails, after.ResourceVersion
		return !equality.Semantic.DeepEqual(same, after)
	})

	// standingMatters: what a membership gives. Nothing is given before the finalizer is there.
	standingMatters = ofOthers(func(before, after *v1alpha1.OrgMember) bool {
		return specOrTermination(before, after) ||
			!slices.Equal(before.Finalizers, after.Finalizers) ||
			before.Status.State != after.Status.State ||
			before.Status.Role != after.Status.Role ||
			!before.Status.AcceptedAt.Equal(after.Status.AcceptedAt) ||
			!before.Status.DeclinedAt.Equal(after.Status.DeclinedAt)
	})

	// beingTold: those alone whom a mail about the ownership is still to reach.
	beingTold = builder.WithPredicates(predicate.NewPredicateFuncs(func(o client.Object) bool {
		n := o.(*v1alpha1.OrgMember).Status.OwnershipNotice
		return n != nil && n.SentAt == nil && n.RejectedAt == nil
	}))

	// changeToTell: those alone whom a mail about their membership is still to reach.
	changeToTell = builder.WithPredicates(predicate.NewPredicateFuncs(func(o client.Object) bool {
		n := o.(*v1alpha1.OrgMember).Status.MembershipNotice
		return n != nil && n.SentAt == nil && n.RejectedAt == nil
	}))

	// farewellsToTell: those Organizations alone where somebody is still to be told.
	farewellsToTell = builder.WithPredicates(predicate.NewPredicateFuncs(func(o client.Object) bool {
		return slices.ContainsFunc(o.(*v1alpha1.Organization).Status.Farewells, func(f v1alpha1.Farewell) bool {
			return f.SentAt == nil && f.RejectedAt == nil
		})
	}))

	// verdictMatters: what is said of a member, also without a change of what the membership gives.
	verdictMatters = ofOthers(func(before, after *v1alpha1.OrgMember) bool {
		return specOrTermination(before, after) || readyReason(before) != readyReason(after)
	})

	// workspaceMatters: what a workspace offers.
	workspaceMatters = ofOthers(func(before, after *v1alpha1.Workspace) bool {
		return specOrTermination(before, after) || before.Status.Namespace != after.Status.Namespace
	})

	// offerMatters: what a workspace offers, and whether it can give it, which the first judgement says whatever it is.
	offerMatters = ofOthers(func(before, after *v1alpha1.Workspace) bool {
		return specOrTermination(before, after) || before.Status.Namespace != after.Status.Namespace || readiness(before) != readiness(after)
	})

	// assignmentMatters: what an assignment asks for.
	assignmentMatters = ofOthers(func(before, after *v1alpha1.WorkspaceAssignment) bool {
		return specOrTermination(before, after)
	})

	// namespaceMatters: marks and termination of a namespace.
	namespaceMatters = ofOthers(func(before, after client.Object) bool {
		return terminates(before, after) ||
			!maps.Equal(before.GetLabels(), after.GetLabels()) ||
			!maps.Equal(before.GetAnnotations(), after.GetAnnotations())
	})
)

func readyReason(m *v1alpha1.OrgMember) string {
	if ready := meta.FindStatusCondition(m.Status.Conditions, v1alpha1.ConditionReady); ready != nil {
		return ready.Reason
	}
	return ""
}

// readiness is empty where nobody has judged yet.
func readiness(w *v1alpha1.Workspace) metav1.ConditionStatus {
	if ready := meta.FindStatusCondition(w.Status.Conditions, v1alpha1.ConditionReady); ready != nil {
		return ready.Status
	}
	return ""
}

func specOrTermination(before, after client.Object) bool {
	return before.GetGeneration() != after.GetGeneration() || terminates(before, after)
}

// claims says of an update that it added finalizers or owners, and nothing else. After a watch that had to begin anew, an update
// is all that happened meanwhile: a status as well, or one finalizer for another.
func claims(before, after client.Object) bool {
	if len(after.GetFinalizers()) == len(before.GetFinalizers()) && len(after.GetOwnerReferences()) == len(before.GetOwnerReferences()) {
		return false // mostly
	}
	for _, finalizer := range before.GetFinalizers() {
		if !slices.Contains(after.GetFinalizers(), finalizer) {
			return false
		}
	}
	for _, owner := range before.GetOwnerReferences() {
		if !slices.ContainsFunc(after.GetOwnerReferences(), func(o metav1.OwnerReference) bool { return o.UID == owner.UID }) {
			return false
		}
	}
	unclaimed := after.DeepCopyObject().(client.Object)
	unclaimed.SetFinalizers(before.GetFinalizers())
	unclaimed.SetOwnerReferences(before.GetOwnerReferences())
	unclaimed.SetResourceVersion(before.GetResourceVersion())
	unclaimed.SetManagedFields(before.GetManagedFields())
	return equality.Semantic.DeepEqual(before, unclaimed)
}

func terminates(before, after client.Object) bool {
	return !before.GetDeletionTimestamp().Equal(after.GetDeletionTimestamp())
}
