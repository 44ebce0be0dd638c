package mail

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"strings"
	"testing"
	"time"
)

// BenchmarkCompose writes each mail that there is, in each language, with all that can be in it.
func BenchmarkCompose(b *testing.B) {
	e, at := benchEnvelope(), time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	invitation := benchInvitation()
	for _, c := range []struct {
		name    string
		content Content
	}{
		{"invitation", invitation},
		{"role-changed", RoleChange{Organization: "Acme S.p.A.", From: "Member", To: "UserAdmin", At: at}},
		{"membership-ended", MembershipEnd{Organization: "Acme S.p.A.", Since: at}},
		{"ownership", Ownership{Organization: "Acme S.p.A.", Gained: true, Other: "Jane Doe", Role: "Admin", At: at}},
		{"subscription", Subscription{Organization: "Acme S.p.A.", About: "SeatsTaken", Seats: 50}},
	} {
		for _, language := range Languages() {
			b.Run(c.name+"/"+language, func(b *testing.B) {
				var words *Templates
				e.Language = language
				b.ReportAllocs()
				for b.Loop() {
					if _, err := words.Compose(e, c.content); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// BenchmarkDKIM is what a signature costs a mail beside that.
func BenchmarkDKIM(b *testing.B) {
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	big, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		b.Fatal(err)
	}
	m, err := builtIn().Compose(benchEnvelope(), benchInvitation())
	if err != nil {
		b.Fatal(err)
	}
	for _, c := range []struct {
		name string
		key  any
	}{{"Off", nil}, {"Ed25519", ed}, {"RSA2048", big}} {
		s := &settings{}
		text := ""
		if c.key != nil {
			der, err := x509.MarshalPKCS8PrivateKey(c.key)
			if err != nil {
				b.Fatal(err)
			}
			text = string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
			s.dkimDomain, s.dkimSelector = "mail.example", "a"
		}
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if text != "" { // the key is read for each mail
					if s.key, err = parseKey(text); err != nil {
						b.Fatal(err)
					}
				}
				if signed, err := s.sign(m); err != nil || (len(signed) > len(m.Data)) != (text != "") {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkLanguage chooses the language of a mail.
func BenchmarkLanguage(b *testing.B) {
	for _, locale := range []string{"pl", "it-CH", "cy"} {
		b.Run(locale, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if Language(locale, "it") == "" {
					b.Fatal("none")
				}
			}
		})
	}
}

func benchEnvelope() Envelope {
	return Envelope{
		MessageID: "0c9f4f0e-6d3b-4b8e-9a53-0a4a5f6f7e11.3.invitation@mail.example",
		From:      Address{Name: "orgkeeper", Address: "no-reply@mail.example"},
		To:        Address{Name: "Łukasz Żółć", Address: "lukasz@acme.example"},
		Date:      time.Date(2026, 6, 24, 9, 30, 0, 0, time.UTC),
	}
}

func benchInvitation() Invitation {
	inv := Invitation{
		Organization: "Acme S.p.A.", Role: "UserAdmin", Inviter: "jane@acme.example",
		Message:   strings.Repeat("Welcome to all of us! We meet on Monday.\n", 10),
		Expires:   time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC),
		AcceptURL: "https://orgs.mail.example/i/AAAAAwAAAABqRQPAMGM5ZjRmMGUtNmQz",
	}
	for i := range 12 {
		inv.Workspaces = append(inv.Workspaces, fmt.Sprintf("Team %d", i))
	}
	return inv
}
