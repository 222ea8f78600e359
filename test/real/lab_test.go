// Package real tests unroot as a user meets it: images built by a real engine from Debian's packages, kept in a real registry, converted by the built command, and run and read by programs that are not ours.
package real

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"unroot/internal/oracle"
	"unroot/test/command"
	"unroot/test/engine"
	"unroot/test/registry"
	"unroot/test/sample"
)

// lab is what all tests of a run share; each part is started by the first test that needs it.
var lab struct {
	engine   func() (*engine.Engine, error)
	registry func() (*registry.Registry, error)
	samples  func() (*sample.Builder, error)
	unroot   func() (string, error)

	mu      sync.Mutex
	closers []func() error // last first
}

func atEnd(f func() error) {
	lab.mu.Lock()
	defer lab.mu.Unlock()
	lab.closers = append(lab.closers, f)
}

func TestMain(m *testing.M) {
	lab.engine = sync.OnceValues(func() (*engine.Engine, error) {
		e, err := engine.Start(context.Background())
		if err == nil {
			atEnd(e.Close)
		}
		return e, err
	})
	lab.registry = sync.OnceValues(func() (*registry.Registry, error) {
		r, err := registry.Start(context.Background())
		if err == nil {
			atEnd(r.Close)
		}
		return r, err
	})
	lab.samples = sync.OnceValues(func() (*sample.Builder, error) {
		e, err := lab.engine()
		if err != nil {
			return nil, err
		}
		return sample.NewBuilder(e, filepath.Join("..", "images")), nil
	})
	lab.unroot = sync.OnceValues(buildCommand)
	os.Exit(run(m))
}

// run runs the tests; what a server leaves behind is a failure of its own.
func run(m *testing.M) int {
	code := m.Run()
	var err error
	for _, f := range slicesBackward(lab.closers) {
		err = errors.Join(err, f())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return max(code, 1)
	}
	return code
}

func slicesBackward(in []func() error) (out []func() error) {
	for i := len(in) - 1; i >= 0; i-- {
		out = append(out, in[i])
	}
	return out
}

// buildCommand builds the command as a user would and gives its path.
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

// theRegistry gives the registry of this run.
func theRegistry(t *testing.T) *registry.Registry {
	t.Helper()
	oracle.Program(t, registry.Program)
	r, err := lab.registry()
	if err != nil {
		oracle.Missing(t, "registry: %v", err)
	}
	return r
}

// built gives the engine's name of a sample as its packager made it.
func built(t *testing.T, name string) string {
	t.Helper()
	theEngine(t)
	oracle.Program(t, sample.BaseProgram)
	samples, err := lab.samples()
	if err != nil {
		t.Fatal(err)
	}
	ref, err := samples.Build(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}
