// Copyright The orgkeeper Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
)

// Until when is paid is said by nobody of the organization, in no way: set, moved, taken out, or with the whole subscription.
func TestPaidThrough(t *testing.T) {
	operate(t)
	h := newHome(t, v1alpha1.AdministrationShared)
	platform(t, "biller")
	const paid, later = `{"spec":{"subscription":{"seats":9,"paidThrough":"2030-01-01T00:00:00Z"}}}`,
		`{"spec":{"subscription":{"paidThrough":"2199-01-01T00:00:00Z"}}}`
	try := func(user, patch string) error {
		return as(t, user).Patch(t.Context(), h.organization(), mergePatch("%s", patch), client.DryRunAll)
	}
	members := []string{"jane", "adam", "bill"}
	for _, name := range members {
		refused(t, name+" says it is paid", try(h.user(name), paid), "update organizations/paidthrough")
	}
	check(t, as(t, "biller").Patch(t.Context(), h.organization(), mergePatch("%s", paid)))
	for _, name := range members {
		for _, patch := range []string{later, `{"spec":{"subscription":{"paidThrough":null}}}`, `{"spec":{"subscription":null}}`} {
			refused(t, name+" patches "+patch, try(h.user(name), patch), "update organizations/paidthrough")
		}
		check(t, try(h.user(name), `{"spec":{"subscription":{"seats":10}}}`))
	}
	check(t, try("biller", later))
}

// Once all seats are taken nobody is added, by whomever, but whoever takes none; who is there can be edited.
func TestSeats(t *testing.T) {
	stop := operate(t)
	h := newHome(t, v1alpha1.AdministrationShared)
	platform(t, "seller")
	acme := h.organization()
	h.patch(acme, `{"spec":{"subscription":{"seats":%d}}}`, acme.Status.Seats.Taken)
	words := fmt.Sprintf("acme has %d seats and all are taken; remove somebody or book more (spec.subscription.seats)", acme.Status.Seats.Taken)
	full := func(when string) {
		t.Helper()
		for _, c := range []client.Client{as(t, h.user("jane")), as(t, h.user("uma")), as(t, "seller"), admin} {
			m := h.invited(h.fresh(), v1alpha1.RoleMember)
			generated := h.invited("", v1alpha1.RoleMember)
			generated.GenerateName, generated.Spec.Email = "n", m.Spec.Email
			refused(t, when+": one more", c.Create(t.Context(), m, client.DryRunAll), words)
			refused(t, when+": one more, really", c.Create(t.Context(), m), words)
			refused(t, when+": one more by generateName", c.Create(t.Context(), generated), words)
			refused(t, when+": one more by apply", applying.send(t.Context(), c, h.invited(h.fresh(), v1alpha1.RoleMember), `{}`), words)
			suspended := h.invited(h.fresh(), v1alpha1.RoleMember)
			suspended.Spec.Suspended = true
			check(t, c.Create(t.Context(), suspended, client.DryRunAll))
			robot := h.invited(h.fresh(), v1alpha1.RoleMember)
			robot.Spec.Email, robot.Spec.Username = "", "system:serviceaccount:"+h.name+":ci"
			check(t, c.Create(t.Context(), robot, client.DryRunAll))
			mia := h.invited("mia", v1alpha1.RoleMember)
			check(t, c.Patch(t.Context(), mia, mergePatch(`{"spec":{"displayName":"Mia","suspended":false}}`), client.DryRunAll))
		}
	}
	eventually(t, "the API server knows the seats", func() error {
		err := admin.Create(t.Context(), h.invited(h.fresh(), v1alpha1.RoleMember), client.DryRunAll)
		if err == nil || !strings.Contains(err.Error(), words) {
			return fmt.Errorf("not refused: %w", err)
		}
		return nil
	})
	full("operator running")
	stop()
	full("operator stopped")
}

// What docs/subscription.md says about those who do not pay: the owner resumes what the platform cancelled, unless it holds the home.
func TestHold(t *testing.T) {
	stop := operate(t)
	h := newHome(t, v1alpha1.AdministrationShared)
	stop()
	platform(t, "collector")
	doc, err := os.ReadFile("../../docs/subscription.md")
	check(t, err)
	_, policy, _ := strings.Cut(string(doc), "which tenants cannot write:\n\n```yaml\n")
	policy, _, found := strings.Cut(policy, "```")
	if !found {
		t.Fatal("docs/subscription.md shows no policy")
	}
	_, err = plane.Create(t.Context(), policy)
	check(t, err)
	t.Cleanup(func() {
		_, err := plane.Run(context.WithoutCancel(t.Context()), "delete", "validatingadmissionpolicy,validatingadmissionpolicybinding", "platform-hold")
		check(t, err)
	})
	const cancelled, resumed = `{"spec":{"subscription":{"cancelled":true,"paidThrough":"2026-01-31T00:00:00Z"}}}`,
		`{"spec":{"subscription":{"cancelled":false}}}`
	jane, collector := as(t, h.user("jane")), as(t, "collector")
	check(t, collector.Patch(t.Context(), h.organization(), mergePatch("%s", cancelled)))
	check(t, jane.Patch(t.Context(), h.organization(), mergePatch("%s", resumed), client.DryRunAll))

	_, err = plane.Run(t.Context(), "label", "namespace", h.name, "platform.example/hold=true")
	check(t, err)
	const words = "this organization is on hold until what is due has been paid; ask the platform"
	eventually(t, "the hold", func() error {
		err := jane.Patch(t.Context(), h.organization(), mergePatch("%s", resumed), client.DryRunAll)
		if err == nil || !strings.Contains(err.Error(), words) {
			return fmt.Errorf("not refused: %w", err)
		}
		return nil
	})
	for _, user := range []string{"jane", "adam"} {
		for _, w := range append(ways[:4:4], applying) {
			refused(t, user+" resumes by "+w.name, w.send(t.Context(), as(t, h.user(user)), h.organization(), resumed))
		}
	}
	check(t, jane.Patch(t.Context(), h.organization(), mergePatch(`{"spec":{"displayName":"Acme"}}`), client.DryRunAll))
	check(t, collector.Patch(t.Context(), h.organization(), mergePatch(`{"spec":{"subscription":{"cancelled":false,"paidThrough":null}}}`)))
}
