//go:build linux

package process_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"unroot/internal/oracle"
)

// built is the program as images have it, made once for all tests.
var built struct {
	once sync.Once
	dir  string
	err  error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if built.dir != "" {
		os.RemoveAll(built.dir)
	}
	os.Exit(code)
}

// unrootInit gives the path of the program, which everybody may execute.
func unrootInit(t *testing.T) string {
	t.Helper()
	built.once.Do(func() {
		if built.dir, built.err = os.MkdirTemp("", "unroot-init-"); built.err != nil {
			return
		}
		cmd := exec.Command("go", "build", "-tags=unroot_release", "-ldflags=-checklinkname=0 -X=runtime.godebugDefault=asyncpreemptoff=1", "-o", filepath.Join(built.dir, "unroot-init"), "unroot/cmd/unroot-init")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			built.err = fmt.Errorf("%w\n%s", err, out)
			return
		}
		built.err = os.Chmod(built.dir, 0o755)
	})
	if built.err != nil {
		t.Fatalf("building unroot-init: %v", built.err)
	}
	return filepath.Join(built.dir, "unroot-init")
}

// first is a first process under test, with the words that come before its program.
type first struct {
	name string
	argv []string
}

// firsts are ours and the judge. -s makes tini a subreaper where it is not process 1, which ours is by itself.
func firsts(t *testing.T) []first {
	t.Helper()
	return []first{
		{"tini", []string{oracle.Program(t, "tini"), "-s", "--"}},
		{"unroot-init", []string{unrootInit(t), "--stay", "--"}},
	}
}

// ended is how a process ended.
type ended struct {
	code   int
	stdout string
	stderr string
}

// run starts a command line, waits for its end, and gives how it ended.
func run(t *testing.T, argv ...string) ended {
	t.Helper()
	return runCmd(t, exec.Command(argv[0], argv[1:]...))
}

const patience = 60 * time.Second

func runCmd(t *testing.T, cmd *exec.Cmd) ended {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(patience, func() { cmd.Process.Kill() })
	defer timer.Stop()
	err := cmd.Wait()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return ended{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}
