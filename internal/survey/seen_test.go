package survey

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"unroot/internal/rootfs"
	"unroot/internal/trace"
)

// TestWrittenPaths: what must be writable for a call that was denied, and what must be readable.
func TestWrittenPaths(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		denial trace.Denial
		write  []string // a directory ends with a slash
		read   rootfs.Access
		reads  bool
	}{
		{name: "create", denial: trace.Denial{Kind: trace.Open, Path: "/run/x.pid", Want: "wc"}, write: []string{"/run/x.pid"}},
		{name: "read", denial: trace.Denial{Kind: trace.Open, Path: "/etc/x.conf", Want: "r"}, read: rootfs.Read, reads: true},
		{name: "access for writing", denial: trace.Denial{Kind: trace.Look, Path: "/var/lib/x", Want: "w"}, write: []string{"/var/lib/x"}},
		{name: "access of a program for writing", denial: trace.Denial{Kind: trace.Look, Path: "/usr/bin/df", Want: "w"}},
		{name: "stat", denial: trace.Denial{Kind: trace.Look, Path: "/root/x"}, reads: true},
		{name: "mkdir", denial: trace.Denial{Kind: trace.Make, Call: "mkdirat", Path: "/run/x"}, write: []string{"/run/x/"}},
		{name: "mknod", denial: trace.Denial{Kind: trace.Make, Call: "mknod", Path: "/run/fifo"}, write: []string{"/run/fifo"}},
		{name: "unlink", denial: trace.Denial{Kind: trace.Remove, Path: "/run/x.pid"}, write: []string{"/run/"}},
		{name: "rename", denial: trace.Denial{Kind: trace.Rename, Path: "/a/new", Target: "/b/old"}, write: []string{"/a/", "/b/"}},
		{name: "symlink", denial: trace.Denial{Kind: trace.Link, Path: "/a/link", Target: "nowhere"}, write: []string{"/a/"}},
		{name: "chmod", denial: trace.Denial{Kind: trace.Mode, Path: "/a/file"}, write: []string{"/a/file"}},
		{name: "chown", denial: trace.Denial{Kind: trace.Owner, Path: "/a/file"}, write: []string{"/a/file"}},
		{name: "socket", denial: trace.Denial{Kind: trace.Bind, Addr: "unix /run/x.sock"}, write: []string{"/run/"}},
		{name: "abstract socket", denial: trace.Denial{Kind: trace.Bind, Addr: "unix @x"}},
		{name: "port", denial: trace.Denial{Kind: trace.Bind, Addr: "tcp 0.0.0.0:80", Errno: "EACCES"}},
		{name: "execute", denial: trace.Denial{Kind: trace.Exec, Path: "/app", Errno: "EACCES"}, read: rootfs.Exec, reads: true},
		{name: "execute with file capabilities", denial: trace.Denial{Kind: trace.Exec, Path: "/app", Errno: "EPERM"}, read: rootfs.Exec},
		{name: "enter", denial: trace.Denial{Kind: trace.Chdir, Path: "/app"}, read: rootfs.Exec, reads: true},
		{name: "setuid", denial: trace.Denial{Kind: trace.Identity, Call: "setuid", IDs: []int64{0}}},
	}
	for _, tt := range tests {
		var got []string
		for _, n := range writtenPaths(tt.denial) {
			p := n.Path
			if n.Dir {
				p += "/"
			}
			got = append(got, p)
		}
		if diff := cmp.Diff(tt.write, got); diff != "" {
			t.Errorf("%s writes: %s", tt.name, diff)
		}
		if read, ok := readWant(tt.denial); read != tt.read || ok != tt.reads {
			t.Errorf("%s reads %v, %v; want %v, %v", tt.name, read, ok, tt.read, tt.reads)
		}
	}
}

// TestMendable: a file in a directory that stays closed is beyond what an image can give.
func TestMendable(t *testing.T) {
	t.Parallel()
	tree, err := rootfs.Merge([]rootfs.Entry{
		{Path: "/", Kind: rootfs.Dir, Mode: 0o755}, {Path: "/etc", Kind: rootfs.Dir, Mode: 0o755}, {Path: "/etc/x.conf", Kind: rootfs.File, Mode: 0o644},
		{Path: "/bin", Kind: rootfs.Dir, Mode: 0o755}, {Path: "/bin/sh", Kind: rootfs.File, Mode: 0o755},
		{Path: "/run", Kind: rootfs.Dir, Mode: 0o755}, {Path: "/var", Kind: rootfs.Dir, Mode: 0o755}, {Path: "/var/lib", Kind: rootfs.Dir, Mode: 0o755},
	})
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		denial trace.Denial
		want   bool
	}{
		{trace.Denial{Kind: trace.Open, Path: "/etc/x.conf.tmp", Want: "wc"}, false},
		{trace.Denial{Kind: trace.Open, Path: "/etc/x.conf", Want: "w"}, true},
		{trace.Denial{Kind: trace.Open, Path: "/bin/sh", Want: "w"}, false},
		{trace.Denial{Kind: trace.Open, Path: "/tmpfile", Want: "wc"}, false},
		{trace.Denial{Kind: trace.Open, Path: "/run/x.pid", Want: "wc"}, true},
		{trace.Denial{Kind: trace.Open, Path: "/usr/tmp/x", Want: "wc"}, false},
		{trace.Denial{Kind: trace.Open, Path: "/var/lib/x/y", Want: "wc"}, true},
		{trace.Denial{Kind: trace.Make, Call: "mkdir", Path: "/var/lib/x"}, true},
		{trace.Denial{Kind: trace.Make, Call: "mkdir", Path: "/usr"}, false},
		{trace.Denial{Kind: trace.Rename, Path: "/etc/a", Target: "/etc/b"}, false},
		{trace.Denial{Kind: trace.Identity, Call: "setuid"}, true},
		{trace.Denial{Kind: trace.Open, Path: "/etc/secret", Want: "r"}, true},
	}
	for _, tt := range tests {
		if got := Mendable(tree, tt.denial); got != tt.want {
			t.Errorf("%+v: %v, want %v", tt.denial, got, tt.want)
		}
	}
}
