//go:build linux

package process_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"unroot/internal/oracle"
)

// TestFailures: what did not start, in words and as an exit code, of those who stay and those who go away.
func TestFailures(t *testing.T) {
	t.Parallel()
	oracle.Root(t) // the programs are started by somebody else
	program := unrootInit(t)
	dir := t.TempDir()
	for parent := dir; parent != "/tmp" && parent != "/"; parent = filepath.Dir(parent) {
		if err := os.Chmod(parent, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	file := func(name, content string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	closed := filepath.Join(dir, "closed")
	if err := os.Mkdir(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	foreign := elfHead(183, "") // arm64
	if foreignHere(183) {
		foreign = elfHead(62, "")
	}
	for _, test := range []struct {
		name string
		argv []string
		code int
		says string // in the message
		hint string // in the line below it
	}{
		{"no such name", []string{"no-such-program"}, 127, "no directory of PATH has it (/usr/bin:", "PATH"},
		{"no such file", []string{"/no/such/program"}, 127, "there is no such file", "the entrypoint"},
		{"empty name", []string{""}, 127, "it has no name", "name a program"},
		{"not executable", []string{file("plain", "x", 0o644)}, 126, "may not be executed by uid 4711 gid 4711 (owner 0:0, mode 0644)", "chmod a+rx"},
		{"not executable, in PATH", []string{"plain"}, 126, "may not be executed by uid 4711", "chmod a+rx"},
		{"not to be reached", []string{closed + "/program"}, 126, "a directory on the way to it may not be searched by uid 4711", "permission"},
		{"directory", []string{dir}, 126, "it is a directory", "name a program"},
		{"device", []string{"/dev/null"}, 126, "it is not a regular file", "name a program"},
		{"no interpreter", []string{file("script", "#!/no/shell -e\n", 0o755)}, 126, `its interpreter "/no/shell" is not there`, "first line"},
		{"interpreter that may not be executed", []string{file("closedscript", "#!"+filepath.Join(dir, "plain")+"\n", 0o755)}, 126, `may not be executed by uid 4711`, "chmod a+rx " + filepath.Join(dir, "plain")},
		{"Windows", []string{file("windows", "#!/bin/sh\r\necho\r\n", 0o755)}, 126, `"/bin/sh\r", which is not there`, "CR LF"},
		{"another machine", []string{file("foreign", foreign, 0o755)}, 126, "a program for another machine (a", "platform"},
		{"empty", []string{file("empty", "", 0o755)}, 0, "", ""}, // execvp gives it to /bin/sh
		{"script without a first line", []string{file("bare", "exit 33\n", 0o755)}, 33, "", ""},
		{"arguments", []string{file("bare2", "test $# = 2 && exit $2\n", 0o755), "1", "34"}, 34, "", ""},
		{"no loader", []string{noLoader(t, dir)}, 126, `its loader "/no/ld.so.1" is not there`, "C library"},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, option := range []string{"--exec", "--stay"} {
				cmd := exec.Command(program, append([]string{option, "--"}, test.argv...)...)
				cmd.Env = []string{"PATH=/usr/bin:" + dir + ":/bin"}
				cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 4711, Gid: 4711}}
				got := runCmd(t, cmd)
				message, hint, _ := strings.Cut(got.stderr, "\n")
				if got.code != test.code || !strings.Contains(message, test.says) || !strings.Contains(hint, test.hint) {
					t.Errorf("%s: exit code %d, want %d; it says\n%swant %q, and below it %q", option, got.code, test.code, got.stderr, test.says, test.hint)
				}
				if test.says != "" && (!strings.HasPrefix(message, "unroot-init: ") || strings.Count(got.stderr, "\n") != 2) {
					t.Errorf("%s: one line with the name and one below it are wanted: %q", option, got.stderr)
				}
			}
		})
	}
}

// noLoader is a program of this machine that asks for a loader that is not there.
func noLoader(t *testing.T, dir string) string {
	t.Helper()
	content, err := os.ReadFile("/bin/true")
	if err != nil {
		oracle.Missing(t, "/bin/true: %v", err)
	}
	name, _, ok := strings.Cut(string(content[strings.Index(string(content), "/lib"):]), "\x00")
	if !ok || len(name) < len("/no/ld.so.1") {
		oracle.Missing(t, "/bin/true asks for no loader")
	}
	other := "/no/ld.so.1" + strings.Repeat("\x00", len(name)-len("/no/ld.so.1"))
	path := filepath.Join(dir, "noloader")
	if err := os.WriteFile(path, []byte(strings.Replace(string(content), name, other, 1)), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// foreignHere reports whether this test runs on a machine.
func foreignHere(machine byte) bool {
	content, err := os.ReadFile("/proc/self/exe")
	return err == nil && len(content) > 18 && content[18] == machine
}

// elfHead is the head of a 64-bit program for a machine, which names a loader where one is given.
func elfHead(machine byte, loader string) string {
	head := make([]byte, 64+56)
	copy(head, "\x7fELF\x02\x01\x01")
	head[16], head[18], head[20] = 2, machine, 1
	head[32], head[52], head[54], head[56] = 64, 64, 56, 1
	if loader != "" {
		head[64], head[64+8], head[64+32] = 3, byte(len(head)), byte(len(loader)+1)
		head = append(head, loader+"\x00"...)
	}
	return string(head)
}
