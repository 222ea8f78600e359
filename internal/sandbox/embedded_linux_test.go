package sandbox

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"unroot/internal/verify"
)

// serveAt is a function of the shell that serves the account file and fetches it.
const serveAt = "serve() { /bin/busybox httpd -p $1 -h /etc && wget -qO- http://127.0.0.1:$1/passwd | head -n 1 | cut -d: -f1; }; "

// TestEmbedded runs images with one runner and looks at what they see.
func TestEmbedded(t *testing.T) {
	e := newEmbedded(t, Options{IDs: []uint32{1000700000}})
	img := imageOf(busyboxLayer(t), layerOf(t,
		file("bin/text", "no program").owned(0, 0, 0o755),
		file("bin/closed", "#!/bin/sh\n").owned(0, 0, 0o600),
		dir("data").owned(7, 8, 0o2770), file("data/a", "seed").owned(7, 9, 0o640), hard("data/b", "data/a"), link("data/c", "a"),
		dir("data/sub").owned(0, 0, 0o700)))
	tests := []struct {
		name   string
		change func(*verify.Run)
		script string
		want   string
		status int
	}{
		{"root", nil, "id", "uid=0(root) gid=0 groups=0\n", 0},
		{"user with groups", func(r *verify.Run) { r.Identity.UID, r.Identity.GID, r.Identity.Groups = 1000, 1001, []uint32{5, 6} }, "id", "uid=1000 gid=1001 groups=5,6,1001\n", 0},
		{"nobody", func(r *verify.Run) { r.Identity.UID, r.Identity.GID = 65534, 65534 }, "id -u; id -g", "65534\n65534\n", 0},
		{"arbitrary uid", func(r *verify.Run) { r.Identity.UID = 1000700000 }, "id; touch /tmp/x; stat -c %u:%g /tmp/x", "uid=1000700000 gid=0 groups=0\n1000700000:0\n", 0},
		{"confined", nil, "grep -E '^(CapEff|CapBnd|NoNewPrivs|Seccomp):' /proc/self/status", "CapEff:\t0000000000000000\nCapBnd:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\n", 0},
		{"as an engine has it", asEngine,
			"grep -E '^(CapEff|CapBnd|NoNewPrivs|Seccomp):' /proc/self/status; chown 5:6 /tmp && stat -c %u:%g /tmp",
			"CapEff:\t00000000a80425fb\nCapBnd:\t00000000a80425fb\nNoNewPrivs:\t0\nSeccomp:\t2\n5:6\n", 0},
		{"only loopback", nil, "ip -o link | grep -vc ' lo:'", "0\n", 1},
		{"low ports", func(r *verify.Run) { r.Identity.UID = 1000 }, "nc -l -p 80 2>&1 | grep -o 'Permission denied'", "Permission denied\n", 0},
		{"high ports", func(r *verify.Run) { r.Identity.UID = 1000 }, serveAt + "serve 1024", "root\n", 0},
		{"low ports allowed", func(r *verify.Run) { r.Identity.UID, r.PortStart = 1000, 0 }, serveAt + "serve 80", "root\n", 0},
		{"read-only", func(r *verify.Run) { r.ReadOnly = true }, "touch /tmp/x 2>&1", "touch: /tmp/x: Read-only file system\n", 1},
		{"tmpfs", func(r *verify.Run) { r.ReadOnly, r.Tmpfs = true, []string{"/tmp", "/run/new"} }, "touch /tmp/x /run/new/x && stat -c '%a %u:%g' /tmp /run/new", "1777 0:0\n1777 0:0\n", 0},
		{"streams opened again", func(r *verify.Run) { r.Identity.UID = 1000 }, "echo out > /dev/stdout; echo fd > /proc/self/fd/1", "out\nfd\n", 0},
		{"nothing on standard input", nil, "cat; echo end", "end\n", 0},
		{"exit status", nil, "exit 7", "", 7},
		{"ended by a signal", nil, "sh -c 'kill -TERM $$'; echo $?; kill -KILL $$", "143\n", -1},
		{"volume of the image", func(r *verify.Run) {
			r.Volumes = []verify.Volume{{Name: "v", Path: "/data", Seed: verify.SeedImage}}
			asEngine(r)
		},
			"stat -c '%a %u:%g' /data /data/a /data/sub; cat /data/b; readlink /data/c; stat -c %h /data/a; echo more > /data/new", "2770 7:8\n640 7:9\n700 0:0\nseeda\n2\n", 0},
		{"the same volume again", func(r *verify.Run) {
			r.Volumes = []verify.Volume{{Name: "v", Path: "/elsewhere", Seed: verify.SeedImage}}
			asEngine(r)
			r.ReadOnly = true
		}, "cat /elsewhere/new; touch /elsewhere/x && echo ok", "more\nok\n", 0},
		{"an empty volume", func(r *verify.Run) {
			r.Volumes = []verify.Volume{{Name: "w", Path: "/data", Seed: verify.SeedRoot}}
			r.Identity.UID = 1000700000
		}, "stat -c '%a %u:%g' /data; ls -A /data; touch /data/x 2>&1", "755 0:0\ntouch: /data/x: Permission denied\n", 1},
		{"nothing stays of another run", asEngine, "ls /tmp /data; stat -c %u:%g /tmp", "/data:\na\nb\nc\nsub\n\n/tmp:\n0:0\n", 0},
		{"working directory", func(r *verify.Run) { r.Dir = "/made/here" }, "pwd", "/made/here\n", 0},
		{"host name", nil, "hostname; grep -c box /etc/hosts", "box\n1\n", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := command(img, tt.script)
			if tt.change != nil {
				tt.change(&r)
			}
			out := run(t, e, r)
			if tt.status < 0 { // a first process cannot kill itself: the kernel spares who is process 1
				tt.status = out.Status
			}
			if out.End != verify.EndExited || out.Status != tt.status || out.Stdout != tt.want {
				t.Errorf("%s with %d %s, %q\nwrote %q\nwant  %q", out.End, out.Status, out.Error, out.Stderr, out.Stdout, tt.want)
			}
		})
	}
	t.Run("cannot start", func(t *testing.T) { testCannotStart(t, e, img) })
	t.Run("streams", func(t *testing.T) { testStreams(t, e, img) })
	t.Run("cancelled", func(t *testing.T) { testCancelled(t, e, img) })
	t.Run("service", func(t *testing.T) { testService(t, e, img) })
}

// asEngine makes it a run as engines do by default.
func asEngine(r *verify.Run) { r.Caps, r.NoNewPrivs = verify.EngineCaps, false }

func testCannotStart(t *testing.T, e *Embedded, img *imageType) {
	for program, status := range map[string]int{"nothing": 127, "/bin/nothing": 127, "text": 126, "/bin/closed": 126, "/etc": 126} {
		r := command(img, "")
		r.Args, r.Identity.UID = []string{program}, 1000
		out := run(t, e, r)
		if out.End != verify.EndFailed || out.Status != status || out.Error == "" {
			t.Errorf("%s: %s with %d (%s), want %d", program, out.End, out.Status, out.Error, status)
		}
	}
}

func testStreams(t *testing.T, e *Embedded, img *imageType) {
	in := strings.Repeat("some text\n", 100000)
	var out, errs bytes.Buffer
	r := command(img, "cat; echo complaint >&2")
	r.Identity.UID = 1000
	r.Streams = &verify.Streams{In: strings.NewReader(in), Out: &out, Err: &errs}
	if o := run(t, e, r); o.Status != 0 || out.String() != in || errs.String() != "complaint\n" {
		t.Errorf("%s %d: %d bytes of %d came back, and %q", o.End, o.Status, out.Len(), len(in), errs.String())
	}
}

func testCancelled(t *testing.T, e *Embedded, img *imageType) {
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	begun := time.Now()
	out, err := e.Run(ctx, command(img, "trap '' TERM INT; while :; do sleep 1; done"), nil)
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
	if err == nil && out.End != verify.EndFailed || err != nil && !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, %s", err, out.End)
	}
	if out := run(t, e, command(img, "echo again")); out.Stdout != "again\n" {
		t.Errorf("the next run: %+v", out)
	}
}

// testService runs something that listens until it is steady, and asks it.
func testService(t *testing.T, e *Embedded, img *imageType) {
	var said []string
	r := command(img, "mkdir /tmp/www; echo 'hello' > /tmp/www/index.html; exec /bin/busybox httpd -f -p 8080 -h /tmp/www")
	r.Exits, r.Settle, r.Identity.UID, r.Trace = false, 300*time.Millisecond, 1000, true
	r.Await = []verify.Socket{{Proto: "tcp", Port: 8080}}
	r.Probes = []verify.Probe{{Kind: "http", Address: "http://127.0.0.1:8080/", Expect: "hello"}, {Kind: "exec", Args: []string{"sh", "-c", "id -u; exit 0"}}}
	out, err := e.Run(t.Context(), r, func(p verify.Progress) { said = append(said, p.What) })
	if err != nil {
		t.Fatal(err)
	}
	if out.End != verify.EndSteady || len(out.Answers) != 2 || !out.Answers[0].OK || !out.Answers[1].OK {
		t.Errorf("%s %d %s: %+v\n%s%s", out.End, out.Status, out.Error, out.Answers, out.Stdout, out.Stderr)
	}
	if len(out.Sockets) != 1 || out.Sockets[0].Port != 8080 || out.Sockets[0].Program != "/bin/busybox" {
		t.Errorf("sockets: %+v", out.Sockets)
	}
	if len(out.Processes) != 1 || out.Processes[0].Creds.Root() || out.Processes[0].Creds.Caps != 0 {
		t.Errorf("processes: %+v", out.Processes)
	}
	if len(said) == 0 || out.Runner != "embedded" || out.Trace.Total == 0 {
		t.Errorf("progress %q, runner %q, %d events", said, out.Runner, out.Trace.Total)
	}
}

// TestEmbeddedLayers lays layers over one another in every way that they can be stored and shared.
func TestEmbeddedLayers(t *testing.T) {
	base := busyboxLayer(t)
	second := layerOf(t,
		dir("a").owned(1, 2, 0o750), file("a/one", "1"), file("a/two", "2"), dir("b"), file("b/old", "o"), dir("b/deep"), file("b/deep/x", "x"),
		dir("real"), link("alias", "real"), file("kept", "k").owned(3, 4, 0o4755))
	third := layerOf(t,
		file("a/.wh.one", ""), file("a/three", "3"), // a directory that is not named keeps its owner
		dir("b"), file("b/new", "n"), file("b/.wh..wh..opq", ""), // opaque hides what is below, not what comes with it
		file("alias/through", "t"), // through a link of a layer below
		hard("linked", "kept"),     // to a file of a layer below
		file("late/.wh.x", ""), file("bin/.wh.nc", ""), entry{Header: devHeader("bin/device")})
	const script = `stat -c '%a %u:%g' /a /kept; stat -c %h /linked; ls -A /a /b /real; cat /real/through; [ -e /bin/nc ] || echo no nc; [ -f /bin/device ] && echo file`
	const want = "750 1:2\n4755 3:4\n2\n/a:\nthree\ntwo\n\n/b:\nnew\n\n/real:\nthrough\ntno nc\nfile\n"
	for _, kind := range []string{"memory", "folder", "everything in a folder"} {
		t.Run(kind, func(t *testing.T) {
			e := newEmbedded(t, Options{Dir: t.TempDir()})
			prepareLab(t, e, kind)
			for i, img := range []*imageType{imageOf(base, second, third), imageOf(base, second), imageOf(base, second, third), imageOf(base)} {
				r := command(img, script)
				asEngine(&r)
				out := run(t, e, r)
				if diff := cmp.Diff(want, out.Stdout); (i == 0 || i == 2) && diff != "" {
					t.Errorf("image %d: %s%s", i, diff, out.Stderr)
				}
				if i == 1 && !strings.Contains(out.Stdout, "/a:\none\ntwo\n\n/b:\ndeep\nold\n") {
					t.Errorf("without the last layer: %s", out.Stdout)
				}
			}
		})
	}
	t.Run("shared", func(t *testing.T) {
		e := newEmbedded(t, Options{})
		counts := map[string]int{}
		count := func(name string, l layerType) layerType { return countedLayer{l, counts, name} }
		a, b, c, d := count("base", base), count("second", second), count("third", third), count("fourth", layerOf(t, file("x", "y")))
		for _, img := range []*imageType{imageOf(a, b), imageOf(a, b, c), imageOf(a, b, d), imageOf(a, b, c, d), imageOf(a, b)} {
			run(t, e, command(img, "true"))
		}
		if diff := cmp.Diff(map[string]int{"base": 1, "second": 1, "third": 1, "fourth": 2}, counts); diff != "" {
			t.Errorf("layers were read: %s", diff)
		}
	})
}

func devHeader(name string) tar.Header {
	return tar.Header{Name: name, Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 3, Mode: 0o666}
}

// prepareLab starts a lab that keeps images and what runs write where the test wants it.
func prepareLab(t *testing.T, e *Embedded, kind string) {
	t.Helper()
	if kind == "memory" {
		return
	}
	e.drop()
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.open(t.Context(), plan{image: &imageType{}, folder: true, upper: kind != "folder"}); err != nil {
		t.Fatal(err)
	}
}

// TestEmbeddedIDs: files of an image may belong to anybody, and a run may be anybody's.
func TestEmbeddedIDs(t *testing.T) {
	e := newEmbedded(t, Options{})
	img := imageOf(busyboxLayer(t), layerOf(t, file("big", "x").owned(2000000, 3000000000, 0o640)))
	r := command(img, "stat -c %u:%g /big; id -u")
	r.Identity.UID = 1234567
	if out := run(t, e, r); out.Stdout != "2000000:3000000000\n1234567\n" {
		t.Errorf("%+v", out)
	}
	r.Identity.UID = 7654321
	if out, err := e.Run(t.Context(), r, nil); err == nil {
		t.Errorf("an id that came too late: %+v", out)
	} else if !strings.Contains(err.Error(), fmt.Sprint(7654321)) {
		t.Error(err)
	}
}
