//go:build linux

package process

import (
	"os"
	"os/signal"
	"slices"
	"syscall"
	"unsafe"
)

// passed reports whether a signal goes on to the program: all that can be caught, except those by
// which the kernel tells a process of its own faults, of its children and of its terminal, and those
// that Go's runtime (SIGPROF) and the C libraries (32, 33: threads) keep.
func passed(sig syscall.Signal) bool {
	switch sig {
	case syscall.SIGKILL, syscall.SIGSTOP, syscall.SIGCHLD, syscall.SIGPROF,
		syscall.SIGFPE, syscall.SIGILL, syscall.SIGSEGV, syscall.SIGBUS, syscall.SIGABRT, syscall.SIGTRAP, syscall.SIGSYS,
		syscall.SIGTTIN, syscall.SIGTTOU, 32, 33:
		return false
	}
	return true
}

const (
	firstRealTime = syscall.Signal(34) // SIGRTMIN, as glibc has it; musl keeps it for itself
	lastSignal    = 64                 // SIGRTMAX
)

// ends reports whether a signal that comes before the program has started ends the start: those that
// ask a process to end, by a person or an engine.
func ends(sig syscall.Signal) bool {
	switch sig {
	case syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM:
		return true
	}
	return false
}

// Signals are those that came and have not been passed on.
type Signals struct {
	came    chan os.Signal
	ignored []os.Signal // when this process started
}

// Hold keeps every signal that may be passed on from now on, so that none is lost before the program
// has started. Those that were ignored stay so until then: the program is to find them ignored.
func Hold() *Signals {
	s := &Signals{came: make(chan os.Signal, 256)}
	ignored := map[syscall.Signal]bool{}
	inheritedIgnored(func(sig syscall.Signal) { ignored[sig] = true })
	var hold []os.Signal
	for sig := syscall.Signal(1); sig <= lastSignal; sig++ {
		switch {
		case !passed(sig):
		case ignored[sig] || ignores(sig):
			s.ignored = append(s.ignored, sig)
		default:
			hold = append(hold, sig)
		}
	}
	if len(s.ignored) > 0 { // no signal would mean every signal
		signal.Ignore(s.ignored...)
	}
	s.take(hold)
	return s
}

// take asks Go's runtime for signals.
func (s *Signals) take(list []os.Signal) {
	if len(list) == 0 { // that would mean every signal
		return
	}
	signal.Notify(s.came, list...)
	if slices.Contains(list, os.Signal(firstRealTime)) {
		catchFirstRealTime(firstRealTime)
	}
}

// Ended reports the signal that ended the start, if one came that asks for the end. Others are kept.
func (s *Signals) Ended() (sig syscall.Signal, ended bool) {
	for n := len(s.came); n > 0; n-- {
		got, _ := (<-s.came).(syscall.Signal)
		if ends(got) {
			return got, true
		}
		s.came <- got
	}
	return 0, false
}

// During does work that may take its time, and exits where a signal comes in between that asks for
// the end. Of the others each is kept once, as the kernel keeps them.
func (s *Signals) During(work func(), exit func(code int)) {
	done, watched := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(watched)
		var kept uint64
		for {
			select {
			case got := <-s.came:
				sig, _ := got.(syscall.Signal)
				if ends(sig) {
					exit(128 + int(sig))
				}
				kept |= 1 << (uint(sig) - 1)
			case <-done:
				s.keep(kept)
				return
			}
		}
	}()
	work()
	close(done)
	<-watched
}

func (s *Signals) keep(kept uint64) {
	for sig := syscall.Signal(1); sig <= lastSignal; sig++ {
		if kept>>(uint(sig)-1)&1 == 1 {
			select {
			case s.came <- sig:
			default: // a flood: there are others in its place
			}
		}
	}
}

// action is a kernel's struct sigaction: no less than any architecture's, the handler first.
type action [8]uintptr

const (
	sigIgn  = 1 // SIG_IGN
	setSize = 8 // bytes of the kernel's sigset_t
)

func actionOf(sig syscall.Signal) (a action, ok bool) {
	_, _, errno := syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, uintptr(sig), 0, uintptr(unsafe.Pointer(&a)), setSize, 0, 0)
	return a, errno == 0
}

// ignores reports whether a signal is ignored by this process.
func ignores(sig syscall.Signal) bool {
	a, ok := actionOf(sig)
	return ok && a[0] == sigIgn
}

// started is called when the program runs: what was ignored is passed on as well, because the program
// may have asked for it. A terminal must not stop a process that only says something.
func (s *Signals) started() {
	s.take(s.ignored)
	signal.Ignore(syscall.SIGTTIN, syscall.SIGTTOU)
}

// restoreIgnored gives back what Go's runtime took of the signals that were ignored.
func restoreIgnored() {
	inheritedIgnored(func(sig syscall.Signal) { signal.Ignore(sig) })
}
