package probe

import (
	"fmt"
	"net"
	"net/netip"
	"path"
	"strconv"
	"strings"
	"unicode"

	"unroot/internal/verify"
)

// endpoint is where somebody is asked: an address of the Internet, or a UNIX socket.
type endpoint struct {
	proto string       // "tcp", "udp", "unix"
	addrs []netip.Addr // tried in this order
	port  uint16
	loose bool   // of "udp": answers may come from any port
	path  string // of a UNIX socket, in the run's root; "@name" for an abstract one
}

var (
	loopback4 = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	loopback6 = netip.IPv6Loopback()
)

// endpointOf gives the endpoint of a tcp, udp or unix probe.
func endpointOf(p verify.Probe) (endpoint, error) {
	if p.Kind == "unix" {
		if !strings.HasPrefix(p.Address, "/") && !strings.HasPrefix(p.Address, "@") {
			return endpoint{}, fmt.Errorf("the UNIX socket %q: its path is not absolute", p.Address)
		}
		return endpoint{proto: "unix", path: p.Address}, nil
	}
	host, port, err := net.SplitHostPort(p.Address)
	if err != nil {
		return endpoint{}, fmt.Errorf("the address %q: it is not HOST:PORT", p.Address)
	}
	return hostPort(p.Kind, host, port)
}

// hostPort gives the endpoint of an address. The run has no network but its loopback, so that a name can
// only mean the service itself: it is asked there, as a virtual host of it.
func hostPort(proto, host, port string) (endpoint, error) {
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil || number == 0 {
		return endpoint{}, fmt.Errorf("the port %q: it is not a number from 1 to 65535", port)
	}
	at := endpoint{proto: proto, port: uint16(number), addrs: []netip.Addr{loopback4, loopback6}}
	if ip, err := netip.ParseAddr(host); err == nil && !ip.IsUnspecified() {
		at.addrs = []netip.Addr{ip}
	}
	return at, nil
}

// socketEndpoint gives the endpoint of a socket that somebody listens on.
func socketEndpoint(s verify.Socket) endpoint {
	if s.Proto == "unix" {
		return endpoint{proto: "unix", path: s.Address}
	}
	at := endpoint{proto: s.Proto, port: s.Port, addrs: []netip.Addr{loopback4, loopback6}}
	ip, err := netip.ParseAddr(s.Address)
	switch {
	case err != nil:
	case !ip.IsUnspecified():
		at.addrs = []netip.Addr{ip}
	case ip.Is4():
		at.addrs = []netip.Addr{loopback4}
	default:
		at.addrs = []netip.Addr{loopback6, loopback4} // IPV6_V6ONLY may be set or not
	}
	return at
}

// socketName is how answers of Generic call a socket, such as "tcp 0.0.0.0:80".
func socketName(s verify.Socket) string {
	if s.Proto == "unix" {
		return "unix " + path.Clean(s.Address)
	}
	return s.Proto + " " + net.JoinHostPort(s.Address, strconv.Itoa(int(s.Port)))
}

func printable(r rune) bool { return unicode.IsPrint(r) }
