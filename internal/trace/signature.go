package trace

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// signature is one row of the table of trace signatures: what a denial looks like, its class in the taxonomy of
// failures, and how it is said. An empty field matches everything.
type signature struct {
	kinds    []Kind
	calls    []string
	errnos   []Errno
	programs []string // last elements of Exe
	when     func(Denial) bool
	class    string
	say      func(Denial) string
}

// signatures is searched from the top; the last row matches every denial.
var signatures = []signature{
	{kinds: []Kind{Open, Owner, Mode}, when: onStream, class: "C6", say: tell("cannot open {path} again: the stream belongs to another user or is a socket")},
	{kinds: []Kind{Exec}, errnos: []Errno{"EPERM"}, class: "B6", say: tell("cannot execute {path}: the file carries capabilities that the container does not have")},
	{kinds: []Kind{Exec}, class: "D3", say: tell("cannot execute {path}: it, or a directory above it, is closed to its user")},
	{kinds: []Kind{Chdir}, class: "D2", say: tell("cannot enter the directory {path}")},
	{kinds: []Kind{Identity}, programs: stepDown, class: "B1", say: tell("calls {call}: drops to another user for the program behind it")},
	{kinds: []Kind{Identity}, calls: []string{"setgroups"}, class: "B2", say: tell("calls setgroups: drops to another user itself")},
	{kinds: []Kind{Identity}, when: toRoot, class: "B3", say: tell("calls {call}{ids}: wants to be root again")},
	{kinds: []Kind{Identity}, class: "B2", say: tell("calls {call}{ids}: drops to another user itself")},
	{kinds: []Kind{Chroot}, class: "B11", say: tell("calls {call} on {path}: locks itself into a directory, which takes root")},
	{kinds: []Kind{Bind}, when: func(d Denial) bool { return lowPort(d.Addr) }, class: "E1", say: bindsLow},
	{kinds: []Kind{Bind}, errnos: []Errno{"ENOENT"}, class: "C4", say: noDirectory},
	{kinds: []Kind{Bind}, errnos: []Errno{"EROFS"}, class: "C20", say: tell("cannot make the socket {socket}: the file system is read-only")},
	{kinds: []Kind{Bind}, when: func(d Denial) bool { return socketPath(d.Addr) != "" }, class: "C4", say: tell("cannot make the socket {socket}: it may not write in {dir}")},
	{kinds: []Kind{Bind}, class: "E1", say: tell("cannot bind {addr}")},
	{kinds: []Kind{Socket}, class: "E2", say: tell("opens a raw socket ({addr}), which takes a privilege")},
	{kinds: []Kind{Limit}, calls: []string{"setrlimit", "prlimit64"}, class: "E3", say: tell("raises a resource limit, which takes a privilege")},
	{kinds: []Kind{Limit}, calls: []string{"mlock", "mlock2", "mlockall"}, class: "E4", say: tell("locks its memory, which takes a privilege")},
	{kinds: []Kind{Limit}, class: "E7", say: tell("calls {call}: wants a higher priority, which takes a privilege")},
	{kinds: []Kind{Machine}, calls: []string{"clock_settime", "clock_settime64", "clock_adjtime", "clock_adjtime64", "adjtimex", "settimeofday", "stime"}, class: "E6", say: tell("calls {call}: sets the machine's clock")},
	{kinds: []Kind{Machine}, calls: []string{"syslog"}, class: "E5", say: tell("reads the kernel's log, which takes a privilege")},
	{kinds: []Kind{Machine}, when: func(d Denial) bool { return d.Hidden }, class: "E11", say: tell("calls {call}, which the container's seccomp profile refuses")},
	{kinds: []Kind{Machine}, class: "E5", say: tell("calls {call}: changes the machine")},
	{kinds: []Kind{Mount}, class: "E8", say: tell("calls {call} on {path}: mounts file systems, which takes a privilege")},
	{kinds: []Kind{Space}, class: "E8", say: tell("calls {call}: makes or enters namespaces, which takes a privilege")},
	{kinds: []Kind{Make}, calls: []string{"mknod", "mknodat"}, errnos: []Errno{"EPERM"}, class: "E8", say: tell("makes the device {path}, which takes a privilege")},
	{kinds: []Kind{Rights}, class: "B7", say: tell("calls {call}: changes its capabilities")},
	{kinds: []Kind{Attr}, calls: []string{"setxattr", "lsetxattr", "fsetxattr", "setxattrat"}, errnos: []Errno{"EPERM"}, class: "B7", say: tell("sets an attribute of {path} that takes a privilege")},
	{kinds: []Kind{Connect}, class: "E13", say: tell("cannot connect to {addr}: the socket belongs to another user")},

	{when: accounts, class: "B8", say: tell("changes the image's accounts: {verb} {path}")},
	{when: writing, errnos: []Errno{"EROFS"}, class: "C20", say: tell("cannot {verb} {path}: the file system is read-only")},
	{kinds: []Kind{Owner}, programs: []string{"chown", "chgrp", "install", "find", "busybox"}, class: "C1", say: tell("changes the owner of {path} at start, which takes root")},
	{kinds: []Kind{Owner, Mode, Attr}, programs: []string{"tar", "bsdtar", "cp", "rsync", "mv", "unzip"}, class: "C18", say: tell("keeps owner, mode or times of what it copies: cannot {verb} {path}")},
	{kinds: []Kind{Owner}, class: "C2", say: tell("changes the owner of {path} itself, which takes root")},
	{kinds: []Kind{Mode}, class: "C2", say: tell("changes the mode of {path}, which belongs to another user")},
	{kinds: []Kind{Attr}, errnos: []Errno{"EPERM"}, class: "C18", say: tell("changes times or attributes of {path}, which belongs to another user")},
	{kinds: []Kind{Remove, Rename}, errnos: []Errno{"EPERM"}, class: "C17", say: tell("cannot {verb} {path}: it belongs to another user, and its directory is sticky")},
	{kinds: []Kind{Open, Link}, errnos: []Errno{"EPERM"}, class: "C23", say: tell("cannot {verb} {path}, which belongs to another user")},
	{when: writing, class: "", say: nil}, // by its place
	{kinds: []Kind{Open}, when: func(d Denial) bool { return ownDevice(d.Path) }, class: "E12", say: tell("cannot read {path}")},
	{kinds: []Kind{Look}, class: "D2", say: tell("cannot look at {path}: it, or a directory above it, is closed to its user")},
	{kinds: []Kind{Open}, class: "D1", say: tell("cannot read {path}: it, or a directory above it, is closed to its user")},
	{class: "E8", say: tell("calls {call}, which is refused")},
}

// stepDown is what programs are called that start another one as a user that they are told (B1).
var stepDown = []string{"gosu", "su-exec", "setpriv", "chpst", "su", "runuser", "sudo", "start-stop-daemon", "s6-setuidgid",
	"s6-applyuidgid", "setuidgid", "envuidgid", "capsh", "doas", "daemon", "setuser"}

// place is where a file that cannot be written lies.
type place struct {
	under []string
	class string
	what  string // "its … /dir"
}

var places = []place{
	{[]string{"/proc/sys", "/sys", "/proc/sysrq-trigger"}, "E5", "the machine's settings in"},
	{[]string{"/proc", "/dev"}, "E7", "what the kernel shows in"},
	{[]string{"/run/lock", "/var/lock", "/var/run/lock"}, "C7", "its lock directory"},
	{[]string{"/run", "/var/run"}, "C3", "its runtime directory"},
	{[]string{"/var/log"}, "C5", "its log directory"},
	{[]string{"/var/cache"}, "C7", "its cache directory"},
	{[]string{"/var/spool", "/var/mail"}, "C7", "its spool directory"},
	{[]string{"/tmp", "/var/tmp", "/dev/shm"}, "C7", "its directory for temporary files"},
	{[]string{"/root", "/home"}, "C10", "its home directory"},
	{[]string{"/var/www"}, "C11", "its application directory"},
	{[]string{"/var", "/srv", "/data"}, "C8", "its data directory"},
	{[]string{"/etc"}, "C9", "its configuration in"},
	{[]string{"/usr", "/opt", "/bin", "/sbin", "/lib"}, "C9", "its program files in"},
}

// Signature gives the class of a denial in the taxonomy of failures, such as "C3", and what it means in plain words,
// such as "cannot write its runtime directory /run/x (/run/x/x.pid)". The sentence lacks its subject, the program.
func Signature(d Denial) (class, sentence string) {
	for _, row := range signatures {
		if !row.matches(d) {
			continue
		}
		if row.say == nil {
			return byPlace(d)
		}
		return row.class, row.say(d)
	}
	return "E8", fmt.Sprintf("calls %s, which is refused", plain(d.Call))
}

func (s signature) matches(d Denial) bool {
	return (s.kinds == nil || slices.Contains(s.kinds, d.Kind)) &&
		(s.calls == nil || slices.Contains(s.calls, d.Call)) &&
		(s.errnos == nil || slices.Contains(s.errnos, d.Errno)) &&
		(s.programs == nil || slices.Contains(s.programs, path.Base(d.Exe))) &&
		(s.when == nil || s.when(d))
}

// byPlace says what cannot be written, and why, by where it is.
func byPlace(d Denial) (class, sentence string) {
	name := d.Path
	if d.Kind == Rename && below(path.Dir(d.Path), "/tmp") {
		name = d.Target // what was made elsewhere is moved to its place
	}
	at := placeOf(name)
	if d.Errno == "ENOENT" {
		return at.class, noDirectory(d)
	}
	if d.Kind == Rename {
		return at.class, tell("cannot rename {path} to {target}: it may not write " + at.what + " " + plain(path.Dir(name)))(d)
	}
	return at.class, tell("cannot write " + at.what + " {dir} ({path})")(d)
}

func placeOf(name string) place {
	for _, p := range places {
		if slices.ContainsFunc(p.under, func(dir string) bool { return below(name, dir) }) {
			return p
		}
	}
	if strings.HasPrefix(name, "/.") {
		return place{class: "C10", what: "its home directory"}
	}
	return place{class: "C11", what: "its application directory"}
}

func noDirectory(d Denial) string {
	return tell("cannot {verb} {file}: the directory {dir} does not exist")(d)
}

// bindsLow says which port, as people name it.
func bindsLow(d Denial) string {
	proto, port, _ := Port(d.Addr)
	return fmt.Sprintf("binds %s port %d: ports below 1024 need a privilege", proto, port)
}

// tell fills in a sentence.
func tell(sentence string) func(Denial) string {
	return func(d Denial) string {
		file := d.Path
		if file == "" {
			file = socketPath(d.Addr)
		}
		return strings.NewReplacer(
			"{path}", plain(d.Path), "{target}", plain(d.Target), "{addr}", plain(d.Addr), "{call}", plain(d.Call),
			"{file}", plain(file), "{socket}", plain(file), "{dir}", plain(path.Dir(file)), "{ids}", idList(d.IDs), "{verb}", verb(d),
		).Replace(sentence)
	}
}

// plain gives a text that a process chose so that a terminal shows it and does not obey it.
func plain(s string) string {
	for _, r := range s {
		if !strconv.IsPrint(r) || r == utf8.RuneError {
			return strconv.Quote(s)
		}
	}
	return s
}

func idList(ids []int64) string {
	words := make([]string, len(ids))
	for i, id := range ids {
		words[i] = fmt.Sprint(id)
	}
	return "(" + strings.Join(words, ", ") + ")"
}

// verb says what was to be done to the path.
func verb(d Denial) string {
	switch d.Kind {
	case Open:
		if writes(d.Want) {
			return "write"
		}
		return "read"
	case Make, Bind:
		return "make"
	case Remove:
		return "remove"
	case Rename:
		return "rename"
	case Link:
		return "link"
	case Mode:
		return "change the mode of"
	case Owner:
		return "change the owner of"
	case Attr:
		return "change times or attributes of"
	}
	return "use"
}

// writing reports whether a denial is one of changing a file system.
func writing(d Denial) bool {
	switch d.Kind {
	case Open:
		return writes(d.Want)
	case Make, Remove, Rename, Link, Mode, Owner, Attr:
		return true
	}
	return false
}

// toRoot reports whether an identity call asks for id 0 and nothing else: programs that try to be root again go on
// without.
func toRoot(d Denial) bool {
	zero := false
	for _, id := range d.IDs {
		if id != 0 && id != -1 {
			return false
		}
		zero = zero || id == 0
	}
	return zero
}

// onStream reports whether a denial is about a standard stream.
func onStream(d Denial) bool { return standardStream(d.Path) }

// accounts reports whether a denial is one of changing the files of accounts, with the names that the programs for it
// lock and replace them under (passwd(5), lckpwdf(3), shadow's lockname.c).
func accounts(d Denial) bool {
	if !writing(d) {
		return false
	}
	name, ok := strings.CutPrefix(d.Path, "/etc/")
	if !ok || strings.Contains(name, "/") {
		return false
	}
	name = strings.TrimPrefix(name, ".")
	for _, file := range []string{"passwd", "group", "shadow", "gshadow", "subuid", "subgid", "pwd.lock"} {
		if rest, ok := strings.CutPrefix(name, file); ok && (rest == "" || strings.ContainsAny(rest[:1], ".-+")) {
			return true
		}
	}
	return false
}
