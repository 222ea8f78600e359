// Package trace is what the processes of a run did, as events with the kernel's answers, and what follows from them.
package trace

// Kind is what an event is about. The set is closed.
type Kind string

// The kinds of events.
const (
	Open     Kind = "open"     // a file was opened: Path, Want
	Make     Kind = "make"     // a directory, device or FIFO was made: Path, Call tells which
	Remove   Kind = "remove"   // unlink, rmdir: Path
	Rename   Kind = "rename"   // Path became Target
	Link     Kind = "link"     // Target was linked as Path; for a symbolic link Target is its text
	Mode     Kind = "mode"     // chmod: Path
	Owner    Kind = "owner"    // chown: Path, IDs (uid, gid; -1 leaves one)
	Attr     Kind = "attr"     // times, extended attributes, truncate: Path
	Look     Kind = "look"     // stat, access, readlink: Path, Want
	Chdir    Kind = "chdir"    // Path
	Chroot   Kind = "chroot"   // chroot, pivot_root: Path
	Exec     Kind = "exec"     // Path, Args; afterwards Exe is Path, and Creds who it runs as
	Fork     Kind = "fork"     // Child is the new process
	Exit     Kind = "exit"     // Status, or Signal
	Bind     Kind = "bind"     // Addr
	Listen   Kind = "listen"   // Addr
	Connect  Kind = "connect"  // Addr; failures only, and UNIX sockets
	Socket   Kind = "socket"   // raw and packet sockets: Addr is the family and type
	Identity Kind = "identity" // setuid, setgid, setgroups and their families: IDs
	Rights   Kind = "rights"   // capset, prctl on capabilities and securebits
	Limit    Kind = "limit"    // setrlimit, prlimit, setpriority and scheduling
	Mount    Kind = "mount"    // mount, umount and their newer forms: Path
	Space    Kind = "space"    // unshare, setns, clone with new namespaces
	Machine  Kind = "machine"  // clocks, host name, modules, reboot and what else changes the machine
)

// Errno is the kernel's answer by its name, such as "EACCES"; empty for success.
type Errno string

// Event is one thing that a process did, and what the kernel answered.
type Event struct {
	Seq    uint64   `json:"seq"`               // 1, 2, 3 … without a gap over a whole run
	At     int64    `json:"at"`                // microseconds since the run began
	PID    int      `json:"pid"`               // the process (thread group), as the tracer numbers it
	Exe    string   `json:"exe,omitempty"`     // the program that it runs: its path in the image
	Kind   Kind     `json:"kind"`              //
	Call   string   `json:"call"`              // the system call's name, such as "openat"; empty for Fork and Exit
	Path   string   `json:"path,omitempty"`    // absolute, in the run's root, with "." and ".." removed; symlinks as they were named
	Target string   `json:"target,omitempty"`  // the second path
	Want   string   `json:"want,omitempty"`    // of "r", "w", "c" (create), "x" (execute), "t" (truncate): "wct"
	Addr   string   `json:"addr,omitempty"`    // "tcp 0.0.0.0:80", "udp [::]:53", "unix /run/x.sock", "unix @name", "packet raw"
	IDs    []int64  `json:"ids,omitempty"`     // uids or gids of the call, in its order; -1 as the call has it
	Args   []string `json:"args,omitempty"`    // of Exec, at most 64 words of at most 256 bytes
	Child  int      `json:"child,omitempty"`   // of Fork
	Status int      `json:"status,omitempty"`  // exit status
	Signal string   `json:"signal,omitempty"`  // that ended it, such as "SIGSEGV"
	Creds  *Creds   `json:"creds,omitempty"`   // after a successful Exec, and at Exit where they had changed since
	Errno  Errno    `json:"errno,omitempty"`   //
	Hidden bool     `json:"blocked,omitempty"` // the answer is the sandbox's seccomp profile's, not the kernel's
}

// Creds is who a process is to the kernel.
type Creds struct {
	UIDs      [4]uint32 `json:"uids"` // real, effective, saved, file system
	GIDs      [4]uint32 `json:"gids"`
	Groups    []uint32  `json:"groups,omitempty"`
	Caps      uint64    `json:"caps,omitempty"`     // permitted, effective, inheritable and ambient, or-ed
	Bounding  uint64    `json:"bounding,omitempty"` // the bounding set
	NoNewPriv bool      `json:"noNewPrivs,omitempty"`
}

// Root reports whether any of the uids is 0.
func (c Creds) Root() bool {
	for _, uid := range c.UIDs {
		if uid == 0 {
			return true
		}
	}
	return false
}

// Log is the events of one run, in order, as the tracer gave them.
type Log struct {
	Events []Event `json:"events"`
	Total  uint64  `json:"total"`            // how many the tracer gave; more than there are where a limit cut them
	Steady uint64  `json:"steady,omitempty"` // Seq of the last event before the steady state; 0 where there was none, or where the trace ends with it
	Lost   string  `json:"lost,omitempty"`   // why events are missing, such as "limit of 200000 events"
	Blind  string  `json:"blind,omitempty"`  // what the tracer could not see, such as "seccomp profile of the engine"
	Aside  string  `json:"-"`                // a program whose own refusals say nothing of the image's: what starts it and tries what can be done
}
