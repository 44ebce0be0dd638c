package mail_test

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	om "github.com/orgkeeper/orgkeeper/internal/mail"
)

var update = flag.Bool("update", false, "write testdata/*.golden anew")

var (
	roleChange    = om.RoleChange{Organization: "Acme S.p.A.", From: "Member", To: "UserAdmin", At: gained.At}
	membershipEnd = om.MembershipEnd{Organization: "Acme S.p.A.", Since: gained.At}
)

// kinds are all mails that people get, with all that there can be in them.
func kinds() map[string]om.Content {
	full := invitation
	full.Workspaces = strings.Fields("web api shop billing search mail docs status wiki intranet lab backup")
	reminder := full
	reminder.Reminder = true
	return map[string]om.Content{
		"invitation":       full,
		"reminder":         reminder,
		"role-changed":     roleChange,
		"membership-ended": membershipEnd,
		"ownership-gained": gained,
		"ownership-lost":   lost("Admin"),
		"seats-taken":      om.Subscription{Organization: "Acme S.p.A.", About: "SeatsTaken", Seats: 5},
		"cancelled":        om.Subscription{Organization: "Acme S.p.A.", About: "Cancelled", PaidThrough: gained.At},
		"ending":           om.Subscription{Organization: "Acme S.p.A.", About: "Ending", PaidThrough: gained.At},
		"ended":            om.Subscription{Organization: "Acme S.p.A.", About: "Ended", PaidThrough: gained.At},
	}
}

func TestGolden(t *testing.T) {
	for kind, content := range kinds() {
		for _, language := range om.Languages() {
			t.Run(kind+"."+language, func(t *testing.T) {
				e := envelope
				e.Language = language
				goldenMail(t, kind+"."+language, e, content)
			})
		}
	}
}

func TestGoldenSpecial(t *testing.T) {
	bare := invitation
	bare.Role, bare.Inviter, bare.Message = "Member", "", ""
	anonymous := envelope
	anonymous.To.Name = ""

	international := invitation
	international.Organization = "Žluťoučký kůň – 株式会社, spol. s r.o. and a name that does not fit in one line of a header"
	international.Role = "BillingAdmin"
	international.Inviter = "jane@bücher.example"
	abroad := envelope
	abroad.To = om.Address{Name: "Łukasz Żółć", Address: "lukasz@bücher.example"}

	const organization = "Acme\r\nBcc: all@evil.example\r\n\r\n<script>alert(1)</script> https://evil.example/login"
	hostile := invitation
	hostile.Organization = organization
	hostile.Inviter = "The Bank <a href=\"http://evil.example\">www.evil.example</a>\u202e"
	hostile.Message = "Your account is locked.\r\n.\r\nQUIT\r\nLog in at https://evil.example/login or evil.example\x00\u2066\n" + strings.Repeat("spam ", 400)
	hostile.Workspaces = slices.Repeat([]string{"\u202e", "<b>www.evil.example</b>\r\nBcc: x"}, 12)
	target := envelope
	target.To.Name = "Joe\r\nSubject: =?utf-8?q?hi?= \"<x@evil.example>"
	taken := gained
	taken.Organization = organization
	taken.Other = "The Bank <a href=\"http://evil.example\">www.evil.example</a>\u202e" + strings.Repeat(" spam", 100)

	for name, c := range map[string]struct {
		envelope om.Envelope
		content  om.Content
	}{
		"invitation-bare":          {anonymous, bare},
		"invitation-international": {abroad, international},
		"invitation-hostile":       {target, hostile},
		"ownership-demoted":        {anonymous, lost("BillingAdmin")},
		"ownership-inactive":       {envelope, lost("")},
		"ownership-hostile":        {target, taken},
		"cancelled-bare":           {anonymous, om.Subscription{Organization: "Acme", About: "Cancelled"}},
		"ended-hostile":            {target, om.Subscription{Organization: organization, About: "Ended", PaidThrough: gained.At}},
	} {
		t.Run(name, func(t *testing.T) { goldenMail(t, name, c.envelope, c.content) })
	}
}

// goldenMail compares a mail as it goes out (eml), and what a reader sees of it (txt, html).
func goldenMail(t *testing.T, name string, e om.Envelope, c om.Content) {
	t.Helper()
	m, err := words.Compose(e, c)
	if err != nil {
		t.Fatal(err)
	}
	env := read(t, m)
	golden(t, name+".eml", strings.ReplaceAll(string(m.Data), "\r\n", "\n"))
	golden(t, name+".txt", strings.ReplaceAll(env.Text, "\r\n", "\n"))
	golden(t, name+".html", strings.ReplaceAll(env.HTML, "\r\n", "\n"))
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (write it anew with -update) -want +got:\n%s", file, diff)
	}
}

// What a mail says, in words that each language has its own way for.
func TestWords(t *testing.T) {
	workspaces := func(n int) om.Invitation {
		inv := invitation
		inv.Workspaces = slices.Repeat([]string{"web"}, n)
		return inv
	}
	role := func(r string) om.Invitation {
		inv := invitation
		inv.Role = r
		return inv
	}
	winter := om.MembershipEnd{Organization: "Acme", Since: time.Date(2026, 12, 31, 23, 59, 59, 0, time.FixedZone("", -60*60))}
	for _, c := range []struct {
		reason, language string
		content          om.Content
		want             string
	}{
		{"the zone is said, the moment is in it", "en", winter, "Friday, 1 January 2027, 00:59 UTC"},
		{"days and months are written small", "it", winter, "venerdì 1 gennaio 2027, ore 00:59 UTC"},
		{"the month is in the genitive", "pl", winter, "piątek, 1 stycznia 2027 r., godz. 00:59 UTC"},
		{"ten are listed", "en", workspaces(10), "web, web\r\n"},
		{"one", "en", workspaces(11), "web and 1 more workspace\r\n"},
		{"many", "en", workspaces(12), "web and 2 more workspaces\r\n"},
		{"one", "it", workspaces(11), "e un altro spazio di lavoro\r\n"},
		{"many", "it", workspaces(12), "e altri 2 spazi di lavoro\r\n"},
		{"one", "pl", workspaces(11), "i jeszcze 1 przestrzeń robocza\r\n"},
		{"few", "pl", workspaces(12), "i jeszcze 2 przestrzenie robocze\r\n"},
		{"many", "pl", workspaces(15), "i jeszcze 5 przestrzeni roboczych\r\n"},
		{"the teens are many", "pl", workspaces(22), "i jeszcze 12 przestrzeni roboczych\r\n"},
		{"after twenty it begins again", "pl", workspaces(32), "i jeszcze 22 przestrzenie robocze\r\n"},
		{"roles", "it", role("Admin"), "amministratore\r\n"},
		{"roles", "it", role("UserAdmin"), "responsabile degli utenti\r\n"},
		{"roles", "pl", role("BillingAdmin"), "administrator rozliczeń\r\n"},
		{"roles", "pl", role("Member"), "członek\r\n"},
	} {
		e := envelope
		e.Language = c.language
		m, err := words.Compose(e, c.content)
		if err != nil {
			t.Fatal(err)
		}
		env := read(t, m)
		// Lines are broken somewhere in between.
		if got := strings.Join(strings.Fields(env.Text), " ") + " "; !strings.Contains(got, strings.ReplaceAll(c.want, "\r\n", " ")) {
			t.Errorf("%s (%s): want %q in\n%s", c.reason, c.language, c.want, env.Text)
		}
	}
}

func TestLanguage(t *testing.T) {
	for _, c := range []struct {
		reason               string
		member, organization string
		want                 string
	}{
		{"nobody said", "", "", "en"},
		{"the member's", "pl", "it", "pl"},
		{"a region has its language", "pl-PL", "", "pl"},
		{"a region has its language", "it-CH", "", "it"},
		{"the organization's when the member has none", "", "it", "it"},
		{"unknown is as good as none", "de", "pl", "pl"},
		{"English is a language, too", "en-GB", "pl", "en"},
		{"the matcher would say English", "sw", "it", "it"},
		{"a script that we do not write", "pl-Cyrl", "it", "it"},
		{"no language at all", "und", "it", "it"},
		{"malformed", "../pl", "it", "it"},
		{"in capitals", "PL", "", "pl"},
		{"neither is known", "de", "fr", "en"},
	} {
		if got := om.Language(c.member, c.organization); got != c.want {
			t.Errorf("%s: %q, %q: got %s, want %s", c.reason, c.member, c.organization, got, c.want)
		}
	}
	e := envelope
	e.Language = "de"
	if _, err := words.Compose(e, invitation); err == nil {
		t.Error("a mail was composed in a language without templates")
	}
}
