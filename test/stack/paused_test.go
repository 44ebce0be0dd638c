// Copyright The orgkeeper Authors.
// SPDX-License-Identifier: Apache-2.0

package stack

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
)

// A leader is paused in the middle of a mail, as a virtual machine may be, until the other replica has taken over and sent
// everything. When it wakes, nobody gets a mail that is not a copy of one they have, and at most the mail in hand is copied.
func (l *lab) testPausedLeader(t *testing.T) {
	const people, before = 30, 10
	mails := &mailServer{pace: 2 * time.Millisecond}
	var first *process
	var begun atomic.Int32
	paused := make(chan error, 1)
	mails.named = func() {
		if begun.Add(1) == before {
			paused <- first.pause()
		}
	}
	serveMail(t, "127.0.0.1:0", mails)
	flags := []string{"--mail-workers=1", "--mail-rate=20"}
	first = l.start(t, 0, mails.address, flags...)
	o := l.organization(t, "pauses", mails)
	eventually(t, long, "the first to lead", func() error { return first.leads() })
	second := l.start(t, 1, mails.address, flags...)
	o.declare(t, nil, o.add(people)...)
	check(t, <-paused)
	check(t, second.sentNothing())
	began := time.Now()
	eventually(t, long, "everybody invited by the other", func() error { return o.converged(t.Context()) })
	t.Logf("the leader paused; the other has sent everything after %.0f s", time.Since(began).Seconds())
	letters := len(mails.all())

	check(t, first.wake())
	select {
	case <-first.exited: // as one that lost the lease should
	case <-time.After(long):
		t.Fatalf("the old leader goes on:\n%s", first.said())
	}
	o.declare(t, nil, o.add(1)...)
	eventually(t, long, "everything as declared", func() error { return o.converged(t.Context()) })
	copies := o.checkLetters(t)
	t.Logf("the old leader sent %d mails after it woke, and ended with %v; %d letters, of which %d copies",
		len(mails.all())-letters-1, first.exit, len(mails.all()), copies)
	if distinct := len(mails.distinct()); distinct != people+1 || copies > 1 {
		t.Errorf("%d letters to %d people, and %d copies", distinct, people+1, copies)
	}
	check(t, second.ask())
	second.gone(t)
}

// pause stops an operator where it is, and wake lets it go on.
func (p *process) pause() error { return p.cmd.Process.Signal(syscall.SIGSTOP) }
func (p *process) wake() error  { return p.cmd.Process.Signal(syscall.SIGCONT) }

// leads fails until the operator holds the lease.
func (p *process) leads() error {
	if !strings.Contains(p.said(), "Successfully acquired lease") {
		return errNotYet
	}
	return nil
}

var triedMails = regexp.MustCompile(`(?m)^orgkeeper_mails_total\{.*\} (\d+)$`)

// sentNothing fails if the operator counts a mail.
func (p *process) sentNothing() error {
	a, err := visit(http.MethodGet, "http://"+p.ops+"/metrics")
	if err != nil {
		return err
	}
	counts := triedMails.FindAllStringSubmatch(a.body, -1)
	if len(counts) == 0 {
		return errors.New("the operator counts no mails")
	}
	for _, count := range counts {
		if count[1] != "0" {
			return fmt.Errorf("it has tried to send: %s", count[0])
		}
	}
	return nil
}

// What only asks whether it could be done sends nothing: no new member, no resend, no other address, no manifest.
func (l *lab) testDryRuns(t *testing.T) {
	mails := serveMail(t, "127.0.0.1:0", &mailServer{})
	p := l.start(t, 0, mails.address, "--leader-elect=false")
	o := l.organization(t, "trials", mails)
	mia := o.add(1)[0]
	o.declare(t, nil, mia)
	eventually(t, long, "mia to be invited", func() error { return o.converged(t.Context()) })
	before, err := o.member(t.Context(), mia.name)
	check(t, err)

	m := &v1alpha1.OrgMember{Spec: v1alpha1.OrgMemberSpec{Email: v1alpha1.EmailAddress("dry@" + o.home + ".example"), Role: v1alpha1.RoleMember}}
	m.Namespace, m.Name = o.home, "dry"
	check(t, l.admin.Create(t.Context(), m, client.DryRunAll))
	asked := before.DeepCopy()
	check(t, l.admin.Patch(t.Context(), asked, client.RawPatch("application/merge-patch+json", resendPatch), client.DryRunAll))
	if asked.Annotations[v1alpha1.AnnotationResend] == "" {
		t.Error("the dry run asked for nothing")
	}
	check(t, l.admin.Delete(t.Context(), before.DeepCopy(), client.DryRunAll))
	manifest := filepath.Join(t.TempDir(), "members.yaml")
	check(t, os.WriteFile(manifest, fmt.Appendf(nil, `
apiVersion: orgkeeper.dev/v1alpha1
kind: OrgMember
metadata: {namespace: %[1]s, name: dry}
spec: {email: dry@%[1]s.example, role: Member}
---
apiVersion: orgkeeper.dev/v1alpha1
kind: OrgMember
metadata: {namespace: %[1]s, name: %[2]s, annotations: {%[3]s: again}}
spec: {email: %[2]s@%[1]s.example, role: Member}
`, o.home, mia.name, v1alpha1.AnnotationResend), 0o600))
	for _, flag := range []string{"--server-side=true", "--server-side=false"} {
		out, err := l.Run(t.Context(), "apply", "--dry-run=server", flag, "--force-conflicts="+strings.TrimPrefix(flag, "--server-side="), "-f", manifest)
		check(t, err)
		if strings.Count(out, "(server dry run)") != 2 {
			t.Errorf("kubectl says:\n%s", out)
		}
	}

	// Somebody real after all that: when their mail is out, one of the dry runs would be.
	o.declare(t, nil, o.add(1)...)
	eventually(t, long, "the next to be invited", func() error { return o.converged(t.Context()) })
	after, err := o.member(t.Context(), mia.name)
	check(t, err)
	if diff := cmp.Diff([]any{before.Annotations, before.Spec, before.Status.Invitation}, []any{after.Annotations, after.Spec, after.Status.Invitation}); diff != "" {
		t.Errorf("a dry run changed mia:\n%s", diff)
	}
	if got := len(mails.all()); got != 2 {
		t.Errorf("%d mails to two people", got)
	}
	check(t, p.ask())
	p.gone(t)
}
