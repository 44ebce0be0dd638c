// Copyright The orgkeeper Authors.
// SPDX-License-Identifier: Apache-2.0

package postfix

import (
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"text/template"
	"time"

	"github.com/onsi/gomega"

	"github.com/orgkeeper/orgkeeper/internal/mail"
)

const (
	serverName = "mx.postfix.example" // in its certificate; the address alone would not do
	realm      = "mail.example"
	username   = "operator@" + realm
	password   = `pä$$, wörd="1\` // with what is special somewhere on the way
	maxSize    = 100_000
)

var (
	//go:embed testdata/main.cf.tmpl
	mainConfig string
	//go:embed testdata/master.cf.tmpl
	masterConfig string
	//go:embed testdata/run.sh
	runScript string
)

// doors are the ways to sign in that each port of the server offers. The first offers all that Debian's libraries have.
var doors = map[string]string{
	"all":    "",
	"plain":  "PLAIN",
	"login":  "LOGIN",
	"scram":  "SCRAM-SHA-256",
	"scram1": "SCRAM-SHA-1",
	"oldest": "CRAM-MD5 DIGEST-MD5",
}

// server is a postfix of the test's own, with mailboxes for the people that it is told of.
type server struct {
	Dir, Name, Realm, Domains string
	MaxSize, UID, GID         int
	Doors                     []door

	boxes map[string]string // by address: where its mails come
	run   *exec.Cmd         // postfix, while it runs
	stdin io.Closer         // ends it
	ended chan struct{}     // closed when it has ended
}

type door struct{ Name, Address string }

// start starts a server with these mailboxes, and stops it with the test.
func start(t *testing.T, mailboxes ...string) *server {
	t.Helper()
	for _, program := range []string{"/usr/sbin/postfix", "/usr/sbin/saslpasswd2"} {
		if _, err := os.Stat(program); err != nil {
			t.Fatalf("this test needs Debian's postfix and SASL: run make test-deps first (make test does): %v", err)
		}
	}
	if err := asRoot("true").Run(); err != nil {
		t.Fatalf("postfix is started by root alone, and neither is this test run by root nor may it use sudo without a password: %v", err)
	}
	dir, err := os.MkdirTemp("", "orgkeeper-postfix-") //nolint:usetesting // postfix's users may not look into t.TempDir, nor the test's remove what is theirs
	check(t, err)
	s := &server{Dir: dir, Name: serverName, Realm: realm, MaxSize: maxSize, UID: os.Getuid(), GID: os.Getgid(), boxes: map[string]string{}}
	t.Cleanup(func() { check(t, asRoot("rm", "-rf", dir).Run()) })
	check(t, os.Chmod(dir, 0o755)) // #nosec G302 -- as above
	if s.UID == 0 {
		s.UID, s.GID = 65534, 65534 // root gets no mail (virtual_minimum_uid); root reads nobody's
	}
	for name := range doors {
		s.Doors = append(s.Doors, door{name, claimAddress(t)})
	}
	s.configure(t, mailboxes)
	t.Cleanup(func() {
		s.stop(t)
		if t.Failed() {
			t.Logf("postfix:\n%s", s.log())
		}
	})
	s.begin(t)
	return s
}

// configure writes all that the server reads.
func (s *server) configure(t *testing.T, mailboxes []string) {
	t.Helper()
	for _, folder := range []string{"config", "queue", "data", "log", "mailboxes", "config/sasl"} {
		check(t, os.Mkdir(s.file(folder), 0o755)) // #nosec G301 -- read by postfix's users
	}
	if s.UID != os.Getuid() {
		check(t, os.Chown(s.file("mailboxes"), s.UID, s.GID))
	}
	var domains, boxes strings.Builder
	for i, address := range mailboxes {
		_, domain, _ := strings.Cut(address, "@")
		if !strings.Contains(domains.String()+" ", " "+domain+" ") {
			fmt.Fprintf(&domains, " %s", domain)
		}
		s.boxes[address] = strconv.Itoa(i)
		fmt.Fprintf(&boxes, "%s %d/\n", address, i)
	}
	s.Domains = strings.TrimSpace(domains.String())
	s.write(t, "mailboxes.txt", boxes.String())
	for file, text := range map[string]string{"config/main.cf": mainConfig, "config/master.cf": masterConfig} {
		var b strings.Builder
		check(t, template.Must(template.New(file).Option("missingkey=error").Parse(text)).Execute(&b, s))
		s.write(t, file, b.String())
	}
	for name, mechanisms := range doors {
		text := "pwcheck_method: auxprop\nauxprop_plugin: sasldb\nsasldb_path: " + s.file("users") + "\n"
		if mechanisms != "" {
			text += "mech_list: " + mechanisms + "\n"
		}
		s.write(t, "config/sasl/"+name+".conf", text)
	}
	user, _, _ := strings.Cut(username, "@")
	enter := exec.Command("/usr/sbin/saslpasswd2", "-p", "-c", "-f", s.file("users"), "-u", realm, user)
	enter.Stdin = strings.NewReader(password)
	if said, err := enter.CombinedOutput(); err != nil {
		t.Fatalf("saslpasswd2: %v\n%s", err, said)
	}
	check(t, os.Chmod(s.file("users"), 0o644)) // #nosec G302 -- read by postfix's users
	writeCertificate(t, s.Dir, "server", serverName)
	writeCertificate(t, s.Dir, "stranger", serverName)
}

// begin starts postfix and returns when every door is open.
func (s *server) begin(t *testing.T) {
	t.Helper()
	output, err := os.OpenFile(s.file("output"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	check(t, err)
	defer func() { _ = output.Close() }()
	s.run, s.ended = asRoot("sh", "-c", runScript, "sh", s.Dir), make(chan struct{})
	s.run.Stdout, s.run.Stderr = output, output
	s.stdin, err = s.run.StdinPipe()
	check(t, err)
	check(t, s.run.Start())
	go func(run *exec.Cmd, ended chan struct{}) {
		defer close(ended)
		_ = run.Wait() // it ends as one that was killed
	}(s.run, s.ended)
	for _, d := range s.Doors {
		eventually(t, soon, "postfix at "+d.Name, func() error {
			select {
			case <-s.ended:
				return gomega.StopTrying("postfix ended: " + s.log())
			default:
			}
			conn, err := net.DialTimeout("tcp", d.Address, soon)
			if err != nil {
				return err
			}
			return conn.Close()
		})
	}
}

// stop ends postfix, if it runs, and returns when it is gone.
func (s *server) stop(t *testing.T) {
	t.Helper()
	if s.stdin == nil {
		return
	}
	_ = s.stdin.Close()
	s.stdin = nil
	select {
	case <-s.ended:
	case <-time.After(long):
		t.Fatalf("postfix does not stop:\n%s", s.log())
	}
	// Its servants have the doors open, too, and go a little later.
	for _, d := range s.Doors {
		eventually(t, soon, "no postfix at "+d.Name, func() error {
			conn, err := net.DialTimeout("tcp", d.Address, soon)
			if errors.Is(err, syscall.ECONNREFUSED) {
				return nil
			}
			if err == nil {
				_ = conn.Close()
			}
			return errors.Join(errors.New("somebody is there"), err)
		})
	}
}

// address is that of a door.
func (s *server) address(t *testing.T, name string) string {
	t.Helper()
	for _, d := range s.Doors {
		if d.Name == name {
			return d.Address
		}
	}
	t.Fatalf("no door %s", name)
	return ""
}

// log is all that postfix said.
func (s *server) log() string {
	output, err := os.ReadFile(s.file("output"))
	said, err2 := asRoot("cat", s.file("log/mail.log")).Output()
	if err := errors.Join(err, err2); err != nil {
		return fmt.Sprintf("%v\n%s%s", err, output, said)
	}
	return string(output) + string(said)
}

// delivered are the mails of a mailbox as they lie there, in no order.
func (s *server) delivered(address string) ([]string, error) {
	box, ok := s.boxes[address]
	if !ok {
		return nil, fmt.Errorf("there is no mailbox for %s", address)
	}
	files, err := filepath.Glob(s.file("mailboxes/" + box + "/new/*"))
	if err != nil {
		return nil, err
	}
	var mails []string
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		mails = append(mails, string(content))
	}
	return mails, nil
}

func (s *server) file(name string) string { return filepath.Join(s.Dir, name) }

func (s *server) write(t *testing.T, name, content string) {
	t.Helper()
	check(t, os.WriteFile(s.file(name), []byte(content), 0o644)) // #nosec G306 -- read by postfix's users
}

// asRoot is a command of root's.
func asRoot(command ...string) *exec.Cmd {
	if os.Getuid() != 0 {
		command = append([]string{"sudo", "-n"}, command...)
	}
	return exec.Command(command[0], command[1:]...) // #nosec G204 -- the tests' own
}

// sender is orgkeeper's end, set up as its documentation says; change what a test wants otherwise.
func (s *server) sender(t *testing.T, door string, change ...func(*mail.Config)) *mail.SMTP {
	t.Helper()
	c := mail.Config{
		Address: s.address(t, door), TLS: mail.StartTLS, Username: username, PasswordFile: secret(t, password),
		CAFile: s.file("server.ca.pem"), ServerName: serverName, Timeout: soon,
	}
	for _, f := range change {
		f(&c)
	}
	smtp, err := mail.NewSMTP(c)
	check(t, err)
	return smtp
}

// secret writes a file as a Secret is mounted.
func secret(t *testing.T, content string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "secret")
	check(t, os.WriteFile(file, []byte(content+"\n"), 0o600))
	return file
}
