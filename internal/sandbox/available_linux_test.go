package sandbox

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"unroot/internal/oracle"
	"unroot/internal/sandbox/launch"
	"unroot/internal/sandbox/seccomp"
)

// placeStage makes a place where the runner does not work, and executes the rest of its arguments.
const placeStage = "unroot-test-place"

func init() { launch.Register(placeStage, placeMain) }

func placeMain() {
	err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
	switch os.Args[1] {
	case "masked":
		err = errors.Join(err, unix.Mount("/dev/null", "/proc/keys", "", unix.MS_BIND, ""))
	case "no namespaces":
		err = errors.Join(err, os.WriteFile("/proc/sys/user/max_user_namespaces", []byte("0"), 0))
	case "chroot":
		err = errors.Join(err, unix.Mount("/", os.Args[2], "", unix.MS_BIND|unix.MS_REC, ""), unix.Chroot(os.Args[2]), unix.Chdir("/"))
	case "filter":
		err = errors.Join(err, underFilter())
	}
	if err == nil {
		err = syscall.Exec("/proc/self/exe", os.Args[3:], os.Environ())
	}
	println(err.Error())
	os.Exit(99)
}

// underFilter installs the filter that engines have for containers without CAP_SYS_ADMIN.
func underFilter() error {
	filter, err := seccomp.Program(seccomp.Options{Profile: true})
	if err != nil {
		return err
	}
	n := len(filter) / int(unsafe.Sizeof(unix.SockFilter{}))
	program := unix.SockFprog{Len: uint16(n), Filter: (*unix.SockFilter)(unsafe.Pointer(&filter[0]))}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	return unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&program)), 0, 0)
}

// TestUnavailablePlaces starts the runner where it cannot work, and reads what it says.
func TestUnavailablePlaces(t *testing.T) {
	oracle.Root(t)
	for place, want := range map[string]string{
		"masked":        "/proc is masked, as in a container",
		"no namespaces": "sysctl -w user.max_user_namespaces=15000",
		"chroot":        "as inside a chroot",
		"filter":        "start a container with --security-opt seccomp=unconfined or --privileged",
	} {
		t.Run(place, func(t *testing.T) {
			root := t.TempDir()
			cmd := exec.Command("/proc/self/exe")
			cmd.Args = []string{placeStage, place, root, filepath.Base(os.Args[0]), "-test.run=^TestAvailable$", "-test.v"}
			cmd.Env = append(os.Environ(), "UNROOT_TEST_WANT="+want)
			cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS}
			if place == "no namespaces" {
				cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
				cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{Size: 1 << 31}}
				cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{Size: 1 << 31}}
				cmd.SysProcAttr.Credential = &syscall.Credential{}
			}
			if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: TestAvailable") {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// TestAdvice goes over what cannot be made here.
func TestAdvice(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		err      error
		root     bool
		settings map[string]string
		want     string
	}{
		{unix.EPERM, false, map[string]string{"kernel/unprivileged_userns_clone": "0"}, "kernel.unprivileged_userns_clone=1"},
		{unix.EPERM, false, map[string]string{"kernel/apparmor_restrict_unprivileged_userns": "1"}, "kernel.apparmor_restrict_unprivileged_userns=0"},
		{unix.EPERM, true, map[string]string{"kernel/apparmor_restrict_unprivileged_userns": "1"}, "seccomp=unconfined"},
		{unix.ENOSPC, true, nil, "as many user namespaces as the system allows"},
		{unix.EINVAL, true, nil, "CONFIG_USER_NS"},
		{unix.EIO, true, nil, "could not be started"},
	} {
		got := adviceFor(tt.err, false, tt.root, func(name string) string { return tt.settings[name] })
		if !strings.Contains(got, tt.want) {
			t.Errorf("%v as root %v with %v: %q", tt.err, tt.root, tt.settings, got)
		}
	}
}
