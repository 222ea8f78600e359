package agent

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"
	"unroot/internal/verify"
)

// What is read of the tables of a network namespace, whose contents the image decides.
const (
	maxTable   = 4 << 20 // bytes of one table
	maxSockets = 4096
)

// listener is a socket that somebody listens on, with the inode that finds its holders.
type listener struct {
	verify.Socket
	inode uint64
}

// tables names the files of /proc/PID/net that are read, proc_pid_net(5), with their readers.
var tables = []struct {
	name  string
	parse func(table []byte) []listener
}{
	{"tcp", func(b []byte) []listener { return parseInet("tcp", b) }},
	{"tcp6", func(b []byte) []listener { return parseInet("tcp", b) }},
	{"udp", func(b []byte) []listener { return parseInet("udp", b) }},
	{"udp6", func(b []byte) []listener { return parseInet("udp", b) }},
	{"unix", parseUnix},
}

// States of enum tcp_states, include/net/tcp_states.h, as the tables print them.
const (
	tcpListen     = "0A"
	udpUnconneced = "07" // TCP_CLOSE, which udp_init_sock leaves a socket in
)

// parseInet reads /proc/net/tcp, tcp6, udp or udp6: sockets that listen, or for UDP are bound and not
// connected. Lines that are not as net/ipv4/tcp_ipv4.c (get_tcp4_sock, get_openreq4) prints them
// are passed over.
func parseInet(proto string, table []byte) []listener {
	var found []listener
	for line := range bytes.Lines(table) {
		f := strings.Fields(string(line))
		// sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode
		if len(f) < 10 || len(found) == maxSockets {
			continue
		}
		if state := f[3]; proto == "tcp" && state != tcpListen || proto == "udp" && state != udpUnconneced {
			continue
		}
		local, err := parseAddress(f[1])
		if err != nil {
			continue
		}
		inode, err := strconv.ParseUint(f[9], 10, 64)
		if err != nil {
			continue
		}
		found = append(found, listener{
			verify.Socket{Proto: proto, Address: local.Addr().String(), Port: local.Port()}, inode,
		})
	}
	return found
}

// parseAddress reads "0100007F:1F90": the address as 32-bit words of the machine's byte order, each
// in network order, and the port as a number.
func parseAddress(s string) (netip.AddrPort, error) {
	words, port, _ := strings.Cut(s, ":")
	raw, err := hex.DecodeString(words)
	if err != nil || len(raw) != 4 && len(raw) != 16 {
		return netip.AddrPort{}, fmt.Errorf("reading the address %q", s)
	}
	for i := 0; i < len(raw); i += 4 {
		binary.NativeEndian.PutUint32(raw[i:], binary.BigEndian.Uint32(raw[i:]))
	}
	number, err := strconv.ParseUint(port, 16, 16)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("reading the port of %q", s)
	}
	addr, _ := netip.AddrFromSlice(raw)
	return netip.AddrPortFrom(addr, uint16(number)), nil
}

// acceptsConnections is __SO_ACCEPTCON of include/linux/net.h, set by listen(2).
const acceptsConnections = 1 << 16

const typeDatagram = "0002" // SOCK_DGRAM

// parseUnix reads /proc/net/unix: sockets that listen, and datagram sockets with a name. A name can
// hold a line feed, so a program can add lines; what it adds has an inode, which the caller looks
// for among the descriptors of the run.
func parseUnix(table []byte) []listener {
	var found []listener
	for line := range bytes.Lines(table) {
		text := strings.TrimSuffix(string(line), "\n")
		f := strings.Fields(text)
		// Num RefCount Protocol Flags Type St Inode Path
		if len(f) < 8 || len(found) == maxSockets {
			continue
		}
		flags, err := strconv.ParseUint(f[3], 16, 32)
		if err != nil || flags&acceptsConnections == 0 && f[4] != typeDatagram {
			continue
		}
		inode, err := strconv.ParseUint(f[6], 10, 64)
		if err != nil {
			continue
		}
		_, name, _ := strings.Cut(text, " "+f[6]+" ") // a path may hold blanks
		if name == "" {
			continue
		}
		found = append(found, listener{verify.Socket{Proto: "unix", Address: name}, inode})
	}
	return found
}

// absolute completes the address of a UNIX socket that was bound by a relative path.
func absolute(s verify.Socket, dir string) verify.Socket {
	if s.Proto == "unix" && dir != "" && !strings.HasPrefix(s.Address, "/") && !strings.HasPrefix(s.Address, "@") {
		s.Address = path.Join(dir, s.Address)
	}
	return s
}

// distinct sorts sockets and leaves one of each: several processes may listen on one address.
func distinct(sockets []verify.Socket) []verify.Socket {
	slices.SortFunc(sockets, func(a, b verify.Socket) int {
		return strings.Compare(describe(a)+"\x00"+a.Program, describe(b)+"\x00"+b.Program)
	})
	return slices.Compact(sockets)
}

// describe is a socket for a person, and sorts by protocol, port and address.
func describe(s verify.Socket) string {
	if s.Proto == "unix" {
		return "unix " + s.Address
	}
	return fmt.Sprintf("%s %5d %s", s.Proto, s.Port, s.Address)
}

// serves reports whether have is what want waits for: any address of the machine stands for every
// address, since a program may take another family on another start.
func serves(have, want verify.Socket) bool {
	if have.Proto != want.Proto || have.Port != want.Port {
		return false
	}
	return have.Address == want.Address || have.Proto != "unix" && (anywhere(have.Address) || anywhere(want.Address))
}

func anywhere(address string) bool {
	if address == "" {
		return true
	}
	addr, err := netip.ParseAddr(address)
	return err == nil && addr.IsUnspecified()
}

// missing gives what of want no socket serves.
func missing(want, have []verify.Socket) []verify.Socket {
	var gone []verify.Socket
	for _, w := range want {
		if !slices.ContainsFunc(have, func(h verify.Socket) bool { return serves(h, w) }) {
			gone = append(gone, w)
		}
	}
	return gone
}
