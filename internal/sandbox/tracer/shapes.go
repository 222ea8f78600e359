package tracer

import (
	"sync"

	"unroot/internal/sandbox/seccomp"
	"unroot/internal/trace"
)

// where names the arguments that say which file is meant: a directory's descriptor and a path in it.
type where struct {
	dir, path int
}

// What a where can have in place of an argument's number.
const (
	none = -1 // as a directory: the working directory; as a path: the descriptor itself is meant
)

// at is a path in the working directory, in a directory of a descriptor, and a descriptor itself.
func at(path int) *where       { return &where{none, path} }
func in(dir, path int) *where  { return &where{dir, path} }
func descriptor(fd int) *where { return &where{fd, none} }

// shape is how the arguments of a call are read, and what becomes of its answer.
type shape struct {
	kind   trace.Kind
	path   *where
	target *where
	ids    []int  // arguments that are uids or gids
	want   string // where it is always the same
	short  bool   // ids have 16 bits: the old calls of the 32-bit ABIs
	more   detail // what else is to be read
	fast   bool   // an answer that is not kept needs no look the next time
}

// detail says what else a call's arguments hold.
type detail int

const (
	plain       detail = iota
	openFlags2         // flags in the argument after the path
	openHow            // struct open_how behind the argument after the path
	accessMode         // mode in the argument after the path
	argv               // the arguments of a program
	address            // a socket's address
	listening          // a socket
	socketType         // family and type
	groupList          // a count and a list of gids
	linkText           // the target is text
	socketCall         // socketcall(2): which of four calls, behind an argument
	mountSource        // the first argument is what is mounted
)

func file(kind trace.Kind, path *where) shape { return shape{kind: kind, path: path} }

// fileShapes is the calls about files.
func fileShapes() map[string]shape {
	look := func(path *where, more detail) shape {
		return shape{kind: trace.Look, path: path, more: more, fast: true}
	}
	return map[string]shape{
		"open":              {kind: trace.Open, path: at(0), more: openFlags2, fast: true},
		"openat":            {kind: trace.Open, path: in(0, 1), more: openFlags2, fast: true},
		"openat2":           {kind: trace.Open, path: in(0, 1), more: openHow, fast: true},
		"creat":             {kind: trace.Open, path: at(0), want: "wct"},
		"open_by_handle_at": file(trace.Open, nil),

		"mkdir": file(trace.Make, at(0)), "mkdirat": file(trace.Make, in(0, 1)),
		"mknod": file(trace.Make, at(0)), "mknodat": file(trace.Make, in(0, 1)),
		"unlink": file(trace.Remove, at(0)), "unlinkat": file(trace.Remove, in(0, 1)), "rmdir": file(trace.Remove, at(0)),
		"rename":    {kind: trace.Rename, path: at(0), target: at(1)},
		"renameat":  {kind: trace.Rename, path: in(0, 1), target: in(2, 3)},
		"renameat2": {kind: trace.Rename, path: in(0, 1), target: in(2, 3)},
		"link":      {kind: trace.Link, path: at(1), target: at(0)},
		"linkat":    {kind: trace.Link, path: in(2, 3), target: in(0, 1)},
		"symlink":   {kind: trace.Link, path: at(1), target: at(0), more: linkText},
		"symlinkat": {kind: trace.Link, path: in(1, 2), target: at(0), more: linkText},

		"chmod": file(trace.Mode, at(0)), "fchmod": file(trace.Mode, descriptor(0)),
		"fchmodat": file(trace.Mode, in(0, 1)), "fchmodat2": file(trace.Mode, in(0, 1)),
		"chown":    {kind: trace.Owner, path: at(0), ids: []int{1, 2}, short: true},
		"lchown":   {kind: trace.Owner, path: at(0), ids: []int{1, 2}, short: true},
		"fchown":   {kind: trace.Owner, path: descriptor(0), ids: []int{1, 2}, short: true},
		"fchownat": {kind: trace.Owner, path: in(0, 1), ids: []int{2, 3}},
		"chown32":  {kind: trace.Owner, path: at(0), ids: []int{1, 2}},
		"lchown32": {kind: trace.Owner, path: at(0), ids: []int{1, 2}},
		"fchown32": {kind: trace.Owner, path: descriptor(0), ids: []int{1, 2}},

		"utime": file(trace.Attr, at(0)), "utimes": file(trace.Attr, at(0)), "futimesat": file(trace.Attr, in(0, 1)),
		"utimensat": file(trace.Attr, in(0, 1)), "utimensat_time64": file(trace.Attr, in(0, 1)),
		"truncate":   {kind: trace.Attr, path: at(0), want: "w"},
		"truncate64": {kind: trace.Attr, path: at(0), want: "w"},
		"setxattr":   file(trace.Attr, at(0)), "lsetxattr": file(trace.Attr, at(0)), "fsetxattr": file(trace.Attr, descriptor(0)),
		"setxattrat": file(trace.Attr, in(0, 1)), "removexattrat": file(trace.Attr, in(0, 1)), "file_setattr": file(trace.Attr, in(0, 1)),
		"removexattr": file(trace.Attr, at(0)), "lremovexattr": file(trace.Attr, at(0)), "fremovexattr": file(trace.Attr, descriptor(0)),

		"stat": look(at(0), plain), "lstat": look(at(0), plain), "stat64": look(at(0), plain), "lstat64": look(at(0), plain),
		"oldstat": look(at(0), plain), "oldlstat": look(at(0), plain),
		"newfstatat": look(in(0, 1), plain), "fstatat64": look(in(0, 1), plain), "statx": look(in(0, 1), plain),
		"access": look(at(0), accessMode), "faccessat": look(in(0, 1), accessMode), "faccessat2": look(in(0, 1), accessMode),
		"readlink": look(at(0), plain), "readlinkat": look(in(0, 1), plain),
		"inotify_add_watch": {kind: trace.Look, path: at(1), want: "r"},

		"chdir": file(trace.Chdir, at(0)), "fchdir": file(trace.Chdir, descriptor(0)),
		"chroot": file(trace.Chroot, at(0)), "pivot_root": file(trace.Chroot, at(0)),
		"execve":   {kind: trace.Exec, path: at(0), more: argv},
		"execveat": {kind: trace.Exec, path: in(0, 1), more: argv},
	}
}

// otherShapes is the calls about everything else.
func otherShapes() map[string]shape {
	all := map[string]shape{
		"bind": {kind: trace.Bind, more: address}, "connect": {kind: trace.Connect, more: address},
		"listen": {kind: trace.Listen, more: listening}, "socket": {kind: trace.Socket, more: socketType},
		"socketcall": {more: socketCall},
		"setgroups":  {kind: trace.Identity, more: groupList, short: true}, "setgroups32": {kind: trace.Identity, more: groupList},
		"mount":  {kind: trace.Mount, path: at(1), more: mountSource},
		"umount": file(trace.Mount, at(0)), "umount2": file(trace.Mount, at(0)),
		"open_tree": file(trace.Mount, in(0, 1)), "open_tree_attr": file(trace.Mount, in(0, 1)), "fspick": file(trace.Mount, in(0, 1)),
		"mount_setattr": file(trace.Mount, in(0, 1)),
		"move_mount":    {kind: trace.Mount, path: in(2, 3), target: in(0, 1)},
		"acct":          file(trace.Machine, at(0)), "swapon": file(trace.Machine, at(0)), "swapoff": file(trace.Machine, at(0)),
	}
	for name, ids := range map[string][]int{
		"setuid": {0}, "setgid": {0}, "setfsuid": {0}, "setfsgid": {0},
		"setreuid": {0, 1}, "setregid": {0, 1}, "setresuid": {0, 1, 2}, "setresgid": {0, 1, 2},
	} {
		all[name] = shape{kind: trace.Identity, ids: ids, short: true}
		all[name+"32"] = shape{kind: trace.Identity, ids: ids}
	}
	for kind, names := range map[trace.Kind][]string{
		trace.Rights:  {"capset", "prctl"},
		trace.Limit:   {"setrlimit", "prlimit64", "setpriority", "nice", "ioprio_set", "sched_setscheduler", "sched_setparam", "sched_setattr", "mlockall"},
		trace.Mount:   {"fsopen", "fsmount", "fsconfig"},
		trace.Space:   {"unshare", "setns", "clone", "clone3"},
		trace.Machine: machineCalls,
	} {
		for _, name := range names {
			all[name] = shape{kind: kind}
		}
	}
	return all
}

var machineCalls = []string{
	"settimeofday", "stime", "clock_settime", "clock_settime64", "sethostname", "setdomainname", "init_module", "finit_module", "delete_module",
	"reboot", "kexec_load", "kexec_file_load", "syslog", "quotactl", "quotactl_fd", "iopl", "ioperm", "bpf", "perf_event_open", "vhangup",
}

// call is one system call of one ABI.
type call struct {
	name string
	abi  *seccomp.ABI
	shape
}

// shapes is all of them by name.
var shapes = sync.OnceValue(func() map[string]shape {
	all := fileShapes()
	for name, s := range otherShapes() {
		all[name] = s
	}
	return all
})

// calls gives an ABI's calls by their numbers. One that has no shape is there, too: the profile may
// refuse it, and then it changes the machine as much as the others do.
func calls(a *seccomp.ABI) map[uint32]*call {
	all := map[uint32]*call{}
	for number, name := range a.Calls() {
		s, ok := shapes()[name]
		if !ok {
			s = shape{kind: trace.Machine}
		}
		if a.Wide {
			s.short = false
		}
		all[number] = &call{name, a, s}
	}
	return all
}
