//go:build linux && (amd64 || arm64)

package compat

import (
	"slices"

	"golang.org/x/sys/unix"
)

// id is an argument that is one. In 16 bits, all ones is "unchanged" too.
func (c *call) id32(n int) uint32 {
	id := uint32(c.args[n])
	if c.short {
		return wideID(id)
	}
	return id
}

// told is an id as a call gives it.
func (c *call) told(id uint32) uint32 {
	if c.short {
		return id16(id)
	}
	return id
}

func (c *call) setuid() answer {
	return c.change(func(b *beliefs) (int64, unix.Errno) { return 0, b.setuid(c.id32(0)) })
}

func (c *call) setgid() answer {
	return c.change(func(b *beliefs) (int64, unix.Errno) { return 0, b.setgid(c.id32(0)) })
}

func (c *call) setreuid() answer {
	return c.change(func(b *beliefs) (int64, unix.Errno) { return 0, b.setreuid(c.id32(0), c.id32(1)) })
}

func (c *call) setregid() answer {
	return c.change(func(b *beliefs) (int64, unix.Errno) { return 0, b.setregid(c.id32(0), c.id32(1)) })
}

func (c *call) setresuid() answer {
	return c.change(func(b *beliefs) (int64, unix.Errno) { return 0, b.setresuid(c.id32(0), c.id32(1), c.id32(2)) })
}

func (c *call) setresgid() answer {
	return c.change(func(b *beliefs) (int64, unix.Errno) { return 0, b.setresgid(c.id32(0), c.id32(1), c.id32(2)) })
}

// setfsuid gives the id before, which the kernel's entry takes for an error where it is all ones minus a
// little: no such id can be set.
func (c *call) setfsuid() answer {
	return c.change(func(b *beliefs) (int64, unix.Errno) { return int64(c.told(b.setfsuid(c.id32(0)))), 0 })
}

func (c *call) setfsgid() answer {
	return c.change(func(b *beliefs) (int64, unix.Errno) { return int64(c.told(b.setfsgid(c.id32(0)))), 0 })
}

func (c *call) getuid() answer  { return value(int64(c.told(c.believes().u.real))) }
func (c *call) geteuid() answer { return value(int64(c.told(c.believes().u.effective))) }
func (c *call) getgid() answer  { return value(int64(c.told(c.believes().g.real))) }
func (c *call) getegid() answer { return value(int64(c.told(c.believes().g.effective))) }

func (c *call) getresuid() answer { return c.three(c.believes().u) }
func (c *call) getresgid() answer { return c.three(c.believes().g) }

func (c *call) three(i ids) answer {
	for n, id := range [...]uint32{i.real, i.effective, i.saved} {
		if err := c.write(c.args[n], c.encode(nil, id)); err != nil {
			return fault(err)
		}
	}
	return value(0)
}

// encode appends an id as the call has it in memory.
func (c *call) encode(b []byte, id uint32) []byte {
	if c.short {
		id = id16(id)
		return append(b, byte(id), byte(id>>8))
	}
	return append(b, byte(id), byte(id>>8), byte(id>>16), byte(id>>24))
}

// maxGroups is NGROUPS_MAX.
const maxGroups = 65536

// width is how many bytes an id takes in memory.
func (c *call) width() int {
	if c.short {
		return 2
	}
	return 4
}

func (c *call) getgroups() answer {
	groups, room := c.believes().groups, int32(c.args[0])
	switch {
	case room < 0 || room > 0 && int(room) < len(groups):
		return failed(unix.EINVAL)
	case room > 0 && len(groups) > 0:
		b := make([]byte, 0, len(groups)*4)
		for _, id := range groups {
			b = c.encode(b, id)
		}
		if err := c.write(c.args[1], b); err != nil {
			return fault(err)
		}
	}
	return value(int64(len(groups)))
}

func (c *call) setgroups() answer {
	if !c.believes().can(capSetgid) {
		return failed(unix.EPERM)
	}
	n := uint32(c.args[0])
	if n > maxGroups {
		return failed(unix.EINVAL)
	}
	groups := make([]uint32, n)
	if n > 0 {
		b := make([]byte, int(n)*c.width())
		if _, err := c.read(c.args[1], b); err != nil {
			return fault(err)
		}
		for i := range groups {
			if c.short {
				groups[i] = wideID(uint32(b[2*i]) | uint32(b[2*i+1])<<8)
			} else {
				groups[i] = get32(b, 4*i)
			}
			if groups[i] == noID {
				return failed(unix.EINVAL)
			}
		}
		slices.Sort(groups)
	}
	return c.change(func(b *beliefs) (int64, unix.Errno) {
		if !b.can(capSetgid) {
			return 0, unix.EPERM
		}
		b.groups = groups
		return 0, 0
	})
}

func (c *call) prctl() answer {
	option, args := uint32(c.args[0]), [4]uint64(c.args[1:5])
	switch option {
	case prGetDumpable, prGetKeepcaps, prCapbsetRead, prGetSecure, prGetSealed:
		b := *c.believes()
		v, err := b.prctl(option, args)
		return answer{value: v, err: err}
	}
	return c.change(func(b *beliefs) (int64, unix.Errno) { return b.prctl(option, args) })
}

// Versions of what capget(2) and capset(2) take: linux/capability.h.
const (
	capVersion1 = 0x19980330
	capVersion2 = 0x20071026
	capVersion3 = 0x20080522
)

// header reads what capget and capset start with: whose capabilities are meant, and how many words of
// each set there are. As in cap_validate_magic, the version that is understood is written back where
// another one came.
func (c *call) header() (pid int32, words int, err error) {
	var b [8]byte
	n, err := c.read(c.args[0], b[:])
	if n < 4 {
		return 0, 0, err
	}
	switch get32(b[:], 0) {
	case capVersion1:
		words = 1
	case capVersion2, capVersion3:
		words = 2
	default:
		put32(b[:], 0, capVersion3)
		if err := c.write(c.args[0], b[:4]); err != nil {
			return 0, 0, err
		}
		return 0, 0, unix.EINVAL
	}
	if n < len(b) {
		return 0, words, unix.EFAULT
	}
	return int32(get32(b[:], 4)), words, nil
}

func (c *call) capget() answer {
	pid, words, err := c.header()
	switch {
	case c.args[1] == 0 && (err == nil || err == unix.EINVAL || words > 0):
		return value(0) // asks for the version alone
	case err == unix.EINVAL:
		return failed(unix.EINVAL)
	case err != nil:
		return fault(err)
	case pid < 0:
		return failed(unix.EINVAL)
	}
	b := c.believes()
	if pid != 0 && uint32(pid) != c.tid {
		var ok bool
		if b, ok = c.s.beliefsOf(uint32(pid)); !ok {
			return byKernel
		}
	}
	var out [24]byte
	for i := range words {
		put32(out[:], 12*i, uint32(b.effective>>(32*i)))
		put32(out[:], 12*i+4, uint32(b.permitted>>(32*i)))
		put32(out[:], 12*i+8, uint32(b.inheritable>>(32*i)))
	}
	if err := c.write(c.args[1], out[:12*words]); err != nil {
		return fault(err)
	}
	return value(0)
}

func (c *call) capset() answer {
	pid, words, err := c.header()
	switch {
	case err == unix.EINVAL:
		return failed(unix.EINVAL)
	case err != nil:
		return fault(err)
	case pid != 0 && uint32(pid) != c.tid:
		return failed(unix.EPERM)
	}
	var in [24]byte
	if _, err := c.read(c.args[1], in[:12*words]); err != nil {
		return fault(err)
	}
	set := func(at int) uint64 { return uint64(get32(in[:], at)) | uint64(get32(in[:], at+12))<<32 }
	return c.change(func(b *beliefs) (int64, unix.Errno) { return 0, b.capset(set(0), set(4), set(8)) })
}

// execve lets the kernel do it. What it makes of the beliefs shows when the process asks again.
func (c *call) execve() answer {
	c.s.executes(c)
	return byKernel
}

// exit lets the kernel do it, once the children of the process have their beliefs from it.
func (c *call) exit() answer {
	c.s.leaves(c)
	return byKernel
}
