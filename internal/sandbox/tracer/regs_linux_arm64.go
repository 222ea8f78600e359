package tracer

import (
	"encoding/binary"
	"unsafe"

	"golang.org/x/sys/unix"

	"unroot/internal/sandbox/seccomp"
)

const (
	ntPrStatus      = 1     // general registers: linux/elf.h
	ntARMSystemCall = 0x404 // the number of the call that is being made
)

// registers reads or writes a register set of a tracee; a 32-bit one has smaller ones.
func registers(req, tid int, set uintptr, b []byte) (n int, errno unix.Errno) {
	iov := unix.Iovec{Base: &b[0], Len: uint64(len(b))}
	errno = request(req, tid, set, uintptr(unsafe.Pointer(&iov)))
	return int(iov.Len), errno
}

// fromRegisters fills in what kernels before 5.3 do not tell: the call's number and arguments, and
// at its exit the result. Whether the tracee is a 32-bit one shows in the size of its registers.
func fromRegisters(tid int, _ bool, i *stopInfo) unix.Errno {
	var b [34 * 8]byte // struct user_pt_regs
	n, errno := registers(unix.PTRACE_GETREGSET, tid, ntPrStatus, b[:])
	if errno != 0 {
		return errno
	}
	narrow := n < len(b)
	word := func(at int) uint64 {
		if narrow {
			return uint64(binary.LittleEndian.Uint32(b[4*at:]))
		}
		return binary.LittleEndian.Uint64(b[8*at:])
	}
	if i.op == infoExit {
		i.number = word(0)
		if narrow {
			i.number = uint64(int32(word(0)))
		}
		return 0
	}
	i.number, i.arch = word(8), seccomp.ARM64.Audit
	if narrow {
		i.number, i.arch = word(7), seccomp.ARM.Audit
	}
	for a := range i.args {
		i.args[a] = word(a)
	}
	return 0
}

// refuse makes the kernel skip a call at its seccomp stop and answer errno: seccomp(2),
// SECCOMP_RET_TRACE; arch/arm64/kernel/ptrace.c, system_call_set.
func refuse(tid int, errno uint16) {
	var b [34 * 8]byte
	n, e := registers(unix.PTRACE_GETREGSET, tid, ntPrStatus, b[:])
	if e != 0 {
		return
	}
	if answer := -int64(errno); n < len(b) {
		binary.LittleEndian.PutUint32(b[:], uint32(answer))
	} else {
		binary.LittleEndian.PutUint64(b[:], uint64(answer))
	}
	registers(unix.PTRACE_SETREGSET, tid, ntPrStatus, b[:n])
	none := [4]byte{0xff, 0xff, 0xff, 0xff}
	registers(unix.PTRACE_SETREGSET, tid, ntARMSystemCall, none[:])
}
