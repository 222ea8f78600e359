package sandbox

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestChunks(t *testing.T) {
	t.Parallel()
	var line bytes.Buffer
	long := strings.Repeat("layer", chunkSize/2)
	broken := errors.New("digest does not match")
	for _, r := range []io.Reader{strings.NewReader(long), strings.NewReader(""), iotest.HalfReader(strings.NewReader(long)),
		io.MultiReader(strings.NewReader("part"), iotest.ErrReader(broken)), strings.NewReader("last")} {
		if unread, err := sendChunks(&line, r); err != nil || unread != nil && !errors.Is(unread, broken) {
			t.Fatal(unread, err)
		}
	}
	c := &chunkReader{r: bufio.NewReader(&line)}
	for i, want := range []string{long, "", long, "part", "last"} {
		c.next()
		got, err := io.ReadAll(c)
		if string(got) != want || errors.Is(err, errGivenUp) != (want == "part") || err != nil && want != "part" {
			t.Errorf("layer %d: %d bytes of %d, %v", i, len(got), len(want), err)
		}
		if err := c.drain(); err != nil {
			t.Errorf("layer %d: draining: %v", i, err)
		}
	}
	c.next()
	if _, err := io.ReadAll(c); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("after the last layer: %v", err)
	}
}

// FuzzChunks: whatever comes, reading ends, and gives no more than came.
func FuzzChunks(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x03abc\x00\x00\x00\x00"))
	f.Add([]byte("\x00\x00\x00\x03abc\xff\xff\xff\xff"))
	f.Add([]byte("\x7f\xff\xff\xffabc"))
	f.Add([]byte("\x00\x00\x00\x09abc"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c := &chunkReader{r: bufio.NewReader(bytes.NewReader(data))}
		for range 3 {
			c.next()
			got, _ := io.ReadAll(c)
			if len(got) > len(data) {
				t.Fatalf("%d bytes of %d", len(got), len(data))
			}
			_ = c.drain()
		}
	})
}
