package entrypoint

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"unroot/internal/finding"
)

// FuzzRead reads arbitrary bytes as an entrypoint script: it never panics, gives the same story twice,
// and the edits of a script that parses leave one that parses.
func FuzzRead(f *testing.F) {
	cases, _ := filepath.Glob("testdata/*.txtar")
	for _, name := range cases {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range txtar.Parse(data).Files {
			if strings.HasPrefix(file.Name, "/") {
				f.Add(file.Data, true)
				f.Add(file.Data, false)
			}
		}
	}
	for _, s := range []string{
		"set -e\nexec gosu \\\n app >/x \"$@\"", "su - x -c 'a' <<E\nE\n", "f() { f; f; }; f", ". /e.sh\n. /e.sh", "set -- \"$@\" \"$@\"\nset -- \"$@\" \"$@\"", "x=$x$x$x;x=$x$x",
		"chown a b && chown c d || exit", "set -e; chmod 1 a | cat; chown \\\n$x", "for f in /*; do . $f; done", "eval \"$1\"", "case $x in *) chown a b;; esac", "${x:=$(chown a b)}",
		"exec sudo \"-E\" 'x' y", "set -e;`chown a b`", "set -e\nchown a b\r\n", "sh -c \"chown a '$x'\"", "sh -c 'sh -c \"chown a b\"'", "a=(x gosu y); \"${a[@]}\" z", "while read -r f; do $f; done < <(find /)",
		"set -e;env -i chown a b&", "\x00", "\xff\xfe set -e", "#!/bin/sh -e\nchown a b", "{ chown a b; } || exit 1", "trap 'chown a b' EXIT", "find . -exec chown a {} + ;", "setpriv --reuid=1 --clear-groups x", "chpst -u a -e d x",
	} {
		f.Add([]byte(s), true)
		f.Add([]byte(s), false)
	}
	f.Fuzz(func(t *testing.T, script []byte, isBash bool) {
		interp := map[bool]string{true: "/bin/bash", false: "/bin/sh"}[isBash]
		fs := tree{}
		fs.add(File{Path: "/e.sh", Content: script, Interp: interp, Executable: true})
		fs.add(File{Path: interp, ELF: true, Executable: true})
		start := Start{Entrypoint: []string{"/e.sh"}, Cmd: []string{"server", "-x"}, Env: []string{"DATA=/data"}}
		began := time.Now()
		story := Read(fs, start)
		if took := time.Since(began); took > 20*time.Second {
			t.Fatalf("reading took %v", took)
		}
		if diff := cmp.Diff(story, Read(fs, start)); diff != "" {
			t.Fatalf("two readings differ:\n%s", diff)
		}
		var edits []finding.Edit
		for _, task := range story.Tasks {
			if task.Script == "/e.sh" {
				if task.Start < 0 || task.End < task.Start || task.End > len(script) {
					t.Fatalf("task at [%d, %d) of %d bytes", task.Start, task.End, len(script))
				}
				edits = append(edits, task.Edits...)
			}
		}
		out, err := finding.Apply(script, edits)
		if err != nil {
			t.Fatal(err)
		}
		if len(edits) > 0 {
			if _, err := parse(string(out), map[bool]dialect{true: bash, false: posix}[isBash]); err != nil {
				t.Fatalf("after the edits: %v\n%q", err, out)
			}
		}
	})
}

// FuzzWithoutStepDown takes step-down tools out of arbitrary words: it never panics and ends.
func FuzzWithoutStepDown(f *testing.F) {
	for _, s := range []string{"gosu a b", "su -c x y", "sudo -u", "tini -- gosu a b", "start-stop-daemon -c a -x b", "env A=b chpst -u a:b c", "capsh --user=x -- -c y", "chroot --userspec=a / b", "s6-applyuidgid -u 1 -g 2 x", "runuser -u a -- b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		argv := strings.Split(line, " ")
		rest, _, _, ok := WithoutStepDown(argv)
		if !ok && !cmp.Equal(argv, rest) {
			t.Fatalf("nothing was found in %q, and %q is left", argv, rest)
		}
		if again, _, _, more := WithoutStepDown(rest); more {
			t.Fatalf("%q leaves %q, which leaves %q", argv, rest, again)
		}
	})
}
