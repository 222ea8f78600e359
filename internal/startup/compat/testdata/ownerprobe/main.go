//go:build linux

// Command ownerprobe does what the lines of a script say and prints what came of each.
package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

func main() {
	unix.Umask(0)
	script, err := os.Open(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, "ownerprobe:", err)
		os.Exit(2)
	}
	for lines := bufio.NewScanner(script); lines.Scan(); {
		words := strings.Fields(lines.Text())
		if len(words) > 0 {
			fmt.Println(lines.Text(), "->", do(words[0], words[1:]))
		}
	}
}

func number(word string) int {
	n, err := strconv.ParseInt(word, 0, 64)
	if err != nil {
		panic(err)
	}
	return int(n)
}

// said is a result: an error by its number, which is the same everywhere.
func said(err error) string {
	if errno, ok := err.(unix.Errno); ok {
		return unix.ErrnoName(errno)
	}
	if err != nil {
		return err.Error()
	}
	return "ok"
}

func do(op string, args []string) string {
	switch op {
	case "sleep":
		time.Sleep(time.Duration(number(args[0])) * time.Millisecond)
		return "ok"
	case "script": // in a process of its own
		cmd := exec.Command("/proc/self/exe", args[0])
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		if err := cmd.Run(); err != nil {
			return err.Error()
		}
		return "ok"
	case "setgroups":
		return said(syscall.Setgroups(numbers(args)))
	case "setgid":
		return said(syscall.Setgid(number(args[0])))
	case "setuid":
		return said(syscall.Setuid(number(args[0])))
	case "seteuid":
		return said(syscall.Setresuid(-1, number(args[0]), -1))
	case "ids":
		groups, err := unix.Getgroups()
		if err != nil {
			return said(err)
		}
		return fmt.Sprint(unix.Getuid(), unix.Geteuid(), unix.Getgid(), unix.Getegid(), groups)
	case "peer":
		return peer()
	case "name":
		return name(args[0])
	}
	if strings.Contains(op, "stat") {
		return look(op, args[0])
	}
	return said(change(op, args))
}

func numbers(words []string) []int {
	var n []int
	for _, w := range words {
		n = append(n, number(w))
	}
	return n
}

func change(op string, args []string) error {
	switch op {
	case "make":
		fd, err := unix.Open(args[0], unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY, uint32(number(args[1])))
		if err == nil {
			unix.Close(fd)
		}
		return err
	case "mkdir":
		return unix.Mkdir(args[0], uint32(number(args[1])))
	case "mkfifo":
		return unix.Mkfifo(args[0], uint32(number(args[1])))
	case "symlink":
		return unix.Symlink(args[0], args[1])
	case "link":
		return unix.Link(args[0], args[1])
	case "rename":
		return unix.Rename(args[0], args[1])
	case "unlink":
		return unix.Unlink(args[0])
	case "chmod":
		return unix.Chmod(args[0], uint32(number(args[1])))
	case "chown":
		return unix.Chown(args[0], number(args[1]), number(args[2]))
	case "lchown":
		return unix.Lchown(args[0], number(args[1]), number(args[2]))
	case "chownat":
		dir, err := unix.Open(".", unix.O_DIRECTORY, 0)
		if err != nil {
			return err
		}
		defer unix.Close(dir)
		return unix.Fchownat(dir, args[0], number(args[1]), number(args[2]), unix.AT_SYMLINK_NOFOLLOW)
	}
	fd, err := open(args[0], op == "fchownempty")
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	switch op {
	case "fchmod":
		return unix.Fchmod(fd, uint32(number(args[1])))
	case "fchown":
		return unix.Fchown(fd, number(args[1]), number(args[2]))
	case "fchownempty":
		return unix.Fchownat(fd, "", number(args[1]), number(args[2]), unix.AT_EMPTY_PATH)
	}
	panic(op)
}

func open(name string, path bool) (int, error) {
	flags := unix.O_RDONLY | unix.O_NONBLOCK | unix.O_CLOEXEC
	if path {
		flags |= unix.O_PATH
	}
	return unix.Open(name, flags, 0)
}

// shown is what one call or another tells of a file.
func shown(mode, uid, gid, nlink uint32, size uint64) string {
	return fmt.Sprintf("%o %d:%d links %d size %d", mode, uid, gid, nlink, size)
}

func look(op, name string) string {
	var s unix.Stat_t
	var x unix.Statx_t
	var err error
	switch op {
	case "stat":
		err = unix.Stat(name, &s)
	case "lstat":
		err = unix.Lstat(name, &s)
	case "fstatat":
		err = unix.Fstatat(unix.AT_FDCWD, name, &s, unix.AT_SYMLINK_NOFOLLOW)
	case "fstat", "fstatempty":
		var fd int
		if fd, err = open(name, false); err != nil {
			return said(err)
		}
		defer unix.Close(fd)
		if op == "fstat" {
			err = unix.Fstat(fd, &s)
		} else {
			err = unix.Fstatat(fd, "", &s, unix.AT_EMPTY_PATH)
		}
	case "statx":
		if err = unix.Statx(unix.AT_FDCWD, name, unix.AT_SYMLINK_NOFOLLOW, unix.STATX_BASIC_STATS, &x); err == nil {
			return shown(uint32(x.Mode), x.Uid, x.Gid, x.Nlink, size(x.Mode, x.Size))
		}
	default:
		panic(op)
	}
	if err != nil {
		return said(err)
	}
	return shown(uint32(s.Mode), s.Uid, s.Gid, uint32(s.Nlink), size(uint16(s.Mode), uint64(s.Size)))
}

// size is that of a directory nowhere: file systems differ.
func size(mode uint16, n uint64) uint64 {
	if mode&unix.S_IFMT == unix.S_IFDIR {
		return 0
	}
	return n
}

// peer connects two ends and tells who each sees.
func peer() string {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		return said(err)
	}
	defer unix.Close(pair[0])
	defer unix.Close(pair[1])
	u, err := unix.GetsockoptUcred(pair[0], unix.SOL_SOCKET, unix.SO_PEERCRED) // socketcall(2) on i386
	if err != nil {
		return said(err)
	}
	var short [6]byte // less than the whole is cut
	n := uint32(len(short))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(pair[1]), unix.SOL_SOCKET, unix.SO_PEERCRED, uintptr(unsafe.Pointer(&short)), uintptr(unsafe.Pointer(&n)), 0)
	return fmt.Sprint(int(u.Pid) == unix.Getpid(), u.Uid, u.Gid, errno, n)
}

// name asks nscd for the name of a user: the request and the response of glibc's nscd/nscd-client.h.
func name(uid string) string {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return said(err)
	}
	defer unix.Close(fd)
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: "/var/run/nscd/socket"}); err != nil {
		return said(err)
	}
	const version, getpwbyuid = 2, 1
	request := binary.NativeEndian.AppendUint32(nil, version)
	request = binary.NativeEndian.AppendUint32(request, getpwbyuid)
	request = binary.NativeEndian.AppendUint32(request, uint32(len(uid)+1))
	if _, err := unix.Write(fd, append(append(request, uid...), 0)); err != nil {
		return said(err)
	}
	var response [4096]byte
	n := 0
	for n < 9*4 {
		got, err := unix.Read(fd, response[n:])
		if err != nil || got == 0 {
			return fmt.Sprint("no response: ", err)
		}
		n += got
	}
	word := func(i int) uint32 { return binary.NativeEndian.Uint32(response[4*i:]) }
	return fmt.Sprintf("version %d found %d, %d:%d", word(0), word(1), word(4), word(5))
}
