package controllers_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
)

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
	// A workspace that lost its namespace.
	lost := h.workspace("lost")
	h.create(lost)
	h.becomes(lost, "Ready", "True/Ready")
	h.assigned(contact, h.in("lost"), "mia", 1)
	edit(h, namespace(h.in("lost")), func(ns *corev1.Namespace) { delete(ns.Annotations, v1alpha1.AnnotationWorkspaceUID) })
	h.becomes(lost, "Ready", "False/NamespaceConflict")
	h.discard(h.in("lost"))
	all := map[string]int{"mia": 3*smallPage + 1, "bob": 2 * smallPage, "nobody": 1}

	for name, c := range map[string]struct {
		end, resume func(*v1alpha1.OrgMember)
		state       v1alpha1.MemberState
	}{
		"suspended":  {func(m *v1alpha1.OrgMember) { m.Spec.Suspended = true }, func(m *v1alpha1.OrgMember) { m.Spec.Suspended = false }, v1alpha1.StateSuspended},
		"at the end": {func(m *v1alpha1.OrgMember) { until(time.Now().Add(2 * time.Second))(m) }, func(m *v1alpha1.OrgMember) { m.Spec.ExpiresAt = nil }, v1alpha1.StateExpired},
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
	h.isAssigned(contact, h.in("lost"), map[string]int{"mia": 1})
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

// An API server that somebody added and that is down keeps nobody, unless its kinds were granted: then it is asked again.
func TestUnassignSilentGroup(t *testing.T) {
	h := operate(t, unassigning(t, "*", nil)).home(t)
	members := h.two("mia", "bob")
	service := h.silent("readings.example.com")
	h.delete(members["mia"])
	h.goes(members["mia"])
	h.grant("readings.example.com", "readings")
	h.delete(members["bob"])
	h.nobodyNamedSoon(h.user("bob"))
	h.waitsFor(members["bob"], "in web, *.readings.example.com: ")
	h.delete(service)
	h.goes(members["bob"])
	h.tells(v1alpha1.ReasonUnassignFailed, map[string][]string{})
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
	var second atomic.Bool
	var middle sync.Once
	reached := make(chan struct{})
	o := operate(t, unassigning(t, "contacts.crm.example.com", intercept("contacts", func(r *http.Request, _ string) error {
		if patches.Add(1) <= before || second.Load() {
			return nil
		}
		middle.Do(func() { close(reached) })
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
	second.Store(true)
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

// What docs/leaving.md shows of the sample is so.
func TestUnassignSample(t *testing.T) {
	h := operate(t, idle).home(t)
	h.contacts()
	h.create(namespace("acme--web"))
	h.discard("acme--web")
	if err := plane.Apply(t.Context(), "config/samples/crm/10-contacts.yaml"); err != nil {
		t.Fatal(err)
	}
	shown, err := plane.Run(t.Context(), "get", "contacts", "--namespace", "acme--web")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := os.ReadFile("../docs/leaving.md")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(shown) {
		if line = strings.TrimRight(line, " \n"); !strings.Contains(string(doc), line+"\n") {
			t.Errorf("docs/leaving.md does not show %q", line)
		}
	}
}
