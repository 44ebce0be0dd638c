// Copyright The orgkeeper Authors.
// SPDX-License-Identifier: Apache-2.0

package stack

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/internal/invite"
)

// Links that are not what they were, or never were: each gets its page and changes nothing.
func (l *lab) testLinks(t *testing.T) {
	mails := serveMail(t, "127.0.0.1:0", &mailServer{})
	p := l.start(t, 0, mails.address, "--leader-elect=false")
	o := l.organization(t, "links", mails)
	people := o.add(6)
	o.declare(t, nil, people...)
	eventually(t, soon, "everybody invited", func() error { return o.converged(t.Context()) })
	link := func(p *person) string { return o.link(t, p) }
	member := func(p *person) *v1alpha1.OrgMember {
		m, err := o.member(t.Context(), p.name)
		check(t, err)
		return m
	}
	// refused: the page says so, to looks and answers alike, and the member stays as it was.
	refused := func(p *person, link string, code int, title string) {
		t.Helper()
		before := member(p)
		want(t, http.MethodGet, link, code, title)
		want(t, http.MethodHead, link, code, "")
		want(t, http.MethodPost, link+"/accept", code, title)
		want(t, http.MethodPost, link+"/decline", code, title)
		if diff := cmp.Diff(before, member(p)); diff != "" {
			t.Errorf("a link that is %s changed the member:\n%s", title, diff)
		}
	}
	one, other := people[0], people[1]
	genuine := link(one)
	root := "http://" + l.portals[0] + "/i/"

	t.Run("forged, cut, foreign", func(t *testing.T) {
		tok, othertok := token(genuine), token(link(other))
		claims, err := l.keys.Verify(tok)
		check(t, err)
		foreignKey := make([]byte, 32)
		_, err = rand.Read(foreignKey)
		check(t, err)
		foreign, err := invite.NewKeys(foreignKey)
		check(t, err)
		for _, bad := range []string{
			"x", strings.Repeat("A", len(tok)), strings.Repeat("A", 5000),
			tok[:len(tok)-1], tok[:len(tok)/2], tok + "A", tok[1:],
			tok[:len(tok)-43] + othertok[len(othertok)-43:], // the signature of another
			flip(tok, 5), flip(tok, len(tok)-20),
			foreign.Sign(claims),
			"%00", "%0a" + tok, "..%2f" + tok, "%ff%fe",
		} {
			refused(one, root+bad, http.StatusNotFound, "This link does not work")
		}
	})

	t.Run("signed with a key that comes and goes", func(t *testing.T) {
		claims, err := l.keys.Verify(token(genuine))
		check(t, err)
		key := make([]byte, 32)
		_, err = rand.Read(key)
		check(t, err)
		added, err := invite.NewKeys(key)
		check(t, err)
		link := root + added.Sign(claims)
		opens := func(code int) func() error {
			return func() error {
				a, err := visit(http.MethodGet, link)
				if err == nil && a.code != code {
					err = fmt.Errorf("status %d, want %d", a.code, code)
				}
				return err
			}
		}
		check(t, opens(http.StatusNotFound)())
		// The last by name verifies and does not sign, so no mail depends on it. A rename shows it whole.
		check(t, os.WriteFile(l.file("keys/.new"), key, 0o600))
		check(t, os.Rename(l.file("keys/.new"), l.file("keys/9")))
		eventually(t, long, "the operator to take up the key", opens(http.StatusOK))
		check(t, os.Remove(l.file("keys/9")))
		eventually(t, long, "the operator to drop the key", opens(http.StatusNotFound))
		want(t, http.MethodGet, genuine, http.StatusOK, "Invitation to")
	})

	t.Run("out of date", func(t *testing.T) {
		claims, err := l.keys.Verify(token(link(other)))
		check(t, err)
		claims.Expires = time.Now().Add(-time.Hour)
		refused(other, root+l.keys.Sign(claims), http.StatusGone, "newer") // not the expiry that was mailed
		claims.Serial = 9
		refused(other, root+l.keys.Sign(claims), http.StatusGone, "newer")
		claims.UID = "5a0d9f0e-0000-4000-8000-000000000000"
		refused(other, root+l.keys.Sign(claims), http.StatusGone, "withdrawn")

		// An hour is the shortest that an organization can choose: the operator's own rights turn back its clock.
		m := member(other)
		before := m.DeepCopy()
		m.Status.Invitation.ExpiresAt = metav1.NewTime(time.Now().Add(-time.Minute).Truncate(time.Second))
		check(t, l.operator.Status().Patch(t.Context(), m, client.MergeFrom(before)))
		eventually(t, soon, "the invitation to expire", func() error {
			m := member(other)
			if m.Status.State != v1alpha1.StateExpired || !meta.IsStatusConditionTrue(m.Status.Conditions, v1alpha1.ConditionReady) {
				return fmt.Errorf("%+v", m.Status)
			}
			return nil
		})
		claims.UID, claims.Serial, claims.Expires = string(m.UID), 1, m.Status.Invitation.ExpiresAt.Time
		refused(other, root+l.keys.Sign(claims), http.StatusGone, "expired")
	})

	t.Run("looked at by scanners", func(t *testing.T) {
		before := member(one)
		for range 20 {
			page := want(t, http.MethodGet, genuine, http.StatusOK, "Invitation to")
			for header, text := range map[string]string{
				"Content-Security-Policy": "default-src 'none'", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store",
				"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Content-Type": "text/html; charset=utf-8",
				"X-Robots-Tag": "noindex",
			} {
				if got := page.header.Get(header); !strings.Contains(got, text) {
					t.Errorf("%s: %q, want %s", header, got, text)
				}
			}
		}
		want(t, http.MethodGet, genuine+"/accept", http.StatusMethodNotAllowed, "")
		want(t, http.MethodHead, genuine+"/decline", http.StatusMethodNotAllowed, "")
		want(t, http.MethodPost, genuine, http.StatusMethodNotAllowed, "")
		want(t, http.MethodPost, genuine+"/accept", http.StatusForbidden, "", "Origin", "https://evil.example")
		want(t, http.MethodPost, genuine+"/accept", http.StatusForbidden, "", "Sec-Fetch-Site", "cross-site")
		if diff := cmp.Diff(before, member(one)); diff != "" {
			t.Errorf("looking changed the member:\n%s", diff)
		}
	})

	t.Run("used twice", func(t *testing.T) {
		want(t, http.MethodPost, genuine+"/accept", http.StatusOK, "Welcome")
		eventually(t, soon, "Active", func() error {
			if m := member(one); m.Status.State != v1alpha1.StateActive || !meta.IsStatusConditionTrue(m.Status.Conditions, v1alpha1.ConditionAccepted) {
				return fmt.Errorf("%+v", m.Status)
			}
			return nil
		})
		one.accepted = true
		refused(one, genuine, http.StatusOK, "Already accepted")

		decliner := people[2]
		want(t, http.MethodPost, link(decliner)+"/decline", http.StatusOK, "declined")
		eventually(t, soon, "Declined", func() error {
			if m := member(decliner); m.Status.State != v1alpha1.StateDeclined {
				return fmt.Errorf("%+v", m.Status)
			}
			return nil
		})
		refused(decliner, link(decliner), http.StatusOK, "Already declined")
	})

	t.Run("superseded", func(t *testing.T) {
		p := people[3]
		old := link(p)
		m := member(p)
		before := m.DeepCopy()
		m.Annotations = map[string]string{v1alpha1.AnnotationResend: "please"}
		check(t, l.admin.Patch(t.Context(), m, client.MergeFrom(before)))
		newer := mails.await(t, p.email, 2).link
		eventually(t, soon, "the outcome", func() error {
			m := member(p)
			if i := m.Status.Invitation; i.Serial != 2 || i.SentAt == nil || !meta.IsStatusConditionTrue(m.Status.Conditions, v1alpha1.ConditionReady) {
				return fmt.Errorf("%+v", m.Status)
			}
			return nil
		})
		refused(p, old, http.StatusGone, "newer")
		want(t, http.MethodPost, newer+"/accept", http.StatusOK, "Welcome")
	})

	t.Run("member deleted between mail and click", func(t *testing.T) {
		p := people[4]
		gone := link(p)
		o.remove(t, true, p)
		want(t, http.MethodGet, gone, http.StatusGone, "withdrawn")
		want(t, http.MethodPost, gone+"/accept", http.StatusGone, "withdrawn")
		want(t, http.MethodPost, gone+"/decline", http.StatusGone, "withdrawn")
		check(t, o.checkGone(t.Context(), p))
	})

	t.Run("member suspended between mail and click", func(t *testing.T) {
		p := people[5]
		m := member(p)
		before := m.DeepCopy()
		m.Spec.Suspended = true
		check(t, l.admin.Patch(t.Context(), m, client.MergeFrom(before)))
		eventually(t, soon, "Suspended", func() error {
			if m := member(p); m.Status.State != v1alpha1.StateSuspended {
				return fmt.Errorf("%+v", m.Status)
			}
			return nil
		})
		refused(p, link(p), http.StatusGone, "withdrawn")
	})

	check(t, p.ready())
	check(t, p.ask())
	p.gone(t)
}

// flip changes one character.
func flip(s string, at int) string {
	c := "A"
	if s[at] == 'A' {
		c = "B"
	}
	return s[:at] + c + s[at+1:]
}
