package layer

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"

	"unroot/internal/rootfs"
)

// sampleBytes is how much of /usr the benchmarks read: as much as a Debian image with a server.
const sampleBytes = 200 << 20

// sample is a gzip layer made of the machine's own /usr, like the layers that are pulled: a third
// each of programs, libraries and many small files.
var sample = sync.OnceValue(func() []byte {
	var b bytes.Buffer
	zw, _ := gzip.NewWriterLevel(&b, gzip.DefaultCompression)
	tw := tar.NewWriter(zw)
	for _, root := range []string{"/usr/bin", "/usr/lib", "/usr/share"} {
		left := int64(sampleBytes / 3)
		_ = filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
			if err != nil {
				return nil
			}
			info, err := d.Info()
			if err != nil || info.Size() > 4<<20 {
				return nil
			}
			if left -= info.Size(); left < 0 {
				return filepath.SkipAll
			}
			return addFile(tw, p, info)
		})
	}
	_ = tw.Close()
	_ = zw.Close()
	return b.Bytes()
})

func addFile(tw *tar.Writer, p string, info fs.FileInfo) error {
	link := ""
	if info.Mode()&fs.ModeSymlink != 0 {
		link, _ = os.Readlink(p)
	}
	h, err := tar.FileInfoHeader(info, link)
	if err != nil {
		return nil
	}
	h.Name = p[1:]
	if !info.Mode().IsRegular() {
		return tw.WriteHeader(h)
	}
	content, err := os.ReadFile(p)
	if err != nil || int64(len(content)) != h.Size {
		return nil
	}
	if err := tw.WriteHeader(h); err != nil {
		return err
	}
	_, err = tw.Write(content)
	return err
}

// floor is the least that any reader must do: inflate, and step from header to header.
func floor(b *testing.B, stored []byte) (entries int) {
	zr, err := gzip.NewReader(bytes.NewReader(stored))
	if err != nil {
		b.Fatal(err)
	}
	tr := tar.NewReader(zr)
	for {
		_, err := tr.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			b.Fatal(err)
		}
		entries++
	}
	if _, err := io.Copy(io.Discard, zr); err != nil {
		b.Fatal(err)
	}
	return entries
}

// BenchmarkScan compares the best Scan with the best floor, run in turns. The bar is a ratio of at
// most 1.2; it takes two idle processors, because Scan hashes beside the inflating.
func BenchmarkScan(b *testing.B) {
	stored := sample()
	bare, ours := time.Hour, time.Hour
	var x *Index
	for b.Loop() {
		start := time.Now()
		floor(b, stored)
		bare = min(bare, time.Since(start))
		start = time.Now()
		x = mustScan(b, stored, ScanOptions{})
		ours = min(ours, time.Since(start))
	}
	b.ReportMetric(ours.Seconds()/bare.Seconds(), "ratio")
	b.ReportMetric(float64(x.Size)/1e6/ours.Seconds(), "MB/s")
	b.ReportMetric(float64(len(x.Entries)), "entries")
}

// BenchmarkFloor is the floor alone.
func BenchmarkFloor(b *testing.B) {
	stored := sample()
	for b.Loop() {
		floor(b, stored)
	}
}

// BenchmarkMentions searches the contents of real programs for paths.
func BenchmarkMentions(b *testing.B) {
	var all []byte
	found, _ := filepath.Glob("/usr/bin/*")
	for _, p := range found {
		content, err := os.ReadFile(p)
		if err == nil && isELF(content) && len(all) < 100<<20 {
			all = append(all, content...)
		}
	}
	b.SetBytes(int64(len(all)))
	buf := make([]byte, windowBytes)
	for b.Loop() {
		var m mentionScan
		m.start(buf, 0)
		r := bytes.NewReader(all)
		for m.more(r, int64(len(all))) {
			m.found = m.found[:0] // never full, so that all is searched
		}
	}
}

// benchIndex is an index of n entries as a scan of a Debian image gives it.
func benchIndex(n int) *Index {
	x := &Index{Size: 200 << 20}
	for i := range n {
		e := rootfs.Entry{
			Path: fmt.Sprintf("/usr/share/package-%d/some-folder/file-%d", i/40, i), Kind: rootfs.File,
			Size: int64(i), MTime: 1_700_000_000 + int64(i%1000), Mode: 0o644,
		}
		switch {
		case i%50 == 0:
			e.Facts = &rootfs.Facts{Content: bytes.Repeat([]byte("key = value\n"), 100)}
		case i%20 == 0:
			e.Facts = &rootfs.Facts{ELF: true, Interp: "/lib64/ld-linux-x86-64.so.2", Mentions: []string{"/etc/passwd"}}
		}
		x.Entries = append(x.Entries, e)
	}
	return x
}

// BenchmarkDecode is the warm path. The bars: 5 ms for 15,000 entries, 60 ms for 200,000.
func BenchmarkDecode(b *testing.B) {
	for _, n := range []int{15_000, 200_000} {
		var encoded bytes.Buffer
		if err := benchIndex(n).Encode(&encoded); err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.SetBytes(int64(encoded.Len()))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Decode(encoded.Bytes()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
