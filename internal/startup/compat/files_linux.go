//go:build linux && (amd64 || arm64)

package compat

import "golang.org/x/sys/unix"

// asks is the process as its files see it.
func (b *beliefs) asks() asker {
	return asker{uid: b.u.fs, gid: b.g.fs, groups: b.groups, chown: b.can(capChown), fowner: b.can(capFowner), fsetid: b.can(capFsetid)}
}

// file answers a call on a file.
func (c *call) file() answer {
	which, ok := fileCallOf(c.abi, c.nr)
	if !ok {
		return byKernel
	}
	who := c.believes().asks()
	v, err, ok := c.s.files.answer(&which, c.tid, &c.args, &who, c)
	if !ok {
		return byKernel
	}
	return answer{value: v, err: err}
}

// getsockopt tells who is at the other end of a socket.
func (c *call) getsockopt() answer {
	ok := c.s.files.peer(c.tid, &c.args, c, func(pid int32) (uid, gid uint32, ok bool) {
		b, ok := c.s.beliefsOf(uint32(pid))
		if !ok {
			return 0, 0, false
		}
		return b.u.effective, b.g.effective, true
	})
	if !ok {
		return byKernel
	}
	return value(0)
}

// theRoot is a call that names a directory.
var theRoot = fileCall{op: opStat, dir: none, path: 0, fd: none, flags: none, out: none, value: none}

// chroot succeeds where it makes no difference: for the root directory itself, and for a directory
// that holds nothing, a jail in which nothing can be named. It fails with EPERM for any other, as
// a success without a change of root would show the whole tree where a program means to show a part.
//
// Engines whose own seccomp profile forbids chroot(2) to who has no CAP_SYS_CHROOT answer it before
// anybody is asked here: the error of one filter goes before the question of another.
func (c *call) chroot() answer {
	who := c.believes()
	f := c.s.files
	q := f.question()
	defer f.done(q)
	q.fileCall, q.tid, q.args, q.who, q.memory, q.flags = &theRoot, c.tid, &c.args, nil, c, 0
	if err := q.locate(); err != 0 {
		switch {
		case err == unix.EINVAL && q.paths[0] == 0:
			err = unix.ENOENT
		case err == unix.EINVAL:
			err = unix.EPERM // a place that only the kernel finds
		}
		return failed(err)
	}
	if err := look(q.view, 0, &q.real); err != 0 {
		return failed(err)
	}
	switch {
	case q.real.mode()&typeMask != typeDir:
		return failed(unix.ENOTDIR)
	case !who.can(capSysChroot):
		return failed(unix.EPERM)
	case has(q.places[:0], c.tid, "/root", q.real.id()), vacant(q.view):
		return value(0)
	}
	return failed(unix.EPERM)
}

// vacant tells whether a directory holds nothing.
func vacant(view []byte) bool {
	fd, err := openAt(append(view, 0), unix.O_RDONLY|unix.O_DIRECTORY)
	if err != 0 {
		return false
	}
	defer unix.Close(fd)
	var entries [512]byte
	n, readErr := unix.Getdents(fd, entries[:])
	if readErr != nil {
		return false
	}
	for b := entries[:max(n, 0)]; len(b) > 19; {
		length := int(b[16]) | int(b[17])<<8
		if length < 20 || length > len(b) {
			return false
		}
		if name := unix.ByteSliceToString(b[19:length]); name != "." && name != ".." {
			return false
		}
		b = b[length:]
	}
	return true
}
