package sandbox

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	maxEntries  = 2_000_000 // of one layer; the same as rootfs.MaxNodes
	maxUnmapped = 100       // ids that are collected before it is too much
	whiteout    = ".wh."    // OCI image specification, layer.md, "Whiteouts"
	opaque      = ".wh..wh..opq"
	xattrRecord = "SCHILY.xattr."
)

// unpacked is what came of a layer that was unpacked.
type unpacked struct {
	Error    string   `json:"error,omitempty"`
	Full     bool     `json:"full,omitempty"`     // the error: there was no room
	Unmapped []uint32 `json:"unmapped,omitempty"` // ids that owners have and the user namespace has not
	Devices  int      `json:"devices,omitempty"`  // that became empty files
	Attrs    int      `json:"attrs,omitempty"`    // extended attributes that could not be set
}

// errFull says that what is unpacked is larger than the room for it.
var errFull = errors.New("more than there is room for")

// unpacker lays one layer over the directory that is the root directory of its thread. The rules are
// those of rootfs.Merge, so that what runs is what was looked at.
type unpacker struct {
	unpacked
	room    int64           // bytes that may still be written
	entries int             //
	mine    map[string]bool // paths that this layer has: a whiteout hides none of them
	dirs    []dirTime       // set at the end: what is made in a directory changes its time
	buf     []byte
}

type dirTime struct {
	path string
	time time.Time
}

// unpackInto unpacks a tar archive into a directory. It does so on a thread of its own, whose root
// directory that is: the kernel itself resolves every path and symlink of the archive inside it. The
// thread ends afterwards.
func unpackInto(dir string, archive io.Reader, room int64) (unpacked, error) {
	u := &unpacker{room: room, mine: map[string]bool{}, buf: make([]byte, 256<<10)}
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked
		before, e := unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err = errors.Join(e, unix.Unshare(unix.CLONE_FS), unix.Chroot(dir), unix.Chdir("/")); err == nil {
			err = u.all(archive)
		}
		// The thread may end a little later; the directory must not be in use then.
		_ = errors.Join(unix.Fchdir(before), unix.Chroot("."), unix.Close(before))
	}()
	<-done
	u.Full = errors.Is(err, errFull) || errors.Is(err, unix.ENOSPC)
	return u.unpacked, err
}

func (u *unpacker) all(archive io.Reader) error {
	unix.Umask(0) // of this thread: it belongs to what CLONE_FS is about
	tr := tar.NewReader(archive)
	for {
		h, err := tr.Next()
		if err == io.EOF { // archive/tar never wraps it
			break
		}
		if err != nil {
			return fmt.Errorf("reading the archive: %w", err)
		}
		if u.entries++; u.entries > maxEntries {
			return fmt.Errorf("more than %d entries", maxEntries)
		}
		if err := u.entry(h, tr); err != nil {
			return fmt.Errorf("unpacking %.200q: %w", h.Name, err)
		}
	}
	for _, d := range slices.Backward(u.dirs) {
		setTime(d.path, d.time) // one that was replaced since is not worth an error
	}
	_, err := io.Copy(io.Discard, archive)
	return err
}

func (u *unpacker) entry(h *tar.Header, r io.Reader) error {
	name := path.Clean("/" + h.Name)
	dir, base := path.Split(name)
	switch {
	case strings.IndexByte(name, 0) >= 0 || strings.IndexByte(h.Linkname, 0) >= 0:
		return errors.New("the name has a zero byte")
	case h.Typeflag == tar.TypeXGlobalHeader:
		return nil
	case base == opaque:
		return u.hideUnder(path.Clean(dir))
	case strings.HasPrefix(base, whiteout+whiteout):
		return nil // other metadata of AUFS
	case strings.HasPrefix(base, whiteout):
		return u.hide(path.Join(dir, strings.TrimPrefix(base, whiteout)))
	}
	if name != "/" {
		if err := u.parent(path.Clean(dir)); err != nil {
			return err
		}
	} else if h.Typeflag != tar.TypeDir {
		return errors.New("the root directory cannot be replaced")
	}
	if err := u.make(name, h, r); err != nil {
		return err
	}
	u.mine[name] = true
	return nil
}

// parent makes the directories above an entry that no layer has named.
func (u *unpacker) parent(dir string) error {
	if dir == "/" || u.mine[dir] {
		return nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for d := dir; d != "/" && !u.mine[d]; d = path.Dir(d) {
		u.mine[d] = true
	}
	return nil
}

// make makes one file of any kind, in place of what is there; a directory keeps its children.
func (u *unpacker) make(name string, h *tar.Header, r io.Reader) error {
	if h.Typeflag == tar.TypeDir {
		if err := u.makeDir(name); err != nil {
			return err
		}
		u.dirs = append(u.dirs, dirTime{name, h.ModTime})
		return u.describe(name, h)
	}
	err := u.makeFile(name, h, r)
	if errors.Is(err, fs.ErrExist) {
		if err := os.RemoveAll(name); err != nil {
			return err
		}
		err = u.makeFile(name, h, r)
	}
	return err
}

func (u *unpacker) makeDir(name string) error {
	err := os.Mkdir(name, 0o700)
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	info, err := os.Lstat(name)
	if err != nil || info.IsDir() {
		return err
	}
	if err := os.Remove(name); err != nil {
		return err
	}
	return os.Mkdir(name, 0o700)
}

func (u *unpacker) makeFile(name string, h *tar.Header, r io.Reader) error {
	switch h.Typeflag {
	case tar.TypeReg, tar.TypeGNUSparse, tar.TypeCont:
		return u.makeRegular(name, h, r)
	case tar.TypeLink:
		target := path.Clean("/" + h.Linkname)
		return unix.Linkat(unix.AT_FDCWD, target, unix.AT_FDCWD, name, 0)
	case tar.TypeSymlink:
		if err := os.Symlink(h.Linkname, name); err != nil {
			return err
		}
	case tar.TypeFifo:
		if err := unix.Mkfifo(name, 0o600); err != nil {
			return err
		}
	case tar.TypeChar, tar.TypeBlock:
		// Device nodes cannot be made in a user namespace (mknod(2), EPERM).
		f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		f.Close()
		if !strings.HasPrefix(name, "/dev/") { // a run has a /dev of its own
			u.Devices++
		}
	default:
		return fmt.Errorf("entry of the unknown type %q", h.Typeflag)
	}
	return u.describe(name, h)
}

func (u *unpacker) makeRegular(name string, h *tar.Header, r io.Reader) error {
	if u.room -= h.Size; u.room < 0 {
		return errFull
	}
	fd, err := unix.Open(name, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), name)
	_, err = io.CopyBuffer(struct{ io.Writer }{f}, r, u.buf)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return u.describe(name, h)
}

// describe sets owner, mode, attributes and time of what was just made.
func (u *unpacker) describe(name string, h *tar.Header) error {
	if err := u.chown(name, h.Uid, h.Gid); err != nil {
		return err
	}
	if h.Typeflag != tar.TypeSymlink {
		if err := unix.Fchmodat(unix.AT_FDCWD, name, uint32(h.Mode)&0o7777, 0); err != nil {
			return err
		}
	}
	for key, value := range h.PAXRecords {
		attr, ok := strings.CutPrefix(key, xattrRecord)
		if !ok {
			continue
		}
		if err := u.setAttr(name, attr, value); err != nil {
			return err
		}
	}
	setTime(name, h.ModTime)
	return nil
}

// chown collects ids that the user namespace has not: there may be more than one.
func (u *unpacker) chown(name string, uid, gid int) error {
	for _, id := range []int{uid, gid} {
		if id < 0 || int64(id) >= int64(^uint32(0)) { // the last one stands for none: chown(2)
			return fmt.Errorf("the owner %d is no id", id)
		}
	}
	err := unix.Fchownat(unix.AT_FDCWD, name, uid, gid, unix.AT_SYMLINK_NOFOLLOW)
	if !errors.Is(err, unix.EINVAL) {
		return err
	}
	for i, id := range []int{uid, gid} {
		ids := [2]int{-1, -1}
		ids[i] = id
		if unix.Fchownat(unix.AT_FDCWD, name, ids[0], ids[1], unix.AT_SYMLINK_NOFOLLOW) == nil || slices.Contains(u.Unmapped, uint32(id)) {
			continue
		}
		if len(u.Unmapped) >= maxUnmapped {
			return fmt.Errorf("more than %d owners above 65535", maxUnmapped)
		}
		u.Unmapped = append(u.Unmapped, uint32(id))
	}
	return nil
}

// setAttr sets an extended attribute. Those of overlayfs are not taken from an image: they would
// tell the kernel what lies under another directory. File capabilities get this namespace's root
// from the kernel (user_namespaces(7), version 3). What the file system or the namespace does not
// take is counted.
func (u *unpacker) setAttr(name, attr, value string) error {
	if strings.Contains(attr, ".overlay.") {
		return nil
	}
	err := unix.Lsetxattr(name, attr, []byte(value), 0)
	switch {
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.EINVAL):
		u.Attrs++
		return nil
	}
	return err
}

func setTime(name string, at time.Time) {
	ts, err := unix.TimeToTimespec(at)
	if err == nil {
		_ = unix.UtimesNanoAt(unix.AT_FDCWD, name, []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW)
	}
}

// hide removes what lower layers have at a path, and keeps what is of this one.
func (u *unpacker) hide(name string) error {
	if name == "/" {
		return errors.New("the root directory cannot be removed")
	}
	if u.mine[name] {
		return u.hideUnder(name)
	}
	err := os.RemoveAll(name)
	if errors.Is(err, unix.ENOTDIR) {
		return nil // nothing can be there
	}
	return err
}

// hideUnder is hide for what is in a directory.
func (u *unpacker) hideUnder(dir string) error {
	info, err := os.Lstat(dir)
	if err != nil || !info.IsDir() {
		return nil // a directory of this layer may come later; then nothing is under it yet
	}
	list, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range list {
		if err := u.hide(path.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}
