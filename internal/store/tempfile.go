package store

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"time"
)

// tempName is the name of every file that is not finished. Its writer holds a lock on it, so that a
// later run can tell what a killed one left behind. It is narrow: what matches may be removed.
var tempName = regexp.MustCompile(`^\.unroot-[0-9a-f]{16}\.tmp$`)

func isTempName(name string) bool { return tempName.MatchString(name) }

// tempFile is a file that is written beside its final place and renamed into it when it is whole.
type tempFile struct {
	*os.File
	done bool
}

// createTemp makes a file in dir, with the mode that the umask leaves of mode.
func createTemp(dir string, mode fs.FileMode) (*tempFile, error) {
	for range 100 {
		var random [8]byte
		rand.Read(random[:])
		path := filepath.Join(dir, ".unroot-"+hex.EncodeToString(random[:])+".tmp")
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, mode)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if tryLock(f) && exists(path) {
			return &tempFile{File: f}, nil
		}
		f.Close() // a sweep came between creation and lock
	}
	return nil, fmt.Errorf("[internal error] creating a temporary file in %q: no free name", dir)
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// commit gives the whole file its final name. What was there before stays until then. Where sync is
// set, the bytes are on the disk before the name is.
func (t *tempFile) commit(path string, sync bool) error {
	if sync {
		if err := t.Sync(); err != nil {
			return err
		}
	}
	if !renamesOpenFiles {
		t.Close()
	}
	if err := os.Rename(t.Name(), path); err != nil {
		return err
	}
	t.done = true
	if renamesOpenFiles { // the lock is held until now, else another process's sweep could come between
		return t.Close()
	}
	return nil
}

// abort removes the file, unless it was committed. It is safe to call in every case.
func (t *tempFile) abort() {
	if !t.done {
		t.Close()
		os.Remove(t.Name())
		t.done = true
	}
}

// sweep removes the unfinished files in dir whose writer is gone. It does what it can: a file that
// stays harms nobody.
func sweep(dir string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, entry := range entries {
		if !isTempName(entry.Name()) || !entry.Type().IsRegular() {
			continue
		}
		if info, err := entry.Info(); err != nil || !renamesOpenFiles && time.Since(info.ModTime()) < time.Hour {
			continue // perhaps closed, and about to be renamed
		}
		path := filepath.Join(dir, entry.Name())
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			continue
		}
		if tryLock(f) {
			os.Remove(path)
		}
		f.Close()
	}
}

// writeAtomic replaces a small file as a whole.
func writeAtomic(path string, data []byte) error {
	t, err := createTemp(filepath.Dir(path), 0o644)
	if err != nil {
		return err
	}
	defer t.abort()
	if _, err := t.Write(data); err != nil {
		return err
	}
	return t.commit(path, true)
}
