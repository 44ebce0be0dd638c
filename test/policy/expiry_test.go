// Copyright The orgkeeper Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
)

const (
	gone   = `{"spec":{"expiresAt":"2020-01-01T00:00:00Z"}}`
	toCome = `{"spec":{"expiresAt":"2199-01-01T00:00:00+02:00"}}`
	sooner = `{"spec":{"expiresAt":"2198-01-01T00:00:00Z"}}`
)

// endable has members and assignments, which can both be given an end; each call makes new ones.
func (h *home) endable() map[string]func() client.Object {
	return map[string]func() client.Object{
		"member": func() client.Object { return h.invited(h.fresh(), v1alpha1.RoleMember) },
		"assignment": func() client.Object {
			return &v1alpha1.WorkspaceAssignment{ObjectMeta: h.meta(h.fresh()), Spec: v1alpha1.WorkspaceAssignmentSpec{
				Member: "mia", Workspaces: []v1alpha1.WorkspaceName{"web"},
			}}
		},
	}
}

func namespace(name string) *corev1.Namespace {
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
}

// current is an object as the API server has it now.
func current(t *testing.T, o client.Object) client.Object {
	t.Helper()
	fresh := o.DeepCopyObject().(client.Object)
	check(t, admin.Get(t.Context(), client.ObjectKeyFromObject(o), fresh))
	return fresh
}

// pastRefused fails unless a request was answered as bad input, with what to do.
func pastRefused(t testing.TB, what string, err error, end string) {
	t.Helper()
	if !apierrors.IsInvalid(err) {
		t.Errorf("%s: not refused as invalid: %v", what, err)
		return
	}
	for _, words := range []string{"spec.expiresAt of ", " is in the past (" + end + "); name a moment to come, or leave it out"} {
		if !strings.Contains(err.Error(), words) {
			t.Errorf("%s: the error does not say %q: %v", what, words, err)
		}
	}
}

// Nobody is given an end that has passed, in any way, by anybody.
func TestEndInThePast(t *testing.T) {
	stop := operate(t)
	h := newHome(t, v1alpha1.AdministrationShared)
	stop()
	everyone := everyone(t, h)
	everyone["a user admin"] = as(t, h.user("uma"))
	const end = "2020-01-01T00:00:00Z"
	for kind, fresh := range h.endable() {
		for who, c := range everyone {
			for what, options := range map[string][]client.CreateOption{"creates": nil, "creates, as a dry run,": {client.DryRunAll}} {
				for how, spoil := range map[string]func(*unstructured.Unstructured){
					"": func(*unstructured.Unstructured) {},
					" that says it was then": func(u *unstructured.Unstructured) {
						u.SetCreationTimestamp(metav1.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC))
					},
					" by generateName": func(u *unstructured.Unstructured) { u.SetGenerateName("n"); u.SetName("") },
				} {
					o, err := merged(fresh(), gone)
					check(t, err)
					spoil(o)
					pastRefused(t, who+" "+what+" "+kind+how, c.Create(t.Context(), o, options...), end)
				}
			}
			o, err := merged(fresh(), gone)
			check(t, err)
			pastRefused(t, who+" applies a new "+kind, applying.send(t.Context(), c, o, `{}`), end)
			h.edited(c, fresh(), who+" "+kind)
		}
	}
}

// edited tries to move the end of something that is there.
func (h *home) edited(c client.Client, o client.Object, what string) {
	h.t.Helper()
	const end = "2020-01-01T00:00:00Z"
	h.create(o)
	for _, w := range append(ways[:4:4], applying) {
		pastRefused(h.t, what+" by "+w.name, w.send(h.t.Context(), c, o.DeepCopyObject().(client.Object), gone), end)
		unchanged(h.t, w.name, o)
	}
	// An end to come is set and moved, and not back to what is over.
	for _, fields := range []string{toCome, sooner} {
		check(h.t, c.Patch(h.t.Context(), o, mergePatch("%s", fields)))
	}
	pastRefused(h.t, what+" moved back", c.Patch(h.t.Context(), o.DeepCopyObject().(client.Object), mergePatch("%s", gone)), end)
	check(h.t, c.Patch(h.t.Context(), o, mergePatch(`{"spec":{"expiresAt":null}}`)))
}

// The API server's own record of the request counts, whatever the request says of earlier ones.
func TestEndInThePastByForgedRecords(t *testing.T) {
	h := &home{t: t, name: "records"}
	h.create(namespace(h.name))
	for kind, fresh := range h.endable() {
		for what, records := range map[string][]metav1.ManagedFieldsEntry{
			"none": {}, "emptied": {{}},
			"old": {{Manager: "m", Operation: "Update", APIVersion: v1alpha1.GroupVersion.String(), FieldsType: "FieldsV1",
				FieldsV1: metav1.NewFieldsV1(`{"f:spec":{"f:expiresAt":{}}}`), Time: &metav1.Time{Time: time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC)}}},
		} {
			o := fresh()
			h.create(o)
			u, err := merged(current(t, o), gone)
			check(t, err)
			u.SetManagedFields(records)
			pastRefused(t, kind+", records "+what, admin.Update(t.Context(), u), "2020-01-01T00:00:00Z")
		}
		// What somebody once wrote of the year 2190 is in nobody's way.
		o := fresh()
		h.create(o)
		u, err := unstructuredOf(current(t, o))
		check(t, err)
		u.SetManagedFields([]metav1.ManagedFieldsEntry{{Manager: "m", Operation: "Update", APIVersion: v1alpha1.GroupVersion.String(), FieldsType: "FieldsV1",
			FieldsV1: metav1.NewFieldsV1(`{"f:spec":{"f:workspaces":{}}}`), Time: &metav1.Time{Time: time.Date(2190, 1, 1, 0, 0, 0, 0, time.UTC)}}})
		check(t, admin.Update(t.Context(), u))
		check(t, admin.Patch(t.Context(), o, mergePatch(`{"spec":{"expiresAt":"2150-01-01T00:00:00Z"}}`)))
	}
}

// What Git holds can be applied again once its end has passed, and edited for all the rest.
func TestEndThatPassed(t *testing.T) {
	h := &home{t: t, name: "passed"}
	h.create(namespace(h.name))
	end := time.Now().Add(3 * time.Second).Truncate(time.Second)
	fields := `{"spec":{"expiresAt":"` + end.UTC().Format(time.RFC3339) + `"}}`
	objects := map[string]client.Object{}
	for kind, fresh := range h.endable() {
		o, err := merged(fresh(), fields)
		check(t, err)
		objects[kind] = o
		check(t, applying.send(t.Context(), admin, objects[kind], `{}`))
	}
	eventually(t, "the end passes", func() error {
		if !time.Now().After(end.Add(time.Second)) {
			return errors.New("not yet")
		}
		return nil
	})
	for kind, o := range objects {
		for what, fields := range map[string]string{
			"as it was": `{}`, "labelled": `{"metadata":{"labels":{"team":"a"}}}`,
			"in other words": `{"spec":{"expiresAt":"` + end.In(time.FixedZone("", 7200)).Format(time.RFC3339) + `"}}`,
		} {
			// As Git's manager has it: all of it, once more.
			again, err := merged(o, fields)
			check(t, err)
			for _, err := range []error{
				applying.send(t.Context(), admin, again, `{}`),
				ways[0].send(t.Context(), admin, current(t, o), fields),
				ways[3].send(t.Context(), admin, current(t, o), fields),
			} {
				if err != nil {
					t.Errorf("%s, %s: %v", kind, what, err)
				}
			}
		}
		check(t, admin.Patch(t.Context(), current(t, o), mergePatch(`{"spec":{"expiresAt":null}}`)))
		pastRefused(t, kind+" is ended anew", ways[0].send(t.Context(), admin, current(t, o), fields), end.UTC().Format(time.RFC3339))
	}
}

// An owner who is still to come is added without an end, or Git would bring in one who cannot own.
func TestOwnerToComeWithAnEnd(t *testing.T) {
	stop := operate(t)
	h := newHome(t, v1alpha1.AdministrationShared)
	stop()
	other := &home{t: t, name: "to-come"}
	other.create(namespace(other.name),
		&v1alpha1.Organization{ObjectMeta: other.meta("acme"), Spec: v1alpha1.OrganizationSpec{Owner: "zoe"}})
	everyone := everyone(t, h)
	delete(everyone, "a fellow admin")
	for who, c := range everyone {
		zoe := other.invited("zoe", v1alpha1.RoleAdmin)
		zoe.Spec.ExpiresAt = &metav1.Time{Time: time.Date(2199, 1, 1, 0, 0, 0, 0, time.UTC)}
		eventually(t, who+" is told", func() error {
			err := c.Create(t.Context(), zoe.DeepCopy(), client.DryRunAll)
			if err == nil || !strings.Contains(err.Error(), "zoe owns acme and cannot be given an end; leave spec.expiresAt out") {
				return fmt.Errorf("not refused: %w", err)
			}
			return nil
		})
		zoe.Spec.ExpiresAt = nil
		check(t, c.Create(t.Context(), zoe, client.DryRunAll))
	}
}
