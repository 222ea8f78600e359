package entrypoint

import (
	"path"
	"slices"
	"strings"
)

// operands says which operands of a command are paths that it writes.
type operands uint8

const (
	noPaths    operands = iota
	allPaths            // every operand after skip
	lastPath            // the last one, where there are two or more: cp A B
	lastOrBase          // the last one; with one operand its base name in the working directory: ln -s A
	fixedPaths          // what the command is known to write, whatever its operands
)

// command is what a command line tool does to files and to the system, and how its words say so.
type command struct {
	grammar
	kind      Kind
	paths     operands
	skip      int      // operands before the first path, such as chown's owner
	noSkip    []string // options that take the place of the skipped operands, such as --reference
	target    []string // options whose value is a path that is written
	recursive string   // letters and names (comma separated) of options that go down into directories
	only      []string // an option of these must be there, else the command does nothing of interest
	verbs     []string // an operand of these must be there
	idle      []string // with one of these as option or first operand the command changes nothing
	fixed     []string // for fixedPaths
}

// commands is what is known of tools, by base name. Source: their manual pages (coreutils, util-linux,
// shadow, procps, iproute2, busybox). Tools that only read are not here.
var commands = map[string]command{
	"chown":  {kind: Chown, grammar: grammar{permute: true, long: []string{"from", "reference"}}, paths: allPaths, skip: 1, noSkip: []string{"reference"}, recursive: "R,recursive"},
	"chgrp":  {kind: Chown, grammar: grammar{permute: true, long: []string{"from", "reference"}}, paths: allPaths, skip: 1, noSkip: []string{"reference"}, recursive: "R,recursive"},
	"chmod":  {kind: Chmod, grammar: grammar{permute: true, long: []string{"reference"}}, paths: allPaths, skip: 1, noSkip: []string{"reference"}, recursive: "R,recursive"},
	"chattr": {kind: Chmod, paths: allPaths, skip: 1, recursive: "R"}, "chcon": {kind: Chmod, paths: allPaths, skip: 1, recursive: "R,recursive"},
	"setfacl": {kind: Chmod, grammar: grammar{permute: true, short: "mxMX", long: []string{"modify", "remove", "set"}}, paths: allPaths, recursive: "R,recursive"},

	"useradd": {kind: Account}, "usermod": {kind: Account}, "userdel": {kind: Account}, "adduser": {kind: Account}, "deluser": {kind: Account},
	"groupadd": {kind: Account}, "groupmod": {kind: Account}, "groupdel": {kind: Account}, "addgroup": {kind: Account}, "delgroup": {kind: Account},
	"chpasswd": {kind: Account}, "chgpasswd": {kind: Account}, "passwd": {kind: Account}, "gpasswd": {kind: Account}, "newusers": {kind: Account},
	"chsh": {kind: Account}, "chfn": {kind: Account}, "chage": {kind: Account}, "vipw": {kind: Account},

	"setcap": {kind: Setcap, grammar: grammar{short: "n"}, paths: allPaths, skip: 1, noSkip: []string{"r"}},

	"apt-get": {kind: Package}, "apt": {kind: Package, idle: []string{"list", "show", "search", "policy"}}, "aptitude": {kind: Package},
	"dpkg":             {kind: Package, idle: []string{"s", "l", "L", "S", "W", "print-architecture", "compare-versions", "list", "status", "listfiles", "search", "get-selections", "version"}},
	"dpkg-reconfigure": {kind: Package}, "apk": {kind: Package, idle: []string{"info", "search", "list", "version", "policy"}},
	"yum": {kind: Package, idle: []string{"list", "info", "search"}}, "dnf": {kind: Package, idle: []string{"list", "info", "search"}}, "microdnf": {kind: Package},
	"rpm":    {kind: Package, idle: []string{"q", "qa", "ql", "qf", "query", "version"}},
	"zypper": {kind: Package}, "pacman": {kind: Package, idle: []string{"Q"}}, "update-alternatives": {kind: Package, idle: []string{"display", "list", "query"}},

	"sed":  {kind: SedInPlace, grammar: grammar{permute: true, short: "efl", suffix: "i", long: []string{"expression", "file", "line-length"}}, paths: allPaths, skip: 1, noSkip: []string{"e", "f", "expression", "file"}, only: []string{"i", "in-place"}},
	"perl": {kind: SedInPlace, grammar: grammar{short: "eEIMm", suffix: "i"}, paths: allPaths, skip: 1, noSkip: []string{"e", "E"}, only: []string{"i"}},
	"yq":   {kind: SedInPlace, grammar: grammar{permute: true}, paths: lastPath, only: []string{"i", "inplace"}},

	"tee":      {kind: Write, grammar: grammar{permute: true}, paths: allPaths},
	"touch":    {kind: Write, grammar: grammar{permute: true, short: "drt", long: []string{"date", "reference", "time"}}, paths: allPaths},
	"truncate": {kind: Write, grammar: grammar{permute: true, short: "rs", long: []string{"reference", "size"}}, paths: allPaths},
	"cp":       {kind: Write, grammar: grammar{permute: true, short: "tS", long: []string{"target-directory", "suffix"}}, paths: lastPath, target: []string{"t", "target-directory"}, recursive: "R,r,a,recursive,archive"},
	"install":  {kind: Write, grammar: grammar{permute: true, short: "gmotS", long: []string{"group", "mode", "owner", "target-directory", "suffix"}}, paths: lastPath, target: []string{"t", "target-directory"}},
	"ln":       {kind: Write, grammar: grammar{permute: true, short: "tS", long: []string{"target-directory", "suffix"}}, paths: lastOrBase, target: []string{"t", "target-directory"}},
	"rsync":    {kind: Write, grammar: grammar{permute: true, short: "efBT", long: []string{"exclude", "include", "chown", "chmod", "exclude-from", "include-from", "filter", "rsh"}}, paths: lastPath, recursive: "r,a,recursive,archive"},
	"dd":       {kind: Write}, "mkfifo": {kind: Write, grammar: grammar{permute: true, short: "m"}, paths: allPaths},
	"tar":     {kind: Write, grammar: grammar{permute: true, short: "CfXTbI", long: []string{"directory", "file", "exclude", "strip-components"}}, only: []string{"x", "extract", "get"}, target: []string{"C", "directory"}, recursive: "x,extract,get"},
	"unzip":   {kind: Write, grammar: grammar{permute: true, short: "dx"}, only: []string{"d"}, target: []string{"d"}, recursive: "d"},
	"curl":    {kind: Write, grammar: grammar{permute: true, short: "odHXuFATeEbcmKrCxUwyYzQtDhP", long: []string{"output", "data", "header", "request", "user"}}, only: []string{"o", "output"}, target: []string{"o", "output"}},
	"wget":    {kind: Write, grammar: grammar{permute: true, short: "OoPaietTwQUlADRIX", long: []string{"output-document", "output-file", "directory-prefix"}}, only: []string{"O", "output-document", "P", "directory-prefix"}, target: []string{"O", "output-document", "P", "directory-prefix"}},
	"openssl": {kind: Write}, "ssh-keygen": {kind: Write, grammar: grammar{short: "fbCNtPmEV"}, only: []string{"f", "A"}, target: []string{"f"}},
	"update-ca-certificates": {kind: Write, paths: fixedPaths, fixed: []string{"/etc/ssl/certs"}}, "update-ca-trust": {kind: Write, paths: fixedPaths, fixed: []string{"/etc/pki/ca-trust/extracted"}},
	"ldconfig": {kind: Write, paths: fixedPaths, fixed: []string{"/etc/ld.so.cache"}, idle: []string{"p"}}, "locale-gen": {kind: Write, paths: fixedPaths, fixed: []string{"/usr/lib/locale"}},
	"a2enmod": {kind: Write, paths: fixedPaths, fixed: []string{"/etc/apache2/mods-enabled"}}, "a2dismod": {kind: Write, paths: fixedPaths, fixed: []string{"/etc/apache2/mods-enabled"}},
	"a2ensite": {kind: Write, paths: fixedPaths, fixed: []string{"/etc/apache2/sites-enabled"}}, "a2dissite": {kind: Write, paths: fixedPaths, fixed: []string{"/etc/apache2/sites-enabled"}},
	"a2enconf": {kind: Write, paths: fixedPaths, fixed: []string{"/etc/apache2/conf-enabled"}}, "a2disconf": {kind: Write, paths: fixedPaths, fixed: []string{"/etc/apache2/conf-enabled"}},

	"mkdir": {kind: MakeDir, grammar: grammar{permute: true, short: "m", long: []string{"mode"}}, paths: allPaths},
	"rm":    {kind: Remove, grammar: grammar{permute: true}, paths: allPaths, recursive: "r,R,recursive"}, "rmdir": {kind: Remove, grammar: grammar{permute: true}, paths: allPaths},
	"unlink": {kind: Remove, paths: allPaths}, "mv": {kind: Remove, grammar: grammar{permute: true, short: "tS", long: []string{"target-directory", "suffix"}}, paths: allPaths, target: []string{"t", "target-directory"}},

	"sysctl": {kind: Sysctl, grammar: grammar{permute: true}, only: []string{"w", "write", "p", "load", "system"}},
	"ulimit": {kind: Ulimit, idle: []string{"a"}}, "prlimit": {kind: Ulimit},
	"mount": {kind: Mount, idle: []string{""}}, "umount": {kind: Mount}, "losetup": {kind: Mount}, "swapon": {kind: Mount}, "swapoff": {kind: Mount},
	"unshare": {kind: Mount}, "nsenter": {kind: Mount}, "pivot_root": {kind: Mount}, "switch_root": {kind: Mount}, "fusermount": {kind: Mount}, "cryptsetup": {kind: Mount},
	"ip":       {kind: Network, verbs: []string{"add", "del", "delete", "set", "replace", "change", "flush", "append", "restore"}},
	"iptables": {kind: Network}, "ip6tables": {kind: Network}, "iptables-restore": {kind: Network}, "ip6tables-restore": {kind: Network}, "iptables-legacy": {kind: Network}, "iptables-nft": {kind: Network},
	"nft": {kind: Network}, "ipset": {kind: Network}, "tc": {kind: Network}, "brctl": {kind: Network}, "ifconfig": {kind: Network, verbs: []string{"up", "down", "netmask", "add", "del"}},
	"route": {kind: Network, verbs: []string{"add", "del"}}, "ethtool": {kind: Network}, "wg": {kind: Network}, "wg-quick": {kind: Network}, "arptables": {kind: Network}, "ebtables": {kind: Network},
	"hostname": {kind: Network, idle: []string{"", "f", "i", "I", "s", "d", "fqdn", "ip-address", "short"}}, "tunctl": {kind: Network},
	"modprobe": {kind: Kernel}, "insmod": {kind: Kernel}, "rmmod": {kind: Kernel}, "depmod": {kind: Kernel}, "kexec": {kind: Kernel},
	"date": {kind: Clock, grammar: grammar{short: "s", long: []string{"set"}}, only: []string{"s", "set"}}, "hwclock": {kind: Clock}, "ntpdate": {kind: Clock}, "ntpd": {kind: Clock}, "timedatectl": {kind: Clock},
	"mknod":  {kind: Mknod, grammar: grammar{permute: true, short: "m", long: []string{"mode"}}, paths: allPaths},
	"chroot": {kind: Chroot},
	"cron":   {kind: Cron}, "crond": {kind: Cron}, "crontab": {kind: Cron, idle: []string{"l"}}, "anacron": {kind: Cron}, "atd": {kind: Cron},
}

// use is one command line read with its command's grammar.
type use struct {
	command
	opts     []option
	operands []int
	paths    []int    // indexes of the words that are paths
	extra    []string // paths that are no words of their own
	deep     bool     // goes down into directories
}

// readCommand reads argv (argv[0] is the command's base name; hole where a word is not known) by the
// grammar of its command. ok is false where it changes nothing that is of interest.
func readCommand(argv []string) (use, bool) {
	c, found := commands[argv[0]]
	if !found {
		return use{}, false
	}
	u := use{command: c}
	u.opts, u.operands = c.getopt(argv, 1)
	if argv[0] == "chmod" {
		u.chmodMode(argv)
	}
	if argv[0] == "tar" {
		u.oldTar(argv)
	}
	if !u.acts(argv) {
		return use{}, false
	}
	u.deep = u.hasOption(strings.Split(c.recursive, ","))
	u.findPaths(argv)
	return u, true
}

// chmodMode gives back a mode such as -x or -R+w that looks like an option: chmod knows only some letters.
func (u *use) chmodMode(argv []string) {
	for _, o := range u.opts {
		if !strings.HasPrefix(argv[o.at], "--") && !strings.Contains("cfvRhHLP", o.name) && !slices.Contains(u.operands, o.at) {
			u.operands = append([]int{o.at}, u.operands...)
		}
	}
}

// oldTar reads tar's first word without a dash, as in tar xzf FILE -C DIR.
func (u *use) oldTar(argv []string) {
	if len(u.operands) > 0 && u.operands[0] == 1 && strings.Contains(argv[1], "x") {
		u.opts = append(u.opts, option{name: "x", at: 1, words: 1})
	}
}

func (u *use) hasOption(names []string) bool {
	return slices.ContainsFunc(u.opts, func(o option) bool { return slices.Contains(names, o.name) })
}

// acts reports whether the command line changes anything.
func (u *use) acts(argv []string) bool {
	if u.hasOption([]string{"help", "version"}) && len(argv) == 2 {
		return false
	}
	first := ""
	if len(u.operands) > 0 {
		first = argv[u.operands[0]]
	}
	if u.hasOption(u.idle) || slices.Contains(u.idle, first) {
		return false
	}
	if u.kind == Sysctl && slices.ContainsFunc(u.operands, func(i int) bool { return strings.Contains(argv[i], "=") }) {
		return true
	}
	if len(u.only) > 0 && !u.hasOption(u.only) {
		return false
	}
	if (argv[0] == "ulimit" || argv[0] == "chroot") && len(u.operands) == 0 {
		return false // a question
	}
	return len(u.verbs) == 0 || slices.ContainsFunc(u.operands, func(i int) bool { return slices.Contains(u.verbs, argv[i]) })
}

func (u *use) findPaths(argv []string) {
	skip := u.skip
	if len(u.noSkip) > 0 && u.hasOption(u.noSkip) {
		skip = 0
	}
	if argv[0] == "install" && u.hasOption([]string{"d", "directory"}) {
		u.command.paths, u.kind = allPaths, MakeDir
	}
	for _, o := range u.opts {
		if slices.Contains(u.target, o.name) {
			u.addOption(o)
		}
	}
	rest := u.operands[min(skip, len(u.operands)):]
	switch u.command.paths {
	case allPaths:
		u.paths = append(u.paths, rest...)
	case lastPath:
		if len(rest) > 1 && len(u.paths)+len(u.extra) == 0 {
			u.paths = append(u.paths, rest[len(rest)-1])
		}
	case lastOrBase:
		if len(rest) > 1 && len(u.paths)+len(u.extra) == 0 {
			u.paths = append(u.paths, rest[len(rest)-1])
		} else if len(rest) == 1 {
			u.extra = append(u.extra, path.Base(argv[rest[0]]))
		}
	case fixedPaths:
		u.extra = append(u.extra, u.fixed...)
	}
	u.special(argv)
}

func (u *use) addOption(o option) {
	if o.words == 2 {
		u.paths = append(u.paths, o.valueAt())
	} else {
		u.extra = append(u.extra, o.value)
	}
}

// special reads the few commands whose words follow no getopt grammar.
func (u *use) special(argv []string) {
	switch argv[0] {
	case "dd":
		for _, word := range argv[1:] {
			if to, ok := strings.CutPrefix(word, "of="); ok {
				u.extra = append(u.extra, to)
			}
		}
	case "openssl":
		for i, word := range argv[:len(argv)-1] {
			if word == "-out" || word == "-keyout" {
				u.paths = append(u.paths, i+1)
			}
		}
	case "ssh-keygen":
		if u.hasOption([]string{"A"}) {
			u.extra = append(u.extra, "/etc/ssh")
		}
	case "mknod":
		u.paths = u.paths[:min(1, len(u.paths))]
		if len(u.operands) > 1 && argv[u.operands[1]] == "p" {
			u.kind = Write // a named pipe needs no privilege
		}
	}
}

// owner is the USER and GROUP of chown, chgrp and install -o -g.
func (u *use) owner(argv []string) (user, group string) {
	for _, o := range u.opts {
		switch {
		case argv[0] == "install" && (o.name == "o" || o.name == "owner"):
			user = clearText(o.value)
		case argv[0] == "install" && (o.name == "g" || o.name == "group"):
			group = clearText(o.value)
		}
	}
	if argv[0] == "install" || u.kind != Chown || len(u.operands) == 0 || u.hasOption(u.noSkip) {
		return user, group
	}
	spec := clearText(argv[u.operands[0]])
	if argv[0] == "chgrp" {
		return "", spec
	}
	user, group, found := strings.Cut(spec, ":")
	if !found {
		// POSIX writes USER:GROUP; USER.GROUP is what chown took before.
		user, group, _ = strings.Cut(spec, ".")
	}
	return user, group
}

// utilities are programs that scripts call on the way and that are never what a container is for.
var utilities = nameSet(`[ awk gawk mawk base32 base64 basename bash sh dash ash busybox cat chcon chgrp chmod chown cksum clear cmp column comm cp csplit
	curl cut date dd df diff dig dir dirname dircolors dos2unix du echo ed egrep env envsubst expand expr factor false fgrep file find fmt fold free fuser
	getcap getconf getent getopt git grep groups gunzip gzip head hexdump host hostid hostname iconv id install ip join jq kill killall less ln locale logger
	logname ls lsof md5sum mkdir mkfifo mknod mktemp more mount mountpoint mv nc netstat nice nl nohup nproc nslookup numfmt od openssl paste patch pathchk
	pgrep pidof ping pkill pr printenv printf ps pwd pwgen readlink realpath rev rm rmdir rsync run-parts sed seq setcap sha1sum sha224sum sha256sum
	sha384sum sha512sum shred shuf sleep socat sort split ss ssh-keygen stat stdbuf strings stty sum sync sysctl tac tail tar tee test timeout top touch tput
	tr true truncate tsort tty umount uname unexpand uniq unlink unxz unzip uptime useradd usermod users uuidgen wc wget which who whoami xargs xz yes yq zcat zip`)

func nameSet(names string) map[string]bool {
	set := map[string]bool{}
	for _, name := range strings.Fields(names) {
		set[name] = true
	}
	return set
}
