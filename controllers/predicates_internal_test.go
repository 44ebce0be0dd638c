package controllers

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
)

// Our own claim wakes nobody. All else does, also when it comes in one update with a claim, as after a watch that began anew.
func TestClaims(t *testing.T) {
	organization, other := metav1.OwnerReference{Kind: "Organization", Name: "acme", UID: "1"}, metav1.OwnerReference{Kind: "ConfigMap", Name: "theirs", UID: "2"}
	bare := func(change ...func(*v1alpha1.OrgMember)) *v1alpha1.OrgMember {
		m := &v1alpha1.OrgMember{}
		m.Name, m.Generation, m.ResourceVersion = "mia", 1, "1"
		for _, c := range change {
			c(m)
		}
		return m
	}
	finalized := func(names ...string) func(*v1alpha1.OrgMember) {
		return func(m *v1alpha1.OrgMember) { m.Finalizers, m.ResourceVersion = names, "2" }
	}
	owned := func(by ...metav1.OwnerReference) func(*v1alpha1.OrgMember) {
		return func(m *v1alpha1.OrgMember) { m.OwnerReferences, m.ResourceVersion = by, "2" }
	}
	for _, c := range []struct {
		reason        string
		before, after *v1alpha1.OrgMember
		want          bool
	}{
		{"finalizer and owner", bare(), bare(finalized(v1alpha1.FinalizerMember), owned(organization)), true},
		{"the owner alone, once there is one", bare(finalized("a")), bare(finalized("a"), owned(organization)), true},
		{"a finalizer beside somebody else's", bare(finalized("a"), owned(other)), bare(finalized("a", "b"), owned(other)), true},
		{"nothing", bare(), bare(), false},
		{"our finalizer is taken away", bare(finalized("a")), bare(), false},
		{"two others for ours", bare(finalized("a")), bare(finalized("b", "c")), false},
		{"two others for our owner", bare(owned(organization)), bare(owned(other, metav1.OwnerReference{UID: "3"})), false},
		{"the owner goes while a finalizer comes", bare(owned(organization)), bare(finalized("a")), false},
		{"a status with it", bare(), bare(finalized("a"), func(m *v1alpha1.OrgMember) { m.Status.State = v1alpha1.StatePending }), false},
		{"an edit with it", bare(), bare(finalized("a"), func(m *v1alpha1.OrgMember) { m.Generation = 2 }), false},
		{"an annotation with it", bare(), bare(finalized("a"), func(m *v1alpha1.OrgMember) {
			m.Annotations = map[string]string{v1alpha1.AnnotationResend: "again"}
		}), false},
		{"a deletion with it", bare(), bare(finalized("a"), func(m *v1alpha1.OrgMember) { m.DeletionTimestamp = &metav1.Time{} }), false},
	} {
		if got := claims(c.before, c.after); got != c.want {
			t.Errorf("%s: a claim alone: %t, want %t", c.reason, got, c.want)
		}
	}
}

// What a start finds is looked at by itself, and wakes nothing else, unless it goes.
func TestIsNew(t *testing.T) {
	stays, goes := &v1alpha1.OrgMember{}, &v1alpha1.OrgMember{}
	goes.DeletionTimestamp = &metav1.Time{}
	for _, c := range []struct {
		what string
		e    event.CreateEvent
		want bool
	}{
		{"created", event.CreateEvent{Object: stays}, true},
		{"found at a start", event.CreateEvent{Object: stays, IsInInitialList: true}, false},
		{"found going at a start", event.CreateEvent{Object: goes, IsInInitialList: true}, true},
	} {
		if got := isNew(c.e); got != c.want {
			t.Errorf("%s: wakes others: %t, want %t", c.what, got, c.want)
		}
	}
}
