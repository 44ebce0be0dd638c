package rules_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/internal/rules"
)

// What the billing contact reads of the end of a subscription when the end is declared late, moved to and fro, and when the clock is
// wrong: of each end that was announced once, and never of one that was taken back.
func TestEndsTold(t *testing.T) {
	type step struct {
		day    float64
		reason string
		edit   string // "resumed", "open" or the day of the end
		mails  []string
	}
	const refused = "refused: "
	for name, steps := range map[string][]step{
		"said afterwards": {
			{0, "nobody says until when", "open", []string{"Cancelled"}},
			{2, "in three days", "5", []string{"Ending 5"}},
			{5, "the end", "", []string{"Ended 5"}},
		},
		"said afterwards, far ahead": {
			{0, "nobody says until when", "open", []string{"Cancelled"}},
			{2, "", "30", nil},
			{23, "a week to go", "", []string{"Ending 30"}},
		},
		"moved near": {
			{0, "", "30", []string{"Cancelled 30"}},
			{2, "in three days", "5", []string{"Ending 5"}},
			{5, "the end", "", []string{"Ended 5"}},
		},
		"cancelled late": {
			{0, "", "3", []string{"Cancelled 3"}},
			{1, "nothing is new", "", nil},
			{3, "the end", "", []string{"Ended 3"}},
		},
		"cancelled late, then moved": {
			{0, "", "3", []string{"Cancelled 3"}},
			{1, "a day later", "4", []string{"Ending 4"}},
			{1.5, "and back: told a day after", "3", nil},
			{2, "", "", []string{"Ending 3"}},
			{3, "the end", "", []string{"Ended 3"}},
		},
		"moved within the week": {
			{0, "", "30", []string{"Cancelled 30"}},
			{23, "a week to go", "", []string{"Ending 30"}},
			{24, "", "29", []string{"Ending 29"}},
			{24.5, "of a matter one mail in a day", "28", nil},
			{25, "", "", []string{"Ending 28"}},
			{26, "", "29", []string{"Ending 29"}},
			{26.1, "", "30", nil},
			{26.2, "taken back before it was told", "29", nil},
			{27, "nothing is new", "", nil},
			{29, "the end", "", []string{"Ended 29"}},
		},
		"moved to and fro before it was told": {
			{0, "", "30", []string{"Cancelled 30"}},
			{23, "a week to go", "", []string{"Ending 30"}},
			{23.5, "", "29", nil}, {23.6, "", "60", nil}, {23.7, "", "29", nil},
			{23.8, "they know of it", "30", nil},
			{25, "nothing is new", "", nil},
		},
		"moved to and fro while it is refused for now": {
			{0, "", "30", []string{"Cancelled 30"}},
			{23, "a week to go", "", []string{refused + "Ending 30"}},
			{23.5, "", "29", nil},
			{23.6, "nobody knows what they know", "30", nil},
			{24, "a day after", "", []string{"Ending 30"}},
		},
		"an end within a second": {
			{0, "", "30.000001", []string{"Cancelled 30"}},
			{1, "nothing is new", "", nil},
			{24, "a week to go", "", []string{"Ending 30"}},
			{26, "nothing is new", "", nil},
			{31, "the end", "", []string{"Ended 30"}},
			{33, "nothing is new", "", nil},
		},
		"moved away and back": {
			{0, "", "30", []string{"Cancelled 30"}},
			{23, "a week to go", "", []string{"Ending 30"}},
			{24, "paid for longer", "60", nil},
			{26, "and not", "30", nil},
			{27, "paid for longer", "60", nil},
			{53, "a week to go", "", []string{"Ending 60"}},
		},
		"resumed and cancelled again with the same end": {
			{0, "", "30", []string{"Cancelled 30"}},
			{23, "a week to go", "", []string{"Ending 30"}},
			{24, "", "resumed", nil},
			{26, "who cancels late needs one mail", "30", []string{"Cancelled 30"}},
			{30, "the end", "", []string{"Ended 30"}},
			{40, "", "resumed", nil},
			{42, "too late", "30", []string{"Ended 30"}},
		},
		"ended, paid for longer, and not": {
			{0, "", "3", []string{"Cancelled 3"}},
			{3, "the end", "", []string{"Ended 3"}},
			{5, "all is back", "30", nil},
			{7, "it ended again", "3", []string{"Ended 3"}},
			{9, "put right: it goes on being over", "2", nil},
		},
		"the clock is ahead of the end, and put right": {
			{0, "", "30", []string{"Cancelled 30"}},
			{40, "ahead", "", []string{"Ended 30"}},
			{1, "right", "", nil},
			{60, "ahead", "", nil},
			{2, "right", "", nil},
			{23, "a week to go", "", []string{"Ending 30"}},
			{30, "the end, which they know of", "", nil},
		},
		"the clock is ahead within the week, and put right": {
			{0, "", "30", []string{"Cancelled 30"}},
			{25, "ahead", "", []string{"Ending 30"}},
			{1, "right", "", nil},
			{23, "a week to go, which they know of", "", nil},
			{30, "the end", "", []string{"Ended 30"}},
		},
		"refused for now, and moved": {
			{0, "", "30", []string{refused + "Cancelled 30"}},
			{0.5, "another mail", "31", nil},
			{1, "a day after", "", []string{"Cancelled 31"}},
			{24, "a week to go", "", []string{refused + "Ending 31"}},
			{25, "another mail", "30", []string{"Ending 30"}},
			{30, "the end", "", []string{refused + "Ended 30"}},
			{30.1, "again", "", []string{refused + "Ended 30"}},
			{30.2, "another mail", "29", nil},
			{31, "a day after", "", []string{"Ended 29"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := home(subscribed(func(*v1alpha1.OrganizationSubscription) {}))
			h.Organization.Spec.Billing = &v1alpha1.OrganizationBilling{Email: "billing@acme.example"}
			s, status := h.Organization.Spec.Subscription, &h.Organization.Status
			on := func(day float64) time.Time { return now.Add(time.Duration(day * 24 * float64(time.Hour))) }
			ids := map[string]string{}
			for _, step := range steps {
				h.Now = on(step.day)
				var until float64
				switch step.edit {
				case "":
				case "resumed":
					s.Cancelled = false
				case "open":
					s.Cancelled = true
				default:
					if _, err := fmt.Sscan(step.edit, &until); err != nil {
						t.Fatal(err)
					}
					s.Cancelled, s.PaidThrough = true, stamp(on(until))
				}
				for _, record := range due(h) { // the edit is not noted yet
					if got := told(record); !slices.ContainsFunc(step.mails, func(m string) bool { return m == got || m == refused+got }) {
						t.Errorf("day %v, %s: before it is noted, %s is due", step.day, step.reason, got)
					}
				}
				status.SubscriptionMails = stored(t, rules.SubscriptionNotices(h, &v1alpha1.SeatUse{}))
				if diff := cmp.Diff(status.SubscriptionMails, rules.SubscriptionNotices(h, &v1alpha1.SeatUse{})); diff != "" {
					t.Errorf("day %v, %s: noted twice\n%s", step.day, step.reason, diff)
				}
				var got []string
				for _, record := range due(h) {
					mail := told(record)
					id := fmt.Sprint(record.About, record.Serial)
					if before := ids[id]; before != "" && before != mail {
						t.Errorf("day %v, %s: %s has the Message-ID of %s", step.day, step.reason, mail, before)
					}
					ids[id] = mail
					if slices.Contains(step.mails, refused+mail) {
						record.NextAttemptAt, mail = stamp(h.Now.Add(time.Minute)), refused+mail
					} else {
						record.SentAt = stamp(h.Now)
					}
					i := slices.IndexFunc(status.SubscriptionMails, func(n v1alpha1.SubscriptionNotice) bool { return n.About == record.About })
					status.SubscriptionMails[i] = *record
					got = append(got, mail)
				}
				status.SubscriptionMails = stored(t, status.SubscriptionMails)
				if !slices.Equal(got, step.mails) {
					t.Errorf("day %v, %s: got %q, want %q\n%+v", step.day, step.reason, got, step.mails, status.SubscriptionMails)
				}
			}
		})
	}
}

// stored are notices as the API server keeps them: of moments, the whole seconds.
func stored(t *testing.T, notices []v1alpha1.SubscriptionNotice) (kept []v1alpha1.SubscriptionNotice) {
	t.Helper()
	written, err := json.Marshal(notices)
	if err == nil {
		err = json.Unmarshal(written, &kept)
	}
	if err != nil {
		t.Fatal(err)
	}
	return kept
}

// due are the mails that are due now.
func due(h rules.Home) (records []*v1alpha1.SubscriptionNotice) {
	h.Organization = h.Organization.DeepCopy()
	for record, _ := rules.NextSubscriptionMail(h); record != nil; record, _ = rules.NextSubscriptionMail(h) {
		records = append(records, record)
		for i := range h.Organization.Status.SubscriptionMails {
			if n := &h.Organization.Status.SubscriptionMails[i]; n.About == record.About {
				n.SentAt = stamp(h.Now)
			}
		}
	}
	return records
}

// told is the matter of a mail and the day of the end that it names.
func told(n *v1alpha1.SubscriptionNotice) string {
	if n.PaidThrough == nil {
		return string(n.About)
	}
	return fmt.Sprintf("%s %v", n.About, n.PaidThrough.Sub(now).Hours()/24)
}

// The five days in which a mail is tried begin with the first try, not when there was something to tell.
func TestFirstAttempt(t *testing.T) {
	h := home(cancelledOpen)
	h.Organization.Spec.Billing = &v1alpha1.OrganizationBilling{Email: "billing@acme.example"}
	h.Organization.Status.SubscriptionMails = []v1alpha1.SubscriptionNotice{{About: v1alpha1.SubscriptionCancelled, Serial: 1, At: *stamp(now.Add(-1000 * time.Hour))}}
	record, _ := rules.NextSubscriptionMail(h)
	if record == nil || !record.FirstAttemptAt.Equal(stamp(now)) {
		t.Fatalf("the first try: %+v", record)
	}
	h.Organization.Status.SubscriptionMails[0], h.Now = *record, now.Add(time.Hour)
	again, _ := rules.NextSubscriptionMail(h)
	if again == nil || !again.FirstAttemptAt.Equal(stamp(now)) || again.Attempts != 2 {
		t.Errorf("the second try: %+v", again)
	}
	if again.SentAt = stamp(h.Now); !rules.GiveUp(*again.FirstAttemptAt).Equal(now.Add(5 * 24 * time.Hour)) {
		t.Error("it is not given up five days after the first try")
	}
	// What becomes so again is another mail.
	h.Organization.Status.SubscriptionMails[0] = *again
	h.Organization.Spec.Subscription.Cancelled = false
	h.Organization.Status.SubscriptionMails = rules.SubscriptionNotices(h, &v1alpha1.SeatUse{})
	h.Organization.Spec.Subscription.Cancelled, h.Now = true, now.Add(1000*time.Hour)
	h.Organization.Status.SubscriptionMails = rules.SubscriptionNotices(h, &v1alpha1.SeatUse{})
	if record, _ := rules.NextSubscriptionMail(h); record == nil || !record.FirstAttemptAt.Equal(stamp(h.Now)) {
		t.Errorf("the next mail: %+v", record)
	}
}
