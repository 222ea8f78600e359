// Package services converts images of well-known services with nothing but what a run of them shows, and asks what comes out with their own clients: the table in docs/services.md.
package services

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"unroot/internal/oracle"
	"unroot/test/command"
	"unroot/test/engine"
	"unroot/test/sample"
)

var update = flag.Bool("update", false, "write docs/services.md")

// lab is what all tests of a run share; each part is made by the first test that needs it.
var lab struct {
	engine  func() (*engine.Engine, error)
	samples func() (*sample.Builder, error)
	unroot  func() (string, error)

	mu      sync.Mutex
	closers []func() error // last first
}

func atEnd(f func() error) {
	lab.mu.Lock()
	defer lab.mu.Unlock()
	lab.closers = append(lab.closers, f)
}

// atATime is how many services are converted and judged at a time, whatever the number of processors:
// most of it is waiting for a steady state.
const atATime = "4"

func TestMain(m *testing.M) {
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
	lab.unroot = sync.OnceValues(buildCommand)
	flag.Parse()
	_ = flag.Set("test.parallel", atATime) // a flag of the testing package: it is there, and takes a number
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

// buildCommand builds the command as it is released, one static file, and gives its path.
func buildCommand() (string, error) {
	path, remove, err := command.Build()
	if err == nil {
		atEnd(remove)
	}
	return path, err
}

// theEngine gives the engine of this run.
func theEngine(t *testing.T) *engine.Engine {
	t.Helper()
	oracle.Root(t)
	for _, name := range engine.Programs {
		oracle.Program(t, name)
	}
	e, err := lab.engine()
	if err != nil {
		oracle.Missing(t, "Docker Engine: %v", err)
	}
	return e
}

// building bounds how many images are built or loaded at a time: that is disk and network, not tests.
var building = make(chan struct{}, 2)

// built gives the engine's name of a sample as its packager made it.
func built(t *testing.T, name string) string {
	t.Helper()
	theEngine(t)
	oracle.Program(t, sample.BaseProgram)
	samples, err := lab.samples()
	if err != nil {
		t.Fatal(err)
	}
	building <- struct{}{}
	defer func() { <-building }()
	ref, err := samples.Build(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}
