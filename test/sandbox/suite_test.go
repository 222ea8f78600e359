package sandbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"unroot/internal/account"
	"unroot/internal/oracle"
	"unroot/internal/sandbox"
	"unroot/internal/trace"
	"unroot/internal/verify"
)

func TestEmbedded(t *testing.T) {
	runner, err := sandbox.New(sandbox.Options{IDs: []uint32{account.ArbitraryUID, account.ArbitraryUID + 1}})
	if errors.Is(err, verify.ErrUnavailable) {
		oracle.Missing(t, "embedded runner: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := runner.Close(); err != nil {
			t.Error(err)
		}
	})
	testRunner(t, runner)
}

func TestDocker(t *testing.T) {
	testRunner(t, newEngine(t, dockerHost(t)))
}

func TestPodman(t *testing.T) {
	testRunner(t, newEngine(t, podmanSocket(t)))
}

func dockerHost(t *testing.T) string {
	t.Helper()
	oracle.Root(t)
	oracle.Program(t, "dockerd")
	e, err := lab.docker()
	if err != nil {
		t.Fatal(err)
	}
	return e.Host
}

func podmanSocket(t *testing.T) string {
	t.Helper()
	oracle.Root(t)
	oracle.Program(t, "podman")
	d, err := lab.podman()
	if err != nil {
		t.Fatal(err)
	}
	return podmanHost(d.Dir)
}

// bench is a runner under test.
type bench struct {
	runner verify.Runner
}

// candidate is a run as an arbitrary uid without any right.
func candidate(t *testing.T, script string) verify.Run {
	return verify.Run{
		Name: t.Name(), Image: boxImage(t), Digest: boxImage(t).Digest.String(),
		Identity: account.Arbitrary(),
		Args:     []string{"sh", "-c", script},
		Env:      []string{"PATH=/bin", "WORD=two words"},
		Dir:      "/", NoNewPrivs: true, PortStart: 1024, Trace: true, Exits: true,
		Settle: 300 * time.Millisecond, Timeout: 30 * time.Second,
	}
}

// baseline is a run as root with what engines give.
func baseline(t *testing.T, script string) verify.Run {
	r := candidate(t, script)
	r.Identity, r.Caps, r.NoNewPrivs = account.Identity{Name: "root", Home: "/"}, verify.EngineCaps, false
	return r
}

// service makes a run one that serves on a port.
func service(r verify.Run, port uint16) verify.Run {
	r.Exits = false
	r.Await = []verify.Socket{{Proto: "tcp", Port: port}}
	r.Probes = []verify.Probe{{Kind: "http", Address: fmt.Sprintf("http://127.0.0.1:%d/", port), Expect: "it serves"}}
	return r
}

func (b bench) run(t *testing.T, r verify.Run) verify.Outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	defer cancel()
	out, err := b.runner.Run(ctx, r, nil)
	if err != nil {
		t.Fatal(err)
	}
	if out.Trace.Lost != "" || out.Runner != b.runner.Name() {
		t.Errorf("lost %q, runner %q", out.Trace.Lost, out.Runner)
	}
	return out
}

// exits runs to the end and compares status and standard output.
func (b bench) exits(t *testing.T, r verify.Run, status int, stdout string) verify.Outcome {
	t.Helper()
	out := b.run(t, r)
	if out.End != verify.EndExited || out.Status != status {
		t.Errorf("end %q, status %d, error %q, limit %q; want status %d\n%s", out.End, out.Status, out.Error, out.Limit, status, out.Stderr)
	}
	if out.Stdout != stdout {
		t.Errorf("wrote %q, want %q; errors %q", out.Stdout, stdout, out.Stderr)
	}
	return out
}

// event looks for an event of one kind and path with an answer.
func event(out verify.Outcome, kind trace.Kind, path string, errno trace.Errno) bool {
	return slices.ContainsFunc(out.Trace.Events, func(e trace.Event) bool {
		return e.Kind == kind && (e.Path == path || e.Addr == path) && e.Errno == errno
	})
}

func wantEvent(t *testing.T, out verify.Outcome, kind trace.Kind, path string, errno trace.Errno) {
	t.Helper()
	if event(out, kind, path, errno) {
		return
	}
	var near []string
	for _, e := range out.Trace.Events {
		if e.Kind == kind {
			near = append(near, fmt.Sprintf("%s %s%s %s", e.Call, e.Path, e.Addr, e.Errno))
		}
	}
	t.Errorf("no event %s %s %s; there are\n%s", kind, path, errno, strings.Join(near, "\n"))
}

// testRunner is what every runner must do.
func testRunner(t *testing.T, runner verify.Runner) {
	b := bench{runner}
	for _, test := range []struct {
		name string
		f    func(*testing.T)
	}{
		{"identity", b.identity}, {"rights", b.rights}, {"root", b.root}, {"place", b.place}, {"network", b.network},
		{"exit codes", b.exitCodes}, {"denials", b.denials}, {"needs", b.needs}, {"read-only", b.readOnly}, {"tmpfs", b.tmpfs},
		{"standard streams", b.standardStreams}, {"a user's streams", b.userStreams},
		{"volume", b.volume}, {"volume of root", b.rootVolume}, {"volume with a group", b.groupVolume}, {"service", b.service}, {"low port", b.lowPort},
		{"health", b.health}, {"stubborn", b.stubborn}, {"endless output", b.endlessOutput}, {"memory", b.memory},
		{"fork bomb", b.forkBomb}, {"time", b.time}, {"cancel", b.cancel}, {"orphans", b.orphans}, {"tracer is out of reach", b.reach},
	} {
		t.Run(test.name, test.f)
	}
}

func (b bench) identity(t *testing.T) {
	b.exits(t, candidate(t, "id -u; id -g; id -G"), 0, "1000700000\n0\n0\n")
	r := candidate(t, "id -u; id -g; id -G")
	r.Identity = account.Identity{UID: 7, GID: 7, Groups: []uint32{0, 33}, Name: "service", Home: "/"}
	out := b.exits(t, r, 0, "7\n7\n7 0 33\n")
	for _, p := range out.Seen {
		if p.Creds.UIDs != [4]uint32{7, 7, 7, 7} || p.Creds.Caps != 0 {
			t.Errorf("seen %+v", p)
		}
	}
	if len(out.Seen) == 0 {
		t.Error("nobody was seen")
	}
}

var zeroCaps = "CapInh:\t0000000000000000\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000\nCapBnd:\t0000000000000000\nCapAmb:\t0000000000000000\nNoNewPrivs:\t1\n"

func (b bench) rights(t *testing.T) {
	b.exits(t, candidate(t, "grep -E '^(Cap|NoNewPrivs)' /proc/self/status"), 0, zeroCaps)
}

// root: a baseline has the capabilities of an engine's container, and no more.
func (b bench) root(t *testing.T) {
	out := b.exits(t, baseline(t, "id -u; grep -E '^Cap(Prm|Eff|Bnd)' /proc/self/status; touch /etc/made && chown 7:7 /etc/made && stat -c %u /etc/made"),
		0, "0\nCapPrm:\t00000000a80425fb\nCapEff:\t00000000a80425fb\nCapBnd:\t00000000a80425fb\n7\n")
	wantEvent(t, out, trace.Open, "/etc/made", "")
	wantEvent(t, out, trace.Owner, "/etc/made", "")
}

func (b bench) place(t *testing.T) {
	r := candidate(t, "pwd; hostname; echo $WORD; echo $HOME")
	r.Dir, r.Hostname = "/data", "box"
	b.exits(t, r, 0, "/data\nbox\ntwo words\n\n")
}

func (b bench) network(t *testing.T) {
	out := b.exits(t, candidate(t, "ls /sys/class/net | grep -v -x -E 'lo|(sit|tunl|gre|gretap|erspan|ip6tnl|ip6gre|ip_vti|ip6_vti)0'; nc -w 2 192.0.2.1 80 < /dev/null; echo $?"), 0, "1\n")
	if out.Took > 15*time.Second {
		t.Errorf("it took %v", out.Took)
	}
}

func (b bench) exitCodes(t *testing.T) {
	b.exits(t, candidate(t, "exit 7"), 7, "")
	// the first process of a pid namespace does not get the signals that it sends to itself
	b.exits(t, candidate(t, "sh -c 'kill -SEGV $$; sleep 5'; exit $?"), 139, "")
	for args, status := range map[string]int{"no-such-program": 127, "/etc/passwd": 126, "/nowhere/x": 127} {
		r := candidate(t, "")
		r.Args = []string{args}
		out := b.run(t, r)
		if out.End != verify.EndFailed || out.Status != status || !strings.Contains(out.Error, args) {
			t.Errorf("%s: end %q, status %d, error %q; want status %d", args, out.End, out.Status, out.Error, status)
		}
	}
}

func (b bench) denials(t *testing.T) {
	out := b.exits(t, candidate(t, "cat /etc/secret; touch /rootonly/x; mkdir /rootonly/../etc/d; cat locked/y; chown 7 /data/seed; echo done"), 0, "done\n")
	wantEvent(t, out, trace.Open, "/etc/secret", "EACCES")
	wantEvent(t, out, trace.Open, "/rootonly/x", "EACCES")
	wantEvent(t, out, trace.Make, "/etc/d", "EACCES")
	wantEvent(t, out, trace.Open, "/locked/y", "EACCES")
	wantEvent(t, out, trace.Owner, "/data/seed", "EPERM")
}

func (b bench) needs(t *testing.T) {
	out := b.exits(t, baseline(t, "echo x > /rootonly/x; mkdir /etc/d; cat /etc/secret; chmod 600 /etc/passwd"), 0, "secret\n")
	wantEvent(t, out, trace.Open, "/rootonly/x", "")
	wantEvent(t, out, trace.Make, "/etc/d", "")
	wantEvent(t, out, trace.Mode, "/etc/passwd", "")
	if !slices.ContainsFunc(out.Seen, func(p verify.Process) bool { return p.Creds.Root() && p.Creds.Bounding != 0 }) {
		t.Errorf("nobody was seen as root: %+v", out.Seen)
	}
}

func (b bench) readOnly(t *testing.T) {
	r := candidate(t, "touch /data/x; touch /new; echo done")
	r.ReadOnly = true
	out := b.exits(t, r, 0, "done\n")
	wantEvent(t, out, trace.Open, "/data/x", "EROFS")
}

// tmpfs: as engines mount it, with the mode of the image's directory and root as its owner, and
// nothing of its content.
func (b bench) tmpfs(t *testing.T) {
	r := candidate(t, "stat -c '%a %u:%g' /scratch; stat -c '%a %u:%g' /data; ls -A /data; echo x > /scratch/x && cat /scratch/x; touch /new")
	r.ReadOnly, r.Tmpfs = true, []string{"/scratch", "/data"}
	b.exits(t, r, 1, "775 0:0\n770 0:0\nx\n")
}

// standardStreams: a program may open what it was given by its name in /dev.
func (b bench) standardStreams(t *testing.T) {
	out := b.exits(t, candidate(t, "ls -l /dev/stdout > /dev/null; echo out > /dev/stdout; echo err > /dev/stderr; cat"), 0, "out\n")
	if out.Stderr != "err\n" {
		t.Errorf("standard error %q", out.Stderr)
	}
}

func (b bench) userStreams(t *testing.T) {
	long := bytes.Repeat([]byte("0123456789abcdef"), 40000)
	var stdout, stderr bytes.Buffer
	r := candidate(t, "cat; echo end >&2; exit 3")
	r.Trace = false
	r.Streams = &verify.Streams{In: bytes.NewReader(long), Out: &stdout, Err: &stderr}
	out := b.run(t, r)
	if out.Status != 3 || !bytes.Equal(stdout.Bytes(), long) || stderr.String() != "end\n" {
		t.Errorf("status %d, %d of %d bytes, %q", out.Status, stdout.Len(), len(long), stderr.String())
	}
}

func (b bench) volume(t *testing.T) {
	r := candidate(t, "stat -c '%a %u:%g' /data; cat /data/seed; echo first > /data/kept")
	r.Volumes = []verify.Volume{{Name: t.Name(), Path: "/data", Seed: verify.SeedImage}}
	b.exits(t, r, 0, "770 0:0\nfrom the image\n")
	r.Identity.UID++
	r.Args = []string{"sh", "-c", "cat /data/kept; stat -c %u:%g /data/kept; stat -c %u /data/seed; ls -A /data"}
	b.exits(t, r, 0, "first\n1000700000:0\n5\nkept\nseed\n")
	r.Volumes[0].Name += "another"
	b.exits(t, r, 0, "5\nseed\n") // cat and stat of what is not there
}

func (b bench) rootVolume(t *testing.T) {
	r := candidate(t, "stat -c '%a %u:%g' /data; ls -A /data; touch /data/x")
	r.Volumes = []verify.Volume{{Name: t.Name(), Path: "/data", Seed: verify.SeedRoot}}
	out := b.exits(t, r, 1, "755 0:0\n")
	wantEvent(t, out, trace.Open, "/data/x", "EACCES")
	root := baseline(t, "echo left > /data/x; chmod 600 /data/x")
	root.Volumes = r.Volumes
	b.exits(t, root, 0, "")
	r.Args = []string{"sh", "-c", "ls -A /data; cat /data/x"}
	out = b.exits(t, r, 1, "x\n")
	wantEvent(t, out, trace.Open, "/data/x", "EACCES")
}

// groupVolume: what one uid has left is another's to write when the platform hands it over to a group.
func (b bench) groupVolume(t *testing.T) {
	r := candidate(t, "umask 077; mkdir /data/d; echo first > /data/d/kept")
	r.Volumes = []verify.Volume{{Name: t.Name(), Path: "/data", Seed: verify.SeedImage}}
	b.exits(t, r, 0, "")
	r.Identity.UID++
	r.Identity.Groups = []uint32{account.ArbitraryUID}
	r.Volumes = []verify.Volume{{Name: t.Name(), Path: "/data", Seed: verify.SeedImage, Group: account.ArbitraryUID}}
	r.Args = []string{"sh", "-c", "stat -c '%a %u:%g' /data/d /data/d/kept; echo more >> /data/d/kept && cat /data/d/kept"}
	b.exits(t, r, 0, "2770 1000700000:1000700000\n660 1000700000:1000700000\nfirst\nmore\n")
}

func (b bench) service(t *testing.T) {
	var said []string
	r := service(candidate(t, "exec httpd -f -p 8080 -h /www"), 8080)
	r.Probes = append(r.Probes, verify.Probe{Kind: "exec", Args: []string{"wget", "-q", "-O", "-", "http://127.0.0.1:8080/"}, Expect: "it serves"}, verify.Probe{Kind: "generic"})
	out, err := b.runner.Run(context.Background(), r, func(p verify.Progress) { said = append(said, p.What) })
	if err != nil {
		t.Fatal(err)
	}
	if out.End != verify.EndSteady || out.Steady <= 0 || out.Steady > 5*time.Second {
		t.Errorf("end %q, steady after %v, error %q\n%s", out.End, out.Steady, out.Error, out.Stderr)
	}
	if len(out.Sockets) != 1 || out.Sockets[0].Port != 8080 || out.Sockets[0].Program != "/bin/busybox" {
		t.Errorf("sockets %+v", out.Sockets)
	}
	if len(out.Answers) != 3 || slices.ContainsFunc(out.Answers, func(a verify.Answer) bool { return !a.OK }) {
		t.Errorf("answers %+v", out.Answers)
	}
	if len(out.Processes) == 0 || out.Processes[0].Program != "/bin/busybox" || out.Processes[0].Creds.UIDs[0] != account.ArbitraryUID {
		t.Errorf("processes %+v", out.Processes)
	}
	if !slices.Contains(said, "asks http http://127.0.0.1:8080/") {
		t.Errorf("said %q", said)
	}
}

func (b bench) lowPort(t *testing.T) {
	r := candidate(t, "httpd -f -p 80 -h /www")
	out := b.run(t, r)
	if out.End != verify.EndExited || out.Status == 0 {
		t.Errorf("end %q, status %d", out.End, out.Status)
	}
	if !event(out, trace.Bind, "tcp [::]:80", "EACCES") {
		wantEvent(t, out, trace.Bind, "tcp 0.0.0.0:80", "EACCES")
	}
	r = service(candidate(t, "exec httpd -f -p 80 -h /www"), 80)
	r.PortStart = 80
	if out := b.run(t, r); out.End != verify.EndSteady {
		t.Errorf("with a lower start of the ports: end %q", out.End)
	}
}

func (b bench) health(t *testing.T) {
	for test, ok := range map[string]bool{"wget -q -O /dev/null http://127.0.0.1:8080/": true, "test $(id -u) = 0": false} {
		r := service(candidate(t, "exec httpd -f -p 8080 -h /www"), 8080)
		r.Health = []string{"CMD-SHELL", test}
		out := b.run(t, r)
		if out.Health == nil || out.Health.OK != ok {
			t.Errorf("%s: %+v", test, out.Health)
		}
		if !slices.ContainsFunc(out.Trace.Events, func(e trace.Event) bool { return e.Kind == trace.Exec && slices.Contains(e.Args, test) }) {
			t.Errorf("%s is not in the trace", test)
		}
	}
}

func (b bench) stubborn(t *testing.T) {
	r := candidate(t, `trap "" TERM INT HUP; while :; do sleep 100; done`)
	r.Exits = false
	start := time.Now()
	out := b.run(t, r)
	if out.End != verify.EndSteady || out.Stopped != "SIGKILL" {
		t.Errorf("end %q, stopped by %q", out.End, out.Stopped)
	}
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("it took %v", took)
	}
}

func (b bench) endlessOutput(t *testing.T) {
	r := candidate(t, "exec yes")
	out := b.run(t, r)
	if out.End != verify.EndLimit || out.Limit != "output" || len(out.Stdout) > 1<<20 {
		t.Errorf("end %q, limit %q, %d bytes", out.End, out.Limit, len(out.Stdout))
	}
}

func (b bench) memory(t *testing.T) {
	r := candidate(t, "x=aaaaaaaaaaaaaaaa; while :; do x=$x$x; done")
	r.Limits.Memory = 64 << 20
	out := b.run(t, r)
	if out.End != verify.EndLimit || out.Limit != "memory" {
		t.Errorf("end %q, limit %q, status %d, error %q\n%s", out.End, out.Limit, out.Status, out.Error, out.Stderr)
	}
}

func (b bench) forkBomb(t *testing.T) {
	r := candidate(t, "f() { f | f & }; f; sleep 100")
	r.Limits.Processes = 60
	out := b.run(t, r)
	if out.End != verify.EndLimit || out.Limit != "processes" {
		t.Errorf("end %q, limit %q, status %d", out.End, out.Limit, out.Status)
	}
}

func (b bench) time(t *testing.T) {
	r := candidate(t, "sleep 100")
	r.Timeout = 2 * time.Second
	out := b.run(t, r)
	if out.End != verify.EndTimeout || out.Took > 10*time.Second {
		t.Errorf("end %q after %v", out.End, out.Took)
	}
}

func (b bench) cancel(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(time.Second, cancel)
	start := time.Now()
	out, err := b.runner.Run(ctx, candidate(t, "sleep 100"), nil)
	if !errors.Is(err, context.Canceled) && (err != nil || out.End != verify.EndFailed) {
		t.Errorf("end %q, error %v", out.End, err)
	}
	if took := time.Since(start); took > 15*time.Second {
		t.Errorf("it took %v", took)
	}
	b.exits(t, candidate(t, "echo again"), 0, "again\n")
}

// orphans: a child that outlives its parent is reaped, and ends with the run.
func (b bench) orphans(t *testing.T) {
	b.exits(t, candidate(t, `(sleep 0.2 & ) ; (sleep 100 &); sleep 0.7; ps -o stat= | grep -c Z`), 1, "0\n")
}

// reach: nothing of whoever watches can be looked into, signalled to death or traced.
func (b bench) reach(t *testing.T) {
	out := b.run(t, candidate(t, `
for p in /proc/[0-9]*; do
	pid=${p#/proc/}
	[ "$pid" = $$ ] && continue
	read comm < $p/comm
	case $comm in sh|grep|ls|cat) continue ;; esac
	cat $p/environ > /dev/null 2>&1 && echo "environ of $comm"
	cat $p/mem > /dev/null 2>&1 && echo "mem of $comm"
	ls $p/fd/ > /dev/null 2>&1 && echo "fd of $comm"
done
kill -9 1 2>/dev/null
echo alive`))
	if out.End != verify.EndExited && out.Status != 137 || out.Stdout != "alive\n" && out.Stdout != "" {
		t.Errorf("end %q, status %d, wrote %q", out.End, out.Status, out.Stdout)
	}
	if regexp.MustCompile(`(environ|mem|fd) of`).MatchString(out.Stdout) {
		t.Errorf("%s", out.Stdout)
	}
}
