//go:build amd64 || arm64

package tracer

import (
	"golang.org/x/sys/unix"

	"unroot/internal/sandbox/seccomp"
	"unroot/internal/trace"
)

// task is one thread that is traced.
type task struct {
	tid   int
	proc  *process
	who   *identity // credentials belong to threads: credentials(7)
	waits bool      // for the answer to asked
	asked pending
}

// process is a thread group.
type process struct {
	pid    int
	exe    string
	silent bool      // a stage: it has not become the program yet
	told   *identity // by the last Exec event
	start  *Process  // nil where it was not started by Start
}

// started makes a child known before anybody waits.
func (t *Tracer) started(p *Process) {
	t.processes[p.pid] = &process{pid: p.pid, silent: true, start: p}
	t.mu.Lock()
	t.live[p.pid] = true
	t.mu.Unlock()
}

// seized begins to trace a child that waits in its stage.
func (t *Tracer) seized(pid int) unix.Errno {
	p := t.processes[pid]
	if p == nil {
		return unix.ESRCH
	}
	if errno := seize(pid); errno != 0 {
		return errno
	}
	t.tasks[pid] = &task{tid: pid, proc: p}
	return 0
}

// happened takes up one wait status. A tracee goes on as soon as all has been read that it could
// change: what is written down about it afterwards overlaps with what it does. Nothing is lost by that,
// as whatever it does next that matters stops it again, and is taken up after this.
//
// Any request can fail with ESRCH, as a tracee can be killed at any
// time between two stops: its end comes as a status of its own, so such failures are passed over.
func (t *Tracer) happened(tid int, status uint32) {
	sig, event, ok := stopped(status)
	if !ok {
		t.gone(tid, status)
		return
	}
	k := t.tasks[tid]
	if k == nil {
		k = t.born(tid)
	}
	switch event {
	case unix.PTRACE_EVENT_SECCOMP:
		t.asks(k)
	case unix.PTRACE_EVENT_FORK, unix.PTRACE_EVENT_VFORK, unix.PTRACE_EVENT_CLONE:
		child, ok := message(tid)
		t.resume(k, 0)
		if ok {
			t.forked(k, child)
		}
	case unix.PTRACE_EVENT_EXEC:
		t.executed(k)
	case unix.PTRACE_EVENT_STOP:
		if stops(sig) {
			// a group stop: it stays stopped, but SIGCONT is heard of: ptrace(2), PTRACE_LISTEN
			request(unix.PTRACE_LISTEN, tid, 0, 0)
			return
		}
		t.resume(k, 0)
	default:
		if sig == unix.SIGTRAP|0x80 {
			t.answered(k)
			return
		}
		t.resume(k, sig)
	}
}

// stops tells the signals that stop a group.
func stops(sig unix.Signal) bool {
	return sig == unix.SIGSTOP || sig == unix.SIGTSTP || sig == unix.SIGTTIN || sig == unix.SIGTTOU
}

// resume lets a stopped thread go on, to the answer of its call where one is awaited.
func (t *Tracer) resume(k *task, sig unix.Signal) {
	req := unix.PTRACE_CONT
	if k.waits {
		req = unix.PTRACE_SYSCALL
	}
	request(req, k.tid, 0, uintptr(sig))
}

// asks is a call of interest, before it is made.
func (t *Tracer) asks(k *task) {
	k.waits = false
	var i stopInfo
	if !t.info(k.tid, infoSeccomp, &i) {
		t.resume(k, 0)
		return
	}
	c := t.callOf(&i)
	errno := uint16(i.data & seccomp.DataErrno)
	if errno != 0 {
		refuse(k.tid, errno)
	}
	if k.proc.silent && c.kind != trace.Exec {
		t.resume(k, 0)
		return
	}
	p, ok := t.decode(k, c, &i.args)
	switch {
	case errno != 0:
		t.resume(k, 0)
		p.event.Hidden = true
		t.answer(k, &p, -int64(errno))
	case ok && t.needsAnswer(k, &p):
		k.asked, k.waits = p, true
		t.resume(k, 0)
	default:
		t.resume(k, 0)
		if ok {
			t.presumed(&p)
		}
	}
}

// info reads a stop of the kind given; it is false where the tracee is gone.
func (t *Tracer) info(tid int, kind uint8, i *stopInfo) bool {
	if !t.old {
		switch errno := syscallInfo(tid, i); errno {
		case 0:
			return i.op == kind
		case unix.ESRCH:
			return false
		}
		t.old = true // EIO before Linux 5.3
	}
	i.op = kind
	if kind == infoSeccomp {
		data, ok := message(tid)
		if !ok {
			return false
		}
		i.data = uint32(data)
	}
	return fromRegisters(tid, i.data&seccomp.Data32 != 0, i) == 0
}

var strange = &call{name: "unknown", shape: shape{kind: trace.Machine}}

func (t *Tracer) callOf(i *stopInfo) *call {
	list := t.numbers[i.arch]
	if i.number < uint64(len(list)) && list[i.number] != nil {
		return list[i.number]
	}
	return strange
}

// answered is the answer to a call.
func (t *Tracer) answered(k *task) {
	if !k.waits {
		t.resume(k, 0)
		return
	}
	i := stopInfo{}
	i.data = t.narrow(k)
	if !t.info(k.tid, infoExit, &i) {
		if i.op == infoEntry {
			t.resume(k, 0) // kernels before 4.8 stop at the entry once more
			return
		}
		k.waits = false
		t.resume(k, 0)
		return
	}
	k.waits = false
	asked := k.asked
	k.asked = pending{}
	t.resume(k, 0)
	t.answer(k, &asked, i.result())
}

// narrow is what the filter said of the ABI of a call that is being made.
func (t *Tracer) narrow(k *task) uint32 {
	if abi := k.asked.call.abi; abi != nil && !abi.Wide {
		return seccomp.Data32
	}
	return 0
}

// The errnos with which a call is made again after a signal: linux/errno.h. They never reach a program.
const (
	firstRestart = 512
	lastRestart  = 516
	maxErrno     = 4095
)

// answer takes up the kernel's answer, or the profile's.
func (t *Tracer) answer(k *task, p *pending, result int64) {
	e := &p.event
	if result < 0 && result >= -maxErrno {
		if -result >= firstRestart && -result <= lastRestart {
			return
		}
		e.Errno = trace.Errno(unix.ErrnoName(unix.Errno(-result)))
	} else {
		t.succeeded(k, p)
	}
	if k.proc.silent {
		if e.Kind != trace.Exec {
			return
		}
	}
	keep := t.kept.wanted(e)
	if keep {
		t.tell(e)
	}
	if p.call.fast && learnable(e, keep) {
		t.known.learn(e.Path, k.question(p), e.Errno == "ENOENT")
	}
}

// learnable tells the answers that will be of no interest the next time: of an open for reading, that
// it succeeded or that nothing is there; of a look whatever is no denial.
func learnable(e *trace.Event, kept bool) bool {
	switch {
	case e.Path == "":
		return false
	case e.Kind == trace.Open:
		return !writes(e.Want) && (e.Errno == "" || e.Errno == "ENOENT")
	}
	return !kept
}

// presumed takes up a call whose answer is known: an open for reading that succeeds may still be worth
// an event, so that what a program read last is right.
func (t *Tracer) presumed(p *pending) {
	e := &p.event
	if e.Kind == trace.Open && e.Path != "" && !p.missing && !writes(e.Want) && t.kept.wanted(e) {
		t.tell(e)
	}
}

func (k *task) question(p *pending) question { return question{k.who, k.proc.exe, p.call, p.flags} }

// needsAnswer decides whether a call stops again for its answer. For a question that the same program
// with the same credentials has asked before, with an answer of no interest, the answer is taken to be
// the same: the run itself has done nothing since that would change it.
func (t *Tracer) needsAnswer(k *task, p *pending) bool {
	e := &p.event
	if e.Kind == trace.Socket && !rawSocket(e.Addr) {
		return false
	}
	if !p.call.fast || e.Path == "" {
		return true
	}
	var known bool
	known, p.missing = t.known.has(e.Path, k.question(p))
	return !known
}

// succeeded takes up what a success changes.
func (t *Tracer) succeeded(k *task, p *pending) {
	e := &p.event
	switch {
	case changesRights(e.Kind):
		k.who = t.readIdentity(k)
	case e.Kind == trace.Bind && p.inode != "":
		if len(t.bound) >= maxRemember {
			clear(t.bound)
		}
		t.bound[p.inode] = e.Addr
	case e.Kind == trace.Chroot:
		t.chroots = true
	}
	t.known.changed(e)
}

// tell completes an event and gives it to the log.
func (t *Tracer) tell(e *trace.Event) {
	e.At = t.o.Clock().Microseconds()
	t.kept.add(*e)
}
