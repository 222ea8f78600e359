//go:build linux && (amd64 || arm64)

package compat

import (
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

	mem     *image   // its memory; nil: not open
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

// waits tells whether the thread still waits for the answer.
func (c *call) waits() bool {
	return ioctlNow(c.s.listener, ioctlValid, uintptr(unsafe.Pointer(&c.id))) == 0
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
	if !c.held {
		if c.mem == nil {
			return
		}
		c.s.mu.Lock()
	}
	defer c.s.mu.Unlock()
	if c.held {
		if !sent && c.before != nil {
			c.who.become(c.tid, c.before, c.threads)
		}
	}
	c.release()
}

// openAt opens a path, which ends with a zero byte.
func openAt(path []byte, flags int) (int, unix.Errno) {
	dir := atCWD
	fd, _, err := unix.Syscall6(unix.SYS_OPENAT, uintptr(dir), uintptr(unsafe.Pointer(&path[0])), uintptr(flags|unix.O_CLOEXEC), 0, 0, 0)
	return int(fd), err
}
