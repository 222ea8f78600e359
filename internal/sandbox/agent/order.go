package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"unroot/internal/sandbox/wire"
	"unroot/internal/verify"
)

// Order is the JSON of a wire.Run message: a run, and which of its standard streams go over the wire.
type Order struct {
	verify.Run
	In  bool `json:"in,omitempty"`
	Out bool `json:"out,omitempty"`
	Err bool `json:"err,omitempty"`
}

// chunk is how much of the standard input is sent at once. The next is not sent before the agent
// has handed the last one over, so that an input that nobody reads does not stand before a Cancel.
const chunk = 64 << 10

// Request is the front's half of a run: it sends the run to an agent that serves conn, passes
// the streams on, and returns what came of it. The end of ctx cancels the run, and its outcome is
// still waited for; whoever has no patience closes the connection.
func Request(ctx context.Context, conn *wire.Conn, r verify.Run, watch func(verify.Progress)) (verify.Outcome, error) {
	order := Order{Run: r}
	if r.Streams != nil {
		order.In, order.Out, order.Err = r.Streams.In != nil, r.Streams.Out != nil, r.Streams.Err != nil
	}
	if err := conn.SendJSON(wire.Run, order); err != nil {
		return verify.Outcome{}, err
	}
	front := &front{conn: conn}
	// What this run still has to say must be said before the next one begins.
	defer front.close()
	defer context.AfterFunc(ctx, func() { front.send(wire.Cancel, nil) })()
	taken := make(chan struct{}, 1)
	if order.In {
		over := make(chan struct{})
		defer close(over)
		go front.sendInput(r.Streams.In, taken, over)
	}
	out, err := front.follow(r, watch, taken)
	if err != nil {
		return verify.Outcome{}, fmt.Errorf("running %q: %w", r.Name, err)
	}
	return out, nil
}

// front is the front's half of one run.
type front struct {
	conn *wire.Conn

	mu   sync.Mutex
	over bool
}

// send sends unless the run is over. An error is left to the half that receives.
func (f *front) send(kind byte, payload []byte) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return !f.over && f.conn.Send(kind, payload) == nil
}

func (f *front) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.over = true
}

// sendInput sends in, piece by piece as the agent takes them, and its end.
func (f *front) sendInput(in io.Reader, taken, over <-chan struct{}) {
	buf := make([]byte, chunk)
	for {
		n, err := in.Read(buf)
		if n > 0 {
			if !f.send(wire.Stdin, buf[:n]) {
				return
			}
			select {
			case <-taken:
			case <-over:
				return
			}
		}
		if err != nil {
			f.send(wire.Stdin, nil)
			return
		}
	}
}

// follow receives until the outcome.
func (f *front) follow(r verify.Run, watch func(verify.Progress), taken chan<- struct{}) (verify.Outcome, error) {
	for {
		kind, payload, err := f.conn.Receive()
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF // not before an outcome
			}
			return verify.Outcome{}, err
		}
		switch kind {
		case wire.Error:
			return verify.Outcome{}, fmt.Errorf("the agent: %.4000q", payload)
		case wire.Outcome:
			var out verify.Outcome
			err := wire.Decode(payload, &out)
			out.Run = r // the agent's copy has no image and no streams
			return out, err
		}
		if err := f.meanwhile(kind, payload, r.Streams, watch, taken); err != nil {
			return verify.Outcome{}, err
		}
	}
}

// meanwhile takes a message that comes before the outcome.
func (f *front) meanwhile(kind byte, payload []byte, to *verify.Streams, watch func(verify.Progress), taken chan<- struct{}) error {
	switch kind {
	case wire.Progress:
		var p verify.Progress
		if err := wire.Decode(payload, &p); err != nil {
			return err
		}
		if watch != nil {
			watch(p)
		}
	case wire.Ready:
		select {
		case taken <- struct{}{}:
		default: // says so too often
		}
	case wire.Stdout, wire.Stderr:
		if err := pass(to, kind, payload); err != nil {
			f.send(wire.Cancel, nil) // a reader that has gone ends the run; the outcome follows
		}
	default:
		return fmt.Errorf("%w: unexpected kind %d", wire.ErrFrame, kind)
	}
	return nil
}

func pass(s *verify.Streams, kind byte, payload []byte) error {
	w := verify.Writer(nil)
	if s != nil && kind == wire.Stdout {
		w = s.Out
	} else if s != nil {
		w = s.Err
	}
	if w == nil {
		return nil // was not asked for
	}
	_, err := w.Write(payload)
	return err
}
