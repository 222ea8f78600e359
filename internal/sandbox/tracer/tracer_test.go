//go:build linux && (amd64 || arm64)

package tracer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"unroot/internal/oracle"
	"unroot/internal/sandbox/launch"
	"unroot/internal/trace"
)

// A tracer reaps all children of its process: what is traced in tests is started by the stage of this
// package, which the test binary is as well. Programs to be traced are parts of it, too.
func TestMain(m *testing.M) {
	launch.Stage()
	if os.Getpid() == 1 && os.Args[0] == "/init" {
		beInit()
	}
	if play, ok := tracees[os.Getenv(playVariable)]; ok {
		play(os.Args[1:])
		os.Exit(0)
	}
	// A tracee that lost its variable would run the tests, which start tracees. Fuzzing starts this
	// binary again, too.
	if os.Getenv(insideVariable) != "" && !slices.Contains(os.Args, "-test.fuzzworker") {
		os.Exit(99)
	}
	os.Setenv(insideVariable, "1")
	os.Exit(m.Run())
}

const insideVariable = "UNROOT_TEST_INSIDE"

// emulated is true on a machine that test/arm64 has made: it is slow.
var emulated = os.Getenv("UNROOT_TEST_NARROW") != ""

const playVariable = "UNROOT_TEST_TRACEE"

// The stages of tests: the tracer as it is on older kernels and in older engines.
const (
	oldKernelStage = "unroot-test-registers"
	procMemStage   = "unroot-test-procmem"
	peekStage      = "unroot-test-peek"
)

func init() {
	for name, f := range map[string]func(*Tracer){
		oldKernelStage: func(t *Tracer) { t.old = true },
		procMemStage:   func(t *Tracer) { t.mem.how = 1 },
		peekStage:      func(t *Tracer) { t.mem.how = 2 },
	} {
		launch.Register(name, func() {
			adjust = f
			status, err := stage(os.Args[1:])
			if err != nil {
				os.Stderr.WriteString(err.Error() + "\n")
			}
			os.Exit(status)
		})
	}
}

// traced is one command and what the tracer made of it.
type traced struct {
	stage string   // StageName where it is empty
	flags []string // of the stage
	args  []string
	play  string // a part of this test binary, instead of a program
	env   []string
	dir   string
	limit time.Duration // 30 s where it is 0
}

type result struct {
	status         int
	stdout, stderr string
	log            trace.Log
}

// run runs a command under the tracer, in processes that are all gone afterwards.
func (c traced) run(t *testing.T) result {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if c.stage == "" {
		c.stage = StageName
	}
	if c.limit == 0 {
		c.limit = 30 * time.Second
	}
	if emulated {
		c.limit *= 10
	}
	if c.play != "" {
		c.args = append([]string{self}, c.args...)
		c.env = append(c.env, playVariable+"="+c.play)
	}
	file := filepath.Join(t.TempDir(), "log")
	ctx, cancel := context.WithTimeout(t.Context(), c.limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, self)
	cmd.Args = append(append([]string{c.stage, "-log", file}, c.flags...), c.args...)
	cmd.Env = append(os.Environ(), c.env...)
	cmd.Dir = c.dir
	cmd.WaitDelay = time.Second
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	var exit *exec.ExitError
	if err := cmd.Run(); ctx.Err() != nil {
		t.Fatalf("%q: not at its end after %v\n%s%s", c.args, c.limit, &stdout, &stderr)
	} else if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	r := result{status: cmd.ProcessState.ExitCode(), stdout: stdout.String(), stderr: stderr.String()}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v\n%s", err, &stderr)
	}
	if err := json.Unmarshal(text, &r.log); err != nil {
		t.Fatal(err)
	}
	r.check(t)
	return r
}

// check holds what is true of every log.
func (r result) check(t *testing.T) {
	t.Helper()
	at := int64(0)
	for i, e := range r.log.Events {
		if e.Seq != uint64(i+1) {
			t.Fatalf("event %d has the number %d", i+1, e.Seq)
		}
		if e.At < at {
			t.Fatalf("event %d is before the one before it", i+1)
		}
		at = e.At
	}
	if r.log.Lost == "" && r.log.Total != uint64(len(r.log.Events)) {
		t.Fatalf("%d events of %d", len(r.log.Events), r.log.Total)
	}
}

// find gives the events for which the function is true.
func (r result) find(wanted func(trace.Event) bool) (all []trace.Event) {
	for _, e := range r.log.Events {
		if wanted(e) {
			all = append(all, e)
		}
	}
	return all
}

// one gives the only event of a kind and path.
func (r result) one(t *testing.T, kind trace.Kind, path string) trace.Event {
	t.Helper()
	all := r.find(func(e trace.Event) bool { return e.Kind == kind && e.Path == path })
	if len(all) != 1 {
		t.Fatalf("%d events %s %s\n%s", len(all), kind, path, r.text())
	}
	return all[0]
}

func (r result) text() string {
	var b strings.Builder
	for _, e := range r.log.Events {
		text, _ := json.Marshal(e)
		b.Write(append(text, '\n'))
	}
	return b.String()
}

// openFolder is a folder that everybody may enter: the tests' own ones are private to root.
func openFolder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "unroot-tracer-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// compile makes a program from C, or ends the test where there is no compiler.
func compile(t *testing.T, source string, flags ...string) string {
	t.Helper()
	gcc := oracle.Program(t, "gcc")
	dir := openFolder(t)
	c, program := filepath.Join(dir, "p.c"), filepath.Join(dir, "p")
	if err := os.WriteFile(c, []byte(source), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(gcc, append([]string{"-o", program, c}, flags...)...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return program
}
