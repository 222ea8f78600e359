//go:build linux && (amd64 || arm64)

package tracer

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"unroot/internal/oracle"
	"unroot/internal/trace"
)

// TestScriptsBehaveAsWithoutTracer compares output and status with a plain run. Proc shows a stopped
// tracee as "t" instead of "T": every tracer's.
func TestScriptsBehaveAsWithoutTracer(t *testing.T) {
	t.Parallel()
	bash := oracle.Program(t, "bash")
	for name, script := range map[string]string{
		"forks":       `for i in $(seq 60); do true; ls /etc | wc -l; x=$(echo $i | cat); echo $x; done`,
		"status":      `exit 7`,
		"segv":        `kill -SEGV $$`,
		"traps":       `trap 'echo term; exit 3' TERM; kill -TERM $$; echo never`,
		"job control": `set -m; sleep 0.3 & p=$!; kill -STOP $p; sleep 0.1; cut -d' ' -f3 /proc/$p/stat | tr t T; kill -CONT $p; until wait $p; do :; done; echo $?`,
		"stopped": `sleep 30 & p=$!; for i in 1 2 3; do kill -STOP $p; sleep 0.05; cut -d' ' -f3 /proc/$p/stat | tr t T; kill -CONT $p; sleep 0.05; done
			kill $p; wait $p; echo $?`,
		"orphan":     `f=$(mktemp); bash -c "(sleep 0.2; echo late >$f) & exit 4"; echo $?; sleep 0.6; cat $f; rm $f`,
		"pipes":      `yes | head -n 1000 | sort | uniq -c; echo "${PIPESTATUS[@]}"`,
		"background": `for i in $(seq 20); do (exit $i) & j[$i]=$!; done; s=0; for p in ${j[@]}; do wait $p; s=$((s + $?)); done; echo $s`,
		"interrupt":  `trap 'echo chld' CHLD; (sleep 0.1) & read -t 0.3 x; echo $?; wait`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			plain := exec.Command(bash, "-c", script)
			plain.Dir = "/"
			out, err := plain.Output()
			if plain.ProcessState == nil {
				t.Fatal(err)
			}
			status := plain.ProcessState.ExitCode()
			if status < 0 {
				status = 128 + 11 // ended by SIGSEGV
			}
			r := traced{args: []string{bash, "-c", script}, dir: "/"}.run(t)
			if r.stdout != string(out) || r.status != status {
				t.Errorf("status %d, want %d; output\n%s\nwant\n%s\n%s", r.status, status, r.stdout, out, r.stderr)
			}
		})
	}
}

const spawners = `
#define _GNU_SOURCE
#include <pthread.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
extern char **environ;
static char *argv[] = {"sh", "-c", "exit 5", 0};
static void *executes(void *x) { usleep(20000); execv("/bin/sh", argv); _exit(90); }
static void *spins(void *x) { for (;;) access("/nowhere", F_OK); return 0; }
int main(int c, char **v) {
	int status = 0; pid_t p;
	if (!strcmp(v[1], "vfork")) { if (!(p = vfork())) { execv("/bin/sh", argv); _exit(91); } }
	else if (!strcmp(v[1], "spawn")) { if (posix_spawn(&p, "/bin/sh", 0, 0, argv, environ)) return 92; }
	else {
		pthread_t t[8];
		for (int i = 0; i < 7; i++) pthread_create(&t[i], 0, spins, 0);
		pthread_create(&t[7], 0, executes, 0);
		if (!strcmp(v[1], "leaderless")) pthread_exit(0);
		spins(0);
	}
	waitpid(p, &status, 0);
	return WEXITSTATUS(status);
}`

func TestWaysToExecute(t *testing.T) {
	t.Parallel()
	program := compile(t, spawners, "-pthread")
	for _, how := range []string{"vfork", "spawn", "thread", "leaderless"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			for range 5 {
				r := traced{args: []string{program, how}}.run(t)
				execs := r.find(func(e trace.Event) bool { return e.Kind == trace.Exec && e.Errno == "" })
				exits := r.find(func(e trace.Event) bool { return e.Kind == trace.Exit })
				want := map[string]int{"vfork": 2, "spawn": 2, "thread": 1, "leaderless": 1}[how]
				if r.status != 5 || len(execs) != 2 || execs[1].Path != "/bin/sh" || !slices.Equal(execs[1].Args, []string{"sh", "-c", "exit 5"}) || len(exits) != want {
					t.Fatalf("status %d\n%s", r.status, r.text())
				}
			}
		})
	}
}

// narrowProgram is a 32-bit program for x86 without a library: it opens argv[1], binds by
// socketcall, asks for a mount, and ends with the last one's errno.
const narrowProgram = `
.globl _start
_start:
	mov $5, %eax            # open
	mov 8(%esp), %ebx
	xor %ecx, %ecx
	int $0x80
	mov $213, %eax          # setuid32
	mov $-1, %ebx
	int $0x80
	mov $102, %eax          # socketcall: socket(AF_INET, SOCK_STREAM, 0)
	mov $1, %ebx
	mov $socket, %ecx
	int $0x80
	mov %eax, bind
	mov $102, %eax          # socketcall: bind
	mov $2, %ebx
	mov $bind, %ecx
	int $0x80
	mov $21, %eax           # mount
	xor %ebx, %ebx
	mov $here, %ecx
	xor %edx, %edx
	xor %esi, %esi
	xor %edi, %edi
	int $0x80
	neg %eax
	mov %eax, %ebx
	mov $1, %eax            # exit
	int $0x80
.data
here: .asciz "/mnt"
socket: .long 2, 1, 0
bind: .long 0, address, 16
address: .short 2
	.byte 0, 0, 127, 0, 0, 1
	.long 0, 0
`

func TestNarrowPrograms(t *testing.T) {
	t.Parallel()
	as, ld := oracle.Program(t, "as"), oracle.Program(t, "ld")
	dir := openFolder(t)
	source, object, program := filepath.Join(dir, "n.s"), filepath.Join(dir, "n.o"), filepath.Join(dir, "n")
	if err := os.WriteFile(source, []byte(narrowProgram), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{as, "--32", "-o", object, source}, {ld, "-m", "elf_i386", "-o", program, object}} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			oracle.Missing(t, "an assembler for i386: %v %s", err, out)
		}
	}
	if exec.Command(program, "/").Run() == nil {
		oracle.Missing(t, "a kernel that runs i386 programs")
	}
	for _, stage := range []string{StageName, oldKernelStage, peekStage} {
		r := traced{stage: stage, args: []string{program, "/proc/no/such"}, flags: []string{"-profile"}}.run(t)
		if open := r.one(t, trace.Open, "/proc/no/such"); open.Errno != "ENOENT" || open.Call != "open" {
			t.Errorf("%s: %+v", stage, open)
		}
		binds := r.find(func(e trace.Event) bool { return e.Kind == trace.Bind })
		if len(binds) != 1 || binds[0].Addr != "tcp 127.0.0.1:0" || binds[0].Errno != "" {
			t.Errorf("%s: binds %+v", stage, binds)
		}
		if mount := r.one(t, trace.Mount, "/mnt"); !mount.Hidden || mount.Errno != "EPERM" || r.status != 1 {
			t.Errorf("%s: %+v, status %d", stage, mount, r.status)
		}
		if set := r.find(func(e trace.Event) bool { return e.Call == "setuid32" }); len(set) != 1 || set[0].IDs[0] != -1 || set[0].Errno != "EINVAL" {
			t.Errorf("%s: %+v", stage, set)
		}
	}
}

// hostile does all that races with a tracer: processes that are killed while they fork, execute and
// call, threads that execute while others exit.
const hostile = `
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
static char path[64] = "/proc/nowhere/at/all"; /* nothing can be made there */
static void *flips(void *x) { for (;;) { path[7] ^= 1; memset(path + 16, 'a', 40); path[9] = 0; path[9] = 'w'; } return 0; }
static void *calls(void *x) { for (;;) { open(path, O_RDONLY); mkdir(path, 0); } return 0; }
static void *ends(void *x) { usleep(rand() % 300); return 0; }
static void *executes(void *x) { usleep(rand() % 500); execl("/bin/true", "true", (char *)0); return 0; }
static void child(void) {
	pthread_t t;
	srand(getpid());
	pthread_create(&t, 0, flips, 0);
	for (int i = 0; i < 6; i++) pthread_create(&t, 0, i % 3 == 0 ? calls : ends, 0);
	if (rand() % 2) pthread_create(&t, 0, executes, 0);
	if (rand() % 3 == 0) { if (!fork()) { usleep(rand() % 400); _exit(3); } }
	if (rand() % 5 == 0) raise(SIGSTOP);
	ptrace(PTRACE_TRACEME, 0, 0, 0);
	usleep(rand() % 2000);
	if (rand() % 4 == 0) kill(getpid(), SIGKILL);
	if (rand() % 3 == 0) pthread_exit(0);
	_exit(0);
}
int main(int c, char **v) {
	time_t end = time(0) + atoi(v[1]);
	pid_t alive[12] = {0};
	setpgid(0, 0);
	srand(1);
	while (time(0) < end) {
		int i = rand() % 12;
		if (alive[i]) { kill(alive[i], rand() % 2 ? SIGKILL : SIGTERM); kill(alive[i], SIGCONT); kill(alive[i], SIGKILL); waitpid(alive[i], 0, 0); }
		if (!(alive[i] = fork())) child();
		if (rand() % 3 == 0) usleep(rand() % 1500);
	}
	for (int i = 0; i < 12; i++) if (alive[i]) { kill(alive[i], SIGKILL); waitpid(alive[i], 0, 0); }
	return 6;
}`

func TestHostileTraceesEnd(t *testing.T) {
	t.Parallel()
	program := compile(t, hostile, "-pthread", "-w")
	for _, stage := range []string{StageName, oldKernelStage} {
		t.Run(stage, func(t *testing.T) {
			t.Parallel()
			r := traced{stage: stage, args: []string{program, "4"}, flags: []string{"-events", "50000"}, limit: 40 * time.Second}.run(t)
			if r.status != 6 {
				t.Errorf("status %d\n%s", r.status, r.stderr)
			}
			if forks := r.find(func(e trace.Event) bool { return e.Kind == trace.Fork }); len(forks) < 20 {
				t.Errorf("%d forks", len(forks))
			}
		})
	}
}

// asked is one call as strace and the tracer both tell it.
type asked struct{ call, path, errno string }

// straceLine is a finished call whose first words are a path: with -y, a directory's descriptor
// stands as 3</path>.
var straceLine = regexp.MustCompile(`^(?:\d+ +)?([a-z0-9]+)\((?:(?:AT_FDCWD|\d+)(?:<([^>]*)>)?, )?"([^"]*)"(?:\.\.\.)?.*\) += (-?\d+)(?:<[^>]*>)?(?: (E[A-Z]+))?`)

// compared is the calls that are compared: those of which the tracer keeps every denial, and all
// successes that change something.
var compared = []string{"mkdir", "unlink", "unlinkat", "rmdir", "chmod", "fchmodat", "chown", "fchownat", "lchown", "execve", "chdir", "open", "openat", "creat"}

func TestAgreesWithStrace(t *testing.T) {
	t.Parallel()
	strace := oracle.Program(t, "strace")
	oracle.Root(t) // denials are made by giving up root
	for name, script := range map[string]string{
		"shell": `cd "$D"; mkdir -p a/b; echo x >a/b/c; chmod 600 a/b/c; cat /etc/shadow locked/x a/b/c; ls locked; rm -r a; ./absent; cd /nowhere; : >/etc/no`,
		"perl":  `perl -e 'chdir $ENV{D}; mkdir "p"; open F, ">", "p/f" or die; close F; chmod 0, "p/f"; unlink "p/f"; rmdir "p"; open F, "<", "/etc/shadow"; exec "/nowhere"'`,
		"python": `/usr/bin/python3 -c 'import os, tempfile; os.chdir(os.environ["D"]); d = tempfile.mkdtemp(dir="."); open(d + "/x", "w").close(); os.chmod(d, 0o700); os.unlink(d + "/x"); os.rmdir(d); os.path.exists("/root/x")
try: open("/etc/shadow")
except OSError: pass'`,
		"git": `export HOME=$D; cd "$D"; git init -q g && cd g && git -c user.name=x -c user.email=x@x commit -q --allow-empty -m m; git log >/dev/null; git branch b; git tag t`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fields := strings.Fields(script)
			if name != "shell" {
				program := fields[0]
				if name == "git" {
					program = "git"
				}
				oracle.Program(t, program)
			}
			dir := openFolder(t)
			command := []string{"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "bash", "-c", script}
			runs := [2]map[asked]bool{}
			for i := range runs {
				work := filepath.Join(dir, fmt.Sprint(i))
				for _, d := range []string{work, filepath.Join(work, "locked")} {
					if err := os.Mkdir(d, 0o777); err != nil {
						t.Fatal(err)
					}
				}
				if err := os.Chmod(work, 0o777); err != nil {
					t.Fatal(err)
				}
				if err := os.Chmod(filepath.Join(work, "locked"), 0o700); err != nil {
					t.Fatal(err)
				}
				env := []string{"D=" + work}
				if i == 0 {
					runs[i] = askedByTracer(traced{args: command, env: env, dir: "/"}.run(t), work)
				} else {
					runs[i] = askedByStrace(t, strace, command, env, work)
				}
			}
			if len(runs[1]) < 5 {
				t.Fatalf("strace saw %d calls", len(runs[1]))
			}
			compareAsked(t, runs[0], runs[1])
		})
	}
}

// compareAsked finds every call of one in the other. strace does not say where a relative path begins:
// it is compared with the end of the tracer's.
func compareAsked(t *testing.T, ours, judge map[asked]bool) {
	t.Helper()
	matched := map[asked]bool{}
	for a := range judge {
		found := false
		for b := range ours {
			if a.call == b.call && a.errno == b.errno && (a.path == b.path || !filepath.IsAbs(a.path) && strings.HasSuffix(b.path, "/"+a.path)) {
				found, matched[b] = true, true
			}
		}
		if !found {
			t.Errorf("only strace: %+v", a)
		}
	}
	for b := range ours {
		if !matched[b] {
			t.Errorf("only the tracer: %+v", b)
		}
	}
}

// steady makes paths of two runs the same: folders and names that are chosen at random.
var chosen = regexp.MustCompile(`tmp_obj_[A-Za-z0-9]{6}|tmp[A-Za-z0-9_]{6,8}|/[0-9a-f]{2}(/|$)|[0-9a-f]{38,40}|/t[A-Za-z0-9]{6}$|/proc/[0-9]+`)

func steady(path, work string) string {
	path = strings.TrimPrefix(path, work)
	return chosen.ReplaceAllString(path, "*")
}

// telling decides which answers are compared: of opens for reading only denials.
func telling(call, errno string, writes bool) bool {
	if !slices.Contains(compared, call) {
		return false
	}
	if errno == "" {
		return writes || call != "open" && call != "openat" && call != "chdir"
	}
	return errno == "EACCES" || errno == "EPERM" || call == "execve"
}

func askedByTracer(r result, work string) map[asked]bool {
	all := map[asked]bool{}
	started := false
	for _, e := range r.log.Events {
		started = started || e.Kind == trace.Exec && len(e.Args) > 0 && e.Args[0] == "bash"
		if started && telling(e.Call, string(e.Errno), writes(e.Want)) {
			all[asked{e.Call, steady(e.Path, work), string(e.Errno)}] = true
		}
	}
	return all
}

func askedByStrace(t *testing.T, strace string, command, env []string, work string) map[asked]bool {
	t.Helper()
	file := filepath.Join(t.TempDir(), "strace")
	cmd := exec.Command(strace, append([]string{"-ff", "-y", "-qq", "-s", "4096", "-o", file, "-e", "trace=" + strings.Join(compared, ",")}, command...)...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Dir = "/"
	_ = cmd.Run() // the scripts fail on purpose
	files, err := filepath.Glob(file + ".*")
	if err != nil || len(files) == 0 {
		t.Fatal("strace wrote nothing", err)
	}
	all := map[asked]bool{}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			m := straceLine.FindStringSubmatch(line)
			if m == nil || strings.HasPrefix(line, `execve("/usr/bin/setpriv"`) {
				continue
			}
			call, dir, path, errno := m[1], m[2], m[3], m[5]
			if !filepath.IsAbs(path) {
				path = filepath.Join(dir, path)
			}
			path = filepath.Clean(path)
			if telling(call, errno, strings.Contains(line, "O_WRONLY") || strings.Contains(line, "O_RDWR") || strings.Contains(line, "O_CREAT")) {
				all[asked{call, steady(path, work), errno}] = true
			}
		}
	}
	return all
}
