package main

import (
	"slices"

	"github.com/go-logr/logr"
)

// lazySink keeps a logger's values until there is a line to log. Each reconcile gets a logger with seven values, which zap would write
// into three buffers of a kilobyte at once; and most reconciles log nothing.
type lazySink struct {
	logr.LogSink
	values []any
}

// lazily gives a logger that logs the same lines.
func lazily(log logr.Logger) logr.Logger {
	return logr.New(lazySink{LogSink: log.WithCallDepth(1).GetSink()})
}

// Init does nothing: the sink within is in use already.
func (lazySink) Init(logr.RuntimeInfo) {}

func (s lazySink) WithValues(values ...any) logr.LogSink {
	s.values = slices.Concat(s.values, values)
	return s
}

func (s lazySink) WithName(name string) logr.LogSink {
	s.LogSink = s.LogSink.WithName(name)
	return s
}

func (s lazySink) WithCallDepth(depth int) logr.LogSink {
	if sink, ok := s.LogSink.(logr.CallDepthLogSink); ok {
		s.LogSink = sink.WithCallDepth(depth)
	}
	return s
}

func (s lazySink) Info(level int, message string, values ...any) {
	s.LogSink.Info(level, message, slices.Concat(s.values, values)...)
}

func (s lazySink) Error(err error, message string, values ...any) {
	s.LogSink.Error(err, message, slices.Concat(s.values, values)...)
}
