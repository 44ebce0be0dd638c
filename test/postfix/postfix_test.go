// Copyright The orgkeeper Authors.
// SPDX-License-Identifier: Apache-2.0

// Package postfix tests that a mail server of others, Debian's postfix, takes orgkeeper's mails and that they come out of
// it as they were meant: the mails of internal/mail each by themselves, what such a server refuses, and the operator's
// real binary beside a control plane.
package postfix

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"testing"
	"time"

	"github.com/onsi/gomega"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
)

const (
	// soon is for what takes a moment on an idle machine; these tests share two cores with others.
	soon = 30 * time.Second
	// long is for what waits for a start or a lease.
	long = 2 * time.Minute
)

func TestMain(m *testing.M) {
	ctrl.SetLogger(zap.New(zap.WriteTo(os.Stderr))) // of the tests' own client
	os.Exit(m.Run())
}

// eventually fails the test unless try succeeds in time; try's last error says why.
func eventually(t testing.TB, within time.Duration, what string, try func() error) {
	t.Helper()
	gomega.NewWithT(t).Eventually(try).WithTimeout(within).WithPolling(20*time.Millisecond).Should(gomega.Succeed(), what)
}

// check fails the test on an error.
func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// claimAddress gives an address on 127.0.0.1 that nothing uses, and keeps it from everybody who asks in the same way
// (test/stack and hack/devcluster do) until the test ends: what is stopped and started again finds it free.
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
