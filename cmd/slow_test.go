package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/orgkeeper/orgkeeper/internal/invite"
	"github.com/orgkeeper/orgkeeper/internal/portal"
)

// pageServer is the page's server as it is, without the cluster.
func pageServer(t *testing.T) string {
	t.Helper()
	config := portal.Config{
		Verify: func(string) (invite.Claims, error) { return invite.Claims{UID: "u"}, nil }, Store: portal.ClusterStore{}, Now: time.Now,
	}
	server := serve("portal", "127.0.0.1:0", portal.Handler(config)).Server
	listener, err := net.Listen("tcp", server.Addr)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	t.Cleanup(func() {
		_ = server.Close()
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return listener.Addr().String()
}

// Clients that take their time, or send more than anybody needs, do not keep a connection.
func TestPageBoundsClients(t *testing.T) {
	for name, tc := range map[string]struct {
		reason string
		send   string
		status int // of the answer; 0: none
	}{
		"SlowHeader": {"who never ends the header is cut off", "GET / HTTP/1.1\r\nHost: x\r\n", 0},
		"SlowBody":   {"who never sends the body is told, and cut off", "POST /i/x/accept HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nx", http.StatusBadRequest},
		"Silent":     {"who says nothing is cut off", "", 0},
		"LargeHeader": {
			"a header beyond 16 KiB is refused", "GET / HTTP/1.1\r\nHost: x\r\nCookie: " + strings.Repeat("x", 32<<10) + "\r\n\r\n", http.StatusRequestHeaderFieldsTooLarge,
		},
		"LargeBody": {"nor is a body read to the end", "POST /i/x/accept HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n" + strings.Repeat("x", 8<<10), http.StatusRequestEntityTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn, err := net.Dial("tcp", pageServer(t))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil { // far more than it may take
				t.Fatal(err)
			}
			if _, err := io.WriteString(conn, tc.send); err != nil {
				t.Fatal(err)
			}
			answer := bufio.NewReader(conn)
			if tc.status != 0 {
				response, err := http.ReadResponse(answer, nil)
				if err != nil || response.StatusCode != tc.status {
					t.Fatalf("%s: %v, %v; want %d", tc.reason, response, err, tc.status)
				}
				_, _ = io.Copy(io.Discard, response.Body)
				_ = response.Body.Close()
			}
			// A reset ends it too; what must not happen is that our own deadline does.
			rest, err := io.ReadAll(answer)
			if len(rest) > 0 || errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%s: the connection goes on: %q, %v", tc.reason, rest, err)
			}
		})
	}
}

// net/http would answer OPTIONS * by itself, past our headers, limits and log.
func TestPageAnswersAll(t *testing.T) {
	conn, err := net.Dial("tcp", pageServer(t))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := fmt.Fprint(conn, "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusBadRequest || response.Header.Get("Content-Security-Policy") == "" {
		t.Errorf("%s: %v", response.Status, response.Header)
	}
}
