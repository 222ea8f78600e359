//go:build linux && (amd64 || arm64)

package compat

import (
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

// image is the memory of a process, open. Opening takes longer than all the rest of an answer, so the latest
// are kept. The descriptor stays with the memory: once all that had it are gone or have executed a
// program, it reads nothing. What remains is who shares memory with a parent and executes one (vfork):
// execve(2) is answered here, and drops what was open.
//
// process_vm_readv(2) would need no descriptor. Profiles of engines before 2020 refuse it, and it takes a
// process id that may be another's by then.
type image struct {
	fd    int
	users int  // calls that are being answered with it
	stale bool // to be closed by its last user
}

// maxImages bounds how many are open.
const maxImages = 48

// open opens the memory of the process of a call.
func (c *call) open() bool {
	if c.mem != nil || c.closed {
		return c.mem != nil
	}
	s := c.s
	s.mu.Lock()
	if c.who == nil {
		c.who = s.of(c.tid)
	}
	if c.who != nil && c.who.mem != nil {
		c.mem = c.who.mem
		c.mem.users++
	}
	s.mu.Unlock()
	if c.mem == nil {
		c.openAnew()
	}
	c.closed = c.mem == nil
	return c.mem != nil
}

// openAnew asks the kernel. That it gave the right one is certain if the thread still waits after it.
func (c *call) openAnew() {
	var path [32]byte
	b := append(strconv.AppendUint(append(path[:0], "/proc/"...), uint64(c.tid), 10), "/mem\x00"...)
	fd, err := openAt(b, unix.O_RDWR)
	if err != 0 {
		return
	}
	if !c.waits() {
		unix.Close(fd)
		return
	}
	c.mem = &image{fd: fd, users: 1, stale: true}
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if p := c.who; p != nil && p.mem == nil && c.s.byPid[p.pid] == p {
		c.mem.stale = false
		p.mem = c.mem
		c.s.opened = append(c.s.opened, p)
		if len(c.s.opened) > maxImages {
			c.s.drop(c.s.opened[0])
		}
	}
}

// drop lets go of a process' memory.
func (c *census) drop(p *process) {
	if p.mem == nil {
		return
	}
	if p.mem.stale = true; p.mem.users == 0 {
		unix.Close(p.mem.fd)
	}
	p.mem = nil
	if i := slices.Index(c.opened, p); i >= 0 {
		c.opened = slices.Delete(c.opened, i, i+1)
	}
}

// release ends the use of memory for a call. The supervisor's lock is held.
func (c *call) release() {
	if c.mem == nil {
		return
	}
	if c.mem.users--; c.mem.stale && c.mem.users == 0 {
		unix.Close(c.mem.fd)
	}
	c.mem = nil
}

// read fills b from the memory of the process as far as that goes. It is EPERM where the kernel keeps the memory
// from this process, as with a program that the user may execute and not read.
func (c *call) read(addr uint64, b []byte) (int, error) {
	return c.transfer(addr, b, unix.Pread)
}

// write puts b into the memory of the process.
func (c *call) write(addr uint64, b []byte) error {
	_, err := c.transfer(addr, b, unix.Pwrite)
	return err
}

func (c *call) transfer(addr uint64, b []byte, move func(fd int, b []byte, offset int64) (int, error)) (int, error) {
	if addr>>63 != 0 {
		return 0, unix.EFAULT
	}
	for range 2 {
		if !c.open() {
			return 0, unix.EPERM
		}
		n, err := move(c.mem.fd, b, int64(addr))
		if err == nil && n == len(b) {
			return n, nil
		}
		if n != 0 || len(b) == 0 {
			return max(n, 0), unix.EFAULT
		}
		// nobody has that memory any more: there is other memory in its place
		c.s.mu.Lock()
		if c.who != nil && c.who.mem == c.mem {
			c.s.drop(c.who)
		}
		c.release()
		c.s.mu.Unlock()
	}
	return 0, unix.EFAULT
}
