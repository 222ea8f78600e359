package sandbox

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"unroot/internal/verify"
)

// inTime is how long a hostile run may take until there is an outcome, beyond its own time.
const inTime = 10 * time.Second

// TestHostile runs programs that want to get at the host, or to take all of it.
func TestHostile(t *testing.T) {
	e := newEmbedded(t, Options{})
	img := imageOf(busyboxLayer(t), layerOf(t, file("evil", "#!/proc/self/exe -test.list=. \n"), dir("vol"), dir("fill")))
	host := hostState(t)
	secret := filepath.Join(t.TempDir(), "secret-of-the-host")
	if err := os.WriteFile(secret, []byte("secret"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tt := range hostileRuns(secret) {
		t.Run(tt.name, func(t *testing.T) {
			r := command(img, tt.script)
			r.Timeout = 4 * time.Second
			if tt.change != nil {
				tt.change(&r)
			}
			begun := time.Now()
			out := run(t, e, r)
			if took := time.Since(begun); took > r.Timeout+inTime {
				t.Errorf("it took %v", took)
			}
			t.Logf("%s %d %s %s, %.1000q %.1000q", out.End, out.Status, out.Limit, out.Error, out.Stdout, out.Stderr)
			if tt.check != nil {
				tt.check(t, out)
			}
			host.same(t)
		})
	}
	if out := run(t, e, command(img, "echo still here")); out.Stdout != "still here\n" {
		t.Errorf("afterwards: %+v", out)
	}
}

// hostileRun is a script that wants to get at the host, and what must come of it.
type hostileRun struct {
	name   string
	script string
	change func(*verify.Run)
	check  func(*testing.T, verify.Outcome)
}

// hostileRuns is the scripts; secret is the path of a file of the host.
func hostileRuns(secret string) []hostileRun {
	return []hostileRun{
		{"fork bomb", "b() { b | b & }; b; sleep 100", func(r *verify.Run) { r.Limits.Processes = 100 }, limited("processes")},
		{"fork bomb of root", "b() { b | b & }; b; sleep 100", func(r *verify.Run) { asEngine(r); r.Limits.Processes, r.Trace = 100, true }, limited("processes")},
		{"fork bomb of a user", "ulimit -u unlimited; b() { b | b & }; b; sleep 100", func(r *verify.Run) { r.Identity.UID = 1000; r.Limits.Processes = 100 }, limited("processes")},
		{"memory hog", "tail /dev/zero; echo $?", func(r *verify.Run) { r.Limits.Memory = 64 << 20 }, limited("memory")},
		{"memory hog in many processes", "for i in 1 2 3 4 5 6 7 8; do tail /dev/zero & done; wait; echo over", func(r *verify.Run) { r.Limits.Memory = 64 << 20 }, limited("memory")},
		{"memory hog in shared memory", "dd if=/dev/zero of=/dev/shm/x bs=1M; echo over", nil, wrote("over\n")},
		{"disk filler", "for d in / /tmp /vol /fill; do dd if=/dev/zero of=$d/x bs=1M 2>&1 | grep -o 'No space left on device'; done",
			func(r *verify.Run) {
				r.Limits.Disk = 16 << 20
				r.Tmpfs, r.Volumes = []string{"/fill"}, []verify.Volume{{Name: "hostile", Path: "/vol", Seed: verify.SeedRoot}}
			},
			wrote(strings.Repeat("No space left on device\n", 4))},
		{"one large file", "dd if=/dev/zero of=/x bs=1M count=20; ls -la /x | grep -o 2097152", func(r *verify.Run) { r.Limits.File = 2 << 20 }, wrote("2097152\n")},
		{"many files", "cd /; i=0; while echo > f$i 2>/dev/null; do i=$((i+1)); done", func(r *verify.Run) { r.Limits.Disk = 1 << 20 }, ended(verify.EndExited, verify.EndTimeout, verify.EndLimit)},
		{"output without end", "yes", nil, ended(verify.EndLimit, verify.EndTimeout)},
		{"output without end, to errors", "yes >&2", nil, ended(verify.EndLimit, verify.EndTimeout)},
		{"ignores every signal", "trap '' TERM INT HUP QUIT; while :; do sleep 1; done", func(r *verify.Run) { r.Exits, r.Settle, r.Stop = false, 200*time.Millisecond, "SIGTERM" },
			func(t *testing.T, o verify.Outcome) {
				if o.End != verify.EndSteady || o.Stopped != "SIGKILL" {
					t.Errorf("%s, stopped by %s", o.End, o.Stopped)
				}
			}},
		{"never ends", "while :; do :; done", func(r *verify.Run) { r.Timeout = time.Second }, ended(verify.EndTimeout)},
		{"orphans that stay", "for i in 1 2 3; do (trap '' HUP TERM; sleep 1000 &) ; done; exit 0", nil, ended(verify.EndExited)},
		{"kills everybody", "kill -9 -1; kill -9 1; echo alive", nil, ended(verify.EndExited)},
		{"only its own processes", "set -- /proc/[0-9]*; echo $#; cat /proc/1/comm; true", asEngine, wrote("1\nsh\n")},
		{"writes to /proc and /sys", `for f in /proc/sys/kernel/core_pattern /proc/sys/kernel/hostname /proc/sys/vm/drop_caches /proc/sys/kernel/modprobe /proc/sys/net/ipv4/ip_forward /proc/sysrq-trigger /proc/irq/default_smp_affinity /sys/kernel/uevent_helper /sys/power/state /proc/1/oom_score_adj; do
			[ ! -e $f ] || { echo 0 > $f && echo "wrote $f"; } 2>/dev/null; done; true`, asEngine, wrote("wrote /proc/1/oom_score_adj\n", "")},
		{"hidden files", "cat /proc/kcore /proc/keys /proc/timer_list /proc/interrupts 2>/dev/null | wc -c; ls /sys/firmware | wc -l", asEngine, wrote("0\n0\n")},
		{"device nodes", "mknod /tmp/sda b 8 0 && dd if=/tmp/sda of=/dev/null count=1; mknod /tmp/mem c 1 1 && cat /tmp/mem | head -c 1; ls /tmp | wc -l", asEngine, silent("sda")},
		{"mounts", "mount -t tmpfs x /tmp; mount -t proc p /tmp; mount -o bind /proc /tmp; mount -o remount,rw /sys; umount /proc/sys; umount -l /proc; ls /tmp | wc -l", asEngine, wrote("0\n")},
		{"namespaces", "unshare -U id; unshare -m id; unshare -n id; nsenter -t 1 -m id; nsenter -t 1 -n -u -i id; echo over", asEngine, nil},
		{"hostname and clock", "hostname evil; hostname; date -s 2000-01-01 >/dev/null 2>&1; true", asEngine, wrote("box\n")},
		{"a program that is whoever runs it", "/evil; echo $?; for p in /proc/[0-9]* /proc/self; do { echo x >> $p/exe; } 2>/dev/null; done; true", asEngine, nil},
		{"a health check that is whoever starts it", "while :; do for p in /proc/[0-9]*; do { echo x >> $p/exe; } 2>/dev/null && echo opened $p; done; done",
			func(r *verify.Run) {
				asEngine(r)
				r.Exits, r.Settle = false, 100*time.Millisecond
				for range 10 {
					r.Probes = append(r.Probes, verify.Probe{Kind: "exec", Args: []string{"/evil"}})
				}
			}, func(t *testing.T, o verify.Outcome) {
				silent("opened")(t, o)
				if o.End != verify.EndSteady || len(o.Answers) != 10 {
					t.Errorf("%s with %d answers", o.End, len(o.Answers))
				}
			}},
		{"files of the host", "cat " + secret + " /host" + secret + " /proc/1/root" + secret + " /proc/self/cwd/.." + secret + " /../../../../.." + secret + "; ls -A /proc/1/root/ /.. | sort | uniq | tr '\\n' ' '", asEngine, silent("secret\n")},
		{"names of the host", "hostname; cat /etc/hostname /proc/sys/kernel/domainname", func(r *verify.Run) { r.Hostname = "" }, wrote("unroot\nunroot\n(none)\n")},
	}
}

func ended(ends ...verify.End) func(*testing.T, verify.Outcome) {
	return func(t *testing.T, o verify.Outcome) {
		t.Helper()
		for _, e := range ends {
			if o.End == e {
				return
			}
		}
		t.Errorf("it ended as %s, want %v", o.End, ends)
	}
}

func limited(what string) func(*testing.T, verify.Outcome) {
	return func(t *testing.T, o verify.Outcome) {
		t.Helper()
		if o.End != verify.EndLimit || o.Limit != what {
			t.Errorf("%s %s, want the limit of %s", o.End, o.Limit, what)
		}
	}
}

func wrote(texts ...string) func(*testing.T, verify.Outcome) {
	return func(t *testing.T, o verify.Outcome) {
		t.Helper()
		for _, text := range texts {
			if o.Stdout == text {
				return
			}
		}
		t.Errorf("wrote %q, want %q", o.Stdout, texts)
	}
}

func silent(about string) func(*testing.T, verify.Outcome) {
	return func(t *testing.T, o verify.Outcome) {
		t.Helper()
		if strings.Contains(o.Stdout, about) {
			t.Errorf("it says %q: %q", about, o.Stdout)
		}
	}
}

// state is what of the host must not change.
type state struct {
	files map[string][32]byte
	proc  map[string]string
}

func hostState(t *testing.T) state {
	t.Helper()
	s := state{map[string][32]byte{}, map[string]string{}}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []string{self, "/proc/self/exe", "/etc/passwd"} {
		s.files[f] = sumOf(t, f)
	}
	for _, f := range []string{"kernel/hostname", "kernel/core_pattern", "net/ipv4/ip_forward", "net/ipv4/ip_unprivileged_port_start"} {
		s.proc[f] = setting(f)
	}
	return s
}

func sumOf(t *testing.T, name string) (sum [32]byte) {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		t.Fatal(err)
	}
	copy(sum[:], h.Sum(nil))
	return sum
}

func (s state) same(t *testing.T) {
	t.Helper()
	for f, before := range s.files {
		if sumOf(t, f) != before {
			t.Errorf("%s has changed", f)
		}
	}
	if time.Now().Year() < 2020 {
		t.Error("the clock was set")
	}
	for f, before := range s.proc {
		if now := setting(f); now != before {
			t.Errorf("%s was %q and is %q", f, before, now)
		}
	}
}

// TestHostileLayers unpacks layers that want to leave their directory, and runs what came of them.
func TestHostileLayers(t *testing.T) {
	base := busyboxLayer(t)
	target := filepath.Join(t.TempDir(), "target")
	if err := os.WriteFile(target, []byte("untouched"), 0o666); err != nil {
		t.Fatal(err)
	}
	up := strings.Repeat("../", 30)
	tests := map[string][]entry{
		"names upwards":            {file(up+target[1:], "evil"), file("/"+up+target[1:], "evil")},
		"absolute names":           {file(target, "evil")},
		"through an absolute link": {link("out", "/"), file("out"+target, "evil")},
		"through an upward link":   {link("out", up), file("out"+target, "evil")},
		"through a link to a link": {link("a", "b"), link("b", "/.."), file("a/"+target, "evil")},
		"over a link":              {link("x", target), file("x", "evil")},
		"directory over a link":    {link("x", filepath.Dir(target)), dir("x"), file("x/target", "evil")},
		"hard link outwards":       {hard("x", up+target[1:])},
		"hard link to a link":      {link("l", target), hard("x", "l"), file("x", "evil")},
		"hard link to /proc":       {hard("x", "/proc/self/exe"), file("x", "evil")},
		"through /proc":            {file("proc/self/root"+target, "evil"), file("proc/1/cwd"+target, "evil"), file("proc/self/fd/3", "evil")},
		"whiteouts upwards":        {file(up+filepath.Dir(target)[1:]+"/.wh.target", ""), file(".wh..", ""), file("a/.wh...", "")},
		"whiteout of the root":     {file(".wh.", ""), file("../.wh..", "")},
		"opaque through a link":    {link("out", filepath.Dir(target)), file("out/.wh..wh..opq", "")},
		"attributes of an overlay": {entry{Header: tar.Header{Name: "bin/", PAXRecords: map[string]string{"SCHILY.xattr.user.overlay.redirect": "/..", "SCHILY.xattr.trusted.overlay.opaque": "y", "SCHILY.xattr.user.overlay.opaque": "y"}}}},
		"a device that hides":      {entry{Header: tar.Header{Name: "bin/sh", Typeflag: tar.TypeChar}}, link("bin/sh", "busybox")},
		"proc is a link":           {link("proc", "/tmp")},
		"sys is a file":            {file("sys", "x")},
		"dev is a link":            {link("dev", "/tmp")},
		"etc is a link upwards":    {entry{Header: tar.Header{Name: ".wh.etc"}}, link("etc", up+filepath.Dir(target))},
		"hosts is a link":          {link("etc/hosts", target), link("etc/hostname", "/proc/self/mem"), link("etc/resolv.conf", "resolv.conf")},
		"a volume is a link":       {link("vol", "/proc/sys"), link("tmpfs", filepath.Dir(target))},
		"a loop of links":          {link("vol", "vol"), link("tmpfs", "tmpfs2"), link("tmpfs2", "tmpfs")},
		"a long name":              {file(strings.Repeat("a/", 3000)+"x", "")},
		"deep directories":         {dir(strings.Repeat("d/", 1500) + "x")},
		"a huge owner":             {file("x", "").owned(-1, 1<<32, 0o644)},
	}
	e := newEmbedded(t, Options{})
	for name, entries := range tests {
		t.Run(name, func(t *testing.T) {
			r := command(imageOf(base, layerOf(t, entries...)), "echo ran; echo evil > "+target+"; true")
			r.Timeout = 5 * time.Second
			asEngine(&r)
			r.Tmpfs, r.Volumes = []string{"/tmpfs"}, []verify.Volume{{Name: "v", Path: "/vol", Seed: verify.SeedImage}}
			begun := time.Now()
			out, err := e.Run(t.Context(), r, nil)
			t.Logf("%v %s %d %s %q %q", err, out.End, out.Status, out.Error, out.Stdout, out.Stderr)
			if took := time.Since(begun); took > r.Timeout+inTime {
				t.Errorf("it took %v", took)
			}
			if err != nil {
				t.Error(err)
			}
			if out.End != verify.EndFailed && out.Stdout != "ran\n" {
				t.Errorf("%s: %q", out.End, out.Stdout)
			}
			if text, err := os.ReadFile(target); err != nil || string(text) != "untouched" {
				t.Errorf("the target: %q, %v", text, err)
			}
		})
	}
}

// TestHostileArchives sends what is no layer, or too large a one.
func TestHostileArchives(t *testing.T) {
	e := newEmbedded(t, Options{})
	base := busyboxLayer(t)
	good := base.(memoryLayer)
	cut := memoryLayer{good.media, good.data[:len(good.data)/2]}
	for name, l := range map[string]layerType{
		"cut off":    cut,
		"no archive": memoryLayer{good.media, []byte(strings.Repeat("not a tar archive ", 1000))},
		"empty":      memoryLayer{good.media, nil},
		"fails":      failingLayer{good},
	} {
		out, err := e.Run(t.Context(), command(imageOf(base, l), "echo ran"), nil)
		t.Log(name, err, out.End)
		if ran := err == nil && out.End != verify.EndFailed; ran != (name == "empty") || (err != nil) != (name == "fails" || name == "cut off") {
			t.Errorf("%s: %v, %+v", name, err, out)
		}
		if out := run(t, e, command(imageOf(base), "echo ran")); out.Stdout != "ran\n" {
			t.Errorf("after %s: %+v", name, out)
		}
	}
	dir := t.TempDir()
	if os.Geteuid() != 0 {
		return // chroot
	}
	plain := layerOf(t, file("a", strings.Repeat("x", 1000)), file("b", strings.Repeat("x", 1000)))
	r, err := plain.Open(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	archive := gunzip(t, r)
	if done, err := unpackInto(dir, strings.NewReader(archive), 1500); err == nil || !done.Full {
		t.Errorf("too little room: %+v, %v", done, err)
	}
}

type failingLayer struct{ memoryLayer }

func (l failingLayer) Open(context.Context) (io.ReadCloser, error) {
	return io.NopCloser(io.MultiReader(strings.NewReader(string(l.data[:1000])), brokenReader{})), nil
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, fmt.Errorf("digest does not match") }
