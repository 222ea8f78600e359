//go:build linux

package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"unroot/internal/oracle"
	"unroot/test/engine"
)

// program builds the program as it is released: linked statically.
func program(t *testing.T) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "unroot")
	build := exec.Command("go", "build", "-o", out, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if err := os.Chmod(filepath.Dir(out), 0o755); err != nil {
		t.Fatal(err)
	}
	return out
}

// processesWith finds the processes whose command line has a word, as this machine sees them.
func processesWith(t *testing.T, word string) []string {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, file := range files {
		if line, err := os.ReadFile(file); err == nil && bytes.Contains(line, []byte(word)) {
			found = append(found, filepath.Dir(file)+" "+strings.ReplaceAll(string(line), "\x00", " "))
		}
	}
	return found
}

// until waits for something for at most 20 seconds.
func until(what func() bool) bool {
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if what() {
			return true
		}
	}
	return false
}

// TestNothingStays interrupts and kills runs: nothing of them stays, neither a process nor a file.
func TestNothingStays(t *testing.T) {
	lab(t)
	unroot := program(t)
	inFolder(t, "box", "web", "webuser")
	for i, c := range []struct {
		name string
		args []string
		by   syscall.Signal
		code int // -1: ended by the signal
	}{
		{"run, interrupted", []string{"run", "oci:box:v1", "--", "sleep"}, syscall.SIGINT, exitInterrupted},
		{"run, ended", []string{"run", "oci:box:v1", "--", "sh", "-c", "trap '' TERM INT; (sleep 900; true) & sleep $0"}, syscall.SIGTERM, exitInterrupted},
		{"run, killed", []string{"run", "oci:box:v1", "--", "sleep"}, syscall.SIGKILL, -1},
		{"verify, interrupted", []string{"verify", "oci:webuser:v1", "--baseline", "oci:web:v1", "--settle", "50s", "--timeout", "100s", "--scenario", "fixed"}, syscall.SIGINT, exitInterrupted},
		{"verify, killed", []string{"verify", "oci:webuser:v1", "--baseline", "oci:web:v1", "--settle", "50s", "--timeout", "100s", "--scenario", "fixed"}, syscall.SIGKILL, -1},
	} {
		word := fmt.Sprintf("9%05d%03d", os.Getpid()%100000, i)
		temp := t.TempDir()
		args := c.args
		if c.args[0] == "run" {
			args = append(c.args, word)
		}
		cmd := exec.Command(unroot, args...)
		cmd.Env = []string{"TMPDIR=" + temp, "HOME=" + t.TempDir(), "PATH=" + os.Getenv("PATH")}
		var said bytes.Buffer
		cmd.Stderr = &said
		stdin, err := cmd.StdinPipe() // without an end, as a terminal
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if !until(func() bool { return begun(t, c.args[0], word, cmd.Process.Pid) }) {
			t.Errorf("%s: it does not run: %s", c.name, said.String())
		}
		family := descendants(cmd.Process.Pid)
		if err := cmd.Process.Signal(c.by); err != nil {
			t.Fatal(err)
		}
		ended := make(chan struct{})
		go func() {
			_ = cmd.Wait() // its code is looked at
			close(ended)
		}()
		select {
		case <-ended:
		case <-time.After(20 * time.Second):
			t.Errorf("%s: it does not end", c.name)
			_ = cmd.Process.Kill()
			<-ended
		}
		stdin.Close()
		if code := cmd.ProcessState.ExitCode(); code != c.code {
			t.Errorf("%s: exit code %d, want %d: %s", c.name, code, c.code, said.String())
		}
		if !until(func() bool { return len(processesWith(t, word)) == 0 }) {
			t.Errorf("%s: there is still %q", c.name, processesWith(t, word))
		}
		for _, pid := range family {
			if !until(func() bool { return !alive(pid) }) {
				t.Errorf("%s: process %d is still there", c.name, pid)
			}
		}
		if !until(func() bool { return len(children(t, temp)) == 0 }) {
			t.Errorf("%s: there is still %q", c.name, children(t, temp))
		}
	}
}

// begun reports whether the program of the image runs.
func begun(t *testing.T, verb, word string, pid int) bool {
	if verb == "run" {
		return len(processesWith(t, word)) > 1
	}
	for _, p := range descendants(pid) {
		if line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", p)); err == nil && bytes.Contains(line, []byte("httpd")) {
			return true
		}
	}
	return false
}

// descendants is a process's children, theirs, and so on.
func descendants(pid int) []int {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid)) // the pattern is one
	var all []int
	for _, file := range tasks {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		for _, word := range strings.Fields(string(text)) {
			if child, err := strconv.Atoi(word); err == nil {
				all = append(append(all, child), descendants(child)...)
			}
		}
	}
	return all
}

// alive reports whether a process is there and has not ended.
func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !bytes.Contains(stat, []byte(") Z "))
}

// children is what lies in a folder.
func children(t *testing.T, dir string) []string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// TestVerifyOnEngine proves an image on a real engine, and wants the engine as it was.
func TestVerifyOnEngine(t *testing.T) {
	if testing.Short() {
		t.Skip("starts an engine")
	}
	oracle.Root(t)
	for _, name := range engine.Programs {
		oracle.Program(t, name)
	}
	if _, err := readBusybox(); err != nil {
		oracle.Missing(t, "%v", err)
	}
	unroot := program(t)
	e, err := engine.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	inFolder(t, "web", "webuser")
	unrootOn := func(args ...string) (string, int) {
		cmd := exec.Command(unroot, args...)
		cmd.Env = []string{"DOCKER_HOST=" + e.Host, "HOME=" + t.TempDir(), "PATH=" + os.Getenv("PATH")}
		text, _ := cmd.CombinedOutput() // the code tells
		return string(text), cmd.ProcessState.ExitCode()
	}
	text, code := unrootOn("verify", "--runner", "docker", "--baseline", "oci:web:v1", "oci:webuser:v1", "--scenario", "fixed", "--scenario", "arbitrary")
	if code != 0 || !strings.Contains(text, "proven: in 2 runs") || !strings.Contains(text, "docker ") {
		t.Errorf("exit code %d:\n%s", code, text)
	}
	text, code = unrootOn("convert", "--verify", "--runner", "docker", "oci:web:v1", "docker-daemon:web:nonroot", "--scenario", "fixed")
	if code != 0 {
		t.Errorf("exit code %d:\n%s", code, text)
	}
	for what, list := range map[string][]string{
		"images":     {"images", "--format", "{{.Repository}}:{{.Tag}}"},
		"containers": {"ps", "--all", "--quiet"},
		"volumes":    {"volume", "ls", "--quiet"},
	} {
		out, err := exec.Command("docker", append([]string{"--host", e.Host}, list...)...).Output()
		want := ""
		if what == "images" {
			want = "web:nonroot\n"
		}
		if err != nil || string(out) != want {
			t.Errorf("%s in the engine afterwards: %q, %v; want %q", what, out, err, want)
		}
	}
}
