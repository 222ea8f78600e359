package launch

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// A file system is made detached and then moved to a descriptor: no path of an image is ever given
// to a mount call. fsopen(2), fsmount(2), move_mount(2); Linux 5.2, mount_setattr(2) 5.12.

const quiet = unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOEXEC

// option is a parameter of a file system; a flag where the value is empty.
type option struct{ key, value string }

// newFS gives a new detached file system.
func newFS(kind string, attrs int, options ...option) (int, error) {
	fs, err := unix.Fsopen(kind, unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, fmt.Errorf("mounting %s: %w", kind, err)
	}
	defer unix.Close(fs)
	for _, o := range append([]option{{"source", kind}}, options...) {
		if o.value == "" {
			err = unix.FsconfigSetFlag(fs, o.key)
		} else {
			err = unix.FsconfigSetString(fs, o.key, o.value)
		}
		if err != nil {
			return -1, fmt.Errorf("mounting %s with %s=%s: %w", kind, o.key, o.value, err)
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

// copyOf gives a detached copy of the mount at a path, or of a directory or file in it.
func copyOf(dir int, path string) (int, error) {
	fd, err := unix.OpenTree(dir, path, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_EMPTY_PATH|unix.AT_SYMLINK_NOFOLLOW)
	if err != nil {
		return -1, fmt.Errorf("binding %s: %w", path, err)
	}
	return fd, nil
}

// setAttrs sets attributes of a mount itself.
func setAttrs(mount int, attrs uint64) error {
	return unix.MountSetattr(mount, "", unix.AT_EMPTY_PATH, &unix.MountAttr{Attr_set: attrs})
}

// attach puts a detached mount onto what target refers to, and closes both.
func attach(mount, target int) error {
	err := unix.MoveMount(mount, "", target, "", unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH)
	unix.Close(mount)
	unix.Close(target)
	return err
}
