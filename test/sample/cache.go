package sample

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// cacheDir is where what takes long to make is kept from run to run; safe to delete.
func cacheDir() (string, error) {
	base, err := os.UserCacheDir() // $XDG_CACHE_HOME, else ~/.cache
	if err != nil {
		return "", err
	}
	dir := filepath.Join(base, "unroot-oracles")
	return dir, os.MkdirAll(dir, 0o755)
}

// cached gives the file PREFIX KEY ".tar" of the cache, made by make where it is not there yet; files
// with the same prefix and another key go then. Two processes do not make it twice, and a file that
// is there is whole.
func cached(prefix, key string, make func(path string) error) (string, error) {
	dir, err := cacheDir()
	if err != nil {
		return "", fmt.Errorf("finding the cache folder: %w", err)
	}
	path := filepath.Join(dir, prefix+key+".tar")
	lock, err := os.OpenFile(filepath.Join(dir, prefix+"lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return "", fmt.Errorf("locking %q: %w", path, err)
	}
	defer lock.Close() // and with it the lock
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return "", fmt.Errorf("locking %q: %w", path, err)
	}
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	part := path + ".part"
	defer os.Remove(part)
	if err := errors.Join(forget(dir, prefix), make(part)); err != nil {
		return "", err
	}
	return path, os.Rename(part, path)
}

// forget removes what earlier inputs left. A key has 16 characters: a prefix that goes on is another one.
func forget(dir, prefix string) error {
	old, err := filepath.Glob(filepath.Join(dir, prefix+"????????????????.tar"))
	for _, path := range old {
		err = errors.Join(err, os.Remove(path))
	}
	return err
}
