package store

import (
	"context"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"unroot/internal/image"
)

// bundle is a source as a registry or a layout takes it: blobs in any order, then manifests in
// theirs, so that nothing ever refers to what is not there. The last manifest is the root.
type bundle struct {
	blobs     []image.Layer
	manifests []*blob
	seen      map[digest.Digest]bool
	scratch   []io.Closer // files of layers that were compressed on the way
}

func (b *bundle) root() ocispec.Descriptor { return b.manifests[len(b.manifests)-1].descriptor }

func (b *bundle) close() {
	for _, c := range b.scratch {
		c.Close()
	}
}

// bundle collects what a source consists of. family is the manifest media type for an image that
// has no manifest. The caller closes the bundle, also after an error.
func (s *Store) bundle(ctx context.Context, source image.Source, family string) (*bundle, error) {
	b := &bundle{seen: map[digest.Digest]bool{}}
	if s.options.OCIFormat && family == ocispec.MediaTypeImageManifest {
		var err error
		if source, err = toOCI(source); err != nil {
			return b, err
		}
	}
	switch {
	case source.Image != nil && source.Index == nil:
		return b, s.addImage(ctx, b, source.Image, family)
	case source.Index != nil && source.Image == nil:
		return b, s.addIndex(ctx, b, source.Index)
	}
	return b, fmt.Errorf("[internal error] a source must have an image or an index")
}

func (b *bundle) addBlob(l image.Layer) {
	if d := l.Descriptor().Digest; !b.seen[d] {
		b.seen[d] = true
		b.blobs = append(b.blobs, l)
	}
}

func (b *bundle) addManifest(mediaType string, raw []byte) {
	m := bytesBlob(mediaType, raw)
	if !b.seen[m.descriptor.Digest] || len(b.manifests) == 0 {
		b.seen[m.descriptor.Digest] = true
		b.manifests = append(b.manifests, m)
	}
}

func (s *Store) addImage(ctx context.Context, b *bundle, img *image.Image, family string) error {
	if img.Manifest == nil {
		built, err := s.withManifest(ctx, b, img, family)
		if err != nil {
			return err
		}
		img = built
	}
	m, err := parseManifest(img.Manifest, img.MediaType)
	if err != nil {
		return fmt.Errorf("[internal error] manifest to write: %w", err)
	}
	if m.Config == nil || m.Config.Digest != digest.FromBytes(img.Config) || len(m.Layers) != len(img.Layers) {
		return fmt.Errorf("[internal error] manifest %s does not fit its config and layers", img.Digest)
	}
	for i, l := range img.Layers {
		if want, has := m.Layers[i], l.Descriptor(); want.Digest != has.Digest || want.Size != has.Size {
			return fmt.Errorf("[internal error] manifest %s: layer %d is %s, not %s", img.Digest, i, has.Digest, want.Digest)
		}
		b.addBlob(l)
	}
	b.addBlob(bytesBlob(m.Config.MediaType, img.Config))
	b.addManifest(m.MediaType, img.Manifest)
	return nil
}

func (s *Store) addIndex(ctx context.Context, b *bundle, index *image.Index) error {
	m, err := parseManifest(index.Raw, index.MediaType)
	if err != nil {
		return fmt.Errorf("[internal error] index to write: %w", err)
	}
	if len(m.Manifests) != len(index.Members) {
		return fmt.Errorf("[internal error] index %s lists %d manifests and has %d members", index.Digest, len(m.Manifests), len(index.Members))
	}
	for i, member := range index.Members {
		got, err := s.addMember(ctx, b, member)
		if err != nil {
			return err
		}
		if got != m.Manifests[i].Digest {
			return fmt.Errorf("[internal error] index %s: member %d is %s, not %s", index.Digest, i, got, m.Manifests[i].Digest)
		}
	}
	b.addManifest(m.MediaType, index.Raw)
	return nil
}

// addMember gives the digest of what it added.
func (s *Store) addMember(ctx context.Context, b *bundle, member image.Member) (digest.Digest, error) {
	switch {
	case member.Image != nil:
		if member.Image.Manifest == nil {
			return "", fmt.Errorf("[internal error] an image in an index has no manifest")
		}
		return digest.FromBytes(member.Image.Manifest), s.addImage(ctx, b, member.Image, "")
	case member.Index != nil:
		return digest.FromBytes(member.Index.Raw), s.addIndex(ctx, b, member.Index)
	}
	for _, l := range member.Blobs {
		b.addBlob(l)
	}
	mediaType := member.Descriptor.MediaType
	if m, err := parseManifest(member.Raw, mediaType); err == nil {
		mediaType = m.MediaType
	}
	b.addManifest(mediaType, member.Raw)
	return digest.FromBytes(member.Raw), nil
}

// withManifest builds the manifest that an image of an archive lacks. Plain layers are compressed:
// registries and layouts keep them so.
func (s *Store) withManifest(ctx context.Context, b *bundle, img *image.Image, family string) (*image.Image, error) {
	built := &image.Image{MediaType: family, Config: img.Config, Layers: make([]image.Layer, len(img.Layers))}
	files := make([]io.Closer, len(img.Layers))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(s.jobs())
	for i, l := range img.Layers {
		if !isPlain(l.Descriptor()) {
			built.Layers[i] = l
			continue
		}
		group.Go(func() error {
			packed, file, err := s.compress(ctx, l)
			if err != nil {
				return fmt.Errorf("compressing layer %s: %w", l.Descriptor().Digest, err)
			}
			built.Layers[i], files[i] = packed, file
			return nil
		})
	}
	err := group.Wait()
	for _, f := range files {
		if f != nil {
			b.scratch = append(b.scratch, f)
		}
	}
	if err != nil {
		return nil, err
	}
	var layers []ocispec.Descriptor
	for _, l := range built.Layers {
		layers = append(layers, l.Descriptor())
	}
	built.Manifest = ManifestFor(img.Config, layers, family)
	built.Digest = digest.FromBytes(built.Manifest)
	return built, nil
}

// gzipLevel is fixed, and the header has no name and no time: the same layer gives the same bytes.
const gzipLevel = 6

// compress writes a plain layer as gzip to a temporary file.
func (s *Store) compress(ctx context.Context, l image.Layer) (*blob, io.Closer, error) {
	in, err := l.Open(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer in.Close()
	return s.spoolBlob(image.DockerLayerGzip, func(out io.Writer) error {
		zip, err := gzip.NewWriterLevel(out, gzipLevel)
		if err != nil {
			return err
		}
		if _, err := io.Copy(zip, &contextReader{ctx, in}); err != nil {
			return err
		}
		return zip.Close()
	})
}

// spoolBlob makes a blob of what write writes.
func (s *Store) spoolBlob(mediaType string, write func(io.Writer) error) (*blob, io.Closer, error) {
	f, err := s.createSpool()
	if err != nil {
		return nil, nil, err
	}
	sum := digest.SHA256.Digester()
	if err := write(io.MultiWriter(f.File, sum.Hash())); err != nil {
		f.Close()
		return nil, nil, err
	}
	size, err := f.Seek(0, io.SeekCurrent)
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return &blob{
		descriptor: ocispec.Descriptor{MediaType: mediaType, Digest: sum.Digest(), Size: size},
		open: func(context.Context) (io.ReadCloser, error) {
			return io.NopCloser(io.NewSectionReader(f.File, 0, size)), nil
		},
	}, f, nil
}
