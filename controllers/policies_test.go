package controllers_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/onsi/gomega"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/config/policy"
	"github.com/orgkeeper/orgkeeper/controllers"
	"github.com/orgkeeper/orgkeeper/internal/guard"
)

// What the API server's policies refuse to everyone, and the controllers must withstand all the same, can be done only
// without them. Tests that need that run alone, as all top-level tests do.

// unguarded takes the bindings of the admission policies away until the test ends.
func unguarded(t *testing.T) {
	t.Helper()
	shipped, err := policy.Shipped()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for i := range shipped.Bindings {
			restore(t, &shipped.Bindings[i])
		}
		holding(t, true)
	})
	for i := range shipped.Bindings {
		removed(t, &shipped.Bindings[i])
	}
	holding(t, false)
}

// trusting makes an operator take the policies for installed.
var trusting = with(func(d *controllers.Deps) {
	d.Facts.Guard = func(context.Context) (guard.State, error) { return guard.State{}, nil }
})

// unstamped takes away until the test ends what stamps new members: config/policy/stamp is optional.
func unstamped(t *testing.T) {
	t.Helper()
	binding := &admissionregistrationv1.MutatingAdmissionPolicyBinding{ObjectMeta: metav1.ObjectMeta{Name: "orgkeeper-stamp"}}
	if err := admin.Get(t.Context(), client.ObjectKeyFromObject(binding), binding); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		restore(t, binding)
		stamping(t, true)
	})
	removed(t, binding)
	stamping(t, false)
}

// removed deletes an object of the installation.
func removed(t *testing.T, o client.Object) {
	t.Helper()
	if err := admin.Delete(t.Context(), o); err != nil {
		t.Fatal(err)
	}
}

// restore installs an object as it was.
func restore(t *testing.T, o client.Object) {
	t.Helper()
	fresh := o.DeepCopyObject().(client.Object)
	fresh.SetResourceVersion("")
	fresh.SetUID("")
	if err := client.IgnoreAlreadyExists(admin.Create(context.Background(), fresh)); err != nil {
		t.Error(err)
	}
}

// holding waits until the API server refuses, or lets in, a second Organization. It takes up changes of policies some
// moments after they are stored, all of them at once.
func holding(t *testing.T, want bool) {
	t.Helper()
	const home = "policies-probe"
	ctx := context.Background()
	probe := func(name string) *v1alpha1.Organization {
		return &v1alpha1.Organization{ObjectMeta: metav1.ObjectMeta{Namespace: home, Name: name}, Spec: v1alpha1.OrganizationSpec{Owner: "nobody"}}
	}
	for _, o := range []client.Object{namespace(home), probe("first")} {
		err := admin.Get(ctx, client.ObjectKeyFromObject(o), o)
		if apierrors.IsNotFound(err) {
			err = admin.Create(ctx, o)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	gomega.NewWithT(t).Eventually(func() error {
		err := admin.Create(ctx, probe("second"), client.DryRunAll)
		if apierrors.IsForbidden(err) != want {
			return fmt.Errorf("a second Organization: %w", err)
		}
		return nil
	}).WithTimeout(patience).Should(gomega.Succeed())
}

// stamping waits until new members are stamped, or are not any more.
func stamping(t *testing.T, want bool) {
	t.Helper()
	gomega.NewWithT(t).Eventually(func() error {
		m := &v1alpha1.OrgMember{
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "stamp-probe"},
			Spec:       v1alpha1.OrgMemberSpec{Email: "probe" + addressDomain},
		}
		if err := admin.Create(context.Background(), m, client.DryRunAll); err != nil {
			return err
		}
		if (m.Spec.InvitedBy != "") != want {
			return fmt.Errorf("invited by %q", m.Spec.InvitedBy)
		}
		return nil
	}).WithTimeout(patience).Should(gomega.Succeed())
}
