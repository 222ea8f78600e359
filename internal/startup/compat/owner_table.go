package compat

// fileID is which file: an inode, told from another that got the same number later by the time of its
// birth. A file system that keeps no such time (statx without STATX_BTIME) has 0 there, and a number
// that is used again is then taken for the file that had it before.
type fileID struct {
	dev   uint64 // major<<32 | minor
	ino   uint64
	birth int64 // nanoseconds since 1970
}

// given is what a file was given and the kernel does not know of.
type given struct {
	uid, gid uint32
	mode     uint16 // permission bits, where hasMode
	hasMode  bool
}

// maxGiven bounds the table. A node takes 72 bytes, with the index about 12 MiB when the table is
// full: a change of owner in a whole file system of a small image fits.
const maxGiven = 1 << 17

// givenTable is the files that were given away, the one not used for longest forgotten when it is
// full: a forgotten file is shown as the kernel has it. The zero table is empty.
type givenTable struct {
	index map[fileID]int32
	nodes []givenNode // a ring through prev and next; nodes[0] is its head and no file
}

type givenNode struct {
	id         fileID
	owner      given
	prev, next int32
}

// empty tells whether nothing was given away.
func (t *givenTable) empty() bool { return len(t.nodes) < 2 }

// find gives what is known of a file.
func (t *givenTable) find(id fileID) (given, bool) {
	if t.empty() {
		return given{}, false
	}
	n, ok := t.index[id]
	if !ok {
		return given{}, false
	}
	t.unlink(n)
	t.first(n)
	return t.nodes[n].owner, true
}

// put keeps what a file was given.
func (t *givenTable) put(id fileID, owner given) {
	if t.index == nil {
		t.index = make(map[fileID]int32)
		t.nodes = append(t.nodes, givenNode{})
	}
	n, ok := t.index[id]
	switch {
	case ok:
		t.unlink(n)
	case len(t.nodes) <= maxGiven:
		n = int32(len(t.nodes))
		t.nodes = append(t.nodes, givenNode{})
	default:
		n = t.nodes[0].prev
		t.unlink(n)
		delete(t.index, t.nodes[n].id)
	}
	t.nodes[n].id, t.nodes[n].owner = id, owner
	t.index[id] = n
	t.first(n)
}

func (t *givenTable) unlink(n int32) {
	node := &t.nodes[n]
	t.nodes[node.prev].next, t.nodes[node.next].prev = node.next, node.prev
}

func (t *givenTable) first(n int32) {
	head := &t.nodes[0]
	t.nodes[n].prev, t.nodes[n].next = 0, head.next
	t.nodes[head.next].prev = n
	t.nodes[0].next = n
}
