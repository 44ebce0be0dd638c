package controllers_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
)

// office is whoever assigns contacts to people, many at a time.
type office struct {
	*home
	metadata.Getter
	contacts []types.NamespacedName
}

// atOnce is how many requests of a test are under way at a time.
const atOnce = 8

func (h *home) office() *office {
	h.t.Helper()
	objects, err := metadata.NewForConfig(plane.Admin)
	if err != nil {
		h.t.Fatal(err)
	}
	return &office{home: h, Getter: objects.Resource(contact.GroupVersion().WithResource(plural(contact)))}
}

func newContact(namespace, name string) *unstructured.Unstructured {
	o := &unstructured.Unstructured{}
	o.SetGroupVersionKind(contact)
	o.SetNamespace(namespace)
	o.SetName(name)
	return o
}

// add makes a contact that is nobody's yet.
func (w *office) add(namespace, name string) {
	w.t.Helper()
	w.create(newContact(namespace, name))
	w.contacts = append(w.contacts, types.NamespacedName{Namespace: namespace, Name: name})
}

// addSoon makes a contact that is somebody's, as soon as there is a namespace to put it in.
func (w *office) addSoon(namespace, name, member string) (id string, err error) {
	o := newContact(namespace, name)
	o.SetLabels(map[string]string{v1alpha1.LabelAssignee: member})
	err = wait.PollUntilContextTimeout(w.t.Context(), 5*time.Millisecond, patience, true, func(ctx context.Context) (bool, error) {
		err := admin.Create(ctx, o)
		return err == nil, client.IgnoreNotFound(err)
	})
	return plural(contact) + "." + contact.Group + " " + namespace + "/" + name, err
}

// assign gives all contacts to a member, whomever they were.
func (w *office) assign(member string) {
	patch := fmt.Appendf(nil, `{"metadata":{"labels":{%q:%q}}}`, v1alpha1.LabelAssignee, member)
	workqueue.ParallelizeUntil(w.t.Context(), atOnce, len(w.contacts), func(i int) {
		c := w.contacts[i]
		if _, err := w.Namespace(c.Namespace).Patch(w.t.Context(), c.Name, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
			w.t.Error(err)
		}
	})
}

// assignedTo counts the contacts of a member in all namespaces.
func (w *office) assignedTo(member string) int {
	w.t.Helper()
	list, err := w.List(w.t.Context(), metav1.ListOptions{LabelSelector: v1alpha1.LabelAssignee + "=" + member})
	if err != nil {
		w.t.Fatal(err)
	}
	return len(list.Items)
}

// search looks, live, for what is left of somebody in all namespaces and kinds that can be listed.
type search struct {
	*home
	kinds    []schema.GroupVersionResource
	metadata metadata.Interface
	objects  dynamic.Interface
}

func (h *home) search() *search {
	h.t.Helper()
	s := &search{home: h}
	d, err := discovery.NewDiscoveryClientForConfig(plane.Admin)
	if err != nil {
		h.t.Fatal(err)
	}
	served, err := d.ServerPreferredResourcesWithContext(h.t.Context())
	if err != nil {
		h.t.Fatal(err)
	}
	for _, list := range discovery.FilteredBy(discovery.SupportsAllVerbs{Verbs: []string{"list"}}, served) {
		version, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil {
			h.t.Fatal(err)
		}
		for i := range list.APIResources {
			s.kinds = append(s.kinds, version.WithResource(list.APIResources[i].Name))
		}
	}
	for _, kind := range []string{"pods", "secrets", "contacts.crm.example.com", "orgmembers.orgkeeper.dev", "rolebindings.rbac.authorization.k8s.io"} {
		if !slices.ContainsFunc(s.kinds, func(k schema.GroupVersionResource) bool { return k.GroupResource().String() == kind }) {
			h.t.Fatalf("the search does not know %s but %v", kind, s.kinds)
		}
	}
	if s.metadata, err = metadata.NewForConfig(plane.Admin); err != nil {
		h.t.Fatal(err)
	}
	if s.objects, err = dynamic.NewForConfig(plane.Admin); err != nil {
		h.t.Fatal(err)
	}
	return s
}

// each goes through all kinds, some at a time; what is found is sorted.
func (s *search) each(list func(kind schema.GroupVersionResource) ([]string, error)) (found []string) {
	s.t.Helper()
	var mu sync.Mutex
	workqueue.ParallelizeUntil(s.t.Context(), atOnce, len(s.kinds), func(i int) {
		some, err := list(s.kinds[i])
		if err != nil && !apierrors.IsNotFound(err) { // a kind of an earlier test that is gone by now
			s.t.Errorf("list %s: %v", s.kinds[i].GroupResource(), err)
		}
		mu.Lock()
		defer mu.Unlock()
		found = append(found, some...)
	})
	slices.Sort(found)
	return found
}

// labelled are the objects of any kind, in any namespace or none, whose assignee is of this name.
func (s *search) labelled(member string) []string {
	s.t.Helper()
	return s.each(func(kind schema.GroupVersionResource) (found []string, err error) {
		list, err := s.metadata.Resource(kind).List(s.t.Context(), metav1.ListOptions{LabelSelector: v1alpha1.LabelAssignee + "=" + member})
		if err != nil {
			return nil, err
		}
		for i := range list.Items {
			found = append(found, kind.GroupResource().String()+" "+list.Items[i].Namespace+"/"+list.Items[i].Name)
		}
		return found, nil
	})
}

// grants fails the test when a RoleBinding or ClusterRoleBinding of the cluster has a trace of a member, or of their user, anywhere.
func (s *search) grants(member string) {
	s.t.Helper()
	var bindings rbacv1.RoleBindingList
	var clusterBindings rbacv1.ClusterRoleBindingList
	for _, list := range []client.ObjectList{&bindings, &clusterBindings} {
		if err := admin.List(s.t.Context(), list); err != nil {
			s.t.Fatal(err)
		}
	}
	var all []client.Object
	for i := range bindings.Items {
		all = append(all, &bindings.Items[i])
	}
	for i := range clusterBindings.Items {
		all = append(all, &clusterBindings.Items[i])
	}
	for _, b := range all {
		if text := s.text(b); strings.Contains(text, member) { // their user begins with it
			s.t.Errorf("a binding of %s has a trace of %s: %s", b.GetNamespace(), member, text)
		}
	}
}

func (s *search) text(o any) string {
	s.t.Helper()
	text, err := json.Marshal(o)
	if err != nil {
		s.t.Fatal(err)
	}
	return string(text)
}

// statuses waits until no status has a trace of a member who is gone, with two exceptions: status.farewells of the Organization has
// what the mail about it needs until that is sent, and assignments that name the member say that there is none of that name.
func (s *search) statuses(member string) {
	s.t.Helper()
	var organizations v1alpha1.OrganizationList
	var members v1alpha1.OrgMemberList
	var workspaces v1alpha1.WorkspaceList
	var assignments v1alpha1.WorkspaceAssignmentList
	s.eventually("no status has a trace of "+member, func() error {
		for _, list := range []client.ObjectList{&organizations, &members, &workspaces, &assignments} {
			if err := admin.List(s.t.Context(), list); err != nil {
				return err
			}
		}
		statuses := map[string]any{}
		for i := range organizations.Items {
			o := &organizations.Items[i]
			o.Status.Farewells = nil
			statuses["Organization "+o.Name] = o.Status
		}
		for i := range members.Items {
			statuses["OrgMember "+members.Items[i].Name] = members.Items[i].Status
		}
		for i := range workspaces.Items {
			statuses["Workspace "+workspaces.Items[i].Name] = workspaces.Items[i].Status
		}
		for i := range assignments.Items {
			a := &assignments.Items[i]
			if a.Namespace == s.name && a.Spec.Member == member {
				if err := givesNothing(a); err != nil {
					return err
				}
				a.Status.Conditions = nil
			}
			statuses["WorkspaceAssignment "+a.Name] = a.Status
		}
		for of, status := range statuses {
			if text := s.text(status); strings.Contains(text, member) {
				return fmt.Errorf("%s: %s", of, text)
			}
		}
		return nil
	})
}

// givesNothing says what is wrong with an assignment that is to wait for a member of that name.
func givesNothing(a *v1alpha1.WorkspaceAssignment) error {
	if got := reading(a, v1alpha1.ConditionReady); got != "False/"+v1alpha1.ReasonMemberNotFound {
		return fmt.Errorf("%s is %s", a.Name, got)
	}
	for _, w := range a.Status.Workspaces {
		if w.Granted {
			return fmt.Errorf("%s says that it gives access to %s", a.Name, w.Name)
		}
	}
	return nil
}

// everywhere waits until no object of the cluster has a trace of those who left, anywhere in it, when the mails about it are sent. What
// is left by design are the assignments that name them, which somebody declared, and Events, which are history; no user's name is in
// either. Contacts that were labelled for somebody who had left are left as well.
func (s *search) everywhere(leaver func(int) string, count int) {
	s.t.Helper()
	byDesign := func(kind schema.GroupVersionResource, o *unstructured.Unstructured, text, member string) bool {
		switch kind.GroupResource().String() {
		case "events", "events.events.k8s.io", "workspaceassignments.orgkeeper.dev":
			return !strings.Contains(text, s.user(member))
		case "contacts.crm.example.com":
			return strings.HasPrefix(o.GetNamespace(), s.in("young"))
		}
		return false
	}
	s.eventually("nothing has a trace of those who left", func() error {
		found := s.each(func(kind schema.GroupVersionResource) (found []string, err error) {
			list, err := s.objects.Resource(kind).List(s.t.Context(), metav1.ListOptions{})
			if err != nil {
				return nil, err
			}
			for i := range list.Items {
				o := &list.Items[i]
				text := s.text(o.Object)
				for n := range count {
					if member := leaver(n); strings.Contains(text, member) && !byDesign(kind, o, text, member) {
						found = append(found, kind.GroupResource().String()+" "+o.GetNamespace()+"/"+o.GetName()+" of "+member)
					}
				}
			}
			return found, nil
		})
		if found != nil {
			return errors.New(strings.Join(found, "\n"))
		}
		return nil
	})
}
