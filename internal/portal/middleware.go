package portal

import (
	"io"
	"net/http"
	"strings"
)

// secured sets what every answer needs, errors too.
func secured(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("Referrer-Policy", "no-referrer") // the address of the page is the link
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("X-Robots-Tag", "noindex, nofollow")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()")
		if r.TLS != nil {
			// Only where we serve TLS ourselves: else it is for the proxy that does to say. A year, this name alone.
			h.Set("Strict-Transport-Security", "max-age=31536000")
		}
		next.ServeHTTP(w, r)
	})
}

// logged counts each request and writes a line for it. It names the route, not the path: the path holds the token. It
// leaves out the client's address, which is personal data: limits work without it, and a proxy in front has it.
func (p *portal) logged(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := p.Now()
		rec := &recorder{ResponseWriter: w, code: http.StatusOK, outcome: other}
		next.ServeHTTP(rec, r)
		method := methodOf(r)
		p.Metrics.count(rec.outcome, method)
		p.Log.Info("Served portal request", "method", method, "route", route(r), "status", rec.code, "outcome", rec.outcome,
			"duration", p.Now().Sub(start).String())
	})
}

// route is the pattern that took the request, without its method; empty for what was answered before.
func route(r *http.Request) string {
	if _, path, ok := strings.Cut(r.Pattern, " "); ok {
		return path
	}
	return r.Pattern
}

// recorder keeps what went out: the status, and the page.
type recorder struct {
	http.ResponseWriter
	code    int
	outcome string
}

func (r *recorder) WriteHeader(code int) {
	r.code = code
	r.ResponseWriter.WriteHeader(code)
}

// Unwrap lets http.MaxBytesReader reach the connection, to close it on a sender that goes on.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// drain reads the body, in which nothing is expected, as far as maxBody.
func drain(w http.ResponseWriter, r *http.Request) error {
	_, err := io.Copy(io.Discard, http.MaxBytesReader(w, r.Body, maxBody))
	return err
}
