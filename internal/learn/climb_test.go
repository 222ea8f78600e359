package learn

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"unroot/internal/imagetest"
	"unroot/internal/plan"
	"unroot/internal/startup"
	"unroot/internal/trace"
	"unroot/internal/verify"
)

// A service that says nothing of how it changes its user.
const stubborn = `
-- config --
{"Cmd":["/usr/bin/stubborn"],"Env":["PATH=/usr/bin:/bin"]}
-- layer --
d 0755 0:0 /run
-- /etc/passwd --
root:x:0:0:root:/root:/bin/sh
-- /etc/group --
root:x:0:
-- /usr/bin/stubborn 0755 elf --
nothing
`

// test is something that only root, or who believes it, gets past.
type test struct {
	kind trace.Kind // what is called; "": nothing that is refused
	call string
	from startup.Compat // the first step at which it is passed; off: at none
	free bool           // the service goes on without
	says string         // what it says where it is not passed; then it goes on, and answers in another way
}

var (
	drops    = test{trace.Identity, "setgroups", startup.CompatSimple, false, ""}
	looks    = test{"", "", startup.CompatIdentities, false, ""}
	owns     = test{"", "", startup.CompatConsistent, false, ""}
	jails    = test{trace.Chroot, "chroot", startup.CompatIdentities, false, ""}
	tries    = test{trace.Identity, "setgroups", startup.CompatSimple, true, ""}
	binds    = test{trace.Bind, "bind", startup.CompatOff, false, ""}
	grumbles = test{"", "", startup.CompatConsistent, true, "Wrong owner of /run/stubborn"}
	mounting = test{trace.Mount, "mount", startup.CompatOff, false, ""}
)

// believer is a runner of stubborn that is none: it passes the tests as root, or by the step that the command line
// of the run asks for.
type believer struct {
	tests []test
	runs  []string
}

func (*believer) Name() string { return "believer" }
func (*believer) Close() error { return nil }

func (b *believer) Run(_ context.Context, r verify.Run, _ func(verify.Progress)) (verify.Outcome, error) {
	b.runs = append(b.runs, r.Name)
	p := process{run: r, creds: trace.Creds{NoNewPriv: r.NoNewPrivs}}
	for i := range p.creds.UIDs {
		p.creds.UIDs[i], p.creds.GIDs[i] = r.Identity.UID, r.Identity.GID
	}
	const program = "/usr/bin/stubborn"
	o := verify.Outcome{Run: r, End: verify.EndSteady, Steady: time.Millisecond, Took: time.Millisecond, Platform: "linux/amd64", Runner: b.Name()}
	step := -1
	if r.Args[0] == startup.Path {
		order, _, err := startup.Parse(r.Args[1:])
		if err != nil {
			return o, err
		}
		step = slices.Index(startup.Compats, order.Compat)
		p.add(trace.Event{Kind: trace.Exec, Path: startup.Path, Creds: &p.creds})
		p.add(trace.Event{Kind: trace.Look, Exe: startup.Path, Path: "/run", Errno: "EACCES"})
		p.add(trace.Event{Kind: trace.Exec, Exe: startup.Path, Path: program, Creds: &p.creds})
	} else {
		p.add(trace.Event{Kind: trace.Exec, Path: program, Creds: &p.creds})
	}
	shape := "banner 220"
	for _, t := range b.tests {
		passes := r.Identity.UID == 0 || t.from != startup.CompatOff && step >= slices.Index(startup.Compats, t.from)
		e := trace.Event{Kind: t.kind, Call: t.call, Exe: program}
		if !passes {
			e.Errno = "EPERM"
		}
		if t.kind == trace.Bind {
			e.Addr = "tcp 0.0.0.0:25"
		}
		if t.kind != "" && (step < 0 || !passes) {
			p.add(e)
		}
		if !passes && t.says != "" {
			o.Stderr, shape = t.says+"\n", "silent"
		}
		if !passes && !t.free {
			o.End, o.Status = verify.EndExited, 1
			p.add(trace.Event{Kind: trace.Exit, Exe: program, Status: 1})
			o.Trace = p.log
			return o, nil
		}
	}
	p.log.Steady = p.log.Total
	o.Processes = []verify.Process{{PID: 10, Program: program, Creds: p.creds}}
	o.Seen, o.Trace = o.Processes, p.log
	for _, probe := range r.Probes {
		o.Answers = append(o.Answers, verify.Answer{Probe: probe, OK: true, Shape: shape})
	}
	return o, nil
}

// add is an event as it is.
func (p *process) add(e trace.Event) {
	e.Seq, e.PID = uint64(len(p.log.Events)+1), 10
	p.log.Events = append(p.log.Events, e)
	p.log.Total = e.Seq
}

// TestClimb: the lowest step that works is found, and none where none works, where it is forbidden, or where it is no
// matter of who a program is.
func TestClimb(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		tests []test
		opts  plan.Options
		want  startup.Compat
		tried string // steps of the rounds, in order, each once
	}{
		{name: "root is not needed"},
		{name: "changes its user", tests: []test{drops}, want: startup.CompatSimple, tried: "simple"},
		{name: "looks at its uid", tests: []test{looks}, want: startup.CompatIdentities, tried: "identities"},
		{name: "changes its user and looks again", tests: []test{drops, looks}, want: startup.CompatIdentities, tried: "simple identities"},
		{name: "jails itself", tests: []test{jails}, want: startup.CompatIdentities, tried: "identities"},
		{name: "looks at owners", tests: []test{drops, owns}, want: startup.CompatConsistent, tried: "simple identities consistent"},
		{name: "looks at its uid, then grumbles", tests: []test{looks, grumbles}, want: startup.CompatConsistent, tried: "identities consistent"},
		{name: "mounts", tests: []test{mounting}},
		{name: "changes its user, then mounts", tests: []test{drops, mounting}, tried: "simple"},
		{name: "binds a low port", tests: []test{binds}},
		{name: "tries to change its user, and binds a low port", tests: []test{tries, binds}},
		{name: "lives without changing its user", tests: []test{tries}},
		{name: "forbidden", tests: []test{drops}, opts: plan.Options{NoCompat: true}},
		{name: "no unroot-init", tests: []test{drops}, opts: plan.Options{Init: plan.InitNever}},
		{name: "asked for, and enough", tests: []test{drops}, opts: plan.Options{Compat: startup.CompatIdentities}, want: startup.CompatIdentities, tried: "identities"},
		{name: "asked for, and too little", tests: []test{looks}, opts: plan.Options{Compat: startup.CompatSimple}, tried: "simple"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			runner := &believer{tests: tt.tests}
			result, err := Convert(t.Context(), Source{View: imagetest.View(t, imagetest.Parse(t, stubborn)), Ref: "oci:stubborn", Plan: tt.opts}, runner, nil)
			if err != nil {
				t.Fatal(err)
			}
			var tried []string
			for _, r := range result.Rounds {
				if r.Compat != "" && !slices.Contains(tried, r.Compat) {
					tried = append(tried, r.Compat)
				}
			}
			if strings.Join(tried, " ") != tt.tried {
				t.Errorf("tried %q, want %q: %+v", tried, tt.tried, result.Rounds)
			}
			works := tt.want != "" || !slices.ContainsFunc(tt.tests, func(t test) bool { return !t.free })
			if works != (result.Proof.Verdict == verify.Proven) {
				t.Errorf("verdict %s: %+v", result.Proof.Verdict, result.Rounds)
			}
			checkStep(t, result, tt.want, tt.opts)
			if len(result.Proof.Rounds) != len(result.Rounds) || len(result.Rounds) > 8 {
				t.Errorf("%d rounds, %d in the proof", len(result.Rounds), len(result.Proof.Rounds))
			}
		})
	}
}

// checkStep wants the candidate, its proof and what other platforms are told to have the same step.
func checkStep(t *testing.T, result Result, want startup.Compat, opts plan.Options) {
	t.Helper()
	got := startup.CompatOff
	if result.Plan.Init != nil {
		got = result.Plan.Init.Order.Compat
	}
	if opts.Compat == startup.CompatOff && got != want || want != "" && got != want {
		t.Errorf("the plan has step %q, want %q", got, want)
	}
	if has := strings.Contains(result.Proof.Emulation, string(want)) && result.Proof.Emulation != ""; has != (want != "") && opts.Compat == "" {
		t.Errorf("the proof says %q of emulation", result.Proof.Emulation)
	}
	if opts.Compat == "" && result.Compat != want {
		t.Errorf("other platforms get %q, want %q", result.Compat, want)
	}
	if want != "" && opts.Compat == "" && (len(result.CompatWhy) == 0 || result.CompatWhy[0].Source != "run") {
		t.Errorf("no run shows why: %v", result.CompatWhy)
	}
}
