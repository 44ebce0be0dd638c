package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"sync"
	"time"
)

// audit counts the operator's requests in the API server's audit log. That log is written before a request is answered, so
// none is missing.
type audit struct {
	path string
	done chan struct{}

	mu        sync.Mutex
	file      *os.File
	lines     *bufio.Reader
	part      []byte         // of a line that is not whole yet
	requests  map[string]int // by "verb resource/subresource"
	lastWrite time.Time
	err       error
}

// followAudit counts from now on.
func followAudit(path string) (*audit, error) {
	a := &audit{path: path, done: make(chan struct{}), requests: map[string]int{}}
	if err := a.open(); err != nil {
		return nil, err
	}
	if _, err := a.file.Seek(0, io.SeekEnd); err != nil {
		return nil, err
	}
	go func() {
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-a.done:
				return
			case <-tick.C:
			}
			a.mu.Lock()
			a.read()
			a.mu.Unlock()
		}
	}()
	return a, nil
}

// close ends the counting.
func (a *audit) close() {
	close(a.done)
	a.mu.Lock()
	defer a.mu.Unlock()
	_ = a.file.Close()
	a.err = errors.New("the audit log is no longer followed")
}

func (a *audit) open() (err error) {
	if a.file, err = os.Open(a.path); err != nil {
		return fmt.Errorf("follow the audit log: %w", err)
	}
	a.lines = bufio.NewReaderSize(a.file, 1<<20)
	return nil
}

// counted returns the number of requests of each sort up to now, and when the operator last wrote.
func (a *audit) counted() (map[string]int, time.Time, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.read()
	return maps.Clone(a.requests), a.lastWrite, a.err
}

// read takes what was written since, going on to the next file when the API server has begun one.
func (a *audit) read() {
	for a.err == nil {
		a.err = a.readFile()
		if a.err != nil || !a.replaced() {
			return
		}
		if a.err = a.readFile(); a.err == nil { // what came before it was replaced
			_ = a.file.Close()
			a.err = a.open()
		}
	}
}

func (a *audit) replaced() bool {
	ours, err1 := a.file.Stat()
	current, err2 := os.Stat(a.path)
	return err1 == nil && err2 == nil && !os.SameFile(ours, current)
}

func (a *audit) readFile() error {
	for {
		line, err := a.lines.ReadBytes('\n')
		a.part = append(a.part, line...)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		err = a.note(a.part)
		a.part = a.part[:0]
		if err != nil {
			return err
		}
	}
}

// event is as much of an audit.k8s.io/v1 Event as is counted.
type event struct {
	Stage, Verb string
	ObjectRef   struct{ Resource, Subresource string }
	RequestURI  string
	// StageTimestamp is when the answer was complete.
	StageTimestamp time.Time
}

func (a *audit) note(line []byte) error {
	var e event
	if err := json.Unmarshal(line, &e); err != nil {
		return fmt.Errorf("audit log: %w", err)
	}
	watch := e.Verb == "watch"
	if watch != (e.Stage == "ResponseStarted") { // a watch counts when it begins, everything else when it is done
		return nil
	}
	what := e.ObjectRef.Resource
	if what == "" {
		what = e.RequestURI
	}
	if e.ObjectRef.Subresource != "" {
		what += "/" + e.ObjectRef.Subresource
	}
	a.requests[e.Verb+" "+what]++
	if isWrite(e.Verb) && !isHousekeeping(what) {
		a.lastWrite = e.StageTimestamp
	}
	return nil
}

func isWrite(verb string) bool {
	switch verb {
	case "create", "update", "patch", "delete", "deletecollection":
		return true
	}
	return false
}

// isHousekeeping says what every operator does to stay the leader.
func isHousekeeping(what string) bool { return what == "leases" }

// minus are the counts since.
func minus(after, before map[string]int) map[string]int {
	since := map[string]int{}
	for key, n := range after {
		if d := n - before[key]; d != 0 {
			since[key] = d
		}
	}
	return since
}
