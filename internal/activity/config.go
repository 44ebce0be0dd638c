package activity

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"time"
)

// Config says where audit events are taken, from whom, and how often what they tell is written. Validate checks it.
type Config struct {
	// Address is the host:port to listen on; empty: no audit events are taken, and nothing else is looked at.
	Address string
	// CertFile and KeyFile are the server's certificate with its chain and its key, PEM. Without them the events, and the
	// token, come in the clear: on the machine itself alone.
	CertFile, KeyFile string
	// TokenFile has bearer tokens, one a line, each good: two while one replaces the other. Read at each request, so that a
	// changed Secret needs no restart.
	TokenFile string
	// ClientCAFile has the authorities, PEM, whose client certificates are good. Read at each connection.
	ClientCAFile string
	// ClientNames are the names that a client certificate must have one of: its common name or a DNS name. Any when empty,
	// which is right for an authority that signs nothing else, and wrong for that of the cluster.
	ClientNames []string
	// Impersonators are users who sign people in and then act as them by impersonation, such as the service account of a
	// gateway. What they do as somebody is that person's deed; what all others do as somebody is their own.
	Impersonators []string
	// MaxBody bounds a batch, in bytes.
	MaxBody int64
	// Interval is how much news must be newer than what is written, and how long no second write is made for a member.
	Interval time.Duration
	// Rate is how many members are written in a second, at most, by each replica.
	Rate int
}

// Defaults are the settings that need not be given.
func Defaults() Config {
	// kube-apiserver truncates batches to 10 MiB where it truncates.
	return Config{MaxBody: 10 << 20, Interval: 10 * time.Minute, Rate: 50}
}

// Enabled says whether audit events are taken at all.
func (c Config) Enabled() bool { return c.Address != "" }

// Bounds of the settings.
const (
	minBody = 64 << 10
	maxBody = 100 << 20
	// Half the shortest dormantAfter: who is active every day shall never seem dormant.
	maxInterval = 12 * time.Hour
	maxRate     = 10000
)

// Validate tells every fault of the configuration. It opens no file and no connection.
func (c Config) Validate() error {
	if !c.Enabled() {
		return nil
	}
	host, port, _ := net.SplitHostPort(c.Address)
	encrypted := c.CertFile != ""
	var faults []error
	for _, check := range []struct {
		faulty bool
		fault  string
	}{
		{port == "", fmt.Sprintf("address %q is not of the form host:port", c.Address)},
		{(c.CertFile == "") != (c.KeyFile == ""), "certificate and key belong together"},
		{!encrypted && !loopback(host), "without a certificate, events are taken on a loopback address alone, such as 127.0.0.1:8082"},
		{!encrypted && c.ClientCAFile != "", "client certificates need TLS: give a certificate and key"},
		{c.TokenFile == "" && c.ClientCAFile == "", "a token file or a client CA file must say who may send events"},
		{len(c.ClientNames) > 0 && c.ClientCAFile == "", "names of clients have no effect without a client CA file"},
		{slices.Contains(c.ClientNames, ""), "a client's name must not be empty"},
		{slices.Contains(c.Impersonators, ""), "an impersonator's name must not be empty"},
		{c.MaxBody < minBody || c.MaxBody > maxBody, fmt.Sprintf("a batch must be allowed from %d to %d bytes", minBody, maxBody)},
		{c.Interval < time.Second || c.Interval > maxInterval, fmt.Sprintf("the interval must be from 1s to %s", maxInterval)},
		{c.Rate < 1 || c.Rate > maxRate, fmt.Sprintf("from 1 to %d members must be written in a second", maxRate)},
	} {
		if check.faulty {
			faults = append(faults, errors.New(check.fault))
		}
	}
	if err := errors.Join(faults...); err != nil {
		return fmt.Errorf("activity: %w", err)
	}
	return nil
}

// loopback takes "localhost" at its word, as RFC 6761 allows.
func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
