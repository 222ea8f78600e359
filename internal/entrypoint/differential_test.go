package entrypoint

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"unroot/internal/finding"
	"unroot/internal/oracle"
)

// writer makes random scripts whose "chown a /p/N" commands are probes: a real shell logs which of them
// it reaches, and the reader says which it would.
type writer struct {
	rng    *rand.Rand
	b      strings.Builder
	probes int
	depth  int
	funcs  int
	bash   bool
	ash    bool
	inFunc bool
	inOpen bool // under a condition that nobody can know: errexit is then not known either, and taken for on
}

func (w *writer) pick(options ...string) string { return options[w.rng.IntN(len(options))] }

func (w *writer) probe() string {
	w.probes++
	return fmt.Sprintf("chown a /p/%d", w.probes)
}

func (w *writer) line(format string, args ...any) {
	w.b.WriteString(strings.Repeat("\t", w.depth))
	fmt.Fprintf(&w.b, format+"\n", args...)
}

// uidTest is a condition about the user.
func (w *writer) uidTest() string {
	tests := []string{`[ "$(id -u)" = 0 ]`, "[ `id -u` -eq 0 ]", `[ "$(id -u)" != '0' ]`, `test "$(id -u)" -ne 0`, `[ "$me" = root ]`, `[ "$uid" -gt 0 ]`,
		`[ "$(id -u)" = 0 -a -n x ]`, `is_root`, `! is_root`, `[ ! "$uid" = 0 ]`, `[ 0 -lt "$uid" ]`, `[ "$uid" -lt 1 ]`, `[ "$(id -un)" != root ]`, `[ "$(uid_of)" = 0 ]`}
	if w.bash {
		tests = append(tests, `[[ $(id -u) == 0 ]]`, `[[ "$uid" -ne 0 && -n "x" ]]`, `(( uid == 0 ))`, `(( EUID ))`, `[[ $me == r* ]]`, `[[ ! $EUID -eq 0 ]]`)
	}
	return w.pick(tests...)
}

// otherTest is a condition that is not about the user. The image as it is decides all but the last two.
func (w *writer) otherTest() string {
	return w.pick(`[ -n "$UNSET" ]`, `[ "$1" = server ]`, `[ "$KNOWN" = yes ]`, `true`, `false`, `[ "${UNSET:-x}" = x ]`, `[ "${1#s}" != "$1" ]`, `flag 0`, `flag 1`)
}

func (w *writer) cond() string {
	switch w.rng.IntN(6) {
	case 0:
		return w.uidTest() + " && " + w.otherTest()
	case 1:
		return w.otherTest() + " || " + w.uidTest()
	case 2, 3:
		return w.otherTest()
	}
	return w.uidTest()
}

func (w *writer) block(n int) {
	w.depth++
	for range n {
		w.statement()
	}
	w.depth--
}

func (w *writer) statement() {
	n := w.rng.IntN(26)
	if w.depth > 3 {
		n = w.rng.IntN(10)
	}
	if n < 10 {
		w.simple(n)
	} else {
		w.compound(n)
	}
}

func (w *writer) simple(n int) {
	switch n {
	case 0, 1, 2:
		w.line("%s", w.probe())
	case 3:
		w.line("%s || true", w.probe())
	case 4:
		w.line("%s || exit 3", w.probe())
	case 5:
		w.line("! %s; :", w.probe()) // what a plain command gives is taken for success, not known
	case 6:
		cond := w.cond()
		if w.rng.IntN(3) == 0 { // a function or a subshell that ends with this fails as a whole
			w.line("%s && %s", w.uidTest(), w.probe())
			return
		}
		if strings.Contains(cond, "flag") { // a plain command before && is expected to work
			cond = w.uidTest()
		}
		w.line("%s && %s || :", cond, w.probe())
	case 7:
		w.line("%s || %s", w.uidTest(), w.probe())
	case 8:
		if w.inOpen {
			w.line(":")
			return
		}
		w.line("%s", w.pick("set -e", "set +e", "set -eu; set +u", "set -o errexit"))
	case 9:
		w.line("%s && %s; :", w.probe(), w.probe())
	}
}

func (w *writer) compound(n int) {
	switch n {
	case 10, 11, 12:
		was, cond := w.inOpen, w.cond()
		defer func() { w.inOpen = was }()
		w.inOpen = was || strings.Contains(cond, "flag")
		w.line("if %s; then", cond)
		w.block(1 + w.rng.IntN(2))
		if w.rng.IntN(2) == 0 {
			cond = w.cond()
			w.inOpen = w.inOpen || strings.Contains(cond, "flag")
			w.line("elif %s; then", cond)
			w.block(1)
		}
		if w.rng.IntN(2) == 0 {
			w.line("else")
			w.block(1)
		}
		w.line("fi")
	case 13:
		w.line(`case "%s" in`, w.pick("$(id -u)", "$uid", "$1", "$KNOWN", "$me"))
		w.line("%s) %s ;;", w.pick("0", "root", "server", "[1-9]*", "no|yes"), w.probe())
		w.line("*) %s ;;\nesac", w.probe())
	case 14, 15:
		w.function()
	case 16:
		w.line("(%s", w.pick("", " set -e", " set +e"))
		w.block(2)
		w.line(")%s", w.pick("", " || true", ""))
	case 17:
		w.line("%s | cat", w.probe())
	case 18:
		w.line("echo | %s", w.probe())
	case 19:
		if w.ash { // it takes errexit off in $( ), dash does not: the reader takes it for on
			w.line("x=$(%s)", w.probe())
			return
		}
		w.line("x=$(%s; %s)", w.probe(), w.probe())
	case 20:
		w.line("if ! %s; then\n exit 3\nfi", w.probe())
	case 21:
		w.line("for i in a b; do")
		w.block(2)
		w.line("done")
	case 22:
		if w.inFunc {
			w.line("if %s; then return 0; fi", w.uidTest())
		} else {
			w.line("{ %s; %s; } || :", w.probe(), w.probe())
		}
	case 23:
		if w.inOpen { // whether the rest is reached at all is then not known
			w.line(":")
			return
		}
		w.line("if %s; then %s; exec server \"$@\"; fi", w.uidTest(), w.probe())
	case 24:
		w.line("export y=$(%s) z=1", w.probe())
	case 25:
		w.line("if [ -n \"$UNSET\" ]; then %s; exit 0; fi", w.probe())
	}
}

func (w *writer) function() {
	w.funcs++
	name := fmt.Sprintf("f%d", w.funcs)
	was := w.inFunc
	w.inFunc = true
	w.line("%s() {", name)
	w.block(2)
	w.line("%s}", w.pick("\t:\n", ""))
	w.inFunc = was
	w.line("%s", w.pick(name, name+" || true", "if "+name+"; then :; fi", name+" && :", name+" || exit 4", "( "+name+" )", name+" | cat"))
}

func (w *writer) script() string {
	w.line("is_root() { [ \"$(id -u)\" -eq 0 ]; }\nuid_of() { id -u; }\nuid=$(id -u)\nme=`whoami`")
	w.block(8)
	w.line("exec server \"$@\"")
	return w.b.String()
}

// prelude answers for the system: the user is $FAKE, the probe $FAIL fails, all of them are logged.
const prelude = `chown() { echo "$2" >> "$LOG"; case "$FAIL" in "$2"|all) return 1 ;; esac; }
id() { case "$1" in -u) echo "$FAKE" ;; *) whoami ;; esac; }
whoami() { if [ "$FAKE" = 0 ]; then echo root; else echo app; fi; }
flag() { return "$1"; }
`

// shellRun is a real shell with the prelude.
type shellRun struct {
	shell []string
	dir   string
	t     *testing.T
}

// run gives what was logged by a start as the uid with one failing probe, and whether the start worked.
func (s shellRun) run(script, uid, fail string) (log []string, works bool) {
	s.t.Helper()
	file, logFile := filepath.Join(s.dir, "script"), filepath.Join(s.dir, "log")
	os.Remove(logFile)
	text := prelude + strings.ReplaceAll(script, "EUID", "FAKE")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	cmd := exec.Command(s.shell[0], append(s.shell[1:len(s.shell):len(s.shell)], file, "server")...)
	cmd.Env = []string{"PATH=" + s.dir + ":/usr/bin:/bin", "KNOWN=yes", "LOG=" + logFile, "FAKE=" + uid, "FAIL=" + fail}
	out, err := cmd.CombinedOutput()
	if err != nil && strings.Contains(string(out), "yntax") {
		s.t.Fatalf("%s: %v\n%s\n%s", s.shell, err, out, text)
	}
	data, _ := os.ReadFile(logFile)
	log = strings.Fields(string(data))
	return log, err == nil && slices.Contains(log, "server")
}

// TestAgainstShells compares what the reader says of random scripts with what dash and bash do: who
// reaches a command, whether its failure ends the start, and that the edits mend it.
func TestAgainstShells(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"dash", "bash", "busybox"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := shellRun{[]string{oracle.Program(t, name)}, t.TempDir(), t}
			if name == "busybox" {
				s.shell = append(s.shell, "ash")
			}
			server := "#!/bin/sh\necho server >> \"$LOG\"\n"
			if err := os.WriteFile(filepath.Join(s.dir, "server"), []byte(server), 0o700); err != nil {
				t.Fatal(err)
			}
			n := 50
			if testing.Short() {
				n = 10
			}
			from, _ := strconv.Atoi(os.Getenv("UNROOT_SEED")) // for a longer search by hand
			for seed := from; seed < from+n; seed++ {
				s.compare(uint64(seed), name == "bash")
				if t.Failed() {
					return
				}
			}
		})
	}
}

func (s shellRun) compare(seed uint64, isBash bool) {
	w := &writer{rng: rand.New(rand.NewPCG(seed, 7)), bash: isBash, ash: len(s.shell) > 1}
	script := w.script()
	interp := "/bin/sh"
	if isBash {
		interp = "/bin/bash"
	}
	fs := tree{}
	fs.add(File{Path: "/e.sh", Content: []byte(script), Interp: interp, Executable: true})
	fs.add(File{Path: interp, ELF: true, Executable: true})
	fs.add(File{Path: "/bin/server", ELF: true, Executable: true})
	story := Read(fs, Start{Entrypoint: []string{"/e.sh"}, Cmd: []string{"server"}, Env: []string{"KNOWN=yes"}})
	root, _ := s.run(script, "0", "")
	other, worked := s.run(script, "1000", "")
	var edits []finding.Edit
	told := map[string]bool{}
	for _, task := range story.Tasks {
		probe := task.Paths[0].Value
		told[probe] = true
		s.check(seed, script, task, slices.Contains(root, probe), slices.Contains(other, probe))
		edits = append(edits, task.Edits...)
		if slices.Contains(other, probe) && worked {
			if _, works := s.run(script, "1000", probe); works == task.Fatal {
				s.t.Errorf("seed %d: %s: the start works without it: %v, told to be fatal: %v\n%s", seed, task.Text, works, task.Fatal, script)
			}
		}
	}
	for _, probe := range slices.Concat(root, other) {
		if probe != "server" && !told[probe] {
			s.t.Errorf("seed %d: %s was run and is no task\n%s", seed, probe, script)
		}
	}
	mended, err := finding.Apply([]byte(script), edits)
	if err != nil {
		s.t.Fatal(err)
	}
	if _, works := s.run(string(mended), "1000", "all"); worked && !works {
		s.t.Errorf("seed %d: the edited script does not reach its program\n%s", seed, mended)
	}
}

func (s shellRun) check(seed uint64, script string, task Task, root, other bool) {
	wrong := ""
	switch {
	case task.Guard == RootOnly && other:
		wrong = "another user got there"
	case task.Guard == NonRootOnly && root:
		wrong = "root got there"
	case task.Guard == Always && !task.Unlikely && (!root || !other):
		wrong = fmt.Sprintf("root got there: %v, another user: %v", root, other)
	}
	if wrong != "" {
		s.t.Errorf("seed %d: %s is told to be %v, but %s\n%s", seed, task.Text, task.Guard, wrong, script)
	}
}
