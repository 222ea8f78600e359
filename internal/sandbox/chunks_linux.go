package sandbox

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
)

// Layers travel on a pipe of their own, in chunks: a length in four bytes, big-endian, and as many
// bytes. A chunk of length 0 ends the layer. The length chunkFailed says that it could not be read to
// its end. Messages of package wire would be copied three times more.

const (
	chunkSize   = 1 << 20
	chunkHead   = 4
	chunkFailed = math.MaxUint32
)

// errGivenUp is what the lab knows of a layer that the front could not read to its end.
var errGivenUp = errors.New("the layer could not be read to its end")

// sendChunks sends a layer's bytes, and what is before their end: an error of r is unread, one of w
// is err.
func sendChunks(w io.Writer, r io.Reader) (unread, err error) {
	buf := make([]byte, chunkHead+chunkSize)
	for unread == nil {
		n, e := r.Read(buf[chunkHead:])
		if n > 0 {
			binary.BigEndian.PutUint32(buf, uint32(n))
			if _, err := w.Write(buf[:chunkHead+n]); err != nil {
				return nil, err
			}
		}
		unread = e
	}
	if unread == io.EOF { // readers never wrap it
		return nil, sendEnd(w, 0)
	}
	return unread, sendEnd(w, chunkFailed)
}

func sendEnd(w io.Writer, mark uint32) error {
	_, err := w.Write(binary.BigEndian.AppendUint32(nil, mark))
	return err
}

// chunkReader reads the layers that sendChunks sends, one after the other.
type chunkReader struct {
	r    *bufio.Reader
	left uint32 // of the chunk under way
	end  error  // of the layer under way; io.EOF is a good one
}

// next begins to read the next layer.
func (c *chunkReader) next() { c.left, c.end = 0, nil }

// Read gives bytes of the layer.
func (c *chunkReader) Read(p []byte) (int, error) {
	for c.left == 0 && c.end == nil {
		c.end = c.begin()
	}
	if c.end != nil {
		return 0, c.end
	}
	n, err := c.r.Read(p[:min(len(p), int(c.left))])
	c.left -= uint32(n)
	if err != nil {
		c.end = fmt.Errorf("receiving a layer: %w", noEOF(err))
		return n, c.end
	}
	return n, nil
}

// begin reads the length of a chunk.
func (c *chunkReader) begin() error {
	var head [chunkHead]byte
	if _, err := io.ReadFull(c.r, head[:]); err != nil {
		return fmt.Errorf("receiving a layer: %w", noEOF(err))
	}
	switch c.left = binary.BigEndian.Uint32(head[:]); {
	case c.left == 0:
		return io.EOF
	case c.left == chunkFailed:
		c.left = 0
		return errGivenUp
	case c.left > chunkSize:
		return fmt.Errorf("receiving a layer: a chunk of %d bytes", c.left)
	}
	return nil
}

// noEOF makes an end in the middle of a layer what it is.
func noEOF(err error) error {
	if err == io.EOF { // readers never wrap it
		return io.ErrUnexpectedEOF
	}
	return err
}

// drain passes over the rest of the layer, so that the next one can come.
func (c *chunkReader) drain() error {
	_, err := io.Copy(io.Discard, c)
	if errors.Is(err, errGivenUp) {
		return nil
	}
	return err
}
