package controllers

import (
	"context"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/internal/invite"
	"github.com/orgkeeper/orgkeeper/internal/mail"
	"github.com/orgkeeper/orgkeeper/internal/rules"
)

// Invitations is what it takes to invite, and to send other mails.
type Invitations struct {
	// SMTP hands mails over.
	SMTP *mail.SMTP
	// Keys sign the links.
	Keys *invite.Keys
	// From is the sender of all mails.
	From mail.Address
	// PortalURL is where the invitation page is served, without a slash at the end.
	PortalURL string
}

// InvitationReconciler sends invitations. It has workers of its own, so that a slow mail server delays nothing else.
//
// It records a try, sends, and records the outcome. The first record needs the newest version of the member, so a second
// or a paused sender that acts on old facts meets a conflict and sends nothing. A crash between sending and the second
// record repeats the same mail, with the same Message-ID, date and link.
type InvitationReconciler struct{ Deps }

// Reconcile sends the invitation of one member if it is due.
func (r *InvitationReconciler) Reconcile(ctx context.Context, m *v1alpha1.OrgMember) (ctrl.Result, error) {
	h, err := r.Facts.Home(ctx, m.Namespace)
	if err != nil {
		return ctrl.Result{}, err
	}
	f, err := r.Facts.Member(ctx, h, m)
	if err != nil {
		return ctrl.Result{}, err
	}
	record, at := rules.NextInvitation(h, f)
	before := m.DeepCopy()
	if record == nil && at.IsZero() {
		return ctrl.Result{}, r.settle(ctx, before, m)
	}
	if record == nil {
		return r.wakeAt(at), nil
	}
	if m.Status.Invitation == nil || m.Status.Invitation.Serial != record.Serial {
		m.Status.DeclinedAt = nil
		r.condition(m, v1alpha1.ConditionInvitationSent, metav1.ConditionFalse, v1alpha1.ReasonInvitationQueued, "the invitation is about to be sent")
	}
	m.Status.Invitation = record
	if err := r.patchStatus(ctx, before, m); err != nil {
		return ctrl.Result{}, err
	}
	message, err := r.Invitations.message(h, m)
	return r.recordOutcome(ctx, m, r.handOver(ctx, try{r.mailing(), record.Serial, record.Attempts}, message, err))
}

// settle takes back what was said of a mail that is no longer due: the person has answered, joined without one, or is not
// to be asked now. That a mail was refused stays said until the person answers.
func (r *InvitationReconciler) settle(ctx context.Context, before, m *v1alpha1.OrgMember) error {
	refused := m.Status.Invitation != nil && m.Status.Invitation.RejectedAt != nil
	if (refused && !rules.Answered(m)) || !meta.IsStatusConditionFalse(m.Status.Conditions, v1alpha1.ConditionInvitationSent) {
		return nil
	}
	meta.RemoveStatusCondition(&m.Status.Conditions, v1alpha1.ConditionInvitationSent)
	return r.patchStatus(ctx, before, m)
}

// message composes the invitation of a member. Equal records give equal mails.
func (i Invitations) message(h rules.Home, m *v1alpha1.OrgMember) (mail.Message, error) {
	s := m.Status.Invitation
	token := i.Keys.Sign(invite.Claims{UID: string(m.UID), Serial: s.Serial, Expires: s.ExpiresAt.Time})
	inv := mail.Invitation{
		Organization: organizationName(h.Organization),
		Role:         string(m.Spec.Role),
		Expires:      s.ExpiresAt.Time,
		AcceptURL:    i.PortalURL + "/i/" + token,
		Inviter:      rules.Inviter(h, m),
	}
	if m.Spec.Invitation != nil {
		inv.Message = m.Spec.Invitation.Message
	}
	return mail.Compose(i.envelope(m, s.Serial, "invitation", s.IssuedAt.Time), inv)
}

func (r *InvitationReconciler) mailing() mailing {
	return mailing{
		name: "Invitation", action: "Invite", taken: "the mail server took the invitation",
		sent: v1alpha1.ReasonInvitationSent, deferred: v1alpha1.ReasonInvitationDeferred, rejected: v1alpha1.ReasonInvitationRejected,
		tally: r.Metrics.invitations,
	}
}

// recordOutcome writes an outcome into the status and the condition, and says when the next try is due.
func (r *InvitationReconciler) recordOutcome(ctx context.Context, m *v1alpha1.OrgMember, o outcome) (ctrl.Result, error) {
	return r.persist(ctx, m, o, func(fresh *v1alpha1.OrgMember) bool {
		i := fresh.Status.Invitation
		if i == nil || !o.counts(i.Serial, i.SentAt) {
			return false
		}
		i.SentAt, i.RejectedAt, i.NextAttemptAt, i.LastError = o.sentAt, o.rejectedAt, o.nextAttemptAt, o.lastError()
		status := metav1.ConditionFalse
		if o.kind == sent {
			status = metav1.ConditionTrue
		}
		r.condition(fresh, v1alpha1.ConditionInvitationSent, status, o.reason, o.words)
		return true
	})
}

// SetupWithManager registers the controller and what wakes it.
func (r *InvitationReconciler) SetupWithManager(mgr ctrl.Manager) error {
	w := watches{r.Client, r.Facts}
	return ctrl.NewControllerManagedBy(mgr).
		Named("invitation").
		WithOptions(severalAtOnce).
		For(&v1alpha1.OrgMember{}, ignoreActivity).
		Watches(&v1alpha1.Organization{}, w.organizationChanged(w.members, w.memberNamed)).
		Watches(&v1alpha1.Organization{}, w.invitationRulesChanged()).
		Complete(reconciler(r.Client, r))
}
