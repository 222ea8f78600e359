//go:build linux

// Command statraw prints what the kernel writes for a call that looks at a file, as the ABI that it is built for has it.
package main

import (
	"encoding/hex"
	"os"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// What the kernel reads and writes does not move.
var (
	name   [4096]byte
	result [512]byte
)

// The words of its command line: how the call takes its file, the call's number, and the file.
func main() {
	if len(os.Args) != 4 {
		os.Exit(2)
	}
	nr, err := strconv.ParseUint(os.Args[2], 10, 32)
	if err != nil {
		os.Exit(2)
	}
	path := os.Args[3]
	copy(name[:], path)
	out, p := uintptr(unsafe.Pointer(&result)), uintptr(unsafe.Pointer(&name))
	var errno unix.Errno
	switch os.Args[1] {
	case "path":
		_, _, errno = unix.Syscall(uintptr(nr), p, out, 0)
	case "fd":
		fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
		if err != nil {
			os.Exit(3)
		}
		_, _, errno = unix.Syscall(uintptr(nr), uintptr(fd), out, 0)
	case "at":
		_, _, errno = unix.Syscall6(uintptr(nr), ^uintptr(99), p, out, unix.AT_SYMLINK_NOFOLLOW, 0, 0)
	case "statx":
		_, _, errno = unix.Syscall6(uintptr(nr), ^uintptr(99), p, unix.AT_SYMLINK_NOFOLLOW, 0xfff, out, 0)
	default:
		os.Exit(2)
	}
	if errno != 0 {
		os.Stderr.WriteString(errno.Error() + "\n")
		os.Exit(4)
	}
	os.Stdout.WriteString(hex.EncodeToString(result[:]) + "\n")
}
