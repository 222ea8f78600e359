//go:build linux

package agent

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"unroot/internal/verify"
)

// Bounds on what is read of the run's processes, which may make as many and as large ones as they can.
const (
	maxProcesses = 4096
	maxThreads   = 256   // of one process
	maxFiles     = 50000 // descriptors of all processes in one look
	maxStatus    = 64 << 10
	maxCmdline   = 16 << 10
)

// task is a process of the run at one time.
type task struct {
	verify.Process
	status
}

// observer looks at a run from the agent's side.
type observer struct {
	proc   string // a mounted proc with the agent's pids
	self   int    // the agent, as proc numbers it
	stage  os.FileInfo
	first  int
	seen   *seen
	shared bool // others have sockets in the run's network

	same string // the sockets and processes of the last look
	last []verify.Socket

	starting atomic.Int32 // stages under way that will become programs
}

// newObserver makes an observer of the run whose first process is first.
func newObserver(s Space, first int, seen *seen) *observer {
	o := &observer{proc: s.Proc(), first: first, seen: seen}
	// /proc/self of another proc mount is the agent's number there
	if link, err := os.Readlink(filepath.Join(o.proc, "self")); err == nil {
		o.self, _ = strconv.Atoi(link)
	}
	o.stage, _ = os.Stat("/proc/self/exe")
	if sp, ok := s.(interface{ Shared() bool }); ok {
		o.shared = sp.Shared()
	}
	return o
}

// tasks gives the processes of the run, by pid: what descends from the agent, but not the agent.
// Who has lost its parent became a child of the agent or of the run's own first process.
func (o *observer) tasks() []task {
	all := map[int]task{}
	for _, pid := range o.pids() {
		if st, err := o.status(pid); err == nil {
			all[pid] = task{status: st}
		}
	}
	var own []task
	for pid, t := range all {
		if t.ended() || !o.descends(pid, all) || len(own) == maxProcesses {
			continue
		}
		if o.complete(pid, &t) {
			own = append(own, t)
		}
	}
	slices.SortFunc(own, func(a, b task) int { return a.PID - b.PID })
	return own
}

func (o *observer) pids() []int {
	dir, err := os.Open(o.proc)
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1) // what was read before an error counts
	var pids []int
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil && pid != o.self {
			pids = append(pids, pid)
		}
	}
	return pids
}

// descends follows parents up to the agent or the first process. Pid 0 is the parent of whatever came
// from outside of the pid namespace, and nobody's.
func (o *observer) descends(pid int, all map[int]task) bool {
	for range maxProcesses { // a parent can change between two reads: no loop for ever
		if pid <= 0 {
			return false
		}
		if pid == o.first {
			return true
		}
		t, ok := all[pid]
		if !ok {
			return false
		}
		if o.self > 0 && t.parent == o.self {
			return true
		}
		pid = t.parent
	}
	return false
}

// complete fills in the process; false for one that has gone, or has not become its program yet.
func (o *observer) complete(pid int, t *task) bool {
	dir := filepath.Join(o.proc, strconv.Itoa(pid))
	t.Process = verify.Process{PID: pid, Parent: t.parent, Creds: t.creds}
	exe, err := o.executable(dir)
	switch {
	case err == nil && exe == "":
		return false
	case err == nil:
		t.Program = exe
	case os.IsNotExist(err):
		return false // gone
	default:
		// Who made itself undumpable cannot be looked at without CAP_SYS_PTRACE (ptrace(2), "access
		// mode checking"); the tracer knows what it executed.
		t.Program = o.seen.program(pid)
		if t.Program == "" && o.starting.Load() > 0 {
			return false // our own stage, which is not the run's
		}
	}
	cmdline, _ := readSome(filepath.Join(dir, "cmdline"), maxCmdline)
	t.Args = parseArgs(cmdline)
	return true
}

// executableIn gives a reader of what a process executes.
func executableIn(proc string) func(pid int) string {
	return func(pid int) string {
		link, err := os.Readlink(filepath.Join(proc, strconv.Itoa(pid), "exe"))
		if err != nil {
			return ""
		}
		return program(link)
	}
}

// executable reads what a process executes; "" is our own stage. The first thread may have ended
// before the others, and then only they have a program.
func (o *observer) executable(dir string) (string, error) {
	link, err := os.Readlink(filepath.Join(dir, "exe"))
	if os.IsNotExist(err) {
		threads, _ := filepath.Glob(filepath.Join(dir, "task", "*"))
		for _, thread := range threads[:min(len(threads), maxThreads)] {
			if link, err = os.Readlink(filepath.Join(thread, "exe")); err == nil {
				dir = thread
				break
			}
		}
	}
	if err != nil {
		return "", err
	}
	if exe, err := os.Stat(filepath.Join(dir, "exe")); err == nil && o.stage != nil && os.SameFile(exe, o.stage) {
		return "", nil
	}
	return program(link), nil
}

func (o *observer) status(pid int) (status, error) {
	text, err := readSome(filepath.Join(o.proc, strconv.Itoa(pid), "status"), maxStatus)
	if err != nil {
		return status{}, err
	}
	return parseStatus(text)
}

// threads gives a process once more for every thread of it that has other credentials: the kernel
// keeps them by thread, credentials(7).
func (o *observer) threads(t task) []verify.Process {
	if t.threads < 2 {
		return nil
	}
	dir := filepath.Join(o.proc, strconv.Itoa(t.PID), "task")
	f, err := os.Open(dir)
	if err != nil {
		return nil
	}
	defer f.Close()
	names, _ := f.Readdirnames(maxThreads)
	var other []verify.Process
	for _, name := range names {
		text, err := readSome(filepath.Join(dir, name, "status"), maxStatus)
		if err != nil {
			continue
		}
		st, err := parseStatus(text)
		if err == nil && key(t.Program, st.creds) != key(t.Program, t.creds) {
			p := t.Process
			p.Creds = st.creds
			other = append(other, p)
		}
	}
	return other
}

// busy is the processor time that the processes have taken so far.
func (o *observer) busy(tasks []task) time.Duration {
	var sum time.Duration
	for _, t := range tasks {
		stat, _ := readSome(filepath.Join(o.proc, strconv.Itoa(t.PID), "stat"), maxStatus)
		sum += parseTime(stat)
	}
	return sum
}

// signature is which processes there are, as something to compare.
func signature(tasks []task) string {
	var b strings.Builder
	for _, t := range tasks {
		fmt.Fprintf(&b, "%d %s\n", t.PID, key(t.Program, t.creds))
	}
	return b.String()
}

// processes is the part of tasks that an outcome shows.
func processes(tasks []task) []verify.Process {
	list := make([]verify.Process, len(tasks))
	for i, t := range tasks {
		list[i] = t.Process
	}
	return list
}

// readSome reads a file of proc up to a limit: what is beyond is left.
func readSome(name string, limit int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, limit))
}
