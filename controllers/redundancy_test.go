package controllers_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/controllers"
)

// That an organization hangs on one admin is told once, when it becomes so, and counted.
func TestAdminRedundancy(t *testing.T) {
	h := operate(t).home(t)
	h.registry.MustRegister(controllers.OrganizationCollector{Reader: client.NewNamespacedClient(h.deps.Client, h.name)})
	counted := func(organizations int) {
		t.Helper()
		h.metricsCome(fmt.Sprintf(`
# HELP orgkeeper_organizations_without_redundancy Organizations with less than two usable admins: their condition AdminRedundancy is False.
# TYPE orgkeeper_organizations_without_redundancy gauge
orgkeeper_organizations_without_redundancy %d
`, organizations), "orgkeeper_organizations_without_redundancy")
	}
	acme := h.organization("acme", "jane")
	want := []string{
		"Normal SeveralAdmins 2 admins are here to stay",
		"Warning OneAdmin only jane is an admin to stay; add a second one",
		"Warning OneAdmin only jane is an admin to stay; add a second one",
	}
	told := func() {
		t.Helper()
		h.eventually("Events", func() error {
			var events corev1.EventList
			if err := admin.List(t.Context(), &events, client.InNamespace(h.name)); err != nil {
				return err
			}
			var told []string
			for _, e := range events.Items {
				if e.InvolvedObject.UID != acme.UID || !strings.HasSuffix(e.Reason, "Admin") && !strings.HasSuffix(e.Reason, "Admins") {
					continue
				}
				times := 1
				if e.Series != nil {
					times = int(e.Series.Count)
				}
				for range times {
					told = append(told, e.Type+" "+e.Reason+" "+e.Message)
				}
			}
			slices.Sort(told)
			if !slices.Equal(told, want) {
				return fmt.Errorf("%q", told)
			}
			return nil
		})
	}
	h.create(acme)
	h.becomes(acme, "AdminRedundancy", "False/NoAdmin")
	h.create(h.member("jane", v1alpha1.RoleAdmin, joined))
	h.becomes(acme, "AdminRedundancy", "False/OneAdmin")
	counted(1)
	adam := h.member("adam", v1alpha1.RoleAdmin, joined)
	h.create(adam)
	h.becomes(acme, "AdminRedundancy", "True/SeveralAdmins")
	counted(0)
	h.touch(acme)
	h.restart(t)
	edit(h, adam, func(m *v1alpha1.OrgMember) { m.Spec.Suspended = true })
	h.becomes(acme, "AdminRedundancy", "False/OneAdmin")
	told() // an Event under way is lost when the operator stops
	h.restart(t)
	edit(h, acme, func(o *v1alpha1.Organization) { o.Spec.DisplayName = "Acme" })
	h.becomes(acme, "AdminRedundancy", "False/OneAdmin")
	h.settles()
	told()
}
