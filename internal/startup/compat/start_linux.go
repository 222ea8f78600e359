//go:build linux && (amd64 || arm64)

package compat

import (
	"runtime"
	"syscall"

	"unroot/internal/startup"
)

// Simple puts the filter of the lowest step on the calling thread, which must be locked to its
// goroutine and must execute the program next. Nothing stays to answer.
func Simple() error {
	_, err := install(program(startup.CompatSimple), 0)
	return err
}

func program(step startup.Compat) []instruction {
	return filter(abisOf(runtime.GOARCH), func(a fileABI) []entry { return entries(step, a) })
}

// Start starts a program in a process group of its own, with calls answered as the step says. From
// then on they are: Serve only waits. An error is a syscall.Errno where the program could not be
// executed.
//
// A filter belongs to a thread and to what that starts. So one thread of this process gets it, starts the
// program and ends; the other threads have none, and the descriptor that answers is theirs as well. The
// scheduler starts no thread from one that is locked to its goroutine, and runs nothing else on it.
func Start(step startup.Compat, argv0 string, argv, env []string) (pid int, s *Supervisor, err error) {
	s, err = newSupervisor(step)
	if err != nil {
		return 0, nil, err
	}
	code := program(step)
	// Until the program is executed, which asks the supervisor already, the thread that starts it keeps one of
	// the scheduler's processors (vfork), and cannot be stopped for a collection of garbage.
	if runtime.GOMAXPROCS(0) < 2 {
		runtime.GOMAXPROCS(2)
	}
	runtime.GC()
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		if pid, err = s.attach(step, code); err != nil {
			return
		}
		pid, err = syscall.ForkExec(argv0, argv, &syscall.ProcAttr{
			Env:   env,
			Files: []uintptr{0, 1, 2},
			Sys:   &syscall.SysProcAttr{Setpgid: true},
		})
	}()
	<-done
	if err != nil {
		s.Close()
		return 0, nil, err
	}
	return pid, s, nil
}

// attach puts the filter on the calling thread, and has its calls answered.
func (s *Supervisor) attach(step startup.Compat, code []instruction) (int, error) {
	if step == startup.CompatSimple {
		return install(code, 0)
	}
	fd, err := listen(code)
	if err != nil {
		return 0, err
	}
	s.listener = fd
	if err := s.hear(fd); err != nil {
		return 0, doing("listening for calls", err)
	}
	s.launch()
	go s.watch()
	return 0, nil
}
