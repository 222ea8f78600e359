//go:build linux && (amd64 || arm64)

package tracer

import (
	"fmt"
	"os"
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"

	"unroot/internal/oracle"
	"unroot/internal/trace"
)

// beInit is what this binary does as the first program of an emulated machine: it makes the little
// that the tests need, runs them, says how they ended, and switches the machine off. test/arm64 looks
// for the line.
func beInit() {
	for _, m := range [][2]string{{"proc", "/proc"}, {"devtmpfs", "/dev"}, {"tmpfs", "/tmp"}, {"sysfs", "/sys"}} {
		_ = os.MkdirAll(m[1], 0o755)
		must(unix.Mount(m[0], m[1], m[0], 0, ""))
	}
	must(os.Chmod("/tmp", 0o1777))
	loopback()
	cmd := exec.Command("/init", "-test.v", "-test.run", "^TestCore", "-test.timeout", "10m", "-test.parallel", "3")
	cmd.Env = []string{"PATH=/", "TMPDIR=/tmp", "UNROOT_TEST_NARROW=/narrow", oracle.RequireAll + "=1"}
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stdout
	err := cmd.Run()
	fmt.Printf("\nUNROOT-RESULT %v\n", err)
	unix.Sync()
	must(unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF))
}

// loopback switches the loopback interface on: netdevice(7).
func loopback() {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	must(err)
	defer unix.Close(fd)
	r, err := unix.NewIfreq("lo")
	must(err)
	r.SetUint16(unix.IFF_UP)
	must(unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, r))
}

// TestCoreNarrow traces a program of the machine's 32-bit ABI, which test/arm64 has built.
func TestCoreNarrow(t *testing.T) {
	t.Parallel()
	program := os.Getenv("UNROOT_TEST_NARROW")
	if program == "" {
		t.Skip("test/arm64 runs this with a program of the other ABI")
	}
	for _, stage := range []string{StageName, oldKernelStage, peekStage} {
		r := traced{stage: stage, args: []string{program}, flags: []string{"-profile"}}.run(t)
		if r.status != 0 {
			t.Fatalf("%s: status %d: %s\n%s", stage, r.status, r.stderr, r.text())
		}
		if open := r.one(t, trace.Open, "/proc/no/such"); open.Errno != "ENOENT" {
			t.Errorf("%s: %+v", stage, open)
		}
		if binds := r.find(func(e trace.Event) bool { return e.Kind == trace.Bind }); len(binds) != 1 || binds[0].Addr != "tcp 127.0.0.1:0" {
			t.Errorf("%s: binds %+v", stage, binds)
		}
		if mount := r.one(t, trace.Mount, "/mnt"); !mount.Hidden || mount.Errno != "EPERM" {
			t.Errorf("%s: %+v", stage, mount)
		}
		if set := r.find(func(e trace.Event) bool { return e.Call == "setuid32" }); len(set) != 1 || set[0].IDs[0] != -1 || set[0].Errno != "EINVAL" {
			t.Errorf("%s: %+v", stage, set)
		}
	}
}
