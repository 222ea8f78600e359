//go:build linux

package nscd

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The account files of most tests: with everything that the readers of libcs differ on.
const (
	testPasswd = `root:x:0:0:root:/root:/bin/bash
daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin
# comment:x:77:77:::
  spaced:x:1001:1001:two spaces before:/home/s:/bin/sh
short:x:1002:1002
gecos:x:1003:1003:a # in it, and Ünïcode:/home/g
crlf:x:1004:1004:::/bin/sh` + "\r" + `
broken
noid:x::5:::
letters:x:12a:5:::
nogid:x:1005
plus:x:+1006:1006:::
octal:x:0010:0010:::
blank:x: 1007: 1007:::
behind:x:1008 :1008:::
toolarge:x:4294967296:5:::
negative:x:-2:5:::
largegid:x:1030:4294967296:::
highest:x:4294967295:4294967294:::
minuszero:x:-0:1031:::
twice:x:1009:1:first::
twice:x:1010:1:second::
third:x:1009:2:::
more:x:1011:1011:g:h:s:t:u
+nis:x:1012:1012:::
-nis:x:1013:1013:::
+
:x:1014:1014:::

trailing:x:1015:1015:g:/h:/bin/sh   
last:x:1016:1016:no newline:/:/x`
	testGroup = `root:x:0:
daemon:x:1:root,daemon
odd:x:2001:, a ,,b, c,
nomembers:x:2002
nogid:x:
bad:x:20a:root
again:x:2003:root,root
again:x:2004:root
+:::
-x:x:2005:root
+y:x::root
+z:x:
-w::nothing:root
   -v:x: 2011:root
toolarge:x:4294967296:root
negative:x:-1:root
# none:x:2006:root
many:x:2007:` + "m0,m1,m2,m3,m4,m5,m6,m7,m8,m9" + `
:x:2008:root
  lead:x:2009:daemon
last:x:2010:daemon`
)

const testUID = 1000700000

// serve starts a responder for account files with this content, and gives its facts.
func serve(t testing.TB, passwd, group string) (*Server, Facts) {
	t.Helper()
	dir := t.TempDir()
	f := Facts{
		UID: testUID, GID: 0, Groups: []uint32{0, 5, 4000000000}, Home: "/home/app", Shell: "/bin/sh",
		Passwd: filepath.Join(dir, "passwd"), Group: filepath.Join(dir, "group"), Switch: filepath.Join(dir, "nsswitch.conf"),
		Socket: filepath.Join(dir, "run", "nscd", "socket"),
	}
	put(t, f.Passwd, passwd)
	put(t, f.Group, group)
	return start(t, f), f
}

func put(t testing.TB, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func start(t testing.TB, f Facts) *Server {
	t.Helper()
	s, err := Listen(f)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve() }()
	t.Cleanup(func() {
		s.Close()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Serve: %v", err)
			}
		case <-time.After(5 * time.Second):
			t.Error("Serve does not end")
		}
	})
	return s
}

// query is a request's bytes.
func query(k kind, key string) []byte {
	return append(appendNumbers(nil, version, int32(k), int32(len(key)+1)), key+"\x00"...)
}

// send sends bytes as they are and gives all that comes back.
func send(t testing.TB, socket string, request []byte) []byte {
	t.Helper()
	c := connect(t, socket)
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := c.Write(request); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(c)
	if err != nil && !strings.Contains(err.Error(), "reset") {
		t.Fatalf("reading the answer to %q: %v", request, err)
	}
	return answer
}

// connect waits for room in the queue, where a libc would look into the files.
func connect(t testing.TB, socket string) net.Conn {
	t.Helper()
	for began := time.Now(); ; time.Sleep(time.Millisecond) {
		c, err := net.Dial("unix", socket)
		if err == nil {
			return c
		}
		if !errors.Is(err, unix.EAGAIN) || time.Since(began) > 5*time.Second {
			t.Fatal(err)
		}
	}
}

// lookUp asks for one entry and gives the texts in the answer, with the number that says whether
// there is one.
func lookUp(t testing.TB, socket string, k kind, key string) (says int32, answer string) {
	t.Helper()
	b := send(t, socket, query(k, key))
	if len(b) < 8 || number(b) != version {
		t.Fatalf("kind %d, key %q: answer %q", k, key, b)
	}
	return number(b[4:]), string(b)
}
