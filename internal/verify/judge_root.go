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
	if text := gap(l); text != "" {
		v.add(Reason{ID: TraceGap, Word: Refuted, Text: "the trace has a gap: " + text})
		return
	}
	if l.Lost != "" {
		v.add(Reason{ID: TraceCut, Word: Unproven, Text: "the trace is not whole: " + l.Lost})
	}
	if l.Blind != "" {
		v.Differences = append(v.Differences, Difference{What: "what the tracer could not see", After: l.Blind})
	}
}

// gap says what is missing from a trace: numbers go from 1 to the total without a gap, unless the
// trace says that its end was cut; and it begins with a program.
func gap(l trace.Log) string {
	for i, e := range l.Events {
		if e.Seq != uint64(i)+1 {
			return fmt.Sprintf("event %d is missing", i+1)
		}
	}
	switch n := uint64(len(l.Events)); {
	case n > l.Total:
		return fmt.Sprintf("it has %d events, the tracer gave %d", n, l.Total)
	case n < l.Total && l.Lost == "":
		return fmt.Sprintf("it has %d events, the tracer gave %d", n, l.Total)
	case !slices.ContainsFunc(l.Events, func(e trace.Event) bool { return e.Kind == trace.Exec }):
		return "it has no program"
	}
	return ""
}

// sortReasons puts the worst first, in the order in which they were found.
func sortReasons(v *Verdict) {
	rank := map[Word]int{Refuted: 0, Unproven: 1}
	slices.SortStableFunc(v.Reasons, func(a, b Reason) int { return cmp.Compare(rank[a.Word], rank[b.Word]) })
}
