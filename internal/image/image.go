// Package image is one image as it is stored, and the read-only view of it that every decision is made from.
package image

import (
	"context"
	"io"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Layer gives the stored bytes of one layer.
type Layer interface {
	// Descriptor is the blob as the manifest names it: media type, digest and size of the stored
	// (perhaps compressed) bytes. A layer of an archive without a manifest has the digest of the
	// bytes in the archive.
	Descriptor() ocispec.Descriptor
	// Open reads the stored bytes. The reader fails at its end if digest or size are not those of
	// the descriptor.
	Open(ctx context.Context) (io.ReadCloser, error)
}

// Image is one platform's image as it is stored.
type Image struct {
	Manifest  []byte        // as it came; nil where the source has none (docker-archive, engine)
	MediaType string        // of the manifest; empty where there is none
	Digest    digest.Digest // of the manifest, else of the config
	Config    []byte        // as it came
	Layers    []Layer       // bottom first
}

// Member is one entry of an index.
type Member struct {
	Descriptor ocispec.Descriptor
	Image      *Image  // nil for what is not an image of one platform
	Index      *Index  // a nested index, else nil
	Raw        []byte  // bytes of a manifest that is neither; such as an attestation
	Blobs      []Layer // blobs that a Raw manifest refers to
}

// Index is an image of many platforms, as it is stored.
type Index struct {
	Raw       []byte // as it came
	MediaType string
	Digest    digest.Digest
	Members   []Member
}

// Source is what a reference names: an Image or an Index, never both.
type Source struct {
	Ref   string // canonical reference with transport, for messages and records
	Image *Image
	Index *Index
}

// The media types of Docker's schema 2, which the OCI specification's Go package does not name.
const (
	DockerManifest     = "application/vnd.docker.distribution.manifest.v2+json"
	DockerManifestList = "application/vnd.docker.distribution.manifest.list.v2+json"
	DockerConfig       = "application/vnd.docker.container.image.v1+json"
	DockerLayer        = "application/vnd.docker.image.rootfs.diff.tar"
	DockerLayerGzip    = "application/vnd.docker.image.rootfs.diff.tar.gzip"
	DockerLayerZstd    = "application/vnd.docker.image.rootfs.diff.tar.zstd"
)
