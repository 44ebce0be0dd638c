// Command bench measures what orgkeeper costs, on a real control plane: it loads organizations as a pipeline would, lets
// people accept as people do, changes and removes them, restarts the operator, and writes down what each phase took.
//
// It never passes or fails by a time. What went wrong otherwise (an object that is not Ready, access that stays) ends it
// with an error. Each phase's result is kept in the size's directory at once: a run that was cut short goes on after the
// last phase it finished.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

func main() {
	var o options
	flag.StringVar(&o.size, "size", "small", "small, medium, large or wide, or shapes such as 10x10,100x50: organizations x members")
	flag.StringVar(&o.dir, "dir", ".bench", "directory of data, logs and results; a later run goes on with it")
	flag.StringVar(&o.operator, "operator", "bin/orgkeeper", "the operator's binary")
	flag.DurationVar(&o.steady, "steady", 0, "how long nothing changes in phase steady; default: 15s in size small, 5m in most others")
	flag.DurationVar(&o.limit, "phase-timeout", 2*time.Hour, "longest time for one phase")
	flag.StringVar(&o.flags, "operator-flags", "", "more flags for the operator, separated by blanks")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// options are the command's flags.
type options struct {
	size, dir, operator, flags string
	steady, limit              time.Duration
}

// run measures each shape of a size on a control plane of its own, and reports on all.
func run(ctx context.Context, o options) error {
	shapes, err := shapesOf(o.size)
	if err != nil {
		return err
	}
	var results []*result
	for _, s := range shapes {
		if o.steady > 0 {
			s.steady = o.steady
		}
		r, err := measure(ctx, o, s)
		if err != nil {
			return fmt.Errorf("%s: %w", s, err)
		}
		results = append(results, r)
	}
	text := report(results)
	fmt.Print(text)
	return save(filepath.Join(o.dir, strings.ReplaceAll(o.size, ",", "+")), results, text)
}

// measure runs the phases of one shape that are not on record yet.
func measure(ctx context.Context, o options, s shape) (*result, error) {
	dir, err := filepath.Abs(filepath.Join(o.dir, s.String()))
	if err != nil {
		return nil, err
	}
	r, err := openResult(dir, s)
	if err != nil {
		return nil, err
	}
	if r.complete(s) {
		say("%s: measured on %s at revision %s; remove %s to measure anew", s, r.Began.Format(time.DateTime), r.Revision, dir)
		return r, nil
	}
	b, err := start(ctx, o, s, dir)
	if err != nil {
		return nil, err
	}
	defer b.stop()
	for _, p := range phases {
		if r.done(p.name) || !s.has(p.name) {
			continue
		}
		say("%s: %s", s, p.name)
		if err := r.begin(dir, p.name); err != nil {
			return nil, err
		}
		measured, err := b.phase(ctx, o.limit, p)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.name, err)
		}
		if err := r.add(dir, measured); err != nil {
			return nil, err
		}
	}
	return r, nil
}

func say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, time.Now().Format("15:04:05 ")+format+"\n", args...)
}
