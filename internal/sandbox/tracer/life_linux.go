//go:build amd64 || arm64

package tracer

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"

	"golang.org/x/sys/unix"

	"unroot/internal/trace"
)

// forked takes up what a parent tells of its new child: before the child's first stop, or after it.
func (t *Tracer) forked(k *task, child int) {
	if child == 0 || t.early[child] {
		delete(t.early, child)
		return
	}
	if t.tasks[child] != nil || t.births[child] != nil {
		return
	}
	n := &task{tid: child, proc: k.proc, who: k.who}
	if leads(child) {
		n.proc = t.newProcess(child, k.proc)
	}
	t.births[child] = n
	t.count()
}

// leads reports whether a task leads a thread group, so that it is a process: the events do not tell
// (clone(2) lets a thread have any exit signal). It may be a zombie by now, but nobody else.
func leads(tid int) bool { return !errors.Is(unix.Tgkill(tid, tid, 0), unix.ESRCH) }

// newProcess makes a child known that is what its parent was, and tells of it.
func (t *Tracer) newProcess(pid int, parent *process) *process {
	p := &process{pid: pid, exe: parent.exe, silent: parent.silent, told: parent.told}
	t.processes[pid] = p
	t.mu.Lock()
	t.live[pid] = true
	t.mu.Unlock()
	if t.closing {
		_ = unix.Kill(pid, unix.SIGKILL) // it was not there yet when all others were killed
	}
	if !p.silent {
		t.kept.add(trace.Event{At: t.o.Clock().Microseconds(), PID: parent.pid, Exe: parent.exe, Kind: trace.Fork, Child: pid})
	}
	return p
}

// count holds the number of threads against the limit.
func (t *Tracer) count() {
	if t.o.Processes > 0 && !t.crowded && len(t.tasks)+len(t.births) > t.o.Processes {
		t.crowded = true
		if t.o.OnLimit != nil {
			t.o.OnLimit("processes")
		}
	}
}

// born is the first stop of a thread.
func (t *Tracer) born(tid int) *task {
	k := t.births[tid]
	if k != nil {
		delete(t.births, tid)
	} else {
		// It was faster than its parent, which may be dead, so that nobody will tell of it: proc does.
		k = t.adopt(tid)
	}
	t.tasks[tid] = k
	t.count()
	return k
}

// maxEarly bounds what is remembered of children whose parents died before they could tell of them.
const maxEarly = 4096

func (t *Tracer) adopt(tid int) *task {
	if len(t.early) >= maxEarly {
		clear(t.early)
	}
	t.early[tid] = true
	status, _ := t.readFile(t.proc + "/" + strconv.Itoa(tid) + "/status")
	group, parent := number(status, "Tgid:"), number(status, "PPid:")
	k := &task{tid: tid}
	if p := t.processes[group]; p != nil && group != tid {
		k.proc = p
	} else if p := t.processes[parent]; p != nil {
		k.proc = t.newProcess(tid, p)
	} else {
		// the parent is dead and its other child was given to somebody else
		k.proc = t.newProcess(tid, &process{pid: parent})
		k.proc.exe, _ = t.readlink(t.ofThread(k) + "/exe")
		k.proc.exe = t.belowRoot(k.proc.exe)
	}
	k.who = t.readIdentity(k)
	return k
}

// executed takes up a successful execve, and lets the program begin. The thread that made it has the
// number of its group's leader by now, and all other threads are gone: ptrace(2), "execve(2) under ptrace".
func (t *Tracer) executed(k *task) {
	if former, ok := message(k.tid); ok && former != k.tid {
		if f := t.tasks[former]; f != nil {
			delete(t.tasks, former)
			f.tid = k.tid
			t.tasks[k.tid] = f
			k = f
		}
	}
	p := k.proc
	e := trace.Event{Kind: trace.Exec, Call: "execve", PID: p.pid, Exe: p.exe}
	if k.waits && k.asked.event.Kind == trace.Exec {
		e = k.asked.event
	} else {
		e.Path, _ = t.readlink(t.ofThread(k) + "/exe")
		e.Path = t.belowRoot(e.Path)
		e.Args = t.commandLine(k)
	}
	k.waits, k.asked = false, pending{}
	t.resume(k, 0)
	if k.who == nil || !k.who.settled() {
		k.who = t.readIdentity(k)
	}
	p.silent = false
	if k.who != nil {
		c := k.who.creds
		e.Creds = &c
	}
	p.told = k.who
	t.tell(&e)
	p.exe = e.Path
}

// commandLine is the arguments where no filter showed them.
func (t *Tracer) commandLine(k *task) (args []string) {
	text, _ := t.readFile(t.ofThread(k) + "/cmdline")
	for word := range bytes.SplitSeq(bytes.TrimSuffix(text, []byte{0}), []byte{0}) {
		if len(args) == maxArgs {
			break
		}
		args = append(args, string(word[:min(len(word), maxArg)]))
	}
	return args
}

// gone is the end of a thread, or of a child that is not traced. A leader's end comes after that of
// all other threads of its group: kernel/exit.c, delay_group_leader.
func (t *Tracer) gone(tid int, status uint32) {
	k := t.tasks[tid]
	if k == nil {
		k = t.births[tid]
	}
	delete(t.tasks, tid)
	delete(t.births, tid)
	p := t.processes[tid]
	if p == nil {
		return
	}
	delete(t.processes, tid)
	t.mu.Lock()
	delete(t.live, tid)
	t.mu.Unlock()
	code, sig := ending(status)
	name := ""
	if sig != 0 {
		name = signalName(sig)
	}
	if k != nil && !p.silent {
		e := trace.Event{At: t.o.Clock().Microseconds(), PID: p.pid, Exe: p.exe, Kind: trace.Exit, Status: code, Signal: name}
		if k.who != nil && k.who != p.told {
			c := k.who.creds
			e.Creds = &c
		}
		t.kept.add(e)
	}
	if p.start != nil {
		p.start.status, p.start.signal = code, name
		close(p.start.done)
	}
}

// signalName is "SIGTERM"; real-time signals have numbers only.
func signalName(sig unix.Signal) string {
	if name := unix.SignalName(sig); name != "" {
		return name
	}
	return fmt.Sprintf("SIG%d", int(sig))
}

// readIdentity asks who a thread is. What is known of it stays where proc does not tell any more.
func (t *Tracer) readIdentity(k *task) *identity {
	status, err := t.readFile(t.ofThread(k) + "/status")
	if err != nil {
		return k.who
	}
	c, err := readCreds(status)
	if err != nil {
		return k.who
	}
	name := fmt.Sprint(c)
	if i := t.who[name]; i != nil {
		return i
	}
	if len(t.who) >= maxRemember {
		clear(t.who)
	}
	i := &identity{c}
	t.who[name] = i
	return i
}

// maxStatus bounds what is read of a file of proc: 65536 groups take 700 KB at most.
const maxStatus = 1 << 20

func (t *Tracer) readFile(name string) ([]byte, error) {
	fd, err := unix.Open(name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	b := make([]byte, 0, 4096)
	for len(b) < maxStatus {
		if len(b) == cap(b) {
			b = append(b, make([]byte, len(b))...)[:len(b)]
		}
		n, err := unix.Read(fd, b[len(b):cap(b)])
		if err != nil {
			return nil, err
		}
		if n == 0 {
			break
		}
		b = b[:len(b)+n]
	}
	return b, nil
}
