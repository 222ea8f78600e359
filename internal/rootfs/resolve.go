package rootfs

import (
	"errors"
	"fmt"
	"path"
	"strings"

	"unroot/internal/account"
)

// What a path can end with instead of a file: the kernel's errors of the same words.
var (
	ErrNotExist    = errors.New("no such file or directory")              // ENOENT
	ErrNotDir      = errors.New("not a directory")                        // ENOTDIR
	ErrIsDir       = errors.New("is a directory")                         // EISDIR
	ErrLoop        = errors.New("too many levels of symbolic links")      // ELOOP
	ErrNameTooLong = errors.New("file name too long")                     // ENAMETOOLONG
	ErrExist       = errors.New("file exists")                            // EEXIST
	ErrBusy        = errors.New("is the root directory, \".\" or \"..\"") // EBUSY
)

// PathError says where a path could not be followed further.
type PathError struct {
	Path string // as it was asked for
	At   string // absolute path of the component that is missing, no directory, or the link too many
	Err  error  // one of this package's errors
}

func (e *PathError) Error() string {
	if e.At == e.Path {
		return fmt.Sprintf("resolving %q: %v", e.Path, e.Err)
	}
	return fmt.Sprintf("resolving %q: %q: %v", e.Path, e.At, e.Err)
}

// Unwrap gives the package's error.
func (e *PathError) Unwrap() error { return e.Err }

// Lookup gives the node at path as lstat(2) would find it inside a chroot: a symbolic link at the
// end is not followed, unless a slash stands behind it. A relative path starts at the root. Nobody
// is denied anything on the way. The error is a *PathError.
func (t *Tree) Lookup(path string) (*Node, error) {
	w := walker{root: t.root, path: path}
	return w.find()
}

// Resolve gives the node at path as stat(2) would find it inside a chroot: never a symbolic link.
// Absolute links start at the root, ".." of the root is the root. The error is a *PathError.
func (t *Tree) Resolve(path string) (*Node, error) {
	w := walker{root: t.root, path: path, follow: true}
	return w.find()
}

// ResolveParent gives the real directory that a new file at path would go into, and its name there.
// A symbolic link at the end is not followed, as mkdir(2) does not. The file may exist already. A
// path that ends with the root directory, "." or ".." fails with ErrExist. The error is a
// *PathError.
func (t *Tree) ResolveParent(path string) (dir *Node, name string, err error) {
	w := walker{root: t.root, path: path, end: endAtParent}
	if dir, err = w.find(); err != nil {
		return nil, "", err
	}
	if !w.normal() {
		return nil, "", w.fail(dir.Path(), ErrExist)
	}
	return dir, w.last, nil
}

// ending is where a walk ends.
type ending uint8

const (
	endAtFile    ending = iota // at the last component, which must be there
	endAtParent                // at the directory of the last component
	endAtMissing               // at the last component, or at its directory if it is not there
)

// walker goes along a path like link_path_walk in the kernel's fs/namei.c.
type walker struct {
	root   *Node
	path   string // as asked
	follow bool   // a symbolic link at the end too
	end    ending
	id     *account.Identity // who must be let through; nil for nobody in particular
	host   host

	at      *Node
	rest    string // what is still to go, with the links' targets put in; starts with a slash or a name
	links   int
	last    string // the last component, where the walk ended at its directory
	slashed bool   // a slash stands behind the last component
	denied  Answer // why errDenied
}

// errDenied ends a walk at a directory that the identity may not search.
var errDenied = errors.New("permission denied")

func (w *walker) fail(at string, err error) error {
	return &PathError{Path: w.path, At: at, Err: err}
}

// normal reports whether the walk ended at a directory with a proper last name behind it.
func (w *walker) normal() bool { return w.last != "" && w.last != "." && w.last != ".." }

func (w *walker) find() (*Node, error) {
	switch {
	case w.path == "":
		return nil, w.fail("", ErrNotExist)
	case len(w.path) > maxPath:
		return nil, w.fail("", ErrNameTooLong)
	}
	w.at, w.rest = w.root, w.path
	for {
		name, tail := cutName(w.rest)
		if name == "" {
			return w.finish()
		}
		if err := w.enter(); err != nil {
			return nil, err
		}
		w.rest, w.slashed = tail, tail != ""
		isLast := strings.Trim(tail, "/") == ""
		if isLast && w.end == endAtParent {
			return w.endAtParent(name)
		}
		done, err := w.step(name, isLast)
		if err != nil {
			return nil, err
		}
		if done {
			return w.at, nil
		}
	}
}

// endAtParent is at the directory of the last component, which nobody looks for yet.
func (w *walker) endAtParent(name string) (*Node, error) {
	if len(name) > maxName {
		return nil, w.fail(path.Join(w.at.Path(), name), ErrNameTooLong)
	}
	w.last = name
	return w.at, nil
}

// finish is at the end of the path: behind a slash only a directory may be.
func (w *walker) finish() (*Node, error) {
	if w.slashed && !w.at.IsDir() {
		return nil, w.fail(w.at.Path(), ErrNotDir)
	}
	return w.at, nil
}

// enter checks that names can be looked up in the current node.
func (w *walker) enter() error {
	if !w.at.IsDir() {
		return w.fail(w.at.Path(), ErrNotDir)
	}
	if w.id == nil {
		return nil
	}
	if a := answerByMode(w.at, *w.id, Exec); !a.OK {
		w.denied = a
		return errDenied
	}
	return nil
}

// step takes one component; done means that the walk ends before it.
func (w *walker) step(name string, isLast bool) (done bool, err error) {
	switch name {
	case ".":
		return false, nil
	case "..":
		w.at = w.at.parent
		return false, nil
	}
	child := w.at.Child(name)
	switch {
	case isLast && w.slashed && w.end == endAtMissing:
		// open(2) with O_CREAT refuses a slash at the end unseen (open_last_lookups).
		return false, w.fail(path.Join(w.at.Path(), name), ErrIsDir)
	case len(name) > maxName:
		return false, w.fail(path.Join(w.at.Path(), name), ErrNameTooLong)
	case child == nil && isLast && w.end == endAtMissing:
		w.last = name
		return true, nil
	case child == nil:
		return false, w.fail(path.Join(w.at.Path(), name), ErrNotExist)
	case child.Kind() == Symlink && (!isLast || w.follow || w.slashed):
		return false, w.through(child, isLast)
	}
	w.at = child
	return false, nil
}

// through puts the target of a symbolic link in front of the rest of the path.
func (w *walker) through(link *Node, isLast bool) error {
	if w.links == maxLinks {
		return w.fail(link.Path(), ErrLoop)
	}
	w.links++
	if isLast && w.id != nil && w.host.protectedSymlinks {
		if a := answerByProtectedLink(w.at, link, *w.id); !a.OK {
			w.denied = a
			return errDenied
		}
	}
	target := link.entry.Link
	if path.IsAbs(target) {
		w.at = w.root
	}
	w.rest = target + w.rest
	return nil
}

// cutName gives the first component, and what is behind it from the slash on.
func cutName(p string) (name, tail string) {
	p = strings.TrimLeft(p, "/")
	if i := strings.IndexByte(p, '/'); i >= 0 {
		return p[:i], p[i:]
	}
	return p, ""
}
