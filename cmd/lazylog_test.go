package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	uberzap "go.uber.org/zap"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
)

// The lines are the same as without, the place in the code included.
func TestLazily(t *testing.T) {
	m := &v1alpha1.OrgMember{}
	m.Namespace, m.Name = "acme", "jane"
	lines := func(wrap func(logr.Logger) logr.Logger) string {
		var out bytes.Buffer
		log := wrap(zap.New(zap.WriteTo(&out), zap.RawZapOpts(uberzap.AddCaller(), uberzap.WithClock(frozen{}))))
		base := log.WithValues("controller", "orgmember")
		one, other := base.WithValues("member", client.ObjectKeyFromObject(m)), base.WithName("mail").WithValues("member", "other")
		one.Info("Invited", "serial", 1)
		other.Info("Reminded", "serial", 2)
		other.V(5).Info("nobody sees this")
		one.WithCallDepth(0).Error(errors.New("no"), "Not invited", "serial", 3)
		log.Info("Done")
		return out.String()
	}
	want, got := lines(func(l logr.Logger) logr.Logger { return l }), lines(lazily)
	if got != want {
		t.Errorf("lazily:\n%s\nat once:\n%s", got, want)
	}
	if !strings.Contains(want, `"controller":"orgmember","member":{"name":"jane","namespace":"acme"},"serial":1`) {
		t.Errorf("the values are missing:\n%s", want)
	}
}

// frozen is a clock that stands still.
type frozen struct{}

func (frozen) Now() time.Time                         { return time.Unix(0, 0) }
func (frozen) NewTicker(d time.Duration) *time.Ticker { return time.NewTicker(d) }

// BenchmarkLazily is what a reconcile that logs nothing pays for its logger.
func BenchmarkLazily(b *testing.B) {
	for name, log := range map[string]logr.Logger{
		"at once": zap.New(zap.WriteTo(&bytes.Buffer{})), "lazily": lazily(zap.New(zap.WriteTo(&bytes.Buffer{}))),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				log.WithValues("OrgMember", client.ObjectKey{Namespace: "acme", Name: "jane"}).WithValues("namespace", "acme", "name", "jane").WithValues("reconcileID", "x")
			}
		})
	}
}
