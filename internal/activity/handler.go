package activity

import (
	"context"
	"errors"
	"mime"
	"net/http"
	"time"

	"github.com/go-logr/logr"
)

// Path is where batches are posted.
const Path = "/v1/audit"

const (
	// maxBatches is how many batches are read at once. With MaxBody it bounds the memory that senders may take.
	maxBatches = 8
	// patience bounds the look-up of members, which waits for the cache after a start.
	patience = 5 * time.Second
)

// Handler serves
//
//	POST /v1/audit   an EventList of audit.k8s.io/v1, as JSON
//
// and answers 204 once all of it counts. Else none of it does: 401 for strangers, 400 for what is no such list, 413 for
// what is too large, 415 for another type, 429 with Retry-After when too much comes at once, 503 with Retry-After when it
// cannot be judged now. Answers say nothing of what was sent.
//
// The same batch may come twice, as it does when an answer is lost: that changes nothing.
func Handler(c Config, t *Tracker, log logr.Logger) http.Handler {
	e := &endpoint{Config: c, tracker: t, log: log, turns: make(chan struct{}, maxBatches)}
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+Path, e.serve)
	mux.HandleFunc(Path, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
	})
	return mux
}

type endpoint struct {
	Config
	tracker *Tracker
	log     logr.Logger
	turns   chan struct{}
}

func (e *endpoint) serve(w http.ResponseWriter, r *http.Request) {
	err := e.take(w, r)
	code := codeOf(err)
	e.tracker.Metrics.answered(code)
	w.Header().Set("Cache-Control", "no-store")
	switch code {
	case http.StatusNoContent:
		w.WriteHeader(code)
		return
	case http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", "Bearer")
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", "1")
	}
	if code == http.StatusServiceUnavailable {
		e.log.Error(err, "Audit events cannot be taken")
		http.Error(w, "cannot be taken now", code)
		return
	}
	e.log.Info("Audit events refused", "status", code, "why", err.Error())
	http.Error(w, err.Error(), code)
}

var (
	errBusy = errors.New("too many batches at once")
	errType = errors.New("the body must be application/json, not compressed")
)

// take takes a batch, whole or not at all.
func (e *endpoint) take(w http.ResponseWriter, r *http.Request) error {
	if err := e.admit(r); err != nil {
		return err
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" || r.Header.Get("Content-Encoding") != "" {
		return errType
	}
	select {
	case e.turns <- struct{}{}:
		defer func() { <-e.turns }()
	default:
		return errBusy
	}
	b, err := decode(http.MaxBytesReader(w, r.Body, e.MaxBody), e.Impersonators)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	return e.tracker.take(ctx, b)
}

// codeOf is the status that an error is answered with.
func codeOf(err error) int {
	var tooLarge *http.MaxBytesError
	switch {
	case err == nil:
		return http.StatusNoContent
	case errors.Is(err, errStranger):
		return http.StatusUnauthorized
	case errors.Is(err, errType):
		return http.StatusUnsupportedMediaType
	case errors.Is(err, errBusy):
		return http.StatusTooManyRequests
	case errors.As(err, &tooLarge), errors.Is(err, errTooMany):
		return http.StatusRequestEntityTooLarge
	case errors.Is(err, errMalformed):
		return http.StatusBadRequest
	}
	return http.StatusServiceUnavailable
}
