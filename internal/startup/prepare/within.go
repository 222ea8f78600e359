//go:build linux

package prepare

import (
	"strconv"

	"golang.org/x/sys/unix"
)

// A foreign error says that something in the private directory belongs to somebody else.
type foreign struct {
	path string
	st   unix.Stat_t
}

func (f *foreign) Error() string { return f.path + " belongs to somebody else" }

const openDir = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC

// openRun opens the private directory, making it where it is missing. It is ours, or the image's,
// which every uid with group 0 may use and nobody else; anything else could be changed under our
// hands and gives a *foreign.
func (s *session) openRun() (int, error) {
	made := unix.Mkdir(s.run, 0o700)
	fd, err := unix.Open(s.run, openDir, 0)
	if err == unix.ENOENT && made != nil {
		err = made
	}
	if err != nil {
		return -1, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		unix.Close(fd)
		return -1, err
	}
	switch judgeRun(stat(&st), s.id) {
	case runTighten:
		err = unix.Fchmod(fd, 0o700)
	case runForeign:
		err = &foreign{s.run, st}
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// ownDir opens a directory in another, making it with mode 0700 where it is missing. It must be the
// running user's, and nobody else may write in it afterwards. A symbolic link is not followed.
func (s *session) ownDir(at int, name string) (int, error) {
	if err := unix.Mkdirat(at, name, 0o700); err != nil && err != unix.EEXIST {
		return -1, err
	}
	fd, err := unix.Openat(at, name, openDir, 0)
	if err != nil {
		return -1, err
	}
	var st unix.Stat_t
	if err = unix.Fstat(fd, &st); err == nil {
		switch {
		case st.Uid != s.id.uid:
			err = &foreign{name, st}
		case st.Mode&0o7777 != 0o700:
			err = unix.Fchmod(fd, 0o700)
		}
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// tryDir tries what a program will: whether the running user can make a file in a directory. Only a
// trial tells on a network file system, whose server decides, and where security modules have a say.
func tryDir(path string) error {
	fd, err := unix.Open(path, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err == nil {
		return unix.Close(fd)
	}
	switch err {
	case unix.EOPNOTSUPP, unix.EISDIR, unix.EINVAL, unix.ENOSYS: // open(2): file systems and kernels without O_TMPFILE
		return tryNamed(path)
	}
	return err
}

// tryNamed makes a file with a name and removes it.
func tryNamed(path string) error {
	at, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err == unix.EACCES { // writable and not readable
		at, err = unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	}
	if err != nil {
		return err
	}
	defer unix.Close(at)
	for i := range 100 {
		name := tempName(i)
		fd, err := unix.Openat(at, name, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
		if err == unix.EEXIST {
			continue
		}
		if err != nil {
			return err
		}
		unix.Close(fd)
		return unix.Unlinkat(at, name, 0)
	}
	return unix.EEXIST
}

// tempName is a name that no program uses; a file of a start that was killed stands in nobody's way.
func tempName(i int) string {
	return ".unroot-init-" + strconv.Itoa(unix.Getpid()) + "-" + strconv.Itoa(i)
}
