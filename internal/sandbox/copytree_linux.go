package sandbox

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// maxDepth bounds the directories in one another that a volume is filled with.
const maxDepth = 200

// treeCopy copies a directory with everything in it, as a new named volume of Docker is filled:
// owners, modes, times, attributes and hard links stay.
type treeCopy struct {
	links map[[2]uint64]string // device and inode of what has several names → path of its copy
	to    int                  // the topmost directory of the copy
}

// copyTree copies what is in from into the empty directory to, and makes to what from is. Both are
// descriptors of directories. Names are looked up one by one, and no symlink is followed.
func copyTree(from, to int) error {
	c := &treeCopy{links: map[[2]uint64]string{}, to: to}
	return c.dir(from, to, "", 0)
}

func (c *treeCopy) dir(from, to int, path string, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("copying %q: directories are too deep in one another", path)
	}
	list, err := unix.Openat(from, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	d := os.NewFile(uintptr(list), path)
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := c.entry(from, to, name, path+"/"+name, depth); err != nil {
			return fmt.Errorf("copying %q: %w", path+"/"+name, err)
		}
	}
	var st unix.Stat_t
	if err := unix.Fstat(from, &st); err != nil {
		return err
	}
	return describeAs(from, to, &st)
}

func (c *treeCopy) entry(from, to int, name, path string, depth int) error {
	var st unix.Stat_t
	if err := unix.Fstatat(from, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	id := [2]uint64{uint64(st.Dev), st.Ino}
	if earlier, ok := c.links[id]; ok {
		return unix.Linkat(c.to, strings.TrimPrefix(earlier, "/"), to, name, 0)
	}
	if st.Nlink > 1 && st.Mode&unix.S_IFMT != unix.S_IFDIR {
		c.links[id] = path
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		return c.subdir(from, to, name, path, depth)
	case unix.S_IFREG:
		return copyFile(from, to, name, &st)
	case unix.S_IFLNK:
		return copyLink(from, to, name, &st)
	case unix.S_IFIFO:
		if err := unix.Mkfifoat(to, name, st.Mode&0o7777); err != nil {
			return err
		}
		return own(to, name, &st)
	}
	return nil // sockets and devices are not in images
}

func (c *treeCopy) subdir(from, to int, name, path string, depth int) error {
	const flags = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC
	sub, err := unix.Openat(from, name, flags, 0)
	if err != nil {
		return err
	}
	defer unix.Close(sub)
	if err := unix.Mkdirat(to, name, 0o700); err != nil {
		return err
	}
	made, err := unix.Openat(to, name, flags, 0)
	if err != nil {
		return err
	}
	defer unix.Close(made)
	return c.dir(sub, made, path, depth+1)
}

func copyFile(from, to int, name string, st *unix.Stat_t) error {
	in, err := unix.Openat(from, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	r := os.NewFile(uintptr(in), name)
	defer r.Close()
	out, err := unix.Openat(to, name, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	w := os.NewFile(uintptr(out), name)
	defer w.Close()
	if _, err := io.Copy(w, r); err != nil {
		return err
	}
	return describeAs(in, out, st)
}

func copyLink(from, to int, name string, st *unix.Stat_t) error {
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(from, name, buf)
	if err != nil {
		return err
	}
	if err := unix.Symlinkat(string(buf[:n]), to, name); err != nil {
		return err
	}
	return own(to, name, st)
}

// describeAs gives to the attributes, owner, mode and times of from.
func describeAs(from, to int, st *unix.Stat_t) error {
	err := errors.Join(unix.Fchown(to, int(st.Uid), int(st.Gid)), unix.Fchmod(to, st.Mode&0o7777))
	if err != nil {
		return err
	}
	if err := copyAttrs(from, to); err != nil {
		return err
	}
	return unix.UtimesNanoAt(to, "", []unix.Timespec{st.Atim, st.Mtim}, unix.AT_EMPTY_PATH)
}

// own gives a name its owner and times.
func own(dir int, name string, st *unix.Stat_t) error {
	err := unix.Fchownat(dir, name, int(st.Uid), int(st.Gid), unix.AT_SYMLINK_NOFOLLOW)
	times := []unix.Timespec{st.Atim, st.Mtim}
	return errors.Join(err, unix.UtimesNanoAt(dir, name, times, unix.AT_SYMLINK_NOFOLLOW))
}

// copyAttrs copies the extended attributes that may be had.
func copyAttrs(from, to int) error {
	names := make([]byte, 64<<10)
	n, err := unix.Flistxattr(from, names)
	if err != nil || n == 0 {
		return nil // a file system without them
	}
	value := make([]byte, 64<<10)
	for name := range strings.SplitSeq(strings.TrimRight(string(names[:n]), "\x00"), "\x00") {
		size, err := unix.Fgetxattr(from, name, value)
		if err != nil || strings.Contains(name, ".overlay.") {
			continue
		}
		if err := unix.Fsetxattr(to, name, value[:size], 0); errors.Is(err, unix.ENOSPC) {
			return err
		}
	}
	return nil
}
