//go:build amd64 || arm64

package tracer

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"unroot/internal/sandbox/launch"
	"unroot/internal/sandbox/seccomp"
	"unroot/internal/trace"
)

// Tracer starts, traces and reaps. It is the only waiter of its process: it reaps every child, also
// those that it did not start, such as orphans that the kernel gives to the first process of a container.
// One process has one tracer at a time.
//
// A tracee is not trusted: it can lie about what it asks, by changing its memory while it asks, but not
// about what it was answered, nor about who it is; and it cannot keep the tracer from seeing that it
// asked. Calls that never come to the filter (io_uring, vDSO) are not seen: the engines' profile refuses
// io_uring.
//
// Programs for amd64, i386, arm64 and 32-bit arm are traced. The tests run the first two on hardware and
// the other two on an emulated machine with Debian's kernel (test/arm64); there no test of a race or of a
// speed is run. x32 is refused by the filter, and not run.
type Tracer struct {
	o        Options
	proc     string
	commands chan func() // carried out by the waiting thread
	thread   atomic.Int64
	ended    chan struct{} // closed when the waiting thread has ended
	kept     *keeper

	mu   sync.Mutex
	live map[int]bool // processes that have not been reaped

	// what follows belongs to the waiting thread
	tasks     map[int]*task
	processes map[int]*process
	births    map[int]*task // children that a parent told of, before their first stop: a copy of the parent
	early     map[int]bool  // children that were there before their parent told of them
	who       map[string]*identity
	numbers   map[uint32][]*call // by AUDIT_ARCH: the calls with small numbers, which are all that have shapes
	known     answers
	bound     map[string]string // address by inode of a socket
	texts     map[string]string
	link      [maxPath + 16]byte
	mem       memory
	chroots   bool
	rootIs    *string
	old       bool // the kernel has no PTRACE_GET_SYSCALL_INFO
	crowded   bool // OnLimit was called
	closing   bool
}

// New starts the waiting thread. For the whole process, SIGCHLD does nothing from then on and signal 59
// belongs to the tracer.
func New(o Options) *Tracer {
	if o.Clock == nil {
		start := time.Now()
		o.Clock = func() time.Duration { return time.Since(start) }
	}
	t := &Tracer{
		o: o, proc: strings.TrimSuffix(o.Proc, "/"), commands: make(chan func(), 16), ended: make(chan struct{}), kept: newKeeper(o.Events, o.OnEvent),
		live: map[int]bool{}, tasks: map[int]*task{}, processes: map[int]*process{}, births: map[int]*task{}, early: map[int]bool{},
		who: map[string]*identity{}, known: newAnswers(), bound: map[string]string{}, texts: map[string]string{},
	}
	if t.proc == "" {
		t.proc = "/proc"
	}
	if o.Trace {
		t.numbers = map[uint32][]*call{}
		for _, a := range seccomp.ABIs(runtime.GOARCH) {
			t.numbers[a.Audit] = byNumber(calls(a))
		}
	}
	go t.loop()
	return t
}

// byNumber makes a list of the calls; arm's private ones, from 0xf0000 on, are of no interest.
func byNumber(calls map[uint32]*call) []*call {
	list := make([]*call, 1024)
	for n, c := range calls {
		if n < uint32(len(list)) {
			list[n] = c
		}
	}
	return list
}

// loop is the waiting thread. ptrace requests are obeyed from the thread that seized the tracee alone.
func (t *Tracer) loop() {
	defer close(t.ended)
	runtime.LockOSThread() // never unlocked: what is left of tracees ends with the thread (PTRACE_O_EXITKILL)
	answerWake()
	t.thread.Store(int64(unix.Gettid()))
	for {
		t.obey()
		if t.closing && len(t.processes) == 0 {
			return
		}
		switch tid, status, errno := wait(); errno {
		case 0:
			t.happened(tid, status)
		case unix.ECHILD:
			if t.closing {
				return
			}
			(<-t.commands)()
		}
	}
}

// obey carries out the commands that have come.
func (t *Tracer) obey() {
	for {
		select {
		case f := <-t.commands:
			f()
		default:
			return
		}
	}
}

// do has the waiting thread carry out f, and returns when it has. It is false after Close.
func (t *Tracer) do(f func()) bool {
	done := make(chan struct{})
	select {
	case t.commands <- func() { f(); close(done) }:
	case <-t.ended:
		return false
	}
	// A signal that comes just before the thread waits is lost: it is sent until the command is done.
	for pause := 200 * time.Microsecond; ; pause = min(2*pause, 50*time.Millisecond) {
		t.ring()
		select {
		case <-done:
			return true
		case <-t.ended:
			return false
		case <-time.After(pause):
		}
	}
}

// Start starts a process and returns when the program has been executed, or why it was not: a
// *launch.Error. The program's filter is the caller's, in spec.Filter.
func (t *Tracer) Start(spec launch.Spec, attr *os.ProcAttr) (*Process, error) {
	p := &Process{done: make(chan struct{})}
	var held *launch.Held
	var err error
	ok := t.do(func() {
		// The kernel's child of a thread is told of the end of that thread (PR_SET_PDEATHSIG), and
		// nobody may reap the child before it is known here.
		if held, err = launch.Start(spec, attr); err == nil {
			p.pid = held.PID()
			t.started(p)
		}
	})
	if !ok {
		return nil, errors.New("starting a process: the tracer is closed")
	}
	if err != nil {
		return nil, err
	}
	if err := held.Ready(); err != nil {
		return nil, err
	}
	if t.o.Trace {
		var errno unix.Errno
		if !t.do(func() { errno = t.seized(p.pid) }) || errno != 0 {
			held.Close()
			t.Signal(p.pid, unix.SIGKILL)
			return nil, fmt.Errorf("tracing a process: %w", errno)
		}
	}
	if err := held.Release(); err != nil {
		return nil, err
	}
	return p, nil
}

// Process is one that Start started.
type Process struct {
	pid    int
	done   chan struct{}
	status int
	signal string
}

// PID is the process as the tracer's pid namespace numbers it.
func (p *Process) PID() int { return p.pid }

// Done is closed when the process has ended and was reaped.
func (p *Process) Done() <-chan struct{} { return p.done }

// State is, after Done, the exit status, or the name of the signal that ended the process.
func (p *Process) State() (status int, signal string) { return p.status, p.signal }

// Signal sends a signal to a process of the run, by the number that the tracer's events give it.
// ESRCH where there is no such process, or no longer.
func (t *Tracer) Signal(pid int, sig unix.Signal) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	// A number that the tracer has not reaped cannot be anybody else's.
	if !t.live[pid] {
		return fmt.Errorf("sending %s to process %d: %w", unix.SignalName(sig), pid, unix.ESRCH)
	}
	if err := unix.Kill(pid, sig); err != nil {
		return fmt.Errorf("sending %s to process %d: %w", unix.SignalName(sig), pid, err)
	}
	return nil
}

// Log is what there is so far. It may be called at any time; the events must not be changed.
func (t *Tracer) Log() trace.Log { return t.kept.give() }

// Close kills what the tracer has started or traces, reaps it, and ends the waiting thread.
func (t *Tracer) Close() {
	t.do(func() {
		t.closing = true
		t.mu.Lock()
		defer t.mu.Unlock()
		for pid := range t.live {
			unix.Kill(pid, unix.SIGKILL)
		}
	})
	<-t.ended
}

// Harden keeps processes that run as the same user from reading the memory of this one, from tracing
// it and from opening what is in its directory of proc: PR_SET_DUMPABLE of prctl(2). Agents call it
// before anything of an image runs.
func Harden() error {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("making the tracer's memory private: %w", err)
	}
	return nil
}
