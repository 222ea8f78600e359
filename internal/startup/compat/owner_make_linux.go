//go:build linux && (amd64 || arm64)

package compat

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// injector gives the process that asks a descriptor of the supervisor's.
type injector interface {
	inject(fd int, closeOnExec bool) (int, unix.Errno)
}

// makesExactly tells whether what a process makes can be made for it. A signal must not take a call
// back that was done: SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV is since Linux 5.19, descriptors can be
// given since 5.9. Before it, makers says who made what.
func makesExactly() bool { return atLeast(5, 19) }

// make makes a file for a process that is not who is believed to have made every other one, or in a
// directory that hands its group down, and keeps whom it belongs to. The supervisor is the same user, with the same rights: what fails
// here is left to the kernel, to fail there. A file that is there already, and one at the end of
// a symbolic link, is the kernel's to open.
func (f *files) make(q *question) (int64, unix.Errno, bool) {
	if !f.exact || f.isDefault(q.who) && !f.handsDown.Load() || q.locate() != 0 || !f.sees(q) {
		return 0, 0, false
	}
	if q.op == opOpen {
		return f.open(q)
	}
	err := f.makeNode(q)
	if err != 0 || look(q.view, atNofollow, &q.real) != 0 {
		return 0, 0, err == 0
	}
	f.made(q)
	return 0, 0, true
}

// isDefault tells whether a process is the one that what nobody is known to have made belongs to.
func (f *files) isDefault(who *asker) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.makers.seen) == 0 || f.makers.seen[0].uid == who.uid && f.makers.seen[0].gid == who.gid
}

// makeNode makes what is no regular file that stays open.
func (f *files) makeNode(q *question) unix.Errno {
	mode := uint32(q.args[q.value])
	switch q.op {
	case opSymlink:
		target, err := q.readText(q.args[q.value], false)
		if err != 0 {
			return err
		}
		return callAt(unix.SYS_SYMLINKAT, target[:len(target)+1], q.view) // the zero byte that ends it was read, too
	case opMkdir:
		return f.withMode(q, mode, func(mode uint32) unix.Errno { return pathCall(unix.SYS_MKDIRAT, q.view, uintptr(mode)) })
	}
	if kind := mode & unix.S_IFMT; kind != 0 && kind != unix.S_IFREG && kind != unix.S_IFIFO && kind != unix.S_IFSOCK {
		return unix.EPERM
	}
	return f.withMode(q, mode, func(mode uint32) unix.Errno { return pathCall(unix.SYS_MKNODAT, q.view, uintptr(mode)) })
}

// withMode makes something with the mode that the process' umask leaves. What the supervisor's own umask
// takes is given back.
func (f *files) withMode(q *question, mode uint32, do func(mode uint32) unix.Errno) unix.Errno {
	mode &^= threadStatus(q.tid, "Umask:", 8)
	err := do(mode)
	if err == 0 && mode&f.umask != 0 {
		_ = pathCall(unix.SYS_FCHMODAT, q.view, uintptr(mode&modeAll))
	}
	return err
}

// open makes a regular file and opens it as the process wishes.
func (f *files) open(q *question) (int64, unix.Errno, bool) {
	flags := uint32(unix.O_CREAT | unix.O_WRONLY | unix.O_TRUNC)
	if q.how != none {
		flags = uint32(q.args[q.how])
	}
	to, ok := q.memory.(injector)
	const never = unix.O_PATH | unix.O_DIRECTORY
	switch {
	case !ok:
		return 0, 0, false
	case flags&openTmpfile != 0:
	case flags&unix.O_CREAT == 0 || flags&never != 0:
		return 0, 0, false
	default:
		flags |= unix.O_EXCL
	}
	fd := -1
	if f.withMode(q, uint32(q.args[q.value])&modeAll, func(mode uint32) (err unix.Errno) {
		fd, err = openMode(q.view, int(flags), mode)
		return err
	}) != 0 {
		return 0, 0, false
	}
	defer unix.Close(fd)
	if statxOf(fd, &q.real) == 0 {
		f.made(q)
	}
	n, err := to.inject(fd, flags&unix.O_CLOEXEC != 0)
	if err != 0 && flags&openTmpfile == 0 {
		_ = pathCall(unix.SYS_UNLINKAT, q.view, 0) // nothing was made where a process has too many open files
	}
	return int64(n), err, true
}

// made keeps who made the file that the question is about. Its group is that of a directory that hands
// its own down (inode_init_owner, fs/inode.c).
func (f *files) made(q *question) {
	id, owner := q.real.id(), given{uid: q.who.uid, gid: q.who.gid}
	slash := len(q.view) - 1
	for slash > 0 && (q.view[slash] != '/' || slash == len(q.view)-1) {
		slash--
	}
	if real := q.real.gid(); real != f.gid {
		owner.gid = real
	} else if look(append(q.places[:0], q.view[:slash]...), 0, &q.real) == 0 && q.real.mode()&setGID != 0 {
		q.id = q.real.id()
		f.believe(q)
		owner.gid = q.owner.gid
	}
	if owner.gid != q.who.gid || !f.isDefault(q.who) {
		f.give(id, owner)
	}
}

// pathCall makes a call with a path and a number behind it.
func pathCall(nr uintptr, view []byte, n uintptr) unix.Errno {
	view = append(view, 0)
	dir := atCWD
	_, _, err := unix.Syscall6(nr, uintptr(dir), uintptr(unsafe.Pointer(&view[0])), n, 0, 0, 0)
	return err
}

// callAt makes symlinkat(2). target ends with a zero byte.
func callAt(nr uintptr, target, view []byte) unix.Errno {
	view = append(view, 0)
	dir := atCWD
	_, _, err := unix.Syscall(nr, uintptr(unsafe.Pointer(&target[0])), uintptr(dir), uintptr(unsafe.Pointer(&view[0])))
	return err
}

func openMode(view []byte, flags int, mode uint32) (int, unix.Errno) {
	view = append(view, 0)
	dir := atCWD
	fd, _, err := unix.Syscall6(unix.SYS_OPENAT, uintptr(dir), uintptr(unsafe.Pointer(&view[0])), uintptr(flags|unix.O_CLOEXEC), uintptr(mode), 0, 0)
	return int(fd), err
}

func statxOf(fd int, s *statx) unix.Errno {
	var empty [1]byte
	_, _, err := unix.Syscall6(unix.SYS_STATX, uintptr(fd), uintptr(unsafe.Pointer(&empty)), atEmpty, xWantBasic|xWantBtime, uintptr(unsafe.Pointer(s)), 0)
	return err
}

// addFD is struct seccomp_notif_addfd of linux/seccomp.h.
type addFD struct {
	id                        uint64
	flags, from, to, newFlags uint32
}

// ioctlAddFD is SECCOMP_IOCTL_NOTIF_ADDFD.
const ioctlAddFD = 0x40182103

// inject gives the process of a call a descriptor. The error is EMFILE where it has as many as it may.
func (c *call) inject(fd int, closeOnExec bool) (int, unix.Errno) {
	request := addFD{id: c.id, from: uint32(fd)}
	if closeOnExec {
		request.newFlags = unix.O_CLOEXEC
	}
	n, _, err := unix.Syscall(unix.SYS_IOCTL, uintptr(c.s.listener), ioctlAddFD, uintptr(unsafe.Pointer(&request)))
	return int(n), err
}
