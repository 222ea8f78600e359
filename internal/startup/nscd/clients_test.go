//go:build linux

package nscd

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"unroot/internal/oracle"
)

// TestClients runs programs that are not ours under a uid without an account, with the responder's
// directory mounted at /var/run/nscd: they look up what failed without it.
func TestClients(t *testing.T) {
	t.Parallel()
	oracle.Root(t)
	oracle.Program(t, "setpriv")
	home := t.TempDir()
	open(t, home)
	socket := filepath.Join(t.TempDir(), "socket")
	start(t, Facts{UID: testUID, GID: 0, Groups: []uint32{5}, Home: home, Socket: socket})
	for _, test := range []struct{ name, program, script, want string }{
		{"getent by uid", "getent", "getent passwd 1000700000", "user:x:1000700000:0:container user:" + home + ":/bin/sh"},
		{"getent by name", "getent", "getent passwd user", "user:x:1000700000:0:container user:" + home + ":/bin/sh"},
		{"getent of the files", "getent", "getent passwd root; getent group tty", "root:x:0:0:root:/root:/bin/bash\ntty:x:5:"},
		{"getent of nobody", "getent", "getent passwd nobody-has-it || echo none", "none"},
		{"whoami", "whoami", "whoami", "user"},
		{"id", "id", "id; id -un; id user", "uid=1000700000(user) gid=0(root) groups=0(root),5(tty)\nuser\nuid=1000700000(user) gid=0(root) groups=0(root),5(tty)"},
		{"git", "git", "cd && git init -q r && cd r && git commit -q --allow-empty -m x && git log --format=%an", "container user"},
		{"ssh-keygen", "ssh-keygen", "ssh-keygen -q -t ed25519 -N '' -f $HOME/key && cut -d' ' -f3 $HOME/key.pub | cut -d@ -f1", "user"},
		{"python", "python3", `python3 -c 'import pwd,os,getpass,pathlib; print(pwd.getpwuid(os.getuid()).pw_name, getpass.getuser(), os.getgrouplist("user", 0))'`, "user user [0, 5]"},
		{"python without HOME", "python3", `unset HOME; python3 -c 'import pathlib; print(pathlib.Path.home())'`, home},
		{"hosts", "getent", "getent hosts 127.0.0.1 | tr -s ' ' | cut -d' ' -f1", "127.0.0.1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			oracle.Program(t, test.program)
			if got := asStranger(t, filepath.Dir(socket), home, test.script); got != test.want {
				t.Errorf("%s:\n got %q\nwant %q", test.script, got, test.want)
			}
		})
	}
}

// open lets everybody write to a directory of a test, and reach it.
func open(t *testing.T, dir string) {
	t.Helper()
	for d, mode := dir, os.FileMode(0o777); d != "/" && d != os.TempDir(); d, mode = filepath.Dir(d), 0o755 {
		if err := os.Chmod(d, mode); err != nil {
			t.Fatal(err)
		}
	}
}

// asStranger runs a shell script as a uid without an account and gives what it printed.
func asStranger(t *testing.T, nscd, home, script string) string {
	t.Helper()
	open(t, nscd)
	cmd := exec.Command("unshare", "--mount", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c",
		`echo app.example >/proc/sys/kernel/hostname && mount -t tmpfs none /run && mkdir /run/nscd && mount --bind "$1" /run/nscd && exec setpriv --reuid=1000700000 --regid=0 --groups=5 --no-new-privs --bounding-set=-all --inh-caps=-all sh -c "$2"`,
		"sh", nscd, script)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "TMPDIR=" + home, "GIT_CONFIG_NOSYSTEM=1"}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%s: %v\n%s", script, err, out)
	}
	return strings.TrimSpace(string(out))
}

// lookups is a program that prints what its C library says.
const lookups = `
#include <stdio.h>
#include <string.h>
#include <pwd.h>
#include <grp.h>
#include <unistd.h>
int main(void) {
	struct passwd *p = getpwuid(getuid());
	if (!p) { puts("no account"); return 1; }
	printf("%s:%s:%u:%u:%s:%s:%s\n", p->pw_name, p->pw_passwd, p->pw_uid, p->pw_gid, p->pw_gecos, p->pw_dir, p->pw_shell);
	p = getpwnam("user");
	printf("%u\n", p ? p->pw_uid : 0);
	p = getpwnam("root");
	printf("%s ", p ? p->pw_dir : "-");
	puts(getpwnam("nobody-has-it") ? "?" : "none");
	struct group *g = getgrnam("tty");
	printf("%u ", g ? g->gr_gid : 0);
	puts(getgrgid(123456) ? "?" : "none");
	gid_t list[9]; int n = 9;
	getgrouplist("user", 0, list, &n);
	for (int i = 0; i < n; i++) printf("%u ", list[i]);
	return 0;
}
`

// TestLinkage asks through every C library at hand, linked statically and not, and looks with strace
// that the answer came from the socket.
func TestLinkage(t *testing.T) {
	t.Parallel()
	oracle.Root(t)
	strace := oracle.Program(t, "strace")
	home := t.TempDir()
	open(t, home)
	source := filepath.Join(home, "lookups.c")
	put(t, source, lookups)
	socket := filepath.Join(t.TempDir(), "socket")
	start(t, Facts{UID: testUID, GID: 0, Groups: []uint32{5, 424242}, Home: home, Socket: socket})
	want := "user:x:1000700000:0:container user:" + home + ":/bin/sh\n1000700000\n/root none\n5 none\n"
	// musl believes the group file alone in what is said there: tty has no members.
	groups := map[string]string{"gcc": "0 5 424242", "musl-gcc": "0 424242"}
	for _, test := range [][]string{{"gcc"}, {"gcc", "-static"}, {"musl-gcc"}, {"musl-gcc", "-static"}} {
		t.Run(strings.Join(test, " "), func(t *testing.T) {
			t.Parallel()
			oracle.Program(t, test[0])
			program := filepath.Join(home, strings.Join(test, ""))
			args := append(test[1:], "-w", "-o", program, source)
			if out, err := exec.Command(test[0], args...).CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			trace := program + ".trace"
			got := asStranger(t, filepath.Dir(socket), home, strace+" -f -e trace=connect -o "+trace+" "+program)
			if want := want + groups[test[0]]; got != want {
				t.Errorf("got %q\nwant %q", got, want)
			}
			log, err := os.ReadFile(trace)
			if err != nil || !bytes.Contains(log, []byte(`"/var/run/nscd/socket"`)) || bytes.Contains(log, []byte("ENOENT")) {
				t.Errorf("what it connected to: %v\n%s", err, log)
			}
		})
	}
}
