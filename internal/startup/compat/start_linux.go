//go:build linux && (amd64 || arm64)

package compat

import (
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"unroot/internal/startup"
)

// Simple puts the filter of the lowest step on the calling thread, which must be locked to its
// goroutine and must execute the program next. Nothing stays to answer.
func Simple() error {
	_, err := install(Settings{Step: startup.CompatSimple}.program(), 0)
	return err
}

// Settings is a step, and what it does not do unless it is told.
type Settings struct {
	Step startup.Compat

	// Chroots lets every chroot(2) succeed, and change nothing, where an engine's seccomp profile
	// forbids it: as the engine's answer goes before a question, no supervisor sees the path then. It is
	// for images of which it is known that they only change to empty directories; others would show
	// the whole tree where they mean to show a part. Elsewhere, paths are looked at, and this is nothing.
	Chroots bool
}

// program is the filter's.
func (o Settings) program() []instruction {
	free := o.Chroots && o.Step != startup.CompatSimple && chrootForbidden()
	return filter(abisOf(runtime.GOARCH), func(a fileABI) []entry {
		list := entries(o.Step, a)
		for i := range list {
			if free && list[i].nr == uint32(nrChroot[a]) {
				list[i].reply = replySuccess
			}
		}
		return list
	})
}

// nrChroot is the number of chroot(2).
var nrChroot = numbers{161, 61, 51, 61}

// chrootForbidden tells whether a filter that is there answers chroot(2): the kernel says of an empty
// path that there is no such file, whoever asks.
func chrootForbidden() bool {
	var empty [1]byte
	_, _, err := unix.RawSyscall(unix.SYS_CHROOT, uintptr(unsafe.Pointer(&empty[0])), 0, 0)
	return err != unix.ENOENT
}

// Start starts a program with calls answered as a step says, and no more than that.
func Start(step startup.Compat, argv0 string, argv, env []string) (pid int, s *Supervisor, err error) {
	return Settings{Step: step}.Start(argv0, argv, env)
}

// Start starts a program in a process group of its own. From then on calls are answered: Serve only
// waits. An error is a syscall.Errno where the program could not be
// executed.
//
// A filter belongs to a thread and to what that starts. So one thread of this process gets it, starts the
// program and ends; the other threads have none, and the descriptor that answers is theirs as well. The
// scheduler starts no thread from one that is locked to its goroutine, and runs nothing else on it.
func (o Settings) Start(argv0 string, argv, env []string) (pid int, s *Supervisor, err error) {
	s, err = newSupervisor(o.Step)
	if err != nil {
		return 0, nil, err
	}
	code := o.program()
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
		if pid, err = s.attach(o.Step, code); err != nil {
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
