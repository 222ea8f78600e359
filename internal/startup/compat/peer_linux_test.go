//go:build linux && (amd64 || arm64)

package compat

import (
	"os"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"unroot/internal/oracle"
)

func TestPeer(t *testing.T) {
	t.Parallel()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pair[0])
	defer unix.Close(pair[1])
	f := newFiles()
	if _, ok := f.realPeer(uint32(os.Getpid()), int32(pair[0])); !ok {
		oracle.Missing(t, "a kernel and a profile that let a descriptor be copied (pidfd_getfd)")
	}
	believed := func(pid int32) (uid, gid uint32, ok bool) { return 33, 34, int(pid) == os.Getpid() }
	nobody := func(int32) (uid, gid uint32, ok bool) { return 0, 0, false }
	type told struct {
		value [16]byte
		room  uint32
	}
	for _, test := range []struct {
		fd     int
		option uint64
		room   uint32
		who    func(int32) (uint32, uint32, bool)
		want   uint32 // how many bytes; 0: the kernel is asked
	}{
		{pair[0], soPeercred, 12, believed, 12},
		{pair[1], soPeercred, 100, believed, 12},
		{pair[1], soPeercred, 6, believed, 6},
		{pair[1], soPeercred, 1 << 31, believed, 0},
		{pair[1], unix.SO_TYPE, 12, believed, 0},
		{pair[1], soPeercred, 12, nobody, 0},
		{12345, soPeercred, 12, believed, 0},
		{0, soPeercred, 12, believed, 0},
	} {
		out := &told{room: test.room}
		args := [6]uint64{uint64(test.fd), solSocket, test.option, uint64(uintptr(unsafe.Pointer(&out.value))), uint64(uintptr(unsafe.Pointer(&out.room)))}
		ok := f.peer(uint32(os.Getpid()), &args, ownMemory{}, test.who)
		if ok != (test.want > 0) || ok && out.room != test.want {
			t.Errorf("descriptor %d, option %d, room for %d: %v, %d bytes", test.fd, test.option, test.room, ok, out.room)
		}
		var full [sizeofUcred]byte
		want := ucred{int32(os.Getpid()), 33, 34}.encode(&full, int32(test.want))
		if string(out.value[:test.want]) != string(want) || out.value[test.want] != 0 {
			t.Errorf("told %x, want %x", out.value, want)
		}
	}
}

// The other end is found without a copy of the descriptor, too.
func TestLikelyPeer(t *testing.T) {
	t.Parallel()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pair[0])
	defer unix.Close(pair[1])
	f := newFiles()
	var s unix.Stat_t
	if err := unix.Fstat(pair[0], &s); err != nil {
		t.Fatal(err)
	}
	if _, ok := otherEnd(uint32(s.Ino)); !ok {
		oracle.Missing(t, "a kernel that tells of Unix sockets (CONFIG_UNIX_DIAG)")
	}
	u, ok := f.likelyPeer(uint32(os.Getpid()), int32(pair[0]))
	if !ok || int(u.pid) != os.Getpid() || u.uid != uint32(os.Getuid()) {
		t.Errorf("%+v, %v", u, ok)
	}
	if u, ok := f.likelyPeer(uint32(os.Getpid()), 0); ok {
		t.Errorf("standard input has another end: %+v", u)
	}
}

func FuzzDiagnosed(f *testing.F) {
	f.Add(make([]byte, 48))
	f.Add(append(append(make([]byte, 4), 20), make([]byte, 60)...))
	f.Fuzz(func(_ *testing.T, b []byte) { diagnosed(b) })
}

// Nothing that another process has in its memory makes an answer fail.
func FuzzLayouts(f *testing.F) {
	f.Add(make([]byte, 256))
	f.Fuzz(func(t *testing.T, b []byte) {
		var s statx
		copy(s[:], b)
		s.id()
		s.become(given{uid: 1, hasMode: true, mode: 0xffff})
		for l := range layoutsInCount {
			var out [512]byte
			if l.encode(out[:], &s) == (l == layoutNone) && l != layoutNarrow {
				t.Errorf("shape %d", l)
			}
			for i, c := range out[l.room():] {
				if c != 0 {
					t.Errorf("shape %d writes %d bytes behind its end", l, i)
				}
			}
		}
	})
}
