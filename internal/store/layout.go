package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"unroot/internal/image"
)

// refName is the annotation that holds a tag in index.json (image-spec, image-layout.md).
const refName = ocispec.AnnotationRefName

// layoutIndex is index.json, its entries kept as they came for a writer.
type layoutIndex struct {
	fields  map[string]json.RawMessage
	entries []layoutEntry
}

type layoutEntry struct {
	ocispec.Descriptor
	raw json.RawMessage
}

func parseLayoutIndex(data []byte) (*layoutIndex, error) {
	index := &layoutIndex{}
	if err := json.Unmarshal(data, &index.fields); err != nil {
		return nil, fail(ErrCorrupt, "reading %s: %w", ocispec.ImageIndexFile, err)
	}
	var raw []json.RawMessage
	if err := json.Unmarshal(orNull(index.fields["manifests"]), &raw); err != nil {
		return nil, fail(ErrCorrupt, "reading %s: %w", ocispec.ImageIndexFile, err)
	}
	for _, r := range raw {
		entry := layoutEntry{raw: r}
		if err := json.Unmarshal(r, &entry.Descriptor); err != nil {
			return nil, fail(ErrCorrupt, "reading %s: %w", ocispec.ImageIndexFile, err)
		}
		if err := checkDigest(entry.Digest); err != nil {
			return nil, fmt.Errorf("reading %s: %w", ocispec.ImageIndexFile, err)
		}
		index.entries = append(index.entries, entry)
	}
	return index, nil
}

func orNull(raw json.RawMessage) json.RawMessage {
	if raw == nil {
		return json.RawMessage("null")
	}
	return raw
}

// find gives the entry of a tag, or, without a tag, the only one.
func (l *layoutIndex) find(tag string) (layoutEntry, error) {
	var found []layoutEntry
	for _, e := range l.entries {
		if tag == "" && !e.isReferrer() || tag != "" && e.Annotations[refName] == tag {
			found = append(found, e)
		}
	}
	switch {
	case len(found) == 0 && tag == "":
		return layoutEntry{}, fail(ErrNotFound, "it holds no image")
	case len(found) == 0:
		return layoutEntry{}, hinted(fail(ErrNotFound, "it holds no image with the tag %q", tag), "%s", l.tagsHint())
	}
	for _, e := range found[1:] {
		if e.Digest != found[0].Digest {
			return layoutEntry{}, hinted(fail(ErrNotFound, "it holds %d images%s", len(found), forTag(tag)), "%s", l.tagsHint())
		}
	}
	return found[0], nil
}

func forTag(tag string) string {
	if tag == "" {
		return ""
	}
	return fmt.Sprintf(" with the tag %q", tag)
}

// tagsHint lists what there is, briefly.
func (l *layoutIndex) tagsHint() string {
	var tags []string
	for _, e := range l.entries {
		if t := e.Annotations[refName]; t != "" {
			tags = append(tags, strconv.Quote(t))
		}
	}
	return listHint("name one of its tags", tags)
}

func listHint(what string, names []string) string {
	slices.Sort(names)
	names = slices.Compact(names)
	switch {
	case len(names) == 0:
		return "its images have no tag; copy the one that you want with skopeo or crane"
	case len(names) > 20:
		return fmt.Sprintf("%s: %s and %d more", what, strings.Join(names[:20], ", "), len(names)-20)
	}
	return what + ": " + strings.Join(names, ", ")
}

// blobFiles is what an OCI layout is to its reader: files by slash-separated name, in a folder or an
// archive. size is that of the file.
type blobFiles interface {
	open(name string) (r io.ReadCloser, size int64, err error)
	home() home
}

// folder is the blobFiles of a layout on disk.
type folder string

func (f folder) open(name string) (io.ReadCloser, int64, error) {
	path := filepath.Join(string(f), filepath.FromSlash(name))
	info, err := os.Stat(path) // first: opening a named pipe would wait for a writer
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, fail(ErrNotFound, "%w", err)
	}
	if err != nil {
		return nil, 0, err
	}
	if !info.Mode().IsRegular() {
		return nil, 0, fail(ErrCorrupt, "%q is not a regular file", path)
	}
	file, err := os.Open(path)
	return file, info.Size(), err
}

func (f folder) home() home { return home{layout: cleanPath(string(f))} }

// cleanPath gives one name for one existing file or folder, as far as that can be known.
func cleanPath(p string) string {
	if abs, err := filepath.Abs(p); err == nil {
		p = abs
	}
	if real, err := filepath.EvalSymlinks(p); err == nil {
		p = real
	}
	return p
}

// layoutContent reads an OCI layout.
type layoutContent struct{ files blobFiles }

func blobPath(d digest.Digest) string {
	return path.Join(ocispec.ImageBlobsDir, d.Algorithm().String(), d.Encoded())
}

func (l layoutContent) open(d ocispec.Descriptor) (io.ReadCloser, error) {
	if err := checkDigest(d.Digest); err != nil { // it becomes a path
		return nil, err
	}
	r, size, err := l.files.open(blobPath(d.Digest))
	if err != nil {
		return nil, err
	}
	if size != d.Size {
		r.Close()
		return nil, fail(ErrCorrupt, "blob %s: the file has %d bytes, its descriptor says %d", d.Digest, size, d.Size)
	}
	return r, nil
}

func (l layoutContent) read(d ocispec.Descriptor, limit int64) ([]byte, error) {
	r, err := l.open(d)
	if err != nil {
		return nil, err
	}
	return readVerified(r, d, limit)
}

func (l layoutContent) manifest(_ context.Context, d ocispec.Descriptor) ([]byte, error) {
	return l.read(d, maxManifest)
}

func (l layoutContent) config(_ context.Context, d ocispec.Descriptor) ([]byte, error) {
	return l.read(d, maxConfig)
}

func (l layoutContent) layer(d ocispec.Descriptor) *blob {
	return &blob{
		descriptor: d,
		open:       func(context.Context) (io.ReadCloser, error) { return l.open(d) },
		home:       l.files.home(),
	}
}

// readSmall reads a file that has no digest, such as index.json.
func readSmall(files blobFiles, name string, limit int64) ([]byte, error) {
	r, size, err := files.open(name)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if size > limit {
		return nil, fail(ErrLimit, "%s has %d bytes, at most %d are read", name, size, limit)
	}
	return io.ReadAll(io.LimitReader(r, limit))
}

func readLayoutIndex(dir string) (*layoutIndex, error) { return openLayoutIndex(folder(dir)) }

func openLayoutIndex(files blobFiles) (*layoutIndex, error) {
	data, err := readSmall(files, ocispec.ImageIndexFile, maxManifest)
	if err != nil {
		return nil, err
	}
	return parseLayoutIndex(data)
}

// checkLayoutVersion reads the file oci-layout, by which a layout is known.
func checkLayoutVersion(files blobFiles) error {
	data, err := readSmall(files, ocispec.ImageLayoutFile, 1<<16)
	if err != nil {
		return err
	}
	var version ocispec.ImageLayout
	if err := json.Unmarshal(data, &version); err != nil {
		return fail(ErrCorrupt, "reading %s: %w", ocispec.ImageLayoutFile, err)
	}
	if !strings.HasPrefix(version.Version, "1.") {
		return fail(ErrUnsupported, "OCI layout version %q is not known", version.Version)
	}
	return nil
}

func (s *Store) openLayout(ctx context.Context, ref Ref) (image.Source, error) {
	if info, err := os.Stat(ref.Path); err == nil && !info.IsDir() {
		return image.Source{}, hinted(fail(ErrNotFound, "an OCI layout is a folder, this is a file"),
			"write oci-archive:%s or docker-archive:%s", ref.Path, ref.Path)
	}
	files := folder(ref.Path)
	if err := checkLayoutVersion(files); err != nil {
		if errors.Is(err, ErrNotFound) {
			return image.Source{}, hinted(fail(ErrNotFound, "no OCI layout there: %w", err), "check the path")
		}
		return image.Source{}, err
	}
	return s.openLayoutIn(ctx, files, ref.Name)
}

// openLayoutIn reads an image of a layout, wherever its files are.
func (s *Store) openLayoutIn(ctx context.Context, files blobFiles, tag string) (image.Source, error) {
	index, err := openLayoutIndex(files)
	if err != nil {
		return image.Source{}, err
	}
	entry, err := index.find(tag)
	if err != nil {
		return image.Source{}, err
	}
	c := layoutContent{files}
	raw, err := c.manifest(ctx, entry.Descriptor)
	if err != nil {
		return image.Source{}, fmt.Errorf("reading manifest: %w", err)
	}
	return assemble(ctx, c, s.jobs(), raw, entry.MediaType)
}
