//go:build linux

package nscd

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"unroot/internal/oracle"
)

// TestAsNscd compares answers with those of glibc's own nscd for the same files, byte for byte.
func TestAsNscd(t *testing.T) {
	t.Parallel()
	oracle.Root(t)
	program := oracle.Program(t, "nscd")
	_, f := serve(t, testPasswd, testGroup)
	real := realNscd(t, program, f)
	kinds := map[string][]kind{"name": {getpwbyname, getgrbyname, initgroups}, "number": {getpwbyuid, getgrbygid}}
	classes := []string{"number", "name"} // in this order: nscd answers numbers from what names led to before
	keys := map[string][]string{
		"name": {"root", "daemon", "spaced", "short", "gecos", "crlf", "broken", "noid", "letters", "nogid", "plus", "octal", "blank",
			"behind", "toolarge", "negative", "twice", "third", "more", "+nis", "nis", "-nis", "+", "trailing", "last", "# comment",
			"odd", "nomembers", "bad", "again", "-x", "many", "  lead", "lead", "a ", "a", "b", "c", "m9", "nobody-has-it", "0", "root\x00x"},
	}
	for n := range 20 {
		for _, id := range []int{n, 1000 + n, 2000 + n} {
			if id != 1010 && id != 2004 { // second lines of a name, which nscd would answer the name with
				keys["number"] = append(keys["number"], fmt.Sprint(id))
			}
		}
	}
	keys["number"] = append(keys["number"], "4294967295", "4294967294", "")
	for _, class := range classes {
		list := keys[class]
		for _, k := range kinds[class] {
			for _, key := range list {
				if want, got := send(t, real, query(k, key)), send(t, f.Socket, query(k, key)); !bytes.Equal(want, got) {
					t.Errorf("kind %d, key %q:\n nscd %q\n here %q", k, key, want, got)
				}
			}
		}
	}
	for k := gethostbyname; k <= getfdnetgr+2; k++ {
		if k == shutdown || k == invalidate || k == getstat || k == initgroups || k == getfdpw || k == getfdgr {
			continue // root may do the first three; the last two share memory, which is not served here
		}
		if want, got := send(t, real, query(k, "x")), send(t, f.Socket, query(k, "x")); !bytes.Equal(want, got) {
			t.Errorf("kind %d, which is off:\n nscd %q\n here %q", k, want, got)
		}
	}
	for _, request := range [][]byte{
		appendNumbers(nil, 1, 0, 5), appendNumbers(nil, version, 0, -1), appendNumbers(nil, version, 0, maxKey+1),
		appendNumbers(nil, version, -1, 0), appendNumbers(nil, version, 99, 0), appendNumbers(nil, version, 0, 0),
		append(appendNumbers(nil, version, 0, 4), "root"...),
	} {
		if want, got := send(t, real, request), send(t, f.Socket, request); !bytes.Equal(want, got) {
			t.Errorf("request %q:\n nscd %q\n here %q", request, want, got)
		}
	}
}

// realNscd starts nscd with these account files in a mount namespace, and gives its socket.
func realNscd(t *testing.T, program string, f Facts) string {
	t.Helper()
	dir := t.TempDir()
	conf := filepath.Join(dir, "nscd.conf")
	text := "server-user root\nparanoia no\n"
	for _, database := range []string{"passwd", "group", "hosts", "services", "netgroup"} {
		on := "no"
		if database == "passwd" || database == "group" {
			on = "yes"
		}
		text += fmt.Sprintf("enable-cache %s %s\npersistent %s no\nshared %s no\n", database, on, database, database)
	}
	put(t, conf, text)
	put(t, f.Switch, "passwd: files\ngroup: files\n")
	run := filepath.Join(dir, "run")
	if err := os.Mkdir(run, 0o755); err != nil {
		t.Fatal(err)
	}
	script := `mount -t tmpfs none /run && mkdir /run/nscd && mount --bind "$1" /run/nscd && mount --bind "$2" /etc/passwd && mount --bind "$3" /etc/group &&
		mount --bind "$4" /etc/nsswitch.conf && exec "$6" -F -f "$5"`
	cmd := exec.Command("unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", script, "sh", run, f.Passwd, f.Group, f.Switch, conf, program)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	socket := filepath.Join(run, "socket")
	for range 200 {
		if c, err := net.Dial("unix", socket); err == nil {
			c.Close()
			return socket
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatalf("nscd does not answer\n%s", out.String())
	return ""
}
