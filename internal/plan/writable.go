package plan

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"unroot/internal/rootfs"
	"unroot/internal/survey"
)

const write = rootfs.Read | rootfs.Write | rootfs.Exec

// makeWritable grants what the image's program writes, directory by directory.
func (m *maker) makeWritable() {
	needs := slices.Clone(m.survey.Needs)
	for _, p := range m.opts.Writable {
		if at, ok := m.locate(p, "--writable"); ok {
			needs = append(needs, survey.Need{Path: at.Path, Dir: !at.Exists || at.Node.IsDir(), Tree: true, Sure: true,
				Why: survey.Evidence{Source: "flag", Text: "--writable " + p}})
		}
	}
	for _, p := range m.survey.View.Config.Volumes() {
		m.locate(path.Clean("/"+p), "VOLUME")
	}
	// What the image says itself comes first, so that a grant rests on that where there is both.
	slices.SortStableFunc(needs, func(a, b survey.Need) int { return b.Strength() - a.Strength() })
	for _, need := range needs {
		m.satisfy(need)
	}
}

// locate finds a path that somebody named, and says where it leads nowhere.
func (m *maker) locate(p, named string) (survey.Place, bool) {
	at, ok := survey.Locate(m.survey.View.Tree, p)
	if !ok {
		m.open(Open{ID: "leads-nowhere", Path: p, What: fmt.Sprintf("%s %s leads through a file, or in a circle of links", named, p), Decides: "name the directory that is meant"})
	}
	return at, ok
}

func (m *maker) satisfy(need survey.Need) {
	node, err := m.survey.View.Tree.Lookup(need.Path)
	exists := err == nil
	switch {
	case need.Dir && exists:
		m.satisfyDir(node, need)
	case need.Dir && need.Sure:
		m.satisfyMissing(need)
	case exists && need.Sure:
		m.satisfyFile(node, need)
	case need.Sure:
		m.satisfyParent(need)
	}
}

// satisfyDir opens a directory, and what is below it where that is written too.
func (m *maker) satisfyDir(node *rootfs.Node, need survey.Need) {
	dir := node.Path()
	if survey.Closed(dir) && !m.survey.MountPoint(dir) {
		if !m.allowed(AttrOf(node.Entry()), write) {
			m.openClosed(need, dir)
		}
		return
	}
	if rule, strict := survey.OwnerStrict(dir); strict && rule.ForRoot() {
		return // its program wants it as it is, and no more of it than to look
	}
	if rule, strict := m.survey.IsStrictDir(node); strict && m.isPopulated(node) {
		m.openStrictDir(node, rule)
		return
	}
	m.grantDir(dir, write, "not-writable", need.Why)
	m.written(dir)
	if need.Tree && !survey.Shared(dir) {
		m.openTree(node, need)
	}
}

// openStrictDir says that a directory in use stays its owner's.
func (m *maker) openStrictDir(dir *rootfs.Node, rule survey.StrictDir) {
	attr := AttrOf(dir.Entry())
	if m.allowed(attr, write) {
		return
	}
	m.open(Open{ID: "strict-directory", Path: dir.Path(), Scope: m.scope(attr, write),
		What:    fmt.Sprintf("%s (%s) holds data in the image, and %s demands %s", dir.Path(), attr, rule.Reader, rule.Demand),
		Decides: fmt.Sprintf("--uid %d, its owner; or an empty directory for %s", attr.UID, rule.Env)})
}

// openClosed says that a system directory is written, which is not made writable.
func (m *maker) openClosed(need survey.Need, dir string) {
	m.open(Open{ID: "closed-directory", Path: need.Path,
		What:    fmt.Sprintf("%s is written (%s), and %s is not made writable as a whole: who can write there can replace what others trust", need.Path, need.Why, dir),
		Decides: "write it in the image, or let the program write to a directory of its own and name that with --writable"})
}

func (m *maker) isPopulated(dir *rootfs.Node) bool {
	for _, rule := range survey.StrictDirs {
		if m.survey.InUse(rule, dir) {
			return true
		}
	}
	return false
}

// openTree opens what lies below a directory. Its files are repeated where all of them fit into the
// budget; else they stay as they are and that is said.
func (m *maker) openTree(top *rootfs.Node, need survey.Need) {
	why := survey.Evidence{Source: need.Why.Source, Where: need.Why.Where, Text: need.Why.Text + ", and what is below"}
	var files []*rootfs.Node
	var bytes int64
	skip := ""
	for node := range m.survey.View.Tree.Walk(top.Path()) {
		p := node.Path()
		if p == top.Path() || skip != "" && strings.HasPrefix(p, skip) {
			continue
		}
		attr := AttrOf(node.Entry())
		rule, strict := survey.OwnerStrict(p)
		switch {
		case node.IsDir() && m.isPopulated(node):
			skip = p + "/"
		case strict && node.IsDir():
			skip = p + "/"
			if !m.allowed(attr, write) {
				m.openStrict(p, rule, m.scope(attr, write))
			}
		case node.IsDir():
			m.grantDir(p, write, "not-writable", why)
		case strict: // says that it stays as it is
			m.grantFile(node, rootfs.Read|rootfs.Write, "not-writable", why)
		case node.Kind() == rootfs.File && m.isWritten(node, need) && !m.allowed(attr, rootfs.Read|rootfs.Write):
			files = append(files, node)
			bytes += node.Entry().Size
		}
	}
	if m.repeated+bytes <= m.opts.Repeat {
		for _, node := range files {
			m.grantFile(node, rootfs.Read|rootfs.Write, "not-writable", why)
		}
		return
	}
	m.open(Open{ID: "files-not-repeated", Path: top.Path(), Scope: m.filesScope(files),
		What:    fmt.Sprintf("%d files below %s (%d bytes) stay unwritable for an identity that needs them: their content would have to be repeated", len(files), top.Path(), bytes),
		Decides: fmt.Sprintf("a larger --repeat-limit (now %d bytes), or a volume that is filled at start", m.opts.Repeat)})
}

// isWritten reports whether a file below a written directory is written itself. Where only the
// convention speaks for the directory, that is a log, or what the user owns: a package keeps files
// of its own beside its state.
func (m *maker) isWritten(node *rootfs.Node, need survey.Need) bool {
	return need.Sure || strings.HasPrefix(node.Path(), "/var/log/") || node.Entry().UID == m.plan.Identity.UID
}

// filesScope is "arbitrary" where the fixed user may write all of the files. Empty ones, which packages
// leave as marks, do not count.
func (m *maker) filesScope(files []*rootfs.Node) string {
	for _, node := range files {
		if node.Entry().Size > 0 && m.scope(AttrOf(node.Entry()), rootfs.Read|rootfs.Write) == "" {
			return ""
		}
	}
	return "arbitrary"
}

// satisfyMissing makes a directory that the image says is written. One whose program demands to own
// it is left to the program: its parent is opened instead.
func (m *maker) satisfyMissing(need survey.Need) {
	switch {
	case m.isStrictPath(need.Path), need.Made && m.isOwn(path.Dir(need.Path)):
		m.satisfyParent(need)
		return
	case survey.Closed(need.Path):
		m.openClosed(need, need.Path)
		return
	}
	m.makeDir(need.Path, "not-writable", need.Why)
	m.written(need.Path)
}

// isOwn reports whether a directory belongs to an application: what its program makes in it is better made by
// it, with the mode that it may look for later, as smbd does. One that believes to be root looks for the owner too.
func (m *maker) isOwn(dir string) bool {
	_, exists := m.attr(dir)
	return exists && !survey.Closed(dir) && (m.believes() || !survey.Shared(dir))
}

func (m *maker) isStrictPath(p string) bool {
	return slices.ContainsFunc(survey.StrictDirs, func(rule survey.StrictDir) bool {
		v, ok := m.survey.View.Config.Getenv(rule.Env)
		if !ok {
			return false
		}
		at, ok := survey.Locate(m.survey.View.Tree, v)
		return ok && at.Path == p
	})
}

// satisfyFile opens a file that is written, and its directory where that is the program's own.
func (m *maker) satisfyFile(node *rootfs.Node, need survey.Need) {
	if strings.HasPrefix(node.Path(), "/etc/") && isAccountFile(node.Path()) {
		m.openClosed(need, "/etc")
		return
	}
	m.reach(node.Path(), "not-writable", need.Why)
	if !m.grantFile(node, rootfs.Read|rootfs.Write, "not-writable", need.Why) {
		m.open(Open{ID: "files-not-repeated", Path: node.Path(),
			What:    fmt.Sprintf("%s (%d bytes) is written (%s)", node.Path(), node.Entry().Size, need.Why),
			Decides: fmt.Sprintf("a larger --repeat-limit (now %d bytes)", m.opts.Repeat)})
	}
	if dir := path.Dir(node.Path()); !survey.Closed(dir) {
		m.openParent(dir, need)
	}
}

func isAccountFile(p string) bool {
	return slices.Contains([]string{"/etc/passwd", "/etc/group", "/etc/shadow", "/etc/gshadow", "/etc/sudoers"}, p)
}

// satisfyParent opens the directory in which a missing file is made.
func (m *maker) satisfyParent(need survey.Need) {
	dir := path.Dir(need.Path)
	attr, exists := m.attr(dir)
	switch {
	case !exists && m.isStrictPath(dir): // the program makes it itself
		m.satisfyParent(survey.Need{Path: dir, Sure: need.Sure, Why: need.Why})
	case exists && survey.Closed(dir):
		if !m.allowed(attr, write) {
			m.openClosed(need, dir)
		}
	case exists:
		m.openParent(dir, need)
	case survey.Closed(path.Dir(dir)) && !strings.HasPrefix(dir, "/var/lib/"):
		m.openClosed(need, path.Dir(dir))
	default:
		m.makeDir(dir, "not-writable", need.Why)
		m.written(dir)
	}
}

func (m *maker) openParent(dir string, need survey.Need) {
	m.grantDir(dir, write, "not-writable", need.Why)
	m.written(dir)
}

// written lists a directory as one that is written, for the record and for a read-only root.
func (m *maker) written(dir string) {
	list := &m.plan.Persistent
	if survey.Ephemeral(dir) && !slices.Contains(m.survey.View.Config.Volumes(), dir) {
		list = &m.plan.Ephemeral
	}
	if !slices.Contains(*list, dir) {
		*list = append(*list, dir)
	}
}

// moveStrictDirs takes a data directory whose program demands to own it one level down, where the
// program makes it itself: an unknown uid can never own a directory of the image.
func (m *maker) moveStrictDirs() {
	for _, rule := range survey.StrictDirs {
		value, ok := m.survey.View.Config.Getenv(rule.Env)
		if !ok || m.opts.Group == GroupDedicated || m.decided(rule.Env) {
			continue
		}
		at, ok := survey.Locate(m.survey.View.Tree, value)
		if !ok {
			continue
		}
		if path.Base(value) == rule.Below {
			m.openDataOwner(rule, value)
			continue
		}
		m.moveStrictDir(rule, value, at)
	}
}

func (m *maker) moveStrictDir(rule survey.StrictDir, value string, at survey.Place) {
	volume := slices.Contains(m.survey.View.Config.Volumes(), at.Path)
	why := survey.Evidence{Source: "config", Where: "config.Env", Text: fmt.Sprintf("%s=%s, and %s demands %s", rule.Env, value, rule.Reader, rule.Demand)}
	switch {
	case at.Exists && m.survey.InUse(rule, at.Node):
		m.openStrictDir(at.Node, rule)
	case at.Exists || volume:
		to := path.Join(value, rule.Below)
		m.setVariable(rule.Env, to, "strict-directory", why)
		m.openDataOwner(rule, to)
		m.note("data that the root image left at %s stays there and is not looked for at %s: keep %s=%s for it (with the fixed uid %d, not with an unknown one)",
			value, to, rule.Env, value, m.plan.Identity.UID)
	}
}

// openDataOwner says that data which its program demands to own stays with the uid that made it. Its id is one that
// verify knows: what another uid finds there is not in the image's hand.
func (m *maker) openDataOwner(rule survey.StrictDir, dir string) {
	m.open(Open{ID: "data-owner", Path: dir, Scope: "arbitrary",
		What:    fmt.Sprintf("%s demands to own %s: data that one uid made there does not serve another", rule.Reader, dir),
		Decides: "one uid for the life of a volume, as OpenShift gives one to a namespace"})
}

// setHome gives the program a home that every identity can write. Engines set HOME from the passwd
// entry of the uid, and to "/" where there is none.
func (m *maker) setHome() {
	if m.decided("HOME") {
		return
	}
	now, set := m.survey.View.Config.Getenv("HOME")
	if set && m.homeWorks(now) {
		return
	}
	id := m.plan.Identity
	home := id.Home
	if !m.mayBecomeHome(home) {
		home = "/home/" + freeHome(m, id.Name)
	}
	why := survey.Evidence{Source: "account", Where: "/etc/passwd", Text: fmt.Sprintf("the home of %s is %s", id.Name, orNothing(id.Home))}
	if set {
		why = survey.Evidence{Source: "config", Where: "config.Env", Text: "HOME=" + now}
	}
	if at, ok := survey.Locate(m.survey.View.Tree, home); ok && at.Exists {
		home = at.Path
		m.grantDir(home, write, "home", why)
	} else {
		m.makeDir(home, "home", why)
	}
	if !slices.Contains(m.plan.Persistent, home) && !slices.Contains(m.plan.Ephemeral, home) {
		m.start.home = home
	}
	m.written(home)
	m.setVariable("HOME", home, "home", why)
}

func freeHome(m *maker, name string) string {
	if _, exists := m.attr("/home/" + name); exists || name == "" {
		return "nonroot"
	}
	return name
}

func (m *maker) homeWorks(home string) bool {
	at, ok := survey.Locate(m.survey.View.Tree, home)
	if !ok || !path.IsAbs(home) {
		return false
	}
	attr, exists := m.attr(at.Path)
	if !exists || !m.allowed(attr, write) || at.Path == "/" {
		return false
	}
	for dir := path.Dir(at.Path); dir != "/"; dir = path.Dir(dir) {
		if a, ok := m.attr(dir); ok && !m.allowed(a, rootfs.Exec) {
			return false
		}
	}
	return true
}

// mayBecomeHome reports whether a home of a passwd entry is a place to write: a person's home, or a
// state directory of the service; never a system directory or one with served content.
func (m *maker) mayBecomeHome(home string) bool {
	if !path.IsAbs(home) || path.Clean(home) != home || survey.Closed(home) || survey.Shared(home) || home == "/nonexistent" {
		return false
	}
	if strings.HasPrefix(home, "/home/") || strings.HasPrefix(home, "/var/lib/") {
		return true
	}
	attr, exists := m.attr(home)
	return exists && attr.UID == m.plan.Identity.UID
}

func orNothing(s string) string {
	if s == "" {
		return "not set"
	}
	return s
}

// makeReadable lets every identity read the configuration and start the programs.
func (m *maker) makeReadable() {
	for _, r := range m.survey.Reads {
		at, ok := survey.Locate(m.survey.View.Tree, r.Path)
		if !ok || !at.Exists {
			continue
		}
		m.reach(at.Path, "not-readable", r.Why)
		if at.Node.IsDir() {
			m.grantDir(at.Path, r.Want, "not-readable", r.Why)
			continue
		}
		if !m.grantFile(at.Node, r.Want, "not-readable", r.Why) {
			m.open(Open{ID: "files-not-repeated", Path: at.Path,
				What:    fmt.Sprintf("%s (%d bytes) must be readable (%s)", at.Path, at.Node.Entry().Size, r.Why),
				Decides: fmt.Sprintf("a larger --repeat-limit (now %d bytes)", m.opts.Repeat)})
		}
	}
}
