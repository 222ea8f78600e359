//go:build linux

package nscd

import (
	"bytes"
	"errors"

	"golang.org/x/sys/unix"
)

const (
	keepLen = 256 << 10 // a file up to this size stays in memory; a larger one is read anew for each lookup
	readLen = 64 << 10  // bytes read at once
	maxLine = 1 << 20   // bytes of a line; what is longer is left to the client
)

// errLong says that a file has a line that was skipped because it is too long.
var errLong = errors.New("a line is longer than 1 MiB")

// source is a file of lines that may change at any time. Memory is bounded whatever its size: a large
// file is read through for each lookup, as libc itself does.
type source struct {
	path  string
	stamp stamp  // of what was seen last
	kept  []byte // its content; nil where it is not kept
	seen  bool   // stamp is of a file that was looked at
	err   error  // why it cannot be read; nil also where there is none
}

// stamp tells one state of a file from another.
type stamp struct {
	dev, ino, size, mtime, ctime uint64
	exists                       bool
}

// settle is how old a change must be, in nanoseconds, before an equal stamp means equal content: file
// systems count time in ticks of at most 10 ms.
const settle = 50e6

// refresh looks whether the file changed, and keeps its content where it is small. It reports whether
// what was derived from it must be derived anew.
func (s *source) refresh() bool {
	var st unix.Stat_t
	now := stamp{}
	if err := unix.Stat(s.path, &st); err == nil {
		now = stampOf(&st)
	}
	if s.seen && now == s.stamp && s.err == nil {
		return false
	}
	s.seen, s.stamp, s.kept, s.err = true, now, nil, nil
	if !now.exists {
		return true
	}
	fd, err := s.open()
	if err != nil {
		return true
	}
	defer unix.Close(fd)
	if now.size <= keepLen {
		s.keep(fd)
	}
	var clock unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_REALTIME, &clock)
	s.seen = uint64(clock.Nano()) > now.ctime+settle
	return true
}

func stampOf(st *unix.Stat_t) stamp {
	return stamp{uint64(st.Dev), uint64(st.Ino), uint64(st.Size), uint64(st.Mtim.Nano()), uint64(st.Ctim.Nano()), true}
}

// open opens the file for reading. A directory, a pipe or a device in its place is an error.
func (s *source) open() (int, error) {
	fd, err := openFile(s.path)
	if err == unix.ENOENT {
		return -1, err
	}
	s.err = err
	return fd, err
}

func openFile(path string) (int, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_LARGEFILE, 0)
	if err != nil {
		return -1, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		unix.Close(fd)
		return -1, unix.EINVAL
	}
	return fd, nil
}

func (s *source) keep(fd int) {
	content := make([]byte, s.stamp.size+1) // one more, to see that it did not grow
	n := 0
	for n < len(content) {
		m, err := read(fd, content[n:])
		if m <= 0 {
			s.err = err
			break
		}
		n += m
	}
	if n < len(content) && s.err == nil {
		s.kept = content[:n]
	}
}

func read(fd int, b []byte) (int, error) {
	for {
		n, err := unix.Read(fd, b)
		if err != unix.EINTR {
			return n, err
		}
	}
}

// lines gives the lines that the file has now, without newlines, until yield returns false. They are
// valid during the call. It fails where the answer "there is none" would not be sure: the file cannot
// be read, or has a line that was skipped.
func (s *source) lines(yield func(line []byte) bool) error {
	switch {
	case !s.stamp.exists || s.err != nil:
		return s.err
	case s.kept != nil:
		for rest := s.kept; len(rest) > 0; {
			var line []byte
			line, rest, _ = bytes.Cut(rest, []byte{'\n'})
			if !yield(line) {
				break
			}
		}
		return nil
	}
	fd, err := s.open()
	if err == unix.ENOENT {
		return nil
	} else if err != nil {
		return err
	}
	defer unix.Close(fd)
	return stream(fd, yield)
}

// stream reads lines through a buffer that grows to the longest line.
func stream(fd int, yield func(line []byte) bool) error {
	buf := make([]byte, readLen)
	held, skipping, long := 0, false, error(nil)
	for {
		n, err := read(fd, buf[held:])
		if err != nil {
			return err
		}
		part, end := buf[:held+n], n == 0
		for {
			line, rest, whole := bytes.Cut(part, []byte{'\n'})
			if !whole && !(end && len(part) > 0) {
				break
			}
			if !skipping && !yield(line) {
				return nil
			}
			skipping, part = false, rest
		}
		if end {
			return long
		}
		if skipping {
			part = nil
		}
		held = copy(buf, part)
		switch {
		case held < len(buf):
		case held < maxLine:
			buf = append(buf, make([]byte, len(buf))...)
		default:
			held, skipping, long = 0, true, errLong
		}
	}
}
