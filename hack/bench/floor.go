package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
)

// templateFile keeps what the operator made of the first organization once everybody was invited.
const templateFile = "template.json"

// takeTemplate keeps the end of onboarding: statuses, and what the operator created.
func (b *bench) takeTemplate(ctx context.Context) error {
	first := b.all("o")[0]
	spaces := []string{first.home}
	for i := range first.workspaces {
		spaces = append(spaces, first.namespace(first.workspace(i)))
	}
	var kept []*unstructured.Unstructured
	for _, space := range spaces {
		for _, kind := range []schema.GroupVersionKind{
			v1alpha1.GroupVersion.WithKind("OrganizationList"), v1alpha1.GroupVersion.WithKind("OrgMemberList"),
			v1alpha1.GroupVersion.WithKind("WorkspaceList"), v1alpha1.GroupVersion.WithKind("WorkspaceAssignmentList"),
			rbacv1.SchemeGroupVersion.WithKind("RoleBindingList"),
		} {
			list := &unstructured.UnstructuredList{}
			list.SetGroupVersionKind(kind)
			if err := b.admin.List(ctx, list, client.InNamespace(space)); err != nil {
				return err
			}
			for i := range list.Items {
				kept = append(kept, &list.Items[i])
			}
		}
		if space == first.home {
			continue
		}
		n := &unstructured.Unstructured{}
		n.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
		if err := b.admin.Get(ctx, client.ObjectKey{Name: space}, n); err != nil {
			return err
		}
		kept = append([]*unstructured.Unstructured{n}, kept...) // first, so that the others find it
	}
	for _, o := range kept {
		o.SetResourceVersion("")
		o.SetUID("")
		o.SetManagedFields(nil)
		o.SetOwnerReferences(nil)
		o.SetFinalizers(nil)
		unstructured.RemoveNestedField(o.Object, "metadata", "creationTimestamp")
	}
	return writeJSON(filepath.Join(b.dir, templateFile), kept)
}

// floor writes the same objects by a plain client, with the operator stopped: first what a pipeline declares, then what the
// operator made of it, status and all. Whatever keeps organizations in this API server must write that much.
func (b *bench) floor(ctx context.Context, m *measured) error {
	content, err := os.ReadFile(filepath.Join(b.dir, templateFile))
	if err != nil {
		return err
	}
	b.operator().end()
	// New names each time: the operator may have seen those of a run that was cut short.
	all := b.all("f" + strconv.FormatInt(time.Now().Unix(), 36))
	all = all[:min(100, len(all))]
	m.Unit, m.Units = "members", len(all)*b.members
	began := time.Now()
	if _, err := b.declare(ctx, b.pipeline, all); err != nil {
		return err
	}
	m.Figures["declared after seconds"] = time.Since(began).Seconds()
	first := b.all("o")[0].home
	err = parallel(ctx, pipelines, all, func(ctx context.Context, o organization) error {
		var objects []*unstructured.Unstructured
		if err := json.Unmarshal([]byte(strings.ReplaceAll(string(content), first, o.home)), &objects); err != nil {
			return err
		}
		for _, object := range objects {
			if err := b.imitate(ctx, object); err != nil {
				return fmt.Errorf("%s %s/%s: %w", object.GetKind(), object.GetNamespace(), object.GetName(), err)
			}
		}
		return nil
	})
	m.Seconds = time.Since(began).Seconds()
	return err
}

// imitate writes one object as the operator did: it creates what is its own, and writes status to what is declared.
func (b *bench) imitate(ctx context.Context, o *unstructured.Unstructured) error {
	if o.GroupVersionKind().Group != v1alpha1.GroupVersion.Group {
		return b.asItself.Create(ctx, o)
	}
	patch, err := json.Marshal(map[string]any{"status": o.Object["status"]})
	if err != nil {
		return err
	}
	return b.asItself.Status().Patch(ctx, o, client.RawPatch("application/merge-patch+json", patch))
}
