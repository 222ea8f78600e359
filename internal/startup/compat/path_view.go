package compat

import "strconv"

// atCWD is the descriptor that stands for the working directory: AT_FDCWD.
const atCWD = -100

// Flags of the calls that take a directory: linux/fcntl.h.
const (
	atNofollow  = 0x100
	atAutomount = 0x800 // AT_NO_AUTOMOUNT
	atEmpty     = 0x1000
	atSync      = 0x6000 // AT_STATX_SYNC_TYPE
)

// viewFD appends to b where the supervisor finds what a descriptor of a process is open on: the kernel
// follows /proc/TID/fd/N to the file itself, whatever has become of its name. tid may be any thread.
func viewFD(b []byte, tid uint32, fd int32) []byte {
	b = viewTask(b, tid)
	if fd == atCWD {
		return append(b, "/cwd"...)
	}
	return strconv.AppendInt(append(b, "/fd/"...), int64(fd), 10)
}

// viewTask appends to b where the supervisor finds a thread.
func viewTask(b []byte, tid uint32) []byte {
	return strconv.AppendUint(append(b, "/proc/"...), uint64(tid), 10)
}

// viewPath appends to b where the supervisor finds what a process names with a path that is not empty,
// relative to dir. nofollow: a symbolic link at its end is meant itself. It gives false where the
// path's meaning depends on who looks: in /proc, "self" would be the supervisor. Such a path is left to the
// kernel, but for the ways to name an own descriptor, which start scripts give away.
//
// An absolute path means the same to both as long as they have one root directory: the caller sees to that.
func viewPath(b []byte, tid uint32, dir int32, path []byte, nofollow bool) ([]byte, bool) {
	if len(path) == 0 {
		return b, false
	}
	if path[0] != '/' {
		b = append(viewFD(b, tid, dir), '/')
		return append(b, path...), true
	}
	first, rest := element(path)
	switch string(first) {
	case "proc":
		return viewOwn(b, tid, path, rest, nofollow)
	case "dev":
		return viewDevice(b, tid, path, rest, nofollow)
	}
	return append(b, path...), true
}

// viewOwn is a path in /proc: of the process itself, only its descriptors are told.
func viewOwn(b []byte, tid uint32, path, rest []byte, nofollow bool) ([]byte, bool) {
	who, rest := element(rest)
	if len(who) > 0 && who[0] >= '0' && who[0] <= '9' {
		return append(b, path...), true
	}
	what, rest := element(rest)
	if string(who) != "self" && string(who) != "thread-self" || string(what) != "fd" || nofollow {
		return b, false
	}
	return viewNumber(b, tid, rest)
}

// viewDevice is a path in /dev, where descriptors have names that are symbolic links into /proc.
func viewDevice(b []byte, tid uint32, path, rest []byte, nofollow bool) ([]byte, bool) {
	name, after := element(rest)
	fd := int32(-1)
	switch string(name) {
	case "stdin":
		fd = 0
	case "stdout":
		fd = 1
	case "stderr":
		fd = 2
	case "fd":
		if nofollow || len(after) == 0 {
			return b, false
		}
		return viewNumber(b, tid, after)
	}
	if fd < 0 || nofollow {
		return append(b, path...), true
	}
	if len(after) > 0 {
		return b, false
	}
	return viewFD(b, tid, fd), true
}

// viewNumber is the descriptor that the rest of a path names, and nothing behind it.
func viewNumber(b []byte, tid uint32, path []byte) ([]byte, bool) {
	number, after := element(path)
	fd, err := strconv.ParseUint(string(number), 10, 31)
	if err != nil || len(after) > 0 {
		return b, false
	}
	return viewFD(b, tid, int32(fd)), true
}

// element cuts the first element off a path, with the slashes before it. "." is no element.
func element(path []byte) (first, rest []byte) {
	for {
		for len(path) > 0 && path[0] == '/' {
			path = path[1:]
		}
		n := 0
		for n < len(path) && path[n] != '/' {
			n++
		}
		if n != 1 || path[0] != '.' {
			return path[:n], path[n:]
		}
		path = path[1:]
	}
}
