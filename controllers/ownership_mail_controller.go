package controllers

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/internal/invite/tenanttext"
	"github.com/orgkeeper/orgkeeper/internal/mail"
	"github.com/orgkeeper/orgkeeper/internal/rules"
)

// OwnershipMailReconciler tells members by mail that the ownership moved to or from them. Like the sender of invitations it
// has workers of its own, and records each try before and after: see mailing.go.
type OwnershipMailReconciler struct{ Deps }

const ownershipSender = "ownershipmail"

// Reconcile sends one member the mail about the latest move of the ownership, if it is due.
func (r *OwnershipMailReconciler) Reconcile(ctx context.Context, m *v1alpha1.OrgMember) (ctrl.Result, error) {
	h, err := r.Facts.Home(ctx, m.Namespace)
	if err != nil {
		return ctrl.Result{}, err
	}
	notice, at := rules.NextNotice(h, m)
	if notice == nil {
		return r.wakeAt(at), nil
	}
	content, err := r.content(ctx, h, m, notice)
	if err != nil {
		return ctrl.Result{}, err
	}
	pass, at, err := r.Post.enter(ctx, waiter{ownershipSender, request(m.Namespace, m.Name)})
	if pass == nil {
		return r.wakeAt(at), err
	}
	defer pass.leave()
	before := m.DeepCopy()
	m.Status.OwnershipNotice = notice.Record
	if err := r.patchStatus(ctx, before, m); err != nil {
		return ctrl.Result{}, err
	}
	envelope := r.Invitations.envelope(h.Organization, m, notice.Record.Serial, sortOwnership, notice.Transfer.At.Time)
	message, err := r.Invitations.Templates.Compose(envelope, content)
	o := r.handOver(ctx, pass, try{mailing: r.mailing(), serial: notice.Record.Serial, attempts: notice.Record.Attempts, giveUp: rules.GiveUp(notice.Transfer.At)}, message, err)
	return persist(ctx, r.Deps, m, o, func(fresh *v1alpha1.OrgMember) bool {
		n := fresh.Status.OwnershipNotice
		if n == nil || !o.counts(n.Serial, n.SentAt) {
			return false
		}
		o.record(&n.MailDelivery)
		return true
	})
}

func (r *OwnershipMailReconciler) mailing() mailing {
	return mailing{
		sort: sortOwnership, name: "Ownership mail", action: "Tell", taken: "the mail server took the mail about the ownership",
		sent: v1alpha1.ReasonOwnershipMailSent, deferred: v1alpha1.ReasonOwnershipMailDeferred, rejected: v1alpha1.ReasonOwnershipMailRejected,
	}
}

// content is what the mail tells. It is gathered before the try is recorded: a read that fails is no try.
func (r *OwnershipMailReconciler) content(ctx context.Context, h rules.Home, m *v1alpha1.OrgMember, n *rules.Notice) (mail.Ownership, error) {
	content := mail.Ownership{Organization: organizationName(h.Organization), Gained: n.Gained, At: n.Transfer.At.Time}
	name, uid := n.Other()
	content.Other = name
	other := &v1alpha1.OrgMember{}
	switch err := r.Client.Get(ctx, client.ObjectKey{Namespace: m.Namespace, Name: name}, other); {
	case client.IgnoreNotFound(err) != nil:
		return content, fmt.Errorf("get member %s/%s: %w", m.Namespace, name, err)
	case err == nil && string(other.UID) == uid:
		content.Other = cmp.Or(tenanttext.Line(rules.PersonName(other), maxName), name)
	}
	f, err := r.Facts.Member(ctx, h, m)
	if err != nil {
		return content, err
	}
	if s := rules.Judge(h, f); s.Active {
		content.Role = string(s.Role)
	}
	return content, nil
}

// ownershipMoved wakes the members whom an Organization's transfers mention: all when it is seen for the first time, as at a
// start, else those of new transfers.
func ownershipMoved() handler.EventHandler {
	wake := func(q queue, o client.Object, known []v1alpha1.OwnershipTransfer) {
		for _, t := range o.(*v1alpha1.Organization).Status.Transfers {
			if !slices.ContainsFunc(known, func(k v1alpha1.OwnershipTransfer) bool { return k.Serial == t.Serial }) {
				q.Add(request(o.GetNamespace(), t.From))
				q.Add(request(o.GetNamespace(), t.To))
			}
		}
	}
	return handler.Funcs{
		CreateFunc: func(_ context.Context, e event.CreateEvent, q queue) { wake(q, e.Object, nil) },
		UpdateFunc: func(_ context.Context, e event.UpdateEvent, q queue) {
			wake(q, e.ObjectNew, e.ObjectOld.(*v1alpha1.Organization).Status.Transfers)
		},
	}
}

// SetupWithManager registers the controller and what wakes it.
func (r *OwnershipMailReconciler) SetupWithManager(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named(ownershipSender).
		WithOptions(r.Post.workers()).
		For(&v1alpha1.OrgMember{}, beingTold).
		Watches(&v1alpha1.Organization{}, ownershipMoved()).
		WatchesRawSource(r.Post.ends(ownershipSender)).
		WatchesRawSource(r.steps.everything(watches{r.Facts}.everyMember)).
		Complete(reconciler(r.Client, r))
}
