package compat

import (
	"math/rand"
	"slices"
	"testing"
)

func TestGivenTable(t *testing.T) {
	t.Parallel()
	var table givenTable
	if _, ok := table.find(fileID{ino: 1}); ok || !table.empty() {
		t.Error("an empty table knows a file")
	}
	a, b := fileID{1, 2, 3}, fileID{1, 2, 4}
	table.put(a, given{uid: 33, gid: 34})
	if _, ok := table.find(b); ok {
		t.Error("a number that was used again is taken for the file that had it before")
	}
	table.put(b, given{uid: 5})
	table.put(a, given{uid: 6})
	if got, _ := table.find(a); got.uid != 6 {
		t.Errorf("given twice: %v", got)
	}
	if got, _ := table.find(b); got.uid != 5 {
		t.Errorf("the other: %v", got)
	}
}

// The table forgets what was not used for longest, and nothing else.
func TestGivenTableForgets(t *testing.T) {
	t.Parallel()
	var table givenTable
	const more = 1000
	for i := range maxGiven {
		table.put(fileID{ino: uint64(i)}, given{uid: uint32(i)})
	}
	for i := range more { // looked at: not the oldest any more
		if _, ok := table.find(fileID{ino: uint64(i)}); !ok {
			t.Fatalf("%d is forgotten early", i)
		}
	}
	for i := range more {
		table.put(fileID{ino: uint64(maxGiven + i)}, given{uid: uint32(maxGiven + i)})
	}
	if len(table.nodes) != maxGiven+1 || len(table.index) != maxGiven {
		t.Fatalf("%d nodes, %d in the index", len(table.nodes), len(table.index))
	}
	for i := range maxGiven + more {
		got, ok := table.find(fileID{ino: uint64(i)})
		if want := i < more || i >= 2*more; ok != want || ok && got.uid != uint32(i) {
			t.Fatalf("%d: %v, %v, want %v", i, got, ok, want)
		}
	}
}

func TestMakers(t *testing.T) {
	t.Parallel()
	now := int64(100)
	clock := func() int64 { return now }
	m := makers{start: 100}
	m.note(0, 0, clock)
	now = 200
	m.note(33, 34, clock)
	now = 300
	m.note(33, 99, clock) // known already
	m.note(5, 6, clock)
	for _, test := range []struct {
		born             int64
		uid, gid         uint32
		wantUID, wantGID uint32
		why              string
	}{
		{0, 33, 34, 33, 34, "no time of birth"},
		{50, 33, 34, 33, 34, "from before the start"},
		{150, 33, 34, 0, 0, "only root was there"},
		{150, 0, 7, 0, 7, "root asks for what root made, with its group of now"},
		{200, 33, 34, 33, 34, "in the same tick"},
		{250, 33, 34, 33, 34, "both were there"},
		{250, 0, 0, 0, 0, "both were there and the other asks"},
		{250, 5, 6, 0, 0, "5 came later"},
		{350, 77, 78, 0, 0, "77 was never seen"},
	} {
		if uid, gid := m.of(test.born, test.uid, test.gid, false); uid != test.wantUID || gid != test.wantGID {
			t.Errorf("%s: %d:%d, want %d:%d", test.why, uid, gid, test.wantUID, test.wantGID)
		}
	}
	if uid, gid := m.of(250, 33, 34, true); uid != 0 || gid != 0 {
		t.Errorf("what nobody else is known to have made is %d:%d's", uid, gid)
	}
	for i := range uint32(1000) {
		m.note(1000+i, 0, clock)
	}
	if len(m.seen) > maxMakers {
		t.Errorf("%d makers are kept", len(m.seen))
	}
}

func TestMayChown(t *testing.T) {
	t.Parallel()
	file := given{uid: 33, gid: 34}
	for _, test := range []struct {
		who      asker
		uid, gid uint32
		want     bool
	}{
		{asker{uid: 0, chown: true}, 5, 6, true},
		{asker{uid: 0}, 5, noID, false},
		{asker{uid: 0}, noID, noID, true},
		{asker{uid: 33}, 33, noID, true},
		{asker{uid: 33}, 5, noID, false},
		{asker{uid: 33}, noID, 34, true},
		{asker{uid: 33, gid: 7}, noID, 7, true},
		{asker{uid: 33, groups: []uint32{8}}, 33, 8, true},
		{asker{uid: 33, gid: 7}, noID, 9, false},
		{asker{uid: 5, gid: 34}, noID, 34, false},
	} {
		if got := test.who.mayChown(file, test.uid, test.gid); got != test.want {
			t.Errorf("%+v gives %d:%d: %v", test.who, test.uid, test.gid, got)
		}
	}
}

func TestModes(t *testing.T) {
	t.Parallel()
	file := given{uid: 1, gid: 2, mode: 0o6755, hasMode: true}
	if got := chowned(file, noID, 5, false); got.mode != 0o755 || got.uid != 1 || got.gid != 5 {
		t.Errorf("a file given away: %+v", got)
	}
	if got := chowned(given{mode: 0o6745, hasMode: true}, 5, noID, false); got.mode != 0o2745 {
		t.Errorf("a set-group-ID bit that locks: %+v", got)
	}
	if got := chowned(file, 5, noID, true); got.mode != 0o6755 {
		t.Errorf("a directory given away: %+v", got)
	}
	if got := chmodded(file, 0o102755, &asker{gid: 3}); got.mode != 0o755 {
		t.Errorf("of another group: %+v", got)
	}
	if got := chmodded(file, 0o2755, &asker{groups: []uint32{2}}); got.mode != 0o2755 {
		t.Errorf("of its group: %+v", got)
	}
}

func TestFileCalls(t *testing.T) {
	t.Parallel()
	for abi, want := range map[fileABI]int{fileAMD64: 22, file386: 28, fileARM64: 12, fileARM: 28} {
		got := fileCalls(abi)
		if !slices.IsSorted(got) || len(got) != want {
			t.Errorf("ABI %d: %v", abi, got)
		}
		for _, nr := range got {
			call, _ := fileCallOf(abi, nr)
			if (call.path == none) == (call.fd == none) || (call.op == opStat) != (call.out != none) || (call.op == opStat) == (call.value != none) || call.op >= opOpen && call.path == none {
				t.Errorf("ABI %d, call %d: %+v", abi, nr, call)
			}
		}
	}
	call := fileCall{value: 1, short: true}
	if uid, gid := call.ids(&[6]uint64{0, 0xffff, 0x1ffff & 0xffff}); uid != noID || gid != noID {
		t.Errorf("unchanged in 16 bits: %d:%d", uid, gid)
	}
}

// Whatever is put and found, the ring holds every node once, in both directions.
func FuzzGivenTable(f *testing.F) {
	f.Add(int64(1))
	f.Fuzz(func(t *testing.T, seed int64) {
		var table givenTable
		random := rand.New(rand.NewSource(seed))
		for range 200 {
			id := fileID{ino: uint64(random.Intn(20))}
			if random.Intn(2) == 0 {
				table.put(id, given{})
			} else {
				table.find(id)
			}
		}
		seen := 0
		for n := int32(0); ; seen++ {
			next := table.nodes[n].next
			if table.nodes[next].prev != n {
				t.Fatalf("node %d is not before %d", n, next)
			}
			if n = next; n == 0 {
				break
			}
		}
		if seen != len(table.index) {
			t.Fatalf("%d in the ring, %d in the index", seen, len(table.index))
		}
	})
}
