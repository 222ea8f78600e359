//go:build linux && (amd64 || arm64)

package compat

import (
	"bytes"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// stat is what of /proc/PID/stat is of use (proc_pid_stat(5)).
type stat struct {
	parent, group, session uint32
	start                  uint64
}

func epollNow(fd int, events []unix.EpollEvent) (int, unix.Errno) {
	n, _, err := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(fd), uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)), 0, 0, 0)
	return int(n), err
}

// place writes a path below /proc, ended for the kernel.
func (c *census) place(pid uint32, rest string) []byte {
	b := append(c.path[:0], "/proc/"...)
	b = strconv.AppendUint(b, uint64(pid), 10)
	return append(append(b, rest...), 0)
}

// slurp reads a small file of /proc in one go: later parts could be of another moment.
func (c *census) slurp(path []byte) ([]byte, bool) {
	fd, err := openAt(path, unix.O_RDONLY)
	if err != 0 {
		return nil, false
	}
	n, readErr := unix.Read(fd, c.buffer[:])
	unix.Close(fd)
	if readErr != nil {
		return nil, false
	}
	return c.buffer[:n], true
}

func (c *census) stat(pid uint32) (stat, bool) {
	text, ok := c.slurp(c.place(pid, "/stat"))
	if !ok {
		return stat{}, false
	}
	return parseStat(text)
}

// parseStat reads a line of /proc/PID/stat. The name in it may hold anything.
func parseStat(text []byte) (s stat, ok bool) {
	end := bytes.LastIndexByte(text, ')')
	if end < 0 || end+2 > len(text) {
		return stat{}, false
	}
	rest := text[end+2:]
	for field := 3; len(rest) > 0; field++ {
		var word []byte
		word, rest = nextWord(rest)
		n := number(word)
		switch field {
		case 4:
			s.parent = uint32(n)
		case 5:
			s.group = uint32(n)
		case 6:
			s.session = uint32(n)
		case 22:
			s.start = n
			return s, true
		}
	}
	return stat{}, false
}

// nextWord cuts off what stands before the next space.
func nextWord(b []byte) (word, rest []byte) {
	i := bytes.IndexByte(b, ' ')
	if i < 0 {
		return b, nil
	}
	return b[:i], b[i+1:]
}

// number reads one; 0 where there is none.
func number(b []byte) (n uint64) {
	for _, digit := range b {
		if digit < '0' || digit > '9' {
			return 0
		}
		n = n*10 + uint64(digit-'0')
	}
	return n
}

// tgid gives the process of a thread.
func (c *census) tgid(tid uint32) (uint32, bool) {
	text, ok := c.slurp(c.place(tid, "/status"))
	if !ok {
		return 0, false
	}
	_, rest, ok := bytes.Cut(text, []byte("\nTgid:\t"))
	if !ok {
		return 0, false
	}
	line, _, _ := bytes.Cut(rest, []byte("\n"))
	pid := number(line)
	return uint32(pid), pid != 0
}

// isThread tells whether a process has a thread.
func (c *census) isThread(pid, tid uint32) bool {
	b := append(c.path[:0], "/proc/"...)
	b = append(strconv.AppendUint(b, uint64(pid), 10), "/task/"...)
	b = append(strconv.AppendUint(b, uint64(tid), 10), 0)
	dir := atCWD
	_, _, err := unix.Syscall(unix.SYS_FACCESSAT, uintptr(dir), uintptr(unsafe.Pointer(&b[0])), 0)
	return err == 0
}

// auxv is where the kernel put the parts of a program when it was executed, which the memory of the process itself
// is not asked for; nil where that is not told.
func (c *census) auxv(pid uint32) []byte {
	text, ok := c.slurp(c.place(pid, "/auxv"))
	if !ok || len(text) == 0 {
		return nil
	}
	return bytes.Clone(text)
}

// eachThread calls for every thread of a process.
func (c *census) eachThread(pid uint32, do func(tid uint32)) {
	path := c.place(pid, "/task")
	c.eachNumber(string(path[:len(path)-1]), do)
}

// eachNumber calls for every entry of a directory whose name is a number.
func (c *census) eachNumber(dir string, do func(n uint32)) {
	fd, err := openAt(append([]byte(dir), 0), unix.O_RDONLY|unix.O_DIRECTORY)
	if err != 0 {
		return
	}
	defer unix.Close(fd)
	var buffer [4096]byte
	for {
		n, err := unix.Getdents(fd, buffer[:])
		if err != nil || n <= 0 {
			return
		}
		// struct linux_dirent64: d_ino, d_off, d_reclen (16 bits), d_type, d_name
		for b := buffer[:n]; len(b) > 19; {
			length := int(b[16]) | int(b[17])<<8
			if length < 20 || length > len(b) {
				return
			}
			name, _, _ := bytes.Cut(b[19:length], []byte{0})
			if id := number(name); id != 0 {
				do(uint32(id))
			}
			b = b[length:]
		}
	}
}

// children calls for every child that a thread made; false: the kernel does not tell
// (CONFIG_PROC_CHILDREN). A list that changes while it is read may lack one, as when children end
// and nobody waits for them: it is read until two readings are alike.
func (c *census) children(pid, tid uint32, do func(child uint32)) bool {
	b := append(append(strconv.AppendUint(append([]byte(nil), "/proc/"...), uint64(pid), 10), "/task/"...), strconv.Itoa(int(tid))...)
	b = append(append(b, "/children"...), 0)
	var before []byte
	for try := range 4 {
		now, ok := readAll(b)
		if !ok {
			return try > 0 || !c.isThread(pid, tid)
		}
		if try > 0 && bytes.Equal(before, now) || bytes.Count(now, []byte(" ")) < 2 {
			before = now
			break
		}
		before = now
	}
	for rest := before; len(rest) > 0; {
		var word []byte
		word, rest = nextWord(rest)
		if child := number(word); child != 0 {
			do(uint32(child))
		}
	}
	return true
}

// readAll reads a file that may be long.
func readAll(path []byte) ([]byte, bool) {
	fd, err := openAt(path, unix.O_RDONLY)
	if err != 0 {
		return nil, false
	}
	defer unix.Close(fd)
	const most = 1 << 20
	var all []byte
	for len(all) < most {
		all = append(all, make([]byte, 4096)...)
		n, err := unix.Read(fd, all[len(all)-4096:])
		if err != nil {
			return nil, false
		}
		all = all[:len(all)-4096+n]
		if n == 0 {
			break
		}
	}
	return all, true
}
