package activity

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
)

const (
	token    = "t0ken-of-the-api-server"
	newToken = "t0ken-of-next-month"
)

// signer is a certificate authority.
type signer struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newSigner(t testing.TB, name string) *signer {
	t.Helper()
	s := &signer{}
	template := template(name)
	template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign
	s.cert, s.key, s.pem, _ = sign(t, template, nil)
	return s
}

func template(name string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
}

func sign(t testing.TB, template *x509.Certificate, by *signer) (*x509.Certificate, *ecdsa.PrivateKey, []byte, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if by == nil {
		by = &signer{cert: template, key: key}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, by.cert, key.Public(), by.key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: private})
}

// pair signs a certificate, altered, for a client or for a server on 127.0.0.1, and gives it with its key as PEM.
func (s *signer) pair(t testing.TB, name string, alter ...func(*x509.Certificate)) (certificate, key []byte) {
	t.Helper()
	c := template(name)
	c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}
	c.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	for _, a := range alter {
		a(c)
	}
	_, _, certificate, key = sign(t, c, s)
	return certificate, key
}

func (s *signer) issue(t testing.TB, name string, alter ...func(*x509.Certificate)) *tls.Certificate {
	t.Helper()
	pair, err := tls.X509KeyPair(s.pair(t, name, alter...))
	if err != nil {
		t.Fatal(err)
	}
	return &pair
}

func file(t testing.TB, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// served is an endpoint over real HTTP.
type served struct {
	*office
	t         *testing.T
	authority *signer
	url       string
	tls       bool
}

// serve serves with TLS unless the configuration has no certificate ("-").
func serve(t *testing.T, c Config) *served {
	t.Helper()
	s := &served{office: newOffice(t, "jane@acme.example"), t: t, authority: newSigner(t, "servers"), tls: c.CertFile != "-"}
	s.clock.SetTime(at(t, done))
	metrics, err := NewMetrics(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	s.Metrics = metrics
	if c.MaxBody == 0 {
		c.MaxBody = 1 << 20
	}
	server := httptest.NewUnstartedServer(Handler(c, s.Tracker, logr.Discard()))
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // strangers' handshakes
	if s.tls {
		certificate := s.authority.issue(t, "orgkeeper")
		server.Listener = tls.NewListener(server.Listener, c.TLS(func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return certificate, nil }))
	}
	server.Start()
	t.Cleanup(server.Close)
	s.url = strings.Replace(server.URL, "http:", map[bool]string{true: "https:", false: "http:"}[s.tls], 1) + Path
	return s
}

// client shows a certificate, if it has one.
func (s *served) client(certificate *tls.Certificate) *http.Client {
	transport := s.authority.transport(certificate)
	s.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 20 * time.Second}
}

// transport trusts servers of an authority.
func (s *signer) transport(certificate *tls.Certificate) *http.Transport {
	pool := x509.NewCertPool()
	pool.AddCert(s.cert)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}
	if certificate != nil {
		// Whatever the server says it wants.
		transport.TLSClientConfig.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return certificate, nil }
	}
	return transport
}

// one is a batch of one event of jane's, in her home.
var one = eventList(auditEvent("objectRef.namespace", `"acme"`))

// post sends a batch with headers, which override the usual ones, and gives the status; 0 when TLS failed.
func (s *served) post(certificate *tls.Certificate, body string, headers ...string) int {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, s.url, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	answer, err := s.client(certificate).Do(r)
	if err != nil {
		// The server hangs up in a handshake; what the client gets to see of that depends on who is faster.
		return 0
	}
	defer answer.Body.Close()
	said, err := io.ReadAll(answer.Body)
	if err != nil || len(said) > 200 || strings.Contains(string(said), "jane") {
		s.t.Errorf("answer %d: %v %q", answer.StatusCode, err, said)
	}
	return answer.StatusCode
}

func TestStrangersAndFriends(t *testing.T) {
	friends, enemies := newSigner(t, "friends"), newSigner(t, "enemies")
	ca := file(t, "ca.crt", friends.pem)
	tokens := file(t, "tokens", []byte("\n"+token+"\r\n"+newToken+"\n"))
	byToken := Config{TokenFile: tokens}
	byCertificate := Config{ClientCAFile: ca}
	byName := Config{ClientCAFile: ca, ClientNames: []string{"api-server", "logs.example"}}
	byEither := Config{ClientCAFile: ca, TokenFile: tokens, ClientNames: []string{"api-server"}}
	plain := Config{TokenFile: tokens, CertFile: "-"}
	good, other := friends.issue(t, "api-server"), friends.issue(t, "kubelet")
	cases := map[string]struct {
		config      Config
		certificate *tls.Certificate
		headers     []string
		want        int
	}{
		"token":                     {byToken, nil, []string{"Authorization", "Bearer " + token}, 204},
		"second token":              {byToken, nil, []string{"Authorization", "Bearer " + newToken}, 204},
		"scheme in small letters":   {byToken, nil, []string{"Authorization", "bearer " + token}, 204},
		"over plain HTTP":           {plain, nil, []string{"Authorization", "Bearer " + token}, 204},
		"plain HTTP, no token":      {plain, nil, nil, 401},
		"no token":                  {byToken, nil, nil, 401},
		"wrong token":               {byToken, nil, []string{"Authorization", "Bearer " + token + "x"}, 401},
		"part of a token":           {byToken, nil, []string{"Authorization", "Bearer " + token[:len(token)-1]}, 401},
		"both tokens":               {byToken, nil, []string{"Authorization", "Bearer " + token + "\n" + newToken}, 0},
		"empty token":               {byToken, nil, []string{"Authorization", "Bearer "}, 401},
		"token alone":               {byToken, nil, []string{"Authorization", token}, 401},
		"token as a password":       {byToken, nil, []string{"Authorization", "Basic " + token}, 401},
		"certificate for a token":   {byToken, good, nil, 401},
		"certificate":               {byCertificate, good, nil, 204},
		"any name":                  {byCertificate, other, nil, 204},
		"no certificate":            {byCertificate, nil, nil, 0},
		"token for a certificate":   {byCertificate, nil, []string{"Authorization", "Bearer " + token}, 0},
		"another authority":         {byCertificate, enemies.issue(t, "api-server"), nil, 0},
		"expired":                   {byCertificate, friends.issue(t, "api-server", func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }), nil, 0},
		"a server's certificate":    {byCertificate, friends.issue(t, "api-server", func(c *x509.Certificate) { c.ExtKeyUsage = c.ExtKeyUsage[1:] }), nil, 0},
		"common name":               {byName, good, nil, 204},
		"DNS name":                  {byName, friends.issue(t, "shipper", func(c *x509.Certificate) { c.DNSNames = []string{"x.example", "logs.example"} }), nil, 204},
		"another name":              {byName, other, nil, 401},
		"the name, by another":      {byName, enemies.issue(t, "api-server"), nil, 0},
		"either: certificate":       {byEither, good, nil, 204},
		"either: token":             {byEither, nil, []string{"Authorization", "Bearer " + token}, 204},
		"either: token, wrong name": {byEither, other, []string{"Authorization", "Bearer " + token}, 204},
		"either: neither":           {byEither, nil, nil, 401},
		"either: wrong name":        {byEither, other, nil, 401},
		"either: stranger":          {byEither, enemies.issue(t, "api-server"), []string{"Authorization", "Bearer " + token}, 0},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := serve(t, c.config)
			if got := s.post(c.certificate, one, c.headers...); got != c.want {
				t.Errorf("got %d, want %d", got, c.want)
			}
			if kept := len(s.Tracker.members); kept != map[bool]int{true: 1}[c.want == 204] {
				t.Errorf("after %d, %d members are kept", c.want, kept)
			}
		})
	}
}

// A changed Secret needs no restart: new tokens and authorities are good at once, and those taken out are not.
func TestRotation(t *testing.T) {
	friends, later := newSigner(t, "friends"), newSigner(t, "later")
	ca, tokens := file(t, "ca.crt", friends.pem), file(t, "tokens", []byte(token))
	s := serve(t, Config{ClientCAFile: ca, TokenFile: tokens})
	check := func(when string, want ...int) {
		t.Helper()
		got := []int{
			s.post(nil, one, "Authorization", "Bearer "+token), s.post(nil, one, "Authorization", "Bearer "+newToken),
			s.post(friends.issue(t, "a"), one), s.post(later.issue(t, "a"), one),
		}
		for i := range got {
			if got[i] != want[i] {
				t.Errorf("%s: got %v, want %v", when, got, want)
				return
			}
		}
	}
	check("at first", 204, 401, 204, 0)
	write := func(path, content string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(tokens, token+"\n"+newToken)
	write(ca, string(friends.pem)+string(later.pem))
	check("while both are good", 204, 204, 204, 204)
	write(tokens, newToken)
	write(ca, string(later.pem))
	check("afterwards", 401, 204, 0, 204)
	write(tokens, "short")
	check("when the tokens are spoilt", 503, 503, 0, 204)
	if err := os.Remove(tokens); err != nil {
		t.Fatal(err)
	}
	check("when the tokens are gone", 503, 503, 0, 204)
	write(tokens, newToken)
	write(ca, "none")
	check("when the authorities are spoilt", 0, 0, 0, 0)
}

// Who was let in once has no ticket to come in by when their authority is trusted no more.
func TestNoResumption(t *testing.T) {
	friends, later := newSigner(t, "friends"), newSigner(t, "later")
	ca := file(t, "ca.crt", friends.pem)
	s := serve(t, Config{ClientCAFile: ca})
	tickets := tls.NewLRUClientSessionCache(0)
	post := func() (resumed bool, err error) {
		transport := s.authority.transport(friends.issue(t, "a"))
		transport.TLSClientConfig.ClientSessionCache = tickets
		defer transport.CloseIdleConnections()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url, strings.NewReader(one))
		if err != nil {
			t.Fatal(err)
		}
		answer, err := transport.RoundTrip(r)
		if err != nil {
			return false, err
		}
		defer answer.Body.Close()
		return answer.TLS.DidResume, nil
	}
	for range 2 {
		if resumed, err := post(); err != nil || resumed {
			t.Fatalf("resumed %t, %v", resumed, err)
		}
	}
	if err := os.WriteFile(ca, later.pem, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := post(); err == nil {
		t.Error("let in by an authority that is trusted no more")
	}
}

func TestAnswers(t *testing.T) {
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, _ = z.Write([]byte(one))
	_ = z.Close()
	padded := strings.TrimSpace(one)
	cases := map[string]struct {
		body    string
		headers []string
		want    int
	}{
		"a batch":               {one, nil, 204},
		"the same type, longer": {one, []string{"Content-Type", "application/json; charset=utf-8"}, 204},
		"as large as may be":    {padded + strings.Repeat(" ", 1<<20-len(padded)), nil, 204},
		"a byte larger":         {padded + strings.Repeat(" ", 1<<20-len(padded)+1), nil, 413},
		"a huge event":          {eventList(auditEvent("requestURI", `"`+strings.Repeat("x", 1<<20)+`"`)), nil, 413},
		"too many events":       {eventList(auditEvent("objectRef.namespace", `"acme"`), strings.TrimSuffix(strings.Repeat("{},", maxEvents), ",")), nil, 413},
		"malformed":             {one[:len(one)-3], nil, 400},
		"the last is malformed": {eventList(auditEvent("objectRef.namespace", `"acme"`), `{"stage":7}`), nil, 400},
		"empty":                 {"", nil, 400},
		"another type":          {one, []string{"Content-Type", "text/plain"}, 415},
		"no type":               {one, []string{"Content-Type", ""}, 415},
		"compressed":            {zipped.String(), []string{"Content-Encoding", "gzip"}, 415},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := serve(t, Config{TokenFile: file(t, "token", []byte(token))})
			if got := s.post(nil, c.body, append(c.headers, "Authorization", "Bearer "+token)...); got != c.want {
				t.Errorf("got %d, want %d", got, c.want)
			}
			taken := c.want == 204
			if kept := len(s.Tracker.members); (kept == 1) != taken {
				t.Errorf("after %d, %d members are kept", c.want, kept)
			}
			if got := testutil.ToFloat64(s.Metrics.events.WithLabelValues("counted")); (got == 1) != taken {
				t.Errorf("after %d, %v events are counted", c.want, got)
			}
			if got := testutil.ToFloat64(s.Metrics.batches.WithLabelValues(strconv.Itoa(c.want))); got != 1 {
				t.Errorf("%v batches are counted as %d", got, c.want)
			}
		})
	}
}

func TestOtherRequests(t *testing.T) {
	s := serve(t, Config{TokenFile: file(t, "token", []byte(token))})
	for request, want := range map[string]int{"GET " + Path: 405, "PUT " + Path: 405, "POST /": 404, "POST " + Path + "/x": 404, "GET /metrics": 404} {
		method, path, _ := strings.Cut(request, " ")
		r, err := http.NewRequestWithContext(t.Context(), method, strings.TrimSuffix(s.url, Path)+path, strings.NewReader(one))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+token)
		answer, err := s.client(nil).Do(r)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != want || want == 405 && answer.Header.Get("Allow") != "POST" {
			t.Errorf("%s: got %d, Allow %q, want %d", request, answer.StatusCode, answer.Header.Get("Allow"), want)
		}
	}
}

// While as many batches as may be are being read, one more is told to come again; strangers take nobody's turn.
func TestTurns(t *testing.T) {
	s := serve(t, Config{TokenFile: file(t, "token", []byte(token))})
	in, out := make(chan struct{}), make(chan struct{})
	find := s.Members
	s.Members = func(ctx context.Context, namespace, username string) ([]*v1alpha1.OrgMember, error) {
		in <- struct{}{}
		<-out
		return find(ctx, namespace, username)
	}
	codes := make(chan int)
	for range maxBatches {
		go func() { codes <- s.post(nil, one, "Authorization", "Bearer "+token) }()
		<-in
	}
	if got := s.post(nil, one, "Authorization", "Bearer "+token); got != http.StatusTooManyRequests {
		t.Errorf("one more: got %d, want 429", got)
	}
	if got := s.post(nil, one); got != http.StatusUnauthorized {
		t.Errorf("a stranger: got %d, want 401", got)
	}
	close(out)
	for range maxBatches {
		if got := <-codes; got != http.StatusNoContent {
			t.Errorf("got %d, want 204", got)
		}
	}
	go func() { <-in }()
	if got := s.post(nil, one, "Authorization", "Bearer "+token); got != http.StatusNoContent {
		t.Errorf("afterwards: got %d, want 204", got)
	}
}

// When members cannot be looked up, the sender is asked to come again.
func TestCacheIsAway(t *testing.T) {
	s := serve(t, Config{TokenFile: file(t, "token", []byte(token))})
	s.Members = func(context.Context, string, string) ([]*v1alpha1.OrgMember, error) {
		return nil, errors.New("not synced")
	}
	if got := s.post(nil, one, "Authorization", "Bearer "+token); got != http.StatusServiceUnavailable {
		t.Errorf("got %d, want 503", got)
	}
}

// What is logged of a refusal says nothing of what was sent.
func TestLogsTellNothing(t *testing.T) {
	var lines strings.Builder
	logger := funcr.New(func(prefix, args string) { lines.WriteString(prefix + args + "\n") }, funcr.Options{})
	o := newOffice(t)
	h := Handler(Config{TokenFile: file(t, "token", []byte(token)), MaxBody: 1 << 20}, o.Tracker, logger)
	for _, body := range []string{`{"jane@acme.example":`, `{"kind":"jane@acme.example"}`, eventList(`{"user":"jane@acme.example"}`)} {
		for _, given := range []string{token, "secret-of-another"} {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, Path, strings.NewReader(body))
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set("Authorization", "Bearer "+given)
			h.ServeHTTP(httptest.NewRecorder(), r)
		}
	}
	if got := strings.Count(lines.String(), "Audit events refused"); got != 6 {
		t.Errorf("%d lines of 6", got)
	}
	for _, secret := range []string{"jane", token, "secret-of-another", "192.0.2.1"} {
		if strings.Contains(lines.String(), secret) {
			t.Errorf("the log tells %s:\n%s", secret, lines.String())
		}
	}
}
