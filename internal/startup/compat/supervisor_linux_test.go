//go:build linux && amd64

package compat

import (
	"context"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"unroot/internal/oracle"
	"unroot/internal/startup"
)

// Programs that change who they are, or look, say what they say to the kernel's root. su(1) is not among
// them: PAM reads /etc/shadow for it, which a mode keeps from the user.
func TestProgramsSayWhatTheySayToRoot(t *testing.T) {
	t.Parallel()
	h := newHall(t)
	for _, line := range []string{
		"id",
		"id -u; id -ru; id -G",
		"setpriv --reuid=33 --regid=33 --clear-groups id",
		"setpriv --reuid=33 --regid=33 --groups=33,4,1000 id",
		"setpriv --reuid=33 --regid=33 --clear-groups setpriv --reuid=0 id",
		"setpriv --reuid=33 --regid=33 --init-groups sh -c 'id; (id); sh -c id; exec id'",
		"setpriv --euid=33 id; setpriv --ruid=33 id; setpriv --egid=33 id",
		"setpriv --inh-caps=+chown --ambient-caps=+chown --reuid=33 --clear-groups sh -c 'id; setpriv --ambient-caps=-all id'",
		"setpriv --bounding-set=-chown id",
		"runuser -u www-data -- id",
		"runuser -u www-data -- runuser -u nobody -- id",
		"start-stop-daemon --start --chuid www-data:www-data --exec /usr/bin/id",
		"perl -e '$( = $) = \"33 33 4\"; $< = $> = 33; print \"$< $> $( $)\\n\"; $> = 0; print \"$< $>\\n\"; system(\"id\")'",
		"perl -e '$> = 33; print \"$< $>\\n\"; $> = 0; print \"$< $>\\n\"; $> = 33; $< = 33; print \"$!\\n\" unless $> == 0'",
		"mkdir /tmp/empty-$$; chroot /nowhere true; chroot / id; rmdir /tmp/empty-$$",
		"kill -0 1; echo $?",
	} {
		t.Run(line, func(t *testing.T) {
			t.Parallel()
			if word, _, _ := strings.Cut(line, " "); word != "kill" && word != "mkdir" {
				oracle.Program(t, word)
			}
			want := h.says(t, "", "sh", "-c", line)
			for _, step := range []startup.Compat{startup.CompatIdentities, startup.CompatConsistent} {
				if diff := cmp.Diff(want, h.says(t, string(step), "sh", "-c", line)); diff != "" {
					t.Errorf("%s: -kernel +supervisor:\n%s", step, diff)
				}
			}
		})
	}
}

// At the lowest step, giving rights up succeeds, and nothing else is different.
func TestSimple(t *testing.T) {
	t.Parallel()
	h := newHall(t)
	for line, want := range map[string]string{
		"chown 33:33 /etc/passwd && chgrp 33 /etc/passwd && echo ok":     "ok\n",
		"setpriv --reuid=33 --regid=33 --clear-groups id -u":             "1000700000\n",
		"setpriv --bounding-set=-chown echo ok":                          "ok\n",
		"touch /etc/passwd 2>/dev/null || echo denied":                   "denied\n",
		"chroot / true 2>/dev/null || echo denied":                       "denied\n",
		"mknod /tmp/null-$$ c 1 3 2>/dev/null || echo denied":            "denied\n",
		"nice -n -5 true 2>/dev/null; grep NoNewPrivs /proc/self/status": "NoNewPrivs:\t1\n",
	} {
		if got := h.says(t, "simple", "sh", "-c", line); got != want {
			t.Errorf("%s: got %q, want %q", line, got, want)
		}
	}
}

// A directory that holds something is no jail: a success would show the whole tree.
func TestChrootIsHonest(t *testing.T) {
	t.Parallel()
	h := newHall(t)
	empty, full := h.path("empty"), h.path("full")
	for _, dir := range []string{empty, full, full + "/sub"} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	script := h.path("script")
	text := "$| = 1; for (@ARGV) { print chroot($_) ? 'yes' : $!, \"\\n\" } $< = $> = 33; print chroot('/') ? 'yes' : $!, \"\\n\"\n"
	if err := os.WriteFile(script, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	oracle.Program(t, "perl")
	got := h.says(t, "identities", "perl", script, empty, full, "/", "/nowhere", script, "")
	want := "yes\nOperation not permitted\nyes\nNo such file or directory\nNot a directory\nNo such file or directory\nOperation not permitted\n"
	if got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// The thread that starts the program is filtered and holds a processor of the scheduler until the
// program is executed, which the supervisor must answer meanwhile: here there is but one.
func TestStartsWithOneProcessor(t *testing.T) {
	t.Parallel()
	h := newHall(t)
	for range 30 {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		cmd := h.as(ctx, "identities", "id", "-u")
		cmd.Env = append(cmd.Env, "GOMAXPROCS=1", "GODEBUG=gctrace=0", "GOGC=1")
		out, err := cmd.CombinedOutput()
		cancel()
		if string(out) != "0\n" || err != nil {
			t.Fatalf("%q, %v", out, err)
		}
	}
}

// What cannot be executed is told as the kernel tells it, and nothing is left behind.
func TestStartOfWhatIsNotThere(t *testing.T) {
	t.Parallel()
	h := newHall(t)
	for _, step := range startup.Compats {
		got := h.says(t, string(step), "/nowhere")
		if want := "answering: no such file or directory\n(exit status 125)\n"; got != want {
			t.Errorf("%s: got %q, want %q", step, got, want)
		}
	}
}

// A process that gets the number of one that had changed itself has nothing from that one.
func TestNumberThatIsUsedAgain(t *testing.T) {
	t.Parallel()
	h := newHall(t)
	oracle.Program(t, "perl")
	// nobody may write ns_last_pid: the numbers of the pid namespace are few, and run full
	script := h.path("reuse")
	perl := `
$| = 1;
while (1) { # numbers up to 300 are not used a second time
  my $pid = fork; exit 0 if !$pid;
  waitpid $pid, 0; last if $pid > 320;
}
my $first = fork;
if (!$first) { $( = $) = "33 33"; $< = $> = 33; print "changed $<\n"; exit 0 }
waitpid $first, 0;
for (1 .. 5000) {
  my $pid = fork;
  if (!$pid) { if ($$ == $first) { system("id -u"); } exit 0 }
  waitpid $pid, 0;
  if ($pid == $first) { print "used again\n"; exit 0 }
}
print "never\n";
`
	if err := os.WriteFile(script, []byte(perl), 0o644); err != nil {
		t.Fatal(err)
	}
	if !pidMaxIsOwn(t) {
		oracle.Missing(t, "a kernel where a pid namespace has a limit of its own, which is since Linux 6.14")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	words := append([]string{"unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", `echo 400 > /proc/sys/kernel/pid_max && exec "$@"`, "sh"}, anyoneElse...)
	words = append(words, h.path("answering"), "identities", "/usr/bin/perl", script)
	cmd := exec.CommandContext(ctx, words[0], words[1:]...)
	cmd.Env = []string{"PATH=/usr/bin:/bin", "LC_ALL=C"}
	out, err := cmd.CombinedOutput()
	if got, want := string(out), "changed 33\n0\nused again\n"; got != want || err != nil {
		t.Errorf("got %q, want %q; %v", got, want, err)
	}
}

// pidMaxIsOwn tells whether a pid namespace has a limit of its own.
func pidMaxIsOwn(t *testing.T) bool {
	t.Helper()
	release, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		t.Fatal(err)
	}
	return newer(string(release), 6, 14)
}

func newer(release string, major, minor int) bool {
	a, rest, _ := strings.Cut(release, ".")
	return leading(a) > major || leading(a) == major && leading(rest) >= minor
}

// There is one supervisor for a process; a second one says so.
func TestSecondSupervisor(t *testing.T) {
	t.Parallel()
	h := newHall(t)
	got := h.says(t, "identities", h.path("answering"), "identities", "/bin/true")
	if want := "answering: installing a seccomp filter: another supervisor answers calls of this process already\n(exit status 125)\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A program that may be executed and not read keeps its memory from the supervisor: it is answered as far as no
// memory is needed, and by the kernel for the rest.
func TestMemoryThatIsClosed(t *testing.T) {
	t.Parallel()
	h := newHall(t)
	believing, path := h.compile(t, "believing"), h.path("closed")
	if err := os.Chmod(believing, 0o711); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("call amd64 106 33\ncall amd64 104\ncall amd64 120 b0 b8 b16\nshow 0 24\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	got := h.says(t, "identities", believing, path)
	want := "0 call amd64 106 33: 0\n1 call amd64 104: 33\n2 call amd64 120 b0 b8 b16: 0\n3 show 0 24: 00000000eeeeeeee00000000eeeeeeee00000000eeeeeeee\n"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// A child of a process that a signal ended believes what the leader of its group does.
func TestOrphansOfTheKilled(t *testing.T) {
	t.Parallel()
	h := newHall(t)
	oracle.Program(t, "perl")
	script := h.path("orphan")
	text := `
$| = 1;
pipe R, W; pipe R2, W2;
my $leader = fork;
if (!$leader) {
  setpgrp; $( = $) = "33 33"; $< = $> = 33;
  if (!fork) { close W; <R>; print join(" ", $<, $>), "\n"; system("id -u"); exit 0 }
  kill 9, $$;
}
waitpid $leader, 0; close R2; close W2;
close R; close W; while (wait > 0) {} select undef, undef, undef, 0.3;
`
	if err := os.WriteFile(script, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if got, want := h.says(t, "identities", "perl", script), "33 33\n33\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Many processes that ask at once, change, and are killed in the middle of it leave a supervisor that answers.
func TestFlood(t *testing.T) {
	t.Parallel()
	h := newHall(t)
	oracle.Program(t, "perl")
	script := h.path("flood")
	text := `
$| = 1;
my @all;
for my $n (1 .. 40) {
  my $pid = fork;
  if (!$pid) { while (1) { $) = "$n $n"; $> = $n; die "$> is not $n" if $> != $n; $> = 0; system("true") if rand() < 0.02; } }
  push @all, $pid;
}
select undef, undef, undef, 1.5;
for (@all) { kill 9, $_; select undef, undef, undef, 0.002 }
my $bad = 0;
for (@all) { waitpid $_, 0; $bad++ if ($? & 127) != 9 }
print "bad $bad\n"; system("id -u");
`
	if err := os.WriteFile(script, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if got, want := h.says(t, "identities", "perl", script), "bad 0\n0\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A file system that never answers, as a dead server's does, holds up those who ask about its files, and
// nobody else.
func TestFileSystemThatNeverAnswers(t *testing.T) {
	t.Parallel()
	h := newHall(t)
	hanging, dir := h.compile(t, "hanging"), h.path("mnt")
	if _, err := os.Stat("/dev/fuse"); err != nil {
		oracle.Missing(t, "%v", err)
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd := h.as(ctx, "identities", hanging, "ask", dir, "5")
	at := slices.Index(cmd.Args, "setpriv")
	cmd.Args = slices.Insert(cmd.Args, at, hanging, "mount", dir)
	out, err := cmd.CombinedOutput()
	if want := "hanging 5\nuid 0\n"; string(out) != want || err != nil {
		t.Errorf("got %q, want %q; %v", out, want, err)
	}
}

// What a filter does with every call of both ABIs is what its entries say, by an interpreter of its own.
func TestFilterDoesWhatItsEntriesSay(t *testing.T) {
	t.Parallel()
	for _, machine := range []string{"amd64", "arm64"} {
		for _, step := range startup.Compats {
			abis := abisOf(machine)
			code := filter(abis, func(a fileABI) []entry { return entries(step, a) })
			if len(code) > 4096 {
				t.Errorf("%s %s: %d instructions", machine, step, len(code))
			}
			for _, a := range abis {
				list := entries(step, a)
				for nr := uint32(0); nr < 600; nr++ {
					for _, args := range argsToTry(list, nr) {
						want := uint32(retAllow)
						for _, e := range list {
							if e.nr == nr && e.holds(args) {
								want = map[reply]uint32{replySuccess: retErrno, replyAsk: retNotify}[e.reply]
							}
						}
						if got := interpret(t, code, auditArch[a], nr, args); got != want {
							t.Fatalf("%s %s ABI %d call %d%v: got %#x, want %#x", machine, step, a, nr, args, got, want)
						}
					}
				}
			}
			for _, nr := range []uint32{0, 105, 0x40000000 | 105} {
				if got := interpret(t, code, 0xc0000015, nr, [6]uint32{}); got != retAllow {
					t.Errorf("%s %s: a call of another machine gives %#x", machine, step, got)
				}
			}
			if got := interpret(t, code, auditArch[fileAMD64], 0x40000000|105, [6]uint32{}); got != retAllow {
				t.Errorf("%s %s: a call of x32 gives %#x", machine, step, got)
			}
		}
	}
}

func (e entry) holds(args [6]uint32) bool {
	if len(e.when) == 0 {
		return true
	}
	return slices.ContainsFunc(e.when, func(all []equals) bool {
		for _, c := range all {
			is := args[c.arg&^anyBit] == c.value
			if c.arg&anyBit != 0 {
				is = args[c.arg&^anyBit]&c.value != 0
			}
			if !is {
				return false
			}
		}
		return true
	})
}

// argsToTry is nothing, and for every comparison of a call arguments that satisfy it and those that nearly do.
func argsToTry(list []entry, nr uint32) [][6]uint32 {
	all := [][6]uint32{{}}
	for _, e := range list {
		if e.nr != nr {
			continue
		}
		for _, when := range e.when {
			var args [6]uint32
			for _, c := range when {
				args[c.arg&^anyBit] = c.value
				all = append(all, args)
				near := args
				near[c.arg&^anyBit]++
				all = append(all, near)
			}
		}
	}
	return all
}

// interpret runs a program as the kernel does.
func interpret(t *testing.T, code []instruction, arch, nr uint32, args [6]uint32) uint32 {
	t.Helper()
	var a uint32
	for i := 0; i < len(code); i++ {
		jump := func(is bool) {
			if is {
				i += int(code[i].jt)
			} else {
				i += int(code[i].jf)
			}
		}
		switch c := code[i]; c.code {
		case bpfLoad:
			switch {
			case c.k == dataNumber:
				a = nr
			case c.k == dataArch:
				a = arch
			default:
				a = args[(c.k-dataArgs)/8]
			}
		case bpfGoto:
			i += int(c.k)
		case bpfEqual:
			jump(a == c.k)
		case bpfAtLeast:
			jump(a >= c.k)
		case bpfBits:
			jump(a&c.k != 0)
		case bpfReturn:
			return c.k
		default:
			t.Fatalf("instruction %d is %#x", i, c.code)
		}
	}
	t.Fatal("the program has no end")
	return 0
}
