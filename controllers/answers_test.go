package controllers_test

import (
	"context"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/internal/invite"
	"github.com/orgkeeper/orgkeeper/internal/portal"
)

// These tests are about portal.ClusterStore with the operator beside it: both write the status of one member.

// store is what the invitation page asks, with the operator's rights.
func (o *operator) store() portal.ClusterStore {
	return portal.ClusterStore{Facts: o.deps.Facts, Live: o.deps.Live, Client: o.deps.Client, Describe: o.deps.Describe}
}

// invited is an invited member and the link that they got.
func (h *home) invited(name string, change ...func(*v1alpha1.OrgMember)) (*v1alpha1.OrgMember, invite.Claims) {
	h.t.Helper()
	m := h.member(name, v1alpha1.RoleMember, change...)
	h.create(m)
	h.becomes(m, "Ready", "True/AwaitingAcceptance")
	return m, h.link(m)
}

// link is the last link that a member got.
func (h *home) link(m *v1alpha1.OrgMember) invite.Claims {
	h.t.Helper()
	letters := h.mail.to(h.userOf(m))
	claims, err := h.keys.Verify(letters[len(letters)-1].token)
	if err != nil {
		h.t.Fatal(err)
	}
	return claims
}

type ask = func(context.Context, invite.Claims) (portal.Invitation, error)

// answers fails the test unless the store answers so.
func (h *home) answers(ask ask, claims invite.Claims, want portal.Status) {
	h.t.Helper()
	if got, err := ask(h.t.Context(), claims); err != nil || got.Status != want {
		h.t.Errorf("the answer is %v (%v), not %v", got.Status, err, want)
	}
}

// shows waits until the page, which reads the cache, shows a link so.
func (h *home) shows(claims invite.Claims, want portal.Status) {
	h.t.Helper()
	h.eventually("the page", func() error {
		got, err := h.store().Invitation(h.t.Context(), claims)
		if err == nil && got.Status != want {
			err = &statusError{got.Status, want}
		}
		return err
	})
}

type statusError struct{ got, want portal.Status }

func (e *statusError) Error() string { return "it shows " + string(e.got) + ", not " + string(e.want) }

func TestAnswers(t *testing.T) {
	together(t, map[string]func(*home){
		"accept, then anything":              accepting,
		"decline, then anything":             declining,
		"many at once":                       acceptingAtOnce,
		"accept against other writers":       acceptingAmongWriters,
		"after a resend":                     superseded,
		"after deletion and creation anew":   deletedMember,
		"suspended or at the end":            withdrawn,
		"the organization goes":              leavingOrganization,
		"forged: a member who was not asked": neverInvited,
	})
}

func accepting(h *home) {
	h.found()
	h.create(h.workspace("web"), h.assignment("mia", "mia", v1alpha1.AccessEdit, "web"))
	mia, claims := h.invited("mia")
	h.answers(h.store().Invitation, claims, portal.Open)
	if h.get(mia); mia.Status.AcceptedAt != nil || mia.Status.State != v1alpha1.StatePending {
		h.t.Error("looking at the page changed the member")
	}
	h.answers(h.store().Accept, claims, portal.Accepted)
	h.becomes(mia, "Ready", "True/Active")
	h.becomes(mia, "Accepted", "True/Accepted")
	h.has(h.user("mia"), h.in("web"), v1alpha1.AccessEdit)
	h.shows(claims, portal.AlreadyAccepted)
	accepted := mia.Status.AcceptedAt
	h.answers(h.store().Accept, claims, portal.AlreadyAccepted)
	h.answers(h.store().Decline, claims, portal.AlreadyAccepted)
	if h.get(mia); !mia.Status.AcceptedAt.Equal(accepted) || mia.Status.DeclinedAt != nil {
		h.t.Error("a second answer counted")
	}
}

func declining(h *home) {
	h.found()
	mia, claims := h.invited("mia")
	h.answers(h.store().Decline, claims, portal.Declined)
	h.becomes(mia, "Ready", "True/Declined")
	h.becomes(mia, "Accepted", "False/Declined")
	if mia.Status.State != v1alpha1.StateDeclined {
		h.t.Errorf("state %s", mia.Status.State)
	}
	h.answers(h.store().Accept, claims, portal.AlreadyDeclined)
	h.answers(h.store().Decline, claims, portal.AlreadyDeclined)
	if h.get(mia); mia.Status.AcceptedAt != nil {
		h.t.Error("accepted after declining")
	}
}

// Exactly one of many answers counts.
func acceptingAtOnce(h *home) {
	h.found()
	_, claims := h.invited("mia")
	var mu sync.Mutex
	got := map[portal.Status]int{}
	var people sync.WaitGroup
	for i := range 12 {
		do := h.store().Accept
		if i%3 == 2 {
			do = h.store().Decline
		}
		people.Go(func() {
			answer, err := do(context.Background(), claims)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				h.t.Error(err)
			}
			got[answer.Status]++
		})
	}
	people.Wait()
	yes := got[portal.Accepted] == 1 && got[portal.AlreadyAccepted] == 11
	no := got[portal.Declined] == 1 && got[portal.AlreadyDeclined] == 11
	if !yes && !no {
		h.t.Errorf("answers: %v", got)
	}
}

// The operator and others write the status all the time: the person's answer gets in, and nobody's write is lost.
func acceptingAmongWriters(h *home) {
	h.found()
	mia, claims := h.invited("mia")
	ctx, cancel := context.WithCancel(h.t.Context())
	var others sync.WaitGroup
	others.Go(func() {
		for ctx.Err() == nil {
			m := &v1alpha1.OrgMember{ObjectMeta: h.meta("mia")}
			h.get(m)
			m.Status.LastActiveTime = &metav1.Time{Time: time.Now().Add(-time.Hour)}
			_ = admin.Status().Update(context.Background(), m) // a conflict is what this is about
		}
	})
	h.answers(h.store().Accept, claims, portal.Accepted)
	cancel()
	others.Wait()
	h.becomes(mia, "Ready", "True/Active")
	if mia.Status.Invitation == nil || mia.Status.Invitation.SentAt == nil || mia.Status.AcceptedAt == nil {
		h.t.Errorf("a write was lost: %+v", mia.Status)
	}
}

// A resend voids the older link, also while the page still shows the old state.
func superseded(h *home) {
	h.found()
	mia, old := h.invited("mia")
	resend(h, mia, "1")
	h.mailed("mia", 2)
	h.becomes(mia, "InvitationSent", "True/InvitationSent")
	h.answers(h.store().Accept, old, portal.Superseded)
	h.shows(old, portal.Superseded)
	h.answers(h.store().Accept, h.link(mia), portal.Accepted)
	h.answers(h.store().Accept, old, portal.AlreadyAccepted)
}

// The link of a member who is gone is void, also for a new member of that name.
func deletedMember(h *home) {
	h.found()
	mia, claims := h.invited("mia")
	h.delete(mia)
	h.goes(mia)
	h.answers(h.store().Accept, claims, portal.Withdrawn)
	again, _ := h.invited("mia")
	h.answers(h.store().Accept, claims, portal.Withdrawn)
	h.shows(claims, portal.Withdrawn)
	if h.get(again); again.Status.AcceptedAt != nil {
		h.t.Error("the old link accepted for the new member")
	}
	h.answers(h.store().Decline, invite.Claims{UID: "nobody", Serial: 1, Expires: claims.Expires}, portal.Withdrawn)
}

// Whom the organization set aside cannot come in by an old mail, and can when that ends.
func withdrawn(h *home) {
	h.found()
	mia, claims := h.invited("mia")
	edit(h, mia, func(m *v1alpha1.OrgMember) { m.Spec.Suspended = true })
	h.answers(h.store().Accept, claims, portal.Withdrawn)
	edit(h, mia, func(m *v1alpha1.OrgMember) {
		m.Spec.Suspended = false
		until(time.Now().Add(2 * time.Second))(m)
	})
	h.becomes(mia, "Ready", "True/MembershipExpired")
	h.answers(h.store().Accept, claims, portal.Withdrawn)
	edit(h, mia, func(m *v1alpha1.OrgMember) { m.Spec.ExpiresAt = nil })
	h.answers(h.store().Accept, claims, portal.Accepted)
	h.becomes(mia, "Ready", "True/Active")
}

// While the organization goes nobody joins it any more.
func leavingOrganization(h *home) {
	acme, _ := h.found()
	edit(h, acme, func(o *v1alpha1.Organization) { o.Finalizers = append(o.Finalizers, "test.example/wait") })
	_, claims := h.invited("mia")
	h.delete(acme)
	h.shows(claims, portal.Withdrawn)
	h.answers(h.store().Accept, claims, portal.Withdrawn)
	edit(h, acme, func(o *v1alpha1.Organization) { o.Finalizers = nil })
}

// A genuine signature over a member without invitation opens nothing.
func neverInvited(h *home) {
	_, jane := h.found()
	h.becomes(jane, "Ready", "True/Active")
	claims := invite.Claims{UID: string(jane.UID), Serial: 1, Expires: time.Now().Add(time.Hour)}
	h.answers(h.store().Accept, claims, portal.Withdrawn)
	_, real := h.invited("mia")
	real.Expires = real.Expires.Add(time.Hour) // what an older key holder could sign
	h.answers(h.store().Accept, real, portal.Superseded)
	real.Serial, real.Expires = 7, real.Expires.Add(-time.Hour)
	h.answers(h.store().Accept, real, portal.Superseded)
}

// Time alone closes a link.
func TestAnswerTooLate(t *testing.T) {
	h := operate(t).home(t)
	h.found()
	mia, claims := h.invited("mia")
	h.clock.Step(7*24*time.Hour - time.Minute)
	h.answers(h.store().Invitation, claims, portal.Open)
	h.clock.Step(2 * time.Minute)
	h.answers(h.store().Invitation, claims, portal.Expired)
	h.answers(h.store().Accept, claims, portal.Expired)
	h.answers(h.store().Decline, claims, portal.Expired)
	h.later(0)
	h.becomes(mia, "Ready", "True/InvitationExpired")
}
