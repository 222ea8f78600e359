package probe

import (
	"context"
	"errors"
	"io"
	"net"
	"time"
)

// talk is one exchange: something is sent, and an answer is read within bounds of time and bytes.
type talk struct {
	send   []byte
	first  time.Duration     // how long to wait for the first byte
	pause  time.Duration     // how long to wait for more
	whole  time.Duration     // for everything
	enough func([]byte) bool // no more is needed; nil: never
	more   func([]byte) bool // the answer is on its way: wait for all of it, not for a pause; nil: never
}

// heard is what came of an exchange.
type heard struct {
	bytes   []byte
	closed  bool // by the other side
	refused bool // of a datagram: nobody listens
}

// over carries the exchange out on a connection.
func (t talk) over(ctx context.Context, conn net.Conn) heard {
	end := time.Now().Add(t.whole)
	if deadline, ok := ctx.Deadline(); ok && deadline.Before(end) {
		end = deadline
	}
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	var got heard
	if len(t.send) > 0 {
		conn.SetWriteDeadline(end)
		if _, err := conn.Write(t.send); err != nil {
			got.refused = isRefused(err)
			got.closed = !isTimeout(err)
			// what was said before the connection was closed can still be read
		}
	}
	t.read(ctx, conn, end, &got)
	return got
}

func (t talk) read(ctx context.Context, conn net.Conn, end time.Time, got *heard) {
	buf := make([]byte, 4096)
	wait := t.first
	for ctx.Err() == nil && len(got.bytes) < maxAnswer {
		until := time.Now().Add(wait)
		if until.After(end) {
			until = end
		}
		conn.SetReadDeadline(until)
		if ctx.Err() != nil {
			return // its AfterFunc may have been before our deadline
		}
		n, err := conn.Read(buf[:min(len(buf), maxAnswer-len(got.bytes))])
		got.bytes = append(got.bytes, buf[:n]...)
		if err != nil {
			got.refused = got.refused || isRefused(err)
			got.closed = got.closed || errors.Is(err, io.EOF) || !isTimeout(err)
			return
		}
		if t.enough != nil && t.enough(got.bytes) {
			return
		}
		wait = t.pause
		if t.more != nil && t.more(got.bytes) {
			wait = t.whole
		}
	}
}

// class is what can be compared of an exchange that nobody recognises.
func (h heard) class() string {
	switch {
	case len(h.bytes) > 0:
		return "answers"
	case h.refused:
		return "refused"
	case h.closed:
		return "closes"
	}
	return "silent"
}

// why says in words why there is no answer.
func (h heard) why() string {
	switch h.class() {
	case "refused":
		return "nobody listens there: the datagram is refused"
	case "closes":
		return "the connection is closed without an answer"
	case "silent":
		return "nothing is answered"
	}
	return ""
}
