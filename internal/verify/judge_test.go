package verify_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"unroot/internal/account"
	"unroot/internal/trace"
	"unroot/internal/verify"
)

func TestProven(t *testing.T) {
	t.Parallel()
	b := web()
	want(t, verify.Judge(&b, webUser(), moved()), verify.Proven, "")
	c := command(0)
	want(t, verify.Judge(&c, asUser(c), verify.Expect{}), verify.Proven, "")
}

// TestSabotage: candidates that only look as if they worked, or as if they were not root.
func TestSabotage(t *testing.T) {
	t.Parallel()
	savedRoot := userCreds(101)
	savedRoot.UIDs[2] = 0
	fsRoot := userCreds(101)
	fsRoot.UIDs[3] = 0
	kept := userCreds(101)
	kept.Caps = 1 << 10
	bounding := userCreds(101)
	bounding.Bounding = 1 << 10
	gains := userCreds(101)
	gains.NoNewPriv = false
	for name, c := range map[string]struct {
		do   func(*verify.Outcome)
		want verify.ReasonID
	}{
		"keeps a root child": {func(o *verify.Outcome) {
			o.Processes = append(o.Processes, verify.Process{PID: 11, Parent: 10, Program: nginx, Creds: rootCreds})
		}, verify.RootProcess},
		"had a root child": {func(o *verify.Outcome) {
			o.Seen = append(o.Seen, verify.Process{PID: 99, Program: "/bin/chown", Creds: rootCreds})
		}, verify.RootProcess},
		"executed a command as root": {func(o *verify.Outcome) {
			add(o, fork(10, 13, nginx), exec(13, "/bin/chown", rootCreds))
		}, verify.RootProcess},
		"ended as root": {func(o *verify.Outcome) {
			add(o, fork(10, 13, nginx), trace.Event{PID: 13, Exe: nginx, Kind: trace.Exit, Creds: &rootCreds})
		}, verify.RootProcess},
		"a child with saved uid 0 only":         {func(o *verify.Outcome) { o.Processes[1].Creds = savedRoot }, verify.RootProcess},
		"a child with file-system uid 0 only":   {func(o *verify.Outcome) { o.Seen[1].Creds = fsRoot }, verify.RootProcess},
		"keeps a capability":                    {func(o *verify.Outcome) { o.Processes[0].Creds = kept }, verify.Capability},
		"keeps a capability to be gained again": {func(o *verify.Outcome) { o.Seen[0].Creds = bounding }, verify.Capability},
		"an exec kept a capability":             {func(o *verify.Outcome) { o.Trace.Events[5].Creds = &kept }, verify.Capability},
		"may gain privileges":                   {func(o *verify.Outcome) { o.Processes[2].Creds = gains }, verify.NewPrivileges},
		"alive without its listener":            {func(o *verify.Outcome) { o.Sockets = o.Sockets[2:] }, verify.SocketMissing},
		"without one of two families":           {func(o *verify.Outcome) { o.Sockets = o.Sockets[1:] }, verify.SocketAddress},
		"without its UNIX socket":               {func(o *verify.Outcome) { o.Sockets = o.Sockets[:3] }, verify.SocketMissing},
		"listens for itself only":               {func(o *verify.Outcome) { o.Sockets[0].Address, o.Sockets[1].Address = "127.0.0.1", "::1" }, verify.SocketAddress},
		"listens for everybody":                 {func(o *verify.Outcome) { o.Sockets[2].Address = "0.0.0.0" }, verify.SocketAddress},
		"listens for everybody too": {func(o *verify.Outcome) {
			o.Sockets = append(o.Sockets, verify.Socket{Proto: "tcp", Address: "0.0.0.0", Port: 9000, Program: "/usr/bin/helper"})
		}, verify.SocketExtra},
		"listens at a port of its own": {func(o *verify.Outcome) {
			o.Sockets = append(o.Sockets, verify.Socket{Proto: "tcp", Address: "0.0.0.0", Port: 4444, Program: nginx})
		}, verify.SocketExtra},
		"did not move its port":        {func(o *verify.Outcome) { o.Sockets[0].Port, o.Sockets[1].Port = 80, 80 }, verify.SocketMissing},
		"another program listens":      {func(o *verify.Outcome) { o.Sockets[0].Program, o.Sockets[1].Program = "/bin/nc", "/bin/nc" }, verify.SocketProgram},
		"answers with an error status": {func(o *verify.Outcome) { o.Answers[0].Shape, o.Answers[0].OK = "http 500 text/html", false }, verify.ProbeFails},
		"answers with another status":  {func(o *verify.Outcome) { o.Answers[0].Shape = "http 204" }, verify.AnswerDiffers},
		"answers with error text":      {func(o *verify.Outcome) { o.Answers[0].Sample = "<h1>open(): Permission denied</h1>" }, verify.AnswerDiffers},
		"answers with an error banner": {func(o *verify.Outcome) { o.Answers[1].Sample = "-ERR not today" }, verify.AnswerDiffers},
		"does not answer":              {func(o *verify.Outcome) { o.Answers = o.Answers[1:] }, verify.ProbeFails},
		"answers only half":            {func(o *verify.Outcome) { o.Answers[1].Shape, o.Answers[1].OK = "silent", false }, verify.ProbeFails},
		"a probe that passes only as root": {func(o *verify.Outcome) {
			o.Answers[1] = verify.Answer{Probe: verify.Probe{Kind: "exec", Args: []string{"id"}}, Shape: "exit 1", Error: "it ended with status 1"}
		}, verify.ProbeFails},
		"its health check fails though it listens": {func(o *verify.Outcome) { o.Health.OK, o.Health.Shape = false, "exit 1" }, verify.HealthFails},
		"a trace with an event removed":            {func(o *verify.Outcome) { o.Trace.Events = slices.Delete(o.Trace.Events, 3, 4) }, verify.TraceGap},
		"a trace with its first event removed":     {func(o *verify.Outcome) { o.Trace.Events = o.Trace.Events[1:] }, verify.TraceGap},
		"a trace with its last events removed":     {func(o *verify.Outcome) { o.Trace.Events = o.Trace.Events[:4] }, verify.TraceGap},
		"a trace with a removed fork, numbered anew": {func(o *verify.Outcome) {
			o.Trace = log(slices.Delete(o.Trace.Events, 4, 5)...)
		}, verify.TraceGap},
		"a trace that does not know a process, numbered anew": {func(o *verify.Outcome) {
			o.Trace = log(slices.Delete(o.Trace.Events, 3, 4)...)
		}, verify.TraceGap},
		"a trace without events":     {func(o *verify.Outcome) { o.Trace = trace.Log{} }, verify.TraceGap},
		"a cut trace with a gap":     {func(o *verify.Outcome) { o.Trace.Events, o.Trace.Lost = o.Trace.Events[2:], "limit of 8 events" }, verify.TraceGap},
		"a missing worker program":   {func(o *verify.Outcome) { o.Processes = o.Processes[:2] }, verify.ProgramMissing},
		"a program of its own":       {func(o *verify.Outcome) { o.Processes[1].Program = "/bin/sleep" }, verify.ProgramExtra},
		"ended":                      {func(o *verify.Outcome) { o.End, o.Status = verify.EndExited, 1 }, verify.EndedEarly},
		"ended well":                 {func(o *verify.Outcome) { o.End = verify.EndExited }, verify.EndedEarly},
		"never steady":               {func(o *verify.Outcome) { o.End = verify.EndTimeout }, verify.NotSteady},
		"hit a limit":                {func(o *verify.Outcome) { o.End, o.Limit = verify.EndLimit, "memory" }, verify.LimitHit},
		"was not started":            {func(o *verify.Outcome) { o.End, o.Error = verify.EndFailed, "permission denied" }, verify.NotStarted},
		"one family at another port": {func(o *verify.Outcome) { o.Sockets[0].Port = 8081 }, verify.SocketAddress},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, o := web(), webUser()
			c.do(&o)
			want(t, verify.Judge(&b, o, moved()), verify.Refuted, c.want)
			if word := verify.Judge(nil, o, moved()).Word; word == verify.Proven {
				t.Errorf("without a baseline: %s", word)
			}
		})
	}
}

func TestCommands(t *testing.T) {
	t.Parallel()
	b := command(0)
	for name, c := range map[string]struct {
		do   func(*verify.Outcome)
		want verify.ReasonID
	}{
		"another status": {func(o *verify.Outcome) { o.Status = 3 }, verify.ExitStatus},
		"no output":      {func(o *verify.Outcome) { o.Stdout = "" }, verify.OutputDiffers},
		"stays alive":    {func(o *verify.Outcome) { o.End = verify.EndSteady }, verify.StaysAlive},
		"a root process": {func(o *verify.Outcome) { o.Trace.Events[0].Creds = &rootCreds }, verify.RootProcess},
	} {
		o := asUser(b)
		c.do(&o)
		t.Log(name)
		want(t, verify.Judge(&b, o, verify.Expect{}), verify.Refuted, c.want)
	}
	o := asUser(b)
	o.Stdout = "uid=101\n"
	v := verify.Judge(&b, o, verify.Expect{})
	want(t, v, verify.Proven, "")
	if len(v.Differences) != 1 {
		t.Errorf("differences: %+v", v.Differences)
	}
}

// TestFailedAlike: two that fail in the same way prove nothing, and two that fail in other ways differ.
func TestFailedAlike(t *testing.T) {
	t.Parallel()
	b := command(1)
	b.Stderr = "starting\ndatabase is uninitialized and no password is given\n"
	v := verify.Judge(&b, asUser(b), verify.Expect{})
	want(t, v, verify.Unproven, verify.BaselineFails)
	if text := v.Reasons[0].Text; !strings.Contains(text, "no password is given") {
		t.Error(text)
	}
	o := asUser(b)
	o.Status = 126
	want(t, verify.Judge(&b, o, verify.Expect{}), verify.Refuted, verify.ExitStatus)
}

// TestUnproven: what says nothing against a candidate, and nothing for it.
func TestUnproven(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		do   func(b, o *verify.Outcome)
		want verify.ReasonID
	}{
		"baseline never steady":        {func(b, o *verify.Outcome) { b.End = verify.EndTimeout }, verify.BaselineFails},
		"both hit a limit":             {func(b, o *verify.Outcome) { b.End, o.End = verify.EndLimit, verify.EndLimit }, verify.BaselineFails},
		"baseline was not started":     {func(b, o *verify.Outcome) { b.End = verify.EndFailed }, verify.BaselineFails},
		"baseline fails its own probe": {func(b, o *verify.Outcome) { b.Answers[0].OK = false }, verify.BaselineFails},
		"baseline's health fails":      {func(b, o *verify.Outcome) { b.Health.OK = false }, verify.BaselineFails},
		"not traced":                   {func(b, o *verify.Outcome) { o.Run.Trace = false }, verify.TraceCut},
		"a cut trace":                  {func(b, o *verify.Outcome) { o.Trace.Lost, o.Trace.Total = "limit of 8 events", 900 }, verify.TraceCut},
		"health was not asked":         {func(b, o *verify.Outcome) { o.Health = nil }, verify.HealthFails},
		"nothing was asked":            {func(b, o *verify.Outcome) { b.Answers, o.Answers = nil, nil }, verify.NotAsked},
		"as somebody else":             {func(b, o *verify.Outcome) { o.Run.Identity = account.Identity{UID: 1000700000} }, verify.OtherIdentity},
		"nobody was seen": {func(b, o *verify.Outcome) {
			o.Processes, o.Seen = nil, nil
			for i := range o.Trace.Events {
				o.Trace.Events[i].Creds = nil
			}
			b.Processes = nil
		}, verify.NotConfined},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, o := web(), webUser()
			c.do(&b, &o)
			want(t, verify.Judge(&b, o, moved()), verify.Unproven, c.want)
		})
	}
	want(t, verify.Judge(nil, webUser(), moved()), verify.Unproven, verify.NoBaseline)
	failing, root := web(), webUser()
	failing.End = verify.EndTimeout
	root.Processes[1].Creds = rootCreds
	want(t, verify.Judge(&failing, root, moved()), verify.Refuted, verify.RootProcess)
}

// TestExcused: differences that are none.
func TestExcused(t *testing.T) {
	t.Parallel()
	for name, do := range map[string]func(b, o *verify.Outcome){
		"another number of workers": func(b, o *verify.Outcome) {
			p := b.Processes[1]
			p.PID = 11
			b.Processes = append(b.Processes, p)
		},
		"ports that the kernel chose": func(b, o *verify.Outcome) {
			b.Sockets = append(b.Sockets, verify.Socket{Proto: "tcp", Address: "127.0.0.1", Port: 40001, Program: nginx})
			o.Sockets = append(o.Sockets, verify.Socket{Proto: "tcp", Address: "127.0.0.1", Port: 50002, Program: nginx})
		},
		"asked at ports that the kernel chose": func(b, o *verify.Outcome) {
			for port, one := range map[uint16]*verify.Outcome{40001: b, 50002: o} {
				one.Sockets = append(one.Sockets, verify.Socket{Proto: "tcp", Address: "127.0.0.1", Port: port, Program: nginx})
				one.Answers = append(one.Answers, verify.Answer{Probe: verify.Probe{Kind: "generic", Address: fmt.Sprintf("tcp 127.0.0.1:%d", port)}, OK: true, Shape: "silent"})
			}
			b.Sockets = append(b.Sockets, verify.Socket{Proto: "udp", Address: "0.0.0.0", Port: 40002, Program: nginx})
			b.Answers = append(b.Answers, verify.Answer{Probe: verify.Probe{Kind: "generic", Address: "udp 0.0.0.0:40002"}, Shape: "silent"})
		},
		"asked by one family for both": func(b, o *verify.Outcome) {
			b.Sockets, o.Sockets = b.Sockets[:1], o.Sockets[1:2]
			for _, one := range []*verify.Outcome{b, o} {
				one.Answers = one.Answers[:1]
				one.Answers[0].Probe = verify.Probe{Kind: "generic", Address: verify.SocketText(one.Sockets[0])}
			}
		},
		"a question to a resolver": func(b, o *verify.Outcome) {
			b.Sockets = append(b.Sockets, verify.Socket{Proto: "udp", Address: "0.0.0.0", Port: 40001, Program: nginx})
		},
		"a question of a resolver that chooses its ports": func(b, o *verify.Outcome) {
			o.Sockets = append(o.Sockets, verify.Socket{Proto: "udp", Address: "::", Port: 24592, Program: nginx})
		},
		"a question of the baseline, which changes its ports": func(b, o *verify.Outcome) {
			b.Sockets = append(b.Sockets, verify.Socket{Proto: "udp", Address: "::", Port: 24592, Program: nginx})
			for _, port := range []string{"24592", "1999"} {
				b.Trace.Events = append(b.Trace.Events, trace.Event{Seq: b.Trace.Total + 1, At: 1, PID: b.Trace.Events[0].PID, Exe: nginx, Kind: trace.Bind, Call: "bind", Addr: "udp [::]:" + port})
				b.Trace.Total++
			}
		},
		"a process number in a name": func(b, o *verify.Outcome) {
			b.Sockets[3].Address, o.Sockets[3].Address = "/tmp/helper.17", "/tmp/helper.4711"
		},
		"a random name": func(b, o *verify.Outcome) {
			b.Sockets[3].Address, o.Sockets[3].Address = "/tmp/helper-xYz", "/tmp/helper-aBc"
		},
		"both families by one socket": func(b, o *verify.Outcome) { b.Sockets[1], o.Sockets = b.Sockets[2], o.Sockets[1:] },
		"a step-down tool that waits": func(b, o *verify.Outcome) {
			b.Processes = append(b.Processes,
				verify.Process{PID: 1, Program: "/bin/sh", Creds: rootCreds},
				verify.Process{PID: 2, Parent: 1, Program: "/bin/su", Creds: rootCreds},
				verify.Process{PID: 3, Parent: 2, Program: "/usr/bin/helper", Creds: userCreds(33)})
		},
		"a command that comes and goes": func(b, o *verify.Outcome) {
			for _, one := range []*verify.Outcome{b, o} {
				c := userCreds(101)
				add(one, fork(10, 14, nginx), exec(14, "/bin/date", c), trace.Event{PID: 14, Exe: "/bin/date", Kind: trace.Exit})
			}
			b.Processes = append(b.Processes, verify.Process{PID: 15, Parent: 10, Program: "/bin/date"})
		},
		"what the baseline ran before": func(b, o *verify.Outcome) {
			b.Seen = append(b.Seen, verify.Process{PID: 30, Program: "/bin/sh", Creds: rootCreds})
			o.Processes[1].Program, b.Processes[1].Program = "/bin/sh", nginx
		},
		"words of failure that the baseline says too": func(b, o *verify.Outcome) {
			b.Answers[0].Sample, o.Answers[0].Sample = "Error log of Monday", "error log of Tuesday"
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, o := web(), webUser()
			do(&b, &o)
			want(t, verify.Judge(&b, o, moved()), verify.Proven, "")
		})
	}
}

// TestFixedHighPort: a port of the local range that the program asked for by its number is no random one.
func TestFixedHighPort(t *testing.T) {
	t.Parallel()
	b := web()
	b.Sockets = append(b.Sockets, verify.Socket{Proto: "tcp", Address: "0.0.0.0", Port: 50051, Program: nginx})
	add(&b, bind(10, nginx, "tcp 0.0.0.0:50051"))
	o := webUser()
	o.Sockets = append(o.Sockets, verify.Socket{Proto: "tcp", Address: "0.0.0.0", Port: 40000, Program: nginx})
	want(t, verify.Judge(&b, o, moved()), verify.Refuted, verify.SocketMissing)
}

// TestRedirect: a redirect to a port that moved is noticed.
func TestRedirect(t *testing.T) {
	t.Parallel()
	e := moved()
	e.Ports = append(e.Ports, verify.Port{From: 443, To: 8443, Proto: "tcp"})
	for _, c := range []struct {
		before, after string
		want          verify.Word
		noticed       string
	}{
		{"http 301 to /x", "http 301 to /x", verify.Proven, ""},
		{"http 301 to /x", "http 301 to :8080/x", verify.Proven, "http 301 to :8080/x"},
		{"http 301 to /x", "http 301 to :80/x", verify.Proven, "http 301 to :80/x: port 80 moved to 8080, clients need it at its old number"},
		{"http 301 to https://:443/x", "http 301 to https://:443/x", verify.Proven, "http 301 to https://:443/x: port 443 moved to 8443, clients need it at its old number"},
		{"http 301 to https://:443/x", "http 301 to https://:8443/x", verify.Proven, "http 301 to https://:8443/x"},
		{"http 301 to /x", "http 301 to :9090/x", verify.Refuted, ""},
		{"http 301 to /x", "http 301 to /y", verify.Refuted, ""},
	} {
		b, o := web(), webUser()
		b.Answers[0].Shape, o.Answers[0].Shape = c.before, c.after
		v := verify.Judge(&b, o, e)
		want(t, v, c.want, "")
		noticed := ""
		for _, d := range v.Differences {
			noticed = d.After
		}
		if noticed != c.noticed {
			t.Errorf("%s became %s: noticed %q, want %q", c.before, c.after, noticed, c.noticed)
		}
	}
}

func TestBenign(t *testing.T) {
	t.Parallel()
	b, o := web(), webUser()
	add(&b, refused(10, nginx, "/proc/kmsg", "EACCES"))
	add(&o, refused(10, nginx, "/var/log/nginx/access.log", "EACCES"), refused(10, nginx, "/proc/kmsg", "EACCES"))
	v := verify.Judge(&b, o, moved())
	want(t, v, verify.Proven, "")
	if len(v.Benign) != 2 || v.Benign[0].Path != "/var/log/nginx/access.log" || v.Benign[0].Why == v.Benign[1].Why || v.Benign[0].Errno != "EACCES" {
		t.Errorf("%+v", v.Benign)
	}
	for _, benign := range v.Benign {
		if benign.Why == "" || benign.Text == "" || benign.Count != 1 || len(benign.Events) != 1 {
			t.Errorf("%+v", benign)
		}
	}
}

// TestLate: a refusal after the steady state is not shown to be harmless by it, where the baseline did
// the same with success.
func TestLate(t *testing.T) {
	t.Parallel()
	b, o := web(), webUser()
	saved := refused(10, nginx, "/data/dump", "")
	add(&b, saved)
	add(&o, refused(10, nginx, "/data/dump", "EACCES"))
	b.Trace.Steady--
	want(t, verify.Judge(&b, o, moved()), verify.Proven, "")
	o.Trace.Steady--
	want(t, verify.Judge(&b, o, moved()), verify.Unproven, verify.LateDenial)
	b.Trace.Events[len(b.Trace.Events)-1].Errno = "EACCES"
	want(t, verify.Judge(&b, o, moved()), verify.Proven, "")
}

// TestCauses: one true sentence.
func TestCauses(t *testing.T) {
	t.Parallel()
	exit := trace.Event{PID: 10, Exe: nginx, Kind: trace.Exit, Status: 1}
	read := trace.Event{PID: 10, Exe: nginx, Kind: trace.Open, Call: "openat", Path: "/etc/nginx/secret.conf", Want: "r"}
	locale := trace.Event{PID: 10, Exe: nginx, Kind: trace.Open, Call: "openat", Path: "/usr/share/locale/locale.alias", Want: "r"}
	for name, c := range map[string]struct {
		do   func(b, o *verify.Outcome)
		want string
	}{
		"a refused call": {func(b, o *verify.Outcome) {
			add(o, refused(10, nginx, "/run/nginx.pid", "EACCES"), exit)
			o.End, o.Status, o.Trace.Steady = verify.EndExited, 1, 0
		}, "/usr/sbin/nginx cannot write its runtime directory /run (/run/nginx.pid)"},
		"not what was refused to the baseline too": {func(b, o *verify.Outcome) {
			add(b, refused(10, nginx, "/proc/kmsg", "EACCES"))
			add(o, refused(10, nginx, "/run/nginx.pid", "EACCES"), refused(10, nginx, "/proc/kmsg", "EACCES"), exit)
			o.End, o.Status, o.Trace.Steady = verify.EndExited, 1, 0
		}, "/usr/sbin/nginx cannot write its runtime directory /run (/run/nginx.pid)"},
		"no refused call": {func(b, o *verify.Outcome) {
			add(o, read, locale, exit)
			o.End, o.Status, o.Trace.Steady, o.Stderr = verify.EndExited, 1, 0, "starting\nconfiguration is not owned by root\n\n"
		}, "/usr/sbin/nginx ended by itself, and nothing was refused to it; the last that it looked at is /etc/nginx/secret.conf; it said: configuration is not owned by root"},
		"alive without its listener": {func(b, o *verify.Outcome) {
			o.Sockets, o.Answers = o.Sockets[2:], o.Answers[1:]
			b.Answers = b.Answers[1:]
			low := bind(10, nginx, "tcp 0.0.0.0:80")
			low.Errno = "EACCES"
			add(o, low, refused(10, nginx, "/var/log/x.log", "EACCES"))
		}, "/usr/sbin/nginx binds tcp port 80: ports below 1024 need a privilege"},
		"a worker that cannot be executed": {func(b, o *verify.Outcome) {
			o.Processes = o.Processes[:2]
			o.Seen = o.Seen[:2]
			denied := exec(13, "/usr/bin/helper", userCreds(101))
			denied.Errno, denied.Exe, denied.Creds = "EACCES", nginx, nil
			add(o, fork(10, 13, nginx), denied, refused(10, nginx, "/var/log/x.log", "EACCES"))
		}, "cannot execute /usr/bin/helper"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, o := web(), webUser()
			c.do(&b, &o)
			v := verify.Judge(&b, o, moved())
			want(t, v, verify.Refuted, "")
			if !strings.Contains(v.Reasons[0].Cause, c.want) {
				t.Errorf("cause %q, want %q", v.Reasons[0].Cause, c.want)
			}
		})
	}
}

// mutations make of a proven pair one that is not: each returns false where there is nothing to change.
var mutations = map[string]func(o *verify.Outcome, r *rand.Rand) bool{
	"a uid becomes 0": func(o *verify.Outcome, r *rand.Rand) bool {
		o.Processes[r.IntN(len(o.Processes))].Creds.UIDs[r.IntN(4)] = 0
		return true
	},
	"a capability": func(o *verify.Outcome, r *rand.Rand) bool {
		o.Processes[r.IntN(len(o.Processes))].Creds.Caps = 1 << r.IntN(41)
		return true
	},
	"no_new_privs is off": func(o *verify.Outcome, r *rand.Rand) bool {
		o.Processes[r.IntN(len(o.Processes))].Creds.NoNewPriv = false
		return true
	},
	"an exec as root": func(o *verify.Outcome, r *rand.Rand) bool {
		for _, i := range r.Perm(len(o.Trace.Events)) {
			if o.Trace.Events[i].Creds != nil {
				o.Trace.Events[i].Creds = &rootCreds
				return true
			}
		}
		return false
	},
	"an event is removed": func(o *verify.Outcome, r *rand.Rand) bool {
		i := r.IntN(len(o.Trace.Events))
		o.Trace.Events = slices.Delete(o.Trace.Events, i, i+1)
		return true
	},
	"a socket is gone": func(o *verify.Outcome, r *rand.Rand) bool {
		if len(o.Sockets) == 0 {
			return false
		}
		i := r.IntN(len(o.Sockets))
		o.Sockets = slices.Delete(o.Sockets, i, i+1)
		return true
	},
	"a socket more": func(o *verify.Outcome, r *rand.Rand) bool {
		o.Sockets = append(o.Sockets, verify.Socket{Proto: "tcp", Address: "0.0.0.0", Port: 31337})
		return o.End == verify.EndSteady
	},
	"an answer is gone": func(o *verify.Outcome, r *rand.Rand) bool {
		if len(o.Answers) == 0 {
			return false
		}
		i := r.IntN(len(o.Answers))
		o.Answers = slices.Delete(o.Answers, i, i+1)
		return true
	},
	"an answer differs": func(o *verify.Outcome, r *rand.Rand) bool {
		if len(o.Answers) == 0 {
			return false
		}
		o.Answers[r.IntN(len(o.Answers))].Shape = "banner 421"
		return true
	},
	"a program is another": func(o *verify.Outcome, r *rand.Rand) bool {
		o.Processes[r.IntN(len(o.Processes))].Program = "/bin/other"
		return o.End == verify.EndSteady
	},
	"another end": func(o *verify.Outcome, r *rand.Rand) bool {
		ends := []verify.End{verify.EndSteady, verify.EndExited, verify.EndTimeout, verify.EndLimit, verify.EndFailed}
		ends = slices.DeleteFunc(ends, func(e verify.End) bool { return e == o.End })
		o.End = ends[r.IntN(len(ends))]
		return true
	},
	"another status": func(o *verify.Outcome, r *rand.Rand) bool {
		o.Status++
		return o.End == verify.EndExited
	},
	"health fails": func(o *verify.Outcome, r *rand.Rand) bool {
		if o.Health != nil {
			o.Health.OK = false
		}
		return o.Health != nil
	},
}

// TestProperties: the same as a regular user is proven, and nothing that differs in one thing is.
func TestProperties(t *testing.T) {
	t.Parallel()
	for seed := range uint64(400) {
		r := rand.New(rand.NewPCG(seed, 1))
		b := randomOutcome(r)
		same := asUser(b)
		if v := verify.Judge(&b, same, verify.Expect{}); v.Word != verify.Proven {
			t.Fatalf("seed %d: %s: %+v", seed, v.Word, v.Reasons)
		}
		for name, mutate := range mutations {
			o := copyOf(same)
			if !mutate(&o, r) {
				continue
			}
			before := copyOf(o)
			v := verify.Judge(&b, o, verify.Expect{})
			if v.Word == verify.Proven {
				t.Errorf("seed %d: %s: proven", seed, name)
			}
			if diff := cmp.Diff(before, copyOf(o)); diff != "" {
				t.Fatalf("the judge changed what it judges: %s", diff)
			}
			if len(v.Reasons) == 0 || v.Word != v.Reasons[0].Word {
				t.Errorf("seed %d: %s: the worst reason is not the first: %+v", seed, name, v)
			}
			if again := verify.Judge(&b, o, verify.Expect{}); cmp.Diff(v, again) != "" {
				t.Errorf("seed %d: %s: two judgements differ", seed, name)
			}
		}
	}
}
