package agent

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
)

func TestCaptureKeepsBothEnds(t *testing.T) {
	t.Parallel()
	for _, table := range []struct {
		limit  int
		writes []string
		want   string
	}{
		{10, nil, ""},
		{10, []string{"abc"}, "abc"},
		{10, []string{"abcdefghij"}, "abcdefghij"},
		{10, []string{"abcdefghijk"}, "abcde\n… 1 bytes are left out …\nghijk"},
		{10, strings.Split("abcdefghijklmnopqrstuvwxyz", ""), "abcde\n… 16 bytes are left out …\nvwxyz"},
		{10, []string{"abcdefg", "hijklmnopqrstuvw", "xy", "z"}, "abcde\n… 16 bytes are left out …\nvwxyz"},
		{2, []string{"\xff\xfe"}, "\uFFFD"},
		{0, []string{"x"}, "x"},
	} {
		c := newCapture(table.limit)
		for _, w := range table.writes {
			if n, err := c.Write([]byte(w)); n != len(w) || err != nil {
				t.Fatal(n, err)
			}
		}
		if got := c.String(); got != table.want {
			t.Errorf("limit %d, %q: got %q, want %q", table.limit, table.writes, got, table.want)
		}
	}
}

func TestStreams(t *testing.T) {
	t.Parallel()
	var taken bytes.Buffer
	s, err := newStreams(IO{In: strings.NewReader("question"), Out: &taken}, 0, func() { t.Error("over the limit") })
	if err != nil {
		t.Fatal(err)
	}
	in, err := io.ReadAll(s.child[0])
	if err != nil || string(in) != "question" {
		t.Errorf("input %q, %v", in, err)
	}
	fmt.Fprint(s.child[1], "answer")
	fmt.Fprint(s.child[2], "complaint")
	s.started()
	s.close()
	out, errs := s.texts()
	if taken.String() != "answer" || out != "" || errs != "complaint" {
		t.Errorf("taken %q, kept %q and %q", taken.String(), out, errs)
	}
}

func TestOutputWithoutEnd(t *testing.T) {
	t.Parallel()
	over := make(chan struct{})
	s, err := newStreams(IO{}, 100, func() { close(over) })
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for { // until the pipe is closed
			if _, err := s.child[1].Write(make([]byte, 1<<20)); err != nil {
				return
			}
		}
	}()
	select {
	case <-over:
	case <-time.After(20 * time.Second):
		t.Error("output without end was not noticed")
	}
	start := time.Now()
	w := s.child[1]
	s.close()
	if took := time.Since(start); took > 3*time.Second {
		t.Errorf("closing took %v while somebody still wrote", took)
	}
	w.Close()
}
