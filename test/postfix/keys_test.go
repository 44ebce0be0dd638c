// Copyright The orgkeeper Authors.
// SPDX-License-Identifier: Apache-2.0

package postfix

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-msgauth/dkim"

	"github.com/orgkeeper/orgkeeper/internal/mail"
)

const (
	senderDomain = "mail.example"
	selector     = "mail2026"
)

// signer is a key that mails are signed with, and what DNS would say of it.
type signer struct {
	config mail.DKIM
	record string
}

func newSigner(t *testing.T, kind string) signer {
	t.Helper()
	var key crypto.Signer
	var public []byte
	var err error
	if kind == "rsa" {
		var k *rsa.PrivateKey
		k, err = rsa.GenerateKey(rand.Reader, 2048)
		check(t, err)
		public, err = x509.MarshalPKIXPublicKey(k.Public())
		key = k
	} else {
		public, key, err = ed25519.GenerateKey(rand.Reader)
	}
	check(t, err)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	check(t, err)
	file := filepath.Join(t.TempDir(), "dkim.pem")
	writePEM(t, file, "PRIVATE KEY", der)
	return signer{
		config: mail.DKIM{Domain: senderDomain, Selector: selector, KeyFile: file},
		record: "v=DKIM1; k=" + kind + "; p=" + base64.StdEncoding.EncodeToString(public),
	}
}

// sign has mails signed.
func (s signer) sign(c *mail.Config) { c.DKIM = s.config }

// verify asks a program of others whether a mail, as it lies in the mailbox, is signed.
func (s signer) verify(raw string) error {
	found, err := dkim.VerifyWithOptions(strings.NewReader(raw), &dkim.VerifyOptions{LookupTXT: func(name string) ([]string, error) {
		if name != selector+"._domainkey."+senderDomain {
			return nil, errors.New("no such name: " + name)
		}
		return []string{s.record}, nil
	}})
	if err != nil {
		return err
	}
	if len(found) != 1 || found[0].Domain != senderDomain {
		return fmt.Errorf("want one signature of %s, got %d", senderDomain, len(found))
	}
	return found[0].Err
}

// writeCertificate writes name.ca.pem, a CA, and what it vouches for: name.pem and name.key, a server's.
func writeCertificate(t *testing.T, dir, name, host string) {
	t.Helper()
	caKey, key := newKey(t), newKey(t)
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name + " CA"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: host}, DNSNames: []string{host},
		NotBefore: ca.NotBefore, NotAfter: ca.NotAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, caKey.Public(), caKey)
	check(t, err)
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, ca, key.Public(), caKey)
	check(t, err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	check(t, err)
	writePEM(t, filepath.Join(dir, name+".ca.pem"), "CERTIFICATE", caDER)
	writePEM(t, filepath.Join(dir, name+".pem"), "CERTIFICATE", leafDER)
	writePEM(t, filepath.Join(dir, name+".key"), "PRIVATE KEY", keyDER)
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	return key
}

func writePEM(t *testing.T, file, kind string, der []byte) {
	t.Helper()
	check(t, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
}
