package layer

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"unroot/internal/oracle"
	"unroot/internal/rootfs"
)

// makeTree makes a folder with all that an archive may hold and an ordinary user may make.
func makeTree(t *testing.T, longNames bool) string {
	t.Helper()
	root := t.TempDir()
	write := func(name, content string, mode fs.FileMode) {
		p := filepath.Join(root, name)
		must(t, os.MkdirAll(filepath.Dir(p), 0o755))
		must(t, os.WriteFile(p, []byte(content), 0o600))
		must(t, os.Chmod(p, mode))
	}
	write("etc/passwd", "root:x:0:0\n", 0o644)
	write("etc/empty", "", 0o600)
	write("bin/su", "su", 0o755|fs.ModeSetuid)
	write("odd/a b\n\tc", "x", 0o644)
	write("odd/ümläut", "x", 0o640)
	write("odd/back\\slash", "x", 0o640)
	if longNames {
		write("long/"+strings.Repeat(strings.Repeat("d", 90)+"/", 4)+strings.Repeat("f", 200), "long", 0o644)
		must(t, os.Symlink(strings.Repeat("l/", 150), filepath.Join(root, "long/link")))
	}
	must(t, os.Symlink("../etc/passwd", filepath.Join(root, "odd/link")))
	must(t, os.Link(filepath.Join(root, "bin/su"), filepath.Join(root, "zz-hard")))
	must(t, syscall.Mkfifo(filepath.Join(root, "fifo"), 0o600))
	sparse := filepath.Join(root, "sparse.conf")
	must(t, os.WriteFile(sparse, []byte("begin"), 0o644))
	must(t, os.Truncate(sparse, 100<<20))
	must(t, os.Chmod(filepath.Join(root, "etc"), 0o755|fs.ModeSticky))
	return root
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// treeEntries is the tree as the kernel tells it; hard links are told apart by inode.
func treeEntries(t *testing.T, root string) []rootfs.Entry {
	t.Helper()
	var out []rootfs.Entry
	must(t, filepath.WalkDir(root, func(p string, _ fs.DirEntry, err error) error {
		must(t, err)
		var st unix.Stat_t
		must(t, unix.Lstat(p, &st))
		e := rootfs.Entry{
			Path: "/" + strings.TrimPrefix(strings.TrimPrefix(p, root), "/"), Mode: uint16(st.Mode & 0o7777),
			UID: st.Uid, GID: st.Gid, MTime: st.Mtim.Sec,
		}
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFREG:
			e.Kind, e.Size = rootfs.File, st.Size
		case unix.S_IFDIR:
			e.Kind = rootfs.Dir
		case unix.S_IFLNK:
			e.Kind = rootfs.Symlink
			e.Link, err = os.Readlink(p)
			must(t, err)
		case unix.S_IFIFO:
			e.Kind = rootfs.Fifo
		}
		out = append(out, e)
		return nil
	}))
	return out
}

// scannedEntries is the archive in the same form: sorted, hard links as the files that they are.
func scannedEntries(t *testing.T, archive []byte) (out []rootfs.Entry, links int, facts map[string]*rootfs.Facts) {
	t.Helper()
	files := map[string]rootfs.Entry{}
	facts = map[string]*rootfs.Facts{}
	for _, e := range mustScan(t, archive, ScanOptions{}).Entries {
		if e.Facts != nil {
			facts[e.Path] = e.Facts
		}
		e.Facts = nil
		if e.Kind == rootfs.Hardlink {
			links++
			target, ok := files[e.Link]
			if !ok {
				t.Fatalf("hard link to %q, which is not there yet", e.Link)
			}
			e.Kind, e.Size, e.Link = rootfs.File, target.Size, ""
		}
		files[e.Path] = e
		out = append(out, e)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Path < out[j].Path })
	return out, links, facts
}

// TestScanAgreesWithTar: what GNU tar and bsdtar write of a tree is the tree that the kernel tells.
func TestScanAgreesWithTar(t *testing.T) {
	t.Parallel()
	tests := []struct {
		program   string
		args      []string
		longNames bool
	}{
		{"tar", []string{"--format=gnu"}, true},
		{"tar", []string{"--format=gnu", "-S"}, true},
		{"tar", []string{"--format=oldgnu", "-S"}, true},
		{"tar", []string{"--format=pax"}, true},
		{"tar", []string{"--format=pax", "-S", "--sparse-version=0.0"}, true},
		{"tar", []string{"--format=pax", "-S", "--sparse-version=0.1"}, true},
		{"tar", []string{"--format=pax", "-S", "--sparse-version=1.0"}, true},
		{"tar", []string{"--format=ustar"}, false},
		{"tar", []string{"--format=v7"}, false},
		{"tar", []string{"--format=pax", "--pax-option=globexthdr.name=g,comment=x"}, true},
		{"bsdtar", []string{"--format=pax"}, true},
		{"bsdtar", []string{"--format=gnutar"}, true},
		{"bsdtar", []string{"--format=ustar"}, false},
	}
	for _, test := range tests {
		t.Run(fmt.Sprint(test.program, test.args), func(t *testing.T) {
			t.Parallel()
			program := oracle.Program(t, test.program)
			root := makeTree(t, test.longNames)
			if test.program == "tar" && strings.Contains(test.args[0], "v7") {
				must(t, os.Remove(filepath.Join(root, "fifo"))) // not in V7
			}
			want := treeEntries(t, root)
			cmd := exec.Command(program, append(test.args, "-cf", "-", "-C", root, ".")...)
			cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8")
			var errs bytes.Buffer
			cmd.Stderr = &errs
			archive, err := cmd.Output()
			if err != nil {
				t.Fatalf("%v: %s", err, errs.String())
			}
			sort.Slice(want, func(i, j int) bool { return want[i].Path < want[j].Path })
			got, links, facts := scannedEntries(t, archive)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-kernel +scan):\n%s", diff)
			}
			if links != 1 {
				t.Errorf("%d hard links", links)
			}
			if f := facts["/etc/passwd"]; f == nil || string(f.Content) != "root:x:0:0\n" {
				t.Errorf("content of /etc/passwd: %+v", f)
			}
		})
	}
}

// TestScanXattrsOfTar: attributes and capabilities as the programs store them.
func TestScanXattrsOfTar(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	p := filepath.Join(root, "ping")
	must(t, os.WriteFile(p, []byte("x"), 0o755))
	if out, err := exec.Command(oracle.Program(t, "setfattr"), "-n", "user.note", "-v", "a=b", p).CombinedOutput(); err != nil {
		oracle.Missing(t, "a file system with user attributes: %s", out)
	}
	keys := []string{"user.note"}
	if os.Geteuid() == 0 {
		out, err := exec.Command(oracle.Program(t, "setcap"), "cap_net_raw+ep", p).CombinedOutput()
		if err != nil {
			oracle.Missing(t, "a file system with capabilities: %s", out)
		}
		keys = append(keys, "security.capability")
	}
	want := map[string]string{}
	for _, k := range keys {
		b := make([]byte, 100)
		n, err := unix.Lgetxattr(p, k, b)
		must(t, err)
		want[k] = string(b[:n])
	}
	for program, args := range map[string][]string{
		"tar":    {"--format=pax", "--xattrs", "--xattrs-include=*"},
		"bsdtar": {"--format=pax", "--xattrs"},
	} {
		archive, err := exec.Command(oracle.Program(t, program), append(args, "-cf", "-", "-C", root, "ping")...).Output()
		must(t, err)
		got := mustScan(t, archive, ScanOptions{}).Entries[0].Facts
		if got == nil {
			t.Fatalf("%s: no attributes", program)
		}
		for _, k := range keys {
			if got.Xattrs[k] != want[k] {
				t.Errorf("%s: %s is %q, want %q", program, k, got.Xattrs[k], want[k])
			}
		}
	}
}

// TestDeltaUnpackedByTar: GNU tar makes of a delta the files that were meant, attributes included.
func TestDeltaUnpackedByTar(t *testing.T) {
	t.Parallel()
	oracle.Root(t)
	root := t.TempDir()
	cmd := exec.Command(oracle.Program(t, "tar"), "-xpf", "-", "-C", root, "--numeric-owner", "--same-owner", "--xattrs", "--xattrs-include=*")
	d := sampleDelta()
	d.Entries = append(d.Entries, dir("/bin", 0o755, 0, 0), dir("/etc", 0o755, 0, 0), dir("/opt", 0o755, 0, 0),
		dir("/run", 0o755, 0, 0), dir("/srv", 0o755, 0, 0), dir("/var", 0o755, 0, 0))
	if missing := d.Parents(); len(missing) > 0 {
		t.Fatalf("missing %q", missing)
	}
	cmd.Stdin = bytes.NewReader(written(t, d))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var want []rootfs.Entry
	for _, e := range wantEntries(t, d) {
		e.Facts = nil
		switch {
		case e.Kind == rootfs.Whiteout || e.Kind == rootfs.Opaque:
			continue
		case e.Kind == rootfs.Hardlink:
			e.Kind, e.Link, e.Size = rootfs.File, "", 4
		case e.Path == "/bin": // GNU tar has set its time before it makes the hard link in it
			e.MTime = 0
		}
		want = append(want, e)
	}
	sort.Slice(want, func(i, j int) bool { return want[i].Path < want[j].Path })
	var got []rootfs.Entry
	for _, e := range treeEntries(t, root) {
		if e.Path == "/bin" {
			e.MTime = 0
		}
		if !strings.Contains(e.Path, whiteoutPrefix) {
			got = append(got, e)
		}
	}
	sort.Slice(got, func(i, j int) bool { return got[i].Path < got[j].Path })
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +tar):\n%s", diff)
	}
	b := make([]byte, 10)
	if n, err := unix.Lgetxattr(filepath.Join(root, "bin/ping"), "user.b", b); err == nil && string(b[:n]) != "2" {
		t.Errorf("attribute is %q", b[:n])
	}
}
