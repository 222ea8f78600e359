//go:build linux && (amd64 || arm64)

package compat

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

func TestParseStat(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		t.Fatal(err)
	}
	s, ok := parseStat(text)
	session, _ := unix.Getsid(0)
	if !ok || s.parent != uint32(os.Getppid()) || s.group != uint32(unix.Getpgrp()) || s.session != uint32(session) || s.start == 0 {
		t.Errorf("got %+v, %v of %q", s, ok, text)
	}
	named := "7 (a) b) (1 2 3 \n) S 3 4 5 0 -1 1 1 1 1 1 1 1 1 1 20 0 1 0 99 1 1"
	if s, ok := parseStat([]byte(named)); !ok || s != (stat{3, 4, 5, 99}) {
		t.Errorf("got %+v, %v", s, ok)
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add([]byte("7 (a) b) S 3 4 5 0 -1 1 1 1 1 1 1 1 1 1 20 0 1 0 99 1 1"))
	f.Add([]byte("7 (sh) S"))
	f.Add([]byte(")"))
	f.Add([]byte(""))
	f.Fuzz(func(t *testing.T, text []byte) {
		if s, ok := parseStat(text); !ok && s != (stat{}) {
			t.Errorf("%q: %+v", text, s)
		}
	})
}

// What is known of the test's own children and threads is what the kernel knows.
func TestOwnFamily(t *testing.T) {
	t.Parallel()
	c := census{self: uint32(os.Getpid())}
	pid, ok := c.tgid(uint32(unix.Gettid()))
	if !ok || pid != c.self || !c.isThread(pid, uint32(unix.Gettid())) || c.isThread(pid, 1) {
		t.Errorf("thread %d is of process %d", unix.Gettid(), pid)
	}
	threads := 0
	c.eachThread(c.self, func(uint32) { threads++ })
	if threads < 2 {
		t.Errorf("%d threads", threads)
	}
	if c.auxv(c.self) == nil {
		t.Error("no auxiliary vector")
	}
}
