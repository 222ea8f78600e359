package layer

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"

	"unroot/internal/rootfs"
)

// ReadFiles reads the stored layer again for the content of named files, such as a program whose
// setuid bit goes. It calls each, after the whole layer was read, once for every path that want
// asks for and the layer has, in the order of the archive. Of a name that comes twice only the last
// entry counts. Whiteouts are not asked for; an entry that is not a File has an empty content, and
// of a Hardlink the target is the path to ask for.
//
// The contents are held in memory until then: more than opts.MaxContent fails with a *LimitError.
// Other errors are those of Scan, and what each gives.
func ReadFiles(r io.Reader, opts ScanOptions, want func(path string) bool, each func(rootfs.Entry, io.Reader) error) error {
	opts = opts.withDefaults()
	found, err := collect(r, opts, want)
	if err != nil {
		return fmt.Errorf("reading layer: %w", err)
	}
	for i := range found {
		f := found[i]
		if f.replaced {
			continue
		}
		found[i].content = nil // the caller has it now
		if err := each(f.entry, bytes.NewReader(f.content)); err != nil {
			return err
		}
	}
	return nil
}

// wantedFile is one entry that was asked for.
type wantedFile struct {
	entry    rootfs.Entry
	content  []byte
	replaced bool // by a later entry of the same name
}

// collect reads the layer to its end.
func collect(r io.Reader, opts ScanOptions, want func(path string) bool) ([]wantedFile, error) {
	s, err := openStream(r, opts, false)
	if err != nil {
		return nil, err
	}
	defer s.close()
	w := newWalker(s, opts)
	var found []wantedFile
	last := map[string]int{}
	left := opts.MaxContent
	err = w.each(func(e rootfs.Entry, _ *tar.Header) error {
		if e.Kind == rootfs.Whiteout || e.Kind == rootfs.Opaque || !want(e.Path) {
			return nil
		}
		if i, ok := last[e.Path]; ok {
			left += int64(len(found[i].content))
			found[i] = wantedFile{replaced: true}
		}
		if e.Size > left {
			return &LimitError{What: "bytes of files to repeat", Limit: opts.MaxContent}
		}
		content, err := readContent(w.tar, e.Size)
		if err != nil {
			return w.blame(err)
		}
		left -= e.Size
		last[e.Path] = len(found)
		found = append(found, wantedFile{entry: e, content: content})
		return nil
	})
	if err == nil {
		err = s.drain()
	}
	return found, err
}

// readContent reads a file of a known size. The size may be a lie, so that the buffer grows with
// what is really there.
func readContent(r io.Reader, size int64) ([]byte, error) {
	var b bytes.Buffer
	b.Grow(int(min(size, 1<<20)))
	n, err := b.ReadFrom(io.LimitReader(r, size))
	if err == nil && n < size {
		err = io.ErrUnexpectedEOF
	}
	return b.Bytes(), err
}
