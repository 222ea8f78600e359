package plan

import (
	"path"
	"slices"
	"strconv"
	"strings"

	"unroot/internal/finding"
	"unroot/internal/survey"
	"unroot/internal/trace"
)

// maxEvents is how many events one operation names: the first ones say enough.
const maxEvents = 2

// restOnEvents adds to every operation the events of runs that show that it is needed.
func (m *maker) restOnEvents() {
	if len(m.survey.Seen.Needs) == 0 {
		return
	}
	for i := range m.plan.Operations {
		op := &m.plan.Operations[i]
		shown := 0
		for _, n := range m.survey.Seen.Needs {
			if shown < maxEvents && m.shows(n, *op) {
				op.Why = appendNew(slices.Clip(op.Why), survey.NeedEvidence(n))
				shown++
			}
		}
	}
}

// shows reports whether what the original did is what the operation makes possible for a regular
// user, or makes unnecessary.
func (m *maker) shows(n trace.Need, op Operation) bool {
	switch e := op.Effect.(type) {
	case Grant:
		return m.writesIn(n, e.Path)
	case MakeDir:
		return m.writesIn(n, e.Path)
	case GrantFile:
		return n.Path == e.Path && isWrite(n.Kind)
	case WriteFile:
		return false
	case SetUser:
		return n.Kind == trace.Identity && slices.Contains(n.IDs, int64(m.plan.Identity.UID))
	case MovePort:
		return binds(n, e.Move.From)
	}
	switch op.Mends {
	case "low-port":
		return slices.ContainsFunc(m.plan.Ports, func(p PortMove) bool { return binds(n, p.From) && writes(op.Effect, p.To) })
	case "drops-privileges":
		return n.Kind == trace.Identity || n.Kind == trace.Chroot
	}
	return false
}

func (m *maker) writesIn(n trace.Need, dir string) bool {
	if !isWrite(n.Kind) {
		return false
	}
	for _, p := range []string{n.Path, n.Target, strings.TrimPrefix(n.Addr, "unix ")} {
		if at, ok := survey.Locate(m.survey.View.Tree, p); path.IsAbs(p) && ok && (at.Path == dir || path.Dir(at.Path) == dir) {
			return true
		}
	}
	return false
}

func isWrite(k trace.Kind) bool {
	switch k {
	case trace.Open, trace.Make, trace.Remove, trace.Rename, trace.Link, trace.Mode, trace.Owner, trace.Attr, trace.Bind:
		return true
	}
	return false
}

// writes reports whether the effect puts the number of a port somewhere.
func writes(e Effect, port uint16) bool {
	digits := strconv.Itoa(int(port))
	switch e := e.(type) {
	case SetArg:
		return strings.Contains(e.To, digits)
	case SetEnv:
		return strings.Contains(e.To, digits)
	case SetArgs:
		return slices.ContainsFunc(e.To, func(word string) bool { return strings.Contains(word, digits) })
	case EditFile:
		return slices.ContainsFunc(e.Edits, func(edit finding.Edit) bool { return strings.Contains(edit.New, digits) })
	}
	return false
}

func binds(n trace.Need, port uint16) bool {
	_, bound, ok := trace.Port(n.Addr)
	return n.Kind == trace.Bind && ok && bound == port
}
