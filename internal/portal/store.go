package portal

import (
	"context"
	"fmt"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/internal/facts"
	"github.com/orgkeeper/orgkeeper/internal/invite"
	"github.com/orgkeeper/orgkeeper/internal/rules"
)

// ClusterStore is the Store that keeps answers in the status of OrgMembers. All fields but Recorder are
// required.
type ClusterStore struct {
	// Facts finds the member and the home in the cache.
	Facts facts.Reader
	// Live reads the member from the API server before an answer is written.
	Live client.Reader
	// Client writes the answer.
	Client client.Client
	// Describe brings a status up to date with an answer, so that both are one write; nil leaves it to the controllers.
	Describe func(ctx context.Context, m *v1alpha1.OrgMember)
	// Recorder tells an Event of each answer; nil tells nobody.
	Recorder events.EventRecorder
}

// Invitation tells what a link stands for, from the cache.
func (s ClusterStore) Invitation(ctx context.Context, claims invite.Claims) (Invitation, error) {
	m, err := s.Facts.MemberByUID(ctx, claims.UID)
	if m == nil || err != nil {
		return Invitation{Status: Withdrawn}, err
	}
	return s.judge(ctx, claims, m)
}

// Accept records that the person accepts, if the link is open.
func (s ClusterStore) Accept(ctx context.Context, claims invite.Claims) (Invitation, error) {
	return s.answer(ctx, claims, Accepted, func(status *v1alpha1.OrgMemberStatus, now *metav1.Time) {
		status.AcceptedAt = now
		if status.LastActiveTime == nil || status.LastActiveTime.Before(now) { // accepting is a use; the time never goes backwards
			status.LastActiveTime = now
		}
	})
}

// Decline records that the person declines, if the link is open.
func (s ClusterStore) Decline(ctx context.Context, claims invite.Claims) (Invitation, error) {
	return s.answer(ctx, claims, Declined, func(status *v1alpha1.OrgMemberStatus, now *metav1.Time) { status.DeclinedAt = now })
}

// answer writes an answer into the status of the member as it is now. Whoever writes first wins; the other reads again.
func (s ClusterStore) answer(ctx context.Context, claims invite.Claims, done Status, write func(*v1alpha1.OrgMemberStatus, *metav1.Time)) (Invitation, error) {
	gone := Invitation{Status: Withdrawn}
	cached, err := s.Facts.MemberByUID(ctx, claims.UID)
	if cached == nil || err != nil {
		return gone, err
	}
	// Mostly the cache has the newest version. If not, the answer meets a conflict.
	result, err := s.write(ctx, claims, cached.DeepCopy(), done, write)
	if err == nil && result.Status == done {
		return result, nil
	}
	err = retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		m := &v1alpha1.OrgMember{}
		if err := s.Live.Get(ctx, client.ObjectKeyFromObject(cached), m); err != nil {
			return err
		}
		if m.UID != cached.UID {
			result = gone
			return nil
		}
		var err error
		result, err = s.write(ctx, claims, m, done, write)
		return err
	})
	if apierrors.IsNotFound(err) {
		return gone, nil
	}
	if err != nil {
		return gone, fmt.Errorf("record the answer: %w", err)
	}
	return result, nil
}

// write writes an answer into the status of a member, if the link is open.
func (s ClusterStore) write(ctx context.Context, claims invite.Claims, m *v1alpha1.OrgMember, done Status, write func(*v1alpha1.OrgMemberStatus, *metav1.Time)) (Invitation, error) {
	result, err := s.judge(ctx, claims, m)
	if err != nil || result.Status != Open {
		return result, err
	}
	before := m.DeepCopy()
	now := metav1.NewTime(s.Facts.Clock.Now())
	write(&m.Status, &now)
	if s.Describe != nil {
		s.Describe(ctx, m)
	}
	if err := s.Client.Status().Patch(ctx, m, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})); err != nil {
		return result, err
	}
	result.Status = done
	s.tell(m, done)
	logr.FromContextOrDiscard(ctx).Info("Invitation answered", "OrgMember", client.ObjectKeyFromObject(m), "answer", done)
	return result, nil
}

// tell emits the Event of an answer, which names nobody: the object does.
func (s ClusterStore) tell(m *v1alpha1.OrgMember, done Status) {
	if s.Recorder == nil {
		return
	}
	reason, words := v1alpha1.ReasonAccepted, "the person accepted the invitation"
	if done == Declined {
		reason, words = v1alpha1.ReasonDeclined, "the person declined the invitation"
	}
	s.Recorder.Eventf(m, nil, corev1.EventTypeNormal, reason, "Answer", "%s", words)
}

// judge says what the link stands for, given the member.
func (s ClusterStore) judge(ctx context.Context, claims invite.Claims, m *v1alpha1.OrgMember) (Invitation, error) {
	h, err := s.Facts.Home(ctx, m.Namespace)
	if err != nil {
		return Invitation{}, err
	}
	f, err := s.Facts.Member(ctx, h, m)
	if err != nil {
		return Invitation{}, err
	}
	inv := Invitation{
		Status:  statusOf[rules.JudgeLink(h, f, claims.Serial, claims.Expires)],
		Role:    string(m.Spec.Role),
		Inviter: rules.Inviter(h, m),
		Name:    string(m.Spec.DisplayName),
		Expires: claims.Expires,
		Locales: []string{string(m.Spec.Locale)},
	}
	if h.Organization != nil {
		inv.Organization = rules.Name(h.Organization)
		if i := h.Organization.Spec.Invitations; i != nil {
			inv.Locales = append(inv.Locales, string(i.Locale))
		}
	}
	if inv.Status == Open {
		names, err := s.Facts.AssignedWorkspaces(ctx, h, m)
		if err != nil {
			return Invitation{}, err
		}
		shown := min(len(names), maxWorkspaces)
		inv.Workspaces, inv.MoreWorkspaces = names[:shown], len(names)-shown
	}
	return inv, nil
}

// maxWorkspaces is how many workspaces a page names.
const maxWorkspaces = 10

var statusOf = map[rules.LinkState]Status{
	rules.LinkWithdrawn:  Withdrawn,
	rules.LinkSuperseded: Superseded,
	rules.LinkAccepted:   AlreadyAccepted,
	rules.LinkDeclined:   AlreadyDeclined,
	rules.LinkExpired:    Expired,
	rules.LinkOpen:       Open,
}
