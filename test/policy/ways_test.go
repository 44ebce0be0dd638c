// Copyright The orgkeeper Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
)

// way is a way to bring a change of fields about. The fields are a merge patch.
type way struct {
	name string
	send func(ctx context.Context, c client.Client, o client.Object, fields string) error
}

// ways are all that the API server offers for an object that exists.
var ways = []way{
	{"merge patch", func(ctx context.Context, c client.Client, o client.Object, fields string) error {
		return c.Patch(ctx, o, client.RawPatch(types.MergePatchType, []byte(fields)))
	}},
	{"merge patch, dry run", func(ctx context.Context, c client.Client, o client.Object, fields string) error {
		return c.Patch(ctx, o, client.RawPatch(types.MergePatchType, []byte(fields)), client.DryRunAll)
	}},
	{"JSON patch", func(ctx context.Context, c client.Client, o client.Object, fields string) error {
		u, err := merged(o, fields)
		if err != nil {
			return err
		}
		// Whole parts at a time: what is in them counts, not how it got there.
		operations := []map[string]any{{"op": "replace", "path": "/metadata", "value": u.Object["metadata"]}}
		operations = append(operations, map[string]any{"op": "add", "path": "/spec", "value": u.Object["spec"]})
		patch, err := json.Marshal(operations)
		if err != nil {
			return err
		}
		return c.Patch(ctx, o, client.RawPatch(types.JSONPatchType, patch))
	}},
	{"replace", func(ctx context.Context, c client.Client, o client.Object, fields string) error {
		u, err := merged(o, fields)
		if err != nil {
			return err
		}
		return c.Update(ctx, u)
	}},
	{"replace of the subresource status", func(ctx context.Context, c client.Client, o client.Object, fields string) error {
		u, err := merged(o, fields)
		if err != nil {
			return err
		}
		return c.Status().Update(ctx, u)
	}},
	{"patch of the subresource status", func(ctx context.Context, c client.Client, o client.Object, fields string) error {
		return c.Status().Patch(ctx, o, client.RawPatch(types.MergePatchType, []byte(fields)))
	}},
}

// applying is server-side apply, with force. It cannot take fields away that somebody else set.
var applying = way{"server-side apply", func(ctx context.Context, c client.Client, o client.Object, fields string) error {
	u, err := unstructuredOf(o)
	if err != nil {
		return err
	}
	applied := map[string]any{}
	if err := json.Unmarshal([]byte(fields), &applied); err != nil {
		return err
	}
	metadata, _ := applied["metadata"].(map[string]any)
	if metadata == nil {
		metadata = map[string]any{}
	}
	metadata["name"], metadata["namespace"] = u.GetName(), u.GetNamespace()
	for _, list := range []string{"finalizers", "ownerReferences"} {
		if own, found, _ := unstructured.NestedSlice(u.Object, "metadata", list); found && u.GetUID() == "" && metadata[list] == nil {
			metadata[list] = own
		}
	}
	applied["metadata"], applied["apiVersion"], applied["kind"] = metadata, u.GetAPIVersion(), u.GetKind()
	if spec, _, _ := unstructured.NestedMap(u.Object, "spec"); applied["spec"] == nil && spec != nil {
		applied["spec"] = spec
	}
	return c.Apply(ctx, client.ApplyConfigurationFromUnstructured(&unstructured.Unstructured{Object: applied}),
		client.ForceOwnership, client.FieldOwner("somebody"))
}}

func unstructuredOf(o client.Object) (*unstructured.Unstructured, error) {
	gvk, err := apiutil.GVKForObject(o, scheme)
	if err != nil {
		return nil, err
	}
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o)
	if err != nil {
		return nil, err
	}
	u := &unstructured.Unstructured{Object: content}
	u.SetGroupVersionKind(gvk)
	u.SetManagedFields(nil)
	return u, nil
}

// merged is an object with a merge patch applied.
func merged(o client.Object, fields string) (*unstructured.Unstructured, error) {
	u, err := unstructuredOf(o)
	if err != nil {
		return nil, err
	}
	var patch map[string]any
	if err := json.Unmarshal([]byte(fields), &patch); err != nil {
		return nil, err
	}
	merge(u.Object, patch)
	return u, nil
}

// merge is RFC 7396.
func merge(into, patch map[string]any) {
	for key, value := range patch {
		inner, nested := value.(map[string]any)
		old, there := into[key].(map[string]any)
		switch {
		case value == nil:
			delete(into, key)
		case nested && there:
			merge(old, inner)
		default:
			into[key] = value
		}
	}
}

// refused fails unless a request was answered as forbidden, in these words.
func refused(t testing.TB, what string, err error, words ...string) {
	t.Helper()
	switch {
	case err == nil:
		t.Errorf("%s: let in", what)
	case !apierrors.IsForbidden(err):
		t.Errorf("%s: not forbidden but: %v", what, err)
	}
	for _, w := range words {
		if err != nil && !strings.Contains(err.Error(), w) {
			t.Errorf("%s: the error does not say %q: %v", what, w, err)
		}
	}
}

// unchanged fails when an object is not as it was. What the operator reports may differ.
func unchanged(t testing.TB, what string, before client.Object) {
	t.Helper()
	was, err := unstructuredOf(before)
	check(t, err)
	is := &unstructured.Unstructured{}
	is.SetGroupVersionKind(was.GroupVersionKind())
	if err := admin.Get(t.Context(), client.ObjectKeyFromObject(before), is); err != nil {
		t.Errorf("%s: %v", what, err)
		return
	}
	same := was.GetUID() == is.GetUID() && was.GetGeneration() == is.GetGeneration()
	for _, get := range []func(*unstructured.Unstructured) any{
		func(u *unstructured.Unstructured) any { return u.GetFinalizers() },
		func(u *unstructured.Unstructured) any { return u.GetOwnerReferences() },
		func(u *unstructured.Unstructured) any { return u.GetLabels() },
		func(u *unstructured.Unstructured) any { return u.GetAnnotations() },
		func(u *unstructured.Unstructured) any { return u.Object["spec"] },
	} {
		same = same && equality.Semantic.DeepEqual(get(was), get(is))
	}
	if !same {
		t.Errorf("%s: refused, and still something changed", what)
	}
}
