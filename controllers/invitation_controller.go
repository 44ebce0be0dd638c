package controllers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/internal/invite"
	"github.com/orgkeeper/orgkeeper/internal/invite/tenanttext"
	"github.com/orgkeeper/orgkeeper/internal/mail"
	"github.com/orgkeeper/orgkeeper/internal/rules"
)

// Invitations is what it takes to invite.
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
	if err == nil {
		err = r.send(ctx, message)
	}
	return r.recordOutcome(ctx, m, outcomeOf(err))
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

// grace is how long a mail that is being handed over may go on after the operator was told to stop. Cut off, it might
// have been taken, and would have to be sent again.
const grace = 10 * time.Second

func (r *InvitationReconciler) send(ctx context.Context, message mail.Message) error {
	sending, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(grace, cancel) })()
	return r.Invitations.SMTP.Send(sending, message)
}

// maxName is how much of an organization's name mails show, in characters.
const maxName = 100

// message composes the invitation of a member. Equal records give equal mails.
func (i Invitations) message(h rules.Home, m *v1alpha1.OrgMember) (mail.Message, error) {
	s := m.Status.Invitation
	token := i.Keys.Sign(invite.Claims{UID: string(m.UID), Serial: s.Serial, Expires: s.ExpiresAt.Time})
	inv := mail.Invitation{
		Organization: cmp.Or(tenanttext.Line(rules.Name(h.Organization), maxName), h.Organization.Name),
		Role:         string(m.Spec.Role),
		Expires:      s.ExpiresAt.Time,
		AcceptURL:    i.PortalURL + "/i/" + token,
		Inviter:      rules.Inviter(h, m),
	}
	if m.Spec.Invitation != nil {
		inv.Message = m.Spec.Invitation.Message
	}
	return mail.Compose(mail.Envelope{
		MessageID: fmt.Sprintf("%s.%d.invitation@%s", m.UID, s.Serial, i.From.Domain()),
		From:      i.From,
		To:        mail.Address{Name: string(m.Spec.DisplayName), Address: string(m.Spec.Email)},
		Date:      s.IssuedAt.Time,
	}, inv)
}

// outcome is how a try ended.
type outcome struct {
	kind   mail.Kind // empty: sent
	reason string
	words  string
}

const sent mail.Kind = ""

func outcomeOf(err error) outcome {
	if err == nil {
		return outcome{sent, v1alpha1.ReasonInvitationSent, "the mail server took the invitation"}
	}
	var failure *mail.Error
	if !errors.As(err, &failure) {
		// It could not be composed: no server ever will take it.
		return outcome{mail.Permanent, v1alpha1.ReasonInvitationRejected, err.Error()}
	}
	reason := map[mail.Kind]string{
		mail.Permanent:   v1alpha1.ReasonInvitationRejected,
		mail.Temporary:   v1alpha1.ReasonInvitationDeferred,
		mail.Ambiguous:   v1alpha1.ReasonInvitationDeferred,
		mail.Unavailable: v1alpha1.ReasonMailerUnavailable,
	}[failure.Kind]
	return outcome{failure.Kind, reason, failure.Error()}
}

// persistence is how long a worker tries to record an outcome before it leaves the rest to a later reconcile, which
// would send the same mail again. It outlasts a restart of the API server.
const persistence = 40 * time.Second

// between are the waits between those tries. They grow to the cap and stay there.
var between = wait.Backoff{Duration: 20 * time.Millisecond, Factor: 2, Jitter: 0.2, Steps: 12, Cap: 2 * time.Second}

func (r *InvitationReconciler) recordOutcome(ctx context.Context, m *v1alpha1.OrgMember, o outcome) (ctrl.Result, error) {
	// The mail is out: record it even when the operator is being stopped.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), persistence)
	defer cancel()

	var at time.Time
	err := between.DelayFunc().Until(ctx, true, true, func(ctx context.Context) (bool, error) {
		fresh := &v1alpha1.OrgMember{}
		if err := r.Live.Get(ctx, client.ObjectKeyFromObject(m), fresh); err != nil {
			return apierrors.IsNotFound(err), nil
		}
		if i := fresh.Status.Invitation; fresh.UID != m.UID || i == nil || i.Serial != m.Status.Invitation.Serial {
			return true, nil
		}
		before := fresh.DeepCopy()
		at = r.note(fresh, o)
		if err := r.patchStatus(ctx, before, fresh); err != nil {
			return apierrors.IsNotFound(err), nil
		}
		r.tellOutcome(ctx, fresh, o)
		return true, nil
	})
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("record the outcome of an invitation: %w", err)
	}
	return r.wakeAt(at), nil
}

// note writes an outcome into the status, and says when the next try is due.
func (r *InvitationReconciler) note(m *v1alpha1.OrgMember, o outcome) time.Time {
	i := m.Status.Invitation
	now := metav1.NewTime(r.Clock.Now())
	i.NextAttemptAt, i.LastError = nil, ""
	if o.kind == sent {
		i.SentAt = &now
		r.condition(m, v1alpha1.ConditionInvitationSent, metav1.ConditionTrue, o.reason, o.words)
		return rules.Never
	}
	i.LastError = cut(o.words, maxLastError)
	r.condition(m, v1alpha1.ConditionInvitationSent, metav1.ConditionFalse, o.reason, o.words)
	if o.kind == mail.Permanent {
		i.RejectedAt = &now
		return rules.Never
	}
	next := metav1.NewTime(now.Add(rules.Retry(i.Attempts, o.kind == mail.Unavailable, rand.Float64()))) //nolint:gosec // jitter needs no secret
	i.NextAttemptAt = &next
	return next.Time
}

// maxLastError is the limit of status.invitation.lastError.
const maxLastError = 256

func (r *InvitationReconciler) tellOutcome(ctx context.Context, m *v1alpha1.OrgMember, o outcome) {
	r.Metrics.count(o.kind)
	log := ctrl.LoggerFrom(ctx)
	if o.kind == sent {
		r.Recorder.Eventf(m, nil, corev1.EventTypeNormal, o.reason, "Invite", "%s", o.words)
		log.Info("Invitation sent", "serial", m.Status.Invitation.Serial)
		return
	}
	r.Recorder.Eventf(m, nil, corev1.EventTypeWarning, o.reason, "Invite", "%s", o.words)
	log.Info("Invitation not sent", "serial", m.Status.Invitation.Serial, "reason", o.reason, "answer", o.words)
}

// SetupWithManager registers the controller and what wakes it.
func (r *InvitationReconciler) SetupWithManager(mgr ctrl.Manager) error {
	w := watches{r.Client, r.Facts}
	return ctrl.NewControllerManagedBy(mgr).
		Named("invitation").
		WithOptions(severalAtOnce).
		For(&v1alpha1.OrgMember{}, ignoreActivity).
		Watches(&v1alpha1.Organization{}, w.organizationChanged(w.members, w.memberNamed)).
		Complete(reconciler(r.Client, r))
}
