package plan

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"unroot/internal/account"
	"unroot/internal/entrypoint"
	"unroot/internal/startup"
)

// leaveOpen lists what no operation mends.
func (m *maker) leaveOpen() {
	for _, insist := range m.survey.InsistsOn {
		if m.compat() != startup.CompatOff {
			break // they are told what they insist on; whether they then work, a run shows
		}
		m.open(Open{ID: "insists-on-root", Path: insist.Program,
			What:    fmt.Sprintf("%s does not do its work as a regular user: %s", insist.Program, insist.Why),
			Decides: insist.Instead})
	}
	for _, p := range m.survey.Story.Problems {
		m.open(Open{ID: "start-unknown", Path: p.Path,
			What:    strings.TrimSuffix(fmt.Sprintf("what starts is not known wholly: %s: %s", p.Reason, p.Detail), ": "),
			Decides: "a run of the image"})
	}
	if programs := m.looksUp(); len(programs) > 0 && m.opts.Group == GroupZero && !m.answered() {
		m.open(Open{ID: "passwd-entry", Path: "/etc/passwd", Scope: "arbitrary",
			What:    fmt.Sprintf("an unknown uid has no passwd entry, and programs of the image look themselves up: %s", strings.Join(programs, ", ")),
			Decides: "CRI-O and Podman add the entry by themselves; Docker and containerd do not: use the fixed uid there, or --init always, which answers for any uid"})
	}
	if m.opts.Group == GroupDedicated {
		m.note("--group dedicated: only uid %d with gid %d can write; a platform that picks the uid is out of scope", m.plan.Identity.UID, m.plan.Identity.GID)
	}
	for _, t := range m.survey.Story.Tasks {
		if t.Kind == entrypoint.Account && t.Reached() && len(t.Edits) > 0 {
			m.note("variables that choose the user at start (such as PUID and PGID) have no effect any more: choose it with --uid here, or with the platform's runAsUser")
			break
		}
	}
}

// finish puts the operations into the order in which a reader wants them, and merges those that
// speak of one path.
func (m *maker) finish() Plan {
	p := m.plan
	p.Operations = slices.DeleteFunc(p.Operations, func(o Operation) bool {
		g, ok := o.Effect.(Grant)
		return ok && m.attrs[g.Path] != g.To // a later grant of the same directory holds
	})
	p.Operations = foldArgs(p.Operations)
	slices.SortStableFunc(p.Operations, func(a, b Operation) int {
		return cmp.Or(cmp.Compare(order[a.Effect.Kind()], order[b.Effect.Kind()]), cmp.Compare(directory(a.Effect), directory(b.Effect)))
	})
	m.startFromFirst(p.Operations)
	p.Repeated = m.repeated
	slices.Sort(p.Ephemeral)
	slices.Sort(p.Persistent)
	return p
}

// directory is the path of a directory that is made or granted; other operations keep their order.
func directory(e Effect) string {
	switch e := e.(type) {
	case MakeDir:
		return e.Path
	case Grant:
		return e.Path
	}
	return ""
}

// foldArgs makes one operation of a list that is replaced and has words that change.
func foldArgs(ops []Operation) []Operation {
	for i := range ops {
		whole, ok := ops[i].Effect.(SetArgs)
		if !ok {
			continue
		}
		whole.To = slices.Clone(whole.To)
		for _, o := range ops {
			word, ok := o.Effect.(SetArg)
			if at := slices.Index(whole.To, word.From); ok && word.Field == whole.Field && at >= 0 {
				whole.To[at] = word.To
				ops[i].Why = append(ops[i].Why, o.Why...)
			}
		}
		ops[i].Effect = whole
	}
	return slices.DeleteFunc(ops, func(o Operation) bool {
		word, ok := o.Effect.(SetArg)
		return ok && slices.ContainsFunc(ops, func(other Operation) bool {
			whole, is := other.Effect.(SetArgs)
			return is && whole.Field == word.Field
		})
	})
}

// startFromFirst gives every grant the owner and mode that the image has today.
func (m *maker) startFromFirst(ops []Operation) {
	for i, o := range ops {
		if g, ok := o.Effect.(Grant); ok {
			if node, err := m.survey.View.Tree.Lookup(g.Path); err == nil {
				g.From = AttrOf(node.Entry())
				ops[i].Effect = g
			}
		}
	}
}

// order is the place of each kind of operation in a plan.
var order = map[string]int{
	SetUser{}.Kind():  0,
	SetEnv{}.Kind():   1,
	SetArgs{}.Kind():  2,
	SetArg{}.Kind():   3,
	MovePort{}.Kind(): 4,
	MakeDir{}.Kind():  5, Grant{}.Kind(): 5,
	AddProgram{}.Kind(): 6, WriteFile{}.Kind(): 6, Keep{}.Kind(): 6, Link{}.Kind(): 6,
	EditFile{}.Kind():  7,
	GrantFile{}.Kind(): 8,
	Strip{}.Kind():     9, Remove{}.Kind(): 9,
}

// ForArbitrary reports whether the plan serves uids that the platform picks.
func (p Plan) ForArbitrary() bool { return p.Group == GroupZero }

// Identities is who the plan is for: the fixed user, and any uid where it serves those.
func (p Plan) Identities() []account.Identity {
	if p.ForArbitrary() {
		return []account.Identity{p.Identity, account.Arbitrary()}
	}
	return []account.Identity{p.Identity}
}
