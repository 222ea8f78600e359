//go:build linux

package prepare

import (
	"hash/fnv"
	"strconv"

	"golang.org/x/sys/unix"
)

// maxPrivate bounds a private file: keys and configuration are small.
const maxPrivate = 64 << 20

// checksum reads an open file from its beginning and gives a spelling of what it holds. It tells two
// versions of an image apart, and is no defence: whoever can change the one can change the other.
func checksum(fd int) (sum string, size int64, err error) {
	h := fnv.New128a()
	buf := make([]byte, 32<<10)
	for {
		n, err := unix.Pread(fd, buf, size)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return "", 0, err
		}
		if n == 0 {
			break
		}
		if size += int64(n); size > maxPrivate {
			return "", 0, unix.EFBIG
		}
		_, _ = h.Write(buf[:n]) // never fails (hash.Hash)
	}
	const digits = "0123456789abcdef"
	out := make([]byte, 0, 64)
	for _, b := range h.Sum(nil) {
		out = append(out, digits[b>>4], digits[b&15])
	}
	return string(strconv.AppendInt(append(out, ' '), size, 10)), size, nil
}

// copyContent copies an open file, from its beginning to its end.
func copyContent(to, from int) error {
	buf := make([]byte, 64<<10)
	for at := int64(0); ; {
		n, err := unix.Pread(from, buf, at)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		if n == 0 {
			return nil
		}
		if err := writeAll(to, buf[:n]); err != nil {
			return err
		}
		at += int64(n)
	}
}

func writeAll(fd int, b []byte) error {
	for len(b) > 0 {
		n, err := unix.Write(fd, b)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// replace puts a file in place of what has a name, all of it or nothing.
func replace(at int, name string, mode uint32, write func(fd int) error) error {
	fd, temp, err := createTemp(at)
	if err != nil {
		return err
	}
	if err = write(fd); err == nil {
		err = unix.Fchmod(fd, mode)
	}
	unix.Close(fd)
	if err == nil {
		err = unix.Renameat(at, temp, at, name)
	}
	if err != nil {
		_ = unix.Unlinkat(at, temp, 0) // the first error counts
	}
	return err
}

// createTemp makes a file with a name that nothing else has.
func createTemp(at int) (fd int, name string, err error) {
	for i := range 100 {
		name = tempName(i)
		fd, err = unix.Openat(at, name, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
		if err != unix.EEXIST {
			break
		}
	}
	return fd, name, err
}
