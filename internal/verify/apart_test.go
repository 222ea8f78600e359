package verify_test

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"unroot/internal/startup"
	"unroot/internal/trace"
	"unroot/internal/verify"
)

// TestInitIsApart: unroot-init beside the program is no difference, whatever was refused to it while it tried.
func TestInitIsApart(t *testing.T) {
	t.Parallel()
	base, candidate := web(), webUser()
	candidate.Run.Args = append([]string{startup.Path, "--names=nscd", "--"}, candidate.Run.Args...)
	first := candidate.Processes[0]
	first.PID, first.Program = 99, startup.Path
	candidate.Processes = append(candidate.Processes, first)
	add(&candidate, fork(10, 99, nginx), exec(99, startup.Path, first.Creds), refused(99, startup.Path, "/data", "EACCES"))
	candidate.Sockets = append(candidate.Sockets, verify.Socket{Proto: "unix", Address: "/run/nscd/socket", Program: startup.Path})
	if v := verify.Judge(&base, candidate, moved()); v.Word != verify.Proven {
		t.Errorf("%s: %+v", v.Word, v.Reasons)
	}
	if len(verify.Judge(&base, candidate, moved()).Benign) > 0 {
		t.Error("what was refused to unroot-init is told as the program's")
	}
	candidate.Run.Args = candidate.Run.Args[3:]
	if v := verify.Judge(&base, candidate, moved()); v.Word == verify.Proven {
		t.Error("a program of that name is apart although the run does not begin with it")
	}
}

// TestInitRefuses: what unroot-init says is the cause, not what it looked at.
func TestInitRefuses(t *testing.T) {
	t.Parallel()
	base, candidate := web(), webUser()
	candidate.Run.Args = []string{startup.Path, "--writable=/data", "--", "app"}
	candidate.End, candidate.Status = verify.EndExited, startup.ExitVolume
	candidate.Stderr = "unroot-init: /data cannot be written\n  owner 0:0\ndo this\n"
	candidate.Processes, candidate.Sockets, candidate.Trace = nil, nil, trace.Log{}
	v := verify.Judge(&base, candidate, moved())
	for _, r := range v.Reasons {
		if strings.Contains(r.Cause, "/unroot-init did not start it: /data cannot be written") {
			return
		}
	}
	t.Errorf("%s: %+v", v.Word, v.Reasons)
}

// TestInitOnBothSides: an original that starts with unroot-init is no measure for what unroot-init does.
func TestInitOnBothSides(t *testing.T) {
	t.Parallel()
	base, candidate := web(), webUser()
	base.Run.Args = append([]string{startup.Path, "--names=nscd", "--"}, base.Run.Args...)
	base.Processes = append(base.Processes, verify.Process{PID: 99, Program: startup.Path, Creds: rootCreds})
	base.Sockets = append(base.Sockets, verify.Socket{Proto: "unix", Address: "/run/nscd/socket", Program: startup.Path})
	if v := verify.Judge(&base, candidate, moved()); v.Word != verify.Proven {
		t.Errorf("%s: %+v", v.Word, v.Reasons)
	}
	if r := verify.Following(candidate.Run, &base, moved()); slices.ContainsFunc(r.Await, func(s verify.Socket) bool { return s.Address == "/run/nscd/socket" }) {
		t.Errorf("waits for unroot-init's socket: %+v", r.Await)
	}
}

// TestProgramHasTheStatus: a program's own status 78 is not unroot-init's, whatever was said before.
func TestProgramHasTheStatus(t *testing.T) {
	t.Parallel()
	base, candidate := web(), webUser()
	candidate.Run.Args = append([]string{startup.Path, "--names=nscd", "--"}, candidate.Run.Args...)
	candidate.End, candidate.Status, candidate.Stderr = verify.EndExited, startup.ExitVolume, "unroot-init: /data cannot be written\n"
	for _, r := range verify.Judge(&base, candidate, moved()).Reasons {
		if strings.Contains(r.Cause, "did not start it") {
			t.Errorf("cause: %s", r.Cause)
		}
	}
}

// TestRootBesideInit: that unroot-init is apart hides no root.
func TestRootBesideInit(t *testing.T) {
	t.Parallel()
	base, candidate := web(), webUser()
	candidate.Run.Args = append([]string{startup.Path, "--names=nscd", "--"}, candidate.Run.Args...)
	candidate.Processes = append(candidate.Processes, verify.Process{PID: 10, Program: startup.Path, Creds: rootCreds})
	want(t, verify.Judge(&base, candidate, moved()), verify.Refuted, verify.RootProcess)
}

// TestEmulated: calls that the filter or the supervisor answers are missing in a trace without a difference, and it is
// told which; nothing is told where nothing is emulated.
func TestEmulated(t *testing.T) {
	t.Parallel()
	base := web()
	base.Trace = log(append(slices.Clone(base.Trace.Events),
		trace.Event{PID: 10, Exe: nginx, Kind: trace.Owner, Call: "chown", Path: "/var/cache/nginx", IDs: []int64{33, -1}},
		trace.Event{PID: 11, Exe: nginx, Kind: trace.Identity, Call: "setuid", IDs: []int64{33}})...)
	for _, step := range append([]startup.Compat{startup.CompatOff}, startup.Compats...) {
		candidate := webUser()
		candidate.Run.Args = append(append([]string{startup.Path}, startup.Order{Compat: step}.Args()...), candidate.Run.Args...)
		v := verify.Judge(&base, candidate, moved())
		if v.Word != verify.Proven {
			t.Errorf("%s: %s: %+v", step, v.Word, v.Reasons)
		}
		told := slices.ContainsFunc(v.Differences, func(d verify.Difference) bool { return strings.Contains(d.After, "the emulation answers") })
		if told != (step != startup.CompatOff) {
			t.Errorf("%q: %+v", step, v.Differences)
		}
	}
}

// TestEmulationIsTold: the step comes from the entrypoint, whatever the record says; the proof says it in a sentence, a
// change of it is a difference, and a proof that hides it is none.
func TestEmulationIsTold(t *testing.T) {
	t.Parallel()
	prove := func(entrypoint string) verify.Proof {
		c := verify.Case{Candidate: facts(t, `{"User":"101:0","Entrypoint":`+entrypoint+`}`), Expect: verify.Expect{Compat: "simple"}}
		p, err := verify.Prove(t.Context(), c, nobody{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	with, without := prove(`["/unroot-init","--compat=consistent","--","app"]`), prove(`["/unroot-init","--stay","--","app"]`)
	if with.Emulation != "privilege separation inside this image is emulated (consistent)" || without.Emulation != "" || without.Expect.Compat != "" {
		t.Errorf("%q and %q", with.Emulation, without.Emulation)
	}
	if d := verify.Against(without, with); !slices.ContainsFunc(d, func(d verify.Difference) bool { return d.What == "emulation" }) {
		t.Errorf("differences: %+v", d)
	}
	data, err := json.Marshal(with)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := verify.DecodeProof(data); err != nil {
		t.Error(err)
	}
	hidden := strings.Replace(string(data), with.Emulation, "", 1)
	if _, err := verify.DecodeProof([]byte(hidden)); err == nil {
		t.Error("a proof that does not say what it emulates is read")
	}
}

// nobody is a runner that is not there.
type nobody struct{}

func (nobody) Name() string { return "nobody" }
func (nobody) Close() error { return nil }
func (nobody) Run(context.Context, verify.Run, func(verify.Progress)) (verify.Outcome, error) {
	return verify.Outcome{}, verify.ErrUnavailable
}

// TestHasty: nothing is run behind a run that does not hold, where that is wanted.
func TestHasty(t *testing.T) {
	t.Parallel()
	f := facts(t, `{"User":"101:0","Entrypoint":["app"]}`)
	base := web()
	for _, hasty := range []bool{false, true} {
		p, err := verify.Prove(t.Context(), verify.Case{Candidate: f, Baseline: &f, Ran: &base, Hasty: hasty, Expect: verify.Expect{Recorded: true, Arbitrary: true}}, ending{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if one := len(p.Results) == 1; one != hasty || p.Verdict != verify.Refuted {
			t.Errorf("hasty %t: %d runs, %s", hasty, len(p.Results), p.Verdict)
		}
	}
}

// ending is a runner whose runs all end at once.
type ending struct{ nobody }

func (ending) Run(_ context.Context, r verify.Run, _ func(verify.Progress)) (verify.Outcome, error) {
	return verify.Outcome{Run: r, End: verify.EndExited, Status: 1}, nil
}
