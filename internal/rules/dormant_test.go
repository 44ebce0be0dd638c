package rules_test

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/internal/rules"
)

// quarter is what acme takes for too long in these tests.
const quarter = 2160 * time.Hour

func dormantAfter(d time.Duration) homeOption {
	return func(h *rules.Home) {
		h.Organization.Spec.Members = &v1alpha1.OrganizationMembers{DormantAfter: &metav1.Duration{Duration: d}}
	}
}

func joinedAt(t time.Time) memberOption {
	return func(m *v1alpha1.OrgMember) { m.Status.AcceptedAt = stamp(t) }
}

func activeAt(t time.Time) memberOption {
	return func(m *v1alpha1.OrgMember) { m.Status.LastActiveTime = stamp(t) }
}

func TestDormancy(t *testing.T) {
	long, lately := now.Add(-2*quarter), now.Add(-quarter+time.Hour)
	yes, no, unknown, absent := metav1.ConditionTrue, metav1.ConditionFalse, metav1.ConditionUnknown, metav1.ConditionStatus("")
	cases := map[string]struct {
		reason string
		home   rules.Home
		member *v1alpha1.OrgMember
		want   metav1.ConditionStatus
		words  string // in the message
		wake   time.Time
	}{
		"active lately":       {"it is looked at again then", home(dormantAfter(quarter)), member("mia", joinedAt(long), activeAt(lately)), no, "mia was active", now.Add(time.Hour)},
		"long ago":            {"the day says since when", home(dormantAfter(quarter)), member("mia", joinedAt(long), activeAt(now.Add(-quarter-time.Hour))), yes, "last active on 2026-12-01", rules.Never},
		"exactly then":        {"a moment that has come has come", home(dormantAfter(quarter)), member("mia", joinedAt(long), activeAt(now.Add(-quarter))), yes, "last active", rules.Never},
		"a second before":     {"and no sooner", home(dormantAfter(quarter)), member("mia", joinedAt(long), activeAt(now.Add(time.Second-quarter))), no, "", now.Add(time.Second)},
		"never seen":          {"it counts from joining", home(dormantAfter(quarter)), member("mia", joinedAt(long)), yes, "not active since joining on 2026-09-02", rules.Never},
		"joined lately":       {"everybody has time to begin", home(dormantAfter(quarter)), member("mia", joinedAt(lately)), no, "joined", now.Add(time.Hour)},
		"joined again":        {"what was before counts no more", home(dormantAfter(quarter)), member("mia", activeAt(long), joinedAt(lately)), no, "", now.Add(time.Hour)},
		"from the future":     {"a clock ran ahead; nobody is dormant for it", home(dormantAfter(quarter)), member("mia", joinedAt(long), activeAt(now.Add(time.Hour))), no, "", now.Add(time.Hour + quarter)},
		"robot":               {"a robot that does nothing is a key that lies about", home(dormantAfter(quarter)), member("ci", robot("acme", "ci"), bornAt(long)), yes, "since joining", rules.Never},
		"robot at work":       {"it is active like anybody", home(dormantAfter(quarter)), member("ci", robot("acme", "ci"), bornAt(long), activeAt(lately)), no, "", now.Add(time.Hour)},
		"owner":               {"the owner as well: it changes no access", home(dormantAfter(quarter)), member("jane", admin, joinedAt(long)), yes, "jane", rules.Never},
		"nobody asked":        {"not where the organization says nothing", home(), member("mia", joinedAt(long)), absent, "", rules.Never},
		"pending":             {"who has not joined cannot be active", home(dormantAfter(quarter)), member("mia", invited, bornAt(long)), absent, "", rules.Never},
		"suspended":           {"who may not is not expected", home(dormantAfter(quarter)), member("mia", joinedAt(long), suspended), absent, "", rules.Never},
		"membership over":     {"who may not is not expected", home(dormantAfter(quarter)), member("mia", joinedAt(long), expires(now)), absent, "", rules.Never},
		"organization leaves": {"nobody has access", home(dormantAfter(quarter), organizationLeaves), member("mia", joinedAt(long)), absent, "", rules.Never},
		"no organization":     {"nobody has access", home(noOrganization), member("mia", joinedAt(long)), absent, "", rules.Never},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			f := rules.MemberFacts{Member: c.member, RobotAllowed: true}
			s := rules.Judge(c.home, f)
			got := rules.JudgeDormancy(c.home, c.member, s, true)
			if got.Status != c.want || !got.Wake.Equal(c.wake) || !strings.Contains(got.Message, c.words) {
				t.Errorf("%s: got %+v, want %q, %q, %s", c.reason, got, c.want, c.words, c.wake)
			}
			unseen := rules.JudgeDormancy(c.home, c.member, s, false)
			if c.want != absent && unseen.Status != unknown || c.want == absent && unseen != (rules.Dormancy{}) || !unseen.Wake.IsZero() {
				t.Errorf("unwatched: got %+v", unseen)
			}
			for _, d := range []rules.Dormancy{got, unseen} {
				if d.Status != absent {
					checkReason(t, d.Reason)
				}
			}
		})
	}
}

// Time alone makes a member dormant once, at the moment that was foretold; activity heals it; and no activity but that
// changes what the condition says, so that being active writes nothing but its time.
func TestDormancyOverTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := home(dormantAfter(quarter))
		m := member("mia", joinedAt(now))
		judge := func() rules.Dormancy {
			return rules.JudgeDormancy(h, m, rules.Judge(h, rules.MemberFacts{Member: m}), true)
		}
		before := judge()
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			if rapid.Bool().Draw(t, "active") {
				m.Status.LastActiveTime = stamp(h.Now)
				got := judge()
				if got.Status != metav1.ConditionFalse {
					t.Fatalf("active now and %+v", got)
				}
				if before.Status == got.Status && before.Message != got.Message {
					t.Fatalf("%q became %q by activity alone", before.Message, got.Message)
				}
				before = got
				continue
			}
			h.Now = h.Now.Add(time.Duration(rapid.Int64Range(1, int64(quarter)).Draw(t, "later")))
			got := judge()
			foretold := before.Status == metav1.ConditionTrue || !h.Now.Before(before.Wake)
			if (got.Status == metav1.ConditionTrue) != foretold {
				t.Fatalf("at %s %+v, after %+v", h.Now, got, before)
			}
			before = got
		}
	})
}
