package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "crypto/sha512" // go-digest finds the algorithms of a digest among those that are linked
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"unroot/internal/image"
)

// home is where a blob already is, so that a put can mount or keep it instead of copying.
type home struct {
	registry, repository string // of a blob in a registry
	layout               string // folder of an OCI layout, cleaned and absolute
}

// blob is the one implementation of image.Layer: stored bytes that open gives, verified.
type blob struct {
	descriptor ocispec.Descriptor
	open       func(ctx context.Context) (io.ReadCloser, error)
	home       home
	data       []byte // of a blob in memory, else nil
}

var _ image.Layer = (*blob)(nil)

func (b *blob) Descriptor() ocispec.Descriptor { return b.descriptor }

func (b *blob) Open(ctx context.Context) (io.ReadCloser, error) {
	r, err := b.open(ctx)
	if err != nil {
		return nil, fmt.Errorf("opening blob %s: %w", b.descriptor.Digest, err)
	}
	return newVerifier(r, b.descriptor), nil
}

// bytesBlob makes a blob of bytes in memory, such as a config.
func bytesBlob(mediaType string, data []byte) *blob {
	return &blob{
		descriptor: ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))},
		open: func(context.Context) (io.ReadCloser, error) {
			return io.NopCloser(bytes.NewReader(data)), nil
		},
		data: data,
	}
}

// verifier passes bytes on and fails as soon as they cannot be those of the descriptor: at the last
// byte for the digest, before the end of the stream, since a decompressor may never ask for that.
type verifier struct {
	in     io.ReadCloser
	want   ocispec.Descriptor
	hash   hash.Hash
	left   int64
	summed bool
	err    error // sticky
}

func newVerifier(in io.ReadCloser, want ocispec.Descriptor) io.ReadCloser {
	if err := checkDigest(want.Digest); err != nil {
		return &verifier{in: in, err: err}
	}
	return &verifier{in: in, want: want, left: want.Size, hash: want.Digest.Algorithm().Hash()}
}

func (v *verifier) Read(p []byte) (int, error) {
	if v.err != nil {
		return 0, v.err
	}
	n, err := v.in.Read(p)
	v.hash.Write(p[:n])
	v.left -= int64(n)
	switch {
	case v.left < 0:
		v.err = fail(ErrCorrupt, "blob %s: more than the %d bytes that its descriptor says", v.want.Digest, v.want.Size)
		return 0, v.err
	case v.left == 0 && !v.summed:
		v.summed = true
		v.err = v.checkSum()
	case errors.Is(err, io.EOF) && v.left > 0:
		v.err = fail(ErrCorrupt, "blob %s: ends after %d of %d bytes", v.want.Digest, v.want.Size-v.left, v.want.Size)
	}
	if v.err == nil {
		v.err = err
	}
	return n, v.err
}

func (v *verifier) checkSum() error {
	if got := digest.NewDigest(v.want.Digest.Algorithm(), v.hash); got != v.want.Digest {
		return fail(ErrCorrupt, "blob %s: its bytes have the digest %s", v.want.Digest, got)
	}
	return nil
}

func (v *verifier) Close() error { return v.in.Close() }

// checkDigest says whether a digest is one that can be verified here.
func checkDigest(d digest.Digest) error {
	if err := d.Validate(); err != nil {
		return fail(ErrCorrupt, "digest %q: %w", string(d), err)
	}
	return nil
}

// readVerified reads a small blob whole. A descriptor that promises more than limit bytes is
// refused before anything is read.
func readVerified(in io.ReadCloser, want ocispec.Descriptor, limit int64) ([]byte, error) {
	defer in.Close()
	if err := checkSize(want, limit); err != nil {
		return nil, err
	}
	return io.ReadAll(newVerifier(in, want))
}

func checkSize(d ocispec.Descriptor, limit int64) error {
	if d.Size < 0 {
		return fail(ErrCorrupt, "blob %s: size %d is negative", d.Digest, d.Size)
	}
	if d.Size > limit {
		return fail(ErrLimit, "blob %s: %d bytes, at most %d are read", d.Digest, d.Size, limit)
	}
	return nil
}

// digestOf reads a stream to its end.
func digestOf(r io.Reader) (digest.Digest, int64, error) {
	h := sha256.New()
	n, err := io.Copy(h, r)
	return digest.NewDigest(digest.SHA256, h), n, err
}
