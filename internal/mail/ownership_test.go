package mail_test

import (
	"strings"
	"testing"
	"time"

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
			if m, err := words.Compose(e, o); err == nil {
				t.Errorf("%s: was composed:\n%s", c.reason, m.Data)
			} else if strings.Contains(err.Error(), "acme") || !strings.HasPrefix(err.Error(), "ownership mail: ") {
				t.Errorf("%s: the error is %q", c.reason, err)
			}
		})
	}
}
