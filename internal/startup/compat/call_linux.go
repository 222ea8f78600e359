//go:build linux && (amd64 || arm64)

package compat

import (
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// call is a call that a thread waits in.
type call struct {
	s     *Supervisor
	id    uint64
	tid   uint32
	abi   fileABI
	nr    uint32
	args  [6]uint64 // of an ABI of 32 bits, the upper halves are 0
	short bool      // ids have 16 bits

	fd      int      // its memory; -1: not open
	closed  bool     // its memory cannot be opened
	who     *process // once it was asked for; nil while all believe the same
	before  *beliefs // what a change took away, to be undone where nobody waits for the answer any more
	threads []uint32 // of the process, at the change
	held    bool     // the supervisor's lock, from a change to the answer
}

// answer is what a thread gets.
type answer struct {
	value  int64
	err    unix.Errno
	kernel bool // the call is done by the kernel as if there were no filter
}

// handler answers a call.
type handler func(*call) answer

var byKernel = answer{kernel: true}

func value(v int64) answer         { return answer{value: v} }
func failed(err unix.Errno) answer { return answer{err: err} }

// open opens the memory of the process. The descriptor stays with the memory, whatever becomes of
// the process; that it is the right one is certain if the thread still waits after it was opened.
// process_vm_readv(2) would be less work, and is refused by the profiles of engines before 2020.
func (c *call) open() bool {
	if c.fd < 0 && !c.closed {
		var path [32]byte
		b := append(append(strconv.AppendUint(append(path[:0], "/proc/"...), uint64(c.tid), 10), "/mem"...), 0)
		fd, err := openAt(b, unix.O_RDWR)
		if err == 0 {
			c.fd = fd
		}
		c.closed = err != 0 || !c.waits()
	}
	return !c.closed
}

// waits tells whether the thread still waits for the answer.
func (c *call) waits() bool {
	return ioctlNow(c.s.listener, ioctlValid, uintptr(unsafe.Pointer(&c.id))) == 0
}

// read fills b from the memory of the process as far as that goes. It is EPERM where the kernel keeps the memory
// from this process, as with a program that the user may execute and not read.
func (c *call) read(addr uint64, b []byte) (int, error) {
	if !c.open() {
		return 0, unix.EPERM
	}
	if addr>>63 != 0 {
		return 0, unix.EFAULT
	}
	n, err := unix.Pread(c.fd, b, int64(addr))
	if err == nil && n == len(b) {
		return n, nil
	}
	return max(n, 0), unix.EFAULT
}

// write puts b into the memory of the process.
func (c *call) write(addr uint64, b []byte) error {
	if !c.open() {
		return unix.EPERM
	}
	if addr>>63 != 0 {
		return unix.EFAULT
	}
	if n, err := unix.Pwrite(c.fd, b, int64(addr)); err != nil || n != len(b) {
		return unix.EFAULT
	}
	return nil
}

// fault is the answer where memory could not be read or written: what the kernel would say, and where
// it keeps the memory from this process, the kernel itself.
func fault(err error) answer {
	if err == unix.EPERM {
		return byKernel
	}
	return failed(unix.EFAULT)
}

// believes is what the process believes now.
func (c *call) believes() *beliefs {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	return c.s.believes(c)
}

// change gives the process other beliefs: do changes a copy, and an error leaves all as it was. Nobody
// else is answered until the process is.
func (c *call) change(do func(*beliefs) (int64, unix.Errno)) answer {
	c.s.mu.Lock()
	c.held = true
	old := c.s.believes(c)
	changed := *old
	v, err := do(&changed)
	if err != 0 {
		return failed(err)
	}
	if !changed.equal(old) {
		changed.committed(old)
		c.s.become(c, &changed)
	}
	return value(v)
}

// finish lets others be answered.
func (c *call) finish(sent bool) {
	if c.held {
		if !sent && c.before != nil {
			c.who.become(c.tid, c.before, c.threads)
		}
		c.s.mu.Unlock()
	}
	if c.fd >= 0 {
		unix.Close(c.fd)
	}
}

// openAt opens a path, which ends with a zero byte.
func openAt(path []byte, flags int) (int, unix.Errno) {
	dir := atCWD
	fd, _, err := unix.Syscall6(unix.SYS_OPENAT, uintptr(dir), uintptr(unsafe.Pointer(&path[0])), uintptr(flags|unix.O_CLOEXEC), 0, 0, 0)
	return int(fd), err
}
