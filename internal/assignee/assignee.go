// Package assignee says which objects have an assignee that orgkeeper takes off when the member leaves: the kinds named by a
// flag, within what was granted, and the patch that takes off no more than that. It knows of no client and no clock.
package assignee

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
)

// everything is what stands for all kinds.
const everything = "*"

// Verbs are what must be granted on a kind: nothing is read but metadata, and nothing written but the one label.
var Verbs = []string{"list", "patch"}

// Kinds are those whose objects have assignees. The zero value is none. It is a flag.Value.
type Kinds struct {
	// All stands for every namespaced kind that the operator was granted.
	All bool
	// Named are the others, in the order given. They need not be served (yet).
	Named []schema.GroupResource
}

// None says that there is nothing to take an assignee off.
func (k *Kinds) None() bool { return !k.All && len(k.Named) == 0 }

// String is the list as it is written.
func (k *Kinds) String() string {
	if k.All {
		return everything
	}
	var names []string
	for _, kind := range k.Named {
		names = append(names, kind.String())
	}
	return strings.Join(names, ",")
}

// Set reads a list such as contacts.crm.example.com,configmaps, or *. It adds to what was given before.
func (k *Kinds) Set(list string) error {
	if list == "" {
		return nil
	}
	for entry := range strings.SplitSeq(list, ",") {
		entry = strings.TrimSpace(entry)
		if entry == everything {
			k.All = true
			continue
		}
		kind, err := parse(entry)
		if err != nil {
			return err
		}
		if !slices.Contains(k.Named, kind) {
			k.Named = append(k.Named, kind)
		}
	}
	if k.All && k.Named != nil {
		return fmt.Errorf("give either %s or names, not both", everything)
	}
	return nil
}

func parse(entry string) (schema.GroupResource, error) {
	kind := schema.ParseGroupResource(entry)
	valid := len(validation.IsDNS1123Label(kind.Resource)) == 0 &&
		(kind.Group == "" && !strings.Contains(entry, ".") || len(validation.IsDNS1123Subdomain(kind.Group)) == 0)
	switch {
	case !valid:
		return kind, fmt.Errorf("%q is not a kind; write <resource>.<group> as kubectl api-resources does, such as contacts.crm.example.com, or configmaps of the core group, or %s alone", entry, everything)
	case kind.Group == v1alpha1.GroupVersion.Group:
		return kind, fmt.Errorf("%q is a kind of orgkeeper's own, which nobody is assigned to", entry)
	}
	return kind, nil
}

// Wants says whether a kind is among them.
func (k *Kinds) Wants(kind schema.GroupResource) bool {
	return kind.Group != v1alpha1.GroupVersion.Group && (k.All || slices.Contains(k.Named, kind))
}

// WantsOf says whether a kind of a group may be among them.
func (k *Kinds) WantsOf(group string) bool {
	return k.All || slices.ContainsFunc(k.Named, func(kind schema.GroupResource) bool { return kind.Group == group })
}

// Among picks from what an API server serves, sorted. What cannot be listed or patched there is left out.
func (k *Kinds) Among(served []*metav1.APIResourceList) []schema.GroupVersionResource {
	var among []schema.GroupVersionResource
	for _, list := range served {
		version, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil {
			continue // nothing can be asked of it
		}
		for i := range list.APIResources {
			r := &list.APIResources[i]
			kind := version.WithResource(r.Name)
			subresource := strings.Contains(r.Name, "/")
			if r.Namespaced && !subresource && hasAll(r.Verbs, Verbs) && k.Wants(kind.GroupResource()) {
				among = append(among, kind)
			}
		}
	}
	slices.SortFunc(among, func(a, b schema.GroupVersionResource) int { return strings.Compare(a.String(), b.String()) })
	return among
}

// Missing are those named that are not among what is served.
func (k *Kinds) Missing(among []schema.GroupVersionResource) []string {
	var missing []string
	for _, kind := range k.Named {
		if !slices.ContainsFunc(among, func(a schema.GroupVersionResource) bool { return a.GroupResource() == kind }) {
			missing = append(missing, kind.String())
		}
	}
	return missing
}

// Granted says whether rules let somebody list and patch all objects of a kind. The resource * asks for any kind of a group.
func Granted(rules []authorizationv1.ResourceRule, kind schema.GroupResource) bool {
	for _, verb := range Verbs {
		if !slices.ContainsFunc(rules, func(r authorizationv1.ResourceRule) bool {
			return len(r.ResourceNames) == 0 && covers(r.Verbs, verb) && covers(r.APIGroups, kind.Group) && coversResource(r.Resources, kind.Resource)
		}) {
			return false
		}
	}
	return true
}

func covers(words []string, word string) bool {
	return slices.Contains(words, word) || slices.Contains(words, everything)
}

func coversResource(words []string, resource string) bool {
	if resource == everything {
		return slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(word, "/") })
	}
	return covers(words, resource)
}

func hasAll(have, want []string) bool {
	return !slices.ContainsFunc(want, func(w string) bool { return !slices.Contains(have, w) })
}

// Possible says whether a member of this name can be an assignee: a label's value is at most 63 characters long, a name may be
// longer.
func Possible(member string) bool { return len(validation.IsValidLabelValue(member)) == 0 }

// Selector finds what is assigned to one of the members.
func Selector(members []string) (string, error) {
	assigned, err := labels.NewRequirement(v1alpha1.LabelAssignee, selection.In, members)
	if err != nil {
		return "", fmt.Errorf("select what is assigned to %v: %w", members, err)
	}
	return assigned.String(), nil
}

// Patch is a JSON patch (RFC 6902) that takes the label off, unless it names somebody else by then: who was assigned in between
// stays.
func Patch(member string) ([]byte, error) {
	type operation struct {
		Op    string `json:"op"`
		Path  string `json:"path"`
		Value string `json:"value,omitempty"`
	}
	path := "/metadata/labels/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(v1alpha1.LabelAssignee)
	patch, err := json.Marshal([]operation{{"test", path, member}, {Op: "remove", Path: path}})
	if err != nil {
		return nil, fmt.Errorf("write the patch: %w", err)
	}
	return patch, nil
}

// Counts is how many objects of each kind.
type Counts map[schema.GroupResource]int

// Total is how many of all kinds.
func (c Counts) Total() (total int) {
	for _, n := range c {
		total += n
	}
	return total
}

// String is such as "3 contacts.crm.example.com, 1 configmaps".
func (c Counts) String() string {
	var parts []string
	for _, kind := range slices.SortedFunc(maps.Keys(c), func(a, b schema.GroupResource) int { return strings.Compare(a.String(), b.String()) }) {
		if c[kind] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", c[kind], kind))
		}
	}
	return strings.Join(parts, ", ")
}
