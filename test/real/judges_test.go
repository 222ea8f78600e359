package real

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// TestOthersReadIt lets programs that are not ours read every form that unroot writes.
func TestOthersReadIt(t *testing.T) {
	t.Parallel()
	c := converted(t, "nginx")
	t.Run("skopeo inspects the registry", func(t *testing.T) {
		var seen struct{ Digest string }
		decode(t, judged(t, program(t, "skopeo", "inspect", "--tls-verify=false", "docker://"+c.result)), &seen)
		if seen.Digest != c.digest {
			t.Errorf("skopeo sees the digest %s, unroot said %s", seen.Digest, c.digest)
		}
	})
	t.Run("skopeo and umoci read an OCI layout", func(t *testing.T) { readsLayout(t, c) })
	t.Run("skopeo reads an OCI archive", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "image.tar")
		unroot(t, "convert", c.source, "oci-archive:"+file)
		sameConfig(t, c, "oci-archive:"+file)
	})
	t.Run("the engine loads a Docker archive", func(t *testing.T) { loadsArchive(t, c) })
	t.Run("the engine takes it through its socket", func(t *testing.T) { throughSocket(t, c) })
	t.Run("podman pulls and runs it", func(t *testing.T) { podmanRuns(t, c) })
}

func decode(t *testing.T, document string, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(document), into); err != nil {
		t.Fatalf("%v\n%.1000s", err, document)
	}
}

// sameConfig wants that skopeo reads the same config in another place as in the registry.
func sameConfig(t *testing.T, c conversion, ref string) {
	t.Helper()
	want := rawConfig(t, "docker://"+c.result)
	if diff := cmp.Diff(want, rawConfig(t, ref)); diff != "" {
		t.Errorf("config in the registry (-) and in %s (+):\n%s", ref, diff)
	}
}

// rawConfig is the image's config as skopeo gets it, to the byte.
func rawConfig(t *testing.T, ref string) string {
	t.Helper()
	return judged(t, program(t, "skopeo", "inspect", "--tls-verify=false", "--config", "--raw", ref))
}

func rawManifest(t *testing.T, ref string) string {
	t.Helper()
	return judged(t, program(t, "skopeo", "inspect", "--tls-verify=false", "--raw", ref))
}

// readsLayout unpacks the layout with umoci and looks for what must be in the tree.
func readsLayout(t *testing.T, c conversion) {
	dir := t.TempDir()
	layout := filepath.Join(dir, "layout") + ":regular"
	unroot(t, "convert", c.source, "oci:"+layout)
	sameConfig(t, c, "oci:"+layout)
	bundle := filepath.Join(dir, "bundle")
	judged(t, program(t, "umoci", "unpack", "--image", layout, bundle))
	var runtime struct {
		Process struct {
			User struct{ UID, GID int }
		}
	}
	spec, err := os.ReadFile(filepath.Join(bundle, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	decode(t, string(spec), &runtime)
	if got := fmt.Sprintf("%d:%d", runtime.Process.User.UID, runtime.Process.User.GID); got != c.config.User {
		t.Errorf("umoci would run it as %s, the image says %s", got, c.config.User)
	}
	if _, err := os.Stat(filepath.Join(bundle, "rootfs", "usr", "sbin", "nginx")); err != nil {
		t.Error(err)
	}
}

// loadsArchive loads the archive and wants the config that the registry has: its digest is the id.
func loadsArchive(t *testing.T, c conversion) {
	e := theEngine(t)
	file := filepath.Join(t.TempDir(), "image.tar")
	out := unroot(t, "convert", c.source, "docker-archive:"+file+":unroot.test/loaded:regular")
	if _, err := e.Docker(t.Context(), "load", "--input", file); err != nil {
		t.Fatal(err)
	}
	sameID(t, c, out, "unroot.test/loaded:regular")
}

// throughSocket converts from the engine into the engine.
func throughSocket(t *testing.T, c conversion) {
	e := theEngine(t)
	out, errs, code := unrootIn(t, []string{"DOCKER_HOST=" + e.Host, "XDG_CACHE_HOME=" + t.TempDir()},
		"convert", "docker-daemon:"+c.source, "docker-daemon:unroot.test/socket:regular")
	if code != 0 {
		t.Fatalf("exit code %d\n%s", code, errs)
	}
	id := imageID(t, "unroot.test/socket:regular")
	if strings.TrimSpace(out) != id {
		t.Errorf("unroot wrote %q, the engine has the id %s", out, id)
	}
	container, err := start(t, "unroot.test/socket:regular", hardened)
	if err != nil {
		t.Fatal(err)
	}
	if err := services[0].serves(t.Context(), container, c.port(t, 80), patience); err != nil {
		t.Error(err)
	}
}

func imageID(t *testing.T, ref string) string {
	t.Helper()
	id, err := theEngine(t).Docker(t.Context(), "image", "inspect", "--format", "{{.Id}}", ref)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func sameID(t *testing.T, c conversion, out, ref string) {
	t.Helper()
	id := imageID(t, ref)
	if strings.TrimSpace(out) != id {
		t.Errorf("unroot wrote %q, the engine has the id %s", out, id)
	}
	if want := imageID(t, c.result); id != want {
		t.Errorf("the image has the id %s, pulled from the registry %s", id, want)
	}
}

// podmanRuns runs the image in an engine of another family, which has other defaults.
func podmanRuns(t *testing.T, c conversion) {
	dir, err := os.MkdirTemp("", "unroot-podman-") // its sockets need a short path
	if err != nil {
		t.Fatal(err)
	}
	global := []string{"--root", filepath.Join(dir, "root"), "--runroot", filepath.Join(dir, "run"),
		"--cgroup-manager", "cgroupfs", "--runtime", "runc", "--events-backend", "file"}
	t.Cleanup(func() {
		// podman leaves its storage mounted over itself
		overlay := filepath.Join(dir, "root", "overlay")
		if err := unix.Unmount(overlay, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
			t.Errorf("unmounting %s: %v", overlay, err)
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	for _, as := range [][]string{nil, {"--user", arbitrary}} {
		line := slices.Concat(global, []string{"run", "--rm", "--tls-verify=false", "--network", "none",
			"--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024", // its own default is more than some machines allow
			"--cap-drop", "all", "--security-opt", "no-new-privileges"}, as, []string{c.result, "nginx", "-t"})
		cmd := program(t, "podman", line...)
		cmd.Env = append(os.Environ(), "XDG_RUNTIME_DIR="+dir)
		judged(t, cmd)
	}
}
