package rootfs

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"unroot/internal/account"
)

func mayTree(t *testing.T) *Tree {
	return mustMerge(t, []Entry{
		dirEntry("/var/lib/redis", 0o750, 999, 998), fileEntry("/var/lib/redis/dump", 0o640, 999, 998),
		dirEntry("/tmp", 0o1777, 0, 0), fileEntry("/tmp/theirs", 0o666, 5, 5), fileEntry("/tmp/roots", 0o666, 0, 0),
		{Path: "/tmp/link", Kind: Symlink, Link: "/bin/sh", UID: 5},
		fileEntry("/bin/sh", 0o755, 0, 0), fileEntry("/strict", 0o077, 7, 7),
		linkEntry("/data", "var/lib/redis/dump"), linkEntry("/run", "/var/run"), linkEntry("/var/run", "../missing"),
		dirEntry("/open", 0o777, 0, 0), linkEntry("/open/new", "made"),
	})
}

func TestMaySentences(t *testing.T) {
	t.Parallel()
	tree := mayTree(t)
	who := account.Identity{UID: 7, GID: 7, Groups: []uint32{998}}
	stranger := account.Arbitrary()
	for _, tt := range []struct {
		got  Answer
		want string
	}{
		{tree.May(stranger, "/var/lib/redis/dump", Read), `"/var/lib/redis" is 0750 999:998: other may not search`},
		{tree.May(stranger, "/data", Read), `"/var/lib/redis" is 0750 999:998: other may not search`},
		{tree.May(who, "/data", Read), `"/var/lib/redis/dump" is 0640 999:998: group may read`},
		{tree.May(who, "/data", Read|Write|Exec), `"/var/lib/redis/dump" is 0640 999:998: group may not write and execute`},
		{tree.May(who, "/strict", Read|Write|Exec), `"/strict" is 0077 7:7: owner may not read, write and execute`},
		{tree.May(account.Identity{}, "/var/lib/redis", Write), `"/var/lib/redis" is 0750 999:998: other may not write`},
		{tree.May(who, "/", Exec), `"/" is 0755 0:0: other may search`},
		{tree.May(who, "/bin/sh", 0), `"/bin/sh" is 0755 0:0: other may see it`},
		{tree.May(who, "/bin/sh/x", 0), `"/bin/sh": not a directory`},
		{tree.May(who, "/run/x", 0), `"/missing": no such file or directory`},
		{tree.May(who, "", 0), `"": no such file or directory`},
		{tree.May(who, "/tmp/link", Exec), `"/tmp" is 1777 0:0: sticky, and the link "/tmp/link" belongs to 5: fs.protected_symlinks lets only its owner follow it`},
		{tree.MayCreate(who, "/bin/x"), `"/bin" is 0755 0:0: other may not write`},
		{tree.MayCreate(who, "/tmp/x"), `"/tmp" is 1777 0:0: other may write and search`},
		{tree.MayCreate(who, "/open/new"), `"/open/new": file exists`},
		{tree.MayCreate(who, "/"), `"/": file exists`},
		{tree.MayRemove(who, "/tmp/theirs"), `"/tmp" is 1777 0:0: sticky, and "/tmp/theirs" belongs to 5: only an owner may remove it`},
		{tree.MayRemove(account.Identity{UID: 5}, "/tmp/theirs"), `"/tmp" is 1777 0:0: group may write and search`},
		{tree.MayRemove(who, "/tmp/."), `"/tmp": is the root directory, "." or ".."`},
		{tree.MayWrite(who, "/open/new"), `"/open" is 0777 0:0: other may write and search`},
		{tree.MayWrite(who, "/tmp/theirs"), `"/tmp" is 1777 0:0: sticky, and "/tmp/theirs" belongs to 5: fs.protected_regular lets only its owner open it with O_CREAT`},
		{tree.MayWrite(who, "/tmp/roots"), `"/tmp/roots" is 0666 0:0: other may write`},
		{tree.MayWrite(who, "/tmp"), `"/tmp": is a directory`},
		{tree.MayChmod(who, "/strict"), `"/strict" is 0077 7:7: the owner may change the mode`},
		{tree.MayChmod(who, "/open"), `"/open" is 0777 0:0: only the owner may change the mode`},
	} {
		if diff := cmp.Diff(tt.want, tt.got.String()); diff != "" {
			t.Error(diff)
		}
		if denied := strings.Contains(tt.want, " not ") || strings.Contains(tt.want, " only "); denied == tt.got.OK && tt.got.Err == nil {
			t.Errorf("OK is %v: %s", tt.got.OK, tt.want)
		}
	}
}

func TestAnswerFields(t *testing.T) {
	t.Parallel()
	got := mayTree(t).May(account.Identity{UID: 1, GID: 998}, "/data", Read|Write)
	want := Answer{Path: "/var/lib/redis/dump", Want: Read | Write, Need: Write, Class: Group, Rule: ByMode, Mode: 0o640, UID: 999, GID: 998}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestResolveLimits(t *testing.T) {
	t.Parallel()
	entries := []Entry{dirEntry("/l0", 0o755, 0, 0), linkEntry("/loop", "loop"), fileEntry("/f", 0o644, 0, 0), linkEntry("/dangling", "/no/such"), linkEntry("/up", "../../l0/")}
	for i := range maxLinks + 1 {
		entries = append(entries, linkEntry(fmt.Sprintf("/l%d", i+1), fmt.Sprintf("l%d", i)))
	}
	tree := mustMerge(t, entries)
	long := strings.Repeat("n", maxName)
	for _, tt := range []struct {
		path string
		at   string
		err  error
	}{
		{"/l40", "", nil},
		{"/l41", "/l1", ErrLoop},
		{"/l40/loop", "/l0/loop", ErrNotExist},
		{"/loop", "/loop", ErrLoop},
		{"/up", "", nil},
		{"/up/../f", "", nil},
		{"relative/..", "/relative", ErrNotExist},
		{"l0/..//./l0/../../..", "", nil},
		{"/f/", "/f", ErrNotDir},
		{"/f/.", "/f", ErrNotDir},
		{"/dangling", "/no", ErrNotExist},
		{"/" + long, "/" + long, ErrNotExist},
		{"/" + long + "n", "/" + long + "n", ErrNameTooLong},
		{strings.Repeat("/", maxPath), "", nil},
		{strings.Repeat("/", maxPath+1), "", ErrNameTooLong},
		{"", "", ErrNotExist},
	} {
		_, err := tree.Resolve(tt.path)
		var failed *PathError
		if !errors.Is(err, tt.err) || err != nil && (!errors.As(err, &failed) || failed.At != tt.at || failed.Path != tt.path) {
			t.Errorf("Resolve(%.50q): %+v, want %v at %.50q", tt.path, err, tt.err, tt.at)
		}
	}
}

func TestLookupAndParent(t *testing.T) {
	t.Parallel()
	tree := mayTree(t)
	if n, err := tree.Lookup("/data"); err != nil || n.Kind() != Symlink {
		t.Errorf("Lookup follows the last link: %v %v", n, err)
	}
	if _, err := tree.Lookup("/data/"); !errors.Is(err, ErrNotDir) {
		t.Errorf("Lookup of a link to a file with a slash: %v", err)
	}
	for _, tt := range []struct {
		path, dir, name string
		err             error
	}{
		{"/data", "/", "data", nil},
		{"/tmp/../open/x/", "/open", "x", nil},
		{"/run/x", "", "", ErrNotExist},
		{"/bin/sh/x", "", "", ErrNotDir},
		{"/tmp/..", "", "", ErrExist},
		{"/", "", "", ErrExist},
		{"/" + strings.Repeat("n", maxName+1), "", "", ErrNameTooLong},
	} {
		dir, name, err := tree.ResolveParent(tt.path)
		switch {
		case !errors.Is(err, tt.err):
			t.Errorf("ResolveParent(%.50q): %v, want %v", tt.path, err, tt.err)
		case err == nil && (dir.Path() != tt.dir || name != tt.name):
			t.Errorf("ResolveParent(%q) = %q %q", tt.path, dir.Path(), name)
		}
	}
}

func TestAllows(t *testing.T) {
	t.Parallel()
	id := account.Identity{UID: 1, GID: 2, Groups: []uint32{3}}
	for _, tt := range []struct {
		uid, gid uint32
		mode     uint16
		want     Access
		ok       bool
	}{
		{1, 9, 0o700, Read | Write | Exec, true},
		{1, 9, 0o077, Read, false},
		{9, 3, 0o4750, Read | Exec, true},
		{9, 2, 0o707, Write, false},
		{9, 9, 0o775, Write, false},
		{9, 9, 0o000, 0, true},
	} {
		if got := Allows(id, tt.uid, tt.gid, tt.mode, tt.want); got != tt.ok {
			t.Errorf("Allows(%d:%d %04o, %v) = %v", tt.uid, tt.gid, tt.mode, tt.want, got)
		}
	}
}
