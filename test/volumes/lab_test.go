// Package volumes carries out on real engines what a refused start prints, and starts again.
package volumes

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

	"github.com/rogpeppe/go-internal/txtar"

	"unroot/internal/image"
	"unroot/internal/imagetest"
	"unroot/internal/oracle"
	"unroot/internal/store"
	"unroot/test/daemon"
	"unroot/test/engine"
)

// lab is what the tests share; each part is made by the first test that needs it.
var lab struct {
	docker  func() (*engine.Engine, error)
	podman  func() (*daemon.Daemon, error)
	archive func() (string, error)

	mu      sync.Mutex
	closers []func() error // last first
}

func atEnd(f func() error) {
	lab.mu.Lock()
	defer lab.mu.Unlock()
	lab.closers = append(lab.closers, f)
}

func TestMain(m *testing.M) {
	lab.docker = sync.OnceValues(startDocker)
	lab.podman = sync.OnceValues(startPodman)
	lab.archive = sync.OnceValues(buildArchive)
	code := m.Run()
	var err error
	for _, f := range slices.Backward(lab.closers) {
		err = errors.Join(err, f())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	os.Exit(code)
}

const imageName = "localhost/unroot-volumes:test"

const layerLines = `d 0755 0:0 /bin
d 0755 0:0 /etc
d 1777 0:0 /tmp
d 0755 0:0 /proc
d 0755 0:0 /sys
d 0755 0:0 /dev
d 0775 0:0 /run
d 0770 65532:0 /run/unroot
d 0770 65532:0 /data
d 0755 0:0 /rootonly
d 0775 0:0 /pg
d 0770 65532:0 /pg/data
d 0755 0:0 /usr/share/unroot-init/etc
l /etc/key /run/unroot/etc/key
`

// buildArchive makes an image with busybox and the program under test, as a docker archive.
func buildArchive() (string, error) {
	dir, err := os.MkdirTemp("", "unroot-volumes-")
	if err != nil {
		return "", err
	}
	atEnd(func() error { return os.RemoveAll(dir) })
	program := filepath.Join(dir, "unroot-init")
	cmd := exec.Command("go", "build", "-trimpath", "-o", program, "unroot/cmd/unroot-init")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building unroot-init: %w\n%s", err, out)
	}
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		return "", err
	}
	lines := layerLines
	for _, name := range []string{"sh", "cat", "chown", "chmod", "id", "ls", "mkdir", "rm", "stat", "test", "touch"} {
		lines += "l /bin/" + name + " busybox\n"
	}
	files := []txtar.File{
		{Name: "config", Data: []byte(`{"Env":["PATH=/bin"],"Cmd":["sh"]}`)},
		{Name: "layer", Data: []byte(lines)},
	}
	for name, path := range map[string]string{"/bin/busybox 0755": busybox, "/unroot-init 0755": program} {
		b, err := os.ReadFile(path)
		if err != nil {
			return "", err
		}
		files = append(files, txtar.File{Name: name, Data: b})
	}
	files = append(files, txtar.File{Name: "/usr/share/unroot-init/etc/key 0640", Data: []byte("secret\n")},
		txtar.File{Name: "/etc/passwd", Data: []byte("root:x:0:0:root:/:/bin/sh\n")})
	img, err := imagetest.Image(&txtar.Archive{Files: files})
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "image.tar")
	s := store.New(store.Options{})
	defer s.Close()
	ref, err := store.Parse("docker-archive:" + path + ":" + imageName)
	if err == nil {
		_, err = s.Put(context.Background(), ref, image.Source{Image: img})
	}
	return path, err
}

// client is an engine's command line.
type client struct {
	t       *testing.T
	name    string   // docker or podman
	options []string // before the verb
	env     []string
}

func startDocker() (*engine.Engine, error) {
	e, err := engine.Start(context.Background())
	if err != nil {
		return nil, err
	}
	atEnd(e.Close)
	archive, err := lab.archive()
	if err == nil {
		_, err = e.Docker(context.Background(), "load", "--input", archive)
	}
	return e, err
}

func docker(t *testing.T) *client {
	t.Helper()
	oracle.Root(t)
	for _, program := range append(slices.Clone(engine.Programs), "busybox") {
		oracle.Program(t, program)
	}
	e, err := lab.docker()
	if err != nil {
		t.Fatal(err)
	}
	return &client{t: t, name: "docker", env: e.Environ()}
}

// podmanConfig: Podman's own limits are more than some machines allow.
const podmanConfig = `[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
netns = "none"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"
`

func podmanOptions(dir string) []string {
	return []string{"--root", filepath.Join(dir, "root"), "--runroot", filepath.Join(dir, "run"), "--tmpdir", filepath.Join(dir, "tmp")}
}

func podmanEnv(dir string) []string {
	return append(os.Environ(), "CONTAINERS_CONF="+filepath.Join(dir, "containers.conf"), "XDG_RUNTIME_DIR="+dir)
}

// startPodman gives Podman storage of its own, and keeps a service on it, whose end removes all.
func startPodman() (*daemon.Daemon, error) {
	d, err := daemon.Start(context.Background(), daemon.Options{
		Name: "podman",
		Args: func(dir string) []string {
			config := filepath.Join(dir, "containers.conf")
			_ = os.WriteFile(config, []byte(podmanConfig), 0o644) // podman will say so
			line := append([]string{"env", "CONTAINERS_CONF=" + config, "XDG_RUNTIME_DIR=" + dir, "podman"}, podmanOptions(dir)...)
			return append(line, "system", "service", "--time", "0", "unix://"+filepath.Join(dir, "podman.sock"))
		},
		Ready: func(_ context.Context, dir string) bool {
			_, err := os.Stat(filepath.Join(dir, "podman.sock"))
			return err == nil
		},
	})
	if err != nil {
		return nil, err
	}
	atEnd(d.Close)
	archive, err := lab.archive()
	if err == nil {
		load := exec.Command("podman", append(podmanOptions(d.Dir), "load", "--input", archive)...)
		load.Env = podmanEnv(d.Dir)
		if out, e := load.CombinedOutput(); e != nil {
			err = fmt.Errorf("podman load: %w\n%s", e, out)
		}
	}
	return d, err
}

func podman(t *testing.T) *client {
	t.Helper()
	oracle.Root(t)
	oracle.Program(t, "podman")
	oracle.Program(t, "busybox")
	d, err := lab.podman()
	if err != nil {
		t.Fatal(err)
	}
	return &client{t: t, name: "podman", options: podmanOptions(d.Dir), env: podmanEnv(d.Dir)}
}

// do runs the client and gives its exit code and what was written.
func (c *client) do(args ...string) (code int, out string) {
	c.t.Helper()
	cmd := exec.CommandContext(c.t.Context(), c.name, append(slices.Clone(c.options), args...)...)
	cmd.Env = c.env
	var b bytes.Buffer
	cmd.Stdout, cmd.Stderr = &b, &b
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		c.t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), b.String()
}

// typed carries out a line as a person types it, with the image's name where it says IMAGE.
func (c *client) typed(line string) {
	c.t.Helper()
	line = strings.ReplaceAll(line, " IMAGE ", " "+imageName+" ")
	script := "sudo() { \"$@\"; }\n" + c.name + "() { command " + c.name + " " + strings.Join(c.options, " ") + " \"$@\"; }\n" + line
	cmd := exec.CommandContext(c.t.Context(), "bash", "-c", script)
	cmd.Env = c.env
	if out, err := cmd.CombinedOutput(); err != nil {
		c.t.Errorf("%s: %v\n%s", line, err, out)
	}
}
