package sandbox

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"unroot/internal/sandbox/launch"
	"unroot/internal/sandbox/mount"
)

// The lab's own root file system, a tmpfs with next to nothing:
//
//	/proc  the lab's pids          /i/N    unpacked layers
//	/sys   read-only               /v/N    volumes
//	/dev   what runs are given     /r/N    what a run writes
//	/m     a mount point           /d      the folder for big images
//
// The names are short because the paths of a run's layers go into one page of mount options.
var labDirs = []string{"proc", "sys", "dev", "i", "v", "r", "m", "d"}

var labDevices = []string{"null", "zero", "full", "random", "urandom", "tty"}

// labName is the host name where a run has none: the machine's own is nobody's business.
const labName = "unroot"

// buildWorld moves the lab into its own root file system. Of the host nothing is left in sight but the devices, and the
// folder, if there is one.
func buildWorld(room int64, folder int) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("making mounts private: %w", err)
	}
	if err := errors.Join(unix.Sethostname([]byte(labName)), unix.Setdomainname([]byte("(none)"))); err != nil {
		return fmt.Errorf("naming the lab: %w", err)
	}
	root, err := labRoot(room)
	if err != nil {
		return err
	}
	defer unix.Close(root)
	if err := furnishLab(root, folder); err != nil {
		return err
	}
	if err := unix.Fchdir(root); err != nil {
		return err
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("leaving the host's file system: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("leaving the host's file system: %w", err)
	}
	return unix.Chdir("/")
}

// labRoot mounts the tmpfs over a directory that every system has.
func labRoot(room int64) (int, error) {
	fs, err := mount.New("tmpfs", unix.MOUNT_ATTR_NODEV, "mode=755", "uid=0", "gid=0", fmt.Sprintf("size=%d", room), "nr_inodes=4000000")
	if err != nil {
		return -1, err
	}
	for _, at := range []string{"/tmp", "/var", "/usr", "/etc"} {
		target, err := unix.Open(at, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			continue
		}
		if err := mount.Attach(fs, target); err != nil {
			return -1, fmt.Errorf("mounting a tmpfs over %s: %w", at, err)
		}
		root, err := unix.Open(at, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return -1, fmt.Errorf("opening the tmpfs: %w", err)
		}
		return root, nil
	}
	unix.Close(fs)
	return -1, errors.New("this system has neither /tmp nor /var, /usr or /etc")
}

var errMasked = errors.New("no whole /proc is in sight")

// furnishLab fills the lab's root. A new proc and a new sysfs are mounted while the host's are still
// there: the kernel grants them only to who can see whole ones already (mount_too_revealing in
// fs/namespace.c).
func furnishLab(root, folder int) error {
	for _, dir := range labDirs {
		if err := unix.Mkdirat(root, dir, 0o755); err != nil {
			return fmt.Errorf("making /%s: %w", dir, err)
		}
	}
	proc, err := mount.New("proc", mount.Quiet)
	if errors.Is(err, unix.EPERM) {
		return fmt.Errorf("%w: %w", errMasked, err)
	}
	if err != nil {
		return err
	}
	if err := put(root, proc, "/proc", false); err != nil {
		return err
	}
	sys, err := mount.New("sysfs", mount.Quiet|unix.MOUNT_ATTR_RDONLY)
	switch {
	case err == nil:
		if err := put(root, sys, "/sys", false); err != nil {
			return err
		}
	case !errors.Is(err, unix.EPERM): // without one, runs have an empty /sys
		return err
	}
	for _, name := range labDevices {
		node, err := mount.Copy(unix.AT_FDCWD, "/dev/"+name)
		if err != nil {
			return err
		}
		if err := put(root, node, "/dev/"+name, true); err != nil {
			return err
		}
	}
	if err := bringLibraries(root); err != nil {
		return err
	}
	if folder < 0 {
		return nil
	}
	disk, err := mount.Copy(folder, "")
	if err != nil {
		return fmt.Errorf("the folder for big images: %w", err)
	}
	return put(root, disk, "/d", false)
}

// libraries is where the loader of dynamic programs and what it loads are.
var libraries = []string{"/lib", "/lib64", "/lib32", "/usr/lib", "/usr/lib64", "/usr/lib32", "/nix/store", "/gnu/store"}

// bringLibraries makes the lab's root one in which this program can be executed. A static one, as
// it is built for releases, needs nothing for that.
func bringLibraries(root int) error {
	if static("/proc/self/exe") {
		return nil
	}
	for _, dir := range libraries {
		if text, err := os.Readlink(dir); err == nil {
			if err := unix.Symlinkat(text, root, dir[1:]); err != nil && !errors.Is(err, unix.ENOENT) {
				return fmt.Errorf("making %s: %w", dir, err)
			}
			continue
		}
		fs, err := mount.CopyAll(unix.AT_FDCWD, dir)
		if err != nil {
			continue // there is none
		}
		if err := put(root, fs, dir, false); err != nil {
			return err
		}
	}
	return nil
}

// static reports whether a program names no interpreter.
func static(file string) bool {
	f, err := elf.Open(file)
	if err != nil {
		return true
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return false
		}
	}
	return true
}

func put(root, fs int, at string, file bool) error {
	target, err := mount.MakeIn(root, at, file)
	if err != nil {
		return err
	}
	if err := mount.Attach(fs, target); err != nil {
		return fmt.Errorf("mounting %s: %w", at, err)
	}
	return nil
}

// becomeRoot makes the process the root of its user namespace. It was started with all capabilities
// as ambient ones, because the namespace had no ids yet, and execve takes the others from who is
// not its root (capabilities(7)). What the change of ids resets is set again.
func becomeRoot() error {
	if err := syscall.Setgroups(nil); err != nil {
		return fmt.Errorf("becoming root of the user namespace: setgroups: %w", err)
	}
	if err := syscall.Setresgid(0, 0, 0); err != nil {
		return fmt.Errorf("becoming root of the user namespace: setresgid: %w", err)
	}
	if err := syscall.Setresuid(0, 0, 0); err != nil {
		return fmt.Errorf("becoming root of the user namespace: setresuid: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("becoming root of the user namespace: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
		return fmt.Errorf("becoming root of the user namespace: %w", err)
	}
	return nil
}

// readOnlySelf gives a descriptor of this program through a read-only mount, for what is started
// inside of runs: nobody there can write to the host's file through /proc/PID/exe, whatever its mode
// (CVE-2019-5736).
func readOnlySelf() (int, error) {
	fd, err := unix.Open("/proc/self/exe", unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return -1, err
	}
	if st.Mode&0o5 != 0o5 {
		return -1, unix.EACCES // the namespace's root is nobody to the host
	}
	self, err := mount.Copy(fd, "")
	if err != nil {
		return -1, err
	}
	if err := mount.SetAttrs(self, unix.MOUNT_ATTR_RDONLY|unix.MOUNT_ATTR_NOSUID); err != nil {
		return -1, err
	}
	// It refers to the file, and is as good to execute. The number is a high one because
	// syscall.ForkExec moves the files of a child about, over any number a little above theirs.
	defer unix.Close(self)
	return unix.FcntlInt(uintptr(self), unix.F_DUPFD_CLOEXEC, 900)
}

// protectSelf sees to it that what is executed inside of runs cannot be written from there. Where
// a read-only mount cannot be had, because the program's file was replaced or is not for everybody,
// this process goes on as a sealed copy in memory.
func protectSelf() {
	if self, err := readOnlySelf(); err == nil {
		launch.Executable = fmt.Sprintf("/proc/self/fd/%d", self)
		return
	}
	if link, err := os.Readlink("/proc/self/exe"); err == nil && strings.HasPrefix(link, "/memfd:") {
		return // the copy
	}
	err := executeCopy()
	fmt.Fprintln(os.Stderr, fmt.Errorf("protecting this program from the images that it runs: %w", err))
	os.Exit(1)
}

// executeCopy executes a sealed copy of this program in place of it.
func executeCopy() error {
	from, err := os.Open("/proc/self/exe")
	if err != nil {
		return err
	}
	defer from.Close()
	fd, err := unix.MemfdCreate("unroot", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING|unix.MFD_EXEC)
	if errors.Is(err, unix.EINVAL) { // before Linux 6.3 there is no MFD_EXEC
		fd, err = unix.MemfdCreate("unroot", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	}
	if err != nil {
		return err
	}
	to := os.NewFile(uintptr(fd), "unroot")
	if _, err := io.Copy(to, from); err != nil {
		return err
	}
	const seals = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals); err != nil {
		return err
	}
	// What is open for writing cannot be executed: execve(2), ETXTBSY.
	ro, err := unix.Open(fmt.Sprintf("/proc/self/fd/%d", fd), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	to.Close()
	return syscall.Exec(fmt.Sprintf("/proc/self/fd/%d", ro), os.Args, os.Environ())
}

// tmpfsServes reports whether a tmpfs takes the attributes that overlayfs needs in a user namespace:
// user.*, since Linux 6.6.
func tmpfsServes(dir string) bool {
	value := []byte("y")
	if unix.Setxattr(dir, "user.overlay.unroot", value, 0) != nil {
		return false
	}
	got := make([]byte, 8)
	n, err := unix.Getxattr(dir, "user.overlay.unroot", got)
	_ = unix.Removexattr(dir, "user.overlay.unroot")
	return err == nil && bytes.Equal(got[:n], value)
}
