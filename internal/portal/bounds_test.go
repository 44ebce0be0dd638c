package portal_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"

	"github.com/orgkeeper/orgkeeper/internal/invite"
	"github.com/orgkeeper/orgkeeper/internal/portal"
)

func TestBodyIsBounded(t *testing.T) {
	for size, code := range map[int]int{0: 200, 4096: 200, 4097: 413, 1 << 20: 413} {
		s := &store{inv: open}
		h, token := handler(t, s, logr.Discard())
		r := httptest.NewRequest(http.MethodPost, "/i/"+token+"/accept", strings.NewReader(strings.Repeat("x", size)))
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != code || (len(s.calls) == 1) != (code == 200) {
			t.Errorf("%d bytes: status %d and calls %v, want %d", size, w.Code, s.calls, code)
		}
	}
	t.Run("Broken", func(t *testing.T) {
		s := &store{inv: open}
		h, token := handler(t, s, logr.Discard())
		r := httptest.NewRequest(http.MethodPost, "/i/"+token+"/accept", io.MultiReader(strings.NewReader("x"), broken{}))
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != 400 || len(s.calls) != 0 {
			t.Errorf("status %d and calls %v, want 400 and none", w.Code, s.calls)
		}
	})
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errors.New("cut off") }

// stuck waits for an API server that says nothing, for as long as it is let.
type stuck struct{}

func (stuck) Invitation(ctx context.Context, _ invite.Claims) (portal.Invitation, error) {
	<-ctx.Done()
	return portal.Invitation{}, ctx.Err()
}
func (s stuck) Accept(ctx context.Context, c invite.Claims) (portal.Invitation, error) {
	return s.Invitation(ctx, c)
}
func (s stuck) Decline(ctx context.Context, c invite.Claims) (portal.Invitation, error) {
	return s.Invitation(ctx, c)
}

// Who waits for an API server that hangs is told to try again, and before the server cuts the connection.
func TestTimeIsBounded(t *testing.T) {
	for _, what := range []string{"GET ", "POST /accept", "POST /decline"} {
		synctest.Test(t, func(t *testing.T) {
			h, token := handler(t, stuck{}, logr.Discard())
			start := time.Now()
			method, rest, _ := strings.Cut(what, " ")
			got := do(h, method, "/i/"+token+rest)
			if got.StatusCode != http.StatusServiceUnavailable || !strings.Contains(text(t, got), "try again") {
				t.Errorf("%s: status %d", what, got.StatusCode)
			}
			// 20 seconds until the answer must be out, of which a slow body may take 10.
			if took := time.Since(start); took > 9*time.Second {
				t.Errorf("%s: it took %s", what, took)
			}
		})
	}
}
