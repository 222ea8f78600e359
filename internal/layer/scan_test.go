package layer

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"

	"unroot/internal/rootfs"
)

// stamp is the time of all entries that makeTar writes.
const stamp = 1_700_000_000

func TestScanEntries(t *testing.T) {
	t.Parallel()
	stored := makeTar(t,
		item{name: "./", kind: tar.TypeDir, mode: 0o755},
		item{name: "./etc/", kind: tar.TypeDir, mode: 0o1777, uid: 5, gid: 1_000_700_000},
		item{name: "/usr//bin/../bin/su", mode: 0o4755, content: "x"},
		item{name: "usr/bin/link", kind: tar.TypeSymlink, link: "../../../etc"},
		item{name: "usr/bin/hard", kind: tar.TypeLink, link: "./usr/bin/su"},
		item{name: "dev/null", kind: tar.TypeChar, mode: 0o666},
		item{name: "dev/sda", kind: tar.TypeBlock},
		item{name: "dev/fifo", kind: tar.TypeFifo},
		item{name: "etc/.wh.passwd"},
		item{name: "var/.wh..wh..opq"},
		item{name: ".wh..wh..opq"},
		item{name: ".wh..wh.plnk/12.34"},
		item{name: ".wh..wh.aufs"},
		item{name: "var/.wh..wh.orph"},
		item{name: "ümläut/\xff \n", content: ""},
		item{name: strings.Repeat("long/", 60) + "end"},
	)
	x := mustScan(t, stored, ScanOptions{})
	want := []rootfs.Entry{
		{Path: "/", Kind: rootfs.Dir, Mode: 0o755, MTime: stamp},
		{Path: "/etc", Kind: rootfs.Dir, Mode: 0o1777, UID: 5, GID: 1_000_700_000, MTime: stamp},
		{Path: "/usr/bin/su", Kind: rootfs.File, Mode: 0o4755, Size: 1, MTime: stamp},
		{Path: "/usr/bin/link", Kind: rootfs.Symlink, Link: "../../../etc", Mode: 0o644, MTime: stamp},
		{Path: "/usr/bin/hard", Kind: rootfs.Hardlink, Link: "/usr/bin/su", Mode: 0o644, MTime: stamp},
		{Path: "/dev/null", Kind: rootfs.CharDevice, Mode: 0o666, MTime: stamp},
		{Path: "/dev/sda", Kind: rootfs.BlockDevice, Mode: 0o644, MTime: stamp},
		{Path: "/dev/fifo", Kind: rootfs.Fifo, Mode: 0o644, MTime: stamp},
		{Path: "/etc/passwd", Kind: rootfs.Whiteout},
		{Path: "/var", Kind: rootfs.Opaque},
		{Path: "/", Kind: rootfs.Opaque},
		{Path: "/ümläut/\xff \n", Kind: rootfs.File, Mode: 0o644, MTime: stamp},
		{Path: "/" + strings.Repeat("long/", 60) + "end", Kind: rootfs.File, Mode: 0o644, MTime: stamp},
	}
	if diff := cmp.Diff(want, x.Entries); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
}

func TestScanCompressions(t *testing.T) {
	t.Parallel()
	plain := makeTar(t, item{name: "a", content: strings.Repeat("A", 600_000)}, item{name: "b"})
	want := digest.NewDigestFromBytes(digest.SHA256, sha256sum(plain))
	skippable := []byte{0x5e, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 'a', 'b', 'c'}
	tests := map[string][]byte{
		"plain":              plain,
		"gzip":               gzipped(t, plain),
		"gzip members":       append(gzipped(t, plain[:700]), gzipped(t, plain[700:])...),
		"zstd":               zstdOf(t, plain),
		"zstd frames":        append(zstdOf(t, plain[:700]), zstdOf(t, plain[700:])...),
		"zstd skips a frame": append(skippable, zstdOf(t, plain)...),
	}
	for name, stored := range tests {
		for _, one := range []bool{false, true} {
			var r io.Reader = bytes.NewReader(stored)
			if one {
				r = iotest.HalfReader(r)
			}
			x, err := Scan(r, ScanOptions{})
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if x.DiffID != want || x.Size != int64(len(plain)) || len(x.Entries) != 2 {
				t.Errorf("%s: got %s, %d bytes, %d entries", name, x.DiffID, x.Size, len(x.Entries))
			}
		}
	}
}

func sha256sum(b []byte) []byte {
	sum := sha256.Sum256(b)
	return sum[:]
}

func TestScanNothing(t *testing.T) {
	t.Parallel()
	// An empty file is an empty layer to engines (moby issue 18170).
	x := mustScan(t, nil, ScanOptions{})
	if len(x.Entries) != 0 || x.Size != 0 || x.DiffID != digest.FromBytes(nil) {
		t.Errorf("got %+v", x)
	}
}

func TestScanMediaTypes(t *testing.T) {
	t.Parallel()
	plain := makeTar(t, item{name: "a"})
	const oci, docker = "application/vnd.oci.image.layer.v1.tar", "application/vnd.docker.image.rootfs.diff.tar"
	tests := []struct {
		mediaType string
		stored    []byte
		fault     string
	}{
		{"", plain, ""},
		{oci, plain, ""},
		{oci + "+gzip", gzipped(t, plain), ""},
		{oci + "+zstd", zstdOf(t, plain), ""},
		{oci + "+gzip", zstdOf(t, plain), ""}, // engines look at the bytes
		{docker + ".gzip", plain, ""},
		{docker + ".zstd", zstdOf(t, plain), ""},
		{oci, gzipped(t, plain), "bytes are gzip, not plain tar"},
		{oci + "+gzip+encrypted", gzipped(t, plain), "encrypted"},
		{"application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", gzipped(t, plain), "foreign"},
		{"application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", gzipped(t, plain), "foreign"},
		{"application/vnd.in-toto+json", []byte("{}"), "not a layer that is known"},
		{"", []byte("BZh9 and so on"), "bzip2"},
		{"", []byte("\xfd7zXZ\x00 and so on"), "xz"},
		{"", makeTar(t, item{name: "Files", kind: tar.TypeDir, pax: map[string]string{"MSWINDOWS.fileattr": "16"}}), "Windows"},
	}
	for _, test := range tests {
		_, err := Scan(bytes.NewReader(test.stored), ScanOptions{MediaType: test.mediaType})
		var typed *MediaTypeError
		switch {
		case test.fault == "" && err != nil:
			t.Errorf("%q: %v", test.mediaType, err)
		case test.fault != "" && (!errors.As(err, &typed) || !strings.Contains(err.Error(), test.fault)):
			t.Errorf("%q: got error %v, want one with %q", test.mediaType, err, test.fault)
		}
	}
}

func TestScanLimits(t *testing.T) {
	t.Parallel()
	small := makeTar(t, item{name: "a"}, item{name: "b"}, item{name: "c"})
	zeros := make([]byte, 8<<20)
	manyXattrs := map[string]string{}
	for i := range 2000 {
		manyXattrs["SCHILY.xattr.user."+strings.Repeat("x", i%40)+string(rune('a'+i/40))] = "v"
	}
	tests := []struct {
		name   string
		stored []byte
		opts   ScanOptions
		text   string
	}{
		{"entries", small, ScanOptions{MaxEntries: 2}, "more than 2 entries"},
		{"bytes", small, ScanOptions{MaxSize: 1000}, "more than 1000 uncompressed bytes"},
		{"bytes of gzip", gzipped(t, zeros), ScanOptions{MaxSize: 1 << 20}, "uncompressed bytes"},
		{"gzip bomb", gzipBomb(t), ScanOptions{bombBytes: 1 << 20}, "times its stored size"},
		{"zstd bomb", zstdOf(t, zeros), ScanOptions{bombBytes: 1 << 20}, "times its stored size"},
		{"zstd window", []byte("\x28\xb5\x2f\xfd\x00\xa8\x01\x00\x00"), ScanOptions{}, "bytes of zstd window"},
		{"name", makeTar(t, item{name: strings.Repeat("n/", 2100) + "n"}), ScanOptions{}, "bytes in a name"},
		{"link", makeTar(t, item{name: "l", kind: tar.TypeSymlink, link: strings.Repeat("n/", 2100) + "n"}), ScanOptions{}, "bytes in a name"},
		{"xattr", makeTar(t, item{name: "x", pax: map[string]string{"SCHILY.xattr.user.x": strings.Repeat("v", 65537)}}), ScanOptions{}, "extended attribute"},
		{"xattrs", makeTar(t, item{name: "x", pax: manyXattrs}), ScanOptions{}, "extended attributes of one file"},
		{"PAX header", append(header512("p", octal(2<<20), "0000000\x00", 'x'), make([]byte, 2<<20)...), ScanOptions{}, "extended header"},
	}
	for _, test := range tests {
		_, err := Scan(bytes.NewReader(test.stored), test.opts)
		var limit *LimitError
		if !errors.As(err, &limit) || !strings.Contains(err.Error(), test.text) {
			t.Errorf("%s: got error %v, want a limit with %q", test.name, err, test.text)
		}
		if errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: a limit is no damage: %v", test.name, err)
		}
	}
	// Who gives a size has been asked already.
	if _, err := Scan(bytes.NewReader(gzipBomb(t)), ScanOptions{bombBytes: 1 << 20, MaxSize: 64 << 20}); err != nil {
		t.Errorf("a bomb within the given size: %v", err)
	}
}

// gzipBomb is 32 MiB of zeros, in one deflate block after the other at the best ratio there is.
func gzipBomb(t *testing.T) []byte {
	t.Helper()
	b := gzippedBest(t, make([]byte, 32<<20))
	if 32<<20/len(b) < bombRatio {
		t.Fatalf("the bomb's ratio is only %d", 32<<20/len(b))
	}
	return b
}

func TestScanHostileNames(t *testing.T) {
	t.Parallel()
	tests := []struct {
		item  item
		fault string
	}{
		{item{name: "../etc/passwd"}, "leaves the root"},
		{item{name: "a/../../b"}, "leaves the root"},
		{item{name: "/../b"}, "leaves the root"},
		{item{name: ".."}, "leaves the root"},
		{item{name: "a", kind: tar.TypeLink, link: "../../etc/shadow"}, "leaves the root"},
		{item{name: "a", kind: tar.TypeLink, link: "/"}, "it is the root"},
		{item{name: "a/.wh."}, "names no file"},
		{item{name: "a/.wh..."}, "names no file"},
		{item{name: "a/.wh.."}, "names no file"},
		{item{name: ".", content: "x"}, "root must be a directory"},
		{item{name: "a", kind: tar.TypeCont}, "unknown type of entry '7'"},
		{item{name: "a", kind: 'D'}, "unknown type of entry 'D'"},
	}
	for _, test := range tests {
		_, err := Scan(bytes.NewReader(makeTar(t, test.item)), ScanOptions{})
		if !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), test.fault) {
			t.Errorf("%q: got error %v, want damage with %q", test.item.name, err, test.fault)
		}
	}
}

// header512 is one raw header, so that a test can write what archive/tar would not.
func header512(name, size, uid string, kind byte) []byte {
	h := make([]byte, 512)
	copy(h, name)
	copy(h[100:], "0000644\x00")
	copy(h[108:], uid)
	copy(h[116:], "0000000\x00")
	copy(h[124:], size)
	copy(h[136:], "00000000000\x00")
	h[156] = kind
	copy(h[257:], "ustar\x0000")
	setChecksum(h)
	return h
}

// setChecksum makes a header one that is believed.
func setChecksum(h []byte) {
	copy(h[148:156], "        ")
	sum := 0
	for _, c := range h {
		sum += int(c)
	}
	copy(h[148:156], octal(sum)[5:11]+"\x00 ")
}

func TestScanLyingHeaders(t *testing.T) {
	t.Parallel()
	const zero = "00000000000\x00"
	negative := "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xf0"
	pax := func(records string) []byte {
		b := append(header512("PaxHeaders/x", octal(len(records)), "0000000\x00", 'x'), records...)
		b = append(b, make([]byte, (512-len(records)%512)%512)...)
		return append(b, header512("x", zero, "0000000\x00", '0')...)
	}
	tests := map[string][]byte{
		"no tar":                       []byte(strings.Repeat("this is no archive at all ", 100)),
		"short":                        []byte("hello"),
		"negative size":                header512("a", negative, "0000000\x00", '0'),
		"size beyond the end":          header512("a", "77777777777\x00", "0000000\x00", '0'),
		"size near the largest":        header512("a", "\x80\x00\x00\x00\x7f\xff\xff\xff\xff\xff\xff\xff", "0000000\x00", '0'),
		"PAX size beyond the end":      pax("22 size=9999999999999\n"),
		"PAX negative size":            pax("11 size=-1\n"),
		"PAX record longer than it is": pax("99 path=a\n"),
		"PAX record of length 0":       pax("0 path=a\n"),
		"PAX record with a huge size":  pax("99999999999999999999 path=a\n"),
		"PAX path with NUL":            pax("12 path=a\x00b\n\n"),
		"PAX uid that is no id":        pax("22 uid=4294967296000\n"),
		"PAX header at the end":        pax("10 path=a\n")[:1024],
		"PAX lies about its own size":  append(header512("p", "77777777777\x00", "0000000\x00", 'x'), make([]byte, 512)...),
		"sparse map beyond the file":   pax("22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n27 GNU.sparse.realsize=99\n"),
		"GNU long name without end":    header512("././@LongLink", "00000001000\x00", "0000000\x00", 'L'),
		"bad checksum":                 append([]byte("X"), header512("a", zero, "0000000\x00", '0')[1:]...),
		"one zero block, then more":    append(make([]byte, 512), header512("a", zero, "0000000\x00", '0')...),
	}
	for name, stored := range tests {
		_, err := Scan(bytes.NewReader(stored), ScanOptions{})
		if name == "PAX header at the end" && err == nil {
			continue
		}
		var limit *LimitError
		if !errors.Is(err, ErrCorrupt) && !errors.As(err, &limit) {
			t.Errorf("%s: got error %v", name, err)
		}
		if err != nil && !strings.HasPrefix(err.Error(), "reading layer: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func octal(n int) string {
	const digits = "01234567"
	b := []byte("00000000000\x00")
	for i := 10; n > 0; i, n = i-1, n/8 {
		b[i] = digits[n%8]
	}
	return string(b)
}

func TestScanOwners(t *testing.T) {
	t.Parallel()
	minus := func(low string) string { return "\xff\xff\xff\xff\xff\xff\xff" + low }
	tests := []struct {
		uid  string
		want uint32
	}{
		{"0001750\x00", 1000},
		{minus("\xfe"), 4294967294},             // -2: nobody of macOS, in 32 bits
		{minus("\xff"), 0},                      // -1: lchown leaves root
		{"\x80\x00\x00\x00\xff\xff\xff\xff", 0}, // the same in 32 bits
		{"\x80\x00\x00\x00\x3b\xa5\x6d\x60", 1000697184},
	}
	for _, test := range tests {
		x := mustScan(t, header512("a", "00000000000\x00", test.uid, '0'), ScanOptions{})
		if got := x.Entries[0].UID; got != test.want {
			t.Errorf("uid %q: got %d, want %d", test.uid, got, test.want)
		}
	}
}

// TestScanTruncated cuts archives everywhere that matters. What is compressed has an end of its
// own, so that every cut is found; a plain archive may end after any entry, as engines see it.
func TestScanTruncated(t *testing.T) {
	t.Parallel()
	plain := makeTar(t, item{name: "etc/passwd", content: "root:x:0:0::/root:/bin/sh\n"},
		item{name: "bin/" + strings.Repeat("long", 40), content: strings.Repeat("#", 3000)},
		item{name: "c", kind: tar.TypeSymlink, link: "d"})
	whole := mustScan(t, plain, ScanOptions{})
	for cut := 0; cut < len(plain); cut += 512 {
		x, err := Scan(bytes.NewReader(plain[:cut]), ScanOptions{})
		if err != nil {
			if !errors.Is(err, ErrCorrupt) || !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("cut at %d: %v", cut, err)
			}
			continue
		}
		if diff := cmp.Diff(whole.Entries[:len(x.Entries)], x.Entries, cmp.Comparer(sameSlice)); diff != "" {
			t.Errorf("cut at %d: %s", cut, diff)
		}
	}
	for _, stored := range [][]byte{gzipped(t, plain), zstdOf(t, plain)} {
		for cut := 1; cut < len(stored); cut++ {
			x, err := Scan(bytes.NewReader(stored[:cut]), ScanOptions{})
			if !errors.Is(err, ErrCorrupt) {
				t.Errorf("compressed, cut at %d of %d: got %v, %v", cut, len(stored), x, err)
			}
		}
	}
}

func sameSlice(a, b []rootfs.Entry) bool {
	return len(a) == len(b) && cmp.Equal(append([]rootfs.Entry{}, a...), append([]rootfs.Entry{}, b...))
}

// TestScanBitFlips: whatever is accepted must be the archive that it was.
func TestScanBitFlips(t *testing.T) {
	t.Parallel()
	plain := makeTar(t, item{name: "etc/passwd", content: "root:x:0:0::/root:/bin/sh\n"}, item{name: "b", content: "bbb"})
	want := digest.FromBytes(plain)
	for _, stored := range [][]byte{gzipped(t, plain), zstdOf(t, plain, zstd.WithEncoderCRC(true))} {
		for i := range len(stored) * 8 {
			flipped := bytes.Clone(stored)
			flipped[i/8] ^= 1 << (i % 8)
			x, err := Scan(bytes.NewReader(flipped), ScanOptions{})
			if err == nil && x.DiffID != want {
				t.Errorf("bit %d: a damaged layer was accepted", i)
			}
		}
	}
}

func TestScanTrailingGarbage(t *testing.T) {
	t.Parallel()
	plain := makeTar(t, item{name: "a"})
	for _, stored := range [][]byte{gzipped(t, plain), zstdOf(t, plain)} {
		if _, err := Scan(bytes.NewReader(append(stored, "garbage!"...)), ScanOptions{}); !errors.Is(err, ErrCorrupt) {
			t.Errorf("got error %v", err)
		}
	}
	// Behind the end of a tar archive is padding: it counts for the digest only.
	x := mustScan(t, append(plain, "garbage"...), ScanOptions{})
	if x.Size != int64(len(plain))+7 || len(x.Entries) != 1 {
		t.Errorf("got %+v", x)
	}
}

// TestScanReaderFails: a broken connection, or a wrong digest found at the end, is no damage.
func TestScanReaderFails(t *testing.T) {
	t.Parallel()
	cause := errors.New("connection reset")
	plain := makeTar(t, item{name: "a", content: strings.Repeat("a", 1000)})
	for _, stored := range [][]byte{plain, gzipped(t, plain), zstdOf(t, plain)} {
		for _, cut := range []int{0, 3, len(stored) / 2, len(stored)} {
			r := io.MultiReader(bytes.NewReader(stored[:cut]), iotest.ErrReader(cause))
			_, err := Scan(r, ScanOptions{})
			if !errors.Is(err, cause) || errors.Is(err, ErrCorrupt) {
				t.Errorf("cut at %d of %d: got error %v", cut, len(stored), err)
			}
		}
	}
}

// headers gives a million entries without an end of the archive.
type headers struct {
	left int
	rest []byte
}

func (h *headers) Read(p []byte) (int, error) {
	if len(h.rest) == 0 {
		if h.left == 0 {
			return 0, io.EOF
		}
		h.left--
		name := "some/folder/of/usual/length/" + string([]byte{'a' + byte(h.left%26), 'a' + byte(h.left/26%26), 'a' + byte(h.left/676%26), 'a' + byte(h.left/17576%26), 'a' + byte(h.left/456976)})
		h.rest = header512(name, "00000000000\x00", "0000000\x00", '0')
	}
	n := copy(p, h.rest)
	h.rest = h.rest[n:]
	return n, nil
}

func TestScanMillionEntries(t *testing.T) { // not parallel: it measures
	const million = 1_000_000
	start := time.Now()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	x, err := Scan(&headers{left: million}, ScanOptions{})
	if err != nil {
		t.Fatal(err)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if len(x.Entries) != million {
		t.Errorf("got %d entries", len(x.Entries))
	}
	grown := int64(after.HeapAlloc) - int64(before.HeapAlloc)
	t.Logf("%d MB kept, %d MB from the system, %v", grown>>20, after.Sys>>20, time.Since(start))
	if grown > 200<<20 {
		t.Errorf("a million entries keep %d MB", grown>>20)
	}
	runtime.KeepAlive(x)
	_, err = Scan(&headers{left: million}, ScanOptions{MaxEntries: 100_000})
	var limit *LimitError
	if !errors.As(err, &limit) || limit.Limit != 100_000 {
		t.Errorf("got error %v", err)
	}
}

// TestScanNamesWithoutEnd: long names compress to nothing, so their sum is limited.
func TestScanNamesWithoutEnd(t *testing.T) {
	t.Parallel()
	var items []item
	for range 5000 {
		items = append(items, item{name: strings.Repeat("d/", 2000), kind: tar.TypeDir})
	}
	_, err := Scan(bytes.NewReader(makeTar(t, items...)), ScanOptions{MaxEntries: 10_000})
	var limit *LimitError
	if !errors.As(err, &limit) || !strings.Contains(limit.What, "names") {
		t.Errorf("got error %v", err)
	}
}

func TestScanLeavesNothingRunning(t *testing.T) { // not parallel: it counts
	plain := makeTar(t, item{name: "../out"}, item{name: "b", content: strings.Repeat("b", 4<<20)})
	before := runtime.NumGoroutine()
	for range 50 {
		for _, stored := range [][]byte{plain, gzipped(t, plain)} {
			if _, err := Scan(bytes.NewReader(stored), ScanOptions{}); err == nil {
				t.Fatal("no error")
			}
		}
	}
	if after := runtime.NumGoroutine(); after > before+2 {
		t.Errorf("%d goroutines before, %d after", before, after)
	}
}
