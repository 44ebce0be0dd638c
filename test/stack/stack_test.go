// Copyright The orgkeeper Authors.
// SPDX-License-Identifier: Apache-2.0

// Package stack tests orgkeeper as people meet it: the operator's real binary as a process, beside a real control plane,
// a mail server and a browser. What one package can tell about itself is tested there; here is what only the whole shows:
// the main job from one end to the other (TestMainJob), and bad luck at any moment of it (TestBadLuck, TestKills).
package stack

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jhillyerd/enmime/v2"
	"github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
)

const (
	binary = "../../bin/orgkeeper"

	// soon is for what takes a moment on an idle machine; these tests share two cores with others.
	soon = 30 * time.Second
	// long is for what waits for a start, a lease or a namespace to go.
	long = 2 * time.Minute
)

func TestMain(m *testing.M) {
	if _, err := os.Stat(binary); err != nil {
		fmt.Fprintln(os.Stderr, "no operator to test: run make build first (make test does):", err)
		os.Exit(1)
	}
	ctrl.SetLogger(zap.New(zap.WriteTo(os.Stderr))) // of the tests' own clients
	os.Exit(m.Run())
}

// eventually fails the test unless try succeeds in time; try's last error says why.
func eventually(t testing.TB, within time.Duration, what string, try func() error) {
	t.Helper()
	gomega.NewWithT(t).Eventually(try).WithTimeout(within).WithPolling(50*time.Millisecond).Should(gomega.Succeed(), what)
}

// check fails the test on an error.
func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func scheme() *runtime.Scheme {
	s := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(s), v1alpha1.AddToScheme(s)); err != nil {
		panic(err) // two registrations that differ: a fault of the program
	}
	return s
}

func newClient(t testing.TB, config *rest.Config) client.WithWatch {
	t.Helper()
	c, err := client.NewWithWatch(config, client.Options{Scheme: scheme()})
	check(t, err)
	return c
}

// letter is a mail as its recipient has it.
type letter struct {
	to, id, date string
	kind         string // as its Message-ID says: <uid>.<serial>.<kind>@<domain>
	link         string // of invitations and reminders alone
	text         string
	raw          string
}

var portalLink = regexp.MustCompile(`https?://[^\s<>"]+/i/[A-Za-z0-9_-]+`)

// openLetter reads a mail as a mail reader does. An invitation must have one link of the portal, in text and HTML alike; mails
// with nothing to answer have none.
func openLetter(raw string) (letter, error) {
	envelope, err := enmime.ReadEnvelope(strings.NewReader(raw))
	if err != nil {
		return letter{}, err
	}
	for _, fault := range envelope.Errors {
		return letter{}, fmt.Errorf("malformed mail: %w", fault)
	}
	l := letter{id: envelope.GetHeader("Message-ID"), date: envelope.GetHeader("Date"), text: envelope.Text, raw: raw}
	left, _, _ := strings.Cut(l.id, "@")
	l.kind = left[strings.LastIndex(left, ".")+1:]
	links := portalLink.FindAllString(envelope.Text+"\n"+envelope.HTML, -1)
	switch asks, all := l.kind == "invitation" || l.kind == "reminder", slices.Compact(slices.Clone(links)); {
	case asks && (len(links) < 2 || len(all) != 1):
		return letter{}, fmt.Errorf("want one link, in text and HTML, got %q", links)
	case asks:
		l.link = all[0]
	case len(links) > 0:
		return letter{}, fmt.Errorf("a mail of kind %s has the links %q", l.kind, links)
	}
	to, err := envelope.AddressList("To")
	if err != nil || len(to) != 1 {
		return letter{}, fmt.Errorf("want one recipient, got %v, %w", to, err)
	}
	l.to = to[0].Address
	return l, nil
}

// token is the secret part of a link.
func token(link string) string { return link[strings.LastIndex(link, "/")+1:] }

// portal is a web client that follows no redirect and keeps no connection.
var portal = &http.Client{
	Timeout:       10 * time.Second,
	Transport:     &http.Transport{DisableKeepAlives: true},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// answer is what the portal said.
type answer struct {
	code   int
	header http.Header
	title  string
	body   string
}

var title = regexp.MustCompile(`<title>([^<]*)</title>`)

// visit calls an address of the portal.
func visit(method, url string, headers ...string) (answer, error) {
	req, err := http.NewRequest(method, url, nil)
	if err != nil {
		return answer{}, err
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := portal.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	var body strings.Builder
	if _, err := io.Copy(&body, resp.Body); err != nil {
		return answer{}, err
	}
	a := answer{code: resp.StatusCode, header: resp.Header, body: body.String()}
	if found := title.FindStringSubmatch(a.body); found != nil {
		a.title = found[1]
	}
	return a, nil
}

// want fails unless the portal answers with this code and a title that contains this text.
func want(t testing.TB, method, url string, code int, text string, headers ...string) answer {
	t.Helper()
	a, err := visit(method, url, headers...)
	check(t, err)
	if a.code != code || !strings.Contains(a.title, text) {
		t.Errorf("%s: got %d %q, want %d %q", method, a.code, a.title, code, text)
	}
	return a
}

// subjects tells whom the RoleBindings of orgkeeper in some namespaces name: "namespace/binding" to sorted users.
func subjects(bindings []rbacv1.RoleBinding, namespaces ...string) map[string][]string {
	named := map[string][]string{}
	for i := range bindings {
		b := &bindings[i]
		if !slices.Contains(namespaces, b.Namespace) || !strings.HasPrefix(b.Name, "orgkeeper:") {
			continue
		}
		var users []string
		for _, s := range b.Subjects {
			users = append(users, s.Name)
		}
		slices.Sort(users)
		named[b.Namespace+"/"+b.Name] = users
	}
	return named
}

// claimAddress gives an address on 127.0.0.1 that nothing uses, and keeps it from everybody who asks in the same way
// (hack/devcluster does) until the test ends: a process that is killed and started again finds it free.
func claimAddress(t testing.TB) string {
	t.Helper()
	for range 200 {
		address := fmt.Sprintf("127.0.0.1:%d", 20000+rand.IntN(12000))
		mark, err := net.ListenPacket("udp", address)
		if err != nil {
			continue
		}
		l, err := net.Listen("tcp", address)
		if err != nil {
			_ = mark.Close()
			continue
		}
		t.Cleanup(func() { _ = mark.Close() })
		check(t, l.Close())
		return address
	}
	t.Fatal("no free port")
	return ""
}

// discreet fails if the operator's logs hold any of the secrets or a sign that it panicked.
func discreet(t testing.TB, files, secrets []string) {
	t.Helper()
	if len(files) == 0 {
		t.Fatal("no logs to look at")
	}
	lines, errs := 0, map[string]int{}
	secrets = slices.Compact(slices.Sorted(slices.Values(secrets)))
	for _, file := range files {
		content, err := os.ReadFile(file)
		check(t, err)
		for line := range strings.Lines(string(content)) {
			lines++
			line = strings.TrimSpace(line)
			for _, sign := range []string{"panic", "goroutine ", `"stacktrace"`, "DATA RACE"} {
				if strings.Contains(line, sign) {
					t.Errorf("%s: %s", filepath.Base(file), line)
				}
			}
			for _, secret := range secrets {
				if strings.Contains(line, secret) {
					t.Errorf("%s tells %s: %s", filepath.Base(file), secret, line)
				}
			}
			var entry struct{ Level, Logger, Msg string }
			if err := json.Unmarshal([]byte(line), &entry); err != nil && strings.HasPrefix(line, "{") {
				t.Errorf("%s: not JSON: %s", filepath.Base(file), line)
			}
			if entry.Level == "error" {
				errs[entry.Logger+": "+entry.Msg]++
			}
		}
	}
	t.Logf("%d lines in %d logs, none of which tells one of %d addresses and tokens; errors: %v", lines, len(files), len(secrets), errs)
}

// exists says whether an object is there.
func exists(t testing.TB, c client.Client, obj client.Object) bool {
	t.Helper()
	err := c.Get(t.Context(), client.ObjectKeyFromObject(obj), obj)
	check(t, client.IgnoreNotFound(err))
	return err == nil
}

func namespace(name string) *corev1.Namespace {
	n := &corev1.Namespace{}
	n.Name = name
	return n
}

// isTrue finds a condition with status True.
func isTrue(kind string) func(metav1.Condition) bool {
	return func(c metav1.Condition) bool { return c.Type == kind && c.Status == metav1.ConditionTrue }
}
