package rewrite_test

import (
	"bytes"
	"io"
	"runtime"
	"testing"
	"time"

	"unroot/internal/image"
	"unroot/internal/imagetest"
	"unroot/internal/rewrite"
)

// TestSameBytes is law 4: the same inputs give the same bytes, again and again (maps are walked in
// another order each time), with one processor, and in another time zone. It is not parallel: it
// changes what all tests share.
func TestSameBytes(t *testing.T) {
	zone := time.Local
	t.Cleanup(func() { time.Local = zone })
	procs := runtime.GOMAXPROCS(0)
	t.Cleanup(func() { runtime.GOMAXPROCS(procs) })
	eachImage := []string{"../plan/testdata/nginx.txtar", "../plan/testdata/tasks.txtar", "../plan/testdata/volumes.txtar", "../plan/testdata/ports.txtar", "testdata/odd-docker.txtar"}
	for _, name := range eachImage {
		img, _ := imagetest.Load(t, name)
		want := everything(t, img)
		for i := range 20 {
			time.Local = time.FixedZone("somewhere", (i-10)*3600)
			runtime.GOMAXPROCS(1 + i%2*(procs-1))
			if got := everything(t, img); !bytes.Equal(got, want) {
				t.Fatalf("%s, time %d: other bytes", name, i)
			}
		}
	}
}

// everything is all bytes that a conversion gives, with costs, diffs and the Dockerfile.
func everything(t *testing.T, img *image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	for _, options := range optionSets {
		c := convert(t, imagetest.View(t, img), options)
		b.Write(c.after.Image.Config)
		b.Write(c.after.Image.Manifest)
		for _, l := range c.after.Image.Layers {
			r, err := l.Open(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(&b, r); err != nil {
				t.Fatal(err)
			}
		}
		text, err := rewrite.Dockerfile(c.before, c.plan, ref)
		if err != nil {
			t.Fatal(err)
		}
		b.Write(text)
	}
	return b.Bytes()
}
