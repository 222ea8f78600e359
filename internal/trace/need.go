package trace

import (
	"fmt"
	"slices"
	"strings"
)

// Need is something that a traced run did and that a regular user might not be able to do.
type Need struct {
	Kind      Kind
	Call      string // of the first event
	Path      string // absolute, in the run's root
	Target    string
	Want      string // of Open: what any of its events wanted
	Addr      string
	Exe       string
	IDs       []int64
	PID       int    // of the first event
	Seq       uint64 // the first event that shows it
	Count     int    // events, those that were folded into it with them
	Lives     bool   // whoever did it was there at the steady state, or a child of it by fork alone; in a run that ends: it was the first process
	Temporary bool   // the run made the file itself, and removed it again before the steady state
}

// Needs gives what succeeded in a run and takes a right that a regular user may lack: writes of every kind, ports
// below 1024, identities, chroot, mounts, raw sockets, limits. There is one for each (kind, program, path or
// address), ordered by Seq. Writes to devices, pipes and a process's own /proc are left out; writes below a
// directory that the run made itself are counted with that directory, since who may make it may write in it.
func Needs(l Log) []Need {
	t := grow(l)
	lasting, gone := t.lasting(), t.removed()
	found := folder[Need]{}
	var made covers
	for i, e := range l.Events {
		if e.Errno != "" || t.of[i] < 0 || !needed(e) {
			continue
		}
		key := needKey(e)
		if within := made.above(e); within != "" {
			key = within
		}
		need := found.at(key, func() *Need {
			return &Need{Kind: e.Kind, Call: e.Call, Path: e.Path, Target: e.Target, Addr: e.Addr, Exe: e.Exe,
				IDs: slices.Clone(e.IDs), PID: e.PID, Seq: e.Seq, Temporary: gone[i]}
		})
		need.Count++
		need.Lives = need.Lives || lasting[t.of[i]]
		if key == needKey(e) {
			need.Want = union(need.Want, e.Want)
			need.Temporary = need.Temporary && gone[i]
		}
		made.remember(e, key)
	}
	return found.list()
}

// Reads gives what a run read, looked at, executed and entered with success: a regular user may be unable to, and
// the image's owners and modes tell. One for each (kind, program, path), ordered by Seq.
func Reads(l Log) []Need {
	t := grow(l)
	lasting := t.lasting()
	found := folder[Need]{}
	for i, e := range l.Events {
		if e.Errno != "" || t.of[i] < 0 || !strings.HasPrefix(e.Path, "/") || !reads(e) {
			continue
		}
		need := found.at(fmt.Sprintf("%s\x00%s\x00%s", e.Kind, e.Exe, e.Path), func() *Need {
			return &Need{Kind: e.Kind, Call: e.Call, Path: e.Path, Exe: e.Exe, PID: e.PID, Seq: e.Seq}
		})
		need.Count++
		need.Want = union(need.Want, e.Want)
		need.Lives = need.Lives || lasting[t.of[i]]
	}
	return found.list()
}

func reads(e Event) bool {
	switch e.Kind {
	case Open:
		return !writes(e.Want)
	case Look, Chdir, Exec:
		return true
	case Connect:
		return socketPath(e.Addr) != ""
	}
	return false
}

// writes reports whether an open asks for more than reading.
func writes(want string) bool { return strings.ContainsAny(want, "wct") }

// needed reports whether an event that succeeded shows a need.
func needed(e Event) bool {
	switch e.Kind {
	case Open:
		return writes(e.Want) && isFile(e.Path) && !ownDevice(e.Path)
	case Attr:
		return isFile(e.Path) && !ownDevice(e.Path)
	case Make, Remove, Rename, Link, Mode, Owner:
		return isFile(e.Path)
	case Bind:
		return socketPath(e.Addr) != "" || lowPort(e.Addr)
	case Identity:
		return e.Call == "setgroups" || slices.ContainsFunc(e.IDs, func(id int64) bool { return id != -1 })
	case Chroot, Socket, Rights, Limit, Mount, Space, Machine:
		return true
	}
	return false
}

// isFile reports whether a path is one in a file system, and one that still has its name there: pipes, sockets and
// anonymous memory have none (proc(5), /proc/pid/fd).
func isFile(name string) bool {
	return strings.HasPrefix(name, "/") && !strings.HasPrefix(name, "/memfd:") && !strings.HasSuffix(name, " (deleted)")
}

// ownDevice reports whether a path is one that a container engine gives to every user: the devices of /dev, and
// what a process finds of itself in /proc. Settings of the machine in /proc/sys are none.
func ownDevice(name string) bool {
	return below(name, "/dev") || below(name, "/proc") && !below(name, "/proc/sys") && name != "/proc/sysrq-trigger"
}

// below reports whether a path is dir or in it.
func below(name, dir string) bool {
	rest, ok := strings.CutPrefix(name, strings.TrimSuffix(dir, "/"))
	return ok && (rest == "" || rest[0] == '/')
}

func needKey(e Event) string {
	switch e.Kind {
	case Open, Mode, Remove, Attr:
		return fmt.Sprintf("%s\x00%s\x00%s", e.Kind, e.Exe, e.Path)
	case Owner:
		return fmt.Sprintf("%s\x00%s\x00%s\x00%d", e.Kind, e.Exe, e.Path, e.IDs)
	case Bind:
		return fmt.Sprintf("%s\x00%s\x00%s", e.Kind, e.Exe, e.Addr)
	}
	return fmt.Sprintf("%s\x00%s\x00%s\x00%s\x00%s\x00%s\x00%d", e.Kind, e.Call, e.Exe, e.Path, e.Target, e.Addr, e.IDs)
}

// removed tells for every event whether the file that it is about was first made by the run and is gone before the
// steady state. Renaming a file away removes its old name.
func (t *tree) removed() map[int]bool {
	own := map[string][]int{} // path → events about a file of the run's own
	seen := map[string]bool{}
	gone := map[int]bool{}
	for i, e := range t.log.Events {
		if e.Errno != "" || t.of[i] < 0 || t.log.Steady != 0 && e.Seq > t.log.Steady {
			continue
		}
		for _, name := range touched(e) {
			creates := !seen[name] && makes(e, name)
			seen[name] = true
			if creates || own[name] != nil {
				own[name] = append(own[name], i)
			}
		}
		if (e.Kind == Remove || e.Kind == Rename) && own[e.Path] != nil {
			for _, of := range own[e.Path] {
				if t.log.Events[of].Kind != Rename {
					gone[of] = true
				}
			}
			delete(own, e.Path)
			delete(seen, e.Path)
		}
	}
	return gone
}

// touched gives the names that an event changes.
func touched(e Event) []string {
	switch e.Kind {
	case Open, Make, Remove, Link, Mode, Owner, Attr:
		return []string{e.Path}
	case Rename:
		return []string{e.Path, e.Target}
	case Bind:
		if name := socketPath(e.Addr); name != "" {
			return []string{name}
		}
	}
	return nil
}

// makes reports whether an event may have made name. An open that creates does not tell whether there was a file.
func makes(e Event, name string) bool {
	switch e.Kind {
	case Open:
		return strings.Contains(e.Want, "c")
	case Make, Link, Bind:
		return true
	}
	return false
}

// union gives the letters of two wants, in the order in which events have them.
func union(a, b string) string {
	if a == b || b == "" {
		return a
	}
	var both strings.Builder
	for _, letter := range "rwcxt" {
		if strings.ContainsRune(a, letter) || strings.ContainsRune(b, letter) {
			both.WriteRune(letter)
		}
	}
	return both.String()
}

// folder keeps one value for each key, in the order of their first events.
type folder[T any] struct {
	byKey map[string]*T
	order []*T
}

func (f *folder[T]) at(key string, first func() *T) *T {
	if f.byKey == nil {
		f.byKey = map[string]*T{}
	}
	v, ok := f.byKey[key]
	if !ok {
		v = first()
		f.byKey[key] = v
		f.order = append(f.order, v)
	}
	return v
}

func (f *folder[T]) list() []T {
	all := make([]T, len(f.order))
	for i, v := range f.order {
		all[i] = *v
	}
	return all
}
