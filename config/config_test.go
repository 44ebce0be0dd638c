// Package config_test checks config/ as it is written, without a cluster. What takes one is in test/config.
package config_test

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/yaml"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/internal/assignee"
	"github.com/orgkeeper/orgkeeper/test/config"
)

// TestRolesGiveExactlyTheTable compares both ways: each holder has each permission that the table gives them, and not
// one more.
func TestRolesGiveExactlyTheTable(t *testing.T) {
	roles := clusterRoles(t)
	for _, holder := range config.Holders {
		t.Run(string(holder), func(t *testing.T) {
			var has []config.Permission
			for _, name := range config.ClusterRoles[holder] {
				if len(roles[name].Rules) == 0 {
					t.Fatalf("config/rbac has no rules for %s", name)
				}
				has = append(has, permissions(t, roles[name])...)
			}
			for _, permission := range config.Permissions() {
				if config.May(holder, permission) && !slices.Contains(has, permission) {
					t.Errorf("%v do not give %q, which a right of the table takes", config.ClusterRoles[holder], permission)
				}
			}
			for _, permission := range has {
				if !config.May(holder, permission) {
					t.Errorf("%v give %q, which no right of the table takes", config.ClusterRoles[holder], permission)
				}
			}
		})
	}
}

// TestEveryRowTellsHoldersApart guards the table itself: whoever lacks a right lacks a permission that it takes.
func TestEveryRowTellsHoldersApart(t *testing.T) {
	for _, right := range config.Rights {
		if right.Takes == nil {
			continue
		}
		for _, holder := range config.Holders {
			all := !slices.ContainsFunc(right.Takes, func(p config.Permission) bool { return !config.May(holder, p) })
			if has := right.Has(holder, false); all != has {
				t.Errorf("%s: %q: the row says %v, the permissions say %v", holder, right.Name, has, all)
			}
		}
	}
}

func TestNoRuleIsBroaderThanItSays(t *testing.T) {
	for name, rules := range allRules(t) {
		for _, rule := range rules {
			for _, word := range slices.Concat(rule.APIGroups, rule.Resources, rule.ResourceNames, rule.Verbs, rule.NonResourceURLs) {
				if strings.Contains(word, "*") {
					t.Errorf("%s: wildcard %q in %v: name what is meant", name, word, rule)
				}
			}
			if slices.Contains(rule.Verbs, "bind") && len(rule.ResourceNames) == 0 {
				t.Errorf("%s: bind without resourceNames would hand out any role, cluster-admin included", name)
			}
			for _, verb := range []string{"escalate", "impersonate"} {
				if slices.Contains(rule.Verbs, verb) {
					t.Errorf("%s: %s makes whoever has it a cluster-admin by detour", name, verb)
				}
			}
			if slices.ContainsFunc(rule.Resources, func(r string) bool { return strings.HasPrefix(r, "secrets") }) {
				t.Errorf("%s: rule on secrets: keys and passwords come mounted", name)
			}
		}
	}
}

// TestOnlyTheOperatorBinds: a tenant's role with write on RBAC would hand access on outside orgkeeper.
func TestOnlyTheOperatorBinds(t *testing.T) {
	for name, rules := range allRules(t) {
		if name == "ClusterRole orgkeeper:operator" {
			continue
		}
		for _, rule := range rules {
			if !slices.Contains(rule.APIGroups, rbacv1.GroupName) {
				continue
			}
			if slices.ContainsFunc(rule.Verbs, func(verb string) bool { return !slices.Contains([]string{"get", "list", "watch"}, verb) }) {
				t.Errorf("%s may change RBAC: %v", name, rule)
			}
		}
	}
}

// TestOperatorBindsWhatItGives: the roles of homes and workspaces, and not the platform's.
func TestOperatorBindsWhatItGives(t *testing.T) {
	want := []string{"edit", "orgkeeper:workspace-admin", "view"}
	for holder, names := range config.ClusterRoles {
		if holder != config.Platform {
			want = append(want, names...)
		}
	}
	slices.Sort(want)
	want = slices.Compact(want)

	var got []string
	for _, rule := range clusterRoles(t)["orgkeeper:operator"].Rules {
		if slices.Contains(rule.Verbs, "bind") {
			got = append(got, rule.ResourceNames...)
		}
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("the operator binds %v, and should %v", got, want)
	}
}

// TestSamplesFitTheTypes decodes strictly: a field that the types do not have is a mistake in one of the two.
func TestSamplesFitTheTypes(t *testing.T) {
	into := map[string]func() any{
		"Namespace":           func() any { return &corev1.Namespace{} },
		"Organization":        func() any { return &v1alpha1.Organization{} },
		"OrgMember":           func() any { return &v1alpha1.OrgMember{} },
		"Workspace":           func() any { return &v1alpha1.Workspace{} },
		"WorkspaceAssignment": func() any { return &v1alpha1.WorkspaceAssignment{} },
	}
	count := map[string]int{}
	for _, document := range documents(t, "samples") {
		kind := kindOf(t, document)
		if into[kind] == nil {
			t.Errorf("%s: kind %q is none of ours", document.file, kind)
			continue
		}
		if err := yaml.UnmarshalStrict(document.content, into[kind]()); err != nil {
			t.Errorf("%s: %v", document.file, err)
		}
		count[kind]++
	}
	for kind := range into {
		if count[kind] == 0 {
			t.Errorf("no sample of kind %s", kind)
		}
	}
}

// TestAssignableGrantsNothing: which kinds are unassigned is the platform's to say, by ClusterRoles that are gathered. The sample's
// gives no more than that takes.
func TestAssignableGrantsNothing(t *testing.T) {
	gathers := clusterRoles(t)["orgkeeper:assignable"]
	if len(gathers.Rules) > 0 || gathers.AggregationRule == nil || len(gathers.AggregationRule.ClusterRoleSelectors) != 1 {
		t.Fatalf("orgkeeper:assignable is not a ClusterRole that only gathers: %v, %v", gathers.Rules, gathers.AggregationRule)
	}
	selector, err := metav1.LabelSelectorAsSelector(&gathers.AggregationRule.ClusterRoleSelectors[0])
	if err != nil {
		t.Fatal(err)
	}
	gathered := 0
	for _, d := range documents(t, "samples/crm") {
		if kindOf(t, d) != "ClusterRole" {
			continue
		}
		var role rbacv1.ClusterRole
		if err := yaml.UnmarshalStrict(d.content, &role); err != nil {
			t.Fatalf("%s: %v", d.file, err)
		}
		if !selector.Matches(labels.Set(role.Labels)) {
			continue
		}
		gathered++
		for _, rule := range role.Rules {
			if !slices.Equal(rule.Verbs, assignee.Verbs) {
				t.Errorf("%s: %v is not what unassigning takes: %v", role.Name, rule, assignee.Verbs)
			}
		}
	}
	if gathered != 1 {
		t.Errorf("%d ClusterRoles of the sample are gathered", gathered)
	}
}

// TestSamplesApplyInOrder: kubectl applies the files of a folder by name, and the namespace has to come first. A
// kustomization.yaml would be applied as if it were an object.
func TestSamplesApplyInOrder(t *testing.T) {
	all := documents(t, "samples")
	if kind := kindOf(t, all[0]); kind != "Namespace" {
		t.Errorf("the first sample is a %s, which has no namespace yet", kind)
	}
	if _, err := os.Stat("samples/kustomization.yaml"); err == nil {
		t.Error("samples/kustomization.yaml: kubectl apply -f config/samples/ takes it for an object")
	}
}

type document struct {
	file    string
	content []byte
}

// documents reads the YAML files of a folder by name, split into their documents.
func documents(t *testing.T, folder string) []document {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no YAML files in %s: %v", folder, err)
	}
	var all []document
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for part := range strings.SplitSeq(string(content), "\n---\n") {
			all = append(all, document{file, []byte(part)})
		}
	}
	return all
}

func kindOf(t *testing.T, d document) string {
	t.Helper()
	var meta struct{ Kind string }
	if err := yaml.Unmarshal(d.content, &meta); err != nil {
		t.Fatalf("%s: %v", d.file, err)
	}
	return meta.Kind
}

func clusterRoles(t *testing.T) map[string]rbacv1.ClusterRole {
	t.Helper()
	roles := map[string]rbacv1.ClusterRole{}
	for _, d := range documents(t, "rbac") {
		if kindOf(t, d) != "ClusterRole" {
			continue
		}
		var role rbacv1.ClusterRole
		if err := yaml.UnmarshalStrict(d.content, &role); err != nil {
			t.Fatalf("%s: %v", d.file, err)
		}
		roles[role.Name] = role
	}
	return roles
}

// allRules are the rules of every ClusterRole and Role, by kind and name.
func allRules(t *testing.T) map[string][]rbacv1.PolicyRule {
	t.Helper()
	rules := map[string][]rbacv1.PolicyRule{}
	for name, role := range clusterRoles(t) {
		rules["ClusterRole "+name] = role.Rules
	}
	for _, d := range documents(t, "rbac") {
		if kindOf(t, d) != "Role" {
			continue
		}
		var role rbacv1.Role
		if err := yaml.UnmarshalStrict(d.content, &role); err != nil {
			t.Fatalf("%s: %v", d.file, err)
		}
		rules["Role "+role.Name] = role.Rules
	}
	return rules
}

// permissions takes the rules of a tenant's role apart.
func permissions(t *testing.T, role rbacv1.ClusterRole) []config.Permission {
	t.Helper()
	var all []config.Permission
	for _, rule := range role.Rules {
		if !slices.Equal(rule.APIGroups, []string{v1alpha1.GroupVersion.Group}) || len(rule.ResourceNames) > 0 {
			t.Errorf("%s: %v is about more than orgkeeper's kinds", role.Name, rule)
		}
		for _, resource := range rule.Resources {
			resource, subresource, _ := strings.Cut(resource, "/")
			for _, verb := range rule.Verbs {
				all = append(all, config.Permission{Verb: verb, Resource: resource, Subresource: subresource})
			}
		}
	}
	return all
}

// TestDocumentedTable keeps docs/roles.md to the table that the tests go through.
func TestDocumentedTable(t *testing.T) {
	doc, err := os.ReadFile("../docs/roles.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(doc), config.Table()) {
		t.Errorf("docs/roles.md does not hold the table; it should be:\n%s", config.Table())
	}
}

// TestEveryPartIsJudged guards against a new field of the Organization that everybody who may edit any part could edit.
func TestEveryPartIsJudged(t *testing.T) {
	rules, err := os.ReadFile("policy/organization.yaml")
	if err != nil {
		t.Fatal(err)
	}
	judged := func(path string) bool {
		return strings.Contains(string(rules), "object.spec."+path+" == ") || strings.Contains(string(rules), "object.spec.?"+path+" == ") ||
			strings.Contains(string(rules), "object.spec.?"+path+".orValue")
	}
	for field := range reflect.TypeFor[v1alpha1.OrganizationSpec]().Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if name == "subscription" {
			for part := range reflect.TypeFor[v1alpha1.OrganizationSubscription]().Fields() {
				if partName, _, _ := strings.Cut(part.Tag.Get("json"), ","); !judged("subscription.?" + partName) {
					t.Errorf("config/policy/organization.yaml does not judge spec.subscription.%s", partName)
				}
			}
		} else if !judged(name) {
			t.Errorf("config/policy/organization.yaml does not judge spec.%s", name)
		}
	}
}

// TestDocumentedLifecycle holds docs/lifecycle.md to the tests that it names.
func TestDocumentedLifecycle(t *testing.T) {
	content, err := os.ReadFile("../docs/lifecycle.md")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("../controllers/*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]bool{}
	for _, file := range files {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range testFunction.FindAllStringSubmatch(string(source), -1) {
			tests[found[1]] = true
		}
	}
	rows := 0
	for line := range strings.Lines(string(content)) {
		cells := strings.Split(strings.TrimSpace(line), "|")
		if len(cells) != 8 || strings.Contains(line, "| test |") || strings.Contains(line, "---") {
			continue
		}
		rows++
		for name := range strings.SplitSeq(cells[6], ",") {
			if name = strings.TrimSpace(name); !tests[name] {
				t.Errorf("no test %q, for: %s", name, line)
			}
		}
	}
	if rows < 20 {
		t.Errorf("%d rows read", rows)
	}
}

var testFunction = regexp.MustCompile(`(?m)^func (Test\w+)\(`)
