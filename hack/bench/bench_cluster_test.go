package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// The smallest shape goes through its phases, the second half in a run that goes on with the first, and leaves a result of each. It is
// without those that wait for a lease or for namespaces to go.
func TestBench(t *testing.T) {
	o := options{dir: t.TempDir(), operator: filepath.Join("..", "..", "bin", "orgkeeper"), limit: 3 * time.Minute}
	if _, err := os.Stat(o.operator); err != nil {
		t.Fatal("no operator to measure: run make build first (make test does):", err)
	}
	whole := usual(2, 5, time.Second)
	whole.without = []string{"remove while loading", "restart by a crash", "offboard"}
	first := whole
	for _, p := range phases[4:] {
		first.without = append(first.without, p.name)
	}
	began := time.Now()
	half, err := measure(t.Context(), o, first)
	if err != nil {
		t.Fatal(err)
	}
	loadsAgain(t, o, first)
	if _, err := measure(t.Context(), o, whole); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(filepath.Join(o.dir, "2x5", resultFile))
	if err != nil {
		t.Fatal(err)
	}
	var r result
	if err := json.Unmarshal(content, &r); err != nil {
		t.Fatal(err)
	}
	t.Logf("all phases in %s:\n%s", time.Since(began).Round(time.Second), report([]*result{&r}))

	var names, measured []string
	for _, p := range phases {
		if whole.has(p.name) {
			names = append(names, p.name)
		}
	}
	for _, m := range r.Phases {
		measured = append(measured, m.Name)
		// Of what the phase is about, the operator has done something, and used its CPU.
		if m.Seconds <= 0 || m.CPUSeconds["kube-apiserver"] <= 0 {
			t.Errorf("%s: %+v", m.Name, m)
		}
	}
	if diff := cmp.Diff(names, measured); diff != "" || r.Begun != "" || r.CutShort != nil {
		t.Errorf("begun %q, cut short %v\n-want +got:\n%s", r.Begun, r.CutShort, diff)
	}
	if diff := cmp.Diff(half.Phases, r.Phases[:len(half.Phases)], cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("the second run changed what the first had measured\n-want +got:\n%s", diff)
	}
	waited := func(phase, what string, n int) {
		t.Helper()
		if q := r.phase(phase).Latencies[what]; q.N != n || q.P50 <= 0 || q.Max > o.limit.Seconds() {
			t.Errorf("%s: %s: %+v, not of %d", phase, what, q, n)
		}
	}
	waited("onboard", "member declared to mail received", 8) // owners are not asked
	waited("accept", "click to the page's answer", 8)
	waited("accept", "click to access", 6)
	waited("change", "moved to access in the other workspace", 6)
	waited("remove one by one", "removed to no access", 6)
	for _, phase := range []string{"onboard", "accept", "change", "remove one by one"} {
		if m := r.phase(phase); m.writes() < m.Units {
			t.Errorf("%s: %d writes for %d %s: %v", phase, m.writes(), m.Units, m.Unit, m.Requests)
		}
	}
	if creates := r.phase("onboard").Requests["create namespaces"]; creates != 2 {
		t.Errorf("%d namespaces were created for 2 workspaces", creates)
	}
	if f := r.phase("steady").Figures; f["writes"] != 0 {
		t.Errorf("writes while nothing changed: %v", f)
	}
	if left, err := filepath.Glob(filepath.Join(o.dir, "2x5", "run", "*.pid")); err != nil || slices.ContainsFunc(left, running) {
		t.Errorf("still running: %v, %v", left, err)
	}
}

// loadsAgain loads what was loaded, as after a run that was cut short meanwhile, and leaves the result as it was.
func loadsAgain(t *testing.T, o options, s shape) {
	t.Helper()
	file := filepath.Join(o.dir, s.String(), resultFile)
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var r result
	if err := json.Unmarshal(content, &r); err != nil {
		t.Fatal(err)
	}
	r.Phases = r.Phases[:1]
	if cut, err := json.Marshal(r); err != nil || os.WriteFile(file, cut, 0o600) != nil {
		t.Fatal("the result cannot be cut short:", err)
	}
	for _, p := range phases[2:] {
		s.without = append(s.without, p.name)
	}
	if _, err := measure(t.Context(), o, s); err != nil {
		t.Error("load again:", err)
	}
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// running says whether the process of a file is there.
func running(file string) bool {
	content, err := os.ReadFile(file)
	if err != nil {
		return false
	}
	var pid int
	if json.Unmarshal(content, &pid) != nil {
		return true
	}
	_, err = usageOf(pid)
	return err == nil
}
