package survey

import (
	"path"
	"slices"
	"strings"

	"unroot/internal/rootfs"
)

// Strict is a kind of file whose reader compares owner and mode with itself, and refuses it when the
// group may write or read: it must not get group bits.
type Strict struct {
	Name   string // pattern of the file's name, or of "folder/name"
	Reader string // who checks
	Demand string // what it demands
	// Mode is that of a copy which whoever runs makes of the file at start, and which its reader takes
	// instead; 0 where no copy does, since its reader wants another owner or another user's file.
	Mode uint16
}

// ForRoot reports whether the reader wants the file to belong to root.
func (s Strict) ForRoot() bool { return strings.Contains(s.Demand, "owned by root") }

// Stricts is the data behind OwnerStrict. Sources: the programs' own messages, collected in failure
// classes C2, D4 and D6.
var Stricts = []Strict{
	{".erlang.cookie", "Erlang", "mode 0400 or 0600, owned by who runs", 0o400},
	{"monitrc", "monit", "mode 0700 at most, owned by who runs", 0o600},
	{"vsftpd.conf", "vsftpd", "owned by who runs", 0o600},
	{"id_rsa", "ssh", "mode 0600, owned by who runs", 0o600},
	{"id_dsa", "ssh", "mode 0600, owned by who runs", 0o600},
	{"id_ecdsa", "ssh", "mode 0600, owned by who runs", 0o600},
	{"id_ed25519", "ssh", "mode 0600, owned by who runs", 0o600},
	{"ssh_host_*_key", "sshd", "mode 0600, owned by who runs", 0o600},
	{".ssh", "sshd", "not writable by the group", 0},
	{".ssh/*", "ssh", "mode 0600, owned by who runs", 0o600},
	{"authorized_keys", "sshd", "not writable by the group", 0},
	{".pgpass", "libpq", "mode 0600", 0o600},
	{"pgpass.conf", "libpq", "mode 0600", 0o600},
	{".netrc", "a reader of netrc", "mode 0600, owned by who runs", 0o600},
	{".my.cnf", "a MySQL or MariaDB client", "not writable by others", 0o600},
	{".gnupg", "GnuPG", "mode 0700, owned by who runs", 0},
	{".gnupg/*", "GnuPG", "mode 0600, owned by who runs", 0o600},
	{"*.key", "a TLS server (PostgreSQL and MongoDB check it)", "not readable by others", 0o600},
	{"keyfile", "mongod", "mode 0600 at most", 0o400},
	{"sudoers", "sudo", "mode 0440, owned by root", 0},
	{"sudoers.d/*", "sudo", "mode 0440, owned by root", 0},
	{"crontab", "cron", "not writable by the group, owned by root", 0},
	{"cron.d/*", "cron", "not writable by the group, owned by root", 0},
	{"crontabs/*", "cron", "mode 0600, owned by its user", 0},
	{"shadow", "PAM", "not readable by others", 0},
	{"gshadow", "PAM", "not readable by others", 0},
	{"logrotate.conf", "logrotate", "not writable by the group", 0},
	{"logrotate.d/*", "logrotate", "not writable by the group", 0},
	{"run/sshd", "sshd", "owned by root, not writable by the group", 0},
	{"exim4.conf", "exim", "owned by root or by its compiled-in user", 0},
	{"slapd.d", "slapd", "mode 0750 or less", 0},
}

// OwnerStrict is the rule for the file, where there is one.
func OwnerStrict(p string) (Strict, bool) {
	i := slices.IndexFunc(Stricts, func(s Strict) bool { return matchesTail(s.Name, p) })
	if i < 0 {
		return Strict{}, false
	}
	return Stricts[i], true
}

// matchesTail matches a pattern against as many last components of the path as it has.
func matchesTail(pattern, p string) bool {
	parts := strings.Split(p, "/")
	n := strings.Count(pattern, "/") + 1
	if len(parts) < n {
		return false
	}
	ok, err := path.Match(pattern, strings.Join(parts[len(parts)-n:], "/"))
	return err == nil && ok
}

// StrictDir is a directory whose program demands to own it, and how it is found: by the variable
// that names it and by the file that marks one in use.
type StrictDir struct {
	Env    string // environment variable with its path
	Marker string // a file that stands in a directory that is in use
	Reader string
	Demand string
	Below  string // name of a directory below it that the program makes by itself, and so owns
}

// StrictDirs is the data behind Survey.StrictDir.
var StrictDirs = []StrictDir{
	// PostgreSQL: initdb changes the mode of its data directory, and the server refuses one that it
	// does not own or that others may read (src/backend/utils/init/miscinit.c, checkDataDir). The
	// official image's documentation names this very subdirectory for volumes of another owner.
	{Env: "PGDATA", Marker: "PG_VERSION", Reader: "PostgreSQL", Demand: "mode 0700 or 0750, owned by who runs", Below: "pgdata"},
}

// IsStrictDir is the rule for a directory: one that a variable of the image names, or one in use.
func (s *Survey) IsStrictDir(dir *rootfs.Node) (StrictDir, bool) {
	for _, rule := range StrictDirs {
		if v, ok := s.View.Config.Getenv(rule.Env); ok {
			if at, ok := Locate(s.View.Tree, v); ok && at.Path == dir.Path() {
				return rule, true
			}
		}
		if s.InUse(rule, dir) {
			return rule, true
		}
	}
	return StrictDir{}, false
}

// InUse reports whether the directory holds the data of a program with that rule.
func (s *Survey) InUse(rule StrictDir, dir *rootfs.Node) bool {
	_, err := s.View.Tree.Lookup(path.Join(dir.Path(), rule.Marker))
	return err == nil
}

// Trust is a program that compares the owner of a directory with who runs, and the system's
// configuration file in which the directories are named that it works in all the same.
type Trust struct {
	Program string
	File    string
	Text    string // what is added for one directory; %s is its path
	Why     string
	Marks   []string // entries by which a directory is known as one that the program works in; the first is a file
	Inside  string   // name of that directory inside of the one that is meant; empty where there is none
	Also    string   // a name by which the program speaks of a directory of the image that it stands in, where Inside is not used
}

// maxTrusted is how many directories are named to a program: an image with more is a store of them,
// whose program has settings of its own.
const maxTrusted = 32

// Trusted is the directories of the image that the program works in, sorted.
func (s *Survey) Trusted(t Trust) []string {
	var dirs []string
	for node := range s.View.Tree.Walk("/") {
		dir := path.Dir(node.Path())
		if path.Base(node.Path()) != t.Marks[0] || node.IsDir() || !s.marked(dir, t.Marks) {
			continue
		}
		if path.Base(dir) == t.Inside {
			dir = path.Dir(dir)
		} else if !slices.Contains(dirs, t.Also) {
			dirs = append(dirs, t.Also)
		}
		if dirs = append(dirs, dir); len(dirs) >= maxTrusted {
			break
		}
	}
	slices.Sort(dirs)
	return dirs
}

func (s *Survey) marked(dir string, marks []string) bool {
	return !slices.ContainsFunc(marks, func(name string) bool {
		_, err := s.View.Tree.Lookup(path.Join(dir, name))
		return err != nil
	})
}

// Trusts is the data behind plans for programs that distrust a directory of another owner.
var Trusts = []Trust{
	// git since 2.35.2: "fatal: detected dubious ownership in repository" (setup.c,
	// ensure_valid_ownership); safe.directory is read from the system's configuration by every such version.
	{Program: "git", File: "/etc/gitconfig", Text: "[safe]\n\tdirectory = %s\n", Why: "git works only in directories of its own user, or in those that safe.directory names",
		// upload-pack goes into a bare repository and asks about "." (builtin/upload-pack.c, enter_repo): measured
		// with 2.39, which refuses a clone over HTTP without it.
		Marks: []string{"HEAD", "objects", "refs"}, Inside: ".git", Also: "."},
}
