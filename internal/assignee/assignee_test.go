package assignee_test

import (
	"flag"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/orgkeeper/orgkeeper/internal/assignee"
)

var (
	contacts   = schema.GroupResource{Group: "crm.example.com", Resource: "contacts"}
	configMaps = schema.GroupResource{Resource: "configmaps"}
)

func TestKinds(t *testing.T) {
	for name, c := range map[string]struct {
		reason string
		args   []string
		want   assignee.Kinds
		err    string
	}{
		"Empty":     {"no flag, no kinds", nil, assignee.Kinds{}, ""},
		"Nothing":   {"an empty list is none", []string{""}, assignee.Kinds{}, ""},
		"Two":       {"of a group and of the core group", []string{"contacts.crm.example.com, configmaps"}, assignee.Kinds{Named: []schema.GroupResource{contacts, configMaps}}, ""},
		"Twice":     {"the flag may come again, and say the same", []string{"configmaps", "contacts.crm.example.com,configmaps"}, assignee.Kinds{Named: []schema.GroupResource{configMaps, contacts}}, ""},
		"All":       {"whatever is granted", []string{"*"}, assignee.Kinds{All: true}, ""},
		"Both":      {"whoever names some means those", []string{"*,configmaps"}, assignee.Kinds{}, "either * or names"},
		"BothLater": {"also in two flags", []string{"configmaps", "*"}, assignee.Kinds{}, "either * or names"},
		"Gap":       {"a comma too many", []string{"configmaps,"}, assignee.Kinds{}, `"" is not a kind`},
		"Kind":      {"the plural is meant", []string{"Contact.crm.example.com"}, assignee.Kinds{}, "as kubectl api-resources does"},
		"Group":     {"groups have no wildcard", []string{"*.crm.example.com"}, assignee.Kinds{}, `"*.crm.example.com" is not a kind`},
		"Slash":     {"subresources have no labels", []string{"deployments.apps/status"}, assignee.Kinds{}, "is not a kind"},
		"Dot":       {"half a name", []string{"contacts."}, assignee.Kinds{}, "is not a kind"},
		"Own":       {"nobody is assigned to a member", []string{"orgmembers.orgkeeper.dev"}, assignee.Kinds{}, "orgkeeper's own"},
	} {
		t.Run(name, func(t *testing.T) {
			var kinds assignee.Kinds
			fs := flag.NewFlagSet("", flag.ContinueOnError)
			fs.SetOutput(io.Discard)
			fs.Var(&kinds, "assignable", "")
			args := make([]string, 0, len(c.args))
			for _, arg := range c.args {
				args = append(args, "--assignable="+arg)
			}
			err := fs.Parse(args)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Fatalf("%s: got %v, want an error with %q", c.reason, err, c.err)
				}
				return
			}
			if diff := cmp.Diff(c.want, kinds); err != nil || diff != "" {
				t.Errorf("%s: %v (-want +got):\n%s", c.reason, err, diff)
			}
			if kinds.None() != (len(c.want.Named) == 0 && !c.want.All) {
				t.Errorf("%s: None is %t", c.reason, kinds.None())
			}
			var again assignee.Kinds
			if err := again.Set(kinds.String()); err != nil || !cmp.Equal(again, kinds) {
				t.Errorf("%s: %q does not read as it was written: %v, %v", c.reason, kinds.String(), again, err)
			}
		})
	}
}

func TestAmong(t *testing.T) {
	both := metav1.Verbs{"get", "list", "patch", "watch"}
	served := []*metav1.APIResourceList{
		{GroupVersion: "v1", APIResources: []metav1.APIResource{
			{Name: "configmaps", Namespaced: true, Verbs: both},
			{Name: "pods", Namespaced: true, Verbs: both},
			{Name: "pods/status", Namespaced: true, Verbs: both},
			{Name: "bindings", Namespaced: true, Verbs: metav1.Verbs{"create"}},
			{Name: "nodes", Verbs: both},
		}},
		{GroupVersion: "crm.example.com/v2", APIResources: []metav1.APIResource{{Name: "contacts", Namespaced: true, Verbs: both}}},
		{GroupVersion: "metrics.example.com/v1", APIResources: []metav1.APIResource{{Name: "readings", Namespaced: true, Verbs: metav1.Verbs{"list"}}}},
		{GroupVersion: "orgkeeper.dev/v1alpha1", APIResources: []metav1.APIResource{{Name: "orgmembers", Namespaced: true, Verbs: both}}},
		{GroupVersion: "a/b/c", APIResources: []metav1.APIResource{{Name: "things", Namespaced: true, Verbs: both}}},
	}
	for name, c := range map[string]struct {
		kinds   string
		want    []schema.GroupVersionResource
		missing []string
	}{
		"All": {"*", []schema.GroupVersionResource{
			{Version: "v1", Resource: "configmaps"}, {Version: "v1", Resource: "pods"}, contacts.WithVersion("v2"),
		}, nil},
		"Named": {"contacts.crm.example.com,configmaps.crm.example.com,nodes,readings.metrics.example.com", []schema.GroupVersionResource{contacts.WithVersion("v2")},
			[]string{"configmaps.crm.example.com", "nodes", "readings.metrics.example.com"}},
	} {
		t.Run(name, func(t *testing.T) {
			var kinds assignee.Kinds
			if err := kinds.Set(c.kinds); err != nil {
				t.Fatal(err)
			}
			got := kinds.Among(served)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if diff := cmp.Diff(c.missing, kinds.Missing(got)); diff != "" {
				t.Errorf("missing: -want +got:\n%s", diff)
			}
		})
	}
}

func TestGranted(t *testing.T) {
	rule := func(groups, resources, names string, verbs ...string) authorizationv1.ResourceRule {
		r := authorizationv1.ResourceRule{APIGroups: []string{groups}, Resources: []string{resources}, Verbs: verbs}
		if names != "" {
			r.ResourceNames = []string{names}
		}
		return r
	}
	rules := func(r ...authorizationv1.ResourceRule) []authorizationv1.ResourceRule { return r }
	group := schema.GroupResource{Group: "crm.example.com", Resource: "*"}
	for name, c := range map[string]struct {
		reason string
		rules  []authorizationv1.ResourceRule
		kind   schema.GroupResource
		want   bool
	}{
		"None":        {"no rule, no grant", nil, contacts, false},
		"Both":        {"list and patch", rules(rule("crm.example.com", "contacts", "", "list", "patch")), contacts, true},
		"Apart":       {"in two rules", rules(rule("crm.example.com", "contacts", "", "list"), rule("crm.example.com", "contacts", "", "patch")), contacts, true},
		"ListOnly":    {"what is only seen stays", rules(rule("crm.example.com", "contacts", "", "get", "list", "watch", "update")), contacts, false},
		"Wildcards":   {"as cluster-admin has it", rules(rule("*", "*", "", "*")), contacts, true},
		"OneObject":   {"one object is not all", rules(rule("crm.example.com", "contacts", "wile", "list", "patch")), contacts, false},
		"OtherGroup":  {"the core group's is another kind", rules(rule("", "contacts", "", "list", "patch")), contacts, false},
		"Subresource": {"status is not the object", rules(rule("crm.example.com", "contacts/status", "", "list", "patch")), contacts, false},
		"Core":        {"the core group has no name", rules(rule("", "configmaps", "", "list", "patch")), configMaps, true},
		"Group":       {"any kind of the group", rules(rule("crm.example.com", "contacts", "", "list", "patch")), group, true},
		"GroupSub":    {"a subresource is no kind of it", rules(rule("crm.example.com", "contacts/status", "", "list", "patch")), group, false},
		"GroupOther":  {"nothing of the group", rules(rule("desk.example.com", "*", "", "list", "patch")), group, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := assignee.Granted(c.rules, c.kind); got != c.want {
				t.Errorf("%s: got %t", c.reason, got)
			}
		})
	}
}

// The patch takes one label off and no other, and only from whom it names. What API servers make of it is shown with a real one.
func TestPatch(t *testing.T) {
	got, err := assignee.Patch("mia")
	const want = `[{"op":"test","path":"/metadata/labels/orgkeeper.dev~1assignee","value":"mia"},{"op":"remove","path":"/metadata/labels/orgkeeper.dev~1assignee"}]`
	if err != nil || string(got) != want {
		t.Errorf("got %s (%v), want %s", got, err, want)
	}
}

func TestSelector(t *testing.T) {
	text, err := assignee.Selector([]string{"mia", "bob"})
	if err != nil {
		t.Fatal(err)
	}
	selector, err := labels.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	for member, want := range map[string]bool{"mia": true, "bob": true, "miab": false, "": false} {
		if got := selector.Matches(labels.Set{"orgkeeper.dev/assignee": member}); got != want {
			t.Errorf("%q: %t", member, got)
		}
	}
	if selector.Matches(labels.Set{}) {
		t.Error("what has no assignee is selected")
	}
	for member, want := range map[string]bool{"mia": true, strings.Repeat("m", 63): true, strings.Repeat("m", 64): false, "mia.bob": true} {
		if got := assignee.Possible(member); got != want {
			t.Errorf("%q can be an assignee: %t", member, got)
		}
	}
}

func TestCounts(t *testing.T) {
	c := assignee.Counts{contacts: 3, configMaps: 1, {Resource: "pods"}: 0}
	if got, want := c.String(), "1 configmaps, 3 contacts.crm.example.com"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if c.Total() != 4 || assignee.Counts(nil).Total() != 0 {
		t.Errorf("total %d", c.Total())
	}
}
