package survey

import (
	"strings"
	"testing"

	"unroot/internal/rootfs"
)

func dir(p string) rootfs.Entry  { return rootfs.Entry{Path: p, Kind: rootfs.Dir, Mode: 0o755} }
func file(p string) rootfs.Entry { return rootfs.Entry{Path: p, Kind: rootfs.File, Mode: 0o644} }
func link(p, to string) rootfs.Entry {
	return rootfs.Entry{Path: p, Kind: rootfs.Symlink, Mode: 0o777, Link: to}
}

func TestLocate(t *testing.T) {
	t.Parallel()
	tree, err := rootfs.Merge([]rootfs.Entry{
		dir("/run"), dir("/var"), link("/var/run", "/run"), link("/var/log", "../srv/log"), dir("/a/b"), link("/x", "/a/b"), link("/a/b/rel", "../real"),
		link("/abs", "/nowhere/deep"), link("/one", "/two"), link("/two", "/one"), link("/self", "self/x"), file("/file"), link("/tofile", "/file/below"),
		link("/chain1", "/chain2"), link("/chain2", "/chain3"), link("/chain3", "/end"), link("/up", "../../../../run"),
	})
	if err != nil {
		t.Fatal(err)
	}
	for p, want := range map[string]string{ // with "=" before what exists; "" leads nowhere
		"/run": "=/run", "/var/run": "=/run", "/var/run/x.pid": "/run/x.pid", "/var/run/a/b": "/run/a/b", "/missing/a": "/missing/a",
		"/var/log": "/srv/log", "/var/log/x": "/srv/log/x", "/x": "=/a/b", "/x/rel": "/a/real", "/x/rel/y": "/a/real/y", "/x/new": "/a/b/new",
		"/abs": "/nowhere/deep", "/abs/er": "/nowhere/deep/er", "/one": "", "/one/x": "", "/self": "", "/self/y": "", "/file": "=/file", "/file/x": "", "/tofile": "",
		"/chain1": "/end", "/chain1/x": "/end/x", "/": "=/", "run": "=/run", "/run/../var": "=/var", "/up": "=/run", "": "=/",
	} {
		at, ok := Locate(tree, p)
		got := ""
		if ok {
			got = at.Path
		}
		if at.Exists {
			got = "=" + got
		}
		if got != want {
			t.Errorf("%q is %q, want %q", p, got, want)
		}
	}
}

// TestLocateIsBounded: links that multiply and long paths of missing names cost little.
func TestLocateIsBounded(t *testing.T) {
	t.Parallel()
	entries := []rootfs.Entry{}
	for i := range 60 {
		n := strings.Repeat("l", i+1)
		entries = append(entries, link("/"+n, "/"+n+"l/"+n+"l/x"))
	}
	tree, err := rootfs.Merge(entries)
	if err != nil {
		t.Fatal(err)
	}
	if at, ok := Locate(tree, "/l"); ok {
		t.Errorf("located at %q", at.Path)
	}
	long := "/" + strings.Repeat("d/", 1500) + "end"
	if at, ok := Locate(tree, long); !ok || at.Path != long {
		t.Errorf("%v, %d bytes", ok, len(at.Path))
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	tests := []struct {
		program string
		yes, no string
	}{
		{"/usr/sbin/nginx", "nginx nginx1 nginx-1.25", "ngin xnginx nix openresty"},
		{"/usr/bin/redis-server", "redis redis-server redis-server7", "redi server"},
		{"/usr/sbin/apache2", "apache2 apache apache24", "apach httpd"},
		{"/usr/sbin/php-fpm8.2", "php php-fpm php8 php-fpm8.2", "ph fpm"},
		{"/usr/sbin/mariadbd", "mariadb mariadbd", "maria mysql"},
		{"/usr/lib/postgresql/16/bin/postgres", "postgres postgresql postgresql-common", "postgre pg"},
		{"/usr/bin/ab", "", "ab a b"},
		{"", "", ". / x"},
	}
	for _, tt := range tests {
		names := stems(tt.program)
		for _, n := range strings.Fields(tt.yes) {
			if !related(n, names) {
				t.Errorf("%q does not belong to %s (%q)", n, tt.program, names)
			}
		}
		for _, n := range strings.Fields(tt.no) {
			if related(n, names) {
				t.Errorf("%q belongs to %s (%q)", n, tt.program, names)
			}
		}
	}
}

func TestPlaces(t *testing.T) {
	t.Parallel()
	for _, p := range []string{"/", "/etc", "/usr/bin", "/proc/sys", "/sys/x", "/dev/shm", "/dev/x", "/var/lib", "/home", "/root"} {
		if !Closed(p) || Shared(p) {
			t.Errorf("%s is open or shared", p)
		}
	}
	for _, p := range []string{"/run", "/tmp", "/var/log", "/var/cache", "/srv"} {
		if Closed(p) || !Shared(p) {
			t.Errorf("%s is closed or not shared", p)
		}
	}
	for _, p := range []string{"/etc/app", "/opt/app", "/var/lib/app", "/home/app", "/devel", "/data", "/process"} {
		if Closed(p) || Shared(p) {
			t.Errorf("%s is closed or shared", p)
		}
	}
	for p, want := range map[string]bool{"/run/x": true, "/var/log/a": true, "/tmp": true, "/var/lib/a": false, "/srv": false, "/data": false, "/runner": false, "/dev/shm/x": true} {
		if Ephemeral(p) != want {
			t.Errorf("Ephemeral(%q) is %v", p, !want)
		}
	}
}

func TestOwnerStrict(t *testing.T) {
	t.Parallel()
	for _, p := range []string{"/root/.ssh/id_rsa", "/x/.ssh/config", "/x/.ssh", "/a/.erlang.cookie", "/etc/monit/monitrc", "/etc/ssl/private/site.key", "/etc/ssh/ssh_host_rsa_key",
		"/etc/sudoers", "/etc/sudoers.d/x", "/etc/cron.d/job", "/var/spool/cron/crontabs/root", "/etc/shadow", "/root/.pgpass", "/h/.gnupg", "/h/.gnupg/pubring.kbx"} {
		if _, ok := OwnerStrict(p); !ok {
			t.Errorf("%s is not strict", p)
		}
	}
	for _, p := range []string{"/etc/nginx/nginx.conf", "/data/key", "/x/id_rsa.pub", "/x/ssh/id", "/etc/passwd", "/x/keyfile.txt", "/"} {
		if rule, ok := OwnerStrict(p); ok {
			t.Errorf("%s is strict: %+v", p, rule)
		}
	}
}
