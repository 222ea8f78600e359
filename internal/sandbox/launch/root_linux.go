package launch

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"unroot/internal/sandbox/mount"
)

// setUp makes the root file system and moves into it. The stage is alone in new mount, network, UTS,
// IPC and pid namespaces. dir is the program's working directory, which is made where it is missing,
// as engines do for WORKDIR.
func (r *Root) setUp(dir string) error {
	if len(r.Lower) == 0 {
		return errors.New("[internal error] a root file system without a directory")
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("making mounts private: %w", err)
	}
	if err := r.setNetwork(); err != nil {
		return err
	}
	if err := unix.Sethostname([]byte(r.Hostname)); r.Hostname != "" && err != nil {
		return fmt.Errorf("setting the host name: %w", err)
	}
	root, etc, err := r.mountRoot()
	if err != nil {
		return err
	}
	if err := r.furnish(root, etc, dir); err != nil {
		return err
	}
	if r.ReadOnly {
		if err := mount.SetAttrs(root, unix.MOUNT_ATTR_RDONLY); err != nil {
			return fmt.Errorf("making the root file system read-only: %w", err)
		}
	}
	return moveInto(root)
}

// furnish mounts what belongs into a root file system. The order is that of runc: the system's own
// mounts, the user's over them, and what is hidden at last.
func (r *Root) furnish(root int, etc [3]int, dir string) error {
	if err := mountSystem(root); err != nil {
		return err
	}
	for i, name := range etcNames {
		if err := attachAt(root, etc[i], "/etc/"+name, true); err != nil {
			return err
		}
	}
	mounts := slices.Clone(r.Mounts)
	slices.SortStableFunc(mounts, func(a, b Mount) int { return depth(a.Target) - depth(b.Target) })
	for _, m := range mounts {
		if err := m.mountIn(root); err != nil {
			return err
		}
	}
	if err := hide(root); err != nil {
		return err
	}
	if dir == "" {
		return nil
	}
	fd, err := mount.MakeIn(root, dir, false)
	if err != nil && !errors.Is(err, unix.ENOTDIR) && !errors.Is(err, unix.EEXIST) && !errors.Is(err, unix.EROFS) {
		return fmt.Errorf("making the working directory %w", err)
	}
	unix.Close(fd) // what else is wrong with it, entering it says
	return nil
}

func depth(target string) int { return strings.Count(strings.Trim(target, "/"), "/") }

// setNetwork brings loopback up, which gives it 127.0.0.1 and ::1. net.ipv4.ping_group_range is
// "1 0" in every new network namespace, as it should be.
func (r *Root) setNetwork() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("bringing loopback up: %w", err)
	}
	defer unix.Close(fd)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	lo.SetUint16(unix.IFF_UP)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo); err != nil {
		return fmt.Errorf("bringing loopback up: %w", err)
	}
	const kernelDefault = 1024 // PROT_SOCK, include/net/sock.h
	if r.PortStart == kernelDefault {
		return nil
	}
	const file = "/proc/sys/net/ipv4/ip_unprivileged_port_start"
	if err := os.WriteFile(file, []byte(strconv.Itoa(r.PortStart)), 0); err != nil {
		return fmt.Errorf("setting the first unprivileged port: %w", err)
	}
	return nil
}

// mountRoot mounts the root file system over its own topmost directory, which is no one else's view:
// the mount namespace is new. It gives an O_PATH descriptor of it, and detached mounts of the
// three generated files of /etc.
func (r *Root) mountRoot() (root int, etc [3]int, err error) {
	at := r.Lower[0]
	var detached int
	if r.Upper == "" {
		if len(r.Lower) != 1 {
			return -1, etc, errors.New("[internal error] several directories need an upper one")
		}
		detached, err = mount.Copy(unix.AT_FDCWD, at)
	} else {
		detached, err = r.overlay()
	}
	if err != nil {
		return -1, etc, err
	}
	if etc, err = r.generated(at); err != nil {
		return -1, etc, err
	}
	target, err := unix.Open(at, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, etc, fmt.Errorf("mounting the root file system: %w", err)
	}
	if err := mount.Attach(detached, target); err != nil {
		return -1, etc, fmt.Errorf("mounting the root file system: %w", err)
	}
	root, err = unix.Open(at, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, etc, fmt.Errorf("opening the root file system: %w", err)
	}
	return root, etc, nil
}

// overlay gives the detached overlay of the directories. "volatile" spares syncs: the upper
// directory does not outlive the run's runner. In a user namespace its own attributes are user.*, as
// trusted.* belong to the first one: Documentation/filesystems/overlayfs.rst, Linux 5.11.
func (r *Root) overlay() (int, error) {
	for _, dir := range append([]string{r.Upper, r.Work}, r.Lower...) {
		if strings.ContainsAny(dir, `:,\`) {
			return -1, fmt.Errorf("[internal error] the directory %q cannot be part of an overlay", dir)
		}
	}
	options := "lowerdir=" + strings.Join(r.Lower, ":") + ",upperdir=" + r.Upper + ",workdir=" + r.Work + ",volatile"
	if inUserNamespace() {
		options += ",userxattr"
	}
	// fsconfig(2) takes at most 256 bytes of a value, mount(2) a page of all.
	if len(options) >= 4096 {
		return -1, fmt.Errorf("the paths of %d layers are too long for an overlay", len(r.Lower))
	}
	if err := unix.Mount("overlay", r.Lower[0], "overlay", 0, options); err != nil {
		return -1, fmt.Errorf("mounting the overlay of %d layers: %w", len(r.Lower), err)
	}
	return mount.Copy(unix.AT_FDCWD, r.Lower[0])
}

// inUserNamespace reports whether the stage is in another user namespace than the first one.
func inUserNamespace() bool {
	text, err := os.ReadFile("/proc/self/uid_map")
	return err != nil || strings.Join(strings.Fields(string(text)), " ") != "0 0 4294967295"
}

// moveInto makes root the root directory and takes everything else out of sight: pivot_root(2),
// "pivot_root(".", ".")".
func moveInto(root int) error {
	defer unix.Close(root)
	if err := unix.Fchdir(root); err != nil {
		return fmt.Errorf("entering the root file system: %w", err)
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("moving into the root file system: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("leaving the old root file system: %w", err)
	}
	if err := unix.Chdir("/"); err != nil {
		return fmt.Errorf("entering the root file system: %w", err)
	}
	return nil
}

// mountIn mounts a tmpfs or a volume of the run.
func (m Mount) mountIn(root int) error {
	missing := false
	if fd, err := mount.OpenIn(root, m.Target, unix.O_PATH); err == nil {
		unix.Close(fd)
	} else {
		missing = true
	}
	target, err := mount.MakeIn(root, m.Target, false)
	if err != nil {
		return fmt.Errorf("making the mount point %w", err)
	}
	var st unix.Stat_t
	var under unix.Statfs_t
	if err := errors.Join(unix.Fstat(target, &st), unix.Fstatfs(target, &under)); err != nil {
		return fmt.Errorf("looking at the mount point %s: %w", m.Target, err)
	}
	if under.Type == unix.PROC_SUPER_MAGIC || under.Type == unix.SYSFS_MAGIC {
		return fmt.Errorf("mounting at %s: it is inside /proc or /sys", m.Target) // as runc: checkProcMount
	}
	fs, err := m.fileSystem(st.Mode, missing)
	if err != nil {
		return fmt.Errorf("mounting at %s: %w", m.Target, err)
	}
	if err := mount.Attach(fs, target); err != nil {
		return fmt.Errorf("mounting at %s: %w", m.Target, err)
	}
	return nil
}

// fileSystem gives the detached mount. A tmpfs has the mode of the directory that it covers and
// belongs to root; where there was none it is 1777: measured with Docker 20.10 and runc 1.1.5.
func (m Mount) fileSystem(mode uint32, missing bool) (int, error) {
	if m.Source != "" {
		return mount.Copy(unix.AT_FDCWD, m.Source)
	}
	mode &= 0o7777
	if missing {
		mode = 0o1777
	}
	options := []string{"mode=" + strconv.FormatUint(uint64(mode), 8), "uid=0", "gid=0"}
	if m.Size > 0 {
		options = append(options, "size="+strconv.FormatInt(m.Size, 10))
	}
	return mount.New("tmpfs", mount.Quiet, options...)
}
