package trace

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// line is a need in one line, for tables.
func (n Need) line() string {
	s := fmt.Sprintf("%d %s", n.Seq, n.Kind)
	for _, part := range []string{n.Want, n.Path, n.Target, n.Addr} {
		if part != "" {
			s += " " + part
		}
	}
	if n.IDs != nil {
		s += fmt.Sprint(" ", n.IDs)
	}
	if n.Count > 1 {
		s += fmt.Sprintf(" x%d", n.Count)
	}
	if n.Lives {
		s += " lives"
	}
	if n.Temporary {
		s += " temporary"
	}
	return s
}

func TestNeeds(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		s    *story
		want []string
	}{
		{"nginx: a master that stays root and binds 80, workers that drop", tell1("/usr/sbin/nginx").
			open(1, "r", "/etc/nginx/nginx.conf").
			open(1, "wc", "/var/log/nginx/error.log").open(1, "wc", "/var/log/nginx/error.log").
			mkdir(1, "/var/lib/nginx/body").chown(1, "/var/lib/nginx/body", 33, -1).
			bind(1, "tcp 0.0.0.0:80").
			open(1, "wct", "/run/nginx.pid").
			open(1, "rw", "/dev/null").
			fork(1, 2).id(2, "setgid", []int64{33}).id(2, "setgroups", []int64{33}).id(2, "setuid", []int64{33}).
			steady().remove(1, "/run/nginx.pid").exit(2, 0).exit(1, 0),
			[]string{
				"3 open wc /var/log/nginx/error.log x2 lives",
				"5 make /var/lib/nginx/body lives",
				"6 owner /var/lib/nginx/body [33 -1] lives",
				"7 bind tcp 0.0.0.0:80 lives",
				"8 open wct /run/nginx.pid lives",
				"11 identity [33] lives",
				"12 identity [33] lives",
				"13 identity [33] lives",
				"14 remove /run/nginx.pid lives",
			}},
		{"an entrypoint that makes a directory, gives it away and becomes redis", tell1("/bin/sh", "/entrypoint.sh").
			fork(1, 2).exec(2, "/bin/mkdir", "/run/redis").mkdir(2, "/run/redis").exit(2, 0).
			fork(1, 3).exec(3, "/bin/chown", "redis", "/run/redis").chown(3, "/run/redis", 999, 999).exit(3, 0).
			exec(1, "/usr/bin/gosu", "redis", "redis-server").id(1, "setgroups", []int64{999}).id(1, "setgid", []int64{999}).id(1, "setuid", []int64{999}).
			exec(1, "/usr/bin/redis-server").open(1, "wct", "/run/redis/redis.pid").bind(1, "unix /run/redis/redis.sock").bind(1, "tcp 0.0.0.0:6379").
			open(1, "wc", "/data/dump.rdb").steady(),
			[]string{
				"4 make /run/redis x3 lives",
				"8 owner /run/redis [999 999]",
				"11 identity [999] lives",
				"12 identity [999] lives",
				"13 identity [999] lives",
				"18 open wc /data/dump.rdb lives",
			}},
		{"a daemon whose parent ends when its child is ready", tell1("/usr/sbin/squid").
			open(1, "wc", "/run/squid.pid").fork(1, 2).exit(1, 0).open(2, "w", "/var/log/squid/cache.log").steady(),
			[]string{"2 open wc /run/squid.pid lives", "5 open w /var/log/squid/cache.log lives"}},
		{"a helper that is another program and ends", tell1("/bin/sh").
			fork(1, 2).exec(2, "/bin/touch").open(2, "wc", "/etc/x").exit(2, 0).exec(1, "/app").steady(),
			[]string{"4 open wc /etc/x"}},
		{"sed -i: a temporary file takes the name of another", tell1("/bin/sed").
			open(1, "rwc", "/etc/sedAbC").chmod(1, "/etc/sedAbC").rename(1, "/etc/sedAbC", "/etc/x.conf").exit(1, 0),
			[]string{"2 open rwc /etc/sedAbC lives temporary", "3 mode /etc/sedAbC lives temporary", "4 rename /etc/sedAbC /etc/x.conf lives"}},
		{"temporary files, and one that was there before", tell1("/app").
			open(1, "wc", "/tmp/a").remove(1, "/tmp/a").remove(1, "/tmp/old").open(1, "wc", "/tmp/old").steady(),
			[]string{"2 open wc /tmp/a lives temporary", "3 remove /tmp/a lives temporary", "4 remove /tmp/old lives", "5 open wc /tmp/old lives"}},
		{"a made directory that takes another name, and one that goes", tell1("/app").
			mkdir(1, "/data/new").rename(1, "/data/new", "/data/db").open(1, "wc", "/data/db/t").
			mkdir(1, "/var/x").remove(1, "/var/x").open(1, "wc", "/var/x/y").steady(),
			[]string{"2 make /data/new lives temporary", "3 rename /data/new /data/db x2 lives", "5 make /var/x x2 lives temporary", "7 open wc /var/x/y lives"}},
		{"no needs: high ports, abstract sockets, devices, pipes, memory, failures", tell1("/app").
			bind(1, "tcp [::]:8080").bind(1, "udp 0.0.0.0:0").bind(1, "unix @x").open(1, "w", "/dev/stdout").open(1, "w", "pipe:[12]").
			open(1, "rw", "/memfd:x (deleted)").open(1, "w", "/proc/self/oom_score_adj").open(1, "wc", "/x", "EACCES").open(1, "r", "/y").
			id(1, "setresuid", []int64{-1, -1, -1}).steady(), nil},
		{"settings of the machine, devices that are made, sockets in /dev", tell1("/app").
			open(1, "w", "/proc/sys/vm/overcommit_memory").bind(1, "unix /dev/log").
			add(Event{PID: 1, Kind: Make, Call: "mknod", Path: "/dev/x"}).add(Event{PID: 1, Kind: Socket, Call: "socket", Addr: "inet raw"}).steady(),
			[]string{"2 open w /proc/sys/vm/overcommit_memory lives", "3 bind unix /dev/log lives", "4 make /dev/x lives", "5 socket inet raw lives"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if err := test.s.log.Complete(); err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, n := range Needs(test.s.log) {
				got = append(got, n.line())
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestReads(t *testing.T) {
	t.Parallel()
	s := tell1("/app").open(1, "r", "/etc/x").open(1, "r", "/etc/x").open(1, "r", "/etc/no", "ENOENT").open(1, "rw", "/w").
		look(1, "/z").add(Event{PID: 1, Kind: Connect, Call: "connect", Addr: "unix /run/d.sock", Path: "/run/d.sock"}).steady()
	var got []string
	for _, n := range Reads(s.log) {
		got = append(got, n.line())
	}
	want := []string{"1 exec /app lives", "2 open r /etc/x x2 lives", "6 look /z lives", "7 connect /run/d.sock lives"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
