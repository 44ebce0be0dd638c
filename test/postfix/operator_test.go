// Copyright The orgkeeper Authors.
// SPDX-License-Identifier: Apache-2.0

package postfix

import (
	"crypto/rand"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/test/cluster"
)

const (
	home         = "acme"
	organization = `Zażółć "Università", Söhne & Co`
	owner        = "olga@acme.example"
)

// person is a member, and where their mails come.
type person struct {
	name, email, box, shown string
	locale                  v1alpha1.Locale
	page                    string // title of the page behind the link
}

var people = []person{
	{"joe", "joe@acme.example", "joe@acme.example", `O'Neil, "Joe"`, "en", "Invitation to "},
	{"niccolo", "niccolò@acme.example", "niccolò@acme.example", `D'Èrcole, "Niccolò"`, "it", "Invito a far parte di "},
	{"lucja", "łucja@żółw.example", "łucja@xn--w-uga1v8h.example", `Wąż, "Łucja"`, "pl-PL", "Zaproszenie do organizacji "},
}

// expected are the mails that each person gets in the course of TestOperator, and no others. A mail with a link is one to
// answer.
var expected = []struct {
	person, kind, language string
	subject                string
	says                   []string
	link                   bool
}{
	{"joe", "invitation", "en", "Invitation to join " + organization, []string{`O'Neil, "Joe"`, owner + " invites you", "with the role member", "Żółw: see you!"}, true},
	{"niccolo", "invitation", "it", "Invito a far parte di " + organization, []string{`D'Èrcole, "Niccolò"`, owner + " La invita", "membro", "Żółw: see you!"}, true},
	{"lucja", "invitation", "pl", "Zaproszenie do organizacji " + organization, []string{`Wąż, "Łucja"`, owner + " zaprasza Cię", "członek", "Żółw: see you!"}, true},
}

// The operator's real binary, set up with what its documentation names, sends what it has to say through a mail server of
// others to people of three languages.
func TestOperator(t *testing.T) {
	boxes := []string{owner}
	for _, p := range people {
		boxes = append(boxes, p.box)
	}
	s, key := start(t, boxes...), newSigner(t, "ed25519")
	o := startOperator(t, s, key)
	o.invite(t)

	letters := map[string]map[string]letter{} // by person and kind
	for _, p := range people {
		count := 0
		for _, e := range expected {
			if e.person == p.name {
				count++
			}
		}
		letters[p.name] = map[string]letter{}
		for id, l := range s.await(t, p.box, count, key) {
			letters[p.name][kindOf(id)] = l
		}
	}
	for _, e := range expected {
		t.Run(e.person+"."+e.kind, func(t *testing.T) {
			l, ok := letters[e.person][e.kind]
			if !ok {
				t.Fatal("did not arrive")
			}
			replyTo, count := "", 0
			if e.link {
				replyTo, count = "<"+owner+">", 1
			}
			l.headers(t, map[string]string{"Content-Language": e.language, "Reply-To": replyTo, "Subject": e.subject})
			for _, words := range e.says {
				if !l.says(words) {
					t.Errorf("does not say %q:\n%s", words, l.text)
				}
			}
			if inText, inHTML := links(l.text), links(l.html); len(inText) != count || strings.Join(inText, " ") != strings.Join(inHTML, " ") {
				t.Errorf("links: %q in the text, %q in the HTML, want %d", inText, inHTML, count)
			}
		})
	}
	for _, p := range people {
		t.Run(p.name+" opens the page", func(t *testing.T) {
			found := links(letters[p.name]["invitation"].text)
			if len(found) != 1 {
				t.Fatal("no link")
			}
			code, page := get(t, found[0])
			language, _, _ := strings.Cut(string(p.locale), "-")
			if code != http.StatusOK || !strings.Contains(page, "<title>"+p.page) || !strings.Contains(page, `<html lang="`+language+`"`) {
				t.Errorf("got %d, want the page in %s:\n%s", code, language, page)
			}
		})
	}
}

// kindOf is the kind of mail that a Message-ID names: <uid>.<serial>.<kind>@<domain>.
func kindOf(id string) string {
	left, _, _ := strings.Cut(id, "@")
	return left[strings.LastIndex(left, ".")+1:]
}

// operator is the operator's binary beside a control plane.
type operator struct {
	*cluster.Cluster
	admin client.Client
}

// untilStdinCloses runs a program, and asks it to stop when the test ends, however that ends.
const untilStdinCloses = `exec 3<&0 </dev/null; "$@" & p=$!; (cat <&3 >/dev/null; kill $p) & wait $p`

func startOperator(t *testing.T, s *server, key signer) *operator {
	t.Helper()
	c, err := cluster.Start()
	check(t, err)
	t.Cleanup(func() { check(t, c.Stop()) })
	check(t, c.Install(t.Context()))
	o := &operator{Cluster: c, admin: newClient(t, c.Admin)}

	dir := t.TempDir()
	binary := filepath.Join(dir, "orgkeeper")
	if said, err := exec.Command("go", "build", "-o", binary, "../../cmd").CombinedOutput(); err != nil {
		t.Fatalf("building the operator: %v\n%s", err, said)
	}
	kubeconfig, keys, log := filepath.Join(dir, "kubeconfig"), filepath.Join(dir, "keys"), filepath.Join(dir, "log")
	check(t, c.OperatorKubeconfig(t.Context(), kubeconfig))
	check(t, os.Mkdir(keys, 0o700))
	linkKey := make([]byte, 32)
	_, err = rand.Read(linkKey)
	check(t, err)
	check(t, os.WriteFile(filepath.Join(keys, "1"), linkKey, 0o600))
	page, metrics := claimAddress(t), claimAddress(t)
	cmd := exec.Command("sh", "-c", untilStdinCloses, "sh", binary, // #nosec G204 -- the test's own
		"--kubeconfig="+kubeconfig, "--leader-elect=false", "--leader-elect-namespace=orgkeeper-system",
		"--portal-bind-address="+page, "--portal-url=http://"+page,
		"--metrics-bind-address="+metrics, "--invitation-keys-dir="+keys,
		"--mail-from=invitations@"+senderDomain,
		"--smtp-address="+s.address(t, "all"), "--smtp-tls=starttls",
		"--smtp-username="+username, "--smtp-password-file="+secret(t, password),
		"--smtp-ca-file="+s.file("server.ca.pem"), "--smtp-server-name="+serverName,
		"--dkim-domain="+senderDomain, "--dkim-selector="+selector, "--dkim-key-file="+key.config.KeyFile)
	o.run(t, cmd, log, "http://"+metrics+"/readyz")
	return o
}

// run starts the operator, waits until it is ready, and ends it with the test.
func (o *operator) run(t *testing.T, cmd *exec.Cmd, log, ready string) {
	t.Helper()
	output, err := os.Create(log)
	check(t, err)
	defer func() { _ = output.Close() }()
	cmd.Stdout, cmd.Stderr = output, output
	stdin, err := cmd.StdinPipe()
	check(t, err)
	check(t, cmd.Start())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() // what it said tells more
	}()
	t.Cleanup(func() {
		_ = stdin.Close()
		<-ended
		if t.Failed() {
			said, _ := os.ReadFile(log)
			t.Logf("the operator:\n%s", said)
		}
	})
	eventually(t, long, "the operator", func() error {
		select {
		case <-ended:
			return gomega.StopTrying("the operator ended")
		default:
		}
		resp, err := http.Get(ready) // #nosec G107 -- the test's own
		if err != nil {
			return err
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return errors.New(resp.Status)
		}
		return nil
	})
}

// invite makes an organization, whose owner adds everybody else.
func (o *operator) invite(t *testing.T) {
	t.Helper()
	namespace := &corev1.Namespace{}
	namespace.Name = home
	org := &v1alpha1.Organization{Spec: v1alpha1.OrganizationSpec{DisplayName: organization, Owner: "olga"}}
	org.Namespace, org.Name = home, home
	olga := &v1alpha1.OrgMember{Spec: v1alpha1.OrgMemberSpec{
		Email: owner, Role: v1alpha1.RoleAdmin, Invitation: &v1alpha1.MemberInvitation{Mode: v1alpha1.InvitationModeNone},
	}}
	olga.Namespace, olga.Name = home, "olga"
	for _, obj := range []client.Object{namespace, org, olga} {
		check(t, o.admin.Create(t.Context(), obj))
	}
	asOwner := newClient(t, o.As(owner))
	for _, p := range people {
		m := &v1alpha1.OrgMember{Spec: v1alpha1.OrgMemberSpec{
			Email: v1alpha1.EmailAddress(p.email), DisplayName: v1alpha1.Line(p.shown), Locale: p.locale,
			Invitation: &v1alpha1.MemberInvitation{Message: "Benvenuti!\n\nŻółw: see you!\n."},
		}}
		m.Namespace, m.Name = home, p.name
		eventually(t, soon, "the owner's rights", func() error {
			return client.IgnoreAlreadyExists(asOwner.Create(t.Context(), m.DeepCopy()))
		})
	}
}

func newClient(t *testing.T, config *rest.Config) client.Client {
	t.Helper()
	scheme := runtime.NewScheme()
	check(t, errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)))
	c, err := client.New(config, client.Options{Scheme: scheme})
	check(t, err)
	return c
}

// get opens a page with a browser that says nothing of its language.
func get(t *testing.T, url string) (code int, page string) {
	t.Helper()
	resp, err := (&http.Client{Timeout: 10 * time.Second}).Get(url)
	check(t, err)
	defer func() { _ = resp.Body.Close() }()
	content, err := io.ReadAll(resp.Body)
	check(t, err)
	return resp.StatusCode, string(content)
}
