package trace

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// served is a run with forks, execs and exits of every sort.
func served() Log {
	return tell1("/bin/sh", "/start").
		fork(1, 2).exec(2, "/bin/mkdir").mkdir(2, "/run/x").exit(2, 0).
		fork(1, 3).open(3, "r", "/etc/x").killed(3, "SIGKILL").
		exec(9, "/bin/health").exit(9, 0).
		fork(1, 2).exec(2, "/usr/bin/id").exit(2, 0).
		exec(1, "/usr/sbin/nginx").bind(1, "tcp [::]:8080").fork(1, 11).open(11, "r", "/a", "EACCES").steady().log
}

func TestComplete(t *testing.T) {
	t.Parallel()
	if err := served().Complete(); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name   string
		damage func(*Log)
		want   string
	}{
		{"nothing", func(l *Log) { *l = Log{} }, "has no events"},
		{"cut", func(l *Log) { l.Lost = "limit of 3 events" }, "is cut: limit of 3 events"},
		{"one event taken out", func(l *Log) { l.Events = slices.Delete(l.Events, 3, 4) }, "event 4 of the trace is missing"},
		{"the end taken off", func(l *Log) { l.Events = l.Events[:8] }, "events 9 to 17 of the trace are missing"},
		{"one event twice", func(l *Log) { l.Events = slices.Insert(l.Events, 4, l.Events[3]) }, "event 4 of the trace is out of order"},
		{"another total", func(l *Log) { l.Total = 3 }, "more than the 3"},
		{"steady later than its end", func(l *Log) { l.Steady = 99 }, "steady state is after event 99"},
		{"a fork taken out, numbered again", func(l *Log) { without(l, 2) }, "process 2 of event 2 was never forked"},
		{"an exec by which a process of the runner begins taken out, numbered again", func(l *Log) { without(l, 9) }, "process 9 of event 9 was never forked"},
		{"an exec taken out, numbered again", func(l *Log) { without(l, 3) }, `process 2 is "/bin/mkdir" at event 3 and was "/bin/sh": an exec is missing`},
		{"an exit taken out, numbered again", func(l *Log) { without(l, 5) }, "event 10 forks process 2, which has not ended"},
		{"a second fork taken out, numbered again", func(l *Log) { without(l, 11) }, "event 11 is of process 2, which had ended"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			l := served()
			test.damage(&l)
			if err := l.Complete(); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

// without takes an event out and hides that, as a forger would.
func without(l *Log, seq int) {
	l.Events = slices.Delete(l.Events, seq-1, seq)
	for i := range l.Events {
		l.Events[i].Seq = uint64(i) + 1
	}
	l.Total--
	l.Steady--
}

func TestLives(t *testing.T) {
	t.Parallel()
	lives := Lives(served())
	type short struct {
		PID, Parent int
		Exe         string
		Ended       uint64
		Alive       bool
		Children    []int
	}
	var got []short
	for _, l := range lives {
		got = append(got, short{l.PID, l.Parent, l.Exe, l.Ended, l.Alive, l.Children})
	}
	want := []short{
		{1, 0, "/usr/sbin/nginx", 0, true, []int{2, 3, 2, 11}},
		{2, 1, "/bin/mkdir", 5, false, nil},
		{3, 1, "/bin/sh", 8, false, nil},
		{9, 0, "/bin/health", 10, false, nil},
		{2, 1, "/usr/bin/id", 13, false, nil},
		{11, 1, "/usr/sbin/nginx", 0, true, nil},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if programs := lives[0].Programs; len(programs) != 2 || programs[0].Exe != "/bin/sh" || programs[1].Seq != 14 {
		t.Errorf("first process was %+v", programs)
	}
}

// TestLivesCreds follows who a process is from its parent over its exec to its exit.
func TestLivesCreds(t *testing.T) {
	t.Parallel()
	root, user := &Creds{Caps: 1}, &Creds{UIDs: [4]uint32{33, 33, 33, 33}}
	s := &story{exe: map[int]string{}}
	s.add(Event{PID: 1, Kind: Exec, Path: "/a", Creds: root}).fork(1, 2).add(Event{PID: 2, Kind: Exit, Creds: user}).fork(1, 3)
	lives := Lives(s.log)
	if lives[0].Creds != root || lives[1].Creds != user || lives[2].Creds != root {
		t.Errorf("%+v", lives)
	}
}

func TestDecode(t *testing.T) {
	t.Parallel()
	l := served()
	data, err := json.Marshal(l)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(l, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	for text, want := range map[string]string{
		``:                "EOF",
		`{} {}`:           "more behind its end",
		`{"future":1}`:    "unknown field",
		`{"events":[{}]}`: "unknown kind",
		`{"events":[{"kind":"open","errno":"no such"}]}`:                                 "no name of an error",
		`{"events":[{"kind":"open","pid":-1}]}`:                                          "below 0",
		`{"events":[{"kind":"open","path":"` + strings.Repeat("x", maxText+1) + `"}]}`:   "a text of",
		`{"events":[{"kind":"exec","args":["` + strings.Repeat(`","`, maxArgs) + `"]}]}`: "too many",
	} {
		if _, err := Decode([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s: got %v, want %q", text, err, want)
		}
	}
}

// FuzzDecode holds that no log, however forged, makes the digest fail or grow beyond its events.
func FuzzDecode(f *testing.F) {
	data, _ := json.Marshal(served())
	f.Add(data)
	f.Add([]byte(`{"events":[{"pid":1,"kind":"fork","child":1},{"pid":1,"kind":"exit","status":1},{"pid":1,"kind":"fork","child":1}],"steady":1}`))
	f.Add([]byte(`{"events":[{"pid":2,"kind":"open"},{"pid":1,"kind":"fork","child":2},{"pid":2,"kind":"fork","child":1},{"pid":2,"kind":"exit","status":1},{"pid":1,"kind":"exit","status":1}]}`))
	f.Add([]byte(`{"events":[{"seq":7,"pid":0,"kind":"make","call":"mkdir","path":"/"},{"pid":3,"kind":"rename","path":"/","target":""}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		l, err := Decode(data)
		if err != nil {
			return
		}
		_ = l.Complete()
		for _, d := range append(Denials(l), Culprits(l)...) {
			if class, sentence := Signature(d); class == "" || sentence == "" {
				t.Errorf("%+v has no signature", d)
			}
		}
		if n := len(Needs(l)) + len(Reads(l)); n > 2*len(l.Events) {
			t.Errorf("%d needs of %d events", n, len(l.Events))
		}
		Lives(l)
		Failed(l)
		LastRead(l, 0)
		for _, e := range l.Events[:min(len(l.Events), 20)] {
			ReadBefore(l, e.Seq)
			LastRead(l, e.PID)
		}
		if len(Unmatched(Denials(l), l)) != 0 {
			t.Error("a run has denials that it does not have itself")
		}
	})
}
