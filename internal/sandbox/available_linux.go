package sandbox

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"unroot/internal/verify"
)

// unavailable says why a lab could not be started here, and what helps. masked tells that the lab
// could not mount a proc file system.
func unavailable(err error, masked bool) error {
	if errors.Is(err, verify.ErrUnavailable) {
		return err
	}
	return fmt.Errorf("%w: %s (%w)", verify.ErrUnavailable, adviceFor(err, masked, os.Geteuid() == 0, setting), err)
}

// adviceFor is the sentence for a person. read gives a file of /proc/sys; "" where there is none.
func adviceFor(err error, masked, root bool, read func(string) string) string {
	switch {
	case kernelBefore(5, 12):
		return "Linux 5.12 or newer is needed"
	case masked:
		return "/proc is masked, as in a container: start that with --security-opt systempaths=unconfined (Docker) or --security-opt unmask=ALL (Podman), or run on the host"
	case read("user/max_user_namespaces") == "0":
		return "user namespaces are switched off: as root, sysctl -w user.max_user_namespaces=15000"
	case !root && read("kernel/unprivileged_userns_clone") == "0":
		return "user namespaces are for root only: as root, sysctl -w kernel.unprivileged_userns_clone=1"
	case !root && read("kernel/apparmor_restrict_unprivileged_userns") == "1":
		return "AppArmor keeps user namespaces from ordinary users: as root, sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"
	case errors.Is(err, unix.ENOSPC):
		return "there are as many user namespaces as the system allows: as root, raise user.max_user_namespaces, or leave user namespaces that are 32 levels deep"
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOSYS):
		return "this kernel has no user namespaces (CONFIG_USER_NS)"
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return "user namespaces are not permitted here, as inside a chroot or a container: start a container with --security-opt seccomp=unconfined or --privileged, or run on the host"
	}
	return "a lab could not be started"
}

func setting(name string) string {
	text, _ := os.ReadFile("/proc/sys/" + name)
	return strings.TrimSpace(string(text))
}

// kernelBefore reports whether the running kernel is older than a version. One that does not say so
// is not.
func kernelBefore(major, minor int) bool {
	var uts unix.Utsname
	if unix.Uname(&uts) != nil {
		return false
	}
	var a, b int
	if n, _ := fmt.Sscanf(unix.ByteSliceToString(uts.Release[:]), "%d.%d", &a, &b); n != 2 {
		return false
	}
	return a < major || a == major && b < minor
}
