package store

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"context"
	"errors"
	"io"
	"os"
	"runtime"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// packing is how a stream is compressed.
type packing int

const (
	plain packing = iota
	gzipped
	zstandard
	bzipped
	xzipped
)

var magics = []struct {
	packing packing
	bytes   []byte
}{
	{gzipped, []byte{0x1f, 0x8b}},                     // RFC 1952, section 2.3.1
	{zstandard, []byte{0x28, 0xb5, 0x2f, 0xfd}},       // RFC 8878, section 3.1.1
	{zstandard, []byte{0x50, 0x2a, 0x4d, 0x18}},       // RFC 8878, section 3.1.2: a skippable frame,
	{zstandard, []byte{0x5e, 0x2a, 0x4d, 0x18}},       // and the one that zstd:chunked begins with
	{xzipped, []byte{0xfd, '7', 'z', 'X', 'Z', 0x00}}, // The .xz File Format, section 2.1.1.1
}

// magicLength is how many bytes sniff wants to see.
const magicLength = 10

// sniff tells the compression from the first bytes of a stream, since names and media types may lie.
func sniff(head []byte) packing {
	for _, m := range magics {
		if bytes.HasPrefix(head, m.bytes) {
			return m.packing
		}
	}
	// bzip2's letters alone could be the name of a tar's first file; behind the level comes a block.
	if len(head) >= 10 && bytes.HasPrefix(head, []byte("BZh")) && string(head[4:10]) == "1AY&SY" {
		return bzipped
	}
	return plain
}

// zstdWindow bounds the memory of one zstd stream; zstd --ultra writes windows of 128 MiB.
const zstdWindow = 128 << 20

// decompress gives the plain bytes of a stream in any of the known compressions.
func decompress(r io.Reader) (io.ReadCloser, error) {
	in := bufio.NewReaderSize(r, 1<<16)
	head, err := in.Peek(magicLength)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	switch sniff(head) {
	case gzipped:
		out, err := gzip.NewReader(in)
		if err != nil {
			return nil, fail(ErrCorrupt, "reading gzip: %w", err)
		}
		return out, nil
	case zstandard:
		out, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(zstdWindow))
		if err != nil {
			return nil, fail(ErrCorrupt, "reading zstd: %w", err)
		}
		return out.IOReadCloser(), nil
	case bzipped:
		return io.NopCloser(bzip2.NewReader(in)), nil
	case xzipped:
		return nil, hinted(fail(ErrUnsupported, "xz is not read"), "unpack it first: xz -dk FILE")
	}
	return io.NopCloser(in), nil
}

// spool copies a stream into a temporary file that has no name where the system allows it, so that
// even a killed run leaves nothing. The caller closes it, which removes it.
func (s *Store) spool(ctx context.Context, r io.Reader) (*spoolFile, int64, error) {
	f, err := s.createSpool()
	if err != nil {
		return nil, 0, err
	}
	n, err := io.Copy(f.File, io.LimitReader(&contextReader{ctx, r}, s.spoolLimit()+1))
	if err == nil && n > s.spoolLimit() {
		err = hinted(fail(ErrLimit, "more than %d bytes", s.spoolLimit()), "if you trust where it comes from, raise the limit with --max-layer-size")
	}
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, n, nil
}

// spoolFile is a temporary file of this process.
type spoolFile struct{ *os.File }

func (s *Store) createSpool() (*spoolFile, error) {
	f, err := os.CreateTemp(s.options.TempDir, "unroot-*")
	if err != nil {
		return nil, err
	}
	if runtime.GOOS != "windows" { // which cannot remove an open file
		os.Remove(f.Name())
	}
	return &spoolFile{f}, nil
}

// Close gives the space back.
func (f *spoolFile) Close() error {
	err := f.File.Close()
	if runtime.GOOS == "windows" {
		os.Remove(f.Name())
	}
	return err
}

// contextReader ends a long copy when its context does.
type contextReader struct {
	ctx context.Context
	in  io.Reader
}

func (r *contextReader) Read(p []byte) (int, error) {
	if err := context.Cause(r.ctx); err != nil {
		return 0, err
	}
	return r.in.Read(p)
}
