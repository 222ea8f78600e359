package sandbox

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"unroot/internal/account"
	"unroot/internal/image"
	"unroot/internal/oracle"
	"unroot/internal/verify"
)

// memoryLayer is a layer in memory.
type memoryLayer struct {
	media string
	data  []byte
}

func (l memoryLayer) Descriptor() ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: l.media, Digest: digest.FromBytes(l.data), Size: int64(len(l.data))}
}

func (l memoryLayer) Open(context.Context) (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(l.data)), nil
}

// layerOf writes a gzip layer of the entries. An entry without a type is a file with the content,
// or a directory where its name ends so.
func layerOf(t testing.TB, entries ...entry) image.Layer {
	t.Helper()
	var buf bytes.Buffer
	zw := gzip.NewWriter(&buf)
	tw := tar.NewWriter(zw)
	for _, e := range entries {
		h := e.Header
		if h.Typeflag == 0 {
			h.Typeflag = tar.TypeReg
			if strings.HasSuffix(h.Name, "/") {
				h.Typeflag = tar.TypeDir
			}
		}
		if h.Mode == 0 {
			h.Mode = 0o755
		}
		h.Size, h.ModTime, h.Format = int64(len(e.content)), time.Unix(1e9, 0), tar.FormatPAX
		if err := tw.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(tw, e.content); err != nil {
			t.Fatal(err)
		}
	}
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}
	if err := zw.Close(); err != nil {
		t.Fatal(err)
	}
	return memoryLayer{ocispec.MediaTypeImageLayerGzip, buf.Bytes()}
}

type entry struct {
	tar.Header
	content string
}

func file(name, content string) entry { return entry{tar.Header{Name: name}, content} }
func dir(name string) entry           { return entry{tar.Header{Name: name + "/"}, ""} }
func link(name, to string) entry {
	return entry{tar.Header{Name: name, Typeflag: tar.TypeSymlink, Linkname: to}, ""}
}
func hard(name, to string) entry {
	return entry{tar.Header{Name: name, Typeflag: tar.TypeLink, Linkname: to}, ""}
}
func (e entry) owned(uid, gid int, mode int64) entry {
	e.Uid, e.Gid, e.Mode = uid, gid, mode
	return e
}

// busyboxLayer is the tools that the tests run.
func busyboxLayer(t testing.TB) image.Layer {
	t.Helper()
	program, err := os.ReadFile(oracle.Program(t, "busybox"))
	if err != nil {
		t.Fatal(err)
	}
	list := []entry{dir("bin"), dir("etc"), dir("tmp").owned(0, 0, 0o1777), file("bin/busybox", string(program)),
		file("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:n:/:/bin/false\n").owned(0, 0, 0o644)}
	for _, name := range strings.Fields("sh id cat ls env mount umount grep pwd touch stat hostname ip sleep true nc wget dd mkdir rm rmdir mv ln chmod chown yes head unshare nsenter mknod kill readlink wc find sort tail echo su cut uniq tr mkfifo sync") {
		list = append(list, link("bin/"+name, "busybox"))
	}
	return layerOf(t, list...)
}

func imageOf(layers ...image.Layer) *image.Image { return &image.Image{Layers: layers} }

// command is a run of a shell script that ends by itself.
func command(img *image.Image, script string) verify.Run {
	return verify.Run{
		Name: "test", Image: img, Args: []string{"sh", "-c", script}, Env: []string{"PATH=/bin"}, Dir: "/",
		Hostname: "box", NoNewPrivs: true, PortStart: 1024, Exits: true, Timeout: 30 * time.Second,
		Identity: account.Identity{},
	}
}

func newEmbedded(t testing.TB, o Options) *Embedded {
	t.Helper()
	o.Log = func(s string) { t.Log(s) }
	e, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := e.Available(t.Context()); err != nil {
		oracle.Missing(t, "%v", err)
	}
	return e
}

// run runs and gives the outcome; the test ends where the runner fails.
func run(t testing.TB, e *Embedded, r verify.Run) verify.Outcome {
	t.Helper()
	out, err := e.Run(t.Context(), r, nil)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

type (
	imageType = image.Image
	layerType = image.Layer
)

// countedLayer counts how often it is read.
type countedLayer struct {
	image.Layer
	counts map[string]int
	name   string
}

func (l countedLayer) Open(ctx context.Context) (io.ReadCloser, error) {
	l.counts[l.name]++
	return l.Layer.Open(ctx)
}

func gunzip(t *testing.T, r io.Reader) string {
	t.Helper()
	zr, err := gzip.NewReader(r)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(zr)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func streamsTo(w io.Writer) *verify.Streams { return &verify.Streams{Out: w, Err: w} }
