package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"unroot/internal/oracle"
	"unroot/internal/sandbox/launch"
)

// The tests run again as an ordinary user: one who has subordinate ids, in a mount namespace where
// /etc says so. The host's own files stay as they are.
const (
	userStage = "unroot-test-user"
	userID    = 4242
)

func init() { launch.Register(userStage, userMain) }

// userMain becomes the user and executes the command that its arguments are. The first argument is
// the directory of the files that take the place of those of /etc.
func userMain() {
	fail := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(99)
		}
	}
	fail(unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
	files, err := os.ReadDir(os.Args[1])
	fail(err)
	for _, f := range files {
		fail(unix.Mount(filepath.Join(os.Args[1], f.Name()), "/etc/"+f.Name(), "", unix.MS_BIND, ""))
	}
	fail(syscall.Setgroups(nil))
	fail(syscall.Setresgid(userID, userID, userID))
	fail(syscall.Setresuid(userID, userID, userID))
	fail(syscall.Exec(os.Args[2], os.Args[2:], os.Environ()))
}

// asUser gives a command that runs as the user. What has no subordinate ids, has none in /etc.
func asUser(t *testing.T, subordinate bool, program string, args ...string) *exec.Cmd {
	t.Helper()
	oracle.Root(t)
	etc, home := t.TempDir(), t.TempDir()
	ids := ""
	if subordinate {
		oracle.Program(t, "newuidmap")
		ids = fmt.Sprintf("tester:%d:65536\n", 1_200_000_000)
	}
	passwd, err := os.ReadFile("/etc/passwd")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"subuid": ids, "subgid": ids, "passwd": fmt.Sprintf("%stester:x:%d:%d::%s:/bin/sh\n", passwd, userID, userID, home)} {
		if _, err := os.Stat("/etc/" + name); err != nil {
			oracle.Missing(t, "there is no /etc/%s", name)
		}
		if err := os.WriteFile(filepath.Join(etc, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Chmod(home, 0o700), os.Chown(home, userID, userID), os.Chmod(filepath.Dir(home), 0o755)); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Args = append([]string{userStage, etc, program}, args...)
	cmd.Env = append(os.Environ(), "HOME="+home, "TMPDIR="+home)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS}
	return cmd
}

// copyOfSelf is this program where everybody can execute it.
func copyOfSelf(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "unroot-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	name := filepath.Join(dir, "sandbox.test")
	if err := copyProgram(name); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return name
}

func copyProgram(name string) error {
	from, err := os.Open("/proc/self/exe")
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(to, from)
	return errors.Join(err, to.Close())
}

// TestAsOrdinaryUser runs the tests of the runner and those with hostile images as an ordinary user.
func TestAsOrdinaryUser(t *testing.T) {
	for name, program := range map[string]string{"file": copyOfSelf(t), "closed file": "/proc/self/exe"} {
		t.Run(name, func(t *testing.T) {
			pattern := "^(TestEmbedded|TestEmbeddedLayers|TestHostile|TestHostileLayers|TestHostileArchives|TestNothingIsLeft)$"
			if name != "file" {
				pattern = "^TestEmbedded$" // the runner's process has to be a copy of itself in memory
			}
			cmd := asUser(t, true, program, "-test.run="+pattern, "-test.v", "-test.timeout=120s")
			cmd.Env = append(cmd.Env, oracle.RequireAll+"=1")
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Errorf("%v\n%s", err, failures(string(out)))
			}
			if !strings.Contains(string(out), "--- PASS: TestEmbedded") {
				t.Errorf("nothing ran:\n%s", failures(string(out)))
			}
		})
	}
}

// failures is the part of a test's output that matters.
func failures(out string) string {
	var b strings.Builder
	for line := range strings.Lines(out) {
		if !strings.HasPrefix(line, "=== ") && !strings.Contains(line, "--- PASS") {
			b.WriteString(line[:min(len(line), 600)])
		}
	}
	text := b.String()
	return text[:min(len(text), 20000)]
}

// TestUnavailable takes away what the runner needs, and reads what it says.
func TestUnavailable(t *testing.T) {
	program := copyOfSelf(t)
	for _, tt := range []struct {
		name        string
		subordinate bool
		env         []string
		want        string
	}{
		{"no subordinate ids", false, nil, "has no subordinate ids in /etc/subuid: as root, usermod --add-subuids"},
		{"no newuidmap", true, []string{"PATH=/nowhere"}, "newuidmap is missing: install the package uidmap"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cmd := asUser(t, tt.subordinate, program, "-test.run=^TestAvailable$", "-test.v")
			cmd.Env = append(append(cmd.Env, "UNROOT_TEST_WANT="+tt.want), tt.env...)
			if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: TestAvailable") {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// TestAvailable is run by TestUnavailable.
func TestAvailable(t *testing.T) {
	want := os.Getenv("UNROOT_TEST_WANT")
	if want == "" {
		t.Skip("TestUnavailable runs this")
	}
	e, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if err := e.Available(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v does not say %q", err, want)
	}
}

// frontStage is a front that a test ends as it likes.
const frontStage = "unroot-test-front"

func init() { launch.Register(frontStage, frontMain) }

// frontMain runs an image that never ends: kind is where the lab keeps it.
func frontMain() {
	e, err := New(Options{Dir: os.Args[2]})
	if err == nil && os.Args[1] != "memory" {
		err = e.open(context.Background(), plan{image: &imageType{}, folder: true, upper: true})
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	layer, err := os.ReadFile(os.Args[3])
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	r := command(imageOf(memoryLayer{"", layer}), "echo running; while :; do sleep 1000 & sleep 1; done")
	r.Streams = streamsTo(os.Stdout)
	_, err = e.Run(context.Background(), r, nil)
	fmt.Println("ended", err)
}

// TestNothingIsLeft ends fronts in every way and looks for what they have left.
func TestNothingIsLeft(t *testing.T) {
	newEmbedded(t, Options{}) // or there is nothing to test
	data := busyboxLayer(t).(memoryLayer).data
	layer := filepath.Join(t.TempDir(), "layer")
	if err := os.WriteFile(layer, data, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"memory", "folder"} {
		for _, sig := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM, syscall.SIGSEGV} {
			t.Run(kind+" "+sig.String(), func(t *testing.T) {
				dir, before := t.TempDir(), mounts(t)
				cmd := exec.Command("/proc/self/exe")
				cmd.Args = []string{frontStage, kind, dir, layer}
				out, err := cmd.StdoutPipe()
				if err != nil {
					t.Fatal(err)
				}
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				if _, err := io.ReadFull(out, make([]byte, len("running\n"))); err != nil {
					t.Fatal(err)
				}
				pids, group := stagesOf(cmd.Process.Pid), findCgroupsOf(cmd.Process.Pid)
				if len(pids) == 0 || kind == "folder" && entries(dir) == 0 || os.Geteuid() == 0 && len(group) == 0 && findCgroup() != nil {
					t.Fatalf("before: processes %v, %d folders, groups %v", pids, entries(dir), group)
				}
				if err := cmd.Process.Signal(sig); err != nil {
					t.Fatal(err)
				}
				_ = cmd.Wait()
				left := func() string {
					return fmt.Sprintf("processes %v, %d folders, groups %v, %d mounts", alive(pids), entries(dir), existing(group), mounts(t)-before)
				}
				for begun := time.Now(); left() != "processes [], 0 folders, groups [], 0 mounts"; time.Sleep(10 * time.Millisecond) {
					if time.Since(begun) > 10*time.Second {
						t.Fatal("left: " + left())
					}
				}
			})
		}
	}
}

// stagesOf is the processes that descend from one.
func stagesOf(pid int) []int {
	parents := map[int]int{}
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, d := range dirs {
		text, err := os.ReadFile(d + "/stat")
		if err != nil {
			continue
		}
		_, rest, _ := strings.Cut(string(text), ") ")
		fields := strings.Fields(rest)
		child, _ := strconv.Atoi(filepath.Base(d))
		if len(fields) > 1 {
			parents[child], _ = strconv.Atoi(fields[1])
		}
	}
	var found []int
	for child := range parents {
		for p, hops := parents[child], 0; p != 0 && hops < 50; p, hops = parents[p], hops+1 {
			if p == pid {
				found = append(found, child)
				break
			}
		}
	}
	return found
}

// alive leaves out who has ended and was not waited for yet: that is up to the system's init.
func alive(pids []int) []int {
	left := []int{}
	for _, pid := range pids {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if _, rest, ok := strings.Cut(string(text), ") "); err == nil && ok && !strings.HasPrefix(rest, "Z") {
			left = append(left, pid)
		}
	}
	return left
}

// mounts is how many mounts this process sees.
func mounts(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(text), "unroot-")
}

func findCgroupsOf(pid int) []string {
	group := findCgroup()
	if group == nil {
		return nil
	}
	found, _ := filepath.Glob(fmt.Sprintf("%s/unroot-%d-*", filepath.Dir(group.dir), pid))
	return found
}

func existing(paths []string) []string {
	left := []string{}
	for _, p := range paths {
		if _, err := os.Stat(p); err == nil {
			left = append(left, p)
		}
	}
	return left
}

func entries(dir string) int {
	list, _ := os.ReadDir(dir)
	return len(list)
}
