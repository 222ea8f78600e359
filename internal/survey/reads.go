package survey

import (
	"path"
	"slices"
	"strings"

	"unroot/internal/recipe"
	"unroot/internal/rootfs"
)

// Read is a path that the program must be able to read.
type Read struct {
	Path string // real path of a file or, for a search only, of a directory
	Want rootfs.Access
	Why  Evidence
}

// ItsInterpreter is the text of the evidence for a program's interpreter or loader.
const ItsInterpreter = "its interpreter"

// findReads collects what must be readable or executable for the program to start.
func findReads(s *Survey) []Read {
	var found []Read
	add := func(p string, want rootfs.Access, why Evidence) {
		if p != "" && !slices.ContainsFunc(found, func(r Read) bool { return r.Path == p && r.Want == want }) {
			found = append(found, Read{p, want, why})
		}
	}
	for _, step := range s.Story.Steps {
		want := rootfs.Exec
		if isScript(step) {
			want |= rootfs.Read
		}
		add(step.Path, want, Evidence{"program", where(step), "started as " + argv(step)})
		for _, interp := range interpreters(s.View.Tree, step.Path) {
			add(interp, rootfs.Exec, Evidence{"program", step.Path, ItsInterpreter})
		}
	}
	for _, f := range s.Configs {
		add(f.Path, rootfs.Read, f.Why)
		for _, d := range f.Directives {
			if d.Role == recipe.TLSKey && path.IsAbs(d.Value) {
				add(d.Value, rootfs.Read, Evidence{"directive", place(f.Path, d.Line), text(f, d)})
			}
		}
	}
	add(s.View.Config.WorkingDir(), rootfs.Exec, Evidence{"config", "config.WorkingDir", s.View.Config.WorkingDir()})
	return found
}

// interpreters is the program that the kernel starts for a script or an ELF file: of a "#!" line
// its first word, for /usr/bin/env nothing more, since a PATH look-up follows.
func interpreters(t *rootfs.Tree, program string) []string {
	node, err := t.Resolve(program)
	if err != nil || node.Entry().Facts == nil {
		return nil
	}
	words := strings.Fields(node.Entry().Facts.Interp)
	if len(words) == 0 {
		return nil
	}
	return words[:1]
}
