package seccomp

// The constants of argument conditions, from the kernel's include/uapi: the same on every ABI here.
const (
	atEmptyPath = 0x1000

	prSetKeepCaps   = 8
	prCapBSetDrop   = 24
	prSetSecureBits = 28
	prCapAmbient    = 47

	afINET   = 2
	afINET6  = 10
	afPacket = 17
	sockRaw  = 3
	sockMask = 0xf // net/socket.c, SOCK_TYPE_MASK

	// the call numbers of socketcall(2)
	scSocket  = 1
	scBind    = 2
	scConnect = 3
	scListen  = 4
)

// namespaces is the flags of clone(2) that make one. CLONE_NEWTIME is the exit signal's bits there.
var namespaces = []uint32{
	0x00020000, // CLONE_NEWNS
	0x02000000, // CLONE_NEWCGROUP
	0x04000000, // CLONE_NEWUTS
	0x08000000, // CLONE_NEWIPC
	0x10000000, // CLONE_NEWUSER
	0x20000000, // CLONE_NEWPID
	0x40000000, // CLONE_NEWNET
}

// everyTime is the calls of interest whatever their arguments are.
var everyTime = []string{
	// files by path
	"open", "openat", "openat2", "creat", "open_by_handle_at",
	"mkdir", "mkdirat", "mknod", "mknodat", "unlink", "unlinkat", "rmdir",
	"rename", "renameat", "renameat2", "link", "linkat", "symlink", "symlinkat",
	"chmod", "fchmod", "fchmodat", "fchmodat2",
	"chown", "lchown", "fchown", "fchownat", "chown32", "lchown32", "fchown32",
	"utime", "utimes", "futimesat", "utimensat", "utimensat_time64", "truncate", "truncate64",
	"setxattr", "lsetxattr", "fsetxattr", "setxattrat", "removexattr", "lremovexattr", "fremovexattr", "removexattrat", "file_setattr",
	"stat", "lstat", "stat64", "lstat64", "oldstat", "oldlstat", "access", "faccessat", "faccessat2", "readlink", "readlinkat",
	"inotify_add_watch", "chdir", "fchdir", "chroot", "pivot_root",
	// programs
	"execve", "execveat",
	// sockets
	"bind", "listen", "connect",
	// who a process is, and what it may do
	"setuid", "setgid", "setreuid", "setregid", "setresuid", "setresgid", "setfsuid", "setfsgid", "setgroups",
	"setuid32", "setgid32", "setreuid32", "setregid32", "setresuid32", "setresgid32", "setfsuid32", "setfsgid32", "setgroups32",
	"capset", "setrlimit", "setpriority", "nice", "ioprio_set", "sched_setscheduler", "sched_setparam", "sched_setattr", "mlockall",
	// mounts and namespaces
	"mount", "umount", "umount2", "open_tree", "open_tree_attr", "move_mount", "fsopen", "fsmount", "fsconfig", "fspick", "mount_setattr",
	"unshare", "setns",
	// the machine
	"settimeofday", "stime", "clock_settime", "clock_settime64", "sethostname", "setdomainname",
	"init_module", "finit_module", "delete_module", "reboot", "kexec_load", "kexec_file_load", "swapon", "swapoff",
	"acct", "syslog", "quotactl", "quotactl_fd", "iopl", "ioperm", "bpf", "perf_event_open", "vhangup",
}

// sometimes is the calls that are of interest with some arguments only. clone3 has its flags in
// memory, where no filter reaches: the ptrace events of new processes tell of it.
var sometimes = map[string]anyOf{
	"newfstatat": {{low(3, atEmptyPath, 0)}}, // else it is an fstat
	"fstatat64":  {{low(3, atEmptyPath, 0)}},
	"statx":      {{low(2, atEmptyPath, 0)}},
	"prctl":      oneOf(0, prSetKeepCaps, prCapBSetDrop, prSetSecureBits, prCapAmbient),
	"prlimit64":  {{{arg: 2, op: notEqual}}}, // else it only asks
	"clone":      anyBit(0, namespaces...),
	"socket":     append(oneOf(0, afPacket), rawOf(afINET), rawOf(afINET6)), // netlink's are raw in name only
	"socketcall": oneOf(0, scSocket, scBind, scConnect, scListen),
}

// rawOf is a raw socket of a family.
func rawOf(family uint32) []condition {
	return []condition{low(0, 0xffffffff, family), low(1, sockMask, sockRaw)}
}

// interests gives when each call of an ABI is of interest to the tracer.
func interests(a *ABI) map[uint32]anyOf {
	all := map[uint32]anyOf{}
	for _, name := range everyTime {
		if n, ok := a.Number(name); ok {
			all[n] = always
		}
	}
	for name, when := range sometimes {
		if n, ok := a.Number(name); ok {
			all[n] = when
		}
	}
	return all
}

// Interesting gives the names of all calls that stop for the tracer, on one ABI or another.
func Interesting() []string {
	names := append([]string(nil), everyTime...)
	for name := range sometimes {
		names = append(names, name)
	}
	return names
}
