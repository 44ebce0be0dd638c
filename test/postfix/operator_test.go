// Copyright The orgkeeper Authors.
// SPDX-License-Identifier: Apache-2.0

package postfix

import (
	"crypto/rand"
	"errors"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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

// expected are the mails that each person gets in the course of TestOperator, and no others: every kind in every language. A
// mail with a link is one to answer.
var expected = []struct {
	person, kind, language string
	subject                string
	says                   []string
	link                   bool
}{
	{"joe", "invitation", "en", "Invitation to join " + organization, []string{`O'Neil, "Joe"`, owner + " invites you", "with the role member", "Żółw: see you!"}, true},
	{"niccolo", "invitation", "it", "Invito a far parte di " + organization, []string{`D'Èrcole, "Niccolò"`, owner + " La invita", "membro", "Żółw: see you!"}, true},
	{"lucja", "invitation", "pl", "Zaproszenie do organizacji " + organization, []string{`Wąż, "Łucja"`, owner + " zaprasza Cię", "członek", "Żółw: see you!"}, true},

	{"joe", "reminder", "en", "Reminder: invitation to join " + organization, []string{"a reminder of an invitation", owner + " invites you"}, true},
	{"niccolo", "reminder", "it", "Promemoria: invito a far parte di " + organization, []string{owner}, true},
	{"lucja", "reminder", "pl", "Przypomnienie: zaproszenie do organizacji " + organization, []string{owner}, true},

	{"joe", "role-changed", "en", "Your role in " + organization + " has changed", []string{"Old role:     member", "New role:     admin"}, false},
	{"niccolo", "role-changed", "it", "Il Suo ruolo in " + organization + " è cambiato", []string{"membro", "amministratore"}, false},
	{"lucja", "role-changed", "pl", "Zmiana Twojej roli w organizacji " + organization, []string{"członek", "administrator"}, false},

	{"joe", "ownership", "en", "You now own " + organization, []string{"from olga to you"}, false},
	{"niccolo", "ownership", "it", "La titolarità di " + organization + " è passata a Lei", []string{`O'Neil, "Joe"`}, false},
	{"lucja", "ownership", "pl", "Własność organizacji " + organization + " przeszła na Ciebie", []string{`D'Èrcole, "Niccolò"`}, false},
	{"joe", "ownership", "en", "You no longer own " + organization, []string{`from you to D'Èrcole, "Niccolò"`}, false},
	{"niccolo", "ownership", "it", "La titolarità di " + organization + " è passata ad altri", []string{`Wąż, "Łucja"`}, false},
	{"lucja", "ownership", "pl", "Własność organizacji " + organization + " przeszła na inną osobę", []string{"olga"}, false},

	{"joe", "membership-ended", "en", "Your membership in " + organization + " has ended", nil, false},
	{"niccolo", "membership-ended", "it", "Non fa più parte di " + organization, nil, false},
	{"lucja", "membership-ended", "pl", "Koniec Twojego członkostwa w organizacji " + organization, nil, false},
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
	o.remind(t)
	letters := map[string]map[string]letter{} // by person, and kind and subject
	receive := func(count int) {
		t.Helper()
		for _, p := range people {
			letters[p.name] = map[string]letter{}
			for id, l := range s.await(t, p.box, count, key) {
				letters[p.name][kindOf(id)+" "+l.subject] = l
			}
		}
	}
	receive(2)
	for i, p := range people {
		t.Run(p.name+" opens the page and accepts", func(t *testing.T) {
			found := links(letters[p.name]["invitation "+expected[i].subject].text)
			if len(found) != 1 {
				t.Fatal("no link")
			}
			code, page := visit(t, http.MethodGet, found[0])
			language, _, _ := strings.Cut(string(p.locale), "-")
			if code != http.StatusOK || !strings.Contains(page, "<title>"+p.page) || !strings.Contains(page, `<html lang="`+language+`"`) {
				t.Errorf("got %d, want the page in %s:\n%s", code, language, page)
			}
			if code, page := visit(t, http.MethodPost, found[0]+"/accept"); code != http.StatusOK {
				t.Errorf("got %d:\n%s", code, page)
			}
		})
	}
	// Each becomes an admin and the owner in turn; then all go.
	for _, p := range people {
		edit(t, o, member(p.name), func(m *v1alpha1.OrgMember) { m.Spec.Role = v1alpha1.RoleAdmin })
	}
	receive(3)
	for _, p := range people {
		o.transfer(t, p.name)
	}
	o.transfer(t, "olga")
	receive(5)
	for _, p := range people {
		check(t, o.admin.Delete(t.Context(), member(p.name)))
	}
	receive(6)

	for _, e := range expected {
		t.Run(e.person+"."+e.kind, func(t *testing.T) {
			l, ok := letters[e.person][e.kind+" "+e.subject]
			if !ok {
				t.Fatalf("did not arrive; what did: %q", slices.Collect(maps.Keys(letters[e.person])))
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
	acme := org()
	acme.Spec = v1alpha1.OrganizationSpec{DisplayName: organization, Owner: "olga"}
	olga := &v1alpha1.OrgMember{Spec: v1alpha1.OrgMemberSpec{
		Email: owner, Role: v1alpha1.RoleAdmin, Invitation: &v1alpha1.MemberInvitation{Mode: v1alpha1.InvitationModeNone},
	}}
	olga.Namespace, olga.Name = home, "olga"
	for _, obj := range []client.Object{namespace, acme, olga} {
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

// remind has everybody reminded of their invitation soon after they got it.
func (o *operator) remind(t *testing.T) {
	t.Helper()
	var sent time.Time // the last of them
	for _, p := range people {
		m := member(p.name)
		eventually(t, long, "the invitation of "+p.name, func() error {
			if err := o.admin.Get(t.Context(), client.ObjectKeyFromObject(m), m); err != nil {
				return err
			}
			if m.Status.Invitation == nil || m.Status.Invitation.SentAt == nil {
				return errors.New("not sent")
			}
			return nil
		})
		if m.Status.Invitation.SentAt.After(sent) {
			sent = m.Status.Invitation.SentAt.Time
		}
	}
	// Due a moment after the last invitation was sent, for the first of them too.
	before := member(people[0].name)
	check(t, o.admin.Get(t.Context(), client.ObjectKeyFromObject(before), before))
	i := before.Status.Invitation
	edit(t, o, org(), func(org *v1alpha1.Organization) {
		org.Spec.Invitations = &v1alpha1.OrganizationInvitations{RemindBefore: &metav1.Duration{Duration: i.ExpiresAt.Sub(sent) - 2*time.Second}}
	})
}

// transfer moves the ownership, as soon as the person can be the owner.
func (o *operator) transfer(t *testing.T, to string) {
	t.Helper()
	edit(t, o, org(), func(org *v1alpha1.Organization) { org.Spec.Owner = to })
	eventually(t, long, to+" owns", func() error {
		org := org()
		if err := o.admin.Get(t.Context(), client.ObjectKeyFromObject(org), org); err != nil {
			return err
		}
		if org.Status.Owner != to {
			return errors.New(org.Status.Owner + " does")
		}
		return nil
	})
}

// edit changes an object, and again while it may not be changed so yet.
func edit[T client.Object](t *testing.T, o *operator, obj T, change func(T)) {
	t.Helper()
	eventually(t, long, "edit "+obj.GetName(), func() error {
		if err := o.admin.Get(t.Context(), client.ObjectKeyFromObject(obj), obj); err != nil {
			return err
		}
		change(obj)
		return o.admin.Update(t.Context(), obj)
	})
}

func member(name string) *v1alpha1.OrgMember {
	return &v1alpha1.OrgMember{ObjectMeta: metav1.ObjectMeta{Namespace: home, Name: name}}
}

func org() *v1alpha1.Organization {
	return &v1alpha1.Organization{ObjectMeta: metav1.ObjectMeta{Namespace: home, Name: home}}
}

// visit asks for a page with a browser that says nothing of its language.
func visit(t *testing.T, method, url string) (code int, page string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	check(t, err)
	resp, err := (&http.Client{Timeout: 10 * time.Second}).Do(req)
	check(t, err)
	defer func() { _ = resp.Body.Close() }()
	content, err := io.ReadAll(resp.Body)
	check(t, err)
	return resp.StatusCode, string(content)
}
