package init

import (
	"bytes"
	"context"
	"crypto/rand"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"unroot/internal/oracle"
)

// container is an engine's command line.
type container struct {
	argv []string // before the command
	env  []string
}

// onEngines runs a test on Docker and on Podman.
func onEngines(t *testing.T, test func(*testing.T, container)) {
	t.Helper()
	t.Run("docker", func(t *testing.T) { test(t, container{[]string{"docker"}, docker(t).Environ()}) })
	t.Run("podman", func(t *testing.T) { test(t, podman(t)) })
}

// podmanConfig: Podman's own limits are more than some machines allow.
const podmanConfig = `[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"
`

// startPodman gives Podman with storage of its own, that has Docker's image.
func startPodman(t *testing.T) (c container, remove func() error, err error) {
	dir, err := os.MkdirTemp("", "unroot-podman-")
	if err != nil {
		return c, nil, err
	}
	config := filepath.Join(dir, "containers.conf")
	if err := os.WriteFile(config, []byte(podmanConfig), 0o644); err != nil {
		return c, nil, err
	}
	c = container{
		argv: []string{"podman", "--root", filepath.Join(dir, "root"), "--runroot", filepath.Join(dir, "run"), "--tmpdir", filepath.Join(dir, "tmp")},
		env:  append(os.Environ(), "CONTAINERS_CONF="+config, "XDG_RUNTIME_DIR="+dir),
	}
	remove = func() error {
		reset := c.command(context.Background(), "system", "reset", "--force")
		if out, err := reset.CombinedOutput(); err != nil {
			os.Stderr.Write(out)
			return err
		}
		return os.RemoveAll(dir)
	}
	archive := filepath.Join(dir, "image.tar")
	if _, err := docker(t).Docker(t.Context(), "save", "--output", archive, imageTag); err != nil {
		return c, remove, err
	}
	if out, err := c.command(t.Context(), "load", "--quiet", "--input", archive).CombinedOutput(); err != nil {
		os.Stderr.Write(out)
		return c, remove, err
	}
	return c, remove, os.Remove(archive)
}

func podman(t *testing.T) container {
	t.Helper()
	oracle.Root(t)
	oracle.Program(t, "podman")
	docker(t) // the image comes from there
	lab.podmanOnce.Do(func() {
		lab.podman, lab.podmanRemove, lab.podmanErr = startPodman(t)
	})
	if lab.podmanErr != nil {
		t.Fatal(lab.podmanErr)
	}
	return lab.podman
}

func (c container) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, c.argv[0], append(c.argv[1:len(c.argv):len(c.argv)], args...)...)
	cmd.Env = c.env
	return cmd
}

// must runs a command that must succeed, and gives its output.
func (c container) must(t *testing.T, args ...string) string {
	t.Helper()
	out, err := c.command(t.Context(), args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// volume makes a volume that is gone after the test.
func (c container) volume(t *testing.T) string {
	t.Helper()
	name := "unroot-test-" + strings.ToLower(rand.Text())
	c.must(t, "volume", "create", name)
	t.Cleanup(func() {
		if out, err := c.command(context.Background(), "volume", "rm", name).CombinedOutput(); err != nil {
			t.Errorf("removing the volume: %v\n%s", err, out)
		}
	})
	return name
}

// once runs a container in the foreground under strict options: run OPTIONS IMAGE ARGS.
func (c container) once(t *testing.T, options []string, args ...string) ended {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	line := append(append(append([]string{"run", "--rm"}, strict...), options...), imageTag)
	cmd := c.command(ctx, append(line, args...)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); cmd.ProcessState == nil || ctx.Err() != nil {
		t.Fatalf("%v: %v\n%s", args, err, &stderr)
	}
	return ended{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}
