// Package wire is the frames that an agent and the front process exchange over a pipe, a socket or an engine's attached streams.
package wire

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
)

// The kinds of messages. To the agent go Image, Layer, LayerEnd, Run, Stdin and Cancel; from it come
// Ready, Progress, Stdout, Stderr, Outcome and Error.
const (
	Run      byte = 1 + iota // JSON of a verify.Run: conduct it
	Image                    // JSON that announces an image whose layers follow
	Layer                    // bytes of a layer, uncompressed
	LayerEnd                 // the layer is complete
	Ready                    // the agent can take the next message; its payload is up to the two sides
	Progress                 // JSON of a verify.Progress
	Stdin                    // bytes for the run's standard input; an empty one is its end
	Stdout                   // bytes that the run wrote
	Stderr                   // bytes that the run wrote
	Outcome                  // JSON of a verify.Outcome: the run is over
	Cancel                   // end the run that is under way
	Error                    // text: the agent could not do what it was asked for
)

const (
	// MaxFrame is the largest payload of one frame, in bytes.
	MaxFrame = 1 << 20
	// MaxMessage is the largest payload of a Run, an Image or an Outcome, which come in several
	// frames. An outcome with 200,000 events has some 50 MiB.
	MaxMessage = 256 << 20

	more       = 0x80 // bit of the kind: the message goes on in the next frame
	headerSize = 5    // kind, then the length as four bytes, big-endian
)

// ErrTooLarge is in the error of a message that limits do not allow to send.
var ErrTooLarge = errors.New("too large")

// ErrFrame is in every error about what the other side sent, as opposed to a connection that broke.
var ErrFrame = errors.New("malformed frame")

// Conn is one side of a connection. Send may be called from several goroutines, Receive from one.
type Conn struct {
	in *bufio.Reader

	mu  sync.Mutex
	out io.Writer
	buf []byte // header and payload of one frame, so that a frame is one write
}

// New gives a connection over rw, which stays the caller's to close.
func New(rw io.ReadWriter) *Conn { return Join(rw, rw) }

// Join is New for two streams of one direction each.
func Join(r io.Reader, w io.Writer) *Conn {
	return &Conn{in: bufio.NewReaderSize(r, 64<<10), out: w}
}

// limit is how large the payload of a kind may be. Only what one side must have as a whole may span
// frames: a peer that was taken over shall not make us hold more than one message.
func limit(kind byte) int {
	switch kind {
	case Run, Image, Outcome:
		return MaxMessage
	}
	return MaxFrame
}

// Send sends one message. A payload larger than limits allow is refused before anything is sent.
func (c *Conn) Send(kind byte, payload []byte) error {
	if kind == 0 || kind&more != 0 {
		return fmt.Errorf("[internal error] sending a message of kind %d", kind)
	}
	if len(payload) > limit(kind) {
		return fmt.Errorf("sending a message of kind %d: %w: %d bytes, limit %d", kind, ErrTooLarge, len(payload), limit(kind))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(payload) > MaxFrame {
		if err := c.frame(kind|more, payload[:MaxFrame]); err != nil {
			return err
		}
		payload = payload[MaxFrame:]
	}
	return c.frame(kind, payload)
}

func (c *Conn) frame(kind byte, payload []byte) error {
	c.buf = append(c.buf[:0], kind)
	c.buf = binary.BigEndian.AppendUint32(c.buf, uint32(len(payload)))
	c.buf = append(c.buf, payload...)
	if _, err := c.out.Write(c.buf); err != nil {
		return fmt.Errorf("sending a frame: %w", err)
	}
	return nil
}

// SendJSON sends v as JSON.
func (c *Conn) SendJSON(kind byte, v any) error {
	payload, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("sending a message of kind %d: %w", kind, err)
	}
	return c.Send(kind, payload)
}

// Writer gives a writer whose bytes are sent as messages of one kind, as many as it takes.
func (c *Conn) Writer(kind byte) io.Writer { return &writer{c, kind} }

type writer struct {
	conn *Conn
	kind byte
}

func (w *writer) Write(p []byte) (int, error) {
	for sent := 0; sent < len(p); {
		piece := p[sent:min(len(p), sent+MaxFrame)]
		if err := w.conn.Send(w.kind, piece); err != nil {
			return sent, err
		}
		sent += len(piece)
	}
	return len(p), nil
}

// Receive waits for one message and gives it whole; the payload is the caller's. The end of the
// stream between two messages is io.EOF, inside of one io.ErrUnexpectedEOF. After any error the
// connection is of no further use.
func (c *Conn) Receive() (kind byte, payload []byte, err error) {
	for {
		var header [headerSize]byte
		if _, err := io.ReadFull(c.in, header[:]); err != nil {
			if kind != 0 && errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return 0, nil, err
		}
		size := binary.BigEndian.Uint32(header[1:])
		if err := check(header[0], size, kind, len(payload)); err != nil {
			return 0, nil, err
		}
		kind = header[0] &^ more
		if payload, err = c.piece(payload, int(size)); err != nil {
			return 0, nil, err
		}
		if header[0]&more == 0 {
			return kind, payload, nil
		}
	}
}

// check judges a header: of what kind the message is so far (0: it begins) and how much of it there is.
func check(tag byte, size uint32, kind byte, have int) error {
	now := tag &^ more
	switch {
	case now == 0:
		return fmt.Errorf("%w: no kind", ErrFrame)
	case kind != 0 && now != kind:
		return fmt.Errorf("%w: kind %d inside a message of kind %d", ErrFrame, now, kind)
	case size > MaxFrame:
		return fmt.Errorf("%w: %d bytes, limit %d", ErrFrame, size, MaxFrame)
	case have+int(size) > limit(now):
		return fmt.Errorf("%w: a message of kind %d is larger than %d bytes", ErrFrame, now, limit(now))
	case tag&more != 0 && size != MaxFrame:
		return fmt.Errorf("%w: %d bytes in a frame that is not the last of its message", ErrFrame, size)
	}
	return nil
}

// piece appends size bytes of the stream. Memory is taken as bytes arrive, not as they are announced.
func (c *Conn) piece(payload []byte, size int) ([]byte, error) {
	const step = 64 << 10
	if payload == nil {
		payload = make([]byte, 0, min(size, step))
	}
	for size > 0 {
		n := min(size, step)
		payload = append(payload, make([]byte, n)...)
		if _, err := io.ReadFull(c.in, payload[len(payload)-n:]); err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
		size -= n
	}
	return payload, nil
}

// Decode reads the payload of a message that is JSON.
func Decode(payload []byte, v any) error {
	if err := json.Unmarshal(payload, v); err != nil {
		return fmt.Errorf("%w: %w", ErrFrame, err)
	}
	return nil
}
