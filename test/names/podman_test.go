package names

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// podman is Podman's command line with storage of its own.
type podman struct {
	options []string // before the verb
	env     []string
}

// podmanConfig: Podman's own limits are more than some machines allow.
const podmanConfig = `[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"
`

// startPodman gives Podman, whose storage is gone after the test.
func startPodman(t *testing.T) podman {
	t.Helper()
	dir, err := os.MkdirTemp("", "unroot-podman-") // short: sockets are below it
	if err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(dir, "containers.conf")
	if err := os.WriteFile(config, []byte(podmanConfig), 0o644); err != nil {
		t.Fatal(err)
	}
	p := podman{
		options: []string{"--root", filepath.Join(dir, "root"), "--runroot", filepath.Join(dir, "run"), "--tmpdir", filepath.Join(dir, "tmp")},
		env:     append(os.Environ(), "CONTAINERS_CONF="+config, "XDG_RUNTIME_DIR="+dir),
	}
	t.Cleanup(func() {
		if code, out := said(context.Background(), p.env, p.line("system", "reset", "--force")...); code != 0 {
			t.Errorf("podman system reset: exit code %d:\n%s", code, out)
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return p
}

func (p podman) line(args ...string) []string {
	return slices.Concat([]string{"podman"}, p.options, args)
}
