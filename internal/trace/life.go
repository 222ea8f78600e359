package trace

// Program is what a process became by an exec.
type Program struct {
	Exe  string   // its path in the image
	Args []string // as the event has them
	Seq  uint64   // of the exec
}

// Life is one process of a run, from its fork to its exit.
type Life struct {
	PID      int
	Parent   int       // 0: the runner, for the first process and for health checks
	Exe      string    // the last program that it ran
	Args     []string  // of that program
	Programs []Program // all that it became, in order; without the one that it was born with
	Began    uint64    // Seq of the fork, or of its first event
	Ended    uint64    // Seq of its exit; 0: none was seen
	Status   int       //
	Signal   string    //
	Alive    bool      // at the steady state; where the log has none, at its end
	Creds    *Creds    // the last that are known
	Children []int     // PIDs, in the order of their births
}

// Lives gives the processes of a log in the order in which they began; the first is the first process of the run.
// A PID that the kernel gave twice is two lives.
func Lives(l Log) []Life {
	tree := grow(l)
	lives := make([]Life, len(tree.lives))
	for i, n := range tree.lives {
		lives[i] = n.Life
	}
	return lives
}

// node is a life with its place in the tree and its events.
type node struct {
	Life
	up     int   // index of the parent; -1
	kids   []int // indices
	events []int // indices into Log.Events
	execs  []int // indices into Log.Events, those that succeeded
}

// tree is the lives of a log.
type tree struct {
	log   Log
	lives []*node
	of    []int // for every event the index of its life; -1 for the runner's own
}

// grow builds the tree. It takes logs as they come: what cannot be is left for Complete to say.
func grow(l Log) *tree {
	t := &tree{log: l, of: make([]int, len(l.Events))}
	current := map[int]int{}
	for i, e := range l.Events {
		t.of[i] = -1
		if e.PID != 0 {
			t.of[i] = t.place(current, e)
		}
		if e.Kind == Fork && e.Errno == "" && e.Child != 0 {
			t.born(current, t.of[i], e)
		}
		if at := t.of[i]; at >= 0 {
			t.lives[at].take(i, e)
		}
	}
	for _, n := range t.lives {
		n.Alive = t.alive(n)
	}
	return t
}

// place gives the life that an event belongs to.
func (t *tree) place(current map[int]int, e Event) int {
	if at, ok := current[e.PID]; ok && !(e.started() && t.lives[at].Ended != 0) {
		return at
	}
	current[e.PID] = t.add(&node{Life: Life{PID: e.PID, Began: e.Seq, Exe: e.Exe}, up: -1})
	return current[e.PID]
}

func (t *tree) add(n *node) int {
	t.lives = append(t.lives, n)
	return len(t.lives) - 1
}

// born adds the child of a fork. The kernel may let a child run before it tells its parent's tracer
// of it (ptrace(2), PTRACE_EVENT_FORK), so that a child may be known already.
func (t *tree) born(current map[int]int, parent int, e Event) {
	at, known := current[e.Child]
	if known && (t.lives[at].Ended != 0 || t.lives[at].up >= 0 || at == 0 || at == parent) {
		known = false
	}
	if !known {
		at = t.add(&node{Life: Life{PID: e.Child, Began: e.Seq, Exe: e.Exe}, up: -1})
		current[e.Child] = at
	}
	child := t.lives[at]
	child.Parent, child.up = e.PID, parent
	if parent < 0 {
		return
	}
	p := t.lives[parent]
	p.Children = append(p.Children, e.Child)
	p.kids = append(p.kids, at)
	if len(child.Programs) == 0 {
		child.Args = p.Args
		if child.Creds == nil {
			child.Creds = p.Creds
		}
		if p.Exe != "" {
			child.Exe = p.Exe
		}
	}
}

// take lets a life have one of its events.
func (n *node) take(i int, e Event) {
	n.events = append(n.events, i)
	if e.Creds != nil {
		n.Creds = e.Creds
	}
	switch {
	case e.Kind == Exec && e.Errno == "":
		n.execs = append(n.execs, i)
		n.Exe, n.Args = e.Path, e.Args
		n.Programs = append(n.Programs, Program{Exe: e.Path, Args: e.Args, Seq: e.Seq})
	case e.Kind == Exit:
		n.Ended, n.Status, n.Signal = e.Seq, e.Status, e.Signal
	case n.Exe == "":
		n.Exe = e.Exe
	}
}

// alive reports whether a process was there at the steady state.
func (t *tree) alive(n *node) bool {
	if t.log.Steady == 0 {
		return n.Ended == 0
	}
	return n.Began <= t.log.Steady && (n.Ended == 0 || n.Ended > t.log.Steady)
}

// anyAlive reports whether any process was there at the steady state: else the run ended by itself.
func (t *tree) anyAlive() bool {
	for _, n := range t.lives {
		if n.Alive {
			return true
		}
	}
	return false
}

// lasting gives for every life whether what it does lasts: it was there at the steady state, or a child
// was that it begot without an exec (a daemon's parent). In a run that ends it is the first process alone.
func (t *tree) lasting() []bool {
	lasts := make([]bool, len(t.lives))
	if !t.anyAlive() {
		if len(lasts) > 0 {
			lasts[0] = true
		}
		return lasts
	}
	for i := len(t.lives) - 1; i >= 0; i-- {
		n := t.lives[i]
		lasts[i] = lasts[i] || n.Alive
		// children stand behind their parents, unless they were seen before their fork was told
		for at, child := i, n; lasts[at] && len(child.execs) == 0 && child.up >= 0 && !lasts[child.up]; {
			at = child.up
			lasts[at], child = true, t.lives[at]
		}
	}
	return lasts
}

// program gives the index of the first event of the program that a life was running before event limit: that of
// its exec, or its first one where it was born with its program; inherited tells which.
func (n *node) program(limit int) (from int, inherited bool) {
	for i := len(n.execs) - 1; i >= 0; i-- {
		if n.execs[i] < limit {
			return n.execs[i], false
		}
	}
	return 0, true
}

// failures are signals that a process brings upon itself; others come from outside of it.
var failures = map[string]bool{
	"SIGSEGV": true, "SIGABRT": true, "SIGBUS": true, "SIGILL": true, "SIGFPE": true,
	"SIGTRAP": true, "SIGSYS": true, "SIGXFSZ": true, "SIGXCPU": true,
}

// badly reports whether a process ended with a failure of its own. What ends after the steady state was asked to.
func (t *tree) badly(n *node) bool {
	if n.Ended == 0 || t.log.Steady != 0 && n.Ended > t.log.Steady {
		return false
	}
	return n.Signal == "" && n.Status != 0 || failures[n.Signal]
}
