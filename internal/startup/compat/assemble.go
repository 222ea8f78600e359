package compat

// instruction is struct sock_filter of linux/filter.h.
type instruction struct {
	code   uint16
	jt, jf uint8
	k      uint32
}

// The codes that are used: linux/bpf_common.h.
const (
	bpfLoad    = 0x20 // BPF_LD | BPF_W | BPF_ABS
	bpfGoto    = 0x05 // BPF_JMP | BPF_JA
	bpfEqual   = 0x15 // BPF_JMP | BPF_JEQ | BPF_K
	bpfAtLeast = 0x35 // BPF_JMP | BPF_JGE | BPF_K
	bpfBits    = 0x45 // BPF_JMP | BPF_JSET | BPF_K
	bpfReturn  = 0x06 // BPF_RET | BPF_K
)

// Where struct seccomp_data (linux/seccomp.h) has what is looked at. The low half of an argument comes
// first: all machines here are little-endian.
const (
	dataNumber = 0
	dataArch   = 4
	dataArgs   = 16
)

// place is an instruction, counted from the program's end; 1 is the last.
type place int

// assembler writes a program from its end: jumps of BPF lead forward only, so that where they lead to
// is there when they are written.
type assembler struct {
	code []instruction // reversed
}

func (a *assembler) put(code uint16, jt, jf uint8, k uint32) place {
	a.code = append(a.code, instruction{code, jt, jf, k})
	return place(len(a.code))
}

func (a *assembler) ret(value uint32) place { return a.put(bpfReturn, 0, 0, value) }

func (a *assembler) load(offset uint32) place { return a.put(bpfLoad, 0, 0, offset) }

// near gives a place that leads to the one wanted and that a conditional jump reaches, whose offsets
// have 8 bits.
func (a *assembler) near(to place) place {
	if len(a.code)-int(to) < 250 {
		return to
	}
	return a.put(bpfGoto, 0, 0, uint32(len(a.code)-int(to)))
}

// branch is a conditional jump. What stands before it must run into it: it is the latest place then.
func (a *assembler) branch(code uint16, k uint32, yes, no place) place {
	yes = a.near(yes)
	no = a.near(no)
	return a.put(code, uint8(len(a.code)-int(yes)), uint8(len(a.code)-int(no)), k)
}

// program gives the instructions in their order.
func (a *assembler) program() []instruction {
	p := make([]instruction, 0, len(a.code))
	for i := len(a.code) - 1; i >= 0; i-- {
		p = append(p, a.code[i])
	}
	return p
}
