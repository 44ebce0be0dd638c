package rules_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/internal/rules"
)

// sent is so many mails in the hour that began so many hours ago.
func sent(hoursAgo int, count int32) v1alpha1.MailCount {
	return v1alpha1.MailCount{Hour: *stamp(now.Add(-time.Duration(hoursAgo) * time.Hour)), Count: count}
}

func TestAllowance(t *testing.T) {
	type sents = []v1alpha1.MailCount
	in := func(hours int) time.Time { return now.Add(time.Duration(hours) * time.Hour) }
	for _, c := range []struct {
		reason string
		limit  int32
		sent   sents
		ahead  int
		now    bool
		at     time.Time
	}{
		{"no limit", 0, sents{sent(1, 1000)}, 1000, true, rules.Never},
		{"nothing sent yet", 2, nil, 0, true, rules.Never},
		{"room for both", 2, nil, 1, true, rules.Never},
		{"the last one", 2, sents{sent(1, 1)}, 0, true, rules.Never},
		{"the room is for the one ahead", 2, sents{sent(1, 1)}, 1, false, in(24)},
		{"all sent: when the oldest hour is over a day past", 2, sents{sent(23, 1), sent(1, 1)}, 0, false, in(2)},
		{"the second waits for the second hour", 2, sents{sent(23, 1), sent(1, 1)}, 1, false, in(24)},
		{"the third for the first one's window", 2, sents{sent(23, 1), sent(1, 1)}, 2, false, in(27)},
		{"and the fourth for the second one's", 2, sents{sent(23, 1), sent(1, 1)}, 3, false, in(49)},
		{"an hour counts until all of it is a day past", 1, sents{sent(24, 1)}, 0, false, in(1)},
		{"and no longer", 1, sents{sent(25, 1)}, 0, true, rules.Never},
		{"room now for two, a window later for two more", 2, nil, 2, false, in(25)},
		{"and for the next two after that", 2, nil, 5, false, in(50)},
		{"the limit was lowered: all but one have to leave", 2, sents{sent(20, 3), sent(10, 1)}, 0, false, in(5)},
		{"and the second waits for the rest", 2, sents{sent(20, 3), sent(10, 1)}, 1, false, in(15)},
		{"what a clock that ran ahead counted would count for ever", 1, sents{sent(-400, 1)}, 0, true, rules.Never},
	} {
		a := rules.Allowance{Limit: c.limit, Sent: c.sent, Now: now}
		if got, at := a.Turn(c.ahead); got != c.now || !at.Equal(c.at) {
			t.Errorf("%s: %v at %v, want %v at %v", c.reason, got, at, c.now, c.at)
		}
		if first, _ := a.Turn(0); a.Taken() == first {
			t.Errorf("%s: taken: %v, and the first in line may go: %v", c.reason, a.Taken(), first)
		}
	}
}

func TestSpend(t *testing.T) {
	for _, c := range []struct {
		reason     string
		sent, want []v1alpha1.MailCount
	}{
		{"the first", nil, []v1alpha1.MailCount{sent(0, 1)}},
		{"another in the same hour", []v1alpha1.MailCount{sent(3, 2), sent(0, 1)}, []v1alpha1.MailCount{sent(3, 2), sent(0, 2)}},
		{"what is over is forgotten", []v1alpha1.MailCount{sent(26, 9), sent(25, 9), sent(24, 1)}, []v1alpha1.MailCount{sent(24, 1), sent(0, 1)}},
		{"an operator whose clock is ahead was here", []v1alpha1.MailCount{sent(3, 2), sent(-1, 1)}, []v1alpha1.MailCount{sent(3, 2), sent(-1, 2)}},
		{"and what was never true", []v1alpha1.MailCount{sent(-2, 9)}, []v1alpha1.MailCount{sent(0, 1)}},
	} {
		before := slices.Clone(c.sent)
		got := rules.Allowance{Limit: 1, Sent: c.sent, Now: now.Add(59 * time.Minute)}.Spend()
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s\n-want +got:\n%s", c.reason, diff)
		}
		if diff := cmp.Diff(before, c.sent); diff != "" {
			t.Errorf("%s: the cache's own was changed: %s", c.reason, diff)
		}
	}
}

// In no 24 hours more mails go out than the limit says, the record stays small, and whoever is told a moment is let through
// then if those ahead went when they could.
func TestAllowanceProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := rules.Allowance{Limit: rapid.Int32Range(1, 5).Draw(t, "limit"), Now: now}
		var went []time.Time
		for range 100 {
			a.Now = a.Now.Add(rapid.SampledFrom([]time.Duration{0, 0, time.Minute, time.Hour, 90 * time.Minute, 23 * time.Hour}).Draw(t, "later"))
			ok, at := a.Turn(0)
			if !ok {
				if !at.After(a.Now) || at.After(a.Now.Add(25*time.Hour)) {
					t.Fatalf("room at %v, and now it is %v: %v", at, a.Now, a.Sent)
				}
				if before, _ := (rules.Allowance{Limit: a.Limit, Sent: a.Sent, Now: at.Add(-1)}).Turn(0); before {
					t.Fatalf("room before %v already", at)
				}
				if then, _ := (rules.Allowance{Limit: a.Limit, Sent: a.Sent, Now: at}).Turn(0); !then {
					t.Fatalf("no room at %v: %v", at, a.Sent)
				}
				last := at
				for ahead := 1; ahead < 12; ahead++ {
					_, next := a.Turn(ahead)
					if next.Before(last) {
						t.Fatalf("%d ahead: %v, before %v", ahead, next, last)
					}
					last = next
				}
				continue
			}
			a.Sent = a.Spend()
			went = append(went, a.Now)
			if i := len(went) - 1 - int(a.Limit); i >= 0 && a.Now.Sub(went[i]) < 24*time.Hour {
				t.Fatalf("%d mails from %v to %v", a.Limit+1, went[i], a.Now)
			}
			if len(a.Sent) > 26 {
				t.Fatalf("%d hours are kept", len(a.Sent))
			}
		}
	})
}

func TestAheadInLine(t *testing.T) {
	older, twin, younger := member("older", bornAt(now.Add(-48*time.Hour))), member("a"), member("z", bornAt(now))
	m := member("mia")
	goes := member("goes", bornAt(now.Add(-48*time.Hour)), leaving)
	if got := rules.AheadInLine(m, []v1alpha1.OrgMember{*younger, *m, *twin, *older, *goes}); got != 2 {
		t.Errorf("%d ahead, want the older one and the one before by name", got)
	}
}

func TestOutage(t *testing.T) {
	failed := func(n int) rules.Outage {
		o := rules.Outage{}
		for range n {
			o.Probing = o.Failures > 0
			o = o.Failed(now, 0)
		}
		return o
	}
	probing := failed(1)
	probing.Probing = true
	for _, c := range []struct {
		reason string
		outage rules.Outage
		now    time.Time
		ok     bool
		at     time.Time
	}{
		{"nothing is known to be wrong", rules.Outage{}, now, true, rules.Never},
		{"after the first failure all wait", failed(1), now, false, now.Add(10 * time.Second)},
		{"until one may probe", failed(1), now.Add(10 * time.Second), true, rules.Never},
		{"and while it does the others wait on", probing, now.Add(time.Minute), false, now.Add(70 * time.Second)},
		{"the waits grow", failed(3), now, false, now.Add(40 * time.Second)},
		{"up to five minutes", failed(50), now, false, now.Add(5 * time.Minute)},
		{"a clock that ran ahead keeps nobody", failed(3), now.Add(-time.Hour), true, rules.Never},
	} {
		if ok, at := c.outage.Admit(c.now); ok != c.ok || !at.Equal(c.at) {
			t.Errorf("%s: %v at %v, want %v at %v", c.reason, ok, at, c.ok, c.at)
		}
	}
	together := failed(1).Failed(now.Add(time.Second), 0)
	if diff := cmp.Diff(failed(1), together); diff != "" {
		t.Errorf("several that failed together count as more than one: %s", diff)
	}
}
