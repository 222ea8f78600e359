package tracer

import (
	"strings"

	"unroot/internal/trace"
)

// writes reports whether an open can change a file.
func writes(want string) bool { return strings.ContainsAny(want, "wct") }

func creates(want string) bool { return strings.Contains(want, "c") }

func isUnix(addr string) bool { return strings.HasPrefix(addr, "unix ") }

// rawSocket tells the sockets that need CAP_NET_RAW: raw(7), packet(7). Those of netlink are raw in
// name only.
func rawSocket(addr string) bool {
	return strings.HasPrefix(addr, "packet ") || addr == "ipv4 raw" || addr == "ipv6 raw"
}

// ofDevices tells the paths whose ENXIO is a stream that cannot be opened again: open(2) of a socket
// through /dev/stdout or /proc/self/fd/1.
func ofDevices(path string) bool {
	return strings.HasPrefix(path, "/dev/") || strings.HasPrefix(path, "/proc/") && strings.Contains(path, "/fd/")
}

// changesRights tells the calls after which a process may be somebody else.
func changesRights(k trace.Kind) bool {
	return k == trace.Identity || k == trace.Rights || k == trace.Space
}

// changesFiles tells the calls after which another answer is possible for a path: what was learnt of
// paths is forgotten then.
func changesFiles(k trace.Kind) bool {
	switch k {
	case trace.Mode, trace.Owner, trace.Rename, trace.Link, trace.Make, trace.Mount, trace.Chroot, trace.Remove:
		return true
	}
	return false
}
