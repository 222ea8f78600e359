//go:build linux

package process_test

import (
	"bufio"
	"fmt"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"unroot/internal/oracle"
)

// TestAsTini puts both into the same situations and compares what comes out: the situations that
// tini's own documentation and tests speak of, as scripts.
func TestAsTini(t *testing.T) {
	t.Parallel()
	for _, situation := range []struct {
		name, script string
		code         int
	}{
		{"good", "exit 0", 0},
		{"status", "exit 42", 42},
		{"largest status", "exit 255", 255},
		{"TERM", "kill -TERM $$; sleep 60", 143},
		{"KILL", "kill -KILL $$", 137},
		{"SEGV", "kill -SEGV $$", 139},
		{"ABRT", "ulimit -c 0; kill -ABRT $$", 134},
		{"passes TERM on", "trap 'exit 3' TERM; kill -TERM $PPID; while :; do sleep 0.01; done", 3},
		{"passes several on", "trap 'n=$((n+1))' USR1; trap 'm=$((m+1))' USR2 HUP; trap 'exit $((n*16+m))' TERM; kill -USR1 $PPID; kill -USR2 $PPID; sleep 0.2; kill -HUP $PPID; sleep 0.2; kill -TERM $PPID; while :; do sleep 0.01; done", 18},
		{"stopped and continued", "(sleep 0.3; kill -CONT $PPID) & kill -STOP $$; exit 5", 5},
		{"adopts", "sh -c 'sleep 0.2; exit 9' & p=$!; (sh -c 'sleep 0.1; ps -o ppid= -p $$ >&2' &) ; sleep 0.4; wait $p; exit $?", 9},
		{"ends before its orphans", "(sleep 30 >/dev/null 2>&1 &) ; exit 6", 6},
		{"environment and arguments", `A=b sh -c 'test "$A" = b && test "$0 $1" = "x y" && exit 11' x y`, 11},
		{"files", "test -e /proc/self/fd/0 && test -e /proc/self/fd/2 && exit 12", 12},
		{"group", `set -- $(ps -o pid=,pgid= -p $$); test "$1" = "$2" && exit 13`, 13},
		{"session", `test $(ps -o sid= -p $$) = $(ps -o sid= -p $PPID) && exit 14`, 14},
		{"limits", "test $(ulimit -Sn) = 100 && exit 15", 15},
	} {
		t.Run(situation.name, func(t *testing.T) {
			t.Parallel()
			for _, first := range firsts(t) {
				argv := append(append([]string{"-c", `ulimit -Sn 100; exec "$@"`, "sh"}, first.argv...), "sh", "-c", situation.script)
				if got := run(t, append([]string{"sh"}, argv...)...); got.code != situation.code {
					t.Errorf("%s: exit code %d, want %d; stderr: %s", first.name, got.code, situation.code, got.stderr)
				}
			}
		})
	}
}

// listener says every signal that it gets, until SIGTERM comes twice, or for a while.
const listener = `
import os, signal, sys, time
got, terms = [], 0
def hear(n, _):
    global terms
    os.write(1, b"%d\n" % n)
    if n == signal.SIGTERM:
        terms += 1
        if terms == 2: os._exit(0)
for n in signal.valid_signals():
    if n not in (signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD): signal.signal(n, hear)
os.write(1, b"ready\n")
for i in range(40): time.sleep(1)
`

// TestEverySignal sends all that can be sent, one at a time, and compares what arrives.
func TestEverySignal(t *testing.T) {
	t.Parallel()
	heard := map[string][]int{}
	for _, first := range firsts(t) {
		heard[first.name] = hear(t, first)
	}
	// What only one of the two can pass on: Go's runtime keeps SIGPROF for its profiler.
	want := slices.DeleteFunc(slices.Clone(heard["tini"]), func(n int) bool { return n == int(syscall.SIGPROF) })
	if !slices.Equal(heard["unroot-init"], want) {
		t.Errorf("heard under unroot-init %v, under tini %v", heard["unroot-init"], heard["tini"])
	}
	if len(want) < 40 {
		t.Errorf("tini passed only %v on: the test is wrong", want)
	}
}

// hear gives the signals that arrive at a program under a first process.
func hear(t *testing.T, first first) (heard []int) {
	t.Helper()
	cmd := exec.Command(first.argv[0], append(first.argv[1:], oracle.Program(t, "python3"), "-c", listener)...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop := time.AfterFunc(patience, func() { cmd.Process.Kill() })
	defer stop.Stop()
	lines := bufio.NewScanner(out)
	if !lines.Scan() || lines.Text() != "ready" {
		t.Fatalf("the program said %q", lines.Text())
	}
	arrived := make(chan int)
	go func() {
		defer close(arrived)
		for lines.Scan() {
			n, _ := strconv.Atoi(lines.Text())
			arrived <- n
		}
	}()
	for n := 1; n <= 64; n++ {
		switch sig := syscall.Signal(n); sig {
		case syscall.SIGKILL, syscall.SIGSTOP, syscall.SIGCHLD, syscall.SIGTERM, 32, 33,
			syscall.SIGFPE, syscall.SIGILL, syscall.SIGSEGV, syscall.SIGBUS, syscall.SIGABRT, syscall.SIGTRAP, syscall.SIGSYS: // its own faults
			continue
		default:
			cmd.Process.Signal(sig)
		}
		// One after the other: SIGCONT and SIGTSTP take each other away where both are pending.
		select {
		case got := <-arrived:
			heard = append(heard, got)
		case <-time.After(time.Second):
		}
	}
	for range 2 {
		cmd.Process.Signal(syscall.SIGTERM)
		heard = append(heard, <-arrived)
	}
	for got := range arrived {
		heard = append(heard, got)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("%s: %v", first.name, err)
	}
	slices.Sort(heard)
	return slices.Compact(heard)
}

// TestDispositions compares what the program inherits of masks and ignored signals, of those who stay
// and of those who go away.
func TestDispositions(t *testing.T) {
	t.Parallel()
	all := append(firsts(t), first{"unroot-init --exec", []string{unrootInit(t), "--exec", "--"}})
	for _, traps := range []string{":", "trap '' HUP", "trap '' PIPE TERM HUP USR1 TSTP TTIN TTOU", "trap '' INT QUIT 35 64"} {
		said := map[string]string{}
		for _, first := range all {
			argv := append([]string{"-c", traps + `; exec "$@"`, "bash"}, first.argv...)
			got := run(t, append([]string{"bash"}, append(argv, "grep", "-E", "^Sig(Blk|Ign|Cgt)", "/proc/self/status")...)...)
			said[first.name] = got.stdout
		}
		if said["tini"] == "" || said["unroot-init"] != said["tini"] || said["unroot-init --exec"] != said["tini"] {
			t.Errorf("%s:\nunder unroot-init\n%s\nunder unroot-init --exec\n%s\nunder tini\n%s", traps, said["unroot-init"], said["unroot-init --exec"], said["tini"])
		}
	}
}

// TestOrphans makes thousands of orphans below process 1 of a pid namespace, and counts the zombies.
func TestOrphans(t *testing.T) {
	t.Parallel()
	oracle.Root(t)
	const script = `
import os, time
for i in range(3000):
    if os.fork() == 0:
        if os.fork() == 0: os._exit(0)
        os._exit(0)
    os.wait()
deadline = time.time() + 20
while time.time() < deadline:
    others = [p for p in os.listdir("/proc") if p.isdigit() and int(p) not in (1, os.getpid())]
    if not others: os._exit(7)
    time.sleep(0.05)
print(len(others), "processes are left")
os._exit(1)
`
	for _, first := range firsts(t) {
		argv := append([]string{"--pid", "--fork", "--kill-child", "--mount-proc"}, first.argv...)
		got := run(t, append([]string{oracle.Program(t, "unshare")}, append(argv, oracle.Program(t, "python3"), "-c", script)...)...)
		if got.code != 7 {
			t.Errorf("%s: exit code %d: %s %s", first.name, got.code, got.stdout, got.stderr)
		}
	}
}

// TestSignalsDuringStart ends a start at moments that are spread over it: whatever the moment, the
// program does not run on.
func TestSignalsDuringStart(t *testing.T) {
	t.Parallel()
	program := unrootInit(t)
	codes := map[string]int{}
	for i := range 150 {
		cmd := exec.Command(program, "--stay", "--", "sh", "-c", "trap 'exit 3' TERM; sleep 60 & wait")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(i) * 40 * time.Microsecond)
		cmd.Process.Signal(syscall.SIGTERM)
		stop := time.AfterFunc(20*time.Second, func() { cmd.Process.Kill() })
		cmd.Wait()
		stop.Stop()
		status := cmd.ProcessState.Sys().(syscall.WaitStatus)
		switch {
		case status.Exited() && (status.ExitStatus() == 3 || status.ExitStatus() == 143), status.Signaled() && status.Signal() == syscall.SIGTERM:
			codes[fmt.Sprint(status.Signaled(), status.ExitStatus())]++
		default:
			t.Fatalf("after %d microseconds: exit status %d, signal %v", i*40, status.ExitStatus(), status.Signal())
		}
	}
	t.Logf("ends (by a signal, status): %v", codes)
}

// TestSurroundings holds what else a first process leaves as it is.
func TestSurroundings(t *testing.T) {
	t.Parallel()
	for _, script := range []string{
		"ls -l /proc/self/fd | wc -l", "umask", "cat /proc/self/oom_score_adj", "ulimit -a", "env | grep -v -e ^_= -e ^OLDPWD= | sort", "pwd",
	} {
		said := map[string]string{}
		for _, first := range firsts(t) {
			argv := append([]string{"-c", `exec 7</dev/null; umask 027; cd /usr; ulimit -Sn 300; exec "$@"`, "bash"}, append(first.argv, "sh", "-c", script)...)
			said[first.name] = run(t, append([]string{"bash"}, argv...)...).stdout
		}
		if strings.TrimSpace(said["tini"]) == "" || said["tini"] != said["unroot-init"] {
			t.Errorf("%s: under unroot-init\n%s\nunder tini\n%s", script, said["unroot-init"], said["tini"])
		}
	}
}
