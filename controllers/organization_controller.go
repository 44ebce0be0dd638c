package controllers

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/internal/facts"
	"github.com/orgkeeper/orgkeeper/internal/rbac"
	"github.com/orgkeeper/orgkeeper/internal/rules"
)

// maxAdmins is how many names status.admins holds.
const maxAdmins = 1000

// OrganizationReconciler keeps the roles in force: the RoleBindings in the home, and the counts.
type OrganizationReconciler struct {
	Deps
	counts lateCounts
}

// Reconcile takes the roll of the members and makes the home's RoleBindings follow it.
func (r *OrganizationReconciler) Reconcile(ctx context.Context, o *v1alpha1.Organization) (ctrl.Result, error) {
	h, err := r.Facts.Home(ctx, o.Namespace)
	if err != nil {
		return ctrl.Result{}, err
	}
	inForce := h.Organization != nil && h.Organization.UID == o.UID
	if o.DeletionTimestamp != nil {
		r.counts.forget(o.UID)
		return r.finalize(ctx, h, o, inForce)
	}
	if !inForce {
		return r.standBack(ctx, h, o)
	}
	if err := r.claim(ctx, h, o, v1alpha1.FinalizerOrganization); err != nil {
		return ctrl.Result{}, err
	}
	members, err := r.Facts.Members(ctx, o.Namespace)
	if err != nil {
		return ctrl.Result{}, err
	}
	workspaces, err := r.Facts.Workspaces(ctx, o.Namespace)
	if err != nil {
		return ctrl.Result{}, err
	}
	roll := rules.Take(h, members, facts.RobotHomes(o.Namespace, workspaces))
	withheld, incomplete := r.applyRoles(ctx, h, o, roll, members)
	again, err := r.noteFarewells(ctx, o, roll, members)
	if err != nil {
		return ctrl.Result{}, err
	}
	roll.Wake = rules.Earliest(roll.Wake, again)
	use, err := r.allot(ctx, h, o, roll)
	if err != nil {
		return ctrl.Result{}, err
	}
	before := o.DeepCopy()
	if err := r.reportPolicies(ctx, o); err != nil {
		return ctrl.Result{}, err
	}
	r.reportSubscription(h, o, use)
	if incomplete != nil {
		return r.finishIncomplete(ctx, before, o, incomplete, roll.Wake)
	}
	o.Status.Owner, o.Status.Transfers = roll.Recorded, rules.Transfers(o, roll.Recorded, members, h.Now)
	o.Status.Admins = roll.Admins[:min(len(roll.Admins), maxAdmins)]
	o.Status.Members = &roll.Counts
	o.Status.Workspaces = new(int32(len(workspaces)))
	r.reportRedundancy(o, roll.Admins)
	wanted := slices.ContainsFunc(members, func(m v1alpha1.OrgMember) bool { return m.Name == o.Spec.Owner })
	verdict := rules.JudgeOrganization(h, o, roll.Owner, wanted).Withheld(withheld)
	result, err := r.counts.finish(ctx, r.Deps, before, o, verdict, roll.Wake, newsOf(before, o, roll))
	r.tellRedundancy(h, before, o, err)
	return result, err
}

// newsOf says whether nothing changed but the counts of members and of seats, where nobody is refused a seat by them.
func newsOf(before, after *v1alpha1.Organization, roll rules.Roll) news {
	if rules.SeatLimit(after) != 0 && !equality.Semantic.DeepEqual(before.Status.Seats, after.Status.Seats) {
		return anything
	}
	counted := before.DeepCopy()
	counted.Status.Members, counted.Status.Seats = after.Status.Members, after.Status.Seats
	switch {
	case equality.Semantic.DeepEqual(before, after) || !equality.Semantic.DeepEqual(counted, after):
		return anything
	case equality.Semantic.DeepEqual(before.Status.Members, after.Status.Members) && roll.SeatsToCome():
		return anIdleCount
	}
	return aCount
}

// standBack reports an Organization that is not in force, since there is an older one in the namespace.
func (r *OrganizationReconciler) standBack(ctx context.Context, h rules.Home, o *v1alpha1.Organization) (ctrl.Result, error) {
	before := o.DeepCopy()
	o.Status = v1alpha1.OrganizationStatus{Conditions: o.Status.Conditions, Mails: o.Status.Mails, SubscriptionMails: o.Status.SubscriptionMails}
	if err := r.reportPolicies(ctx, o); err != nil {
		return ctrl.Result{}, err
	}
	return r.finish(ctx, before, o, rules.JudgeOrganization(h, o, nil, false), rules.Never)
}

// reportPolicies says whether the admission policies are as shipped, in every Organization, since only the platform sees
// the policies themselves.
func (r *OrganizationReconciler) reportPolicies(ctx context.Context, o *v1alpha1.Organization) error {
	state, err := r.Facts.Guard(ctx)
	if err != nil {
		return err
	}
	status, reason := metav1.ConditionTrue, v1alpha1.ReasonPoliciesInstalled
	switch {
	case state.Missing():
		status, reason = metav1.ConditionFalse, v1alpha1.ReasonPolicyMissing
	case !state.Enforced():
		status, reason = metav1.ConditionFalse, v1alpha1.ReasonPolicyAltered
	}
	r.condition(o, v1alpha1.ConditionPolicyEnforced, status, reason, state.Message())
	return nil
}

func (r *OrganizationReconciler) reportRedundancy(o *v1alpha1.Organization, admins []string) {
	status, reason, message := metav1.ConditionTrue, v1alpha1.ReasonSeveralAdmins, fmt.Sprintf("%d admins are here to stay", len(admins))
	switch len(admins) {
	case 0:
		status, reason, message = metav1.ConditionFalse, v1alpha1.ReasonNoAdmin, "nobody is an admin to stay; add one"
	case 1:
		status, reason, message = metav1.ConditionFalse, v1alpha1.ReasonOneAdmin, "only "+admins[0]+" is an admin to stay; add a second one"
	}
	r.condition(o, v1alpha1.ConditionAdminRedundancy, status, reason, message)
}

// tellRedundancy tells an Event when the admins become too few, or enough again. That an organization begins with nobody is no
// news.
func (r *OrganizationReconciler) tellRedundancy(h rules.Home, before, after *v1alpha1.Organization, notWritten error) {
	if notWritten != nil || !h.Live() { // a namespace that goes takes no more Events
		return
	}
	was := meta.FindStatusCondition(before.Status.Conditions, v1alpha1.ConditionAdminRedundancy)
	is := meta.FindStatusCondition(after.Status.Conditions, v1alpha1.ConditionAdminRedundancy)
	begins := was == nil && is.Reason == v1alpha1.ReasonNoAdmin
	if begins || (was != nil && was.Reason == is.Reason) {
		return
	}
	kind := corev1.EventTypeWarning
	if is.Status == metav1.ConditionTrue {
		kind = corev1.EventTypeNormal
	}
	r.Recorder.Eventf(after, nil, kind, is.Reason, "Count", "%s", is.Message)
}

// reportSubscription offers free seats, says how they are used and where the subscription stands, and notes what the billing contact
// is to be told of. None of it hangs on RoleBindings, so it is said also where these cannot be written.
func (r *OrganizationReconciler) reportSubscription(h rules.Home, o *v1alpha1.Organization, use *v1alpha1.SeatUse) {
	o.Status.Seats = use
	o.Status.SubscriptionMails = rules.SubscriptionNotices(h, use)
	r.reportFinding(o, v1alpha1.ConditionSeatsAvailable, rules.JudgeSeats(o, use))
	r.reportFinding(o, v1alpha1.ConditionSubscriptionActive, rules.JudgeSubscription(h))
}

// reportFinding sets a condition, or takes it away where there is nothing to find.
func (r *OrganizationReconciler) reportFinding(o *v1alpha1.Organization, kind string, f *rules.Finding) {
	if f == nil {
		meta.RemoveStatusCondition(&o.Status.Conditions, kind)
		return
	}
	r.condition(o, kind, f.Status, f.Reason, f.Message)
}

// finalize lets an Organization go once nobody has a role or access through it. Members, workspaces and assignments
// follow by their owner references.
func (r *OrganizationReconciler) finalize(ctx context.Context, h rules.Home, o *v1alpha1.Organization, inForce bool) (ctrl.Result, error) {
	if !controllerutil.ContainsFinalizer(o, v1alpha1.FinalizerOrganization) {
		return ctrl.Result{}, nil
	}
	if inForce {
		if err := r.applyBindings(ctx, o.Namespace, rbac.HomeBindings, nil); err != nil {
			return ctrl.Result{}, err
		}
		left, err := r.liveEverywhere(ctx, o.Namespace)
		if err != nil {
			return ctrl.Result{}, err
		}
		if len(left) > 0 {
			before := o.DeepCopy()
			v := rules.JudgeOrganization(h, o, nil, false)
			v.Message = "access in " + left[0].Namespace + " ends; then the organization goes"
			return r.finish(ctx, before, o, v, h.Now.Add(lookAgain))
		}
	}
	return ctrl.Result{}, r.release(ctx, o, v1alpha1.FinalizerOrganization)
}

// SetupWithManager registers the controller and what wakes it.
func (r *OrganizationReconciler) SetupWithManager(mgr ctrl.Manager) error {
	w := watches{r.Facts}
	policies := &policyWatch{state: r.Facts.Guard}
	return ctrl.NewControllerManagedBy(mgr).
		Named("organization").
		WithOptions(severalAtOnce).
		For(&v1alpha1.Organization{}, ignoreMails).
		// The one that was oldest goes: another comes into force.
		Watches(&v1alpha1.Organization{}, w.eachIn(w.organizations), existenceMatters).
		Watches(&v1alpha1.OrgMember{}, w.rollChanged(), standingMatters).
		Watches(&v1alpha1.OrgMember{}, w.seatWanted(), seatMatters).
		Watches(&v1alpha1.Workspace{}, w.eachIn(w.organizations), workspaceMatters).
		Watches(bindingKind, w.each(w.organizationOfBinding), anythingNew).
		Watches(policyKind, policies.wakes(w.everyOrganization)).
		Watches(policyBindingKind, policies.wakes(w.everyOrganization)).
		WatchesMetadata(namespaceKind, w.eachHome(w.organizations), terminationMatters).
		WatchesRawSource(r.steps.everything(w.everyOrganization)).
		Complete(reconciler(r.Client, r))
}
