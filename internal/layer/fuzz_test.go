package layer

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"unroot/internal/rootfs"
)

// FuzzScan: no input makes Scan panic or pass its limits, and both ways to read agree.
func FuzzScan(f *testing.F) {
	plain := makeTar(f, item{name: "./", kind: tar.TypeDir}, item{name: "etc/passwd", content: "root:x:0:0\n"},
		item{name: "bin/" + strings.Repeat("l", 200), content: "#!/bin/sh\n", mode: 0o4755},
		item{name: "x", kind: tar.TypeLink, link: "etc/passwd"}, item{name: "etc/.wh.x"}, item{name: "a/.wh..wh..opq"},
		item{name: "ü", content: "\x7fELF\x02\x01", mode: 0o755, pax: map[string]string{"SCHILY.xattr.user.a": "b"}})
	for _, seed := range [][]byte{
		plain, gzipped(f, plain), zstdOf(f, plain), written(f, sampleDelta()), {},
		makeTar(f, item{name: "../x"}), header512("a", "77777777777\x00", "0000000\x00", '0'),
		[]byte("\x28\xb5\x2f\xfd\x00\xa8\x01\x00\x00"),
		[]byte(fakeELF(1, 2, 100, "/lib/ld.so")[:600]),
	} {
		f.Add(seed, false)
		f.Add(seed, true)
	}
	f.Fuzz(func(t *testing.T, stored []byte, mend bool) {
		if mend {
			stored = mended(stored)
		}
		opts := ScanOptions{MaxSize: 4 << 20, MaxEntries: 500, MaxWindow: 1 << 20, KeepBytes: 1 << 16}
		x, err := Scan(bytes.NewReader(stored), opts)
		if err != nil {
			judgeError(t, err)
			return
		}
		judgeIndex(t, x, opts)
		err = ReadFiles(bytes.NewReader(stored), opts, func(string) bool { return true }, func(e rootfs.Entry, r io.Reader) error {
			n, err := io.Copy(io.Discard, r)
			if n != e.Size {
				t.Errorf("%q: %d bytes, want %d", e.Path, n, e.Size)
			}
			return err
		})
		var limit *LimitError
		if err != nil && !errors.As(err, &limit) { // a sparse file may be larger than what is held
			t.Errorf("read by Scan, but not by ReadFiles: %v", err)
		}
	})
}

// mended sets the checksums of all headers in a plain archive, so that what the fuzzer changed in
// them is looked at.
func mended(stored []byte) []byte {
	stored = bytes.Clone(stored)
	for at := 0; at+512 <= len(stored); at += 512 {
		h := stored[at : at+512]
		if string(h[257:262]) == "ustar" {
			setChecksum(h)
		}
	}
	return stored
}

// judgeError wants every error to be of the kinds that Scan names.
func judgeError(t *testing.T, err error) {
	t.Helper()
	var limit *LimitError
	var mediaType *MediaTypeError
	if !errors.Is(err, ErrCorrupt) && !errors.As(err, &limit) && !errors.As(err, &mediaType) {
		t.Errorf("error of no kind: %v", err)
	}
}

// judgeIndex wants what Scan promises of every index.
func judgeIndex(t *testing.T, x *Index, opts ScanOptions) {
	t.Helper()
	kept := 0
	for _, e := range x.Entries {
		if _, err := cleanName(e.Path); err != nil || !strings.HasPrefix(e.Path, "/") || e.Kind == 0 || e.Mode > 0o7777 || e.Size < 0 {
			t.Errorf("entry %+v", e)
		}
		if e.Facts == nil {
			continue
		}
		kept += len(e.Facts.Content) + len(strings.Join(e.Facts.Mentions, ""))
		if e.Facts.Content != nil && int64(len(e.Facts.Content)) != e.Size {
			t.Errorf("%q: content of %d bytes, size %d", e.Path, len(e.Facts.Content), e.Size)
		}
	}
	if x.Size > opts.MaxSize || len(x.Entries) > opts.MaxEntries || kept > int(opts.KeepBytes) {
		t.Errorf("%d bytes, %d entries, %d kept", x.Size, len(x.Entries), kept)
	}
	again, err := Decode(encoded(t, x))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(x, again, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("encoded and decoded (-want +got):\n%s", diff)
	}
}

// FuzzDecode: no bytes make Decode panic, with a checksum that fits or not.
func FuzzDecode(f *testing.F) {
	for _, x := range []*Index{{}, fullIndex(), benchIndex(60)} {
		b := encoded(f, x)
		f.Add(b[len(indexMagic) : len(b)-checksumBytes])
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if _, err := Decode(body); err != nil && !errors.Is(err, ErrIndex) {
			t.Errorf("error of no kind: %v", err)
		}
		b := sealed(append([]byte(indexMagic), body...))
		x, err := Decode(b)
		if err != nil {
			if !errors.Is(err, ErrIndex) {
				t.Errorf("error of no kind: %v", err)
			}
			return
		}
		if len(x.Entries) > len(b)/minRowBytes {
			t.Errorf("%d entries from %d bytes", len(x.Entries), len(b))
		}
		if again, err := Decode(encoded(t, x)); err != nil || !cmp.Equal(x, again, cmpopts.EquateEmpty()) {
			t.Errorf("not the same again: %v", err)
		}
	})
}

// FuzzDelta: what Write accepts, Scan reads back, and the costs are right.
func FuzzDelta(f *testing.F) {
	f.Add("/etc/passwd", "/etc", "root:x:0:0\n", uint16(0o644), uint32(0), int64(0), uint8(rootfs.File))
	f.Add("/", "/", "", uint16(0o755), uint32(1_000_700_000), int64(-1), uint8(rootfs.Dir))
	f.Add("/a/ü", "../b", "", uint16(0o777), uint32(5), int64(1)<<40, uint8(rootfs.Symlink))
	f.Add("/"+strings.Repeat("n/", 200)+"n", "/x", "", uint16(0), uint32(1<<21), int64(1)<<33, uint8(rootfs.Whiteout))
	f.Add("/d", "/d", "", uint16(0o7777), uint32(0), int64(0), uint8(rootfs.Opaque))
	f.Fuzz(func(t *testing.T, name, link, content string, mode uint16, uid uint32, mtime int64, kind uint8) {
		e := rootfs.Entry{Path: name, Kind: rootfs.Kind(kind), Mode: mode & 0o7777, UID: uid, GID: uid / 2, MTime: mtime}
		if e.Kind == rootfs.Symlink || e.Kind == rootfs.Hardlink {
			e.Link = link
		}
		if e.Kind == rootfs.File {
			e.Size = int64(len(content))
			e.Facts = &rootfs.Facts{Xattrs: map[string]string{"user.x": link}}
		} else {
			content = ""
		}
		d := Delta{Entries: []DeltaEntry{{Entry: e, Content: []byte(content)}, dir("/zz", 0o755, 0, 0)}}
		var b bytes.Buffer
		if err := d.Write(&b); err != nil {
			return
		}
		if got, want := int64(b.Len()), Cost(e)+Cost(d.Entries[1].Entry)+1024; got != want {
			t.Errorf("%d bytes, the costs say %d", got, want)
		}
		if len(link) > maxXattrBytes || len(e.Link) > maxNameBytes {
			return // may be written, is not read
		}
		x, err := Scan(bytes.NewReader(b.Bytes()), ScanOptions{KeepBytes: 1})
		if err != nil {
			t.Fatalf("%+v: %v", e, err)
		}
		for _, want := range wantEntries(t, d) {
			if want.Facts != nil && want.Facts.Content != nil {
				want.Facts = &rootfs.Facts{Xattrs: e.Facts.Xattrs}
			}
			found := false
			for _, got := range x.Entries {
				if got.Facts != nil {
					got.Facts = &rootfs.Facts{Xattrs: got.Facts.Xattrs}
				}
				found = found || cmp.Equal(want, got, cmpopts.EquateEmpty())
			}
			if !found {
				t.Errorf("wrote %+v, read %+v", want, x.Entries)
			}
		}
	})
}
