package rootfs

import (
	"errors"
	"path"
	"strings"
	"testing"

	"unroot/internal/account"
)

// readLayers reads "f/path", "l/path target" and so on, one entry a line, "-" between layers. All
// modes are 0777.
func readLayers(text string) [][]Entry {
	layers := [][]Entry{nil}
	for line := range strings.SplitSeq(text, "\n") {
		if line == "-" {
			layers = append(layers, nil)
			continue
		}
		if line == "" {
			continue
		}
		p, link, _ := strings.Cut(line[1:], " ")
		e := Entry{Path: p, Link: link, Mode: 0o777, Kind: Kind(strings.IndexByte("?fdlhcbpWO", line[0]))}
		layers[len(layers)-1] = append(layers[len(layers)-1], e)
	}
	return layers
}

const fuzzSeed = "d/usr/lib\nl/lib usr/lib\nf/lib/x\nh/y /lib/x\n-\nW/lib/x\nO/usr\nd/lib\nf/a/b/c\np/q\n-\nl/loop loop\nl/up ../../a/\nW/y\nl/d0 a/b\nf/d0/../../n"

func FuzzMerge(f *testing.F) {
	for _, seed := range []string{
		fuzzSeed, "", "f/a\nf/a/b", "f/a\n-\nf/a/b", "l/a /none/x/..\n-\nf/a/f", "d/", "W/", "h/a /a", "l/a a\nf/a/b",
		"l/a b\n-\nO/a\nW/a/x\nd/a\nf/a/y", "f/..", "x/a", "f/a\x00", "l/l0 .\nl/l1 l0/l0/l0\nf/l1/l1/z",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		tree, err := Merge(readLayers(text)...)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "merging layer ") {
				t.Fatalf("error without its layer: %v", err)
			}
			return
		}
		checkTree(t, tree)
	})
}

func FuzzResolve(f *testing.F) {
	for _, p := range []string{"/lib/x", "up/b/c", "/d0/..//./c/", "/loop/x", "", "/", "/n/.", "../usr/lib/", "q/", "/a/b/new"} {
		f.Add(fuzzSeed, p)
	}
	f.Fuzz(func(t *testing.T, text, p string) {
		tree, err := Merge(readLayers(text)...)
		if err != nil {
			return
		}
		checkResolved(t, tree, p)
	})
}

// checkResolved checks what is true of every path in a tree in which everybody may do everything.
func checkResolved(t *testing.T, tree *Tree, p string) {
	id := account.Arbitrary()
	n, err := tree.Resolve(p)
	var failed *PathError
	switch {
	case err != nil && (n != nil || !errors.As(err, &failed)):
		t.Fatalf("Resolve(%q) = %v, %v", p, n, err)
	case err == nil && n.Kind() == Symlink:
		t.Fatalf("Resolve(%q) is the link %q", p, n.Path())
	}
	root := tree.Root().Entry().Mode&0o111 != 0
	if may := tree.May(id, p, 0); root && may.OK != (err == nil) {
		t.Fatalf("Resolve(%q): %v, but May: %v", p, err, may)
	}
	link, linkErr := tree.Lookup(p)
	if err == nil && linkErr != nil {
		t.Fatalf("Resolve(%q) finds %q, Lookup fails: %v", p, n.Path(), linkErr)
	}
	dir, name, parentErr := tree.ResolveParent(p)
	if parentErr != nil {
		return
	}
	if !dir.IsDir() || name == "" || name == "." || name == ".." || strings.Contains(name, "/") {
		t.Fatalf("ResolveParent(%q) = %q %q", p, dir.Path(), name)
	}
	if linkErr == nil && !strings.HasSuffix(p, "/") && path.Join(dir.Path(), name) != link.Path() {
		t.Fatalf("ResolveParent(%q) = %q %q, Lookup = %q", p, dir.Path(), name, link.Path())
	}
	for _, a := range []Answer{tree.MayCreate(id, p), tree.MayRemove(id, p), tree.MayWrite(id, p), tree.MayChmod(id, p)} {
		if a.OK == (a.Err != nil) && a.Rule == ByNothing || a.String() == "" {
			t.Fatalf("%q: %+v", p, a)
		}
	}
}
