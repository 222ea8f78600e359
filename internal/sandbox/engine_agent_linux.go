package sandbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"unroot/internal/sandbox/agent"
	"unroot/internal/sandbox/launch"
	"unroot/internal/sandbox/tracer"
	"unroot/internal/sandbox/wire"
	"unroot/internal/verify"
)

func init() { launch.Register(agentStage, engineAgent) }

// engineAgent is the first process of an engine's container. It conducts the one run that it is
// asked for, and ends with its standard input at the latest; the kernel ends all others with it.
func engineAgent() {
	if len(os.Args) == 3 && os.Args[1] == seedWord {
		exitWith(seedVolume(os.Args[2]))
	}
	if len(os.Args) == 4 && os.Args[1] == groupWord {
		gid, err := strconv.ParseUint(os.Args[3], 10, 32)
		exitWith(errors.Join(err, giveToGroup(os.Args[2], uint32(gid))))
	}
	// Its children have its uid: they must not reach into it.
	if err := tracer.Harden(); err != nil {
		exitWith(err)
	}
	server := agent.NewServer(wire.Join(os.Stdin, os.Stdout))
	kind, order, err := server.Next()
	if err == nil && kind != wire.Run {
		err = fmt.Errorf("%w: kind %d before a run", wire.ErrFrame, kind)
	}
	if err != nil {
		exitWith(err)
	}
	go func() { // a front that is gone does not wait for an outcome
		<-server.Ended()
		time.Sleep(2 * time.Second)
		os.Exit(1)
	}()
	var space *containerSpace
	exitWith(server.Run(context.Background(), order, func(r verify.Run) (agent.Space, error) {
		space = newContainerSpace(r)
		return space, space.check()
	}, func(out *verify.Outcome) { space.conclude(out) }))
}

func exitWith(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// seedVolume makes an empty volume root's.
func seedVolume(path string) error {
	return errors.Join(os.Chown(path, 0, 0), os.Chmod(path, 0o755))
}

// containerSpace is the container that the agent is in, as a place for one run.
type containerSpace struct {
	run    verify.Run
	limits chan string
	over   chan struct{}
}

func newContainerSpace(r verify.Run) *containerSpace {
	return &containerSpace{run: r, limits: make(chan string, 1), over: make(chan struct{})}
}

// check compares who the engine made us with who the run is.
func (s *containerSpace) check() error {
	uid, gid := os.Getuid(), os.Getgid()
	if uint32(uid) != s.run.Identity.UID || uint32(gid) != s.run.Identity.GID {
		return fmt.Errorf("the engine started the container as %d:%d instead of %s", uid, gid, s.run.Identity.User())
	}
	if os.Getpid() != 1 {
		return errors.New("the engine did not make the agent the first process of its container")
	}
	return nil
}

// First leaves a process who it is, but for what a run as root has less than the agent.
func (s *containerSpace) First(spec *launch.Spec) (*os.ProcAttr, error) {
	spec.SetIdentity = separates(s.run)
	// A filter without no_new_privs needs CAP_SYS_ADMIN (seccomp(2)), which engines do not give.
	spec.NoNewPrivs = spec.NoNewPrivs || len(spec.Filter) > 0
	return &os.ProcAttr{}, nil
}

// Further is First: all processes of the container are alike.
func (s *containerSpace) Further(spec *launch.Spec) (*os.ProcAttr, error) { return s.First(spec) }

// Entered makes the run the first that the kernel ends where memory is short: its children inherit
// that, and the agent lives to tell. It may fail, and then the end of the agent tells.
func (s *containerSpace) Entered(pid int) {
	_ = os.WriteFile("/proc/"+strconv.Itoa(pid)+"/oom_score_adj", []byte("1000"), 0)
	go s.watchMemory()
}

// watchMemory tells when the kernel has ended a process because the container's memory was used up.
func (s *containerSpace) watchMemory() {
	for {
		select {
		case <-s.over:
			return
		case <-time.After(100 * time.Millisecond):
		}
		if outOfMemory() {
			s.limits <- "memory"
			return
		}
	}
}

// outOfMemory reads how often the kernel has ended a process of the container for want of memory:
// memory.events of cgroup v2, memory.oom_control of v1.
func outOfMemory() bool {
	for _, name := range []string{"/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control"} {
		text, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(text)) {
			if count, ok := strings.CutPrefix(strings.TrimSpace(line), "oom_kill "); ok && count != "0" {
				return true
			}
		}
	}
	return false
}

// Limit tells which limit of the container was hit.
func (s *containerSpace) Limit() <-chan string { return s.limits }

// Profiled is true: the engine's seccomp profile is on the agent and on all that it starts.
func (s *containerSpace) Profiled() bool { return true }

// Proc, Root and Net are the container's own.
func (s *containerSpace) Proc() string             { return "/proc" }
func (s *containerSpace) Root() string             { return "/" }
func (s *containerSpace) Net(f func() error) error { return f() }

// Kill ends all processes but the caller, kill(2). Those of other users that it may not signal end
// with the agent.
func (s *containerSpace) Kill() {
	close(s.over)
	if os.Getpid() != 1 {
		return // outside of a container that would be everybody
	}
	_ = unix.Kill(-1, unix.SIGKILL) // fails where none is left
}

// conclude says what is different inside an engine's container.
func (s *containerSpace) conclude(out *verify.Outcome) {
	if outOfMemory() && out.End != verify.EndFailed {
		out.End, out.Limit = verify.EndLimit, "memory"
	}
	if !s.run.Trace {
		return
	}
	blind := []string{"calls that the engine's seccomp profile answers"}
	if !s.run.NoNewPrivs {
		blind = append(blind, "what set-user-ID programs would gain: a trace needs no_new_privs here")
	}
	if out.Trace.Blind != "" {
		blind = slices.Insert(blind, 0, out.Trace.Blind)
	}
	out.Trace.Blind = strings.Join(blind, "; ")
}
