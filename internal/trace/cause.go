package trace

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Failed gives the processes that a run most likely ended for, the one to blame first: from the first process down
// to the last child of each that failed, the deepest first. Where the first process still lives, or ended well,
// it is every process that failed by itself, the last first: a supervisor goes on without its programs.
// None: nothing ended badly.
func Failed(l Log) []Life {
	t := grow(l)
	var lives []Life
	for _, at := range t.failed() {
		lives = append(lives, t.lives[at].Life)
	}
	return lives
}

// Culprits gives the denials that most likely ended the processes of Failed, in its order; of each process those of the
// program that it ended as, nearest to its end first. Attempts to look, to raise limits and to clean up come behind the
// others, since programs go on without. Where those processes were refused nothing, it is what was refused before and left
// something missing, such as a directory that a script failed to make. PID and Seq are those of the event that is blamed, Count is 1.
func Culprits(l Log) []Denial {
	t := grow(l)
	byLife := map[int][]Denial{}
	at := map[uint64]int{}
	for i, e := range l.Events {
		at[e.Seq] = t.of[i]
	}
	for _, d := range t.denials() {
		byLife[at[d.Seq]] = append(byLife[at[d.Seq]], d)
	}
	var culprits []Denial
	seen := map[string]bool{}
	blame := func(denials []Denial) {
		for _, d := range denials {
			if key := denialKey(d); !seen[key] {
				seen[key] = true
				culprits = append(culprits, d)
			}
		}
	}
	for _, who := range t.blamed() {
		blame(t.nearest(who, byLife[who]))
	}
	if len(culprits) == 0 && len(t.lives) > 0 && t.badly(t.lives[0]) {
		blame(t.missed(byLife))
	}
	return culprits
}

// missed gives the denials that left something missing which a later program may have failed for without being refused
// anything, the last first: those of what the first process was before, and of programs that it ran and that failed.
func (t *tree) missed(byLife map[int][]Denial) []Denial {
	var denials []Denial
	for at, n := range t.lives {
		if at == 0 || t.badly(n) {
			for _, d := range byLife[at] {
				switch {
				case d.Kind == Make || d.Kind == Rename || d.Kind == Link, d.Kind == Open && strings.Contains(d.Want, "c"):
					denials = append(denials, d)
				}
			}
		}
	}
	slices.SortFunc(denials, func(a, b Denial) int { return cmp.Compare(b.Seq, a.Seq) })
	return denials
}

// blamed is failed, or, where nothing failed and the run is over, its first process: some programs end with
// 0 after an error.
func (t *tree) blamed() []int {
	if failed := t.failed(); len(failed) > 0 {
		return failed
	}
	if len(t.lives) > 0 && !t.anyAlive() {
		return []int{0}
	}
	return nil
}

// failed gives the lives that Failed gives, as indices.
func (t *tree) failed() []int {
	if len(t.lives) == 0 {
		return nil
	}
	if t.badly(t.lives[0]) {
		return t.chain(0)
	}
	var chain []int
	seen := map[int]bool{}
	last := t.byEnd()
	for _, at := range last {
		n := t.lives[at]
		if seen[at] || !t.badly(n) || n.up >= 0 && t.badly(t.lives[n.up]) {
			continue // with its parent
		}
		for _, of := range t.chain(at) {
			if !seen[of] {
				seen[of] = true
				chain = append(chain, of)
			}
		}
	}
	return chain
}

// byEnd gives the lives that ended, the last first.
func (t *tree) byEnd() []int {
	var ended []int
	for at, n := range t.lives {
		if n.Ended != 0 {
			ended = append(ended, at)
		}
	}
	slices.SortStableFunc(ended, func(a, b int) int { return cmp.Compare(t.lives[b].Ended, t.lives[a].Ended) })
	return ended
}

// chain gives who is to blame for the end of a life, the deepest first: a process that waits for others, such as a
// script, inherits the failure of the last child that ended before it did, where that ended badly too.
func (t *tree) chain(at int) []int {
	chain := []int{at}
	for len(chain) <= len(t.lives) {
		last := t.lastChild(t.lives[at])
		if last < 0 || !t.badly(t.lives[last]) {
			break
		}
		chain = append(chain, last)
		at = last
	}
	slices.Reverse(chain)
	return chain
}

// lastChild gives the child that ended last before its parent did; -1 for none. What a process begot as another program
// is not its own any more, and a denial of its own behind the child's end speaks louder.
func (t *tree) lastChild(n *node) int {
	from := uint64(0)
	if start, inherited := n.program(len(t.log.Events)); !inherited {
		from = t.log.Events[start].Seq
	}
	last := -1
	for _, kid := range n.kids {
		k := t.lives[kid]
		if k.Ended == 0 || k.Began < from || n.Ended != 0 && k.Ended > n.Ended {
			continue
		}
		if last < 0 || k.Ended > t.lives[last].Ended {
			last = kid
		}
	}
	if last < 0 || t.deniedBetween(n, t.lives[last].Ended, n.Ended) {
		return -1
	}
	return last
}

func (t *tree) deniedBetween(n *node, after, before uint64) bool {
	for _, i := range slices.Backward(n.events) {
		e := t.log.Events[i]
		if e.Seq <= after {
			return false
		}
		if e.Seq < before && denied(e) && !minor(e.Kind) {
			return true
		}
	}
	return false
}

// nearest orders the denials of a life: of its last program, nearest to its end first, minor ones behind.
func (t *tree) nearest(at int, denials []Denial) []Denial {
	n := t.lives[at]
	start, inherited := n.program(len(t.log.Events))
	from := uint64(0)
	if !inherited {
		from = t.log.Events[start].Seq
	}
	refused := map[string]bool{}
	var major, late []Denial
	for _, d := range denials {
		switch {
		case d.Seq < from:
		case minor(d.Kind) || d.Kind == Remove && refused[d.Path]:
			late = append(late, d)
		default:
			major = append(major, d)
		}
		refused[d.Path] = true
		refused[socketPath(d.Addr)] = true
	}
	slices.Reverse(major)
	slices.Reverse(late)
	return append(major, late...)
}

// minor reports whether programs usually go on after a refusal of the kind.
func minor(k Kind) bool {
	return k == Look || k == Limit || k == Connect
}

// ReadBefore gives the paths that the process of event seq had opened for reading with success before it, the last
// first: as the program that it was then, and, where it was born as that program, those of its parents before it was.
func ReadBefore(l Log, seq uint64) []string {
	t := grow(l)
	for i, e := range l.Events {
		if e.Seq == seq && t.of[i] >= 0 {
			return t.walk(t.of[i], i, func(e Event) string {
				if e.Kind == Open && e.Errno == "" && strings.Contains(e.Want, "r") {
					return e.Path
				}
				return ""
			})
		}
	}
	return nil
}

// LastRead gives what a process looked at last before it ended, the last first: paths that it opened for reading or
// asked the kernel about, found or not, and calls that change who it is, such as "setuid(33)". It is for failures that
// no refused call explains: tests of the uid, of the passwd entry, of the owner of a file. PID 0 is the
// first of Failed.
func LastRead(l Log, pid int) []string {
	t := grow(l)
	at := -1
	if failed := t.blamed(); pid == 0 && len(failed) > 0 {
		at = failed[0]
	}
	for i, n := range t.lives {
		if pid != 0 && n.PID == pid {
			at = i // the last that had the number
		}
	}
	if at < 0 {
		return nil
	}
	return t.walk(at, len(l.Events), lookedAt)
}

// lookedAt gives an event as LastRead names it; "" for others.
func lookedAt(e Event) string {
	switch e.Kind {
	case Open:
		if strings.Contains(e.Want, "r") {
			return e.Path
		}
	case Look:
		return e.Path
	case Identity:
		ids := strings.Trim(strings.ReplaceAll(fmt.Sprint(e.IDs), " ", ", "), "[]")
		return e.Call + "(" + ids + ")"
	}
	return ""
}

// walk goes back from an event (not included) through the program of a life, and through its parents' while it is
// the program that it was born with. It gives each name once.
func (t *tree) walk(at, limit int, name func(Event) string) []string {
	var names []string
	seen := map[string]bool{}
	for steps := 0; at >= 0 && steps <= len(t.lives); steps++ {
		n := t.lives[at]
		from, inherited := n.program(limit)
		for _, i := range slices.Backward(n.events) {
			if i >= limit || i < from {
				continue
			}
			if s := name(t.log.Events[i]); s != "" && !seen[s] {
				seen[s] = true
				names = append(names, s)
			}
		}
		if !inherited {
			break
		}
		limit = t.indexOf(n.Began)
		at = n.up
	}
	return names
}

// indexOf gives the index of the first event that is not before seq.
func (t *tree) indexOf(seq uint64) int {
	for i, e := range t.log.Events {
		if e.Seq >= seq {
			return i
		}
	}
	return len(t.log.Events)
}
