//go:build linux

package prepare

import (
	"strconv"

	"golang.org/x/sys/unix"
)

// Limits of what a start copies: more belongs into the image or into a volume.
const (
	maxFillEntries = 100_000
	maxFillBytes   = 1 << 30
	maxFillDepth   = 64
)

// fill gives a directory what it lacks of its content in the image, where something is mounted over
// it. Without a mount nothing is hidden, and what is missing was removed by somebody.
func (s *session) fill(dir string) error {
	from, err := unix.Open(s.seed+dir, openDir, 0)
	if err != nil {
		return s.seedMissing(dir, err.Error())
	}
	defer unix.Close(from)
	if s.mountPoint(dir) == s.mountPoint("/") {
		return nil
	}
	to, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err == unix.ENOENT {
		if err = makeDirs(dir); err == nil {
			to, err = unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		}
	}
	if err != nil {
		s.add(dir, wantFill, err)
		return nil
	}
	defer unix.Close(to)
	f := filler{}
	if err := f.dir(to, from, "", 0); err != nil {
		return s.fillFailed(dir, f.at, err)
	}
	return nil
}

// fillFailed puts into words why a directory did not get what it lacks, at what it was at.
func (s *session) fillFailed(dir, at string, err error) error {
	switch e := err.(type) {
	case *seedError:
		return s.seedMissing(dir+at, e.err.Error())
	case tooMuch:
		return &Refusal{"filling " + show(dir) + " from " + show(s.seed+dir) + ": more than " + strconv.Itoa(maxFillEntries) + " entries, " +
			strconv.Itoa(maxFillBytes>>20) + " MiB or " + strconv.Itoa(maxFillDepth) + " directories in one another\n" +
			"mount nothing over " + show(dir) + ", or a volume that has its content"}
	case unix.Errno:
		if e == unix.ENOSPC || e == unix.EDQUOT {
			break
		}
		if failureOf(e) != failOther {
			s.add(dir, wantFill, e)
			s.troubles[len(s.troubles)-1].note = "it lacks " + show(dir+at) + " of the image"
			return nil
		}
	}
	return &Refusal{"filling " + show(dir) + " with its content in the image: " + show(dir+at) + ": " + err.Error() + "\n" +
		"look at what is mounted there; a tmpfs needs room for all of it"}
}

// filler copies a tree.
type filler struct {
	entries int
	bytes   int64
	at      string // what it was at when it failed, below the directory
}

// A seedError says that the image's copy cannot be read.
type seedError struct{ err error }

func (e *seedError) Error() string { return e.err.Error() }

type tooMuch struct{}

func (tooMuch) Error() string { return "too much" }

var errTooMuch error = tooMuch{}

// dir copies what one directory lacks.
func (f *filler) dir(to, from int, at string, depth int) error {
	if depth > maxFillDepth {
		return errTooMuch
	}
	names, err := list(from, maxFillEntries+1)
	if err != nil {
		f.at = at
		return err
	}
	for _, name := range names {
		if f.entries++; f.entries > maxFillEntries {
			return errTooMuch
		}
		if err := f.entry(to, from, at, name, depth); err != nil {
			if f.at == "" {
				f.at = at + "/" + name
			}
			return err
		}
	}
	return nil
}

// entry copies one entry where the name is free. Of what is there only a directory is looked into.
// Devices, pipes and sockets are not content.
func (f *filler) entry(to, from int, at, name string, depth int) error {
	var st, there unix.Stat_t
	if err := unix.Fstatat(from, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	err := unix.Fstatat(to, name, &there, unix.AT_SYMLINK_NOFOLLOW)
	if err != nil && err != unix.ENOENT {
		return err
	}
	missing := err == unix.ENOENT
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		if !missing && there.Mode&unix.S_IFMT != unix.S_IFDIR {
			return nil
		}
		return f.subdir(to, from, at, name, depth, &st, missing)
	case unix.S_IFREG:
		if missing {
			return f.file(to, from, name, &st)
		}
	case unix.S_IFLNK:
		if missing {
			return ignoreExist(link(to, from, name))
		}
	}
	return nil
}

// subdir copies a directory, and gives one that it made mode and time when all is in it.
func (f *filler) subdir(to, from int, at, name string, depth int, st *unix.Stat_t, missing bool) error {
	if missing {
		if err := unix.Mkdirat(to, name, 0o700); err != nil && err != unix.EEXIST {
			return err
		}
	}
	source, err := unix.Openat(from, name, openDir, 0)
	if err != nil {
		return &seedError{err}
	}
	defer unix.Close(source)
	target, err := unix.Openat(to, name, openDir, 0)
	if err != nil {
		return err
	}
	defer unix.Close(target)
	if err := f.dir(target, source, at+"/"+name, depth+1); err != nil || !missing {
		return err
	}
	if err := unix.Fchmod(target, uint32(st.Mode)&0o1777); err != nil {
		return err
	}
	return nil
}

// file copies a file whole or not at all, and never over another: a link, unlike a rename, takes no
// name that is taken.
func (f *filler) file(to, from int, name string, st *unix.Stat_t) error {
	if f.bytes += st.Size; f.bytes > maxFillBytes {
		return errTooMuch
	}
	source, err := unix.Openat(from, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &seedError{err}
	}
	defer unix.Close(source)
	fd, temp, err := createTemp(to)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err = copyContent(fd, source); err == nil {
		err = unix.Fchmod(fd, uint32(st.Mode)&0o777)
	}
	if err == nil { // programs compare times, such as Python's of a module and what it compiled
		_ = unix.UtimesNanoAt(to, temp, []unix.Timespec{st.Mtim, st.Mtim}, unix.AT_SYMLINK_NOFOLLOW) // an older time costs a program time, nothing else
		err = unix.Renameat2(to, temp, to, name, unix.RENAME_NOREPLACE)
	}
	if err == unix.EINVAL || err == unix.ENOSYS { // renameat2(2): file systems without RENAME_NOREPLACE
		err = unix.Linkat(to, temp, to, name, 0)
		_ = unix.Unlinkat(to, temp, 0) // the link counts
	} else if err != nil {
		_ = unix.Unlinkat(to, temp, 0) // the first error counts
	}
	return ignoreExist(err)
}

func link(to, from int, name string) error {
	target, err := readlinkat(from, name)
	if err != nil {
		return err
	}
	return unix.Symlinkat(target, to, name)
}

func ignoreExist(err error) error {
	if err == unix.EEXIST {
		return nil
	}
	return err
}
