//go:build linux && (amd64 || arm64)

package compat

import (
	"errors"
	"slices"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"unroot/internal/startup"
)

// notice is struct seccomp_notif of linux/seccomp.h, with its struct seccomp_data.
type notice struct {
	id    uint64
	pid   uint32 // of the thread, as this process sees it; 0: in no namespace that it sees
	flags uint32
	nr    uint32
	arch  uint32
	ip    uint64
	args  [6]uint64
}

// response is struct seccomp_notif_resp.
type response struct {
	id    uint64
	val   int64
	err   int32
	flags uint32
}

// What golang.org/x/sys/unix lacks: linux/seccomp.h.
const (
	ioctlReceive  = unix.SECCOMP_IOCTL_NOTIF_RECV
	ioctlSend     = unix.SECCOMP_IOCTL_NOTIF_SEND
	ioctlValid    = 0x40082102
	ioctlSetFlags = 0x40082104
)

// ioctl is one that may wait.
func ioctl(fd int, request uintptr, p unsafe.Pointer) unix.Errno {
	_, _, err := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, uintptr(p))
	return err
}

// ioctlNow is one that never waits: the scheduler need not know.
func ioctlNow(fd int, request, value uintptr) unix.Errno {
	_, _, err := unix.RawSyscall(unix.SYS_IOCTL, uintptr(fd), request, value)
	return err
}

// Available tells whether the kernel can do what some steps need; without any, what all of them do. The
// error says what is missing. What an engine's own seccomp profile forbids shows at the start only.
func Available(steps ...startup.Compat) error {
	if !gives(retErrno) {
		return errors.New("answering calls: the kernel has no seccomp filters")
	}
	if len(steps) > 0 && !slices.ContainsFunc(steps, func(s startup.Compat) bool { return s != startup.CompatSimple }) {
		return nil
	}
	if !gives(retNotify) || !atLeast(5, 5) {
		return errors.New("answering calls: the kernel has no seccomp user notification that lets a call go on, which came with Linux 5.5")
	}
	return nil
}

// gives asks whether filters may give an action.
func gives(action uint32) bool {
	_, _, err := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_GET_ACTION_AVAIL, 0, uintptr(unsafe.Pointer(&action)))
	return err == 0
}

// atLeast compares the version of the kernel.
func atLeast(major, minor int) bool {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return false
	}
	a, rest, _ := strings.Cut(unix.ByteSliceToString(u.Release[:]), ".")
	x, y := leading(a), leading(rest)
	return x > major || x == major && y >= minor
}

// leading is the number that a text starts with.
func leading(s string) (n int) {
	for i := 0; i < len(s) && s[i] >= '0' && s[i] <= '9' && n < 1<<20; i++ {
		n = n*10 + int(s[i]-'0')
	}
	return n
}

// install puts a filter on the calling thread alone, and on what it will start. With flags for a
// listener it gives its descriptor, which is closed on execve(2).
func install(program []instruction, flags uintptr) (int, error) {
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return -1, doing("setting no_new_privs", err)
	}
	fprog := unix.SockFprog{Len: uint16(len(program)), Filter: (*unix.SockFilter)(unsafe.Pointer(&program[0]))}
	fd, _, err := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(&fprog)))
	if err != 0 {
		return -1, doing("installing a seccomp filter", err)
	}
	return int(fd), nil
}

// listen installs a filter that asks, in the best form that the kernel has.
func listen(program []instruction) (int, error) {
	const killable = unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV // since Linux 5.19
	fd, err := install(program, unix.SECCOMP_FILTER_FLAG_NEW_LISTENER|killable)
	if errors.Is(err, unix.EINVAL) {
		fd, err = install(program, unix.SECCOMP_FILTER_FLAG_NEW_LISTENER)
	}
	if errors.Is(err, unix.EBUSY) {
		return -1, errors.New("installing a seccomp filter: another supervisor answers calls of this process already")
	}
	if err == nil {
		// who asks and who answers take turns on one CPU; since Linux 6.6, and of use only
		_ = ioctlNow(fd, ioctlSetFlags, unix.SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP)
	}
	return fd, err
}

// failure is an error with what was being done.
type failure struct {
	what string
	err  error
}

func doing(what string, err error) error { return failure{what, err} }

func (f failure) Error() string { return f.what + ": " + f.err.Error() }
func (f failure) Unwrap() error { return f.err }
