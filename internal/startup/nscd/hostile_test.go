//go:build linux

package nscd

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func dial(t *testing.T, socket string) net.Conn {
	t.Helper()
	c := connect(t, socket)
	t.Cleanup(func() { c.Close() })
	return c
}

// TestFlood holds more connections than there may be, each with half a request: others are answered
// at once, and the oldest are closed.
func TestFlood(t *testing.T) {
	t.Parallel()
	_, f := serve(t, testPasswd, testGroup)
	half := query(getpwbyname, "root")
	var held []net.Conn
	for i := range maxClients + 100 {
		c := dial(t, f.Socket)
		if _, err := c.Write(half[:i%(len(half)-1)]); err != nil {
			t.Fatal(err)
		}
		held = append(held, c)
	}
	began := time.Now()
	for range 100 {
		if says, _ := lookUp(t, f.Socket, getpwbyuid, "1000700000"); says != found {
			t.Fatal("not answered among others")
		}
	}
	if d := time.Since(began); d > 2*time.Second {
		t.Errorf("100 answers among idle connections took %v", d)
	}
	_ = held[0].SetReadDeadline(time.Now().Add(time.Second))
	if _, err := held[0].Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the oldest connection is still open: %v", err)
	}
}

// TestHalf sends half a request and nothing more, and the rest late.
func TestHalf(t *testing.T) {
	t.Parallel()
	_, f := serve(t, testPasswd, testGroup)
	request := query(getpwbyname, "root")
	slow := dial(t, f.Socket)
	for _, b := range request {
		if _, err := slow.Write([]byte{b}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
	}
	answer := make([]byte, 8)
	if _, err := slow.Read(answer); err != nil || number(answer[4:]) != found {
		t.Errorf("a request in single bytes: %q, %v", answer, err)
	}
	stuck := dial(t, f.Socket)
	if _, err := stuck.Write(request[:13]); err != nil {
		t.Fatal(err)
	}
	_ = stuck.SetReadDeadline(time.Now().Add(2 * patience))
	began := time.Now()
	if n, err := stuck.Read(answer); n != 0 || errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) < patience/2 {
		t.Errorf("half a request: %d bytes, %v, after %v", n, err, time.Since(began))
	}
}

// TestUnread asks for large answers and takes none of them.
func TestUnread(t *testing.T) {
	t.Parallel()
	line := "large:x:3000:" + strings.Repeat("m,", maxLine/2-100) + "\n"
	_, f := serve(t, testPasswd, line)
	for range 3 * maxPending / len(line) {
		if _, err := dial(t, f.Socket).Write(query(getgrbyname, "large")); err != nil {
			t.Fatal(err)
		}
	}
	if says, _ := lookUp(t, f.Socket, getpwbyuid, "1000700000"); says != found {
		t.Error("not answered while others do not read")
	}
	want := 24 + (4+2)*(maxLine/2-100) + len("large\x00x\x00")
	if _, answer := lookUp(t, f.Socket, getgrbyname, "large"); len(answer) != want {
		t.Errorf("a large answer has %d bytes, want %d", len(answer), want)
	}
}

// TestStorm opens and closes connections in every state, from several sides.
func TestStorm(t *testing.T) {
	t.Parallel()
	_, f := serve(t, testPasswd, testGroup)
	request := query(getpwbyname, "root")
	done := make(chan error, 4)
	for side := range 4 {
		go func() {
			for i := range 2000 {
				c, err := net.Dial("unix", f.Socket)
				if errors.Is(err, unix.EAGAIN) {
					continue // the queue is full: a libc looks into the files then
				}
				if err != nil {
					done <- err
					return
				}
				_, _ = c.Write(request[:(i*7+side)%(len(request)+1)])
				c.Close()
			}
			done <- nil
		}()
	}
	for range 4 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if says, _ := lookUp(t, f.Socket, getpwbyuid, "1000700000"); says != found {
		t.Error("not answered after a storm")
	}
}

// TestReplaced is an application that takes the socket's place: it gets what it did, and nothing
// turns or ends.
func TestReplaced(t *testing.T) {
	t.Parallel()
	s, f := serve(t, testPasswd, testGroup)
	if err := os.Remove(f.Socket); err != nil {
		t.Fatal(err)
	}
	other, err := net.Listen("unix", f.Socket)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	s.Close()
	if _, err := os.Lstat(f.Socket); err != nil {
		t.Errorf("Close removed a socket that it did not make: %v", err)
	}
}

func TestIdle(t *testing.T) {
	_, f := serve(t, testPasswd, testGroup)
	dial(t, f.Socket)
	var before, after unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &before)
	time.Sleep(time.Second)
	_ = unix.Getrusage(unix.RUSAGE_SELF, &after)
	if used := time.Duration(after.Utime.Nano() + after.Stime.Nano() - before.Utime.Nano() - before.Stime.Nano()); used > 50*time.Millisecond {
		t.Errorf("a second of waiting took %v of the processor", used)
	}
}

// TestMillion asks among a million groups, in a file of 100 MB, with a line of NIS and malformed ones
// between them. Memory must not follow the size.
func TestMillion(t *testing.T) {
	if testing.Short() {
		t.Skip("writes 100 MB")
	}
	_, f := serve(t, testPasswd, "")
	writeGroups(t, f.Group, 1e6)
	before := anonymous(t)
	for key, want := range map[string]int32{"group0": found, "group999999": found, "group1000000": none} {
		began := time.Now()
		if says, _ := lookUp(t, f.Socket, getgrbyname, key); says != want {
			t.Errorf("%s: %d, want %d", key, says, want)
		}
		t.Logf("%s: %v", key, time.Since(began))
	}
	began := time.Now()
	if says, answer := lookUp(t, f.Socket, initgroups, "member77"); says != found || len(answer) != 12+4*100 {
		t.Errorf("groups of a member: %d, %d bytes", says, len(answer))
	}
	t.Logf("groups of a member: %v", time.Since(began))
	if d := time.Since(began); d > 5*time.Second {
		t.Errorf("groups of a member took %v: clients do not wait longer than 5 s", d)
	}
	if grown := anonymous(t) - before; grown > 16<<20 {
		t.Errorf("memory grew by %d bytes", grown)
	}
}

// writeGroups writes a group file of 100 bytes a line.
func writeGroups(t testing.TB, path string, lines int) {
	t.Helper()
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	block := make([]byte, 0, 1<<20)
	for i := range lines {
		switch i % 1000 {
		case 500:
			block = append(block, "malformed:x:none:member77\n"...)
		case 501:
			block = append(block, "+\n"...)
		}
		block = fmt.Appendf(block, "group%d:x:%d:member%d,%s\n", i, 100000+i, i%10000, strings.Repeat("someone,", 8))
		if len(block) > 1<<20-200 || i == lines-1 {
			if _, err := file.Write(block); err != nil {
				t.Fatal(err)
			}
			block = block[:0]
		}
	}
}

// anonymous gives this process' memory that is of no file, in bytes.
func anonymous(t testing.TB) int {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		var kib int
		if n, _ := fmt.Sscanf(line, "RssAnon: %d kB", &kib); n == 1 {
			return kib << 10
		}
	}
	t.Fatal("no RssAnon")
	return 0
}

func TestListenFails(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	put(t, file, "")
	loop := filepath.Join(dir, "loop")
	if err := os.Symlink("loop", loop); err != nil {
		t.Fatal(err)
	}
	taken, f := serve(t, "", "")
	_ = taken
	for path, text := range map[string]string{
		file + "/nscd/socket": "not a directory",
		loop + "/nscd/socket": "too many levels",
		file:                  "somebody else does, or it is no socket",
		f.Socket:              "somebody else does",
		"/proc/nscd/socket":   "making the directory",
		filepath.Join(dir, strings.Repeat("x", 200)): "making the socket",
	} {
		_, err := Listen(Facts{Socket: path})
		var failure *Failure
		if !errors.As(err, &failure) || !strings.Contains(failure.Text, text) {
			t.Errorf("%s: %v, want %q in it", path, err, text)
		}
	}
}

// TestListenAgain starts over what a killed responder left behind, and where /var/run is a link to
// what is not there yet.
func TestListenAgain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	run := filepath.Join(dir, "var-run")
	if err := os.Symlink("run", run); err != nil {
		t.Fatal(err)
	}
	f := Facts{UID: testUID, Passwd: filepath.Join(dir, "passwd"), Group: filepath.Join(dir, "group"), Socket: run + "/nscd/socket"}
	first, err := Listen(f)
	if err != nil {
		t.Fatal(err)
	}
	first.release() // as the kernel does at its end
	start(t, f)
	if says, _ := lookUp(t, f.Socket, getpwbyname, "user"); says != found {
		t.Error("the second responder does not answer")
	}
	for path, want := range map[string]os.FileMode{f.Socket: 0o666 | os.ModeSocket, filepath.Dir(f.Socket): 0o755 | os.ModeDir} {
		if info, err := os.Stat(path); err != nil || info.Mode() != want {
			t.Errorf("%s: %v, %v, want mode %v", path, info.Mode(), err, want)
		}
	}
}
