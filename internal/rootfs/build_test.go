package rootfs

import (
	"fmt"
	"strings"
	"testing"
)

// Short forms of entries, for tables.

func dirEntry(path string, mode uint16, uid, gid uint32) Entry {
	return Entry{Path: path, Kind: Dir, Mode: mode, UID: uid, GID: gid}
}

func fileEntry(path string, mode uint16, uid, gid uint32) Entry {
	return Entry{Path: path, Kind: File, Mode: mode, UID: uid, GID: gid}
}

func linkEntry(path, target string) Entry {
	return Entry{Path: path, Kind: Symlink, Mode: 0o777, Link: target}
}

func hardEntry(path, target string) Entry { return Entry{Path: path, Kind: Hardlink, Link: target} }
func whiteout(path string) Entry          { return Entry{Path: path, Kind: Whiteout} }
func opaque(path string) Entry            { return Entry{Path: path, Kind: Opaque} }

func mustMerge(t testing.TB, layers ...[]Entry) *Tree {
	t.Helper()
	tree, err := Merge(layers...)
	if err != nil {
		t.Fatal(err)
	}
	checkTree(t, tree)
	return tree
}

// listing is the tree in lines such as "d 0755 0:0 /etc" or "l 0777 0:0 /bin -> usr/bin"; a name
// of a file that has an earlier name ends with "= " and that name.
func listing(tree *Tree) []string {
	var lines []string
	first := map[*Entry]string{}
	for n := range tree.Walk("/") {
		e := n.Entry()
		line := fmt.Sprintf("%c %04o %d:%d %s", "?fdlhcbp"[n.Kind()], e.Mode, e.UID, e.GID, n.Path())
		if n.Kind() == Symlink {
			line += " -> " + e.Link
		}
		if name, ok := first[e]; ok {
			line += " = " + name
		} else {
			first[e] = n.Path()
		}
		lines = append(lines, line)
	}
	return lines
}

// checkTree checks what is true of every tree.
func checkTree(t testing.TB, tree *Tree) {
	t.Helper()
	count, before := 0, map[*Node]string{}
	for n := range tree.Walk("/") {
		count++
		p := n.Path()
		if found, err := tree.Lookup(p); err != nil || found != n {
			t.Fatalf("Lookup(%q) = %v, %v: not the node of that path", p, found, err)
		}
		if n.IsDir() != (n.Kind() == Dir) {
			t.Fatalf("%q: IsDir does not agree with its kind", p)
		}
		if n.Kind() < File || n.Kind() > Fifo || n.Kind() == Hardlink {
			t.Fatalf("%q: kind %d in a tree", p, n.Kind())
		}
		if n != tree.Root() {
			if prev := before[n.Parent()]; prev >= n.Name() {
				t.Fatalf("%q: child %q comes after %q", n.Parent().Path(), n.Name(), prev)
			}
			before[n.Parent()] = n.Name()
			if !strings.HasSuffix(p, "/"+n.Name()) || !n.Parent().IsDir() {
				t.Fatalf("%q: name %q, parent %q", p, n.Name(), n.Parent().Path())
			}
		}
		if n.Entry().Kind == Dir && n.Entry().Path == "" {
			t.Fatalf("%q: directory entry without a path", p)
		}
	}
	if count != tree.Len() {
		t.Fatalf("Len is %d, Walk gave %d", tree.Len(), count)
	}
}
