// Package layer reads a layer's tar archive into entries in one pass, and writes one deterministic delta layer.
package layer

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/opencontainers/go-digest"

	"unroot/internal/rootfs"
)

// ScanOptions are what a layer is read with. The zero value has the default limits.
type ScanOptions struct {
	MediaType  string // as the manifest names it; empty: the bytes alone decide
	MaxSize    int64  // uncompressed bytes; 0: 64 GiB, and no more than 1000 times the stored size
	MaxEntries int    // 0: 4 million; names, links and attributes may take 128 bytes for each
	MaxWindow  int64  // bytes of zstd window; 0: 128 MiB, what the zstd program allows
	MaxContent int64  // bytes that ReadFiles holds at once; 0: 1 GiB
	KeepBytes  int64  // bytes of contents and mentions that Scan keeps; 0: 24 MiB

	trustSize bool  // MaxSize was given, so that a high ratio is no surprise
	bombBytes int64 // see bombRatio; tests set less
}

// A stream is taken for a bomb where it is larger than 1 GiB and than bombRatio times what is
// stored. Deflate cannot do much better than 1030:1, so this is for streams of nothing but zeros.
const bombRatio = 1000

// Limits that no option raises, because no engine could use more: PATH_MAX, and XATTR_SIZE_MAX of
// linux/limits.h.
const (
	maxNameBytes  = 4096
	maxXattrBytes = 64 << 10
	maxXattrs     = 1024
	metaPerEntry  = 128
)

// maxHeaderBytes is what archive/tar reads of one PAX header or GNU long name. All attributes of
// one file together cannot be larger.
const maxHeaderBytes = 1 << 20

func (o ScanOptions) withDefaults() ScanOptions {
	o.trustSize = o.MaxSize > 0
	if o.MaxSize <= 0 {
		o.MaxSize = 64 << 30
	}
	if o.bombBytes <= 0 {
		o.bombBytes = 1 << 30
	}
	if o.MaxEntries <= 0 {
		o.MaxEntries = 4_000_000
	}
	if o.MaxWindow <= 0 {
		o.MaxWindow = 128 << 20
	}
	if o.MaxContent <= 0 {
		o.MaxContent = 1 << 30
	}
	if o.KeepBytes <= 0 {
		o.KeepBytes = 24 << 20
	}
	return o
}

// Index is what reading a layer once has found.
type Index struct {
	DiffID    digest.Digest  // of the uncompressed tar archive
	Size      int64          // bytes of the uncompressed tar archive
	Entries   []rootfs.Entry // in the order of the archive; a name may come twice, the last one counts
	Truncated bool           // some contents or mentions were not kept, because KeepBytes was used up
}

// Scan reads a stored layer, whether gzip, zstd or plain tar, to its end. It keeps the contents and
// facts that may matter later (see keep.go), because the layer is not read again. Contents compete
// for opts.KeepBytes in the order of the archive: what no longer fits is dropped, what is smaller
// and comes later may still fit; the last quarter is for configuration folders only.
//
// Errors: a *LimitError, a *MediaTypeError, one with ErrCorrupt, or what r gave.
func Scan(r io.Reader, opts ScanOptions) (*Index, error) {
	opts = opts.withDefaults()
	s, err := openStream(r, opts, true)
	if err != nil {
		return nil, fmt.Errorf("reading layer: %w", err)
	}
	defer s.close()
	w := newWalker(s, opts)
	keep := newKeeper(opts.KeepBytes)
	var entries []rootfs.Entry
	err = w.each(func(e rootfs.Entry, h *tar.Header) error {
		if e.Kind == rootfs.File {
			if err := keep.file(&e, isSparse(h), w.tar); err != nil {
				return w.blame(err)
			}
		}
		entries = append(entries, e)
		return nil
	})
	if err == nil {
		err = s.drain()
	}
	if err != nil {
		return nil, fmt.Errorf("reading layer: %w", err)
	}
	return &Index{DiffID: s.digest(), Size: s.size, Entries: entries, Truncated: keep.truncated}, nil
}

// walker goes through the archive's headers.
type walker struct {
	in    *stream
	tar   *tar.Reader
	opts  ScanOptions
	names arena
	seen  int   // headers
	meta  int64 // bytes of names, links and attributes
}

func newWalker(s *stream, opts ScanOptions) *walker {
	return &walker{in: s, tar: tar.NewReader(s), opts: opts}
}

// each gives every entry that counts, with its header; the content may be read from w.tar.
//
// An archive may end without the two empty blocks that should end it: engines take such layers.
func (w *walker) each(visit func(rootfs.Entry, *tar.Header) error) error {
	for {
		h, err := w.tar.Next()
		if err == io.EOF { // archive/tar gives it bare at the end
			return nil
		}
		if err != nil && !errors.Is(err, tar.ErrInsecurePath) { // names are judged below
			return w.blame(err)
		}
		if w.seen++; w.seen > w.opts.MaxEntries {
			return &LimitError{What: "entries", Limit: int64(w.opts.MaxEntries), Flag: "--max-files"}
		}
		e, ok, err := w.entry(h)
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		if err := visit(e, h); err != nil {
			return err
		}
	}
}

// blame tells whether an error of archive/tar is one of the stream below it, or of the archive.
func (w *walker) blame(err error) error {
	if w.in.err != nil && w.in.err != io.EOF { // set by pump, never wrapped
		return w.in.err
	}
	if errors.Is(err, tar.ErrFieldTooLong) {
		return &LimitError{What: "bytes of one entry's extended header", Limit: maxHeaderBytes}
	}
	return corrupt(unexpected(err))
}

// isSparse tells whether the file's holes are not in the archive, so that a few stored bytes may
// stand for any size.
func isSparse(h *tar.Header) bool {
	if h.Typeflag == tar.TypeGNUSparse {
		return true
	}
	for k := range h.PAXRecords {
		if strings.HasPrefix(k, "GNU.sparse.") {
			return true
		}
	}
	return false
}
