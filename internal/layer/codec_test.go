package layer

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/cespare/xxhash/v2"
	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"

	"unroot/internal/rootfs"
)

// fullIndex has every kind of entry and fact, and numbers at their ends.
func fullIndex() *Index {
	return &Index{
		DiffID: digest.FromString("x"), Size: 1<<63 - 1, Truncated: true,
		Entries: []rootfs.Entry{
			{Path: "/", Kind: rootfs.Dir, Mode: 0o755, MTime: -1 << 63},
			{Path: "/etc/passwd", Kind: rootfs.File, Mode: 0o7777, Size: 1<<63 - 1, MTime: 1<<63 - 1, UID: 1<<32 - 1, GID: 7,
				Facts: &rootfs.Facts{Content: []byte("root:x\n")}},
			{Path: "/etc/empty", Kind: rootfs.File, Facts: &rootfs.Facts{Content: []byte{}}},
			{Path: "/bin/\xff\n", Kind: rootfs.File, Facts: &rootfs.Facts{ELF: true, Interp: "/lib/ld.so",
				Mentions: []string{"/etc/a", "/run/b"}, Xattrs: map[string]string{"user.b": "", "security.capability": "\x01\x00"}}},
			{Path: "/l", Kind: rootfs.Symlink, Link: "../x"},
			{Path: "/h", Kind: rootfs.Hardlink, Link: "/etc/passwd"},
			{Path: "/x", Kind: rootfs.Whiteout}, {Path: "/y", Kind: rootfs.Opaque},
			{Path: "/none", Kind: rootfs.Fifo, Facts: &rootfs.Facts{}},
		},
	}
}

func encoded(t testing.TB, x *Index) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := x.Encode(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestIndexRoundTrip(t *testing.T) {
	t.Parallel()
	for _, want := range []*Index{{}, fullIndex(), benchIndex(1000)} {
		got, err := Decode(encoded(t, want))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%.2000s", diff)
		}
		if !bytes.Equal(encoded(t, want), encoded(t, got)) {
			t.Error("encoding again gives other bytes")
		}
	}
}

func TestDecodeDamage(t *testing.T) {
	t.Parallel()
	whole := encoded(t, fullIndex())
	for cut := range whole {
		if _, err := Decode(whole[:cut]); !errors.Is(err, ErrIndex) {
			t.Fatalf("cut at %d: got error %v", cut, err)
		}
	}
	for i := range len(whole) * 8 {
		b := bytes.Clone(whole)
		b[i/8] ^= 1 << (i % 8)
		if _, err := Decode(b); !errors.Is(err, ErrIndex) {
			t.Fatalf("bit %d: got error %v", i, err)
		}
		// The same damage with a checksum that fits must do no harm either.
		if x, err := Decode(sealed(b[:len(b)-checksumBytes])); err == nil && len(x.Entries) > len(b) {
			t.Fatalf("bit %d: %d entries", i, len(x.Entries))
		}
	}
}

// sealed puts the right checksum behind a body.
func sealed(body []byte) []byte {
	return binary.LittleEndian.AppendUint64(bytes.Clone(body), xxhash.Sum64(body))
}

type failingWriter struct{ error }

func (w failingWriter) Write([]byte) (int, error) { return 0, w.error }

func TestEncodeFails(t *testing.T) {
	t.Parallel()
	cause := errors.New("full disk")
	if err := fullIndex().Encode(failingWriter{cause}); !errors.Is(err, cause) {
		t.Errorf("got error %v", err)
	}
}
