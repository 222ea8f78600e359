//go:build amd64 || arm64

package tracer

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// The calls below are made as raw ones: they return at once, and the Go scheduler need not hear of
// them. Only the wait blocks.

// request is one ptrace(2) request. Any errno but ESRCH, which a tracee that was killed gives at any
// time, is for the caller.
func request(req, tid int, addr, data uintptr) unix.Errno {
	_, _, errno := unix.RawSyscall6(unix.SYS_PTRACE, uintptr(req), uintptr(tid), addr, data, 0, 0)
	return errno
}

// seizeOptions is what the tracer hears of: new processes and threads, programs executed, and the
// calls that the filter marks. Should the tracer die, its tracees do, too: a confined run does not
// go on unwatched.
const seizeOptions = unix.PTRACE_O_TRACECLONE | unix.PTRACE_O_TRACEFORK | unix.PTRACE_O_TRACEVFORK | unix.PTRACE_O_TRACEEXEC |
	unix.PTRACE_O_TRACESECCOMP | unix.PTRACE_O_TRACESYSGOOD | unix.PTRACE_O_EXITKILL

func seize(tid int) unix.Errno { return request(unix.PTRACE_SEIZE, tid, 0, seizeOptions) }

// message is the number that belongs to an event stop, such as the pid of a child.
func message(tid int) (int, bool) {
	var n uint64
	errno := request(unix.PTRACE_GETEVENTMSG, tid, 0, uintptr(unsafe.Pointer(&n)))
	return int(n), errno == 0
}

// The kinds of stops of struct ptrace_syscall_info, linux/ptrace.h.
const (
	infoEntry   = 1
	infoExit    = 2
	infoSeccomp = 3
)

// stopInfo is struct ptrace_syscall_info: what a call asks, or what it got.
type stopInfo struct {
	op     uint8
	_      [3]uint8
	arch   uint32
	_      [2]uint64 // instruction and stack pointer
	number uint64    // of a call; at its exit the result
	args   [6]uint64 // at the exit the first one's lowest byte says whether the result is an error
	data   uint32    // of SECCOMP_RET_TRACE
	_      uint32
}

// result is the kernel's answer at an exit stop: a value, or a negated errno.
func (i *stopInfo) result() int64 { return int64(i.number) }

// syscallInfo asks with PTRACE_GET_SYSCALL_INFO, Linux 5.3.
func syscallInfo(tid int, i *stopInfo) unix.Errno {
	return request(unix.PTRACE_GET_SYSCALL_INFO, tid, unsafe.Sizeof(*i), uintptr(unsafe.Pointer(i)))
}

// wait waits for whatever happens to any child or tracee, threads included. It can be interrupted
// by the signal of wake.
func wait() (tid int, status uint32, errno unix.Errno) {
	var ws uint32
	r, _, errno := unix.Syscall6(unix.SYS_WAIT4, ^uintptr(0), uintptr(unsafe.Pointer(&ws)), unix.WALL, 0, 0, 0)
	return int(r), ws, errno
}

// stopped takes a wait status apart. It is false where the status is a process's end.
func stopped(status uint32) (sig unix.Signal, event int, ok bool) {
	return unix.Signal(status >> 8 & 0xff), int(status >> 16), status&0xff == 0x7f
}

// ending is the exit status of a process, or the signal that ended it.
func ending(status uint32) (code int, sig unix.Signal) {
	if s := unix.Signal(status & 0x7f); s != 0 {
		return 0, s
	}
	return int(status >> 8 & 0xff), 0
}

// peek reads one word of a tracee's memory: the oldest way, that no engine forbids where it lets us
// trace, and that needs no right over the tracee but to be its tracer (kernel/ptrace.c, ptrace_access_vm).
func peek(tid int, addr uint64) (word uint64, ok bool) {
	errno := request(unix.PTRACE_PEEKDATA, tid, uintptr(addr), uintptr(unsafe.Pointer(&word)))
	return word, errno == 0
}
