package sandbox

import (
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// giveToGroup gives a volume to a group as the kubelet does for fsGroup each time that a pod mounts it:
// everything gets the group and its rights to read and write, directories setgid and search too.
// https://github.com/kubernetes/kubernetes/blob/v1.34.0/pkg/volume/volume_linux.go, changeFilePermission
func giveToGroup(dir string, gid uint32) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if err := os.Lchown(path, -1, int(gid)); err != nil {
			return err
		}
		if d.Type()&fs.ModeSymlink != 0 {
			return nil
		}
		var stat unix.Stat_t
		if err := unix.Lstat(path, &stat); err != nil {
			return err
		}
		mode := stat.Mode&0o7777 | 0o660
		if d.IsDir() {
			mode |= unix.S_ISGID | 0o110
		}
		return unix.Chmod(path, mode)
	})
}
