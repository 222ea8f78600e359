package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"unroot/internal/verify"
)

// TestProgress draws on a terminal of 40 columns: one line, cut to the width, taken away at the end.
func TestProgress(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	now := time.Unix(0, 0)
	p := &progress{to: &out, width: func() int { return 40 }, now: func() time.Time { return now }, done: make(chan struct{})}
	drawn := func() string {
		defer out.Reset()
		return strings.ReplaceAll(out.String(), "\r\x1b[K", "|")
	}
	p.run(verify.Progress{Run: "fixed", What: "waits for tcp 8080"})
	if got := drawn(); got != "|fixed: waits for tcp 8080" {
		t.Errorf("%q", got)
	}
	now = now.Add(3 * time.Second)
	p.run(verify.Progress{Run: "fixed", What: "waits for tcp 8080"})
	if got := drawn(); got != "|fixed: waits for tcp 8080 (3 s)" {
		t.Errorf("%q: the time is since the line was new", got)
	}
	p.run(verify.Progress{Run: "fixed", What: "waits for unix /run/\x1b[2J\n" + strings.Repeat("é", 60)})
	got := drawn()
	if strings.ContainsAny(got, "\n\x1b") || !strings.HasSuffix(got, "é…") || len([]rune(got)) > 40 {
		t.Errorf("%q: want one line of less than 40 columns, without what steers a terminal", got)
	}
	p.stop()
	p.stop()
	if got := drawn(); got != "|" {
		t.Errorf("%q after the end", got)
	}
}

// TestProgressWithoutTerminal says nothing where nobody looks.
func TestProgressWithoutTerminal(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	p := newProgress(&out)
	p.run(verify.Progress{Run: "fixed", What: "waits"})
	p.say("round 1")
	p.stop()
	if out.Len() > 0 {
		t.Errorf("%q", out.String())
	}
}
