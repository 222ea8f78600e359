package compat

// fileABI is a machine's way to number calls and to lay out memory.
type fileABI uint8

// The ABIs whose calls on files are known.
const (
	fileAMD64 fileABI = iota
	file386
	fileARM64
	fileARM
)

// fileOp is what a call does with a file.
type fileOp uint8

// The things done.
const (
	opStat fileOp = iota + 1
	opChown
	opChmod
	opOpen  // which may make it
	opMkdir // and the next ones make it
	opMknod
	opSymlink
)

// arg is the number of an argument; none: the call has no such argument.
type arg int8

const none arg = -1

// fileCall is how a call names a file and where the rest of what it says stands.
type fileCall struct {
	op     fileOp
	dir    arg    // the directory that a relative path starts from
	path   arg    // the path; none: fd is the file
	fd     arg    // the file
	flags  arg    // AT_ flags
	link   bool   // a symbolic link at the end of the path is meant itself
	out    arg    // where the result goes
	layout layout // its shape
	value  arg    // uid with the gid behind it; the mode; what a symbolic link holds
	how    arg    // flags of open(2); none: those of creat(2)
	short  bool   // ids have 16 bits, as they had before Linux 2.4
}

func statPath(l layout, link bool) fileCall {
	return fileCall{op: opStat, dir: none, path: 0, fd: none, flags: none, link: link, out: 1, layout: l, value: none}
}

func statFD(l layout) fileCall {
	return fileCall{op: opStat, dir: none, path: none, fd: 0, flags: none, out: 1, layout: l, value: none}
}

func statAt(l layout) fileCall {
	return fileCall{op: opStat, dir: 0, path: 1, fd: none, flags: 3, out: 2, layout: l, value: none}
}

func statXAt() fileCall {
	return fileCall{op: opStat, dir: 0, path: 1, fd: none, flags: 2, out: 4, layout: layoutStatx, value: none}
}

func changePath(op fileOp, link, short bool) fileCall {
	return fileCall{op: op, dir: none, path: 0, fd: none, flags: none, link: link, out: none, value: 1, short: short}
}

func changeFD(op fileOp, short bool) fileCall {
	return fileCall{op: op, dir: none, path: none, fd: 0, flags: none, out: none, value: 1, short: short}
}

func changeAt(op fileOp, flags arg) fileCall {
	return fileCall{op: op, dir: 0, path: 1, fd: none, flags: flags, out: none, value: 2}
}

func makePath(op fileOp, value arg) fileCall {
	return fileCall{op: op, dir: none, path: 0, fd: none, flags: none, out: none, value: value, how: none}
}

func openPath() fileCall {
	c := makePath(opOpen, 2)
	c.how = 1
	return c
}

func makeSymlink() fileCall {
	c := makePath(opSymlink, 0)
	c.path = 1
	return c
}

// makeAt is a call with a directory in front.
func makeAt(c fileCall) fileCall {
	c.dir, c.path = 0, c.path+1
	switch c.op {
	case opSymlink:
		c.dir = 1
	default:
		c.value++
	}
	if c.how != none {
		c.how++
	}
	return c
}

// fchmodat2 has this number on every machine: since Linux 5.1 new calls do.
const nrFchmodat2 = 452

// fileCallOf tells what a call does with a file, false where it is none of those that are answered.
func fileCallOf(a fileABI, nr uint32) (fileCall, bool) {
	if nr == nrFchmodat2 {
		return changeAt(opChmod, 3), true
	}
	switch a {
	case fileAMD64:
		return fileCallAMD64(nr)
	case file386:
		if call, ok := fileCallOld(nr, layout386Wide); ok {
			return call, true
		}
		return fileCallNew(nr, [...]uint32{300, 383, 298, 306, 295, 296, 297, 304}, layout386Wide)
	case fileARM64:
		return fileCallARM64(nr)
	case fileARM:
		if call, ok := fileCallOld(nr, layoutARMWide); ok {
			return call, true
		}
		return fileCallNew(nr, [...]uint32{327, 397, 325, 333, 322, 323, 324, 331}, layoutARMWide)
	}
	return fileCall{}, false
}

// fileCallAMD64 is after arch/x86/entry/syscalls/syscall_64.tbl.
func fileCallAMD64(nr uint32) (fileCall, bool) {
	switch nr {
	case 2:
		return openPath(), true
	case 4:
		return statPath(layoutAMD64, false), true
	case 5:
		return statFD(layoutAMD64), true
	case 6:
		return statPath(layoutAMD64, true), true
	case 83:
		return makePath(opMkdir, 1), true
	case 85:
		return makePath(opOpen, 1), true
	case 88:
		return makeSymlink(), true
	case 90:
		return changePath(opChmod, false, false), true
	case 91:
		return changeFD(opChmod, false), true
	case 92:
		return changePath(opChown, false, false), true
	case 93:
		return changeFD(opChown, false), true
	case 94:
		return changePath(opChown, true, false), true
	case 133:
		return makePath(opMknod, 1), true
	}
	return fileCallNew(nr, [...]uint32{262, 332, 260, 268, 257, 258, 259, 266}, layoutAMD64)
}

// fileCallARM64 is after include/uapi/asm-generic/unistd.h.
func fileCallARM64(nr uint32) (fileCall, bool) {
	switch nr {
	case 52:
		return changeFD(opChmod, false), true
	case 55:
		return changeFD(opChown, false), true
	case 80:
		return statFD(layoutGeneric), true
	}
	return fileCallNew(nr, [...]uint32{79, 291, 54, 53, 56, 34, 33, 36}, layoutGeneric)
}

// fileCallNew is the calls that take a directory; at has the numbers of fstatat, statx, fchownat,
// fchmodat, openat, mkdirat, mknodat and symlinkat.
func fileCallNew(nr uint32, at [8]uint32, l layout) (fileCall, bool) {
	switch nr {
	case at[0]:
		return statAt(l), true
	case at[1]:
		return statXAt(), true
	case at[2]:
		return changeAt(opChown, 4), true
	case at[3]:
		return changeAt(opChmod, none), true
	case at[4]:
		return makeAt(openPath()), true
	case at[5]:
		return makeAt(makePath(opMkdir, 1)), true
	case at[6]:
		return makeAt(makePath(opMknod, 1)), true
	case at[7]:
		return makeAt(makeSymlink()), true
	}
	return fileCall{}, false
}

// fileCallOld is what i386 and arm have had under the same numbers since their beginnings.
func fileCallOld(nr uint32, wide layout) (fileCall, bool) {
	switch nr {
	case 5:
		return openPath(), true
	case 8:
		return makePath(opOpen, 1), true
	case 14:
		return makePath(opMknod, 1), true
	case 15:
		return changePath(opChmod, false, false), true
	case 16:
		return changePath(opChown, true, true), true
	case 39:
		return makePath(opMkdir, 1), true
	case 83:
		return makeSymlink(), true
	case 94:
		return changeFD(opChmod, false), true
	case 95:
		return changeFD(opChown, true), true
	case 106:
		return statPath(layoutNarrow, false), true
	case 107:
		return statPath(layoutNarrow, true), true
	case 108:
		return statFD(layoutNarrow), true
	case 182:
		return changePath(opChown, false, true), true
	case 195:
		return statPath(wide, false), true
	case 196:
		return statPath(wide, true), true
	case 197:
		return statFD(wide), true
	case 198:
		return changePath(opChown, true, false), true
	case 207:
		return changeFD(opChown, false), true
	case 212:
		return changePath(opChown, false, false), true
	}
	return fileCall{}, false
}

// fileCalls lists the numbers that fileCallOf knows, lowest first: what a filter sends to the
// supervisor.
func fileCalls(a fileABI) []uint32 {
	var numbers []uint32
	for nr := uint32(0); nr <= nrFchmodat2; nr++ {
		if _, ok := fileCallOf(a, nr); ok {
			numbers = append(numbers, nr)
		}
	}
	return numbers
}

// Flags of open(2) that may make a file; they have the same bits everywhere here.
const (
	openCreate  = 0o100
	openTmpfile = 0o20000000 // without O_DIRECTORY, which O_TMPFILE has in it
)

// asks tells which argument must have one of which bits for the call to be of interest; none: it always is.
func (c *fileCall) asks() (n arg, bits uint32) {
	if c.op == opOpen {
		return c.how, openCreate | openTmpfile
	}
	return none, 0
}

// ids reads the uid and the gid that a call gives a file. In 16 bits, all ones is "unchanged" too:
// low2highuid (linux/highuid.h).
func (c *fileCall) ids(args *[6]uint64) (uid, gid uint32) {
	uid, gid = uint32(args[c.value]), uint32(args[c.value+1])
	if c.short {
		uid, gid = wideID(uid), wideID(gid)
	}
	return uid, gid
}

func wideID(id uint32) uint32 {
	if id &= 0xffff; id == 0xffff {
		return noID
	}
	return id
}
