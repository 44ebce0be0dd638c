// Copyright The orgkeeper Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"context"
	"fmt"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
)

// BenchmarkPolicies is what the policies add to a write, with the policies on and off:
//
//	go test ./test/policy -run '^$' -bench Policies -benchtime 1000x
//
// The operator is stopped, so the API server has nothing else to do.
func BenchmarkPolicies(b *testing.B) {
	stop := operate(b)
	h := newHome(b, v1alpha1.AdministrationShared)
	stop()
	policiesOff := func() {
		_, err := plane.Run(context.Background(), "delete", "validatingadmissionpolicybindings,mutatingadmissionpolicybindings", "--all")
		check(b, err)
		eventually(b, "the policies are gone", func() error {
			return admin.Delete(context.Background(), h.invited("jane", ""), client.DryRunAll)
		})
	}
	writes(b, h, "on")
	policiesOff()
	writes(b, h, "off")
	// The next round of the benchmark finds them again.
	check(b, plane.Kustomize(context.Background(), "config/default"))
	eventually(b, "the policies are back", func() error {
		if err := admin.Delete(context.Background(), h.invited("jane", ""), client.DryRunAll); err == nil {
			return fmt.Errorf("jane may be removed")
		}
		return admin.Create(context.Background(), h.invited(h.fresh(), v1alpha1.RoleMember), client.DryRunAll)
	})
}

// writes are those that an organization sees most, each made by whom it is for.
func writes(b *testing.B, h *home, policies string) {
	jane, uma := as(b, h.user("jane")), as(b, h.user("uma"))
	mia, acme := h.invited("mia", ""), h.organization()
	for _, write := range []struct {
		what string
		do   func() error
	}{
		{"a user admin adds a member", func() error { return uma.Create(b.Context(), h.invited(h.fresh(), v1alpha1.RoleMember)) }},
		{"a user admin edits a member", func() error {
			return uma.Patch(b.Context(), mia.DeepCopy(), mergePatch(`{"spec":{"displayName":"%s"}}`, h.fresh()))
		}},
		{"the owner edits the organization", func() error {
			return jane.Patch(b.Context(), acme.DeepCopy(), mergePatch(`{"spec":{"displayName":"%s"}}`, h.fresh()))
		}},
		{"the owner assigns a member", func() error {
			return jane.Create(b.Context(), &v1alpha1.WorkspaceAssignment{ObjectMeta: h.meta(h.fresh()), Spec: v1alpha1.WorkspaceAssignmentSpec{
				Member: "mia", Workspaces: []v1alpha1.WorkspaceName{"web"},
			}})
		}},
	} {
		b.Run(write.what+"/policies "+policies, func(b *testing.B) {
			for b.Loop() {
				if err := write.do(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
