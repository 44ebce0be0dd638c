package mail_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-msgauth/dkim"
	"github.com/emersion/go-smtp"

	om "github.com/orgkeeper/orgkeeper/internal/mail"
)

// keyFile writes a private key in PEM; PKCS #1 needs RSA.
func keyFile(t *testing.T, key any, pkcs1 bool) string {
	t.Helper()
	block := &pem.Block{Type: "PRIVATE KEY"}
	var err error
	if pkcs1 {
		block = &pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key.(*rsa.PrivateKey))}
	} else if block.Bytes, err = x509.MarshalPKCS8PrivateKey(key); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "dkim.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func rsaKey(t *testing.T, bits int) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func edKey(t *testing.T) ed25519.PrivateKey {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// verify asks a foreign program whether a mail is signed with the key as DNS would show it.
func verify(t *testing.T, content string, public crypto.PublicKey) error {
	t.Helper()
	record := "v=DKIM1; k=ed25519; p="
	var p []byte
	switch k := public.(type) {
	case ed25519.PublicKey:
		p = k
	case *rsa.PublicKey:
		record = "v=DKIM1; k=rsa; p="
		var err error
		if p, err = x509.MarshalPKIXPublicKey(k); err != nil {
			t.Fatal(err)
		}
	}
	found, err := dkim.VerifyWithOptions(strings.NewReader(content), &dkim.VerifyOptions{LookupTXT: func(name string) ([]string, error) {
		if name != "mail2026._domainkey.mail.example" {
			return nil, errors.New("no such name: " + name)
		}
		return []string{record + base64.StdEncoding.EncodeToString(p)}, nil
	}})
	if err != nil {
		return err
	}
	if len(found) != 1 || found[0].Domain != "mail.example" {
		t.Fatalf("signatures: %+v", found)
	}
	return found[0].Err
}

func signing(file string) om.DKIM {
	return om.DKIM{Domain: "mail.example", Selector: "mail2026", KeyFile: file}
}

func TestSendSigns(t *testing.T) {
	r, ed := rsaKey(t, 2048), edKey(t)
	for name, c := range map[string]struct {
		file   string
		public crypto.PublicKey
	}{
		"RSA":      {keyFile(t, r, false), r.Public()},
		"RSAPKCS1": {keyFile(t, r, true), r.Public()},
		"Ed25519":  {keyFile(t, ed, false), ed.Public()},
	} {
		t.Run(name, func(t *testing.T) {
			var srv server
			srv.start(t, nil)
			s := sender(t, om.Config{Address: srv.address, DKIM: signing(c.file)})
			e, m := envelope, composed(t)
			e.Language = "pl"
			polish, err := words.Compose(e, membershipEnd) // in quoted-printable, without Reply-To
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range []om.Message{m, m, polish} {
				if err := s.Send(t.Context(), m); err != nil {
					t.Fatal(err)
				}
			}
			got := srv.got()
			for _, content := range []string{got[0], got[2]} {
				if err := verify(t, content, c.public); err != nil {
					t.Errorf("not signed: %v\n%s", err, content)
				}
				for _, added := range []string{"From: <x@evil.example>\r\n", "Reply-To: <x@evil.example>\r\n", "Subject: evil\r\n", "Content-Type: text/html\r\n"} {
					if verify(t, added+content, c.public) == nil {
						t.Errorf("the signature stands although %q was added", added)
					}
				}
				if verify(t, content+"and more\r\n", c.public) == nil {
					t.Error("the signature stands although the content has changed")
				}
			}
			if got[0] != got[1] {
				t.Errorf("a copy must be the same mail, signature included:\n%s\n%s", got[0], got[1])
			}
			if signature, mail, ok := strings.Cut(got[0], "\r\nAuto-Submitted:"); !ok || "Auto-Submitted:"+mail != string(m.Data) || !strings.HasPrefix(signature, "DKIM-Signature: ") {
				t.Errorf("signing changed more than it added:\n%s", got[0])
			}
		})
	}
}

// A changed Secret needs no restart: not for the key of signatures, not for the CA of the server.
func TestSendReadsItsFilesEachTime(t *testing.T) {
	tlsConfig, ca := certificate(t)
	var srv server
	srv.start(t, func(s *smtp.Server) { s.TLSConfig = tlsConfig })
	before, after := edKey(t), edKey(t)
	file := keyFile(t, before, false)
	other := filepath.Join(t.TempDir(), "ca.pem")
	copyFile(t, otherCA(t), other)
	s := sender(t, om.Config{Address: srv.address, TLS: om.StartTLS, CAFile: other, ServerName: "example.com", DKIM: signing(file)})
	var failure *om.Error
	if err := s.Send(t.Context(), composed(t)); !errors.As(err, &failure) || failure.Kind != om.Unavailable {
		t.Fatalf("a CA that did not sign the server's certificate: got %v, want Unavailable", err)
	}
	copyFile(t, ca, other)
	if err := s.Send(t.Context(), composed(t)); err != nil {
		t.Fatalf("the CA is right now: %v", err)
	}
	copyFile(t, keyFile(t, after, false), file)
	if err := s.Send(t.Context(), composed(t)); err != nil {
		t.Fatal(err)
	}
	got := srv.got()
	if err := errors.Join(verify(t, got[0], before.Public()), verify(t, got[1], after.Public())); err != nil {
		t.Errorf("signed with the key of then: %v", err)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := s.Send(t.Context(), composed(t)); !errors.As(err, &failure) || failure.Kind != om.Unavailable || !strings.Contains(failure.Text, "reading the DKIM key") {
		t.Errorf("key gone: got %v, want Unavailable", err)
	}
	if len(srv.got()) != 2 {
		t.Error("a mail went out without a signature")
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	content, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, content, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// otherCA gives the file of a certificate that signed nothing.
func otherCA(t *testing.T) string {
	t.Helper()
	key := edKey(t)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "other.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestDKIMRefuses(t *testing.T) {
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public := filepath.Join(t.TempDir(), "public.pem")
	der, err := x509.MarshalPKIXPublicKey(curve.Public())
	if err == nil {
		err = os.WriteFile(public, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	good := keyFile(t, edKey(t), false)
	for name, c := range map[string]struct {
		reason string
		dkim   om.DKIM
		want   string
	}{
		"NoSelector":  {"all or nothing", om.DKIM{Domain: "mail.example", KeyFile: good}, "all of domain, selector and key file"},
		"NoDomain":    {"all or nothing", om.DKIM{Selector: "s", KeyFile: good}, "all of domain, selector and key file"},
		"NoKey":       {"all or nothing", om.DKIM{Domain: "mail.example", Selector: "s"}, "all of domain, selector and key file"},
		"Domain":      {"would end the tag", om.DKIM{Domain: "mail.example; x=1", Selector: "s", KeyFile: good}, "DKIM domain"},
		"Unicode":     {"as DNS has it", om.DKIM{Domain: "bücher.example", Selector: "s", KeyFile: good}, "ASCII"},
		"Selector":    {"would end the header", om.DKIM{Domain: "mail.example", Selector: "s\r\nBcc: x", KeyFile: good}, "DKIM selector"},
		"Gone":        {"no file", signing(filepath.Join(t.TempDir(), "gone")), "gone"},
		"NoPEM":       {"no PEM", signing(passwordFile(t, "hunter2")), "no RSA or Ed25519 private key in PEM"},
		"Public":      {"the wrong half", signing(public), "PUBLIC KEY"},
		"Curve":       {"DKIM has no ECDSA", signing(keyFile(t, curve, false)), "no RSA or Ed25519"},
		"Short":       {"can be broken", signing(keyFile(t, rsaKey(t, 1024), true)), "1024 bits"},
		"NoPEMSecret": {"the content is not shown", signing(passwordFile(t, "hunter2")), "password"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := om.NewSMTP(om.Config{Address: "relay.example:587", TLS: om.StartTLS, Timeout: time.Second, DKIM: c.dkim})
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%s: got %v, want %q", c.reason, err, c.want)
			}
		})
	}
}
