package controllers_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
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

// Who leaves is assigned to nothing any more, in all workspaces and kinds that may be touched: those that came after the operator
// started, too. What is elsewhere or somebody else's stays, and so does all of whoever is only suspended or at the end.
func TestUnassign(t *testing.T) {
	h := operate(t, unassigning(t, "contacts.crm.example.com,plates.desk.example.com,configmaps,never.example.com", nil)).home(t)
	members := h.two("mia", "bob")
	h.contacts()
	h.define(plate)
	h.grant("", "configmaps")
	h.assigned(contact, h.in("web"), "mia", 3*smallPage+1)
	h.assigned(contact, h.in("web"), "bob", 2*smallPage)
	h.assigned(contact, h.in("api"), "mia", 3)
	h.assigned(configMap, h.in("api"), "mia", 1)
	h.assigned(contact, h.in("web"), "nobody", 1)
	h.assigned(contact, h.name, "mia", 1)
	h.assigned(plate, h.in("web"), "mia", 1)
	// A namespace that says it is the organization's, and is not.
	other := h.existing(h.name+"-other", nil)
	h.assigned(contact, other.Name, "mia", 1)
	all := map[string]int{"mia": 3*smallPage + 1, "bob": 2 * smallPage, "nobody": 1}

	for name, c := range map[string]struct {
		end, resume func(*v1alpha1.OrgMember)
		state       v1alpha1.MemberState
	}{
		"suspended":  {func(m *v1alpha1.OrgMember) { m.Spec.Suspended = true }, func(m *v1alpha1.OrgMember) { m.Spec.Suspended = false }, v1alpha1.StateSuspended},
		"at the end": {until(time.Now().Add(-time.Hour)), func(m *v1alpha1.OrgMember) { m.Spec.ExpiresAt = nil }, v1alpha1.StateExpired},
	} {
		edit(h, members["mia"], c.end)
		h.has(h.user("mia"), h.in("web"), "")
		h.eventually(name, func() error {
			if h.get(members["mia"]); members["mia"].Status.State != c.state {
				return errors.New(string(members["mia"].Status.State))
			}
			return nil
		})
		h.isAssigned(contact, h.in("web"), all)
		edit(h, members["mia"], c.resume)
		h.has(h.user("mia"), h.in("web"), v1alpha1.AccessEdit)
	}

	h.delete(members["mia"])
	h.goes(members["mia"])
	h.nobodyNamed([]string{h.user("mia")})
	h.isAssigned(contact, h.in("web"), map[string]int{"": all["mia"], "bob": all["bob"], "nobody": 1})
	h.isAssigned(contact, h.in("api"), map[string]int{"": 3})
	h.isAssigned(configMap, h.in("api"), map[string]int{"": 1})
	h.isAssigned(contact, h.name, map[string]int{"mia": 1})
	h.isAssigned(contact, other.Name, map[string]int{"mia": 1})
	h.isAssigned(plate, h.in("web"), map[string]int{"mia": 1})

	h.delete(members["bob"])
	h.goes(members["bob"])
	h.isAssigned(contact, h.in("web"), map[string]int{"": all["mia"] + all["bob"], "nobody": 1})
	h.tells(v1alpha1.ReasonUnassigned, map[string][]string{
		"web": {"14 contacts.crm.example.com of bob, who left, lost their assignee", "22 contacts.crm.example.com of mia, who left, lost their assignee"},
		"api": {"1 configmaps, 3 contacts.crm.example.com of mia, who left, lost their assignee"},
	})
	forbidden := []string{"objects of these kinds keep the assignee when a member leaves, since orgkeeper may not list and patch them here: plates.desk.example.com"}
	h.tells(v1alpha1.ReasonUnassignForbidden, map[string][]string{"web": forbidden, "api": forbidden})
}

// With * all is meant that was granted, and nothing is said of the rest. Names that no label can say are no trouble.
func TestUnassignWhateverIsGranted(t *testing.T) {
	h := operate(t, unassigning(t, "*", nil)).home(t)
	long := strings.Repeat("m", 64)
	members := h.two("mia")
	members[long] = h.member(long, v1alpha1.RoleMember, joined, func(m *v1alpha1.OrgMember) { m.Spec.Email = "max" + addressDomain })
	h.create(members[long])
	h.contacts()
	h.define(plate)
	h.assigned(contact, h.in("web"), "mia", 2)
	h.assigned(contact, h.in("web"), long[:63], 1)
	h.assigned(plate, h.in("web"), "mia", 1)
	h.assigned(configMap, h.in("web"), "mia", 1)
	h.delete(members["mia"], members[long])
	h.goes(members["mia"], members[long])
	h.isAssigned(contact, h.in("web"), map[string]int{"": 2, long[:63]: 1})
	h.isAssigned(plate, h.in("web"), map[string]int{"mia": 1})
	h.isAssigned(configMap, h.in("web"), map[string]int{"mia": 1})
	h.tells(v1alpha1.ReasonUnassigned, map[string][]string{"web": {"2 contacts.crm.example.com of mia, who left, lost their assignee"}})
	h.tells(v1alpha1.ReasonUnassignForbidden, map[string][]string{})
}

// What is given to somebody else, or to nobody, or deleted in the moment between looking and writing stays so.
func TestUnassignAfterReassignment(t *testing.T) {
	var moved atomic.Int32
	do := map[string]string{
		"mia-0": `{"metadata":{"labels":{"orgkeeper.dev/assignee":"bob"}}}`,
		"mia-1": `{"metadata":{"labels":{"orgkeeper.dev/assignee":null}}}`,
		"mia-2": `{"metadata":{"labels":null}}`,
		"mia-3": "",
	}
	var h *home
	h = operate(t, unassigning(t, "contacts.crm.example.com", intercept("contacts", func(r *http.Request, name string) error {
		patch, found := do[name]
		if !found {
			return nil
		}
		moved.Add(1)
		o := &unstructured.Unstructured{}
		o.SetGroupVersionKind(contact)
		o.SetNamespace(h.in("web"))
		o.SetName(name)
		if patch == "" {
			return admin.Delete(context.Background(), o)
		}
		return admin.Patch(context.Background(), o, client.RawPatch("application/merge-patch+json", []byte(patch)))
	}))).home(t)
	mia := h.two("mia", "bob")["mia"]
	h.contacts()
	h.assigned(contact, h.in("web"), "mia", 6)
	h.delete(mia)
	h.goes(mia)
	if moved.Load() != 4 {
		t.Errorf("%d objects changed in between, not 4: some were tried more than once, or never", moved.Load())
	}
	h.isAssigned(contact, h.in("web"), map[string]int{"bob": 1, "": 3})
	h.tells(v1alpha1.ReasonUnassigned, map[string][]string{"web": {"2 contacts.crm.example.com of mia, who left, lost their assignee"}})
	h.tells(v1alpha1.ReasonUnassignFailed, map[string][]string{})
}

// An operator that is stopped in the middle, or was not there when the member was deleted, leaves nothing to be forgotten.
func TestUnassignAcrossRestarts(t *testing.T) {
	const before = 9
	var patches atomic.Int32
	var middle sync.Once
	reached := make(chan struct{})
	o := operate(t, unassigning(t, "contacts.crm.example.com", intercept("contacts", func(r *http.Request, _ string) error {
		if patches.Add(1) <= before {
			return nil
		}
		select {
		case <-reached: // the second operator
			return nil
		default:
		}
		middle.Do(func() { time.AfterFunc(0, func() { close(reached) }) })
		<-r.Context().Done()
		return r.Context().Err()
	})))
	h := o.home(t)
	members := h.two("mia", "bob")
	h.contacts()
	h.assigned(contact, h.in("web"), "mia", 4*smallPage)
	h.assigned(contact, h.in("web"), "bob", 1)
	h.delete(members["mia"])
	<-reached
	o.stop()
	if !h.get(members["mia"]) {
		t.Fatal("mia went before all was done")
	}
	if left := h.assignees(contact, h.in("web"))["mia"]; left == 0 || left == 4*smallPage {
		t.Fatalf("%d of %d left: that is not the middle", left, 4*smallPage)
	}
	h.delete(members["bob"])
	o.start(t)
	h.goes(members["mia"], members["bob"])
	h.isAssigned(contact, h.in("web"), map[string]int{"": 4*smallPage + 1})
}

// A kind that nobody answers for (its conversion webhook is gone) keeps neither the access, nor other kinds, nor other
// workspaces. It is tried again until it answers, for an hour at most; the organization can go at any time.
func TestUnassignBrokenKind(t *testing.T) {
	h := operate(t, unassigning(t, "contacts.crm.example.com,parcels.post.example.com", nil)).home(t)
	members := h.two("mia", "bob", "tom")
	h.contacts()
	convert := func(spec map[string]any) {
		spec["versions"] = []any{version("v1", true), version("v2", false)}
		spec["conversion"] = map[string]any{"strategy": "Webhook", "webhook": map[string]any{
			"conversionReviewVersions": []any{"v1"}, "clientConfig": map[string]any{"url": "https://127.0.0.1:1/convert"},
		}}
	}
	h.define(parcel, convert)
	h.grant("post.example.com", "parcels")
	h.assigned(contact, h.in("web"), "mia", 1)
	h.assigned(parcel, h.in("api"), "mia", 1)
	h.delete(members["mia"])
	h.nobodyNamedSoon(h.user("mia"))
	h.waitsFor(members["mia"], "in api, parcels.post.example.com: list: ")
	h.isAssigned(contact, h.in("web"), map[string]int{"": 1})

	// It answers again.
	crd := &unstructured.Unstructured{}
	crd.SetAPIVersion("apiextensions.k8s.io/v1")
	crd.SetKind("CustomResourceDefinition")
	crd.SetName("parcels.post.example.com")
	edit(h, crd, func(o *unstructured.Unstructured) {
		_ = unstructured.SetNestedMap(o.Object, map[string]any{"strategy": "None"}, "spec", "conversion")
	})
	h.goes(members["mia"])
	h.isAssigned(parcel, h.in("api"), map[string]int{"": 1})
	h.tells(v1alpha1.ReasonUnassignFailed, map[string][]string{})

	// It does not, ever.
	edit(h, crd, func(o *unstructured.Unstructured) {
		spec := map[string]any{}
		convert(spec)
		_ = unstructured.SetNestedField(o.Object, spec["conversion"], "spec", "conversion")
	})
	h.eventually("parcels are broken", func() error {
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(parcel.GroupKind().WithVersion("v2"))
		if admin.List(t.Context(), list, client.InNamespace(h.in("api"))) == nil {
			return errors.New("they are not")
		}
		return nil
	})
	h.delete(members["bob"])
	h.nobodyNamedSoon(h.user("bob"))
	h.waitsFor(members["bob"], "parcels.post.example.com: list: ")
	h.later(time.Hour)
	h.goes(members["bob"])
	h.eventually("it is told", func() error {
		told := h.events(v1alpha1.ReasonUnassignFailed)
		const want = "some objects still name bob, who left, as their assignee: parcels.post.example.com: list: "
		if len(told["api"]) != 1 || !strings.HasPrefix(told["api"][0], want) || !strings.Contains(told["api"][0], "connection refused") {
			return fmt.Errorf("%q", told)
		}
		return nil
	})

	// Everything goes, whoever waits.
	h.delete(members["tom"])
	h.waitsFor(members["tom"], "parcels.post.example.com: list: ")
	h.delete(h.organization("acme", "jane"))
	h.goes(h.organization("acme", "jane"), members["tom"])
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
