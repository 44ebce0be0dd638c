package controllers_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/controllers"
)

// Kinds of the tests. contact is that of config/samples/crm.
var (
	contact   = schema.GroupVersionKind{Group: "crm.example.com", Version: "v1", Kind: "Contact"}
	plate     = schema.GroupVersionKind{Group: "desk.example.com", Version: "v1", Kind: "Plate"}
	parcel    = schema.GroupVersionKind{Group: "post.example.com", Version: "v1", Kind: "Parcel"}
	configMap = corev1.SchemeGroupVersion.WithKind("ConfigMap")
)

// smallPage makes some objects many.
const smallPage = 7

// unassigning gives an operator kinds to unassign. wrap stands between it and the API server when it does so.
func unassigning(t *testing.T, kinds string, wrap func(http.RoundTripper) http.RoundTripper) func(*operator) {
	return with(func(d *controllers.Deps) {
		t.Helper()
		c := rest.CopyConfig(rights)
		if wrap != nil {
			c.Wrap(wrap)
		}
		u := controllers.UnassignConfig{Page: smallPage, Timeout: 30 * time.Second}
		if err := u.Kinds.Set(kinds); err != nil {
			t.Fatal(err)
		}
		var err error
		if d.Unassigner, err = controllers.NewUnassigner(c, u); err != nil {
			t.Fatal(err)
		}
	})
}

// between is somebody between the operator and the API server.
type between struct {
	http.RoundTripper
	request func(*http.Request) error
}

func (b between) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := b.request(r); err != nil {
		return nil, err
	}
	return b.RoundTripper.RoundTrip(r)
}

// intercept calls a function before each change of an object of a kind.
func intercept(resource string, do func(r *http.Request, name string) error) func(http.RoundTripper) http.RoundTripper {
	return func(rt http.RoundTripper) http.RoundTripper {
		return between{rt, func(r *http.Request) error {
			_, name, found := strings.Cut(r.URL.Path, "/"+resource+"/")
			if !found || r.Method != http.MethodPatch {
				return nil
			}
			return do(r, name)
		}}
	}
}

// contacts installs the sample's kind and grant.
func (h *home) contacts() {
	h.t.Helper()
	const file = "config/samples/crm/00-contact-crd.yaml"
	if err := plane.Apply(h.t.Context(), file); err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() {
		if _, err := plane.Run(context.Background(), "delete", "--ignore-not-found", "-f", file); err != nil {
			h.t.Error(err)
		}
	})
	h.served(contact)
	h.mayUnassign("contacts.crm.example.com")
}

// define installs a kind that is namespaced and has no fields to speak of.
func (h *home) define(kind schema.GroupVersionKind, change ...func(spec map[string]any)) *unstructured.Unstructured {
	h.t.Helper()
	spec := map[string]any{
		"group": kind.Group, "scope": "Namespaced",
		"names":    map[string]any{"kind": kind.Kind, "plural": plural(kind), "singular": strings.ToLower(kind.Kind)},
		"versions": []any{version("v1", true)},
	}
	for _, c := range change {
		c(spec)
	}
	crd := &unstructured.Unstructured{Object: map[string]any{"spec": spec}}
	crd.SetAPIVersion("apiextensions.k8s.io/v1")
	crd.SetKind("CustomResourceDefinition")
	crd.SetName(plural(kind) + "." + kind.Group)
	h.create(crd)
	h.t.Cleanup(func() {
		if err := client.IgnoreNotFound(admin.Delete(context.Background(), crd)); err != nil {
			h.t.Error(err)
		}
	})
	h.served(kind)
	return crd
}

func version(name string, stored bool) map[string]any {
	return map[string]any{
		"name": name, "served": true, "storage": stored,
		"schema": map[string]any{"openAPIV3Schema": map[string]any{"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
	}
}

func plural(kind schema.GroupVersionKind) string { return strings.ToLower(kind.Kind) + "s" }

// served waits until a kind is.
func (h *home) served(kind schema.GroupVersionKind) {
	h.t.Helper()
	h.eventually(kind.Kind+" is served", func() error {
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(kind)
		return admin.List(h.t.Context(), list)
	})
}

// silent registers an API server that does not answer.
func (h *home) silent(group string) client.Object {
	h.t.Helper()
	service := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{
		"group": group, "version": "v1", "groupPriorityMinimum": int64(100), "versionPriority": int64(100), "insecureSkipTLSVerify": true,
		"service": map[string]any{"namespace": "default", "name": "nowhere"},
	}}}
	service.SetAPIVersion("apiregistration.k8s.io/v1")
	service.SetKind("APIService")
	service.SetName("v1." + group)
	h.create(service)
	// As long as it is there no namespace can be deleted.
	h.t.Cleanup(func() { _ = admin.Delete(context.Background(), service) })
	h.eventually(group+" is silent", func() error {
		if out, err := plane.Run(h.t.Context(), "get", "--raw", "/apis/"+group+"/v1"); err == nil {
			return errors.New(out)
		}
		out, err := plane.Run(h.t.Context(), "get", "--raw", "/apis")
		if err == nil && !strings.Contains(out, group) {
			err = errors.New("it is not known yet")
		}
		return err
	})
	return service
}

// grant lets the operator list and patch a kind, as a platform would.
func (h *home) grant(group, resource string) {
	h.t.Helper()
	role := &rbacv1.ClusterRole{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "test-assignable-", Labels: map[string]string{"orgkeeper.dev/aggregate-to-assignable": "true"}},
		Rules:      []rbacv1.PolicyRule{{APIGroups: []string{group}, Resources: []string{resource}, Verbs: []string{"list", "patch"}}},
	}
	h.create(role)
	h.t.Cleanup(func() { _ = admin.Delete(context.Background(), role) })
	h.mayUnassign(strings.TrimSuffix(resource+"."+group, "."))
}

// mayUnassign waits until the operator may: kube-controller-manager gathers the rules.
func (h *home) mayUnassign(resource string) {
	h.t.Helper()
	h.eventually("the grant on "+resource, func() error {
		for _, verb := range []string{"list", "patch"} {
			if !h.may("system:serviceaccount:orgkeeper-system:orgkeeper", verb, resource, h.name) {
				return errors.New("it may not " + verb)
			}
		}
		return nil
	})
}

// assigned makes objects that are assigned to somebody.
func (h *home) assigned(kind schema.GroupVersionKind, namespace, member string, count int) (objects []client.Object) {
	h.t.Helper()
	for i := range count {
		o := &unstructured.Unstructured{}
		o.SetGroupVersionKind(kind)
		o.SetNamespace(namespace)
		o.SetName(fmt.Sprintf("%s-%d", member[:min(len(member), 60)], i))
		o.SetLabels(map[string]string{v1alpha1.LabelAssignee: member, "stays": "true"})
		h.create(o)
		objects = append(objects, o)
	}
	return objects
}

// assignees counts the objects of a kind in a namespace by assignee.
func (h *home) assignees(kind schema.GroupVersionKind, namespace string) map[string]int {
	h.t.Helper()
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(kind)
	if err := admin.List(h.t.Context(), list, client.InNamespace(namespace), client.MatchingLabels{"stays": "true"}); err != nil {
		h.t.Fatal(err)
	}
	count := map[string]int{}
	for i := range list.Items {
		count[list.Items[i].GetLabels()[v1alpha1.LabelAssignee]]++
	}
	return count
}

func (h *home) isAssigned(kind schema.GroupVersionKind, namespace string, want map[string]int) {
	h.t.Helper()
	if diff := cmp.Diff(want, h.assignees(kind, namespace)); diff != "" {
		h.t.Errorf("%s in %s by assignee (-want +got):\n%s", kind.Kind, namespace, diff)
	}
}

// events are the words of the Events about workspaces, by workspace, of a reason.
func (h *home) events(reason string) map[string][]string {
	h.t.Helper()
	var list eventsv1.EventList
	if err := admin.List(h.t.Context(), &list, client.InNamespace(h.name)); err != nil {
		h.t.Fatal(err)
	}
	found := map[string][]string{}
	for i := range list.Items {
		if e := &list.Items[i]; e.Reason == reason && e.Regarding.Kind == "Workspace" {
			note := e.Note
			if e.Series != nil {
				note += fmt.Sprintf(" (%d times)", e.Series.Count)
			}
			found[e.Regarding.Name] = append(found[e.Regarding.Name], note)
		}
	}
	for _, notes := range found {
		slices.Sort(notes)
	}
	return found
}

// tells waits until the Events of a reason are these.
func (h *home) tells(reason string, want map[string][]string) {
	h.t.Helper()
	h.eventually("Events "+reason, func() error {
		if diff := cmp.Diff(want, h.events(reason)); diff != "" {
			return errors.New(diff)
		}
		return nil
	})
}

// two is a home with people in two workspaces.
func (h *home) two(people ...string) (members map[string]*v1alpha1.OrgMember) {
	h.t.Helper()
	h.found()
	members = map[string]*v1alpha1.OrgMember{}
	h.create(h.workspace("web"), h.workspace("api"))
	for _, name := range people {
		members[name] = h.member(name, v1alpha1.RoleMember, joined)
		a := h.assignment(name, name, v1alpha1.AccessEdit, "web", "api")
		h.create(members[name], a)
		h.becomes(a, "Ready", "True/Granted")
	}
	return members
}

func message(m *v1alpha1.OrgMember) string {
	for _, c := range m.Status.Conditions {
		if c.Type == v1alpha1.ConditionReady {
			return c.Message
		}
	}
	return ""
}

// nobodyNamedSoon waits until no RoleBinding of the cluster names a user.
func (h *home) nobodyNamedSoon(user string) {
	h.t.Helper()
	h.eventually(user+" is named nowhere", func() error {
		if in := h.named(user); in != nil {
			return fmt.Errorf("%v", in)
		}
		return nil
	})
}

// waitsFor waits until a member says what they wait for.
func (h *home) waitsFor(m *v1alpha1.OrgMember, what string) {
	h.t.Helper()
	h.eventually(m.Name+" waits", func() error {
		if h.get(m); !strings.Contains(message(m), what) {
			return errors.New("the message is: " + message(m))
		}
		return nil
	})
}
