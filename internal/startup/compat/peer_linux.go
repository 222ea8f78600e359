//go:build linux && (amd64 || arm64)

package compat

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// The names of the option that tells who is at the other end of a socket: asm-generic/socket.h.
const (
	solSocket  = 1
	soPeercred = 17
)

// sysGetsockopt is getsockopt(2) as the first argument of socketcall(2): linux/net.h.
const sysGetsockopt = 15

// peer answers getsockopt(SO_PEERCRED) with who the process at the other end believes to be now. The
// kernel has who it was when the connection was made, or the listener: a process that changes its
// identity later is told of differently. false: the kernel is to answer, which it does with the
// running user. That is so for a peer that is gone, and for one outside. Where the supervisor may not
// take the socket in hand (pidfd_getfd is since Linux 5.6, and profiles of engines refuse it), likelyPeer
// is asked.
//
// SO_PEERGROUPS, SO_PEERPIDFD and SCM_CREDENTIALS tell the kernel's truth. To send ids with a message
// that are only believed gives EPERM: an answer would have to send on behalf of the process, from
// another process id, which receivers look at as well.
func (f *files) peer(tid uint32, args *[6]uint64, m memory, believed func(pid int32) (uid, gid uint32, ok bool)) bool {
	if uint32(args[1]) != solSocket || uint32(args[2]) != soPeercred {
		return false
	}
	var size, room [4]byte
	if n, err := m.read(args[4], size[:]); n < len(size) || err != nil {
		return false
	}
	length := int32(get32(size[:], 0))
	real, ok := f.realPeer(tid, int32(args[0]))
	if !ok {
		real, ok = f.likelyPeer(tid, int32(args[0]))
	}
	if length < 0 || !ok || real.uid != f.uid {
		return false
	}
	uid, gid, ok := believed(real.pid)
	if !ok {
		return false
	}
	var b [sizeofUcred]byte
	told := ucred{real.pid, uid, gid}.encode(&b, length)
	put32(room[:], 0, uint32(len(told)))
	return m.write(args[3], told) == nil && m.write(args[4], room[:]) == nil
}

// socketcall is how i386 asks, with programs of before Linux 4.3 and those of Go: the arguments are in memory.
func (c *call) socketcall() answer {
	var words [5 * 4]byte
	if n, err := c.read(c.args[1], words[:]); n < len(words) || err != nil {
		return byKernel
	}
	inner := *c
	for i := range 5 {
		inner.args[i] = uint64(get32(words[:], 4*i))
	}
	return inner.getsockopt()
}

// realPeer asks the kernel, through a copy of the descriptor. A thread that is not the first of its
// process has its descriptors from it, mostly, and before Linux 6.9 only that one is a pidfd for.
func (f *files) realPeer(tid uint32, fd int32) (ucred, bool) {
	if !has(nil, tid, "/ns/pid", f.pids) {
		return ucred{}, false // process ids have another meaning there
	}
	process, err := unix.PidfdOpen(int(tid), 0)
	if err != nil {
		process, err = unix.PidfdOpen(int(threadStatus(tid, "Tgid:", 10)), 0)
	}
	if err != nil {
		return ucred{}, false
	}
	defer unix.Close(process)
	copied, err := unix.PidfdGetfd(process, int(fd), 0)
	if err != nil {
		return ucred{}, false
	}
	defer unix.Close(copied)
	var u ucred
	size := uint32(unsafe.Sizeof(u))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(copied), solSocket, soPeercred, uintptr(unsafe.Pointer(&u)), uintptr(unsafe.Pointer(&size)), 0)
	return u, errno == 0
}
