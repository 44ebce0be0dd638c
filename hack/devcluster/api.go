// Copyright The orgkeeper Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

// api is as much of a Kubernetes client as starting a cluster takes: client-go would make this binary slow to link.
type api struct {
	server string
	http   *http.Client
}

func newAPI(server string, ca, admin identity) (*api, error) {
	caPEM, err := os.ReadFile(ca.cert)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(caPEM)
	cert, err := tls.LoadX509KeyPair(admin.cert, admin.key)
	if err != nil {
		return nil, err
	}
	return &api{server: server, http: &http.Client{
		Timeout: 10 * time.Second,
		Transport: &http.Transport{ // no proxy: everything is on 127.0.0.1
			TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{cert}},
		},
	}}, nil
}

// get reads path, or a whole URL, and decodes the answer into the given value unless that is nil.
func (a *api) get(ctx context.Context, path string, into any) error {
	return a.do(ctx, http.MethodGet, path, nil, into)
}

func (a *api) do(ctx context.Context, method, path string, body, into any) error {
	url := path
	if path[0] == '/' {
		url = a.server + path
	}
	payload := &bytes.Buffer{}
	if body != nil {
		if err := json.NewEncoder(payload).Encode(body); err != nil {
			return err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, url, payload)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := a.http.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	content, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return err
	}
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("%s %s: %s: %.500s", method, path, resp.Status, content)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(content, into)
}

// token asks for a token that acts as a service account.
func (a *api) token(ctx context.Context, namespace, name string, lifetime time.Duration) (string, error) {
	request := map[string]any{
		"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
		"spec": map[string]any{"expirationSeconds": int(lifetime.Seconds())},
	}
	var answer struct {
		Status struct{ Token string }
	}
	path := "/api/v1/namespaces/" + namespace + "/serviceaccounts/" + name + "/token"
	err := a.do(ctx, http.MethodPost, path, request, &answer)
	return answer.Status.Token, err
}

// eventually tries until it succeeds, giveUp has an error, or the time is over; its error is then the last try's.
func eventually(ctx context.Context, timeout time.Duration, what string, try func(context.Context) error, giveUp func() error) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := try(ctx)
		if err == nil {
			return nil
		}
		if fatal := giveUp(); fatal != nil {
			return fatal
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w (waited up to %s)", what, err, timeout)
		case <-tick.C:
		}
	}
}
