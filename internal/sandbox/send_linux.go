package sandbox

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"unroot/internal/image"
	"unroot/internal/layer"
	"unroot/internal/sandbox/wire"
)

// send makes img the image that the lab runs next, and sends it the layers that it has not. begins is
// called before the first of them. unread says why a layer could not be read to its end; err means
// that the lab is of no further use.
func (l *lab) send(ctx context.Context, img *image.Image, begins func()) (sum unpacked, unread, err error) {
	defer context.AfterFunc(ctx, l.kill)()
	var order imageOrder
	for _, layer := range img.Layers {
		d := layer.Descriptor()
		order.Layers = append(order.Layers, d.Digest.String())
		order.Sizes = append(order.Sizes, d.Size)
	}
	if err := l.conn.SendJSON(wire.Image, order); err != nil {
		return sum, nil, err
	}
	var answer imageAnswer
	if err := l.receive(&answer); err != nil {
		return sum, nil, err
	}
	if answer.From < 0 || answer.From > len(img.Layers) {
		return sum, nil, fmt.Errorf("%w: layers from %d on", wire.ErrFrame, answer.From)
	}
	for i, layer := range img.Layers[answer.From:] {
		if i == 0 {
			begins()
		}
		done, failed, err := l.sendLayer(ctx, layer)
		if err != nil || failed != nil {
			return sum, failed, err
		}
		sum.Devices, sum.Attrs = sum.Devices+done.Devices, sum.Attrs+done.Attrs
		if done.Error != "" || len(done.Unmapped) > 0 {
			return done, nil, nil
		}
	}
	return sum, nil, nil
}

// sendLayer decompresses one layer on its way to the lab, which unpacks it meanwhile.
func (l *lab) sendLayer(ctx context.Context, layer image.Layer) (done unpacked, unread, err error) {
	plain := &plainLayer{ctx: ctx, layer: layer}
	defer plain.close()
	if unread, err = sendChunks(l.layers, plain); err != nil {
		return done, nil, err
	}
	// The lab answers to a layer that cannot be read, too: it gives it up, and knows less about why.
	return done, unread, l.receive(&done)
}

// plainLayer reads a stored layer decompressed, to the very end of what is stored, where its digest is
// checked. It is opened by the first Read, so that there is one way for everything that fails.
type plainLayer struct {
	ctx    context.Context
	layer  image.Layer
	stored io.ReadCloser
	raw    *bufio.Reader
	plain  io.Reader
	done   func()
}

func (p *plainLayer) Read(buf []byte) (int, error) {
	if p.stored == nil {
		if err := p.open(); err != nil {
			return 0, err
		}
	}
	n, err := p.plain.Read(buf)
	if err != io.EOF { // decompressors never wrap it
		return n, err
	}
	if _, err := io.Copy(io.Discard, p.raw); err != nil {
		return n, err
	}
	return n, io.EOF
}

func (p *plainLayer) open() (err error) {
	if p.stored, err = p.layer.Open(p.ctx); err != nil {
		return err
	}
	p.raw = bufio.NewReaderSize(p.stored, 256<<10)
	p.plain, p.done, err = inflate(p.raw)
	return err
}

func (p *plainLayer) close() {
	if p.done != nil {
		p.done()
	}
	if p.stored != nil {
		p.stored.Close()
	}
}

// inflate finds out by its first bytes how a layer is compressed: media types are sometimes wrong,
// and engines look at the bytes, too.
func inflate(r *bufio.Reader) (io.Reader, func(), error) {
	head, err := r.Peek(4)
	if err != nil && err != io.EOF { // Peek never wraps it
		return nil, nil, err
	}
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		zr, err := gzip.NewReader(r)
		return zr, func() {}, err
	case bytes.Equal(head, []byte{0x28, 0xb5, 0x2f, 0xfd}), len(head) == 4 && head[0]&0xf0 == 0x50 && bytes.Equal(head[1:], []byte{0x2a, 0x4d, 0x18}):
		zr, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(2), zstd.WithDecoderMaxWindow(128<<20))
		if err != nil {
			return nil, nil, err
		}
		return zr, zr.Close, nil
	}
	return r, func() {}, nil
}

// receive receives the lab's answer.
func (l *lab) receive(v any) error {
	kind, payload, err := l.conn.Receive()
	if err != nil {
		return err
	}
	if kind != wire.Ready {
		return fmt.Errorf("%w: kind %d in place of an answer", wire.ErrFrame, kind)
	}
	return wire.Decode(payload, v)
}

// unpackedSize guesses how large an image is when it is unpacked: Debian's and others' are some three
// times their compressed size.
func unpackedSize(img *image.Image) int64 {
	var sum int64
	for _, l := range img.Layers {
		d := l.Descriptor()
		factor := int64(4)
		if c, err := layer.CompressionOf(d.MediaType); err == nil && c == layer.Plain {
			factor = 1
		}
		sum += d.Size * factor
	}
	return sum
}

// tooBig reports whether an image is too large to be unpacked in memory.
func tooBig(img *image.Image) bool { return unpackedSize(img) > memAvailable()/4 }

// memAvailable is what the kernel says that could still be used, in bytes: proc_meminfo(5).
func memAvailable() int64 {
	const cautious = 1 << 30
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return cautious
	}
	_, rest, _ := strings.Cut(string(text), "MemAvailable:")
	fields := strings.Fields(rest)
	if len(fields) == 0 {
		return cautious
	}
	kb, err := strconv.ParseInt(fields[0], 10, 64)
	if err != nil {
		return cautious
	}
	return kb << 10
}
