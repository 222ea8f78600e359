package agent

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
)

// What a run may write, where its limits do not say.
const (
	keptOutput  = 64 << 10 // bytes kept of each stream
	totalOutput = 64 << 20 // bytes of both streams together before the run is ended; not where somebody takes them
)

// IO is where the standard streams of a run lead. A nil In is nothing to read; a nil Out or Err is
// kept, within limits, in the outcome.
type IO struct {
	In  io.Reader
	Out io.Writer
	Err io.Writer
}

// capture keeps the beginning and the end of what is written to it.
type capture struct {
	mu    sync.Mutex
	half  int    // bytes of each
	head  []byte //
	tail  []byte // a ring once it is full
	next  int    // where the ring goes on
	total int64
}

func newCapture(limit int) *capture {
	if limit <= 0 {
		limit = keptOutput
	}
	return &capture{half: max(limit/2, 1)}
}

// Write never fails: what is beyond the limit is counted.
func (c *capture) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := len(p)
	c.total += int64(n)
	if free := c.half - len(c.head); free > 0 {
		k := min(free, len(p))
		c.head, p = append(c.head, p[:k]...), p[k:]
	}
	p = p[max(0, len(p)-c.half):]
	if free := c.half - len(c.tail); free > 0 {
		k := min(free, len(p))
		c.tail, p = append(c.tail, p[:k]...), p[k:]
	}
	for len(p) > 0 {
		k := copy(c.tail[c.next:], p)
		c.next, p = (c.next+k)%c.half, p[k:]
	}
	return n, nil
}

// String is what was kept, and how much is missing in between.
func (c *capture) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	gap := ""
	if left := c.total - int64(len(c.head)) - int64(len(c.tail)); left > 0 {
		gap = fmt.Sprintf("\n… %d bytes are left out …\n", left)
	}
	// a run may write anything, and an outcome is text
	return strings.ToValidUTF8(string(c.head)+gap+string(c.tail[c.next:])+string(c.tail[:c.next]), "\uFFFD")
}

// streams are the agent's ends of a run's standard streams.
type streams struct {
	out, err *capture // nil where somebody takes the bytes
	over     func()   // called once, when more was written than a run may
	once     sync.Once
	mu       sync.Mutex
	total    int64

	child   []*os.File // what the first process gets
	readers []*os.File
	stdin   *os.File
	done    sync.WaitGroup
}

// newStreams makes pipes and starts to read them. over is called when the kept streams together
// exceed what a run may write.
func newStreams(to IO, limit int, over func()) (*streams, error) {
	s := &streams{over: over}
	if err := s.open(to, limit); err != nil {
		s.started()
		s.close()
		return nil, fmt.Errorf("making the standard streams: %w", err)
	}
	return s, nil
}

func (s *streams) open(to IO, limit int) error {
	if err := s.openInput(to.In); err != nil {
		return err
	}
	if to.Out == nil {
		s.out = newCapture(limit)
	}
	if to.Err == nil {
		s.err = newCapture(limit)
	}
	if err := s.pipe(to.Out, s.out); err != nil {
		return err
	}
	return s.pipe(to.Err, s.err)
}

func (s *streams) openInput(in io.Reader) error {
	if in == nil {
		f, err := os.Open(os.DevNull) // as engines do without --interactive
		if err != nil {
			return err
		}
		s.child = append(s.child, f)
		return nil
	}
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	s.child, s.stdin = append(s.child, r), w
	// Nobody waits for this copy: a read of In may last longer than the run. It ends with In, or
	// with the first write after the run.
	go func() {
		_, _ = io.Copy(w, in) // a program that does not read its input is no failure
		w.Close()
	}()
	return nil
}

// pipe makes one output stream, to where the user takes it or to kept.
func (s *streams) pipe(taken io.Writer, kept *capture) error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	s.child, s.readers = append(s.child, w), append(s.readers, r)
	s.done.Go(func() { s.drain(r, taken, kept) })
	return nil
}

// drain reads to the end, whatever becomes of what it read: a run must not wait for a pipe because
// its reader has seen enough.
func (s *streams) drain(r *os.File, taken io.Writer, kept *capture) {
	buf := make([]byte, 64<<10)
	for {
		n, err := r.Read(buf)
		switch {
		case n > 0 && kept != nil:
			_, _ = kept.Write(buf[:n]) // never fails
			s.count(n)
		case n > 0 && taken != nil:
			if _, err := taken.Write(buf[:n]); err != nil {
				// As at a shell: who writes to a reader that has gone gets SIGPIPE.
				r.Close()
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func (s *streams) count(n int) {
	s.mu.Lock()
	s.total += int64(n)
	over := s.total > totalOutput
	s.mu.Unlock()
	if over {
		s.once.Do(s.over)
	}
}

// started closes the ends that the first process has by now, so that the streams can end.
func (s *streams) started() {
	for _, f := range s.child {
		f.Close()
	}
	s.child = nil
}

// close waits until everything is read, a moment at most: after the end of a run nobody can write,
// but for a process that got away from a space without namespaces.
func (s *streams) close() {
	if s.stdin != nil {
		s.stdin.Close()
	}
	drained := make(chan struct{})
	go func() {
		s.done.Wait()
		close(drained)
	}()
	select {
	case <-drained:
	case <-time.After(time.Second):
	}
	for _, f := range s.readers {
		f.Close()
	}
}

// texts is what was kept.
func (s *streams) texts() (out, err string) {
	if s.out != nil {
		out = s.out.String()
	}
	if s.err != nil {
		err = s.err.String()
	}
	return out, err
}
