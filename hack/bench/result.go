package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

// result is what is known of one shape.
type result struct {
	Shape         string     `json:"shape"`
	Organizations int        `json:"organizations"`
	Members       int        `json:"members"` // of all organizations
	Workspaces    int        `json:"workspaces"`
	Assignments   int        `json:"assignments"`
	Revision      string     `json:"revision,omitempty"` // of the benchmark's source
	Cores         int        `json:"cores"`
	Began         time.Time  `json:"began"`
	Phases        []measured `json:"phases"`
	// Begun is the phase that is being measured, or was when a run was cut short.
	Begun string `json:"begun,omitempty"`
	// CutShort are phases that were begun again: what the run before had done of them is missing from their times and counts.
	CutShort []string `json:"cutShort,omitempty"`
}

// measured is what one phase took.
type measured struct {
	Name string `json:"name"`
	// Unit is what Units counts: members, removals and so on.
	Unit  string `json:"unit"`
	Units int    `json:"units"`
	// Seconds are from the first request to the operator's last write.
	Seconds float64 `json:"seconds"`
	// Requests of the operator by verb and resource, from the API server's audit log.
	Requests map[string]int `json:"requests"`
	// Reconciles by controller and result.
	Reconciles map[string]float64 `json:"reconciles"`
	// CPUSeconds of each program.
	CPUSeconds map[string]float64 `json:"cpuSeconds"`
	// RSS of the operator, in bytes: the highest seen and the last.
	PeakRSS int64 `json:"peakRSS"`
	EndRSS  int64 `json:"endRSS"`
	// HeapBytes is what Go's heap of the operator holds at the end, garbage included.
	HeapBytes float64 `json:"heapBytes"`
	// QueueDepth is the highest number of objects seen waiting in the operator's queues, looked at once a second.
	QueueDepth float64 `json:"queueDepth"`
	// Latencies by what was waited for.
	Latencies map[string]quantiles `json:"latencies,omitempty"`
	// Figures are what else was measured.
	Figures map[string]float64 `json:"figures,omitempty"`
}

// quantiles of a number of times, in seconds.
type quantiles struct {
	N             int `json:"n"`
	P50, P99, Max float64
}

func quantilesOf(times []time.Duration) quantiles {
	if len(times) == 0 {
		return quantiles{}
	}
	sorted := slices.Sorted(slices.Values(times))
	at := func(q float64) float64 { return sorted[int(math.Ceil(q*float64(len(sorted))))-1].Seconds() }
	return quantiles{N: len(sorted), P50: at(.5), P99: at(.99), Max: at(1)}
}

// writes and reads are the operator's requests but for what keeps it the leader.
func (m measured) writes() (n int) {
	for key, count := range m.Requests {
		if verb, what, _ := strings.Cut(key, " "); isWrite(verb) && !isHousekeeping(what) {
			n += count
		}
	}
	return n
}

func (m measured) reads(verbs ...string) (n int) {
	for key, count := range m.Requests {
		if verb, what, _ := strings.Cut(key, " "); slices.Contains(verbs, verb) && !isHousekeeping(what) {
			n += count
		}
	}
	return n
}

// each is a number for each unit of the phase.
func (m measured) each(n float64) float64 {
	if m.Units == 0 {
		return 0
	}
	return n / float64(m.Units)
}

const resultFile = "result.json"

// openResult goes on with what an earlier run has measured.
func openResult(dir string, s shape) (*result, error) {
	r := &result{
		Shape: s.String(), Organizations: s.organizations, Members: s.people(),
		Workspaces: s.organizations * s.workspaces, Assignments: s.organizations * s.assignments,
		Cores: runtime.NumCPU(), Began: time.Now().UTC().Truncate(time.Second),
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, setting := range info.Settings {
			if setting.Key == "vcs.revision" {
				r.Revision = setting.Value
			}
		}
	}
	content, err := os.ReadFile(filepath.Join(dir, resultFile))
	if errors.Is(err, os.ErrNotExist) {
		return r, nil
	}
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(content, r); err != nil {
		return nil, fmt.Errorf("%s (remove the directory to begin anew): %w", dir, err)
	}
	return r, nil
}

func (r *result) phase(name string) *measured {
	for i := range r.Phases {
		if r.Phases[i].Name == name {
			return &r.Phases[i]
		}
	}
	return nil
}

// whole is a phase of which nothing is missing.
func (r *result) whole(name string) *measured {
	if slices.Contains(r.CutShort, name) {
		return nil
	}
	return r.phase(name)
}

func (r *result) done(name string) bool { return r.phase(name) != nil }

func (r *result) complete(s shape) bool {
	return !slices.ContainsFunc(phases, func(p phase) bool { return s.has(p.name) && !r.done(p.name) })
}

// begin notes which phase is being measured.
func (r *result) begin(dir, phase string) error {
	if r.Begun == phase && !slices.Contains(r.CutShort, phase) {
		r.CutShort = append(r.CutShort, phase)
	}
	r.Begun = phase
	return r.write(dir)
}

// add keeps what a phase took.
func (r *result) add(dir string, m measured) error {
	r.Begun = ""
	r.Phases = append(r.Phases, m)
	return r.write(dir)
}

func (r *result) write(dir string) error { return writeJSON(filepath.Join(dir, resultFile), r) }

func writeJSON(file string, v any) error {
	content, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	temp := file + ".new"
	if err := os.WriteFile(temp, append(content, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(temp, file)
}

// save writes the results and the report of a size beside each other.
func save(name string, results []*result, text string) error {
	if err := os.WriteFile(name+".md", []byte(text), 0o600); err != nil {
		return err
	}
	say("written: %s.md and %s.json", name, name)
	return writeJSON(name+".json", results)
}
