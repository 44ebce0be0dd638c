// Copyright The orgkeeper Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// authority signs every certificate of one cluster. It lives as long as the cluster's data; the certificates that it
// signs are made anew at each start, so none expires unnoticed.
type authority struct {
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// identity names a certificate's two files.
type identity struct{ cert, key string }

// openAuthority loads the authority in dir, or makes one where there is none.
func openAuthority(dir string) (*authority, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	a := &authority{dir: dir}
	if err := a.load(); err == nil || !errors.Is(err, os.ErrNotExist) {
		return a, err
	}
	return a, a.create()
}

func (a *authority) files() identity { return a.identity("ca") }

func (a *authority) identity(name string) identity {
	return identity{cert: filepath.Join(a.dir, name+".crt"), key: filepath.Join(a.dir, name+".key")}
}

func (a *authority) load() error {
	certPEM, err := os.ReadFile(a.files().cert)
	if err != nil {
		return err
	}
	keyPEM, err := os.ReadFile(a.files().key)
	if err != nil {
		return err
	}
	certBlock, _ := pem.Decode(certPEM)
	keyBlock, _ := pem.Decode(keyPEM)
	if certBlock == nil || keyBlock == nil {
		return fmt.Errorf("no certificate authority in %s: remove the cluster's directory and start again", a.dir)
	}
	if a.cert, err = x509.ParseCertificate(certBlock.Bytes); err != nil {
		return err
	}
	a.key, err = x509.ParseECPrivateKey(keyBlock.Bytes)
	return err
}

func (a *authority) create() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := certificateTemplate("devcluster", nil, 10*365*24*time.Hour)
	template.IsCA = true
	template.BasicConstraintsValid = true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return err
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		return err
	}
	a.key = key
	return writeIdentity(a.files(), der, key)
}

// issue makes a certificate that serves on 127.0.0.1 and identifies the user name in the groups to the API server.
func (a *authority) issue(file, name string, groups ...string) (identity, error) {
	id := a.identity(file)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return id, err
	}
	template := certificateTemplate(name, groups, 365*24*time.Hour)
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	template.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	template.DNSNames = []string{"localhost"}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		return id, err
	}
	return id, writeIdentity(id, der, key)
}

func certificateTemplate(name string, groups []string, lifetime time.Duration) *x509.Certificate {
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: new(big.Int).SetUint64(uint64(now.UnixNano())),
		Subject:      pkix.Name{CommonName: name, Organization: groups},
		NotBefore:    now.Add(-time.Minute),
		NotAfter:     now.Add(lifetime),
	}
}

func writeIdentity(id identity, der []byte, key *ecdsa.PrivateKey) error {
	if err := writeKey(id.key, key); err != nil {
		return err
	}
	return writeFile(id.cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func writeKey(file string, key *ecdsa.PrivateKey) error {
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	return writeFile(file, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}))
}

// ensureSigningKey makes the key that signs service account tokens, unless the cluster has one: its tokens outlive a
// restart.
func ensureSigningKey(file string) error {
	if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	return writeKey(file, key)
}

// writeKubeconfig writes a kubeconfig whose user has the given YAML lines for credentials.
func (a *authority) writeKubeconfig(file, server, user string) error {
	ca, err := os.ReadFile(a.files().cert)
	if err != nil {
		return err
	}
	return writeFile(file, fmt.Appendf(nil, `apiVersion: v1
kind: Config
current-context: devcluster
contexts:
- name: devcluster
  context: {cluster: devcluster, user: devcluster}
clusters:
- name: devcluster
  cluster:
    server: %s
    certificate-authority-data: %s
users:
- name: devcluster
  user:
%s`, server, base64.StdEncoding.EncodeToString(ca), user))
}

// credentials are the certificate and key as a kubeconfig's user holds them: in line, so that the file can be moved.
func (id identity) credentials() (string, error) {
	cert, err := os.ReadFile(id.cert)
	if err != nil {
		return "", err
	}
	key, err := os.ReadFile(id.key)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("    client-certificate-data: %s\n    client-key-data: %s\n",
		base64.StdEncoding.EncodeToString(cert), base64.StdEncoding.EncodeToString(key)), nil
}

// writeFile replaces a file in one step, readable by its owner alone: a reader sees the old content or the new.
func writeFile(file string, content []byte) error {
	temp, err := os.CreateTemp(filepath.Dir(file), ".tmp-*") // CreateTemp makes it 0600
	if err != nil {
		return err
	}
	_, err = temp.Write(content)
	if err = errors.Join(err, temp.Close()); err == nil {
		err = os.Rename(temp.Name(), file)
	}
	if err != nil {
		_ = os.Remove(temp.Name())
		return fmt.Errorf("write %s: %w", file, err)
	}
	return nil
}
