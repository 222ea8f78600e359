package layer

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
)

// Compress writes the delta as a layer is stored. diffID is the digest of the uncompressed archive,
// as the image's config lists it. The same delta gives the same bytes: the gzip header has no name,
// no time and an unknown system (RFC 1952: OS 255), and both encoders run in one goroutine.
// Errors are those of Write.
func (d Delta) Compress(c Compression) (blob []byte, diffID digest.Digest, err error) {
	var stored bytes.Buffer
	w, err := compressor(&stored, c)
	if err != nil {
		return nil, "", fmt.Errorf("compressing layer: %w", err)
	}
	sum := sha256.New()
	if err := d.Write(io.MultiWriter(w, sum)); err != nil {
		return nil, "", err
	}
	if err := w.Close(); err != nil {
		return nil, "", fmt.Errorf("compressing layer: %w", err)
	}
	return stored.Bytes(), digest.NewDigest(digest.SHA256, sum), nil
}

// compressor opens a writer with the best compression: a delta is small, and is stored and sent for
// ever after.
func compressor(w io.Writer, c Compression) (io.WriteCloser, error) {
	switch c {
	case Plain:
		return plainWriter{w}, nil
	case Gzip:
		zw, err := gzip.NewWriterLevel(w, gzip.BestCompression)
		if err == nil {
			zw.ModTime = time.Unix(0, 0) // this writer stores the year 1 for the zero time
		}
		return zw, err
	case Zstd:
		return zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedBestCompression), zstd.WithEncoderConcurrency(1))
	}
	return nil, fmt.Errorf("[internal error] unknown compression %d", c)
}

// plainWriter needs no closing.
type plainWriter struct{ io.Writer }

func (plainWriter) Close() error { return nil }
