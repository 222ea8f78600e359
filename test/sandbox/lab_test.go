// Package sandbox holds every runner to one set of behaviours: the embedded one, Docker Engine and Podman.
package sandbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"unroot/internal/image"
	"unroot/internal/imagetest"
	"unroot/internal/oracle"
	"unroot/internal/sandbox"
	"unroot/internal/store"
	"unroot/test/command"
	"unroot/test/daemon"
	"unroot/test/engine"
)

// lab is what the tests share; each part is made by the first test that needs it.
var lab struct {
	docker func() (*engine.Engine, error)
	podman func() (*daemon.Daemon, error)
	unroot func() (string, error)

	mu      sync.Mutex
	closers []func() error // last first
}

func atEnd(f func() error) {
	lab.mu.Lock()
	defer lab.mu.Unlock()
	lab.closers = append(lab.closers, f)
}

func TestMain(m *testing.M) {
	sandbox.Stage()
	lab.docker = sync.OnceValues(func() (*engine.Engine, error) {
		e, err := engine.Start(context.Background())
		if err == nil {
			atEnd(e.Close)
		}
		return e, err
	})
	lab.podman = sync.OnceValues(startPodman)
	lab.unroot = sync.OnceValues(buildCommand)
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

// buildCommand builds the command as it is released, one static file, which is the agent in a container.
func buildCommand() (string, error) {
	path, remove, err := command.Build()
	if err == nil {
		atEnd(remove)
	}
	return path, err
}

// podmanConfig: Podman's own limits are more than some machines allow.
const podmanConfig = `[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"
`

func podmanHost(dir string) string { return "unix://" + filepath.Join(dir, "podman.sock") }

// startPodman starts Podman's service with storage and a socket of its own.
func startPodman() (*daemon.Daemon, error) {
	d, err := daemon.Start(context.Background(), daemon.Options{
		Name: "podman",
		Args: func(dir string) []string {
			config := filepath.Join(dir, "containers.conf")
			_ = os.WriteFile(config, []byte(podmanConfig), 0o644) // podman will say so
			return []string{"env", "CONTAINERS_CONF=" + config, "XDG_RUNTIME_DIR=" + dir, "podman",
				"--root", filepath.Join(dir, "root"), "--runroot", filepath.Join(dir, "run"), "--tmpdir", filepath.Join(dir, "tmp"),
				"system", "service", "--time", "0", podmanHost(dir)}
		},
		Ready: func(_ context.Context, dir string) bool {
			_, err := os.Stat(filepath.Join(dir, "podman.sock"))
			return err == nil
		},
	})
	if err == nil {
		atEnd(d.Close)
	}
	return d, err
}

// newEngine gives a runner on an engine.
func newEngine(t *testing.T, host string) *sandbox.Engine {
	t.Helper()
	binary, err := lab.unroot()
	if err != nil {
		t.Fatal(err)
	}
	e, err := sandbox.NewEngine(sandbox.EngineOptions{Host: host, Load: loader(host), Binary: binary})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

// loader puts images into an engine, as the command does.
func loader(host string) func(context.Context, *image.Image) (string, func(), error) {
	return func(ctx context.Context, img *image.Image) (string, func(), error) {
		s := store.New(store.Options{Env: func(name string) string {
			if name == "DOCKER_HOST" {
				return host
			}
			return ""
		}})
		name := "localhost/unroot-test:" + img.Digest.Encoded()[:12]
		ref, err := store.Parse("docker-daemon:" + name)
		if err == nil {
			_, err = s.Put(ctx, ref, image.Source{Image: img})
		}
		return name, func() { s.Close() }, err
	}
}

const boxLayer = `d 0755 0:0 /bin
d 0755 0:0 /etc
d 0755 0:0 /tmp
d 0755 0:0 /proc
d 0755 0:0 /sys
d 0755 0:0 /dev
d 0755 0:0 /run
d 0700 0:0 /locked
d 0770 0:0 /data
d 0755 0:0 /rootonly
d 0775 7:0 /scratch
d 0755 0:0 /www
`

// box is an image with busybox and what the tests look for.
var box = sync.OnceValues(func() (*image.Image, error) {
	path, err := exec.LookPath("busybox")
	if err != nil {
		return nil, err
	}
	program, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	lines := boxLayer
	for _, name := range []string{"sh", "cat", "chown", "echo", "grep", "httpd", "id", "kill", "ls", "mkdir", "nc", "ps",
		"sleep", "stat", "tail", "test", "touch", "true", "wget", "yes", "seq", "dd", "chmod", "env", "hostname", "pwd"} {
		lines += "l /bin/" + name + " busybox\n"
	}
	return imagetest.Image(&txtar.Archive{Files: []txtar.File{
		{Name: "config", Data: []byte(`{"Env":["PATH=/bin"],"Cmd":["sh"]}`)},
		{Name: "layer", Data: []byte(lines)},
		{Name: "/bin/busybox 0755", Data: program},
		{Name: "/etc/passwd", Data: []byte("root:x:0:0:root:/:/bin/sh\nservice:x:7:7::/:/bin/sh\n")},
		{Name: "/etc/secret 0600", Data: []byte("secret\n")},
		{Name: "/data/seed 0640 5:0", Data: []byte("from the image\n")},
		{Name: "/www/index.html", Data: []byte("<p>it serves</p>\n")},
	}})
})

func boxImage(t *testing.T) *image.Image {
	t.Helper()
	oracle.Program(t, "busybox")
	img, err := box()
	if err != nil {
		t.Fatal(err)
	}
	return img
}
