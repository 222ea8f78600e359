//go:build amd64 || arm64

package tracer

import (
	"bytes"
	"encoding/binary"
	"os"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	pageSize = 4096 // the smallest there is; a larger one only makes more reads
	maxPath  = 4096 // PATH_MAX; the kernel takes no longer path either
)

// memory reads what the tracee's arguments point to. The tracee's other threads, and whoever shares
// its memory, can change it before the kernel reads it again: what is read here is what was said, not
// what was done. The answers of the kernel are what counts, and they cannot be forged.
type memory struct {
	buf [maxPath]byte
	how int // for tests: 0 takes what works, 1 only /proc/PID/mem, 2 only PEEKDATA
}

// read fills b from addr and gives how much could be read.
func (m *memory) read(tid int, addr uint64, b []byte) int {
	if len(b) == 0 {
		return 0
	}
	if m.how == 0 {
		local := unix.Iovec{Base: &b[0], Len: uint64(len(b))}
		remote := unix.RemoteIovec{Base: uintptr(addr), Len: len(b)}
		n, _, errno := unix.RawSyscall6(unix.SYS_PROCESS_VM_READV, uintptr(tid),
			uintptr(unsafe.Pointer(&local)), 1, uintptr(unsafe.Pointer(&remote)), 1, 0)
		if errno == 0 {
			return int(n)
		}
		if errno == unix.EFAULT || errno == unix.ESRCH {
			return 0
		}
	}
	// An engine forbids process_vm_readv (Docker before 20.10.8), or the tracee cannot be dumped.
	if m.how != 2 && len(b) > 256 {
		if n, ok := readProcMem(tid, addr, b); ok {
			return n
		}
	}
	return peekAll(tid, addr, b)
}

func readProcMem(tid int, addr uint64, b []byte) (int, bool) {
	f, err := os.Open("/proc/" + strconv.Itoa(tid) + "/mem")
	if err != nil {
		return 0, false
	}
	defer f.Close()
	n, _ := f.ReadAt(b, int64(addr))
	return n, n > 0
}

// peekAll reads word by word, and stops after the end of a string: most of what is read are paths.
func peekAll(tid int, addr uint64, b []byte) int {
	for n := 0; n < len(b); n += 8 {
		word, ok := peek(tid, addr+uint64(n))
		if !ok {
			return n
		}
		var w [8]byte
		binary.NativeEndian.PutUint64(w[:], word)
		copy(b[n:], w[:])
	}
	return len(b)
}

// text reads a string that ends with a zero byte, at most limit bytes of it. It is false where the
// memory cannot be read. The bytes are good until the next read.
func (m *memory) text(tid int, addr uint64, limit int) ([]byte, bool) {
	if addr == 0 {
		return nil, false
	}
	limit = min(limit, len(m.buf))
	for n := 0; n < limit; {
		// not beyond the page: the next one may not be there
		want := min(limit-n, pageSize-int((addr+uint64(n))%pageSize))
		if m.how != 0 {
			want = min(want, 64)
		}
		got := m.read(tid, addr+uint64(n), m.buf[n:n+want])
		if end := bytes.IndexByte(m.buf[n:n+got], 0); end >= 0 {
			return m.buf[:n+end], true
		}
		if n += got; got < want {
			return m.buf[:n], n > 0
		}
	}
	return m.buf[:limit], true
}

// words reads n numbers of a size of 2, 4 or 8 bytes.
func (m *memory) words(tid int, addr uint64, n, size int) []uint64 {
	n = min(n, len(m.buf)/size)
	got := m.read(tid, addr, m.buf[:n*size]) / size
	all := make([]uint64, got)
	for i := range all {
		switch b := m.buf[i*size:]; size {
		case 2:
			all[i] = uint64(binary.NativeEndian.Uint16(b))
		case 4:
			all[i] = uint64(binary.NativeEndian.Uint32(b))
		default:
			all[i] = binary.NativeEndian.Uint64(b)
		}
	}
	return all
}
