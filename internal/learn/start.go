package learn

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"unroot/internal/plan"
	"unroot/internal/rootfs"
	"unroot/internal/survey"
	"unroot/internal/trace"
	"unroot/internal/verify"
)

// learnStart takes what no change of an image mends, and the moment of start does: a uid that nobody knows, a file
// that its reader wants to own, a directory whose content a tmpfs hides.
func (l *learner) learnStart(o verify.Outcome) []string {
	return slices.Concat(l.lookedUp(o), l.refusedForOwner(o), l.emptied(o))
}

// lookedUp is the program that ended by itself where its uid has no name, and had looked a user up. What ended
// for a refusal tells of that.
func (l *learner) lookedUp(o verify.Outcome) []string {
	if !o.Run.Identity.IsArbitrary() || len(l.seen.Lookups) > 0 {
		return nil
	}
	for _, life := range endedAlone(o) {
		lookups := trace.Lookups(o.Trace)
		at := slices.IndexFunc(lookups, func(n trace.Need) bool { return n.Exe == life.Exe })
		if at < 0 {
			continue
		}
		l.seen.Lookups = append(l.seen.Lookups, lookups[at])
		return []string{fmt.Sprintf("%s looked its user up, and uid %d has no passwd entry", life.Exe, o.Run.Identity.UID)}
	}
	return nil
}

// endedAlone is the processes that a run ended for, where nothing that was refused to them explains it.
func endedAlone(o verify.Outcome) []trace.Life {
	failed := trace.Failed(o.Trace)
	for _, d := range trace.Culprits(o.Trace) {
		if d.Kind != trace.Look && d.Kind != trace.Limit && d.Kind != trace.Connect {
			failed = slices.DeleteFunc(failed, func(life trace.Life) bool { return life.Exe == d.Exe })
		}
	}
	return failed
}

// complaints are words with which programs say that a file's owner or mode is not what they want: messages of
// ssh, sshd, PostgreSQL, Erlang, monit, vsftpd, stunnel, mongod and others (failure class D4).
var complaints = []string{"owner", "owned by", "permission", "mode ", "too open", "unprotected", "insecure", "accessible by others", "not owned"}

// refusedForOwner is the file that a program looked at last before it ended and complained.
func (l *learner) refusedForOwner(o verify.Outcome) []string {
	said := strings.ToLower(o.Stderr + o.Stdout)
	if !slices.ContainsFunc(complaints, func(w string) bool { return strings.Contains(said, w) }) || len(endedAlone(o)) == 0 {
		return nil
	}
	for _, name := range trace.LastRead(o.Trace, 0) {
		node, err := l.source.View.Tree.Resolve(name)
		if err != nil || node.Entry().Kind != rootfs.File || node.Entry().UID == o.Run.Identity.UID || !strings.Contains(said, strings.ToLower(path.Base(name))) {
			continue
		}
		if node.Entry().Mode&0o111 != 0 || slices.Contains(l.seen.Strict, node.Path()) {
			continue
		}
		l.seen.Strict = append(l.seen.Strict, node.Path())
		return []string{fmt.Sprintf("%s was refused for its owner or mode (%s)", node.Path(), plan.AttrOf(node.Entry()))}
	}
	return nil
}

// emptied is the directories under a tmpfs of which something was missed that the image has there.
func (l *learner) emptied(o verify.Outcome) []string {
	var learnt []string
	for _, e := range o.Trace.Events {
		if e.Errno != "ENOENT" || e.Path == "" || e.Exe == o.Trace.Aside && e.Exe != "" {
			continue
		}
		at, ok := survey.Locate(l.source.View.Tree, e.Path)
		if !ok || !at.Exists && !hasDir(l.source.View.Tree, path.Dir(at.Path)) {
			continue
		}
		for _, dir := range o.Run.Tmpfs {
			missed := at.Exists && strings.HasPrefix(at.Path, dir+"/") || !at.Exists && strings.HasPrefix(path.Dir(at.Path), dir+"/")
			if missed && !slices.Contains(l.seen.Emptied, dir) {
				l.seen.Emptied = append(l.seen.Emptied, dir)
				learnt = append(learnt, fmt.Sprintf("%s: %s missed %s, which the image has and a tmpfs hides", o.Run.Name, e.Exe, at.Path))
			}
		}
	}
	return learnt
}

func hasDir(t *rootfs.Tree, dir string) bool {
	node, err := t.Lookup(dir)
	return err == nil && node.IsDir()
}
