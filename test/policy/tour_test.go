// Copyright The orgkeeper Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"fmt"
	"os"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
)

// TestTour does what the README's tour does with roles, and compares what kubectl says with what is written there.
func TestTour(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	check(t, err)
	_, tour, _ := strings.Cut(string(readme), "$ alias joe=")
	tour, _, _ = strings.Cut(tour, "Mistakes are refused")
	operate(t)
	h := &home{t: t, name: "acme"}
	h.create(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: h.name}},
		&v1alpha1.Organization{ObjectMeta: h.meta("acme"), Spec: v1alpha1.OrganizationSpec{Owner: "jane"}},
		h.member("jane", v1alpha1.RoleAdmin), h.member("joe", v1alpha1.RoleUserAdmin), h.member("mia", v1alpha1.RoleMember))
	eventually(t, "joe is user admin", func() error {
		return as(t, h.user("joe")).List(t.Context(), &v1alpha1.OrgMemberList{}, client.InNamespace("acme"))
	})
	eventually(t, "jane owns", func() error {
		if owner := h.organization().Status.Owner; owner != "jane" {
			return fmt.Errorf("owner %q", owner)
		}
		return nil
	})
	ann := `{apiVersion: orgkeeper.dev/v1alpha1, kind: OrgMember, metadata: {name: ann}, spec: {email: ann@acme.example, role: Admin}}`
	says := func(who, said string, err error) {
		t.Helper()
		if err != nil && said == "" {
			said = err.Error()
		}
		said = strings.TrimSpace(said)
		if i := strings.LastIndex(said, "denied request: "); i >= 0 {
			said = "... " + said[i+len("denied request: "):]
		} else if _, words, failed := strings.Cut(said, "exit status 1: "); failed {
			said = words
		}
		if !strings.Contains(tour, said+"\n") {
			t.Errorf("%s: the README does not say: %s", who, said)
		}
	}
	kubectl := func(who string, args ...string) {
		t.Helper()
		out, err := plane.Run(t.Context(), append([]string{"-n", "acme", "--as", h.user(who)}, args...)...)
		says(who+" "+strings.Join(args, " "), out, err)
	}
	kubectl("joe", "auth", "can-i", "grant", "orgmembers", "--subresource", "admin")
	out, err := plane.Create(t.Context(), ann, "-n", "acme", "--as", h.user("joe"))
	says("joe adds ann", out, err)
	kubectl("joe", "patch", "om", "mia", "--type", "merge", "-p", `{"spec":{"role":"UserAdmin"}}`)
	kubectl("joe", "delete", "om", "jane")
	kubectl("joe", "patch", "org", "acme", "--type", "merge", "-p", `{"spec":{"billing":{"company":"Joe Ltd"}}}`)
	kubectl("joe", "delete", "om", "joe")
	out, err = plane.Run(t.Context(), "-n", "acme", "delete", "om", "jane")
	says("cluster-admin removes jane", out, err)
	kubectl("jane", "patch", "org", "acme", "--type", "merge", "-p", `{"spec":{"owner":"mia"}}`)
	kubectl("jane", "patch", "om", "mia", "--type", "merge", "-p", `{"spec":{"role":"Admin"}}`)
	eventually(t, "mia can own", func() error {
		_, err := plane.Run(t.Context(), "-n", "acme", "--as", h.user("jane"), "patch", "org", "acme", "--type", "merge", "-p", `{"spec":{"owner":"mia"}}`)
		return err
	})
	eventually(t, "mia owns, and jane is an admin", func() error {
		if s := h.organization().Status; s.Owner != "mia" || strings.Join(s.Admins, ",") != "jane,mia" {
			return fmt.Errorf("%+v", s)
		}
		return nil
	})
}
