package survey

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"

	"unroot/internal/entrypoint"
	"unroot/internal/recipe"
	"unroot/internal/rootfs"
	"unroot/internal/startup"
)

// Need is a path that the program writes.
type Need struct {
	Path string   // real path; may not exist
	Dir  bool     // the path is a directory that is written in; else a file, whose directory is
	Tree bool     // what is below is written too
	Sure bool     // the image says so itself; else it is the convention, and only what exists counts
	Made bool     // a directory that the program was seen to make itself, with a mode of its own
	Why  Evidence // why it is believed
}

// findNeeds collects what is written, from what the image says itself down to convention. One path
// is listed once, with its strongest evidence.
func findNeeds(s *Survey) []Need {
	n := needs{survey: s}
	n.fromVolumes()
	n.fromDirectives()
	n.fromTasks()
	n.fromStrings()
	n.fromOwners()
	n.fromApplications()
	n.fromWorkingDir()
	n.fromRuns()
	return n.sorted()
}

type needs struct {
	survey *Survey
	found  []Need
}

func (n *needs) add(p string, need Need) {
	if !path.IsAbs(p) || below(p, "/proc") || below(p, "/sys") || below(p, "/dev") {
		return
	}
	at, ok := Locate(n.survey.View.Tree, p)
	if !ok || below(at.Path, "/dev") || below(at.Path, "/proc") {
		return
	}
	need.Path = at.Path
	if at.Exists {
		need.Dir = at.Node.IsDir()
	}
	n.found = append(n.found, need)
}

// sorted merges the needs of one path: by path, the surest first.
func (n *needs) sorted() []Need {
	slices.SortStableFunc(n.found, func(a, b Need) int {
		return cmp.Or(cmp.Compare(a.Path, b.Path), -cmp.Compare(a.Strength(), b.Strength()))
	})
	var out []Need
	for _, need := range n.found {
		if len(out) > 0 && out[len(out)-1].Path == need.Path {
			last := &out[len(out)-1]
			last.Tree = last.Tree || need.Tree
			last.Dir = last.Dir || need.Dir
			last.Made = last.Made && need.Made
			continue
		}
		out = append(out, need)
	}
	return out
}

// Strength orders evidence: what the image says itself is stronger than convention.
func (n Need) Strength() int {
	if n.Sure {
		return 1
	}
	return 0
}

func (n *needs) fromVolumes() {
	for _, v := range n.survey.View.Config.Volumes() {
		n.add(path.Clean("/"+v), Need{Dir: true, Tree: true, Sure: true, Why: Evidence{"volume", "config.Volumes", "VOLUME " + v}})
	}
}

// fromDirectives takes the paths that a configuration file says are written.
func (n *needs) fromDirectives() {
	for _, f := range n.survey.Configs {
		for _, d := range f.Directives {
			need := Need{Sure: true, Why: Evidence{"directive", place(f.Path, d.Line), text(f, d)}}
			switch d.Role {
			case recipe.PidFile, recipe.Socket, recipe.Log, recipe.StateFile:
				need.Dir = d.Dir
			case recipe.StateDir:
				need.Dir = true
			default:
				continue
			}
			p := n.survey.variable(d.Value)
			if i := strings.IndexAny(p, "$%{"); i >= 0 { // the rest is known only at start: its folder is what counts
				p, need.Dir = p[:strings.LastIndexByte(p[:i], '/')+1], true
			}
			if d.Partial && !need.Dir { // the name goes on with a variable, so that no file has it
				p, need.Dir = path.Dir(p+"x"), true
			}
			n.add(p, need)
		}
	}
}

// variable replaces a variable at the start of a value by its value.
func (s *Survey) variable(value string) string {
	if !strings.HasPrefix(value, "$") {
		return value
	}
	end := strings.IndexByte(value, '/')
	if end < 0 {
		end = len(value)
	}
	return s.expand([]string{value[:end]}, ConfigFile{}) + value[end:]
}

// fromTasks takes what an entrypoint writes, makes and hands over. Those that only root would do
// count too: nobody does them any more, so they are to be done in the image.
func (n *needs) fromTasks() {
	for _, t := range n.survey.Story.Tasks {
		for _, p := range t.Paths {
			n.fromTask(t, p)
		}
	}
}

func (n *needs) fromTask(t entrypoint.Task, p entrypoint.Path) {
	where, known := p.Value, p.Known && !p.Glob
	need := Need{Sure: known, Why: scriptEvidence(t)}
	if !known {
		where, need.Dir = path.Dir(p.Prefix+"x"), true
	}
	switch t.Kind {
	case entrypoint.MakeDir, entrypoint.Chown:
		need.Tree = p.Recursive
		need.Dir = need.Dir || t.Kind == entrypoint.MakeDir || p.Recursive
	case entrypoint.SedInPlace: // writes a new file beside the old one and renames it
		n.add(path.Dir(where), Need{Dir: true, Sure: known, Why: need.Why})
	case entrypoint.Write, entrypoint.Remove:
	default:
		return
	}
	if !t.Reached() && t.Kind != entrypoint.MakeDir && t.Kind != entrypoint.Chown {
		return
	}
	if isStream(where) || !known && Closed(where) {
		return
	}
	n.add(where, need)
}

func isStream(p string) bool {
	return below(p, "/dev") || below(p, "/proc") || p == "/" || p == "."
}

// fromStrings takes the state folders that the program's own strings name and that exist.
func (n *needs) fromStrings() {
	for _, p := range n.survey.Story.Programs {
		node, err := n.survey.View.Tree.Resolve(p.Path)
		if err != nil || node.Entry().Facts == nil {
			continue
		}
		names := n.survey.names(p.Path)
		for _, mention := range node.Entry().Facts.Mentions {
			if strings.HasPrefix(mention, startup.Run) {
				continue // unroot's own: it is the demo's server too, and Go's strings run one into the next
			}
			n.fromMention(mention, p.Path, names)
		}
	}
}

func (n *needs) fromMention(mention, program string, names []string) {
	root, _, ok := stateRoot(mention)
	if !ok || mention == root || strings.HasSuffix(mention, "/lock") {
		return
	}
	first, _, _ := strings.Cut(strings.TrimPrefix(mention, root+"/"), "/")
	stem, _, _ := strings.Cut(first, ".")
	if !related(stem, names) && !n.ownedByService(path.Join(root, first)) {
		return
	}
	// Programs whose strings are not ended by a NUL, such as Go's, run one into the next: only what
	// was found in the tree is told.
	why := Evidence{"program", program, "its own strings name " + path.Join(root, first)}
	if at, ok := Locate(n.survey.View.Tree, path.Join(root, first)); ok && at.Exists && at.Node.IsDir() {
		n.add(path.Join(root, first), Need{Dir: true, Tree: true, Why: why})
		return
	}
	if root == "/run" || root == "/var/run" { // empty when a container starts: the program makes what it needs
		n.add(root, Need{Dir: true, Why: why})
	}
}

func (n *needs) ownedByService(dir string) bool {
	node, err := n.survey.View.Tree.Resolve(dir)
	return err == nil && n.survey.Service != nil && node.Entry().UID == n.survey.Service.Account.UID
}

// fromOwners takes the folders in the state roots that belong to the service account, or to the
// program by their name.
func (n *needs) fromOwners() {
	if id, why := n.survey.Fixed(); id.UID != NonrootUID {
		for _, root := range stateRoots {
			for _, dir := range n.ownedIn(root.path, id.UID) {
				n.add(dir.Path(), Need{Dir: true, Tree: true, Why: Evidence{"file", dir.Path(), fmt.Sprintf("belongs to %s (%s)", id.Name, why.Text)}})
			}
		}
	}
	for _, dir := range programStateDirs(n.survey) {
		n.add(dir.Path(), Need{Dir: true, Tree: true, Why: Evidence{"file", dir.Path(), "has the program's name"}})
	}
}

// ownedIn is the directories at the top of a state root, and one level below, that belong to the uid
// or to its group.
func (n *needs) ownedIn(root string, uid uint32) []*rootfs.Node {
	node, err := n.survey.View.Tree.Resolve(root)
	if err != nil || node.Path() != root {
		return nil
	}
	owned := func(d *rootfs.Node) bool {
		return d.IsDir() && (d.Entry().UID == uid || n.survey.ownGroups[d.Entry().GID] == uid && d.Entry().Mode&0o020 != 0)
	}
	var found []*rootfs.Node
	for child := range node.Children() {
		if owned(child) {
			found = append(found, child)
			continue
		}
		if !child.IsDir() {
			continue
		}
		for grandchild := range child.Children() {
			if owned(grandchild) {
				found = append(found, grandchild)
			}
		}
	}
	return found
}

// fromApplications takes the state folders of applications that live in a folder of their own.
func (n *needs) fromApplications() {
	for _, p := range n.survey.Story.Programs {
		prefix := appPrefix(p.Path)
		if prefix == "" {
			continue
		}
		for _, name := range appStateNames {
			dir := path.Join(prefix, name)
			if node, err := n.survey.View.Tree.Resolve(dir); err == nil && node.IsDir() {
				n.add(dir, Need{Dir: true, Tree: true, Why: Evidence{"program", p.Path, "its folder " + prefix + " has a " + name}})
			}
		}
	}
}

// fromWorkingDir takes the working directory where it is made to be written in: an empty one, as a
// tool's image has for what the user mounts, or one that is missing. A directory with a program's
// code in it is not.
func (n *needs) fromWorkingDir() {
	dir := n.survey.View.Config.WorkingDir()
	at, ok := Locate(n.survey.View.Tree, dir)
	if !ok || Closed(at.Path) {
		return
	}
	why := Evidence{"config", "config.WorkingDir", dir}
	switch {
	case !at.Exists:
		n.add(at.Path, Need{Dir: true, Sure: true, Why: why})
	case at.Node.IsDir() && empty(at.Node):
		why.Text += " is empty"
		n.add(at.Path, Need{Dir: true, Sure: true, Why: why})
	}
}

func empty(dir *rootfs.Node) bool {
	for range dir.Children() {
		return false
	}
	return true
}

// WrittenDirs is the directories that the image says are written, sorted: those that are needed,
// and those of the files that are.
func (s *Survey) WrittenDirs() []string {
	var dirs []string
	for _, need := range s.Needs {
		node, err := s.View.Tree.Lookup(need.Path)
		dir := need.Path
		if err == nil && !node.IsDir() || err != nil && !need.Dir {
			dir = path.Dir(dir)
		}
		if (err == nil || need.Sure) && !Closed(dir) {
			dirs = append(dirs, dir)
		}
	}
	slices.Sort(dirs)
	return slices.Compact(dirs)
}

// IsVolume reports whether the image declares the path, or one above it, as a volume.
func (s *Survey) IsVolume(p string) bool {
	return slices.ContainsFunc(s.View.Config.Volumes(), func(v string) bool { return below(p, path.Clean("/"+v)) })
}
