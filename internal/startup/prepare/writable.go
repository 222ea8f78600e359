//go:build linux

package prepare

import (
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// writable tries whether the running user can write a path: make a file in a directory, open a file
// for writing. A path that is not there is to be made by its program, so the directory above counts.
func (s *session) writable(p string) {
	err := tryPath(p, 0)
	switch err {
	case nil:
		s.innerWritable(p)
	case unix.ENOSPC, unix.EDQUOT:
		s.tell(show(p) + " is full (" + err.Error() + "): nothing can be written there\nmake room, or give it a larger volume")
	default:
		s.add(p, wantWrite, err)
	}
}

// maxLinks is as the kernel has it (path_resolution(7)).
const maxLinks = 40

func tryPath(p string, links int) error {
	var st unix.Stat_t
	err := unix.Stat(p, &st)
	if err == unix.ENOENT && p != "/" && links < maxLinks {
		if target, e := readlink(p); e == nil { // one that leads nowhere yet
			return tryPath(absolute(path.Dir(p), target), links+1)
		}
		return tryPath(path.Dir(p), links)
	}
	if err != nil {
		return err
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		return tryDir(p)
	case unix.S_IFREG:
		fd, err := unix.Open(p, unix.O_WRONLY|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
		if err == unix.ETXTBSY { // it runs
			return nil
		}
		if err != nil {
			return err
		}
		return unix.Close(fd)
	}
	return unix.Faccessat(unix.AT_FDCWD, p, unix.W_OK, unix.AT_EACCESS) // opening a device or a pipe may do something
}

func absolute(dir, target string) string {
	if path.IsAbs(target) {
		return path.Clean(target)
	}
	return path.Join(dir, target)
}

func readlink(p string) (string, error) { return readlinkat(unix.AT_FDCWD, p) }

func readlinkat(at int, name string) (string, error) {
	var b [unix.PathMax]byte
	n, err := unix.Readlinkat(at, name, b[:])
	if err != nil {
		return "", err
	}
	if n == len(b) {
		return "", unix.ENAMETOOLONG
	}
	return string(b[:n]), nil
}

// add notes a path that will not do, with all that is to be known of it now.
func (s *session) add(p string, w want, err error) {
	t := trouble{path: p, want: w, failure: failureOf(err), error: err.Error(), at: p}
	var st unix.Stat_t
	for e := unix.Stat(t.at, &st); e != nil && t.at != "/"; e = unix.Stat(t.at, &st) {
		if !absent(e) {
			t.unknown = true
			break
		}
		t.at = path.Dir(t.at)
	}
	if t.unknown {
		t.mount, _ = over(s.mounts(), t.at)
	} else {
		t.at, t.mount = s.mountOf(t.at)
	}
	t.status, t.place = stat(&st), identify(t.mount, s.mounts())
	if t.status.dir {
		t.inside = s.lookInto(t.at)
	}
	s.troubles = append(s.troubles, t)
}

// absent reports whether stat failed because nothing is there that the user could see; else what is
// mounted does not answer.
func absent(err error) bool {
	return err == unix.ENOENT || err == unix.ENOTDIR || err == unix.EACCES || err == unix.ELOOP
}

func failureOf(err error) failure {
	switch err {
	case unix.EACCES, unix.EPERM:
		return failDenied
	case unix.EROFS:
		return failReadOnly
	case unix.ENOENT, unix.ESTALE, unix.ENOTCONN, unix.EIO, unix.ENODEV, unix.ENXIO, unix.EHOSTDOWN, unix.ETIMEDOUT:
		return failGone
	}
	return failOther
}

func stat(st *unix.Stat_t) status {
	return status{uid: st.Uid, gid: st.Gid, mode: uint32(st.Mode) & 0o7777, dir: st.Mode&unix.S_IFMT == unix.S_IFDIR}
}

// maxLook is how many entries of a directory are looked at: enough to tell whose data it is.
const maxLook = 256

// lookInto looks at the first entries of a directory.
func (s *session) lookInto(dir string) contents {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return contents{}
	}
	defer unix.Close(fd)
	c := contents{known: true, empty: true}
	names, err := list(fd, maxLook)
	if err != nil {
		return contents{}
	}
	for _, name := range names {
		if name == "lost+found" {
			continue
		}
		c.empty = false
		var st unix.Stat_t
		if unix.Fstatat(fd, name, &st, unix.AT_SYMLINK_NOFOLLOW) != nil || st.Uid == s.id.uid {
			continue
		}
		if kind := st.Mode & unix.S_IFMT; kind != unix.S_IFDIR && kind != unix.S_IFREG || allows(stat(&st), s.id) {
			continue
		}
		if c.name != "" {
			c.more++
			continue
		}
		c.name, c.status = name, stat(&st)
	}
	return c
}

// innerWritable warns of data in a volume that is not the running user's and cannot be written: its
// program will come to it later than this start.
func (s *session) innerWritable(p string) {
	var st unix.Stat_t
	if s.id.uid == 0 || unix.Stat(p, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return
	}
	inside := s.lookInto(p)
	if inside.name == "" {
		return
	}
	at, m := s.mountOf(p)
	t := trouble{path: p, want: wantInner, at: at, status: stat(&st), inside: inside, mount: m, place: identify(m, s.mounts())}
	switch t.place.kind {
	case kindImage, kindConfig, kindKernel, kindTmpfs, kindEmptyDir:
		return // what the image has so is its own matter, and nothing older leaves anything in what lives as long as the container
	}
	for _, other := range s.mounts() {
		if rest, ok := below(other.point, at); ok && rest != "" {
			return // something of the user's is mounted in it, and that may be it
		}
	}
	s.remarks = append(s.remarks, t)
}

// mountOf gives a path without symbolic links, and the mount that it is on. Where nothing is known
// it is the container's root.
func (s *session) mountOf(p string) (string, mount) {
	fd, err := unix.Open(p, unix.O_PATH|unix.O_CLOEXEC, 0)
	id := -1
	if err == nil {
		if real, err := readlink("/proc/self/fd/" + strconv.Itoa(fd)); err == nil && path.IsAbs(real) {
			p = real
		}
		id = mountID(fd)
		unix.Close(fd)
	}
	for _, m := range s.mounts() {
		if m.id == id {
			return p, m
		}
	}
	if m, ok := over(s.mounts(), p); ok {
		return p, m
	}
	return p, mount{point: "/"}
}

// mountID is the number in mountinfo of the mount that an open file is on (proc_pid_fdinfo(5)); -1
// where the kernel does not tell.
func mountID(fd int) int {
	for line := range strings.Lines(string(readSome("/proc/self/fdinfo/"+strconv.Itoa(fd), 4096))) {
		if v, ok := strings.CutPrefix(line, "mnt_id:"); ok {
			if n, err := strconv.Atoi(strings.TrimSpace(v)); err == nil {
				return n
			}
		}
	}
	return -1
}

// mounts is the table of mounts, read once and only where it is needed.
func (s *session) mounts() []mount {
	if !s.tableRead {
		s.table, s.tableRead = parseMounts(readSome("/proc/self/mountinfo", maxMountInfo)), true
	}
	return s.table
}

// readSome reads the beginning of a file, nothing where it cannot be read.
func readSome(p string, most int) []byte {
	fd, err := unix.Open(p, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil
	}
	defer unix.Close(fd)
	var out []byte
	buf := make([]byte, min(most, 64<<10))
	for len(out) < most {
		n, err := unix.Read(fd, buf)
		if err == unix.EINTR {
			continue
		}
		if n <= 0 || err != nil {
			break
		}
		out = append(out, buf[:n]...)
	}
	return out[:min(len(out), most)]
}

// list gives at most n names of an open directory, in the order of the file system.
func list(fd, n int) ([]string, error) {
	var names []string
	buf := make([]byte, 8192)
	for len(names) < n {
		got, err := unix.ReadDirent(fd, buf)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return nil, err
		}
		if got == 0 {
			break
		}
		_, _, names = unix.ParseDirent(buf[:got], n-len(names), names)
	}
	return names, nil
}
