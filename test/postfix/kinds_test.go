// Copyright The orgkeeper Authors.
// SPDX-License-Identifier: Apache-2.0

package postfix

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/orgkeeper/orgkeeper/internal/mail"
)

const acceptURL = "https://orgs.mail.example/i/AAAAAwAAAABqRQPAMGM5ZjRmMGUtNmQzYi00YjhlLTlhNTMtMGE0YTVmNmY3ZTEx"

var (
	sent    = time.Date(2026, 6, 24, 9, 30, 15, 0, time.UTC)
	due     = time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	inviter = "jane@acme.example"

	// What tenants may be called; as much as can be said without being made harmless.
	organizations = map[string]string{
		"en": `Smith, "Söhne" & Co <3; déjà vu`,
		"it": `L'Università è già "più", Società Ltd`,
		"pl": `Zażółć gęślą jaźń, "Źrebię" Spółka`,
	}
	recipients = map[string]string{
		"en": `O'Neil, "Joe" (Jr)`,
		"it": `D'Èrcole, "Niccolò"`,
		"pl": `Wąż, "Świętosława" Łucja`,
	}
	message = "Ciao! Cześć! Žluťoučký kůň.\n\n.\nFrom here on: =3D =?utf-8?q?no?= \"quoted\"\n" + strings.Repeat("Ł", 300)
)

// kind is a mail that people get, and words that it must have in each language, besides those of the sample.
type kind struct {
	content func(organization string) mail.Content
	link    bool
	subject map[string]string // without the organization's name
	words   map[string]string
}

func ownership(gained bool) func(string) mail.Content {
	return func(organization string) mail.Content {
		return mail.Ownership{Organization: organization, Gained: gained, Other: `Żaneta "Ż" Ćwik`, Role: "Admin", At: due}
	}
}

func invitation(reminder bool) func(string) mail.Content {
	return func(organization string) mail.Content {
		return mail.Invitation{
			Reminder: reminder, Organization: organization, Role: "UserAdmin", Inviter: inviter, Message: message,
			Workspaces: strings.Fields("sieć łąka caffè web"), Expires: due, AcceptURL: acceptURL,
		}
	}
}

var kinds = map[string]kind{
	"invitation": {
		invitation(false), true,
		map[string]string{"en": "Invitation to join ", "it": "Invito a far parte di ", "pl": "Zaproszenie do organizacji "},
		map[string]string{"en": "To accept or decline, open this page:", "it": "Per accettare o rifiutare, apra questa pagina:", "pl": "Aby przyjąć lub odrzucić zaproszenie, otwórz tę stronę:"},
	},
	"reminder": {
		invitation(true), true,
		map[string]string{"en": "Reminder: invitation to join ", "it": "Promemoria: invito a far parte di ", "pl": "Przypomnienie: zaproszenie do organizacji "},
		map[string]string{"en": "This is a reminder", "it": "Questo è il promemoria", "pl": "Przypominamy o zaproszeniu"},
	},
	"role-changed": {
		func(organization string) mail.Content {
			return mail.RoleChange{Organization: organization, From: "Member", To: "BillingAdmin", At: due}
		}, false,
		map[string]string{"en": "Your role in ", "it": "Il Suo ruolo in ", "pl": "Zmiana Twojej roli w organizacji "},
		map[string]string{"en": "New role:", "it": "Nuovo ruolo:", "pl": "Nowa rola: administrator rozliczeń"},
	},
	"membership-ended": {
		func(organization string) mail.Content {
			return mail.MembershipEnd{Organization: organization, Since: due}
		}, false,
		map[string]string{"en": "Your membership in ", "it": "Non fa più parte di ", "pl": "Koniec Twojego członkostwa w organizacji "},
		map[string]string{"en": "You no longer have access", "it": "non ha più accesso", "pl": "Nie masz już dostępu"},
	},
	"ownership-gained": {
		ownership(true), false,
		map[string]string{"en": "You now own ", "it": "La titolarità di ", "pl": "Własność organizacji "},
		map[string]string{"en": `New owner: you`, "it": "Titolare attuale: Lei", "pl": "Nowy właściciel: Ty"},
	},
	"ownership-lost": {
		ownership(false), false,
		map[string]string{"en": "You no longer own ", "it": "La titolarità di ", "pl": "Własność organizacji "},
		map[string]string{"en": "You remain an admin.", "it": "Lei mantiene il ruolo di amministratore.", "pl": "Zachowujesz rolę administratora."},
	},
}

// Every kind of mail in every language comes out of a mail server of others as it was meant.
func TestKinds(t *testing.T) {
	for _, algorithm := range []string{"rsa", "ed25519"} {
		t.Run(algorithm, func(t *testing.T) { testKinds(t, algorithm) })
	}
}

func testKinds(t *testing.T, algorithm string) {
	// A local part beyond ASCII needs SMTPUTF8, a domain goes in its ASCII form.
	boxes := map[string]string{"en": "joe@acme.example", "it": "niccolò@acme.example", "pl": "świętosława@xn--w-uga1v8h.example"}
	addresses := map[string]string{"en": boxes["en"], "it": boxes["it"], "pl": "świętosława@żółw.example"}
	s, key := start(t, boxes["en"], boxes["it"], boxes["pl"]), newSigner(t, algorithm)
	smtp := s.sender(t, "all", key.sign)
	meant := map[string]letter{}
	for name, k := range kinds {
		for _, language := range mail.Languages() {
			m, err := (*mail.Templates)(nil).Compose(mail.Envelope{
				MessageID: messageID(name, language),
				From:      mail.Address{Name: "orgkeeper, żółty", Address: "no-reply@" + senderDomain},
				To:        mail.Address{Name: recipients[language], Address: addresses[language]},
				Date:      sent, Language: language,
			}, k.content(organizations[language]))
			check(t, err)
			meant[m.ID], err = read(string(m.Data))
			check(t, err)
			check(t, smtp.Send(t.Context(), m))
		}
	}
	for _, language := range mail.Languages() {
		got := s.await(t, boxes[language], len(kinds), key)
		for name, k := range kinds {
			t.Run(name+"."+language, func(t *testing.T) {
				id := messageID(name, language)
				l, ok := got[id]
				if !ok {
					t.Fatal("did not arrive")
				}
				l.sameWords(t, meant[id])
				l.sampleHeaders(t, k, language, boxes[language])
				if subject := l.subject; !strings.HasPrefix(subject, k.subject[language]) || !strings.Contains(subject, organizations[language]) {
					t.Errorf("subject: %q", subject)
				}
				for _, words := range []string{k.words[language], organizations[language], recipients[language]} {
					if !l.says(words) {
						t.Errorf("does not say %q:\n%s", words, l.text)
					}
				}
				l.sampleLink(t, k)
			})
		}
	}
}

func messageID(kind, language string) string {
	return fmt.Sprintf("0c9f4f0e-6d3b-4b8e-9a53-0a4a5f6f7e11.3.%s.%s@%s", kind, language, senderDomain)
}

// sameWords compares with what was composed.
func (l letter) sameWords(t *testing.T, meant letter) {
	t.Helper()
	for part, pair := range map[string][2]string{
		"subject": {meant.subject, l.subject}, "text": {meant.text, l.text}, "HTML": {meant.html, l.html},
	} {
		if diff := cmp.Diff(pair[0], pair[1]); diff != "" {
			t.Errorf("%s, as composed and as read: -want +got:\n%s", part, diff)
		}
	}
}

func (l letter) sampleHeaders(t *testing.T, k kind, language, box string) {
	t.Helper()
	want := map[string]string{
		"Message-ID": "<" + l.id + ">", "Date": "Wed, 24 Jun 2026 09:30:15 +0000", "Content-Language": language,
		"Reply-To": "",
		// What postfix knows of the envelope.
		"Return-Path": "<no-reply@" + senderDomain + ">", "X-Original-To": box,
	}
	if k.link { // an invitation or a reminder
		want["Reply-To"] = "<" + inviter + ">"
	}
	l.headers(t, want)
	if from := l.person(t, "From"); from.Name != "orgkeeper, żółty" || from.Address != "no-reply@"+senderDomain {
		t.Errorf("From: %q", from)
	}
	if to := l.person(t, "To"); to.Name != recipients[language] || to.Address != box {
		t.Errorf("To: %q", to)
	}
}

// sampleLink fails unless the only link of the mail, in both parts, is the one that the kind has.
func (l letter) sampleLink(t *testing.T, k kind) {
	t.Helper()
	var want []string
	if k.link {
		want = []string{acceptURL}
	}
	for name, part := range map[string]string{"text": l.text, "HTML": l.html} {
		if diff := cmp.Diff(want, links(part)); diff != "" {
			t.Errorf("links in the %s: -want +got:\n%s", name, diff)
		}
	}
}
