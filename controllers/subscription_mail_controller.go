package controllers

import (
	"context"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/internal/mail"
	"github.com/orgkeeper/orgkeeper/internal/rules"
)

// SubscriptionMailReconciler tells the billing contact by mail how the subscription stands. What there is to tell,
// OrganizationReconciler noted together with it. Like the sender of invitations it has workers of its own, and records each try
// before and after: see mailing.go. These mails do not count for the organization's share: there is one of a sort in a day.
type SubscriptionMailReconciler struct{ Deps }

const subscriptionSender = "subscriptionmail"

// Reconcile sends one mail of an organization, if one is due. The record of how that went brings it back for the next.
func (r *SubscriptionMailReconciler) Reconcile(ctx context.Context, o *v1alpha1.Organization) (ctrl.Result, error) {
	h, err := r.Facts.Home(ctx, o.Namespace)
	if err != nil || h.Organization == nil || h.Organization.UID != o.UID {
		return ctrl.Result{}, err
	}
	record, at := rules.NextSubscriptionMail(h)
	if record == nil {
		return r.wakeAt(at), nil
	}
	pass, at, err := r.Post.enter(ctx, waiter{subscriptionSender, request(o.Namespace, o.Name)})
	if pass == nil {
		return r.wakeAt(at), err
	}
	defer pass.leave()
	before, o := h.Organization, h.Organization.DeepCopy() // that which the record was made from
	o.Status.SubscriptionMails[noticeAbout(o, record.About)] = *record
	if err := r.patchStatus(ctx, before, o); err != nil {
		return ctrl.Result{}, err
	}
	message, err := r.Invitations.subscription(o, record)
	outcome := r.handOver(ctx, pass, try{
		mailing: subscriptionMailing, serial: record.Serial, attempts: record.Attempts, giveUp: rules.GiveUp(*record.FirstAttemptAt),
	}, message, err)
	return persist(ctx, r.Deps, o, outcome, func(fresh *v1alpha1.Organization) bool {
		i := noticeAbout(fresh, record.About)
		if i < 0 || !outcome.counts(fresh.Status.SubscriptionMails[i].Serial, fresh.Status.SubscriptionMails[i].SentAt) {
			return false
		}
		outcome.record(&fresh.Status.SubscriptionMails[i].MailDelivery)
		return true
	})
}

var subscriptionMailing = mailing{
	sort: sortSubscription, name: "Subscription mail", action: "Tell", taken: "the mail server took a mail to the billing contact",
	sent: v1alpha1.ReasonSubscriptionMailSent, deferred: v1alpha1.ReasonSubscriptionMailDeferred, rejected: v1alpha1.ReasonSubscriptionMailRejected,
	dropped: v1alpha1.ReasonSubscriptionMailDropped,
}

// noticeAbout is where the notice about a matter is; -1 for nowhere.
func noticeAbout(o *v1alpha1.Organization, about v1alpha1.SubscriptionChange) int {
	return slices.IndexFunc(o.Status.SubscriptionMails, func(n v1alpha1.SubscriptionNotice) bool { return n.About == about })
}

// subscription composes a mail to the billing contact, who is no member: the Organization's UID stands in for theirs.
func (i Invitations) subscription(o *v1alpha1.Organization, n *v1alpha1.SubscriptionNotice) (mail.Message, error) {
	contact := &v1alpha1.OrgMember{ObjectMeta: metav1.ObjectMeta{UID: o.UID}, Spec: v1alpha1.OrgMemberSpec{Email: o.Spec.Billing.Email}}
	content := mail.Subscription{Organization: organizationName(o), About: string(n.About)}
	if s := o.Spec.Subscription; s != nil {
		content.Seats = int(s.Seats)
	}
	if n.PaidThrough != nil {
		content.PaidThrough = n.PaidThrough.Time
	}
	return i.Templates.Compose(i.envelope(o, contact, n.Serial, sortSubscription+"-"+strings.ToLower(string(n.About)), n.At.Time), content)
}

// subscriptionToTell: those Organizations alone where the billing contact is still to be told of something.
var subscriptionToTell = builder.WithPredicates(predicate.NewPredicateFuncs(func(o client.Object) bool {
	return slices.ContainsFunc(o.(*v1alpha1.Organization).Status.SubscriptionMails, func(n v1alpha1.SubscriptionNotice) bool {
		return n.Until == nil && n.SentAt == nil && n.RejectedAt == nil
	})
}))

// SetupWithManager registers the controller and what wakes it.
func (r *SubscriptionMailReconciler) SetupWithManager(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named(subscriptionSender).
		WithOptions(r.Post.workers()).
		For(&v1alpha1.Organization{}, subscriptionToTell).
		WatchesRawSource(r.Post.ends(subscriptionSender)).
		WatchesRawSource(r.steps.everything(watches{r.Facts}.everyOrganization)).
		Complete(reconciler(r.Client, r))
}
