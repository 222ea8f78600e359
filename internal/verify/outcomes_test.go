package verify_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"unroot/internal/account"
	"unroot/internal/trace"
	"unroot/internal/verify"
)

// The outcomes of these tests are written down as a runner gives them; nothing is run.

var rootCreds = trace.Creds{Caps: 0xa80425fb, Bounding: 0xa80425fb}

func userCreds(uid uint32) trace.Creds {
	return trace.Creds{UIDs: [4]uint32{uid, uid, uid, uid}, NoNewPriv: true}
}

// log writes a trace: events get their numbers and a steady state behind the last.
func log(events ...trace.Event) trace.Log {
	for i := range events {
		events[i].Seq = uint64(i) + 1
		events[i].At = int64(i) * 100
	}
	n := uint64(len(events))
	return trace.Log{Events: events, Total: n, Steady: n}
}

const nginx = "/usr/sbin/nginx"

func exec(pid int, path string, c trace.Creds) trace.Event {
	return trace.Event{PID: pid, Exe: path, Kind: trace.Exec, Call: "execve", Path: path, Args: []string{path}, Creds: &c}
}

func fork(pid, child int, exe string) trace.Event {
	return trace.Event{PID: pid, Exe: exe, Kind: trace.Fork, Child: child}
}

func bind(pid int, exe, addr string) trace.Event {
	return trace.Event{PID: pid, Exe: exe, Kind: trace.Bind, Call: "bind", Addr: addr}
}

func refused(pid int, exe, path, errno string) trace.Event {
	return trace.Event{PID: pid, Exe: exe, Kind: trace.Open, Call: "openat", Path: path, Want: "wc", Errno: trace.Errno(errno)}
}

// web is a web server as root with two workers of another user, at port 80.
func web() verify.Outcome {
	worker := trace.Creds{UIDs: [4]uint32{33, 33, 33, 33}, GIDs: [4]uint32{33, 33, 33, 33}}
	master := []string{"nginx", "-g", "daemon off;"}
	return verify.Outcome{
		Run: verify.Run{Name: "baseline", Trace: true, Args: master, Timeout: time.Minute, Health: []string{"CMD", "true"}},
		End: verify.EndSteady, Steady: 400 * time.Millisecond, Took: time.Second, Platform: "linux/amd64", Runner: "embedded", Stopped: "SIGQUIT",
		Processes: []verify.Process{
			{PID: 10, Program: nginx, Args: master, Creds: rootCreds},
			{PID: 11, Parent: 10, Program: nginx, Creds: worker},
			{PID: 12, Parent: 10, Program: "/usr/bin/helper", Creds: worker},
		},
		Seen: []verify.Process{{PID: 10, Program: nginx, Creds: rootCreds}, {PID: 11, Program: nginx, Creds: worker}, {PID: 12, Program: "/usr/bin/helper", Creds: worker}},
		Sockets: []verify.Socket{
			{Proto: "tcp", Address: "0.0.0.0", Port: 80, Program: nginx},
			{Proto: "tcp", Address: "::", Port: 80, Program: nginx},
			{Proto: "tcp", Address: "127.0.0.1", Port: 9000, Program: "/usr/bin/helper"},
			{Proto: "unix", Address: "/run/helper.sock", Program: "/usr/bin/helper"},
		},
		Answers: []verify.Answer{
			{Probe: verify.Probe{Kind: "http", Address: "http://127.0.0.1:80/"}, OK: true, Shape: "http 200 text/html", Sample: "<h1>Welcome</h1>"},
			{Probe: verify.Probe{Kind: "generic", Address: "127.0.0.1:9000"}, OK: true, Shape: "banner 220", Sample: "220 ready"},
		},
		Health: &verify.Answer{Probe: verify.Probe{Kind: "exec", Args: []string{"true"}}, OK: true, Shape: "exit 0"},
		Trace: log(
			exec(10, nginx, rootCreds), bind(10, nginx, "tcp 0.0.0.0:80"), bind(10, nginx, "tcp [::]:80"), fork(10, 11, nginx), fork(10, 12, nginx),
			exec(12, "/usr/bin/helper", worker), bind(12, "/usr/bin/helper", "tcp 127.0.0.1:9000"), bind(12, "/usr/bin/helper", "unix /run/helper.sock"),
		),
	}
}

// moved is what is expected of the candidate of web.
func moved() verify.Expect {
	return verify.Expect{Recorded: true, Arbitrary: true, Ports: []verify.Port{{From: 80, To: 8080, Proto: "tcp"}}}
}

// copyOf gives an outcome that shares nothing with o.
func copyOf(o verify.Outcome) verify.Outcome {
	data, err := json.Marshal(o)
	if err != nil {
		panic(err)
	}
	var out verify.Outcome
	if err := json.Unmarshal(data, &out); err != nil {
		panic(err)
	}
	return out
}

// asUser is the same outcome of a run as a regular user.
func asUser(o verify.Outcome) verify.Outcome {
	o = copyOf(o)
	creds := userCreds(101)
	o.Run.Name, o.Run.NoNewPrivs, o.Run.Caps, o.Run.Identity = verify.Fixed, true, nil, account.Identity{UID: 101, Name: "nginx"}
	for i := range o.Processes {
		o.Processes[i].Creds = creds
	}
	for i := range o.Seen {
		o.Seen[i].Creds = creds
	}
	for i, e := range o.Trace.Events {
		if e.Creds != nil {
			o.Trace.Events[i].Creds = &creds
		}
	}
	return o
}

// webUser is the candidate of web: as a regular user, at port 8080.
func webUser() verify.Outcome {
	o := asUser(web())
	o.Sockets[0].Port, o.Sockets[1].Port = 8080, 8080
	o.Trace.Events[1].Addr, o.Trace.Events[2].Addr = "tcp 0.0.0.0:8080", "tcp [::]:8080"
	o.Answers[0].Probe.Address = "http://127.0.0.1:8080/"
	return o
}

// command is a run that ends by itself.
func command(status int) verify.Outcome {
	return verify.Outcome{
		Run: verify.Run{Name: "baseline", Trace: true, Timeout: time.Minute}, End: verify.EndExited, Status: status, Took: time.Second,
		Processes: []verify.Process{{PID: 5, Program: "/bin/job", Creds: rootCreds}}, Stdout: "done\n",
		Trace: trace.Log{Total: 2, Events: []trace.Event{
			{Seq: 1, PID: 5, Exe: "/bin/job", Kind: trace.Exec, Call: "execve", Path: "/bin/job", Creds: &rootCreds},
			{Seq: 2, PID: 5, Exe: "/bin/job", Kind: trace.Exit, Status: status},
		}},
	}
}

// add appends an event to the trace of an outcome, before its steady state.
func add(o *verify.Outcome, events ...trace.Event) {
	steady := o.Trace.Steady
	o.Trace = log(append(o.Trace.Events, events...)...)
	if steady == 0 {
		o.Trace.Steady = 0
	}
}

// randomOutcome is a run of a made-up image that works.
func randomOutcome(r *rand.Rand) verify.Outcome {
	if r.IntN(5) == 0 {
		return command(0)
	}
	o := verify.Outcome{Run: verify.Run{Name: "baseline", Trace: true, Timeout: time.Minute}, End: verify.EndSteady, Steady: time.Second, Took: 2 * time.Second}
	programs := []string{"/bin/a", "/usr/bin/b", "/usr/sbin/c", "/opt/d"}
	var events []trace.Event
	for i := range 1 + r.IntN(6) {
		p := verify.Process{PID: 20 + i, Program: programs[r.IntN(len(programs))], Creds: rootCreds}
		if i > 0 {
			p.Parent = 20 + r.IntN(i)
			events = append(events, fork(p.Parent, p.PID, o.Processes[p.Parent-20].Program))
			if r.IntN(2) == 0 {
				p.Creds = trace.Creds{UIDs: [4]uint32{7, 7, 7, 7}}
			}
		}
		events = append(events, exec(p.PID, p.Program, p.Creds))
		o.Processes, o.Seen = append(o.Processes, p), append(o.Seen, p)
	}
	for i := range r.IntN(5) {
		p := o.Processes[r.IntN(len(o.Processes))]
		s := verify.Socket{Proto: []string{"tcp", "udp"}[r.IntN(2)], Address: []string{"0.0.0.0", "::", "127.0.0.1", "::1", "10.0.0.7"}[r.IntN(5)], Port: uint16(2000 + 10*i + r.IntN(5)), Program: p.Program}
		addr := fmt.Sprintf("%s 0.0.0.0:%d", s.Proto, s.Port)
		if r.IntN(4) == 0 {
			s = verify.Socket{Proto: "unix", Address: fmt.Sprintf("/run/%c.sock", 'a'+i), Program: p.Program}
			addr = "unix " + s.Address
		}
		events = append(events, bind(p.PID, p.Program, addr))
		o.Sockets = append(o.Sockets, s)
		if s.Proto == "tcp" {
			o.Answers = append(o.Answers, verify.Answer{Probe: verify.Probe{Kind: "generic", Address: fmt.Sprintf("127.0.0.1:%d", s.Port)}, OK: true, Shape: "banner 220"})
		}
	}
	if r.IntN(2) == 0 {
		o.Health = &verify.Answer{Probe: verify.Probe{Kind: "exec"}, OK: true, Shape: "exit 0"}
	}
	o.Trace = log(events...)
	return o
}

func want(t *testing.T, v verify.Verdict, word verify.Word, id verify.ReasonID) {
	t.Helper()
	if v.Word != word {
		t.Errorf("%s, want %s: %+v", v.Word, word, v.Reasons)
	}
	if id == "" {
		return
	}
	for _, r := range v.Reasons {
		if r.ID == id {
			return
		}
	}
	t.Errorf("no reason %q: %+v", id, v.Reasons)
}
