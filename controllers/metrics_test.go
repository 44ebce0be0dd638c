package controllers_test

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/controllers"
)

// What a dashboard shows: members by state, mails sent and failed, and how long the oldest invitation waits.
func TestMetrics(t *testing.T) {
	h := operate(t).home(t)
	h.found()
	// It counts every home; those of other tests shall not count here.
	h.registry.MustRegister(controllers.MemberCollector{Clock: h.clock, Members: func(ctx context.Context) (all []*v1alpha1.OrgMember, _ error) {
		members, err := h.deps.Facts.Members(ctx, h.name)
		for i := range members {
			all = append(all, &members[i])
		}
		return all, err
	}})

	h.invited("mia")
	tom, _ := h.invited("tom")
	editStatus(h, tom, func(m *v1alpha1.OrgMember) { m.Status.DeclinedAt = m.Status.Invitation.SentAt })
	sue := h.member("sue", v1alpha1.RoleMember, joined, func(m *v1alpha1.OrgMember) { m.Spec.Suspended = true })
	h.create(sue, h.robot("ci", h.name), h.member("old", v1alpha1.RoleMember, joined, h.over()))
	h.metricsCome(`
# HELP orgkeeper_members OrgMembers by state.
# TYPE orgkeeper_members gauge
orgkeeper_members{state="Active"} 2
orgkeeper_members{state="Declined"} 1
orgkeeper_members{state="Expired"} 1
orgkeeper_members{state="Pending"} 1
orgkeeper_members{state="Suspended"} 1
# HELP orgkeeper_oldest_unsent_invitation_seconds Age of the oldest invitation that is due and was not taken by the mail server, in seconds; 0 when there is none.
# TYPE orgkeeper_oldest_unsent_invitation_seconds gauge
orgkeeper_oldest_unsent_invitation_seconds 0
# HELP orgkeeper_mailer_ready 1 unless this replica found that no mail can be sent, whoever it is for; then 0 until one is.
# TYPE orgkeeper_mailer_ready gauge
orgkeeper_mailer_ready 1
`, "orgkeeper_members", "orgkeeper_oldest_unsent_invitation_seconds", "orgkeeper_mailer_ready")
	h.mailsCounted("invitation", map[string]float64{"sent": 2})

	h.mail.say(refusedForNow)
	slow := h.member("slow", v1alpha1.RoleMember)
	h.create(slow)
	h.becomes(slow, "Ready", "False/InvitationDeferred")
	h.mail.say(refusedForGood)
	bad := h.member("bad", v1alpha1.RoleMember)
	h.create(bad)
	h.becomes(bad, "Ready", "False/InvitationRejected")
	h.mailsCounted("invitation", map[string]float64{"sent": 2, "permanent": 1, "temporary": 1})
	h.clock.Step(time.Hour)
	// The one that was refused for good waits for a person, not for the operator: it is not counted.
	h.eventually("the age of what waits", func() error {
		families, err := h.registry.Gather()
		if err != nil {
			return err
		}
		for _, family := range families {
			if family.GetName() == "orgkeeper_oldest_unsent_invitation_seconds" {
				if age := family.GetMetric()[0].GetGauge().GetValue(); age < 3600 || age > 3700 {
					return fmt.Errorf("%v seconds", age)
				}
			}
		}
		return nil
	})

	problems, err := testutil.GatherAndLint(h.registry)
	if err != nil || len(problems) > 0 {
		t.Errorf("promlint: %v %v", problems, err)
	}
}

func (h *home) metricsCome(want string, names ...string) {
	h.t.Helper()
	h.eventually("metrics", func() error { return testutil.GatherAndCompare(h.registry, strings.NewReader(want), names...) })
}

// mailsCounted waits until the mails of a kind came to these results and no others.
func (h *home) mailsCounted(kind string, want map[string]float64) {
	h.t.Helper()
	h.eventually("counts of mails", func() error {
		got := map[string]float64{}
		families, err := h.registry.Gather()
		if err != nil {
			return err
		}
		for _, family := range families {
			if family.GetName() != "orgkeeper_mails_total" {
				continue
			}
			for _, m := range family.GetMetric() {
				labels := map[string]string{}
				for _, l := range m.GetLabel() {
					labels[l.GetName()] = l.GetValue()
				}
				if n := m.GetCounter().GetValue(); labels["kind"] == kind && n > 0 {
					got[labels["result"]] = n
				}
			}
		}
		if !maps.Equal(got, want) {
			return fmt.Errorf("%v, not %v", got, want)
		}
		return nil
	})
}
