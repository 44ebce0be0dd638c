// Copyright The orgkeeper Authors.
// SPDX-License-Identifier: Apache-2.0

package stack

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// TestLastActive: mia works in her workspace with a kubeconfig of her own, and LAST ACTIVE moves. On the way is everything that
// "make run" has: kube-apiserver with its audit webhook, TLS both ways, and the operator.
func TestLastActive(t *testing.T) {
	s := makeRun(t, "--activity-interval=1s")
	s.admin = s.client(t)
	if m := s.member(t, "mia"); m.Status.LastActiveTime != nil {
		t.Fatalf("mia, who has not answered, was active at %s", m.Status.LastActiveTime)
	}
	want(t, http.MethodPost, s.letters(t)["mia@acme.example"][0].link+"/accept", http.StatusOK, "Welcome to Acme S.p.A.")
	mine := "--kubeconfig=" + s.kubeconfigOf(t, "mia@acme.example")
	eventually(t, soon, "mia works in web", func() error {
		_, err := s.try(t.Context(), mine, "get", "pods", "-n", "acme--web")
		return err
	})
	if _, err := s.try(t.Context(), mine, "get", "pods", "-n", "acme--api"); err == nil || !strings.Contains(err.Error(), "Forbidden") {
		t.Errorf("mia, who is not assigned to api, lists its pods: %v", err)
	}

	// Later by more than the interval she lists pods, once, and nobody else does anything as her.
	before := s.lastActive(t, "mia", time.Time{})
	eventually(t, soon, "the interval passes", func() error {
		if time.Since(before) < 3*time.Second {
			return errNotYet
		}
		return nil
	})
	asked := time.Now().Truncate(time.Second)
	s.kubectl(t, mine, "get", "pods", "-n", "acme--web")
	moved := s.lastActive(t, "mia", asked)
	t.Logf("accepted or active at %s, listed pods at %s, last active %s", before.UTC(), asked.UTC(), moved.UTC())
	if ahead := time.Until(moved); ahead > 0 {
		t.Errorf("last active %s ahead of now", ahead)
	}
	shown := s.kubectl(t, "get", "om", "-n", "acme")
	t.Logf("$ kubectl get om -n acme\n%s", shown)
	if !regexp.MustCompile(`(?m)^mia +mia@acme\.example +Member +Active +\d+s +True`).MatchString(shown) {
		t.Errorf("kubectl get om does not show when mia was last active:\n%s", shown)
	}
	if m := s.member(t, "joe"); m.Status.LastActiveTime != nil {
		t.Errorf("joe, who did nothing, was active at %s", m.Status.LastActiveTime)
	}
}

// lastActive waits until a member was active at this time or later.
func (s *devstack) lastActive(t *testing.T, name string, from time.Time) time.Time {
	t.Helper()
	var at *metav1.Time
	eventually(t, soon, name+" was active", func() error {
		at = s.member(t, name).Status.LastActiveTime
		if at == nil || at.Time.Before(from) {
			return fmt.Errorf("last active %v, want %v or later", at, from)
		}
		return nil
	})
	return at.Time
}

// kubeconfigOf gives a person a certificate that the cluster signs, and a kubeconfig with nothing else in it.
func (s *devstack) kubeconfigOf(t *testing.T, user string) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: user}}, key)
	check(t, err)
	csr := &certificatesv1.CertificateSigningRequest{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "person-"},
		Spec: certificatesv1.CertificateSigningRequestSpec{
			Request:    pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}),
			SignerName: certificatesv1.KubeAPIServerClientSignerName,
			Usages:     []certificatesv1.KeyUsage{certificatesv1.UsageClientAuth},
		},
	}
	check(t, s.admin.Create(t.Context(), csr))
	s.kubectl(t, "certificate", "approve", csr.Name)
	eventually(t, soon, "a certificate for "+user, func() error {
		if err := s.admin.Get(t.Context(), client.ObjectKeyFromObject(csr), csr); err != nil {
			return err
		}
		if len(csr.Status.Certificate) == 0 {
			return errors.New("not signed yet")
		}
		return nil
	})
	private, err := x509.MarshalPKCS8PrivateKey(key)
	check(t, err)
	config, err := clientcmd.LoadFromFile(filepath.Join(s.dir, "kubeconfig"))
	check(t, err)
	config.AuthInfos = map[string]*clientcmdapi.AuthInfo{user: {
		ClientCertificateData: csr.Status.Certificate,
		ClientKeyData:         pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}),
	}}
	config.Contexts[config.CurrentContext].AuthInfo = user
	file := filepath.Join(t.TempDir(), "kubeconfig")
	check(t, clientcmd.WriteToFile(*config, file))
	return file
}
