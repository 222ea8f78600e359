package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"unroot/internal/image"
)

// layoutFile is the content of the file oci-layout.
var layoutFile = mustJSON(ocispec.ImageLayout{Version: ocispec.ImageLayoutVersion})

// putLayout adds an image to an OCI layout and makes the folder where there is none. All blobs and
// manifests are on the disk before index.json, the only file that is replaced, leads to them.
func (s *Store) putLayout(ctx context.Context, ref Ref, source image.Source) (string, error) {
	created, err := prepareLayout(ref.Path)
	if err != nil {
		return "", err
	}
	root, err := s.writeLayout(ctx, ref, source)
	if err != nil {
		removeEmptyLayout(ref.Path, created)
	}
	return root, err
}

func (s *Store) writeLayout(ctx context.Context, ref Ref, source image.Source) (string, error) {
	sweep(ref.Path)
	b, err := s.bundle(ctx, source, ocispec.MediaTypeImageManifest)
	defer b.close()
	if err != nil {
		return "", err
	}
	w := layoutWriter{dir: ref.Path, home: folder(ref.Path).home()}
	group, groupContext := errgroup.WithContext(ctx)
	group.SetLimit(s.jobs())
	for _, l := range b.blobs {
		group.Go(func() error { return w.put(groupContext, l) })
	}
	for _, m := range b.manifests {
		group.Go(func() error { return w.put(groupContext, m) })
	}
	if err := group.Wait(); err != nil {
		return "", err
	}
	if err := syncFolder(filepath.Join(ref.Path, ocispec.ImageBlobsDir, "sha256")); err != nil {
		return "", err
	}
	root := b.root()
	return root.Digest.String(), w.publish(root, ref.Name)
}

// prepareLayout makes the folders and says whether the outermost is new. Something else than a layout
// is not touched.
func prepareLayout(dir string) (created bool, err error) {
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		created = true
	case err != nil:
		return false, err
	case checkLayoutVersion(folder(dir)) != nil && !isUnfinished(entries):
		return false, hinted(fail(ErrNotFound, "the folder is not empty and not an OCI layout"), "name a folder that does not exist")
	}
	return created, os.MkdirAll(filepath.Join(dir, ocispec.ImageBlobsDir, "sha256"), 0o755)
}

// isUnfinished knows an empty folder and that of a first put which has not written oci-layout yet:
// it was killed, or is another process's at this moment.
func isUnfinished(entries []fs.DirEntry) bool {
	return !slices.ContainsFunc(entries, func(e fs.DirEntry) bool {
		return e.Name() != ocispec.ImageBlobsDir && e.Name() != ocispec.ImageIndexFile && !isTempName(e.Name())
	})
}

// removeEmptyLayout takes back the folders of a put that failed before it wrote anything: a folder
// that holds something is not removed.
func removeEmptyLayout(dir string, created bool) {
	os.Remove(filepath.Join(dir, ocispec.ImageBlobsDir, "sha256"))
	os.Remove(filepath.Join(dir, ocispec.ImageBlobsDir))
	if created {
		os.Remove(dir)
	}
}

// layoutWriter adds to one layout.
type layoutWriter struct {
	dir  string
	home home
}

// put writes a blob, unless the layout has it whole.
func (w layoutWriter) put(ctx context.Context, l image.Layer) error {
	d := l.Descriptor()
	path := filepath.Join(w.dir, filepath.FromSlash(blobPath(d.Digest)))
	if w.has(path, l) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	in, err := l.Open(ctx)
	if err != nil {
		return err
	}
	defer in.Close()
	t, err := createTemp(w.dir, 0o644)
	if err != nil {
		return fmt.Errorf("writing blob %s: %w", d.Digest, err)
	}
	defer t.abort()
	n, err := io.Copy(t, &contextReader{ctx, in})
	if err == nil && n != d.Size {
		err = fail(ErrCorrupt, "%d bytes instead of %d", n, d.Size)
	}
	if err == nil {
		err = t.commit(path, true)
	}
	if err != nil {
		return fmt.Errorf("writing blob %s: %w", d.Digest, err)
	}
	return nil
}

// has says whether the blob's file is there and whole. One that was read from this very layout is
// taken by its size; of any other the digest is computed.
func (w layoutWriter) has(path string, l image.Layer) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() || info.Size() != l.Descriptor().Size {
		return false
	}
	if b, ok := l.(*blob); ok && b.home.layout != "" && b.home.layout == w.home.layout {
		return true
	}
	_, err = io.Copy(io.Discard, newVerifier(f, l.Descriptor()))
	return err == nil
}

// publish leads a tag to the root. The lock is held while index.json is read and replaced, so that
// of two writers at once neither loses its entry.
func (w layoutWriter) publish(root ocispec.Descriptor, tag string) error {
	unlock, err := lockFolder(w.dir)
	if err != nil {
		return err
	}
	defer unlock()
	index := &layoutIndex{}
	data, err := readSmall(folder(w.dir), ocispec.ImageIndexFile, maxManifest)
	switch {
	case errors.Is(err, ErrNotFound):
	case err != nil:
		return err
	default:
		if index, err = parseLayoutIndex(data); err != nil {
			return err
		}
	}
	if err := writeAtomic(filepath.Join(w.dir, ocispec.ImageIndexFile), index.with(root, tag)); err != nil {
		return fmt.Errorf("writing %s: %w", ocispec.ImageIndexFile, err)
	}
	if !exists(filepath.Join(w.dir, ocispec.ImageLayoutFile)) { // last: by it a layout is known
		if err := writeAtomic(filepath.Join(w.dir, ocispec.ImageLayoutFile), layoutFile); err != nil {
			return fmt.Errorf("writing %s: %w", ocispec.ImageLayoutFile, err)
		}
	}
	return syncFolder(w.dir)
}

// with gives index.json with the tag on the root; other entries stay as they are. Without a tag it
// replaces the entry of an image that has none.
func (l *layoutIndex) with(root ocispec.Descriptor, tag string) []byte {
	entry := ocispec.Descriptor{MediaType: root.MediaType, Digest: root.Digest, Size: root.Size}
	if tag != "" {
		entry.Annotations = map[string]string{refName: tag}
	}
	manifests := []json.RawMessage{}
	for _, e := range l.entries {
		if e.Annotations[refName] != tag || e.isReferrer() {
			manifests = append(manifests, e.raw)
		}
	}
	return l.marshal(append(manifests, mustJSON(entry)))
}

// marshal gives the index with these entries, and all other fields as they came.
func (l *layoutIndex) marshal(manifests []json.RawMessage) []byte {
	fields := map[string]json.RawMessage{
		"schemaVersion": mustJSON(specs.Versioned{SchemaVersion: 2}.SchemaVersion),
		"mediaType":     mustJSON(ocispec.MediaTypeImageIndex),
	}
	for key, value := range l.fields {
		fields[key] = value
	}
	fields["manifests"] = mustJSON(manifests)
	return mustJSON(fields)
}
