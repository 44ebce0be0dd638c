// Copyright The orgkeeper Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
)

// TestGoing deletes homes and organizations in every way: no policy stands in the way of the namespace controller, of the
// garbage collector or of the operator, and nothing is left.
func TestGoing(t *testing.T) {
	operate(t)
	t.Cleanup(func() {
		if err := inAuditLog(`"username":"system:serviceaccount:`, `/validation_failure"`); err == nil {
			t.Error("a policy refused something to Kubernetes' controllers or to the operator")
		}
	})
	for name, remove := range map[string]func(h *home) error{
		"the home": func(h *home) error {
			return admin.Delete(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: h.name}})
		},
		"the organization": func(h *home) error { return as(t, h.user("jane")).Delete(t.Context(), h.organization()) },
		"the organization, members first": func(h *home) error {
			return as(t, h.user("jane")).Delete(t.Context(), h.organization(), client.PropagationPolicy(metav1.DeletePropagationForeground))
		},
		"the organization by an admin": func(h *home) error { return as(t, h.user("adam")).Delete(t.Context(), h.organization()) },
		"the organization, then the home": func(h *home) error {
			check(t, admin.Delete(t.Context(), h.organization()))
			return admin.Delete(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: h.name}})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHome(t, v1alpha1.AdministrationShared)
			check(t, remove(h))
			h.ends()
		})
	}
}

// ends waits until nothing is left of an organization.
func (h *home) ends() {
	h.t.Helper()
	// kube-controller-manager's garbage collector looks for new kinds every thirty seconds.
	gomega.NewWithT(h.t).Eventually(func() error {
		for _, list := range []client.ObjectList{
			&v1alpha1.OrganizationList{}, &v1alpha1.OrgMemberList{}, &v1alpha1.WorkspaceList{}, &v1alpha1.WorkspaceAssignmentList{},
		} {
			if err := admin.List(h.t.Context(), list, client.InNamespace(h.name)); err != nil {
				return err
			}
			if n := meta.LenList(list); n > 0 {
				return fmt.Errorf("%d of %T are left", n, list)
			}
		}
		var bindings rbacv1.RoleBindingList
		if err := admin.List(h.t.Context(), &bindings, client.MatchingLabels{v1alpha1.LabelOrganization: h.name}); err != nil || len(bindings.Items) > 0 {
			return fmt.Errorf("%d RoleBindings are left, %w", len(bindings.Items), err)
		}
		return nil
	}).WithTimeout(3*soon).WithPolling(100*time.Millisecond).Should(gomega.Succeed(), h.name+" ends")
}

// TestGoingWithoutOperator deletes while the operator is stopped. The deletion is accepted, and complete once it is back.
func TestGoingWithoutOperator(t *testing.T) {
	stop := operate(t)
	byOwner, byPlatform := newHome(t, v1alpha1.AdministrationShared), newHome(t, v1alpha1.AdministrationOwnerOnly)
	stop()
	check(t, as(t, byOwner.user("jane")).Delete(t.Context(), byOwner.organization()))
	check(t, admin.Delete(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: byPlatform.name}}))
	// What goes takes the owner's protection along, and nobody is let in meanwhile.
	eventually(t, "the policies know", func() error {
		return client.IgnoreNotFound(as(t, byOwner.user("adam")).Delete(t.Context(), byOwner.invited("jane", ""), client.DryRunAll))
	})
	refused(t, "a second organization before the first is gone", admin.Create(t.Context(),
		&v1alpha1.Organization{ObjectMeta: byOwner.meta("second"), Spec: v1alpha1.OrganizationSpec{Owner: "x"}}), "is being deleted; try again once it is gone")
	operate(t)
	byOwner.ends()
	byPlatform.ends()
	eventually(t, "the home is gone", func() error {
		err := admin.Get(t.Context(), client.ObjectKey{Name: byPlatform.name}, &corev1.Namespace{})
		if !apierrors.IsNotFound(err) {
			return fmt.Errorf("there, or %w", err)
		}
		return nil
	})
}

// TestAudit looks for what the policies leave in the audit log.
func TestAudit(t *testing.T) {
	stop := operate(t)
	h := newHome(t, v1alpha1.AdministrationShared)
	stop()
	platform(t, "auditee")
	refused(t, "uma promotes mia", as(t, h.user("uma")).Patch(t.Context(), h.invited("mia", ""), mergePatch(`{"spec":{"role":"Admin"}}`)))
	check(t, as(t, "auditee").Patch(t.Context(), h.invited("mia", ""), mergePatch(`{"spec":{"displayName":"Mia"}}`)))
	// Glass is broken: cluster-admin takes off what keeps a member.
	m := h.have(h.member("tia", v1alpha1.RoleMember))
	h.patch(m, `{"metadata":{"finalizers":null}}`)
	for _, words := range []string{
		`"validation.policy.admission.k8s.io/validation_failure":"[{\"message\":\"uma@` + h.name + `.example may not`,
		`"orgkeeper-platform/acted":"auditee, with the rights of the platform: UPDATE OrgMember mia in ` + h.name,
		`"orgkeeper-metadata/released":"devcluster:admin took orgkeeper.dev/member off OrgMember tia in ` + h.name,
	} {
		eventually(t, "the audit log says "+words, func() error { return inAuditLog(words) })
	}
	// The operator's own work is no act of the platform.
	if err := inAuditLog(`"orgkeeper-platform/acted":"system:serviceaccount:orgkeeper-system:orgkeeper`); err == nil {
		t.Error("the operator acts as the platform")
	}
}

// inAuditLog fails unless a line of the audit log has all these words.
func inAuditLog(words ...string) error {
	files, err := filepath.Glob(filepath.Join(plane.Dir, "log", "audit*.log"))
	if err != nil {
		return err
	}
	for _, file := range files {
		log, err := os.Open(file)
		if err != nil {
			return err
		}
		defer func() { _ = log.Close() }()
		lines := bufio.NewScanner(log)
		lines.Buffer(nil, 16<<20)
		for lines.Scan() {
			if !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(lines.Text(), w) }) {
				return nil
			}
		}
		if lines.Err() != nil {
			return fmt.Errorf("read %s: %w", file, lines.Err())
		}
	}
	return fmt.Errorf("not in %v", files)
}
