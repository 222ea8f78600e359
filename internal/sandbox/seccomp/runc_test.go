//go:build linux && amd64

package seccomp

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"unsafe"

	profile "github.com/moby/profiles/seccomp"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"unroot/internal/oracle"
)

// TestAgreesWithRunc takes the program that runc installs for the same profile out of the kernel, and
// compares its answers with ours for all calls and arguments. Its libseccomp knows no calls that are
// newer than it is: those are left out.
func TestAgreesWithRunc(t *testing.T) {
	t.Parallel()
	oracle.Root(t)
	caps := []string{"CAP_CHOWN", "CAP_SYS_CHROOT", "CAP_SETUID", "CAP_NET_RAW"}
	theirs := load(t, installed(t, startContainer(t, caps)))
	code, err := compile(Options{Caps: caps, Profile: true})
	if err != nil {
		t.Fatal(err)
	}
	ours := load(t, code)
	kernel, err := runningKernel()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range ABIs(runtime.GOARCH) {
		says, err := resolve(a, runtime.GOARCH, caps, kernel)
		if err != nil {
			t.Fatal(err)
		}
		const newest = 446 // landlock_restrict_self of Linux 5.13: libseccomp 2.5.3 has all calls up to it
		compared := 0
		for n := range uint32(newest + 1) {
			name, ok := a.Call(n)
			if !ok || name == "uretprobe" { // which Linux 6.11 put into a gap
				continue
			}
			for _, args := range argumentsToTry(says.of(n).allow) {
				if !a.Wide { // the kernel gives such calls no higher halves
					for i := range args {
						args[i] &= 0xffffffff
					}
				}
				compared++
				want, got := theirs.answer(t, a.Audit, n, args), ours.answer(t, a.Audit, n, args)
				if want != got {
					t.Errorf("%s %s %x: %#x, runc's %#x", a.Name, name, args, got, want)
					break
				}
			}
		}
		if compared < 900 {
			t.Errorf("%s: %d calls compared", a.Name, compared)
		}
	}
}

// startContainer runs a program that waits in a container of runc with the profile, and gives its pid.
func startContainer(t *testing.T, caps []string) int {
	t.Helper()
	runc, busybox := oracle.Program(t, "runc"), oracle.Program(t, "busybox")
	bundle := t.TempDir()
	program, err := os.ReadFile(busybox)
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"proc", "dev", "sys"} {
		if err := os.MkdirAll(filepath.Join(bundle, "rootfs", dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(bundle, "rootfs", "sleep"), program, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(runc, "spec")
	cmd.Dir = bundle
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var spec specs.Spec
	file := filepath.Join(bundle, "config.json")
	text, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(text, &spec)
	}
	if err != nil {
		t.Fatal(err)
	}
	spec.Process.Terminal, spec.Process.Args = false, []string{"/sleep", "60"}
	spec.Process.Capabilities = &specs.LinuxCapabilities{Bounding: caps, Permitted: caps, Effective: caps}
	if spec.Linux.Seccomp, err = profile.GetDefaultProfile(&spec); err != nil {
		t.Fatal(err)
	}
	if text, err = json.Marshal(spec); err == nil {
		err = os.WriteFile(file, text, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	state, name := filepath.Join(bundle, "state"), "unroot-seccomp-"+strconv.Itoa(os.Getpid())
	pidFile := filepath.Join(bundle, "pid")
	cmd = exec.Command(runc, "--root", state, "run", "--detach", "--bundle", bundle, "--pid-file", pidFile, name)
	if err := cmd.Run(); err != nil {
		oracle.Missing(t, "runc, which cannot run here: %v", err)
	}
	t.Cleanup(func() {
		if out, err := exec.Command(runc, "--root", state, "delete", "--force", name).CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	})
	number, err := os.ReadFile(pidFile)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(number)))
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// installed reads a process's last filter: PTRACE_SECCOMP_GET_FILTER of ptrace(2), for kernels with
// CONFIG_CHECKPOINT_RESTORE.
func installed(t *testing.T, pid int) []unix.SockFilter {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.PtraceAttach(pid); err != nil {
		oracle.Missing(t, "ptrace: %v", err)
	}
	defer func() { _ = unix.PtraceDetach(pid) }()
	var status unix.WaitStatus
	if _, err := unix.Wait4(pid, &status, unix.WALL, nil); err != nil {
		t.Fatal(err)
	}
	code := make([]unix.SockFilter, 4096)
	n, _, errno := unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_SECCOMP_GET_FILTER, uintptr(pid), 0, uintptr(unsafe.Pointer(&code[0])), 0, 0)
	if errno != 0 {
		oracle.Missing(t, "a kernel that shows filters: %v", errno)
	}
	return code[:n]
}
