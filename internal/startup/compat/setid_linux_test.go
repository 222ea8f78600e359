//go:build linux && amd64

package compat

import (
	"io"
	"math/rand"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// setIDs is copies of a program that become somebody else.
var setIDs = map[string]struct {
	uid, gid int
	mode     os.FileMode
}{
	"plain":      {0, 0, 0o755},
	"rootly":     {0, 0, 0o755 | os.ModeSetuid},
	"grouply":    {0, 2000, 0o755 | os.ModeSetgid},
	"lowly":      {1000, 1000, 0o755 | os.ModeSetuid},
	"both":       {0, 33, 0o755 | os.ModeSetuid | os.ModeSetgid},
	"locked":     {33, 2000, 0o745 | os.ModeSetgid},
	"rootGroups": {33, 0, 0o755 | os.ModeSetgid},
}

// The judge is the kernel with a true root: programs with set-id bits, executed by a user that root became, by
// each other, after rights were given up for good, and under no_new_privs.
func TestSetIDsAsTheKernelHasThem(t *testing.T) {
	t.Parallel()
	h := newHall(t)
	believing := h.compile(t, "believing")
	for name, p := range setIDs {
		h.copy(t, believing, name, p.uid, p.gid, p.mode)
	}
	scripts := map[string][]string{"as exim does": {
		"libc setgroups 33", "libc setgid 33", "libc setuid 33", "exec plain", "ASK", "exec rootly", "ASK", // real 33, effective 0
		"call amd64 105 0", "ASK", "call amd64 113 33 0", "exec plain", "ASK", "exec rootly", "ASK",
		"call amd64 117 33 33 33", "ASK", "call amd64 105 0", "ASK", "exec plain", "call amd64 105 0", "ASK",
	}, "for good": {
		"libc setuid 33", "exec rootly", "call amd64 105 33", "call amd64 105 0", "ASK", "exec plain", "call amd64 105 0", "ASK",
	}, "no_new_privs": {
		"libc setuid 33", "call amd64 157 39 0 0 0 0", "call amd64 157 38 0 0 0 0", "call amd64 157 38 1 0 0 7", "exec rootly", "ASK", "libc setuid 33",
		"call i386 172 38 1 0 0 0", "call amd64 157 39 0 0 0 0", "call amd64 157 39 0 1 0 0", "exec rootly", "ASK", "exec grouply", "ASK", "fork 2", "exec rootly", "call amd64 107",
	}, "children": {
		"libc setuid 33", "fork 4", "exec rootly", "call amd64 118 b0 b8 b16", "show 0 24", "call amd64 105 0", "ASK", "exec grouply", "fork 2", "exec plain", "call amd64 108", "ASK",
	}}
	for seed := range int64(12) {
		scripts[strconv.FormatInt(seed, 10)] = randomSetIDs(seed)
	}
	for name, lines := range scripts {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := &script{Rand: rand.New(rand.NewSource(7))}
			for _, line := range lines {
				if line == "ASK" {
					g.ask()
				} else {
					g.add("%s", line)
				}
			}
			path := h.path("set-" + strings.ReplaceAll(name, " ", "-"))
			if err := os.WriteFile(path, []byte(strings.Join(g.lines, "\n")+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			want := h.says(t, "", believing, path)
			if strings.Count(want, "\n") < 20 || strings.Contains(want, "failed") {
				t.Fatalf("the kernel's root did nothing:\n%s", want)
			}
			got := h.says(t, "consistent", believing, path)
			if diff := cmp.Diff(strings.Split(want, "\n"), strings.Split(got, "\n")); diff != "" {
				t.Errorf("-kernel +supervisor:\n%s", diff)
			}
		})
	}
}

// randomSetIDs changes identities and executes, in turns.
func randomSetIDs(seed int64) []string {
	g := &script{Rand: rand.New(rand.NewSource(seed))}
	g.add("call amd64 117 %s %s %s", g.id(), g.pick("33", "1000"), g.id())
	for range 8 {
		for range g.Intn(3) {
			g.call()
		}
		g.add("exec %s", g.pick("plain", "rootly", "rootly", "grouply", "lowly", "both", "locked", "rootGroups"))
		g.ask()
	}
	return g.lines
}

// copy puts a program into the hall under another name.
func (h *hall) copy(t *testing.T, program, name string, uid, gid int, mode os.FileMode) {
	t.Helper()
	from, err := os.Open(program)
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	to, err := os.Create(h.path(name))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(to, from); err != nil {
		t.Fatal(err)
	}
	if err := to.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(h.path(name), uid, gid); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(h.path(name), mode); err != nil {
		t.Fatal(err)
	}
}

// A file from before the start belongs to whoever asks: for a program that is set-user-ID root, that is root, as
// for exim, which executes itself as its user and demands that root owns its configuration. A program that
// was given away makes who executes it that one.
func TestSetIDsAndOwners(t *testing.T) {
	t.Parallel()
	h := newHall(t)
	stat := "/usr/bin/stat"
	h.copy(t, stat, "rootly", 0, 0, 0o755|os.ModeSetuid)
	if err := os.Mkdir(h.path("work"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(h.path("config"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{h.path("work"), h.path("config")} {
		if err := os.Chown(path, 1000700000, 0); err != nil {
			t.Fatal(err)
		}
	}
	const script = `cd work; cp /usr/bin/stat given; cp /usr/bin/stat own; chown 1000 given; chmod 4755 given own
setpriv --reuid=33 --regid=33 --clear-groups sh -c '
stat -c "%u %a" ../config; ../rootly -c %u ../config; ./given -c %u ../config; ./own -c %u ../config; stat -c "%u %a" given own; id -u'
setpriv --reuid=33 --no-new-privs ../rootly -c %u ../config`
	const want = "33 600\n0\n1000\n0\n1000 4755\n0 4755\n33\n33\n"
	if got := h.says(t, "consistent", "sh", "-c", script); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
