package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

func TestUsage(t *testing.T) {
	before, err := usageOf(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	var after usage
	for began := time.Now(); after.cpuSeconds-before.cpuSeconds < .05; {
		if after, err = usageOf(os.Getpid()); err != nil {
			t.Fatal(err)
		}
		if time.Since(began) > time.Minute {
			t.Fatalf("a minute's work took %.2f seconds of CPU", after.cpuSeconds-before.cpuSeconds)
		}
	}
	if after.pid != os.Getpid() || after.rssBytes < 1e6 || after.rssBytes > 4e9 {
		t.Errorf("%+v", after)
	}
}

// A program may call itself anything.
func TestUsageOfAnOddName(t *testing.T) {
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		t.Fatal(err)
	}
	odd := filepath.Join(t.TempDir(), ") R 1 (2")
	if err := os.Symlink(sleep, odd); err != nil {
		t.Fatal(err)
	}
	cmd := &exec.Cmd{Path: odd, Args: []string{"sleep", "600"}}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	u, err := usageOf(cmd.Process.Pid)
	if err != nil || u.cpuSeconds > 10 || u.rssBytes > 1e9 {
		t.Errorf("%+v, %v", u, err)
	}
}

func TestUsageOfNobody(t *testing.T) {
	if u, err := usageOf(1 << 30); err == nil {
		t.Errorf("%+v", u)
	}
}
