//go:build linux

package nscd

import (
	"bytes"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Facts is who runs, and where the account files of the image are.
type Facts struct {
	UID, GID uint32
	Groups   []uint32 // supplementary groups of the process
	Name     string   // wanted, such as what USER says; "": any
	Home     string   // an absolute directory; "": /
	Shell    string   // "": /bin/sh where it is there, else /sbin/nologin

	Passwd, Group, Switch string // "": /etc/passwd, /etc/group, /etc/nsswitch.conf
	Socket                string // "": SocketPath
}

// Own gives the facts of this process; name and home as Facts has them.
func Own(name, home string) Facts {
	groups, _ := unix.Getgroups()
	f := Facts{UID: uint32(unix.Geteuid()), GID: uint32(unix.Getegid()), Name: name, Home: home}
	for _, gid := range groups {
		f.Groups = append(f.Groups, uint32(gid))
	}
	return f
}

// comment is the GECOS field of the added account. It is not empty because git takes the author's
// name from it, and refuses an empty one.
const comment = "container user"

// usual are the names for the added account, where none is wanted or it is taken.
var usual = [...]string{"user", "container"}

func (f Facts) filled() Facts {
	fill := func(s *string, usual string) {
		if *s == "" {
			*s = usual
		}
	}
	fill(&f.Passwd, "/etc/passwd")
	fill(&f.Group, "/etc/group")
	fill(&f.Switch, "/etc/nsswitch.conf")
	fill(&f.Socket, SocketPath)
	if !strings.HasPrefix(f.Home, "/") || strings.ContainsAny(f.Home, ":\n\x00") {
		f.Home = "/"
	}
	if f.Shell == "" {
		f.Shell = "/sbin/nologin"
		if unix.Access("/bin/sh", unix.X_OK) == nil {
			f.Shell = "/bin/sh"
		}
	}
	return f
}

// candidates are the names that the added account or group may have, the best first. The last one
// nobody else has.
func (f Facts) candidates(id uint32) []string {
	var list []string
	if usable(f.Name) {
		list = append(list, f.Name)
	}
	list = append(list, usual[:]...)
	return append(list, usual[0]+decimal(id))
}

// usable reports whether every program takes the name for one: useradd(8)'s characters, and no number.
func usable(name string) bool {
	if name == "" || len(name) > 32 || name[0] == '-' || name[0] == '.' || strings.Trim(name, "0123456789") == "" {
		return false
	}
	for _, c := range []byte(name) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' && c != '-' && c != '.' {
			return false
		}
	}
	return true
}

// free gives the first candidate that is not taken.
func free(candidates []string, taken []bool) string {
	if i := slices.Index(taken, false); i >= 0 {
		return candidates[i]
	}
	return candidates[len(candidates)-1]
}

func mark(candidates []string, taken []bool, name []byte) {
	for i, candidate := range candidates {
		if candidate == string(name) {
			taken[i] = true
		}
	}
}

// names answers from the account files as they are at the moment, plus one account for who runs where
// passwd has none, and one group where group has none for the gid.
type names struct {
	facts         Facts
	passwd, group source
	others        others
	account       string // name of the added account; "" where none is added
	extra         string // name of the added group; "" where none is added
}

func newNames(f Facts) *names {
	f = f.filled()
	return &names{facts: f, passwd: source{path: f.Passwd}, group: source{path: f.Group}, others: others{source: source{path: f.Switch}}}
}

// refreshPasswd looks at passwd: the account is added only as long as there is none for the uid.
func (n *names) refreshPasswd() {
	if !n.passwd.refresh() {
		return
	}
	candidates := n.facts.candidates(n.facts.UID)
	taken, known := make([]bool, len(candidates)), false
	_ = n.passwd.lines(func(line []byte) bool {
		if e, ok := readAccount(line); ok {
			known = known || e.uid == n.facts.UID
			mark(candidates, taken, e.name)
		}
		return !known
	})
	n.account = free(candidates, taken)
	if known {
		n.account = ""
	}
}

func (n *names) refreshGroup() {
	if !n.group.refresh() {
		return
	}
	candidates := n.facts.candidates(n.facts.GID)
	taken, known := make([]bool, len(candidates)), false
	_ = n.group.lines(func(line []byte) bool {
		if e, ok := readGroup(line); ok {
			known = known || e.gid == n.facts.GID
			mark(candidates, taken, e.name)
		}
		return !known
	})
	n.extra = free(candidates, taken)
	if known {
		n.extra = ""
	}
}

// answer appends the answer to b. Nothing is appended where none is due.
func (n *names) answer(b []byte, r request) []byte {
	switch r.kind {
	case getpwbyname:
		return n.accountWhere(b, r, func(e account) bool { return bytes.Equal(e.name, r.key) })
	case getgrbyname:
		return n.groupWhere(b, r, func(e group) bool { return bytes.Equal(e.name, r.key) })
	case getpwbyuid:
		if uid, ok := key(r); ok {
			return n.accountWhere(b, r, func(e account) bool { return e.uid == uid })
		}
		return b
	case getgrbygid:
		if gid, ok := key(r); ok {
			return n.groupWhere(b, r, func(e group) bool { return e.gid == gid })
		}
		return b
	case initgroups:
		return n.groupsOf(b, r)
	}
	return appendNothing(b, r.kind, ask)
}

// key reads a uid or gid, which clients write in decimal.
func key(r request) (uint32, bool) {
	n, err := strconv.ParseUint(string(r.key), 10, 32)
	return uint32(n), err == nil
}

func (n *names) accountWhere(b []byte, r request, fits func(account) bool) []byte {
	n.refreshPasswd()
	before := len(b)
	err := n.passwd.lines(func(line []byte) bool {
		if e, ok := readAccount(line); ok && fits(e) {
			b = appendAccount(b, e)
		}
		return len(b) == before
	})
	if len(b) > before {
		return b
	}
	if own := n.ownAccount(); n.account != "" && fits(own) {
		return appendAccount(b, own)
	}
	return appendNothing(b, r.kind, n.miss(err, "passwd"))
}

// ownAccount is the added account.
func (n *names) ownAccount() account {
	f := &n.facts
	return account{name: []byte(n.account), password: []byte("x"), uid: f.UID, gid: f.GID, comment: []byte(comment), home: []byte(f.Home), shell: []byte(f.Shell)}
}

func (n *names) groupWhere(b []byte, r request, fits func(group) bool) []byte {
	n.refreshGroup()
	before := len(b)
	err := n.group.lines(func(line []byte) bool {
		if e, ok := readGroup(line); ok && fits(e) {
			b = appendGroup(b, e)
		}
		return len(b) == before
	})
	if len(b) > before {
		return b
	}
	own := group{name: []byte(n.extra), password: []byte("x"), gid: n.facts.GID}
	if n.extra != "" && fits(own) {
		return appendGroup(b, own)
	}
	return appendNothing(b, r.kind, n.miss(err, "group"))
}

// maxGroups is the kernel's limit on groups of a process (NGROUPS_MAX).
const maxGroups = 1 << 16

// groupsOf answers which groups name a user as a member. For the added account these are the groups
// that the process has.
func (n *names) groupsOf(b []byte, r request) []byte {
	n.refreshPasswd()
	if n.account != "" && n.account == string(r.key) {
		return appendGroups(b, append([]uint32{n.facts.GID}, n.facts.Groups...))
	}
	n.group.refresh()
	var gids []uint32
	err := n.group.lines(func(line []byte) bool {
		if !bytes.Contains(line, r.key) {
			return true
		}
		if e, ok := readMembership(line); ok && e.has(r.key) {
			gids = append(gids, e.gid)
		}
		return len(gids) < maxGroups
	})
	if err != nil || n.others.has("group") || n.others.has("initgroups") {
		return appendNothing(b, r.kind, ask)
	}
	return appendGroups(b, gids)
}

func (e group) has(user []byte) bool {
	for member := range e.all() {
		if bytes.Equal(member, user) {
			return true
		}
	}
	return false
}

// miss is what to say where neither a file nor this process has an entry: none, unless the file could
// not be read to its end or nsswitch.conf names a source that only the client can ask.
func (n *names) miss(err error, database string) int32 {
	if err != nil || n.others.has(database) {
		return ask
	}
	return none
}

// Name gives the name that Listen or Wrapper would give to who runs, "" where passwd has an account
// for the uid. It is for USER and LOGNAME: asked for by this name, the account is found.
func Name(f Facts) string {
	n := newNames(f)
	n.refreshPasswd()
	return n.account
}

func decimal(n uint32) string { return strconv.FormatUint(uint64(n), 10) }
