//go:build unix

package store

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// renamesOpenFiles says whether a file can get its name while it is open, and so locked.
const renamesOpenFiles = true

// lockFolder takes the exclusive lock of a folder, waiting for it. flock(2) works on the folder
// itself, so that no lock file stays behind, and ends with the process. unlock gives it back.
func lockFolder(dir string) (unlock func(), err error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := flock(f, unix.LOCK_EX); err != nil {
		f.Close()
		return nil, fmt.Errorf("locking %q: %w", dir, err)
	}
	return func() { f.Close() }, nil
}

// tryLock takes a file's exclusive lock if nobody has it; it is held until the file is closed.
func tryLock(f *os.File) bool { return flock(f, unix.LOCK_EX|unix.LOCK_NB) == nil }

func flock(f *os.File, how int) error {
	for {
		if err := unix.Flock(int(f.Fd()), how); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// syncFolder makes renames in a folder last through a power cut.
func syncFolder(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}
