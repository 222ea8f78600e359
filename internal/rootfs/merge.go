package rootfs

import (
	"errors"
	"fmt"
	"path"
	"strings"
)

// The limits of Merge. The kernel's own are NAME_MAX and PATH_MAX (which counts the zero byte).
const (
	MaxNodes = 2_000_000 // names of one tree, with those that upper layers hide
	maxName  = 255       // bytes of one component
	maxPath  = 4095      // bytes of one path or link
	maxSteps = 1 << 26   // components looked at in one Merge, through all links
	maxMade  = 64 << 20  // bytes of paths of directories that Merge makes behind links
)

// ErrTooLarge is the error for layers beyond the limits of Merge.
var ErrTooLarge = errors.New("too large")

// maxRedirects bounds the list of Tree.Redirects.
const maxRedirects = 1000

// Redirect is an entry whose path goes through a symbolic link of a lower layer that its own layer
// does not replace. Merge follows the link inside the root, as the OCI specification's "apply to
// the directory" means it, and as containerd's native snapshotter, Docker's vfs driver and umoci
// do. Engines that unpack each layer into its own overlay directory do not see the link: they make
// a directory that hides it (containerd archive.Apply with WithParents, Docker overlay2).
type Redirect struct {
	Path  string // as the entry names it
	Link  string // path of the link
	Layer int    // of the entry
}

// Merge lays layers over one another, bottom first. The rules are those of the OCI specification
// (layer.md, "Applying Changesets"), and where it is silent those of containerd's archive.Apply:
//
//   - a whiteout or an opaque directory hides what lower layers have, never what its own layer
//     adds, wherever it stands in the archive; a whiteout of nothing is no error;
//   - a directory over a directory changes owner and mode and keeps the children; anything else
//     replaces what was there, with all its content; the last of two equal names in a layer wins;
//   - a hard link is another name of a file that is there already, in this layer or below;
//   - symbolic links in the parent path are followed inside the root (see Redirect);
//   - a directory that is needed and not named is made, root:root 0755.
//
// Nodes point into the slices: keep them unchanged. It fails, naming layer and path, on a path that
// is not absolute and clean, on a link to nowhere, on a loop of links, on a parent that is a file of
// the same layer, and with ErrTooLarge beyond the limits.
func Merge(layers ...[]Entry) (*Tree, error) {
	root := &Node{
		name:      "/",
		entry:     &Entry{Path: "/", Mode: 0o755, Kind: Dir},
		dir:       &dir{},
		layer:     -1,
		asWritten: true,
	}
	root.parent = root
	m := merger{root: root, nodes: 1}
	for i, entries := range layers {
		if err := m.layOver(i, entries); err != nil {
			return nil, err
		}
	}
	return &Tree{root: root, count: root.freeze(), redirects: m.redirects}, nil
}

// merger is a tree that is being built.
type merger struct {
	root      *Node
	layer     int32
	nodes     int // made, with those replaced since
	steps     int
	made      int // bytes of made paths
	redirects []Redirect
}

func (m *merger) layOver(i int, entries []Entry) error {
	m.layer = int32(i)
	fail := func(e *Entry, err error) error {
		return fmt.Errorf("merging layer %d: entry %.200q: %w", i, e.Path, err)
	}
	for j := range entries {
		if err := checkEntry(&entries[j]); err != nil {
			return fail(&entries[j], err)
		}
	}
	// Whiteouts first: then nothing of this layer is there yet that they could hide.
	if err := m.hide(entries, fail); err != nil {
		return err
	}
	for j := range entries {
		e := &entries[j]
		if e.Kind == Whiteout || e.Kind == Opaque {
			continue
		}
		if err := m.add(e); err != nil {
			return fail(e, err)
		}
	}
	return nil
}

// checkEntry refuses what no engine could unpack, and what the reader of a layer must not give.
func checkEntry(e *Entry) error {
	if err := checkPath(e.Path); err != nil {
		return err
	}
	switch e.Kind {
	case File, CharDevice, BlockDevice, Fifo, Dir, Opaque:
	case Symlink:
		if e.Link == "" || len(e.Link) > maxPath || strings.IndexByte(e.Link, 0) >= 0 {
			return fmt.Errorf("symbolic link to %.40q: target is empty, longer than %d bytes or has a zero byte", e.Link, maxPath)
		}
	case Hardlink:
		if err := checkPath(e.Link); err != nil {
			return fmt.Errorf("hard link to %.200q: %w", e.Link, err)
		}
	case Whiteout:
	default:
		return fmt.Errorf("[internal error] kind %d", e.Kind)
	}
	if e.Path == "/" && e.Kind != Dir && e.Kind != Opaque {
		return errors.New("the root directory cannot be replaced or removed")
	}
	return nil
}

func checkPath(p string) error {
	if !path.IsAbs(p) || path.Clean(p) != p {
		return errors.New("[internal error] path is not absolute and clean")
	}
	if strings.IndexByte(p, 0) >= 0 {
		return errors.New("path has a zero byte")
	}
	if len(p) > maxPath {
		return ErrNameTooLong
	}
	return nil
}

// add puts one entry that is a file of some kind into the tree.
func (m *merger) add(e *Entry) error {
	if e.Path == "/" {
		m.root.entry, m.root.layer = e, m.layer
		return nil
	}
	at, direct, err := m.parentFor(e.Path)
	if err != nil {
		return err
	}
	name := path.Base(e.Path)
	old := at.Child(name)
	if e.Kind == Dir && old != nil && old.IsDir() {
		old.entry, old.layer, old.asWritten = e, m.layer, direct
		return nil
	}
	if e.Kind == Hardlink {
		// Engines remove what is in the way before they link, so a link to itself is one to nowhere.
		at.dir.remove(name)
		return m.link(at, name, e)
	}
	n, err := m.put(at, name, e)
	if err != nil {
		return err
	}
	n.asWritten = direct
	return nil
}

// link makes another name of a file. The parent path of the target is resolved inside the root, the
// target itself is not: link(2) does not follow.
func (m *merger) link(at *Node, name string, e *Entry) error {
	target, err := m.lookup(e.Link)
	switch {
	case err != nil:
		return fmt.Errorf("hard link to %.200q: %w", e.Link, err)
	case target == nil:
		return fmt.Errorf("hard link to %.200q: %w", e.Link, ErrNotExist)
	case target.IsDir():
		return fmt.Errorf("hard link to %.200q: is a directory", e.Link)
	}
	n, err := m.put(at, name, target.entry)
	if err != nil {
		return err
	}
	n.layer = target.layer
	return nil
}

// put makes a node, in place of the one of that name. Its real path is as short as the kernel wants
// it, also where links would lead to a longer one.
func (m *merger) put(at *Node, name string, e *Entry) (*Node, error) {
	length := int(at.length) + 1 + len(name)
	switch {
	case len(name) > maxName, length > maxPath:
		return nil, ErrNameTooLong
	case m.nodes >= MaxNodes:
		return nil, fmt.Errorf("more than %d files: %w", MaxNodes, ErrTooLarge)
	}
	m.nodes++
	n := &Node{name: name, entry: e, parent: at, layer: m.layer, length: uint16(length)}
	if e.Kind == Dir {
		n.dir = &dir{}
	}
	at.dir.set(n)
	return n, nil
}
