package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"flag"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	clocktesting "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/certwatcher"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/orgkeeper/orgkeeper/internal/invite"
	"github.com/orgkeeper/orgkeeper/internal/portal"
)

// certificate writes a new self-signed certificate for 127.0.0.1 and returns a pool that trusts it.
func certificate(t *testing.T, certFile, keyFile string, serial int64) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "portal"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	for file, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool.AddCert(parsed)
	return pool
}

// A renewed certificate is served without a restart, HSTS goes with it, and old versions of TLS are refused.
func TestPageOverTLS(t *testing.T) {
	dir := t.TempDir()
	o := options{portalAddress: "127.0.0.1:0", portalCert: filepath.Join(dir, "tls.crt"), portalKey: filepath.Join(dir, "tls.key")}
	config := portal.Config{
		Verify: func(string) (invite.Claims, error) { return invite.Claims{}, invite.ErrInvalid },
		Store:  portal.ClusterStore{}, Now: time.Now,
	}
	if _, err := invitationPage(o, config, prometheus.NewRegistry()); err == nil || !strings.Contains(err.Error(), "--portal-tls-cert-file") {
		t.Fatalf("without files: %v", err)
	}
	old := certificate(t, o.portalCert, o.portalKey, 1)
	runnables, err := invitationPage(o, config, prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, len(runnables))
	for _, r := range runnables {
		if le, ok := r.(manager.LeaderElectionRunnable); !ok || le.NeedLeaderElection() {
			t.Errorf("%T waits for the leader's lease; every replica serves", r)
		}
		if w, ok := r.(*certwatcher.CertWatcher); ok {
			w.WithWatchInterval(20 * time.Millisecond)
		}
		go func() { done <- r.Start(ctx) }()
	}
	t.Cleanup(func() {
		cancel()
		for range runnables {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	})
	address := runnables[0].(*manager.Server).Listener.Addr().String()
	get := func(pool *x509.CertPool, version uint16) (*http.Response, error) {
		transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MaxVersion: version}, DisableKeepAlives: true}
		response, err := (&http.Client{Transport: transport}).Get("https://" + address + "/i/x")
		if err == nil {
			_, _ = io.Copy(io.Discard, response.Body)
			_ = response.Body.Close()
		}
		return response, err
	}
	response, err := get(old, 0)
	if err != nil || response.StatusCode != http.StatusNotFound || response.Header.Get("Strict-Transport-Security") == "" {
		t.Fatalf("%v, %v", response, err)
	}
	if _, err := get(old, tls.VersionTLS11); err == nil {
		t.Error("TLS 1.1 is served")
	}
	if _, err := get(old, tls.VersionTLS12); err != nil {
		t.Errorf("TLS 1.2: %v", err)
	}
	renewed := certificate(t, o.portalCert, o.portalKey, 2)
	deadline := time.After(20 * time.Second)
	for {
		if _, err = get(renewed, 0); err == nil {
			break
		}
		select {
		case <-deadline:
			t.Fatalf("the renewed certificate is not served: %v", err)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// What net/http says of a client is logged without the address.
func TestComplaintsNameNobody(t *testing.T) {
	for line, want := range map[string]string{
		"http: TLS handshake error from 192.0.2.1:4711: EOF\n":            "http: TLS handshake error from a client: EOF",
		"http: TLS handshake error from [2001:db8::1]:4711: EOF":          "http: TLS handshake error from a client: EOF",
		"http: TLS handshake error from [fe80::1%eth0]:4711: i/o timeout": "http: TLS handshake error from a client: i/o timeout",
		"http: panic serving 192.0.2.1:1: boom\ngoroutine 1":              "http: panic serving a client: boom",
	} {
		var out bytes.Buffer
		log := funcr.New(func(_, args string) { out.WriteString(args) }, funcr.Options{})
		if n, err := (complaints{log}).Write([]byte(line)); n != len(line) || err != nil {
			t.Errorf("%d, %v", n, err)
		}
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q became %s, want %q", line, out.String(), want)
		}
	}
}

func TestTrustedProxies(t *testing.T) {
	for _, tc := range []struct {
		reason string
		args   []string
		want   []string
		err    string
	}{
		{"networks and addresses", []string{"-portal-trusted-proxies=10.0.0.0/8, fd00::/8,192.0.2.7"}, []string{"10.0.0.0/8", "fd00::/8", "192.0.2.7/32"}, ""},
		{"given twice", []string{"-portal-trusted-proxies=10.0.0.0/8", "-portal-trusted-proxies=2001:db8::1"}, []string{"10.0.0.0/8", "2001:db8::1/128"}, ""},
		{"an address in the network", []string{"-portal-trusted-proxies=10.1.2.3/8"}, []string{"10.0.0.0/8"}, ""},
		{"a name", []string{"-portal-trusted-proxies=ingress.example"}, nil, `"ingress.example" is neither`},
		{"nothing", []string{"-portal-trusted-proxies="}, nil, `"" is neither`},
	} {
		var o options
		fs := flag.NewFlagSet("orgkeeper", flag.ContinueOnError)
		fs.SetOutput(io.Discard)
		o.bind(fs)
		err := fs.Parse(tc.args)
		if (err == nil) != (tc.err == "") || (err != nil && !strings.Contains(err.Error(), tc.err)) {
			t.Errorf("%s: %v, want %q", tc.reason, err, tc.err)
		}
		var got []string
		for _, p := range o.trustedProxies {
			got = append(got, p.String())
		}
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s: -want +got:\n%s", tc.reason, diff)
		}
		if len(o.trustedProxies) == 0 && tc.err == "" || o.portalLimits == (portal.Limits{}) {
			t.Errorf("%s: %v, limits %+v", tc.reason, o.trustedProxies, o.portalLimits)
		}
	}
}

// A reload that fails is said once, not at each look, and again when it fails anew or otherwise.
func TestReloader(t *testing.T) {
	var lines []string
	log := funcr.New(func(_, args string) { lines = append(lines, args) }, funcr.Options{})
	ctx, cancel := context.WithCancel(ctrl.LoggerInto(t.Context(), log))
	clock := clocktesting.NewFakeClock(time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC))
	broken, other := errors.New("no key"), errors.New("short key")
	outcomes := []error{nil, broken, broken, broken, other, nil, broken}
	looks := make(chan bool)
	i := 0
	r := reloader{name: "keys", clock: clock, reload: func() (bool, error) {
		defer func() { looks <- true }()
		i++
		return i == 1, outcomes[i-1]
	}}
	if r.NeedLeaderElection() {
		t.Error("every replica verifies links")
	}
	done := make(chan error, 1)
	go func() { done <- r.Start(ctx) }()
	for range outcomes {
		for !clock.HasWaiters() {
			<-time.After(time.Millisecond)
		}
		clock.Step(reloadEvery)
		<-looks
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	all := strings.Join(lines, "\n")
	for want, times := range map[string]int{"Files were read again": 1, "no key": 2, "short key": 1, `"files"="keys"`: 4} {
		if got := strings.Count(all, want); got != times {
			t.Errorf("%s is said %d times, want %d:\n%s", want, got, times, all)
		}
	}
}
