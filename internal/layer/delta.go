package layer

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"math"
	"path"
	"slices"
	"strings"
	"time"

	"unroot/internal/rootfs"
)

// Delta is one layer to be laid over an image: what it adds, replaces and removes.
//
// It should name every folder above its entries too, with the mode, owner and time that the folder
// has in the image. Docker unpacks each layer by itself and makes a missing folder with mode 0755,
// owner root and the time of day, which then hides the folder of the layers below: a lone "/tmp/x"
// takes the 1777 from /tmp (seen with overlay2; opencontainers/image-spec issues 737 and 1221).
// containerd copies mode and owner from below. Parents lists what is missing.
//
// An entry for the root directory itself is applied by Docker, and passed over by containerd.
type Delta struct {
	Entries []DeltaEntry // in any order
}

// DeltaEntry is one entry of a delta. For a File, Entry.Size must be the length of Content; others
// have none. Of a Hardlink only Path and Link count: engines give the mode and the owner in a
// link's header to the target, so those of the target are written. Of a Whiteout and an Opaque only
// the path counts. Entry.Facts.Xattrs are written, other facts are not.
type DeltaEntry struct {
	Entry   rootfs.Entry
	Content []byte
}

// types are the tar types of what a delta may hold. An Entry does not have the numbers of a device,
// so that devices cannot be written.
var types = map[rootfs.Kind]byte{
	rootfs.File:     tar.TypeReg,
	rootfs.Dir:      tar.TypeDir,
	rootfs.Symlink:  tar.TypeSymlink,
	rootfs.Hardlink: tar.TypeLink,
	rootfs.Fifo:     tar.TypeFifo,
	rootfs.Whiteout: tar.TypeReg,
	rootfs.Opaque:   tar.TypeReg,
}

// Write writes the delta as a tar archive: sorted by path, so that folders come before what is in
// them; hard links last, after their targets. Headers are USTAR, with PAX records only for what
// USTAR cannot hold (large ids, long or non-ASCII names, attributes); no names of users or groups.
// The same entries in any order give the same bytes.
//
// It fails for what no engine would unpack as meant: a path twice (but Dir and Opaque go together),
// names that are not clean or that engines read as whiteouts, devices, a hard link to what is not a
// File of this delta (engines unpack a layer by itself), a size that is not the content's.
func (d Delta) Write(w io.Writer) error {
	entries, err := d.ordered()
	if err != nil {
		return fmt.Errorf("writing layer: %w", err)
	}
	tw := tar.NewWriter(w)
	for _, e := range entries {
		if err := writeEntry(tw, e); err != nil {
			return fmt.Errorf("writing layer entry %q: %w", e.Entry.Path, err)
		}
	}
	if err := tw.Close(); err != nil {
		return fmt.Errorf("writing layer: %w", err)
	}
	return nil
}

func writeEntry(tw *tar.Writer, e *DeltaEntry) error {
	h, err := header(&e.Entry)
	if err != nil {
		return err
	}
	if int64(len(e.Content)) != h.Size {
		return fmt.Errorf("its content has %d bytes, its size is %d", len(e.Content), h.Size)
	}
	if err := tw.WriteHeader(h); err != nil {
		return err
	}
	_, err = tw.Write(e.Content)
	return err
}

// ordered gives the entries as they are written. Hard links have got the header of their targets.
func (d Delta) ordered() ([]*DeltaEntry, error) {
	entries := make([]*DeltaEntry, len(d.Entries))
	files := map[string]*rootfs.Entry{}
	for i := range d.Entries {
		e := &d.Entries[i]
		entries[i] = e
		if e.Entry.Kind == rootfs.File {
			files[e.Entry.Path] = &e.Entry
		}
	}
	slices.SortFunc(entries, func(a, b *DeltaEntry) int { return compare(&a.Entry, &b.Entry) })
	if err := noneTwice(entries); err != nil {
		return nil, err
	}
	for i, e := range entries {
		if e.Entry.Kind != rootfs.Hardlink {
			continue
		}
		target, ok := files[e.Entry.Link]
		if !ok {
			return nil, fmt.Errorf("hard link %q: %q is not a file of this layer", e.Entry.Path, e.Entry.Link)
		}
		link := *target
		link.Path, link.Link, link.Kind, link.Size = e.Entry.Path, e.Entry.Link, rootfs.Hardlink, 0
		entries[i] = &DeltaEntry{Entry: link, Content: e.Content}
	}
	return entries, nil
}

// compare orders hard links behind all else, then by path; Opaque comes behind its directory.
func compare(a, b *rootfs.Entry) int {
	if (a.Kind == rootfs.Hardlink) != (b.Kind == rootfs.Hardlink) {
		if b.Kind == rootfs.Hardlink {
			return -1
		}
		return 1
	}
	if order := strings.Compare(a.Path, b.Path); order != 0 {
		return order
	}
	return int(a.Kind) - int(b.Kind)
}

// noneTwice finds paths that are named twice.
func noneTwice(entries []*DeltaEntry) error {
	type mark struct {
		path   string
		opaque bool
	}
	kinds := map[mark]rootfs.Kind{}
	for _, e := range entries {
		m := mark{e.Entry.Path, e.Entry.Kind == rootfs.Opaque}
		if _, ok := kinds[m]; ok {
			return fmt.Errorf("%q is in it twice", m.path)
		}
		kinds[m] = e.Entry.Kind
		if m.opaque {
			if below, ok := kinds[mark{path: m.path}]; ok && below != rootfs.Dir {
				return fmt.Errorf("%q is opaque and no directory", m.path)
			}
		}
	}
	return nil
}

// header gives the tar header of an entry.
func header(e *rootfs.Entry) (*tar.Header, error) {
	typeflag, ok := types[e.Kind]
	if !ok {
		return nil, fmt.Errorf("[internal error] entries of kind %d cannot be written", e.Kind)
	}
	name, err := archiveName(e)
	if err != nil {
		return nil, err
	}
	h := &tar.Header{Typeflag: typeflag, Name: name, ModTime: time.Unix(0, 0)}
	if e.Kind == rootfs.Whiteout || e.Kind == rootfs.Opaque {
		return h, nil
	}
	if e.UID == math.MaxUint32 || e.GID == math.MaxUint32 { // chown(2): "as it is"
		return nil, errors.New("[internal error] 4294967295 is no owner")
	}
	h.Mode, h.Uid, h.Gid = int64(e.Mode), int(e.UID), int(e.GID)
	h.ModTime = time.Unix(e.MTime, 0)
	switch e.Kind {
	case rootfs.File:
		h.Size = e.Size
	case rootfs.Symlink:
		h.Linkname = e.Link
	case rootfs.Hardlink:
		h.Linkname = strings.TrimPrefix(e.Link, "/")
	}
	if h.Linkname == "" && (e.Kind == rootfs.Symlink || e.Kind == rootfs.Hardlink) {
		return nil, errors.New("a link without a target")
	}
	setXattrs(h, e)
	return h, nil
}

func setXattrs(h *tar.Header, e *rootfs.Entry) {
	if e.Facts == nil || len(e.Facts.Xattrs) == 0 {
		return
	}
	h.PAXRecords = make(map[string]string, len(e.Facts.Xattrs))
	for k, v := range e.Facts.Xattrs {
		h.PAXRecords[xattrPrefix+k] = v
	}
}

// archiveName gives an entry's name in the archive: relative, directories with a slash at the end.
func archiveName(e *rootfs.Entry) (string, error) {
	if !path.IsAbs(e.Path) || path.Clean(e.Path) != e.Path {
		return "", errors.New("[internal error] the path is not absolute and clean")
	}
	if len(e.Path) > maxNameBytes {
		return "", &LimitError{What: "bytes in a name", Limit: maxNameBytes}
	}
	dir, base := path.Split(e.Path[1:])
	if strings.HasPrefix(base, whiteoutPrefix) || strings.HasPrefix(e.Path, "/"+aufsPrefix) {
		return "", errors.New("engines would take this name for a whiteout")
	}
	switch {
	case e.Kind == rootfs.Opaque:
		return path.Join(dir, base, opaqueName), nil
	case e.Kind == rootfs.Whiteout && base != "":
		return dir + whiteoutPrefix + base, nil
	case e.Kind == rootfs.Dir && base == "":
		return "./", nil
	case base == "":
		return "", errors.New("the root must be a directory")
	case e.Kind == rootfs.Dir:
		return dir + base + "/", nil
	}
	return dir + base, nil
}

// Parents gives the folders above the delta's entries that the delta does not name, sorted, without
// the root. See Delta for why they should be in it.
func (d Delta) Parents() []string {
	named := map[string]bool{}
	for i := range d.Entries {
		e := &d.Entries[i].Entry
		if e.Kind == rootfs.Dir {
			named[e.Path] = true
		}
	}
	var missing []string
	for i := range d.Entries {
		e := &d.Entries[i].Entry
		dir := path.Dir(e.Path)
		if e.Kind == rootfs.Opaque {
			dir = e.Path
		}
		for ; dir != "/" && dir != "." && !named[dir]; dir = path.Dir(dir) {
			named[dir] = true
			missing = append(missing, dir)
		}
	}
	slices.Sort(missing)
	return missing
}

// Cost is how many bytes of the uncompressed archive an entry takes: its header, with PAX records
// if it needs them, and for a File Entry.Size bytes of content in whole blocks of 512. It is 0 for
// what Write refuses.
func Cost(e rootfs.Entry) int64 {
	h, err := header(&e)
	if err != nil {
		return 0
	}
	var n counter
	if err := tar.NewWriter(&n).WriteHeader(h); err != nil {
		return 0
	}
	return int64(n) + (h.Size+511)/512*512
}

// counter counts what is written to it.
type counter int64

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}
