//go:build amd64 || arm64

package tracer

import (
	"os"
	"os/signal"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// wakeSignal interrupts the wait of a tracer's thread: a real-time signal that nobody else uses.
const wakeSignal = unix.Signal(59)

// sigaction is the kernel's struct sigaction for rt_sigaction(2): the same on both machines.
type sigaction struct {
	handler, flags, restorer uintptr
	mask                     uint64
}

// interruptible lets the runtime install its handler for the signal, and takes SA_RESTART away from
// it: wait4(2) then returns with EINTR instead of going on. The handler's work, telling a channel that
// nobody reads, does no harm.
var interruptible = sync.OnceFunc(func() {
	signal.Notify(make(chan os.Signal, 1), syscall.Signal(wakeSignal))
	const restart = 0x10000000
	var a sigaction
	action(uintptr(unsafe.Pointer(&a)), 1)
	a.flags &^= restart
	action(uintptr(unsafe.Pointer(&a)), 0)
})

// action reads (get is 1) or sets the signal's action.
func action(a uintptr, get int) {
	set, old := a, uintptr(0)
	if get == 1 {
		set, old = 0, a
	}
	unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(wakeSignal), set, old, 8, 0, 0)
}

// answerWake makes the calling thread one that ring interrupts.
func answerWake() {
	interruptible()
	var s unix.Sigset_t
	s.Val[0] = 1 << (wakeSignal - 1)
	unix.PthreadSigmask(unix.SIG_UNBLOCK, &s, nil)
}

// ring interrupts the waiting thread.
func (t *Tracer) ring() {
	if tid := int(t.thread.Load()); tid != 0 {
		unix.Tgkill(os.Getpid(), tid, syscall.Signal(wakeSignal))
	}
}
