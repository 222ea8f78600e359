package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"unroot/internal/image"
	"unroot/internal/layer"
	"unroot/internal/rootfs"
	"unroot/internal/startup"
	builds "unroot/internal/startup/program"
)

// initUser runs the image of unroot-init where somebody runs it by itself.
const initUser = "65532:0"

// initIndex is an image with nothing but unroot-init, for every platform that it is built for.
func initIndex() (image.Source, error) {
	doc := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex}
	index := &image.Index{MediaType: ocispec.MediaTypeImageIndex}
	for _, p := range builds.Platforms() {
		content, err := programFor(p)
		if err != nil {
			return image.Source{}, err
		}
		platform := ociPlatform(p)
		img, err := initImage(platform, content)
		if err != nil {
			return image.Source{}, err
		}
		d := ocispec.Descriptor{MediaType: img.MediaType, Digest: img.Digest, Size: int64(len(img.Manifest)), Platform: &platform}
		doc.Manifests = append(doc.Manifests, d)
		index.Members = append(index.Members, image.Member{Descriptor: d, Image: img})
	}
	var err error
	if index.Raw, err = json.Marshal(doc); err != nil {
		return image.Source{}, err
	}
	index.Digest = digest.FromBytes(index.Raw)
	return image.Source{Index: index}, nil
}

// ociPlatform is a platform as an index names it. The program for arm is the oldest variant's: engines
// take it for the newer ones too, but no newer one for an older machine.
func ociPlatform(p builds.Platform) ocispec.Platform {
	platform := ocispec.Platform{OS: p.OS, Architecture: p.Arch}
	if p.Arch == "arm" {
		platform.Variant = "v5"
	}
	return platform
}

// initImage is the image for one platform: one layer with one file.
func initImage(platform ocispec.Platform, content []byte) (*image.Image, error) {
	delta := layer.Delta{Entries: []layer.DeltaEntry{{
		Entry:   rootfs.Entry{Path: startup.Path, Kind: rootfs.File, Mode: 0o755, Size: int64(len(content))},
		Content: content,
	}}}
	blob, diffID, err := delta.Compress(layer.Gzip)
	if err != nil {
		return nil, err
	}
	top := &memoryLayer{blob, ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayerGzip, Digest: digest.FromBytes(blob), Size: int64(len(blob))}}
	img := &image.Image{MediaType: ocispec.MediaTypeImageManifest, Layers: []image.Layer{top}}
	img.Config, err = json.Marshal(ocispec.Image{
		Platform: platform,
		Config:   ocispec.ImageConfig{User: initUser, Entrypoint: []string{startup.Path}},
		RootFS:   ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{diffID}},
		History:  []ocispec.History{{CreatedBy: "unroot init export"}},
	})
	if err != nil {
		return nil, err
	}
	img.Manifest, err = json.Marshal(ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageManifest,
		Config:    ocispec.Descriptor{MediaType: ocispec.MediaTypeImageConfig, Digest: digest.FromBytes(img.Config), Size: int64(len(img.Config))},
		Layers:    []ocispec.Descriptor{top.descriptor},
	})
	img.Digest = digest.FromBytes(img.Manifest)
	return img, err
}

// memoryLayer is a layer that lies in memory.
type memoryLayer struct {
	blob       []byte
	descriptor ocispec.Descriptor
}

// Descriptor is the layer as the manifest names it.
func (m *memoryLayer) Descriptor() ocispec.Descriptor { return m.descriptor }

// Open reads the layer.
func (m *memoryLayer) Open(context.Context) (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(m.blob)), nil
}
