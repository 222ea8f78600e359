//go:build linux && (amd64 || arm64)

package compat

import (
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// likelyPeer is who holds the other end of a Unix socket, found without touching it, for profiles that do
// not let a descriptor be copied (those of Docker and containerd ask for CAP_SYS_PTRACE). The kernel would
// name who made the connection or the listener: of several who hold it, that is mostly the first process.
func (f *files) likelyPeer(tid uint32, fd int32) (ucred, bool) {
	var s statx
	var place [64]byte
	if fd < 0 || look(viewFD(place[:0], tid, fd), 0, &s) != 0 || s.mode()&typeMask != typeSocket || s.uid() != f.uid {
		return ucred{}, false
	}
	other, ok := otherEnd(uint32(get64(s[:], xIno)))
	if !ok {
		return ucred{}, false
	}
	pid, ok := holder("socket:[" + strconv.FormatUint(uint64(other), 10) + "]")
	return ucred{pid: int32(pid), uid: f.uid}, ok
}

// What is asked of NETLINK_SOCK_DIAG: linux/sock_diag.h and linux/unix_diag.h.
const (
	diagByFamily = 20
	diagShowPeer = 4
	diagPeer     = 2
)

// diagRequest is struct nlmsghdr and struct unix_diag_req.
type diagRequest struct {
	header           unix.NlMsghdr
	family, protocol uint8
	_                uint16
	states           uint32
	inode            uint32
	show             uint32
	cookie           [2]uint32
}

// otherEnd asks the kernel which socket one is connected to.
func otherEnd(inode uint32) (uint32, bool) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return 0, false
	}
	defer unix.Close(fd)
	r := diagRequest{family: unix.AF_UNIX, states: ^uint32(0), inode: inode, show: diagShowPeer, cookie: [2]uint32{^uint32(0), ^uint32(0)}}
	r.header = unix.NlMsghdr{Len: uint32(unsafe.Sizeof(r)), Type: diagByFamily, Flags: unix.NLM_F_REQUEST}
	if _, err := unix.Write(fd, unsafe.Slice((*byte)(unsafe.Pointer(&r)), unsafe.Sizeof(r))); err != nil {
		return 0, false
	}
	var b [512]byte
	n, _, err := unix.Recvfrom(fd, b[:], unix.MSG_DONTWAIT) // the answer is there when the question was sent
	if err != nil {
		return 0, false
	}
	return diagnosed(b[:n])
}

// diagnosed reads the answer: struct nlmsghdr, struct unix_diag_msg, attributes.
func diagnosed(b []byte) (uint32, bool) {
	const head = unix.SizeofNlMsghdr + 16
	if len(b) < head || get32(b, 4)&0xffff != diagByFamily {
		return 0, false
	}
	for b = b[head:]; len(b) >= 8; {
		length, kind := int(get32(b, 0)&0xffff), get32(b, 0)>>16
		if kind == diagPeer && length >= 8 {
			return get32(b, 4), true
		}
		length = (length + 3) &^ 3
		if length < 4 || length > len(b) {
			break
		}
		b = b[length:]
	}
	return 0, false
}

// maxLinks bounds how many descriptors are looked at for one question.
const maxLinks = 8192

// holder gives the first process that has a descriptor which leads to something.
func holder(target string) (pid uint32, ok bool) {
	left := maxLinks
	eachEntry("/proc", func(name string) bool {
		n, err := strconv.ParseUint(name, 10, 32)
		if err != nil {
			return true
		}
		dir := "/proc/" + name + "/fd"
		eachEntry(dir, func(fd string) bool {
			var link [64]byte
			left--
			n, err := unix.Readlink(dir+"/"+fd, link[:])
			ok = err == nil && string(link[:n]) == target
			return !ok && left > 0
		})
		pid = uint32(n)
		return !ok && left > 0
	})
	return pid, ok
}

// eachEntry goes through a directory until do gives false.
func eachEntry(path string, do func(name string) bool) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	var b [4096]byte
	var names []string
	for {
		n, err := unix.Getdents(fd, b[:])
		if err != nil || n <= 0 {
			return
		}
		_, _, names = unix.ParseDirent(b[:n], -1, names[:0])
		for _, name := range names {
			if !do(name) {
				return
			}
		}
	}
}
