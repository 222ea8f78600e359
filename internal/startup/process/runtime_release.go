//go:build linux && unroot_release

package process

import (
	"sync/atomic"
	"syscall"
	"unsafe"
)

// What Go's runtime knows of signals and tells nobody. The linker lets nobody see it unless it is told
// -checklinkname=0, which the release build does; a toolchain that has it no more fails to link.
//
// fwdSig is what the runtime found as each signal's handler when it took the signal for itself;
// handlingSig is 1 for those that it has taken.
var (
	//go:linkname fwdSig runtime.fwdSig
	fwdSig [65]uintptr
	//go:linkname handlingSig runtime.handlingSig
	handlingSig [65]uint32
)

// inheritedIgnored gives the signals that were ignored before Go's runtime took them.
func inheritedIgnored(use func(sig syscall.Signal)) {
	for sig, handler := range fwdSig {
		if handler == sigIgn {
			use(syscall.Signal(sig))
		}
	}
}

// catchFirstRealTime gives SIGRTMIN the handler that Go's runtime has for SIGCHLD. The runtime hands
// on what is asked for, but does not take this one signal by itself (issue 39343: musl).
func catchFirstRealTime(sig syscall.Signal) {
	if a, ok := actionOf(syscall.SIGCHLD); ok {
		atomic.StoreUint32(&handlingSig[sig], 1)
		_, _, _ = syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, uintptr(sig), uintptr(unsafe.Pointer(&a)), 0, setSize, 0, 0)
	}
}
