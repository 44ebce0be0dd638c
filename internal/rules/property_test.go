package rules_test

import (
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"k8s.io/apimachinery/pkg/types"
	"pgregory.net/rapid"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/internal/rules"
)

// TestAnySequence lets people, pipelines, controllers and time do whatever they like to an organization of up to six
// members, and holds the rules to their promises after each step.
func TestAnySequence(t *testing.T) {
	t.Run("from nothing", func(t *testing.T) { anySequence(t) })
	for range 2 {
		t.Run("from an organization at work", func(t *testing.T) {
			anySequence(t, member("a", accepted), member("b", admin, accepted), member("c", admin, withoutAsking), member("d", invited))
		})
	}
}

func anySequence(t *testing.T, members ...*v1alpha1.OrgMember) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(members)
		t.Repeat(map[string]func(*rapid.T){
			"": w.check,
			// What people declare.
			"create":         w.create,
			"delete":         w.delete,
			"suspend":        w.suspend,
			"expire":         w.expire,
			"role":           w.changeRole,
			"mode":           w.changeMode,
			"transfer":       w.transfer,
			"administration": w.administration,
			"assign":         w.assign,
			"resend":         w.resend,
			"domains":        w.allowDomains,
			"seats":          w.book,
			"cancel":         w.cancel,
			"policies":       func(*rapid.T) { w.unguarded = !w.unguarded },
			// What invited people do.
			"answer": w.answer,
			// What the operator does, each controller in its own time.
			"organization controller": w.reconcileOrganization,
			"orgmember controller":    w.reconcileMembers,
			"invitation controller":   w.invite,
			"ownership mail":          w.tell,
			// What befalls them.
			"time":   w.pass,
			"remove": w.removeByForce,
		})
	})
}

// world is an organization and those who act on it. It plays the controllers as far as the rules depend on what they
// record: the roles bound in the home, status.owner, acceptance, finalizers.
type world struct {
	now          time.Time
	organization *v1alpha1.Organization
	members      []v1alpha1.OrgMember
	assignments  []v1alpha1.WorkspaceAssignment
	born         int
	links        []link
	// bound is who the RoleBindings of the home name.
	bound rules.HomeAccess
	// unguarded: the admission policies are not as shipped.
	unguarded bool
	// owned: an owner was recorded, and nobody removed one by force since.
	owned bool
	// seated are the people who had a seat after the step before.
	seated map[string]bool
	// held are those on record as Pending under an invitation.
	held map[string]bool
}

// link is a mail that went out.
type link struct {
	member  types.UID
	serial  int32
	expires time.Time
}

func newWorld(members []*v1alpha1.OrgMember) *world {
	w := &world{now: now, organization: acme()}
	w.organization.Spec.Owner = "a"
	for _, m := range members {
		w.members = append(w.members, *m.DeepCopy())
	}
	w.reconcileOrganization(nil)
	return w
}

var (
	memberNames = []string{"a", "b", "c", "d", "e", "f"}
	workspaces  = []v1alpha1.Workspace{*workspace("web"), *workspace("api")}
)

func robotHomes(namespace string) bool { return namespace == "acme" || namespace == "acme--web" }

func (w *world) create(t *rapid.T) {
	name := rapid.SampledFrom(memberNames).Draw(t, "name")
	if w.member(name) != nil {
		t.Skip("exists")
	}
	w.born++
	m := member(name, bornAt(w.now.Truncate(time.Second)))
	m.UID = types.UID(fmt.Sprintf("uid-%d", w.born))
	// Emails and usernames collide now and then.
	m.Spec.Email = v1alpha1.EmailAddress(rapid.SampledFrom([]string{name, name, name, "A", "\u212A", "k"}).Draw(t, "email") + "@acme.example")
	m.Spec.Username = rapid.SampledFrom([]string{
		"", "", "", "", "same", "a@acme.example", "system:serviceaccount:acme:ci", "system:serviceaccount:other:ci",
	}).Draw(t, "username")
	m.Spec.Role = w.drawRole(t)
	m.Spec.Suspended = rapid.IntRange(0, 5).Draw(t, "suspended") == 0
	if rapid.Bool().Draw(t, "without asking") {
		withoutAsking(m)
	}
	w.members = append(w.members, *m)
}

func (w *world) delete(t *rapid.T) {
	m := w.drawMember(t)
	if m.DeletionTimestamp == nil {
		m.DeletionTimestamp = stamp(w.now)
	}
}

func (w *world) suspend(t *rapid.T) {
	m := w.drawMember(t)
	m.Spec.Suspended = !m.Spec.Suspended
}

func (w *world) expire(t *rapid.T) {
	m := w.drawMember(t)
	after := rapid.SampledFrom([]time.Duration{-time.Hour, 0, 1, time.Hour, 48 * time.Hour}).Draw(t, "after")
	m.Spec.ExpiresAt = stamp(w.now.Add(after))
	if rapid.Bool().Draw(t, "never") {
		m.Spec.ExpiresAt = nil
	}
}

func (w *world) changeRole(t *rapid.T) { w.drawMember(t).Spec.Role = w.drawRole(t) }

func (w *world) changeMode(t *rapid.T) {
	mode := rapid.SampledFrom([]memberOption{withoutAsking, byMail, func(m *v1alpha1.OrgMember) { m.Spec.Invitation = nil }}).Draw(t, "mode")
	mode(w.drawMember(t))
}

func (w *world) transfer(t *rapid.T) {
	w.organization.Spec.Owner = rapid.SampledFrom(memberNames).Draw(t, "owner")
}

func (w *world) administration(t *rapid.T) {
	w.organization.Spec.Administration = rapid.SampledFrom([]v1alpha1.Administration{
		v1alpha1.AdministrationShared, v1alpha1.AdministrationOwnerOnly,
	}).Draw(t, "administration")
}

func (w *world) assign(t *rapid.T) {
	a := assignment(rapid.SampledFrom(memberNames).Draw(t, "member"), rapid.SampledFrom([][]v1alpha1.WorkspaceName{
		names("web"), names("api"), names("web", "api", "gone"),
	}).Draw(t, "workspaces"))
	a.Spec.Access = rapid.SampledFrom([]v1alpha1.Access{v1alpha1.AccessView, v1alpha1.AccessEdit, v1alpha1.AccessAdmin}).Draw(t, "access")
	switch rapid.IntRange(0, 3).Draw(t, "end") {
	case 0:
		a.Spec.ExpiresAt = stamp(w.now.Add(time.Hour))
	case 1:
		a.DeletionTimestamp = stamp(w.now)
	}
	w.assignments = append(w.assignments, *a)
	w.assignments = w.assignments[max(0, len(w.assignments)-6):]
}

func (w *world) resend(t *rapid.T) {
	resend(rapid.SampledFrom([]string{"", "1", "2"}).Draw(t, "resend"))(w.drawMember(t))
}

// allowDomains lets in everybody, everybody of acme.example, who are all there are, or nobody.
func (w *world) allowDomains(t *rapid.T) {
	domains := rapid.SampledFrom([][]string{nil, {"ACME.example"}, {"other.example"}}).Draw(t, "domains")
	w.organization.Spec.Invitations = &v1alpha1.OrganizationInvitations{AllowedDomains: domains}
}

// refused says that the organization does not let in whoever has not joined.
func (w *world) refused(m *v1alpha1.OrgMember) bool {
	i := w.organization.Spec.Invitations
	return i != nil && slices.Contains(i.AllowedDomains, "other.example") && m.Status.AcceptedAt == nil
}

func (w *world) answer(t *rapid.T) {
	if len(w.links) == 0 {
		t.Skip("no mail yet")
	}
	l := rapid.SampledFrom(w.links).Draw(t, "link")
	m := w.memberOf(l)
	if m == nil || rules.JudgeLink(w.home(), w.facts(m), l.serial, l.expires) != rules.LinkOpen {
		return
	}
	if rapid.Bool().Draw(t, "accept") {
		m.Status.AcceptedAt = stamp(w.now)
		// Lesson 13: an acceptance that succeeds gives something.
		if s := rules.Judge(w.home(), w.facts(m)); !s.Active && !s.Takes {
			t.Fatalf("%s accepted an open invitation and is not active: %+v", m.Name, s)
		}
	} else {
		m.Status.DeclinedAt = stamp(w.now)
	}
}

// reconcileOrganization binds the roles in the home and records the owner.
func (w *world) reconcileOrganization(*rapid.T) {
	h := w.home()
	roll := rules.Take(h, w.members, robotHomes)
	if w.unguarded {
		roll.Access = rules.HomeAccess{
			Owner: kept(roll.Access.Owner, w.bound.Owner), Admins: kept(roll.Access.Admins, w.bound.Admins),
			SharedAdmins: kept(roll.Access.SharedAdmins, w.bound.SharedAdmins), BillingAdmins: kept(roll.Access.BillingAdmins, w.bound.BillingAdmins),
			UserAdmins: kept(roll.Access.UserAdmins, w.bound.UserAdmins),
		}
	}
	o := &w.organization.Status
	o.Transfers = rules.Transfers(w.organization, roll.Recorded, w.members, w.now)
	o.Seats = roll.Seats(w.organization)
	w.bound, o.Owner = roll.Access, roll.Recorded
	if roll.Recorded != "" {
		w.owned = true
	}
}

func kept(wanted, present []string) []string {
	return slices.DeleteFunc(slices.Clone(wanted), func(user string) bool { return !slices.Contains(present, user) })
}

// reconcileMembers records who is active, and lets go who leaves and is bound no more.
func (w *world) reconcileMembers(*rapid.T) {
	h := w.home()
	var stay []v1alpha1.OrgMember
	for i := range w.members {
		m := &w.members[i]
		s := rules.Judge(h, w.facts(m))
		active := s.Active || (s.Takes && s.State == v1alpha1.StateActive)
		if _, robot := rules.Robot(m); active && !robot && m.Status.AcceptedAt == nil {
			m.Status.AcceptedAt = stamp(w.now)
		}
		m.Status.State = s.State
		if m.DeletionTimestamp == nil || s.Protected != "" || w.isBound(s.Username) {
			stay = append(stay, *m)
		}
	}
	w.members = stay
}

// invite sends what is due to one member.
func (w *world) invite(t *rapid.T) {
	m := w.drawMember(t)
	h := w.home()
	record, at := rules.NextInvitation(h, w.facts(m))
	if record == nil {
		if !at.IsZero() && !at.After(w.now) {
			t.Fatalf("%s is to be looked at again at %v, and now it is %v", m.Name, at, w.now)
		}
		return
	}
	if at != rules.Never {
		t.Fatalf("%s: both a mail and a moment to look again", m.Name)
	}
	if old := m.Status.Invitation; old != nil && (record.Serial < old.Serial || record.Serial > old.Serial+1) {
		t.Fatalf("%s: serial %d follows %d", m.Name, record.Serial, old.Serial)
	}
	if old := m.Status.Invitation; old == nil || old.Serial != record.Serial {
		m.Status.DeclinedAt = nil
	}
	m.Status.Invitation = record
	l := link{m.UID, record.Serial, record.ExpiresAt.Time}
	if state := rules.JudgeLink(h, w.facts(m), l.serial, l.expires); state != rules.LinkOpen {
		t.Fatalf("%s is sent a link that stands for %d, not open", m.Name, state)
	}
	w.links = append(w.links, l)
	switch rapid.SampledFrom([]string{"sent", "sent", "sent", "unrecorded", "deferred", "rejected"}).Draw(t, "outcome") {
	case "sent":
		record.SentAt, record.LastError = stamp(w.now), ""
	case "deferred":
		record.LastError, record.NextAttemptAt = "450 later", stamp(w.now.Add(rules.Retry(record.Attempts, false, 0)))
	case "rejected":
		record.LastError, record.RejectedAt = "550 no such user", stamp(w.now)
	}
}

// tell sends a member the mail about the ownership that is due.
func (w *world) tell(t *rapid.T) {
	m := w.drawMember(t)
	n, at := rules.NextNotice(w.home(), m)
	if n == nil {
		if !at.IsZero() && !at.After(w.now) {
			t.Fatalf("%s is to be looked at again at %v, and now it is %v", m.Name, at, w.now)
		}
		return
	}
	if old := m.Status.OwnershipNotice; old != nil && (n.Record.Serial < old.Serial || old.Serial == n.Record.Serial && old.SentAt != nil) {
		t.Fatalf("%s is told of %d after %+v", m.Name, n.Record.Serial, old)
	}
	m.Status.OwnershipNotice = n.Record
	switch rapid.SampledFrom([]string{"sent", "sent", "unrecorded", "deferred"}).Draw(t, "outcome") {
	case "sent":
		n.Record.SentAt = stamp(w.now)
	case "deferred":
		n.Record.NextAttemptAt = stamp(w.now.Add(rules.Retry(n.Record.Attempts, false, 0)))
	}
}

func (w *world) pass(t *rapid.T) {
	w.now = w.now.Add(rapid.SampledFrom([]time.Duration{1, time.Second, time.Minute, time.Hour, 8 * 24 * time.Hour}).Draw(t, "time"))
}

// removeByForce takes an object away whose finalizer somebody stripped. Not even the owner is protected from that.
func (w *world) removeByForce(t *rapid.T) {
	if rapid.IntRange(0, 3).Draw(t, "really") != 0 {
		t.Skip("rare")
	}
	m := w.drawMember(t)
	if m.Name == w.home().Owner || m.Name == w.organization.Status.Owner {
		w.owned = false
	}
	name := m.Name
	w.members = slices.DeleteFunc(w.members, func(m v1alpha1.OrgMember) bool { return m.Name == name })
}

// check holds the rules to what they promise.
func (w *world) check(t *rapid.T) {
	h := w.home()
	roll := rules.Take(h, w.members, robotHomes)
	standings := w.standings(h)
	w.checkStandings(t, h, standings)
	w.checkOwner(t, h, roll, standings)
	w.checkRoll(t, h, roll, standings)
	w.checkWorkspaces(t, h, standings)
	w.checkInvitations(t, h)
	w.checkNotices(t, h)
	w.checkFarewell(t)
	w.checkSeats(t, h)
}

// checkStandings compares each standing with the law in its plainest words.
func (w *world) checkStandings(t *rapid.T, h rules.Home, standings []rules.Standing) {
	for i, s := range standings {
		m := &w.members[i]
		want := w.plainlyActive(m) || (s.Owner && m.Status.AcceptedAt != nil)
		if s.Active != want && (s.Active || !s.Takes && !w.mayWait(m)) {
			t.Fatalf("%s: active is %v, want %v: %+v", m.Name, s.Active, want, s)
		}
		if _, robot := rules.Robot(m); robot && (s.Owner || s.Usable || s.Protected != "") {
			t.Fatalf("robot %s is owner or usable: %+v", m.Name, s)
		}
		if stays := m.DeletionTimestamp == nil && (m.Spec.ExpiresAt == nil || s.Owner); s.Usable && (!s.Active || s.Role != v1alpha1.RoleAdmin || !stays) {
			t.Fatalf("%s is not a usable admin: %+v", m.Name, s)
		}
		if s.Takes && !w.mayTake(m) {
			t.Fatalf("%s takes no seat that is offered: %+v", m.Name, s)
		}
		if s.Active != (s.State == v1alpha1.StateActive && !s.Takes && (m.DeletionTimestamp == nil || (s.Owner && s.Protected != ""))) {
			t.Fatalf("%s: state and access do not agree: %+v", m.Name, s)
		}
		if handsOver := m.DeletionTimestamp != nil && w.organization.Status.Owner == m.Name; s.Protected != "" && !handsOver && (!s.Owner || !s.Active) {
			t.Fatalf("%s is protected, and not an active owner: %+v", m.Name, s)
		}
		if !s.Wake.IsZero() && !s.Wake.After(w.now) {
			t.Fatalf("%s wakes at %v, and now it is %v", m.Name, s.Wake, w.now)
		}
		// Until it wakes, time changes nothing.
		if !s.Wake.IsZero() {
			later := h
			later.Now = s.Wake.Add(-1)
			if diff := difference(s, rules.Judge(later, w.facts(m))); diff != "" {
				t.Fatalf("%s: changed before it woke\n%s", m.Name, diff)
			}
		}
		checkVerdict(t, s.Verdict, m.Name)
		checkReason(t, s.AcceptedReason)
	}
}

func (w *world) checkOwner(t *rapid.T, h rules.Home, roll rules.Roll, standings []rules.Standing) {
	var owners []string
	for _, s := range standings {
		if s.Owner {
			owners = append(owners, s.Name)
		}
	}
	if len(owners) > 1 || (len(owners) == 1) != (h.Owner != "") || len(roll.Access.Owner) > 1 {
		t.Fatalf("owners %v, bound %v, in force %q", owners, roll.Access.Owner, h.Owner)
	}
	if w.unguarded && h.Owner != "" && h.Owner != w.organization.Status.Owner {
		t.Fatalf("without the policies ownership came from %q to %q", w.organization.Status.Owner, h.Owner)
	}
	if !w.owned {
		return
	}
	if roll.Owner == nil || !roll.Owner.Active || roll.Owner.Role != v1alpha1.RoleAdmin || len(roll.Access.Owner) != 1 {
		t.Fatalf("an organization that had an active owner has none: in force %q, %+v", h.Owner, roll.Owner)
	}
	// Ownership is where it was recorded, or moves to the one whom spec.owner names, a usable admin in their own right.
	if h.Owner == w.organization.Status.Owner {
		return
	}
	if m := w.member(h.Owner); h.Owner != w.organization.Spec.Owner || m.Spec.Role != v1alpha1.RoleAdmin || m.Spec.ExpiresAt != nil || !w.plainlyActive(m) {
		t.Fatalf("ownership moved from %s to %s, wanted was %s: %+v", w.organization.Status.Owner, h.Owner, w.organization.Spec.Owner, m)
	}
}

func (w *world) checkRoll(t *rapid.T, h rules.Home, roll rules.Roll, standings []rules.Standing) {
	c := roll.Counts
	if int(c.Total) != len(w.members) || c.Total != c.Pending+c.Active+c.Suspended+c.Declined+c.Expired {
		t.Fatalf("counts do not add up for %d members: %+v", len(w.members), c)
	}
	// The roll of all says what the judgments one by one say, from facts gathered one by one.
	var admins []string
	bound := map[string]rules.HomeAccess{}
	for _, s := range standings {
		if s.Usable {
			admins = append(admins, s.Name)
		}
		if !s.Active {
			continue
		}
		has := bound[s.Username]
		switch {
		case s.Owner:
			has.Owner = []string{s.Username}
		case s.Role == v1alpha1.RoleAdmin:
			has.Admins = []string{s.Username}
		case s.Role == v1alpha1.RoleBillingAdmin:
			has.BillingAdmins = []string{s.Username}
		case s.Role == v1alpha1.RoleUserAdmin:
			has.UserAdmins = []string{s.Username}
		}
		bound[s.Username] = has
	}
	slices.Sort(admins)
	if diff := difference(admins, roll.Admins); diff != "" {
		t.Fatalf("usable admins\n%s", diff)
	}
	var want rules.HomeAccess
	for _, has := range bound {
		want.Owner = append(want.Owner, has.Owner...)
		want.Admins = append(want.Admins, has.Admins...)
		want.BillingAdmins = append(want.BillingAdmins, has.BillingAdmins...)
		want.UserAdmins = append(want.UserAdmins, has.UserAdmins...)
	}
	for _, users := range [][]string{want.Owner, want.Admins, want.BillingAdmins, want.UserAdmins} {
		slices.Sort(users)
	}
	if h.Organization.Spec.Administration != v1alpha1.AdministrationOwnerOnly {
		want.SharedAdmins = want.Admins
	}
	if diff := difference(want, roll.Access); diff != "" {
		t.Fatalf("access to the home\n%s", diff)
	}
}

// checkWorkspaces wants everybody to have the highest access that a role or an assignment of theirs gives, and no more.
func (w *world) checkWorkspaces(t *rapid.T, h rules.Home, standings []rules.Standing) {
	for i := range workspaces {
		ws := &workspaces[i]
		want := map[string]v1alpha1.Access{}
		give := func(user string, access v1alpha1.Access) {
			if rules.Exceeds(access, want[user]) {
				want[user] = access
			}
		}
		for _, s := range standings {
			if s.Active && s.Role == v1alpha1.RoleAdmin && !w.ended() {
				give(s.Username, v1alpha1.AccessAdmin)
			}
			for _, a := range w.assignments {
				if w.ended() {
					break
				}
				over := a.DeletionTimestamp != nil || (a.Spec.ExpiresAt != nil && !w.now.Before(a.Spec.ExpiresAt.Time))
				if s.Active && !over && a.Spec.Member == s.Name && slices.Contains(a.Spec.Workspaces, v1alpha1.WorkspaceName(ws.Name)) {
					give(s.Username, a.Spec.Access)
				}
			}
		}
		got := map[string]v1alpha1.Access{}
		access := w.accessTo(h, ws, standings)
		for _, level := range []v1alpha1.Access{v1alpha1.AccessView, v1alpha1.AccessEdit, v1alpha1.AccessAdmin} {
			for _, user := range access.Users(level) {
				got[user] = level
			}
		}
		if diff := difference(want, got); diff != "" {
			t.Fatalf("access to %s\n-want +got:\n%s", ws.Name, diff)
		}
	}
}

func (w *world) checkInvitations(t *rapid.T, h rules.Home) {
	for i := range w.members {
		m := &w.members[i]
		f := w.facts(m)
		_, robot := rules.Robot(m)
		record, _ := rules.NextInvitation(h, f)
		if record == nil {
			continue
		}
		switch old := m.Status.Invitation; {
		case m.Status.AcceptedAt != nil, w.refused(m), m.Spec.Suspended, m.DeletionTimestamp != nil, robot, f.SameEmail != "", f.SameUsername != "":
			t.Fatalf("%s is not to be invited: %+v", m.Name, m)
		case m.Status.DeclinedAt != nil && m.Annotations[v1alpha1.AnnotationResend] == old.Resend:
			t.Fatalf("%s declined and nobody asked for a resend", m.Name)
		}
	}
	for _, l := range w.links {
		m := w.memberOf(l)
		if m == nil || m.Status.Invitation == nil || m.Status.Invitation.Serial == l.serial {
			continue
		}
		if m.Status.Invitation.Serial < l.serial {
			t.Fatalf("%s: the serial fell from %d to %d", m.Name, l.serial, m.Status.Invitation.Serial)
		}
		switch state := rules.JudgeLink(h, w.facts(m), l.serial, l.expires); state {
		case rules.LinkSuperseded, rules.LinkAccepted, rules.LinkWithdrawn:
		default:
			t.Fatalf("%s: a link of the older serial %d stands for %d", m.Name, l.serial, state)
		}
	}
}

// checkNotices wants nobody to read that they own the organization, or do not, when it is not so.
func (w *world) checkNotices(t *rapid.T, h rules.Home) {
	for i := range w.members {
		m := &w.members[i]
		n, _ := rules.NextNotice(h, m)
		if n == nil {
			continue
		}
		if owns := w.organization.Status.Owner == m.Name; n.Gained != owns {
			t.Fatalf("%s would read that they own: %v, and the owner is %q: %+v", m.Name, n.Gained, w.organization.Status.Owner, n.Transfer)
		}
	}
}

// checkFarewell wants all access and all protection to end at any moment at which the organization or its home goes.
func (w *world) checkFarewell(t *rapid.T) {
	going := w.home()
	going.Terminating = true
	leaves := w.home()
	leaves.Organization = leaves.Organization.DeepCopy()
	leaves.Organization.DeletionTimestamp = stamp(w.now)
	for _, h := range []rules.Home{going, leaves} {
		standings := w.standings(h)
		if diff := difference(rules.HomeAccess{}, rules.Take(h, w.members, robotHomes).Access); diff != "" {
			t.Fatalf("access to a home that goes\n%s", diff)
		}
		for i, s := range standings {
			if s.Active || s.Usable || s.Protected != "" {
				t.Fatalf("%s in a home that goes: %+v", s.Name, s)
			}
			if record, at := rules.NextInvitation(h, w.facts(&w.members[i])); record != nil || !at.IsZero() {
				t.Fatalf("%s is invited into a home that goes", s.Name)
			}
		}
		for i := range workspaces {
			access := w.accessTo(h, &workspaces[i], standings)
			for _, s := range standings {
				if has := access.Of(s.Username); has != "" {
					t.Fatalf("%s has %s in a home that goes", s.Name, has)
				}
			}
		}
		for _, l := range w.links {
			if m := w.memberOf(l); m != nil && rules.JudgeLink(h, w.facts(m), l.serial, l.expires) != rules.LinkWithdrawn {
				t.Fatalf("a link of %s leads into a home that goes", m.Name)
			}
		}
	}
}

// difference is cmp.Diff, spared where there is none: it is asked for a million times.
func difference(want, got any) string {
	if reflect.DeepEqual(want, got) {
		return ""
	}
	return cmp.Diff(want, got, cmpopts.EquateEmpty())
}

// plainlyActive is the law without the owner's protection: joined, neither suspended nor over, staying, first to claim
// the email and the username, and if a robot then one of ours.
func (w *world) plainlyActive(m *v1alpha1.OrgMember) bool {
	f := w.facts(m)
	_, robot := rules.Robot(m)
	joined := m.Status.AcceptedAt != nil || (m.Spec.Invitation != nil && m.Spec.Invitation.Mode == v1alpha1.InvitationModeNone)
	if robot {
		joined = f.RobotAllowed
	}
	if w.refused(m) && !robot {
		return false
	}
	over := m.Spec.ExpiresAt != nil && !w.now.Before(m.Spec.ExpiresAt.Time)
	return joined && !m.Spec.Suspended && !over && m.DeletionTimestamp == nil && f.SameEmail == "" && f.SameUsername == ""
}

// home is what the facts reader makes of the home.
func (w *world) home() rules.Home {
	h := rules.Home{Namespace: "acme", Organization: w.organization, Guarded: !w.unguarded, Now: w.now}
	facts := func(name string) *rules.MemberFacts {
		if m := w.member(name); m != nil {
			f := w.facts(m)
			return &f
		}
		return nil
	}
	h.Owner = rules.Owner(h, facts(w.organization.Spec.Owner), facts(w.organization.Status.Owner))
	return h
}

// facts are what the facts reader finds of a member: by index, one by one.
func (w *world) facts(m *v1alpha1.OrgMember) rules.MemberFacts {
	claiming := func(same func(other *v1alpha1.OrgMember) bool) (others []v1alpha1.OrgMember) {
		for i := range w.members {
			if same(&w.members[i]) {
				others = append(others, w.members[i])
			}
		}
		return others
	}
	f := rules.MemberFacts{Member: m}
	key := rules.EmailKey(m.Spec.Email)
	f.SameEmail = rules.OlderClaim(m, claiming(func(other *v1alpha1.OrgMember) bool {
		return rules.EmailKey(other.Spec.Email) == key
	}))
	f.SameUsername = rules.OlderClaim(m, claiming(func(other *v1alpha1.OrgMember) bool {
		return rules.Username(other, "") == rules.Username(m, "")
	}))
	if namespace, robot := rules.Robot(m); robot {
		f.RobotAllowed = robotHomes(namespace)
	}
	return f
}

func (w *world) standings(h rules.Home) []rules.Standing {
	var standings []rules.Standing
	for i := range w.members {
		standings = append(standings, rules.Judge(h, w.facts(&w.members[i])))
	}
	return standings
}

func (w *world) accessTo(h rules.Home, ws *v1alpha1.Workspace, standings []rules.Standing) rules.WorkspaceAccess {
	var assigned []rules.Assigned
	for i := range w.assignments {
		for _, s := range standings {
			if s.Name == w.assignments[i].Spec.Member {
				assigned = append(assigned, rules.Assigned{Assignment: &w.assignments[i], Member: s})
			}
		}
	}
	return rules.AccessTo(h, ws, standings, assigned)
}

func (w *world) member(name string) *v1alpha1.OrgMember {
	if i := slices.IndexFunc(w.members, func(m v1alpha1.OrgMember) bool { return m.Name == name }); i >= 0 {
		return &w.members[i]
	}
	return nil
}

func (w *world) memberOf(l link) *v1alpha1.OrgMember {
	if i := slices.IndexFunc(w.members, func(m v1alpha1.OrgMember) bool { return m.UID == l.member }); i >= 0 {
		return &w.members[i]
	}
	return nil
}

func (w *world) isBound(user string) bool {
	for _, users := range [][]string{w.bound.Owner, w.bound.Admins, w.bound.SharedAdmins, w.bound.BillingAdmins, w.bound.UserAdmins} {
		if slices.Contains(users, user) {
			return true
		}
	}
	return false
}

func (w *world) drawMember(t *rapid.T) *v1alpha1.OrgMember {
	if len(w.members) == 0 {
		t.Skip("nobody")
	}
	return &w.members[rapid.IntRange(0, len(w.members)-1).Draw(t, "member")]
}

func (w *world) drawRole(t *rapid.T) v1alpha1.Role {
	return rapid.SampledFrom([]v1alpha1.Role{
		v1alpha1.RoleAdmin, v1alpha1.RoleAdmin, v1alpha1.RoleBillingAdmin, v1alpha1.RoleUserAdmin, v1alpha1.RoleMember,
	}).Draw(t, "role")
}
