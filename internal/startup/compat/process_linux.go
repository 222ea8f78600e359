//go:build linux && (amd64 || arm64)

package compat

import (
	"golang.org/x/sys/unix"
)

// process is one that is known: its beliefs may differ from those of its parent.
type process struct {
	pid   uint32
	fd    int      // tells its end; -1: none could be had, and start tells it from a later one with its number
	start uint64   // since the machine's, in ticks; of use without fd only
	who   *beliefs // of its first thread, and of all that are not in own
	own   map[uint32]*beliefs
	auxv  []byte // the auxiliary vector from before an execve(2) that would change beliefs; nil: none is under way
	by    uint32 // the thread that is about to execute
	mem   *image
}

// of is what a thread of the process believes. The kernel has identities by thread; that all change
// together is the C library's doing, which has every thread make the call.
func (p *process) of(tid uint32) *beliefs {
	if who, ok := p.own[tid]; ok {
		return who
	}
	return p.who
}

// become gives a thread other beliefs than those of all threads, which are listed.
func (p *process) become(tid uint32, who *beliefs, threads []uint32) {
	if len(threads) < 2 {
		p.who, p.own = who, nil
		return
	}
	own, same := make(map[uint32]*beliefs, len(threads)), true
	for _, t := range threads {
		own[t] = p.of(t)
		if t == tid {
			own[t] = who
		} else if own[t].hidden != who.hidden { // which the memory is, that all share
			other := *own[t]
			other.hidden = who.hidden
			own[t] = &other
		}
		same = same && own[t].equal(who)
	}
	if same {
		p.who, p.own = who, nil
	} else if first := own[p.pid]; first != nil {
		p.who, p.own = first, own
	} else {
		p.own = own
	}
}

// census is all processes that are known, and those that ended with beliefs of their own. The
// supervisor's lock guards it.
//
// A process that is not known believes what its parent believed when it was born. That is what the
// parent believes now, because whenever a process changes its beliefs, or ends by itself, or
// executes a program, its children that are not known yet are made known first (pin). What remains is a
// process that a signal ended: its children are taken for those of the leader of their process group or
// session. A child that was made for somebody else (CLONE_PARENT) takes the beliefs of that parent.
type census struct {
	self    uint32
	initial *beliefs
	changed bool // some process has other beliefs than the initial ones
	byPid   map[uint32]*process
	threads map[uint32]uint32 // a thread's process
	deaths  int               // epoll, of the descriptors that tell ends
	dead    [256]ended        // a ring
	next    int
	opened  []*process // whose memory is open, oldest first
	owners  *files     // who programs belong to
	noFiles bool       // the kernel has no /proc/PID/task/TID/children
	buffer  [8192]byte
	path    [64]byte
}

// ended is a process that is no more.
type ended struct {
	pid uint32
	who *beliefs
}

// maxThreads bounds the threads that are remembered.
const maxThreads = 1 << 14

// maxDepth bounds the ancestors that are asked.
const maxDepth = 128

// drain forgets processes that ended. A number is given to another process after its end was told
// here, so that whoever looks for a process drains first.
func (c *census) drain() {
	var events [32]unix.EpollEvent
	for {
		n, err := epollNow(c.deaths, events[:])
		if err != 0 {
			return
		}
		for _, e := range events[:n] {
			if p := c.byPid[uint32(e.Fd)]; p != nil {
				c.forget(p)
			}
		}
		if n < len(events) {
			return
		}
	}
}

func (c *census) forget(p *process) {
	c.drop(p)
	if p.fd >= 0 {
		unix.Close(p.fd)
	}
	delete(c.byPid, p.pid)
	if p.who != c.initial {
		c.dead[c.next] = ended{p.pid, p.who}
		c.next = (c.next + 1) % len(c.dead)
	}
}

// live gives a process that is known, if that is the one that has the number now.
func (c *census) live(pid uint32) *process {
	p := c.byPid[pid]
	if p == nil || p.fd >= 0 {
		return p
	}
	if s, ok := c.stat(pid); !ok || s.start != p.start {
		c.forget(p)
		return nil
	}
	return p
}

// of finds the process of a thread, and makes it known.
func (c *census) of(tid uint32) *process {
	c.drain()
	p := c.live(tid)
	if p == nil {
		pid := c.leader(tid)
		if pid == 0 {
			return nil
		}
		if p = c.live(pid); p == nil {
			p = c.add(pid, c.inherited(pid, 0))
		}
	}
	if p.auxv != nil {
		c.refresh(p)
	}
	return p
}

// leader gives the process of a thread; 0: it is gone.
func (c *census) leader(tid uint32) uint32 {
	if c.byPid[tid] != nil {
		return tid
	}
	if pid, ok := c.threads[tid]; ok && c.byPid[pid] != nil && c.isThread(pid, tid) {
		return pid
	}
	pid, ok := c.tgid(tid)
	if !ok {
		return 0
	}
	if pid != tid {
		if len(c.threads) >= maxThreads {
			clear(c.threads)
		}
		c.threads[tid] = pid
	}
	return pid
}

// add makes a process known.
func (c *census) add(pid uint32, who *beliefs) *process {
	p := &process{pid: pid, fd: -1, who: who}
	if fd, err := unix.PidfdOpen(int(pid), 0); err == nil {
		event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(pid)}
		if unix.EpollCtl(c.deaths, unix.EPOLL_CTL_ADD, fd, &event) == nil {
			p.fd = fd
		} else {
			unix.Close(fd)
		}
	}
	if p.fd < 0 {
		s, _ := c.stat(pid)
		p.start = s.start
	}
	c.byPid[pid] = p
	return p
}

// inherited is what a process believes that is not known.
func (c *census) inherited(pid uint32, depth int) *beliefs {
	s, ok := c.stat(pid)
	switch {
	case !c.changed || !ok || depth > maxDepth:
		return c.initial
	case s.parent == c.self || s.parent == 0:
		return c.orphan(pid, s)
	}
	if p := c.live(s.parent); p != nil {
		if p.auxv != nil {
			c.refresh(p)
		}
		return c.bequest(p, pid)
	}
	return c.inherited(s.parent, depth+1)
}

// orphan is what a process believes whose parent ended, or which the supervisor itself started.
func (c *census) orphan(pid uint32, s stat) *beliefs {
	for _, leader := range [...]uint32{s.group, s.session} {
		if leader == pid || leader == 0 {
			continue
		}
		if p := c.live(leader); p != nil {
			return p.who
		}
		for i := range c.dead {
			if d := &c.dead[(c.next+len(c.dead)-1-i)%len(c.dead)]; d.pid == leader && d.who != nil {
				return d.who
			}
		}
	}
	return c.initial
}

// bequest is what a child gets that is not known: what the thread believes that made it.
func (c *census) bequest(p *process, child uint32) *beliefs {
	if p.own == nil {
		return p.who
	}
	for tid := range p.own {
		made := false
		c.children(p.pid, tid, func(pid uint32) { made = made || pid == child })
		if made {
			return p.of(tid)
		}
	}
	return p.who
}

// pin makes the children of a process known that are not, with what it believes. It gives the threads
// of the process.
func (c *census) pin(p *process) (threads []uint32) {
	c.eachThread(p.pid, func(tid uint32) { threads = append(threads, tid) })
	for _, tid := range threads {
		if !c.noFiles && !c.children(p.pid, tid, func(child uint32) { c.pinOne(child, p.of(tid)) }) {
			c.noFiles = true
		}
	}
	if c.noFiles {
		c.pinAll(p)
	}
	return threads
}

// pinAll finds the children by looking at all processes.
func (c *census) pinAll(p *process) {
	c.eachNumber("/proc", func(pid uint32) {
		if s, ok := c.stat(pid); ok && s.parent == p.pid {
			c.pinOne(pid, p.who)
		}
	})
}

func (c *census) pinOne(child uint32, who *beliefs) {
	if c.live(child) == nil {
		c.add(child, who)
	}
}

// refresh finds out whether the program was executed that was about to be. An execve(2) that fails is
// seen by its leaving everything where it was in memory. Without randomisation of addresses, a program
// that executes itself with the same arguments looks like that, too, and keeps its beliefs.
func (c *census) refresh(p *process) {
	now := c.auxv(p.pid)
	if now == nil || string(now) == string(p.auxv) {
		return
	}
	old := p.of(p.by)
	p.auxv, p.who, p.own = nil, old.executed(c.owners.program(p.pid)), nil
	if p.who.u.fs != old.u.fs {
		c.owners.seen(p.who.u.fs, p.who.g.fs)
	}
}
