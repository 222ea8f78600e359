package trace

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// Denial is something that the kernel, or the sandbox in its place, refused to a process.
type Denial struct {
	Kind   Kind
	Call   string
	Errno  Errno
	Path   string // absolute, in the run's root
	Target string
	Want   string
	Addr   string
	Exe    string
	IDs    []int64
	PID    int    // of the first event; of Culprits: of the process that ended
	Seq    uint64 // the same
	Count  int
	Hidden bool // the sandbox's seccomp profile answered, not the kernel
	Before int  // how many recorded events of the same process came after it before that process ended badly; -1 if it did not end badly. The least of all its events
}

// Denials gives what was refused in a run: EACCES, EPERM and EROFS; ENXIO on standard streams (open(2): a socket
// cannot be opened by its name); EINVAL where ids are set that the run does not have; and ENOENT where a file or a socket was to be made, since then its directory is
// missing. There is one for each (kind, program, path or address, call, error), ordered by Seq.
func Denials(l Log) []Denial {
	t := grow(l)
	found := folder[Denial]{}
	for _, d := range t.denials() {
		kept := found.at(denialKey(d), func() *Denial { first := d; first.Count = 0; return &first })
		kept.Count++
		kept.Want = union(kept.Want, d.Want)
		if d.Before >= 0 && (kept.Before < 0 || d.Before < kept.Before) {
			kept.Before = d.Before
		}
	}
	return found.list()
}

// Unmatched gives the denials that the baseline did not have too: the same call of the same program on the same path,
// with the same error. What the original lives with is no reason why the candidate does not.
func Unmatched(denials []Denial, baseline Log) []Denial {
	had := map[string]bool{}
	for _, e := range baseline.Events {
		if denied(e) {
			had[denialKey(ofEvent(e))] = true
		}
	}
	var rest []Denial
	for _, d := range denials {
		if !had[denialKey(d)] {
			rest = append(rest, d)
		}
	}
	return rest
}

// denials gives every denied event by itself, in order.
func (t *tree) denials() []Denial {
	var all []Denial
	later := make([]int, len(t.lives)) // events of each life behind the present one
	for i := len(t.log.Events) - 1; i >= 0; i-- {
		at := t.of[i]
		if at < 0 {
			continue
		}
		if e := t.log.Events[i]; denied(e) && (e.Exe != t.log.Aside || e.Exe == "") {
			d := ofEvent(e)
			if t.badly(t.lives[at]) {
				d.Before = max(later[at]-1, 0) // without its exit
			}
			all = append(all, d)
		}
		later[at]++
	}
	slices.Reverse(all)
	return all
}

func ofEvent(e Event) Denial {
	return Denial{Kind: e.Kind, Call: e.Call, Errno: e.Errno, Path: e.Path, Target: e.Target, Want: e.Want, Addr: e.Addr,
		Exe: e.Exe, IDs: slices.Clone(e.IDs), PID: e.PID, Seq: e.Seq, Count: 1, Hidden: e.Hidden, Before: -1}
}

// denied reports whether an event is a refusal.
func denied(e Event) bool {
	switch e.Errno {
	case "EACCES", "EPERM", "EROFS":
		return true
	case "EINVAL": // an id that the user namespace lacks: make_kuid is asked before capabilities are (kernel/sys.c, __sys_setuid)
		return e.Kind == Identity || e.Kind == Owner
	case "ENXIO":
		return e.Kind == Open && standardStream(e.Path)
	case "ENOENT":
		return missingDirectory(e)
	}
	return false
}

// missingDirectory reports whether ENOENT says that a directory is not there: for calls that make a name that is the
// only reason (open(2), mkdir(2), bind(2)). A rename or a link may miss its source instead, so they do not count.
func missingDirectory(e Event) bool {
	switch e.Kind {
	case Open:
		return strings.Contains(e.Want, "c")
	case Make:
		return true
	case Link:
		return strings.HasPrefix(e.Call, "symlink") // its target need not exist
	case Bind:
		return socketPath(e.Addr) != ""
	}
	return false
}

// standardStream reports whether a path leads to a descriptor that a process already has.
func standardStream(name string) bool {
	switch name {
	case "/dev/stdin", "/dev/stdout", "/dev/stderr":
		return true
	}
	return below(name, "/dev/fd") || below(name, "/proc") && path.Base(path.Dir(name)) == "fd"
}

// denialKey tells denials apart. Processes have other numbers in each run.
func denialKey(d Denial) string {
	ids := ""
	if d.Kind == Identity || d.Kind == Owner {
		ids = fmt.Sprint(d.IDs)
	}
	return strings.Join([]string{string(d.Kind), d.Exe, withoutPID(d.Path), d.Target, d.Addr, d.Call, string(d.Errno), ids}, "\x00")
}

// withoutPID gives "/proc/self/fd" for "/proc/17/fd".
func withoutPID(name string) string {
	rest, ok := strings.CutPrefix(name, "/proc/")
	if !ok {
		return name
	}
	number, rest, _ := strings.Cut(rest, "/")
	if number == "" || strings.Trim(number, "0123456789") != "" {
		return name
	}
	return path.Join("/proc/self", rest)
}
