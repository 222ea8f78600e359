package verify

import (
	"fmt"
	"slices"
	"strings"

	"unroot/internal/trace"
)

// programs compares which programs run in the steady state; how many processes of each does not
// count.
func (c *comparison) programs() {
	before, after := Programs(c.baseline.Processes), Programs(c.candidate.Processes)
	for _, program := range before {
		if slices.Contains(after, program) || c.steppedDown(program, after) || c.passing(program) {
			continue
		}
		text := fmt.Sprintf("%s does not run; in the baseline it does", program)
		if slices.ContainsFunc(c.candidate.Seen, func(p Process) bool { return p.Program == program }) {
			text = fmt.Sprintf("%s does not run any more; in the baseline it does", program)
		}
		if c.needsRawSockets(program) {
			c.note("helper that needs raw sockets", program, "", false)
			continue
		}
		c.refute(ProgramMissing, text, Evidence{Process: processOf(c.baseline.Processes, program)})
	}
	for _, program := range after {
		if slices.Contains(before, program) || c.passing(program) || ran(c.baseline, program) {
			continue
		}
		c.refute(ProgramExtra, fmt.Sprintf("%s runs, which the baseline never ran", program), Evidence{Process: processOf(c.candidate.Processes, program)})
	}
}

// Programs is the programs of processes, each once, sorted. A process without a program is a dead
// one, which nobody has waited for.
func Programs(processes []Process) []string {
	var programs []string
	for _, p := range processes {
		if p.Program != "" {
			programs = append(programs, p.Program)
		}
	}
	slices.Sort(programs)
	return slices.Compact(programs)
}

func processOf(processes []Process, program string) *Process {
	for _, p := range processes {
		if p.Program == program {
			return &p
		}
	}
	return nil
}

func ran(o Outcome, program string) bool {
	return slices.ContainsFunc(slices.Concat(o.Processes, o.Seen), func(p Process) bool { return p.Program == program })
}

// steppedDown reports whether all processes of a program in the baseline did nothing but to stay
// behind as root while their only child became somebody else: what a regular user does not need, and
// what the child's program, which runs in the candidate, does without.
func (c *comparison) steppedDown(program string, after []string) bool {
	for _, p := range c.baseline.Processes {
		if p.Program == program && !c.waitsForOther(p, after, len(c.baseline.Processes)) {
			return false
		}
	}
	return true
}

func (c *comparison) waitsForOther(p Process, after []string, depth int) bool {
	var children []Process
	for _, child := range c.baseline.Processes {
		if child.Parent == p.PID && child.PID != p.PID {
			children = append(children, child)
		}
	}
	if !p.Creds.Root() || len(children) != 1 || c.listens(p.Program) || depth == 0 {
		return false
	}
	child := children[0]
	if !child.Creds.Root() {
		return slices.Contains(after, child.Program)
	}
	return c.waitsForOther(child, after, depth-1)
}

func (c *comparison) listens(program string) bool {
	return slices.ContainsFunc(c.baseline.Sockets, func(s Socket) bool { return s.Program == program })
}

// passing reports whether a program comes and goes in both runs, so that it is a matter of the moment
// whether it is seen in the steady state: both traces have one that ended well before that.
func (c *comparison) passing(program string) bool {
	return endsWell(c.baseline.Trace, program) && endsWell(c.candidate.Trace, program)
}

func endsWell(l trace.Log, program string) bool {
	return slices.ContainsFunc(trace.Lives(l), func(life trace.Life) bool {
		return life.Exe == program && len(life.Programs) > 0 && life.Ended != 0 && life.Status == 0 && life.Signal == "" && (l.Steady == 0 || life.Ended <= l.Steady)
	})
}

// benign lists what was refused to a candidate that got where the baseline did: the outcome is what
// shows that it did not matter.
func (c *comparison) benign() {
	denials := trace.Denials(c.candidate.Trace)
	fresh := map[uint64]bool{}
	for _, d := range trace.Unmatched(denials, c.baseline.Trace) {
		fresh[d.Seq] = true
	}
	for _, d := range denials {
		why := "the same was refused to the baseline"
		switch {
		case fresh[d.Seq] && c.candidate.End == EndExited:
			why = "with it the command ended with the same status"
		case fresh[d.Seq]:
			why = "with it the same programs run, the same sockets are listened on and the same answers are given"
		}
		class, sentence := trace.Signature(d)
		c.verdict.Benign = append(c.verdict.Benign, Benign{Events: []uint64{d.Seq}, Count: d.Count, Exe: d.Exe, Call: d.Call, Path: d.Path, Addr: d.Addr,
			Errno: string(d.Errno), Class: class, Text: programText(d.Exe) + " " + sentence, Why: why})
	}
}

// late keeps one from calling harmless what was refused only behind the steady state, while the run was
// asked or stopped: the steady state shows nothing of it. It counts where the baseline did the same with success, such as a
// server that saves its data when it ends.
func (c *comparison) late() {
	steady := c.candidate.Trace.Steady
	if steady == 0 {
		return
	}
	var events []uint64
	var first *trace.Event
	for i, e := range c.candidate.Trace.Events {
		if e.Seq > steady && c.savesInBaseline(e) {
			events = append(events, e.Seq)
			if first == nil {
				first = &c.candidate.Trace.Events[i]
			}
		}
	}
	if first != nil {
		c.verdict.add(Reason{ID: LateDenial, Word: Unproven, Evidence: []Evidence{{Events: events[:min(len(events), maxEvidence)]}},
			Text: fmt.Sprintf("after its steady state %s cannot write %s (%s), which the baseline does", first.Exe, first.Path, first.Errno)})
	}
}

// savesInBaseline reports whether an event is the refusal of a write that the baseline made.
func (c *comparison) savesInBaseline(e trace.Event) bool {
	refused := e.Errno == "EACCES" || e.Errno == "EPERM" || e.Errno == "EROFS"
	writes := e.Kind == trace.Open && strings.ContainsAny(e.Want, "wc") || e.Kind == trace.Rename
	if !refused || !writes {
		return false
	}
	return slices.ContainsFunc(c.baseline.Trace.Events, func(b trace.Event) bool {
		return b.Errno == "" && b.Kind == e.Kind && withoutNumbers(b.Path) == withoutNumbers(e.Path) && b.Seq > c.baseline.Trace.Steady && c.baseline.Trace.Steady != 0
	})
}

// needsRawSockets reports whether a program of the baseline opened raw or packet sockets and serves nobody: a
// helper, such as one that measures distances by ICMP, that no regular user can run without CAP_NET_RAW
// (raw(7)). Whether the rest does without it shows in the sockets and the answers; that it is gone is told.
func (c *comparison) needsRawSockets(program string) bool {
	return !c.listens(program) && slices.ContainsFunc(c.baseline.Trace.Events, func(e trace.Event) bool {
		return e.Kind == trace.Socket && e.Exe == program && e.Errno == ""
	})
}
