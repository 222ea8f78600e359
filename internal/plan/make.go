package plan

import (
	"fmt"
	"path"
	"slices"

	"unroot/internal/account"
	"unroot/internal/finding"
	"unroot/internal/record"
	"unroot/internal/rootfs"
	"unroot/internal/survey"
)

// Make decides what has to change for the surveyed image to run as a regular user. It is a pure
// decision: the same survey and options give the same plan, and nothing is changed. It fails for
// options that cannot be met.
func Make(s *survey.Survey, opts Options) (Plan, error) {
	m := &maker{survey: s, opts: opts.withDefaults(), attrs: map[string]Attr{}, made: map[string]bool{}, args: map[string][]finding.Edit{}}
	if r, ok, err := record.Read(s.View.Config.Labels()); ok && err == nil {
		m.repeated = min(max(r.Repeated, 0), m.opts.Repeat) // what was within the limit then is not in the way now: the limit holds for both together
	}
	if err := m.chooseIdentity(); err != nil {
		return Plan{}, err
	}
	m.setUser()
	m.moveStrictDirs()
	m.makeWritable()
	m.setHome()
	m.makeReadable()
	m.movePorts()
	m.dropChanges()
	m.placeTasks()
	if !m.believes() {
		m.dropScriptOptions()
	}
	m.trustDirs()
	m.disarm()
	m.closeAccountFiles()
	m.openShadow()
	m.leaveToStart()
	m.leaveOpen()
	m.setEnv()
	m.restOnEvents()
	return m.finish(), nil
}

func (o Options) withDefaults() Options {
	if o.Group == "" {
		o.Group = GroupZero
	}
	if o.SetUID == "" {
		o.SetUID = SetUIDAuto
	}
	if o.Repeat == 0 {
		o.Repeat = 1 << 20
	}
	return o
}

// maker builds one plan. It keeps what was decided so far, so that later steps see the image as it
// will be.
type maker struct {
	survey   *survey.Survey
	opts     Options
	plan     Plan
	attrs    map[string]Attr           // decided owners and modes, by path
	made     map[string]bool           // directories that will exist
	repeated int64                     // bytes of files repeated so far for owner or mode
	args     map[string][]finding.Edit // edits of the config's strings, by "Field[index]"
	start    starter
}

// dropChanges takes out what changes the user, which only root may, or who believes to be.
func (m *maker) dropChanges() {
	m.dropDirectives()
	if m.believes() {
		return
	}
	if !m.dropStepDown() {
		m.dropUserOptions()
	}
}

func (m *maker) do(e Effect, mends string, why ...survey.Evidence) {
	m.plan.Operations = append(m.plan.Operations, Operation{Effect: e, Why: why, Mends: mends})
}

func (m *maker) open(o Open) {
	if !slices.Contains(m.plan.Open, o) {
		m.plan.Open = append(m.plan.Open, o)
	}
}

func (m *maker) note(format string, args ...any) {
	m.plan.Notes = append(m.plan.Notes, fmt.Sprintf(format, args...))
}

// identities is who must be able to read and write what the program needs.
func (m *maker) identities() []account.Identity {
	if m.opts.Group == GroupDedicated {
		return []account.Identity{m.plan.Identity}
	}
	return []account.Identity{m.plan.Identity, account.Arbitrary()}
}

// attr is owner and mode of an existing or planned file.
func (m *maker) attr(p string) (Attr, bool) {
	if a, ok := m.attrs[p]; ok {
		return a, true
	}
	node, err := m.survey.View.Tree.Lookup(p)
	if err != nil {
		return Attr{}, false
	}
	return AttrOf(node.Entry()), true
}

// allowed reports whether every identity may do what is wanted to a file with those attributes.
func (m *maker) allowed(a Attr, want rootfs.Access) bool {
	for _, id := range m.identities() {
		if !rootfs.Allows(id, a.UID, a.GID, a.Mode, want) {
			return false
		}
	}
	return true
}

// writableAttr is the attributes under which every identity may write: group 0 with the owner's
// rights, owned by the fixed user unless the file belongs to no one application.
func (m *maker) writableAttr(from Attr, dir, shared bool) Attr {
	to := m.handOver(from, shared)
	rights := uint16(0o600)
	if dir {
		rights = 0o700
	}
	if !shared {
		to.Mode |= rights
	}
	if m.opts.Group == GroupZero || shared {
		to.Mode |= (to.Mode&0o700 | rights) >> 3
	}
	return to
}

// readableAttr adds what is wanted for every identity that lacks it: through the group, and for a
// user who is not in that group through ownership.
func (m *maker) readableAttr(from Attr, want rootfs.Access, closed bool) Attr {
	to := from
	to.GID = m.group()
	to.Mode |= accessBits(want) << 3
	id := m.plan.Identity
	if from.UID != id.UID && !closed && !rootfs.Allows(id, to.UID, to.GID, to.Mode, want) {
		to.UID = id.UID
	}
	if to.UID == id.UID {
		to.Mode |= accessBits(want) << 6
	}
	return to
}

func (m *maker) handOver(from Attr, shared bool) Attr {
	to := from
	to.GID = m.group()
	if !shared {
		to.UID = m.plan.Identity.UID
	}
	return to
}

// group is the group that is let in.
func (m *maker) group() uint32 {
	if m.opts.Group == GroupZero {
		return 0
	}
	return m.plan.Identity.GID
}

func accessBits(want rootfs.Access) uint16 {
	var bits uint16
	if want&rootfs.Read != 0 {
		bits |= 4
	}
	if want&rootfs.Write != 0 {
		bits |= 2
	}
	if want&rootfs.Exec != 0 {
		bits |= 1
	}
	return bits
}

// grantDir lets every identity do what is wanted to a directory, and reach it. Nothing happens where
// they already can.
func (m *maker) grantDir(dir string, want rootfs.Access, mends string, why survey.Evidence) {
	m.reach(dir, mends, why)
	from, ok := m.attr(dir)
	if !ok || m.allowed(from, want) {
		return
	}
	to := m.readableAttr(from, want, survey.Closed(dir))
	if want&rootfs.Write != 0 {
		to = m.writableAttr(from, true, survey.Shared(dir))
	}
	m.grant(Grant{Path: dir, From: from, To: to, Want: want}, mends, why)
}

// grant changes a directory, unless that would not serve everyone: an image that keeps a user who is
// not in group 0 cannot let both that user and group 0 into a directory that belongs to no one
// application.
func (m *maker) grant(g Grant, mends string, why survey.Evidence) {
	if !m.allowed(g.To, g.Want) {
		m.open(Open{ID: "group", Path: g.Path,
			What:    fmt.Sprintf("%s (%s) is needed (%s), and the image's user %s is not in group 0, which would be let in", g.Path, g.From, why, m.plan.Identity),
			Decides: fmt.Sprintf("--uid %d, which makes the group 0", m.plan.Identity.UID)})
		return
	}
	m.attrs[g.Path] = g.To
	if !m.made[g.Path] {
		m.do(g, mends, why)
	}
}

// reach lets every identity search the directories above a path.
func (m *maker) reach(p, mends string, why survey.Evidence) {
	for dir := path.Dir(p); ; dir = path.Dir(dir) {
		if from, ok := m.attr(dir); ok && !m.allowed(from, rootfs.Exec) {
			to := m.readableAttr(from, rootfs.Exec, survey.Closed(dir))
			m.grant(Grant{Path: dir, From: from, To: to, Want: rootfs.Exec}, mends, why)
		}
		if dir == "/" {
			return
		}
	}
}

// grantFile lets every identity do what is wanted to a file. Its content must be repeated for that,
// so it is done within the budget: false where that is used up. It is never done to a file whose
// reader demands another owner or mode, which is left open.
func (m *maker) grantFile(node *rootfs.Node, want rootfs.Access, mends string, why survey.Evidence) bool {
	p, entry := node.Path(), node.Entry()
	from, _ := m.attr(p)
	if entry.Kind != rootfs.File || m.allowed(from, want) {
		return true
	}
	if rule, strict := survey.OwnerStrict(p); strict {
		if !m.keepPrivate(node, rule) {
			m.openStrict(p, rule, m.scope(from, want))
		}
		return true
	}
	if m.repeated+entry.Size > m.opts.Repeat {
		return false
	}
	m.repeated += entry.Size
	to := m.readableAttr(from, want, false)
	if want&rootfs.Write != 0 {
		to = m.writableAttr(from, false, false)
	}
	m.attrs[p] = to
	m.do(GrantFile{Path: p, From: from, To: to, Size: entry.Size, Want: want}, mends, why)
	return true
}

func (m *maker) openStrict(p string, rule survey.Strict, scope string) {
	m.open(Open{ID: "owner-strict", Path: p, Scope: scope,
		What:    fmt.Sprintf("%s must not get group rights: %s demands %s", p, rule.Reader, rule.Demand),
		Decides: "let the program make its own at start, or mount it as a secret that belongs to who runs"})
}

// scope is "arbitrary" where only unknown uids lack something.
func (m *maker) scope(a Attr, want rootfs.Access) string {
	id := m.plan.Identity
	if rootfs.Allows(id, a.UID, a.GID, a.Mode, want) {
		return "arbitrary"
	}
	return ""
}

// makeDir adds a directory, and those above it that are missing.
func (m *maker) makeDir(dir, mends string, why survey.Evidence) {
	if _, exists := m.attr(dir); exists {
		return
	}
	parent := path.Dir(dir)
	if _, exists := m.attr(parent); !exists {
		m.makeParent(parent, mends, why)
	}
	m.reach(dir, mends, why)
	attr := m.writableAttr(Attr{Mode: 0o755}, true, false)
	m.attrs[dir], m.made[dir] = attr, true
	m.do(MakeDir{Path: dir, Attr: attr}, mends, why)
}

func (m *maker) makeParent(dir, mends string, why survey.Evidence) {
	if _, exists := m.attr(dir); exists {
		return
	}
	m.makeParent(path.Dir(dir), mends, why)
	attr := Attr{Mode: 0o755}
	m.attrs[dir], m.made[dir] = attr, true
	m.do(MakeDir{Path: dir, Attr: attr}, mends, why)
}
