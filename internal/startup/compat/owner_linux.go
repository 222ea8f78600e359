//go:build linux && (amd64 || arm64)

package compat

import (
	"slices"
	"sync"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// memory is the memory of the process that asks.
type memory interface {
	// read fills b as far as memory goes and gives how much that was; an error is the kernel's.
	read(addr uint64, b []byte) (int, error)
	write(addr uint64, b []byte) error
}

// files answers calls that look at owners of files and that change them. What it keeps is in memory
// only: after another start, files that were given away belong to whoever asks, as everything does
// that the running user really owns. It sees files, not names: a renamed or linked file keeps its
// owner, a new one under an old name has none.
//
// What is not believed but real: who may open, write or remove a file. The kernel decides that for the
// one user that everything runs as, and access(2) tells it. Files in /proc show their real owner.
//
// Not answered are openat2(2), io_uring(7) and bind(2): what the first two make is the first process', and
// a socket belongs to whoever asks for it, if that was there when it was made.
//
// Several goroutines may ask at once: a file system that does not answer holds up nobody else.
type files struct {
	mu     sync.Mutex // for what is known, never held while the kernel is asked
	table  givenTable
	makers makers
	idle   []*question // to be used again: no garbage is made of a call

	uid, gid uint32 // of the running user
	proc     uint64 // the device of /proc
	root     fileID // what the supervisor itself has as root directory
	mounts   fileID // the namespace of its mounts
	pids     fileID // the namespace of its process ids
	own      [3]fileID
	umask    uint32 // the supervisor's
	exact    bool   // files are made for whoever is not the default maker

	handsDown atomic.Bool // some directory hands down a group that it was given: files are made for everyone
}

// question is a call that is being answered.
type question struct {
	*fileCall
	tid    uint32
	args   *[6]uint64
	who    *asker
	memory memory

	view  []byte // where the file is found
	flags int    // with these
	real  statx  // what it is
	id    fileID
	owner given // what it is believed to be
	known bool  // by what it was given

	paths  [unix.PathMax]byte      // what the process has as path
	views  [unix.PathMax + 64]byte // where the supervisor finds it
	places [64]byte                // another place in /proc
	told   [256]byte
}

// question takes one that is idle.
func (f *files) question() *question {
	f.mu.Lock()
	defer f.mu.Unlock()
	if n := len(f.idle); n > 0 {
		q := f.idle[n-1]
		f.idle = f.idle[:n-1]
		return q
	}
	return &question{}
}

// done gives a question back. What it was about is forgotten.
func (f *files) done(q *question) {
	const spare = 4
	q.fileCall, q.args, q.who, q.memory = nil, nil, nil, nil
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.idle) < spare {
		f.idle = append(f.idle, q)
	}
}

// newFiles starts with nothing given away.
func newFiles() *files {
	f := &files{uid: uint32(unix.Getuid()), gid: uint32(unix.Getgid())}
	f.makers.start = coarseNow()
	f.umask, f.exact = threadStatus(uint32(unix.Gettid()), "Umask:", 8), makesExactly()
	f.proc = idOf("/proc").dev
	f.root, f.mounts, f.pids = idOf("/"), idOf("/proc/self/ns/mnt"), idOf("/proc/self/ns/pid")
	for i, path := range [...]string{"/proc/self/fd/0", "/proc/self/fd/1", "/proc/self/fd/2"} {
		f.own[i] = idOf(path)
	}
	return f
}

// idOf gives which file a path of the supervisor's own leads to; none: the zero value.
func idOf(path string) fileID {
	var s statx
	if look(append([]byte(nil), path...), 0, &s) != 0 {
		return fileID{}
	}
	return s.id()
}

// has tells whether something of a thread, named in its directory in /proc, is the file wanted. b is to
// work in.
func has(b []byte, tid uint32, name string, wanted fileID) bool {
	var s statx
	return look(append(viewTask(b, tid), name...), 0, &s) == 0 && s.id() == wanted
}

// coarseNow is the time as file systems write it.
func coarseNow() int64 {
	var now unix.Timespec
	if unix.ClockGettime(unix.CLOCK_REALTIME_COARSE, &now) != nil {
		return 0
	}
	return now.Nano()
}

// seen keeps that a process now has an identity for files. Who keeps identities calls it for the first
// process and at every change of an fsuid.
func (f *files) seen(uid, gid uint32) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.makers.note(uid, gid, coarseNow)
}

// answer does a call for a thread. It gives false where the kernel is to do it: where it fails, and
// where its answer is what the process believes anyhow.
func (f *files) answer(c *fileCall, tid uint32, args *[6]uint64, who *asker, m memory) (value int64, errno unix.Errno, ok bool) {
	q := f.question()
	defer f.done(q)
	q.fileCall, q.tid, q.args, q.who, q.memory, q.flags = c, tid, args, who, m, 0
	if c.op >= opOpen {
		return f.make(q)
	}
	errno, ok = f.change(q)
	return 0, errno, ok
}

// change is an answer about a file that is there.
func (f *files) change(q *question) (unix.Errno, bool) {
	who := q.who
	if err := q.locate(); err != 0 {
		return 0, q.op == opChown && who.chown && unseen(err)
	}
	if err := look(q.view, q.flags, &q.real); err != 0 {
		return 0, q.op == opChown && who.chown && q.fd != none && unseen(err)
	}
	q.id = q.real.id()
	if q.id.dev == f.proc {
		return 0, false
	}
	f.believe(q)
	switch q.op {
	case opChown:
		return f.chown(q)
	case opChmod:
		return f.chmod(q)
	}
	if !q.known && q.path != none && f.isOwn(q.id, q.real.mode()) {
		return 0, false
	}
	return 0, f.stat(q)
}

// unseen tells whether the kernel keeps a process' memory and descriptors from the supervisor, which
// it does where the process has had itself made so (PR_SET_DUMPABLE). What it gives away is then not
// recorded, but its call succeeds as it would for root.
func unseen(err unix.Errno) bool { return err == unix.EPERM || err == unix.EACCES || err == unix.EIO }

// look asks the kernel for a file. view has room for one byte more.
func look(view []byte, flags int, s *statx) unix.Errno {
	return statxAt(view, flags|unix.AT_NO_AUTOMOUNT, xWantBasic|xWantBtime, s)
}

func statxAt(view []byte, flags int, mask uint32, s *statx) unix.Errno {
	view = append(view, 0)
	dir := atCWD
	_, _, err := unix.Syscall6(unix.SYS_STATX, uintptr(dir), uintptr(unsafe.Pointer(&view[0])), uintptr(flags), uintptr(mask), uintptr(unsafe.Pointer(s)), 0)
	return err
}

// isOwn tells whether a path led to what the supervisor itself has as standard input or output: by a
// symbolic link to /dev/stdout, which means another file to the process perhaps.
func (f *files) isOwn(id fileID, mode uint16) bool {
	return mode&typeMask != typeFile && mode&typeMask != typeDir && (id == f.own[0] || id == f.own[1] || id == f.own[2])
}

// believe finds who the file belongs to, for who asks.
func (f *files) believe(q *question) {
	f.mu.Lock()
	defer f.mu.Unlock()
	mode := q.real.mode() & modeAll
	owner, ok := f.table.find(q.id)
	if q.known = ok; ok {
		if !owner.hasMode {
			owner.mode = mode
		}
		q.owner = owner
		return
	}
	q.owner = given{uid: q.real.uid(), gid: q.real.gid(), mode: mode}
	if q.owner.uid != f.uid {
		return
	}
	uid, gid := f.makers.of(q.id.birth, q.who.uid, q.who.gid, f.exact && q.real.mode()&typeMask != typeSocket)
	q.owner.uid = uid
	if q.owner.gid == f.gid {
		q.owner.gid = gid
	}
}

// locate finds where the supervisor sees the file that a call means. The error is EINVAL for what only
// the kernel can say.
func (q *question) locate() unix.Errno {
	dir, nofollow, empty := int32(atCWD), q.link, false
	switch {
	case q.path == none:
		fd := int32(q.args[q.fd])
		q.view = viewFD(q.views[:0], q.tid, fd)
		if fd < 0 {
			return unix.EINVAL
		}
		return 0
	case q.dir != none:
		dir = int32(q.args[q.dir])
	}
	if q.fileCall.flags != none {
		flags := uint32(q.args[q.fileCall.flags])
		if flags&^(atNofollow|atEmpty|q.mayFlags()) != 0 {
			return unix.EINVAL
		}
		nofollow, empty = flags&atNofollow != 0, flags&atEmpty != 0
	}
	path, err := q.readText(q.args[q.path], empty)
	switch {
	case err != 0:
		return err
	case len(path) == 0 && empty:
		q.view = viewFD(q.views[:0], q.tid, dir)
		return 0
	case nofollow:
		q.flags = atNofollow
	}
	view, ok := viewPath(q.views[:0], q.tid, dir, path, nofollow)
	if q.view = view; !ok {
		return unix.EINVAL
	}
	return 0
}

// give keeps what a file was given.
func (f *files) give(id fileID, owner given) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.table.put(id, owner)
}

// mayFlags is the flags that a call takes beside those that all take.
func (c *fileCall) mayFlags() uint32 {
	if c.op == opStat {
		return atAutomount | atSync
	}
	return 0
}

// readText reads a path, or what a symbolic link is to hold. No path at all is an empty one where that is allowed, as since Linux 6.11.
func (q *question) readText(addr uint64, empty bool) ([]byte, unix.Errno) {
	if addr == 0 && empty {
		return nil, 0
	}
	const page = 4096
	for n := 0; n < len(q.paths); {
		// not across a page: the next may not be there
		chunk := min(page-int((addr+uint64(n))%page), len(q.paths)-n, 256)
		got, err := q.memory.read(addr+uint64(n), q.paths[n:n+chunk])
		if end := slices.Index(q.paths[n:n+max(got, 0)], 0); end >= 0 {
			return q.paths[:n+end], 0
		}
		if n += got; got < chunk {
			errno, _ := err.(unix.Errno)
			if errno == 0 {
				errno = unix.EFAULT
			}
			return nil, errno
		}
	}
	return nil, unix.ENAMETOOLONG
}

// sees tells whether what a call names means the same to the process as to the supervisor.
func (f *files) sees(q *question) bool {
	return q.path == none || has(q.places[:0], q.tid, "/root", f.root) && has(q.places[:0], q.tid, "/ns/mnt", f.mounts)
}

// stat writes what a file is believed to be, where that is not what it is.
func (f *files) stat(q *question) bool {
	same := q.owner.uid == q.real.uid() && q.owner.gid == q.real.gid() && q.owner.mode == q.real.mode()&modeAll
	if same || !f.sees(q) {
		return false
	}
	if q.layout == layoutStatx {
		// once more, with the wishes of the process: file systems tell more or less by them
		const reserved = 1 << 31
		mask, asked := uint32(q.args[q.out-1]), int(uint32(q.args[q.fileCall.flags]))
		if mask&reserved != 0 || statxAt(q.view, q.flags|asked&(atAutomount|atSync), mask, &q.real) != 0 {
			return false
		}
	}
	q.real.become(q.owner)
	return q.layout.encode(q.told[:], &q.real) && q.memory.write(q.args[q.out], q.told[:q.layout.room()]) == nil
}

// chown gives a file away, in the table. The kernel does the rest of it, with both ids unchanged, which
// it allows to anyone: it takes set-user-ID bits away, writes the time, and an overlay makes its own
// copy of a file that comes from the image, whose number and birth are then those that stay.
// An error of that is none of the process' business: on a file system that is read-only here, root's chown
// worked where the image was made for.
func (f *files) chown(q *question) (unix.Errno, bool) {
	uid, gid := q.ids(q.args)
	if !f.sees(q) {
		return 0, q.who.chown
	}
	if !q.who.mayChown(q.owner, uid, gid) {
		return unix.EPERM, true
	}
	q.view = append(q.view, 0)
	dir := atCWD
	_, _, _ = unix.Syscall6(unix.SYS_FCHOWNAT, uintptr(dir), uintptr(unsafe.Pointer(&q.view[0])), uintptr(noID), uintptr(noID), uintptr(q.flags), 0)
	if err := look(q.view[:len(q.view)-1], q.flags, &q.real); err != 0 {
		return 0, false
	}
	owner := chowned(q.owner, uid, gid, q.real.mode()&typeMask == typeDir)
	owner.hasMode = owner.mode != q.real.mode()&modeAll // bits that are only the owner's to take
	f.give(q.real.id(), owner)
	f.noteDirectory(q, owner, q.real.mode())
	return 0, true
}

// noteDirectory looks for a directory whose set-group-ID bit hands another group down than the kernel does.
func (f *files) noteDirectory(q *question, owner given, mode uint16) {
	if mode&typeMask == typeDir && mode&setGID != 0 && owner.gid != q.real.gid() {
		f.handsDown.Store(true)
	}
}

// chmod is done by the kernel where the running user owns the file. Where it only believes so, the mode
// is kept like the owner: who may open the file stays as it is.
func (f *files) chmod(q *question) (unix.Errno, bool) {
	if q.real.mode()&typeMask == typeLink || !f.sees(q) {
		return 0, false
	}
	if !q.who.mayChmod(q.owner) {
		return unix.EPERM, true
	}
	f.noteDirectory(q, q.owner, q.real.mode()&typeMask|uint16(q.args[q.value])&modeAll)
	if q.real.uid() != f.uid {
		f.give(q.id, chmodded(q.owner, uint16(q.args[q.value]), q.who))
		return 0, true
	}
	if q.owner.hasMode {
		q.owner.hasMode = false
		f.give(q.id, q.owner)
	}
	return 0, false
}
