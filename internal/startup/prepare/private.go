//go:build linux

package prepare

import (
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"unroot/internal/startup"
)

// private sees to it that the running user owns a file or directory, with the mode that its program
// demands.
func (s *session) private(p startup.Private) error {
	if p.Dir {
		return s.privateDir(p)
	}
	if s.usersOwn(p) {
		return nil
	}
	seed, err := s.openSeed(p.Path)
	if err != nil {
		return err
	}
	defer unix.Close(seed)
	run, err := s.openRun()
	if err != nil {
		return s.runFailed(p.Path, err)
	}
	defer unix.Close(run)
	if err := s.copyPrivate(run, seed, p); err != nil {
		return s.runFailed(p.Path, err)
	}
	return nil
}

// usersOwn reports whether something of the user's is mounted where the file belongs, and tells
// where its program will not take it. An engine follows the image's link, so that what is mounted at
// the path ends up in the private directory.
func (s *session) usersOwn(p startup.Private) bool {
	copied := s.run + p.Path
	target, err := readlink(p.Path)
	switch {
	case err == unix.ENOENT || err == unix.ENOTDIR:
		s.tell(show(p.Path) + " is not there: what is mounted over " + show(s.mountPoint(p.Path)) + " hides it\n" +
			"put the file into what is mounted, with mode " + octal(uint32(p.Mode)) + " and owner " + s.id.owner() + ", or mount elsewhere")
		return true
	case err == unix.EINVAL, err == nil && absolute(path.Dir(p.Path), target) != copied:
		s.judgeUsers(p, p.Path)
		return true
	}
	if s.mountPoint(copied) != s.mountPoint(s.run) {
		s.judgeUsers(p, copied)
		return true
	}
	return false
}

// mountPoint gives where the file system is mounted that a path, or what is there of it, is on.
func (s *session) mountPoint(p string) string {
	var st unix.Stat_t
	for e := unix.Lstat(p, &st); e != nil && p != "/"; e = unix.Lstat(p, &st) {
		if !absent(e) {
			m, _ := over(s.mounts(), p)
			return m.point
		}
		p = path.Dir(p)
	}
	_, m := s.mountOf(p)
	return m.point
}

func (s *session) judgeUsers(p startup.Private, at string) {
	var st unix.Stat_t
	if err := unix.Stat(at, &st); err != nil {
		s.tell(show(p.Path) + ", which is mounted into this container, cannot be looked at: " + err.Error())
		return
	}
	if st.Uid == s.id.uid && st.Mode&0o777&^uint32(p.Mode) == 0 {
		return
	}
	s.tell(show(p.Path) + ", which is mounted into this container, has owner " + owner(stat(&st)) + " and mode " + octal(uint32(st.Mode)&0o777) +
		"; its program may demand owner " + strconv.Itoa(int(s.id.uid)) + " and mode " + octal(uint32(p.Mode)) + "\n" +
		"on the host: chown " + s.id.owner() + " and chmod " + octal(uint32(p.Mode)) + "; in Kubernetes, whose Secrets belong to root: copy it in an init container into an emptyDir")
}

// openSeed opens the image's copy of a file.
func (s *session) openSeed(p string) (int, error) {
	seed := s.seed + p
	fd, err := unix.Open(seed, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, s.seedMissing(p, err.Error())
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		unix.Close(fd)
		return -1, s.seedMissing(p, "not a regular file")
	}
	return fd, nil
}

func (s *session) seedMissing(p, why string) error {
	return &Refusal{"the image's content of " + show(p) + " is not at " + show(s.seed+p) + ": " + why + "\n" +
		"leave " + show(s.seed) + " as it is in the image: mount nothing over it, and remove nothing from it; or convert the image again"}
}

// copyPrivate copies an open file to where it belongs in the private directory. A copy that is there
// already stays as its program left it, as long as the image's content is the one that it came from.
func (s *session) copyPrivate(run, seed int, p startup.Private) error {
	sum, size, err := checksum(seed)
	if err != nil {
		return err
	}
	at, err := s.ownDirs(run, path.Dir(p.Path))
	if err != nil {
		return err
	}
	defer unix.Close(at)
	stamps, err := s.ownDirs(run, "/.seed"+path.Dir(p.Path))
	if err != nil {
		return err
	}
	defer unix.Close(stamps)
	name := path.Base(p.Path)
	if readStamp(stamps, name) == sum && s.keep(at, name, p.Mode, size) {
		return nil
	}
	if err := replace(at, name, uint32(p.Mode), func(fd int) error { return copyContent(fd, seed) }); err != nil {
		return err
	}
	return replace(stamps, name, 0o600, func(fd int) error { return writeAll(fd, []byte(sum)) })
}

// keep reports whether a copy of an earlier start can stay, and gives it its mode. An empty one of a
// content that is not may be what a crash of the machine left.
func (s *session) keep(at int, name string, mode uint16, size int64) bool {
	fd, err := unix.Openat(at, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if unix.Fstat(fd, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFREG || st.Uid != s.id.uid || st.Nlink != 1 || st.Size == 0 && size > 0 {
		return false
	}
	return st.Mode&0o7777 == uint32(mode) || unix.Fchmod(fd, uint32(mode)) == nil
}

func readStamp(at int, name string) string {
	fd, err := unix.Openat(at, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return ""
	}
	defer unix.Close(fd)
	var b [128]byte
	n, err := unix.Read(fd, b[:])
	if err != nil || n < 0 {
		return ""
	}
	return string(b[:n])
}

// ownDirs opens a directory below another, making what is missing: every component is the running
// user's alone and no symbolic link.
func (s *session) ownDirs(at int, p string) (int, error) {
	fd, err := unix.FcntlInt(uintptr(at), unix.F_DUPFD_CLOEXEC, 0)
	done := s.run
	for _, name := range strings.Split(p, "/") {
		if name == "" || err != nil {
			continue
		}
		done += "/" + name
		var next int
		next, err = s.ownDir(fd, name)
		unix.Close(fd)
		if f, ok := err.(*foreign); ok {
			f.path = done
		}
		if err == unix.ELOOP || err == unix.ENOTDIR {
			err = &planted{done}
		}
		fd = next
	}
	return fd, err
}

// A planted error says that something stands in the private directory where a directory belongs.
type planted struct{ path string }

func (p *planted) Error() string { return p.path + " is not a directory" }

// runFailed puts into words why the private directory cannot be used.
func (s *session) runFailed(p string, err error) error {
	switch e := err.(type) {
	case *foreign:
		return &Refusal{show(e.path) + ", where the private copy of " + show(p) + " belongs, has owner " + owner(stat(&e.st)) + " and mode " +
			octal(uint32(e.st.Mode)&0o7777) + "; user " + s.id.words() + " can keep nothing private there\n" +
			"mount nothing in " + show(s.run) + " itself; a tmpfs on " + show(path.Dir(s.run)) + " is fine"}
	case *planted:
		return &Refusal{show(e.path) + ", where the private copy of " + show(p) + " belongs, is not a directory\nremove it, or start a new container"}
	case unix.Errno:
		switch e {
		case unix.EACCES, unix.EPERM, unix.EROFS, unix.ENOENT:
			s.addRun(p, e)
			return nil
		}
	}
	return &Refusal{"copying " + show(p) + " into " + show(s.run) + ": " + err.Error() + "\nmake room there; a tmpfs on " + show(path.Dir(s.run)) + " needs little"}
}

// addRun notes that the private directory cannot be written, once for all copies.
func (s *session) addRun(p string, err error) {
	for _, t := range s.troubles {
		if t.want == wantRun {
			return
		}
	}
	s.add(s.run, wantRun, err)
	s.troubles[len(s.troubles)-1].note = "the private copy of " + show(p) + " is made there"
}

// privateDir makes a directory where it is missing and gives it the mode where it is the running
// user's; nobody but root could make it so otherwise. A driver of the kubelet adds bits for the
// group at every mount.
func (s *session) privateDir(p startup.Private) error {
	fd, err := unix.Open(p.Path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err == unix.ENOENT {
		if err = makeDirs(p.Path); err == nil {
			fd, err = unix.Open(p.Path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		}
	}
	var st unix.Stat_t
	if err != nil {
		if err == unix.EACCES && unix.Stat(p.Path, &st) == nil && st.Uid == s.id.uid && unix.Chmod(p.Path, uint32(p.Mode)) == nil {
			return nil // its own, and closed to itself
		}
		s.add(p.Path, wantOwn, err)
		return nil
	}
	defer unix.Close(fd)
	if err := unix.Fstat(fd, &st); err != nil {
		s.add(p.Path, wantOwn, err)
		return nil
	}
	switch {
	case st.Uid != s.id.uid && !remade(p):
		s.add(p.Path, wantOwn, unix.EPERM)
	case st.Uid == s.id.uid && st.Mode&0o7777 != uint32(p.Mode):
		if err := unix.Fchmod(fd, uint32(p.Mode)); err != nil {
			s.add(p.Path, wantOwn, err)
		}
	}
	return nil
}

// remade makes an empty directory anew, so that it is the running user's: an image has it for the
// user that it was made for, and a platform starts it with another. Nothing else can be lost: rmdir(2)
// removes neither what is not empty nor what something is mounted on.
func remade(p startup.Private) bool {
	return unix.Rmdir(p.Path) == nil && unix.Mkdir(p.Path, 0o700) == nil && unix.Chmod(p.Path, uint32(p.Mode)) == nil
}

// makeDirs makes a directory with those above it.
func makeDirs(p string) error {
	err := unix.Mkdir(p, 0o700)
	if err != unix.ENOENT || p == "/" {
		return err
	}
	if err := makeParents(path.Dir(p)); err != nil {
		return err
	}
	return unix.Mkdir(p, 0o700)
}

func makeParents(p string) error {
	for i := 1; i <= len(p); i++ {
		if i < len(p) && p[i] != '/' {
			continue
		}
		if err := unix.Mkdir(p[:i], 0o777); err != nil && err != unix.EEXIST {
			var st unix.Stat_t
			if unix.Stat(p[:i], &st) != nil { // on a read-only file system EROFS comes before EEXIST
				return err
			}
		}
	}
	return nil
}
