package verify

import (
	"cmp"
	"fmt"
	"slices"

	"unroot/internal/trace"
)

// maxEvidence bounds what one reason shows: a fork bomb has more processes than anybody reads of.
const maxEvidence = 16

// judgePrivileges looks at every identity that was observed at any time: processes of the steady
// state, all that were seen, and all that the trace knows. One that was root, could use or regain a
// capability, or could gain privileges by an exec, refutes.
func judgePrivileges(v *Verdict, o Outcome) {
	seen := observed(o)
	if len(seen) == 0 && o.End != EndFailed {
		v.add(Reason{ID: NotConfined, Word: Unproven, Text: "nobody saw who its processes were"})
	}
	rules := []struct {
		id   ReasonID
		word Word
		is   func(trace.Creds) bool
		text string
	}{
		{RootProcess, Refuted, trace.Creds.Root, "a process is root: %s"},
		{Capability, Refuted, func(c trace.Creds) bool { return c.Caps != 0 }, "a process has capabilities: %s"},
		{Capability, Refuted, func(c trace.Creds) bool { return c.Caps == 0 && c.Bounding != 0 }, "a process can gain capabilities, its bounding set is not empty: %s"},
		{NewPrivileges, Refuted, func(c trace.Creds) bool { return !c.NoNewPriv }, "a process runs without no_new_privs: %s"},
		{OtherIdentity, Unproven, func(c trace.Creds) bool { return !c.Root() && c.UIDs[0] != o.Run.Identity.UID }, "a process runs as somebody else than the scenario says: %s"},
	}
	for _, rule := range rules {
		var evidence []Evidence
		for _, s := range seen {
			if rule.is(s.creds) && len(evidence) < maxEvidence {
				evidence = append(evidence, s.evidence())
			}
		}
		if len(evidence) > 0 {
			v.add(Reason{ID: rule.id, Word: rule.word, Text: fmt.Sprintf(rule.text, processText(*evidence[0].Process)), Evidence: evidence})
		}
	}
}

// sighting is one identity of one program.
type sighting struct {
	process Process
	creds   trace.Creds
	event   uint64 // 0: the runner saw it
}

func (s sighting) evidence() Evidence {
	e := Evidence{Process: &s.process}
	if s.event != 0 {
		e.Events = []uint64{s.event}
	}
	return e
}

// observed gives every sighting of an outcome, each (program, identity) once.
func observed(o Outcome) []sighting {
	var all []sighting
	known := map[string]bool{}
	take := func(s sighting) {
		key := fmt.Sprintf("%s\x00%v", s.process.Program, s.creds)
		if !known[key] {
			known[key] = true
			all = append(all, s)
		}
	}
	for _, p := range o.Processes {
		take(sighting{process: p, creds: p.Creds})
	}
	for _, p := range o.Seen {
		take(sighting{process: p, creds: p.Creds})
	}
	for _, e := range o.Trace.Events {
		if e.Creds == nil {
			continue
		}
		program := e.Exe
		if e.Kind == trace.Exec && e.Errno == "" {
			program = e.Path
		}
		take(sighting{process: Process{PID: e.PID, Program: program, Args: e.Args, Creds: *e.Creds}, creds: *e.Creds, event: e.Seq})
	}
	return all
}

// processText is a process for a person, such as "/usr/sbin/nginx (pid 7, uids 0 0 0 0)".
func processText(p Process) string {
	u := p.Creds.UIDs
	text := fmt.Sprintf("%s (pid %d, uid %d)", p.Program, p.PID, u[0])
	if u[1] != u[0] || u[2] != u[0] || u[3] != u[0] {
		text = fmt.Sprintf("%s (pid %d, real, effective, saved and file-system uid %d, %d, %d, %d)", p.Program, p.PID, u[0], u[1], u[2], u[3])
	}
	return text
}

// judgeTrace refutes where the trace has a gap: what happened there nobody knows. A trace that says
// itself that it was cut proves nothing, and refutes nothing either.
func judgeTrace(v *Verdict, o Outcome) {
	if o.End == EndFailed {
		return // nothing was executed
	}
	l := o.Trace
	if !o.Run.Trace {
		v.add(Reason{ID: TraceCut, Word: Unproven, Text: "the run was not traced"})
		return
	}
	whole := l
	if l.Lost != "" { // what there is must still be the beginning, without a gap
		whole.Lost, whole.Total, whole.Steady = "", uint64(len(l.Events)), 0
		v.add(Reason{ID: TraceCut, Word: Unproven, Text: "the trace is not whole: " + l.Lost})
	}
	if err := whole.Complete(); err != nil {
		v.add(Reason{ID: TraceGap, Word: Refuted, Text: "the trace has a gap: " + err.Error()})
	} else if stranger := unknown(o); stranger != nil && l.Lost == "" {
		v.add(Reason{ID: TraceGap, Word: Refuted, Text: "the trace has a gap: it does not know " + processText(*stranger), Evidence: []Evidence{{Process: stranger}}})
	}
	for _, text := range []string{l.Blind, unseen(o)} {
		if text != "" {
			v.Differences = append(v.Differences, Difference{What: "what the tracer could not see", After: text})
		}
	}
}

// unknown is a process of the steady state that the trace has not seen begin: runner and tracer number
// processes alike.
func unknown(o Outcome) *Process {
	known := map[int]bool{}
	for _, e := range o.Trace.Events {
		known[e.PID], known[e.Child] = true, true
	}
	for _, p := range o.Processes {
		if !known[p.PID] {
			return &p
		}
	}
	return nil
}

// sortReasons puts the worst first, in the order in which they were found.
func sortReasons(v *Verdict) {
	rank := map[Word]int{Refuted: 0, Unproven: 1}
	slices.SortStableFunc(v.Reasons, func(a, b Reason) int { return cmp.Compare(rank[a.Word], rank[b.Word]) })
}
