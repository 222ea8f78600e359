package sandbox

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"

	"unroot/internal/sandbox/launch"
	"unroot/internal/sandbox/mount"
	"unroot/internal/verify"
)

// runSpaces is the namespaces that a run has for itself. The user namespace is the lab's.
const runSpaces = unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS

// space is where one run lives. It implements agent.Space.
type space struct {
	run   verify.Run
	dir   string      // of what the run writes
	tmpfs bool        // a file system of its own is mounted at dir
	root  launch.Root // for the first process
	watch bool        // memory is watched
	disk  bool        // what is written to dir is watched
	fault error       // why nothing can be started: the image's fault, and so no failure of the runner

	limit chan string
	over  atomic.Value  // string: what was sent to limit
	stop  chan struct{} // ends the watch

	mu     sync.Mutex
	pid    int // of the first process; 0 before
	mnt    int // its mount and network namespaces; -1 before
	net    int
	inside int // its root directory, O_PATH; -1 until somebody asks
}

// newSpace prepares a run of the current image.
func (l *laboratory) newSpace(r verify.Run) (*space, error) {
	lower, err := l.store.lower()
	if err != nil {
		return nil, err
	}
	l.used++
	s := &space{
		run: r, dir: l.upper + "/" + strconv.Itoa(l.used), tmpfs: l.upper == "/r",
		watch: l.setup.Watch, limit: make(chan string, 1), stop: make(chan struct{}),
		mnt: -1, net: -1, inside: -1,
	}
	s.disk = !s.tmpfs
	s.root = launch.Root{Lower: lower, Upper: s.dir + "/u", Work: s.dir + "/w", ReadOnly: r.ReadOnly, Hostname: cmp.Or(r.Hostname, labName), PortStart: r.PortStart}
	if err := s.prepare(lower[0]); err != nil {
		s.remove()
		return nil, fmt.Errorf("preparing a run: %w", err)
	}
	for _, path := range r.Tmpfs {
		s.root.Mounts = append(s.root.Mounts, launch.Mount{Target: path, Size: r.Limits.Disk})
	}
	for _, v := range r.Volumes {
		source, err := l.volume(v, lower, r.Limits.Disk)
		if err != nil {
			s.fault = fmt.Errorf("volume %q: %w", v.Name, err)
		}
		s.root.Mounts = append(s.root.Mounts, launch.Mount{Source: source, Target: v.Path})
	}
	return s, nil
}

func (s *space) prepare(lower string) error {
	if err := os.Mkdir(s.dir, 0o755); err != nil {
		return err
	}
	if s.tmpfs {
		if err := mountTmpfs(s.dir, s.run.Limits.Disk); err != nil {
			s.tmpfs = false
			return err
		}
	}
	return makeUpper(s.root.Upper, s.root.Work, lower)
}

func mountTmpfs(at string, size int64) error {
	fs, err := mount.New("tmpfs", unix.MOUNT_ATTR_NODEV, "mode=755", "uid=0", "gid=0", fmt.Sprintf("size=%d", size))
	if err != nil {
		return err
	}
	target, err := unix.Open(at, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		unix.Close(fs)
		return err
	}
	return mount.Attach(fs, target)
}

// First gives the first process its root file system and its namespaces.
func (s *space) First(spec *launch.Spec) (*os.ProcAttr, error) {
	spec.Root = &s.root
	s.complete(spec)
	if s.fault != nil {
		return nil, s.fault
	}
	return &os.ProcAttr{Sys: &syscall.SysProcAttr{Cloneflags: runSpaces}}, nil
}

// Further lets a later process into them.
func (s *space) Further(spec *launch.Spec) (*os.ProcAttr, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pid == 0 {
		return nil, errors.New("[internal error] a further process of a run that has none")
	}
	spec.Join = s.pid
	s.complete(spec)
	return &os.ProcAttr{Sys: &syscall.SysProcAttr{}}, nil
}

// spareProcesses is what the kernel's limit of processes is above that of the run: the tracer ends a
// run that has too many, and the threads of the lab count for uid 0.
const spareProcesses = 64

// complete gives a process what concerns the whole machine: under want of memory it goes first, and
// there are never many more processes of its uid than the run may have, however fast it makes them.
// The hard limit stays, since a program may raise the soft one under an engine.
func (s *space) complete(spec *launch.Spec) {
	spec.OOMScore = 1000
	var now unix.Rlimit
	if n := uint64(s.run.Limits.Processes + spareProcesses); n > spareProcesses && unix.Getrlimit(unix.RLIMIT_NPROC, &now) == nil {
		spec.Limits = append(spec.Limits, launch.Limit{Resource: unix.RLIMIT_NPROC, Soft: min(n, now.Max), Hard: now.Max})
	}
}

// Entered takes hold of the namespaces of the first process, and begins to watch.
func (s *space) Entered(pid int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pid = pid
	// What cannot be opened has ended; whoever needs it then is told so.
	s.mnt, _ = unix.Open(fmt.Sprintf("/proc/%d/ns/mnt", pid), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	s.net, _ = unix.Open(fmt.Sprintf("/proc/%d/ns/net", pid), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	go s.watchUse()
}

// Proc is the lab's own.
func (*space) Proc() string { return "/proc" }

// Root is the root directory of the run's mount namespace: that of the first process may be a jail.
func (s *space) Root() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.inside < 0 && s.mnt >= 0 {
		s.inside = openRoot(s.mnt)
	}
	if s.inside < 0 {
		return "/m" // empty: the run has no root directory yet, or no more
	}
	return fmt.Sprintf("/proc/self/fd/%d", s.inside)
}

// openRoot opens the root directory of a mount namespace, on a thread that ends afterwards.
func openRoot(mnt int) int {
	fd := -1
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		var own, other unix.Stat_t
		if errors.Join(unix.Stat("/", &own), unix.Unshare(unix.CLONE_FS), unix.Setns(mnt, unix.CLONE_NEWNS), unix.Stat("/", &other)) != nil {
			return
		}
		// Before the first process has moved into its root, that is the lab's.
		if own.Dev != other.Dev || own.Ino != other.Ino {
			fd, _ = unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		}
	}()
	<-done
	return fd
}

// Net runs f on a thread in the run's network, which ends afterwards.
func (s *space) Net(f func() error) error {
	s.mu.Lock()
	net := s.net
	s.mu.Unlock()
	if net < 0 {
		return errors.New("the run has no network: it has ended")
	}
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if err = unix.Setns(net, unix.CLONE_NEWNET); err != nil {
			err = fmt.Errorf("joining the network of a run: %w", err)
			return
		}
		err = f()
	}()
	<-done
	return err
}

// Kill ends the first process, and with it the kernel ends all of its pid namespace.
func (s *space) Kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pid > 0 {
		_ = syscall.Kill(s.pid, syscall.SIGKILL)
	}
}

// Limit tells that a limit was reached that the space watches.
func (s *space) Limit() <-chan string { return s.limit }

// adjust has the last word on the outcome: a run that was ended at a limit may have been seen to end
// before anybody heard of the limit.
func (s *space) adjust(out *verify.Outcome) {
	if what, ok := s.over.Load().(string); ok {
		out.End, out.Limit = verify.EndLimit, what
	}
}

// remove takes away what the run wrote.
func (s *space) remove() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.stop)
	for _, fd := range []*int{&s.mnt, &s.net, &s.inside} {
		if *fd >= 0 {
			unix.Close(*fd)
			*fd = -1
		}
	}
	if s.tmpfs {
		_ = unix.Unmount(s.dir, unix.MNT_DETACH)
		_ = os.Remove(s.dir)
		return
	}
	_ = os.RemoveAll(s.dir)
}
