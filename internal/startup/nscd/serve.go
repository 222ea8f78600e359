//go:build linux

package nscd

import (
	"runtime"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// The limits on clients, who are strangers.
const (
	maxClients = 256     // connections at once: the oldest makes room
	maxPending = 8 << 20 // bytes of answers that clients did not take yet: the oldest make room
	patience   = 5e9     // nanoseconds for a whole connection; a client waits 5 s for its answer
	batch      = 64      // connections accepted before others get their turn
	collect    = 1024    // connections after which memory is collected
)

// client is a connection whose request is not whole, or whose answer was not taken whole.
type client struct {
	fd       int
	deadline int64 // of the monotonic clock, in nanoseconds
	request  []byte
	pending  []byte
}

// loop serves all connections on one thread that sleeps while there is nothing to do.
type loop struct {
	*Server
	epoll   int
	clients []*client // oldest first, so that deadlines are in order
	pending int       // bytes
	count   int       // connections since memory was collected
	in      [headLen + maxKey]byte
	out     []byte
}

// Serve answers until Close. It fails with what the kernel says where it cannot wait for clients.
func (s *Server) Serve() error {
	s.mu.Lock()
	if s.state != idle {
		s.mu.Unlock()
		return nil
	}
	s.state = serving
	s.mu.Unlock()
	l := &loop{Server: s, epoll: -1}
	defer l.end()
	var err error
	if l.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return err
	}
	for _, fd := range []int{s.listen, s.wake} {
		if err := l.watch(unix.EPOLL_CTL_ADD, fd, unix.EPOLLIN); err != nil {
			return err
		}
	}
	return l.run()
}

func (l *loop) end() {
	for len(l.clients) > 0 {
		l.drop(0)
	}
	if l.epoll >= 0 {
		unix.Close(l.epoll)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.state = closed
	l.release()
}

func (l *loop) watch(op, fd int, events uint32) error {
	return unix.EpollCtl(l.epoll, op, fd, &unix.EpollEvent{Events: events, Fd: int32(fd)})
}

func (l *loop) run() error {
	var events [batch]unix.EpollEvent
	for {
		n, err := unix.EpollWait(l.epoll, events[:], l.timeout())
		if err != nil && err != unix.EINTR {
			return err
		}
		for _, event := range events[:max(n, 0)] {
			switch fd := int(event.Fd); fd {
			case l.wake:
				return nil
			case l.listen:
				l.accept()
			default:
				l.ready(fd)
			}
		}
		for now := monotonic(); len(l.clients) > 0 && l.clients[0].deadline <= now; {
			l.drop(0)
		}
	}
}

func monotonic() int64 {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &t)
	return t.Nano()
}

// timeout gives how long to wait at most, in milliseconds; -1 is for ever.
func (l *loop) timeout() int {
	if len(l.clients) == 0 {
		return -1
	}
	return int(max(0, l.clients[0].deadline-monotonic())/1e6) + 1
}

func (l *loop) accept() {
	for range batch {
		fd, _, err := unix.Accept4(l.listen, unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK)
		switch err {
		case nil:
			l.talk(&client{fd: fd, deadline: monotonic() + patience}, false)
			l.tidy()
		case unix.EINTR, unix.ECONNABORTED:
		case unix.EAGAIN:
			return
		default: // no more descriptors or memory: the socket stays ready, so wait instead of turning
			if len(l.clients) > 0 {
				l.drop(0)
			}
			time.Sleep(20 * time.Millisecond)
			return
		}
	}
}

// tidy collects memory now and then. Left to itself the runtime would do so at 4 MiB, many times what
// is in use here, and this process stays as long as the container.
func (l *loop) tidy() {
	if l.count++; l.count >= collect {
		l.count = 0
		runtime.GC()
	}
}

func (l *loop) ready(fd int) {
	i := slices.IndexFunc(l.clients, func(c *client) bool { return c.fd == fd })
	if i < 0 {
		return // it ended in this turn
	}
	c := l.clients[i]
	l.clients = slices.Delete(l.clients, i, i+1)
	l.pending -= len(c.pending)
	l.talk(c, true)
}

// talk goes on with a client that is in no list, and ends it or puts it back.
func (l *loop) talk(c *client, watched bool) {
	events := uint32(unix.EPOLLIN)
	if c.pending == nil && l.receive(c) || c.pending != nil && l.send(c) {
		unix.Close(c.fd)
		return
	}
	if c.pending != nil {
		events = unix.EPOLLOUT
	}
	op := unix.EPOLL_CTL_ADD
	if watched {
		op = unix.EPOLL_CTL_MOD
	}
	if l.watch(op, c.fd, events) != nil {
		unix.Close(c.fd)
		return
	}
	l.put(c)
}

// put keeps a client by age, within the limits.
func (l *loop) put(c *client) {
	at := len(l.clients)
	for at > 0 && l.clients[at-1].deadline > c.deadline {
		at--
	}
	l.clients = slices.Insert(l.clients, at, c)
	l.pending += len(c.pending)
	for len(l.clients) > maxClients || l.pending > maxPending {
		l.drop(0)
	}
}

func (l *loop) drop(i int) {
	c := l.clients[i]
	unix.Close(c.fd)
	l.pending -= len(c.pending)
	l.clients = slices.Delete(l.clients, i, i+1)
}

// receive reads the request and answers it once it is whole. It reports whether the connection is to
// end: all is said, or nothing can be.
func (l *loop) receive(c *client) bool {
	have := copy(l.in[:], c.request)
	n, err := read(c.fd, l.in[have:])
	switch {
	case err == unix.EAGAIN:
		return false
	case err != nil, n == 0:
		return true
	}
	r, ok, more := readRequest(l.in[:have+n])
	switch {
	case more:
		c.request = slices.Clone(l.in[:have+n])
		return false
	case !ok:
		return true
	}
	l.out = l.names.answer(l.out[:0], r)
	c.request, c.pending = nil, l.out
	if l.send(c) {
		l.shrink()
		return true
	}
	c.pending = slices.Clone(c.pending)
	l.shrink()
	return false
}

// shrink gives back what a large answer took.
func (l *loop) shrink() {
	if cap(l.out) > readLen {
		l.out = nil
	}
}

// send writes what the client takes. It reports whether the connection is to end.
func (l *loop) send(c *client) bool {
	for len(c.pending) > 0 {
		n, err := unix.SendmsgN(c.fd, c.pending, nil, nil, unix.MSG_NOSIGNAL)
		switch err {
		case nil:
			c.pending = c.pending[n:]
		case unix.EINTR:
		case unix.EAGAIN:
			return false
		default:
			return true
		}
	}
	return true
}
