package compat

import "slices"

// What a filter gives: linux/seccomp.h.
const (
	retErrno  = 0x00050000
	retNotify = 0x7fc00000
	retAllow  = 0x7fff0000
)

// reply is what a filter does with a call.
type reply uint8

// The replies.
const (
	replySuccess reply = iota // 0, at once
	replyAsk                  // what the supervisor says
)

// equals is a comparison of the low half of an argument: the kernel takes what is compared here as int.
type equals struct {
	arg   uint8 // with anyBit: one of the value's bits is set, instead
	value uint32
}

const anyBit = 0x80

// entry is what a filter does with one call of one ABI, if one of the alternatives holds (in each, all
// comparisons); without alternatives, always. Otherwise the kernel has it.
type entry struct {
	nr    uint32
	when  [][]equals
	reply reply
}

// filter assembles the program for some ABIs. Any other ABI is left alone.
func filter(abis []fileABI, entries func(fileABI) []entry) []instruction {
	var a assembler
	allow := a.ret(retAllow)
	next := allow
	for i := len(abis) - 1; i >= 0; i-- {
		list := slices.Clone(entries(abis[i]))
		slices.SortFunc(list, func(x, y entry) int { return int(x.nr) - int(y.nr) })
		// All that leaves this ABI's part leads to places of its own, for the reach of a jump.
		tree := a.tree(list, a.ret(retAllow), a.ret(retNotify), a.ret(retErrno))
		tree = a.run(tree, func() place { return a.load(dataNumber) })
		next = a.branch(bpfEqual, auditArch[abis[i]], tree, next)
	}
	a.run(next, func() place { return a.load(dataArch) })
	return a.program()
}

// run writes something in front of a place, which must follow at once or be jumped to.
func (a *assembler) run(to place, write func() place) place {
	if int(to) != len(a.code) {
		a.put(bpfGoto, 0, 0, uint32(len(a.code)-int(to)))
	}
	return write()
}

// tree finds the number of a call, by halves.
func (a *assembler) tree(list []entry, allow, notify, success place) place {
	if len(list) > 3 {
		middle := len(list) / 2
		high := a.tree(list[middle:], allow, notify, success)
		low := a.tree(list[:middle], allow, notify, success)
		return a.branch(bpfAtLeast, list[middle].nr, high, low)
	}
	next := allow
	for i := len(list) - 1; i >= 0; i-- {
		yes := notify
		if list[i].reply == replySuccess {
			yes = success
		}
		yes = a.alternatives(list[i].when, yes, allow)
		next = a.branch(bpfEqual, list[i].nr, yes, next)
	}
	return next
}

func (a *assembler) alternatives(when [][]equals, yes, otherwise place) place {
	if len(when) == 0 {
		return yes
	}
	for i := len(when) - 1; i >= 0; i-- {
		at := yes
		for j := len(when[i]) - 1; j >= 0; j-- {
			code := uint16(bpfEqual)
			if when[i][j].arg&anyBit != 0 {
				code = bpfBits
			}
			a.branch(code, when[i][j].value, at, otherwise)
			at = a.load(dataArgs + 8*uint32(when[i][j].arg&^anyBit))
		}
		otherwise = at
	}
	return otherwise
}
