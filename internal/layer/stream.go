package layer

import (
	"bufio"
	"crypto/sha256"
	"errors"
	"hash"
	"io"
	"sync"
	"sync/atomic"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
)

// The inflated bytes travel in chunks, so that inflating, hashing and walking overlap. The numbers
// bound the memory of one scan: 2 MiB.
const (
	chunkBytes  = 256 << 10
	chunksAtAll = 8
)

// chunk is a piece of the inflated stream, shared by those who read it.
type chunk struct {
	buf  [chunkBytes]byte
	n    int
	refs atomic.Int32
}

// chunkPool lets the scans of many layers share their buffers.
var chunkPool = sync.Pool{New: func() any { return new(chunk) }}

// stream is the inflated layer: a forward reader over chunks that another goroutine fills. It skips
// as an io.Seeker, which archive/tar uses to pass over contents without copying them.
type stream struct {
	free   chan *chunk // buffers that may be filled
	chunks chan *chunk // filled, for the reader; closed at the end
	hashes chan *chunk // filled, for the digest; nil if none is wanted
	stop   chan struct{}
	group  sync.WaitGroup

	end  error // why chunks was closed: io.EOF, or what went wrong; set before that
	size int64 // inflated bytes; set before chunks is closed
	sum  hash.Hash

	cur  *chunk
	rest []byte // what cur has left
	pos  int64
	err  error // end, once the reader has come to it
}

// openStream finds out how r is compressed and starts inflating it. Whoever calls must call close.
func openStream(r io.Reader, opts ScanOptions, withDigest bool) (*stream, error) {
	src := &source{r: r}
	buffered := bufio.NewReaderSize(src, 64<<10)
	head, err := buffered.Peek(headBytes)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	compression, err := compressionFor(opts.MediaType, head)
	if err != nil {
		return nil, err
	}
	s := &stream{
		free:   make(chan *chunk, chunksAtAll),
		chunks: make(chan *chunk, chunksAtAll),
		stop:   make(chan struct{}),
	}
	if withDigest {
		s.hashes = make(chan *chunk, chunksAtAll)
		s.sum = sha256.New()
		s.group.Go(s.hash)
	}
	s.group.Go(func() { s.inflate(src, buffered, compression, opts) })
	return s, nil
}

// source counts the stored bytes, and remembers that the reader itself failed: that is no damage of
// the layer. The zstd decoder reads in a goroutine of its own, hence the atomics.
type source struct {
	r    io.Reader
	n    atomic.Int64
	fail atomic.Value // error
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	s.n.Add(int64(n))
	if err != nil && err != io.EOF { // a wrapped EOF is not the end
		s.fail.CompareAndSwap(nil, readFailure{err})
	}
	return n, err
}

// readFailure gives all errors one type, as atomic.Value asks for.
type readFailure struct{ error }

// blame tells what is at fault for an error of the decompressor: the reader, a limit or the layer.
func (s *source) blame(err error, opts ScanOptions) error {
	if failure, ok := s.fail.Load().(readFailure); ok {
		return failure.error
	}
	if errors.Is(err, zstd.ErrWindowSizeExceeded) || errors.Is(err, zstd.ErrDecoderSizeExceeded) {
		return &LimitError{What: "bytes of zstd window", Limit: opts.MaxWindow}
	}
	return corrupt(err)
}

// decompressor opens the compressed stream; done frees what it holds.
//
// Concatenated gzip members and zstd frames are one stream. What follows them and is neither is an
// error, as it is in the engines' own reader (compress/gzip; containerd reads to the end).
func decompressor(r *bufio.Reader, c Compression, opts ScanOptions) (plain io.Reader, done func(), err error) {
	switch c {
	case Gzip:
		zr, err := gzip.NewReader(r)
		return zr, func() {}, err
	case Zstd:
		zr, err := zstd.NewReader(r,
			zstd.WithDecoderConcurrency(1), // it has a goroutine here already
			zstd.WithDecoderMaxWindow(uint64(opts.MaxWindow)),
			zstd.WithDecoderLowmem(true))
		if err != nil {
			return nil, func() {}, err
		}
		return zr, zr.Close, nil
	default:
		return r, func() {}, nil
	}
}

// inflate fills chunks until the end, a failure, or until nobody reads any more.
func (s *stream) inflate(src *source, r *bufio.Reader, c Compression, opts ScanOptions) {
	s.end = s.pump(src, r, c, opts)
	close(s.chunks)
	if s.hashes != nil {
		close(s.hashes)
	}
}

func (s *stream) pump(src *source, r *bufio.Reader, c Compression, opts ScanOptions) error {
	plain, done, err := decompressor(r, c, opts)
	defer done()
	if err != nil {
		return src.blame(unexpected(err), opts)
	}
	for made := 0; ; {
		k := s.take(&made)
		if k == nil {
			return io.ErrClosedPipe
		}
		k.n, err = fillFrom(plain, k.buf[:])
		s.size += int64(k.n)
		if limit := overSize(s.size, src.n.Load(), opts); limit != nil {
			chunkPool.Put(k)
			return limit
		}
		s.hand(k)
		if err == io.EOF { // a wrapped EOF is not the end
			return io.EOF
		}
		if err != nil {
			return src.blame(err, opts)
		}
	}
}

// unexpected turns the end of a stream where its header should be into damage.
func unexpected(err error) error {
	if err == io.EOF { // a wrapped EOF is not the end
		return io.ErrUnexpectedEOF
	}
	return err
}

// fillFrom reads until p is full. Unlike io.ReadFull it keeps io.EOF and io.ErrUnexpectedEOF apart.
func fillFrom(r io.Reader, p []byte) (n int, err error) {
	for empty := 0; n < len(p) && err == nil; {
		var m int
		m, err = r.Read(p[n:])
		n += m
		if m > 0 {
			empty = 0
		} else if empty++; empty > 100 && err == nil {
			err = io.ErrNoProgress
		}
	}
	return n, err
}

// overSize tells whether the stream has become larger than allowed, or is a bomb.
func overSize(inflated, stored int64, opts ScanOptions) error {
	if inflated > opts.MaxSize {
		return &LimitError{What: "uncompressed bytes", Limit: opts.MaxSize, Flag: "--max-layer-size"}
	}
	if opts.trustSize || inflated <= opts.bombBytes || inflated/bombRatio <= stored {
		return nil
	}
	return &LimitError{What: "times its stored size when uncompressed", Limit: bombRatio, Flag: "--max-layer-size"}
}

// take gives a buffer to fill, or nil once the stream was closed.
func (s *stream) take(made *int) *chunk {
	select {
	case <-s.stop: // first, because there may be free buffers too
		return nil
	default:
	}
	select {
	case k := <-s.free:
		return k
	default:
	}
	if *made < chunksAtAll {
		*made++
		return chunkPool.Get().(*chunk)
	}
	select {
	case k := <-s.free:
		return k
	case <-s.stop:
		return nil
	}
}

// hand gives a filled chunk to its readers. The channels hold all chunks there are, so that this
// never blocks.
func (s *stream) hand(k *chunk) {
	k.refs.Store(1)
	if s.hashes != nil {
		k.refs.Store(2)
		s.hashes <- k
	}
	s.chunks <- k
}

func (s *stream) release(k *chunk) {
	if k != nil && k.refs.Add(-1) == 0 {
		s.free <- k
	}
}

func (s *stream) hash() {
	for k := range s.hashes {
		s.sum.Write(k.buf[:k.n])
		s.release(k)
	}
}

// next steps to the following chunk; false at the end.
func (s *stream) next() bool {
	if s.err != nil {
		return false
	}
	s.release(s.cur)
	k, ok := <-s.chunks
	s.cur = k
	if !ok {
		s.rest, s.err = nil, s.end
		return false
	}
	s.rest = k.buf[:k.n]
	return true
}

// Read is io.Reader's.
func (s *stream) Read(p []byte) (int, error) {
	for len(s.rest) == 0 {
		if !s.next() {
			return 0, s.err
		}
	}
	n := copy(p, s.rest)
	s.rest = s.rest[n:]
	s.pos += int64(n)
	return n, nil
}

// Seek passes over offset bytes, counted from where the reader is; other movements fail. At the
// end of the stream it stops without an error, so that the reader finds out itself.
func (s *stream) Seek(offset int64, whence int) (int64, error) {
	if whence != io.SeekCurrent || offset < 0 {
		return -1, errors.New("[internal error] a layer is read forward only")
	}
	for offset > 0 {
		if len(s.rest) == 0 && !s.next() {
			if s.err == io.EOF { // set by pump, never wrapped
				break
			}
			return s.pos, s.err
		}
		n := min(offset, int64(len(s.rest)))
		s.rest = s.rest[n:]
		s.pos += n
		offset -= n
	}
	return s.pos, nil
}

// drain reads to the end, for checksums, digests and the errors that come last.
func (s *stream) drain() error {
	for s.next() {
		s.rest = nil
	}
	if s.err != io.EOF { // set by pump, never wrapped
		return s.err
	}
	return nil
}

// close stops the goroutines, waits for them, and gives the buffers back.
func (s *stream) close() {
	close(s.stop)
	_ = s.drain()
	s.group.Wait()
	for {
		select {
		case k := <-s.free:
			chunkPool.Put(k)
		default:
			return
		}
	}
}

// digest is that of the whole stream; only after drain.
func (s *stream) digest() digest.Digest {
	s.group.Wait()
	return digest.NewDigest(digest.SHA256, s.sum)
}
