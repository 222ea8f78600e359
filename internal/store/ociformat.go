package store

import (
	"encoding/json"
	"slices"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"unroot/internal/image"
)

// toOCI gives a source with OCI's media types in place of Docker's. Configs and layers stay what they
// are, to the byte; so does a manifest that has OCI's types already.
func toOCI(source image.Source) (image.Source, error) {
	var err error
	switch {
	case source.Image != nil:
		source.Image, err = imageToOCI(source.Image)
	case source.Index != nil:
		source.Index, err = indexToOCI(source.Index)
	}
	return source, err
}

func imageToOCI(img *image.Image) (*image.Image, error) {
	if img.Manifest == nil {
		return img, nil
	}
	raw, err := rewriteTypes(img.Manifest, ocispec.MediaTypeImageManifest, nil)
	if err != nil {
		return nil, err
	}
	converted := *img
	converted.Manifest, converted.MediaType, converted.Digest = raw, ocispec.MediaTypeImageManifest, digest.FromBytes(raw)
	return &converted, nil
}

func indexToOCI(index *image.Index) (*image.Index, error) {
	converted := *index
	converted.Members = slices.Clone(index.Members)
	var members []ocispec.Descriptor
	for i := range converted.Members {
		m := &converted.Members[i]
		var raw []byte
		var err error
		switch {
		case m.Image != nil:
			if m.Image, err = imageToOCI(m.Image); err == nil {
				m.Descriptor.MediaType, raw = m.Image.MediaType, m.Image.Manifest
			}
		case m.Index != nil:
			if m.Index, err = indexToOCI(m.Index); err == nil {
				m.Descriptor.MediaType, raw = m.Index.MediaType, m.Index.Raw
			}
		default:
			raw = m.Raw
		}
		if err != nil {
			return nil, err
		}
		m.Descriptor.Digest, m.Descriptor.Size = digest.FromBytes(raw), int64(len(raw))
		members = append(members, m.Descriptor)
	}
	raw, err := rewriteTypes(index.Raw, ocispec.MediaTypeImageIndex, members)
	if err != nil {
		return nil, err
	}
	converted.Raw, converted.MediaType, converted.Digest = raw, ocispec.MediaTypeImageIndex, digest.FromBytes(raw)
	return &converted, nil
}

// ociTypes gives OCI's media type for each of Docker's.
var ociTypes = map[string]string{
	image.DockerManifest:     ocispec.MediaTypeImageManifest,
	image.DockerManifestList: ocispec.MediaTypeImageIndex,
	image.DockerConfig:       ocispec.MediaTypeImageConfig,
	image.DockerLayer:        ocispec.MediaTypeImageLayer,
	image.DockerLayerGzip:    ocispec.MediaTypeImageLayerGzip,
	image.DockerLayerZstd:    ocispec.MediaTypeImageLayerZstd,
}

// rewriteTypes changes the media types in a manifest, and the members of an index; every other field
// keeps its value. Bytes in which nothing has to change are given back as they are.
func rewriteTypes(raw []byte, self string, members []ocispec.Descriptor) ([]byte, error) {
	var fields map[string]any
	if err := unmarshalNumbers(raw, &fields); err != nil {
		return nil, fail(ErrCorrupt, "reading manifest: %w", err)
	}
	changed := false
	set := func(object map[string]any, key string, value any) {
		if object[key] != value {
			object[key] = value
			changed = true
		}
	}
	if _, typed := fields["mediaType"]; typed {
		set(fields, "mediaType", self)
	}
	if config, ok := fields["config"].(map[string]any); ok {
		setType(set, config)
	}
	layers, _ := fields["layers"].([]any)
	for _, l := range layers {
		if layer, ok := l.(map[string]any); ok {
			setType(set, layer)
		}
	}
	entries, _ := fields["manifests"].([]any)
	for i, e := range entries {
		if entry, ok := e.(map[string]any); ok && i < len(members) {
			set(entry, "mediaType", members[i].MediaType)
			set(entry, "digest", members[i].Digest.String())
			set(entry, "size", json.Number(mustJSON(members[i].Size)))
		}
	}
	if !changed {
		return raw, nil
	}
	return mustJSON(fields), nil
}

func setType(set func(map[string]any, string, any), descriptor map[string]any) {
	if mediaType, ok := descriptor["mediaType"].(string); ok && ociTypes[mediaType] != "" {
		set(descriptor, "mediaType", ociTypes[mediaType])
	}
}
