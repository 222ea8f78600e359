package trace

import (
	"strings"
	"testing"
)

// TestSignature is the table of the taxonomy, row by row.
func TestSignature(t *testing.T) {
	t.Parallel()
	file := func(kind Kind, call, want, path string, errno Errno) Denial {
		return Denial{Kind: kind, Call: call, Want: want, Path: path, Errno: errno, Exe: "/usr/sbin/app"}
	}
	by := func(exe string, d Denial) Denial { d.Exe = exe; return d }
	tests := []struct {
		d        Denial
		class    string
		sentence string
	}{
		{file(Exec, "execve", "x", "/usr/bin/caddy", "EPERM"), "B6", "cannot execute /usr/bin/caddy: the file carries capabilities that the container does not have"},
		{file(Exec, "execve", "x", "/entrypoint.sh", "EACCES"), "D3", "cannot execute /entrypoint.sh: it, or a directory above it, is closed to its user"},
		{file(Chdir, "chdir", "", "/root", "EACCES"), "D2", "cannot enter the directory /root"},
		{Denial{Kind: Identity, Call: "setresuid", IDs: []int64{-1, 0, -1}, Errno: "EPERM"}, "B3", "calls setresuid(-1, 0, -1): wants to be root again"},
		{Denial{Kind: Identity, Call: "setuid", IDs: []int64{104}, Errno: "EPERM"}, "B2", "calls setuid(104): drops to another user itself"},
		{Denial{Kind: Identity, Call: "setgid", IDs: []int64{112}, Errno: "EPERM", Exe: "/sbin/start-stop-daemon"}, "B1", "calls setgid: drops to another user for the program behind it"},
		{file(Chroot, "chroot", "", "/var/empty", "EPERM"), "B11", "calls chroot on /var/empty: locks itself into a directory, which takes root"},
		{by("/bin/chown", file(Owner, "fchownat", "", "/data", "EPERM")), "C1", "changes the owner of /data at start, which takes root"},
		{file(Owner, "fchown", "", "/run/dovecot/login", "EPERM"), "C2", "changes the owner of /run/dovecot/login itself, which takes root"},
		{file(Mode, "chmod", "", "/var/spool/cups", "EPERM"), "C2", "changes the mode of /var/spool/cups, which belongs to another user"},
		{by("/bin/tar", file(Mode, "fchmodat", "", "/var/www", "EPERM")), "C18", "keeps owner, mode or times of what it copies: cannot change the mode of /var/www"},
		{file(Attr, "utimensat", "", "/x", "EPERM"), "C18", "changes times or attributes of /x, which belongs to another user"},
		{file(Open, "openat", "wc", "/run/squid.pid", "EACCES"), "C3", "cannot write its runtime directory /run (/run/squid.pid)"},
		{file(Make, "mkdir", "", "/var/run/x", "EACCES"), "C3", "cannot write its runtime directory /var/run (/var/run/x)"},
		{file(Open, "openat", "wc", "/var/log/x/e.log", "EACCES"), "C5", "cannot write its log directory /var/log/x (/var/log/x/e.log)"},
		{file(Make, "mkdir", "", "/var/cache/nginx/t", "EACCES"), "C7", "cannot write its cache directory /var/cache/nginx (/var/cache/nginx/t)"},
		{file(Open, "openat", "wc", "/var/lock/apache2/m", "EACCES"), "C7", "cannot write its lock directory /var/lock/apache2 (/var/lock/apache2/m)"},
		{file(Open, "openat", "wc", "/var/lib/mysql/x", "EACCES"), "C8", "cannot write its data directory /var/lib/mysql (/var/lib/mysql/x)"},
		{file(Open, "openat", "rwc", "/etc/nginx/sedAbCdEf", "EACCES"), "C9", "cannot write its configuration in /etc/nginx (/etc/nginx/sedAbCdEf)"},
		{file(Make, "mkdir", "", "/.npm", "EACCES"), "C10", "cannot write its home directory / (/.npm)"},
		{file(Make, "mkdir", "", "/root/.cache", "EACCES"), "C10", "cannot write its home directory /root (/root/.cache)"},
		{file(Open, "openat", "wc", "/app/x", "EACCES"), "C11", "cannot write its application directory /app (/app/x)"},
		{Denial{Kind: Rename, Call: "rename", Path: "/tmp/t.x", Target: "/etc/a.conf", Errno: "EACCES"}, "C9", "cannot rename /tmp/t.x to /etc/a.conf: it may not write its configuration in /etc"},
		{file(Open, "openat", "wc", "/var/lib/x/y", "EROFS"), "C20", "cannot write /var/lib/x/y: the file system is read-only"},
		{file(Remove, "unlink", "", "/tmp/x", "EPERM"), "C17", "cannot remove /tmp/x: it belongs to another user, and its directory is sticky"},
		{file(Open, "openat", "w", "/dev/stdout", "EACCES"), "C6", "cannot open /dev/stdout again: the stream belongs to another user or is a socket"},
		{file(Open, "openat", "w", "/proc/self/fd/2", "ENXIO"), "C6", "cannot open /proc/self/fd/2 again: the stream belongs to another user or is a socket"},
		{file(Open, "openat", "r", "/etc/ssl/private/x.key", "EACCES"), "D1", "cannot read /etc/ssl/private/x.key: it, or a directory above it, is closed to its user"},
		{file(Open, "openat", "r", "/proc/kmsg", "EACCES"), "E12", "cannot read /proc/kmsg"},
		{file(Look, "access", "", "/etc/x", "EACCES"), "D2", "cannot look at /etc/x: it, or a directory above it, is closed to its user"},
		{file(Open, "openat", "wc", "/etc/.pwd.lock", "EACCES"), "B8", "changes the image's accounts: write /etc/.pwd.lock"},
		{file(Open, "openat", "wc", "/etc/passwd.8", "EROFS"), "B8", "changes the image's accounts: write /etc/passwd.8"},
		{file(Open, "openat", "wc", "/etc/passwords", "EACCES"), "C9", "cannot write its configuration in /etc (/etc/passwords)"},
		{Denial{Kind: Rights, Call: "capset", Errno: "EPERM"}, "B7", "calls capset: changes its capabilities"},
		{file(Attr, "fsetxattr", "", "/usr/bin/vault", "EPERM"), "B7", "sets an attribute of /usr/bin/vault that takes a privilege"},
		{Denial{Kind: Bind, Call: "bind", Addr: "udp [::]:53", Errno: "EACCES"}, "E1", "binds udp port 53: ports below 1024 need a privilege"},
		{Denial{Kind: Bind, Call: "bind", Addr: "unix /run/x/s", Errno: "EACCES"}, "C4", "cannot make the socket /run/x/s: it may not write in /run/x"},
		{Denial{Kind: Bind, Call: "bind", Addr: "unix /run/x/s", Errno: "ENOENT"}, "C4", "cannot make /run/x/s: the directory /run/x does not exist"},
		{Denial{Kind: Bind, Call: "bind", Addr: "unix /run/x/s", Errno: "EROFS"}, "C20", "cannot make the socket /run/x/s: the file system is read-only"},
		{Denial{Kind: Socket, Call: "socket", Addr: "inet raw", Errno: "EPERM"}, "E2", "opens a raw socket (inet raw), which takes a privilege"},
		{Denial{Kind: Limit, Call: "prlimit64", Errno: "EPERM"}, "E3", "raises a resource limit, which takes a privilege"},
		{Denial{Kind: Limit, Call: "setpriority", Errno: "EACCES"}, "E7", "calls setpriority: wants a higher priority, which takes a privilege"},
		{Denial{Kind: Machine, Call: "clock_adjtime", Errno: "EPERM"}, "E6", "calls clock_adjtime: sets the machine's clock"},
		{Denial{Kind: Machine, Call: "sethostname", Errno: "EPERM"}, "E5", "calls sethostname: changes the machine"},
		{Denial{Kind: Limit, Call: "mlockall", Errno: "EPERM"}, "E4", "locks its memory, which takes a privilege"},
		{Denial{Kind: Machine, Call: "syslog", Errno: "EPERM"}, "E5", "reads the kernel's log, which takes a privilege"},
		{Denial{Kind: Machine, Call: "keyctl", Errno: "EPERM", Hidden: true}, "E11", "calls keyctl, which the container's seccomp profile refuses"},
		{file(Open, "openat", "w", "/proc/sys/vm/x", "EACCES"), "E5", "cannot write the machine's settings in /proc/sys/vm (/proc/sys/vm/x)"},
		{file(Mount, "mount", "", "/mnt", "EPERM"), "E8", "calls mount on /mnt: mounts file systems, which takes a privilege"},
		{file(Make, "mknodat", "", "/dev/x", "EPERM"), "E8", "makes the device /dev/x, which takes a privilege"},
		{Denial{Kind: Space, Call: "unshare", Errno: "EPERM"}, "E8", "calls unshare: makes or enters namespaces, which takes a privilege"},
		{Denial{Kind: Connect, Call: "connect", Addr: "unix /run/docker.sock", Errno: "EACCES"}, "E13", "cannot connect to unix /run/docker.sock: the socket belongs to another user"},
		{file(Open, "openat", "wc", "/run/a\x1b[2Jb", "EACCES"), "C3", `cannot write its runtime directory /run ("/run/a\x1b[2Jb")`},
		{Denial{Kind: "strange", Call: "future", Errno: "EPERM"}, "E8", "calls future, which is refused"},
	}
	for _, test := range tests {
		class, sentence := Signature(test.d)
		if class != test.class || sentence != test.sentence {
			t.Errorf("%s %s %s%s:\n got %s %s\nwant %s %s", test.d.Call, test.d.Errno, test.d.Path, test.d.Addr, class, sentence, test.class, test.sentence)
		}
	}
}

// TestSignatureOfEach holds that every kind of denial has a class and a sentence without holes.
func TestSignatureOfEach(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds {
		for _, errno := range []Errno{"EACCES", "EPERM", "EROFS", "ENXIO", "ENOENT"} {
			class, sentence := Signature(Denial{Kind: kind, Call: "call", Errno: errno, Path: "/p", Target: "/t", Addr: "unix /s", Want: "w"})
			if class == "" || sentence == "" || strings.ContainsAny(sentence, "{}") {
				t.Errorf("%s %s: %q %q", kind, errno, class, sentence)
			}
		}
	}
}
