package rootfs

import (
	"errors"
	"path"

	"unroot/internal/account"
)

// Access is what a process wants of a file: a set of Read, Write and Exec, or 0 for "is it there".
type Access uint8

// The bits of Access, the same as in a mode. Exec of a directory is to search it: to use names in it.
const (
	Exec  Access = 1
	Write Access = 2
	Read  Access = 4
)

// Class is whose bits of the mode count for an identity. The first that fits decides alone: an
// owner without a right has no use of the group's (acl_permission_check in the kernel's fs/namei.c).
type Class uint8

// The classes. None is that of an answer that no mode decided.
const (
	None Class = iota
	Owner
	Group
	Other
)

// Rule is what decided an answer.
type Rule uint8

// The rules.
const (
	ByNothing       Rule = iota // the path ended first: see Err
	ByMode                      // the bits of the class
	BySticky                    // only the owner of a file or of its sticky directory removes it
	ByOwner                     // only the owner changes a mode
	ByProtectedLink             // fs.protected_symlinks
	ByProtectedFile             // fs.protected_regular and fs.protected_fifos
)

// Answer says whether a process may, and which file of the path decides that.
type Answer struct {
	OK    bool
	Path  string // real path of the file that decides; where the path ends early, of what is missing there
	Want  Access // what a file of a mode was asked for; of a directory that a new name goes into, Write and Exec
	Need  Access // what of that lacks; 0 where OK, and where Rule is not ByMode
	Class Class
	Rule  Rule
	Mode  uint16 // of Path, with SetUID, SetGID and Sticky
	UID   uint32 // of Path
	GID   uint32 // of Path
	IsDir bool   // Path is a directory
	File  string // BySticky, ByProtectedLink, ByProtectedFile: the file in the directory Path that it is about
	Owner uint32 // the uid of File
	Err   error  // why the path ends: ErrNotExist, ErrNotDir, ErrLoop, ErrNameTooLong, ErrExist, ErrIsDir, ErrBusy; nil where a rule decides
}

// host is what the machine that runs the container adds to the file system's rules.
type host struct {
	protectedSymlinks bool // fs.protected_symlinks
	protectedFiles    bool // fs.protected_regular and fs.protected_fifos
}

// usualHost is what systemd sets up (sysctl.d/50-default.conf); containers cannot change it.
var usualHost = host{protectedSymlinks: true, protectedFiles: true}

// May says whether a process of that identity may use the file at name, symbolic links followed.
// It answers as the kernel does for a process without capabilities, uid 0 too: that is what
// "--cap-drop ALL" leaves of root, so CAP_DAC_OVERRIDE opens nothing. Every directory on the way
// needs Exec, also those that links lead through. Not looked at: access control lists, read-only
// and noexec mounts, security modules, user namespaces. fs.protected_symlinks is taken as set.
func (t *Tree) May(id account.Identity, name string, want Access) Answer {
	return usualHost.may(t, id, name, want)
}

// MayCreate says whether the process may make a new file or directory at name, as mkdir(2) does:
// the directory above needs Write and Exec, a symbolic link at the end is not followed. ErrExist
// where there is a file of that name.
func (t *Tree) MayCreate(id account.Identity, name string) Answer {
	w := walker{root: t.root, path: name, end: endAtParent, id: &id, host: usualHost}
	dir, err := w.find()
	switch {
	case err != nil:
		return w.ended(err)
	case !w.normal():
		return w.ended(w.fail(dir.Path(), ErrExist))
	case dir.Child(w.last) != nil:
		return w.ended(w.fail(path.Join(dir.Path(), w.last), ErrExist))
	}
	return answerByMode(dir, id, Write|Exec)
}

// MayRemove says whether the process may remove or rename the file or directory at name, a symbolic
// link at the end not followed: the directory above needs Write and Exec, and if it is sticky the
// process must own it or the file (check_sticky in the kernel's fs/namei.c). What a directory holds
// is not looked at. ErrBusy for a path that ends with the root directory, "." or "..".
func (t *Tree) MayRemove(id account.Identity, name string) Answer {
	w := walker{root: t.root, path: name, end: endAtParent, id: &id, host: usualHost}
	dir, err := w.find()
	switch {
	case err != nil:
		return w.ended(err)
	case !w.normal():
		return w.ended(w.fail(dir.Path(), ErrBusy))
	}
	file := dir.Child(w.last)
	switch {
	case file == nil:
		return w.ended(w.fail(path.Join(dir.Path(), w.last), ErrNotExist))
	case w.slashed && !file.IsDir():
		return w.ended(w.fail(file.Path(), ErrNotDir))
	}
	return answerBySticky(dir, file, id)
}

// MayWrite says whether the process may open the file at name for writing, made if it is missing:
// open(2) with O_WRONLY|O_CREAT, which makes the target of a link that leads to nothing. A file of
// someone else in a sticky directory that all may write, such as /tmp, is denied, as
// fs.protected_regular does on usual hosts. ErrIsDir for a directory.
func (t *Tree) MayWrite(id account.Identity, name string) Answer {
	return usualHost.mayWrite(t, id, name)
}

// MayChmod says whether the process may change the mode of the file at name, symbolic links
// followed: only its owner may. Groups and modes of the file itself do not count.
func (t *Tree) MayChmod(id account.Identity, name string) Answer {
	return usualHost.mayChmod(t, id, name)
}

func (h host) may(t *Tree, id account.Identity, name string, want Access) Answer {
	w := walker{root: t.root, path: name, follow: true, id: &id, host: h}
	file, err := w.find()
	if err != nil {
		return w.ended(err)
	}
	return answerByMode(file, id, want)
}

func (h host) mayWrite(t *Tree, id account.Identity, name string) Answer {
	w := walker{root: t.root, path: name, follow: true, end: endAtMissing, id: &id, host: h}
	file, err := w.find()
	switch {
	case err != nil:
		return w.ended(err)
	case w.last != "":
		return answerByMode(file, id, Write|Exec)
	case file.IsDir():
		return w.ended(w.fail(file.Path(), ErrIsDir))
	}
	if a := answerByProtectedFile(file, id); h.protectedFiles && !a.OK {
		return a
	}
	return answerByMode(file, id, Write)
}

func (h host) mayChmod(t *Tree, id account.Identity, name string) Answer {
	w := walker{root: t.root, path: name, follow: true, id: &id, host: h}
	file, err := w.find()
	if err != nil {
		return w.ended(err)
	}
	a := about(file)
	a.Rule, a.OK = ByOwner, file.entry.UID == id.UID
	return a
}

// ended is the answer of a walk that did not arrive.
func (w *walker) ended(err error) Answer {
	if errors.Is(err, errDenied) {
		return w.denied
	}
	a := Answer{Path: w.path, Err: err}
	var failed *PathError
	if errors.As(err, &failed) {
		a.Err = failed.Err
		if failed.At != "" {
			a.Path = failed.At
		}
	}
	return a
}

// about is an answer with what is known of a file.
func about(n *Node) Answer {
	return Answer{Path: n.Path(), Mode: n.entry.Mode, UID: n.entry.UID, GID: n.entry.GID, IsDir: n.IsDir()}
}

// classOf gives whose bits count, and these bits.
func classOf(e *Entry, id account.Identity) (Class, Access) {
	switch {
	case e.UID == id.UID:
		return Owner, Access(e.Mode>>6) & 7
	case id.In(e.GID):
		return Group, Access(e.Mode>>3) & 7
	}
	return Other, Access(e.Mode) & 7
}

func answerByMode(n *Node, id account.Identity, want Access) Answer {
	a := about(n)
	class, have := classOf(n.entry, id)
	a.Rule, a.Class, a.Want, a.Need = ByMode, class, want, want&7&^have
	a.OK = a.Need == 0
	return a
}

func answerBySticky(dir, file *Node, id account.Identity) Answer {
	a := answerByMode(dir, id, Write|Exec)
	if !a.OK || dir.entry.Mode&Sticky == 0 || file.entry.UID == id.UID || dir.entry.UID == id.UID {
		return a
	}
	a.Rule, a.OK, a.File, a.Owner = BySticky, false, file.Path(), file.entry.UID
	return a
}

// openSticky reports whether the directory is like /tmp: sticky, and all may write.
func openSticky(dir *Node) bool {
	const bits = Sticky | 0o002
	return dir.entry.Mode&bits == bits
}

// answerByProtectedLink is may_follow_link in the kernel's fs/namei.c.
func answerByProtectedLink(dir, link *Node, id account.Identity) Answer {
	a := about(dir)
	a.Rule, a.File, a.Owner = ByProtectedLink, link.Path(), link.entry.UID
	a.OK = link.entry.UID == id.UID || !openSticky(dir) || dir.entry.UID == link.entry.UID
	return a
}

// answerByProtectedFile is may_create_in_sticky in the kernel's fs/namei.c, at level 1.
func answerByProtectedFile(file *Node, id account.Identity) Answer {
	a := about(file.parent)
	a.Rule, a.File, a.Owner = ByProtectedFile, file.Path(), file.entry.UID
	kept := file.Kind() == File || file.Kind() == Fifo
	a.OK = !kept || !openSticky(file.parent) || file.entry.UID == file.parent.entry.UID || file.entry.UID == id.UID
	return a
}
