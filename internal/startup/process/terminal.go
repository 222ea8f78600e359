//go:build linux

package process

import (
	"os"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"unroot/internal/startup"
)

// stageName is this program's argv[0] where it is the program's own process, before that executes.
const stageName = "unroot-init: foreground"

// terminal reports whether standard input is this process' controlling terminal.
func terminal() bool {
	_, err := unix.IoctlGetInt(0, unix.TIOCGPGRP)
	return err == nil
}

// foreground starts a program as the terminal's foreground group. The group must be in front before
// the program's first instruction, or reading would stop it, and the kernel lets only one who blocks
// or ignores SIGTTOU go in front by itself (tty_check_change); with Go's fork nothing can run in between
// but another program: this one, which then becomes the other.
func foreground(run func(path string, argv, env []string) (int, error)) func(path string, argv, env []string) (int, error) {
	return func(path string, argv, env []string) (int, error) {
		pid, err := run(self(), append([]string{stageName, path}, argv...), env)
		if _, plain := err.(syscall.Errno); err == nil || !plain {
			return pid, err
		}
		return run(path, argv, env) // without the terminal rather than not at all
	}
}

func self() string {
	if exe, err := os.Readlink("/proc/self/exe"); err == nil {
		return exe
	}
	return startup.Path
}

// Stage is to be called first: where this process is one that Stay started to bring a program to the
// terminal's foreground, it becomes that program or gives why it could not. ok is false elsewhere.
func Stage(args, env []string) (failure *Failure, ok bool) {
	if len(args) < 3 || args[0] != stageName {
		return nil, false
	}
	runtime.LockOSThread()
	var before, stop unix.Sigset_t
	add(&stop, syscall.SIGTTOU)
	if unix.PthreadSigmask(unix.SIG_BLOCK, &stop, &before) == nil {
		group := int32(syscall.Getpid())
		_, _, _ = syscall.Syscall(syscall.SYS_IOCTL, 0, syscall.TIOCSPGRP, uintptr(unsafe.Pointer(&group)))
		_ = unix.PthreadSigmask(unix.SIG_SETMASK, &before, nil)
	}
	restoreIgnored()
	err := syscall.Exec(args[1], args[2:], env)
	errno, _ := err.(syscall.Errno)
	return explain(args[2], args[1], errno), true
}

// add puts a signal into a set, whose words are as wide as the kernel's long.
func add(set *unix.Sigset_t, sig syscall.Signal) {
	width := uint(unsafe.Sizeof(set.Val[0])) * 8
	n := uint(sig) - 1
	set.Val[n/width] |= 1 << (n % width)
}
