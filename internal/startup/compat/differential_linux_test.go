//go:build linux && amd64

package compat

import (
	"bytes"
	"context"
	"fmt"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"unroot/internal/oracle"
)

// hall is where programs are started as root by the kernel's grace, with the capabilities that engines
// leave it, and as a user without any, answered.
type hall struct{ dir string }

func newHall(t testing.TB) *hall {
	t.Helper()
	oracle.Root(t)
	oracle.Program(t, "setpriv")
	dir, err := os.MkdirTemp("", "unroot-compat-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	h := &hall{dir}
	h.build(t, exec.Command("go", "build", "-o", h.path("answering"), "./testdata/answering"))
	return h
}

func (h *hall) path(name string) string { return filepath.Join(h.dir, name) }

func (h *hall) build(t testing.TB, cmd *exec.Cmd) {
	t.Helper()
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%q: %v\n%s", cmd.Args, err, out)
	}
}

// compile builds a program of testdata, which can be started in this hall.
func (h *hall) compile(t testing.TB, name string) string {
	t.Helper()
	oracle.Program(t, "gcc")
	h.build(t, exec.Command("gcc", "-O1", "-static", "-no-pie", "-pthread", "-w", "-o", h.path(name), filepath.Join("testdata", name, name+".c")))
	return h.path(name)
}

// engineCapsWords is engineCaps for setpriv.
const engineCapsWords = "+chown,+dac_override,+fowner,+fsetid,+kill,+setgid,+setuid,+setpcap,+net_bind_service,+net_raw,+sys_chroot,+mknod,+audit_write,+setfcap"

var (
	trueRoot   = []string{"setpriv", "--clear-groups", "--bounding-set=-all," + engineCapsWords}
	anyoneElse = []string{"setpriv", "--reuid=1000700000", "--regid=0", "--clear-groups", "--no-new-privs", "--bounding-set=-all"}
)

// as gives the command that runs a program answered as a step says; "": by the kernel, as root.
func (h *hall) as(ctx context.Context, step string, program ...string) *exec.Cmd {
	if path, err := exec.LookPath(program[0]); err == nil {
		program = append([]string{path}, program[1:]...)
	}
	words := trueRoot
	if step != "" {
		words = append(anyoneElse[:len(anyoneElse):len(anyoneElse)], h.path("answering"), step)
	}
	words = append(words[:len(words):len(words)], program...)
	words = append([]string{"unshare", "--pid", "--fork", "--kill-child", "--mount-proc"}, words...)
	cmd := exec.CommandContext(ctx, words[0], words[1:]...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "HOME=/"}
	cmd.Dir, cmd.WaitDelay = h.dir, time.Second
	return cmd
}

// says gives all that a program prints.
func (h *hall) says(t testing.TB, step string, program ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	var out bytes.Buffer
	cmd := h.as(ctx, step, program...)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		fmt.Fprintf(&out, "(%v)\n", err)
	}
	return out.String()
}

// TestBelievesAsTheKernelDoes has the kernel for its judge: whatever a tree of processes does with its
// identities, by both ABIs, it is answered as if it were root.
func TestBelievesAsTheKernelDoes(t *testing.T) {
	t.Parallel()
	h := newHall(t)
	believing := h.compile(t, "believing")
	seeds := int64(24)
	if n, err := strconv.Atoi(os.Getenv("UNROOT_COMPAT_SEEDS")); err == nil {
		seeds = int64(n)
	}
	for seed := range seeds {
		t.Run(strconv.FormatInt(seed, 10), func(t *testing.T) {
			t.Parallel()
			g := &script{Rand: rand.New(rand.NewSource(seed))}
			g.block(3, 14)
			path := h.path("script-" + strconv.FormatInt(seed, 10))
			if err := os.WriteFile(path, []byte(strings.Join(g.lines, "\n")+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			want := h.says(t, "", believing, path)
			if strings.Count(want, "\n") < 20 {
				t.Fatalf("the kernel's root did nothing:\n%s", want)
			}
			got := h.says(t, "identities", believing, path)
			if diff := cmp.Diff(strings.Split(want, "\n"), strings.Split(got, "\n")); diff != "" {
				t.Errorf("-kernel +supervisor:\n%s", diff)
			}
		})
	}
}

// script is lines for testdata/believing.
type script struct {
	*rand.Rand
	lines []string
}

func (g *script) add(format string, args ...any) {
	g.lines = append(g.lines, fmt.Sprintf(format, args...))
}

func (g *script) pick(words ...string) string { return words[g.Intn(len(words))] }

// inner gives the lines that a part adds, taken out again.
func (g *script) inner(depth, n int) []string {
	before := len(g.lines)
	g.block(depth, n)
	lines := append([]string(nil), g.lines[before:]...)
	g.lines = g.lines[:before]
	return lines
}

// block is n steps; some of them are other processes, whose steps are nested.
func (g *script) block(depth, n int) {
	for range n {
		if depth > 0 && g.Intn(4) == 0 {
			g.relate(depth - 1)
			continue
		}
		if g.Intn(24) == 0 {
			g.add("%s", g.pick("exec", "noexec"))
		}
		g.call()
		if g.Intn(2) == 0 {
			g.ask()
		}
	}
	g.ask()
}

func (g *script) relate(depth int) {
	part := func() []string { return g.inner(depth, 2+g.Intn(6)) }
	a, b, c := part(), part(), part()
	put := func(head string, parts ...[]string) {
		for _, p := range parts {
			head += " " + strconv.Itoa(len(p))
		}
		g.lines = append(g.lines, head)
		for _, p := range parts {
			g.lines = append(g.lines, p...)
		}
	}
	switch g.Intn(5) {
	case 0:
		put("fork", a)
	case 1:
		put("vfork", plain(a))
		g.add("call amd64 157 4 1") // dumpable is what the memory is, and the supervisor takes a child's for its own
	case 2:
		put("late", noExec(a), b)
	case 3:
		put("orphan", noExec(a), noExec(b), c)
	case 4:
		before := len(g.lines)
		g.ask()
		asks := append([]string(nil), g.lines[before:]...)
		g.lines = g.lines[:before]
		libc := []string{"libc setgroups " + g.id(), "libc setgid " + g.id(), "libc setuid " + g.id()}
		put("thread", append(libc[g.Intn(3):], asks...), asks)
	}
}

// noExec leaves out what would make a process forget whom it waits for.
func noExec(lines []string) []string {
	var kept []string
	for _, l := range lines {
		if l == "exec" {
			l = "noexec"
		}
		kept = append(kept, l)
	}
	return kept
}

// plain is what a process may do that has its parent's memory: calls alone.
func plain(lines []string) []string {
	var kept []string
	for _, l := range lines {
		switch word, _, _ := strings.Cut(l, " "); word {
		case "call", "put", "show", "noexec":
			kept = append(kept, l)
		}
	}
	return kept
}

func (g *script) id() string { return g.pick("0", "0", "33", "1000", "2000") }

func (g *script) idOrKeep() string { return g.pick(g.id(), g.id(), "0xffffffff") }

func (g *script) capability() string {
	return strconv.Itoa([]int{0, 1, 3, 6, 7, 7, 8, 12, 13, 18, 21, 40, 41, 64}[g.Intn(14)])
}

// nr gives an ABI, with a call's number in it; short is i386's of before Linux 2.4.
func (g *script) nr(wide, narrow, short int) string {
	switch n := g.Intn(6); {
	case n == 0 && short > 0:
		return "i386 " + strconv.Itoa(short)
	case n <= 1:
		return "i386 " + strconv.Itoa(narrow)
	}
	return "amd64 " + strconv.Itoa(wide)
}

// call is something that changes beliefs, perhaps.
func (g *script) call() {
	switch g.Intn(13) {
	case 0:
		g.add("call %s %s", g.nr(105, 213, 23), g.id())
	case 1:
		g.add("call %s %s", g.nr(106, 214, 46), g.idOrKeep())
	case 2:
		g.add("call %s %s %s", g.nr(113, 203, 70), g.idOrKeep(), g.idOrKeep())
	case 3:
		g.add("call %s %s %s", g.nr(114, 204, 71), g.idOrKeep(), g.idOrKeep())
	case 4:
		g.add("call %s %s %s %s", g.nr(117, 208, 164), g.idOrKeep(), g.idOrKeep(), g.idOrKeep())
	case 5:
		g.add("call %s %s %s %s", g.nr(119, 210, 170), g.idOrKeep(), g.idOrKeep(), g.idOrKeep())
	case 6:
		g.add("call %s %s", g.nr(g.either(122, 123), g.either(215, 216), g.either(138, 139)), g.idOrKeep())
	case 7:
		g.setgroups()
	case 8, 9:
		g.capset()
	default:
		g.prctl()
	}
}

func (g *script) either(a, b int) int { return []int{a, b}[g.Intn(2)] }

func (g *script) setgroups() {
	n := g.Intn(4)
	call, width := g.nr(116, 206, 81), 4
	if call == "i386 81" {
		width = 2
	}
	list := []string{g.id(), g.id(), g.id(), g.pick("70000", "5")}[:n]
	g.add("put 0 %d %s", width, strings.Join(list, " "))
	switch g.Intn(8) {
	case 0:
		g.add("call %s %s b0", call, g.pick("65537", "0xffffffff"))
	case 1:
		g.add("call %s 2 8", call)
	default:
		g.add("call %s %d b0", call, n)
	}
}

// capset takes sets of few bits, or the word's all, so that some succeed.
func (g *script) capset() {
	set := func() string {
		return g.pick("0", "0xa80425fb", "0xc0", "0x80", "0x1c1", "0x00040000", "0xffffffff", "0x100000000", "0xa8002d")
	}
	g.add("put 0 4 %s %s", g.pick("0x20080522", "0x20080522", "0x20071026", "0x19980330", "7", "0"), g.pick("0", "0", "0", "99999", "0xffffffff"))
	permitted := set()
	g.add("put 16 4 %s %s %s %s", g.pick(permitted, set()), permitted, g.pick("0", permitted, set()), g.pick("0", "0", "0", "1")+" 0 0")
	g.add("call %s b0 %s", g.nr(126, 185, 0), g.pick("b16", "b16", "b16", "b16", "0", "8"))
	g.add("show 0 8")
}

func (g *script) prctl() {
	nr := g.nr(157, 172, 0)
	switch g.Intn(6) {
	case 0:
		g.add("call %s 8 %s", nr, g.pick("0", "1", "1", "2"))
	case 1:
		g.add("call %s 24 %s", nr, g.capability())
	case 2:
		g.add("call %s 28 %s", nr, g.pick("0", "1", "3", "4", "12", "16", "48", "64", "0x55", "0xff", "0x5f", "0x10000"))
	case 3:
		g.add("call %s 4 %s", nr, g.pick("0", "1", "1", "2"))
	default:
		g.add("call %s 47 %s %s %s 0", nr, g.pick("1", "2", "2", "3", "4", "9"), g.pick("0", g.capability()), g.pick("0", "0", "0", "1"))
	}
}

// ask is all that a process can ask of itself.
func (g *script) ask() {
	g.add("call %s b0 b8 b16", g.nr(118, 209, 165))
	g.add("show 0 24")
	g.add("call %s b0 b8 %s", g.nr(120, 211, 171), g.pick("b16", "b16", "b16", "8"))
	g.add("show 0 24")
	for _, nr := range [][3]int{{102, 199, 24}, {107, 201, 49}, {104, 200, 47}, {108, 202, 50}} {
		g.add("call %s", g.nr(nr[0], nr[1], nr[2]))
	}
	g.add("call %s 0xffffffff", g.nr(122, 215, 138))
	g.add("call %s 0xffffffff", g.nr(123, 216, 139))
	g.add("call %s %s b0", g.nr(115, 205, 80), g.pick("10", "10", "0", "1", "0xffffffff"))
	g.add("show 0 24")
	g.add("put 0 4 %s %s", g.pick("0x20080522", "0x20080522", "0x20071026", "0x19980330", "5"), g.pick("0", "0", "0xffffffff", "99999"))
	g.add("call %s b0 %s", g.nr(125, 184, 0), g.pick("b16", "b16", "b16", "0", "8"))
	g.add("show 0 48")
	g.add("call %s 3", g.nr(157, 172, 0))
	g.add("call %s 7", g.nr(157, 172, 0))
	g.add("call %s 27", g.nr(157, 172, 0))
	g.add("call %s 23 %s", g.nr(157, 172, 0), g.capability())
	g.add("call %s 47 1 %s 0 0", g.nr(157, 172, 0), g.capability())
}
