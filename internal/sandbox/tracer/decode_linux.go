//go:build amd64 || arm64

package tracer

import (
	"encoding/binary"
	"strconv"

	"golang.org/x/sys/unix"

	"unroot/internal/trace"
)

// pending is a call that a thread is making: what it asked, until the answer is there.
type pending struct {
	call  *call
	event trace.Event
	flags uint32 // of open, mode of access: two calls with different ones may get different answers
	inode string // of a socket, such as "socket:[4711]"

	missing bool // the answer is known: nothing is there
}

// decode reads what a call asks. It is false where its arguments cannot be read: the kernel will
// answer EFAULT.
func (t *Tracer) decode(k *task, c *call, args *[6]uint64) (p pending, ok bool) {
	if c.more == socketCall {
		return t.decodeSocketCall(k, c, args)
	}
	p = pending{call: c}
	e := &p.event
	e.Kind, e.Call, e.Want, e.PID, e.Exe = c.kind, c.name, c.want, k.proc.pid, k.proc.exe
	if c.path != nil {
		if e.Path, ok = t.locate(k, c.path, args); !ok {
			return p, false
		}
	}
	if c.target != nil && c.more != linkText {
		if e.Target, ok = t.locate(k, c.target, args); !ok {
			return p, false
		}
	}
	for _, a := range c.ids {
		e.IDs = append(e.IDs, id(args[a], c.short))
	}
	return p, t.details(k, &p, args)
}

// details reads what only some calls have.
func (t *Tracer) details(k *task, p *pending, args *[6]uint64) bool {
	c, e := p.call, &p.event
	switch c.more {
	case openFlags2:
		p.flags = uint32(args[c.path.path+1])
		e.Want = openWant(p.flags)
	case openHow: // struct open_how: openat2(2)
		how := t.mem.words(k.tid, args[2], 1, 8)
		if len(how) == 0 {
			return false
		}
		p.flags = uint32(how[0])
		e.Want = openWant(p.flags)
	case accessMode:
		p.flags = uint32(args[c.path.path+1])
		e.Want = accessWant(p.flags)
	case argv:
		e.Args = t.argv(k, args[c.path.path+1], c.abi.Wide)
	case linkText:
		text, ok := t.mem.text(k.tid, args[c.target.path], maxPath)
		e.Target = string(text)
		return ok
	case mountSource:
		text, _ := t.mem.text(k.tid, args[0], maxPath)
		e.Target = string(text)
	case groupList:
		e.IDs = t.groups(k, args, c.short)
	case address:
		return t.address(k, p, int(int32(args[0])), args[1], args[2])
	case listening:
		t.listening(k, p, int(int32(args[0])))
	case socketType:
		e.Addr = socketName(uint32(args[0]), uint32(args[1]))
	}
	return true
}

// id is a uid or gid of a call: all ones say that it stays as it is.
func id(arg uint64, short bool) int64 {
	if short {
		if uint16(arg) == 0xffff {
			return -1
		}
		return int64(uint16(arg))
	}
	if uint32(arg) == 0xffffffff {
		return -1
	}
	return int64(uint32(arg))
}

// maxIDs is how many groups of a setgroups are kept.
const maxIDs = 64

func (t *Tracer) groups(k *task, args *[6]uint64, short bool) []int64 {
	size := 4
	if short {
		size = 2
	}
	n := int(min(args[0], maxIDs))
	ids := make([]int64, 0, n)
	for _, w := range t.mem.words(k.tid, args[1], n, size) {
		ids = append(ids, id(w, short))
	}
	return ids
}

// The flags of open(2) that are of interest are the same on all machines here: asm-generic/fcntl.h.
func openWant(flags uint32) string {
	const (
		create   = 0o100
		truncate = 0o1000
		onlyPath = 0o10000000
		tmpFile  = 0o20000000
	)
	if flags&onlyPath != 0 {
		return ""
	}
	want := [...]string{"r", "w", "rw", "rw"}[flags&3]
	if flags&(create|tmpFile) != 0 {
		want += "c"
	}
	if flags&truncate != 0 {
		want += "t"
	}
	return want
}

func accessWant(mode uint32) (want string) {
	for _, m := range []struct {
		bit  uint32
		name string
	}{{unix.R_OK, "r"}, {unix.W_OK, "w"}, {unix.X_OK, "x"}} {
		if mode&m.bit != 0 {
			want += m.name
		}
	}
	return want
}

// How much of a program's arguments is kept: trace.Event.
const (
	maxArgs = 64
	maxArg  = 256
)

func (t *Tracer) argv(k *task, addr uint64, wide bool) []string {
	if addr == 0 {
		return nil
	}
	size := 4
	if wide {
		size = 8
	}
	// The list may end before a page that is not there: what could be read is enough then.
	pointers := t.mem.words(k.tid, addr, maxArgs, size)
	if len(pointers) < maxArgs {
		rest := t.mem.words(k.tid, addr+uint64(len(pointers)*size), maxArgs-len(pointers), size)
		pointers = append(pointers, rest...)
	}
	var all []string
	for _, p := range pointers {
		if p == 0 {
			break
		}
		text, ok := t.mem.text(k.tid, p, maxArg)
		if !ok {
			break
		}
		all = append(all, string(text))
	}
	return all
}

// decodeSocketCall reads socketcall(2) of i386: the number of a call, and its arguments in memory.
func (t *Tracer) decodeSocketCall(k *task, c *call, args *[6]uint64) (p pending, ok bool) {
	name := map[uint64]string{1: "socket", 2: "bind", 3: "connect", 4: "listen"}[args[0]]
	if name == "" {
		return pending{call: c, event: trace.Event{Kind: trace.Socket, Call: c.name, PID: k.proc.pid, Exe: k.proc.exe}}, true
	}
	var inner [6]uint64
	copy(inner[:], t.mem.words(k.tid, args[1], 3, 4))
	return t.decode(k, &call{name, c.abi, shapes()[name]}, &inner)
}

// address reads what a socket is bound or connected to.
func (t *Tracer) address(k *task, p *pending, fd int, addr, length uint64) bool {
	var b [128]byte // struct sockaddr_storage
	n := int(min(length&0xffffffff, uint64(len(b))))
	if n < 2 || t.mem.read(k.tid, addr, b[:n]) < 2 {
		return false
	}
	family := binary.NativeEndian.Uint16(b[:])
	switch family {
	case unix.AF_UNIX:
		p.event.Addr = t.unixAddress(k, b[2:n])
		p.inode = t.socketInode(k, fd)
		return true
	case unix.AF_INET, unix.AF_INET6:
		if host, ok := hostPort(family, b[:n]); ok {
			p.event.Addr = t.protocol(k, fd) + " " + host
			p.inode = t.socketInode(k, fd)
			return true
		}
		return false
	}
	p.event.Addr = familyName(uint32(family))
	return true
}

// unixAddress is "unix" and a path, resolved, or a name after "@": unix(7).
func (t *Tracer) unixAddress(k *task, path []byte) string {
	if len(path) == 0 {
		return "unix @" // unnamed: the kernel chooses a name
	}
	if path[0] == 0 {
		return "unix @" + printable(path[1:])
	}
	return "unix " + t.inRoot(k, unix.AT_FDCWD, cString(path))
}

// listening finds the address that the socket was bound to.
func (t *Tracer) listening(k *task, p *pending, fd int) {
	p.inode = t.socketInode(k, fd)
	if a, ok := t.bound[p.inode]; ok {
		p.event.Addr = a
		return
	}
	if proto := t.protocol(k, fd); proto == "unix" {
		p.event.Addr = "unix @"
	} else {
		p.event.Addr = proto + " 0.0.0.0:0" // the kernel chooses a port: ip(7)
	}
}

// protocol asks what a socket speaks: the kernel tells by an attribute of the descriptor (net/socket.c,
// sockfs_xattr_get), which needs no right that an engine withholds.
func (t *Tracer) protocol(k *task, fd int) string {
	var b [32]byte
	n, err := unix.Getxattr(t.ofThread(k)+"/fd/"+strconv.Itoa(fd), "system.sockprotoname", b[:])
	if err != nil || n <= 0 || n > len(b) {
		return "ip"
	}
	return protocolName(cString(b[:n]))
}

func (t *Tracer) socketInode(k *task, fd int) string {
	text, _ := t.readlink(t.ofThread(k) + "/fd/" + strconv.Itoa(fd))
	return text
}
