package layer

import (
	"archive/tar"
	"errors"
	"math"
	"path"
	"strings"

	"unroot/internal/rootfs"
)

// Names of whiteouts: image-spec layer.md, "Whiteouts". Other names with the double prefix are the
// aufs driver's own bookkeeping (".wh..wh.plnk", ".wh..wh.aufs"), which engines do not unpack.
const (
	whiteoutPrefix = ".wh."
	aufsPrefix     = whiteoutPrefix + whiteoutPrefix
	opaqueName     = aufsPrefix + ".opq"
)

// Prefixes of PAX records. Engines read extended attributes from SCHILY.xattr only (moby go-archive,
// containerd pkg/archive); LIBARCHIVE.xattr, which bsdtar writes beside it, is not read.
const (
	xattrPrefix   = "SCHILY.xattr."
	windowsPrefix = "MSWINDOWS."
)

var (
	errNUL     = errors.New("the name holds a NUL byte")
	errOutside = errors.New("the name leaves the root")
)

// kinds are the types of entries that engines unpack. They refuse others.
var kinds = map[byte]rootfs.Kind{
	tar.TypeReg:       rootfs.File,
	tar.TypeGNUSparse: rootfs.File,
	tar.TypeDir:       rootfs.Dir,
	tar.TypeSymlink:   rootfs.Symlink,
	tar.TypeLink:      rootfs.Hardlink,
	tar.TypeChar:      rootfs.CharDevice,
	tar.TypeBlock:     rootfs.BlockDevice,
	tar.TypeFifo:      rootfs.Fifo,
}

// entry turns a header into an entry; false for what engines pass over.
func (w *walker) entry(h *tar.Header) (e rootfs.Entry, ok bool, err error) {
	if h.Typeflag == tar.TypeXGlobalHeader {
		return e, false, nil
	}
	if len(h.Name) > maxNameBytes || len(h.Linkname) > maxNameBytes {
		return e, false, &LimitError{What: "bytes in a name", Limit: maxNameBytes}
	}
	name, err := cleanName(h.Name)
	if err != nil {
		return e, false, corruptEntry(h.Name, err.Error())
	}
	e, ok, err = whiteout(name)
	if err != nil {
		return e, false, corruptEntry(h.Name, err.Error())
	}
	if ok && e.Kind == 0 {
		err = w.fill(&e, h, name)
	}
	if !ok || err != nil {
		return e, false, err
	}
	e.Path = w.names.absolute(e.Path)
	return e, true, w.count(&e)
}

// fill sets what a header says of a file. Path is left as name, relative to the root.
func (w *walker) fill(e *rootfs.Entry, h *tar.Header, name string) error {
	kind, known := kinds[h.Typeflag]
	if !known {
		return corruptEntry(h.Name, "unknown type of entry '"+string(rune(h.Typeflag))+"'")
	}
	if name == "" && kind != rootfs.Dir {
		return corruptEntry(h.Name, "the root must be a directory")
	}
	uid, okUID := id(int64(h.Uid))
	gid, okGID := id(int64(h.Gid))
	if !okUID || !okGID {
		return corruptEntry(h.Name, "the owner is no id")
	}
	*e = rootfs.Entry{
		Path: name, MTime: h.ModTime.Unix(), UID: uid, GID: gid,
		Mode: uint16(h.Mode & 0o7777), Kind: kind,
	}
	if kind == rootfs.File {
		e.Size = h.Size
	}
	if err := w.link(e, h); err != nil {
		return err
	}
	return xattrs(e, h)
}

// link sets the target of a link. A hard link's target is a name in the archive.
func (w *walker) link(e *rootfs.Entry, h *tar.Header) error {
	switch e.Kind {
	case rootfs.Symlink:
		if strings.IndexByte(h.Linkname, 0) >= 0 {
			return corruptEntry(h.Name, "the link's target holds a NUL byte")
		}
		e.Link = w.names.keep(h.Linkname)
	case rootfs.Hardlink:
		target, err := cleanName(h.Linkname)
		if err == nil && target == "" {
			err = errors.New("it is the root")
		}
		if err != nil {
			return corruptEntry(h.Name, "target of the hard link: "+err.Error())
		}
		e.Link = w.names.absolute(target)
	}
	return nil
}

// cleanName gives the shortest name relative to the root; "" for the root itself. Engines take
// absolute names as relative to the root, and refuse those that leave it.
func cleanName(name string) (string, error) {
	if strings.IndexByte(name, 0) >= 0 {
		return "", errNUL
	}
	name = strings.TrimLeft(name, "/")
	for strings.HasPrefix(name, "./") { // so that path.Clean need not copy most names
		name = strings.TrimLeft(name[2:], "/")
	}
	name = path.Clean(name)
	if name == "." {
		return "", nil
	}
	if name == ".." || strings.HasPrefix(name, "../") {
		return "", errOutside
	}
	return name, nil
}

// whiteout tells whether a name is an instruction to the layers below: then e has its kind. It is
// false for bookkeeping of aufs, wherever engines pass over it.
func whiteout(name string) (e rootfs.Entry, ok bool, err error) {
	if strings.HasPrefix(name, aufsPrefix) && name != opaqueName {
		return e, false, nil
	}
	dir, base := path.Split(name)
	if !strings.HasPrefix(base, whiteoutPrefix) {
		return e, true, nil
	}
	dir = strings.TrimSuffix(dir, "/")
	if base == opaqueName {
		return rootfs.Entry{Path: dir, Kind: rootfs.Opaque}, true, nil
	}
	if strings.HasPrefix(base, aufsPrefix) {
		return e, false, nil
	}
	// containerd, pkg/archive.validateWhiteout: "..", "." and "" would remove the folder itself.
	target := base[len(whiteoutPrefix):]
	if target == "" || target == "." || target == ".." {
		return e, false, errors.New("a whiteout that names no file")
	}
	return rootfs.Entry{Path: path.Join(dir, target), Kind: rootfs.Whiteout}, true, nil
}

// id gives an owner as the kernel would set it. Engines hand the header's number to lchown, which
// takes 32 bits of it (macOS has -2 for nobody), and takes -1 for "as it is", which is root.
func id(n int64) (uint32, bool) {
	if n < math.MinInt32 || n > math.MaxUint32 {
		return 0, false
	}
	if uint32(n) == math.MaxUint32 {
		return 0, true
	}
	return uint32(n), true
}

// xattrs keeps the extended attributes that engines would set.
func xattrs(e *rootfs.Entry, h *tar.Header) error {
	var found map[string]string
	for k, v := range h.PAXRecords {
		if strings.HasPrefix(k, windowsPrefix) {
			return &MediaTypeError{Reason: "a layer of a Windows image; only Linux images can be read"}
		}
		if len(v) > maxXattrBytes && strings.HasPrefix(k, xattrPrefix) {
			return &LimitError{What: "bytes in an extended attribute", Limit: maxXattrBytes}
		}
		name, ok := strings.CutPrefix(k, xattrPrefix)
		if !ok || name == "" {
			continue
		}
		if found == nil {
			found = map[string]string{}
		}
		found[name] = v
	}
	if len(found) > maxXattrs {
		return &LimitError{What: "extended attributes of one file", Limit: maxXattrs}
	}
	if found != nil {
		facts(e).Xattrs = found
	}
	return nil
}

// facts gives the entry's facts, to be set.
func facts(e *rootfs.Entry) *rootfs.Facts {
	if e.Facts == nil {
		e.Facts = &rootfs.Facts{}
	}
	return e.Facts
}

// count bounds the memory that names, links and attributes take: a tar archive of long names
// compresses to almost nothing.
func (w *walker) count(e *rootfs.Entry) error {
	w.meta += int64(len(e.Path) + len(e.Link))
	if e.Facts != nil {
		for k, v := range e.Facts.Xattrs {
			w.meta += int64(len(k) + len(v))
		}
	}
	limit := max(int64(w.opts.MaxEntries)*metaPerEntry, 16<<20)
	if w.meta > limit {
		return &LimitError{What: "bytes of names, links and attributes", Limit: limit, Flag: "--max-files"}
	}
	return nil
}

// arena keeps many short strings in few allocations.
type arena struct{ block strings.Builder }

// arenaBytes is the size of one block: large enough to make allocations rare, small enough not to
// matter for a layer of one file.
const arenaBytes = 16 << 10

// absolute keeps a clean relative name with a slash before it.
func (a *arena) absolute(name string) string {
	a.room(len(name) + 1)
	start := a.block.Len()
	a.block.WriteByte('/')
	a.block.WriteString(name)
	return a.block.String()[start:]
}

// keep keeps a copy of s, so that the larger string that it is a part of need not live on.
func (a *arena) keep(s string) string {
	a.room(len(s))
	start := a.block.Len()
	a.block.WriteString(s)
	return a.block.String()[start:]
}

// room starts a new block where n more bytes would make the builder move its old ones.
func (a *arena) room(n int) {
	if a.block.Cap()-a.block.Len() >= n {
		return
	}
	a.block = strings.Builder{}
	a.block.Grow(max(arenaBytes, n))
}
