package controllers

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/internal/facts"
	"github.com/orgkeeper/orgkeeper/internal/mail"
	"github.com/orgkeeper/orgkeeper/internal/rules"
)

// FarewellReconciler tells people by mail that their membership has ended because their OrgMember was deleted. No OrgMember waits
// for its mail: what is to be told is kept in status.farewells of the Organization, where OrganizationReconciler notes it before
// the OrgMember may go. Like the sender of invitations it has workers of its own, and records each try before and after: see
// mailing.go.
type FarewellReconciler struct{ Deps }

const farewellSender = "farewell"

const (
	// farewellsTogether is how many farewells are recorded by one write at most: the writes stand beside those that end people's
	// access. As many may be sent once more after a crash.
	farewellsTogether = 10
	// farewellsWithin is how long after that write they are begun to be sent. Whoever was paused for longer sends no more of them: there
	// may be a successor who does.
	farewellsWithin = 10 * time.Second
)

// Reconcile sends farewells of an organization that are due, and comes back for the next.
func (r *FarewellReconciler) Reconcile(ctx context.Context, o *v1alpha1.Organization) (ctrl.Result, error) {
	_, due, at, err := r.due(ctx, o, 1)
	if len(due) == 0 {
		return r.wakeAt(at), err
	}
	if yields, err := r.yields(ctx, o.Namespace, &due[0]); err != nil || yields {
		return ctrl.Result{RequeueAfter: time.Second, Priority: new(0)}, err
	}
	pass, at, err := r.Post.enter(ctx, waiter{farewellSender, request(o.Namespace, o.Name)})
	if pass == nil {
		return r.wakeAt(at), err
	}
	defer pass.leave()
	// Others may have written while the turn was waited for.
	o, due, _, err = r.due(ctx, o, pass.together(farewellsTogether))
	if err != nil {
		return ctrl.Result{}, err
	}
	if len(due) > 0 {
		err = r.send(ctx, pass, o, due)
	}
	return ctrl.Result{RequeueAfter: afterConflict, Priority: new(0)}, err // the cache shows what was written by then
}

// due are the farewells that are to be sent now, so many at most, and the Organization that they were made from.
func (r *FarewellReconciler) due(ctx context.Context, o *v1alpha1.Organization, most int) (*v1alpha1.Organization, []v1alpha1.Farewell, time.Time, error) {
	h, err := r.Facts.Home(ctx, o.Namespace)
	if err != nil || h.Organization == nil || h.Organization.UID != o.UID {
		return nil, nil, rules.Never, err
	}
	due, at := rules.NextFarewells(h, most)
	return h.Organization, due, at, nil
}

// yields says that a farewell, and those after it, are to wait for the end of somebody's access.
func (r *FarewellReconciler) yields(ctx context.Context, home string, f *v1alpha1.Farewell) (bool, error) {
	if age := r.Clock.Since(f.At.Time); age < 0 || age >= leavingTime {
		return false, nil
	}
	return r.somebodyLeaves(ctx, home)
}

// send records the tries together, sends one mail after the other, and records the outcomes together. Those whose turn did not come
// are no tries: they are as they were before.
func (r *FarewellReconciler) send(ctx context.Context, pass *pass, o *v1alpha1.Organization, due []v1alpha1.Farewell) error {
	before, begin := o, r.Steady.Now()
	o = o.DeepCopy()
	for _, f := range due {
		o.Status.Farewells[position(o, f.UID)] = f
	}
	if err := r.patchStatus(ctx, before, o); err != nil {
		return err
	}
	var outcomes []outcome
	for i := range due {
		// After one that found the mail server unusable there is no next.
		if i > 0 && (!pass.next(ctx) || r.Steady.Since(begin) >= farewellsWithin) {
			break
		}
		outcomes = append(outcomes, r.hand(ctx, pass, o, &due[i]))
	}
	return persistAll(ctx, r.Deps, o, func(fresh *v1alpha1.Organization) (noted []outcome) {
		for i, outcome := range outcomes {
			if r.note(ctx, fresh, &due[i], outcome) {
				noted = append(noted, outcome)
			}
		}
		for i := range due[len(outcomes):] {
			takeBack(fresh, before, &due[len(outcomes)+i])
		}
		return noted
	})
}

// hand hands over the mail to somebody who left.
func (r *FarewellReconciler) hand(ctx context.Context, pass *pass, o *v1alpha1.Organization, f *v1alpha1.Farewell) outcome {
	message, err := r.Invitations.farewell(o, f)
	return r.handOver(ctx, pass, try{
		mailing: membershipMailing(sortEnd), serial: f.Serial, attempts: f.Attempts, giveUp: rules.GiveUp(f.At),
		about: &v1alpha1.OrgMember{ObjectMeta: metav1.ObjectMeta{Namespace: o.Namespace, Name: f.Member, UID: types.UID(f.UID)}},
	}, message, err)
}

// note writes down how a try ended, unless that is no matter any more.
func (r *FarewellReconciler) note(ctx context.Context, fresh *v1alpha1.Organization, f *v1alpha1.Farewell, o outcome) bool {
	i := position(fresh, f.UID)
	if i < 0 || !o.counts(fresh.Status.Farewells[i].Serial, fresh.Status.Farewells[i].SentAt) {
		return false
	}
	o.record(&fresh.Status.Farewells[i].MailDelivery)
	if o.nextAttemptAt == nil && o.kind != mail.Unavailable && r.gone(ctx, fresh.Namespace, f) {
		fresh.Status.Farewells = slices.Delete(fresh.Status.Farewells, i, i+1)
	}
	return true
}

// takeBack makes a farewell what it was before a try that was recorded and not made, unless somebody else tried since.
func takeBack(fresh, before *v1alpha1.Organization, f *v1alpha1.Farewell) {
	if i := position(fresh, f.UID); i >= 0 && equality.Semantic.DeepEqual(&fresh.Status.Farewells[i], f) {
		before.Status.Farewells[position(before, f.UID)].DeepCopyInto(&fresh.Status.Farewells[i])
	}
}

// position is where the farewell of a member is; -1 for nowhere.
func position(o *v1alpha1.Organization, uid string) int {
	return slices.IndexFunc(o.Status.Farewells, func(f v1alpha1.Farewell) bool { return f.UID == uid })
}

// gone says that the OrgMember of a farewell is no longer there, or not held by us. Until then the farewell stays: see
// rules.Farewells, which also drops those that were told before the OrgMember went.
func (r *FarewellReconciler) gone(ctx context.Context, home string, f *v1alpha1.Farewell) bool {
	m := &v1alpha1.OrgMember{}
	err := r.Client.Get(ctx, client.ObjectKey{Namespace: home, Name: f.Member}, m)
	return apierrors.IsNotFound(err) || (err == nil && (string(m.UID) != f.UID || !controllerutil.ContainsFinalizer(m, v1alpha1.FinalizerMember)))
}

// farewell composes the mail to somebody whose OrgMember is gone or going.
func (i Invitations) farewell(o *v1alpha1.Organization, f *v1alpha1.Farewell) (mail.Message, error) {
	m := &v1alpha1.OrgMember{
		ObjectMeta: metav1.ObjectMeta{UID: types.UID(f.UID)},
		Spec:       v1alpha1.OrgMemberSpec{Email: f.Email, DisplayName: f.DisplayName, Locale: f.Locale},
	}
	content := mail.MembershipEnd{Organization: organizationName(o), Since: f.At.Time}
	return i.Templates.Compose(i.envelope(o, m, f.Serial, sortEnd, f.At.Time), content)
}

// noteFarewells puts those on record who leave and are to be told of it. It is for the controller of Organizations, which notes
// all who leave at a time by one write and waits for no mail server. They wait for it, so whoever goes on writing the Organization
// meanwhile must hold up nothing. It says when to look again for those who cannot be noted yet.
func (r *OrganizationReconciler) noteFarewells(ctx context.Context, o *v1alpha1.Organization, roll rules.Roll, members []v1alpha1.OrgMember) (time.Time, error) {
	farewells, _ := rules.Farewells(o, roll.Leaving, members, r.Clock.Now())
	if equality.Semantic.DeepEqual(farewells, o.Status.Farewells) {
		return rules.Never, nil
	}
	ctx, cancel := context.WithTimeout(ctx, persistence)
	defer cancel()
	at := rules.Never
	err := between.DelayFunc().Until(ctx, true, true, func(ctx context.Context) (bool, error) {
		live := &v1alpha1.Organization{}
		if err := r.Live.Get(ctx, client.ObjectKeyFromObject(o), live); err != nil {
			return false, fmt.Errorf("get organization %s/%s: %w", o.Namespace, o.Name, err)
		}
		leaving, err := r.stillLeaving(ctx, live, roll.Leaving)
		if err != nil {
			return false, err
		}
		if len(leaving) < len(roll.Leaving) {
			at = r.Clock.Now().Add(lookAgain)
		}
		before := live.DeepCopy()
		farewells, dropped := rules.Farewells(live, leaving, members, r.Clock.Now())
		if equality.Semantic.DeepEqual(farewells, live.Status.Farewells) {
			return true, nil
		}
		live.Status.Farewells = farewells
		if err := r.patchStatus(ctx, before, live); apierrors.IsConflict(err) {
			return false, nil
		} else if err != nil {
			return false, err
		}
		if before.ResourceVersion == o.ResourceVersion {
			o.ResourceVersion, o.Status.Farewells = live.ResourceVersion, live.Status.Farewells
		}
		if dropped > 0 {
			r.Recorder.Eventf(o, nil, corev1.EventTypeWarning, v1alpha1.ReasonMembershipMailDropped, "Tell",
				"%d who left are not told of it: too many mails wait for the mail server", dropped)
		}
		return true, nil
	})
	return at, err
}

// stillLeaving are those of the leaving who are to be noted now. It is asked once the Organization was read: whose farewell is not
// there any more since they were told and went, went before, and the cache shows it. Nor is anybody noted while the mail
// about the end by spec.expiresAt is on its way to them: it would be sent to them twice. And who owns the organization by now stays.
func (r *OrganizationReconciler) stillLeaving(ctx context.Context, live *v1alpha1.Organization, leaving []v1alpha1.OrgMember) ([]v1alpha1.OrgMember, error) {
	present, err := r.Facts.MembersBy(ctx, live.Namespace, facts.IndexLeaving, facts.Leaving)
	if err != nil {
		return nil, err
	}
	held := make(map[types.UID]bool, len(present))
	for i := range present {
		held[present[i].UID] = controllerutil.ContainsFinalizer(&present[i], v1alpha1.FinalizerMember)
	}
	still := make([]v1alpha1.OrgMember, 0, len(leaving))
	for i := range leaving {
		m := &leaving[i]
		if !held[m.UID] || m.Name == live.Status.Owner {
			continue
		}
		if underway(m) {
			if m, err = r.landed(ctx, m); err != nil {
				return nil, err
			}
		}
		if m != nil {
			still = append(still, *m)
		}
	}
	return still, nil
}

// underway says that the mail about the end by spec.expiresAt may be on its way to a member, or have arrived by now.
func underway(m *v1alpha1.OrgMember) bool {
	n := m.Status.MembershipNotice
	return n != nil && n.Change == v1alpha1.MembershipEnded && n.Attempts > 0 && n.NextAttemptAt == nil
}

// landed is a member as the API server knows them after that mail; nil while it is on its way, or when they are gone.
func (r *OrganizationReconciler) landed(ctx context.Context, m *v1alpha1.OrgMember) (*v1alpha1.OrgMember, error) {
	if r.Post.aloft.has(stamp{m.UID, m.Status.MembershipNotice.Serial, sortEnd}) {
		return nil, nil
	}
	live := &v1alpha1.OrgMember{}
	switch err := r.Live.Get(ctx, client.ObjectKeyFromObject(m), live); {
	case apierrors.IsNotFound(err), err == nil && live.UID != m.UID:
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("get member %s/%s: %w", m.Namespace, m.Name, err)
	}
	return live, nil
}

// farewellNoted wakes the members whose farewell was put on record, who may go now.
func farewellNoted() handler.EventHandler {
	return handler.Funcs{UpdateFunc: func(_ context.Context, e event.UpdateEvent, q queue) {
		before, after := e.ObjectOld.(*v1alpha1.Organization), e.ObjectNew.(*v1alpha1.Organization)
		known := sets.New[string]()
		for i := range before.Status.Farewells {
			known.Insert(before.Status.Farewells[i].UID)
		}
		for i := range after.Status.Farewells {
			if f := &after.Status.Farewells[i]; !known.Has(f.UID) {
				first(q).Add(request(after.Namespace, f.Member))
			}
		}
	}}
}

// SetupWithManager registers the controller and what wakes it.
func (r *FarewellReconciler) SetupWithManager(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named(farewellSender).
		WithOptions(r.Post.workers()).
		Watches(&v1alpha1.Organization{}, unhurried, farewellsToTell).
		WatchesRawSource(r.Post.ends(farewellSender)).
		WatchesRawSource(r.steps.everything(watches{r.Facts}.everyOrganization)).
		Complete(reconciler(r.Client, r))
}
