// Copyright The orgkeeper Authors.
// SPDX-License-Identifier: Apache-2.0

package stack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
)

// TestMainJob is the tour of the README, on what "make run" starts: declare, invite, accept, work, remove, take down.
func TestMainJob(t *testing.T) {
	s := makeRun(t)
	s.admin = s.client(t)

	s.showsTheSamples(t)
	s.explainsItself(t)
	links := s.sendsThreeInvitations(t)
	s.opensTheLink(t, links["mia"])
	s.givesAccess(t, links["mia"])
	s.acceptsInTheBrowser(t)
	s.takesAccess(t)
	s.appliesAgain(t)
	s.keepsAddressesToItself(t)
	s.takesDown(t)

	s.tellsNothing(t, links)
	s.stops(t)
}

// devstack is what "make run" runs, in a directory and on ports of its own.
type devstack struct {
	dir    string
	cmd    *exec.Cmd
	output string
	exited chan struct{}
	exit   error
	ports  map[string]int
	admin  client.Client
}

// makeRun starts it and waits until it says that it is ready. The operator has the flags of "make run", and these.
func makeRun(t *testing.T, flags ...string) *devstack {
	dir := t.TempDir()
	s := &devstack{dir: filepath.Join(dir, "dev"), output: filepath.Join(dir, "output"), exited: make(chan struct{})}
	output, err := os.Create(s.output)
	check(t, err)
	defer func() { _ = output.Close() }()
	operator := "bin/orgkeeper"
	if len(flags) > 0 {
		operator = filepath.Join(dir, "orgkeeper")
		script := "#!/bin/sh\nexec bin/orgkeeper \"$@\" " + strings.Join(flags, " ") + "\n"
		check(t, os.WriteFile(operator, []byte(script), 0o700))
	}
	// As the Makefile has it, but for where.
	s.cmd = exec.Command("bin/devcluster", "run", "--dir", s.dir, "--free-ports", "--until-stdin-closes",
		"--operator", operator, "--config", "config/default", "--samples", "config/samples")
	s.cmd.Dir = "../.."
	s.cmd.Stdout, s.cmd.Stderr = output, output
	stdin, err := s.cmd.StdinPipe()
	check(t, err)
	began := time.Now()
	check(t, s.cmd.Start())
	go func() {
		s.exit = s.cmd.Wait()
		close(s.exited)
	}()
	t.Cleanup(func() {
		_ = stdin.Close()
		<-s.exited
		if t.Failed() {
			for _, file := range []string{s.output, filepath.Join(s.dir, "log", "orgkeeper.log")} {
				content, _ := os.ReadFile(file)
				t.Logf("%s:\n%s", filepath.Base(file), content)
			}
		}
	})
	eventually(t, 2*long, "ready", func() error {
		select {
		case <-s.exited:
			return errors.New("devcluster ended")
		default:
		}
		_, err := os.Stat(filepath.Join(s.dir, "ready"))
		return err
	})
	t.Logf("ready after %.1f s", time.Since(began).Seconds())
	eventually(t, soon, "the last line", func() error {
		if said, _ := os.ReadFile(s.output); !strings.HasSuffix(string(said), "\norgkeeper is ready\n") {
			return fmt.Errorf("devcluster said:\n%s", said)
		}
		return nil
	})
	content, err := os.ReadFile(filepath.Join(s.dir, "ports.json"))
	check(t, err)
	check(t, json.Unmarshal(content, &s.ports))
	return s
}

func (s *devstack) client(t *testing.T) client.Client {
	config, err := clientcmd.BuildConfigFromFlags("", filepath.Join(s.dir, "kubeconfig"))
	check(t, err)
	config.QPS = -1
	return newClient(t, config)
}

func (s *devstack) url(port, path string) string {
	return fmt.Sprintf("http://127.0.0.1:%d%s", s.ports[port], path)
}

// try runs kubectl in the repository's root, as somebody does who follows the README.
func (s *devstack) try(ctx context.Context, args ...string) (stdout string, err error) {
	cmd := exec.CommandContext(ctx, "bin/kubectl", args...)
	cmd.Dir = "../.."
	cmd.Env = []string{"KUBECONFIG=" + filepath.Join(s.dir, "kubeconfig"), "HOME=" + s.dir}
	var complaint strings.Builder
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(complaint.String()))
	}
	return string(out), err
}

// kubectl must succeed.
func (s *devstack) kubectl(t *testing.T, args ...string) string {
	t.Helper()
	out, err := s.try(t.Context(), args...)
	check(t, err)
	return out
}

// can is what "kubectl auth can-i" says. It fails, too, when it says no.
func (s *devstack) can(t *testing.T, answer, user, namespace string, what ...string) {
	t.Helper()
	out, err := s.try(t.Context(), append([]string{"auth", "can-i", "--as", user, "-n", namespace}, what...)...)
	if strings.TrimSpace(out) != answer {
		t.Errorf("can %s %s in %s: %q, %v; want %s", user, strings.Join(what, " "), namespace, out, err, answer)
	}
}

// allowed asks the API server the same without starting a program, to measure.
func (s *devstack) allowed(ctx context.Context, user, namespace string) (bool, error) {
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User: user, Groups: []string{"system:authenticated"},
		ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: "create", Group: "apps", Resource: "deployments", Namespace: namespace},
	}}
	err := s.admin.Create(ctx, review)
	return review.Status.Allowed, err
}

func (s *devstack) member(t *testing.T, name string) *v1alpha1.OrgMember {
	t.Helper()
	m := &v1alpha1.OrgMember{}
	check(t, s.admin.Get(t.Context(), client.ObjectKey{Namespace: "acme", Name: name}, m))
	return m
}

// letters are the mails that lie in the inbox's folder.
func (s *devstack) letters(t *testing.T) map[string][]letter {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(s.dir, "mail", "*.eml"))
	check(t, err)
	letters := map[string][]letter{}
	for _, file := range files {
		content, err := os.ReadFile(file)
		check(t, err)
		got, err := openLetter(string(content))
		check(t, err)
		letters[got.to] = append(letters[got.to], got)
	}
	return letters
}

func (s *devstack) showsTheSamples(t *testing.T) {
	shown := s.kubectl(t, "get", "org,om,ws,wsa", "-n", "acme")
	t.Logf("$ kubectl get org,om,ws,wsa -n acme\n%s", shown)
	t.Logf("$ kubectl get om -n acme -o wide\n%s", s.kubectl(t, "get", "om", "-n", "acme", "-o", "wide"))
	for _, row := range []struct{ name, row string }{
		{"organization.orgkeeper.dev/acme", "jane 5 3 True"},
		{"orgmember.orgkeeper.dev/jane", "jane@acme.example Admin Active True"},
		{"orgmember.orgkeeper.dev/joe", "joe@acme.example UserAdmin Pending True"},
		{"orgmember.orgkeeper.dev/bill", "bill@acme.example BillingAdmin Pending True"},
		{"orgmember.orgkeeper.dev/mia", "mia@acme.example Member Pending True"},
		{"orgmember.orgkeeper.dev/ci", "Member Active True"},
		{"workspace.orgkeeper.dev/web", "1 0 1 Delete True"},
		{"workspace.orgkeeper.dev/api", "1 0 1 Delete True"},
		{"workspaceassignment.orgkeeper.dev/mia", "mia Edit false True"},
		{"workspaceassignment.orgkeeper.dev/ci", "ci View true True"},
	} {
		found := ""
		for line := range strings.Lines(shown) {
			if fields := strings.Fields(line); len(fields) > 0 && fields[0] == row.name {
				found = strings.Join(fields[1:len(fields)-1], " ") // without the age
			}
		}
		if found != row.row {
			t.Errorf("%s: %q, want %q", row.name, found, row.row)
		}
	}
	for path, text := range map[string]string{"/healthz": "ok", "/readyz": "ok", "/metrics": `orgkeeper_members{state="Pending"} 3`} {
		if a, err := visit(http.MethodGet, s.url("metrics", path)); err != nil || a.code != http.StatusOK || !strings.Contains(a.body, text) {
			t.Errorf("GET %s: %d, %v; want 200 with %s", path, a.code, err, text)
		}
	}
}

func (s *devstack) explainsItself(t *testing.T) {
	if got := strings.Count(s.kubectl(t, "get", "orgkeeper", "-n", "acme", "-o", "name"), "\n"); got != 10 {
		t.Errorf("kubectl get orgkeeper: %d objects, want 10", got)
	}
	for kind, words := range map[string][]string{
		"organization.spec":        {"OrgMember who owns the organization"},
		"orgmember.spec":           {"email is where the invitation goes", "At most 254 characters"},
		"workspace.spec":           {"deletionPolicy says what becomes of the namespace"},
		"workspaceassignment.spec": {"workspaces are the names of 1 to 10 Workspaces"},
	} {
		said := strings.Join(strings.Fields(s.kubectl(t, "explain", kind)), " ")
		for _, w := range words {
			if !strings.Contains(said, w) {
				t.Errorf("kubectl explain %s does not say %q:\n%s", kind, w, said)
			}
		}
		if strings.Contains(said, "<no description>") || strings.Contains(said, "<empty>") {
			t.Errorf("kubectl explain %s leaves something unexplained:\n%s", kind, said)
		}
	}
}

// sendsThreeInvitations returns the links by the member's name.
func (s *devstack) sendsThreeInvitations(t *testing.T) map[string]string {
	letters := s.letters(t)
	links := map[string]string{}
	for to, all := range letters {
		name, _, _ := strings.Cut(to, "@")
		links[name] = all[0].link
		if len(all) != 1 {
			t.Errorf("%d mails to %s, want 1", len(all), to)
		}
		if !strings.HasPrefix(all[0].link, s.url("portal", "/i/")) {
			t.Errorf("the link to %s leads to %s, not to the portal", to, all[0].link)
		}
	}
	if len(links) != 3 || links["mia"] == "" || links["joe"] == "" || links["bill"] == "" {
		t.Fatalf("mails to %v, want mia, joe and bill", links)
	}
	t.Logf("the mail to mia:\n%s", letters["mia@acme.example"][0].text)
	return links
}

// opensTheLink as scanners do and people: nothing changes.
func (s *devstack) opensTheLink(t *testing.T, link string) {
	before := s.member(t, "mia")
	for range 20 {
		want(t, http.MethodGet, link, http.StatusOK, "Invitation to Acme S.p.A.")
		want(t, http.MethodHead, link, http.StatusOK, "")
	}
	if diff := cmp.Diff(before, s.member(t, "mia")); diff != "" {
		t.Errorf("looking at the page changed the member:\n%s", diff)
	}
	s.can(t, "no", "mia@acme.example", "acme--web", "create", "deployments")
}

func (s *devstack) givesAccess(t *testing.T, link string) {
	began := time.Now()
	page := want(t, http.MethodPost, link+"/accept", http.StatusOK, "Welcome to Acme S.p.A.")
	posted := time.Since(began)
	eventually(t, soon, "access of mia", func() error {
		if ok, err := s.allowed(t.Context(), "mia@acme.example", "acme--web"); !ok || err != nil {
			return fmt.Errorf("not yet: %w", err)
		}
		return nil
	})
	took := time.Since(began)
	t.Logf("POST answered after %d ms, access after %d ms", posted.Milliseconds(), took.Milliseconds())
	if took > time.Second {
		t.Errorf("access came after %s, want a second", took)
	}
	s.can(t, "yes", "mia@acme.example", "acme--web", "create", "deployments")
	s.can(t, "no", "mia@acme.example", "acme--api", "create", "deployments")
	s.can(t, "yes", "jane@acme.example", "acme--api", "create", "deployments")
	s.can(t, "no", "jane@acme.example", "acme--api", "create", "rolebindings")
	if strings.Contains(page.body, "mia@") {
		t.Error("the page shows the address to whoever has the link")
	}
	eventually(t, soon, "mia Active", func() error {
		m := s.member(t, "mia")
		if m.Status.State != v1alpha1.StateActive || !slices.ContainsFunc(m.Status.Conditions, isTrue(v1alpha1.ConditionAccepted)) {
			return fmt.Errorf("%+v", m.Status)
		}
		return nil
	})
	eventually(t, soon, "the Event of the answer", func() error {
		if out := s.kubectl(t, "get", "events", "-n", "acme", "--field-selector=reason=Accepted,involvedObject.name=mia", "-o", "name"); strings.Count(out, "\n") != 1 {
			return fmt.Errorf("%q", out)
		}
		return nil
	})
	t.Logf("$ kubectl get om mia -n acme\n%s", s.kubectl(t, "get", "om", "mia", "-n", "acme"))
}

// acceptsInTheBrowser: joe reads his mail in the inbox page and accepts with the mouse. Before, he is refused.
func (s *devstack) acceptsInTheBrowser(t *testing.T) {
	if out, err := s.try(t.Context(), "get", "om", "-n", "acme", "--as", "joe@acme.example"); err == nil || !strings.Contains(err.Error(), "Forbidden") {
		t.Errorf("joe, Pending, was not refused: %s, %v", out, err)
	}
	browse(t, s.url("inbox", "/"), "joe@acme.example")
	eventually(t, soon, "joe to list the members", func() error {
		out, err := s.try(t.Context(), "get", "om", "-n", "acme", "--as", "joe@acme.example")
		if err != nil {
			return err
		}
		t.Logf("$ kubectl get om -n acme --as joe@acme.example\n%s", out)
		return nil
	})
	eventually(t, soon, "joe Active", func() error {
		if state := s.member(t, "joe").Status.State; state != v1alpha1.StateActive {
			return fmt.Errorf("%s", state)
		}
		return nil
	})
}

func (s *devstack) takesAccess(t *testing.T) {
	began := time.Now()
	t.Logf("$ kubectl delete om mia -n acme\n%s", s.kubectl(t, "delete", "om", "mia", "-n", "acme"))
	t.Logf("kubectl delete om returned after %d ms", time.Since(began).Milliseconds())
	// By now, not eventually: the object goes last.
	s.can(t, "no", "mia@acme.example", "acme--web", "create", "deployments")
	if bindings := s.kubectl(t, "get", "rolebindings,clusterrolebindings", "-A", "-o", "json"); strings.Contains(bindings, "mia") {
		t.Errorf("a binding still names mia:\n%s", bindings)
	}
	if _, err := s.try(t.Context(), "get", "om", "mia", "-n", "acme"); err == nil || !strings.Contains(err.Error(), "NotFound") {
		t.Errorf("mia is still there: %v", err)
	}
}

// appliesAgain brings back mia alone. Nobody else notices.
func (s *devstack) appliesAgain(t *testing.T) {
	before := s.generations(t)
	said := s.kubectl(t, "apply", "--server-side", "-f", "config/samples/")
	t.Logf("$ kubectl apply --server-side -f config/samples/\n%s", said)
	eventually(t, soon, "a new invitation to mia", func() error {
		kinds, links := map[string]int{}, map[string]bool{}
		for _, l := range s.letters(t)["mia@acme.example"] {
			kinds[l.kind]++
			links[l.link] = true
		}
		// She had joined, so she was told of the end, without a link.
		if diff := cmp.Diff(map[string]int{"invitation": 2, "membership-ended": 1}, kinds); diff != "" || len(links) != 3 {
			return fmt.Errorf("%d links in mails to mia: -want +got:\n%s", len(links), diff)
		}
		return nil
	})
	eventually(t, soon, "everything Ready", func() error {
		_, err := s.try(t.Context(), "wait", "org,om,ws,wsa", "--all", "-n", "acme", "--for=condition=Ready", "--timeout=0")
		return err
	})
	if m := s.member(t, "mia"); m.Status.State != v1alpha1.StatePending {
		t.Errorf("mia, invited anew, is %s", m.Status.State)
	}
	s.can(t, "no", "mia@acme.example", "acme--web", "create", "deployments")
	after := s.generations(t)
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("generations changed:\n%s", diff)
	}
	for to, all := range s.letters(t) {
		if to != "mia@acme.example" && len(all) != 1 {
			t.Errorf("%d mails to %s, who did not change", len(all), to)
		}
	}
}

// generations of everything that was not created anew.
func (s *devstack) generations(t *testing.T) map[string]string {
	t.Helper()
	list := s.kubectl(t, "get", "org,om,ws,wsa", "-n", "acme",
		"-o", `jsonpath={range .items[*]}{.kind}/{.metadata.name} {.metadata.generation} {.metadata.uid}{"\n"}{end}`)
	generations := map[string]string{}
	for line := range strings.Lines(list) {
		name, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		if name != "OrgMember/mia" {
			generations[name] = rest
		}
	}
	return generations
}

func (s *devstack) takesDown(t *testing.T) {
	s.kubectl(t, "patch", "ws", "api", "-n", "acme", "--type=merge", "-p", `{"spec":{"deletionPolicy":"Retain"}}`)
	began := time.Now()
	t.Logf("$ kubectl delete ns acme\n%s", s.kubectl(t, "delete", "ns", "acme", "--timeout=2m"))
	t.Logf("kubectl delete ns returned after %d ms", time.Since(began).Milliseconds())
	eventually(t, long, "acme--web to go", func() error {
		if exists(t, s.admin, namespace("acme--web")) {
			return errors.New("it is still there")
		}
		return nil
	})
	kept := &corev1.Namespace{}
	check(t, s.admin.Get(t.Context(), client.ObjectKey{Name: "acme--api"}, kept))
	if kept.DeletionTimestamp != nil || strings.Contains(fmt.Sprint(kept.Labels, kept.Annotations), "orgkeeper") {
		t.Errorf("acme--api is to stay and be nobody's: %+v", kept.ObjectMeta)
	}
	var bindings rbacv1.RoleBindingList
	check(t, s.admin.List(t.Context(), &bindings))
	for _, b := range bindings.Items {
		if strings.HasPrefix(b.Namespace, "acme") {
			t.Errorf("RoleBinding %s/%s is left", b.Namespace, b.Name)
		}
	}
	if err := s.admin.Get(t.Context(), client.ObjectKey{Name: "acme"}, &corev1.Namespace{}); !apierrors.IsNotFound(err) {
		t.Errorf("acme is still there: %v", err)
	}
}

// keepsAddressesToItself: events, conditions and metrics are read by more people than the members are.
func (s *devstack) keepsAddressesToItself(t *testing.T) {
	metrics, err := visit(http.MethodGet, s.url("metrics", "/metrics"))
	check(t, err)
	if !strings.Contains(metrics.body, `orgkeeper_mails_total{kind="invitation",result="sent"}`) || strings.Contains(metrics.body, "@") || strings.Contains(metrics.body, "/i/") {
		t.Errorf("metrics say:\n%s", metrics.body)
	}
	said := s.kubectl(t, "get", "events.v1.events.k8s.io", "-A", "-o", "jsonpath={.items[*].note}") +
		s.kubectl(t, "get", "org,om,ws,wsa", "-n", "acme", "-o", "jsonpath={.items[*].status.conditions[*].message}")
	if !strings.Contains(said, "the mail server took the invitation") || strings.Contains(said, "@") || strings.Contains(said, "/i/") {
		t.Errorf("events and conditions say:\n%s", said)
	}
}

// tellsNothing: no address and no token is in a log.
func (s *devstack) tellsNothing(t *testing.T, links map[string]string) {
	secrets := []string{"jane@acme", "joe@acme", "bill@acme", "mia@acme"}
	for _, link := range links {
		secrets = append(secrets, token(link))
	}
	for _, all := range s.letters(t) {
		for _, l := range all {
			if l.link != "" {
				secrets = append(secrets, token(l.link))
			}
		}
	}
	logs, err := filepath.Glob(filepath.Join(s.dir, "log", "orgkeeper.log*"))
	check(t, err)
	discreet(t, logs, secrets)
}

// stops on SIGTERM: every process ends, every port is free.
func (s *devstack) stops(t *testing.T) {
	marks, err := filepath.Glob(filepath.Join(s.dir, "run", "*.pid"))
	check(t, err)
	if len(marks) != 4 {
		t.Errorf("processes %v, want four", marks)
	}
	var pids []int
	for _, file := range marks {
		content, err := os.ReadFile(file)
		check(t, err)
		pid, err := strconv.Atoi(strings.TrimSpace(string(content)))
		check(t, err)
		pids = append(pids, pid)
	}
	began := time.Now()
	check(t, s.cmd.Process.Signal(syscall.SIGTERM))
	select {
	case <-s.exited:
	case <-time.After(long):
		t.Fatal("devcluster goes on after SIGTERM")
	}
	t.Logf("stopped after %d ms", time.Since(began).Milliseconds())
	if s.exit != nil {
		t.Errorf("devcluster ended with %v", s.exit)
	}
	for i, pid := range pids {
		if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
			t.Errorf("%s is still there: %v", filepath.Base(marks[i]), err)
		}
	}
	for name, port := range s.ports {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		_ = l.Close()
	}
	if _, err := os.Stat(filepath.Join(s.dir, "ready")); err == nil {
		t.Error("it still says that it is ready")
	}
}
