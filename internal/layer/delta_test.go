package layer

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"

	"unroot/internal/oracle"
	"unroot/internal/rootfs"
)

func file(name, content string, mode uint16) DeltaEntry {
	return DeltaEntry{
		Entry:   rootfs.Entry{Path: name, Kind: rootfs.File, Mode: mode, Size: int64(len(content)), MTime: stamp},
		Content: []byte(content),
	}
}

func dir(name string, mode uint16, uid, gid uint32) DeltaEntry {
	return DeltaEntry{Entry: rootfs.Entry{Path: name, Kind: rootfs.Dir, Mode: mode, UID: uid, GID: gid, MTime: stamp}}
}

// sampleDelta has everything that a delta may have, in no order.
func sampleDelta() Delta {
	long := "/opt/" + strings.Repeat("long-", 30)
	ping := file("/bin/ping", "ping", 0o755)
	ping.Entry.Facts = &rootfs.Facts{ELF: true, Xattrs: map[string]string{"user.b": "2", "user.a": "1"}}
	ancient := file("/etc/ancient", "", 0o600)
	ancient.Entry.MTime = -1
	return Delta{Entries: []DeltaEntry{
		{Entry: rootfs.Entry{Path: "/bin/a-link-to-ping", Kind: rootfs.Hardlink, Link: "/bin/ping", UID: 99, Mode: 0o4777}},
		file("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n", 0o644),
		dir("/run/app", 0o2770, 65532, 0),
		{Entry: rootfs.Entry{Path: "/etc/shadow", Kind: rootfs.Whiteout}},
		{Entry: rootfs.Entry{Path: "/var/cache", Kind: rootfs.Opaque}},
		{Entry: rootfs.Entry{Path: "/var/cache/link", Kind: rootfs.Symlink, Link: "../lib", Mode: 0o777, MTime: stamp}},
		dir("/var/cache", 0o755, 0, 0),
		dir("/", 0o755, 0, 0),
		dir(long, 0o770, 1_000_700_000, 0),
		file("/srv/ümläut", strings.Repeat("u", 513), 0o4755),
		{Entry: rootfs.Entry{Path: "/srv/fifo", Kind: rootfs.Fifo, Mode: 0o600, MTime: stamp}},
		ping, ancient,
	}}
}

func written(t testing.TB, d Delta) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := d.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// wantEntries is what reading a written delta must give.
func wantEntries(t testing.TB, d Delta) []rootfs.Entry {
	t.Helper()
	ordered, err := d.ordered()
	if err != nil {
		t.Fatal(err)
	}
	var want []rootfs.Entry
	for _, e := range ordered {
		entry := e.Entry
		if entry.Kind == rootfs.Whiteout || entry.Kind == rootfs.Opaque {
			entry = rootfs.Entry{Path: entry.Path, Kind: entry.Kind}
		}
		if x := entry.Facts; x != nil && x.Xattrs != nil {
			entry.Facts = &rootfs.Facts{Xattrs: x.Xattrs}
		}
		if strings.HasPrefix(entry.Path, "/etc/") && entry.Kind == rootfs.File {
			entry.Facts = &rootfs.Facts{Content: append([]byte{}, e.Content...)}
		}
		want = append(want, entry)
	}
	return want
}

func TestDeltaRoundTrip(t *testing.T) {
	t.Parallel()
	d := sampleDelta()
	x := mustScan(t, written(t, d), ScanOptions{})
	if diff := cmp.Diff(wantEntries(t, d), x.Entries); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	var order []string
	for _, e := range x.Entries {
		order = append(order, e.Path)
	}
	want := []string{"/", "/bin/ping", "/etc/ancient", "/etc/passwd", "/etc/shadow", "/opt/" + strings.Repeat("long-", 30),
		"/run/app", "/srv/fifo", "/srv/ümläut", "/var/cache", "/var/cache", "/var/cache/link", "/bin/a-link-to-ping"}
	if diff := cmp.Diff(want, order); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
}

// TestDeltaBytes: the same entries give the same bytes, today and with the next release.
func TestDeltaBytes(t *testing.T) {
	t.Parallel()
	const want = "sha256:fb8a93398b9cf0fa6ecf26f7a3a4101f7f96a7b1c355255ef2423f9e0d0344a0"
	for seed := range uint64(20) {
		d := sampleDelta()
		rand.New(rand.NewPCG(seed, 0)).Shuffle(len(d.Entries), func(i, j int) {
			d.Entries[i], d.Entries[j] = d.Entries[j], d.Entries[i]
		})
		if got := digest.FromBytes(written(t, d)).String(); got != want {
			t.Fatalf("shuffle %d: got %s", seed, got)
		}
	}
}

func TestDeltaCompress(t *testing.T) {
	t.Parallel()
	d := sampleDelta()
	plain := written(t, d)
	for _, c := range []Compression{Plain, Gzip, Zstd} {
		blob, diffID, err := d.Compress(c)
		if err != nil {
			t.Fatal(err)
		}
		again, _, err := d.Compress(c)
		if err != nil || !bytes.Equal(blob, again) {
			t.Errorf("%s: not the same twice (%v)", c, err)
		}
		found, err := detect(blob)
		x := mustScan(t, blob, ScanOptions{})
		if err != nil || found != c || x.DiffID != diffID || diffID != digest.FromBytes(plain) {
			t.Errorf("%s: detected %s, %v, diff id %s and %s", c, found, err, x.DiffID, diffID)
		}
		if c == Gzip && !bytes.Equal(blob[:10], []byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 255}) {
			t.Errorf("gzip header is % x", blob[:10])
		}
	}
	if _, _, err := d.Compress(9); err == nil || !strings.Contains(err.Error(), "internal error") {
		t.Errorf("unknown compression: %v", err)
	}
}

// TestDeltaGzipJudges: other programs inflate to the same bytes.
func TestDeltaGzipJudges(t *testing.T) {
	t.Parallel()
	d := sampleDelta()
	for c, program := range map[Compression]string{Gzip: "gzip", Zstd: "zstd"} {
		blob, _, err := d.Compress(c)
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(oracle.Program(t, program), "-dc")
		cmd.Stdin = bytes.NewReader(blob)
		got, err := cmd.Output()
		if err != nil || !bytes.Equal(got, written(t, d)) {
			t.Errorf("%s: %v, or other bytes", program, err)
		}
	}
}

func TestCost(t *testing.T) {
	t.Parallel()
	d := sampleDelta()
	ordered, err := d.ordered()
	if err != nil {
		t.Fatal(err)
	}
	sum := int64(1024) // the end of the archive
	for _, e := range ordered {
		cost := Cost(e.Entry)
		alone := int64(0)
		if e.Entry.Kind != rootfs.Hardlink {
			alone = int64(len(written(t, Delta{Entries: []DeltaEntry{*e}}))) - 1024
		} else {
			alone = cost
		}
		if cost != alone || cost == 0 {
			t.Errorf("%s: cost %d, takes %d", e.Entry.Path, cost, alone)
		}
		sum += cost
	}
	if got := int64(len(written(t, d))); got != sum {
		t.Errorf("the archive has %d bytes, the costs sum up to %d", got, sum)
	}
	if got := Cost(rootfs.Entry{Path: "/run", Kind: rootfs.Dir}); got != 512 {
		t.Errorf("a folder costs %d", got)
	}
	if got := Cost(rootfs.Entry{Path: "/dev/null", Kind: rootfs.CharDevice}); got != 0 {
		t.Errorf("what cannot be written costs %d", got)
	}
}

func TestDeltaRefuses(t *testing.T) {
	t.Parallel()
	plain := func(name string, k rootfs.Kind, link string) DeltaEntry {
		return DeltaEntry{Entry: rootfs.Entry{Path: name, Kind: k, Link: link}}
	}
	lie := file("/a", "abc", 0o644)
	lie.Entry.Size = 2
	tests := map[string][]DeltaEntry{
		"twice":                {file("/a", "1", 0o644), file("/a", "2", 0o644)},
		"twice, ":              {plain("/a", rootfs.Whiteout, ""), file("/a", "2", 0o644)},
		"no directory":         {plain("/a", rootfs.Opaque, ""), file("/a", "", 0o644)},
		"not absolute":         {file("a", "", 0o644)},
		"not absolute and cl":  {file("/a/../b", "", 0o644)},
		"clean":                {dir("/a/", 0o755, 0, 0)},
		"for a whiteout":       {file("/a/.wh.b", "", 0o644)},
		"take this name for":   {file("/.wh..wh.plnk/b", "", 0o644)},
		"must be a directory":  {plain("/", rootfs.Whiteout, "")},
		"the root must be":     {plain("/", rootfs.Symlink, "x")},
		"kind 5":               {plain("/dev/null", rootfs.CharDevice, "")},
		"kind 0":               {plain("/x", 0, "")},
		"is no owner":          {dir("/x", 0, 1<<32-1, 0)},
		"without a target":     {plain("/x", rootfs.Symlink, "")},
		"not a file of this":   {plain("/x", rootfs.Hardlink, "/y")},
		"is not a file of":     {plain("/x", rootfs.Hardlink, "/y"), dir("/y", 0, 0, 0)},
		"has 3 bytes":          {lie},
		"has 1 bytes":          {{Entry: rootfs.Entry{Path: "/d", Kind: rootfs.Dir}, Content: []byte("x")}},
		"more than 4096 bytes": {file("/"+strings.Repeat("x", 4096), "", 0)},
	}
	for fault, entries := range tests {
		fault = strings.TrimSuffix(fault, ", ")
		err := Delta{Entries: entries}.Write(&bytes.Buffer{})
		if err == nil || !strings.Contains(err.Error(), fault) || !strings.HasPrefix(err.Error(), "writing layer") {
			t.Errorf("got error %v, want %q", err, fault)
		}
	}
	cause := errors.New("full disk")
	if err := sampleDelta().Write(failingWriter{cause}); !errors.Is(err, cause) {
		t.Errorf("got error %v", err)
	}
}

func TestParents(t *testing.T) {
	t.Parallel()
	d := Delta{Entries: []DeltaEntry{
		dir("/run", 0o755, 0, 0), dir("/run/app", 0o770, 0, 0), file("/a/b/c/d", "", 0), file("/a/b/e", "", 0), file("/top", "", 0),
		{Entry: rootfs.Entry{Path: "/var/cache", Kind: rootfs.Opaque}}, {Entry: rootfs.Entry{Path: "/etc/x", Kind: rootfs.Whiteout}},
		dir("/", 0o755, 0, 0),
	}}
	want := []string{"/a", "/a/b", "/a/b/c", "/etc", "/var", "/var/cache"}
	if diff := cmp.Diff(want, d.Parents()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestDeltaListedByTar: GNU tar and bsdtar see what was meant.
func TestDeltaListedByTar(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "layer.tar")
	if err := os.WriteFile(name, written(t, sampleDelta()), 0o600); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"drwxr-xr-x 0/0 0 2023-11-14 22:13:20 ./",
		"-rwxr-xr-x 0/0 4 2023-11-14 22:13:20 bin/ping",
		"-rw------- 0/0 0 1969-12-31 23:59:59 etc/ancient",
		"-rw-r--r-- 0/0 30 2023-11-14 22:13:20 etc/passwd",
		"---------- 0/0 0 1970-01-01 00:00:00 etc/.wh.shadow",
		"drwxrwx--- 1000700000/0 0 2023-11-14 22:13:20 opt/" + strings.Repeat("long-", 30) + "/",
		"drwxrws--- 65532/0 0 2023-11-14 22:13:20 run/app/",
		"prw------- 0/0 0 2023-11-14 22:13:20 srv/fifo",
		"-rwsr-xr-x 0/0 513 2023-11-14 22:13:20 srv/ümläut",
		"drwxr-xr-x 0/0 0 2023-11-14 22:13:20 var/cache/",
		"---------- 0/0 0 1970-01-01 00:00:00 var/cache/.wh..wh..opq",
		"lrwxrwxrwx 0/0 0 2023-11-14 22:13:20 var/cache/link -> ../lib",
		"hrwxr-xr-x 0/0 0 2023-11-14 22:13:20 bin/a-link-to-ping link to bin/ping",
	}
	cmd := exec.Command(oracle.Program(t, "tar"), "-tvf", name, "--numeric-owner", "--full-time", "--quoting-style=literal")
	cmd.Env = append(os.Environ(), "TZ=UTC", "LC_ALL=C")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for line := range strings.Lines(string(out)) {
		got = append(got, strings.Join(strings.Fields(line), " "))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("GNU tar (-want +got):\n%s", diff)
	}
	cmd = exec.Command(oracle.Program(t, "bsdtar"), "-tf", name)
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8")
	out, err = cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	if names := strings.Fields(string(out)); len(names) != len(want) || !slices.Contains(names, "srv/ümläut") {
		t.Errorf("bsdtar lists %q", names)
	}
}
