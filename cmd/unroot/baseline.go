package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"unroot/internal/image"
	"unroot/internal/record"
	"unroot/internal/store"
)

// errNoBaseline is why an image cannot be proven: what it should behave like is not to be had.
var errNoBaseline = errors.New("no baseline")

// noBaseline says which baseline is missing, and how to give one.
func noBaseline(format string, args ...any) error {
	return &store.HintError{
		Err:  fmt.Errorf("%w: %s", errNoBaseline, fmt.Sprintf(format, args...)),
		Hint: "name the image that it was made of: --baseline IMAGE",
	}
}

// baselineOf finds the image that the candidate was made of, by the digest that its record names:
// beside the candidate, else in the repository that its annotations name. What has another digest is
// never taken.
func (r *reading) baselineOf(ctx context.Context, candidate *image.View, from store.Ref) (*image.View, string, error) {
	rec, ok, err := record.Read(candidate.Config.Labels())
	switch {
	case err != nil:
		return nil, "", noBaseline("%v", err)
	case !ok || rec.Source == "":
		return nil, "", noBaseline("the image has no record of a conversion")
	}
	for _, place := range places(candidate, from, rec.Source) {
		img, at, err := r.imageWith(ctx, place, rec.Source)
		if err != nil {
			return nil, "", err
		}
		if img == nil {
			continue
		}
		v, err := image.Open(ctx, img, r.options())
		if err != nil {
			return nil, "", fmt.Errorf("reading the baseline %q: %w", at, err)
		}
		return v, at.String(), nil
	}
	return nil, "", noBaseline("the record names %s, which is not where the image is", rec.Source)
}

// places is where an image with that digest may be: for a folder or an archive its own path, without
// a name.
func places(candidate *image.View, from store.Ref, digest string) []store.Ref {
	var out []store.Ref
	switch from.Transport {
	case store.OCILayout:
		out = append(out, store.Ref{Transport: from.Transport, Path: from.Path})
	case store.Registry:
		out = append(out, store.Ref{Transport: store.Registry, Name: repository(from.Name) + "@" + digest})
	case store.Engine:
		out = append(out, store.Ref{Transport: store.Engine, Name: digest})
	}
	if name := baseName(candidate, digest); name != "" {
		if ref, err := store.Parse("docker://" + name); err == nil {
			out = append(out, store.Ref{Transport: store.Registry, Name: repository(ref.Name) + "@" + digest})
		}
	}
	return out
}

// repository is a reference in a registry without tag and digest.
func repository(name string) string {
	name, _, _ = strings.Cut(name, "@")
	if i := strings.LastIndexByte(name, ':'); i > strings.LastIndexByte(name, '/') {
		name = name[:i]
	}
	return name
}

// baseName is the reference that the image's annotations, or labels, give for the digest (OCI image
// specification, annotations.md). One for another digest is of another image.
func baseName(v *image.View, digest string) string {
	var manifest struct{ Annotations map[string]string }
	_ = json.Unmarshal(v.Image.Manifest, &manifest) // without one there are labels only
	for _, names := range []map[string]string{manifest.Annotations, v.Config.Labels()} {
		if names[ocispec.AnnotationBaseImageDigest] == digest {
			return names[ocispec.AnnotationBaseImageName]
		}
	}
	return ""
}

// imageWith is the image with that digest at a place, and the reference that leads to it; nil where it
// is not there.
func (r *reading) imageWith(ctx context.Context, place store.Ref, digest string) (*image.Image, store.Ref, error) {
	refs := []store.Ref{place}
	if place.Transport == store.OCILayout {
		refs = layoutTags(place)
	}
	for _, ref := range refs {
		source, err := r.store.Open(ctx, ref)
		switch {
		case errors.Is(err, store.ErrNotFound), errors.Is(err, store.ErrUnauthorized):
			continue
		case err != nil:
			return nil, ref, err
		}
		images, _ := platforms(indexOf(source))
		for _, img := range images {
			if img.Digest.String() == digest {
				return img, ref, nil
			}
		}
	}
	return nil, place, nil
}

// layoutTags is the references of everything in an OCI layout that has a tag.
func layoutTags(layout store.Ref) []store.Ref {
	raw, err := os.ReadFile(filepath.Join(layout.Path, ocispec.ImageIndexFile))
	if err != nil {
		return nil
	}
	var index ocispec.Index
	if err := json.Unmarshal(raw, &index); err != nil {
		return nil
	}
	var refs []store.Ref
	for _, m := range index.Manifests {
		if tag := m.Annotations[ocispec.AnnotationRefName]; tag != "" {
			refs = append(refs, store.Ref{Transport: store.OCILayout, Path: layout.Path, Name: tag})
		}
	}
	return refs
}
