//go:build linux && (amd64 || arm64)

package compat

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ownMemory is that of the test, read and written as that of another process would be.
type ownMemory struct{}

func (ownMemory) read(addr uint64, b []byte) (int, error) {
	return unix.ProcessVMReadv(os.Getpid(), []unix.Iovec{{Base: &b[0], Len: uint64(len(b))}}, []unix.RemoteIovec{{Base: uintptr(addr), Len: len(b)}}, 0)
}

func (ownMemory) write(addr uint64, b []byte) error {
	_, err := unix.ProcessVMWritev(os.Getpid(), []unix.Iovec{{Base: &b[0], Len: uint64(len(b))}}, []unix.RemoteIovec{{Base: uintptr(addr), Len: len(b)}}, 0)
	return err
}

// world is a process, which is the test itself, that asks for files.
type world struct {
	t     *testing.T
	files *files
	dir   string
	tid   uint32
	name  [unix.PathMax]byte
	out   [512]byte
}

func newWorld(t *testing.T) *world {
	runtime.LockOSThread()
	t.Cleanup(runtime.UnlockOSThread)
	w := &world{t: t, files: newFiles(), dir: t.TempDir(), tid: uint32(unix.Gettid())}
	w.files.seen(0, 0)
	return w
}

func (w *world) path(name string) uint64 {
	clear(w.name[:])
	if !filepath.IsAbs(name) {
		name = filepath.Join(w.dir, name)
	}
	copy(w.name[:], name)
	return uint64(uintptr(unsafe.Pointer(&w.name)))
}

func (w *world) ask(nr uint32, who asker, args ...uint64) (unix.Errno, bool) {
	w.t.Helper()
	abi := fileAMD64
	if runtime.GOARCH == "arm64" {
		abi = fileARM64
	}
	call, ok := fileCallOf(abi, nr)
	if !ok {
		w.t.Fatalf("call %d is not known", nr)
	}
	var all [6]uint64
	copy(all[:], args)
	_, errno, ok := w.files.answer(&call, w.tid, &all, &who, ownMemory{})
	return errno, ok
}

const cwd = ^uint64(99)

func (w *world) chown(who asker, name string, uid, gid uint32, flags uint64) (unix.Errno, bool) {
	w.t.Helper()
	return w.ask(unix.SYS_FCHOWNAT, who, cwd, w.path(name), uint64(uid), uint64(gid), flags)
}

// statx gives what a process is told; false: the kernel tells it.
func (w *world) statx(who asker, name string, flags uint64) (*statx, bool) {
	w.t.Helper()
	clear(w.out[:])
	errno, ok := w.ask(unix.SYS_STATX, who, cwd, w.path(name), flags, xWantBasic|xWantBtime, uint64(uintptr(unsafe.Pointer(&w.out))))
	if errno != 0 {
		w.t.Errorf("statx %s: %v", name, errno)
	}
	return (*statx)(w.out[:256]), ok
}

// owned demands what a process is told of a file's owner.
func (w *world) owned(who asker, name string, flags uint64, uid, gid uint32) {
	w.t.Helper()
	s, ok := w.statx(who, name, flags)
	if !ok {
		s = askStatx(w.t, filepath.Join(w.dir, name), flags&atNofollow != 0)
	}
	if s.uid() != uid || s.gid() != gid {
		w.t.Errorf("%s for %d belongs to %d:%d, want %d:%d", name, who.uid, s.uid(), s.gid(), uid, gid)
	}
}

func (w *world) make(name string) {
	w.t.Helper()
	if err := os.WriteFile(filepath.Join(w.dir, name), nil, 0o644); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) do(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

var (
	rootAsks = asker{chown: true, fowner: true, fsetid: true}
	wwwAsks  = asker{uid: 33, gid: 33}
)

func TestGivenFilesKeepTheirOwner(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.make("a")
	w.do(os.Symlink("a", filepath.Join(w.dir, "link")))
	if errno, ok := w.chown(rootAsks, "a", 33, 34, 0); errno != 0 || !ok {
		t.Fatalf("chown: %v, %v", errno, ok)
	}
	w.owned(rootAsks, "a", 0, 33, 34)
	w.owned(wwwAsks, "a", 0, 33, 34)
	w.owned(wwwAsks, "link", 0, 33, 34)
	w.do(os.Link(filepath.Join(w.dir, "a"), filepath.Join(w.dir, "b")))
	w.do(os.Rename(filepath.Join(w.dir, "a"), filepath.Join(w.dir, "c")))
	w.owned(rootAsks, "b", 0, 33, 34)
	w.owned(rootAsks, "c", 0, 33, 34)
	if errno, ok := w.chown(rootAsks, "link", 5, noID, atNofollow); errno != 0 || !ok {
		t.Fatalf("lchown: %v, %v", errno, ok)
	}
	w.owned(rootAsks, "link", atNofollow, 5, uint32(0))
	w.do(os.Remove(filepath.Join(w.dir, "b")))
	w.do(os.Remove(filepath.Join(w.dir, "c")))
	w.make("b")
	w.owned(rootAsks, "b", 0, 0, 0)
}

// What is told to a process is what the kernel tells, but for the owner, to the last byte.
func TestTheRestIsTheKernels(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.make("a")
	w.chown(rootAsks, "a", 70000, 70001, 0)
	got, ok := w.statx(rootAsks, "a", 0)
	want := *askStatx(t, filepath.Join(w.dir, "a"), false)
	want.become(given{uid: 70000, gid: 70001})
	if !ok || !bytes.Equal(got[xNlink:], want[xNlink:]) {
		t.Errorf("statx:\n%x, want\n%x", *got, want)
	}
	fd, err := unix.Open(filepath.Join(w.dir, "a"), unix.O_RDONLY, 0)
	w.do(err)
	defer unix.Close(fd)
	clear(w.out[:])
	if errno, ok := w.ask(unix.SYS_FSTAT, rootAsks, uint64(fd), uint64(uintptr(unsafe.Pointer(&w.out)))); errno != 0 || !ok {
		t.Fatalf("fstat: %v, %v", errno, ok)
	}
	var stat unix.Stat_t
	w.do(unix.Fstat(fd, &stat))
	stat.Uid, stat.Gid = 70000, 70001
	if told := (*unix.Stat_t)(unsafe.Pointer(&w.out)); *told != stat {
		t.Errorf("fstat: %+v, want %+v", *told, stat)
	}
	if errno, ok := w.ask(unix.SYS_STATX, rootAsks, uint64(fd), 0, atEmpty, xWantBasic, uint64(uintptr(unsafe.Pointer(&w.out)))); errno != 0 || !ok {
		t.Errorf("statx without a path: %v, %v", errno, ok)
	}
}

// Where the kernel has an error, it is the one to tell it.
func TestErrorsAreTheKernels(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.make("a")
	w.chown(rootAsks, "a", 33, 33, 0)
	out := uint64(uintptr(unsafe.Pointer(&w.out)))
	for name, args := range map[string][]uint64{
		"no such file":    {cwd, w.path("none"), 0, xWantBasic, out},
		"no path":         {cwd, 0, 0, xWantBasic, out},
		"no memory":       {cwd, 8, 0, xWantBasic, out},
		"no descriptor":   {12345, 0, atEmpty, xWantBasic, out},
		"unknown flag":    {cwd, 0, 1 << 20, xWantBasic, out},
		"a reserved mask": {cwd, 0, 0, 1 << 31, out},
		"nowhere to tell": {cwd, 0, 0, xWantBasic, 8},
	} {
		if args[1] == 0 && !strings.HasPrefix(name, "no ") {
			args[1] = w.path("a")
		} else if name == "no such file" {
			w.path("none")
		}
		if errno, ok := w.ask(unix.SYS_STATX, rootAsks, args...); ok {
			t.Errorf("%s: answered with %v", name, errno)
		}
	}
	if errno, ok := w.chown(rootAsks, "none", 1, 1, 0); ok {
		t.Errorf("a file that is not there was given away: %v", errno)
	}
	if errno, ok := w.ask(unix.SYS_FCHOWN, rootAsks, 12345, 1, 1); ok {
		t.Errorf("a descriptor that is not open was given away: %v", errno)
	}
	if errno, ok := w.ask(unix.SYS_FCHOWN, rootAsks, cwd, 1, 1); ok {
		t.Errorf("AT_FDCWD is a descriptor: %v", errno)
	}
	if errno, ok := w.chown(wwwAsks, "a", 5, noID, 0); errno != unix.EPERM || !ok {
		t.Errorf("www gives its file away: %v, %v", errno, ok)
	}
	w.owned(rootAsks, "a", 0, 33, 33)
}

// A mode that the kernel would not set is believed, of a file that is believed to be owned.
func TestModeOfAFileOfAnother(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.make("a")
	real := askStatx(t, filepath.Join(w.dir, "a"), false)
	w.files.uid = real.uid() + 1 // the kernel has it as another's
	if errno, ok := w.ask(unix.SYS_FCHMODAT, wwwAsks, cwd, w.path("a"), 0o600); !ok || errno != unix.EPERM {
		t.Errorf("www changes another's mode: %v, %v", errno, ok)
	}
	if errno, ok := w.ask(unix.SYS_FCHMODAT, rootAsks, cwd, w.path("a"), 0o4711); errno != 0 || !ok {
		t.Fatalf("chmod: %v, %v", errno, ok)
	}
	if s, ok := w.statx(wwwAsks, "a", 0); !ok || s.mode() != 0o104711 || s.uid() != real.uid() {
		t.Errorf("mode %o, owner %d", s.mode(), s.uid())
	}
	w.chown(rootAsks, "a", 33, noID, 0)
	if s, ok := w.statx(wwwAsks, "a", 0); !ok || s.mode() != 0o100711 || s.uid() != 33 {
		t.Errorf("given away: mode %o, owner %d", s.mode(), s.uid())
	}
	if errno, ok := w.ask(unix.SYS_FCHMODAT, wwwAsks, cwd, w.path("a"), 0o640); errno != 0 || !ok {
		t.Errorf("the owner's chmod: %v, %v", errno, ok)
	}
	if errno, ok := w.ask(unix.SYS_FCHMODAT, asker{uid: 5}, cwd, w.path("a"), 0o666); errno != unix.EPERM || !ok {
		t.Errorf("another's chmod: %v, %v", errno, ok)
	}
	if s, ok := w.statx(wwwAsks, "a", 0); !ok || s.mode() != 0o100640 {
		t.Errorf("mode %o", s.mode())
	}
}

// A supervisor that answers thousands of calls a second makes no garbage for them.
func TestStatMakesNoGarbage(t *testing.T) {
	w := newWorld(t)
	w.make("a")
	w.chown(rootAsks, "a", 33, 33, 0)
	call, _ := fileCallOf(fileAMD64, 332) // statx has the same arguments everywhere
	args := [6]uint64{cwd, w.path("a"), 0, xWantBasic, uint64(uintptr(unsafe.Pointer(&w.out)))}
	who := rootAsks
	var m memory = quietMemory{}
	if n := testing.AllocsPerRun(100, func() {
		if _, _, ok := w.files.answer(&call, w.tid, &args, &who, m); !ok {
			t.Error("not answered")
		}
	}); n > 0 {
		t.Errorf("%v allocations a call", n)
	}
}

// quietMemory is the test's own, touched directly.
type quietMemory struct{}

func (quietMemory) read(addr uint64, b []byte) (int, error) {
	return copy(b, unsafe.Slice((*byte)(addressed(addr)), len(b))), nil
}

func (quietMemory) write(addr uint64, b []byte) error {
	copy(unsafe.Slice((*byte)(addressed(addr)), len(b)), b)
	return nil
}

func addressed(addr uint64) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&addr)) }
