package mail_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	om "github.com/orgkeeper/orgkeeper/internal/mail"
)

var (
	toNewOwner = om.Envelope{
		MessageID: "0c9f4f0e-6d3b-4b8e-9a53-0a4a5f6f7e11.2.ownership@mail.example",
		From:      envelope.From,
		To:        om.Address{Name: "Ann Doe", Address: "ann@acme.example"},
		Date:      time.Date(2026, 6, 24, 9, 30, 0, 0, time.UTC),
	}
	gained = om.Ownership{
		Organization: "Acme S.p.A.",
		Gained:       true,
		Other:        "Jane Roe",
		At:           time.Date(2026, 6, 24, 11, 30, 0, 0, time.FixedZone("CEST", 2*60*60)),
	}
)

// lost is what the owner before reads.
func lost(role string) om.Ownership {
	o := gained
	o.Gained, o.Other, o.Role = false, "Ann Doe", role
	return o
}

func TestOwnershipGolden(t *testing.T) {
	toJane := toNewOwner
	toJane.To = om.Address{Name: "Jane Roe", Address: "jane@acme.example"}
	anonymous := toJane
	anonymous.To.Name = ""
	hostile := gained
	hostile.Organization = "Acme\r\nBcc: all@evil.example\r\n\r\n<script>alert(1)</script> https://evil.example/login"
	hostile.Other = "The Bank <a href=\"http://evil.example\">www.evil.example</a>\u202e" + strings.Repeat(" spam", 100)
	target := toNewOwner
	target.To.Name = "Ann\r\nSubject: =?utf-8?q?hi?= \"<x@evil.example>"

	for name, c := range map[string]struct {
		envelope  om.Envelope
		ownership om.Ownership
	}{
		"ownership-gained":   {toNewOwner, gained},
		"ownership-lost":     {toJane, lost("Admin")},
		"ownership-demoted":  {anonymous, lost("BillingAdmin")},
		"ownership-inactive": {toJane, lost("")},
		"ownership-hostile":  {target, hostile},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := om.ComposeOwnership(c.envelope, c.ownership)
			if err != nil {
				t.Fatal(err)
			}
			goldenMail(t, name, m)
			again, err := om.ComposeOwnership(c.envelope, c.ownership)
			if diff := cmp.Diff(string(m.Data), string(again.Data)); err != nil || diff != "" {
				t.Errorf("a repeated mail must be the same mail: %v\n%s", err, diff)
			}
			checkAddressed(t, m, c.envelope.To.Address)
		})
	}
}

func checkAddressed(t *testing.T, m om.Message, to string) {
	t.Helper()
	env := read(t, m)
	// The other's address is nobody's business.
	for header, want := range map[string]string{"Auto-Submitted": "auto-generated", "X-Auto-Response-Suppress": "All", "Content-Language": "en"} {
		if got := env.GetHeader(header); got != want {
			t.Errorf("%s: %q, want %q", header, got, want)
		}
	}
	for _, part := range []string{env.Text, env.HTML} {
		if strings.Contains(part, "@") && !strings.Contains(part, "evil") {
			t.Errorf("an address is in the mail:\n%s", part)
		}
	}
	if m.To != to {
		t.Errorf("the mail goes to %q", m.To)
	}
}

func TestOwnershipRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		reason string
		change func(*om.Envelope, *om.Ownership)
	}{
		"NoRecipient":    {"empty", func(e *om.Envelope, _ *om.Ownership) { e.To.Address = "" }},
		"NoOrganization": {"nothing to show", func(_ *om.Envelope, o *om.Ownership) { o.Organization = "\u202e" }},
		"NoOther":        {"nothing to show", func(_ *om.Envelope, o *om.Ownership) { o.Other = "\u202e" }},
		"NoMoment":       {"would say year 1", func(_ *om.Envelope, o *om.Ownership) { o.At = time.Time{} }},
		"Role":           {"unknown", func(_ *om.Envelope, o *om.Ownership) { o.Role = "Owner" }},
	} {
		t.Run(name, func(t *testing.T) {
			e, o := toNewOwner, lost("Admin")
			c.change(&e, &o)
			if m, err := om.ComposeOwnership(e, o); err == nil {
				t.Errorf("%s: was composed:\n%s", c.reason, m.Data)
			} else if strings.Contains(err.Error(), "acme") || !strings.HasPrefix(err.Error(), "ownership mail: ") {
				t.Errorf("%s: the error is %q", c.reason, err)
			}
		})
	}
}

func TestOwnershipHostile(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e, o := envelope, gained
		o.Gained = rapid.Bool().Draw(t, "gained")
		e.To.Name = hostileText.Draw(t, "name")
		o.Organization = "Acme " + hostileText.Draw(t, "organization")
		o.Other = "Ann " + hostileText.Draw(t, "other")
		m, err := om.ComposeOwnership(e, o)
		if err != nil {
			t.Fatalf("not composed: %v", err)
		}
		checkMail(t, m, 0)
	})
}
