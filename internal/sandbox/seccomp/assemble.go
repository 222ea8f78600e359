//go:build linux

package seccomp

import (
	"golang.org/x/sys/unix"
)

// The instructions that are used, from linux/bpf_common.h.
const (
	loadWord  = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
	andWith   = unix.BPF_ALU | unix.BPF_AND | unix.BPF_K
	jump      = unix.BPF_JMP | unix.BPF_JA
	ifEqual   = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
	ifMore    = unix.BPF_JMP | unix.BPF_JGT | unix.BPF_K
	ifAtLeast = unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K
	give      = unix.BPF_RET | unix.BPF_K
)

// Offsets into struct seccomp_data of linux/seccomp.h; both machines are little endian.
const (
	offNumber = 0
	offArch   = 4
	offArgs   = 16
)

// place is an instruction, counted from the program's end: 1 is the last one.
type place int

// assembler writes a program from its end to its beginning: all jumps of BPF lead forward, so their
// targets are there when they are written.
type assembler struct {
	code []unix.SockFilter // reversed
	gave map[uint32]place  // the latest return of a value
}

func (b *assembler) put(op uint16, jt, jf uint8, k uint32) place {
	b.code = append(b.code, unix.SockFilter{Code: op, Jt: jt, Jf: jf, K: k})
	return place(len(b.code))
}

// far is how many instructions one that is written next would jump over.
func (b *assembler) far(to place) int { return len(b.code) - int(to) }

// give is a return of value: one that is near, or a new one.
func (b *assembler) give(value uint32) place {
	if p, ok := b.gave[value]; ok && b.far(p) < 200 {
		return p
	}
	p := b.put(give, 0, 0, value)
	b.gave[value] = p
	return p
}

// near gives a place that leads to the one wanted and that a conditional jump reaches, whose offsets
// have 8 bits. Another one may be made before the jump is written: hence the reserve.
func (b *assembler) near(to place) place {
	if b.far(to) <= 250 {
		return to
	}
	return b.put(jump, 0, 0, uint32(b.far(to)))
}

// follow makes what is written next run into a place.
func (b *assembler) follow(to place) {
	if b.far(to) > 0 {
		b.put(jump, 0, 0, uint32(b.far(to)))
	}
}

// branch is a conditional jump.
func (b *assembler) branch(op uint16, k uint32, yes, no place) place {
	yes, no = b.near(yes), b.near(no)
	return b.put(op, uint8(b.far(yes)), uint8(b.far(no)), k)
}

// when is the whole of a test: alternatives are tried from the first on.
func (b *assembler) when(a anyOf, yes, no place) place {
	for i := len(a) - 1; i >= 0; i-- {
		at := yes
		for j := len(a[i]) - 1; j >= 0; j-- {
			at = b.test(a[i][j], at, no)
		}
		no = at
	}
	return no
}

// test is one condition on 64 bits with a machine of 32.
func (b *assembler) test(c condition, yes, no place) place {
	if yes == no {
		return yes // what is written below must be reached from what is written above it
	}
	hi, lo := uint32(c.value>>32), uint32(c.value)
	switch c.op {
	case notEqual:
		c.op = equal
		return b.test(c, no, yes)
	case less:
		c.op = greaterEqual
		return b.test(c, no, yes)
	case lessEqual:
		c.op = greater
		return b.test(c, no, yes)
	case greater, greaterEqual:
		op := uint16(ifMore)
		if c.op == greaterEqual {
			op = ifAtLeast
		}
		b.branch(op, lo, yes, no)
		low := b.load(c.arg, 0)
		same := b.branch(ifEqual, hi, low, no)
		b.branch(ifMore, hi, yes, same)
		return b.load(c.arg, 4)
	case equal:
		c.mask = ^uint64(0)
	}
	at := yes
	for _, half := range []struct {
		value, mask uint32
		off         int
	}{{lo, uint32(c.mask), 0}, {hi, uint32(c.mask >> 32), 4}} {
		if half.mask == 0 && half.value == 0 {
			continue
		}
		at = b.branch(ifEqual, half.value, at, no)
		if half.mask != ^uint32(0) { // runs into the branch just written
			at = b.put(andWith, 0, 0, half.mask)
		}
		at = b.load(c.arg, half.off)
	}
	return at
}

func (b *assembler) load(arg, off int) place {
	return b.put(loadWord, 0, 0, uint32(offArgs+8*arg+off))
}

// program gives the instructions in their order.
func (b *assembler) program() []unix.SockFilter {
	p := make([]unix.SockFilter, 0, len(b.code))
	for i := len(b.code) - 1; i >= 0; i-- {
		p = append(p, b.code[i])
	}
	return p
}
