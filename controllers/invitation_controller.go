package controllers

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
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
	// Templates are the words of all mails; nil: orgkeeper's own.
	Templates *mail.Templates
	// PortalURL is where the invitation page is served, without a slash at the end.
	PortalURL string
}

// InvitationReconciler sends invitations and reminders. It has workers of its own, so that a slow mail server delays nothing else.
//
// It records a try, sends, and records the outcome. The first record needs the newest version of the member, so a second
// or a paused sender that acts on old facts meets a conflict and sends nothing. A crash between sending and the second
// record repeats the same mail, with the same Message-ID, date and link.
type InvitationReconciler struct{ Deps }

const invitationSender = "invitation"

// Reconcile sends the invitation of one member, or its reminder, if it is due, its organization's share leaves room for it,
// and mails can be sent at all.
func (r *InvitationReconciler) Reconcile(ctx context.Context, m *v1alpha1.OrgMember) (ctrl.Result, error) {
	if m.Status.State == "" { // their own controller claims them first, and wakes us by saying where they stand
		return ctrl.Result{}, nil
	}
	if rules.Joined(m) { // nothing is ever due to them, whatever the rest of the home says
		return ctrl.Result{}, r.settle(ctx, m, nil, rules.Never)
	}
	h, err := r.Facts.Home(ctx, m.Namespace)
	if err != nil {
		return ctrl.Result{}, err
	}
	f, err := r.Facts.Member(ctx, h, m)
	if err != nil {
		return ctrl.Result{}, err
	}
	due, at := rules.NextInvitationMail(h, f)
	if err := r.settle(ctx, m, due, at); err != nil {
		return ctrl.Result{}, err
	}
	if due == nil {
		return r.wakeAt(at), nil
	}
	return r.deliver(ctx, h, m, due)
}

// deliver sends a mail that is due, as soon as its turn comes.
func (r *InvitationReconciler) deliver(ctx context.Context, h rules.Home, m *v1alpha1.OrgMember, due *rules.InvitationMail) (ctrl.Result, error) {
	if at, err := r.standInLine(ctx, h, m, due); err != nil || !at.IsZero() {
		return r.wakeAt(at), err
	}
	pass, at, err := r.Post.enter(ctx, waiter{invitationSender, request(m.Namespace, m.Name)})
	if err != nil {
		return ctrl.Result{}, err
	}
	if pass == nil {
		return r.wakeAt(at), r.hold(ctx, m, due)
	}
	defer pass.leave()
	if ok, err := r.spend(ctx, h, m, chargeOf(m, due)); err != nil || !ok {
		return ctrl.Result{RequeueAfter: afterConflict}, err
	}
	return r.send(ctx, pass, h, m, due)
}

// send records a try, sends, and records the outcome.
func (r *InvitationReconciler) send(ctx context.Context, p *pass, h rules.Home, m *v1alpha1.OrgMember, due *rules.InvitationMail) (ctrl.Result, error) {
	workspaces, err := r.Facts.AssignedWorkspaces(ctx, h, m)
	if err != nil {
		return ctrl.Result{}, err
	}
	before := m.DeepCopy()
	if m.Status.Invitation == nil || m.Status.Invitation.Serial != due.Record.Serial || m.Status.Invitation.Attempts == 0 {
		m.Status.DeclinedAt = nil
		r.condition(m, v1alpha1.ConditionInvitationSent, metav1.ConditionFalse, v1alpha1.ReasonInvitationQueued, "the invitation is about to be sent")
	}
	m.Status.Invitation = due.Record
	if err := r.confirmSeat(ctx, h, before); err != nil {
		return ctrl.Result{}, err
	}
	r.Describe(ctx, m)
	if err := r.patchStatus(ctx, before, m); err != nil {
		return ctrl.Result{}, err
	}
	r.Post.stamps.use(chargeOf(m, due).stamp)
	if due.First && !due.Reminder && due.Record.Serial > 1 {
		r.Recorder.Eventf(m, nil, corev1.EventTypeNormal, v1alpha1.ReasonInvitationResent, "Invite", "a new invitation replaces the one before, whose link is void")
	}
	message, err := r.Invitations.message(h, m, workspaces, due.Reminder)
	t := try{mailing: invitationMailing, serial: due.Record.Serial, attempts: due.Attempts()}
	if due.Reminder {
		t.mailing = reminderMailing
	}
	return r.recordOutcome(ctx, m, r.handOver(ctx, p, t, message, err), due.Reminder)
}

// hold says that an invitation waits until mails can be sent at all.
func (r *InvitationReconciler) hold(ctx context.Context, m *v1alpha1.OrgMember, due *rules.InvitationMail) error {
	c := meta.FindStatusCondition(m.Status.Conditions, v1alpha1.ConditionInvitationSent)
	if due.Reminder || (c != nil && c.Reason == v1alpha1.ReasonMailerUnavailable) {
		return nil
	}
	before := m.DeepCopy()
	r.condition(m, v1alpha1.ConditionInvitationSent, metav1.ConditionFalse, v1alpha1.ReasonMailerUnavailable,
		"no mail server can be used; the invitation goes out when one can")
	return r.patchStatus(ctx, before, m)
}

// settle takes back what was said of a mail that is no longer due: the person has answered, joined without one, or is not
// to be asked now; or a resend was taken back while it waited, and what is true of the present invitation is true again.
// That a mail was refused stays said until the person answers.
func (r *InvitationReconciler) settle(ctx context.Context, m *v1alpha1.OrgMember, due *rules.InvitationMail, at time.Time) error {
	c, i := meta.FindStatusCondition(m.Status.Conditions, v1alpha1.ConditionInvitationSent), m.Status.Invitation
	if waits(m, due, at) || c == nil || c.Status != metav1.ConditionFalse {
		return nil
	}
	before := m.DeepCopy()
	switch {
	case i != nil && i.SentAt != nil:
		r.condition(m, v1alpha1.ConditionInvitationSent, metav1.ConditionTrue, v1alpha1.ReasonInvitationSent, invitationMailing.taken)
	case i == nil || i.RejectedAt == nil || rules.Answered(m):
		meta.RemoveStatusCondition(&m.Status.Conditions, v1alpha1.ConditionInvitationSent)
	case c.Reason == v1alpha1.ReasonInvitationRejected:
		return nil
	default:
		r.condition(m, v1alpha1.ConditionInvitationSent, metav1.ConditionFalse, v1alpha1.ReasonInvitationRejected, i.LastError)
	}
	return r.patchStatus(ctx, before, m)
}

// waits says that an invitation is to go out, now or at its moment. Where it is out, it is a reminder that waits.
func waits(m *v1alpha1.OrgMember, due *rules.InvitationMail, at time.Time) bool {
	if due != nil {
		return !due.Reminder
	}
	return !at.IsZero() && m.Status.Invitation.SentAt == nil
}

// message composes the invitation of a member, or its reminder. Equal records give equal Message-IDs, dates and links; names
// are those of the moment.
func (i Invitations) message(h rules.Home, m *v1alpha1.OrgMember, workspaces []string, reminder bool) (mail.Message, error) {
	s := m.Status.Invitation
	token := i.Keys.Sign(invite.Claims{UID: string(m.UID), Serial: s.Serial, Expires: s.ExpiresAt.Time})
	inv := mail.Invitation{
		Organization: organizationName(h.Organization),
		Role:         string(m.Spec.Role),
		Expires:      s.ExpiresAt.Time,
		AcceptURL:    i.PortalURL + "/i/" + token,
		Inviter:      rules.Inviter(h, m),
		Workspaces:   workspaces,
		Reminder:     reminder,
	}
	if m.Spec.Invitation != nil {
		inv.Message = m.Spec.Invitation.Message
	}
	if reminder {
		return i.Templates.Compose(i.envelope(h.Organization, m, s.Serial, sortReminder, rules.RemindedOf(h, s)), inv)
	}
	return i.Templates.Compose(i.envelope(h.Organization, m, s.Serial, sortInvitation, s.IssuedAt.Time), inv)
}

var (
	invitationMailing = mailing{
		sort: sortInvitation, name: "Invitation", action: "Invite", taken: "the mail server took the invitation",
		sent: v1alpha1.ReasonInvitationSent, deferred: v1alpha1.ReasonInvitationDeferred, rejected: v1alpha1.ReasonInvitationRejected,
	}
	reminderMailing = mailing{
		sort: sortReminder, name: "Reminder", action: "Remind", taken: "the mail server took the reminder",
		sent: v1alpha1.ReasonReminderSent, deferred: v1alpha1.ReasonReminderDeferred, rejected: v1alpha1.ReasonReminderRejected,
	}
)

// recordOutcome writes an outcome into the status, that of an invitation also into the condition, and says when the next
// try is due.
func (r *InvitationReconciler) recordOutcome(ctx context.Context, m *v1alpha1.OrgMember, o outcome, reminder bool) (ctrl.Result, error) {
	return persist(ctx, r.Deps, m, o, func(fresh *v1alpha1.OrgMember) bool {
		i := fresh.Status.Invitation
		if i == nil {
			return false
		}
		sentAt := &i.SentAt
		if reminder {
			sentAt = &i.RemindedAt
		}
		if !o.counts(i.Serial, *sentAt) {
			return false
		}
		*sentAt, i.RejectedAt, i.NextAttemptAt, i.LastError = o.sentAt, o.rejectedAt, o.nextAttemptAt, o.lastError()
		if reminder {
			r.Describe(ctx, fresh)
			return true
		}
		status := metav1.ConditionFalse
		if o.kind == sent {
			status = metav1.ConditionTrue
		}
		r.condition(fresh, v1alpha1.ConditionInvitationSent, status, o.reason, o.words)
		r.Describe(ctx, fresh)
		return true
	})
}

// SetupWithManager registers the controller and what wakes it.
func (r *InvitationReconciler) SetupWithManager(mgr ctrl.Manager) error {
	w := watches{r.Facts}
	return ctrl.NewControllerManagedBy(mgr).
		Named(invitationSender).
		WithOptions(r.Post.workers()).
		For(&v1alpha1.OrgMember{}, ignoreActivity).
		Watches(&v1alpha1.Organization{}, w.organizationChanged(w.members, w.memberNamed)).
		Watches(&v1alpha1.Organization{}, w.rulesChanged(invitationRules)).
		Watches(&v1alpha1.Organization{}, w.subscriptionChanged(w.members)).
		Watches(&v1alpha1.Organization{}, seatOffered()).
		WatchesRawSource(r.Post.ends(invitationSender)).
		WatchesRawSource(r.Post.inOrder(mgr)).
		WatchesRawSource(r.steps.everything(w.everyMember)).
		Complete(reconciler(r.Client, r))
}
