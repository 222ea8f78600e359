package plan

import (
	"fmt"
	"path"
	"slices"

	"unroot/internal/account"
	"unroot/internal/entrypoint"
	"unroot/internal/finding"
	"unroot/internal/survey"
)

// chooseIdentity decides who the image will run as.
func (m *maker) chooseIdentity() error {
	id, why := m.survey.Fixed()
	if m.opts.UID != nil {
		if *m.opts.UID == 0 {
			return fmt.Errorf("uid 0 is root: choose another one")
		}
		id, why = m.identityOf(*m.opts.UID), survey.Evidence{Source: "flag", Text: fmt.Sprintf("--uid %d", *m.opts.UID)}
	}
	if m.opts.Group == GroupDedicated {
		id.GID, id.Groups = m.dedicatedGroup(id), nil
	}
	m.plan.Identity, m.plan.Why, m.plan.Group = id, why, m.opts.Group
	return nil
}

func (m *maker) identityOf(uid uint32) account.Identity {
	if entry, ok := m.survey.Passwd.ByUID(uid); ok {
		return account.Identity{UID: uid, Name: entry.Name, Home: entry.Home}
	}
	id := survey.Nonroot(m.survey.Passwd)
	if id.UID != uid { // the name "nonroot" may be taken by 65532
		id.Name = freeName(m.survey.Passwd, "nonroot", "app", fmt.Sprintf("user%d", uid))
		id.Home = "/home/" + id.Name
	}
	id.UID = uid
	return id
}

func freeName(passwd account.Passwd, names ...string) string {
	for _, n := range names {
		if _, taken := passwd.ByName(n); !taken {
			return n
		}
	}
	return names[len(names)-1]
}

// dedicatedGroup is the user's own group: the one that the image runs with, that of its passwd entry,
// else the group of its number.
func (m *maker) dedicatedGroup(id account.Identity) uint32 {
	if id.GID != 0 {
		return id.GID
	}
	if entry, ok := m.survey.Passwd.ByUID(id.UID); ok && entry.GID != 0 {
		return entry.GID
	}
	return id.UID
}

// setUser writes the numeric user and the account entries that it needs.
func (m *maker) setUser() {
	s, id := m.survey, m.plan.Identity
	from := s.View.Config.User()
	if to := m.user(); to != from {
		mends := "run-as-root"
		switch {
		case s.UserErr != nil:
			mends = "user-unknown"
		case !s.RunsRoot && s.User.Numeric():
			mends = "group"
		case !s.RunsRoot:
			mends = "user-name"
		}
		m.do(SetUser{From: from, To: to}, mends, m.plan.Why)
	}
	m.addAccount(id)
}

// user is the config's User. An image that is non-root already keeps what it says, as a number: its
// groups stay what they were.
func (m *maker) user() string {
	s, id := m.survey, m.plan.Identity
	if s.UserErr != nil || s.RunsRoot || m.opts.UID != nil || m.opts.Group == GroupDedicated {
		return id.User()
	}
	if s.User.Numeric() {
		return s.View.Config.User()
	}
	if s.User.HasGroup {
		return s.Current.User()
	}
	return fmt.Sprint(s.Current.UID)
}

// addAccount adds the entries that are missing for the user: a process whose uid has no entry fails
// wherever a program looks itself up.
func (m *maker) addAccount(id account.Identity) {
	why := survey.Evidence{Source: "account", Where: "/etc/passwd", Text: fmt.Sprintf("has no entry for uid %d", id.UID)}
	if _, ok := m.survey.Passwd.ByUID(id.UID); !ok {
		name := id.Name
		if name == "" {
			name = freeName(m.survey.Passwd, "nonroot", "app", fmt.Sprintf("user%d", id.UID))
		}
		home := id.Home
		if home == "" {
			home = "/home/" + name
		}
		m.plan.Identity.Name, m.plan.Identity.Home = name, home
		m.addPasswd(account.PasswdEntry{Name: name, Password: "x", UID: id.UID, GID: id.GID, Comment: name, Home: home, Shell: "/sbin/nologin"}, why)
	}
	m.addGroup(m.plan.Identity, why)
}

func (m *maker) addPasswd(entry account.PasswdEntry, why survey.Evidence) {
	next, err := m.survey.Passwd, error(nil)
	if len(next.Bytes()) == 0 {
		next, err = next.With(account.PasswdEntry{Name: "root", Password: "x", Comment: "root", Home: "/root", Shell: "/sbin/nologin"})
	}
	if err == nil {
		next, err = next.With(entry)
	}
	if err != nil {
		m.openAccount("/etc/passwd", err)
		return
	}
	m.append("/etc/passwd", m.survey.Passwd.Bytes(), next.Bytes(), why)
	if old, err := m.survey.View.Content("/etc/shadow"); err == nil && len(old) > 0 {
		locked, err := account.NewShadowEntry(entry.Name, account.Locked)
		if shadow, withErr := account.ParseShadow(old).With(locked); err == nil && withErr == nil {
			m.append("/etc/shadow", old, shadow.Bytes(), why)
		}
	}
}

func (m *maker) openAccount(p string, err error) {
	m.open(Open{ID: "no-account", Path: p, What: fmt.Sprintf("no entry can be added: %v", err), Decides: "mend the file in the image"})
}

func (m *maker) addGroup(id account.Identity, why survey.Evidence) {
	old := m.survey.Group
	next, err := old, error(nil)
	if len(old.Bytes()) == 0 {
		why.Where, why.Text = "/etc/group", "is missing or empty"
		next, err = next.With(account.GroupEntry{Name: "root", Password: "x"})
	}
	if _, ok := next.ByGID(id.GID); !ok && err == nil {
		name := id.Name
		if _, taken := next.ByName(name); taken {
			name = fmt.Sprintf("group%d", id.GID)
		}
		next, err = next.With(account.GroupEntry{Name: name, Password: "x", GID: id.GID})
		why.Where, why.Text = "/etc/group", fmt.Sprintf("has no entry for gid %d", id.GID)
	}
	if err != nil {
		m.openAccount("/etc/group", err)
		return
	}
	m.append("/etc/group", old.Bytes(), next.Bytes(), why)
}

// append makes the change of an account file from before to after, which adds bytes only.
func (m *maker) append(p string, before, after []byte, why survey.Evidence) {
	if string(before) == string(after) {
		return
	}
	place, ok := survey.Locate(m.survey.View.Tree, p)
	if !ok {
		return
	}
	if !place.Exists {
		if _, exists := m.attr("/etc"); !exists {
			m.makeParent("/etc", "no-account", why)
		}
		m.do(WriteFile{Path: place.Path, Attr: Attr{Mode: 0o644}, Content: after}, "no-account", why)
		return
	}
	m.do(EditFile{Path: place.Path, Before: before, Edits: []finding.Edit{difference(before, after)}}, "no-account", why)
}

// difference is the one edit that turns before into after.
func difference(before, after []byte) finding.Edit {
	start := 0
	for start < len(before) && start < len(after) && before[start] == after[start] {
		start++
	}
	end, tail := len(before), len(after)
	for end > start && tail > start && before[end-1] == after[tail-1] {
		end, tail = end-1, tail-1
	}
	return finding.Edit{Start: start, End: end, New: string(after[start:tail])}
}

// closeAccountFiles takes write permission on the account files from group and others: whoever
// writes them becomes root through any setuid program, and CRI-O then leaves out the entry that it
// would add for an unknown uid.
func (m *maker) closeAccountFiles() {
	for _, p := range []string{"/etc/passwd", "/etc/group", "/etc/shadow", "/etc/gshadow"} {
		node, err := m.survey.View.Tree.Resolve(p)
		if err != nil || node.IsDir() {
			continue
		}
		from := AttrOf(node.Entry())
		to := from
		to.Mode &^= 0o022
		if to.Mode&0o200 != 0 {
			to.UID = 0
		}
		if to != from {
			m.do(GrantFile{Path: node.Path(), From: from, To: to, Size: node.Entry().Size}, "account-file-writable",
				survey.Evidence{Source: "file", Where: node.Path(), Text: "is writable by others than root: " + from.String()})
		}
	}
}

// lookups are programs that fail for a uid without a passwd entry (failure class A5).
var lookups = []string{"git", "ssh", "ssh-keygen", "scp", "initdb", "postgres", "psql", "java"}

// searchPath is where programs are looked for in an image, whatever its PATH says.
var searchPath = []string{"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"}

// looksUp is the programs of the image that look themselves up.
func (m *maker) looksUp() []string {
	return slices.DeleteFunc(slices.Clone(lookups), func(name string) bool { return !m.installed(name) })
}

// installed reports whether the image has the program: in a usual place, or as one that starts.
func (m *maker) installed(name string) bool {
	starts := slices.ContainsFunc(m.survey.Story.Programs, func(p entrypoint.Program) bool { return path.Base(p.Path) == name })
	return starts || slices.ContainsFunc(searchPath, func(dir string) bool {
		_, err := m.survey.View.Tree.Resolve(dir + "/" + name)
		return err == nil
	})
}
