//go:build linux

package nscd

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"unroot/internal/oracle"
)

// BenchmarkLookUp is one answer, with the connection, beside what it costs the server alone.
func BenchmarkLookUp(b *testing.B) {
	_, f := serve(b, testPasswd, testGroup)
	b.Run("connection", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			lookUp(b, f.Socket, getpwbyuid, "1000700000")
		}
	})
	b.Run("answer", func(b *testing.B) {
		n := newNames(f)
		r, _, _ := readRequest(query(getpwbyuid, "1000700000"))
		b.ReportAllocs()
		var out []byte
		for b.Loop() {
			out = n.answer(out[:0], r)
		}
	})
}

// BenchmarkClient is one getpwuid(3) of glibc in a running program: by the responder, for the added
// account and one of the files, and without it.
func BenchmarkClient(b *testing.B) {
	oracle.Root(b)
	dir := b.TempDir()
	source, program := filepath.Join(dir, "a.c"), filepath.Join(dir, "a")
	put(b, source, `
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
int main(int argc, char **argv) {
	struct timespec a, b; uid_t uid = strtoul(argv[1], 0, 10); int n = 2000;
	getpwuid(uid);
	clock_gettime(CLOCK_MONOTONIC, &a);
	for (int i = 0; i < n; i++) getpwuid(uid);
	clock_gettime(CLOCK_MONOTONIC, &b);
	printf("%f", ((b.tv_sec-a.tv_sec)*1e9 + (b.tv_nsec-a.tv_nsec))/n);
	return 0;
}`)
	if out, err := exec.Command("gcc", "-O2", "-o", program, source).CombinedOutput(); err != nil {
		oracle.Missing(b, "gcc: %v %s", err, out)
	}
	socket := filepath.Join(b.TempDir(), "socket")
	start(b, Facts{UID: testUID, Socket: socket})
	for _, test := range []struct{ name, mount, uid string }{
		{"responder", filepath.Dir(socket), "1000700000"}, {"responder-root", filepath.Dir(socket), "0"},
		{"files-root", b.TempDir(), "0"}, {"files-none", b.TempDir(), "1000700000"},
	} {
		b.Run(test.name, func(b *testing.B) {
			cmd := exec.Command("unshare", "--mount", "sh", "-c", `mount -t tmpfs none /run && mkdir /run/nscd && mount --bind "$1" /run/nscd && exec "$2" "$3"`, "sh", test.mount, program, test.uid)
			out, err := cmd.Output()
			var each float64
			if _, scan := fmt.Sscan(string(out), &each); err != nil || scan != nil {
				b.Fatalf("%v %v %q", err, scan, out)
			}
			b.ReportMetric(each, "ns/lookup")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// BenchmarkMemory is what a process that does nothing but answer takes: a small program is built, and
// asked some thousand times.
func BenchmarkMemory(b *testing.B) {
	dir := b.TempDir()
	source, program := filepath.Join(dir, "main.go"), filepath.Join(dir, "responder")
	put(b, source, `package main
import ("os"; "unroot/internal/startup/nscd")
func main() {
	s, err := nscd.Listen(nscd.Facts{UID: 1000700000, Socket: os.Args[1]})
	if err != nil { panic(err) }
	_ = s.Serve()
}`)
	overlay := filepath.Join(dir, "overlay.json")
	here, err := os.Getwd()
	if err != nil {
		b.Fatal(err)
	}
	virtual := filepath.Join(here, "benchmain", "main.go")
	put(b, overlay, fmt.Sprintf(`{"Replace": {%q: %q}}`, virtual, source))
	build := exec.Command("go", "build", "-overlay", overlay, "-trimpath", "-ldflags=-s -w", "-o", program, "./benchmain")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	socket := filepath.Join(dir, "socket")
	cmd := exec.Command(program, socket)
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	for {
		if _, err := os.Stat(socket); err == nil {
			break
		}
		runtime.Gosched()
	}
	for range 5000 {
		lookUp(b, socket, getpwbyuid, "1000700000")
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", cmd.Process.Pid))
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		var name string
		var value float64
		if _, err := fmt.Sscan(line, &name, &value); err == nil && (name == "RssAnon:" || name == "VmRSS:" || name == "Threads:") {
			b.ReportMetric(value, strings.TrimSuffix(name, ":"))
		}
	}
	if info, err := os.Stat(program); err == nil {
		b.ReportMetric(float64(info.Size()), "bytes")
	}
	b.ReportMetric(0, "ns/op")
}
