//go:build linux

package nscd

import (
	"path"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"
)

// SocketPath is where C libraries look for a responder.
const SocketPath = "/var/run/nscd/socket"

// Failure is a responder or a wrapper that could not be made.
type Failure struct {
	Text string // what is true, one line
	Hint string // what to do, one line; "" where nothing is known
	Err  error  // what the kernel said; nil where it was not asked
}

func (f *Failure) Error() string { return f.Text }

// Unwrap gives what the kernel said, a syscall.Errno.
func (f *Failure) Unwrap() error { return f.Err }

func failure(doing, about, hint string, err error) *Failure {
	return &Failure{Text: doing + " " + strconv.Quote(about) + ": " + err.Error(), Hint: hint, Err: err}
}

// Server is a responder on its socket.
type Server struct {
	names  *names
	path   string
	listen int         // the socket
	wake   int         // an eventfd: Close was called
	file   unix.Stat_t // of the socket
	mu     sync.Mutex  // of what follows
	state  state
}

type state int

const (
	idle state = iota
	serving
	closed
)

// Listen makes the socket, open to everybody, and its directory where that is missing. A socket that
// a process left behind is replaced. It fails with a *Failure, also where somebody answers there.
func Listen(f Facts) (*Server, error) {
	n := newNames(f)
	s := &Server{names: n, path: n.facts.Socket, listen: -1, wake: -1}
	if err := makeDirectory(path.Dir(s.path), maxSteps); err != nil {
		return nil, failure("making the directory", path.Dir(s.path), hint(err), err)
	}
	if err := s.open(); err != nil {
		s.release()
		if err == unix.EADDRINUSE {
			return nil, &Failure{Text: "answering at " + strconv.Quote(s.path) + ": somebody else does, or it is no socket", Hint: "do not share /run between containers, or leave names to the other: --names=off", Err: err}
		}
		return nil, failure("making the socket", s.path, hint(err), err)
	}
	n.refreshPasswd()
	n.refreshGroup()
	return s, nil
}

// Name gives the name of the added account, "" where passwd had one for the uid when Listen looked.
func (s *Server) Name() string { return s.names.account }

func hint(err error) string {
	switch err {
	case unix.EROFS:
		return "mount a tmpfs at /run: docker run --tmpfs /run, or in Kubernetes a volume emptyDir with medium Memory"
	case unix.EACCES, unix.EPERM:
		return "let group 0 write to /run, as unroot convert does, or mount a tmpfs there that who runs can write to"
	case unix.ENOSPC, unix.EDQUOT:
		return "make room in /run"
	}
	return ""
}

// maxSteps bounds the links and missing directories on the way to a directory.
const maxSteps = 16

// makeDirectory makes a directory and those above it. /var/run is a link to /run in most images, and
// the link may lead to nothing yet.
func makeDirectory(dir string, steps int) error {
	var st unix.Stat_t
	if unix.Stat(dir, &st) == nil {
		if st.Mode&unix.S_IFMT != unix.S_IFDIR {
			return unix.ENOTDIR
		}
		return nil
	}
	var link [unix.PathMax]byte
	if n, err := unix.Readlink(dir, link[:]); err == nil {
		if steps == 0 {
			return unix.ELOOP
		}
		return makeDirectory(absolute(path.Dir(dir), string(link[:n])), steps-1)
	}
	err := unix.Mkdir(dir, 0o755)
	if err == unix.ENOENT && dir != "/" && steps > 0 {
		if err := makeDirectory(path.Dir(dir), steps-1); err != nil {
			return err
		}
		err = unix.Mkdir(dir, 0o755)
	}
	if err != nil && err != unix.EEXIST {
		return err
	}
	if err == nil {
		_ = unix.Chmod(dir, 0o755) // whatever the umask
	}
	return nil
}

func absolute(dir, target string) string {
	if path.IsAbs(target) {
		return path.Clean(target)
	}
	return path.Join(dir, target)
}

// backlog is how many clients wait to be accepted; more are refused, and look by themselves. The
// kernel cuts it to net.core.somaxconn.
const backlog = 4096

func (s *Server) open() (err error) {
	const flags = unix.SOCK_STREAM | unix.SOCK_CLOEXEC | unix.SOCK_NONBLOCK
	if s.listen, err = unix.Socket(unix.AF_UNIX, flags, 0); err != nil {
		return err
	}
	if s.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return err
	}
	address := &unix.SockaddrUnix{Name: s.path}
	err = unix.Bind(s.listen, address)
	if err == unix.EADDRINUSE && stale(address) {
		if err = unix.Unlink(s.path); err != nil && err != unix.ENOENT {
			return err
		}
		err = unix.Bind(s.listen, address)
	}
	if err != nil {
		return err
	}
	if err := unix.Chmod(s.path, 0o666); err != nil {
		return err
	}
	if err := unix.Lstat(s.path, &s.file); err != nil {
		return err
	}
	return unix.Listen(s.listen, backlog)
}

// stale reports whether a socket is there that nobody listens on.
func stale(address *unix.SockaddrUnix) bool {
	var st unix.Stat_t
	if unix.Lstat(address.Name, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFSOCK {
		return false
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	return unix.Connect(fd, address) == unix.ECONNREFUSED
}

func (s *Server) release() {
	for _, fd := range []int{s.listen, s.wake} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
	s.listen, s.wake = -1, -1
}

// Close ends Serve, and removes the socket where it is still the one that Listen made.
func (s *Server) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state == closed {
		return
	}
	var st unix.Stat_t
	if unix.Lstat(s.path, &st) == nil && st.Dev == s.file.Dev && st.Ino == s.file.Ino {
		_ = unix.Unlink(s.path)
	}
	if s.state == serving {
		one := [8]byte{7: 1, 0: 1} // a number above 0 in either byte order
		_, _ = unix.Write(s.wake, one[:])
	} else {
		s.release()
	}
	s.state = closed
}
