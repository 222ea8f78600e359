package sandbox

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"unroot/internal/sandbox/mount"
	"unroot/internal/verify"
)

// volume gives the directory of a named volume, and makes it where it is new. It is a file system of
// its own, of the size of limit, and lives as long as the lab. A volume that is seeded by the image
// is filled whenever a run finds it empty, as Docker does it.
func (l *laboratory) volume(v verify.Volume, lower []string, limit int64) (string, error) {
	dir, err := l.seeded(v, lower, limit)
	if err != nil || v.Group == 0 {
		return dir, err
	}
	return dir, giveToGroup(dir, v.Group)
}

func (l *laboratory) seeded(v verify.Volume, lower []string, limit int64) (string, error) {
	if l.volumes == nil {
		l.volumes = map[string]string{}
	}
	dir, ok := l.volumes[v.Name]
	if !ok {
		dir = "/v/" + strconv.Itoa(len(l.volumes)+1)
		if err := os.Mkdir(dir, 0o755); err != nil {
			return "", err
		}
		if err := mountTmpfs(dir, limit); err != nil {
			return "", err
		}
		l.volumes[v.Name] = dir
	}
	if v.Seed != verify.SeedImage {
		return dir, nil
	}
	list, err := os.ReadDir(dir)
	if err != nil || len(list) > 0 {
		return dir, err
	}
	return dir, fill(dir, v.Path, lower)
}

// fill copies the image's directory into the volume. An image without it leaves the volume as it is.
func fill(dir, path string, lower []string) error {
	root := lower[0]
	if len(lower) > 1 {
		if err := mountOverlay("/m", "", "", lower); err != nil {
			return err
		}
		defer unix.Unmount("/m", unix.MNT_DETACH)
		root = "/m"
	}
	from, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(from)
	source, err := mount.OpenIn(from, path, unix.O_RDONLY|unix.O_DIRECTORY)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("opening %s of the image: %w", path, err)
	}
	defer unix.Close(source)
	to, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(to)
	return copyTree(source, to)
}
