package main

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/cache"

	"github.com/orgkeeper/orgkeeper/internal/guard"
)

// filled is a cache that is, or is not, filled.
type filled struct {
	cache.Cache
	yes bool
}

func (f filled) WaitForCacheSync(context.Context) bool { return f.yes }

// Neither policies that are not as shipped nor a mail server that is down make a replica unready: the page goes on. A line
// tells of each.
func TestReadyz(t *testing.T) {
	missing := guard.State{Differences: []guard.Difference{{Kind: guard.KindPolicy, Name: "orgkeeper-member", Missing: true, What: "is missing"}}}
	for _, c := range []struct {
		reason string
		filled bool
		state  guard.State
		err    error
		outage string
		code   int
		body   string
	}{
		{"all is well", true, guard.State{}, nil, "", http.StatusOK, "ok"},
		{"without a policy", true, missing, nil, "", http.StatusOK, "ok\npolicies: " + missing.Message() + "\n"},
		{"nobody knows", true, guard.State{}, errors.New("no cache"), "", http.StatusOK, "ok\npolicies: no cache\n"},
		{"no mail goes out", true, guard.State{}, nil, "mail server unavailable: connection refused", http.StatusOK, "ok\nmails: mail server unavailable: connection refused\n"},
		{"nothing is well", true, missing, nil, "down", http.StatusOK, "ok\npolicies: " + missing.Message() + "\n\nmails: down\n"},
		{"the page could not answer", false, missing, nil, "down", http.StatusInternalServerError, ""},
	} {
		handler := ops(filled{yes: c.filled}, func(context.Context) (guard.State, error) { return c.state, c.err }, func() string { return c.outage })
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/readyz", nil))
		if body := answer.Body.String(); answer.Code != c.code || (c.body != "" && body != c.body) || (c.body == "" && strings.Contains(body, "policies:")) {
			t.Errorf("%s: %d %q, want %d %q", c.reason, answer.Code, body, c.code, c.body)
		}
	}
}
