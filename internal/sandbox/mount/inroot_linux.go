package mount

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// maxHops is how many symbolic links that lead nowhere are followed while a path is made; the
// kernel's own limit (path_resolution(7)).
const maxHops = 40

// OpenIn opens a path as a process whose root directory is root would: neither ".." nor an
// absolute symlink leads out, and the links of /proc are not followed. openat2(2).
func OpenIn(root int, path string, flags uint64) (int, error) {
	if path == "" || path == "/" {
		path = "."
	}
	return unix.Openat2(root, path, &unix.OpenHow{
		Flags:   flags | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	})
}

// MakeIn opens a path inside root (O_PATH), and makes what is missing of it: directories with mode
// 0755, and where file is set an empty file at its end. A symlink that leads nowhere is followed
// and its target made, as runc does.
func MakeIn(root int, path string, file bool) (int, error) {
	todo := strings.Split(path, "/")
	done := ""
	for hops := 0; len(todo) > 0; {
		name := todo[0]
		if name == "" || name == "." {
			todo = todo[1:]
			continue
		}
		next := done + "/" + name
		fd, err := OpenIn(root, next, unix.O_PATH)
		switch {
		case err == nil:
			unix.Close(fd)
			done, todo = next, todo[1:]
			continue
		case !errors.Is(err, unix.ENOENT):
			return -1, fmt.Errorf("%s: %w", next, err)
		}
		link, err := makeOne(root, done, name, file && onlyEmpty(todo[1:]))
		if err != nil {
			return -1, fmt.Errorf("%s: %w", next, err)
		}
		if link == "" {
			continue
		}
		if hops++; hops > maxHops {
			return -1, fmt.Errorf("%s: %w", next, unix.ELOOP)
		}
		if strings.HasPrefix(link, "/") {
			done = ""
		}
		todo = append(strings.Split(link, "/"), todo[1:]...)
	}
	fd, err := OpenIn(root, done, unix.O_PATH)
	if err != nil {
		return -1, fmt.Errorf("%s: %w", done, err)
	}
	return fd, nil
}

func onlyEmpty(names []string) bool {
	return strings.Trim(strings.Join(names, ""), ".") == ""
}

// makeOne makes a directory or a file called name in dir. Where a symlink of that name is in the
// way, nothing is made, and its text comes back.
func makeOne(root int, dir, name string, file bool) (link string, err error) {
	parent, err := OpenIn(root, dir, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return "", err
	}
	defer unix.Close(parent)
	if file {
		var fd int
		if fd, err = unix.Openat(parent, name, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_CLOEXEC, 0o644); err == nil {
			unix.Close(fd)
		}
	} else {
		err = unix.Mkdirat(parent, name, 0o755)
	}
	if !errors.Is(err, unix.EEXIST) {
		return "", err
	}
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(parent, name, buf)
	if err != nil {
		return "", err
	}
	return string(buf[:n]), nil
}
