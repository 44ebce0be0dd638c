package portal

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// client is who asks, for counting alone. What X-Forwarded-For says counts only as far as proxies of ours wrote it:
// each appends whom it got the request from, so from the right, the first that is no proxy of ours is the client.
// Everything to the left of it is what the client made up.
func (p *portal) client(r *http.Request) netip.Addr {
	peer := address(r.RemoteAddr)
	forwarded := strings.Join(r.Header.Values("X-Forwarded-For"), ",")
	if forwarded == "" {
		return peer
	}
	if !p.trusts(peer) {
		// Said once: anybody can send the header, but a proxy that nobody named makes all its clients count as one.
		p.unnamedProxy.Do(func() {
			p.Log.Info("A request with X-Forwarded-For came from none of --portal-trusted-proxies; if that is your proxy, all people behind it count as one client")
		})
		return peer
	}
	client := peer
	for _, hop := range slices.Backward(strings.Split(forwarded, ",")) {
		a := address(strings.TrimSpace(hop))
		if !a.IsValid() {
			break // not written as proxies do; the proxy that passed it on answers for it
		}
		client = a
		if !p.trusts(a) {
			break
		}
	}
	return client
}

func (p *portal) trusts(a netip.Addr) bool {
	return slices.ContainsFunc(p.TrustedProxies, func(n netip.Prefix) bool { return n.Contains(a) })
}

// address reads an address with or without a port; the zero Addr when it is none.
func address(s string) netip.Addr {
	a, err := netip.ParseAddr(strings.Trim(s, "[]"))
	if err != nil {
		withPort, err := netip.ParseAddrPort(s)
		if err != nil {
			return netip.Addr{}
		}
		a = withPort.Addr()
	}
	return a.Unmap().WithZone("")
}
