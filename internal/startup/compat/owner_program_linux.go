//go:build linux && (amd64 || arm64)

package compat

import "golang.org/x/sys/unix"

// program is whom the program belongs to that a process runs, with its mode: of a script, that is its
// interpreter's, as in the kernel. It is nothing where that cannot be seen, as of a program that the
// running user may execute but not read. What the running user really owns, and nobody was given, is the
// first identity's, root's, as nearly all programs of images are: to be believed is no right.
//
// A file system is not to be asked again for what it told: the supervisor's lock is held.
func (f *files) program(pid uint32) given {
	var place [64]byte
	var real statx
	view := append(viewTask(place[:0], pid), "/exe"...)
	if look(view, unix.AT_STATX_DONT_SYNC, &real) != 0 {
		return given{}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	mode := real.mode() & modeAll
	if owner, ok := f.table.find(real.id()); ok {
		if !owner.hasMode {
			owner.mode = mode
		}
		return owner
	}
	owner := given{uid: real.uid(), gid: real.gid(), mode: mode}
	if owner.uid == f.uid && len(f.makers.seen) > 0 {
		first := f.makers.seen[0]
		owner.uid = first.uid
		if owner.gid == f.gid {
			owner.gid = first.gid
		}
	}
	return owner
}
