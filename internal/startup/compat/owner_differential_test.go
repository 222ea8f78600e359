//go:build linux && amd64

package compat

import (
	"bytes"
	"fmt"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"unroot/internal/oracle"
)

// arbitrary is a user whom no image knows, with no right at all.
var arbitrary = []string{"--reuid=1000700000", "--regid=0", "--clear-groups", "--no-new-privs", "--bounding-set=-all"}

// The judge is the kernel with a true root: whatever a tree of processes does with its files, it is told
// the same of their owners by the supervisor.
func TestOwnersAsTheKernelHasThem(t *testing.T) {
	t.Parallel()
	lab := newLab(t)
	programs := map[string]string{"amd64": lab.program(t, "amd64"), "386": lab.program(t, "386")}
	for seed := range int64(8) {
		arch := []string{"amd64", "386"}[seed%2]
		t.Run(fmt.Sprintf("%s-%d", arch, seed), func(t *testing.T) {
			t.Parallel()
			g := generator{rand.New(rand.NewSource(seed))}
			scripts := map[string]string{"main": g.scripts(), "child": g.child()}
			want := lab.run(t, programs[arch], scripts, nil)
			got := lab.run(t, programs[arch], scripts, append(arbitrary, lab.init, "consistent"))
			if diff := cmp.Diff(strings.Split(want, "\n"), strings.Split(got, "\n")); diff != "" {
				t.Errorf("-kernel +supervisor:\n%s\n%s", diff, got)
			}
		})
	}
}

// lab is where programs are run as the true root and as nobody.
type lab struct {
	init   string
	dir    string
	before []string // a command that ends with what is to be run
}

func newLab(t *testing.T) *lab {
	t.Helper()
	if os.Getuid() != 0 {
		oracle.Missing(t, "root, who is the judge")
	}
	oracle.Program(t, "setpriv")
	dir, err := os.MkdirTemp("", "unroot-owner-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	l := &lab{init: filepath.Join(dir, "owned"), dir: dir}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	buildFor(t, "amd64", l.init, "./testdata/owned")
	return l
}

func buildFor(t *testing.T, arch, output, name string) {
	t.Helper()
	cmd := exec.Command("go", "build", "-o", output, name)
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH="+arch, "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building %s for %s: %v\n%s", name, arch, err, out)
	}
}

func (l *lab) program(t *testing.T, arch string) string {
	t.Helper()
	output := filepath.Join(l.dir, "ownerprobe-"+arch)
	buildFor(t, arch, output, "./testdata/ownerprobe")
	return output
}

// run gives what a program prints in an empty directory, started behind words of setpriv.
func (l *lab) run(t *testing.T, program string, scripts map[string]string, as []string) string {
	t.Helper()
	root, err := os.MkdirTemp(l.dir, "run-")
	if err != nil {
		t.Fatal(err)
	}
	work := filepath.Join(root, "work")
	owner := 0
	if as != nil {
		owner = 1000700000
	} else {
		as = []string{"--clear-groups"}
	}
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check(os.Chmod(root, 0o755))
	check(os.Mkdir(work, 0o755))
	check(os.Chmod(work, 0o777))
	check(os.Chown(work, owner, 0))
	for name, text := range scripts {
		check(os.WriteFile(filepath.Join(root, name), []byte(text), 0o644))
	}
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), "env", slices.Concat(l.before, []string{"setpriv"}, as, []string{program, "../main"})...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"}
	cmd.Dir, cmd.Stdout, cmd.Stderr, cmd.WaitDelay = work, &stdout, &stderr, time.Second
	if err := cmd.Run(); err != nil {
		t.Fatalf("%q: %v\n%s%s", cmd.Args, err, stdout.String(), stderr.String())
	}
	return stdout.String()
}

// generator makes scripts for the probe. What is left out is what only real permissions allow or forbid.
type generator struct{ *rand.Rand }

func (g generator) pick(words ...string) string { return words[g.Intn(len(words))] }

// scripts is what root does, before and after a child that becomes another user.
func (g generator) scripts() string {
	b := g.ops("a", 60, true)
	b = append(b, "peer", "script ../child", "ids")
	b = append(b, g.ops("c", 40, true)...)
	b = append(b, "sleep 20", "setgroups 34 35", "setgid 33", "setuid 33", "setuid 0", "ids", "peer", "sleep 20")
	b = append(b, g.ops("e", 40, false)...)
	return strings.Join(b, "\n") + "\n"
}

func (g generator) child() string {
	b := []string{"sleep 20", "setgroups 34", "setgid 33", "seteuid 33", "sleep 20"}
	b = append(b, g.ops("b", 40, false)...)
	b = append(b, "seteuid 0", "ids")
	b = append(b, g.ops("d", 10, true)...)
	b = append(b, "setuid 33", "ids", "seteuid 0", "peer")
	return strings.Join(b, "\n") + "\n"
}

// ops is operations on the files that a phase makes, and questions on those that root made before it.
func (g generator) ops(pool string, n int, root bool) []string {
	var b []string
	name := func() string { return pool + g.pick("0", "1", "2", "3", "4") }
	ids := []string{"33", "34", "0", "-1", "77777"}
	b = append(b, "make "+name()+" 0644", "mkdir "+name()+" 0755", "symlink "+name()+" "+name())
	for range n {
		it := name()
		looked := it
		if g.Intn(3) == 0 {
			looked = g.pick("a", "b", "d", "c") + g.pick("0", "1", "2", "3", "4")
		}
		switch g.Intn(14) {
		case 0, 1:
			b = append(b, g.pick("make", "make", "mkdir", "mkfifo")+" "+it+" "+g.pick("0644", "0755", "0666"))
		case 2:
			b = append(b, "symlink "+name()+" "+it)
		case 3:
			b = append(b, "rename "+name()+" "+it)
		case 4:
			b = append(b, "link "+name()+" "+it)
		case 5:
			b = append(b, "unlink "+it)
		case 6:
			modes := []string{"0644", "0755", "0664"}
			if root && strings.HasPrefix(looked, pool) {
				modes = append(modes, "04755", "04644")
			}
			b = append(b, g.pick("chmod", "fchmod")+" "+looked+" "+g.pick(modes...))
		case 7, 8, 9, 10:
			b = append(b, g.pick("chown", "lchown", "chownat", "fchown", "fchownempty")+" "+looked+" "+g.pick(ids...)+" "+g.pick(ids...))
		}
		b = append(b, g.pick("stat", "lstat", "fstat", "fstatat", "fstatempty", "statx")+" "+looked)
	}
	return b
}
