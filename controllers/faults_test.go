package controllers_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/internal/mail"
)

// What a mail server does wrong, what the operator makes of it, and what it says of that.
var faults = []struct {
	name, why string
	fault     fault
	kind      mail.Kind
	says      string                    // of the member and, when it is no member's fault, of the mail server; without anybody's address
	change    func(*testing.T, *faulty) // the connection, where it is not in the clear and without password
	copies    bool                      // the mail was taken all the same
}{
	// Nothing was said of any mail yet: whatever it is, it is not about a person.
	{name: "421 at the greeting", why: "too busy for anybody",
		fault: fault{"greeting", "421 4.3.2 too busy"}, kind: mail.Unavailable, says: "421 4.3.2 too busy"},
	{name: "554 at the greeting", why: "it does not want to talk to us, which is no word about a person",
		fault: fault{"greeting", "554 5.7.1 go away"}, kind: mail.Unavailable, says: "554 5.7.1 go away"},
	{name: "greeting after 30 seconds", why: "the time is up before the first word",
		fault: fault{"greeting", "silence"}, kind: mail.Unavailable, says: "greeting: no answer in time", change: impatient},
	{name: "a byte a second at the greeting", why: "a byte now and then is no sign of life",
		fault: fault{"greeting", "drip"}, kind: mail.Unavailable, says: "greeting: no answer in time", change: impatient},
	{name: "drop at the greeting", why: "it hangs up without a word",
		fault: fault{"greeting", "drop"}, kind: mail.Unavailable, says: "greeting: connection closed by the mail server"},
	{name: "421 at EHLO", why: "closing down", fault: fault{"EHLO", "421 4.3.2 shutting down"}, kind: mail.Unavailable, says: "421 4.3.2 shutting down"},
	{name: "STARTTLS not offered", why: "nothing is sent in the clear instead",
		fault: fault{"offer", "nothing"}, kind: mail.Unavailable, says: "STARTTLS: not offered by the mail server, and nothing is sent without", change: encrypted},
	{name: "454 at STARTTLS", why: "a server without its key is the platform's trouble, 4xx or not",
		fault: fault{"STARTTLS", "454 4.7.0 TLS not available"}, kind: mail.Unavailable, says: "454 4.7.0 TLS not available", change: encrypted},
	{name: "drop in the handshake", why: "the same, without a word",
		fault: fault{"handshake", "drop"}, kind: mail.Unavailable, says: "STARTTLS: connection closed by the mail server", change: encrypted},
	{name: "certificate of nobody we know", why: "the CA is the platform's to mend, without a restart", kind: mail.Unavailable,
		says:   "STARTTLS: tls: failed to verify certificate: x509: certificate signed by unknown authority",
		change: func(t *testing.T, f *faulty) { encrypted(t, f); f.trust(plane.Admin.CAData) }},
	{name: "535 at AUTH", why: "a wrong password is the operator's, not the member's",
		fault: fault{"AUTH", "535 5.7.8 wrong: hunter2"}, kind: mail.Unavailable, says: "535 5.7.8 wrong: (removed)", change: signedIn},
	{name: "530 at AUTH", why: "as is a missing one",
		fault: fault{"AUTH", "530 5.7.0 must issue a STARTTLS command first"}, kind: mail.Unavailable, says: "530 5.7.0 must issue a STARTTLS command first", change: signedIn},
	{name: "454 at AUTH", why: "and a server that cannot look passwords up",
		fault: fault{"AUTH", "454 4.7.0 temporary authentication failure"}, kind: mail.Unavailable, says: "454 4.7.0 temporary authentication failure", change: signedIn},

	// The sender only was named.
	{name: "421 at MAIL", why: "this connection ends, the next may do", fault: fault{"MAIL", "421 4.3.2 shutting down"}, kind: mail.Temporary, says: "421 4.3.2 shutting down"},
	{name: "451 at MAIL", why: "4xx is for now", fault: fault{"MAIL", "451 4.3.0 try again later"}, kind: mail.Temporary, says: "451 4.3.0 try again later"},
	{name: "452 at MAIL", why: "its disk is full for now", fault: fault{"MAIL", "452 4.3.1 no space left"}, kind: mail.Temporary, says: "452 4.3.1 no space left"},
	{name: "550 at MAIL", why: "our sender is refused: it cannot be about a person who was not named",
		fault: fault{"MAIL", "550 5.7.1 <{address}>: not your sender"}, kind: mail.Unavailable, says: "550 5.7.1 <(address)>: not your sender"},
	{name: "530 at MAIL", why: "it wants a password that we were not given", fault: fault{"MAIL", "530 5.7.0 Authentication required"}, kind: mail.Unavailable, says: "530 5.7.0 Authentication required"},
	{name: "535 at MAIL", why: "the same in other words", fault: fault{"MAIL", "535 5.7.8 sign in first"}, kind: mail.Unavailable, says: "535 5.7.8 sign in first"},
	{name: "552 at MAIL", why: "our mails are too big for it", fault: fault{"MAIL", "552 5.3.4 too big"}, kind: mail.Unavailable, says: "552 5.3.4 too big"},

	// A person was named.
	{name: "421 at RCPT", why: "closing down in the middle: nothing was handed over", fault: fault{"RCPT", "421 4.3.2 closing"}, kind: mail.Temporary, says: "421 4.3.2 closing"},
	{name: "450 at RCPT", why: "greylisting", fault: fault{"RCPT", "450 4.2.0 <{address}>: greylisted"}, kind: mail.Temporary, says: "450 4.2.0 <(address)>: greylisted"},
	{name: "451 at RCPT", why: "4xx is for now", fault: fault{"RCPT", "451 4.3.0 try again later"}, kind: mail.Temporary, says: "451 4.3.0 try again later"},
	{name: "452 at RCPT", why: "a mailbox that is full for now", fault: fault{"RCPT", "452 4.2.2 full"}, kind: mail.Temporary, says: "452 4.2.2 full"},
	{name: "550 at RCPT", why: "no such person", fault: fault{"RCPT", "550 5.1.1 <{address}>: unknown"}, kind: mail.Permanent, says: "550 5.1.1 <(address)>: unknown"},
	{name: "554 at RCPT", why: "a policy about this person", fault: fault{"RCPT", "554 5.7.1 <{address}>: access denied"}, kind: mail.Permanent, says: "554 5.7.1 <(address)>: access denied"},
	{name: "552 of a full mailbox at RCPT", why: "one full mailbox stops nobody else's mail", fault: fault{"RCPT", "552 5.2.2 mailbox full"}, kind: mail.Permanent, says: "552 5.2.2 mailbox full"},
	{name: "530 at RCPT", why: "it wants a password, whoever the mail is for", fault: fault{"RCPT", "530 5.7.0 Authentication required"}, kind: mail.Unavailable, says: "530 5.7.0 Authentication required"},
	{name: "drop at RCPT", why: "nothing was handed over", fault: fault{"RCPT", "drop"}, kind: mail.Temporary, says: "RCPT: connection closed by the mail server"},
	{name: "silence at RCPT", why: "the same, when the time is up", fault: fault{"RCPT", "silence"}, kind: mail.Temporary, says: "RCPT: no answer in time", change: impatient},
	{name: "451 at DATA", why: "4xx is for now", fault: fault{"DATA", "451 4.3.0 not now"}, kind: mail.Temporary, says: "451 4.3.0 not now"},
	{name: "554 at DATA", why: "the only recipient is none", fault: fault{"DATA", "554 5.5.1 no valid recipients"}, kind: mail.Permanent, says: "554 5.5.1 no valid recipients"},
	{name: "drop after RCPT", why: "nothing was handed over, for sure", fault: fault{"DATA", "drop"}, kind: mail.Temporary, says: "DATA: connection closed by the mail server"},

	// The content was on its way.
	{name: "421 after the content", why: "the server says that it has not got the mail", fault: fault{"content", "421 4.3.2 closing"}, kind: mail.Temporary, says: "421 4.3.2 closing"},
	{name: "451 after the content", why: "a filter is out of order", fault: fault{"content", "451 4.7.1 filter down"}, kind: mail.Temporary, says: "451 4.7.1 filter down"},
	{name: "452 after the content", why: "its disk is full for now", fault: fault{"content", "452 4.3.1 no space left"}, kind: mail.Temporary, says: "452 4.3.1 no space left"},
	{name: "550 after the content", why: "a filter that knows the person", fault: fault{"content", "550 5.7.1 not to <{address}>"}, kind: mail.Permanent, says: "550 5.7.1 not to <(address)>"},
	{name: "554 after the content", why: "taken for spam", fault: fault{"content", "554 5.7.1 spam"}, kind: mail.Permanent, says: "554 5.7.1 spam"},
	{name: "552 after the content", why: "our mails are too big", fault: fault{"content", "552 5.3.4 too big"}, kind: mail.Unavailable, says: "552 5.3.4 too big"},
	{name: "bare 552 at RCPT", why: "said of a recipient, it is about that mailbox", fault: fault{"RCPT", "552 mailbox full"}, kind: mail.Permanent, says: "552 mailbox full"},
	{name: "552 5.3.4 at RCPT", why: "our mails are too big for it", fault: fault{"RCPT", "552 5.3.4 too big"}, kind: mail.Unavailable, says: "552 5.3.4 too big"},
	{name: "552 of a mailbox's own limit", why: "one person's", fault: fault{"content", "552 5.2.3 too big for this mailbox"}, kind: mail.Permanent, says: "552 5.2.3 too big for this mailbox"},
	{name: "552 of a content filter", why: "one mail's words stop nobody else's mail", fault: fault{"content", "552 5.7.0 blocked"}, kind: mail.Permanent, says: "552 5.7.0 blocked"},
	{name: "552 of a full mailbox after the content", why: "one person's", fault: fault{"content", "552 5.2.2 mailbox full"}, kind: mail.Permanent, says: "552 5.2.2 mailbox full"},
	{name: "drop after DATA", why: "how much of the content arrived, nobody knows", fault: fault{"reading", "drop"}, kind: mail.Ambiguous, says: "sending the content: connection closed by the mail server"},
	{name: "a byte a second of the content", why: "its time is up as well, and it may go on with what it has", fault: fault{"reading", "sip"}, kind: mail.Ambiguous, says: "sending the content: no answer in time", change: impatient},
	{name: "drop after the content", why: "not delivered, but who knows", fault: fault{"content", "drop"}, kind: mail.Ambiguous, says: "sending the content: connection closed by the mail server"},
	{name: "drop in place of the yes", why: "delivered, but who knows", fault: fault{"taken", "drop"}, kind: mail.Ambiguous, says: "sending the content: connection closed by the mail server", copies: true},
	{name: "a byte a second of the yes", why: "the same, slowly", fault: fault{"taken", "drip"}, kind: mail.Ambiguous, says: "sending the content: no answer in time", change: impatient, copies: true},
}

// Each fault ends in the state that its kind names: in the member, in Events, in the metrics and in /readyz. It heals as
// its kind says, and nobody gets a second mail but where it may be the first.
func TestFaults(t *testing.T) {
	for _, row := range faults {
		t.Run(row.name, func(t *testing.T) {
			t.Log(row.why)
			f := meet(t, row.fault, row.change)
			want := aftermaths[row.kind]
			f.result, f.copies = want.result, row.copies
			mia := f.member("mia", v1alpha1.RoleMember)
			since := f.clock.Now()
			f.create(mia)
			f.becomes(mia, "InvitationSent", want.sent)
			f.becomes(mia, "Ready", want.ready)
			if got := reading(mia, "Stalled"); got != want.stalled {
				t.Errorf("Stalled is %q, not %q", got, want.stalled)
			}
			if i, says := mia.Status.Invitation, want.words+": "+row.says; i.LastError != says || i.Attempts != 1 || i.SentAt != nil ||
				(i.RejectedAt != nil) != want.rejected || (i.NextAttemptAt != nil) != want.again {
				t.Errorf("status.invitation: %+v, not %q", i, says)
			}
			if want.again {
				f.waits(mia, since, 30*time.Second)
			}
			f.eventually("an Event tells of it", func() error { return f.toldOf(mia, want.event) })
			f.mailsCounted("invitation", map[string]float64{want.result: 1})
			f.reachable(row.kind != mail.Unavailable, row.says)
			want.heals(f, mia)
			f.reachable(true, "")
		})
	}
}

// aftermath is what a kind of fault comes to.
type aftermath struct {
	sent, ready, stalled, event, words, result string
	rejected, again                            bool
	heals                                      func(*faulty, *v1alpha1.OrgMember)
}

var aftermaths = map[mail.Kind]aftermath{
	mail.Temporary: {sent: "False/InvitationDeferred", ready: "False/InvitationDeferred", event: "InvitationDeferred",
		words: "mail not taken for now", result: "temporary", again: true, heals: healsInTime},
	mail.Ambiguous: {sent: "False/InvitationDeferred", ready: "False/InvitationDeferred", event: "InvitationDeferred",
		words: "mail sent but not confirmed", result: "ambiguous", again: true, heals: healsInTime},
	mail.Permanent: {sent: "False/InvitationRejected", ready: "False/InvitationRejected", stalled: "True/InvitationRejected", event: "InvitationRejected",
		words: "mail refused for good", result: "permanent", rejected: true, heals: healsByResend},
	mail.Unavailable: {sent: "False/MailerUnavailable", ready: "False/MailerUnavailable", event: "MailerUnavailable",
		words: "mail server unavailable", result: "unavailable", heals: healsTogether},
}

// healsInTime: the others get theirs meanwhile, this mail goes out when its wait is over, and not before. Where it was taken
// before, this is the very same again.
func healsInTime(f *faulty, mia *v1alpha1.OrgMember) {
	taken := 0
	if f.copies {
		taken = 1
	}
	f.well()
	f.touch(mia)
	f.invited("tom")
	f.mailed("mia", taken)
	if f.get(mia); mia.Status.Invitation.Attempts != 1 {
		f.t.Errorf("a try before its time: %+v", mia.Status.Invitation)
	}
	f.clock.Step(mia.Status.Invitation.NextAttemptAt.Sub(f.clock.Now()))
	f.touch(mia)
	f.goesOut(mia, 2, 1)
	letters := f.mailed("mia", taken+1)
	if diff := cmp.Diff(letters[0], letters[taken], cmp.AllowUnexported(letter{})); diff != "" {
		f.t.Errorf("the mail that was sent again is another one: %s", diff)
	}
	f.mailsCounted("invitation", map[string]float64{f.result: 1, "sent": 2})
}

// healsByResend: the others get theirs, this mail does not go out by itself, however late it is.
func healsByResend(f *faulty, mia *v1alpha1.OrgMember) {
	f.well()
	f.clock.Step(30 * 24 * time.Hour)
	f.touch(mia)
	f.invited("tom")
	f.mailed("mia", 0)
	if f.get(mia); mia.Status.Invitation.Attempts != 1 || mia.Status.Invitation.Serial != 1 {
		f.t.Errorf("a try that nobody asked for: %+v", mia.Status.Invitation)
	}
	resend(f.home, mia, "the mailbox is mended")
	f.goesOut(mia, 1, 2)
	f.mailed("mia", 1)
	f.mailsCounted("invitation", map[string]float64{"permanent": 1, "sent": 2})
}

// healsTogether: the others are not tried meanwhile, and blame nobody. All go out when one finds that the server is well.
func healsTogether(f *faulty, mia *v1alpha1.OrgMember) {
	tom := f.member("tom", v1alpha1.RoleMember)
	f.create(tom)
	f.becomes(tom, "InvitationSent", "False/MailerUnavailable")
	if got := reading(tom, "Stalled"); got != "" {
		f.t.Errorf("tom, who has nothing to do with it, is Stalled %s", got)
	}
	f.touch(mia)
	f.mailsCounted("invitation", map[string]float64{"unavailable": 1})
	f.well()
	f.later(10 * time.Second)
	for _, m := range []*v1alpha1.OrgMember{mia, tom} {
		f.becomes(m, "Ready", "True/AwaitingAcceptance")
		f.mailed(m.Name, 1)
	}
	f.goesOut(mia, 2, 1)
	f.mailsCounted("invitation", map[string]float64{"unavailable": 1, "sent": 2})
	f.eventually("an Event about the operator", func() error { return f.toldOfLease(v1alpha1.ReasonMailerReady) })
}

// goesOut waits until the invitation of a member is out and nothing is left of the failure.
func (f *faulty) goesOut(m *v1alpha1.OrgMember, attempts, serial int32) {
	f.t.Helper()
	f.becomes(m, "InvitationSent", "True/InvitationSent")
	f.becomes(m, "Ready", "True/AwaitingAcceptance")
	i := m.Status.Invitation
	if i.LastError != "" || i.NextAttemptAt != nil || i.RejectedAt != nil || i.Attempts != attempts || i.Serial != serial || reading(m, "Stalled") != "" {
		f.t.Errorf("it is out, and %+v, Stalled %q", i, reading(m, "Stalled"))
	}
}
