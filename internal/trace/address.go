package trace

import (
	"strconv"
	"strings"
)

// Port gives the protocol and the port of an address of the Internet, such as "tcp 0.0.0.0:80".
func Port(addr string) (proto string, port uint16, ok bool) {
	proto, rest, found := strings.Cut(addr, " ")
	if !found || proto == "unix" {
		return "", 0, false
	}
	at := strings.LastIndexByte(rest, ':')
	if at < 0 {
		return "", 0, false
	}
	number, err := strconv.ParseUint(rest[at+1:], 10, 16)
	if err != nil {
		return "", 0, false
	}
	return proto, uint16(number), true
}

// lowPort reports whether an address has a port that takes CAP_NET_BIND_SERVICE by default (ip(7),
// ip_unprivileged_port_start); 0 lets the kernel choose one above.
func lowPort(addr string) bool {
	_, port, ok := Port(addr)
	return ok && port > 0 && port < 1024
}

// socketPath gives the path of an address such as "unix /run/x.sock"; "" for others.
func socketPath(addr string) string {
	if name, ok := strings.CutPrefix(addr, "unix "); ok && strings.HasPrefix(name, "/") {
		return name
	}
	return ""
}
