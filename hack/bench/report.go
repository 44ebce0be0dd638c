package main

import (
	"fmt"
	"slices"
	"strings"
)

// report is the results as Markdown: what each phase took, what people waited for, and the targets.
func report(results []*result) string {
	var b strings.Builder
	for _, r := range results {
		fmt.Fprintf(&b, "### %d organizations of %d members\n\n", r.Organizations, r.Members/r.Organizations)
		fmt.Fprintf(&b, "%d members, %d workspaces, %d assignments; %d cores for everything.\n\n",
			r.Members, r.Workspaces, r.Assignments, r.Cores)
		if len(r.CutShort) > 0 {
			fmt.Fprintf(&b, "Cut short and begun again, so that the part before is missing: %s.\n\n", strings.Join(r.CutShort, ", "))
		}
		b.WriteString(phaseTable(r) + "\n" + latencyTable(r) + "\n" + requestTable(r) + "\n")
	}
	b.WriteString("### Targets\n\n" + targetTable(results))
	return b.String()
}

// table renders rows, the first of which is the head. The first column is words, the others are numbers.
func table(rows [][]string) string {
	var b strings.Builder
	for i, row := range rows {
		fmt.Fprintf(&b, "| %s |\n", strings.Join(row, " | "))
		if i == 0 {
			fmt.Fprintf(&b, "|---|%s\n", strings.Repeat("--:|", len(row)-1))
		}
	}
	return b.String()
}

func phaseTable(r *result) string {
	rows := [][]string{{"phase", "of", "took", "each", "writes", "Events", "each", "reads", "CPU", "peak RSS", "RSS after", "queue"}}
	for _, m := range r.Phases {
		told := m.Requests["create events"] + m.Requests["patch events"]
		of := "-"
		if m.Units > 0 {
			of = fmt.Sprintf("%d %s", m.Units, m.Unit)
		}
		rows = append(rows, []string{
			m.Name, of, duration(m.Seconds), duration(m.each(m.Seconds)),
			number(m.writes()), number(told), fmt.Sprintf("%.1f", m.each(float64(m.writes()))), number(m.reads("get", "list")),
			duration(m.CPUSeconds["orgkeeper"]), megabytes(m.PeakRSS), megabytes(m.EndRSS), number(int(m.QueueDepth)),
		})
	}
	return table(rows)
}

func latencyTable(r *result) string {
	rows := [][]string{{"waited for", "times", "p50", "p99", "max"}}
	for _, m := range r.Phases {
		for _, what := range sortedKeys(m.Latencies) {
			q := m.Latencies[what]
			if q.N == 0 {
				continue
			}
			rows = append(rows, []string{m.Name + ": " + what, number(q.N), duration(q.P50), duration(q.P99), duration(q.Max)})
		}
		for _, what := range sortedKeys(m.Figures) {
			if name, seconds := strings.CutSuffix(what, " after seconds"); seconds {
				rows = append(rows, []string{m.Name + ": " + name, "1", duration(m.Figures[what]), "", ""})
			}
		}
	}
	return table(rows)
}

// requestTable is what the operator asks of the API server until everybody is active, for each member.
func requestTable(r *result) string {
	onboard, accept := r.whole("onboard"), r.whole("accept")
	if onboard == nil || accept == nil {
		return ""
	}
	sums := map[string]int{}
	for _, m := range []*measured{onboard, accept} {
		for what, n := range m.Requests {
			sums[what] += n
		}
	}
	rows := [][]string{{"request", "onboard", "accept", "for each member"}}
	for _, what := range sortedKeys(sums) {
		rows = append(rows, []string{what, number(onboard.Requests[what]), number(accept.Requests[what]),
			fmt.Sprintf("%.2f", float64(sums[what])/float64(r.Members))})
	}
	return table(rows)
}

func targetTable(results []*result) string {
	rows := [][]string{{"claim", "organizations x members", "target", "measured", ""}}
	for _, c := range claims {
		for _, r := range results {
			value, known := c.measure(r)
			if !known {
				continue
			}
			verdict := "met"
			if value > c.limit {
				verdict = "**missed**"
			}
			rows = append(rows, []string{c.name, r.Shape, "at most " + c.show(c.limit), c.show(value), verdict})
		}
	}
	return table(rows)
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

func number(n int) string {
	digits := fmt.Sprint(n)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

func duration(seconds float64) string {
	switch {
	case seconds == 0:
		return "0"
	case seconds < 0.1:
		return fmt.Sprintf("%.1f ms", seconds*1000)
	case seconds < 1:
		return fmt.Sprintf("%.0f ms", seconds*1000)
	case seconds < 100:
		return fmt.Sprintf("%.1f s", seconds)
	}
	return fmt.Sprintf("%.0f s", seconds)
}

func megabytes(bytes int64) string { return fmt.Sprintf("%d MB", bytes/1e6) }
