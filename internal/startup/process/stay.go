//go:build linux

package process

import (
	"errors"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"unroot/internal/startup"
)

// Program is what Stay starts.
type Program struct {
	Argv []string // argv[0] is looked up as execvp(3) does
	Env  []string

	// Start starts the file at path with argv and env in a process group of its own, and gives its pid.
	// It must be called on a thread that stays as it is. Nil: Start.
	Start func(path string, argv, env []string) (pid int, err error)

	// OnReap is told every process whose end was collected, the program's last; called on one
	// goroutine, in the order of collection. Nil: nobody asks.
	OnReap func(pid int)

	// Started is told the program's pid, once, before OnReap is called. Nil: nobody asks.
	Started func(pid int)
}

// Start starts a program in a process group of its own, as a child of this process.
func Start(path string, argv, env []string) (pid int, err error) {
	return syscall.ForkExec(path, argv, &syscall.ProcAttr{
		Env:   env,
		Files: []uintptr{0, 1, 2},
		Sys:   &syscall.SysProcAttr{Setpgid: true},
	})
}

// Stay starts the program as a child and stays as the first process: it collects every orphan, passes
// signals on, gives the program the terminal of its standard input, and returns when the program has
// ended, with its exit status or 128 + the signal that ended it. What else runs then is the kernel's
// to end, where this is the first process of a pid namespace.
func Stay(p Program, s *Signals) (code int, failure *Failure) {
	if err := adopt(); err != nil {
		return 0, &Failure{Code: startup.ExitOwn, Text: "becoming the parent of orphans: " + err.Error(), Err: err}
	}
	if sig, ended := s.Ended(); ended {
		return 128 + int(sig), nil
	}
	pid, failure := start(p)
	if failure != nil {
		return 0, failure
	}
	s.started()
	if p.Started != nil {
		p.Started(pid)
	}
	go s.pass(target(pid))
	return collect(pid, p.OnReap)
}

// adopt makes this process the parent of orphans below it, where the kernel does not do so by itself.
func adopt() error {
	if syscall.Getpid() == 1 {
		return nil
	}
	return unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
}

// start looks the program up and starts it.
func start(p Program) (pid int, failure *Failure) {
	run := p.Start
	if run == nil {
		run = Start
	}
	if terminal() {
		run = foreground(run)
	}
	list, failure := candidates(p.Argv, p.Env)
	if failure != nil {
		return 0, failure
	}
	failure = attempt(p.Argv, list, pathOf(p.Env), func(path string, argv []string) (err error) {
		if err := usable(path); err != nil {
			return err
		}
		pid, err = run(path, argv, p.Env)
		return err
	})
	return pid, failure
}

// collect reaps until the program has ended.
func collect(program int, onReap func(int)) (int, *Failure) {
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
			continue
		case err != nil:
			text := "[internal error] waiting for process " + strconv.Itoa(program) + ": " + err.Error()
			return 0, &Failure{Code: startup.ExitOwn, Text: text, Err: err}
		}
		if onReap != nil {
			onReap(pid)
		}
		if pid == program {
			return exitCode(status), nil
		}
	}
}

func exitCode(status syscall.WaitStatus) int {
	if status.Signaled() {
		return 128 + int(status.Signal())
	}
	return status.ExitStatus()
}

// pass hands every signal on, for as long as this process lives.
func (s *Signals) pass(send func(syscall.Signal) error) {
	for got := range s.came {
		if sig, ok := got.(syscall.Signal); ok {
			// An error says that the program has ended, which the collector finds too.
			_ = send(sig)
		}
	}
}

// target gives the way to send the program a signal: by a descriptor where the kernel has those, so
// that no other process gets it that has the same pid by then.
func target(pid int) func(syscall.Signal) error {
	if fd, err := unix.PidfdOpen(pid, 0); err == nil {
		if err := unix.PidfdSendSignal(fd, 0, nil, 0); err == nil {
			return func(sig syscall.Signal) error { return unix.PidfdSendSignal(fd, sig, nil, 0) }
		}
		unix.Close(fd)
	}
	return func(sig syscall.Signal) error { return syscall.Kill(pid, sig) }
}
