package learn

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"unroot/internal/account"
	"unroot/internal/imagetest"
	"unroot/internal/startup"
	"unroot/internal/trace"
	"unroot/internal/verify"
)

const keeping = `
-- config --
{"Cmd":["/usr/bin/app"],"User":"app"}
-- layer --
d 0755 0:0 /run
d 0755 0:0 /run/app
d 0755 0:0 /run/app/tables
-- /etc/passwd --
root:x:0:0:root:/root:/bin/sh
app:x:101:101::/:/bin/sh
-- /etc/nsswitch.conf --
passwd: files
-- /etc/app/app.conf --
key
-- /etc/app/id_rsa --
key
-- /etc/app/own.key 0600 101:101 --
key
-- /run/app/list --
one
-- /run/words --
two
-- /usr/bin/app 0755 elf --
nothing
`

const app = "/usr/bin/app"

// ended is a run of app that ended with what it looked at last, and what it said.
func ended(id account.Identity, said string, events ...trace.Event) verify.Outcome {
	o := verify.Outcome{Run: verify.Run{Name: "run", Identity: id, Trace: true}, End: verify.EndExited, Status: 1, Stderr: said}
	p := process{}
	p.add(trace.Event{Kind: trace.Exec, Path: app})
	for _, e := range events {
		e.Exe = app
		p.add(e)
	}
	p.add(trace.Event{Kind: trace.Exit, Exe: app, Status: 1})
	o.Trace = p.log
	return o
}

func read(p string) trace.Event { return trace.Event{Kind: trace.Open, Want: "r", Path: p} }
func look(p string) trace.Event { return trace.Event{Kind: trace.Look, Path: p} }

func denied(e trace.Event, errno trace.Errno) trace.Event {
	e.Errno = errno
	return e
}

func many(n int, e trace.Event) (events []trace.Event) {
	for i := range n {
		e.Path = "/etc/app/" + string(rune('a'+i))
		events = append(events, e)
	}
	return events
}

// teaches is what a run teaches a learner whose baseline did the given events.
func teaches(t *testing.T, o verify.Outcome, baseline ...trace.Event) *learner {
	t.Helper()
	v := imagetest.View(t, imagetest.Parse(t, keeping))
	base := ended(account.Identity{Name: "root"}, "", baseline...)
	l := &learner{source: Source{View: v}, baseline: &base}
	l.result.Candidate.View = v
	first := l.learnStart(o)
	if again := l.learnStart(o); len(again) > 0 {
		t.Errorf("learns %q twice", again)
	}
	if known := len(l.seen.Lookups) + len(l.seen.Strict) + len(l.seen.Emptied); known != len(first) {
		t.Errorf("%d things learnt, and %q said", known, first)
	}
	return l
}

// TestLookedUp: a program under a uid without a name that ended by itself with a look at the account file, or that says so.
func TestLookedUp(t *testing.T) {
	t.Parallel()
	nobody, known := account.Identity{UID: account.ArbitraryUID}, account.Identity{UID: 101, Name: "app"}
	asked := denied(trace.Event{Kind: trace.Connect, Addr: "unix /var/run/nscd/socket"}, "ENOENT")
	for _, tt := range []struct {
		name string
		run  verify.Outcome
		want bool
	}{
		{"last", ended(nobody, "", asked, read("/etc/nsswitch.conf"), read("/etc/passwd")), true},
		{"before its messages", ended(nobody, "", read("/etc/passwd"), read("/usr/share/locale/de/app.mo"), look("/etc/localtime")), true},
		{"long before", ended(nobody, "", slices.Concat([]trace.Event{read("/etc/passwd")}, many(8, look("")))...), false},
		{"long before, and says so", ended(nobody, "app: KeyError: 'getpwuid(): uid not found: 1000700000'", slices.Concat([]trace.Event{read("/etc/passwd")}, many(8, look("")))...), true},
		{"a socket alone, and says so", ended(nobody, "No user exists for uid 1000700000", asked), true},
		{"a name is there", ended(known, "", read("/etc/passwd")), false},
		{"did not look", ended(nobody, "no such user"), false},
		{"was refused something", ended(nobody, "", read("/etc/passwd"), denied(trace.Event{Kind: trace.Open, Want: "wc", Path: "/run/app.pid"}, "EACCES")), false},
	} {
		if got := len(teaches(t, tt.run).seen.Lookups) == 1; got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

// TestRefusedForOwner: the file that a program can only mean.
func TestRefusedForOwner(t *testing.T) {
	t.Parallel()
	id := account.Identity{UID: 101, Name: "app"}
	for _, tt := range []struct {
		name string
		run  verify.Outcome
		want []string
	}{
		{"named by its message", ended(id, "The file '/etc/app/app.conf' must be owned by you.", slices.Concat([]trace.Event{read("/etc/app/app.conf")}, many(9, look("")))...), []string{"/etc/app/app.conf"}},
		{"named without its directory", ended(id, "app.conf: bad ownership, too open", read("/etc/app/app.conf")), []string{"/etc/app/app.conf"}},
		{"not named", ended(id, "config file not owned by correct user", read("/etc/nsswitch.conf"), look("/etc/app/app.conf"), read("/etc/passwd")), []string{"/etc/app/app.conf"}},
		{"known, and silent", ended(id, "", look("/etc/app/id_rsa")), []string{"/etc/app/id_rsa"}},
		{"known, its own", ended(id, "", look("/etc/app/own.key")), nil},
		{"its own, and too open", ended(id, "Permissions 0640 for '/etc/app/own.key' are too open.", look("/etc/app/own.key")), []string{"/etc/app/own.key"}},
		{"not known, and silent", ended(id, "", read("/etc/app/app.conf")), nil},
		{"something else", ended(id, "syntax error in /etc/app/app.conf", read("/etc/app/app.conf")), nil},
		{"a program", ended(id, "must be owned by root", look(app)), nil},
		{"refused", ended(id, "must be owned by you", denied(read("/etc/app/app.conf"), "EACCES")), nil},
	} {
		if diff := cmp.Diff(tt.want, teaches(t, tt.run).seen.Strict); diff != "" {
			t.Errorf("%s: %s", tt.name, diff)
		}
	}
}

// TestEmptied: what a tmpfs hides and the baseline found.
func TestEmptied(t *testing.T) {
	t.Parallel()
	gone := func(e trace.Event) trace.Event { return denied(e, "ENOENT") }
	bound := trace.Event{Kind: trace.Open, Want: "wc", Path: "/run/app/tables/x"}
	baseline := []trace.Event{read("/run/app/list"), read("/run/words"), bound}
	for _, tt := range []struct {
		name  string
		tmpfs []string
		event trace.Event
		want  []string
	}{
		{"in a directory below", []string{"/run"}, gone(read("/run/app/list")), []string{"/run/app"}},
		{"right in it", []string{"/run"}, gone(read("/run/words")), []string{"/run"}},
		{"to be made in a directory that is gone", []string{"/run"}, gone(bound), []string{"/run/app"}},
		{"under the inner one", []string{"/run", "/run/app"}, gone(bound), []string{"/run/app/tables"}},
		{"the baseline missed it too", []string{"/run"}, gone(read("/run/app/other")), nil},
		{"elsewhere", []string{"/tmp"}, gone(read("/run/app/list")), nil},
		{"refused", []string{"/run"}, denied(read("/run/app/list"), "EACCES"), nil},
		{"no tmpfs", nil, gone(read("/run/app/list")), nil},
	} {
		o := ended(account.Identity{UID: 101, Name: "app"}, "", tt.event)
		o.Run.Tmpfs = tt.tmpfs
		if diff := cmp.Diff(tt.want, teaches(t, o, baseline...).seen.Emptied); diff != "" {
			t.Errorf("%s: %s", tt.name, diff)
		}
	}
}

// TestEndedAlone: who hands on how its child ended is not to blame, nor is unroot-init.
func TestEndedAlone(t *testing.T) {
	t.Parallel()
	p := process{}
	at := func(pid int, e trace.Event) {
		p.add(e)
		p.log.Events[len(p.log.Events)-1].PID = pid
	}
	at(10, trace.Event{Kind: trace.Exec, Path: startup.Path})
	at(10, trace.Event{Kind: trace.Fork, Exe: startup.Path, Child: 11})
	at(11, trace.Event{Kind: trace.Exec, Exe: startup.Path, Path: "/bin/sh"})
	at(11, trace.Event{Kind: trace.Fork, Exe: "/bin/sh", Child: 12})
	at(12, trace.Event{Kind: trace.Exec, Exe: "/bin/sh", Path: app})
	refuse := trace.Event{Kind: trace.Identity, Exe: app, Call: "setuid", IDs: []int64{33}, Errno: "EPERM"}
	at(12, refuse)
	at(12, trace.Event{Kind: trace.Exit, Exe: app, Status: 1})
	at(11, trace.Event{Kind: trace.Exit, Exe: "/bin/sh", Status: 1})
	at(10, trace.Event{Kind: trace.Exit, Exe: startup.Path, Status: 1})
	o := verify.Apart(verify.Outcome{Run: verify.Run{Args: []string{startup.Path, "--stay", "--", "sh"}}, End: verify.EndExited, Status: 1, Trace: p.log})
	base := ended(account.Identity{}, "")
	l := &learner{baseline: &base}
	if alone := l.endedAlone(o); len(alone) != 0 {
		t.Errorf("%+v ended alone, though setuid was refused", alone)
	}
	had := ended(account.Identity{}, "", refuse)
	l.baseline = &had
	if alone := l.endedAlone(o); len(alone) != 1 || alone[0].Exe != app {
		t.Errorf("%+v ended alone, want %s: the baseline lives with the refusal", alone, app)
	}
}
