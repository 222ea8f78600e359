// Package names asks programs that look their user up, in images that unroot has converted, who they are under a uid that no image knows.
package names

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"unroot/internal/oracle"
	"unroot/test/command"
	"unroot/test/engine"
	"unroot/test/sample"
)

// arbitrary is a uid with group 0, as OpenShift assigns them.
const arbitrary = "1000700000:0"

// strict are the options of a platform that gives nothing. Where the name of a machine has no domain git
// takes no address from it, whoever runs it.
var strict = []string{"--user", arbitrary, "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--network", "none",
	"--hostname", "machine.example.org"}

// lab is what all tests share; each part is made by the first test that needs it.
var lab struct {
	engine  func() (*engine.Engine, error)
	samples func() (*sample.Builder, error)
	unroot  func() (string, error)
	probes  func() (string, error)
	dir     func() (string, error)

	mu        sync.Mutex
	closers   []func() error // last first
	converted map[string]func() (string, error)
}

func atEnd(f func() error) {
	lab.mu.Lock()
	defer lab.mu.Unlock()
	lab.closers = append(lab.closers, f)
}

func TestMain(m *testing.M) {
	lab.converted = map[string]func() (string, error){}
	lab.engine = sync.OnceValues(func() (*engine.Engine, error) {
		e, err := engine.Start(context.Background())
		if err == nil {
			atEnd(e.Close)
		}
		return e, err
	})
	lab.samples = sync.OnceValues(func() (*sample.Builder, error) {
		e, err := lab.engine()
		if err != nil {
			return nil, err
		}
		return sample.NewBuilder(e, filepath.Join("..", "images")), nil
	})
	lab.unroot = sync.OnceValues(func() (string, error) {
		path, remove, err := command.Build()
		if err == nil {
			atEnd(remove)
		}
		return path, err
	})
	lab.dir = sync.OnceValues(func() (string, error) {
		dir, err := os.MkdirTemp("", "unroot-names-")
		if err == nil {
			atEnd(func() error { return os.RemoveAll(dir) })
			err = os.Chmod(dir, 0o755)
		}
		return dir, err
	})
	lab.probes = sync.OnceValues(buildProbes)
	os.Exit(run(m))
}

// run runs the tests; what a server leaves behind is a failure of its own.
func run(m *testing.M) int {
	code := m.Run()
	var err error
	for _, f := range slices.Backward(lab.closers) {
		err = errors.Join(err, f())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return max(code, 1)
	}
	return code
}

// buildProbes builds one program against two C libraries, statically, into a folder for containers.
func buildProbes() (string, error) {
	dir, err := lab.dir()
	if err != nil {
		return "", err
	}
	probes := filepath.Join(dir, "probes")
	if err := os.Mkdir(probes, 0o755); err != nil {
		return "", err
	}
	for name, compiler := range map[string]string{"musl": "musl-gcc", "glibc": "gcc"} {
		// glibc warns of getpwuid in static programs: it may load modules at run time, and asks nscd before
		out, err := exec.Command(compiler, "-static", "-w", "-O1", "-o", filepath.Join(probes, name), "probe/probe.c").CombinedOutput()
		if err != nil {
			return "", fmt.Errorf("%s: %w\n%s", compiler, err, out)
		}
	}
	return probes, nil
}

// theEngine gives the engine of this run.
func theEngine(t *testing.T) *engine.Engine {
	t.Helper()
	oracle.Root(t)
	for _, name := range append(slices.Clone(engine.Programs), sample.BaseProgram) {
		oracle.Program(t, name)
	}
	e, err := lab.engine()
	if err != nil {
		oracle.Missing(t, "Docker Engine: %v", err)
	}
	return e
}

// theProbes gives the folder with the static programs.
func theProbes(t *testing.T) string {
	t.Helper()
	oracle.Program(t, "musl-gcc")
	oracle.Program(t, "gcc")
	dir, err := lab.probes()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// image is what unroot made of a sample.
type image struct {
	ref     string // "docker-archive:PATH:NAME"
	archive string
	name    string
}

// converted converts a sample, once for each way, and loads what comes out into the engine.
func converted(t *testing.T, from, way string) image {
	t.Helper()
	theEngine(t)
	name := "unroot.test/" + from + ":" + way
	lab.mu.Lock()
	once, ok := lab.converted[name]
	if !ok {
		once = sync.OnceValues(func() (string, error) { return convert(from, way, name) })
		lab.converted[name] = once
	}
	lab.mu.Unlock()
	archive, err := once()
	if err != nil {
		t.Fatal(err)
	}
	return image{ref: "docker-archive:" + archive + ":" + name, archive: archive, name: name}
}

func convert(from, way, name string) (string, error) {
	dir, err := lab.dir()
	if err != nil {
		return "", err
	}
	unroot, err := lab.unroot()
	if err != nil {
		return "", err
	}
	samples, err := lab.samples()
	if err != nil {
		return "", err
	}
	source, err := samples.Archive(context.Background(), from)
	if err != nil {
		return "", err
	}
	archive := filepath.Join(dir, from+"-"+way+".tar")
	cmd := exec.Command(unroot, "convert", "--cache", filepath.Join(dir, "cache"), "--init", way, "docker-archive:"+source, "docker-archive:"+archive+":"+name)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, out)
	}
	e, err := lab.engine()
	if err == nil {
		_, err = e.Docker(context.Background(), "load", "--input", archive)
	}
	return archive, err
}

// said is what a command that ended wrote to both of its outputs, and its exit code.
func said(ctx context.Context, env []string, argv ...string) (code int, out string) {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = env
	var b bytes.Buffer
	cmd.Stdout, cmd.Stderr = &b, &b
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		return -1, err.Error()
	}
	return cmd.ProcessState.ExitCode(), b.String()
}
