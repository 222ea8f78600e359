package tracer

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"strconv"
	"strings"
)

// The families of sockets that are named: linux/socket.h.
var families = map[uint32]string{
	0: "unspecified", 1: "unix", 2: "ipv4", 10: "ipv6", 15: "key", 16: "netlink", 17: "packet", 29: "can", 31: "bluetooth", 38: "alg", 40: "vsock", 44: "xdp",
}

func familyName(family uint32) string {
	if name, ok := families[family]; ok {
		return name
	}
	return "family " + strconv.FormatUint(uint64(family), 10)
}

// socketName is a socket(2) in words, such as "packet raw". The type's upper bits are flags.
func socketName(family, kind uint32) string {
	kind &= 0xf
	name, ok := map[uint32]string{1: "stream", 2: "dgram", 3: "raw", 4: "rdm", 5: "seqpacket", 10: "packet"}[kind]
	if !ok {
		name = "type " + strconv.FormatUint(uint64(kind), 10)
	}
	return familyName(family) + " " + name
}

// protocolName turns the kernel's name of a protocol into ours: "tcp" for both versions of IP.
func protocolName(kernel string) string {
	name := strings.ToLower(kernel)
	if strings.HasPrefix(name, "unix") { // "UNIX", "UNIX-STREAM": net/unix/af_unix.c
		return "unix"
	}
	return strings.TrimSuffix(name, "v6")
}

// hostPort reads struct sockaddr_in and sockaddr_in6: ip(7), ipv6(7).
func hostPort(family uint16, b []byte) (string, bool) {
	if len(b) < 8 {
		return "", false
	}
	port := binary.BigEndian.Uint16(b[2:])
	if family == 2 {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[4:8])), port).String(), true
	}
	if len(b) < 24 { // SIN6_LEN_RFC2133
		return "", false
	}
	return netip.AddrPortFrom(netip.AddrFrom16([16]byte(b[8:24])), port).String(), true
}

// cString is a text up to its first zero byte.
func cString(b []byte) string {
	if end := bytes.IndexByte(b, 0); end >= 0 {
		b = b[:end]
	}
	return string(b)
}

// printable is a name that may hold any byte, as "@" shows it in /proc/net/unix.
func printable(b []byte) string {
	return string(bytes.ReplaceAll(b, []byte{0}, []byte{'@'}))
}
