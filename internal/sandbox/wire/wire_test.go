package wire

import (
	"bytes"
	"errors"
	"io"
	"net"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

type message struct {
	Kind    byte
	Payload []byte
}

func TestMessagesArriveAsTheyWereSent(t *testing.T) {
	t.Parallel()
	near, far := net.Pipe()
	defer near.Close()
	want := []message{
		{Run, []byte(`{"name":"a"}`)},
		{Stdin, []byte{}},
		{Layer, bytes.Repeat([]byte{7}, MaxFrame)},
		{Outcome, bytes.Repeat([]byte("o"), 3*MaxFrame)},
		{Outcome, bytes.Repeat([]byte("o"), 2*MaxFrame+1)},
		{Cancel, []byte{}},
		{0x7f, []byte("a kind that the two sides agreed on")},
	}
	go func() {
		defer far.Close()
		c := New(far)
		for _, m := range want {
			if err := c.Send(m.Kind, m.Payload); err != nil {
				t.Error(err)
			}
		}
	}()
	c := New(near)
	for _, m := range want {
		kind, payload, err := c.Receive()
		if err != nil {
			t.Fatal(err)
		}
		if kind != m.Kind || !bytes.Equal(payload, m.Payload) {
			t.Errorf("got kind %d, %d bytes; want kind %d, %d bytes", kind, len(payload), m.Kind, len(m.Payload))
		}
	}
	if _, _, err := c.Receive(); !errors.Is(err, io.EOF) {
		t.Errorf("after the last: %v, want EOF", err)
	}
}

func TestSendersDoNotMix(t *testing.T) {
	t.Parallel()
	near, far := net.Pipe()
	defer near.Close()
	c := New(far)
	const senders, each = 4, 3
	var all sync.WaitGroup
	for i := range senders {
		all.Go(func() {
			for range each {
				if err := c.Send(Outcome, bytes.Repeat([]byte{byte(i)}, MaxFrame+100)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	go func() { all.Wait(); far.Close() }()
	got := map[byte]int{}
	r := New(near)
	for {
		_, payload, err := r.Receive()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if len(payload) != MaxFrame+100 || bytes.Count(payload, payload[:1]) != len(payload) {
			t.Fatalf("a message of %d bytes is mixed", len(payload))
		}
		got[payload[0]]++
	}
	if diff := cmp.Diff(map[byte]int{0: each, 1: each, 2: each, 3: each}, got); diff != "" {
		t.Error(diff)
	}
}

func TestWriterSplits(t *testing.T) {
	t.Parallel()
	var stream bytes.Buffer
	want := bytes.Repeat([]byte("0123456789"), MaxFrame/4)
	if n, err := New(&stream).Writer(Stdout).Write(want); n != len(want) || err != nil {
		t.Fatal(n, err)
	}
	var got []byte
	for c := New(&stream); ; {
		kind, payload, err := c.Receive()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil || kind != Stdout {
			t.Fatal(kind, err)
		}
		got = append(got, payload...)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("got %d bytes, want %d", len(got), len(want))
	}
}

func TestWhatIsTooLargeIsNotSent(t *testing.T) {
	t.Parallel()
	var stream bytes.Buffer
	c := New(&stream)
	for _, m := range []message{{Layer, make([]byte, MaxFrame+1)}, {Outcome, make([]byte, MaxMessage+1)}, {0, nil}, {Run | more, nil}} {
		if err := c.Send(m.Kind, m.Payload); err == nil {
			t.Errorf("kind %d with %d bytes was sent", m.Kind, len(m.Payload))
		}
	}
	if stream.Len() != 0 {
		t.Errorf("%d bytes were sent", stream.Len())
	}
}

func TestMalformedFrames(t *testing.T) {
	t.Parallel()
	full := string(make([]byte, MaxFrame))
	tables := []struct {
		name, stream string
		want         error
	}{
		{"nothing", "", io.EOF},
		{"half a header", "\x01\x00", io.ErrUnexpectedEOF},
		{"half a payload", "\x01\x00\x00\x00\x04ab", io.ErrUnexpectedEOF},
		{"no payload", "\x01\x00\x00\x00\x04", io.ErrUnexpectedEOF},
		{"kind zero", "\x00\x00\x00\x00\x00", ErrFrame},
		{"kind zero that goes on", "\x80\x00\x10\x00\x00" + full, ErrFrame},
		{"too long", "\x01\x00\x10\x00\x01", ErrFrame},
		{"much too long", "\x01\xff\xff\xff\xff", ErrFrame},
		{"empty piece", "\x81\x00\x00\x00\x00", ErrFrame},
		{"short piece", "\x81\x00\x00\x00\x01a", ErrFrame},
		{"progress in two pieces", "\x86\x00\x10\x00\x00" + full + "\x06\x00\x00\x00\x01a", ErrFrame},
		{"pieces of two kinds", "\x81\x00\x10\x00\x00" + full + "\x0a\x00\x00\x00\x00", ErrFrame},
		{"end between pieces", "\x81\x00\x10\x00\x00" + full, io.ErrUnexpectedEOF},
	}
	for _, table := range tables {
		_, _, err := New(bytes.NewBufferString(table.stream)).Receive()
		if !errors.Is(err, table.want) {
			t.Errorf("%s: %v, want %v", table.name, err, table.want)
		}
	}
}

// endless repeats one frame that is never the last.
type endless struct {
	frame []byte
	at    int
	given int
}

func (e *endless) Write(p []byte) (int, error) { return len(p), nil }
func (e *endless) Read(p []byte) (int, error) {
	n := copy(p, e.frame[e.at:])
	e.at = (e.at + n) % len(e.frame)
	e.given += n
	return n, nil
}

func TestEndlessMessageEnds(t *testing.T) {
	t.Parallel()
	peer := &endless{frame: append([]byte{Outcome | more, 0, 0x10, 0, 0}, make([]byte, MaxFrame)...)}
	if _, _, err := New(peer).Receive(); !errors.Is(err, ErrFrame) {
		t.Errorf("%v, want %v", err, ErrFrame)
	}
	if peer.given > MaxMessage+MaxMessage/64 {
		t.Errorf("%d bytes were read", peer.given)
	}
}

// FuzzReceive: whatever a peer sends, what is received is within limits, and sending it again gives
// the same bytes.
func FuzzReceive(f *testing.F) {
	f.Add([]byte("\x01\x00\x00\x00\x02{}\x0a\x00\x00\x00\x00"))
	f.Add([]byte("\x81\x00\x00\x00\x02{}"))
	f.Add([]byte("\x01\xff\xff\xff\xff"))
	f.Add([]byte("\x07\x00\x00\x00\x05hello\x07\x00\x00\x00\x00\x0b\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, stream []byte) {
		in := New(bytes.NewBuffer(bytes.Clone(stream)))
		var again bytes.Buffer
		out := New(&again)
		for {
			kind, payload, err := in.Receive()
			if err != nil {
				break
			}
			if err := out.Send(kind, payload); err != nil {
				t.Fatalf("kind %d with %d bytes was received and cannot be sent: %v", kind, len(payload), err)
			}
		}
		if !bytes.HasPrefix(stream, again.Bytes()) {
			t.Errorf("%x became %x", stream, again.Bytes())
		}
	})
}
