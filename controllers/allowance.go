package controllers

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/internal/facts"
	"github.com/orgkeeper/orgkeeper/internal/rules"
)

// An organization's share of the mails. What was sent is counted in status.mails of the Organization, before the mail goes
// out and once for each mail, so that neither a restart nor members who come and go make the count forget.

// errOutdated is why a mail is not counted.
var errOutdated = errors.New("somebody else wrote it since")

// limited says that a mail is one to count.
func (r *InvitationReconciler) limited(due *rules.InvitationMail) bool {
	return due.First && r.Post.LimitPerOrganization > 0
}

func (r *InvitationReconciler) allowance(o *v1alpha1.Organization) rules.Allowance {
	return rules.Allowance{Limit: r.Post.LimitPerOrganization, Sent: o.Status.Mails, Now: r.Clock.Now()}
}

// standInLine says when the turn of a mail comes, and writes it down; zero for now.
func (r *InvitationReconciler) standInLine(ctx context.Context, h rules.Home, m *v1alpha1.OrgMember, due *rules.InvitationMail) (time.Time, error) {
	if !r.limited(due) {
		return rules.Never, nil
	}
	waiting, err := r.Facts.MembersBy(ctx, m.Namespace, facts.IndexLimited, facts.Limited)
	if err != nil {
		return rules.Never, err
	}
	now, at := r.allowance(h.Organization).Turn(rules.AheadInLine(m, waiting))
	if now || due.Reminder {
		return at, nil
	}
	before := m.DeepCopy()
	m.Status.Invitation = rules.InLine(m.Status.Invitation, due.Record, at)
	r.condition(m, v1alpha1.ConditionInvitationSent, metav1.ConditionFalse, v1alpha1.ReasonInvitationLimited,
		fmt.Sprintf("the organization has sent as many mails as it may in a day (%d); this one goes out by itself when its turn comes", r.Post.LimitPerOrganization))
	if equality.Semantic.DeepEqual(before, m) {
		return at, nil
	}
	return at, r.patchStatus(ctx, before, m)
}

// spend counts a mail that is about to go out. It says no when there is no room, which the cache does not show yet.
func (r *InvitationReconciler) spend(ctx context.Context, h rules.Home, m *v1alpha1.OrgMember, due *rules.InvitationMail) (bool, error) {
	if !r.limited(due) {
		return true, nil
	}
	// With an old copy of the member the record would meet a conflict, and the mail be counted for nothing.
	seen := &v1alpha1.OrgMember{}
	if err := r.Live.Get(ctx, client.ObjectKeyFromObject(m), seen); err != nil {
		return false, fmt.Errorf("get member %s/%s: %w", m.Namespace, m.Name, err)
	}
	if seen.ResourceVersion != m.ResourceVersion {
		return false, apierrors.NewConflict(schema.GroupResource{Group: v1alpha1.GroupVersion.Group, Resource: "orgmembers"}, m.Name, errOutdated)
	}
	ctx, cancel := context.WithTimeout(ctx, persistence)
	defer cancel()
	room := false
	err := between.DelayFunc().Until(ctx, true, true, func(ctx context.Context) (bool, error) {
		o := &v1alpha1.Organization{}
		if err := r.Live.Get(ctx, client.ObjectKeyFromObject(h.Organization), o); err != nil {
			return false, fmt.Errorf("get organization %s/%s: %w", h.Namespace, h.Organization.Name, err)
		}
		if room, _ = r.allowance(o).Turn(0); !room {
			return true, nil
		}
		before := o.DeepCopy()
		o.Status.Mails = r.allowance(o).Spend()
		err := r.patchStatus(ctx, before, o)
		if apierrors.IsConflict(err) {
			return false, nil // others write it as well
		}
		return err == nil, err
	})
	return room && err == nil, err
}
