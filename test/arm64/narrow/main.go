//go:build linux && (386 || arm)

// Command narrow is a program for the 32-bit ABI of a machine: it does what the tracer's test looks for.
package main

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

func main() {
	if _, err := unix.Open("/proc/no/such", unix.O_RDONLY, 0); err != unix.ENOENT {
		fail(err)
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		fail(err)
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		fail(err)
	}
	if err := unix.Mount("x", "/mnt", "tmpfs", 0, ""); err != unix.EPERM {
		fail(err)
	}
	if err := unix.Chown("/proc/no/such", 7, -1); err != unix.ENOENT {
		fail(err)
	}
	_, _, errno := unix.RawSyscall(unix.SYS_SETUID32, ^uintptr(0), 0, 0)
	if errno != unix.EINVAL {
		fail(errno)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "narrow:", err)
	os.Exit(99)
}
