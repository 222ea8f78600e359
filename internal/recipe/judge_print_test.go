package recipe

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// printer is a real program that says how it reads a configuration, without serving it.
type printer struct {
	daemon
	want func(j judged) []string // what its output says; blanks count once
}

func said(format string) func(judged) []string {
	return func(j judged) []string {
		var out []string
		for _, port := range j.ports {
			out = append(out, fmt.Sprintf(format, port))
		}
		return out
	}
}

var printers = map[string]printer{
	"nginx": {daemon{program: "nginx", tree: "/etc/nginx", main: "nginx.conf", adapt: daemons["nginx"].adapt,
		args: func(main string) []string { return []string{"-T", "-e", "stderr", "-c", main} }}, said("listen [::]:%d default_server;")},
	"apache": {daemon{program: "apache2", tree: "/etc/apache2", main: "apache2.conf", args: func(main string) []string {
		return []string{"sh", "-c", ". ./envvars && apache2 -S -d $PWD -f " + main}
	}}, func(j judged) []string { return []string{fmt.Sprintf("*:%d", j.ports[0])} }}, // the vhost is on the first of 80 and 443
	"unbound": {daemon{program: "unbound-checkconf", tree: "/etc/unbound", main: "unbound.conf",
		without: []string{"unbound.conf.d/root-auto-trust-anchor-file.conf"}, adapt: appended("server:\n  username: unbound\n"),
		args: func(main string) []string { return []string{"-o", "port", main} }}, said("%d")},
	"named": {daemon{program: "named-checkconf", tree: "/etc/bind", main: "named.conf",
		args: func(main string) []string { return []string{"-p", main} }}, func(j judged) []string {
		return []string{fmt.Sprintf("listen-on port %d {", j.ports[0]), fmt.Sprintf("listen-on-v6 port %d {", j.ports[0])}
	}},
	"postgresql": {daemon{program: "/usr/lib/postgresql/*/bin/postgres", tree: "/etc/postgresql/*/main", main: "postgresql.conf",
		args: func(main string) []string { return []string{"-C", "port", "-c", "config_file=" + main} }}, said("%d")},
	"postgresql sockets": {daemon{program: "/usr/lib/postgresql/*/bin/postgres", tree: "/etc/postgresql/*/main", main: "postgresql.conf",
		args: func(main string) []string {
			return []string{"-C", "unix_socket_directories", "-c", "config_file=" + main}
		}},
		func(j judged) []string { return j.sockets }},
	"mysql": {daemon{program: "mariadbd", tree: "/etc/mysql", main: "mariadb.cnf",
		adapt: appended("[client]\nport = 306\n[mysqld]\nuser = mysql\nport=306 # the port\npid_file = '/run/mysqld/mysqld.pid'\n"),
		args:  func(main string) []string { return []string{"--defaults-file=" + main, "--verbose", "--help"} }},
		func(j judged) []string {
			return []string{fmt.Sprintf("port %d ", j.ports[0]), "pid-file " + j.dir + "/root/run/mysqld/mysqld.pid"}
		}},
	"dovecot": {daemon{program: "doveconf", tree: "/etc/dovecot", main: "dovecot.conf",
		adapt: appended("service imap-login {\n  inet_listener imap {\n    port = 143\n  }\n  chroot = login\n}\n"),
		args:  func(main string) []string { return []string{"-c", main, "service/imap-login/inet_listener"} }}, said("port = %d")},
	"dovecot, silent": {daemon{program: "doveconf", tree: "/etc/dovecot", main: "dovecot.conf", bound: []uint16{143, 993},
		args: func(main string) []string { return []string{"-c", main, "service/imap-login/inet_listener"} }}, said("port = %d")},
	"named, silent": {daemon{program: "named-checkconf", tree: "/etc/bind", main: "named.conf", bound: []uint16{953},
		args: func(main string) []string { return []string{"-p", main} }}, func(j judged) []string {
		return []string{fmt.Sprintf("inet 127.0.0.1 port %d allow {", j.ports[0]), fmt.Sprintf("inet ::1 port %d allow {", j.ports[0])}
	}},
	"chrony": {daemon{program: "chronyd", tree: "/etc/chrony", main: "chrony.conf", bound: []uint16{123, 323},
		args: func(main string) []string { return []string{"-p", "-f", main} }}, func(j judged) []string {
		return []string{fmt.Sprintf("port %d", j.ports[0]), fmt.Sprintf("cmdport %d", j.ports[1])}
	}},
	"squid":   {daemon{program: "squid", tree: "/etc/squid", main: "squid.conf", args: func(main string) []string { return []string{"-k", "parse", "-f", main} }}, said("Processing: http_port %d")},
	"dnsmasq": {daemon{program: "dnsmasq", main: "dnsmasq.conf", adapt: appended("port=53\nbogus-priv\n"), args: func(main string) []string { return []string{"--test", "-C", main} }}, func(judged) []string { return []string{"syntax check OK"} }},
	"php-fpm": {daemon{program: "/usr/sbin/php-fpm*", tree: "/etc/php/*/fpm", main: "php-fpm.conf", args: func(main string) []string { return []string{"-tt", "-y", main} }},
		func(j judged) []string {
			return []string{"listen = " + j.sockets[0], "listen.owner = undefined", "test is successful"}
		}},
	"caddyfile": {daemon{program: "caddy", tree: "/etc/caddy", main: "Caddyfile",
		args: func(main string) []string { return []string{"adapt", "--config", main, "--adapter", "caddyfile"} }}, said(`"listen":[":%d"]`)},
}

// TestRealProgramsPrint: the real parser accepts what the edits make of the package's configuration,
// and says itself that the port is the one that it was moved to.
func TestRealProgramsPrint(t *testing.T) {
	t.Parallel()
	for name, p := range printers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p.daemon = p.found(t)
			j := prepare(t, p.daemon, 0)
			args := p.args(j.main)
			if args[0] != "sh" {
				args = append([]string{p.program}, args...)
			}
			cmd := exec.Command(args[0], args[1:]...)
			cmd.Dir, cmd.Env = j.dir, append(os.Environ(), "HOME="+j.dir)
			if os.Geteuid() == 0 {
				giveAway(t, j.dir)
				cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
			}
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %v\n%s", args, err, tail(string(out)))
			}
			got := strings.Join(strings.Fields(string(out)), " ")
			wants := p.want(j)
			if len(wants) == 0 {
				t.Fatal("nothing was moved")
			}
			for _, want := range wants {
				if !strings.Contains(got+" ", want) {
					t.Errorf("%v does not say %q:\n%s", args, want, tail(string(out)))
				}
			}
		})
	}
}
