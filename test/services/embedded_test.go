package services

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"unroot/internal/record"
)

// judgeEmbedded runs the image that was written with `unroot run` and asks it as judgeOnEngine does.
func judgeEmbedded(t *testing.T, s service, c conversion, moved []record.Port, as ...string) error {
	t.Helper()
	path, err := lab.unroot()
	if err != nil {
		t.Fatal(err)
	}
	args := append([]string{"run"}, as...)
	if s.ports {
		args = append(args, "--port-start", "0")
	}
	args = append(append(args, environment(s.env)...), "docker-archive:"+c.archive+":"+c.image)
	cmd := exec.Command(path, args...)
	cmd.Env = append(os.Environ(), "XDG_CACHE_HOME="+t.TempDir())
	var said lockedBuffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait() // what it says is in its output
		close(ended)
	}()
	defer endOf(t, cmd, ended)
	p := place{
		pid:   func() (int, error) { return targetOf(cmd.Process.Pid) },
		moved: moved,
		alive: func() bool {
			select {
			case <-ended:
				return false
			default:
				return true
			}
		},
		log: func() string { return "by unroot run:\n" + tail(said.String()) },
	}
	err = s.serves(t.Context(), p, s.patience())
	if err != nil {
		for _, pid := range descendants(cmd.Process.Pid) {
			name, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid)) // for people
			net, _ := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", pid))
			t.Logf("there is process %d %s in %s", pid, bytes.TrimSpace(name), net)
		}
	}
	return err
}

// endOf interrupts the command, as a user does.
func endOf(t *testing.T, cmd *exec.Cmd, ended chan struct{}) {
	t.Helper()
	_ = cmd.Process.Signal(os.Interrupt) // an error means that it has ended
	select {
	case <-ended:
	case <-time.After(30 * time.Second):
		t.Error("unroot run goes on 30 s after an interrupt")
		_ = cmd.Process.Kill()
		<-ended
	}
}

// errNoTarget says that the run has not begun yet.
var errNoTarget = errors.New("unroot run has no first process yet")

// targetOf finds the first process of a run below the command: the one that is number 1 in the
// innermost process namespace and not in the network of this machine.
func targetOf(command int) (int, error) {
	own, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		return 0, err
	}
	found, depth := 0, 0
	for _, pid := range descendants(command) {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			continue // ended meanwhile
		}
		numbers := namespaceNumbers(string(status))
		net, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", pid))
		if err != nil || net == own || len(numbers) <= depth || numbers[len(numbers)-1] != "1" {
			continue
		}
		found, depth = pid, len(numbers)
	}
	if found == 0 {
		return 0, errNoTarget
	}
	return found, nil
}

// namespaceNumbers is the pids of a process from the outermost namespace to the innermost
// (proc_pid_status(5), NSpid).
func namespaceNumbers(status string) []string {
	for line := range strings.Lines(status) {
		if list, ok := strings.CutPrefix(line, "NSpid:"); ok {
			return strings.Fields(list)
		}
	}
	return nil
}

// descendants lists the processes below one, the nearest first.
func descendants(of int) []int {
	children := map[int][]int{}
	all, _ := filepath.Glob("/proc/[0-9]*/stat") // the pattern is well-formed
	for _, path := range all {
		stat, err := os.ReadFile(path)
		if err != nil {
			continue // ended meanwhile
		}
		// the name, in parentheses, may have spaces: proc_pid_stat(5)
		_, rest, ok := strings.Cut(string(stat[bytes.LastIndexByte(stat, ')')+1:]), " ")
		fields := strings.Fields(rest)
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if !ok || err != nil || len(fields) < 2 {
			continue
		}
		if parent, err := strconv.Atoi(fields[1]); err == nil {
			children[parent] = append(children[parent], pid)
		}
	}
	var below []int
	for queue := []int{of}; len(queue) > 0; queue = queue[1:] {
		below = append(below, children[queue[0]]...)
		queue = append(queue, children[queue[0]]...)
	}
	return below
}

// lockedBuffer is written by a command while a test reads it.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
