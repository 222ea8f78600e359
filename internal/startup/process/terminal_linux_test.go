//go:build linux

package process_test

import (
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"unroot/internal/oracle"
)

// screen is the master's side of a terminal, with what was printed on it.
type screen struct {
	master *os.File
	mu     sync.Mutex
	seen   strings.Builder
}

// onTerminal starts a command line as a session of its own on a new terminal.
func onTerminal(t *testing.T, argv ...string) (*screen, *exec.Cmd) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close() })
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	tty, err := os.OpenFile("/dev/pts/"+strconv.Itoa(n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer tty.Close()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, tty, tty
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s := &screen{master: master}
	go io.Copy(s, master)
	timer := time.AfterFunc(patience, func() { cmd.Process.Kill() })
	t.Cleanup(func() { timer.Stop() })
	return s, cmd
}

func (s *screen) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen.Write(b)
}

func (s *screen) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen.String()
}

// expect waits until a text was printed.
func (s *screen) expect(t *testing.T, want string) {
	t.Helper()
	s.expectTimes(t, want, 1)
}

func (s *screen) expectTimes(t *testing.T, want string, times int) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if strings.Count(s.text(), want) >= times {
			return
		}
	}
	t.Fatalf("%q was not printed; on the screen: %q", want, s.text())
}

func (s *screen) press(t *testing.T, keys string) {
	t.Helper()
	if _, err := s.master.WriteString(keys); err != nil {
		t.Fatal(err)
	}
}

// exit waits for the end and gives the exit code.
func exit(t *testing.T, s *screen, cmd *exec.Cmd) int {
	t.Helper()
	if cmd.Wait(); cmd.ProcessState == nil || !cmd.ProcessState.Exited() {
		t.Fatalf("%v; on the screen: %q", cmd.ProcessState, s.text())
	}
	return cmd.ProcessState.ExitCode()
}

// TestInterruptKey: the program is in the terminal's foreground, and gets what its keys mean once.
func TestInterruptKey(t *testing.T) {
	t.Parallel()
	const script = `
import os, signal, termios, time
n = 0
def interrupted(*_):
    global n
    n += 1
    os.write(1, b"caught %d\n" % n)
signal.signal(signal.SIGINT, interrupted)
signal.signal(signal.SIGTERM, lambda *_: os._exit(40 + n))
if os.tcgetpgrp(0) == os.getpgrp() == os.getpid(): os.write(1, b"in front\n")
mode = termios.tcgetattr(0)
mode[3] |= termios.TOSTOP
termios.tcsetattr(0, termios.TCSANOW, mode)
os.write(1, b"listening\n")
for i in range(40): time.sleep(1)
`
	for _, first := range firsts(t) {
		t.Run(first.name, func(t *testing.T) {
			t.Parallel()
			s, cmd := onTerminal(t, append(first.argv, oracle.Program(t, "python3"), "-c", script)...)
			s.expect(t, "in front")
			s.expect(t, "listening")
			s.press(t, "\x03")
			s.expect(t, "caught 1")
			s.press(t, "\x03")
			s.expect(t, "caught 2")
			cmd.Process.Signal(syscall.SIGTERM)
			if code := exit(t, s, cmd); code != 42 {
				t.Errorf("exit code %d, want 42: each key once; on the screen: %q", code, s.text())
			}
		})
	}
}

// TestShellJobs: a shell under a first process has its jobs: it stops one, goes on, and brings it back.
func TestShellJobs(t *testing.T) {
	t.Parallel()
	for _, first := range firsts(t) {
		t.Run(first.name, func(t *testing.T) {
			t.Parallel()
			s, cmd := onTerminal(t, append(first.argv, "env", "PS1=prompt> ", "bash", "--norc", "--noprofile", "--noediting", "-i")...)
			s.expect(t, "prompt> ")
			s.press(t, "cat\n")
			s.press(t, "hello\n")
			s.expectTimes(t, "hello", 2) // typed, and from the program
			s.press(t, "\x1a")
			s.expect(t, "Stopped")
			s.press(t, "echo jobs: $(jobs -p | wc -l)\n")
			s.expect(t, "jobs: 1")
			s.press(t, "fg\n")
			s.expectTimes(t, "cat\r\n", 3) // typed, stopped, and back in front
			s.press(t, "back\n")
			s.expectTimes(t, "back", 2)
			s.press(t, "\x04")
			s.expectTimes(t, "prompt> ", 4)
			s.press(t, "exit 17\n")
			if code := exit(t, s, cmd); code != 17 || strings.Contains(s.text(), "no job control") {
				t.Errorf("exit code %d, want 17; on the screen: %q", code, s.text())
			}
		})
	}
}

// TestReadAtOnce: a program that reads the terminal with its first instruction is not stopped.
func TestReadAtOnce(t *testing.T) {
	t.Parallel()
	for range 20 {
		for _, first := range firsts(t) {
			s, cmd := onTerminal(t, append(first.argv, "head", "-n1")...)
			s.press(t, "line\n")
			if code := exit(t, s, cmd); code != 0 {
				t.Fatalf("%s: exit code %d", first.name, code)
			}
		}
	}
}

// TestTerminalDispositions: on a terminal the program inherits what it inherits elsewhere.
func TestTerminalDispositions(t *testing.T) {
	t.Parallel()
	for _, traps := range []string{":", "trap '' PIPE TTIN TTOU"} {
		said := map[string]string{}
		for _, first := range firsts(t) {
			s, cmd := onTerminal(t, append([]string{"bash", "-c", traps + `; exec "$@"`, "bash"}, append(first.argv, "grep", "-E", "^Sig(Blk|Ign|Cgt)", "/proc/self/status")...)...)
			if code := exit(t, s, cmd); code != 0 {
				t.Fatalf("%s: exit code %d", first.name, code)
			}
			s.expect(t, "SigCgt")
			said[first.name] = s.text()
		}
		if said["tini"] != said["unroot-init"] {
			t.Errorf("%s: under unroot-init\n%s\nunder tini\n%s", traps, said["unroot-init"], said["tini"])
		}
	}
}

// TestFailuresOnTerminal: who did not start is told in the same words, with the same code.
func TestFailuresOnTerminal(t *testing.T) {
	t.Parallel()
	s, cmd := onTerminal(t, unrootInit(t), "--stay", "--", "/etc/passwd")
	code := exit(t, s, cmd)
	s.expect(t, "chmod a+rx /etc/passwd")
	if code != 126 {
		t.Errorf("exit code %d, want 126", code)
	}
}
