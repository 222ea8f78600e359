//go:build linux

package nscd

import (
	"strings"

	"golang.org/x/sys/unix"
)

// Wrapper writes passwd and group into dir, a directory of who runs: copies of the image's, with an
// account for this process, and a group where its gid has none. It gives the environment under which
// libnss_wrapper.so answers from them: env with LD_PRELOAD, NSS_WRAPPER_PASSWD and
// NSS_WRAPPER_GROUP. USER and HOME of env say the account's name and home. It fails with a *Failure
// where the wrapper is not there or a copy cannot be written.
func Wrapper(dir string, env []string) ([]string, error) {
	return wrapper(Own(lookup(env, "USER"), lookup(env, "HOME")), "", dir, env)
}

func wrapper(f Facts, root, dir string, env []string) ([]string, error) {
	library, err := wrapperPath(root)
	if err != nil {
		return nil, err
	}
	n := newNames(f)
	n.refreshPasswd()
	n.refreshGroup()
	var account, group string
	if n.account != "" {
		account = accountLine(n.ownAccount())
	}
	if n.extra != "" {
		group = n.extra + ":x:" + decimal(n.facts.GID) + ":\n"
	}
	if err := copyWith(&n.passwd, dir+"/passwd", account); err != nil {
		return nil, failure("writing", dir+"/passwd", hint(err), err)
	}
	if err := copyWith(&n.group, dir+"/group", group); err != nil {
		return nil, failure("writing", dir+"/group", hint(err), err)
	}
	preload := lookup(env, "LD_PRELOAD")
	switch {
	case preload == "":
		preload = library
	case !strings.Contains(preload, "libnss_wrapper.so"):
		preload += ":" + library
	}
	env = set(env, "LD_PRELOAD", preload)
	env = set(env, "NSS_WRAPPER_PASSWD", dir+"/passwd")
	return set(env, "NSS_WRAPPER_GROUP", dir+"/group"), nil
}

// accountLine spells an account as a line of passwd.
func accountLine(e account) string {
	fields := []string{string(e.name), string(e.password), decimal(e.uid), decimal(e.gid), string(e.comment), string(e.home), string(e.shell)}
	return strings.Join(fields, ":") + "\n"
}

// copyWith writes a file anew, readable by all: what stands there, if anything, is replaced at once,
// so that a program that reads it sees one or the other.
func copyWith(from *source, to, line string) error {
	part := to + ".new"
	_ = unix.Unlink(part)
	fd, err := unix.Open(part, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0o644)
	if err != nil {
		return err
	}
	err = fill(fd, from.path, line)
	if closing := unix.Close(fd); err == nil {
		err = closing
	}
	if err == nil {
		err = unix.Rename(part, to)
	}
	if err != nil {
		_ = unix.Unlink(part)
	}
	return err
}

// fill copies the file at path, if there is one, and adds a line behind it.
func fill(to int, path, line string) error {
	last := byte('\n')
	from, err := openFile(path)
	switch err {
	case nil:
		defer unix.Close(from)
		buf := make([]byte, readLen)
		for {
			n, err := read(from, buf)
			if err != nil {
				return err
			}
			if n == 0 {
				break
			}
			if err := write(to, buf[:n]); err != nil {
				return err
			}
			last = buf[n-1]
		}
	case unix.ENOENT:
	default:
		return err
	}
	if line != "" && last != '\n' {
		line = "\n" + line
	}
	return write(to, []byte(line))
}

func write(fd int, b []byte) error {
	for len(b) > 0 {
		n, err := unix.Write(fd, b)
		if err != nil && err != unix.EINTR {
			return err
		}
		b = b[max(n, 0):]
	}
	return nil
}

// lookup gives a variable of an environment, "" where it is not there.
func lookup(env []string, name string) string {
	for _, entry := range env {
		if value, ok := strings.CutPrefix(entry, name+"="); ok {
			return value
		}
	}
	return ""
}

// set gives a copy of the environment with one variable set.
func set(env []string, name, value string) []string {
	with := make([]string, 0, len(env)+1)
	for _, entry := range env {
		if !strings.HasPrefix(entry, name+"=") {
			with = append(with, entry)
		}
	}
	return append(with, name+"="+value)
}
