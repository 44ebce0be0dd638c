package controllers

import (
	"cmp"
	"context"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/internal/rules"
)

// OrgMemberReconciler keeps the state of memberships, and lets a member go only once no access is left.
type OrgMemberReconciler struct {
	Deps
	looks lastLooks
}

// Reconcile judges one membership and reports it.
func (r *OrgMemberReconciler) Reconcile(ctx context.Context, m *v1alpha1.OrgMember) (ctrl.Result, error) {
	h, err := r.Facts.Home(ctx, m.Namespace)
	if err != nil {
		return ctrl.Result{}, err
	}
	if m.DeletionTimestamp == nil {
		if err := r.claim(ctx, h, m, v1alpha1.FinalizerMember); err != nil {
			return ctrl.Result{}, err
		}
	}
	f, err := r.Facts.Member(ctx, h, m)
	if err != nil {
		return ctrl.Result{}, err
	}
	s := rules.Judge(h, f)
	if m.DeletionTimestamp != nil && s.Protected == "" {
		if err := r.confirmNotOwner(ctx, h, m); err != nil {
			return ctrl.Result{}, err
		}
		return r.finalize(ctx, h, m, s)
	}
	r.looks.forget(m)
	before := m.DeepCopy()
	wake, err := r.describe(ctx, h, m, s)
	if err != nil {
		return ctrl.Result{}, err
	}
	if s.Takes && rules.Seated(h, m) {
		if err := r.confirmSeat(ctx, h, before); err != nil {
			return ctrl.Result{}, err
		}
	}
	return r.finish(ctx, before, m, s.Verdict, wake)
}

// describe writes into a status what is true of a membership, but for Ready, which finish sets, and says when time alone changes that.
func (d Deps) describe(ctx context.Context, h rules.Home, m *v1alpha1.OrgMember, s rules.Standing) (wake time.Time, err error) {
	count, wake, err := d.Facts.WorkspaceCount(ctx, h, s)
	if err != nil {
		return rules.Never, err
	}
	m.Status.MembershipNotice = rules.MembershipNotice(h, m, s)
	d.setState(m, s)
	m.Status.Workspaces = &count
	active := s.Active || (s.Takes && s.State == v1alpha1.StateActive)
	if _, robot := rules.Robot(m); active && !robot && m.Status.AcceptedAt == nil {
		// Activated without asking: from now on this is a fact, whatever becomes of spec.invitation.
		now := metav1.NewTime(h.Now)
		m.Status.AcceptedAt = &now
	}
	d.reportAcceptance(m, s)
	return rules.Earliest(rules.Earliest(d.reportDormancy(h, m, s), s.Wake), wake), nil
}

// Describe brings a member's status up to date in the hands of who is about to write something else into it, so that one
// write tells both. What cannot be said now is said by the OrgMember's own controller, a moment later.
func (d Deps) Describe(ctx context.Context, m *v1alpha1.OrgMember) {
	h, err1 := d.Facts.Home(ctx, m.Namespace)
	f, err2 := d.Facts.Member(ctx, h, m)
	if m.DeletionTimestamp != nil || cmp.Or(err1, err2) != nil {
		return
	}
	described := m.DeepCopy()
	s := rules.Judge(h, f)
	if s.Takes { // a seat, which their own controller confirms
		return
	}
	if _, err := d.describe(ctx, h, described, s); err != nil {
		return
	}
	if changed := d.report(described, s.Verdict); changed && !toldByWriters.Has(s.Verdict.Reason) {
		return
	}
	m.Status = described.Status
}

// toldByWriters are the reasons of Ready that need no Event from the member's own controller, since whoever writes a try, an outcome
// or an answer tells one of that.
var toldByWriters = sets.New(v1alpha1.ReasonInvitationQueued, v1alpha1.ReasonAwaitingAcceptance, v1alpha1.ReasonInvitationDeferred,
	v1alpha1.ReasonInvitationRejected, v1alpha1.ReasonMailerUnavailable, v1alpha1.ReasonActive, v1alpha1.ReasonDeclined)

// reportDormancy sets the condition Dormant, and says when time alone changes it.
func (d Deps) reportDormancy(h rules.Home, m *v1alpha1.OrgMember, s rules.Standing) (wake time.Time) {
	v := rules.JudgeDormancy(h, m, s, d.ActivityWatched)
	if v.Status == "" {
		meta.RemoveStatusCondition(&m.Status.Conditions, v1alpha1.ConditionDormant)
	} else {
		d.condition(m, v1alpha1.ConditionDormant, v.Status, v.Reason, v.Message)
	}
	return v.Wake
}

func (d Deps) setState(m *v1alpha1.OrgMember, s rules.Standing) {
	if m.Status.State != s.State || m.Status.StateSince == nil {
		now := metav1.NewTime(d.Clock.Now())
		m.Status.StateSince = &now
	}
	m.Status.State, m.Status.Role, m.Status.Username = s.State, s.Role, s.Username
}

func (d Deps) reportAcceptance(m *v1alpha1.OrgMember, s rules.Standing) {
	d.condition(m, v1alpha1.ConditionAccepted, s.Accepted, s.AcceptedReason, acceptedMessage[s.AcceptedReason])
	if s.Protected == "" {
		meta.RemoveStatusCondition(&m.Status.Conditions, v1alpha1.ConditionOwnerProtected)
		return
	}
	d.condition(m, v1alpha1.ConditionOwnerProtected, metav1.ConditionTrue, s.Protected,
		"the owner keeps role and access; transfer ownership first")
}

var acceptedMessage = map[string]string{
	v1alpha1.ReasonRobot:                  "a service account is not asked",
	v1alpha1.ReasonActivatedWithoutAsking: "activated without asking, by spec.invitation.mode None",
	v1alpha1.ReasonAccepted:               "the person accepted",
	v1alpha1.ReasonDeclined:               "the person declined",
	v1alpha1.ReasonInvitationExpired:      "the person did not answer in time",
	v1alpha1.ReasonAwaitingAcceptance:     "the person has not answered yet",
	v1alpha1.ReasonNoSeat:                 "is activated without asking, by spec.invitation.mode None, once there is a seat",
	v1alpha1.ReasonProgressing:            "is activated without asking, by spec.invitation.mode None, once a seat is given",
	v1alpha1.ReasonSubscriptionCancelled:  "is activated without asking, by spec.invitation.mode None, once the subscription is resumed",
}

// finalize lets a member go once no live RoleBinding of the organization names them, nothing is assigned to them any more, and it
// is on record that they are to be told.
func (r *OrgMemberReconciler) finalize(ctx context.Context, h rules.Home, m *v1alpha1.OrgMember, s rules.Standing) (ctrl.Result, error) {
	if !controllerutil.ContainsFinalizer(m, v1alpha1.FinalizerMember) {
		return ctrl.Result{}, nil
	}
	heir, err := r.hasHeir(ctx, m, s.Username)
	if err != nil {
		return ctrl.Result{}, err
	}
	if !heir {
		in, err := r.accessLeft(ctx, m, s.Username)
		if err != nil {
			return ctrl.Result{}, err
		}
		if len(in) > 0 {
			return r.linger(ctx, m, s, "access in "+strings.Join(in, ", ")+" ends; then the member goes", lookAgain)
		}
	}
	if why := r.Unassigner.keeps(h, m); why != "" {
		// They are woken when something is known of it. A look at all access is not free, and many may wait for a kind that is down.
		return r.linger(ctx, m, s, why, unassignMaxDelay)
	}
	if rules.DueFarewell(h, m, s) && !rules.Noted(h.Organization, m) {
		return r.wakeAt(r.Clock.Now().Add(lookAgain)), nil // the Organization's own controller notes it
	}
	return ctrl.Result{}, r.release(ctx, m, v1alpha1.FinalizerMember)
}

// linger says what somebody who leaves waits for, and looks again after a while.
func (r *OrgMemberReconciler) linger(ctx context.Context, m *v1alpha1.OrgMember, s rules.Standing, why string, again time.Duration) (ctrl.Result, error) {
	before := m.DeepCopy()
	r.setState(m, s)
	s.Verdict.Message = why
	return r.finish(ctx, before, m, s.Verdict, r.Clock.Now().Add(again))
}

// confirmNotOwner fails as a lost race does when the API server knows that an admin who is about to go owns the organization
// by now.
func (r *OrgMemberReconciler) confirmNotOwner(ctx context.Context, h rules.Home, m *v1alpha1.OrgMember) error {
	if !h.Live() || m.Status.AcceptedAt == nil || m.Spec.Role != v1alpha1.RoleAdmin {
		return nil
	}
	live := &v1alpha1.Organization{}
	if err := r.Live.Get(ctx, client.ObjectKeyFromObject(h.Organization), live); err != nil {
		return client.IgnoreNotFound(err)
	}
	if live.Status.Owner != h.Organization.Status.Owner && live.Status.Owner == m.Name {
		return behind("organizations", live.Name)
	}
	return nil
}

// hasHeir says whether another member that stays has the same username, and has access of their own.
func (r *OrgMemberReconciler) hasHeir(ctx context.Context, m *v1alpha1.OrgMember, username string) (bool, error) {
	others, err := r.Facts.MembersByUsername(ctx, m.Namespace, username)
	if err != nil {
		return false, err
	}
	for i := range others {
		o := &others[i]
		stays := o.DeletionTimestamp == nil || meta.IsStatusConditionTrue(o.Status.Conditions, v1alpha1.ConditionOwnerProtected)
		if o.UID != m.UID && stays && o.Status.State == v1alpha1.StateActive {
			return true, nil
		}
	}
	return false, nil
}

// SetupWithManager registers the controller and what wakes it.
func (r *OrgMemberReconciler) SetupWithManager(mgr ctrl.Manager) error {
	w := watches{r.Facts}
	return ctrl.NewControllerManagedBy(mgr).
		Named("orgmember").
		WithOptions(severalAtOnce).
		For(&v1alpha1.OrgMember{}, ignoreActivity).
		Watches(&v1alpha1.OrgMember{}, ownRemoval, terminationMatters).
		// The older of two duplicates goes: the younger comes in.
		Watches(&v1alpha1.OrgMember{}, w.each(w.duplicates), existenceMatters).
		Watches(&v1alpha1.Organization{}, w.organizationChanged(w.members, w.memberNamed)).
		Watches(&v1alpha1.Organization{}, w.rulesChanged(invitationRules, dormancyRules)).
		Watches(&v1alpha1.Organization{}, w.subscriptionChanged(w.members)).
		Watches(&v1alpha1.Organization{}, seatOffered()).
		Watches(&v1alpha1.Organization{}, w.seatLost()).
		Watches(&v1alpha1.Organization{}, farewellNoted()).
		Watches(&v1alpha1.Workspace{}, w.each(w.membersOfWorkspace), workspaceMatters).
		Watches(&v1alpha1.WorkspaceAssignment{}, w.each(w.memberOfAssignment), assignmentMatters).
		Watches(bindingKind, w.eachFirst(w.leavingMembers), anythingNew).
		WatchesMetadata(namespaceKind, w.eachHome(w.members), terminationMatters).
		WatchesRawSource(r.Unassigner.goings()).
		WatchesRawSource(r.steps.everything(w.everyMember)).
		Complete(reconciler(r.Client, r))
}
