//go:build linux && (amd64 || arm64)

package compat

import (
	"bytes"

	"golang.org/x/sys/unix"
)

// threadStatus gives a number of /proc/TID/status (proc_pid_status(5)), which is in some base there; 0 where it
// cannot be read. What is looked for stands in the first lines: no name of a program can look like one, as a
// line's end in it is escaped.
func threadStatus(tid uint32, field string, base uint32) uint32 {
	var path [64]byte
	fd, errno := openAt(append(append(viewTask(path[:0], tid), "/status"...), 0), unix.O_RDONLY)
	if errno != 0 {
		return 0
	}
	defer unix.Close(fd)
	var b [512]byte
	n, err := unix.Read(fd, b[:])
	if err != nil {
		return 0
	}
	for line := range bytes.Lines(b[:n]) {
		if rest, ok := bytes.CutPrefix(line, []byte(field)); ok {
			return numberIn(bytes.TrimSpace(rest), base)
		}
	}
	return 0
}

// numberIn is the number that a text starts with.
func numberIn(text []byte, base uint32) (n uint32) {
	for _, c := range text {
		if c < '0' || uint32(c-'0') >= base {
			break
		}
		n = n*base + uint32(c-'0')
	}
	return n
}
