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

// prepare changes two signals of this process, once.
//
// The runtime's handler for the wake signal loses SA_RESTART: wait4(2) then returns with EINTR instead
// of going on. The handler's work, telling a channel that nobody reads, does no harm.
//
// SIGCHLD gets its default action, which is nothing, and SA_NOCLDSTOP: else every stop of a tracee
// would run the runtime's handler on some thread of this process, which costs as much as the stop
// (kernel/signal.c, do_notify_parent_cldstop). The wait is woken without it.
var prepare = sync.OnceFunc(func() {
	signal.Notify(make(chan os.Signal, 1), syscall.Signal(wakeSignal))
	const (
		restart     = 0x10000000
		noChildStop = 1
	)
	a := action(wakeSignal, nil)
	a.flags &^= restart
	action(wakeSignal, &a)
	a = action(unix.SIGCHLD, nil)
	a.handler, a.flags = 0, a.flags|noChildStop
	action(unix.SIGCHLD, &a)
})

// action sets what a signal does, unless set is nil, and gives what it did before.
func action(sig unix.Signal, set *sigaction) (old sigaction) {
	unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig), uintptr(unsafe.Pointer(set)), uintptr(unsafe.Pointer(&old)), 8, 0, 0)
	return old
}

// answerWake makes the calling thread one that ring interrupts.
func answerWake() {
	prepare()
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
