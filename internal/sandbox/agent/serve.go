//go:build linux

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

// Server is an agent's side of a connection. It receives all the time, so that Cancel and the end
// of the connection are noticed while a run is under way.
type Server struct {
	conn     *wire.Conn
	messages chan message
	broken   error // why messages was closed; read after that
	ended    chan struct{}

	mu  sync.Mutex
	now *underway // nil between runs
}

type message struct {
	kind    byte
	payload []byte
}

// underway is a run from the moment that it is asked for: what is said about it can come at once.
type underway struct {
	input    *input
	canceled chan struct{}
	once     sync.Once
}

func (u *underway) cancel() { u.once.Do(func() { close(u.canceled) }) }

// NewServer begins to receive from conn.
func NewServer(conn *wire.Conn) *Server {
	s := &Server{conn: conn, messages: make(chan message), ended: make(chan struct{})}
	go s.receive()
	return s
}

// Next gives the next message that is not about the run under way. io.EOF is the end of the front.
func (s *Server) Next() (kind byte, payload []byte, err error) {
	m, ok := <-s.messages
	if !ok {
		return 0, nil, s.broken
	}
	return m.kind, m.payload, nil
}

// Ended is closed when the connection has ended, however it did.
func (s *Server) Ended() <-chan struct{} { return s.ended }

func (s *Server) receive() {
	defer close(s.messages)
	for {
		kind, payload, err := s.conn.Receive()
		if err == nil {
			err = s.take(kind, payload)
		}
		if err != nil {
			s.broken = err
			close(s.ended)
			return
		}
	}
}

// take routes a message. What belongs to a run that is over is dropped.
func (s *Server) take(kind byte, payload []byte) error {
	switch kind {
	case wire.Cancel, wire.Stdin:
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.now == nil {
			return nil
		}
		if kind == wire.Stdin {
			return s.now.input.add(payload)
		}
		s.now.cancel()
		return nil
	case wire.Run:
		s.mu.Lock()
		s.now = &underway{
			input:    newInput(func() { _ = s.conn.Send(wire.Ready, nil) }),
			canceled: make(chan struct{}),
		}
		s.mu.Unlock()
	}
	s.messages <- message{kind, payload}
	return nil
}

// Run conducts the run that payload of a wire.Run message asks for, with its streams over the wire,
// and sends what came of it. adjust, which may be nil, has the last word on the outcome. An error
// means that the connection is of no further use.
func (s *Server) Run(ctx context.Context, payload []byte, space func(verify.Run) (Space, error), adjust func(*verify.Outcome)) error {
	var order Order
	if err := wire.Decode(payload, &order); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	to, err := s.begin(ctx, cancel, order)
	if err != nil {
		return err
	}
	defer s.end()
	place, err := space(order.Run)
	if err != nil {
		return s.conn.Send(wire.Error, []byte(err.Error()))
	}
	out := Conduct(ctx, place, order.Run, to, func(p verify.Progress) {
		_ = s.conn.SendJSON(wire.Progress, p) // who receives notices a broken connection
	})
	if adjust != nil {
		adjust(&out)
	}
	s.end() // before the front can ask for the next one
	return s.send(out)
}

// send sends an outcome; one that is too large goes without the later part of its events.
func (s *Server) send(out verify.Outcome) error {
	for {
		err := s.conn.SendJSON(wire.Outcome, out)
		if !errors.Is(err, wire.ErrTooLarge) || len(out.Trace.Events) == 0 {
			return err
		}
		out.Trace.Events = out.Trace.Events[:len(out.Trace.Events)/2]
		out.Trace.Lost = "limit of what is sent of a run"
	}
}

// begin gives the streams of a run, and sees to it that the run ends when the front wants it to.
func (s *Server) begin(ctx context.Context, cancel func(), order Order) (IO, error) {
	var to IO
	s.mu.Lock()
	now := s.now
	s.mu.Unlock()
	if now == nil {
		return to, errors.New("[internal error] a run that nobody asked for")
	}
	go func() {
		defer cancel()
		select {
		case <-now.canceled:
		case <-s.ended:
		case <-ctx.Done():
		}
	}()
	if order.In {
		to.In = now.input
	}
	if order.Out {
		to.Out = s.conn.Writer(wire.Stdout)
	}
	if order.Err {
		to.Err = s.conn.Writer(wire.Stderr)
	}
	return to, nil
}

// end makes what comes from now on belong to no run.
func (s *Server) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.now != nil {
		s.now.input.close()
		s.now = nil
	}
}

// input is the standard input of a run, as it comes over the wire: one piece at a time, and the next
// when it was read.
type input struct {
	pieces chan []byte
	taken  func()
	rest   []byte
	closed bool // of the side that adds
}

func newInput(taken func()) *input { return &input{pieces: make(chan []byte, 1), taken: taken} }

// add takes a piece; an empty one is the end.
func (i *input) add(piece []byte) error {
	if len(piece) == 0 {
		i.close()
		return nil
	}
	if i.closed {
		return fmt.Errorf("%w: standard input after its end", wire.ErrFrame)
	}
	select {
	case i.pieces <- piece:
		return nil
	default:
		return fmt.Errorf("%w: standard input that nobody asked for yet", wire.ErrFrame)
	}
}

// close is the end of the input. Like add it is called under the server's lock.
func (i *input) close() {
	if !i.closed {
		i.closed = true
		close(i.pieces)
	}
}

// Read gives what has come.
func (i *input) Read(p []byte) (int, error) {
	if len(i.rest) == 0 {
		piece, ok := <-i.pieces
		if !ok {
			return 0, io.EOF
		}
		i.rest = piece
		defer i.taken()
	}
	n := copy(p, i.rest)
	i.rest = i.rest[n:]
	return n, nil
}
