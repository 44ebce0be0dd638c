package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
)

func TestWords(t *testing.T) {
	for got, want := range map[string]string{
		number(0): "0", number(999): "999", number(1000): "1,000", number(1234567): "1,234,567",
		duration(0): "0", duration(.0123): "12.3 ms", duration(.25): "250 ms", duration(5.04): "5.0 s", duration(140): "140 s",
		megabytes(123_456_789): "123 MB", plain(2.5): "2.5", times2(1.5): "1.50 x",
	} {
		if got != want {
			t.Errorf("%q, not %q", got, want)
		}
	}
}

func TestTable(t *testing.T) {
	want := "| a | b | c |\n|---|--:|--:|\n| x | 1 | 2 |\n"
	if diff := cmp.Diff(want, table([][]string{{"a", "b", "c"}, {"x", "1", "2"}})); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// example is a result in which each claim is just met.
func example() *result {
	waits := func(seconds float64, n int) map[string]quantiles {
		return map[string]quantiles{"removed to no access": {N: n, P50: seconds / 5, P99: seconds, Max: seconds}}
	}
	others := func(seconds float64) map[string]quantiles {
		q := quantiles{N: 10, P50: seconds, P99: seconds, Max: seconds}
		return map[string]quantiles{"unrelated get": q, "unrelated update": q}
	}
	return &result{
		Shape: "100x10", Organizations: 100, Members: 1000, Workspaces: 100, Assignments: 800, Cores: 2,
		Phases: []measured{
			{Name: "idle", Latencies: others(1)},
			{Name: "onboard", Unit: "members", Units: 1000, Seconds: 5, Requests: map[string]int{
				"patch orgmembers/status": 2000, "create events": 1000, "list orgmembers": 1, "update leases": 9}},
			{Name: "accept", Unit: "members", Units: 1000, Seconds: 9, Requests: map[string]int{
				"patch orgmembers/status": 1000, "create events": 1500, "patch events": 500}},
			{Name: "steady", EndRSS: 500e6, Latencies: others(1.15), Figures: map[string]float64{
				"writes": 0, "reads of single objects": 0, "lists": 0, "leases": 15}},
			{Name: "remove one by one", Latencies: waits(.25, 60)},
			{Name: "remove at once", Latencies: waits(2, 500), Figures: map[string]float64{"asked after seconds": .4}},
			{Name: "remove while loading", Latencies: waits(1, 80), Figures: map[string]float64{"organizations loaded": 300}},
			{Name: "restart by a crash", Figures: map[string]float64{"caught up after seconds": 30}},
			{Name: "restart in order", Requests: map[string]int{"create events": 1, "update leases": 3}, Figures: map[string]float64{"caught up after seconds": 30}},
			{Name: "floor", Unit: "members", Units: 500, Seconds: 2, Figures: map[string]float64{"declared after seconds": 5.0 / 3}},
		},
	}
}

// Each claim is held against what was measured of it, at its limit and beyond.
func TestTargets(t *testing.T) {
	rows := strings.Split(strings.TrimSpace(targetTable([]*result{example()})), "\n")[2:]
	if len(rows) != len(claims)-1 { // all but memory for each member, which small shapes say nothing about
		t.Errorf("%d rows for %d claims:\n%s", len(rows), len(claims), strings.Join(rows, "\n"))
	}
	for _, row := range rows {
		if !strings.HasSuffix(row, "| met |") || !strings.Contains(row, "| 100x10 |") {
			t.Errorf("at the limit: %s", row)
		}
	}
	worse := example()
	for i := range worse.Phases {
		m := &worse.Phases[i]
		m.Seconds, m.EndRSS = m.Seconds*1.1, m.EndRSS*2
		for what := range m.Requests {
			m.Requests[what] *= 2
		}
		for what, q := range m.Latencies {
			if m.Name != "idle" {
				m.Latencies[what] = quantiles{q.N, q.P50 * 1.1, q.P99 * 1.1, q.Max}
			}
		}
		for what := range m.Figures {
			if what != "organizations loaded" {
				m.Figures[what] = m.Figures[what]*1.1 + 1
			}
		}
	}
	worse.phase("onboard").Requests["get secrets"] = 1
	worse.phase("restart in order").Requests["patch orgmembers/status"] = 1
	worse.phase("floor").Seconds, worse.phase("floor").Figures["declared after seconds"] = 1, 1
	for row := range strings.SplitSeq(strings.TrimSpace(targetTable([]*result{worse})), "\n") {
		if strings.HasSuffix(row, "| met |") {
			t.Errorf("beyond the limit: %s", row)
		}
	}
}

// What was not measured is not claimed.
func TestTargetsOfPartOfARun(t *testing.T) {
	for _, r := range []*result{{Shape: "100x10", Members: 1000}, {Shape: "2x5", Members: 10, Phases: []measured{
		{Name: "remove one by one", Latencies: map[string]quantiles{"removed to no access": {}}},
		{Name: "remove at once", Latencies: map[string]quantiles{"removed to no access": {N: 12, P99: 9}}},
		{Name: "remove while loading", Latencies: map[string]quantiles{"removed to no access": {N: 3, P99: 9}}, Figures: map[string]float64{"organizations loaded": 6}},
	}}} {
		if rows := strings.Count(targetTable([]*result{r}), "\n"); rows != 2 {
			t.Errorf("of %s:\n%s", r.Shape, targetTable([]*result{r}))
		}
	}
}

// What rests on a phase whose first part is missing is not claimed.
func TestTargetsOfWhatWasCutShort(t *testing.T) {
	all, r := targetTable([]*result{example()}), example()
	r.CutShort = []string{"onboard"}
	var missing []string
	for row := range strings.Lines(all) {
		if !strings.Contains(targetTable([]*result{r}), row) {
			missing = append(missing, strings.Split(row, "|")[1])
		}
	}
	want := []string{
		" writes for each member, from creation to active with access ", " Events for each member, the same way ",
		" reads of single objects until everybody is active ",
		" onboarding, as a multiple of the floor (end state written by a plain client) ", " the same, of what the pipeline alone writes ",
		" 100 organizations of 10 members with a workspace each, ready ",
	}
	if diff := cmp.Diff(want, missing); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if text := report([]*result{r}); strings.Contains(text, "for each member |") {
		t.Errorf("requests for each member, of half of them:\n%s", text)
	}
}

func TestMemoryForEachMember(t *testing.T) {
	r := &result{Shape: "1000x10", Members: 10000, Phases: []measured{{Name: "idle", EndRSS: 50e6}, {Name: "steady", EndRSS: 90e6}}}
	if text := targetTable([]*result{r}); !strings.Contains(text, "| at most 4096 B | 4000 B | met |") {
		t.Error(text)
	}
}

func TestReport(t *testing.T) {
	text := report([]*result{example()})
	for _, want := range []string{
		"### 100 organizations of 10 members\n",
		"1000 members, 100 workspaces, 800 assignments; 2 cores for everything.\n",
		"| onboard | 1000 members | 5.0 s | 5.0 ms | 3,000 | 1,000 | 3.0 | 1 | 0 | 0 MB | 0 MB | 0 |\n", // leases are no writes
		"| remove at once: asked | 1 | 400 ms |  |  |\n",
		"| remove at once: removed to no access | 500 | 400 ms | 2.0 s | 2.0 s |\n",
		"| patch orgmembers/status | 2,000 | 1,000 | 3.00 |\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in:\n%s", want, text)
		}
	}
	if strings.Contains(text, "Cut short") {
		t.Error("nothing was cut short")
	}
}

func TestShapes(t *testing.T) {
	for size, want := range map[string]string{
		"small": "[100x10]", "medium": "[10x10 100x50]", "large": "[1000x20 2000x50]", "wide": "[1x100 1x1000 1x10000]", "10x10,2x5": "[10x10 2x5]",
	} {
		shapes, err := shapesOf(size)
		if got := fmt.Sprint(shapes); err != nil || got != want {
			t.Errorf("%s: %s (%v), not %s", size, got, err, want)
		}
	}
	for _, size := range []string{"", "tiny", "10", "x10", "0x10", "-1x10", "10x4", "10x10,", "10x10x10"} {
		if _, err := shapesOf(size); err == nil {
			t.Errorf("%q is a size", size)
		}
	}
	for _, shapes := range sizes {
		for _, s := range shapes {
			for _, phase := range s.without {
				if !knownPhase(phase) {
					t.Errorf("%s is without %q, which is no phase", s, phase)
				}
			}
		}
	}
}

func knownPhase(name string) bool {
	for _, p := range phases {
		if p.name == name {
			return true
		}
	}
	return false
}

// What is declared is as many as the shape says, once each; assignments lead plain members to workspaces that there are.
func TestDeclared(t *testing.T) {
	for _, s := range []shape{usual(2, 5, 0), usual(3, 50, 0), huge(2, 50), wide(100)} {
		kinds, seen := map[string]int{}, map[string]bool{}
		for _, o := range s.all("o") {
			roles, workspaces := map[string]v1alpha1.Role{}, map[v1alpha1.WorkspaceName]bool{}
			for _, object := range o.objects() {
				key := fmt.Sprintf("%T %s/%s", object, object.GetNamespace(), object.GetName())
				if seen[key] {
					t.Errorf("%s: %s twice", s, key)
				}
				seen[key] = true
				kinds[strings.TrimPrefix(fmt.Sprintf("%T", object), "*v1alpha1.")]++
				switch object := object.(type) {
				case *v1alpha1.OrgMember:
					roles[object.Name] = object.Spec.Role
				case *v1alpha1.Workspace:
					workspaces[v1alpha1.WorkspaceName(object.Name)] = true
				case *v1alpha1.WorkspaceAssignment:
					if role := roles[object.Spec.Member]; role == v1alpha1.RoleAdmin || role == "" || !workspaces[object.Spec.Workspaces[0]] {
						t.Errorf("%s: %s is %q in %v", s, object.Spec.Member, role, object.Spec.Workspaces)
					}
				}
			}
		}
		want := map[string]int{"*v1.Namespace": s.organizations, "Organization": s.organizations, "OrgMember": s.people(),
			"Workspace": s.organizations * s.workspaces, "WorkspaceAssignment": s.organizations * s.assignments}
		if diff := cmp.Diff(want, kinds); diff != "" {
			t.Errorf("%s\n-want +got:\n%s", s, diff)
		}
	}
}

// The people of a phase come from all organizations in turn.
func TestWorkers(t *testing.T) {
	s := usual(3, 7, time.Second)
	people := s.workers()
	if len(people) != 15 {
		t.Fatalf("%d people", len(people))
	}
	homes := map[string]int{}
	for _, p := range people[:6] {
		homes[p.home]++
	}
	if diff := cmp.Diff(map[string]int{"o00000": 2, "o00001": 2, "o00002": 2}, homes); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if diff := cmp.Diff(person{"o00001", "m00006", "m00006@o00001.example", "o00001--w0"}, people[1], cmp.AllowUnexported(person{})); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	b := &bench{shape: s}
	for _, c := range []struct{ skip, n, want int }{{0, 5, 5}, {12, 5, 3}, {15, 5, 0}, {500, 5, 0}} {
		if got := b.part(c.skip, c.n); len(got) != c.want {
			t.Errorf("%d after %d are %d, not %d", c.n, c.skip, len(got), c.want)
		}
	}
}
