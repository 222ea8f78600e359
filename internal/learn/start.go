package learn

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"unroot/internal/plan"
	"unroot/internal/rootfs"
	"unroot/internal/startup"
	"unroot/internal/survey"
	"unroot/internal/trace"
	"unroot/internal/verify"
)

// learnStart takes what no change of an image mends, and the moment of start does: a uid that nobody knows, a file
// that its reader wants to own, a directory whose content a tmpfs hides.
func (l *learner) learnStart(o verify.Outcome) []string {
	return slices.Concat(l.lookedUp(o), l.refusedForOwner(o), l.emptied(o))
}

// lastLooks is how many of the things that a program looked at last can be what it ended for.
const lastLooks = 6

// lookedUp is the programs that ended by themselves where their uid has no name: they say so, or looking a user up was
// among the last things that they did. What ended for a refusal tells of that.
func (l *learner) lookedUp(o verify.Outcome) []string {
	if !o.Run.Identity.IsArbitrary() {
		return nil
	}
	var learnt []string
	for _, life := range l.endedAlone(o) {
		lookups := trace.Lookups(o.Trace)
		at := slices.IndexFunc(lookups, func(n trace.Need) bool { return n.Exe == life.Exe })
		known := slices.ContainsFunc(l.seen.Lookups, func(n trace.Need) bool { return n.Exe == life.Exe })
		if at < 0 || known || !slices.Contains(lastLookedAt(o, life), trace.Accounts) && says(o, nameless) == "" {
			continue
		}
		l.seen.Lookups = append(l.seen.Lookups, lookups[at])
		learnt = append(learnt, fmt.Sprintf("%s looked its user up, and uid %d has no passwd entry", life.Exe, o.Run.Identity.UID))
	}
	return learnt
}

func lastLookedAt(o verify.Outcome, life trace.Life) []string {
	last := trace.Telling(trace.LastRead(o.Trace, life.PID))
	return last[:min(len(last), lastLooks)]
}

// endedAlone is the processes that a run ended for, where nothing that was refused to them, and not to the baseline
// too, explains it. One that only hands on how a child of its ended is none.
func (l *learner) endedAlone(o verify.Outcome) []trace.Life {
	failed := trace.Failed(o.Trace)
	refused := trace.Unmatched(trace.Culprits(o.Trace), l.baseline.Trace)
	return slices.DeleteFunc(slices.Clone(failed), func(life trace.Life) bool {
		handsOn := slices.ContainsFunc(failed, func(child trace.Life) bool { return child.Parent == life.PID && child.PID != life.PID })
		return handsOn || life.Exe == startup.Path || slices.ContainsFunc(refused, func(d trace.Denial) bool {
			return d.Exe == life.Exe && d.Kind != trace.Look && d.Kind != trace.Limit && d.Kind != trace.Connect
		})
	})
}

// refusedForOwner is the files that programs ended for since they belong to somebody else, or since others may read
// them: among the last that were looked at, one that is known for it, or one that the program's complaint names or
// can only mean.
func (l *learner) refusedForOwner(o verify.Outcome) []string {
	var learnt []string
	for _, life := range l.endedAlone(o) {
		node := l.demanded(o, life)
		if node == nil || slices.Contains(l.seen.Strict, node.Path()) {
			continue
		}
		l.seen.Strict = append(l.seen.Strict, node.Path())
		learnt = append(learnt, fmt.Sprintf("%s ended over the owner or mode of %s (%s)", life.Exe, node.Path(), plan.AttrOf(node.Entry())))
	}
	return learnt
}

func (l *learner) demanded(o verify.Outcome, life trace.Life) *rootfs.Node {
	said := strings.ToLower(says(o, complaints))
	var meant *rootfs.Node
	for i, name := range trace.Telling(trace.LastRead(o.Trace, life.PID)) {
		node, err := l.source.View.Tree.Resolve(name)
		if err != nil || node.Entry().Kind != rootfs.File || node.Entry().Mode&0o111 != 0 {
			continue
		}
		if said != "" && (strings.Contains(said, strings.ToLower(name)) || strings.Contains(said, strings.ToLower(path.Base(name)))) {
			return node
		}
		_, known := survey.OwnerStrict(node.Path())
		if meant == nil && i < lastLooks && l.foreign(o, name) && (known || said != "" && !readByLibraries(node.Path())) {
			meant = node
		}
	}
	return meant
}

// foreign reports whether a file of the candidate belongs to another uid than the run's.
func (l *learner) foreign(o verify.Outcome, name string) bool {
	node, err := l.result.Candidate.View.Tree.Resolve(name)
	return err == nil && node.Entry().UID != o.Run.Identity.UID
}

// readByLibraries tells the system's own files right below /etc, such as passwd and nsswitch.conf: no program demands to own them.
func readByLibraries(p string) bool {
	return path.Dir(p) == "/etc" && (path.Ext(p) == "" || slices.Contains([]string{"nsswitch.conf", "resolv.conf", "host.conf", "gai.conf"}, path.Base(p)))
}

// emptied is the directories under a tmpfs of which something was missed that the baseline found.
func (l *learner) emptied(o verify.Outcome) []string {
	if len(o.Run.Tmpfs) == 0 {
		return nil
	}
	found := map[string]bool{}
	for _, e := range l.baseline.Trace.Events {
		found[e.Path] = found[e.Path] || e.Errno == "" && e.Path != ""
	}
	var learnt []string
	for _, e := range o.Trace.Events {
		if e.Errno != "ENOENT" || !found[e.Path] || e.Exe == startup.Path {
			continue
		}
		if dir := l.hidden(o.Run.Tmpfs, e.Path); dir != "" && !slices.Contains(l.seen.Emptied, dir) {
			l.seen.Emptied = append(l.seen.Emptied, dir)
			learnt = append(learnt, fmt.Sprintf("%s: %s missed %s, which the image has and a tmpfs hides", o.Run.Name, e.Exe, e.Path))
		}
	}
	return learnt
}

// hidden is the directory whose content in the image a path needs: the one right below the innermost tmpfs above the
// path, or that tmpfs where the file itself lies in it; "" where the image has nothing there.
func (l *learner) hidden(tmpfs []string, p string) string {
	at, ok := survey.Locate(l.source.View.Tree, p)
	if !ok {
		return ""
	}
	over := ""
	for _, dir := range tmpfs {
		if strings.HasPrefix(at.Path, dir+"/") && len(dir) > len(over) {
			over = dir
		}
	}
	if over == "" {
		return ""
	}
	first, _, _ := strings.Cut(strings.TrimPrefix(at.Path, over+"/"), "/")
	node, err := l.source.View.Tree.Resolve(path.Join(over, first))
	switch {
	case err != nil:
		return ""
	case node.IsDir():
		return path.Join(over, first)
	}
	return over
}
