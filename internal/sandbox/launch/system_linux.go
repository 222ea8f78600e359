package launch

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"unroot/internal/sandbox/mount"
)

// The mounts of a container are those of moby, daemon/pkg/oci/defaults.go, without cgroups: a run
// sees none.

// masked and readOnly are the paths that engines hide and protect.
var (
	masked = []string{
		"/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
		"/proc/sched_debug", "/proc/scsi", "/proc/timer_list", "/proc/timer_stats",
		"/sys/devices/virtual/powercap", "/sys/firmware",
	}
	readOnly = []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}
)

var (
	devices = []string{"null", "zero", "full", "random", "urandom", "tty"}
	links   = [][2]string{
		{"fd", "/proc/self/fd"}, {"stdin", "/proc/self/fd/0"}, {"stdout", "/proc/self/fd/1"},
		{"stderr", "/proc/self/fd/2"}, {"ptmx", "pts/ptmx"},
	}
	etcNames = [3]string{"hosts", "resolv.conf", "hostname"}
)

// mountSystem mounts /proc, /sys and /dev.
func mountSystem(root int) error {
	proc, err := mount.New("proc", mount.Quiet)
	if err != nil {
		return err
	}
	if err := attachPlain(root, proc, "/proc"); err != nil {
		return err
	}
	sys, err := mount.New("sysfs", mount.Quiet|unix.MOUNT_ATTR_RDONLY)
	if errors.Is(err, unix.EPERM) {
		// The kernel shows a new sysfs only to who sees the whole of another one, which a
		// container does not (mount_too_revealing in fs/namespace.c).
		sys, err = mount.New("tmpfs", mount.Quiet|unix.MOUNT_ATTR_RDONLY, "mode=555")
	}
	if err != nil {
		return err
	}
	if err := attachPlain(root, sys, "/sys"); err != nil {
		return err
	}
	return mountDev(root)
}

// mountDev makes a /dev of a few devices. Device nodes cannot be made in a user namespace, so they
// are bound from where the stage comes from.
func mountDev(root int) error {
	tmpfs, err := mount.New("tmpfs", unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_STRICTATIME,
		"mode=755", "uid=0", "gid=0", "size=65536k")
	if err != nil {
		return err
	}
	if err := attachAt(root, tmpfs, "/dev", false); err != nil {
		return err
	}
	dev, err := mount.OpenIn(root, "/dev", unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return fmt.Errorf("opening /dev: %w", err)
	}
	defer unix.Close(dev)
	for _, name := range devices {
		node, err := mount.Copy(unix.AT_FDCWD, "/dev/"+name)
		if err != nil {
			return err
		}
		if err := attachAt(dev, node, "/"+name, true); err != nil {
			return err
		}
	}
	for _, l := range links {
		if err := unix.Symlinkat(l[1], dev, l[0]); err != nil {
			return fmt.Errorf("making /dev/%s: %w", l[0], err)
		}
	}
	return mountInDev(dev)
}

func mountInDev(dev int) error {
	const noNode = unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NOEXEC
	for _, m := range []struct {
		at, kind string
		attrs    int
		options  []string
	}{
		{"/pts", "devpts", noNode, []string{"newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}},
		{"/shm", "tmpfs", mount.Quiet, []string{"mode=1777", "uid=0", "gid=0", "size=65536k"}},
		{"/mqueue", "mqueue", mount.Quiet, nil},
	} {
		fs, err := mount.New(m.kind, m.attrs, m.options...)
		if errors.Is(err, unix.ENODEV) {
			continue // a kernel without POSIX message queues
		}
		if err != nil {
			return err
		}
		if err := attachAt(dev, fs, m.at, false); err != nil {
			return err
		}
	}
	return nil
}

// attachPlain attaches to a directory of the root that must not be a symlink, as runc asks for.
func attachPlain(root, fs int, at string) error {
	var st unix.Stat_t
	err := unix.Fstatat(root, strings.TrimPrefix(at, "/"), &st, unix.AT_SYMLINK_NOFOLLOW)
	if err == nil && st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return fmt.Errorf("mounting %s: the image has something there that is not a directory", at)
	}
	return attachAt(root, fs, at, false)
}

// attachAt attaches to a path in the root, and makes it where it is missing.
func attachAt(root, fs int, at string, file bool) error {
	target, err := mount.MakeIn(root, at, file)
	if err != nil {
		return fmt.Errorf("making the mount point %w", err)
	}
	if err := mount.Attach(fs, target); err != nil {
		return fmt.Errorf("mounting %s: %w", at, err)
	}
	return nil
}

// hide masks and protects what engines do, where it is there.
func hide(root int) error {
	for _, path := range masked {
		if err := mask(root, path); err != nil {
			return fmt.Errorf("hiding %s: %w", path, err)
		}
	}
	for _, path := range readOnly {
		target, err := mount.OpenIn(root, path, unix.O_PATH)
		if errors.Is(err, unix.ENOENT) {
			continue
		}
		if err != nil {
			return fmt.Errorf("protecting %s: %w", path, err)
		}
		fs, err := mount.Copy(target, "")
		if err == nil {
			err = mount.SetAttrs(fs, unix.MOUNT_ATTR_RDONLY|mount.Quiet)
		}
		if err == nil {
			err = mount.Attach(fs, target)
		}
		if err != nil {
			return fmt.Errorf("protecting %s: %w", path, err)
		}
	}
	return nil
}

// mask covers a file with /dev/null and a directory with an empty one.
func mask(root int, path string) error {
	target, err := mount.OpenIn(root, path, unix.O_PATH)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Fstat(target, &st); err != nil {
		return err
	}
	var cover int
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		cover, err = mount.New("tmpfs", mount.Quiet|unix.MOUNT_ATTR_RDONLY, "mode=755", "size=0")
	} else {
		cover, err = mount.Copy(unix.AT_FDCWD, "/dev/null")
	}
	if err != nil {
		return err
	}
	return mount.Attach(cover, target)
}

// generated makes the files of /etc that engines generate, in a tmpfs that is left behind when the
// stage moves into its root, and gives a detached mount of each. at is a directory to cover.
func (r *Root) generated(at string) (etc [3]int, err error) {
	tmpfs, err := mount.New("tmpfs", mount.Quiet, "mode=755", "uid=0", "gid=0", "size=65536k")
	if err != nil {
		return etc, err
	}
	target, err := unix.Open(at, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return etc, fmt.Errorf("making files of /etc: %w", err)
	}
	if err := mount.Attach(tmpfs, target); err != nil {
		return etc, fmt.Errorf("making files of /etc: %w", err)
	}
	for i, name := range etcNames {
		if etc[i], err = r.generate(at + "/" + name); err != nil {
			return etc, fmt.Errorf("making /etc/%s: %w", name, err)
		}
	}
	return etc, nil
}

func (r *Root) generate(file string) (int, error) {
	text := ""
	switch {
	case strings.HasSuffix(file, "/hosts"):
		// Docker's lines, and the host's own name as Podman has it without a network.
		text = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n" +
			"fe00::0\tip6-localnet\nff00::0\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n"
		if r.Hostname != "" {
			text += "127.0.0.1\t" + r.Hostname + "\n"
		}
	case strings.HasSuffix(file, "/hostname") && r.Hostname != "":
		text = r.Hostname + "\n"
	}
	fd, err := unix.Open(file, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_CLOEXEC, 0o644)
	if err != nil {
		return -1, err
	}
	defer unix.Close(fd)
	if _, err := unix.Write(fd, []byte(text)); err != nil {
		return -1, err
	}
	return mount.Copy(unix.AT_FDCWD, file)
}
