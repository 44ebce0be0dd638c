package controllers_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/controllers"
)

const (
	roleNews = "Your role in acme has changed."
	endNews  = "Your membership in acme has ended."
)

// promote gives a member another role.
func promote(h *home, m *v1alpha1.OrgMember, role v1alpha1.Role) {
	h.t.Helper()
	edit(h, m, func(m *v1alpha1.OrgMember) { m.Spec.Role = role })
}

// joins adds a member and waits until they are active.
func (h *home) joins(name string, change ...func(*v1alpha1.OrgMember)) *v1alpha1.OrgMember {
	h.t.Helper()
	m := h.member(name, v1alpha1.RoleMember, append(change, joined)...)
	h.create(m)
	h.becomes(m, "Ready", "True/Active")
	return m
}

// toldOfMembership waits until the notice of a member is as the check wants it.
func (h *home) toldOfMembership(m *v1alpha1.OrgMember, check func(*v1alpha1.MembershipNotice) bool) {
	h.t.Helper()
	h.eventually("the notice of "+m.Name, func() error {
		if h.get(m); m.Status.MembershipNotice == nil || !check(m.Status.MembershipNotice) {
			return fmt.Errorf("%+v", m.Status.MembershipNotice)
		}
		return nil
	})
}

// bidsFarewellTo waits until nobody of the organization is still to be told.
func (h *home) bidsFarewellTo(acme *v1alpha1.Organization, names ...string) {
	h.t.Helper()
	h.eventually("farewells", func() error {
		h.get(acme)
		var waiting []string
		for _, f := range acme.Status.Farewells {
			waiting = append(waiting, f.Member)
		}
		if diff := cmp.Diff(names, waiting); diff != "" {
			return errors.New(diff)
		}
		return nil
	})
}

// Each change of a role is told once to those who have joined, in the words of then.
func TestRoleMails(t *testing.T) {
	h := operate(t).home(t)
	h.found()
	mia := h.joins("mia", func(m *v1alpha1.OrgMember) { m.Spec.Locale = "it" })
	joe := h.joins("joe")
	ina, _ := h.invited("ina")
	robot := h.robot("ci", h.name)
	h.create(robot)
	h.becomes(robot, "Ready", "True/Active")
	for _, m := range []*v1alpha1.OrgMember{mia, joe, ina, robot} {
		promote(h, m, v1alpha1.RoleUserAdmin)
	}
	l := h.reads("joe", roleNews, "Old role:     member\r\nNew role:     user admin", " UTC\r\n")
	h.get(joe)
	if n := joe.Status.MembershipNotice; l.messageID != fmt.Sprintf("<%s.1.role-changed@orgkeeper.example>", joe.UID) || !strings.HasPrefix(l.date, n.At.UTC().Format("Mon, 02 Jan 2006 15:04:05")) {
		t.Errorf("Message-ID %s of %s, the change %s", l.messageID, l.date, n.At)
	}
	if l := h.reads("mia"); l.language != "it" {
		t.Errorf("in %s", l.language)
	}
	h.toldOfMembership(joe, func(n *v1alpha1.MembershipNotice) bool { return n.SentAt != nil })
	h.eventually("an Event tells of it", func() error { return h.toldOf(joe, "MembershipMailSent") })
	h.mailsCounted("role-changed", map[string]float64{"sent": 2})

	h.settles()
	before := h.versions()
	h.restart(t)
	h.settles()
	if diff := cmp.Diff(before, h.versions()); diff != "" {
		t.Errorf("a restart wrote: %s", diff)
	}
	promote(h, joe, v1alpha1.RoleMember)
	if l := h.mailed("joe", 2)[1]; !strings.Contains(l.body, "Old role:     user admin\r\nNew role:     member") {
		t.Errorf("the second mail:\n%s", l.body)
	}
	h.settles()
	h.mailed("mia", 1)
	h.mailed("ina", 1) // the invitation: its page shows the present role
	if h.get(robot); robot.Status.MembershipNotice != nil {
		t.Errorf("a robot is told: %+v", robot.Status.MembershipNotice)
	}
}

// What is changed and changed back while no mail gets out is told as what it comes to.
func TestRoleMailsAfterAnOutage(t *testing.T) {
	h := operate(t).home(t)
	h.found()
	mia, joe, sue := h.joins("mia"), h.joins("joe"), h.joins("sue")
	suspend(h, sue, true)
	promote(h, sue, v1alpha1.RoleAdmin)
	h.mail.say(closedToUs)
	h.create(h.member("ina", v1alpha1.RoleMember))
	h.ownEvent(t, "MailerUnavailable")
	is := func(m *v1alpha1.OrgMember, from, to v1alpha1.Role) {
		t.Helper()
		h.toldOfMembership(m, func(n *v1alpha1.MembershipNotice) bool { return n.From == from && n.To == to && n.Serial == 1 })
	}
	promote(h, mia, v1alpha1.RoleAdmin)
	promote(h, joe, v1alpha1.RoleAdmin)
	is(mia, v1alpha1.RoleMember, v1alpha1.RoleAdmin)
	is(joe, v1alpha1.RoleMember, v1alpha1.RoleAdmin)
	promote(h, mia, v1alpha1.RoleMember)
	promote(h, joe, v1alpha1.RoleBillingAdmin)
	is(mia, v1alpha1.RoleMember, v1alpha1.RoleMember)
	is(joe, v1alpha1.RoleMember, v1alpha1.RoleBillingAdmin)
	h.mail.say(nil)
	h.later(time.Hour)
	h.reads("joe", "Old role:     member\r\nNew role:     billing admin")
	h.settles()
	h.mailed("mia", 0)
	h.mailed("sue", 0)
	suspend(h, sue, false)
	h.reads("sue", "Old role:     member\r\nNew role:     admin")
}

func suspend(h *home, m *v1alpha1.OrgMember, yes bool) {
	h.t.Helper()
	edit(h, m, func(m *v1alpha1.OrgMember) { m.Spec.Suspended = yes })
	want := "True/Active"
	if yes {
		want = "True/Suspended"
	}
	h.becomes(m, "Ready", want)
}

// A membership ends at its time: told once. To delete what is over is nothing new; to renew it is, and so is the next end.
func TestEndMails(t *testing.T) {
	h := operate(t).home(t)
	h.found()
	end := h.clock.Now().Add(time.Hour).Truncate(time.Second)
	mia, joe := h.joins("mia", until(end)), h.joins("joe", until(end))
	ina, _ := h.invited("ina", until(end))
	h.later(2 * time.Hour)
	h.becomes(mia, "Ready", "True/MembershipExpired")
	l := h.reads("mia", endNews, "Ended:", end.UTC().Format("15:04"))
	if l.messageID != fmt.Sprintf("<%s.1.membership-ended@orgkeeper.example>", mia.UID) {
		t.Errorf("Message-ID %s", l.messageID)
	}
	h.mailed("joe", 1)
	h.toldOfMembership(joe, func(n *v1alpha1.MembershipNotice) bool { return n.SentAt != nil })
	h.delete(joe)
	h.goes(joe)
	edit(h, mia, func(m *v1alpha1.OrgMember) { m.Spec.ExpiresAt = &metav1.Time{Time: end.Add(10 * time.Hour)} })
	h.becomes(mia, "Ready", "True/Active")
	h.later(11 * time.Hour)
	h.mailed("mia", 2)
	h.settles()
	h.mailed("joe", 1)
	h.mailed("ina", 1) // the invitation alone
	if h.get(ina); ina.Status.MembershipNotice != nil {
		t.Errorf("who never joined is told: %+v", ina.Status.MembershipNotice)
	}
}

// Whoever is removed is told, if they had joined, and nobody else.
func TestFarewells(t *testing.T) {
	h := operate(t).home(t)
	acme, jane := h.found()
	joe, sue := h.joins("joe", called("Joe Doe")), h.joins("sue", func(m *v1alpha1.OrgMember) { m.Spec.Locale = "pl" })
	suspend(h, sue, true)
	ina, _ := h.invited("ina")
	robot := h.robot("ci", h.name)
	h.create(robot)
	h.becomes(robot, "Ready", "True/Active")
	h.delete(joe, sue, ina, robot)
	h.goes(joe, sue, ina, robot)
	l := h.reads("joe", "Hello Joe Doe,", endNews)
	if l.messageID != fmt.Sprintf("<%s.1.membership-ended@orgkeeper.example>", joe.UID) {
		t.Errorf("Message-ID %s", l.messageID)
	}
	if l := h.reads("sue"); l.language != "pl" {
		t.Errorf("in %s", l.language)
	}
	h.bidsFarewellTo(acme)
	h.eventually("an Event tells of it", func() error { return h.toldOf(acme, "MembershipMailSent") })
	h.mailsCounted("membership-ended", map[string]float64{"sent": 2})

	// Somebody else of the same name is another membership.
	joe = h.joins("joe")
	h.delete(joe)
	h.goes(joe)
	h.mailed("joe", 2)
	h.bidsFarewellTo(acme)

	// The owner before hears of both.
	ann := h.admits("ann")
	h.recorded(acme, jane)
	h.transfer(acme, "ann")
	h.recorded(acme, ann)
	h.mailed("jane", 1)
	h.delete(jane)
	h.goes(jane)
	if l := h.mailed("jane", 2)[1]; !strings.Contains(l.body, endNews) {
		t.Errorf("the second mail to jane:\n%s", l.body)
	}

	// When all goes nobody is told, and nothing waits.
	h.bidsFarewellTo(acme)
	mia := h.joins("mia")
	h.mail.say(refusedForNow)
	h.delete(acme)
	h.goes(acme, mia, ann)
	h.settles()
	h.mailed("mia", 0)
	if n := h.mail.refusals(); n != 0 {
		t.Errorf("%d tries to tell of the end of the organization", n)
	}
}

// Nobody waits for the mail server to be removed, and whoever was is told when it is back, by an operator that knew none of them.
func TestFarewellsAfterAnOutage(t *testing.T) {
	h := operate(t).home(t)
	acme, _ := h.found()
	joe, sue, mia := h.joins("joe"), h.joins("sue"), h.joins("mia", until(h.clock.Now().Add(time.Hour)))
	h.mail.say(refusedForNow)
	h.delete(joe)
	h.goes(joe)
	h.later(2 * time.Hour)
	h.becomes(mia, "Ready", "True/MembershipExpired")
	h.toldOfMembership(mia, func(n *v1alpha1.MembershipNotice) bool { return n.NextAttemptAt != nil && n.LastError != "" })
	h.delete(mia, sue)
	h.goes(mia, sue)
	h.eventually("three wait", func() error {
		if h.get(acme); len(acme.Status.Farewells) != 3 {
			return fmt.Errorf("%+v", acme.Status.Farewells)
		}
		for _, f := range acme.Status.Farewells {
			if f.NextAttemptAt == nil || f.LastError == "" || strings.Contains(f.LastError, addressDomain) {
				return fmt.Errorf("%+v", f)
			}
		}
		return nil
	})
	h.eventually("an Event tells of it", func() error { return h.toldOf(acme, "MembershipMailDeferred") })
	h.mail.say(nil)
	h.restart(t)
	h.later(5 * time.Hour)
	for _, name := range []string{"joe", "sue", "mia"} {
		h.reads(name, endNews)
	}
	h.bidsFarewellTo(acme)
}

// Refused for good: said by an Event, and over with.
func TestFarewellRefusedForGood(t *testing.T) {
	h := operate(t).home(t)
	acme, _ := h.found()
	joe := h.joins("joe")
	h.mail.say(refusedForGood)
	h.delete(joe)
	h.goes(joe)
	h.eventually("an Event tells of it", func() error { return h.toldOf(acme, "MembershipMailRejected") })
	h.bidsFarewellTo(acme)
	h.later(24 * time.Hour)
	h.settles()
	if n := h.mail.refusals(); n != 1 {
		t.Errorf("%d tries", n)
	}
}

// Refused for now, for five days: that was it, and the address is not kept.
func TestFarewellIsGivenUp(t *testing.T) {
	h := operate(t).home(t)
	acme, _ := h.found()
	joe := h.joins("joe")
	h.mail.say(refusedForNow)
	h.delete(joe)
	h.goes(joe)
	h.eventually("an Event tells of it", func() error { return h.toldOf(acme, "MembershipMailDeferred") })
	h.later(5*24*time.Hour - time.Hour)
	h.eventually("a second try", func() error {
		if h.get(acme); len(acme.Status.Farewells) != 1 || acme.Status.Farewells[0].Attempts != 2 || acme.Status.Farewells[0].NextAttemptAt == nil {
			return fmt.Errorf("%+v", acme.Status.Farewells)
		}
		return nil
	})
	h.later(2 * time.Hour)
	h.bidsFarewellTo(acme)
	h.eventually("an Event tells of it", func() error { return h.toldOf(acme, "MembershipMailRejected") })
	h.mail.say(nil)
	h.later(24 * time.Hour)
	h.settles()
	h.mailed("joe", 0)
}

// The role of the owner before is told with the ownership, in one mail.
func TestRoleThatFallsWithTheOwnership(t *testing.T) {
	h := operate(t).home(t)
	acme, jane := h.organization("acme", "jane"), h.member("jane", v1alpha1.RoleBillingAdmin, joined)
	h.create(jane, acme)
	h.recorded(acme, jane)
	h.becomes(jane, "OwnerProtected", "True/Demoted")
	ann := h.admits("ann")
	h.transfer(acme, "ann")
	h.recorded(acme, ann)
	h.reads("jane", lost, "Your role is now billing admin.")
	h.settles()
	h.mailed("jane", 1)
}

// The mails count for the organization's share as invitations do, but for those to people who were removed.
func TestMembershipMailLimit(t *testing.T) {
	h := operate(t, func(o *operator) { o.mailLimit = 2 }).home(t)
	acme, _ := h.found()
	mia, joe, sue := h.joins("mia"), h.joins("joe"), h.joins("sue")
	promote(h, mia, v1alpha1.RoleUserAdmin)
	h.mailed("mia", 1)
	promote(h, mia, v1alpha1.RoleMember)
	h.mailed("mia", 2)
	promote(h, mia, v1alpha1.RoleUserAdmin)
	h.toldOfMembership(mia, func(n *v1alpha1.MembershipNotice) bool {
		return n.Attempts == 0 && n.NextAttemptAt != nil && n.NextAttemptAt.After(h.clock.Now().Add(20*time.Hour))
	})
	promote(h, joe, v1alpha1.RoleUserAdmin)
	h.toldOfMembership(joe, func(n *v1alpha1.MembershipNotice) bool { return n.Attempts == 0 && n.NextAttemptAt != nil })
	h.delete(sue)
	h.goes(sue)
	h.reads("sue", endNews)
	h.settles()
	before := h.versions()
	h.restart(t)
	h.settles()
	if diff := cmp.Diff(before, h.versions()); diff != "" {
		t.Errorf("who waits is written anew: %s", diff)
	}
	h.mailed("mia", 2)
	h.later(26 * time.Hour)
	h.mailed("mia", 3)
	h.mailed("joe", 1)
	if h.get(acme); len(acme.Status.Mails) == 0 {
		t.Error("nothing is counted")
	}
}

// leaver is somebody who was removed and is to be told, as a sender that is called by the test sees them.
func leaver(t *testing.T, change func(*controllers.Deps)) (*home, *v1alpha1.Organization) {
	t.Helper()
	h := operate(t, idle, with(change)).home(t)
	acme, _ := h.found()
	editStatus(h, acme, func(o *v1alpha1.Organization) {
		o.Status.Farewells = []v1alpha1.Farewell{{
			UID: "gone", Member: "joe", Email: v1alpha1.EmailAddress(h.user("joe")), Serial: 3, At: metav1.NewTime(time.Now().Truncate(time.Second)),
		}}
	})
	h.eventually("the cache shows it", func() error {
		seen, err := h.deps.Facts.Home(t.Context(), h.name)
		if err != nil || seen.Organization == nil || seen.Organization.Status.Farewells == nil {
			return fmt.Errorf("no farewell: %w", err)
		}
		return nil
	})
	return h, acme
}

// Several senders act on the same record, as a paused leader and its successor would: one mail goes out.
func TestOnlyOneSenderBidsFarewell(t *testing.T) {
	h, acme := leaver(t, func(*controllers.Deps) {})
	var senders sync.WaitGroup
	var conflicts atomic.Int32
	for range 4 {
		sender := &controllers.FarewellReconciler{Deps: h.deps}
		senders.Go(func() {
			if _, err := sender.Reconcile(t.Context(), acme.DeepCopy()); apierrors.IsConflict(err) {
				conflicts.Add(1)
			} else if err != nil {
				t.Error(err)
			}
		})
	}
	senders.Wait()
	if got := len(h.mail.to(h.user("joe"))); got != 1 || conflicts.Load() != 3 {
		t.Errorf("%d mails, %d senders met a conflict", got, conflicts.Load())
	}
}

// The operator dies between sending and recording. The next one sends the very same mail again: Message-ID, date and words.
func TestCrashRepeatsTheSameFarewell(t *testing.T) {
	var writes atomic.Int32
	h, acme := leaver(t, func(d *controllers.Deps) {
		d.Client = unsteady{d.Client, func() error {
			if writes.Add(1) == 2 {
				return errGone // which ends the tries: nothing of this sender is heard of again
			}
			return nil
		}}
	})
	sender := &controllers.FarewellReconciler{Deps: h.deps}
	turn := func() error {
		_, err := sender.Reconcile(t.Context(), acme)
		return err
	}
	if err := turn(); err != nil {
		t.Fatal(err)
	}
	if h.get(acme); len(acme.Status.Farewells) != 1 || acme.Status.Farewells[0].Attempts != 1 || acme.Status.Farewells[0].SentAt != nil {
		t.Fatalf("the test lost no write: %+v", acme.Status.Farewells)
	}
	h.clock.Step(3 * time.Hour)
	h.eventually("the next turn", turn) // the cache may be behind
	letters := h.mailed("joe", 2)
	if diff := cmp.Diff(letters[0], letters[1], cmp.AllowUnexported(letter{})); diff != "" || letters[0].messageID != "<gone.3.membership-ended@orgkeeper.example>" {
		t.Errorf("the mail repeated after a crash is another one: %s", diff)
	}
	h.bidsFarewellTo(acme)
}

// The invitation names the workspaces that wait for its reader.
func TestInvitationNamesWorkspaces(t *testing.T) {
	h := operate(t).home(t)
	web := h.workspace("web")
	web.Spec.DisplayName = "Web shop"
	h.create(web, h.workspace("api"), h.workspace("etl"), h.assignment("mia", "mia", v1alpha1.AccessEdit, "web", "api", "none-such"), h.assignment("ann", "ann", v1alpha1.AccessEdit, "etl"))
	h.create(h.member("mia", v1alpha1.RoleMember))
	h.eventually("the cache shows what there is", func() error {
		return h.deps.Client.Get(t.Context(), client.ObjectKey{Namespace: h.name, Name: "mia"}, &v1alpha1.WorkspaceAssignment{})
	})
	h.found()
	if l := h.mailed("mia", 1)[0]; !strings.Contains(l.body, "Workspaces: api, Web shop\r\n") {
		t.Errorf("the mail:\n%s", l.body)
	}
}
