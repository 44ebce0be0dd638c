package controllers

import (
	"context"
	"fmt"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/internal/facts"
	"github.com/orgkeeper/orgkeeper/internal/rules"
)

// An organization's share of the mails. What was sent is counted in status.mails of the Organization, before the mail goes
// out and once for each mail, so that neither a restart nor members who come and go make the count forget.

// stamps are the mails that were counted and did not go out, since somebody wrote the member meanwhile: they are tried again at
// once, and not to be counted again. Lost with the process; the count is then higher than what went out, never lower.
type stamps struct {
	mu   sync.Mutex
	hour time.Time
	held map[stamp]struct{}
}

type stamp struct {
	member types.UID
	serial int32
	sort   string
}

// has says whether a mail was counted already, in the present hour: a stamp is not for another day.
func (s *stamps) has(of stamp, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.held[of]
	return ok && s.hour.Equal(now.Truncate(time.Hour))
}

func (s *stamps) buy(of stamp, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if hour := now.Truncate(time.Hour); s.held == nil || !s.hour.Equal(hour) {
		s.hour, s.held = hour, map[stamp]struct{}{}
	}
	s.held[of] = struct{}{}
}

func (s *stamps) use(of stamp) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.held, of)
}

// aloft are mails from before the record of their try until that of its outcome. Of this process alone: after a crash nobody
// knows what became of them, and they are sent again.
type aloft struct {
	mu    sync.Mutex
	mails map[stamp]struct{}
}

func (a *aloft) has(m stamp) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, ok := a.mails[m]
	return ok
}

// leave puts a mail among them, until landed.
func (a *aloft) leave(m stamp) (landed func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.mails == nil {
		a.mails = map[stamp]struct{}{}
	}
	a.mails[m] = struct{}{}
	return func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		delete(a.mails, m)
	}
}

// charge is what a mail costs: a place in the share, when it is tried for the first time.
type charge struct {
	stamp
	first bool
}

func chargeOf(m *v1alpha1.OrgMember, due *rules.InvitationMail) charge {
	sort := sortInvitation
	if due.Reminder {
		sort = sortReminder
	}
	return charge{stamp{m.UID, due.Record.Serial, sort}, due.First}
}

// limited says that a mail is one to count.
func (d Deps) limited(c charge) bool {
	return c.first && d.Post.LimitPerOrganization > 0 && !d.Post.stamps.has(c.stamp, d.Clock.Now())
}

func (d Deps) allowance(o *v1alpha1.Organization) rules.Allowance {
	return rules.Allowance{Limit: d.Post.LimitPerOrganization, Sent: o.Status.Mails, Now: d.Clock.Now()}
}

// standInLine says when the turn of a mail comes, and writes it down; zero for now.
func (r *InvitationReconciler) standInLine(ctx context.Context, h rules.Home, m *v1alpha1.OrgMember, due *rules.InvitationMail) (time.Time, error) {
	if !r.limited(chargeOf(m, due)) {
		return rules.Never, nil
	}
	allowance := r.allowance(h.Organization)
	now, at := allowance.Turn(r.ahead(m))
	wake := at
	if !now && !allowance.Taken() {
		wake = rules.Earliest(at, r.Clock.Now().Add(lookAgain))
	}
	if now || due.Reminder {
		return wake, nil
	}
	// Whoever is in line keeps the moment that was written down, so that one who joins the line ahead of them, as by a resend,
	// costs no write for each of the others.
	if inLine(m) {
		switch next := m.Status.Invitation.NextAttemptAt; {
		case !allowance.Taken():
			return wake, nil
		case next != nil && next.After(r.Clock.Now()):
			return rules.Earliest(wake, next.Time), nil
		}
	}
	if err := r.confirmSeat(ctx, h, m); err != nil {
		return rules.Never, err
	}
	before := m.DeepCopy()
	m.Status.Invitation = rules.InLine(m.Status.Invitation, due.Record, at)
	r.condition(m, v1alpha1.ConditionInvitationSent, metav1.ConditionFalse, v1alpha1.ReasonInvitationLimited,
		fmt.Sprintf("the organization has sent as many mails as it may in a day (%d); this one goes out by itself when its turn comes", r.Post.LimitPerOrganization))
	return wake, r.patchStatus(ctx, before, m)
}

// inLine says that a member is in line for an invitation.
func inLine(m *v1alpha1.OrgMember) bool {
	c := meta.FindStatusCondition(m.Status.Conditions, v1alpha1.ConditionInvitationSent)
	return c != nil && c.Reason == v1alpha1.ReasonInvitationLimited && m.Status.Invitation != nil
}

// ahead is how many of the organization go before a member. It is asked for each mail and at each wake-up, of lines that are kept in
// order: to look through all who wait each time made an import of thousands cost its square.
func (d Deps) ahead(m *v1alpha1.OrgMember) int { return d.Post.lines.Ahead(m) }

// lines is a source of no requests, for controllers that ask for the line: it lets them start when everybody is in it.
type lines struct {
	*facts.Lines
	cache cache.Cache
}

// Start begins to follow the members.
func (l lines) Start(ctx context.Context, _ queue) error { return l.Follow(ctx, l.cache) }

// inOrder is the source for a controller of a manager.
func (p *Post) inOrder(mgr ctrl.Manager) source.SyncingSource { return lines{&p.lines, mgr.GetCache()} }

// spend counts a mail that is about to go out. It says no when there is no room, which the cache does not show yet.
func (d Deps) spend(ctx context.Context, h rules.Home, m *v1alpha1.OrgMember, c charge) (bool, error) {
	if !d.limited(c) {
		return true, nil
	}
	// Whoever is seen to have left the line was counted before, so that the live count is never older than the line.
	ahead := d.ahead(m)
	ctx, cancel := context.WithTimeout(ctx, persistence)
	defer cancel()
	room := false
	err := between.DelayFunc().Until(ctx, true, true, func(ctx context.Context) (bool, error) {
		o := &v1alpha1.Organization{}
		if err := d.Live.Get(ctx, client.ObjectKeyFromObject(h.Organization), o); err != nil {
			return false, fmt.Errorf("get organization %s/%s: %w", h.Namespace, h.Organization.Name, err)
		}
		if room, _ = d.allowance(o).Turn(ahead); !room {
			return true, nil
		}
		before := o.DeepCopy()
		o.Status.Mails = d.allowance(o).Spend()
		err := d.patchStatus(ctx, before, o)
		if apierrors.IsConflict(err) {
			return false, nil // others write it as well
		}
		return err == nil, err
	})
	if room && err == nil {
		d.Post.stamps.buy(c.stamp, d.Clock.Now())
	}
	return room && err == nil, err
}
