package activity

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/internal/facts"
	"github.com/orgkeeper/orgkeeper/internal/guard"
	"github.com/orgkeeper/orgkeeper/test/cluster"
)

// lab is a control plane whose kube-apiserver sends its audit events to replicas of the endpoint, each batch to the next.
type lab struct {
	plane    *cluster.Cluster
	rights   *rest.Config // the operator's
	admin    client.WithWatch
	operator client.Client
	scheme   *runtime.Scheme
	replicas atomic.Pointer[[]http.Handler]
	turn     atomic.Int64
	// url, authority and friends are where batches go, who signed its certificate, and who signs those of senders.
	url                string
	authority, friends *signer
	config             Config
}

const sender = "kube-apiserver-audit"

func openLab(t testing.TB) *lab {
	t.Helper()
	ctrl.SetLogger(logr.Discard())
	l := &lab{authority: newSigner(t, "servers"), friends: newSigner(t, "friends"), scheme: runtime.NewScheme()}
	l.listen(t)
	var err error
	if l.plane, err = cluster.Start(cluster.AuditWebhook(l.kubeconfig(t))); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { check(t, l.plane.Stop()) })
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	check(t, l.plane.Install(ctx))
	l.rights, err = l.plane.Operator(ctx)
	check(t, err)
	check(t, clientgoscheme.AddToScheme(l.scheme))
	check(t, v1alpha1.AddToScheme(l.scheme))
	l.admin, err = client.NewWithWatch(l.plane.Admin, client.Options{Scheme: l.scheme})
	check(t, err)
	l.operator, err = client.New(l.rights, client.Options{Scheme: l.scheme})
	check(t, err)
	return l
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// listen serves over mTLS. Before there are replicas, as when the operator starts, senders are told to come again.
func (l *lab) listen(t testing.TB) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	l.config = Defaults()
	l.config.Address = listener.Addr().String()
	l.config.CertFile, l.config.KeyFile = "given", "given" // to TLS, below
	l.config.ClientCAFile, l.config.ClientNames = file(t, "ca.crt", l.friends.pem), []string{sender}
	l.config.Impersonators = []string{"system:serviceaccount:gate:way"}
	check(t, l.config.Validate())
	l.url = "https://" + l.config.Address + Path
	certificate := l.authority.issue(t, "orgkeeper")
	server := &http.Server{
		ReadHeaderTimeout: time.Second, ErrorLog: log.New(io.Discard, "", 0),
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			replicas := l.replicas.Load()
			if replicas == nil {
				http.Error(w, "not yet", http.StatusServiceUnavailable)
				return
			}
			(*replicas)[int(l.turn.Add(1))%len(*replicas)].ServeHTTP(w, r)
		}),
	}
	ended := make(chan error, 1)
	go func() {
		ended <- server.Serve(tls.NewListener(listener, l.config.TLS(func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return certificate, nil })))
	}()
	t.Cleanup(func() { _, _ = server.Close(), <-ended })
}

// kubeconfig is what --audit-webhook-config-file names.
func (l *lab) kubeconfig(t testing.TB) string {
	t.Helper()
	path := file(t, "kubeconfig", nil)
	certificate, key := l.friends.pair(t, sender)
	check(t, clientcmd.WriteToFile(clientcmdapi.Config{
		Clusters:       map[string]*clientcmdapi.Cluster{"a": {Server: l.url, CertificateAuthorityData: l.authority.pem}},
		AuthInfos:      map[string]*clientcmdapi.AuthInfo{"a": {ClientCertificateData: certificate, ClientKeyData: key}},
		Contexts:       map[string]*clientcmdapi.Context{"a": {Cluster: "a", AuthInfo: "a"}},
		CurrentContext: "a",
	}, path))
	return path
}

// replica is one that takes events and writes, with the rights of the operator and a cache of its own, until the test ends.
func (l *lab) replica(t testing.TB, interval time.Duration) *Tracker {
	t.Helper()
	mgr, err := ctrl.NewManager(l.rights, ctrl.Options{Scheme: l.scheme, Logger: logr.Discard(), Metrics: metricsserver.Options{BindAddress: "0"}})
	check(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	check(t, facts.AddIndexes(ctx, facts.Lean{Cache: mgr.GetCache()}))
	metrics, err := NewMetrics(prometheus.NewRegistry())
	check(t, err)
	tracker := NewTracker(TrackerConfig{
		Members: Members(facts.Reader{
			Reader: mgr.GetClient(), Clock: clock.RealClock{},
			Guard: func(context.Context) (guard.State, error) { return guard.State{}, nil },
		}),
		Client: mgr.GetClient(), Clock: clock.RealClock{}, Interval: interval, Rate: l.config.Rate, Metrics: metrics,
	})
	check(t, mgr.Add(tracker))
	ended := make(chan error, 1)
	go func() { ended <- mgr.Start(ctx) }()
	t.Cleanup(func() { cancel(); check(t, <-ended) })
	for _, kind := range []client.Object{&v1alpha1.OrgMember{}, &v1alpha1.Workspace{}} {
		_, err := mgr.GetCache().GetInformer(ctx, kind)
		check(t, err)
	}
	return tracker
}

// open has the replicas take batches until the test ends.
func (l *lab) open(t testing.TB, trackers ...*Tracker) {
	t.Helper()
	var replicas []http.Handler
	for _, tracker := range trackers {
		replicas = append(replicas, Handler(l.config, tracker, logr.Discard()))
	}
	l.replicas.Store(&replicas)
	t.Cleanup(func() { l.replicas.Store(nil) })
}

func (l *lab) create(t testing.TB, objects ...client.Object) {
	t.Helper()
	for _, o := range objects {
		check(t, l.admin.Create(t.Context(), o))
	}
}

// organization makes a home and a workspace namespace, as the operator would.
func (l *lab) organization(t testing.TB, home string) {
	t.Helper()
	web := &v1alpha1.Workspace{ObjectMeta: metav1.ObjectMeta{Namespace: home, Name: "web"}}
	l.create(t, namespace(home), namespace(home+"--web"), web)
	l.says(t, web, func() { web.Status.Namespace = home + "--web" })
}

func namespace(name string) *corev1.Namespace {
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
}

// member makes an active member of this username.
func (l *lab) member(t testing.TB, home, name, username string) *v1alpha1.OrgMember {
	t.Helper()
	m := &v1alpha1.OrgMember{ObjectMeta: metav1.ObjectMeta{Namespace: home, Name: name}}
	if strings.HasPrefix(username, "system:") {
		m.Spec.Username = username
	} else {
		m.Spec.Email = v1alpha1.EmailAddress(username)
	}
	l.create(t, m)
	l.says(t, m, func() { m.Status.State = v1alpha1.StateActive })
	return m
}

// says writes a status, as the operator.
func (l *lab) says(t testing.TB, o client.Object, change func()) {
	t.Helper()
	before := o.DeepCopyObject().(client.Object)
	change()
	check(t, l.operator.Status().Patch(t.Context(), o, client.MergeFrom(before)))
}

// lets lets users see what is in a namespace.
func (l *lab) lets(t testing.TB, namespace string, users ...string) {
	t.Helper()
	binding := &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "viewers"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "view"},
	}
	for _, user := range users {
		binding.Subjects = append(binding.Subjects, rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user})
	}
	l.create(t, binding)
}

// person signs somebody in: with a client certificate of the cluster's.
func (l *lab) person(t testing.TB, username string) client.Client {
	t.Helper()
	key := l.friends.issue(t, username)
	block, _ := pem.Decode(signingRequest(t, username, key))
	csr := &certificatesv1.CertificateSigningRequest{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "person-"},
		Spec: certificatesv1.CertificateSigningRequestSpec{
			Request: pem.EncodeToMemory(block), SignerName: certificatesv1.KubeAPIServerClientSignerName,
			Usages: []certificatesv1.KeyUsage{certificatesv1.UsageClientAuth},
		},
	}
	l.create(t, csr)
	csr.Status.Conditions = []certificatesv1.CertificateSigningRequestCondition{{
		Type: certificatesv1.CertificateApproved, Status: corev1.ConditionTrue, Reason: "Test",
	}}
	check(t, l.admin.SubResource("approval").Update(t.Context(), csr))
	eventually(t, "a certificate for "+username, func() error {
		if err := l.admin.Get(t.Context(), client.ObjectKeyFromObject(csr), csr); err != nil {
			return err
		}
		if len(csr.Status.Certificate) == 0 {
			return fmt.Errorf("%+v", csr.Status)
		}
		return nil
	})
	config := rest.AnonymousClientConfig(l.plane.Admin)
	config.CertData, config.KeyData = csr.Status.Certificate, keyOf(t, key)
	return l.client(t, config)
}

// robot signs a service account in.
func (l *lab) robot(t testing.TB, namespace, name string) *rest.Config {
	t.Helper()
	l.create(t, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}})
	token, err := l.plane.Run(t.Context(), "create", "token", name, "--namespace", namespace)
	check(t, err)
	config := rest.AnonymousClientConfig(l.plane.Admin)
	config.BearerToken = strings.TrimSpace(token)
	return config
}

func (l *lab) client(t testing.TB, config *rest.Config) client.Client {
	t.Helper()
	c, err := client.New(config, client.Options{Scheme: l.scheme, Mapper: l.admin.RESTMapper()})
	check(t, err)
	return c
}

func eventually(t testing.TB, what string, try func() error) {
	t.Helper()
	deadline, tick := time.After(30*time.Second), time.NewTicker(50*time.Millisecond)
	defer tick.Stop()
	for {
		err := try()
		if err == nil {
			return
		}
		select {
		case <-deadline:
			t.Fatalf("%s: %v", what, err)
		case <-tick.C:
		}
	}
}

func signingRequest(t testing.TB, username string, pair *tls.Certificate) []byte {
	t.Helper()
	request := &x509.CertificateRequest{Subject: template(username).Subject}
	der, err := x509.CreateCertificateRequest(nil, request, pair.PrivateKey)
	check(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
}

func keyOf(t testing.TB, pair *tls.Certificate) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	check(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}
