package agent

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"unroot/internal/account"
	"unroot/internal/oracle"
	"unroot/internal/sandbox/launch"
	"unroot/internal/sandbox/wire"
	"unroot/internal/verify"
)

// testStage is the agent of these tests: a process of its own, since nobody but the tracer may wait
// for children in an agent.
const testStage = "unroot-test-agent"

func init() { launch.Register(testStage, testAgent) }

func TestMain(m *testing.M) {
	launch.Stage()
	os.Exit(m.Run())
}

func testAgent() {
	// Orphans come to the agent, as they do to the first process of a container.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		panic(err)
	}
	server := NewServer(wire.Join(os.Stdin, os.Stdout))
	for {
		kind, order, err := server.Next()
		if err != nil {
			return
		}
		if kind != wire.Run {
			panic(fmt.Sprintf("kind %d", kind))
		}
		err = server.Run(context.Background(), order, func(r verify.Run) (Space, error) {
			return &hostSpace{r.Env[len(r.Env)-1]}, nil
		}, nil)
		if err != nil {
			panic(err)
		}
	}
}

// hostSpace is the machine itself, without any namespace.
type hostSpace struct{ mark string }

func (*hostSpace) First(spec *launch.Spec) (*os.ProcAttr, error) {
	spec.SetIdentity = false
	spec.NoNewPrivs = true // for the filter, as an ordinary user
	return &os.ProcAttr{}, nil
}
func (s *hostSpace) Further(spec *launch.Spec) (*os.ProcAttr, error) { return s.First(spec) }
func (*hostSpace) Entered(int)                                       {}
func (*hostSpace) Proc() string                                      { return "/proc" }
func (*hostSpace) Root() string                                      { return "/" }
func (*hostSpace) Net(f func() error) error                          { return f() }
func (*hostSpace) Profiled() bool                                    { return true }
func (*hostSpace) Shared() bool                                      { return true }

// Kill kills what is left of this run: descendants of the agent that also have the run's mark in
// their environment. On a machine without a namespace around it, one condition is not enough.
func (s *hostSpace) Kill() {
	self := os.Getpid()
	if self <= 1 || len(s.mark) < 20 {
		return
	}
	for range 100 {
		alive := 0
		for _, pid := range marked(s.mark) {
			if pid > 1 && pid != self && below(pid, self) {
				alive++
				unix.Kill(pid, unix.SIGKILL)
			}
		}
		if alive == 0 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// below reports whether a process descends from another, by the parents that the kernel tells.
func below(pid, ancestor int) bool {
	for range 64 {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			return false
		}
		st, err := parseStatus(text)
		if err != nil || st.parent <= 1 {
			return false
		}
		if st.parent == ancestor {
			return true
		}
		pid = st.parent
	}
	return false
}

// marked gives the processes that have a run's mark in their environment.
func marked(mark string) []int {
	if mark == "" {
		return nil
	}
	var pids []int
	all, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, name := range all {
		env, err := os.ReadFile(name)
		if err != nil || !strings.Contains(string(env), mark) {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(name))); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// mark is in the environment of every process of a run, and finds what is left of it.
const mark = "UNROOT_TEST_RUN="

// hostRun is a run on the host with what it needs at least.
func hostRun(args ...string) verify.Run {
	return verify.Run{
		Name:     "test",
		Identity: account.Identity{UID: uint32(os.Getuid()), GID: uint32(os.Getgid())},
		Args:     args,
		Env:      []string{"PATH=/usr/bin:/bin:/usr/sbin:/sbin"},
		Dir:      "/",
		Trace:    true,
		Settle:   200 * time.Millisecond,
		Timeout:  30 * time.Second,
	}
}

// conduct starts an agent, has it conduct the run, and looks for what is left.
func conduct(ctx context.Context, t *testing.T, r verify.Run) verify.Outcome {
	t.Helper()
	id := mark + strconv.FormatInt(time.Now().UnixNano(), 36) + t.Name()
	r.Env = append(r.Env, id)
	cmd := exec.Command("/proc/self/exe")
	cmd.Args = []string{testStage}
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	outcome, err := Request(ctx, wire.Join(out, in), r, func(p verify.Progress) { t.Logf("%s: %s", p.Run, p.What) })
	if err != nil {
		t.Error(err)
	}
	in.Close()
	io.Copy(io.Discard, out)
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	for _, left := range leftovers(id) {
		t.Errorf("process %s is left", left)
	}
	if outcome.Trace.Lost != "" {
		t.Errorf("events are lost: %s", outcome.Trace.Lost)
	}
	return outcome
}

func leftovers(id string) []string {
	var left []string
	for _, pid := range marked(id) {
		cmdline, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		left = append(left, fmt.Sprintf("%d %q", pid, cmdline))
	}
	return left
}

// python gives the path of Python's program, the one that a process of it executes.
func python(t *testing.T) string {
	t.Helper()
	const path = "/usr/bin/python3"
	if _, err := os.Stat(path); err != nil {
		oracle.Missing(t, "%s: services of these tests are written in Python", path)
	}
	return path
}
