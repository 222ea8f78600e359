package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"unroot/internal/sandbox/seccomp"
	"unroot/internal/sandbox/tracer"
)

// tracePairs is how often each pair is measured, the two interleaved.
const tracePairs = 9

// tracerBench is what runs a command under a tracer, or under none.
type tracerBench struct {
	binary string // of unroot
	dir    string
}

// way is one way to run a command.
type way struct {
	name string
	args func(b *tracerBench) []string // what stands before the command; the first is the program
}

var (
	untraced = way{"no tracer", func(*tracerBench) []string { return []string{tracer.StageName, "-trace=false"} }}
	traced   = way{"unroot", func(*tracerBench) []string { return []string{tracer.StageName} }}
	straced  = way{"strace --seccomp-bpf", func(b *tracerBench) []string { return append(straceCommand("--seccomp-bpf"), "-o", os.DevNull) }}
	slow     = way{"strace", func(b *tracerBench) []string { return append(straceCommand(), "-o", os.DevNull) }}
)

// straceCommand lets strace look at the calls that the tracer looks at. Names of calls that this
// machine or this strace does not have are passed over ("?").
func straceCommand(flags ...string) []string {
	var names []string
	for _, name := range seccomp.Interesting() {
		names = append(names, "?"+name)
	}
	return append(append([]string{"strace", "-f", "-qq"}, flags...), "-e", "trace="+strings.Join(names, ","))
}

// command starts in an environment as containers have it: a locale would add dozens of opens to each program.
func (b *tracerBench) command(ctx context.Context, w way, args ...string) *exec.Cmd {
	words := append(w.args(b), args...)
	cmd := exec.CommandContext(ctx, words[0], words[1:]...)
	if words[0] == tracer.StageName {
		cmd = exec.CommandContext(ctx, b.binary)
		cmd.Args = words
	}
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	cmd.Dir = b.dir
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// traceRace measures the tracer against none and against strace.
func traceRace(ctx context.Context, binary string) (contests []contest, err error) {
	dir, err := os.MkdirTemp("", "unroot-bench-tracer-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := os.Chmod(dir, 0o755); err != nil { // nginx's worker is another user
		return nil, err
	}
	b := &tracerBench{binary: binary, dir: dir}
	for _, m := range []struct {
		what    string
		measure func(context.Context, way) (float64, error)
		a, b    way
		limit   float64
		least   bool
	}{
		{"fork-heavy shell script, traced against not", b.script, traced, untraced, 1.7, false},
		{"fork-heavy shell script, traced against strace --seccomp-bpf", b.script, traced, straced, 1, false},
		{"fork-heavy shell script, traced against strace", b.script, traced, slow, 1, false},
		{"nginx, 4 KiB files per second, traced against not", b.nginx, traced, untraced, 0.7, true},
		{"nginx, 4 KiB files per second, traced against strace --seccomp-bpf", b.nginx, traced, straced, 1, true},
		{"redis, requests per second, traced against not", b.redis, traced, untraced, 0.95, true},
	} {
		var ratios []float64
		for pair := range tracePairs {
			x, y, err := both(ctx, m.measure, m.a, m.b, pair%2 == 1)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", m.what, err)
			}
			ratios = append(ratios, x/y)
		}
		c := contest{m.what, intervalOf(ratios), m.limit, m.least}
		fmt.Fprintf(os.Stderr, "%-70s %s\n", c.what, c.ratio)
		contests = append(contests, c)
	}
	return contests, nil
}

// traceAlone builds unroot and measures its tracer, without engines and registries.
func traceAlone(ctx context.Context) (err error) {
	l := &lab{}
	if l.dir, err = os.MkdirTemp("", "unroot-bench-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(l.dir)) }()
	if err := l.buildBinary(ctx); err != nil {
		return err
	}
	r := report{}
	if r.traced, err = traceRace(ctx, l.binary); err != nil {
		return err
	}
	fmt.Print(contestText(r.traced))
	for _, c := range r.traced {
		if !c.holds() {
			err = errors.Join(err, fmt.Errorf("bar that does not hold: %s", c.what))
		}
	}
	return err
}

// contestText is the tracer's part of the report, as Markdown.
func contestText(contests []contest) string {
	if len(contests) == 0 {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\nThe tracer, medians of %d interleaved pairs with an interval of at least 95 %%; a bar is broken only where the interval excludes it.\n\n", contests[0].ratio.n)
	fmt.Fprintf(&b, "| ratio | measured | limit | |\n|---|---|---|---|\n")
	for _, c := range contests {
		fmt.Fprintf(&b, "| %s | %s | %s %g× | %s |\n", c.what, c.ratio, sense(c.least), c.limit, verdictWord(c.holds()))
	}
	return b.String()
}

// both measures two ways, the second one first in every other pair.
func both(ctx context.Context, measure func(context.Context, way) (float64, error), a, b way, swap bool) (x, y float64, err error) {
	if swap {
		y, x, err = both(ctx, measure, b, a, false)
		return x, y, err
	}
	if x, err = measure(ctx, a); err != nil {
		return 0, 0, fmt.Errorf("%s: %w", a.name, err)
	}
	if y, err = measure(ctx, b); err != nil {
		return 0, 0, fmt.Errorf("%s: %w", b.name, err)
	}
	return x, y, nil
}

// forks is a script that starts four processes in each of 400 rounds.
const forks = `for i in $(seq 400); do true; ls /etc; x=$(echo|cat); done >/dev/null`

// script gives the seconds of the fork-heavy script.
func (b *tracerBench) script(ctx context.Context, w way) (float64, error) {
	cmd := b.command(ctx, w, "bash", "-c", forks)
	start := time.Now()
	if out, err := cmd.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("%w\n%s", err, out)
	}
	return time.Since(start).Seconds(), nil
}

const nginxConfig = `daemon off; worker_processes 1; error_log stderr crit; pid %[1]s/pid;
events { worker_connections 256; }
http { access_log off; keepalive_requests 1000000; client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxy; fastcgi_temp_path %[1]s/fastcgi; uwsgi_temp_path %[1]s/uwsgi; scgi_temp_path %[1]s/scgi;
server { listen 127.0.0.1:%[2]d; root %[1]s; } }
`

// nginx gives the requests per second for a file that is opened for each of them.
func (b *tracerBench) nginx(ctx context.Context, w way) (float64, error) {
	port, err := freePort()
	if err != nil {
		return 0, err
	}
	config := filepath.Join(b.dir, "nginx.conf")
	for name, text := range map[string]string{config: fmt.Sprintf(nginxConfig, b.dir, port), filepath.Join(b.dir, "file"): strings.Repeat("x", 4096)} {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			return 0, err
		}
	}
	return b.serve(ctx, w, port, func() (float64, error) { return load(ctx, port) }, "nginx", "-c", config, "-e", "stderr")
}

// redis gives the requests per second of GETs.
func (b *tracerBench) redis(ctx context.Context, w way) (float64, error) {
	port, err := freePort()
	if err != nil {
		return 0, err
	}
	return b.serve(ctx, w, port, func() (float64, error) {
		out, err := exec.CommandContext(ctx, "redis-benchmark", "-p", strconv.Itoa(port), "-t", "get", "-n", "60000", "-c", "20", "--csv").CombinedOutput()
		if err != nil {
			return 0, fmt.Errorf("%w\n%s", err, out)
		}
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		fields := strings.Split(lines[len(lines)-1], ",")
		if len(fields) < 2 {
			return 0, fmt.Errorf("redis-benchmark said %q", out)
		}
		return strconv.ParseFloat(strings.Trim(fields[1], `"`), 64)
	}, "redis-server", "--port", strconv.Itoa(port), "--save", "", "--bind", "127.0.0.1", "--dir", b.dir)
}

// serve starts a server, measures when it answers, and ends it.
func (b *tracerBench) serve(ctx context.Context, w way, port int, measure func() (float64, error), args ...string) (rate float64, err error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	cmd := b.command(ctx, w, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	defer func() {
		stop()
		_ = cmd.Wait() // it ends by the signal
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	}()
	for range 100 {
		var c net.Conn
		if c, err = net.Dial("tcp", address(port)); err == nil {
			c.Close()
			if rate, err = measure(); err != nil {
				err = fmt.Errorf("%w\n%s", err, &out)
			}
			return rate, err
		}
		time.Sleep(50 * time.Millisecond)
	}
	return 0, fmt.Errorf("no answer: %w\n%s", err, &out)
}

func address(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// load asks for the file with ab, a connection for each request, and gives the requests per second.
func load(ctx context.Context, port int) (float64, error) {
	out, err := exec.CommandContext(ctx, "ab", "-q", "-n", "12000", "-c", "10", "http://"+address(port)+"/file").CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("ab: %w\n%s", err, out)
	}
	text := string(out)
	if strings.Contains(text, "Non-2xx") {
		return 0, fmt.Errorf("ab was not served\n%s", out)
	}
	_, rest, _ := strings.Cut(text, "Requests per second:")
	fields := strings.Fields(rest)
	if len(fields) == 0 {
		return 0, fmt.Errorf("ab said %q", out)
	}
	return strconv.ParseFloat(fields[0], 64)
}
