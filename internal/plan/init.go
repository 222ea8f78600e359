package plan

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"unroot/internal/entrypoint"
	"unroot/internal/recipe"
	"unroot/internal/rootfs"
	"unroot/internal/startup"
	"unroot/internal/survey"
	"unroot/internal/trace"
)

// AddProgram adds unroot-init for the image's platform.
type AddProgram struct {
	Path string `json:"path"`
}

// Keep copies a file or a directory of the image to where it is taken from at start.
type Keep struct {
	Path string `json:"path"`
	To   string `json:"to"`
	Size int64  `json:"size"` // bytes of the files
	GID  uint32 `json:"-"`    // the group that may read it
}

// Link puts a symbolic link in the place of a file.
type Link struct {
	Path string `json:"path"`
	To   string `json:"to"`
}

func (AddProgram) effect() {}
func (Keep) effect()       {}
func (Link) effect()       {}

// Kind is "add-program".
func (AddProgram) Kind() string { return "add-program" }

// Kind is "keep".
func (Keep) Kind() string { return "keep" }

// Kind is "link".
func (Link) Kind() string { return "link" }

func (e AddProgram) String() string { return e.Path + " added" }
func (e Keep) String() string {
	return fmt.Sprintf("%s kept at %s, %d bytes", e.Path, e.To, e.Size)
}
func (e Link) String() string { return fmt.Sprintf("%s → link to %s", e.Path, e.To) }

// starter collects what is left to the moment of start.
type starter struct {
	reasons []Reason
	private []startup.Private
	fill    []string
	names   startup.Names
	home    string // the directory that is the home and nothing else
}

func (m *maker) because(r Reason) {
	if !slices.ContainsFunc(m.start.reasons, func(o Reason) bool { return o.ID == r.ID && o.Path == r.Path }) {
		m.start.reasons = append(m.start.reasons, r)
	}
}

// mayInit reports whether unroot-init may stand in the image.
func (m *maker) mayInit() bool {
	return m.opts.Init != InitNever && (m.survey.Init != nil || m.hasInit())
}

// hasInit reports whether there is an unroot-init for the image's platform.
func (m *maker) hasInit() bool {
	return startup.Runs(m.platform())
}

// platform is the operating system and the architecture of the image.
func (m *maker) platform() (os, arch string) {
	os, rest, _ := strings.Cut(m.survey.View.Config.Platform(), "/")
	arch, _, _ = strings.Cut(rest, "/")
	return os, arch
}

// compat is the step of emulation of the image: what was asked for, or what it has already.
func (m *maker) compat() startup.Compat {
	had := startup.CompatOff
	if m.survey.Init != nil {
		had = m.survey.Init.Compat
	}
	switch {
	case m.opts.NoCompat || m.opts.Init == InitNever:
		return startup.CompatOff
	case slices.Index(startup.Compats, m.opts.Compat) > slices.Index(startup.Compats, had):
		return m.opts.Compat
	}
	return had
}

// believes reports whether programs of the image believe that they are root, and may change to whom
// they like: what changes the user is then left as it is.
func (m *maker) believes() bool {
	c := m.compat()
	return c == startup.CompatIdentities || c == startup.CompatConsistent
}

// keepPrivate lets whoever runs make a copy of a file at start whose reader demands to own it. False
// where that is not possible, or is no help.
func (m *maker) keepPrivate(node *rootfs.Node, rule survey.Strict) bool {
	p, entry := node.Path(), node.Entry()
	if rule.Mode == 0 || entry.Kind != rootfs.File || !m.mayInit() || m.repeated+entry.Size > m.opts.Repeat {
		return false
	}
	if slices.ContainsFunc(m.start.private, func(had startup.Private) bool { return had.Path == p }) {
		return true
	}
	why := survey.Evidence{Source: "file", Where: p, Text: fmt.Sprintf("%s demands %s", rule.Reader, rule.Demand)}
	m.repeated += entry.Size
	m.start.private = append(m.start.private, startup.Private{Path: p, Mode: rule.Mode})
	m.do(Keep{Path: p, To: startup.Seed + p, Size: entry.Size, GID: m.group()}, "owner-strict", why)
	m.do(Link{Path: p, To: startup.Run + p}, "owner-strict", why)
	m.because(Reason{ID: "owner-strict", Path: p, What: fmt.Sprintf("%s wants to own %s, and any uid may run: a copy is made at start", rule.Reader, p), Rest: []survey.Evidence{why}})
	return true
}

// keepStrictSeen does the same for files that a run has shown to be refused for their owner or mode.
func (m *maker) keepStrictSeen() {
	for _, p := range m.survey.Seen.Strict {
		node, err := m.survey.View.Tree.Resolve(p)
		if err != nil {
			continue
		}
		rule, known := survey.OwnerStrict(node.Path())
		if !known {
			rule = survey.Strict{Reader: "its reader", Demand: "a file of who runs, as a run has shown", Mode: node.Entry().Mode & 0o700}
		}
		m.keepPrivate(node, rule)
	}
}

// fillEmptied keeps the content of directories that a tmpfs hides, where runs have shown that it is missed. Where
// stat is answered no run shows it: there it is kept of all directories that the program writes.
func (m *maker) fillEmptied() {
	for _, dir := range m.survey.Seen.Emptied {
		m.fill(dir, survey.Evidence{Source: "run", Where: dir, Text: "its content was missed under a tmpfs"})
	}
	if had := m.survey.Init; m.compat() == startup.CompatConsistent && (had == nil || had.Compat != startup.CompatConsistent) {
		for _, dir := range m.plan.Ephemeral {
			m.fill(dir, survey.Evidence{Source: "plan", Where: dir, Text: "a tmpfs may hide its content, and what then is missed no trace would show"})
		}
	}
}

func (m *maker) fill(dir string, why survey.Evidence) {
	node, err := m.survey.View.Tree.Resolve(dir)
	if err != nil || !node.IsDir() || !m.mayInit() || isEmpty(node) || slices.Contains(m.start.fill, node.Path()) || m.filled(node.Path()) {
		return
	}
	p, size := node.Path(), int64(0)
	for n := range m.survey.View.Tree.Walk(p) {
		if n.Entry().Kind == rootfs.File {
			size += n.Entry().Size
		}
	}
	if m.repeated+size > m.opts.Repeat {
		return
	}
	m.repeated += size
	m.start.fill = append(m.start.fill, p)
	m.do(Keep{Path: p, To: startup.Seed + p, Size: size, GID: m.group()}, "read-only-root", why)
	m.because(Reason{ID: "tmpfs-content", Path: p, What: fmt.Sprintf("a tmpfs over %s hides what the program needs of it: it is copied there at start", p), Rest: []survey.Evidence{why}})
}

// filled reports whether the image's unroot-init fills the directory already.
func (m *maker) filled(dir string) bool {
	return m.survey.Init != nil && slices.Contains(m.survey.Init.Fill, dir)
}

// nameUsers decides who answers for a uid without a passwd entry, where a program asks.
func (m *maker) nameUsers() {
	who, rest := m.asksForItself()
	if who == "" || !m.mayInit() || m.opts.Group != GroupZero || m.addsEntries() && len(m.survey.Seen.Lookups) == 0 {
		return
	}
	by := m.survey.Lookup()
	if by.Names == startup.NamesOff {
		return
	}
	m.start.names = by.Names
	m.because(Reason{ID: "passwd-entry", What: who + " looks its user up, and an unknown uid has no passwd entry: it is answered for", Rest: rest})
}

// addsEntries reports whether the platform that the image is for adds the passwd entry of an unknown
// uid by itself, as CRI-O does.
func (m *maker) addsEntries() bool { return m.opts.Target == "openshift" }

// asksForItself is the first program that is known to look its own user up: one that a run has shown,
// else one that starts and does so always.
func (m *maker) asksForItself() (program string, rest []survey.Evidence) {
	for _, n := range m.survey.Seen.Lookups {
		return n.Exe, []survey.Evidence{survey.NeedEvidence(n)}
	}
	for _, s := range slices.Concat(m.survey.Story.Programs, m.survey.Story.Steps) {
		if s.Guard != entrypoint.RootOnly && slices.Contains(lookups, path.Base(s.Path)) {
			return s.Path, []survey.Evidence{{Source: "program", Where: s.Path, Text: "starts, and looks its own user up in /etc/passwd"}}
		}
	}
	return "", nil
}

// emulate says why calls of root are answered.
func (m *maker) emulate() {
	step := m.compat()
	if step == startup.CompatOff || m.opts.Compat == startup.CompatOff {
		return
	}
	if _, arch := m.platform(); !m.mayInit() || !startup.Emulates(arch) {
		m.open(Open{ID: "compat", What: fmt.Sprintf("emulation (%s) was asked for, and there is none for %s", step, arch), Decides: "another platform"})
		return
	}
	what := "it was asked for"
	if len(m.opts.CompatWhy) > 0 {
		what = "without it the program does not work"
	}
	m.because(Reason{ID: "compat", What: fmt.Sprintf("%s: privilege separation inside this image is emulated (%s)", what, step), Rest: m.opts.CompatWhy})
}

// leaveToStart puts unroot-init into the image where something is left to it.
func (m *maker) leaveToStart() {
	m.keepStrictSeen()
	m.fillEmptied()
	m.nameUsers()
	m.emulate()
	if m.opts.Init == InitAlways && m.hasInit() {
		m.because(Reason{ID: "asked", What: "it was asked for"})
		m.nameAlways()
	}
	had := m.survey.Init
	if len(m.start.reasons) == 0 || m.opts.Init == InitNever {
		if had != nil {
			m.plan.Init = &Init{Order: *had, Why: []Reason{{ID: "there", What: "it is in the image already"}}}
		}
		return
	}
	order := m.order()
	m.plan.Init = &Init{Order: order, Why: m.start.reasons}
	m.addInit(order)
}

// nameAlways answers for unknown uids though no program is known to ask.
func (m *maker) nameAlways() {
	if m.opts.Group == GroupZero && m.start.names == startup.NamesOff && !m.addsEntries() {
		m.start.names = m.survey.Lookup().Names
	}
}

// order is what the image's unroot-init does already, and what is added to it.
func (m *maker) order() startup.Order {
	o := startup.Order{Names: m.start.names, Private: m.start.private, Fill: m.start.fill, Compat: m.compat()}
	if m.opts.Group == GroupZero {
		mask := uint16(0o002) // what one unknown uid makes is for the next one too
		o.Umask = &mask
	}
	o.Chroots = m.believes() && m.jailsAreEmpty()
	had := m.survey.Init
	if had == nil {
		o.Writable = m.tested()
		return o
	}
	o.Chroots = o.Chroots || had.Chroots
	o.Writable, o.Home, o.Java, o.Stay = had.Writable, had.Home, had.Java, had.Stay
	o.Private, o.Fill = append(slices.Clone(had.Private), o.Private...), append(slices.Clone(had.Fill), o.Fill...)
	if had.Names != startup.NamesOff {
		o.Names = had.Names
	}
	if had.Umask != nil {
		o.Umask = had.Umask
	}
	return o
}

// jailsAreEmpty reports whether the image's programs change their root directory while they run, as far as runs, their
// configuration and what is known of them tell, and only to directories that are empty in the image, or not
// there: nothing can be named in such a one, so that a change that does not happen shows nobody more than it does.
func (m *maker) jailsAreEmpty() bool {
	jails := m.jails()
	return len(jails) > 0 && !slices.ContainsFunc(jails, func(p string) bool {
		at, ok := survey.Locate(m.survey.View.Tree, p)
		return !ok || at.Exists && !isEmpty(at.Node)
	})
}

func (m *maker) jails() []string {
	var jails []string
	for _, n := range m.survey.Seen.Needs {
		if n.Kind == trace.Chroot {
			jails = append(jails, n.Path)
		}
	}
	for _, i := range m.survey.InsistsOn {
		if i.Jail != "" {
			jails = append(jails, i.Jail)
		}
	}
	for _, c := range m.survey.Configs {
		for _, d := range c.Directives {
			switch {
			case d.Role != recipe.Chroot || d.Value == "" || d.Value == "none":
			case path.IsAbs(d.Value):
				jails = append(jails, d.Value)
			default:
				jails = append(jails, "/") // somewhere that only the moment knows, such as a home
			}
		}
	}
	return jails
}

func isEmpty(dir *rootfs.Node) bool {
	for range dir.Children() {
		return false
	}
	return dir.IsDir()
}

// tested is the paths that are tried at start: all that the plan calls writable.
func (m *maker) tested() []string {
	all := slices.Concat(m.plan.Persistent, m.plan.Ephemeral)
	all = slices.DeleteFunc(all, func(p string) bool { return p == m.start.home }) // another home is found where that one cannot be written
	slices.Sort(all)
	return slices.Compact(all)
}

// addInit adds what the image has not of it.
func (m *maker) addInit(order startup.Order) {
	why := survey.Evidence{Source: "plan", Where: startup.Path, Text: "is needed: " + m.start.reasons[0].What}
	if m.survey.Init == nil {
		m.do(AddProgram{Path: startup.Path}, "", why)
	}
	m.ownDir(startup.Run, 0o770, survey.Evidence{Source: "plan", Where: startup.Path, Text: "keeps there what whoever runs must own"})
	if order.Names == startup.NamesNscd || order.Names == startup.NamesAuto {
		m.ownDir("/var/run/nscd", 0o775, survey.Evidence{Source: "plan", Where: startup.Path, Text: "answers there for uids without a passwd entry"})
	}
	m.wrap(order, why)
}

// ownDir makes a directory for unroot-init, and lets it be made where a tmpfs is mounted above it.
func (m *maker) ownDir(dir string, mode uint16, why survey.Evidence) {
	at, ok := survey.Locate(m.survey.View.Tree, dir)
	if !ok {
		return
	}
	m.openAbove(path.Dir(at.Path), why)
	if _, exists := m.attr(at.Path); !exists {
		attr := m.writableAttr(Attr{Mode: mode}, true, false)
		attr.Mode = mode
		m.makeOwn(at.Path, attr, why)
	}
	if !slices.Contains(m.plan.Ephemeral, at.Path) && !slices.Contains(m.plan.Ephemeral, path.Dir(at.Path)) {
		m.plan.Ephemeral = append(m.plan.Ephemeral, at.Path) // a tmpfs on the directory above serves it too
	}
}

// openAbove makes or opens the directory in which unroot-init has one: a tmpfs takes its mode from the
// image's directory, and only root owns it (runc, libcontainer/rootfs_linux.go).
func (m *maker) openAbove(dir string, why survey.Evidence) {
	attr, exists := m.attr(dir)
	open := Attr{GID: m.group(), Mode: 0o775}
	if !m.allowed(open, write) {
		open.UID = m.plan.Identity.UID
	}
	if exists {
		open = m.writableAttr(attr, true, survey.Shared(dir))
	}
	switch {
	case !exists:
		m.makeParent(path.Dir(dir), "not-writable", why)
		m.makeOwn(dir, open, why)
	case m.allowed(open, write) && !survey.Closed(dir):
		m.grantDir(dir, write, "not-writable", why)
	}
}

func (m *maker) makeOwn(dir string, attr Attr, why survey.Evidence) {
	m.attrs[dir], m.made[dir] = attr, true
	m.do(MakeDir{Path: dir, Attr: attr}, "not-writable", why)
}

// wrap puts unroot-init and its order before what the image starts.
func (m *maker) wrap(order startup.Order, why survey.Evidence) {
	words := append([]string{startup.Path}, order.Args()...)
	var to []string
	for i, op := range m.plan.Operations {
		if e, ok := op.Effect.(SetArgs); ok && e.Field == "Entrypoint" {
			e.To = append(words, withoutInit(e.To)...)
			m.plan.Operations[i].Effect = e
			m.plan.Operations[i].Why = append(op.Why, why)
			return
		}
	}
	from := m.field("Entrypoint")
	if to = append(words, withoutInit(from)...); !slices.Equal(from, to) {
		m.do(SetArgs{Field: "Entrypoint", From: from, To: to}, "", why)
	}
}

// withoutInit is a command line without unroot-init and its options.
func withoutInit(words []string) []string {
	if len(words) == 0 || words[0] != startup.Path {
		return words
	}
	_, program, err := startup.Parse(words[1:])
	if err != nil {
		return words
	}
	return program
}

// answered reports whether unknown uids are answered for: by the image, or by its platform.
func (m *maker) answered() bool {
	switch {
	case m.addsEntries():
		return true
	case m.plan.Init != nil:
		return m.plan.Init.Order.Names != startup.NamesOff
	}
	return false
}
