package rules_test

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/internal/rules"
)

func validFor(d time.Duration) homeOption {
	return func(h *rules.Home) {
		h.Organization.Spec.Invitations = &v1alpha1.OrganizationInvitations{ValidFor: &metav1.Duration{Duration: d}}
	}
}

func TestNextInvitation(t *testing.T) {
	type record = v1alpha1.InvitationStatus
	fresh := func(serial int32, resend string, lasts time.Duration) *record {
		return &record{Serial: serial, IssuedAt: stamp(now), ExpiresAt: *stamp(now.Add(lasts)), Attempts: 1, Resend: resend}
	}
	const week = 7 * 24 * time.Hour
	soon, past := now.Add(time.Minute), now.Add(-time.Minute)
	cases := map[string]struct {
		reason string
		home   rules.Home
		facts  rules.MemberFacts
		want   *record
		at     time.Time
	}{
		// What is due.
		"new": {reason: "a new member is invited, for a week where nobody says otherwise",
			home: home(), facts: rules.MemberFacts{Member: member("mia")}, want: fresh(1, "", week)},
		"new, mode Email": {reason: "Email is also the default",
			home: home(), facts: rules.MemberFacts{Member: member("mia", byMail)}, want: fresh(1, "", week)},
		"new, the organization says how long": {reason: "validFor counts for what is sent from now on",
			home: home(validFor(2 * time.Hour)), facts: rules.MemberFacts{Member: member("mia")}, want: fresh(1, "", 2*time.Hour)},
		"new, with a resend": {reason: "an annotation that was there from the start is answered by the first mail",
			home: home(), facts: rules.MemberFacts{Member: member("mia", resend("1"))}, want: fresh(1, "1", week)},
		"tried": {reason: "a crash between the record and the mail repeats the same mail: the serial stays",
			home: home(), facts: rules.MemberFacts{Member: member("mia", tried(3, soon))},
			want: &record{Serial: 3, IssuedAt: stamp(soon.Add(-week)), ExpiresAt: *stamp(soon), Attempts: 2}},
		"deferred until exactly now": {reason: "a moment that has come is due",
			home: home(), facts: rules.MemberFacts{Member: member("mia", deferredUntil(now))},
			want: &record{Serial: 1, IssuedAt: stamp(now.Add(time.Hour - week)), ExpiresAt: *stamp(now.Add(time.Hour)), Attempts: 2, LastError: "450 later"}},
		"never sent, and its time is up": {reason: "what nobody got is made anew, with time to answer",
			home: home(), facts: rules.MemberFacts{Member: member("mia", tried(3, past))}, want: fresh(4, "", week)},
		"resend of what was sent": {reason: "a new value sends a new mail and voids older links",
			home: home(), facts: rules.MemberFacts{Member: member("mia", invited, resend("1"))}, want: fresh(2, "1", week)},
		"resend again": {reason: "any other value is a new one",
			home: home(), facts: rules.MemberFacts{Member: member("mia", invited, resend("2"), answering("1"))}, want: fresh(2, "2", week)},
		"resend after no": {reason: "who declined may be asked again",
			home: home(), facts: rules.MemberFacts{Member: member("mia", declined, resend("1"))}, want: fresh(2, "1", week)},
		"resend after expiry": {reason: "who did not answer may be asked again",
			home: home(), facts: rules.MemberFacts{Member: member("mia", invitedUntil(past), resend("1"))}, want: fresh(2, "1", week)},
		"resend after a refusal": {reason: "somebody mended the mailbox",
			home: home(), facts: rules.MemberFacts{Member: member("mia", rejected, resend("1"))}, want: fresh(2, "1", week)},
		"resend while deferred": {reason: "a resend does not wait for the next try",
			home: home(), facts: rules.MemberFacts{Member: member("mia", deferredUntil(soon), resend("1"))}, want: fresh(2, "1", week)},
		"owner to be": {reason: "the owner is invited like anybody",
			home: home(), facts: rules.MemberFacts{Member: member("jane", admin)}, want: fresh(1, "", week)},

		// What waits.
		"deferred": {reason: "the server asked for patience",
			home: home(), facts: rules.MemberFacts{Member: member("mia", deferredUntil(soon))}, at: soon},

		// What is not due.
		"sent": {reason: "one mail is enough",
			home: home(), facts: rules.MemberFacts{Member: member("mia", invited)}},
		"sent, resend answered": {reason: "the same value is answered once: applying the same file again sends nothing",
			home: home(), facts: rules.MemberFacts{Member: member("mia", invited, resend("1"), answering("1"))}},
		"resend taken back": {reason: "no annotation asks for nothing",
			home: home(), facts: rules.MemberFacts{Member: member("mia", invited, answering("1"))}},
		"rejected": {reason: "a refusal for good is not tried again by itself",
			home: home(), facts: rules.MemberFacts{Member: member("mia", rejected)}},
		"declined": {reason: "no is an answer",
			home: home(), facts: rules.MemberFacts{Member: member("mia", declined)}},
		"expired": {reason: "silence is an answer",
			home: home(), facts: rules.MemberFacts{Member: member("mia", invitedUntil(past))}},
		"accepted": {reason: "who is in is not asked, resend or not",
			home: home(), facts: rules.MemberFacts{Member: member("mia", accepted, resend("1"))}},
		"without asking": {reason: "mode None sends nothing",
			home: home(), facts: rules.MemberFacts{Member: member("mia", withoutAsking, resend("1"))}},
		"suspended": {reason: "a link would open nothing",
			home: home(), facts: rules.MemberFacts{Member: member("mia", suspended, resend("1"))}},
		"membership over": {reason: "a link would open nothing",
			home: home(), facts: rules.MemberFacts{Member: member("mia", expires(now), resend("1"))}},
		"leaving": {reason: "a link would open nothing",
			home: home(), facts: rules.MemberFacts{Member: member("mia", leaving)}},
		"same email": {reason: "the older member's mailbox gets no mail for the younger",
			home: home(), facts: rules.MemberFacts{Member: member("mia"), SameEmail: "old"}},
		"same username": {reason: "who can have no access is not asked",
			home: home(), facts: rules.MemberFacts{Member: member("mia"), SameUsername: "old"}},
		"robot": {reason: "service accounts read no mail",
			home: home(), facts: rules.MemberFacts{Member: member("ci", robot("acme", "ci")), RobotAllowed: true}},
		"robot with an email, not allowed": {reason: "service accounts read no mail",
			home: home(), facts: rules.MemberFacts{Member: member("ci", robot("other", "ci"), email("ci@acme.example"))}},
		"no organization": {reason: "nobody is invited into nothing",
			home: home(noOrganization), facts: rules.MemberFacts{Member: member("mia")}},
		"organization leaves": {reason: "nobody is invited into what goes",
			home: home(organizationLeaves), facts: rules.MemberFacts{Member: member("mia")}},
		"home terminates": {reason: "nobody is invited into what goes",
			home: home(terminating), facts: rules.MemberFacts{Member: member("mia")}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			before := c.facts.Member.DeepCopy()
			got, at := rules.NextInvitation(c.home, c.facts)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("%s\n-want +got:\n%s", c.reason, diff)
			}
			if !at.Equal(c.at) {
				t.Errorf("%s\nat = %v, want %v", c.reason, at, c.at)
			}
			if diff := cmp.Diff(before, c.facts.Member); diff != "" {
				t.Errorf("the member, which may be the cache's, was changed\n-want +got:\n%s", diff)
			}
		})
	}
}

func TestInvitationMomentsAreWholeSeconds(t *testing.T) {
	// The API keeps whole seconds; the link carries the expiry, and must say the same before and after it was stored.
	h := home(validFor(time.Hour + 1500*time.Millisecond))
	h.Now = now.Add(900 * time.Millisecond)
	i, _ := rules.NextInvitation(h, rules.MemberFacts{Member: member("mia")})
	if i.IssuedAt.Nanosecond() != 0 || i.ExpiresAt.Nanosecond() != 0 {
		t.Errorf("issued %v, expires %v", i.IssuedAt, i.ExpiresAt)
	}
}

func TestResendIsCutBetweenCharacters(t *testing.T) {
	value := strings.Repeat("ż", 200)
	i, _ := rules.NextInvitation(home(), rules.MemberFacts{Member: member("mia", resend(value))})
	if !utf8.ValidString(i.Resend) || len(i.Resend) > 256 || !strings.HasPrefix(value, i.Resend) {
		t.Errorf("Resend = %q", i.Resend)
	}
	again := member("mia", invited, resend(value), answering(i.Resend))
	if next, _ := rules.NextInvitation(home(), rules.MemberFacts{Member: again}); next != nil {
		t.Errorf("a long value is answered by its beginning, and was answered again: %+v", next)
	}
}

func TestRetry(t *testing.T) {
	cases := []struct {
		reason   string
		attempts int32
		outage   bool
		jitter   float64
		want     time.Duration
	}{
		{"the first wait", 1, false, 0, 30 * time.Second},
		{"doubled", 2, false, 0, time.Minute},
		{"and again", 5, false, 0, 8 * time.Minute},
		{"bounded", 8, false, 0, time.Hour},
		{"however often it was tried", 1<<31 - 1, false, 0, time.Hour},
		{"a count that nobody kept", 0, false, 0, 30 * time.Second},
		{"a broken count", -1 << 31, false, 0, 30 * time.Second},
		{"jitter takes up to a half", 1, false, 1, 15 * time.Second},
		{"an outage is watched more closely", 1, true, 0, 10 * time.Second},
		{"and for ever", 100, true, 0, 5 * time.Minute},
	}
	for _, c := range cases {
		if got := rules.Retry(c.attempts, c.outage, c.jitter); got != c.want {
			t.Errorf("%s: Retry(%d, %v, %v) = %v, want %v", c.reason, c.attempts, c.outage, c.jitter, got, c.want)
		}
	}
}

func TestRetryProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		attempts := rapid.Int32().Draw(t, "attempts")
		outage := rapid.Bool().Draw(t, "outage")
		jitter := rapid.Float64Range(0, 1).Draw(t, "jitter")
		wait, longest := rules.Retry(attempts, outage, jitter), rules.Retry(attempts, outage, 0)
		if wait < 5*time.Second || wait > time.Hour {
			t.Fatalf("Retry = %v: out of bounds", wait)
		}
		if wait > longest || wait < longest/2 {
			t.Fatalf("Retry = %v: jitter takes up to a half of %v", wait, longest)
		}
		if attempts < 1<<31-1 && rules.Retry(attempts+1, outage, jitter) < wait {
			t.Fatalf("Retry after %d attempts is %v, and less after one more", attempts, wait)
		}
		if rules.Retry(attempts, true, jitter) > rules.Retry(attempts, false, jitter) {
			t.Fatalf("after %d attempts an outage waits longer than a refusal", attempts)
		}
	})
}

func TestJudgeLink(t *testing.T) {
	until := now.Add(time.Hour) // what invited says
	cases := map[string]struct {
		reason  string
		home    rules.Home
		facts   rules.MemberFacts
		serial  int32
		expires time.Time
		want    rules.LinkState
	}{
		"open":            {"invited and undecided", home(), rules.MemberFacts{Member: member("mia", invited)}, 1, until, rules.LinkOpen},
		"not recorded":    {"a mail that went out counts, though the record of it was lost", home(), rules.MemberFacts{Member: member("mia", tried(1, until))}, 1, until, rules.LinkOpen},
		"other time zone": {"a moment is a moment", home(), rules.MemberFacts{Member: member("mia", invited)}, 1, until.In(time.FixedZone("", 3600)), rules.LinkOpen},
		"expires now":     {"the moment of expiry belongs to what is over", home(), rules.MemberFacts{Member: member("mia", invitedUntil(now))}, 1, now, rules.LinkExpired},
		"expires later":   {"until then it holds", home(), rules.MemberFacts{Member: member("mia", invitedUntil(now.Add(1)))}, 1, now.Add(1), rules.LinkOpen},
		"older serial": {"a newer mail voids older links", home(),
			rules.MemberFacts{Member: member("mia", tried(2, until))}, 1, until, rules.LinkSuperseded},
		"newer serial": {"nobody can have it but by forgery or a restored backup", home(),
			rules.MemberFacts{Member: member("mia", tried(2, until))}, 3, until, rules.LinkSuperseded},
		"other expiry": {"one serial has one expiry", home(),
			rules.MemberFacts{Member: member("mia", invited)}, 1, until.Add(time.Hour), rules.LinkSuperseded},
		"older and expired": {"the newer mail is what to look for", home(),
			rules.MemberFacts{Member: member("mia", tried(2, until))}, 1, now.Add(-time.Hour), rules.LinkSuperseded},
		"accepted":             {"a second click", home(), rules.MemberFacts{Member: member("mia", accepted)}, 1, until, rules.LinkAccepted},
		"accepted, older link": {"who is in is in", home(), rules.MemberFacts{Member: member("mia", tried(2, until), accepted)}, 1, until, rules.LinkAccepted},
		"activated meanwhile": {"there is nothing to accept any more", home(),
			rules.MemberFacts{Member: member("mia", invited, withoutAsking)}, 1, until, rules.LinkAccepted},
		"declined": {"a second click", home(), rules.MemberFacts{Member: member("mia", declined)}, 1, until, rules.LinkDeclined},
		"declined, then expired": {"what the person said stays what they said", home(),
			rules.MemberFacts{Member: member("mia", declined, invitedUntil(now))}, 1, now, rules.LinkDeclined},
		"suspended":           {"accepting would give nothing", home(), rules.MemberFacts{Member: member("mia", invited, suspended)}, 1, until, rules.LinkWithdrawn},
		"membership over":     {"accepting would give nothing", home(), rules.MemberFacts{Member: member("mia", invited, expires(now))}, 1, until, rules.LinkWithdrawn},
		"leaving":             {"deleted between mail and click", home(), rules.MemberFacts{Member: member("mia", invited, leaving)}, 1, until, rules.LinkWithdrawn},
		"never invited":       {"a recreated member was sent no link yet", home(), rules.MemberFacts{Member: member("mia")}, 1, until, rules.LinkWithdrawn},
		"a duplicate by now":  {"accepting would give nothing", home(), rules.MemberFacts{Member: member("mia", invited), SameEmail: "a"}, 1, until, rules.LinkWithdrawn},
		"same user by now":    {"accepting would give nothing", home(), rules.MemberFacts{Member: member("mia", invited), SameUsername: "a"}, 1, until, rules.LinkWithdrawn},
		"no organization":     {"there is nothing to join", home(noOrganization), rules.MemberFacts{Member: member("mia", invited)}, 1, until, rules.LinkWithdrawn},
		"organization leaves": {"there is nothing to join any more", home(organizationLeaves), rules.MemberFacts{Member: member("mia", accepted)}, 1, until, rules.LinkWithdrawn},
		"home terminates":     {"there is nothing to join any more", home(terminating), rules.MemberFacts{Member: member("mia", invited)}, 1, until, rules.LinkWithdrawn},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := rules.JudgeLink(c.home, c.facts, c.serial, c.expires); got != c.want {
				t.Errorf("%s\nJudgeLink = %d, want %d", c.reason, got, c.want)
			}
		})
	}
}
