// Copyright The orgkeeper Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"
)

// process is a child that is kept running, with the same arguments, until stop.
type process struct {
	name, path string
	args       []string
	grace      time.Duration               // between asking it to stop and killing it
	prepare    func(context.Context) error // done before each start; may be nil
	say        func(format string, args ...any)

	logFile, pidFile string

	exits  atomic.Int32 // how often it ended although nobody stopped it
	cancel context.CancelFunc
	done   chan struct{}
}

// restartDelay lets a test kill a component and see it back at once, and keeps one that cannot start from spinning.
const restartDelay = 500 * time.Millisecond

// start begins to keep the process running. Its log begins anew; the log of the run before stays beside it.
func (p *process) start() error {
	if err := os.Rename(p.logFile, p.logFile+".previous"); err != nil && !os.IsNotExist(err) {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background()) // not the caller's: the order of stopping is ours
	p.cancel = cancel
	p.done = make(chan struct{})
	go p.keep(ctx)
	return nil
}

// stop asks the process to end, kills it when it takes longer than its grace, and returns when it is gone.
func (p *process) stop() {
	p.cancel()
	<-p.done
}

func (p *process) keep(ctx context.Context) {
	// The kernel ends a child when the thread that started it ends (see endWithParent): that thread stays with this
	// goroutine as long as there is a child.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(p.done)
	for {
		err := p.runOnce(ctx)
		if ctx.Err() != nil {
			return
		}
		p.exits.Add(1)
		p.say("%s ended (%v) and is started again; its log: %s", p.name, err, p.logFile)
		select {
		case <-ctx.Done():
			return
		case <-time.After(restartDelay):
		}
	}
}

func (p *process) runOnce(ctx context.Context) error {
	if p.prepare != nil {
		if err := p.prepare(ctx); err != nil {
			return err
		}
	}
	log, err := os.OpenFile(p.logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()

	cmd := exec.CommandContext(ctx, p.path, p.args...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = p.grace
	cmd.SysProcAttr = endWithParent()
	if err := cmd.Start(); err != nil {
		return err
	}
	defer func() { _ = os.Remove(p.pidFile) }()
	if err := writeFile(p.pidFile, []byte(strconv.Itoa(cmd.Process.Pid)+"\n")); err != nil {
		p.say("%v", err)
	}
	if err := cmd.Wait(); err != nil {
		return err
	}
	return errors.New("exit status 0")
}

// lastWords returns the end of the process's log, for an error message.
func (p *process) lastWords() string {
	content, err := os.ReadFile(p.logFile)
	if err != nil {
		return err.Error()
	}
	lines := bytes.Split(bytes.TrimSpace(content), []byte("\n"))
	return string(bytes.Join(lines[max(0, len(lines)-8):], []byte("\n")))
}

// failedToStart tells whether a process ended so often before it was of any use that waiting longer is pointless.
func (p *process) failedToStart() error {
	if p.exits.Load() < 4 {
		return nil
	}
	return fmt.Errorf("%s does not stay up; its log, %s, ends with:\n%s", p.name, filepath.Base(p.logFile), p.lastWords())
}
