package trace

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	diff "github.com/google/go-cmp/cmp"
)

// TestInterleaving holds that what is read from a log does not depend on how the scheduler mixed its processes.
func TestInterleaving(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		whole := randomRun(r)
		first, second := mix(r, whole), mix(r, whole)
		if err := first.Complete(); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if d := diff.Diff(facts(first), facts(second)); d != "" {
			t.Fatalf("seed %d: -one +other interleaving:\n%s", seed, d)
		}
	}
}

// randomRun gives the events of each process, in its order. Processes work in directories of their own, or in
// one that the first made before it forked.
func randomRun(r *rand.Rand) [][]Event {
	programs := []string{"/bin/sh", "/usr/sbin/a", "/usr/sbin/b"}
	runs := [][]Event{{{PID: 1, Kind: Exec, Path: programs[0]}, {PID: 1, Kind: Make, Call: "mkdir", Path: "/run/all", Exe: programs[0]}}}
	count := 2 + r.IntN(4)
	for pid := 2; pid <= count; pid++ {
		runs[0] = append(runs[0], Event{PID: 1, Kind: Fork, Child: pid, Exe: programs[0]})
		runs = append(runs, randomProcess(r, pid, programs))
	}
	return runs
}

func randomProcess(r *rand.Rand, pid int, programs []string) []Event {
	exe := programs[0]
	var events []Event
	if r.IntN(3) > 0 {
		exe = programs[r.IntN(len(programs))]
		events = append(events, Event{PID: pid, Kind: Exec, Path: exe, Exe: programs[0]})
	}
	for range r.IntN(12) {
		dir := []string{"/run/all", fmt.Sprintf("/var/%d", pid)}[r.IntN(2)]
		e := Event{PID: pid, Exe: exe, Path: fmt.Sprintf("%s/%d", dir, r.IntN(4)), Errno: []Errno{"", "", "EACCES", "ENOENT"}[r.IntN(4)]}
		if dir == "/run/all" {
			e.Path += fmt.Sprint("-", pid) // no name is shared
		}
		e.Kind = []Kind{Open, Open, Make, Remove, Owner, Bind, Look}[r.IntN(7)]
		switch e.Kind {
		case Open:
			e.Call, e.Want = "openat", []string{"r", "wc", "w"}[r.IntN(3)]
		case Make:
			e.Call = "mkdir"
		case Bind:
			e.Call, e.Path, e.Addr = "bind", "", fmt.Sprintf("tcp 0.0.0.0:%d", 80+r.IntN(2))
		default:
			e.Call = string(e.Kind)
		}
		events = append(events, e)
	}
	if r.IntN(2) == 0 {
		events = append(events, Event{PID: pid, Kind: Exit, Status: r.IntN(2), Exe: exe})
	}
	return events
}

// mix puts the processes into one log: each in its order, and none before its fork.
func mix(r *rand.Rand, runs [][]Event) Log {
	var l Log
	next := make([]int, len(runs))
	ready := []int{0}
	for len(ready) > 0 {
		at := r.IntN(len(ready))
		run := ready[at]
		if next[run] == len(runs[run]) {
			ready = slices.Delete(ready, at, at+1)
			continue
		}
		e := runs[run][next[run]]
		next[run]++
		l.Total++
		e.Seq = l.Total
		l.Events = append(l.Events, e)
		if e.Kind == Fork {
			ready = append(ready, e.Child-1)
		}
	}
	return l
}

// TestLargeLogs holds that a hostile run cannot make its digest slow: deep paths, many processes, many denials.
func TestLargeLogs(t *testing.T) {
	t.Parallel()
	const events = 60000
	deep := strings.Repeat("/d", 2000)
	for name, event := range map[string]func(i int) Event{
		"deep paths": func(i int) Event {
			if i%2 == 0 {
				return Event{PID: 1, Kind: Make, Call: "mkdir", Path: fmt.Sprint(deep, "/", i%1000)}
			}
			return Event{PID: 1, Kind: Open, Want: "wc", Path: fmt.Sprint(deep, "/x", i)}
		},
		"a chain of forks": func(i int) Event { return Event{PID: i, Kind: Fork, Child: i + 1} },
		"children that fail": func(i int) Event {
			return []Event{{PID: 1, Kind: Fork, Child: i + 2}, {PID: i + 1, Kind: Exit, Status: 1}}[i%2]
		},
		"denials": func(i int) Event {
			return Event{PID: 1, Kind: Open, Want: "w", Path: fmt.Sprint("/", i), Errno: "EACCES"}
		},
		"execs": func(i int) Event {
			return Event{PID: 1, Kind: Exec, Path: fmt.Sprint("/", i), Exe: fmt.Sprint("/", i-1)}
		},
	} {
		l := Log{Total: events}
		for i := range events {
			e := event(i)
			e.Seq = uint64(i) + 1
			l.Events = append(l.Events, e)
		}
		l.Events[events-1] = Event{Seq: events, PID: 1, Kind: Exit, Status: 1}
		begun := time.Now()
		Needs(l)
		Reads(l)
		Denials(l)
		Culprits(l)
		Lives(l)
		Failed(l)
		LastRead(l, 0)
		ReadBefore(l, events)
		_ = l.Complete()
		if took := time.Since(begun); took > 20*time.Second {
			t.Errorf("%s: %v", name, took)
		} else {
			t.Logf("%s: %v", name, took)
		}
	}
}

type digest struct {
	Needs   []Need
	Denials []Denial
	Lives   []string
}

// facts is what a log says, without when.
func facts(l Log) digest {
	var d digest
	for _, n := range Needs(l) {
		n.PID, n.Seq = 0, 0
		d.Needs = append(d.Needs, n)
	}
	for _, n := range Denials(l) {
		n.PID, n.Seq = 0, 0
		d.Denials = append(d.Denials, n)
	}
	for _, life := range Lives(l) {
		d.Lives = append(d.Lives, fmt.Sprint(life.PID, life.Parent, life.Exe, life.Status, life.Alive))
	}
	slices.SortFunc(d.Needs, func(a, b Need) int { return cmp.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	slices.SortFunc(d.Denials, func(a, b Denial) int { return cmp.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	slices.Sort(d.Lives)
	return d
}
