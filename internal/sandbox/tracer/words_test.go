package tracer

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"unroot/internal/sandbox/seccomp"
	"unroot/internal/trace"
)

const statusText = "Name:\tUid: 5\nUmask:\t0022\nState:\tS (sleeping)\nTgid:\t4711\nNgid:\t0\nPid:\t4712\nPPid:\t99\n" +
	"Uid:\t0\t65534\t4294967295\t65534\nGid:\t1\t2\t3\t4\nFDSize:\t64\nGroups:\t10 4294967295 20 \nCapInh:\t0000000000000001\n" +
	"CapPrm:\t0000000000000002\nCapEff:\t0000000000000004\nCapBnd:\t000001ffffffffff\nCapAmb:\t0000000000000008\nNoNewPrivs:\t1\nSeccomp:\t2\n"

func TestReadCreds(t *testing.T) {
	t.Parallel()
	got, err := readCreds([]byte(statusText))
	if err != nil {
		t.Fatal(err)
	}
	want := trace.Creds{UIDs: [4]uint32{0, 65534, 4294967295, 65534}, GIDs: [4]uint32{1, 2, 3, 4}, Groups: []uint32{10, 4294967295, 20}, Caps: 15, Bounding: 0x1ffffffffff, NoNewPriv: true}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, bad := range []string{"", "Uid:\t1\n", strings.Replace(statusText, "Uid:\t0\t", "Uid:\t", 1), strings.Replace(statusText, "CapBnd:\t0", "CapBnd:\tx", 1), strings.Replace(statusText, " 20 ", " 5000000000 ", 1)} {
		if _, err := readCreds([]byte(bad)); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
	if own, err := os.ReadFile("/proc/self/status"); err == nil {
		c, err := readCreds(own)
		if err != nil || int(c.UIDs[1]) != os.Geteuid() || int(c.GIDs[1]) != os.Getegid() {
			t.Errorf("own: %+v %v", c, err)
		}
	}
}

func TestSettled(t *testing.T) {
	t.Parallel()
	user := trace.Creds{UIDs: [4]uint32{5, 5, 5, 5}, GIDs: [4]uint32{0, 0, 0, 0}, NoNewPriv: true}
	if !(&identity{user}).settled() {
		t.Error("a user without rights is not settled")
	}
	for name, change := range map[string]func(*trace.Creds){
		"root":           func(c *trace.Creds) { c.UIDs = [4]uint32{} },
		"saved":          func(c *trace.Creds) { c.UIDs[2] = 6 },
		"group":          func(c *trace.Creds) { c.GIDs[3] = 6 },
		"rights":         func(c *trace.Creds) { c.Caps = 1 },
		"new privileges": func(c *trace.Creds) { c.NoNewPriv = false },
	} {
		c := user
		change(&c)
		if (&identity{c}).settled() {
			t.Errorf("%s: settled", name)
		}
	}
}

func FuzzReadCreds(f *testing.F) {
	f.Add([]byte(statusText))
	f.Add([]byte("Groups:\t" + strings.Repeat("1 ", 5000) + "\n"))
	f.Add([]byte("Uid:\t1\t2\t3\t4\t5\nCapEff:\tffffffffffffffffffff\n"))
	f.Fuzz(func(t *testing.T, status []byte) {
		c, err := readCreds(status)
		if err == nil && len(c.Groups) > maxGroups {
			t.Errorf("%d groups", len(c.Groups))
		}
		number(status, "Tgid:")
	})
}

func TestHostPort(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		family uint16
		bytes  []byte
		want   string
		ok     bool
	}{
		{2, []byte{2, 0, 0, 80, 0, 0, 0, 0}, "0.0.0.0:80", true},
		{2, []byte{2, 0, 0x1f, 0x90, 127, 0, 0, 1, 9, 9, 9, 9, 9, 9, 9, 9}, "127.0.0.1:8080", true},
		{2, []byte{2, 0, 0, 80, 0, 0, 0}, "", false},
		{10, append([]byte{10, 0, 0, 53, 0, 0, 0, 0}, make([]byte, 20)...), "[::]:53", true},
		{10, make([]byte, 23), "", false},
	} {
		if got, ok := hostPort(c.family, c.bytes); got != c.want || ok != c.ok {
			t.Errorf("%d %x: %q %v", c.family, c.bytes, got, ok)
		}
	}
}

func FuzzHostPort(f *testing.F) {
	f.Add(uint16(2), []byte{2, 0, 0, 80, 1, 2, 3, 4})
	f.Add(uint16(10), make([]byte, 28))
	f.Fuzz(func(t *testing.T, family uint16, b []byte) {
		if s, ok := hostPort(family, b); ok && !strings.Contains(s, ":") {
			t.Errorf("%q", s)
		}
		_ = printable(b)
		_ = cString(b)
	})
}

func TestNames(t *testing.T) {
	t.Parallel()
	for got, want := range map[string]string{
		socketName(17, 3|0x80000): "packet raw", socketName(2, 3): "ipv4 raw", socketName(16, 3): "netlink raw", socketName(99, 9): "family 99 type 9",
		protocolName("TCPv6"): "tcp", protocolName("UDP"): "udp", protocolName("UNIX-STREAM"): "unix", protocolName("MPTCPv6"): "mptcp",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// TestEveryInterestHasAShape keeps the filter and the tracer together: a call that stops is read.
func TestEveryInterestHasAShape(t *testing.T) {
	t.Parallel()
	stops := seccomp.Interesting()
	for _, name := range stops {
		if _, ok := shapes()[name]; !ok {
			t.Errorf("%s stops, and nobody reads it", name)
		}
	}
	for name := range shapes() {
		if !slices.Contains(stops, name) && name != "clone3" {
			_, wide := seccomp.AMD64.Number(name)
			_, narrow := seccomp.I386.Number(name)
			if wide || narrow {
				t.Errorf("%s is read, and never stops", name)
			}
		}
	}
}

func TestKept(t *testing.T) {
	t.Parallel()
	p := newKeeper(0, nil)
	read := func(exe, path string) bool {
		return p.wanted(&trace.Event{Kind: trace.Open, Exe: exe, Path: path, Want: "r"})
	}
	// the first, then again only after something else, at most three times
	for i, c := range []struct {
		path string
		want bool
	}{{"/a", true}, {"/a", false}, {"/b", true}, {"/a", true}, {"/a", false}, {"/b", true}, {"/a", true}, {"/b", true}, {"/a", false}, {"/b", false}} {
		if got := read("/x", c.path); got != c.want {
			t.Errorf("open %d of %s: %v", i, c.path, got)
		}
	}
	if !read("/y", "/a") {
		t.Error("another program's open")
	}
	same := 0
	for range 100 {
		if p.wanted(&trace.Event{Kind: trace.Mode, Exe: "/x", Path: "/f", Call: "chmod"}) {
			same++
		}
	}
	if same != maxRepeats {
		t.Errorf("%d repetitions", same)
	}
	missing := 0
	for range 2 * maxMissing {
		if p.wanted(&trace.Event{Kind: trace.Open, Path: "/f", Want: "r", Errno: "ENOENT"}) {
			missing++
		}
	}
	if missing != maxMissing {
		t.Errorf("%d missing", missing)
	}
	for _, c := range []struct {
		e    trace.Event
		want bool
	}{
		{trace.Event{Kind: trace.Look, Errno: "ENOENT"}, false},
		{trace.Event{Kind: trace.Look, Errno: "EACCES"}, true},
		{trace.Event{Kind: trace.Look}, false},
		{trace.Event{Kind: trace.Open, Errno: "ENXIO", Path: "/dev/stdout"}, true},
		{trace.Event{Kind: trace.Open, Errno: "ENXIO", Path: "/proc/self/fd/1"}, true},
		{trace.Event{Kind: trace.Open, Errno: "ENXIO", Path: "/run/fifo"}, false},
		{trace.Event{Kind: trace.Connect, Addr: "tcp 1.2.3.4:5"}, false},
		{trace.Event{Kind: trace.Connect, Addr: "tcp 1.2.3.4:5", Errno: "ENETUNREACH"}, true},
		{trace.Event{Kind: trace.Connect, Addr: "tcp 1.2.3.4:5", Errno: "EINPROGRESS"}, false},
		{trace.Event{Kind: trace.Connect, Addr: "unix /x"}, true},
		{trace.Event{Kind: trace.Identity, Errno: "EINVAL"}, true},
		{trace.Event{Kind: trace.Bind, Errno: "EADDRINUSE"}, true},
		{trace.Event{Kind: trace.Machine, Hidden: true, Errno: "ENODEV"}, true},
	} {
		if got := p.wanted(&c.e); got != c.want {
			t.Errorf("%+v: %v", c.e, got)
		}
	}
}

func TestAnswersAreForgotten(t *testing.T) {
	t.Parallel()
	q := question{exe: "/x"}
	for name, c := range map[string]struct {
		e     trace.Event
		still bool
	}{
		"chmod":            {trace.Event{Kind: trace.Mode, Path: "/elsewhere"}, false},
		"setuid":           {trace.Event{Kind: trace.Identity}, false},
		"bind":             {trace.Event{Kind: trace.Bind, Addr: "unix /x"}, false},
		"bind to a port":   {trace.Event{Kind: trace.Bind, Addr: "tcp 0.0.0.0:80"}, true},
		"new file":         {trace.Event{Kind: trace.Open, Path: "/new", Want: "wc"}, false},
		"known file":       {trace.Event{Kind: trace.Open, Path: "/there", Want: "wc"}, true},
		"opened":           {trace.Event{Kind: trace.Open, Path: "/f", Want: "r"}, true},
		"removed":          {trace.Event{Kind: trace.Remove, Path: "/f"}, false},
		"another removed":  {trace.Event{Kind: trace.Remove, Path: "/g"}, true},
		"looked at by all": {trace.Event{Kind: trace.Look, Path: "/f"}, true},
	} {
		a := newAnswers()
		a.changed(&trace.Event{Kind: trace.Open, Path: "/there", Want: "wc"})
		a.learn("/f", q, false)
		a.changed(&c.e)
		if known, _ := a.has("/f", q); known != c.still {
			t.Errorf("%s: known %v", name, known)
		}
	}
	a := newAnswers()
	a.learn("/f", q, true)
	if known, missing := a.has("/f", q); !known || !missing {
		t.Error("a missing file is not known")
	}
	a.learn("/f", question{exe: "/y"}, false)
	if known, _ := a.has("/f", q); known {
		t.Error("a file that appeared is still missing for others")
	}
}
