package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"unroot/internal/image"
)

// dockerManifestFile lists the images of an archive of `docker save` (moby, image/tarexport).
const dockerManifestFile = "manifest.json"

type dockerEntry struct {
	Config   string
	RepoTags []string
	Layers   []string
}

func (s *Store) openDockerArchive(ctx context.Context, ref Ref) (image.Source, error) {
	a, err := s.openArchiveFile(ctx, ref.Path)
	if err != nil {
		return image.Source{}, err
	}
	if !a.has(dockerManifestFile) {
		err := fail(ErrNotFound, "no image of `docker save` in the archive")
		switch {
		case a.has(ocispec.ImageLayoutFile):
			return image.Source{}, hinted(err, "it is an OCI archive: write oci-archive:%s", ref.Path)
		case a.has("repositories"):
			return image.Source{}, hinted(err, "it is from a Docker older than 1.10: load it there and save it with a newer one")
		}
		return image.Source{}, hinted(err, "make one with `docker save -o FILE NAME`; `docker export` saves a container, not an image")
	}
	return s.dockerSource(ctx, a, ref.Name)
}

// openStdin reads an archive from standard input: of Docker, or of OCI where that is what comes.
func (s *Store) openStdin(ctx context.Context) (image.Source, error) {
	if s.options.Stdin == nil {
		return image.Source{}, fail(ErrNotFound, "no standard input")
	}
	a, err := s.spoolArchive(ctx, s.options.Stdin)
	if err != nil {
		return image.Source{}, err
	}
	if a.has(dockerManifestFile) {
		return s.dockerSource(ctx, a, "")
	}
	if a.has(ocispec.ImageLayoutFile) && a.has(ocispec.ImageIndexFile) {
		return s.openLayoutIn(ctx, a, "")
	}
	return image.Source{}, hinted(fail(ErrNotFound, "no image on standard input"), "pipe an archive in: docker save NAME | …")
}

// dockerSource reads one image of a docker-archive.
func (s *Store) dockerSource(ctx context.Context, a *archive, tag string) (image.Source, error) {
	data, err := readSmall(a, dockerManifestFile, maxManifest)
	if err != nil {
		return image.Source{}, err
	}
	var entries []dockerEntry
	if err := json.Unmarshal(data, &entries); err != nil {
		return image.Source{}, fail(ErrCorrupt, "reading %s: %w", dockerManifestFile, err)
	}
	entry, err := pickEntry(entries, tag)
	if err != nil {
		return image.Source{}, err
	}
	img, err := s.dockerImage(ctx, a, entry)
	if err != nil {
		return image.Source{}, err
	}
	return image.Source{Image: img}, nil
}

func pickEntry(entries []dockerEntry, tag string) (dockerEntry, error) {
	var tags []string
	for _, e := range entries {
		tags = append(tags, e.RepoTags...)
		for _, t := range e.RepoTags {
			if familiar, err := familiarTag(t); tag != "" && (t == tag || err == nil && familiar == tag) {
				return e, nil
			}
		}
	}
	switch {
	case len(entries) == 0:
		return dockerEntry{}, fail(ErrNotFound, "the archive holds no image")
	case tag != "":
		return dockerEntry{}, hinted(fail(ErrNotFound, "the archive holds no image %q", tag), "%s", listHint("it holds", tags))
	case len(entries) > 1:
		return dockerEntry{}, hinted(fail(ErrNotFound, "the archive holds %d images", len(entries)), "%s", listHint("name one of them", tags))
	}
	return entries[0], nil
}

// dockerImage reads the image that an entry describes. Where the archive also has the manifest of
// that image (Docker 25 and later put an OCI layout into it), the image keeps it.
func (s *Store) dockerImage(ctx context.Context, a *archive, entry dockerEntry) (*image.Image, error) {
	config, err := readSmall(a, entry.Config, maxConfig)
	if err != nil {
		return nil, fmt.Errorf("reading config: %w", err)
	}
	self := digest.FromBytes(config)
	if claimed := claimedDigest(entry.Config); claimed != "" && claimed != self {
		return nil, fail(ErrCorrupt, "config %q: its bytes have the digest %s", entry.Config, self)
	}
	if len(entry.Layers) > maxLayers {
		return nil, fail(ErrLimit, "image has %d layers, at most %d are read", len(entry.Layers), maxLayers)
	}
	parsed, err := parseConfig(config, len(entry.Layers))
	if err != nil {
		return nil, err
	}
	if img := innerImage(ctx, a, self); img != nil {
		return img, nil
	}
	img := &image.Image{Digest: self, Config: config, Layers: make([]image.Layer, len(entry.Layers))}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(s.jobs())
	for i, name := range entry.Layers {
		group.Go(func() error {
			layer, err := dockerLayer(ctx, a, name, parsed.RootFS.DiffIDs[i])
			if err != nil {
				return fmt.Errorf("reading layer %q: %w", name, err)
			}
			img.Layers[i] = layer
			return nil
		})
	}
	return img, group.Wait()
}

// hexName finds names that are a digest: 1234….json, blobs/sha256/1234…, sha256:1234….
var hexName = regexp.MustCompile(`^(?:sha256:)?([a-f0-9]{64})(?:\.json)?$`)

func claimedDigest(name string) digest.Digest {
	if m := hexName.FindStringSubmatch(path.Base(name)); m != nil {
		return digest.NewDigestFromEncoded(digest.SHA256, m[1])
	}
	return ""
}

// dockerLayer finds the digest of a layer's stored bytes. A plain layer's is its diff id; a
// compressed one's is the name of its blob in an archive with an OCI layout, else it is computed. In
// each case the reader verifies it.
func dockerLayer(ctx context.Context, a *archive, name string, diffID digest.Digest) (*blob, error) {
	m, err := a.find(name)
	if err != nil {
		return nil, err
	}
	var head [magicLength]byte
	n, err := io.ReadFull(a.section(m), head[:])
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return nil, err
	}
	d := ocispec.Descriptor{Size: m.size}
	switch sniff(head[:n]) {
	case plain:
		d.MediaType, d.Digest = image.DockerLayer, diffID
	case gzipped:
		d.MediaType = image.DockerLayerGzip
	case zstandard:
		d.MediaType = image.DockerLayerZstd
	default:
		return nil, fail(ErrUnsupported, "its compression is not one that layers have")
	}
	if d.Digest == "" && strings.HasPrefix(path.Clean(name), ocispec.ImageBlobsDir+"/sha256/") {
		d.Digest = claimedDigest(name)
	}
	if d.Digest == "" {
		if d.Digest, _, err = digestOf(&contextReader{ctx, a.section(m)}); err != nil {
			return nil, err
		}
	}
	if err := checkDigest(d.Digest); err != nil {
		return nil, err
	}
	return &blob{descriptor: d, open: func(context.Context) (io.ReadCloser, error) { return a.section(m), nil }}, nil
}

// innerImage looks in the OCI layout of a docker-archive for the manifest of a config. It is taken
// only if its layers are compressed: an engine with graph drivers makes up a manifest of plain
// layers, which nobody wants in a registry.
func innerImage(ctx context.Context, a *archive, config digest.Digest) *image.Image {
	if !a.has(ocispec.ImageLayoutFile) {
		return nil
	}
	index, err := openLayoutIndex(a)
	if err != nil {
		return nil
	}
	c := layoutContent{a}
	var todo []ocispec.Descriptor
	for _, e := range index.entries {
		todo = append(todo, e.Descriptor)
	}
	for seen := 0; len(todo) > 0 && seen < maxMembers; seen++ {
		d := todo[0]
		todo = todo[1:]
		raw, err := c.manifest(ctx, d)
		if err != nil {
			continue // a platform that the engine does not have
		}
		m, err := parseManifest(raw, d.MediaType)
		if err != nil {
			continue
		}
		todo = append(todo, m.Manifests...)
		if m.kind != kindImage || m.Config.Digest != config || slices.ContainsFunc(m.Layers, isPlain) || !hasBlobs(a, m) {
			continue
		}
		source, err := assemble(ctx, c, 1, raw, d.MediaType)
		if err == nil {
			return source.Image
		}
	}
	return nil
}

func isPlain(d ocispec.Descriptor) bool {
	return d.MediaType == ocispec.MediaTypeImageLayer || d.MediaType == image.DockerLayer
}

func hasBlobs(a *archive, m *manifest) bool {
	return !slices.ContainsFunc(m.Layers, func(d ocispec.Descriptor) bool { return !a.has(blobPath(d.Digest)) })
}
