//go:build linux

package process

import (
	"os"
	"os/signal"
	"syscall"
)

// passed reports whether a signal goes on to the program: all that can be caught, except those by
// which the kernel tells a process of its own faults, of its children and of its terminal, and those
// that Go's runtime keeps (32 to 34: threads; SIGPROF).
func passed(sig syscall.Signal) bool {
	switch sig {
	case syscall.SIGKILL, syscall.SIGSTOP, syscall.SIGCHLD, syscall.SIGPROF,
		syscall.SIGFPE, syscall.SIGILL, syscall.SIGSEGV, syscall.SIGBUS, syscall.SIGABRT, syscall.SIGTRAP, syscall.SIGSYS,
		syscall.SIGTTIN, syscall.SIGTTOU, 32, 33, 34:
		return false
	}
	return true
}

const lastSignal = 64

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
	inheritedIgnored(func(sig int) { ignored[syscall.Signal(sig)] = true })
	var hold []os.Signal
	for sig := syscall.Signal(1); sig <= lastSignal; sig++ {
		switch {
		case !passed(sig):
		case ignored[sig] || signal.Ignored(sig):
			s.ignored = append(s.ignored, sig)
		default:
			hold = append(hold, sig)
		}
	}
	// A list that is empty would mean every signal.
	if len(s.ignored) > 0 {
		signal.Ignore(s.ignored...)
	}
	if len(hold) > 0 {
		signal.Notify(s.came, hold...)
	}
	return s
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

// started is called when the program runs: what was ignored is passed on as well, because the program
// may have asked for it. A terminal must not stop a process that only says something.
func (s *Signals) started() {
	if len(s.ignored) > 0 {
		signal.Notify(s.came, s.ignored...)
	}
	signal.Ignore(syscall.SIGTTIN, syscall.SIGTTOU)
}

// restoreIgnored gives back what Go's runtime took of the signals that were ignored.
func restoreIgnored() {
	inheritedIgnored(func(sig int) { signal.Ignore(syscall.Signal(sig)) })
}
