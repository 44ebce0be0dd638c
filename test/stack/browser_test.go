// Copyright The orgkeeper Authors.
// SPDX-License-Identifier: Apache-2.0

package stack

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"
)

// browse reads the newest mail to an address in the inbox page, clicks the link in it and accepts.
func browse(t *testing.T, inbox, address string) {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatal("chromium is not installed, and this test needs a real browser: apt-get install chromium")
	}
	ctx, cancel := context.WithTimeout(t.Context(), long)
	defer cancel()
	// Each browser gets a profile of its own, which goes with it.
	ctx, cancel = chromedp.NewExecAllocator(ctx, chromedp.ExecPath(path), chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.NoFirstRun, chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true),
		chromedp.Flag("disable-dev-shm-usage", true), chromedp.WSURLReadTimeout(long))
	defer cancel()
	mailTab, cancel := chromedp.NewContext(ctx)
	defer cancel()
	check(t, chromedp.Do(mailTab,
		chromedp.Navigate(inbox),
		chromedp.Click(fmt.Sprintf(`//tr[td[contains(., %q)]]//a`, address)),
		chromedp.WaitVisible(`//h1[contains(., "Invitation to join Acme S.p.A.")]`)))

	// The link opens a tab of its own.
	opened := chromedp.WaitNewTarget(mailTab, func(info *target.Info) bool { return strings.Contains(info.URL, "/i/") })
	check(t, chromedp.Do(mailTab, chromedp.Click(`//pre//a[contains(@href, "/i/")]`)))
	var id target.ID
	select {
	case id = <-opened:
	case <-ctx.Done():
		t.Fatal("the link in the mail opens nothing")
	}
	page, cancel := chromedp.NewContext(mailTab, chromedp.WithTargetID(id))
	defer cancel()
	check(t, chromedp.Do(page,
		chromedp.WaitVisible(`//h1[contains(., "Invitation to Acme S.p.A.")]`),
		chromedp.Click(`//button[text()="Accept"]`),
		chromedp.WaitVisible(`//h1[contains(., "Welcome to Acme S.p.A.")]`)))
}
