package sandbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/moby/sys/capability"
	"golang.org/x/sys/unix"

	"unroot/internal/image"
	"unroot/internal/sandbox/launch"
	"unroot/internal/sandbox/wire"
)

// labSpaces is the lab's own namespaces. A network namespace is among them because a user namespace
// may mount sysfs only where it owns one.
const labSpaces = unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS

// startTime is how long a lab may take to be ready.
const startTime = 30 * time.Second

// plan is what a lab is made for.
type plan struct {
	image  *image.Image // its first one
	ids    []uint32     // that runs use
	more   []uint32     // that came up later
	dir    string       // where a folder is made
	folder bool         // images go into a folder in any case
	upper  bool         // what runs write, too
}

// lacks reports whether some id is none of the lab's.
func (p plan) lacks(ids []uint32) bool {
	return slices.ContainsFunc(ids, func(id uint32) bool {
		return id >= lowIDs && !slices.Contains(p.ids, id) && !slices.Contains(p.more, id)
	})
}

// lab is the front's side of a lab.
type lab struct {
	plan   plan
	conn   *wire.Conn
	sock   *os.File
	layers *os.File
	pid    int
	group  *cgroup
	keeper *keeper
	runs   int // so far

	exited chan struct{} // closed when the process has ended and was waited for
	once   sync.Once
	stderr *tail
}

// startLab starts a lab and waits until it is ready.
func startLab(ctx context.Context, p plan) (*lab, error) {
	extents, err := findIDs(append(slices.Clone(p.ids), p.more...))
	if err != nil {
		return nil, err
	}
	memory := memAvailable()
	p.folder = p.folder || tooBig(p.image)
	l, ready, err := tryLab(ctx, p, extents, memory)
	if err == nil && ready.NeedFolder {
		l.end()
		p.folder, p.upper = true, true
		l, ready, err = tryLab(ctx, p, extents, memory)
	}
	if err != nil {
		return nil, err
	}
	if ready.Error != "" {
		l.end()
		return nil, unavailable(errors.New(ready.Error), ready.Masked)
	}
	return l, nil
}

// tryLab starts a lab and gives its answer.
func tryLab(ctx context.Context, p plan, extents [2][]extent, memory int64) (*lab, labReady, error) {
	l := &lab{plan: p, exited: make(chan struct{}), stderr: &tail{}}
	l.keeper = startKeeper()
	folder, err := l.keeper.folder(p, extents)
	if err != nil {
		l.keeper.close()
		return nil, labReady{}, err
	}
	if err := l.start(folder); err != nil {
		l.keeper.close()
		return nil, labReady{}, unavailable(err, false)
	}
	defer context.AfterFunc(ctx, l.kill)()
	late := time.AfterFunc(startTime, l.kill)
	defer late.Stop()
	ready, err := l.greet(extents, memory)
	if err != nil {
		said := l.end()
		if ctx.Err() != nil {
			return nil, ready, ctx.Err()
		}
		if said != "" {
			err = fmt.Errorf("%w: %s", err, said)
		}
		return nil, ready, unavailable(err, false)
	}
	return l, ready, nil
}

// greet gives the lab its ids, tells it what it is to be, and hears whether it is ready.
func (l *lab) greet(extents [2][]extent, memory int64) (ready labReady, err error) {
	if err := giveIDs(l.pid, extents); err != nil {
		return ready, err
	}
	l.group = l.keeper.group(l.pid)
	setup := labSetup{Room: memory / 2, Folder: l.plan.folder, UpperDisk: l.plan.upper, Watch: l.group == nil}
	if l.plan.folder {
		setup.Room = l.keeper.room
	}
	if err := l.conn.SendJSON(wire.Ready, setup); err != nil {
		return ready, err
	}
	kind, payload, err := l.conn.Receive()
	if err != nil {
		return ready, fmt.Errorf("the lab ended before it was ready: %w", err)
	}
	if kind != wire.Ready {
		return ready, fmt.Errorf("%w: kind %d before ready", wire.ErrFrame, kind)
	}
	return ready, wire.Decode(payload, &ready)
}

// start starts the process. The thread that does so waits for it and for nothing else: the kernel
// sends PR_SET_PDEATHSIG when the thread ends, not the process (prctl(2)).
//
// A folder is its working directory: a descriptor of ours would be of our mount namespace.
func (l *lab) start(folder string) error {
	sock, theirs, err := socketpair()
	if err != nil {
		return err
	}
	defer theirs.Close()
	theirLayers, layers, err := os.Pipe()
	if err != nil {
		sock.Close()
		return err
	}
	defer theirLayers.Close()
	// 1 MiB is what an ordinary user may have (pipe(7)); less is only slower.
	_, _ = unix.FcntlInt(layers.Fd(), unix.F_SETPIPE_SZ, chunkSize)
	_ = unix.SetNonblock(int(layers.Fd()), true) // Fd has made it blocking
	l.sock, l.layers, l.conn = sock, layers, wire.New(sock)
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer w.Close()
	started := make(chan error)
	go l.wait(folder, []*os.File{null, null, w, theirs, theirLayers}, started)
	if err := <-started; err != nil {
		r.Close()
		l.sock.Close()
		l.layers.Close()
		return err
	}
	go l.stderr.fill(r)
	return nil
}

// socketpair gives our end, of which closing ends a read, and a stage's.
func socketpair() (ours, theirs *os.File, err error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	if err := unix.SetNonblock(pair[0], true); err != nil {
		return nil, nil, err
	}
	return os.NewFile(uintptr(pair[0]), "stage"), os.NewFile(uintptr(pair[1]), "front"), nil
}

func (l *lab) wait(dir string, files []*os.File, started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	p, err := startSelf(labStage, &os.ProcAttr{
		Dir:   dir,
		Files: files,
		Env:   []string{},
		Sys: &syscall.SysProcAttr{
			Cloneflags:  labSpaces,
			Pdeathsig:   syscall.SIGKILL,
			Setsid:      true, // Ctrl-C is for the front, who ends things in order
			AmbientCaps: allCaps(),
		},
	})
	if err != nil {
		started <- err
		return
	}
	l.pid = p.Pid
	started <- nil
	_, _ = p.Wait()
	close(l.exited)
}

// startSelf starts this program as a stage: by its path, which the stage can mount read-only, or
// else what /proc calls it, where the file was replaced or its directories are closed to others.
func startSelf(stage string, attr *os.ProcAttr) (*os.Process, error) {
	if !launch.Dispatches() {
		return nil, errors.New("[internal error] starting a lab: this program does not call sandbox.Stage")
	}
	const self = "/proc/self/exe"
	if path, err := os.Readlink(self); err == nil {
		here, err1 := os.Stat(self)
		there, err2 := os.Stat(path)
		if err1 == nil && err2 == nil && os.SameFile(here, there) {
			if p, err := os.StartProcess(path, []string{stage}, attr); err == nil || !errors.Is(err, os.ErrPermission) {
				return p, err
			}
		}
	}
	return os.StartProcess(self, []string{stage}, attr)
}

// allCaps is every capability that the kernel has.
func allCaps() []uintptr {
	last, err := capability.LastCap()
	if err != nil {
		last = capability.CAP_CHECKPOINT_RESTORE
	}
	caps := make([]uintptr, last+1)
	for i := range caps {
		caps[i] = uintptr(i)
	}
	return caps
}

// ended reports whether the process is no more.
func (l *lab) ended() bool {
	select {
	case <-l.exited:
		return true
	default:
		return false
	}
}

// kill ends the process at once, and the kernel all that is in its pid namespace.
func (l *lab) kill() {
	if !l.ended() {
		_ = syscall.Kill(l.pid, syscall.SIGKILL)
	}
}

// end ends the lab, waits for that, and gives what it said for its end.
func (l *lab) end() string {
	l.once.Do(func() {
		l.sock.Close() // it goes when nobody is there
		l.layers.Close()
		select {
		case <-l.exited:
		case <-time.After(patience):
			l.kill()
			<-l.exited
		}
		l.keeper.close()
	})
	return l.stderr.text()
}

// tail keeps the end of what a process writes.
type tail struct {
	mu   sync.Mutex
	kept []byte
}

func (t *tail) fill(r *os.File) {
	defer r.Close()
	buf := make([]byte, 4096)
	for {
		n, err := r.Read(buf)
		t.mu.Lock()
		t.kept = append(t.kept, buf[:n]...)
		t.kept = t.kept[max(0, len(t.kept)-4096):]
		t.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (t *tail) text() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.kept)
}
