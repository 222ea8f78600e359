// Package init holds unroot-init to what it says of itself in containers of real engines, in images as anyone builds them.
package init

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"unroot/internal/oracle"
	"unroot/test/engine"
	"unroot/test/sample"
)

// strict are the options of a platform that gives nothing: an arbitrary user, no capability, no way to gain one.
var strict = []string{"--user", "1000700000:0", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--network", "none"}

const imageTag = "unroot.test/init:latest"

// lab is what the tests share, made by the first test that needs it.
var lab struct {
	docker func() (*engine.Engine, error)
	mu     sync.Mutex
	closer func() error

	podman       container
	podmanErr    error
	podmanRemove func() error
	podmanOnce   sync.Once
}

func TestMain(m *testing.M) {
	lab.docker = sync.OnceValues(startDocker)
	code := m.Run()
	for _, end := range []func() error{lab.podmanRemove, lab.closer} {
		if end == nil {
			continue
		}
		if err := end(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = max(code, 1)
		}
	}
	os.Exit(code)
}

// startDocker starts an engine that has the image.
func startDocker() (*engine.Engine, error) {
	ctx := context.Background()
	e, err := engine.Start(ctx)
	if err != nil {
		return nil, err
	}
	lab.closer = e.Close
	if _, err := sample.NewBuilder(e, "").Base(); err != nil {
		return nil, err
	}
	return e, buildImage(ctx, e)
}

// buildImage builds the image of this folder with unroot-init as it is released.
func buildImage(ctx context.Context, e *engine.Engine) (err error) {
	dir, err := os.MkdirTemp("", "unroot-init-image-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := os.CopyFS(dir, os.DirFS("image")); err != nil {
		return err
	}
	cmd := exec.Command("go", "build", "-trimpath", "-tags=unroot_release", "-ldflags=-s -w -checklinkname=0 -X=runtime.godebugDefault=asyncpreemptoff=1", "-o", filepath.Join(dir, "unroot-init"), "unroot/cmd/unroot-init")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building unroot-init: %w\n%s", err, out)
	}
	for _, name := range []string{"app", "orphans"} {
		if err := os.Chmod(filepath.Join(dir, name), 0o755); err != nil {
			return err
		}
	}
	_, err = e.Docker(ctx, "build", "--tag", imageTag, "--network", "none", dir)
	return err
}

func docker(t *testing.T) *engine.Engine {
	t.Helper()
	oracle.Root(t)
	for _, name := range append(engine.Programs, sample.BaseProgram) {
		oracle.Program(t, name)
	}
	lab.mu.Lock()
	defer lab.mu.Unlock()
	e, err := lab.docker()
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// ended is what a container left.
type ended struct {
	code           int
	stdout, stderr string
}

// serve starts a container in the background that is gone after the test, and waits until it is ready.
func serve(t *testing.T, options []string, args ...string) *engine.Container {
	t.Helper()
	c, err := docker(t).Run(t.Context(), imageTag, append(append([]string{}, strict...), options...), args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Remove(context.Background()); err != nil {
			t.Error(err)
		}
	})
	await(t, c, "ready as ")
	return c
}

// await waits until a container has printed something.
func await(t *testing.T, c *engine.Container, text string) {
	t.Helper()
	var logs string
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if logs = c.Logs(t.Context()); strings.Contains(logs, text) {
			return
		}
	}
	t.Fatalf("the container did not say %q but\n%s", text, logs)
}
