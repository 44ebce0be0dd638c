package main

import (
	"crypto/tls"
	"fmt"
	"log"
	"net"
	"net/http"
	"regexp"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/certwatcher"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/orgkeeper/orgkeeper/internal/portal"
)

// serve is an HTTP server, on every replica, that bounds what a client may take of it.
func serve(name, address string, handler http.Handler) *manager.Server {
	return &manager.Server{Name: name, ShutdownTimeout: ptr.To(10 * time.Second), Server: &http.Server{
		Addr: address, Handler: handler,
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 20 * time.Second,
		IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10, DisableGeneralOptionsHandler: true, // which is past the handler
		ErrorLog: log.New(complaints{ctrl.Log.WithName(name)}, "", 0),
	}}
}

// complaints logs what net/http has to say, without the addresses of clients: they are personal data, and anybody who
// opens a connection and says nothing is worth a line.
type complaints struct{ log logr.Logger }

var clientAddress = regexp.MustCompile(`(\[[0-9a-fA-F:.%\w]+\]|\d+\.\d+\.\d+\.\d+):\d+`)

func (c complaints) Write(line []byte) (int, error) {
	c.log.Info("HTTP server complains", "complaint", clientAddress.ReplaceAllString(string(line), "a client"))
	return len(line), nil
}

// addServers gives the manager the invitation page and what else runs on every replica.
func addServers(mgr manager.Manager, o options, config portal.Config, others ...manager.Runnable) error {
	page, err := invitationPage(o, config, metrics.Registry)
	if err != nil {
		return err
	}
	for _, runnable := range append(page, others...) {
		if err := mgr.Add(runnable); err != nil {
			return err
		}
	}
	return nil
}

// invitationPage is what serves the page: the server and, with TLS, what reads its certificate again when it is renewed.
func invitationPage(o options, config portal.Config, registry prometheus.Registerer) ([]manager.Runnable, error) {
	answers, err := portal.NewMetrics(registry)
	if err != nil {
		return nil, err
	}
	config.Metrics = answers
	config.Log, config.Limits, config.TrustedProxies = ctrl.Log.WithName("portal"), o.portalLimits, o.trustedProxies
	server := serve("portal", o.portalAddress, portal.Handler(config))
	if o.portalCert == "" {
		return []manager.Runnable{server}, nil
	}
	certificate, err := certwatcher.New(o.portalCert, o.portalKey)
	if err != nil {
		return nil, fmt.Errorf("--portal-tls-cert-file and --portal-tls-key-file: %w", err)
	}
	listener, err := net.Listen("tcp", o.portalAddress)
	if err != nil {
		return nil, err
	}
	server.Listener = tls.NewListener(listener, &tls.Config{
		GetCertificate: certificate.GetCertificate,
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{"http/1.1"}, // a page that loads nothing gains nothing by HTTP/2
	})
	return []manager.Runnable{server, certificate}, nil
}
