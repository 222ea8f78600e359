//go:build linux

package nscd

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"unroot/internal/oracle"
)

// TestPlaceDenied makes the socket as an ordinary user where the image does not let it, and where the
// root file system is read-only, with and without a tmpfs at /run.
func TestPlaceDenied(t *testing.T) {
	t.Parallel()
	oracle.Root(t)
	dir := t.TempDir()
	open(t, dir)
	for name, mode := range map[string]os.FileMode{"root-only": 0o755, "group-0": 0o775} {
		if err := errors.Join(os.Mkdir(filepath.Join(dir, name), mode), os.Chmod(filepath.Join(dir, name), mode)); err != nil {
			t.Fatal(err)
		}
	}
	readOnly := filepath.Join(dir, "read-only")
	if err := os.MkdirAll(filepath.Join(readOnly, "run"), 0o775); err != nil {
		t.Fatal(err)
	}
	inNamespace(t, readOnly, func() {
		for _, test := range []struct{ dir, hint string }{
			{"root-only", "let group 0 write to /run"}, {"group-0", ""}, {"read-only", "mount a tmpfs at /run"}, {"read-only/run", ""},
		} {
			s, err := Listen(Facts{Socket: filepath.Join(dir, test.dir, "nscd", "socket")})
			var failure *Failure
			switch {
			case test.hint == "" && err != nil:
				t.Errorf("%s: %v", test.dir, err)
			case test.hint != "" && (!errors.As(err, &failure) || !strings.Contains(failure.Hint, test.hint)):
				t.Errorf("%s: %v, want the hint %q", test.dir, err, test.hint)
			}
			if s != nil {
				s.Close()
			}
		}
	})
}

// inNamespace runs f as an ordinary user with group 0, in a mount namespace of its own where dir is
// read-only but for a tmpfs at its run. The thread ends with it.
func inNamespace(t *testing.T, dir string, f func()) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked
		done <- errors.Join(
			unix.Unshare(unix.CLONE_FS|unix.CLONE_NEWNS),
			unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""),
			unix.Mount(dir, dir, "", unix.MS_BIND, ""),
			unix.Mount("none", filepath.Join(dir, "run"), "tmpfs", 0, "mode=775"),
			unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, ""),
			unix.Setfsuid(testUID),
		)
		f()
		close(done)
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	<-done
}

// TestSmall holds what this package brings into unroot-init.
func TestSmall(t *testing.T) {
	t.Parallel()
	out, err := exec.Command("go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range strings.Fields(string(out)) {
		if slices.Contains([]string{"fmt", "net", "os", "os/exec", "os/user", "encoding/json", "regexp", "log"}, path) {
			t.Errorf("imports %s: what starts in an image is small", path)
		}
	}
}
