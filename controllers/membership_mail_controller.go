package controllers

import (
	"context"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/internal/mail"
	"github.com/orgkeeper/orgkeeper/internal/rules"
)

// MembershipMailReconciler tells members by mail that they have another role, or that their membership has come to its end. Like
// the sender of invitations it has workers of its own, and records each try before and after: see mailing.go. What it tells,
// OrgMemberReconciler recorded together with the change itself.
type MembershipMailReconciler struct{ Deps }

const membershipSender = "membershipmail"

// Reconcile sends one member the mail about the latest change of their membership, if it is due.
func (r *MembershipMailReconciler) Reconcile(ctx context.Context, m *v1alpha1.OrgMember) (ctrl.Result, error) {
	h, err := r.Facts.Home(ctx, m.Namespace)
	if err != nil {
		return ctrl.Result{}, err
	}
	record, at := rules.NextMembershipMail(h, m)
	if record == nil {
		return r.wakeAt(at), nil
	}
	sort, content := membershipContent(h.Organization, record)
	c := charge{stamp{m.UID, record.Serial, sort}, record.Attempts == 1}
	if at, err := r.awaitTurn(ctx, h, m, c); err != nil || !at.IsZero() {
		return r.wakeAt(at), err
	}
	pass, at, err := r.Post.enter(ctx, waiter{membershipSender, request(m.Namespace, m.Name)})
	if pass == nil {
		return r.wakeAt(at), err
	}
	defer pass.leave()
	if ok, err := r.spend(ctx, h, m, c); err != nil || !ok {
		return ctrl.Result{RequeueAfter: afterConflict}, err
	}
	defer r.Post.aloft.leave(c.stamp)()
	before := m.DeepCopy()
	m.Status.MembershipNotice = record
	if err := r.patchStatus(ctx, before, m); err != nil {
		return ctrl.Result{}, err
	}
	r.Post.stamps.use(c.stamp)
	envelope := r.Invitations.envelope(h.Organization, m, record.Serial, sort, record.At.Time)
	message, err := r.Invitations.Templates.Compose(envelope, content)
	o := r.handOver(ctx, pass, try{mailing: membershipMailing(sort), serial: record.Serial, attempts: record.Attempts, giveUp: rules.GiveUp(record.At)}, message, err)
	return persist(ctx, r.Deps, m, o, func(fresh *v1alpha1.OrgMember) bool {
		n := fresh.Status.MembershipNotice
		if n == nil || !o.counts(n.Serial, n.SentAt) {
			return false
		}
		o.record(&n.MailDelivery)
		return true
	})
}

// membershipContent is what a mail about a membership tells, and its sort.
func membershipContent(o *v1alpha1.Organization, n *v1alpha1.MembershipNotice) (sort string, content mail.Content) {
	if n.Change == v1alpha1.MembershipEnded {
		return sortEnd, mail.MembershipEnd{Organization: organizationName(o), Since: n.At.Time}
	}
	return sortRoleChange, mail.RoleChange{Organization: organizationName(o), From: string(n.From), To: string(n.To), At: n.At.Time}
}

func membershipMailing(sort string) mailing {
	return mailing{
		sort: sort, name: "Membership mail", action: "Tell", taken: "the mail server took the mail about the membership",
		sent: v1alpha1.ReasonMembershipMailSent, deferred: v1alpha1.ReasonMembershipMailDeferred, rejected: v1alpha1.ReasonMembershipMailRejected,
	}
}

// awaitTurn says when the organization's share has room for a mail, behind the invitations, and writes it down; zero for now.
func (r *MembershipMailReconciler) awaitTurn(ctx context.Context, h rules.Home, m *v1alpha1.OrgMember, c charge) (time.Time, error) {
	if !r.limited(c) {
		return rules.Never, nil
	}
	now, at := r.allowance(h.Organization).Turn(r.ahead(m))
	if now {
		return rules.Never, nil
	}
	if next := m.Status.MembershipNotice.NextAttemptAt; next != nil && next.After(r.Clock.Now()) {
		return rules.Earliest(next.Time, at), nil
	}
	before := m.DeepCopy()
	m.Status.MembershipNotice.NextAttemptAt = &metav1.Time{Time: at}
	return at, r.patchStatus(ctx, before, m)
}

// SetupWithManager registers the controller and what wakes it.
func (r *MembershipMailReconciler) SetupWithManager(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named(membershipSender).
		WithOptions(r.Post.workers()).
		For(&v1alpha1.OrgMember{}, changeToTell).
		WatchesRawSource(r.Post.ends(membershipSender)).
		WatchesRawSource(r.Post.inOrder(mgr)).
		WatchesRawSource(r.steps.everything(watches{r.Facts}.everyMember)).
		Complete(reconciler(r.Client, r))
}
