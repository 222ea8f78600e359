package rootfs

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const rootLine = "d 0755 0:0 /"

func TestMerge(t *testing.T) {
	t.Parallel()
	type layers = [][]Entry
	tests := map[string]struct {
		layers layers
		want   []string // without the root directory
	}{
		"nothing": {},
		"root directory has owner and mode": {
			layers{{dirEntry("/", 0o755, 0, 0), fileEntry("/a", 0o644, 1, 2)}},
			[]string{"f 0644 1:2 /a"},
		},
		"implicit parents": {
			layers{{fileEntry("/a/b/c", 0o600, 7, 7)}},
			[]string{"d 0755 0:0 /a", "d 0755 0:0 /a/b", "f 0600 7:7 /a/b/c"},
		},
		"named after it was made": {
			layers{{fileEntry("/a/b", 0o600, 7, 7), dirEntry("/a", 0o700, 5, 6)}},
			[]string{"d 0700 5:6 /a", "f 0600 7:7 /a/b"},
		},
		"directory over directory": {
			layers{{dirEntry("/a", 0o755, 0, 0), fileEntry("/a/f", 0o644, 0, 0)}, {dirEntry("/a", 0o711, 3, 4)}},
			[]string{"d 0711 3:4 /a", "f 0644 0:0 /a/f"},
		},
		"file over directory, and back": {
			layers{{fileEntry("/a/f", 0o644, 0, 0)}, {fileEntry("/a", 0o600, 0, 0)}, {fileEntry("/a/g", 0o644, 0, 0)}},
			[]string{"d 0755 0:0 /a", "f 0644 0:0 /a/g"},
		},
		"directory over link": {
			layers{{dirEntry("/c", 0o755, 0, 0), fileEntry("/c/f", 0o644, 0, 0), linkEntry("/a", "c")}, {dirEntry("/a", 0o755, 0, 0), fileEntry("/a/g", 0o644, 0, 0)}},
			[]string{"d 0755 0:0 /a", "f 0644 0:0 /a/g", "d 0755 0:0 /c", "f 0644 0:0 /c/f"},
		},
		"last duplicate wins": {
			layers{{fileEntry("/a", 0o600, 1, 1), linkEntry("/a", "x"), fileEntry("/a", 0o640, 2, 2)}},
			[]string{"f 0640 2:2 /a"},
		},
		"whiteout": {
			layers{{fileEntry("/d/a", 0o644, 0, 0), fileEntry("/d/b", 0o644, 0, 0)}, {whiteout("/d/a"), whiteout("/d/none"), whiteout("/none/x"), whiteout("/d/b/x")}},
			[]string{"d 0755 0:0 /d", "f 0644 0:0 /d/b"},
		},
		"whiteout does not hide its own layer": {
			layers{{fileEntry("/d/a", 0o644, 0, 0), fileEntry("/d/b", 0o644, 0, 0)}, {fileEntry("/d/a", 0o600, 9, 9), whiteout("/d/a"), whiteout("/d"), dirEntry("/d", 0o700, 0, 0)}},
			[]string{"d 0700 0:0 /d", "f 0600 9:9 /d/a"},
		},
		"opaque": {
			layers{{dirEntry("/d", 0o750, 4, 4), fileEntry("/d/a", 0o644, 0, 0), fileEntry("/d/s/b", 0o644, 0, 0)}, {fileEntry("/d/s/c", 0o600, 0, 0), opaque("/d"), opaque("/none"), opaque("/d/a")}},
			[]string{"d 0750 4:4 /d", "d 0755 0:0 /d/s", "f 0600 0:0 /d/s/c"},
		},
		"opaque root": {
			layers{{fileEntry("/d/a", 0o644, 0, 0)}, {opaque("/"), fileEntry("/new", 0o644, 0, 0)}},
			[]string{"f 0644 0:0 /new"},
		},
		"opaque directory in place of a link": {
			layers{{fileEntry("/c/f", 0o644, 0, 0), linkEntry("/a", "c")}, {opaque("/a"), whiteout("/a/f"), dirEntry("/a", 0o755, 0, 0)}},
			[]string{"d 0755 0:0 /a", "d 0755 0:0 /c", "f 0644 0:0 /c/f"},
		},
		"whiteout through a link": {
			layers{{fileEntry("/usr/lib/f", 0o644, 0, 0), linkEntry("/lib", "usr/lib")}, {whiteout("/lib/f")}},
			[]string{"l 0777 0:0 /lib -> usr/lib", "d 0755 0:0 /usr", "d 0755 0:0 /usr/lib"},
		},
		"through links": {
			layers{{dirEntry("/usr/lib", 0o755, 0, 0), linkEntry("/lib", "usr/lib"), linkEntry("/x", "/../lib/./deep/..")}, {fileEntry("/x/f", 0o644, 0, 0), fileEntry("/x/n/g", 0o644, 0, 0)}},
			[]string{"l 0777 0:0 /lib -> usr/lib", "d 0755 0:0 /usr", "d 0755 0:0 /usr/lib", "f 0644 0:0 /usr/lib/f",
				"d 0755 0:0 /usr/lib/n", "f 0644 0:0 /usr/lib/n/g", "l 0777 0:0 /x -> /../lib/./deep/.."},
		},
		"through a link to nothing": {
			layers{{linkEntry("/x", "y/z")}, {fileEntry("/x/f", 0o644, 0, 0)}},
			[]string{"l 0777 0:0 /x -> y/z", "d 0755 0:0 /y", "d 0755 0:0 /y/z", "f 0644 0:0 /y/z/f"},
		},
		"hard links": {
			layers{{fileEntry("/a", 0o644, 1, 1), hardEntry("/b", "/a")}, {linkEntry("/l", "/d"), fileEntry("/d/x", 0o600, 2, 2), hardEntry("/c", "/b"), hardEntry("/y", "/l/x"), hardEntry("/m", "/l")}},
			[]string{"f 0644 1:1 /a", "f 0644 1:1 /b = /a", "f 0644 1:1 /c = /a", "d 0755 0:0 /d", "f 0600 2:2 /d/x",
				"l 0777 0:0 /l -> /d", "l 0777 0:0 /m -> /d = /l", "f 0600 2:2 /y = /d/x"},
		},
		"hard link survives its target": {
			layers{{fileEntry("/a", 0o644, 1, 1), hardEntry("/b", "/a")}, {fileEntry("/a", 0o600, 2, 2)}, {whiteout("/a")}},
			[]string{"f 0644 1:1 /b"},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tree := mustMerge(t, tt.layers...)
			if diff := cmp.Diff(append([]string{rootLine}, tt.want...), listing(tree)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestMergeRefuses(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("n", maxName+1)
	loop := []Entry{linkEntry("/a", "b"), linkEntry("/b", "a")}
	tests := map[string]struct {
		layers [][]Entry
		is     error
		says   string
	}{
		"relative path":        {[][]Entry{{fileEntry("a", 0, 0, 0)}}, nil, "[internal error]"},
		"dots":                 {[][]Entry{{fileEntry("/a/../b", 0, 0, 0)}}, nil, "[internal error]"},
		"no path":              {[][]Entry{{fileEntry("", 0, 0, 0)}}, nil, "[internal error]"},
		"no kind":              {[][]Entry{{{Path: "/a"}}}, nil, "[internal error]"},
		"zero byte":            {[][]Entry{{fileEntry("/a\x00", 0, 0, 0)}}, nil, "zero byte"},
		"root is a file":       {[][]Entry{{fileEntry("/", 0, 0, 0)}}, nil, "root directory"},
		"root is removed":      {[][]Entry{{whiteout("/")}}, nil, "root directory"},
		"long name":            {[][]Entry{{fileEntry("/"+long, 0, 0, 0)}}, ErrNameTooLong, ""},
		"long parent":          {[][]Entry{{fileEntry("/"+long+"/a", 0, 0, 0)}}, ErrNameTooLong, ""},
		"long path":            {[][]Entry{{fileEntry(strings.Repeat("/n", 2048), 0, 0, 0)}}, ErrNameTooLong, ""},
		"empty link":           {[][]Entry{{linkEntry("/a", "")}}, nil, "is empty"},
		"link to nowhere":      {[][]Entry{{}, {hardEntry("/a", "/none")}}, ErrNotExist, `merging layer 1: entry "/a": hard link to "/none"`},
		"link to itself":       {[][]Entry{{fileEntry("/a", 0, 0, 0)}, {hardEntry("/a", "/a")}}, ErrNotExist, ""},
		"link to later":        {[][]Entry{{hardEntry("/a", "/b"), fileEntry("/b", 0, 0, 0)}}, ErrNotExist, ""},
		"link to hidden":       {[][]Entry{{fileEntry("/b", 0, 0, 0)}, {hardEntry("/a", "/b"), whiteout("/b")}}, ErrNotExist, ""},
		"link to directory":    {[][]Entry{{dirEntry("/d", 0, 0, 0), hardEntry("/a", "/d")}}, nil, "is a directory"},
		"link to root":         {[][]Entry{{hardEntry("/a", "/")}}, nil, "is a directory"},
		"link through loop":    {[][]Entry{append(loop, hardEntry("/c", "/a/x"))}, ErrLoop, ""},
		"file through loop":    {[][]Entry{loop, {fileEntry("/a/x", 0, 0, 0)}}, ErrLoop, `merging layer 1: entry "/a/x"`},
		"file in file":         {[][]Entry{{fileEntry("/a", 0, 0, 0), fileEntry("/a/b", 0, 0, 0)}}, ErrNotDir, "same layer"},
		"long through links":   {longThroughLinks(), ErrNameTooLong, ""},
		"steps through links":  {manySteps(), ErrTooLarge, ""},
		"link target too long": {[][]Entry{{linkEntry("/a", strings.Repeat("a", maxPath+1))}}, nil, "longer than"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := Merge(tt.layers...)
			if err == nil || tt.is != nil && !errors.Is(err, tt.is) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("error %v, want %v %q", err, tt.is, tt.says)
			}
		})
	}
}

// longThroughLinks goes down and down through links whose own paths are short.
func longThroughLinks() [][]Entry {
	name := strings.Repeat("n", maxName)
	entries := []Entry{dirEntry("/d0/"+name, 0o755, 0, 0), linkEntry("/l0", "/d0/"+name)}
	for i := range 20 {
		entries = append(entries, dirEntry(fmt.Sprintf("/l%d/%s", i, name), 0o755, 0, 0), linkEntry(fmt.Sprintf("/l%d", i+1), fmt.Sprintf("l%d/%s", i, name)))
	}
	return [][]Entry{entries}
}

// manySteps makes every entry go through 40 links of thousands of components.
func manySteps() [][]Entry {
	slow := strings.Repeat("./", maxPath/2-10)
	entries := []Entry{linkEntry("/l0", slow)}
	for i := 1; i < maxLinks; i++ {
		entries = append(entries, linkEntry(fmt.Sprintf("/l%d", i), fmt.Sprintf("%sl%d", slow, i-1)))
	}
	for i := range 5000 {
		entries = append(entries, fileEntry(fmt.Sprintf("/l%d/f%d", maxLinks-1, i), 0o644, 0, 0))
	}
	return [][]Entry{entries}
}

func TestLayersAndRedirects(t *testing.T) {
	t.Parallel()
	layers := [][]Entry{
		{dirEntry("/usr/lib", 0o755, 0, 0), linkEntry("/lib", "usr/lib"), fileEntry("/usr/lib/a", 0o644, 0, 0), fileEntry("/f", 0o644, 0, 0)},
		{fileEntry("/lib/b", 0o644, 0, 0), linkEntry("/own", "usr"), fileEntry("/own/c", 0o644, 0, 0), hardEntry("/g", "/f")},
	}
	tree := mustMerge(t, layers...)
	for path, want := range map[string]int{"/": -1, "/usr": 0, "/usr/lib": 0, "/usr/lib/a": 0, "/usr/lib/b": 1, "/usr/c": 1, "/g": 0, "/lib": 0} {
		n, err := tree.Lookup(path)
		if err != nil || n.Layer() != want {
			t.Errorf("%s: layer %v, want %d (%v)", path, n, want, err)
		}
	}
	b, _ := tree.Lookup("/usr/lib/b")
	if b.Path() != "/usr/lib/b" || b.Entry() != &layers[1][0] {
		t.Errorf("%q: must be the layer's own entry at the real path", b.Path())
	}
	g, _ := tree.Lookup("/g")
	if g.Entry() != &layers[0][3] || g.Path() != "/g" {
		t.Errorf("%q: a hard link must give the file's entry", g.Path())
	}
	want := []Redirect{{Path: "/lib/b", Link: "/lib", Layer: 1}}
	if diff := cmp.Diff(want, tree.Redirects()); diff != "" {
		t.Error(diff)
	}
}

func TestWalk(t *testing.T) {
	t.Parallel()
	tree := mustMerge(t, []Entry{
		fileEntry("/b/2", 0, 0, 0), fileEntry("/b/1", 0, 0, 0), fileEntry("/a.x", 0, 0, 0), fileEntry("/a/y", 0, 0, 0), linkEntry("/c", "b"),
	})
	walk := func(path string, limit int) (got []string) {
		for n := range tree.Walk(path) {
			if got = append(got, n.Path()); len(got) == limit {
				break
			}
		}
		return got
	}
	for _, tt := range []struct {
		path  string
		limit int
		want  []string
	}{
		{"/", 0, []string{"/", "/a", "/a/y", "/a.x", "/b", "/b/1", "/b/2", "/c"}},
		{"/", 3, []string{"/", "/a", "/a/y"}},
		{"/b", 0, []string{"/b", "/b/1", "/b/2"}},
		{"/c", 0, []string{"/c"}},
		{"/c/", 0, []string{"/b", "/b/1", "/b/2"}},
		{"/none", 0, nil},
	} {
		if diff := cmp.Diff(tt.want, walk(tt.path, tt.limit)); diff != "" {
			t.Errorf("Walk(%q):\n%s", tt.path, diff)
		}
	}
	root := tree.Root()
	if root.Child("b").Child("1") == nil || root.Child("none") != nil || root.Child("a.x").Child("y") != nil {
		t.Error("Child does not find what is there, or finds what is not")
	}
}
