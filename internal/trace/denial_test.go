package trace

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func (d Denial) line() string {
	s := fmt.Sprintf("%d %s %s", d.Seq, d.Call, d.Errno)
	for _, part := range []string{d.Want, d.Path, d.Target, d.Addr} {
		if part != "" {
			s += " " + part
		}
	}
	if d.IDs != nil {
		s += fmt.Sprint(" ", d.IDs)
	}
	if d.Count > 1 {
		s += fmt.Sprintf(" x%d", d.Count)
	}
	return s + fmt.Sprintf(" before %d", d.Before)
}

func lines(denials []Denial) []string {
	var all []string
	for _, d := range denials {
		all = append(all, d.line())
	}
	return all
}

func TestDenials(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		s    *story
		want []string
	}{
		{"one for each, the nearest to a bad end counts", tell1("/usr/sbin/lighttpd").
			open(1, "wc", "/run/lighttpd.pid", "EACCES").open(1, "r", "/etc/x").open(1, "w", "/run/lighttpd.pid", "EACCES").look(1, "/x").exit(1, 255),
			[]string{"2 openat EACCES wc /run/lighttpd.pid x2 before 1"}},
		{"who goes on", tell1("/usr/sbin/mariadbd").
			add(Event{PID: 1, Kind: Limit, Call: "prlimit64", Errno: "EPERM"}).open(1, "wc", "/data/x").steady(),
			[]string{"2 prlimit64 EPERM before -1"}},
		{"missing directories, not missing files", tell1("/app").
			open(1, "wc", "/var/cache/a/b", "ENOENT").open(1, "rw", "/etc/adjtime", "ENOENT").open(1, "r", "/etc/no", "ENOENT").
			bind(1, "unix /run/a/s", "ENOENT").mkdir(1, "/x/y", "ENOENT").rename(1, "/a", "/b", "ENOENT").mkdir(1, "/x", "EEXIST").remove(1, "/q", "ENOENT").
			add(Event{PID: 1, Kind: Link, Call: "symlinkat", Path: "/no/l", Target: "t", Errno: "ENOENT"}),
			[]string{"2 openat ENOENT wc /var/cache/a/b before -1", "5 bind ENOENT unix /run/a/s before -1", "6 mkdir ENOENT /x/y before -1", "10 symlinkat ENOENT /no/l t before -1"}},
		{"streams that cannot be opened again", tell1("/app").
			open(1, "w", "/dev/stdout", "ENXIO").open(1, "w", "/proc/1/fd/2", "ENXIO").open(1, "r", "/dev/tty", "ENXIO").open(1, "w", "/fifo", "ENXIO"),
			[]string{"2 openat ENXIO w /dev/stdout before -1", "3 openat ENXIO w /proc/1/fd/2 before -1"}},
		{"ids tell calls apart", tell1("/app").
			id(1, "setuid", []int64{0}, "EPERM").id(1, "setuid", []int64{33}, "EPERM").id(1, "setuid", []int64{0}, "EPERM").exit(1, 1),
			[]string{"2 setuid EPERM [0] x2 before 0", "3 setuid EPERM [33] before 1"}},
		{"killed from outside is not a bad end, its own fault is", tell1("/app").
			fork(1, 2).fork(1, 3).open(2, "r", "/a", "EACCES").open(3, "r", "/b", "EACCES").killed(2, "SIGTERM").killed(3, "SIGSEGV"),
			[]string{"4 openat EACCES r /a before -1", "5 openat EACCES r /b before 0"}},
		{"what ends after the steady state was asked to", tell1("/app").
			open(1, "r", "/a", "EACCES").steady().exit(1, 1), []string{"2 openat EACCES r /a before -1"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if err := test.s.log.Complete(); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, lines(Denials(test.s.log))); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestUnmatched(t *testing.T) {
	t.Parallel()
	baseline := tell1("/init").fork(1, 20).exec(20, "/usr/sbin/squid").
		id(20, "setresuid", []int64{-1, 0, -1}, "EPERM").open(20, "r", "/proc/20/fd", "EACCES").bind(20, "tcp 0.0.0.0:80")
	candidate := tell1("/usr/sbin/squid").
		id(1, "setresuid", []int64{-1, 0, -1}, "EPERM").open(1, "r", "/proc/1/fd", "EACCES").
		id(1, "setuid", []int64{13}, "EPERM").bind(1, "tcp 0.0.0.0:80", "EACCES").
		fork(1, 2).exec(2, "/bin/other").open(2, "r", "/proc/2/fd", "EACCES")
	got := lines(Unmatched(Denials(candidate.log), baseline.log))
	want := []string{"4 setuid EPERM [13] before -1", "5 bind EACCES tcp 0.0.0.0:80 before -1", "8 openat EACCES r /proc/2/fd before -1"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
