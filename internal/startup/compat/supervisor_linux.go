//go:build linux && (amd64 || arm64)

package compat

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"unroot/internal/startup"
)

// Supervisor answers the calls of a program and of all that it starts.
type Supervisor struct {
	listener int // seccomp's; -1: the filter answers all by itself
	events   int // epoll, of the listener and of stop
	stop     int // an eventfd that ends Serve
	abis     []fileABI
	rules    [4][512]uint8 // by ABI and number: one more than the place in handlers
	handlers []rule

	mu sync.Mutex // guards census; never held while memory of a process or its files are looked at
	census

	files *files

	busy    atomic.Int64 // since when a call is being answered, in nanoseconds; 0: none is
	turn    atomic.Int64 // who receives: a server that hung finds another in its place
	servers atomic.Int32
	asleep  atomic.Bool // the watchdog waits for work
	work    chan struct{}
	closed  atomic.Bool
}

// maxServers bounds the servers that hang in calls of a hostile process, whose memory may be a file on
// a file system that never answers. When all hang, processes that ask wait: no more than
// such a process could do with signals, as all are one user.
const maxServers = 64

// patience is how long a call may take before others are answered beside it.
const patience = 200 * time.Millisecond

// newSupervisor makes one without a listener.
func newSupervisor(step startup.Compat) (*Supervisor, error) {
	s := &Supervisor{listener: -1, events: -1, stop: -1, work: make(chan struct{}, 1), abis: abisOf(runtime.GOARCH), files: newFiles()}
	s.census = census{self: uint32(unix.Getpid()), initial: root(), deaths: -1, byPid: map[uint32]*process{}, threads: map[uint32]uint32{}, owners: s.files}
	s.files.seen(0, 0)
	s.register(step)
	var err error
	if s.events, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err == nil {
		if s.deaths, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err == nil {
			s.stop, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
		}
	}
	if err == nil {
		err = s.hear(s.stop)
	}
	if err != nil {
		s.shut()
		return nil, doing("making a supervisor", err)
	}
	return s, nil
}

// register prepares the handlers of a step for dispatch.
func (s *Supervisor) register(step startup.Compat) {
	s.handlers = append(identityRules[:len(identityRules):len(identityRules)], rule{do: (*call).file})
	for _, a := range s.abis {
		for i := range identityRules {
			if nr := identityRules[i].nr[a]; nr != no {
				s.rules[a][nr] = uint8(i + 1)
			}
		}
	}
	if step != startup.CompatConsistent {
		return
	}
	for _, a := range s.abis {
		for _, nr := range fileCalls(a) {
			s.rules[a][nr] = uint8(len(s.handlers))
		}
	}
}

func (s *Supervisor) hear(fd int) error {
	return unix.EpollCtl(s.events, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)})
}

// Serve answers until Close, or until nobody is left who could ask. Start has it running already: to
// call it is to wait for its end.
func (s *Supervisor) serve(turn int64) {
	defer s.servers.Add(-1)
	for s.turn.Load() == turn && !s.closed.Load() {
		var event [2]unix.EpollEvent
		n, err := unix.EpollWait(s.events, event[:], -1)
		if err != nil && err != unix.EINTR {
			return
		}
		for _, e := range event[:max(n, 0)] {
			if int(e.Fd) != s.listener {
				return
			}
			if e.Events&unix.EPOLLIN != 0 {
				s.one()
			} else if e.Events&(unix.EPOLLHUP|unix.EPOLLERR) != 0 {
				return // the last process that could ask is gone
			}
		}
	}
}

// one answers one call. An error on the way means that its process is gone.
func (s *Supervisor) one() {
	var n notice
	if ioctl(s.listener, ioctlReceive, unsafe.Pointer(&n)) != 0 {
		return
	}
	s.busy.Store(time.Now().UnixNano())
	if s.asleep.Load() {
		select {
		case s.work <- struct{}{}:
		default:
		}
	}
	c := call{s: s, id: n.id, tid: n.pid, nr: n.nr, args: n.args}
	a := byKernel
	if do := s.find(&c, n.arch); do != nil && n.pid != 0 {
		a = do(&c)
	}
	r := response{id: n.id, val: a.value, err: -int32(a.err)}
	if a.kernel {
		r = response{id: n.id, flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE}
	}
	err := ioctlNow(s.listener, ioctlSend, uintptr(unsafe.Pointer(&r)))
	c.finish(err == 0)
	s.busy.Store(0)
}

// find gives who answers a call, which gets its ABI.
func (s *Supervisor) find(c *call, arch uint32) handler {
	for _, a := range s.abis {
		if auditArch[a] != arch || c.nr >= uint32(len(s.rules[a])) {
			continue
		}
		at := s.rules[a][c.nr]
		if at == 0 {
			return nil
		}
		c.abi = a
		if !a.wide() {
			for i := range c.args {
				c.args[i] = uint64(uint32(c.args[i]))
			}
		}
		r := &s.handlers[at-1]
		c.short = r.short
		return r.do
	}
	return nil
}

// watch puts another server in the place of one that hangs.
func (s *Supervisor) watch() {
	idle := 0
	for !s.closed.Load() {
		since := s.busy.Load()
		if since == 0 {
			if idle++; idle > 5 {
				s.asleep.Store(true)
				<-s.work
				s.asleep.Store(false)
				idle = 0
			}
			time.Sleep(patience)
			continue
		}
		idle = 0
		time.Sleep(patience)
		if s.busy.Load() == since && s.servers.Load() < maxServers {
			s.busy.Store(0)
			s.launch()
		}
	}
}

// launch starts a server, which the one before, if there is one, leaves its place to.
func (s *Supervisor) launch() {
	s.servers.Add(1)
	go s.serve(s.turn.Add(1))
}

// believes is what the process of a call believes. While nobody changed anything, nobody is looked for.
func (s *Supervisor) believes(c *call) *beliefs {
	if !s.changed {
		return s.initial
	}
	if c.who == nil {
		c.who = s.of(c.tid)
	}
	if c.who == nil {
		return s.initial // it is gone: nobody gets the answer
	}
	return c.who.of(c.tid)
}

// become gives the process of a call other beliefs.
func (s *Supervisor) become(c *call, who *beliefs) {
	if c.who == nil {
		if c.who = s.of(c.tid); c.who == nil {
			return
		}
	}
	if !s.changed {
		s.changed = true
		s.pin(&process{pid: s.self, who: s.initial}) // orphans of a time when nothing was to be kept
	}
	c.threads = s.pin(c.who)
	c.before = c.who.of(c.tid)
	c.who.become(c.tid, who, c.threads)
	if who.u.fs != c.before.u.fs {
		s.files.seen(who.u.fs, who.g.fs)
	}
}

// executes keeps in mind that a process is about to execute a program, where that could change what it
// believes: what the first process believes, is left by nobody's set-id bits.
func (s *Supervisor) executes(c *call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.opened) > 0 {
		if p := s.byPid[s.leader(c.tid)]; p != nil {
			s.drop(p)
		}
	}
	b := s.believes(c)
	if c.who == nil || b == s.initial && c.who.own == nil {
		return
	}
	c.who.by = c.tid
	if c.who.auxv != nil {
		return
	}
	if c.who.auxv = s.auxv(c.who.pid); c.who.auxv == nil {
		s.pin(c.who) // nothing tells whether it succeeds: mostly it does
		c.who.who, c.who.own = b.executed(given{}), nil
	}
}

// leaves makes the children of a process that is about to end known, with what it believes.
func (s *Supervisor) leaves(c *call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.believes(c); c.who != nil {
		s.pin(c.who)
	}
}

// beliefsOf is what a process or thread believes that does not ask itself; false: it is none of those that are
// answered.
func (s *Supervisor) beliefsOf(tid uint32) (*beliefs, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drain()
	pid := s.leader(tid)
	if pid == 0 || pid == s.self || !s.below(pid) {
		return nil, false
	}
	if p := s.live(pid); p != nil {
		return p.of(tid), true
	}
	return s.inherited(pid, 0), true
}

// below tells whether a process is under a filter, as all are that the program started.
func (s *Supervisor) below(pid uint32) bool {
	for range maxDepth {
		st, ok := s.stat(pid)
		if !ok || st.parent == 0 {
			return false
		}
		if st.parent == s.self {
			return true
		}
		pid = st.parent
	}
	return false
}

// Reaped tells that a process ended and its number is free.
func (s *Supervisor) Reaped(pid int) {
	if s == nil || s.listener < 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drain()
	if p := s.byPid[uint32(pid)]; p != nil && p.fd < 0 {
		s.forget(p)
	}
}

// Serve waits until Close, or until nobody is left who could ask: answers are given from Start on.
func (s *Supervisor) Serve() error {
	if s.listener < 0 {
		return nil
	}
	for s.servers.Load() > 0 && !s.closed.Load() {
		fds := []unix.PollFd{{Fd: int32(s.stop), Events: unix.POLLIN}, {Fd: int32(s.listener)}}
		if _, err := unix.Poll(fds, -1); err != nil && err != unix.EINTR {
			return doing("waiting for the end of the supervisor", err)
		}
		if fds[0].Revents|fds[1].Revents != 0 {
			break
		}
	}
	return nil
}

// Close ends answering: calls that would be answered fail with ENOSYS from now on.
func (s *Supervisor) Close() {
	if s == nil || s.closed.Swap(true) || s.listener < 0 {
		return
	}
	one := [8]byte{1}
	_, _ = unix.Write(s.stop, one[:])
	select {
	case s.work <- struct{}{}:
	default:
	}
	for range 50 { // descriptors of a server that hangs stay open
		if s.servers.Load() == 0 {
			s.shut()
			return
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func (s *Supervisor) shut() {
	for _, fd := range [...]int{s.listener, s.events, s.deaths, s.stop} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
	for _, p := range s.byPid {
		s.drop(p)
		if p.fd >= 0 {
			unix.Close(p.fd)
		}
	}
}
