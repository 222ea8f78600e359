package trace

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Each row has the shape of a start that was measured (Debian's packages as uid 1000710000, gid 0, without capabilities).
func TestCulprits(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		s    *story
		want []string // class: sentence
	}{
		{"nginx: pid file", tell1("/usr/sbin/nginx").
			open(1, "r", "/etc/nginx/nginx.conf").bind(1, "tcp 0.0.0.0:8080").
			open(1, "rwc", "/run/nginx.pid", "EACCES").exit(1, 1),
			[]string{"C3: cannot write its runtime directory /run (/run/nginx.pid)"}},
		{"nginx: port 80 after an error log that it can do without", tell1("/usr/sbin/nginx").
			open(1, "wc", "/var/log/nginx/error.log", "EACCES").open(1, "r", "/etc/nginx/nginx.conf").
			bind(1, "tcp 0.0.0.0:80", "EACCES").exit(1, 1),
			[]string{"E1: binds tcp port 80: ports below 1024 need a privilege", "C5: cannot write its log directory /var/log/nginx (/var/log/nginx/error.log)"}},
		{"a script with set -e whose chown fails", tell1("/bin/sh", "/start.sh").
			fork(1, 2).exec(2, "/bin/chown").chown(2, "/var/lib/app", 999, 999, "EPERM").exit(2, 1).exit(1, 1),
			[]string{"C1: changes the owner of /var/lib/app at start, which takes root"}},
		{"a script that goes on after chown, and a server that fails later", tell1("/bin/sh", "/start.sh").
			fork(1, 2).exec(2, "/bin/chown").chown(2, "/var/lib/app", 999, 999, "EPERM").exit(2, 1).
			fork(1, 3).exec(3, "/app").open(3, "wc", "/var/lib/app/db", "EACCES").exit(3, 3).exit(1, 3),
			[]string{"C8: cannot write its data directory /var/lib/app (/var/lib/app/db)"}},
		{"a redirection of the script itself, after a child that failed", tell1("/bin/sh", "/start.sh").
			fork(1, 2).exec(2, "/bin/grep").exit(2, 1).open(1, "wct", "/etc/app.conf", "EACCES").exit(1, 2),
			[]string{"C9: cannot write its configuration in /etc (/etc/app.conf)"}},
		{"gosu", tell1("/bin/sh", "/entrypoint.sh").exec(1, "/usr/sbin/gosu").
			id(1, "setgroups", []int64{999}, "EPERM").exit(1, 1),
			[]string{"B1: calls setgroups: drops to another user for the program behind it"}},
		{"named", tell1("/usr/sbin/named").id(1, "setgroups", []int64{}, "EPERM").exit(1, 1),
			[]string{"B2: calls setgroups: drops to another user itself"}},
		{"apache2: a script fails to make the directory that the server then misses", tell1("/bin/sh").
			fork(1, 2).exec(2, "/usr/bin/mkdir").mkdir(2, "/run/apache2", "EACCES").exit(2, 1).
			exec(1, "/usr/sbin/apache2").open(1, "r", "/etc/apache2/apache2.conf").exit(1, 1),
			[]string{"C3: cannot write its runtime directory /run (/run/apache2)"}},
		{"an old denial that leaves nothing missing does not explain a later failure", tell1("/bin/sh").
			fork(1, 2).exec(2, "/bin/chown").chown(2, "/x", 1, 1, "EPERM").exit(2, 1).open(1, "r", "/y", "EACCES").exec(1, "/usr/sbin/vsftpd").open(1, "r", "/etc/vsftpd.conf").exit(1, 2), nil},
		{"apache2: logs, in a child of a script of a script", tell1("/bin/sh", "/start").
			fork(1, 2).exec(2, "/bin/sh", "/usr/sbin/apache2ctl").fork(2, 3).exec(3, "/usr/sbin/apache2").
			open(3, "wc", "/var/log/apache2/error.log", "EACCES").exit(3, 1).exit(2, 1).exit(1, 1),
			[]string{"C5: cannot write its log directory /var/log/apache2 (/var/log/apache2/error.log)"}},
		{"squid: clean-up after the failure is not the cause", tell1("/usr/sbin/squid").
			open(1, "wct", "/run/squid.pid", "EACCES").remove(1, "/run/squid.pid", "EACCES").look(1, "/x", "EACCES").exit(1, 1),
			[]string{"C3: cannot write its runtime directory /run (/run/squid.pid)", "D2: cannot look at /x: it, or a directory above it, is closed to its user",
				"C3: cannot write its runtime directory /run (/run/squid.pid)"}},
		{"supervisord lives, its programs do not", tell1("/usr/bin/supervisord").
			fork(1, 2).id(2, "setuid", []int64{33}, "EPERM").exit(2, 127).
			fork(1, 3).exec(3, "/usr/sbin/nginx").bind(3, "tcp 0.0.0.0:80", "EACCES").exit(3, 1).look(1, "/etc"),
			[]string{"E1: binds tcp port 80: ports below 1024 need a privilege", "B2: calls setuid(33): drops to another user itself"}},
		{"slapd ends with 0 after bind", tell1("/usr/sbin/slapd").bind(1, "tcp 0.0.0.0:389", "EACCES").exit(1, 0),
			[]string{"E1: binds tcp port 389: ports below 1024 need a privilege"}},
		{"tftpd: the child of each request dies", tell1("/usr/sbin/in.tftpd").
			fork(1, 2).id(2, "setgroups", []int64{0}, "EPERM").exit(2, 71),
			[]string{"B2: calls setgroups: drops to another user itself"}},
		{"a missing directory", tell1("/usr/sbin/lighttpd").open(1, "wc", "/var/cache/lighttpd/uploads/x", "ENOENT").exit(1, 255),
			[]string{"C7: cannot write /var/cache/lighttpd/uploads/x: the directory /var/cache/lighttpd/uploads does not exist"}},
		{"a file that may not be executed", tell1("/bin/sh").
			add(Event{PID: 1, Kind: Exec, Call: "execve", Path: "/usr/bin/ping", Errno: "EPERM"}).exit(1, 126),
			[]string{"B6: cannot execute /usr/bin/ping: the file carries capabilities that the container does not have"}},
		{"serves", tell1("/app").open(1, "r", "/a", "EACCES").bind(1, "tcp [::]:8080").steady().exit(1, 143), nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if err := test.s.log.Complete(); err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, d := range Culprits(test.s.log) {
				class, sentence := Signature(d)
				got = append(got, class+": "+sentence)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestReadBefore(t *testing.T) {
	t.Parallel()
	s := tell1("/bin/sh", "/start").open(1, "r", "/start").exec(1, "/usr/sbin/dnsmasq").
		open(1, "r", "/etc/dnsmasq.conf").open(1, "r", "/etc/dnsmasq.d/x").open(1, "r", "/etc/dnsmasq.conf").open(1, "r", "/etc/none", "ENOENT").
		open(1, "wc", "/run/d.pid").fork(1, 2).open(1, "r", "/after/fork").open(2, "rw", "/dev/null").
		bind(2, "udp 0.0.0.0:53").open(2, "r", "/later").fork(2, 3).exec(3, "/helper").bind(3, "tcp 0.0.0.0:54")
	got := ReadBefore(s.log, 12)
	if diff := cmp.Diff([]string{"/dev/null", "/etc/dnsmasq.conf", "/etc/dnsmasq.d/x"}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if got := ReadBefore(s.log, 16); got != nil {
		t.Errorf("another program inherits %q", got)
	}
	if got := ReadBefore(s.log, 99); got != nil {
		t.Errorf("an event that is not there has %q", got)
	}
}

func TestLastRead(t *testing.T) {
	t.Parallel()
	s := tell1("/bin/sh", "/start").open(1, "r", "/start").fork(1, 7).exec(7, "/usr/bin/monit").
		open(7, "r", "/etc/passwd").id(7, "setgid", []int64{0}, "EPERM").open(7, "r", "/etc/monit/monitrc").look(7, "/etc/monit/monitrc").
		open(7, "wc", "/run/monit.id").exit(7, 1).exit(1, 1)
	want := []string{"/etc/monit/monitrc", "setgid(0)", "/etc/passwd"}
	for _, pid := range []int{7, 0} {
		if diff := cmp.Diff(want, LastRead(s.log, pid)); diff != "" {
			t.Errorf("process %d: -want +got:\n%s", pid, diff)
		}
	}
	var failed []string
	for _, life := range Failed(s.log) {
		failed = append(failed, fmt.Sprint(life.PID, life.Exe, life.Status))
	}
	if diff := cmp.Diff([]string{"7/usr/bin/monit1", "1/bin/sh1"}, failed); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if got := LastRead(s.log, 55); got != nil {
		t.Errorf("nobody has read %q", got)
	}
}
