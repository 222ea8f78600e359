package store

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Limits of what is read beside an image.
const (
	maxAttachment = 32 << 20 // bytes of one
	maxReferrers  = 256      // of one image
)

// Referrer is something that was attached to an image.
type Referrer struct {
	Digest       digest.Digest // of its own manifest
	ArtifactType string        // such as "application/vnd.in-toto+json"
	Blob         []byte        // the first, and as a rule the only one
}

// Attach puts a blob beside an image or an index, as an OCI referrer: a manifest whose subject is the
// one that the reference names (OCI image specification 1.1, manifest.md, "Guidelines for Artifact
// Usage"). It gives the digest of that manifest, which is the same for the same blob. The image itself
// and its tag are not touched. Only registries and OCI layouts can keep it.
func (s *Store) Attach(ctx context.Context, subject Ref, blob []byte, artifactType string) (digest.Digest, error) {
	return s.AttachMember(ctx, subject, "", blob, artifactType)
}

// AttachMember is Attach to a manifest that is the named index's member, by its digest. An empty
// digest is the named manifest itself.
func (s *Store) AttachMember(ctx context.Context, ref Ref, member digest.Digest, blob []byte, artifactType string) (digest.Digest, error) {
	if len(blob) > maxAttachment {
		return "", fail(ErrLimit, "attaching to %q: %d bytes, at most %d are attached", ref, len(blob), maxAttachment)
	}
	place, err := s.shelf(ref)
	if err != nil {
		return "", fmt.Errorf("attaching to %q: %w", ref, err)
	}
	d, err := attach(ctx, place, member, blob, artifactType)
	if err != nil {
		return "", fmt.Errorf("attaching to %q: %w", ref, s.spaceHint(err))
	}
	return d, nil
}

// Referrers gives what was attached to an image or an index, of one type, or of all where the type is
// empty. Nothing attached is no error. What claims to be about another image is left out.
func (s *Store) Referrers(ctx context.Context, ref Ref, artifactType string) ([]Referrer, error) {
	return s.MemberReferrers(ctx, ref, "", artifactType)
}

// MemberReferrers is Referrers of a manifest that is the named index's member, by its digest. An empty
// digest is the named manifest itself.
func (s *Store) MemberReferrers(ctx context.Context, ref Ref, member digest.Digest, artifactType string) ([]Referrer, error) {
	place, err := s.shelf(ref)
	if err != nil {
		return nil, fmt.Errorf("reading what is attached to %q: %w", ref, err)
	}
	found, err := referrers(ctx, place, member, artifactType)
	if err != nil {
		return nil, fmt.Errorf("reading what is attached to %q: %w", ref, err)
	}
	return found, nil
}

// shelf is a place where a manifest can have others beside it.
type shelf interface {
	// named reads the manifest that the reference names, with the media type that the place says.
	named(ctx context.Context) (raw []byte, told string, err error)
	// put writes blobs, then the manifest, then whatever leads from the subject to it.
	put(ctx context.Context, subject, descriptor ocispec.Descriptor, manifest *blob, blobs []*blob) error
	// listed gives what may refer to the subject; the caller looks at each.
	listed(ctx context.Context, subject ocispec.Descriptor, artifactType string) ([]ocispec.Descriptor, error)
	// read gives a manifest's or a blob's bytes, verified.
	read(ctx context.Context, d ocispec.Descriptor, limit int64) ([]byte, error)
}

func (s *Store) shelf(ref Ref) (shelf, error) {
	switch ref.Transport {
	case Registry:
		return s.registryShelf(ref)
	case OCILayout:
		return layoutShelf{folder(ref.Path), ref}, nil
	}
	return nil, hinted(fail(ErrUnsupported, "%s keeps nothing beside an image", ref.Transport), "attach to an image in a registry or an OCI layout")
}

func attach(ctx context.Context, place shelf, member digest.Digest, data []byte, artifactType string) (digest.Digest, error) {
	subject, err := subjectOf(ctx, place, member)
	if err != nil {
		return "", err
	}
	empty, content := bytesBlob(ocispec.MediaTypeEmptyJSON, ocispec.DescriptorEmptyJSON.Data), bytesBlob(artifactType, data)
	m := bytesBlob(ocispec.MediaTypeImageManifest, mustJSON(ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, ArtifactType: artifactType,
		Config: empty.descriptor, Layers: []ocispec.Descriptor{content.descriptor}, Subject: &subject,
	}))
	d := m.descriptor
	d.ArtifactType = artifactType
	return d.Digest, place.put(ctx, subject, d, m, []*blob{empty, content})
}

// subjectOf gives the descriptor of what the reference names, or of a member of that.
func subjectOf(ctx context.Context, place shelf, member digest.Digest) (ocispec.Descriptor, error) {
	raw, told, err := place.named(ctx)
	if err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("reading manifest: %w", err)
	}
	m, err := parseManifest(raw, told)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	root := ocispec.Descriptor{MediaType: m.MediaType, Digest: digest.FromBytes(raw), Size: int64(len(raw))}
	if member == "" || member == root.Digest {
		return root, nil
	}
	for _, d := range m.Manifests {
		if d.Digest == member {
			return ocispec.Descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: d.Size}, nil
		}
	}
	return ocispec.Descriptor{}, fail(ErrNotFound, "%s has no member %s", root.Digest, member)
}

func referrers(ctx context.Context, place shelf, member digest.Digest, artifactType string) ([]Referrer, error) {
	subject, err := subjectOf(ctx, place, member)
	if err != nil {
		return nil, err
	}
	listed, err := place.listed(ctx, subject, artifactType)
	if err != nil {
		return nil, err
	}
	if len(listed) > maxReferrers {
		return nil, fail(ErrLimit, "%d manifests refer to it, at most %d are read", len(listed), maxReferrers)
	}
	var found []Referrer
	seen := map[digest.Digest]bool{}
	for _, d := range listed {
		if seen[d.Digest] {
			continue
		}
		seen[d.Digest] = true
		r, ok, err := readReferrer(ctx, place, subject, d, artifactType)
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", d.Digest, err)
		}
		if ok {
			found = append(found, r)
		}
	}
	return found, nil
}

// readReferrer reads one; ok is false for what is about another subject, of another type, or has no blob.
func readReferrer(ctx context.Context, place shelf, subject, d ocispec.Descriptor, artifactType string) (r Referrer, ok bool, err error) {
	raw, err := place.read(ctx, d, maxManifest)
	if err != nil {
		return r, false, err
	}
	if err := checkKeys(raw); err != nil {
		return r, false, err
	}
	var m ocispec.Manifest
	if err := json.Unmarshal(raw, &m); err != nil {
		return r, false, fail(ErrCorrupt, "reading manifest: %w", err)
	}
	r = Referrer{Digest: d.Digest, ArtifactType: typeOf(m)}
	if m.Subject == nil || m.Subject.Digest != subject.Digest || artifactType != "" && r.ArtifactType != artifactType || len(m.Layers) == 0 {
		return r, false, nil
	}
	r.Blob, err = place.read(ctx, m.Layers[0], maxAttachment)
	return r, err == nil, err
}

// typeOf is an artifact's type; that of its config where it names none (OCI image specification,
// manifest.md, "artifactType").
func typeOf(m ocispec.Manifest) string {
	if m.ArtifactType != "" {
		return m.ArtifactType
	}
	return m.Config.MediaType
}

// withReferrer adds a descriptor to the index of referrers of a subject, raw, which may be empty.
// changed is false where it is there already.
func withReferrer(raw []byte, d ocispec.Descriptor) (out []byte, changed bool, err error) {
	index := &layoutIndex{}
	if len(raw) > 0 {
		if index, err = parseLayoutIndex(raw); err != nil {
			return nil, false, err
		}
	}
	for _, e := range index.entries {
		if e.Digest == d.Digest {
			return raw, false, nil
		}
	}
	return index.add(d), true, nil
}

// add gives the index with one entry more; others stay as they are.
func (l *layoutIndex) add(d ocispec.Descriptor) []byte {
	manifests := []json.RawMessage{}
	for _, e := range l.entries {
		manifests = append(manifests, e.raw)
	}
	return l.marshal(append(manifests, mustJSON(d)))
}

// isReferrer reports whether an entry of index.json is something that was attached to an image, which
// nobody means who names the layout.
func (e layoutEntry) isReferrer() bool { return e.ArtifactType != "" && e.Annotations[refName] == "" }
