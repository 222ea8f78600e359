package image

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path"

	"github.com/klauspost/readahead"
	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"unroot/internal/account"
	"unroot/internal/layer"
	"unroot/internal/rootfs"
)

// View is one platform's image, read-only: the config as it came, the merged file tree, and the
// few file contents that matter.
type View struct {
	Image  *Image
	Config Config
	Tree   *rootfs.Tree

	layers int
}

// Indexes keeps what was read of a layer, by the digest of its stored bytes. What it gives back may
// be damaged; the reader finds out.
type Indexes interface {
	Get(key string) ([]byte, bool)
	Put(key string, data []byte)
}

// Options is how an image is read.
type Options struct {
	Scan     layer.ScanOptions
	Indexes  Indexes // nil: every layer is read
	Parallel int     // layers at once; 0 for two
}

// Open reads an image: every layer in one pass, several layers at once, nothing unpacked. It fails
// where a layer is not what the manifest or the config say.
func Open(ctx context.Context, img *Image, opts Options) (*View, error) {
	config, err := ParseConfig(img.Config)
	if err != nil {
		return nil, err
	}
	if ids := config.DiffIDs(); len(ids) != len(img.Layers) {
		return nil, fmt.Errorf("reading the image config: it lists %d layers, the image has %d", len(ids), len(img.Layers))
	}
	indexes := make([]*layer.Index, len(img.Layers))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(max(opts.Parallel, 2))
	for i, l := range img.Layers {
		group.Go(func() error {
			index, err := readLayer(ctx, l, config.DiffIDs()[i], opts)
			if err != nil {
				return fmt.Errorf("reading layer %d (%s): %w", i+1, l.Descriptor().Digest, err)
			}
			indexes[i] = index
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	layers := make([][]rootfs.Entry, len(indexes))
	for i, index := range indexes {
		layers[i] = index.Entries
	}
	tree, err := rootfs.Merge(layers...)
	if err != nil {
		return nil, err
	}
	return &View{Image: img, Config: config, Tree: tree, layers: len(layers)}, nil
}

func readLayer(ctx context.Context, l Layer, want digest.Digest, opts Options) (*layer.Index, error) {
	key := l.Descriptor().Digest.String()
	if opts.Indexes != nil {
		if data, ok := opts.Indexes.Get(key); ok {
			if index, err := layer.Decode(data); err == nil {
				return index, checkDiffID(index, want)
			}
		}
	}
	index, err := scanLayer(ctx, l, opts.Scan)
	if err != nil {
		return nil, err
	}
	if opts.Indexes != nil {
		var b bytes.Buffer
		if err := index.Encode(&b); err == nil {
			opts.Indexes.Put(key, b.Bytes())
		}
	}
	return index, checkDiffID(index, want)
}

func checkDiffID(index *layer.Index, want digest.Digest) error {
	if index.DiffID != want {
		return fmt.Errorf("its content is %s, the image config says %s", index.DiffID, want)
	}
	return nil
}

// How much of a stored layer is read ahead of its decompression: the network and the digest of the
// stored bytes then cost no time of the decompression, which is the longest part.
const (
	aheadBuffers = 4
	aheadBytes   = 1 << 20 // of one buffer
)

func scanLayer(ctx context.Context, l Layer, opts layer.ScanOptions) (*layer.Index, error) {
	opts.MediaType = l.Descriptor().MediaType
	stored, err := l.Open(ctx)
	if err != nil {
		return nil, err
	}
	r, err := readahead.NewReadCloserSize(stored, aheadBuffers, aheadBytes)
	if err != nil {
		return nil, errors.Join(err, stored.Close())
	}
	index, err := layer.Scan(r, opts)
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	// What is left behind the archive's end still counts for the digest of the blob. Only the reader's
	// Read is used: its WriteTo gives io.EOF for an end that was seen before.
	if _, err := io.Copy(io.Discard, struct{ io.Reader }{r}); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return index, r.Close()
}

// Extend is the view of img, which is v's image with one layer more, without reading or merging the
// layers below again.
func (v *View) Extend(img *Image, top *layer.Index) (*View, error) {
	config, err := ParseConfig(img.Config)
	if err != nil {
		return nil, err
	}
	next := &View{Image: img, Config: config, Tree: v.Tree, layers: v.layers}
	if top != nil {
		next.layers++
		if next.Tree, err = v.Tree.Extend(v.layers, top.Entries); err != nil {
			return nil, err
		}
	}
	if got, want := next.layers, len(config.DiffIDs()); got != want {
		return nil, fmt.Errorf("[internal error] %d layers under a config of %d", got, want)
	}
	return next, nil
}

// ErrNotKept is returned by Content for a file whose content the first pass did not keep.
var ErrNotKept = errors.New("content was not kept")

// Content is the content of the regular file that the path leads to, where the first pass kept it.
func (v *View) Content(p string) ([]byte, error) {
	node, err := v.Tree.Resolve(p)
	if err != nil {
		return nil, err
	}
	entry := node.Entry()
	if entry.Kind != rootfs.File {
		return nil, fmt.Errorf("%q: not a regular file", p)
	}
	if entry.Size == 0 {
		return []byte{}, nil
	}
	if entry.Facts == nil || entry.Facts.Content == nil {
		return nil, fmt.Errorf("%q: %w", p, ErrNotKept)
	}
	return entry.Facts.Content, nil
}

// ReadFiles reads whole files, by their real paths in the tree, in a second pass over the layers
// that hold them. It fails where the files together have more than limit bytes.
func (v *View) ReadFiles(ctx context.Context, paths []string, limit int64) (map[string][]byte, error) {
	wanted := map[int]map[string][]string{} // layer → path of the entry → paths asked for
	for _, p := range paths {
		node, err := v.Tree.Lookup(p)
		if err != nil {
			return nil, err
		}
		if limit -= node.Entry().Size; limit < 0 {
			return nil, fmt.Errorf("reading %q: more bytes than the limit for repeated files", p)
		}
		n := node.Layer()
		if wanted[n] == nil {
			wanted[n] = map[string][]string{}
		}
		source := node.Entry().Path
		wanted[n][source] = append(wanted[n][source], p)
	}
	out := map[string][]byte{}
	for n, names := range wanted {
		if err := v.readFrom(ctx, n, names, out); err != nil {
			return nil, fmt.Errorf("reading layer %d again: %w", n+1, err)
		}
	}
	for _, p := range paths {
		if _, ok := out[p]; !ok {
			return nil, fmt.Errorf("[internal error] %q is not in its layer", p)
		}
	}
	return out, nil
}

func (v *View) readFrom(ctx context.Context, n int, names map[string][]string, out map[string][]byte) error {
	l := v.Image.Layers[n]
	r, err := l.Open(ctx)
	if err != nil {
		return err
	}
	defer r.Close()
	opts := layer.ScanOptions{MediaType: l.Descriptor().MediaType}
	want := func(p string) bool { return names[p] != nil }
	return layer.ReadFiles(r, opts, want, func(e rootfs.Entry, content io.Reader) error {
		if e.Kind != rootfs.File {
			return nil
		}
		b, err := io.ReadAll(content)
		for _, p := range names[e.Path] {
			out[p] = b
		}
		return err
	})
}

// Accounts is the image's own account files; empty ones where the image has none or where they are
// too large to be true.
func (v *View) Accounts() (account.Passwd, account.Group) {
	passwd, _ := v.Content("/etc/passwd")
	group, _ := v.Content("/etc/group")
	return account.ParsePasswd(passwd), account.ParseGroup(group)
}

// Abs is a path of the image made absolute from the working directory.
func (v *View) Abs(p string) string {
	if path.IsAbs(p) {
		return path.Clean(p)
	}
	return path.Join(v.Config.WorkingDir(), p)
}
