package store

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"unroot/internal/image"
)

// content is a place that keeps manifests and blobs by digest: a registry's repository, an OCI
// layout, an OCI archive. Bytes from manifest and config are verified.
type content interface {
	manifest(ctx context.Context, d ocispec.Descriptor) ([]byte, error)
	config(ctx context.Context, d ocispec.Descriptor) ([]byte, error)
	layer(d ocispec.Descriptor) *blob
}

// assembler builds a Source from a root manifest. It counts over all levels, so that an index
// cannot ask for more than the limits by repeating itself.
type assembler struct {
	content content
	slots   chan struct{} // bounds what is fetched at once
	members atomic.Int64
	bytes   atomic.Int64
}

// assemble reads everything of an image or an index but its layers.
func assemble(ctx context.Context, c content, jobs int, raw []byte, told string) (image.Source, error) {
	a := &assembler{content: c, slots: make(chan struct{}, jobs)}
	m, err := parseManifest(raw, told)
	if err != nil {
		return image.Source{}, err
	}
	self := digest.FromBytes(raw)
	switch m.kind {
	case kindIndex:
		index, err := a.index(ctx, m, raw, self, nil)
		return image.Source{Index: index}, err
	case kindSchema1:
		return image.Source{}, hinted(fail(ErrUnsupported, "manifest is Docker schema 1, obsolete since 2017"),
			"convert it first: skopeo copy --format v2s2 SRC DST")
	case kindArtifact:
		kind := m.MediaType
		if m.Config != nil {
			kind = m.Config.MediaType
		}
		return image.Source{}, fail(ErrUnsupported, "not a container image but an artifact (%s)", kind)
	}
	img, err := a.image(ctx, m, raw, self)
	return image.Source{Image: img}, err
}

// fetch runs one read of metadata in a slot, within the budget of bytes.
func (a *assembler) fetch(ctx context.Context, d ocispec.Descriptor, limit int64,
	get func(context.Context, ocispec.Descriptor) ([]byte, error)) ([]byte, error) {
	if err := checkSize(d, limit); err != nil {
		return nil, err
	}
	if a.bytes.Add(d.Size) > maxMetadata {
		return nil, fail(ErrLimit, "manifests and configs are larger than %d bytes together", maxMetadata)
	}
	select {
	case a.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	defer func() { <-a.slots }()
	return get(ctx, d)
}

func (a *assembler) image(ctx context.Context, m *manifest, raw []byte, self digest.Digest) (*image.Image, error) {
	for _, l := range m.Layers {
		if err := checkLayer(l); err != nil {
			return nil, err
		}
	}
	config, err := a.fetch(ctx, *m.Config, maxConfig, a.content.config)
	if err != nil {
		return nil, fmt.Errorf("reading config: %w", err)
	}
	if _, err := parseConfig(config, len(m.Layers)); err != nil {
		return nil, err
	}
	img := &image.Image{Manifest: raw, MediaType: m.MediaType, Digest: self, Config: config}
	for _, l := range m.Layers {
		img.Layers = append(img.Layers, a.content.layer(l))
	}
	return img, nil
}

// index reads all members at once. above holds the digests of the indexes that lead here.
func (a *assembler) index(ctx context.Context, m *manifest, raw []byte, self digest.Digest, above []digest.Digest) (*image.Index, error) {
	above = append(slices.Clone(above), self)
	if len(above) > maxDepth {
		return nil, fail(ErrLimit, "indexes are nested more than %d deep", maxDepth)
	}
	if a.members.Add(int64(len(m.Manifests))) > maxMembers {
		return nil, fail(ErrLimit, "index and its nested indexes list more than %d manifests", maxMembers)
	}
	index := &image.Index{Raw: raw, MediaType: m.MediaType, Digest: self, Members: make([]image.Member, len(m.Manifests))}
	for _, d := range m.Manifests {
		if slices.Contains(above, d.Digest) {
			return nil, fail(ErrCorrupt, "index %s lists itself", d.Digest)
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	for i, d := range m.Manifests {
		group.Go(func() error {
			member, err := a.member(ctx, d, above)
			if err != nil {
				return fmt.Errorf("reading manifest %s%s: %w", d.Digest, platformNote(d.Platform), err)
			}
			index.Members[i] = member
			return nil
		})
	}
	return index, group.Wait()
}

func platformNote(p *ocispec.Platform) string {
	if p == nil {
		return ""
	}
	return fmt.Sprintf(" (%s/%s)", p.OS, p.Architecture)
}

func (a *assembler) member(ctx context.Context, d ocispec.Descriptor, above []digest.Digest) (image.Member, error) {
	member := image.Member{Descriptor: d}
	raw, err := a.fetch(ctx, d, maxManifest, a.content.manifest)
	if err != nil {
		return member, err
	}
	m, err := parseManifest(raw, d.MediaType)
	if err != nil {
		return member, err
	}
	switch {
	case m.kind == kindIndex:
		member.Index, err = a.index(ctx, m, raw, d.Digest, above)
	case m.kind == kindSchema1:
		err = fail(ErrUnsupported, "manifest is Docker schema 1, obsolete since 2017")
	case m.kind == kindArtifact || !isLinuxImage(d):
		member.Raw, member.Blobs = raw, a.blobs(m)
	default:
		member.Image, err = a.image(ctx, m, raw, d.Digest)
	}
	return member, err
}

// isLinuxImage tells the members that can be converted from those that an index only carries along:
// attestations (BuildKit's attestation-storage.md: an annotation, and the platform unknown/unknown)
// and images of other systems.
func isLinuxImage(d ocispec.Descriptor) bool {
	if _, ok := d.Annotations["vnd.docker.reference.type"]; ok {
		return false
	}
	return d.Platform == nil || d.Platform.OS == "linux" || d.Platform.OS == ""
}

// blobs gives what a raw manifest refers to and a copy of it needs. Foreign layers stay where they
// are (image-spec, "Non-Distributable Layers": should not be uploaded).
func (a *assembler) blobs(m *manifest) []image.Layer {
	var all []image.Layer
	for _, d := range m.descriptors() {
		if !isForeign(d) {
			all = append(all, a.content.layer(d))
		}
	}
	return all
}
