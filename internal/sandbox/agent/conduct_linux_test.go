package agent

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"unroot/internal/oracle"
	"unroot/internal/trace"
	"unroot/internal/verify"
)

// freePort is a TCP port that nobody listens on.
func freePort(t *testing.T) uint16 {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return uint16(l.Addr().(*net.TCPAddr).Port)
}

// answering is a service in Python that answers every connection with "hello", after some lines.
func answering(port uint16, before string) string {
	return fmt.Sprintf(`
import os, socket, sys, time, signal
%s
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("127.0.0.1", %d)); s.listen(8)
while True:
    c, _ = s.accept(); c.sendall(b"hello\n"); c.close()
`, before, port)
}

func programs(list []verify.Process) []string {
	var names []string
	for _, p := range list {
		names = append(names, filepath.Base(p.Program))
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func tcp(port uint16) verify.Socket {
	return verify.Socket{Proto: "tcp", Address: "127.0.0.1", Port: port}
}

func TestServiceIsAskedAndStopped(t *testing.T) {
	t.Parallel()
	for _, traced := range []bool{true, false} {
		t.Run(fmt.Sprintf("traced=%v", traced), func(t *testing.T) {
			t.Parallel()
			port := freePort(t)
			r := hostRun(python(t), "-c", answering(port, `print("started", flush=True)`))
			r.Trace = traced
			r.Await = []verify.Socket{tcp(port)}
			r.Probes = []verify.Probe{
				{Kind: "tcp", Address: fmt.Sprintf("127.0.0.1:%d", port), Expect: "^hello"},
				{Kind: "exec", Args: []string{"sh", "-c", "echo asked; exit 3"}},
				{Kind: "generic"},
			}
			r.Health = []string{"CMD-SHELL", "test -d /proc"}
			out := conduct(context.Background(), t, r)
			if out.End != verify.EndSteady || out.Stopped != "SIGTERM" || out.Steady <= 0 || out.Took < out.Steady {
				t.Errorf("end %q, stopped by %q, steady after %v, took %v; error %q", out.End, out.Stopped, out.Steady, out.Took, out.Error)
			}
			if want := []verify.Socket{{Proto: "tcp", Address: "127.0.0.1", Port: port, Program: realPath(t, python(t))}}; !slices.Equal(out.Sockets, want) {
				t.Errorf("sockets %+v, want %+v", out.Sockets, want)
			}
			if len(out.Answers) != 3 || !out.Answers[0].OK || out.Answers[1].OK || out.Answers[1].Shape != "exit 3" || !out.Answers[2].OK {
				t.Errorf("answers %+v", out.Answers)
			}
			if out.Health == nil || !out.Health.OK {
				t.Errorf("health %+v", out.Health)
			}
			if out.Stdout != "started\n" || out.Stderr != "" {
				t.Errorf("output %q and %q", out.Stdout, out.Stderr)
			}
			if len(out.Processes) != 1 || out.Processes[0].Args[1] != "-c" {
				t.Errorf("processes %+v", out.Processes)
			}
			if traced {
				seesCommands(t, out)
			}
		})
	}
}

// seesCommands: what was executed for a probe or a health check was seen, and the trace knows where
// the steady state began.
func seesCommands(t *testing.T, out verify.Outcome) {
	t.Helper()
	if !slices.Contains(programs(out.Seen), filepath.Base(realPath(t, "/bin/sh"))) {
		t.Errorf("seen %q: the shell of the health check is missing", programs(out.Seen))
	}
	for _, e := range out.Trace.Events {
		switch {
		case e.Kind == trace.Listen && e.Seq > out.Trace.Steady:
			t.Errorf("listening, event %d, comes after the steady state, event %d", e.Seq, out.Trace.Steady)
		case e.Kind == trace.Exec && e.Errno == "" && strings.Contains(strings.Join(e.Args, " "), "test -d") && e.Seq <= out.Trace.Steady:
			t.Errorf("the health check, event %d, comes before the steady state, event %d", e.Seq, out.Trace.Steady)
		}
	}
}

func realPath(t *testing.T, path string) string {
	t.Helper()
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func TestServiceThatListensLate(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	r := hostRun(python(t), "-c", answering(port, "time.sleep(1.2)"))
	r.Await = []verify.Socket{tcp(port)}
	out := conduct(context.Background(), t, r)
	if out.End != verify.EndSteady || out.Steady < 1200*time.Millisecond {
		t.Errorf("end %q, steady after %v", out.End, out.Steady)
	}
	if len(out.Sockets) != 1 {
		t.Errorf("sockets %+v", out.Sockets)
	}
}

func TestNothingAwaited(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	r := hostRun(python(t), "-c", answering(port, "x = sum(i * i for i in range(3000000))"))
	out := conduct(context.Background(), t, r)
	if out.End != verify.EndSteady || len(out.Sockets) != 1 {
		t.Errorf("end %q, sockets %+v", out.End, out.Sockets)
	}
}

func TestProbesWaitForAService(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	script := fmt.Sprintf(`
import socket, time
s = socket.socket(); s.bind(("127.0.0.1", %d)); s.listen(8)
start = time.time()
while True:
    c, _ = s.accept()
    c.sendall(b"ready\n" if time.time() - start > 0.5 else b"wait\n"); c.close()
`, port)
	r := hostRun(python(t), "-c", script)
	r.Await = []verify.Socket{tcp(port)}
	r.Settle = time.Second
	r.Probes = []verify.Probe{{Kind: "tcp", Address: fmt.Sprintf("127.0.0.1:%d", port), Expect: "ready"}}
	out := conduct(context.Background(), t, r)
	if out.End != verify.EndSteady || len(out.Answers) != 1 || !out.Answers[0].OK || out.Steady < 500*time.Millisecond {
		t.Errorf("end %q, steady after %v, answers %+v", out.End, out.Steady, out.Answers)
	}
}

func TestForkingService(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	script := fmt.Sprintf(`
import os, socket, time
s = socket.socket(); s.bind(("127.0.0.1", %d)); s.listen(8)
for i in range(3):
    if os.fork() == 0:
        while True:
            c, _ = s.accept()
            if os.fork() == 0:
                c.sendall(b"hello\n"); time.sleep(60)
            c.close()
while True: time.sleep(60)
`, port)
	r := hostRun(python(t), "-c", script)
	r.Await = []verify.Socket{tcp(port)}
	r.Probes = []verify.Probe{{Kind: "tcp", Address: fmt.Sprintf("127.0.0.1:%d", port), Expect: "hello"}}
	out := conduct(context.Background(), t, r)
	if out.End != verify.EndSteady || len(out.Sockets) != 1 {
		t.Errorf("end %q, sockets %+v", out.End, out.Sockets)
	}
	// the first, three workers, and one more for the connection
	if len(out.Processes) != 5 {
		t.Errorf("%d processes, want 5: %+v", len(out.Processes), out.Processes)
	}
}

func TestRunsThatEnd(t *testing.T) {
	t.Parallel()
	for _, table := range []struct {
		name   string
		args   []string
		exits  bool
		end    verify.End
		status int
		err    string
	}{
		{"status", []string{"sh", "-c", "echo out; echo err >&2; exit 7"}, true, verify.EndExited, 7, ""},
		{"not expected", []string{"sh", "-c", "echo out; echo err >&2; exit 7"}, false, verify.EndExited, 7, ""},
		{"after a while", []string{"sh", "-c", "echo out; echo err >&2; sleep 2"}, true, verify.EndExited, 0, ""},
		{"signal", []string{"sh", "-c", "echo out; echo err >&2; kill -SEGV $$"}, true, verify.EndExited, 139, ""},
		{"not found", []string{"no-such-program"}, true, verify.EndFailed, 127, "no-such-program"},
		{"no program", []string{"/etc/passwd"}, true, verify.EndFailed, 126, "/etc/passwd"},
		{"nothing", []string{"/nowhere/at/all"}, false, verify.EndFailed, 127, "/nowhere/at/all"},
	} {
		t.Run(table.name, func(t *testing.T) {
			t.Parallel()
			r := hostRun(table.args...)
			r.Exits = table.exits
			out := conduct(context.Background(), t, r)
			if out.End != table.end || out.Status != table.status || !strings.Contains(out.Error, table.err) {
				t.Errorf("end %q, status %d, error %q; want %q, %d", out.End, out.Status, out.Error, table.end, table.status)
			}
			if table.end == verify.EndExited && (out.Stdout != "out\n" || out.Stderr != "err\n") {
				t.Errorf("output %q and %q", out.Stdout, out.Stderr)
			}
		})
	}
}

func TestServiceThatDiesWhenAsked(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	script := fmt.Sprintf(`
import os, socket
s = socket.socket(); s.bind(("127.0.0.1", %d)); s.listen(8)
s.accept(); os._exit(9)
`, port)
	r := hostRun(python(t), "-c", script)
	r.Await = []verify.Socket{tcp(port)}
	r.Probes = []verify.Probe{{Kind: "tcp", Address: fmt.Sprintf("127.0.0.1:%d", port), Expect: "x"}}
	out := conduct(context.Background(), t, r)
	if out.End != verify.EndExited || out.Status != 9 || len(out.Sockets) != 1 {
		t.Errorf("end %q, status %d, sockets %v", out.End, out.Status, out.Sockets)
	}
}

func TestProcessThatDoesNotStop(t *testing.T) {
	t.Parallel()
	r := hostRun("sh", "-c", `trap "" TERM; trap "" INT; while :; do sleep 60; done`)
	start := time.Now()
	out := conduct(context.Background(), t, r)
	if out.End != verify.EndSteady || out.Stopped != "SIGKILL" {
		t.Errorf("end %q, stopped by %q", out.End, out.Stopped)
	}
	if took := time.Since(start); took > 15*time.Second {
		t.Errorf("it took %v", took)
	}
}

func TestStopSignal(t *testing.T) {
	t.Parallel()
	r := hostRun("sh", "-c", `trap "echo stopped; exit 0" QUIT; while :; do sleep 0.05; done`)
	r.Stop, r.Timeout = "SIGQUIT", 4*time.Second
	out := conduct(context.Background(), t, r)
	if out.Stopped != "SIGQUIT" || out.Stdout != "stopped\n" {
		t.Errorf("stopped by %q, wrote %q", out.Stopped, out.Stdout)
	}
}

func TestAwaitedNeverComes(t *testing.T) {
	t.Parallel()
	r := hostRun("sleep", "1000")
	r.Await = []verify.Socket{tcp(freePort(t))}
	r.Timeout = time.Second
	out := conduct(context.Background(), t, r)
	if out.End != verify.EndTimeout || len(out.Processes) != 1 || out.Stopped != "SIGTERM" {
		t.Errorf("end %q, processes %+v, stopped by %q", out.End, out.Processes, out.Stopped)
	}
}

func TestRunThatWritesWithoutEnd(t *testing.T) {
	t.Parallel()
	r := hostRun("yes")
	r.Trace = false
	r.Limits.Output = 4096
	out := conduct(context.Background(), t, r)
	if out.End != verify.EndLimit || out.Limit != "output" {
		t.Errorf("end %q, limit %q", out.End, out.Limit)
	}
	if len(out.Stdout) > 4096+100 || !strings.Contains(out.Stdout, "left out") {
		t.Errorf("%d bytes are kept", len(out.Stdout))
	}
}

func TestForkBombMeetsItsLimit(t *testing.T) {
	t.Parallel()
	r := hostRun("sh", "-c", "while :; do sleep 100 & done")
	r.Limits.Processes = 30
	out := conduct(context.Background(), t, r)
	if out.End != verify.EndLimit || out.Limit != "processes" {
		t.Errorf("end %q, limit %q", out.End, out.Limit)
	}
}

func TestCancelledRun(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(400*time.Millisecond, cancel)
	r := hostRun("sh", "-c", `trap "" TERM; sleep 100 & wait`)
	r.Exits = true
	start := time.Now()
	out := conduct(ctx, t, r)
	if out.End != verify.EndFailed || !strings.Contains(out.Error, "canceled") {
		t.Errorf("end %q, error %q", out.End, out.Error)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
}

func TestStreamsOfAUser(t *testing.T) {
	t.Parallel()
	long := bytes.Repeat([]byte("0123456789abcdef"), 50000)
	var out, errs bytes.Buffer
	r := hostRun("sh", "-c", "cat; echo done >&2")
	r.Exits = true
	r.Streams = &verify.Streams{In: bytes.NewReader(long), Out: &out, Err: &errs}
	outcome := conduct(context.Background(), t, r)
	if outcome.End != verify.EndExited || outcome.Status != 0 {
		t.Errorf("end %q, status %d, error %q", outcome.End, outcome.Status, outcome.Error)
	}
	if !bytes.Equal(out.Bytes(), long) || errs.String() != "done\n" {
		t.Errorf("%d bytes came back of %d; %q", out.Len(), len(long), errs.String())
	}
}

// TestInputThatNobodyReads: what is not read must not stand before a Cancel.
func TestInputThatNobodyReads(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(500*time.Millisecond, cancel)
	r := hostRun("sleep", "100")
	r.Exits = true
	r.Streams = &verify.Streams{In: bytes.NewReader(make([]byte, 10<<20))}
	start := time.Now()
	out := conduct(ctx, t, r)
	if took := time.Since(start); took > 5*time.Second || out.End != verify.EndFailed {
		t.Errorf("end %q after %v", out.End, took)
	}
}

// TestSocketsAgree compares the sockets of the whole machine with what ss says.
func TestSocketsAgree(t *testing.T) {
	oracle.Root(t) // who is not root does not see the holders
	ss := oracle.Program(t, "ss")
	dir := t.TempDir()
	held := []func() error{}
	hold := func(network, address string) {
		switch network {
		case "udp", "unixgram":
			c, err := net.ListenPacket(network, address)
			if err != nil {
				t.Fatal(err)
			}
			held = append(held, c.Close)
		default:
			l, err := net.Listen(network, address)
			if err != nil {
				t.Fatal(err)
			}
			held = append(held, l.Close)
		}
	}
	hold("tcp4", "127.0.0.1:0")
	hold("tcp", "[::]:0")
	hold("tcp", "[::1]:0")
	hold("udp", "127.0.0.1:0")
	hold("unix", filepath.Join(dir, "a b"))
	hold("unixgram", filepath.Join(dir, "gram"))
	hold("unix", "@unroot-test-abstract")
	defer func() {
		for _, release := range held {
			release()
		}
	}()
	o := &observer{proc: "/proc", first: os.Getpid(), seen: newSeen(false, nil), shared: true}
	var got []string
	for _, s := range o.sockets([]task{{Process: verify.Process{PID: os.Getpid()}}}) {
		if s.Proto == "unix" {
			got = append(got, s.Address)
		} else {
			got = append(got, s.Proto+" "+strconv.Itoa(int(s.Port)))
		}
	}
	want := ownSockets(t, ss)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("found %q,\nss says %q", got, want)
	}
}

// ownSockets asks ss for the listening sockets of this process.
func ownSockets(t *testing.T, ss string) []string {
	t.Helper()
	var own []string
	pid := fmt.Sprintf("pid=%d,", os.Getpid())
	for _, options := range []string{"-lntpH", "-lnupH", "-lnxpH"} {
		text, err := exec.Command(ss, options).Output()
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if !strings.Contains(line, pid) {
				continue
			}
			f := strings.Fields(line)
			switch {
			case options == "-lnxpH":
				// Netid State Recv-Q Send-Q Address Inode …; an address may hold blanks
				m := regexp.MustCompile(`^\S+\s+\S+\s+\d+\s+\d+\s+(.*?)\s+\d+\s+\*`).FindStringSubmatch(line)
				own = append(own, strings.TrimSpace(m[1]))
			default:
				own = append(own, map[string]string{"-lntpH": "tcp ", "-lnupH": "udp "}[options]+f[3][strings.LastIndex(f[3], ":")+1:])
			}
		}
	}
	slices.Sort(own)
	return own
}
