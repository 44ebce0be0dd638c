package controllers_test

import (
	"fmt"
	"mime"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
)

// billed waits until the billing contact got mails with these subjects and no others, in this order.
func (h *home) billed(want ...string) []letter {
	h.t.Helper()
	contact := h.user("billing")
	h.eventually("mails to the billing contact", func() error {
		var got []string
		for _, l := range h.mail.to(contact) {
			subject, err := new(mime.WordDecoder).DecodeHeader(l.subject)
			if err != nil {
				return err
			}
			got = append(got, subject)
		}
		if !slices.Equal(got, want) {
			return fmt.Errorf("%q, not %q", got, want)
		}
		return nil
	})
	return h.mail.to(contact)
}

const (
	seatsTaken = "All seats of acme are taken"
	cancelled  = "The subscription of acme was cancelled"
	ending     = "The subscription of acme ends within a week"
	ended      = "The subscription of acme has ended"
)

// A year of an organization that fills up, is cancelled, runs out, is resumed, and is edited to and fro: what the conditions
// say, who works, and what the billing contact reads.
func TestSubscriptionYear(t *testing.T) {
	h := operate(t).home(t)
	begin := h.clock.Now().Truncate(time.Second)
	on := func(days int) *metav1.Time { return &metav1.Time{Time: begin.Add(time.Duration(days) * day)} }
	acme := h.organization("acme", "jane")
	acme.Spec.Billing = &v1alpha1.OrganizationBilling{Email: v1alpha1.EmailAddress(h.user("billing"))}
	acme.Spec.Subscription = &v1alpha1.OrganizationSubscription{Seats: 3}
	mia, ann, bob := h.member("mia", v1alpha1.RoleMember, joined), h.member("ann", v1alpha1.RoleMember, joined, until(on(100).Time)), h.member("bob", v1alpha1.RoleMember, joined)
	h.create(acme, h.member("jane", v1alpha1.RoleAdmin, joined), mia, h.workspace("web"))
	subscribe := func(change func(*v1alpha1.OrganizationSubscription)) func() {
		return func() { edit(h, acme, func(o *v1alpha1.Organization) { change(o.Spec.Subscription) }) }
	}
	cancel := func(paidThrough int) func() {
		return subscribe(func(s *v1alpha1.OrganizationSubscription) { s.Cancelled, s.PaidThrough = true, on(paidThrough) })
	}
	resume := subscribe(func(s *v1alpha1.OrganizationSubscription) { s.Cancelled = false })
	const subscribed, isCancelled, hasEnded = "True/Subscribed", "True/SubscriptionCancelled", "False/SubscriptionEnded"
	const free, taken = "True/SeatsFree", "False/SeatsTaken"
	var mails []string
	at := 0
	for _, step := range []struct {
		day          int
		what         string
		do           func()
		subscription string
		seats        string
		mails        []string
	}{
		{0, "two of three seats", nil, subscribed, free, nil},
		{1, "the third", func() { h.create(ann) }, subscribed, taken, []string{seatsTaken}},
		{2, "nothing", nil, subscribed, taken, nil},
		{30, "one leaves", func() { h.delete(mia); h.goes(mia) }, subscribed, free, nil},
		{30, "another comes", func() { h.create(bob) }, subscribed, taken, []string{seatsTaken}},
		{31, "one seat more", subscribe(func(s *v1alpha1.OrganizationSubscription) { s.Seats = 4 }), subscribed, free, nil},
		{100, "a membership ends", nil, subscribed, free, nil},
		{200, "paid for a month, cancelled", cancel(230), isCancelled, free, []string{cancelled}},
		{222, "nothing", nil, isCancelled, free, nil},
		{223, "seven days to go", nil, isCancelled, free, []string{ending}},
		{229, "nothing", nil, isCancelled, free, nil},
		{230, "the end", nil, hasEnded, free, []string{ended}},
		{260, "resumed", resume, subscribed, free, nil},
		{300, "cancelled with three days to go", cancel(303), isCancelled, free, []string{cancelled}},
		{303, "the end", nil, hasEnded, free, []string{ended}},
		{310, "resumed", resume, subscribed, free, nil},
		{310, "cancelled", cancel(350), isCancelled, free, []string{cancelled}},
		{310, "resumed", resume, subscribed, free, nil},
		{310, "and cancelled within the day", cancel(350), isCancelled, free, nil},
		{310, "and resumed", resume, subscribed, free, nil},
		{312, "nothing", nil, subscribed, free, nil},
		{365, "cancelled when nothing is paid any more", cancel(350), hasEnded, free, []string{ended}},
	} {
		t.Logf("day %d: %s", step.day, step.what)
		if step.day > at {
			h.later(time.Duration(step.day-at) * day)
			at = step.day
		}
		if step.do != nil {
			step.do()
		}
		h.becomes(acme, "SubscriptionActive", step.subscription)
		h.becomes(acme, "SeatsAvailable", step.seats)
		mails = append(mails, step.mails...)
		h.billed(mails...)
		want := v1alpha1.AccessAdmin
		if step.subscription == hasEnded {
			want = ""
		}
		h.has(h.user("jane"), h.in("web"), want)
	}
	h.settles()
	letters, ids := h.billed(mails...), map[string]bool{}
	for _, l := range letters {
		ids[l.messageID] = true
		if strings.Contains(l.body, addressDomain) || l.token != "" {
			t.Errorf("a mail shows an address or a link:\n%s", l.body)
		}
	}
	if len(ids) != len(letters) {
		t.Errorf("%d mails have %d Message-IDs", len(letters), len(ids))
	}
	h.becomes(ann, "Ready", "True/MembershipExpired")
	h.mailsCounted("subscription", map[string]float64{"sent": float64(len(letters))})
	if h.get(acme); len(acme.Status.Mails) > 0 && acme.Status.Mails[0].Count > 1 {
		t.Errorf("mails to the billing contact count as the organization's: %+v", acme.Status.Mails)
	}
}

// A mail that the server refuses for now is tried again with the same Message-ID, by another operator too; without a billing
// contact there is none, until somebody names one.
func TestSubscriptionMailTriedAgain(t *testing.T) {
	h := operate(t).home(t)
	acme, _ := h.found()
	h.cancel(acme, 100*day)
	h.becomes(acme, "SubscriptionActive", "True/SubscriptionCancelled")
	h.settles()
	h.mail.say(refusedForNow)
	edit(h, acme, func(o *v1alpha1.Organization) {
		o.Spec.Billing = &v1alpha1.OrganizationBilling{Email: v1alpha1.EmailAddress(h.user("billing"))}
		o.Spec.Invitations = &v1alpha1.OrganizationInvitations{Locale: "it"}
	})
	h.eventually("a try", func() error { return h.toldOf(acme, "SubscriptionMailDeferred") })
	h.mail.say(nil)
	h.restart(t)
	h.later(time.Hour)
	l := h.billed("L'abbonamento di acme è stato disdetto")[0]
	if want := fmt.Sprintf("%s.1.subscription-cancelled@", acme.UID); !strings.Contains(l.messageID, want) || l.language != "it" {
		t.Errorf("Message-ID %s, language %s", l.messageID, l.language)
	}
	h.eventually("the record", func() error {
		h.get(acme)
		if n := acme.Status.SubscriptionMails; len(n) != 1 || n[0].SentAt == nil || n[0].Attempts != 2 {
			return fmt.Errorf("%+v", n)
		}
		return nil
	})
	h.restart(t)
	h.settles()
	h.billed("L'abbonamento di acme è stato disdetto")
}

// The end is said, and moved, after the cancelling was told: the contact reads of each. Whose server refuses for now is tried for
// five days from the first try, however long there was nobody to tell.
func TestSubscriptionMailIsGivenUp(t *testing.T) {
	h := operate(t).home(t)
	acme, _ := h.found()
	h.cancel(acme, 0)
	h.becomes(acme, "SubscriptionActive", "True/SubscriptionCancelled")
	h.later(10 * day)
	h.settles()
	bill := func(o *v1alpha1.Organization) {
		o.Spec.Billing = &v1alpha1.OrganizationBilling{Email: v1alpha1.EmailAddress(h.user("billing"))}
	}
	edit(h, acme, bill)
	h.billed(cancelled)
	h.cancel(acme, 6*day)
	h.billed(cancelled, ending)

	h.mail.say(refusedForNow)
	h.cancel(acme, 5*day)
	h.later(day)
	tries := func(want func(n v1alpha1.SubscriptionNotice) bool) {
		t.Helper()
		h.eventually("the record of the tries", func() error {
			h.get(acme)
			for _, n := range acme.Status.SubscriptionMails {
				if n.About == v1alpha1.SubscriptionEnded && want(n) {
					return nil
				}
			}
			return fmt.Errorf("%+v", acme.Status.SubscriptionMails)
		})
	}
	h.later(10 * day)
	tries(func(n v1alpha1.SubscriptionNotice) bool { return n.Attempts == 1 && n.NextAttemptAt != nil })
	h.later(5*day - time.Hour)
	tries(func(n v1alpha1.SubscriptionNotice) bool { return n.Attempts == 2 && n.NextAttemptAt != nil })
	h.later(2 * time.Hour)
	tries(func(n v1alpha1.SubscriptionNotice) bool {
		return n.RejectedAt != nil && n.NextAttemptAt == nil && strings.HasSuffix(n.LastError, "it is tried no more")
	})
	h.eventually("an Event tells of it", func() error { return h.toldOf(acme, "SubscriptionMailDropped") })
	h.mail.say(nil)
	h.later(day)
	h.settles()
	h.billed(cancelled, ending)
}
