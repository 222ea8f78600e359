package layer

import (
	"bytes"
	"fmt"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Compression is how a layer's tar archive is stored.
type Compression uint8

// The compressions that engines read.
const (
	Plain Compression = iota
	Gzip
	Zstd
)

// String is the name as people write it.
func (c Compression) String() string {
	switch c {
	case Plain:
		return "plain tar"
	case Gzip:
		return "gzip"
	case Zstd:
		return "zstd"
	}
	return fmt.Sprintf("compression %d", uint8(c))
}

// layerType is what a media type promises. Engines look at the bytes of a layer with one of
// Docker's types whatever the type says (containerd, core/images.DiffCompression: "unknown").
type layerType struct {
	compression Compression
	anyBytes    bool
}

// layerTypes are the layers that can be read, by media type.
var layerTypes = map[string]layerType{
	ocispec.MediaTypeImageLayer:                          {compression: Plain},
	ocispec.MediaTypeImageLayerGzip:                      {compression: Gzip, anyBytes: true},
	ocispec.MediaTypeImageLayerZstd:                      {compression: Zstd, anyBytes: true},
	"application/vnd.docker.image.rootfs.diff.tar":       {compression: Plain, anyBytes: true},
	"application/vnd.docker.image.rootfs.diff.tar.gzip":  {compression: Gzip, anyBytes: true},
	"application/vnd.docker.image.rootfs.diff.tar.zstd":  {compression: Zstd, anyBytes: true},
	"application/vnd.docker.image.rootfs.diff.tar+gzip":  {compression: Gzip, anyBytes: true},
	"application/vnd.docker.container.image.rootfs.diff": {compression: Plain, anyBytes: true},
}

// CompressionOf gives the compression that a layer's media type promises. It fails with a
// *MediaTypeError for encrypted and foreign layers and for types that are not known.
func CompressionOf(mediaType string) (Compression, error) {
	known, ok := layerTypes[mediaType]
	if ok {
		return known.compression, nil
	}
	reason := "not a layer that is known"
	switch {
	case strings.HasSuffix(mediaType, "+encrypted"):
		reason = "the layer is encrypted: decrypt the image first"
	case strings.Contains(mediaType, ".foreign.") || strings.Contains(mediaType, ".nondistributable."):
		reason = "a foreign layer, as Windows images have; only Linux images can be read"
	}
	return Plain, &MediaTypeError{MediaType: mediaType, Reason: reason}
}

// magics are the first bytes of stored layers. A zstd file may begin with a skippable frame
// (RFC 8878, section 3.1.2: 0x184D2A50 to 0x184D2A5F, little endian).
var magics = []struct {
	prefix      string
	compression Compression
}{
	{"\x1f\x8b", Gzip},
	{"\x28\xb5\x2f\xfd", Zstd},
}

// unreadable are formats that some engines unpack and no specification of images allows.
var unreadable = []struct{ prefix, name string }{
	{"BZh", "bzip2"},
	{"\xfd7zXZ\x00", "xz"},
}

// headBytes is how much of a stored layer detect wants to see.
const headBytes = 6

// detect tells the compression from the first bytes of the stored layer.
func detect(head []byte) (Compression, error) {
	for _, m := range magics {
		if bytes.HasPrefix(head, []byte(m.prefix)) {
			return m.compression, nil
		}
	}
	if len(head) >= 4 && head[0]&0xf0 == 0x50 && bytes.Equal(head[1:4], []byte("\x2a\x4d\x18")) {
		return Zstd, nil
	}
	for _, u := range unreadable {
		if bytes.HasPrefix(head, []byte(u.prefix)) {
			return Plain, &MediaTypeError{Reason: "compressed with " + u.name + ", which images do not allow"}
		}
	}
	return Plain, nil
}

// compressionFor tells how to read a stored layer: by its bytes, where its media type allows them.
// Engines take a wrong compression for the right one where they look at the bytes; only a plain OCI
// type is believed (containerd reads it without looking), so only there a difference is an error.
func compressionFor(mediaType string, head []byte) (Compression, error) {
	if mediaType != "" {
		if _, err := CompressionOf(mediaType); err != nil {
			return Plain, err
		}
	}
	found, err := detect(head)
	if err != nil {
		return Plain, err
	}
	known, ok := layerTypes[mediaType]
	if ok && !known.anyBytes && found != known.compression {
		reason := fmt.Sprintf("the layer's bytes are %s, not %s", found, known.compression)
		return Plain, &MediaTypeError{MediaType: mediaType, Reason: reason}
	}
	return found, nil
}
