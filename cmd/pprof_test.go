package main

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Profiles tell what is in the memory, to whoever asks.
func TestProfilesAreOfThisMachineAlone(t *testing.T) {
	for address, accepted := range map[string]bool{
		"":                          true, // off
		"127.0.0.1:6060":            true,
		"127.8.8.8:6060":            true,
		"[::1]:6060":                true,
		"[::ffff:127.0.0.1]:6060":   true,
		":6060":                     false, // all addresses
		"0.0.0.0:6060":              false,
		"[::]:6060":                 false,
		"10.0.0.1:6060":             false,
		"[::ffff:10.0.0.1]:6060":    false,
		"localhost:6060":            false, // whatever that resolves to
		"127.0.0.1.example.com:606": false,
		"127.0.0.1":                 false,
		"0":                         false,
		"127.0.0.1:http":            false,
	} {
		_, err := parsed(t, t.TempDir(), "--pprof-bind-address="+address)
		if (err == nil) != accepted {
			t.Errorf("--pprof-bind-address=%s: %v", address, err)
		}
		if err != nil && (!strings.Contains(err.Error(), "--pprof-bind-address") || strings.Contains(err.Error(), "\n")) {
			t.Errorf("--pprof-bind-address=%s: the error is not about that alone: %v", address, err)
		}
	}
}

// The flag reaches the manager, which takes the address first of all: no API server answers more here than what it asks before.
func TestProfilesAreServed(t *testing.T) {
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(map[string]string{
			"/api":                               `{"kind": "APIVersions", "versions": ["v1"]}`,
			"/apis":                              `{"kind": "APIGroupList", "apiVersion": "v1", "groups": [{"name": "rbac.authorization.k8s.io", "versions": [{"groupVersion": "rbac.authorization.k8s.io/v1", "version": "v1"}]}]}`,
			"/apis/rbac.authorization.k8s.io/v1": `{"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "rbac.authorization.k8s.io/v1", "resources": [{"name": "rolebindings", "namespaced": true, "kind": "RoleBinding", "verbs": ["list"]}]}`,
		}[r.URL.Path]))
	}))
	defer api.Close()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	dir := t.TempDir()
	kubeconfig := filepath.Join(dir, "kubeconfig")
	if err := os.WriteFile(kubeconfig, fmt.Appendf(nil, `{"apiVersion": "v1", "kind": "Config", "current-context": "a",
		"contexts": [{"name": "a", "context": {"cluster": "a"}}], "clusters": [{"name": "a", "cluster": {"server": %q}}]}`, api.URL), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("KUBECONFIG", kubeconfig)
	o, err := parsed(t, dir, "--pprof-bind-address="+taken.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if err := run(t.Context(), *o); err == nil || !strings.Contains(err.Error(), taken.Addr().String()) {
		t.Errorf("want that %s is taken, got %v", taken.Addr(), err)
	}
}
