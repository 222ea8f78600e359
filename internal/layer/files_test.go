package layer

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"unroot/internal/rootfs"
)

func readAll(t *testing.T, stored []byte, opts ScanOptions, names ...string) ([]string, error) {
	t.Helper()
	var got []string
	want := func(p string) bool {
		for _, n := range names {
			if p == n {
				return true
			}
		}
		return false
	}
	err := ReadFiles(bytes.NewReader(stored), opts, want, func(e rootfs.Entry, r io.Reader) error {
		b, err := io.ReadAll(r)
		got = append(got, e.Path+" "+e.Link+"="+string(b))
		return err
	})
	return got, err
}

func TestReadFiles(t *testing.T) {
	t.Parallel()
	big := strings.Repeat("sudo", 1<<20)
	plain := makeTar(t,
		item{name: "bin/su", content: "first"},
		item{name: "bin/sudo", content: big},
		item{name: "bin/gone", content: "x"},
		item{name: "bin/other", content: "other"},
		item{name: "bin/.wh.sudo"},
		item{name: "./bin/su", content: "second"},
		item{name: "bin/link", kind: tar.TypeLink, link: "bin/su"},
		item{name: "bin/gone", kind: tar.TypeSymlink, link: "su"},
	)
	want := []string{"/bin/sudo =" + big, "/bin/su =second", "/bin/link /bin/su=", "/bin/gone su="}
	for _, stored := range [][]byte{plain, gzipped(t, plain), zstdOf(t, plain)} {
		got, err := readAll(t, stored, ScanOptions{}, "/bin/su", "/bin/sudo", "/bin/link", "/bin/gone", "/bin/missing")
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%.500s", diff)
		}
	}
}

func TestReadFilesFails(t *testing.T) {
	t.Parallel()
	plain := makeTar(t, item{name: "a", content: strings.Repeat("a", 3000)}, item{name: "b"})
	got, err := readAll(t, plain, ScanOptions{MaxContent: 2999}, "/a")
	var limit *LimitError
	if !errors.As(err, &limit) || got != nil {
		t.Errorf("limit: got %v, %v", got, err)
	}
	// Nothing is given before the layer's end was seen, where the reader may find a wrong digest.
	stored := gzipped(t, plain)
	stored[len(stored)-5] ^= 1
	if got, err := readAll(t, stored, ScanOptions{}, "/a"); !errors.Is(err, ErrCorrupt) || got != nil {
		t.Errorf("wrong checksum: got %v, %v", got, err)
	}
	if got, err := readAll(t, plain[:1024], ScanOptions{}, "/a"); !errors.Is(err, ErrCorrupt) || got != nil {
		t.Errorf("truncated: got %v, %v", got, err)
	}
	cause := errors.New("full disk")
	err = ReadFiles(bytes.NewReader(plain), ScanOptions{}, func(string) bool { return true },
		func(rootfs.Entry, io.Reader) error { return cause })
	if !errors.Is(err, cause) {
		t.Errorf("got error %v", err)
	}
	lie := header512("a", "77777777777\x00", "0000000\x00", '0')
	if _, err := readAll(t, lie, ScanOptions{MaxContent: 1 << 40}, "/a"); !errors.Is(err, ErrCorrupt) {
		t.Errorf("a size that is a lie: got error %v", err)
	}
}
