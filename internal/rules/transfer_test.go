package rules_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/internal/rules"
)

type transfers = []v1alpha1.OwnershipTransfer

// moved is a move of the ownership a minute ago, between members as the builders make them.
func moved(serial int32, from, to string) v1alpha1.OwnershipTransfer {
	return v1alpha1.OwnershipTransfer{
		Serial: serial, From: from, FromUID: "uid-" + from, To: to, ToUID: "uid-" + to, At: *stamp(now.Add(-time.Minute)),
	}
}

func TestTransfers(t *testing.T) {
	atNow := func(t v1alpha1.OwnershipTransfer) v1alpha1.OwnershipTransfer {
		t.At = *stamp(now)
		return t
	}
	toJoe := atNow(moved(1, "jane", "joe"))
	fromNobody := toJoe
	fromNobody.FromUID = ""
	later := atNow(moved(8, "jane", "joe"))
	both := []v1alpha1.OrgMember{*member("jane", accepted), *member("joe", admin, accepted)}
	full := transfers{moved(3, "a", "b"), moved(4, "b", "a"), moved(5, "a", "b"), moved(6, "b", "a"), moved(7, "a", "jane")}
	cases := map[string]struct {
		reason        string
		before, owner string
		past          transfers
		members       []v1alpha1.OrgMember
		want          transfers
	}{
		"the first owner":   {"nobody owned before: nothing was transferred", "", "jane", nil, both, nil},
		"the same owner":    {"nothing moved", "jane", "jane", full, both, full},
		"nobody any more":   {"an owner removed by force handed over to nobody", "jane", "", nil, both, nil},
		"moved":             {"both were owners on record", "jane", "joe", nil, both, transfers{toJoe}},
		"moved once more":   {"serials go on, the oldest is forgotten", "jane", "joe", full, both, append(full[1:5:5], later)},
		"the other is gone": {"removed by force: the new owner is to be told all the same", "jane", "joe", nil, both[1:], transfers{fromNobody}},
		"the other came anew": {"who came after the owner of that name never owned anything", "jane", "joe", nil,
			[]v1alpha1.OrgMember{*member("jane", invited), both[1]}, transfers{fromNobody}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			o := acme()
			o.Status.Owner, o.Status.Transfers = c.before, c.past
			kept := o.DeepCopy()
			// What is stored has whole seconds, and must not change when it is.
			if diff := cmp.Diff(c.want, rules.Transfers(o, c.owner, c.members, now.Add(900*time.Millisecond))); diff != "" {
				t.Errorf("%s\n-want +got:\n%s", c.reason, diff)
			}
			if diff := cmp.Diff(kept, o); diff != "" {
				t.Errorf("the organization was changed\n-want +got:\n%s", diff)
			}
		})
	}
}

func TestNextNotice(t *testing.T) {
	type record = v1alpha1.OwnershipNotice
	told := func(r record) memberOption {
		return func(m *v1alpha1.OrgMember) { m.Status.OwnershipNotice = &r }
	}
	having := func(ts ...v1alpha1.OwnershipTransfer) homeOption {
		return func(h *rules.Home) { h.Organization.Status.Transfers = ts }
	}
	soon := now.Add(time.Minute)
	toJoe, toAnn, back := moved(1, "jane", "joe"), moved(2, "joe", "ann"), moved(2, "joe", "jane")
	cases := map[string]struct {
		reason string
		home   rules.Home
		member *v1alpha1.OrgMember
		// Which transfer is due, and who the other one is.
		due    int32
		gained bool
		other  string
		record *record
		at     time.Time
	}{
		// What is due.
		"new owner": {reason: "who owns now is told", home: home(having(toJoe)), member: member("joe", admin, accepted),
			due: 1, gained: true, other: "jane", record: &record{Serial: 1, MailDelivery: delivery{Attempts: 1}}},
		"owner before": {reason: "who owned before is told", home: home(having(toJoe)), member: member("jane", admin, accepted),
			due: 1, other: "joe", record: &record{Serial: 1, MailDelivery: delivery{Attempts: 1}}},
		"owner before, suspended": {reason: "who can do nothing about it is to know all the same", home: home(having(toJoe)),
			member: member("jane", admin, accepted, suspended), due: 1, other: "joe", record: &record{Serial: 1, MailDelivery: delivery{Attempts: 1}}},
		"owner before, over": {reason: "who can do nothing about it is to know all the same", home: home(having(toJoe)),
			member: member("jane", admin, accepted, expires(now)), due: 1, other: "joe", record: &record{Serial: 1, MailDelivery: delivery{Attempts: 1}}},
		"tried": {reason: "a crash between the record and the mail repeats the same mail", home: home(having(toJoe)),
			member: member("joe", accepted, told(record{Serial: 1, MailDelivery: delivery{Attempts: 3}})), due: 1, gained: true, other: "jane", record: &record{Serial: 1, MailDelivery: delivery{Attempts: 4}}},
		"deferred until exactly now": {reason: "a moment that has come is due", home: home(having(toJoe)),
			member: member("joe", accepted, told(record{Serial: 1, MailDelivery: delivery{Attempts: 1, NextAttemptAt: stamp(now), LastError: "450 later"}})),
			due:    1, gained: true, other: "jane", record: &record{Serial: 1, MailDelivery: delivery{Attempts: 2, LastError: "450 later"}}},
		"passed on before they were told": {reason: "nobody reads that they own when they do not", home: home(having(toJoe, toAnn)),
			member: member("joe", admin, accepted), due: 2, other: "ann", record: &record{Serial: 2, MailDelivery: delivery{Attempts: 1}}},
		"passed on while the mail waits": {reason: "the news replaces what is old, and does not wait for it", home: home(having(toJoe, toAnn)),
			member: member("joe", accepted, told(record{Serial: 1, MailDelivery: delivery{Attempts: 7, NextAttemptAt: stamp(soon), LastError: "450 later"}})),
			due:    2, other: "ann", record: &record{Serial: 2, MailDelivery: delivery{Attempts: 1}}},
		"passed on after they were told": {reason: "each move is told", home: home(having(toJoe, toAnn)),
			member: member("joe", accepted, told(record{Serial: 1, MailDelivery: delivery{Attempts: 1, SentAt: stamp(now)}})), due: 2, other: "ann", record: &record{Serial: 2, MailDelivery: delivery{Attempts: 1}}},
		"passed on after a refusal": {reason: "mailboxes are mended", home: home(having(toJoe, toAnn)),
			member: member("joe", accepted, told(record{Serial: 1, MailDelivery: delivery{Attempts: 1, RejectedAt: stamp(now)}})), due: 2, other: "ann", record: &record{Serial: 2, MailDelivery: delivery{Attempts: 1}}},
		"passed on by others": {reason: "what jane knows last is that joe has it", home: home(having(toJoe, toAnn)),
			member: member("jane", accepted), due: 1, other: "joe", record: &record{Serial: 1, MailDelivery: delivery{Attempts: 1}}},
		"and back": {reason: "the owner again", home: home(having(toJoe, back)),
			member: member("jane", accepted), due: 2, gained: true, other: "joe", record: &record{Serial: 2, MailDelivery: delivery{Attempts: 1}}},

		// What waits.
		"deferred": {reason: "the server asked for patience", home: home(having(toJoe)),
			member: member("joe", accepted, told(record{Serial: 1, MailDelivery: delivery{Attempts: 1, NextAttemptAt: stamp(soon)}})), at: soon},

		// What is not due.
		"nothing moved": {reason: "the first owner took over from nobody", home: home(), member: member("jane", admin, accepted)},
		"bystander":     {reason: "only the two are told", home: home(having(toJoe)), member: member("mia", admin, accepted)},
		"sent": {reason: "one mail is enough", home: home(having(toJoe)),
			member: member("joe", accepted, told(record{Serial: 1, MailDelivery: delivery{Attempts: 1, SentAt: stamp(now)}}))},
		"rejected": {reason: "a refusal for good is not tried again", home: home(having(toJoe)),
			member: member("joe", accepted, told(record{Serial: 1, MailDelivery: delivery{Attempts: 1, RejectedAt: stamp(now)}}))},
		"told of more than is known": {reason: "an old copy of the organization tells nobody old news", home: home(having(toJoe)),
			member: member("joe", accepted, told(record{Serial: 2, MailDelivery: delivery{Attempts: 1}}))},
		"another of the same name": {reason: "who came after the one who owned has nothing to do with it", home: home(having(toJoe)),
			member: member("jane", accepted, func(m *v1alpha1.OrgMember) { m.UID = "uid-other" })},
		"leaving":  {reason: "who goes is told nothing", home: home(having(toJoe)), member: member("jane", accepted, leaving)},
		"no email": {reason: "there is nowhere to write to", home: home(having(toJoe)), member: member("jane", accepted, email(""))},
		"robot with an email": {reason: "service accounts read no mail", home: home(having(toJoe)),
			member: member("joe", robot("acme", "ci"), email("ci@acme.example"))},
		"no organization":     {reason: "there is nothing to own", home: home(noOrganization), member: member("joe", accepted)},
		"organization leaves": {reason: "soon there is nothing to own", home: home(having(toJoe), organizationLeaves), member: member("joe", accepted)},
		"home terminates":     {reason: "soon there is nothing to own", home: home(having(toJoe), terminating), member: member("joe", accepted)},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			before := c.member.DeepCopy()
			n, at := rules.NextNotice(c.home, c.member)
			if diff := cmp.Diff(before, c.member); diff != "" {
				t.Errorf("the member, which may be the cache's, was changed\n-want +got:\n%s", diff)
			}
			if !at.Equal(c.at) {
				t.Errorf("%s\nat = %v, want %v", c.reason, at, c.at)
			}
			if n == nil || c.record == nil {
				if n != nil || c.record != nil {
					t.Errorf("%s\nNextNotice = %+v", c.reason, n)
				}
				return
			}
			name, uid := n.Other()
			if n.Transfer.Serial != c.due || n.Gained != c.gained || name != c.other || uid != "uid-"+c.other {
				t.Errorf("%s\nNextNotice = %+v, the other is %s (%s)", c.reason, n, name, uid)
			}
			if diff := cmp.Diff(c.record, n.Record); diff != "" {
				t.Errorf("%s\n-want +got:\n%s", c.reason, diff)
			}
		})
	}
}

func TestPersonName(t *testing.T) {
	m := member("jane")
	if got := rules.PersonName(m); got != "jane" {
		t.Errorf("without a display name the object's name serves, not the email: got %q", got)
	}
	m.Spec.DisplayName = "Jane Roe"
	if got := rules.PersonName(m); got != "Jane Roe" {
		t.Errorf("people read the display name: got %q", got)
	}
}
