package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// usage is what a process has taken, as Linux tells.
type usage struct {
	pid        int
	cpuSeconds float64
	rssBytes   int64
}

// Linux counts CPU time in hundredths of a second (sysconf _SC_CLK_TCK, 100 on all its platforms).
const ticksPerSecond = 100

func usageOf(pid int) (usage, error) {
	u := usage{pid: pid}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return u, err
	}
	// The second field is the command in parentheses; utime and stime are the 14th and 15th, rss the 24th (proc_pid_stat(5)).
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 22 {
		return u, fmt.Errorf("/proc/%d/stat has %d fields", pid, len(fields)+2)
	}
	user, err1 := strconv.ParseFloat(fields[11], 64)
	system, err2 := strconv.ParseFloat(fields[12], 64)
	pages, err3 := strconv.ParseInt(fields[21], 10, 64)
	for _, err := range []error{err1, err2, err3} {
		if err != nil {
			return u, err
		}
	}
	u.cpuSeconds, u.rssBytes = (user+system)/ticksPerSecond, pages*int64(os.Getpagesize())
	return u, nil
}

// cpu is what each program has taken so far. A program that was started anew counts from nothing.
func (b *bench) cpu() map[string]usage {
	all := map[string]usage{}
	if u, err := usageOf(b.operator().cmd.Process.Pid); err == nil {
		all["orgkeeper"] = u
	}
	for _, name := range []string{"kube-apiserver", "etcd", "kube-controller-manager"} {
		content, err := os.ReadFile(filepath.Join(b.plane.Dir, "run", name+".pid"))
		if err != nil {
			continue
		}
		pid, err := strconv.Atoi(strings.TrimSpace(string(content)))
		if err != nil {
			continue
		}
		if u, err := usageOf(pid); err == nil {
			all[name] = u
		}
	}
	if u, err := usageOf(os.Getpid()); err == nil {
		all["bench"] = u
	}
	return all
}

// spent is the CPU time of each program between two moments, in seconds.
func spent(before, after map[string]usage) map[string]float64 {
	seconds := map[string]float64{}
	for name, u := range after {
		seconds[name] = u.cpuSeconds
		if b := before[name]; b.pid == u.pid {
			seconds[name] -= b.cpuSeconds
		}
	}
	return seconds
}
