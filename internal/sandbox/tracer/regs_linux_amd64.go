package tracer

import (
	"unsafe"

	"golang.org/x/sys/unix"

	"unroot/internal/sandbox/seccomp"
)

// Offsets of registers in struct user, asm/user_64.h.
const (
	offRAX     = 10 * 8
	offOrigRAX = 15 * 8
)

// fromRegisters fills in what kernels before 5.3 do not tell: the call's number and arguments, and
// at its exit the result. narrow says that the call came by the 32-bit ABI.
func fromRegisters(tid int, narrow bool, i *stopInfo) unix.Errno {
	var r unix.PtraceRegs
	if errno := request(unix.PTRACE_GETREGS, tid, 0, uintptr(unsafe.Pointer(&r))); errno != 0 {
		return errno
	}
	if i.op == infoExit {
		i.number = r.Rax
		if narrow {
			i.number = uint64(int32(r.Rax))
		}
		return 0
	}
	i.number, i.arch = r.Orig_rax, seccomp.AMD64.Audit
	i.args = [6]uint64{r.Rdi, r.Rsi, r.Rdx, r.R10, r.R8, r.R9}
	if narrow {
		i.arch = seccomp.I386.Audit
		i.args = [6]uint64{r.Rbx, r.Rcx, r.Rdx, r.Rsi, r.Rdi, r.Rbp}
	}
	return 0
}

// refuse makes the kernel skip a call at its seccomp stop and answer errno: seccomp(2), SECCOMP_RET_TRACE.
func refuse(tid int, errno uint16) {
	request(unix.PTRACE_POKEUSR, tid, offRAX, uintptr(-int(errno)))
	request(unix.PTRACE_POKEUSR, tid, offOrigRAX, ^uintptr(0))
}
