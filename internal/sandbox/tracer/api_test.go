//go:build linux && (amd64 || arm64)

package tracer

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"unroot/internal/sandbox/launch"
	"unroot/internal/sandbox/seccomp"
	"unroot/internal/trace"
)

// apiStage uses the package as an agent does, in a process that has no other waiter.
const apiStage = "unroot-test-api"

func init() { launch.Register(apiStage, func() { must(useAPI()); fmt.Println("good") }) }

func TestCoreAPI(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Args = []string{apiStage}
	if out, err := cmd.CombinedOutput(); err != nil || string(out) != "good\n" {
		t.Errorf("%v\n%s", err, out)
	}
}

func useAPI() error {
	for _, tracing := range []bool{true, false} {
		for _, f := range []func(bool) error{manyStarts, signals, closes, rootBelow, hardened} {
			if err := f(tracing); err != nil {
				return fmt.Errorf("trace %v: %w", tracing, err)
			}
		}
	}
	return nil
}

func start(t *Tracer, play string, args ...string) (*Process, error) {
	filter, err := seccomp.Program(seccomp.Options{Trace: t.o.Trace})
	if err != nil {
		return nil, err
	}
	null, err := os.OpenFile("/dev/null", os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	spec := launch.Spec{NoNewPrivs: true, Filter: filter, Args: append([]string{self}, args...), Env: []string{playVariable + "=" + play}, Dir: "/"}
	return t.Start(spec, &os.ProcAttr{Files: []*os.File{null, null, os.Stderr}})
}

func ended(p *Process) error {
	select {
	case <-p.Done():
		return nil
	case <-time.After(10 * time.Second):
		return fmt.Errorf("process %d has not ended", p.PID())
	}
}

// manyStarts starts processes while others run, from several goroutines, and reads the log meanwhile.
func manyStarts(tracing bool) error {
	var events atomic.Int64
	t := New(Options{Trace: tracing, OnEvent: func(trace.Event) { events.Add(1) }})
	defer t.Close()
	long, err := start(t, "waits")
	if err != nil {
		return err
	}
	var all sync.WaitGroup
	failures := make(chan error, 100)
	for range 4 {
		all.Go(func() {
			for range 5 {
				p, err := start(t, "exit")
				if err == nil {
					err = ended(p)
				}
				if err != nil {
					failures <- err
					return
				}
				if status, sig := p.State(); status != 7 || sig != "" {
					failures <- fmt.Errorf("status %d %s", status, sig)
				}
				_ = t.Log()
			}
		})
	}
	all.Wait()
	close(failures)
	if err := <-failures; err != nil {
		return err
	}
	l := t.Log()
	if tracing && (l.Total < 42 || int64(l.Total) != events.Load()) {
		return fmt.Errorf("%d events, %d told", l.Total, events.Load())
	}
	select {
	case <-long.Done():
		return errors.New("the first process has ended")
	default:
	}
	if _, err := t.Start(launch.Spec{Args: []string{"/proc/no/such"}}, &os.ProcAttr{}); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("a program that is not there: %v", err)
	}
	return nil
}

func signals(tracing bool) error {
	t := New(Options{Trace: tracing})
	defer t.Close()
	p, err := start(t, "waits")
	if err != nil {
		return err
	}
	for _, sig := range []unix.Signal{unix.SIGSTOP, unix.SIGCONT, unix.SIGTERM} {
		if err := t.Signal(p.PID(), sig); err != nil {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
	if err := ended(p); err != nil {
		return err
	}
	if _, sig := p.State(); sig != "SIGTERM" {
		return fmt.Errorf("ended by %q", sig)
	}
	if err := t.Signal(p.PID(), unix.SIGKILL); !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("a signal to a process that is gone: %v", err)
	}
	return nil
}

// closes ends processes that do not want to, and nothing is left of them.
func closes(tracing bool) error {
	t := New(Options{Trace: tracing})
	p, err := start(t, "stubborn")
	if err != nil {
		return err
	}
	t.Close()
	if err := ended(p); err != nil {
		return err
	}
	if _, sig := p.State(); sig != "SIGKILL" {
		return fmt.Errorf("ended by %q", sig)
	}
	if err := unix.Kill(p.PID(), 0); err != unix.ESRCH {
		return fmt.Errorf("after Close: %v", err)
	}
	if _, err := start(t, "exit"); err == nil {
		return errors.New("a closed tracer starts processes")
	}
	t.Close()
	return nil
}

// rootBelow gives paths in the run's root where that is a folder.
func rootBelow(tracing bool) error {
	if !tracing {
		return nil
	}
	dir, err := os.MkdirTemp("/tmp", "unroot-tracer-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := errors.Join(os.Chmod(dir, 0o755), os.Mkdir(filepath.Join(dir, "locked"), 0)); err != nil {
		return err
	}
	t := New(Options{Trace: true, Root: func() string { return filepath.Dir(dir) }})
	defer t.Close()
	p, err := start(t, "files", dir)
	if err == nil {
		err = ended(p)
	}
	if err != nil {
		return err
	}
	if status, _ := p.State(); status != 0 {
		return fmt.Errorf("status %d", status)
	}
	for _, e := range t.Log().Events {
		// the program names the folder with its whole path, and the files in it from there on
		if e.Kind == trace.Owner && e.Path != "/"+filepath.Base(dir)+"/made" {
			return fmt.Errorf("path %q", e.Path)
		}
		if strings.HasSuffix(e.Path, "(deleted)") {
			return fmt.Errorf("path %q", e.Path)
		}
	}
	return nil
}

func hardened(bool) error {
	if err := Harden(); err != nil {
		return err
	}
	if dumpable, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0); err != nil || dumpable != 0 {
		return fmt.Errorf("dumpable: %d %v", dumpable, err)
	}
	return unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0)
}
