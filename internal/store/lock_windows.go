package store

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/windows"
)

// renamesOpenFiles says whether a file can get its name while it is open, and so locked.
const renamesOpenFiles = false

// lockFolder takes the exclusive lock of a folder, waiting for it. Windows locks no folders, so the
// lock is on a file in it, which stays.
func lockFolder(dir string) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(dir, ".unroot-lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := lockFile(f, 0); err != nil {
		f.Close()
		return nil, fmt.Errorf("locking %q: %w", dir, err)
	}
	return func() { f.Close() }, nil
}

// tryLock takes a file's exclusive lock if nobody has it; it is held until the file is closed.
func tryLock(f *os.File) bool { return lockFile(f, windows.LOCKFILE_FAIL_IMMEDIATELY) == nil }

func lockFile(f *os.File, flags uint32) error {
	// One byte far behind the end: Windows' locks are mandatory, and the content must stay readable.
	return windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|flags, 0, 1, 0,
		&windows.Overlapped{OffsetHigh: 0x7fffffff})
}

// syncFolder does nothing: Windows cannot sync a folder.
func syncFolder(string) error { return nil }
