// Copyright The orgkeeper Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
)

// ports are where one cluster listens, all on 127.0.0.1.
type ports struct {
	APIServer         int `json:"apiServer"`
	ControllerManager int `json:"controllerManager"`
	Etcd              int `json:"etcd"`
	EtcdPeer          int `json:"etcdPeer"`
	SMTP              int `json:"smtp"`
	Inbox             int `json:"inbox"`
	Portal            int `json:"portal"`
	Metrics           int `json:"metrics"`
	Activity          int `json:"activity"`
}

func fixedPorts(offset int) ports {
	return ports{
		APIServer: 6443 + offset, ControllerManager: 10257 + offset, Etcd: 2379 + offset, EtcdPeer: 2380 + offset,
		SMTP: 1025 + offset, Inbox: 8025 + offset, Portal: 8080 + offset, Metrics: 8081 + offset,
		Activity: 8082 + offset,
	}
}

// checkFree fails with the first port that is needed and that something listens on already.
func (p ports) checkFree(o clusterOptions) error {
	needed := []int{p.APIServer, p.ControllerManager, p.Etcd, p.EtcdPeer}
	if o.mail {
		needed = append(needed, p.SMTP, p.Inbox)
	}
	if o.operator {
		needed = append(needed, p.Portal, p.Metrics, p.Activity)
	}
	for _, port := range needed {
		if err := tryPort(port); err != nil {
			return fmt.Errorf("port %d is taken: stop what listens there, or choose other ports with "+
				"PORT_OFFSET (make run PORT_OFFSET=1000 DEV_DIR=.dev2): %w", port, err)
		}
	}
	return nil
}

// freePorts picks ports that nothing uses, and returns with them what keeps other clusters of this machine from picking
// the same until it is closed.
func freePorts() (ports, []net.PacketConn, error) {
	var p ports
	var claims []net.PacketConn
	for _, port := range []*int{
		&p.APIServer, &p.ControllerManager, &p.Etcd, &p.EtcdPeer, &p.SMTP, &p.Inbox, &p.Portal, &p.Metrics, &p.Activity,
	} {
		n, claim, err := claimPort()
		if err != nil {
			return ports{}, nil, errors.Join(err, closeAll(claims))
		}
		*port = n
		claims = append(claims, claim)
	}
	return p, claims, nil
}

// claimPort takes a free TCP port and holds the UDP port of the same number for a mark: a claim that any process sees,
// whoever it runs as, and that goes when its holder dies. Ports from 32768 up are left alone, since the kernel hands them
// to outgoing connections.
func claimPort() (int, net.PacketConn, error) {
	for range 200 {
		port := 20000 + rand.IntN(12000)
		claim, err := net.ListenPacket("udp", localAddress(port))
		if err != nil {
			continue
		}
		if err := tryPort(port); err != nil {
			_ = claim.Close()
			continue
		}
		return port, claim, nil
	}
	return 0, nil, errors.New("no free port between 20000 and 32000 in 200 tries")
}

func tryPort(port int) error {
	l, err := net.Listen("tcp", localAddress(port))
	if err != nil {
		return err
	}
	return l.Close()
}

func closeAll(claims []net.PacketConn) error {
	var errs []error
	for _, c := range claims {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}

func localAddress(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

func localURL(scheme string, port int) string { return scheme + "://" + localAddress(port) }
