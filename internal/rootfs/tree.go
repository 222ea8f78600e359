package rootfs

import (
	"cmp"
	"iter"
	"slices"
	"strings"
)

// Tree is the file tree that a container of an image sees before it writes anything. It does not
// change after Merge, so many goroutines may read it.
type Tree struct {
	root      *Node
	count     int
	redirects []Redirect
}

// Root is the directory "/". It is always there.
func (t *Tree) Root() *Node { return t.root }

// Len is the number of names in the tree, with the root directory.
func (t *Tree) Len() int { return t.count }

// Redirects gives the entries that Merge put behind a symbolic link of a lower layer, at most 1000.
func (t *Tree) Redirects() []Redirect { return t.redirects }

// Walk gives the node at path and all below it: a directory before its children, children in byte
// order of their names, no symbolic link followed (but those on the way to path). A path that is
// not there gives nothing.
func (t *Tree) Walk(path string) iter.Seq[*Node] {
	return func(yield func(*Node) bool) {
		if n, err := t.Lookup(path); err == nil {
			n.walk(yield)
		}
	}
}

// Node is one name in the tree. Two names of one file (hard links) are two nodes with the same
// Entry.
type Node struct {
	name      string
	entry     *Entry
	parent    *Node // of the root directory: itself
	dir       *dir  // nil for what is no directory
	layer     int32
	length    uint16 // of the path in bytes; 0 for the root directory
	asWritten bool   // entry.Path is this node's path
}

// dir is what a directory has and other nodes do not need.
type dir struct {
	byName map[string]*Node // while layers are merged
	sorted []*Node          // afterwards: a third of the memory, and in order
}

// Name is the last component of the path; "/" for the root directory.
func (n *Node) Name() string { return n.name }

// Path is the absolute path without symbolic links.
func (n *Node) Path() string {
	if n.asWritten {
		return n.entry.Path
	}
	var names []string
	for at := n; at.parent != at; at = at.parent {
		names = append(names, at.name)
	}
	if names == nil {
		return "/"
	}
	slices.Reverse(names)
	return "/" + strings.Join(names, "/")
}

// Parent is the directory that holds the node; of the root directory it is the root directory.
func (n *Node) Parent() *Node { return n.parent }

// Entry is the record that made the file: it points into the slice that Merge was given. For a
// hard link it is the record of the file linked to, so nodes with the same Entry are one file and
// Entry().Path is one of its names. A directory that no layer names has an entry of its own.
func (n *Node) Entry() *Entry { return n.entry }

// Layer is the index of the layer that Entry comes from, bottom is 0; -1 for a root directory that
// no layer names. For a directory that only the path of another entry names it is that entry's
// layer.
func (n *Node) Layer() int { return int(n.layer) }

// Kind is what the node is; never Hardlink, Whiteout or Opaque.
func (n *Node) Kind() Kind { return n.entry.Kind }

// IsDir reports whether the node is a directory.
func (n *Node) IsDir() bool { return n.dir != nil }

// Children gives what a directory holds, in byte order of the names; nothing for other nodes.
func (n *Node) Children() iter.Seq[*Node] {
	return func(yield func(*Node) bool) {
		if n.dir == nil {
			return
		}
		for _, child := range n.dir.sorted {
			if !yield(child) {
				return
			}
		}
	}
}

// Child gives the node of that name in a directory, or nil.
func (n *Node) Child(name string) *Node {
	if n.dir == nil {
		return nil
	}
	if n.dir.byName != nil {
		return n.dir.byName[name]
	}
	i, found := slices.BinarySearchFunc(n.dir.sorted, name, func(child *Node, name string) int {
		return strings.Compare(child.name, name)
	})
	if !found {
		return nil
	}
	return n.dir.sorted[i]
}

func (n *Node) walk(yield func(*Node) bool) bool {
	if !yield(n) {
		return false
	}
	for child := range n.Children() {
		if !child.walk(yield) {
			return false
		}
	}
	return true
}

// thaw makes the map that changes need of what an earlier merge left.
func (d *dir) thaw() {
	if d.byName != nil {
		return
	}
	d.byName = make(map[string]*Node, len(d.sorted))
	for _, child := range d.sorted {
		d.byName[child.name] = child
	}
	d.sorted = nil
}

func (d *dir) set(n *Node) {
	d.thaw()
	d.byName[n.name] = n
}

func (d *dir) remove(name string) {
	d.thaw()
	delete(d.byName, name)
}

func (d *dir) clear() { d.byName, d.sorted = nil, nil }

// freeze turns maps into sorted slices, and gives the number of nodes.
func (n *Node) freeze() int {
	count := 1
	if n.dir == nil {
		return count
	}
	n.dir.freeze()
	for _, child := range n.dir.sorted {
		count += child.freeze()
	}
	return count
}

func (d *dir) freeze() {
	if d.byName == nil {
		return
	}
	if len(d.byName) > 0 {
		d.sorted = make([]*Node, 0, len(d.byName))
	}
	for _, child := range d.byName {
		d.sorted = append(d.sorted, child)
	}
	d.byName = nil
	slices.SortFunc(d.sorted, func(a, b *Node) int { return cmp.Compare(a.name, b.name) })
}
