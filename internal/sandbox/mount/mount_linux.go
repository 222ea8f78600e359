package mount

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// The calls: fsopen(2), fsmount(2), open_tree(2), move_mount(2), Linux 5.2; mount_setattr(2), 5.12.

// Quiet is the attributes of a mount on which there is nothing but data.
const Quiet = unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOEXEC

// New gives a new detached file system; attrs is of unix.MOUNT_ATTR_*, an option
// is "key=value" or the name of a flag.
func New(kind string, attrs int, options ...string) (int, error) {
	fs, err := unix.Fsopen(kind, unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, fmt.Errorf("mounting %s: %w", kind, err)
	}
	defer unix.Close(fs)
	for _, o := range append([]string{"source=" + kind}, options...) {
		if key, value, ok := strings.Cut(o, "="); ok {
			err = unix.FsconfigSetString(fs, key, value)
		} else {
			err = unix.FsconfigSetFlag(fs, o)
		}
		if err != nil {
			return -1, fmt.Errorf("mounting %s with %s: %w", kind, o, err)
		}
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return -1, fmt.Errorf("mounting %s: %w", kind, err)
	}
	mount, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, attrs)
	if err != nil {
		return -1, fmt.Errorf("mounting %s: %w", kind, err)
	}
	return mount, nil
}

// Copy gives a detached copy of the mount at a path, or of a directory or file in it.
func Copy(dir int, path string) (int, error) {
	fd, err := unix.OpenTree(dir, path, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_EMPTY_PATH|unix.AT_SYMLINK_NOFOLLOW)
	if err != nil {
		return -1, fmt.Errorf("binding %s: %w", path, err)
	}
	return fd, nil
}

// CopyAll is Copy for a directory with all that is mounted below it.
func CopyAll(dir int, path string) (int, error) {
	fd, err := unix.OpenTree(dir, path, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE)
	if err != nil {
		return -1, fmt.Errorf("binding %s: %w", path, err)
	}
	return fd, nil
}

// SetAttrs sets attributes of a mount itself.
func SetAttrs(mount int, attrs uint64) error {
	return unix.MountSetattr(mount, "", unix.AT_EMPTY_PATH, &unix.MountAttr{Attr_set: attrs})
}

// Attach puts a detached mount onto what target refers to, and closes both.
func Attach(mount, target int) error {
	err := unix.MoveMount(mount, "", target, "", unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH)
	unix.Close(mount)
	unix.Close(target)
	return err
}
